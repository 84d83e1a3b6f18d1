"""Making and attaching ready input tensors, in place of a preprocess element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from .enums import NvDsMetaType
from .frame import NvDsBatchMeta, NvDsFrameMeta
from .functions import nvds_acquire_user_meta_from_pool, nvds_add_user_meta_to_batch
from .objects import NvDsObjectMeta
from .preprocess import GstNvDsPreProcessBatchMeta, NvDsPreProcessTensorMeta, NvDsRoiMeta
from .user import NvDsUserMeta


def make_roi_meta(
    frame_meta: NvDsFrameMeta,
    roi: tuple[float, float, float, float] | None = None,
    scale: tuple[float, float] = (1.0, 1.0),
    offset: tuple[float, float] = (0.0, 0.0),
    object_meta: NvDsObjectMeta | None = None,
) -> NvDsRoiMeta:
    """What one row of an input tensor is of.

    Args:
        frame_meta: the frame.
        roi: left, top, width, height of the part in pixels of the frame; default the object's box, else all of it.
        scale: network pixels for each pixel of the frame, horizontally and vertically.
        offset: columns and rows of padding on the left and above, in network pixels.
        object_meta: the object that results belong to: detections become its children, classes its labels.
    """
    meta = NvDsRoiMeta()
    meta.frame_meta, meta.object_meta = frame_meta, object_meta
    if roi is None:
        roi = (0.0, 0.0, float(frame_meta.pipeline_width), float(frame_meta.pipeline_height))
        if object_meta is not None:
            box = object_meta.rect_params
            roi = (box.left, box.top, box.width, box.height)
    meta.roi.left, meta.roi.top, meta.roi.width, meta.roi.height = roi
    meta.scale_ratio_x, meta.scale_ratio_y = scale
    meta.offset_left, meta.offset_top = offset
    return meta


def attach_input_tensor(
    batch_meta: NvDsBatchMeta,
    tensor: npt.NDArray[Any],
    tensor_name: str,
    rois: Sequence[NvDsRoiMeta],
    target_unique_ids: Sequence[int] = (1,),
    meta_id: int = 0,
) -> NvDsUserMeta:
    """Attach a ready input tensor to a batch, for an nvinfer with ``input-tensor-meta=1`` downstream.

    Args:
        batch_meta: the batch.
        tensor: (rows, ...) as the network takes it: float32, float16 or whole numbers, scaled and normalised. A
            C-contiguous array is shared, not copied: do not write to it afterwards.
        tensor_name: the network's input that it is for.
        rois: what each row is of (:func:`make_roi_meta`).
        target_unique_ids: ``gie-unique-id`` of each nvinfer that is to run on it.
        meta_id: the same for all inputs of one inference, where the network has several.

    Raises:
        TypeError: the array's type is none that DeepStream has.
        ValueError: there are more rois than rows.
    """
    meta = GstNvDsPreProcessBatchMeta()
    meta.tensor_meta = held = NvDsPreProcessTensorMeta()
    held.array = tensor
    if len(rois) > held.tensor_shape[0]:
        raise ValueError(f"{len(rois)} rois for the {held.tensor_shape[0]} rows of {tensor_name!r}")
    held.tensor_name, held.meta_id = tensor_name, meta_id
    meta.target_unique_ids = [int(number) for number in target_unique_ids]
    meta.roi_vector = list(rois)
    user = nvds_acquire_user_meta_from_pool(batch_meta)
    user.user_meta_data = meta
    user.base_meta.meta_type = NvDsMetaType.NVDS_PREPROCESS_BATCH_META
    nvds_add_user_meta_to_batch(batch_meta, user)
    return user
