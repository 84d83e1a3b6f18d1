"""What a network found becomes metadata: plain Python over the metadata model."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import InferConfig
from ..infer import FrameResult, InferContext
from ..meta.frame import NvDsBatchMeta, NvDsFrameMeta
from ..meta.functions import nvds_acquire_obj_meta_from_pool, nvds_add_obj_meta_to_frame
from ..meta.objects import NvDsObjectMeta
from ..meta.tensor import attach_tensor_meta, make_tensor_meta

BORDER_WIDTH = 3
TEXT_ABOVE = 10  # pixels between the top of the box and the top of its text
FONT, FONT_SIZE = "Serif", 11


class Attacher:
    """Attaches results of one nvinfer to frames and objects.

    Args:
        config: the element's effective configuration.
        context: its inference context, for labels and network information.
    """

    def __init__(self, config: InferConfig, context: InferContext) -> None:
        self._config = config
        self._context = context
        self._labels = context.labels
        self._info = context.network_info

    def attach(
        self, meta: NvDsBatchMeta, frame: NvDsFrameMeta, parent: NvDsObjectMeta | None, result: FrameResult
    ) -> None:
        """Attach the result of one frame, or of one object ``parent``."""
        if self._config.output_tensor_meta:
            tensor_meta = make_tensor_meta(
                [(layer.name, layer.array) for layer in result.tensors],
                (self._info.width, self._info.height, self._info.channels),
                self._config.gie_unique_id,
                maintain_aspect_ratio=self._config.maintain_aspect_ratio,
            )
            attach_tensor_meta(meta, frame if parent is None else parent, tensor_meta)
        found = result.detections
        if found is not None:
            self._attach_objects(meta, frame, parent, result)

    def _attach_objects(
        self, meta: NvDsBatchMeta, frame: NvDsFrameMeta, parent: NvDsObjectMeta | None, result: FrameResult
    ) -> None:
        found: Any = result.detections
        boxes = found.boxes.tolist()
        scores = found.scores.tolist()
        classes = found.class_ids.tolist()
        for index, (left, top, right, bottom) in enumerate(boxes):
            item = nvds_acquire_obj_meta_from_pool(meta)
            item.unique_component_id = self._config.gie_unique_id
            item.class_id = classes[index]
            item.confidence = scores[index]
            label = self._labels[classes[index]] if classes[index] < len(self._labels) else ""
            item.obj_label = label
            self._place(item, left, top, right - left, bottom - top)
            self._decorate(item, label, left, top)
            if found.keypoints is not None:
                self._set_mask(item, found.keypoints[index], frame.pipeline_width, frame.pipeline_height)
            elif found.masks is not None:
                mask = found.masks[index]
                self._set_mask(item, mask, mask.shape[1], mask.shape[0])
            nvds_add_obj_meta_to_frame(frame, item, parent)

    @staticmethod
    def _place(item: NvDsObjectMeta, left: float, top: float, width: float, height: float) -> None:
        for box in (item.rect_params, item.detector_bbox_info.org_bbox_coords):
            box.left, box.top, box.width, box.height = left, top, width, height

    def _decorate(self, item: NvDsObjectMeta, label: str, left: float, top: float) -> None:
        rect, text = item.rect_params, item.text_params
        rect.border_width = BORDER_WIDTH
        rect.border_color.set(1.0, 0.0, 0.0, 1.0)
        text.display_text = label
        text.x_offset = max(0, int(left))
        text.y_offset = max(0, int(top) - TEXT_ABOVE)
        text.font_params.font_name = FONT
        text.font_params.font_size = FONT_SIZE
        text.font_params.font_color.set(1.0, 1.0, 1.0, 1.0)
        text.set_bg_clr = 1
        text.text_bg_clr.set(0.0, 0.0, 0.0, 1.0)

    def _set_mask(self, item: NvDsObjectMeta, values: np.ndarray, width: int, height: int) -> None:
        mask = item.mask_params
        mask.data = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        mask.size = mask.data.nbytes
        mask.width, mask.height = width, height
        mask.threshold = self._config.segmentation_threshold
