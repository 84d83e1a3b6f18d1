"""Ready input tensors of a batch, which nvinfer takes in place of pictures: plain Python."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy.typing as npt

from ..errors import MediaError
from ..infer import InferContext, InferJob, LetterboxTransform, TensorItem
from ..meta.batch import Batch
from ..meta.enums import NvDsMetaType
from ..meta.frame import NvDsFrameMeta
from ..meta.preprocess import GstNvDsPreProcessBatchMeta, NvDsRoiMeta

log = logging.getLogger("millrace.infer")

PATIENCE = 30  # batches without a tensor before that is said


class Row(NamedTuple):
    """The frame of a row of a tensor, and the row."""

    frame: NvDsFrameMeta
    roi: NvDsRoiMeta


@dataclass
class _Inputs:
    """Tensors of one inference, by the name of the network's input, and what their rows are of."""

    rois: list[NvDsRoiMeta]
    tensors: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


class TensorInput:
    """Finds the tensors of a batch that are for one nvinfer and starts inference on them.

    Args:
        element: its name, for messages.
        unique_id: its ``gie-unique-id``.
        context: its network.
    """

    def __init__(self, element: str, unique_id: int, context: InferContext) -> None:
        self._element, self._unique_id, self._context = element, unique_id, context
        self._waited = 0
        self._found = False
        self._others: set[int] = set()

    def submit(self, batch: Batch) -> tuple[list[InferJob], list[Row]]:
        """Start on the tensors of a batch; the jobs' results are those of the rows, in order.

        Raises:
            MediaError: a tensor does not fit the network, or a row does not say what it is of.
            ModelError: the engine failed.
        """
        rows: list[Row] = []
        items: list[TensorItem] = []
        try:
            for inputs in self._inputs_of(batch):
                self._context.check_tensors(inputs.tensors)
                arrays = [inputs.tensors[layer.name] for layer in self._context.input_layers]
                for number, roi in enumerate(inputs.rois):
                    frame = self._frame_of(batch, roi, number)
                    if frame is None:
                        continue
                    surface = batch.surface_of(frame)
                    parts = [array[number] for array in arrays]
                    items.append(TensorItem(parts, _transform_of(roi, number), surface.width, surface.height))
                    rows.append(Row(frame, roi))
        except (MediaError, ValueError, TypeError) as error:
            raise MediaError(f"{self._element}: {error}") from None
        size = self._context.batch_size
        return [self._context.submit_tensors(items[at : at + size]) for at in range(0, len(items), size)], rows

    def _inputs_of(self, batch: Batch) -> list[_Inputs]:
        """Tensors with one ``meta_id`` are the inputs of one inference; a name that comes again begins the next."""
        assert batch.meta is not None
        groups: dict[int, list[_Inputs]] = {}
        for user in batch.meta.user_metas:
            if user.base_meta.meta_type != NvDsMetaType.NVDS_PREPROCESS_BATCH_META:
                continue
            meta = GstNvDsPreProcessBatchMeta.cast(user.user_meta_data)
            if meta is None or meta.tensor_meta is None:
                continue
            if self._unique_id not in meta.target_unique_ids:
                self._others.update(meta.target_unique_ids)
                continue
            tensor = meta.tensor_meta
            rois = [NvDsRoiMeta.cast(roi) for roi in meta.roi_vector]
            group = groups.setdefault(tensor.meta_id, [])
            inputs = next((one for one in group if tensor.tensor_name not in one.tensors), None)
            if inputs is None:
                inputs = _Inputs(rois)
                group.append(inputs)
            inputs.rois = inputs.rois or rois
            array = tensor.array
            if len(array) < len(inputs.rois):
                raise MediaError(
                    f"tensor '{tensor.tensor_name}' has {len(array)} rows, but the batch's roi_vector has "
                    f"{len(inputs.rois)}"
                )
            inputs.tensors[tensor.tensor_name] = array
        found = [one for group in groups.values() for one in group]
        self._note(bool(found))
        return found

    def _note(self, found: bool) -> None:
        """Say once when no tensor comes."""
        if self._found or self._waited >= PATIENCE:
            return
        self._found = found
        self._waited += 1
        if self._waited == PATIENCE and not found:
            others = ", ".join(map(str, sorted(self._others)))
            log.warning(
                "%s: input-tensor-meta=1, but none of the first %d batches had a tensor for unique-id %d (%s); "
                "batches go through without inference",
                self._element, PATIENCE, self._unique_id,
                f"there are tensors for {others}" if others else "there are none at all",
            )  # fmt: skip

    @staticmethod
    def _frame_of(batch: Batch, roi: NvDsRoiMeta, number: int) -> NvDsFrameMeta | None:
        """The frame of a row; ``None`` when the frame was taken out of the batch, as by nvstreamdemux."""
        frame = roi.frame_meta
        if frame is None and roi.is_elsewhere:
            return None
        assert batch.meta is not None
        if frame is None or not any(frame is one for one in batch.meta.frames):
            raise MediaError(f"row {number} of roi_vector: its frame_meta is not a frame of this batch")
        return frame


def _transform_of(roi: NvDsRoiMeta, number: int) -> LetterboxTransform:
    box = roi.roi
    scales = (roi.scale_ratio_x, roi.scale_ratio_y)
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise MediaError(f"row {number} of roi_vector: scale_ratio_x and scale_ratio_y are {scales}, not above 0")
    if not (box.width > 0 and box.height > 0):
        raise MediaError(f"row {number} of roi_vector: its roi is {box.width:g}x{box.height:g} pixels")
    part = (box.left, box.top, box.width, box.height)
    offset = (roi.offset_left, roi.offset_top)
    if not all(map(math.isfinite, (*part, *offset))):
        raise MediaError(f"row {number} of roi_vector: its roi {part} or its offset {offset} is not finite")
    return LetterboxTransform(*scales, *offset, part)
