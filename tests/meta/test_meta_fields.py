"""Fields take what the bindings take, and keep it as C would."""

from __future__ import annotations

import ctypes
import time

import numpy as np
import pytest

from millrace.meta import api
from millrace.meta.tensor import attach_segmentation_meta, attach_tensor_meta, make_tensor_meta


@pytest.fixture
def batch() -> api.NvDsBatchMeta:  # type: ignore[name-defined]
    return api.nvds_create_batch_meta(4)


def test_numbers(batch: object) -> None:
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    assert obj.object_id == 0xFFFFFFFFFFFFFFFF and obj.parent is None
    for value in (0.5, np.float32(0.5), np.array([0.5], np.float32), np.array(0.5), np.array([[0.5]])):
        obj.confidence = value
        obj.rect_params.left = value
        obj.rect_params.border_color.red = value
        assert obj.confidence == obj.rect_params.left == obj.rect_params.border_color.red == 0.5
    for value in (3, np.int64(3), np.uint8(3)):
        obj.class_id = value
        assert obj.class_id == 3
    obj.confidence = 0.1
    assert obj.confidence == np.float32(0.1)  # stored as a C float
    for wrong in ("1", None, [1], np.zeros(2)):
        with pytest.raises(TypeError):
            obj.confidence = wrong
        with pytest.raises(TypeError):
            obj.rect_params.width = wrong
        with pytest.raises(TypeError):
            obj.class_id = wrong
    with pytest.raises(AttributeError):
        obj.confidance = 1.0


def test_nested_structures_are_views_and_assignment_copies(batch: object) -> None:
    first, second = (api.nvds_acquire_obj_meta_from_pool(batch) for _ in range(2))
    rect = first.rect_params
    rect.left, rect.top, rect.width, rect.height = 1, 2, 3, 4
    rect.bg_color.set(0.1, 0.2, 0.3, np.array([0.4]))
    assert first.rect_params.bg_color.alpha == 0.4
    second.rect_params = rect
    first.rect_params.left = 9
    assert second.rect_params.left == 1 and second.rect_params.bg_color.green == 0.2
    first.tracker_bbox_info.org_bbox_coords.width = 7
    assert first.tracker_bbox_info.org_bbox_coords.width == 7
    first.text_params.display_text = "a"
    second.text_params = first.text_params
    first.text_params.display_text = "b"
    assert api.get_string(second.text_params.display_text) == "a"
    with pytest.raises(TypeError):
        second.text_params = rect
    with pytest.raises(TypeError):
        second.rect_params = first.text_params


def test_labels_and_texts(batch: object) -> None:
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    obj.obj_label = "bicycle"
    obj.obj_label = "cat"
    assert obj.obj_label == "cat" == api.get_string(obj.obj_label)
    obj.obj_label = "ä" * 100
    assert obj.obj_label == "ä" * 63  # 127 bytes at most
    text = obj.text_params
    assert text.display_text == 0 and text.text == ""
    text.display_text = "Grüße"
    assert isinstance(text.display_text, int) and text.display_text != 0
    assert api.get_string(text.display_text) == text.text == "Grüße"
    old = text.display_text
    text.display_text = "new"
    assert api.get_string(old) == "Grüße"  # the address that is still held stays readable
    text.font_params.font_name = "Serif"
    assert api.get_string(text.font_params.font_name) == text.font_params.name == "Serif"
    for wrong in (3, None):
        with pytest.raises(TypeError, match="needs a str"):
            text.display_text = wrong
        with pytest.raises(TypeError):
            obj.obj_label = wrong


def test_display_meta_holds_sixteen(batch: object) -> None:
    display = api.nvds_acquire_display_meta_from_pool(batch)
    for shapes in (display.rect_params, display.text_params, display.line_params, display.circle_params):
        assert len(shapes) == len(list(shapes)) == 16
    display.line_params[15].x1 = 4
    display.line_params[15].line_color.set(1, 0, 0, 1)
    assert display.line_params[-1].x1 == 4 and display.line_params[15].line_color.red == 1
    display.text_params[0].display_text = "x"
    assert display.text_params[:1][0].text == "x"
    display.num_lines = 16
    for wrong in (-1, 2**32, 1.5, "1"):
        with pytest.raises(TypeError, match=r"NvOSD_LineParams\.x1 needs a whole number"):
            display.line_params[0].x1 = wrong
    with pytest.raises(IndexError, match="acquire another display meta"):
        display.line_params[16]
    display.arrow_params[0].arrow_head = api.NvOSD_Arrow_Head_Direction.END_HEAD
    assert display.arrow_params[0].arrow_head == api.END_HEAD


def test_masks(batch: object) -> None:
    mask = api.nvds_acquire_obj_meta_from_pool(batch).mask_params
    assert mask.get_mask_array().size == 0
    mask.width, mask.height = 3, 2
    array = mask.alloc_mask_array()
    array[:] = 0.25
    assert mask.size == 24 and mask.get_mask_array().tolist() == [0.25] * 6
    mask.data = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert mask.get_mask_array().tolist() == [0, 1, 2, 3, 4, 5]


def test_tensors_are_read_as_deepstream_applications_read_them(batch: object) -> None:
    types = {api.NvDsInferDataType.FLOAT: ctypes.c_float, api.NvDsInferDataType.INT32: ctypes.c_int32}
    frame = api.nvds_acquire_frame_meta_from_pool(batch)
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensor = make_tensor_meta([("out", values), ("ids", np.arange(3))], (640, 384, 3), 2)
    attach_tensor_meta(batch, frame, tensor)
    user = api.NvDsUserMeta.cast(frame.frame_user_meta_list.data)
    assert user.base_meta.meta_type == api.NvDsMetaType.NVDSINFER_TENSOR_OUTPUT_META
    meta = api.NvDsInferTensorMeta.cast(user.user_meta_data)
    assert (meta.network_info.width, meta.network_info.height, meta.unique_id) == (640, 384, 2)
    for index, expected in enumerate((values, np.arange(3))):
        layer = api.get_nvds_LayerInfo(meta, index)
        dims = np.trim_zeros(layer.inferDims.d, "b")
        assert layer.inferDims.numElements == np.prod(dims)
        pointer = ctypes.cast(api.get_ptr(layer.buffer), ctypes.POINTER(types[layer.dataType]))
        assert np.array_equal(np.ctypeslib.as_array(pointer, shape=dims), expected)
    assert api.get_nvds_LayerInfo(meta, 0).layerName == "out"
    pointer = ctypes.cast(api.get_ptr(meta.output_layers_info(0).buffer), ctypes.POINTER(ctypes.c_float))
    np.ctypeslib.as_array(pointer, shape=(12,))[5] = -1
    assert values[1, 1] == -1 == api.get_detections(meta.output_layers_info(0).buffer, 5)
    assert api.get_ptr(meta.out_buf_ptrs_host[0]) == values.ctypes.data
    with pytest.raises(IndexError, match="does not exist"):
        api.get_nvds_LayerInfo(meta, 2)
    with pytest.raises(IndexError):
        api.get_detections(meta.output_layers_info(0).buffer, 12)
    with pytest.raises(TypeError, match="NvDsInferTensorMeta"):
        api.get_nvds_LayerInfo(frame, 0)


def test_segmentation_and_other_user_data(batch: object) -> None:
    frame = api.nvds_acquire_frame_meta_from_pool(batch)
    attach_segmentation_meta(batch, frame, np.eye(3, 4, dtype=np.int64), 2)
    meta = api.NvDsInferSegmentationMeta.cast(frame.user_metas[0].user_meta_data)
    assert api.get_segmentation_masks(meta).tolist() == np.eye(3, 4).tolist()
    assert (meta.width, meta.height, meta.classes) == (4, 3, 2)
    past, stream, obj = (
        api.NvDsTargetMiscDataBatch(), api.NvDsTargetMiscDataStream(), api.NvDsTargetMiscDataObject()
    )  # fmt: skip
    seen = api.NvDsTargetMiscDataFrame()
    seen.tBbox.left = 3
    obj.append(seen)
    stream.append(obj)
    past.append(stream)
    for found_stream in api.NvDsTargetMiscDataBatch.list(past):
        for found in api.NvDsTargetMiscDataStream.list(found_stream):
            assert found.numObj == 1
            assert [item.tBbox.left for item in api.NvDsTargetMiscDataObject.list(found)] == [3]


def test_a_walk_over_200_objects_takes_less_than_a_millisecond(batch: object) -> None:
    for _ in range(4):
        frame = api.nvds_acquire_frame_meta_from_pool(batch)
        api.nvds_add_frame_meta_to_batch(batch, frame)
        for _ in range(50):
            api.nvds_add_obj_meta_to_frame(frame, api.nvds_acquire_obj_meta_from_pool(batch), None)

    def walk() -> int:
        count = 0
        l_frame = batch.frame_meta_list  # type: ignore[attr-defined]
        while l_frame is not None:
            l_obj = api.NvDsFrameMeta.cast(l_frame.data).obj_meta_list
            while l_obj is not None:
                obj = api.NvDsObjectMeta.cast(l_obj.data)
                count += obj.class_id == 0 and obj.rect_params.left == 0
                l_obj = l_obj.next
            l_frame = l_frame.next
        return count

    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        assert walk() == 200
        best = min(best, time.perf_counter() - started)
    assert best < 1e-3
