"""Making and attaching what inference gives to applications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .enums import NvDsMetaType
from .frame import NvDsBatchMeta, NvDsFrameMeta
from .functions import (
    nvds_acquire_user_meta_from_pool,
    nvds_add_user_meta_to_batch,
    nvds_add_user_meta_to_frame,
    nvds_add_user_meta_to_obj,
)
from .infer import NvDsInferLayerInfo, NvDsInferSegmentationMeta, NvDsInferTensorMeta
from .objects import NvDsObjectMeta
from .preprocess import NvDsRoiMeta, nvds_add_user_meta_to_roi
from .user import NvDsUserMeta


def make_tensor_meta(
    layers: Iterable[tuple[str, Any]],
    network_info: tuple[int, int, int],
    unique_id: int = 1,
    maintain_aspect_ratio: bool = False,
    inputs: int = 1,
) -> NvDsInferTensorMeta:
    """A tensor meta over numpy arrays.

    Args:
        layers: name and array (shape without the batch) of each output layer; a C-contiguous, writable array
            of float32, float16, int8 or int32 is shared, another one is copied.
        network_info: width and height of the network's input in pixels, and its channels.
        unique_id: ``gie-unique-id``.
        maintain_aspect_ratio: whether the frame was letterboxed.
        inputs: number of the network's inputs, which come before the outputs where layers are numbered
            (``bindingIndex``).
    """
    found = [NvDsInferLayerInfo(name, array, index) for index, (name, array) in enumerate(layers, inputs)]
    meta = NvDsInferTensorMeta(found, unique_id, maintain_aspect_ratio)
    info = meta.network_info
    info.width, info.height, info.channels = network_info
    return meta


def attach_user_meta(
    batch_meta: NvDsBatchMeta,
    owner: NvDsBatchMeta | NvDsFrameMeta | NvDsObjectMeta | NvDsRoiMeta,
    data: Any,
    meta_type: int,
) -> NvDsUserMeta:
    """Attach ``data`` as user metadata of ``meta_type`` to a batch, frame, object or row of an input tensor.

    Without a copy function, copies of the buffer share ``data``.
    """
    user = nvds_acquire_user_meta_from_pool(batch_meta)
    user.user_meta_data = data
    user.base_meta.meta_type = meta_type
    if isinstance(owner, NvDsFrameMeta):
        nvds_add_user_meta_to_frame(owner, user)
    elif isinstance(owner, NvDsObjectMeta):
        nvds_add_user_meta_to_obj(owner, user)
    elif isinstance(owner, NvDsRoiMeta):
        nvds_add_user_meta_to_roi(owner, user)
    else:
        nvds_add_user_meta_to_batch(owner, user)
    return user


def attach_tensor_meta(
    batch_meta: NvDsBatchMeta, owner: NvDsFrameMeta | NvDsObjectMeta | NvDsRoiMeta, tensor_meta: NvDsInferTensorMeta
) -> NvDsUserMeta:
    """Attach output tensors to a frame, object or row, as ``output-tensor-meta`` of nvinfer does."""
    return attach_user_meta(batch_meta, owner, tensor_meta, NvDsMetaType.NVDSINFER_TENSOR_OUTPUT_META)


def attach_segmentation_meta(
    batch_meta: NvDsBatchMeta,
    owner: NvDsFrameMeta | NvDsObjectMeta | NvDsRoiMeta,
    class_map: Any,
    classes: int,
    probabilities: Any = None,
    unique_id: int = 1,
) -> NvDsUserMeta:
    """Attach a class map (int array (height, width)) to a frame, object or row, as a segmenting nvinfer does."""
    meta = NvDsInferSegmentationMeta(class_map, classes, probabilities, unique_id)
    return attach_user_meta(batch_meta, owner, meta, NvDsMetaType.NVDSINFER_SEGMENTATION_META)
