"""Ready input tensors as metadata: made by hand as in C or by the helper, copied with their batch, released once."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from millrace.meta import api as pyds
from millrace.meta.inputtensor import attach_input_tensor, make_roi_meta


def batch_of_two() -> Any:
    batch = pyds.nvds_create_batch_meta(2)
    for number in range(2):
        frame = pyds.nvds_acquire_frame_meta_from_pool(batch)
        frame.source_id = frame.pad_index = frame.batch_id = number
        frame.pipeline_width, frame.pipeline_height = 320, 180
        pyds.nvds_add_frame_meta_to_batch(batch, frame)
        for left in (10.0, 20.0):
            item = pyds.nvds_acquire_obj_meta_from_pool(batch)
            item.rect_params.left, item.rect_params.width, item.rect_params.height = left, 5, 6
            pyds.nvds_add_obj_meta_to_frame(frame, item, None)
    return batch


def test_made_by_hand_as_in_c() -> None:
    memory = (ctypes.c_uint8 * 24)(*range(24))
    tensor = pyds.NvDsPreProcessTensorMeta()
    tensor.raw_tensor_buffer = ctypes.addressof(memory)
    tensor.buffer_size, tensor.tensor_shape = 24, [2, 3, 4]
    tensor.data_type, tensor.tensor_name = pyds.NvDsDataType_UINT8, "images"
    assert tensor.array.tolist() == np.arange(24).reshape(2, 3, 4).tolist()
    memory[5] = 99
    assert tensor.array[0, 1, 1] == 99  # the same memory
    assert pyds.get_ptr(tensor.raw_tensor_buffer) == ctypes.addressof(memory)
    batch = batch_of_two()
    meta = pyds.GstNvDsPreProcessBatchMeta()
    meta.target_unique_ids, meta.tensor_meta = [1, 4], tensor
    roi = pyds.NvDsRoiMeta()
    roi.frame_meta = pyds.NvDsFrameMeta.cast(batch.frame_meta_list.data)
    roi.roi.left, roi.roi.width = 8, 100
    meta.roi_vector = [roi]
    user = pyds.nvds_acquire_user_meta_from_pool(batch)
    user.user_meta_data = meta
    user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_PREPROCESS_BATCH_META
    pyds.nvds_add_user_meta_to_batch(batch, user)
    node = batch.batch_user_meta_list
    found = pyds.GstNvDsPreProcessBatchMeta.cast(pyds.NvDsUserMeta.cast(node.data).user_meta_data)
    assert found is meta is pyds.GstNvDsPreProcessBatchMeta.cast(hash(meta))
    assert found.roi_vector[0].frame_meta is batch.frames[0] and found.roi_vector[0].object_meta is None
    assert pyds.NvDsPreProcessTensorMeta.cast(found.tensor_meta) is tensor


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tensor_shape", [2, 3, 5], r"tensor 'x': tensor_shape \(2, 3, 5\) of float32 needs 120 bytes, .* is 96"),
        ("data_type", 99, "tensor 'x' has data_type 99"),
        ("raw_tensor_buffer", None, "tensor 'x' has no raw_tensor_buffer"),
    ],
)
def test_memory_that_is_not_there_is_not_read(field: str, value: Any, words: str) -> None:
    tensor = pyds.NvDsPreProcessTensorMeta()
    tensor.array, tensor.tensor_name = np.zeros((2, 3, 4), np.float32), "x"
    setattr(tensor, field, value)
    with pytest.raises(ValueError, match=words):
        _ = tensor.array


def test_arrays_that_cannot_be_tensors() -> None:
    tensor = pyds.NvDsPreProcessTensorMeta()
    with pytest.raises(TypeError, match=r"cannot be float64; convert it with \.astype\(\) to one of float32"):
        tensor.array = np.zeros(3)
    with pytest.raises(TypeError, match="needs a NumPy array or an address, got str"):
        tensor.raw_tensor_buffer = "abc"
    batch = batch_of_two()
    rois = [make_roi_meta(batch.frames[0])] * 3
    with pytest.raises(ValueError, match="3 rois for the 2 rows of 'x'"):
        attach_input_tensor(batch, np.zeros((2, 4), np.float32), "x", rois)
    turned = np.arange(6, dtype=np.int32).reshape(2, 3).T
    tensor.array = turned
    assert tensor.tensor_shape == [3, 2] and tensor.buffer_size == 24 and (tensor.array == turned).all()


def test_regions_default_to_the_object_or_the_frame() -> None:
    frame = batch_of_two().frames[1]
    roi = make_roi_meta(frame, scale=(2, 3), offset=(4, 5)).roi
    assert (roi.left, roi.top, roi.width, roi.height) == (0, 0, 320, 180)
    roi = make_roi_meta(frame, object_meta=frame.objects[1]).roi
    assert (roi.left, roi.top, roi.width, roi.height) == (20, 0, 5, 6)


def test_a_copy_has_regions_of_its_own_frames_and_the_same_tensor() -> None:
    batch = batch_of_two()
    array = np.zeros((3, 4), np.float32)
    first, second = batch.frames
    rois = [make_roi_meta(second), make_roi_meta(first, object_meta=first.objects[1]), make_roi_meta(second)]
    attach_input_tensor(batch, array, "x", rois, [1])
    released: list[Any] = []
    user = pyds.nvds_acquire_user_meta_from_pool(batch)
    user.user_meta_data = "text"
    pyds.set_user_copyfunc(user, lambda meta, _: meta.user_meta_data + " copied")
    pyds.set_user_releasefunc(user, lambda meta, _: released.append(meta.user_meta_data))
    pyds.nvds_add_user_meta_to_roi(rois[1], user)
    classifier = pyds.nvds_acquire_classifier_meta_from_pool(batch)
    pyds.nvds_add_classifier_meta_to_roi(rois[1], classifier)
    copy = batch.duplicate()
    pyds.nvds_remove_obj_meta_from_frame(copy.frames[0], copy.frames[0].objects[0])
    meta = copy.user_metas[0].user_meta_data
    assert meta.tensor_meta.array is array and meta.tensor_meta is not batch.user_metas[0].user_meta_data.tensor_meta
    assert [roi.frame_meta for roi in meta.roi_vector] == [copy.frames[1], copy.frames[0], copy.frames[1]]
    assert meta.roi_vector[1].object_meta is copy.frames[0].objects[0]
    assert meta.roi_vector[1].roi_user_meta_list.data.user_meta_data == "text copied"
    assert pyds.NvDsClassifierMeta.cast(meta.roi_vector[1].classifier_meta_list.data) is not classifier
    batch.release()
    batch.release()
    assert released == ["text"]
    copy.release()
    assert released == ["text", "text copied"]
    with pytest.raises(ValueError, match="has gone"):
        pyds.NvDsRoiMeta.cast(hash(meta.roi_vector[1]))


def test_a_copy_without_the_frame_says_so() -> None:
    batch = batch_of_two()
    rois = [make_roi_meta(frame) for frame in batch.frames]
    user = attach_input_tensor(batch, np.zeros((2, 4), np.float32), "x", rois, [1])
    single = pyds.nvds_create_batch_meta(1)
    pyds.nvds_add_frame_meta_to_batch(single, batch.frames[1].duplicate(single._state))
    pyds.nvds_copy_batch_user_meta_list(batch.batch_user_meta_list, single)
    del batch
    there = single.user_metas[0].user_meta_data.roi_vector
    assert [roi.frame_meta for roi in there] == [None, single.frames[0]]
    assert [roi.is_elsewhere for roi in there] == [True, False]
    again = single.duplicate()  # the original frame is gone by now
    there = again.user_metas[0].user_meta_data.roi_vector
    assert [roi.frame_meta for roi in there] == [None, again.frames[0]]
    assert user.user_meta_data.roi_vector[0].frame_meta is None
