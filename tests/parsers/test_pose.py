from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from millrace.errors import ModelError
from millrace.infer.parsers import (
    COCO_KEYPOINT_COLOURS,
    COCO_KEYPOINTS,
    COCO_SKELETON,
    COCO_SKELETON_COLOURS,
    LayerInfo,
    NetworkInfo,
    decode_pose,
    decode_yolov7_pose,
    decode_yolov8_pose,
    get_parser,
    skeleton_lines,
)
from millrace.infer.parsers.pose import pose_layout

from . import reference

Run = Callable[[str, str], np.ndarray]
NETWORK = NetworkInfo(640, 640)


def people(count: int = 3, keypoints: int = 17) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres with sizes (N, 4), scores (N,), keypoints (N, K, 3), well apart."""
    rng = np.random.default_rng(7)
    boxes = np.array([[60 + 180 * i, 200, 80, 240] for i in range(count)], np.float32)
    scores = np.linspace(0.9, 0.6, count).astype(np.float32)
    points = rng.uniform(0.1, 1, (count, keypoints, 3)).astype(np.float32) * [600, 600, 1]
    return boxes, scores, points.astype(np.float32)


def v8_tensor(anchors: int = 8400) -> np.ndarray:
    boxes, scores, points = people()
    tensor = np.random.default_rng(3).uniform(0, 0.1, (56, anchors)).astype(np.float32)
    for i, column in enumerate((11, 500, anchors - 1)):
        tensor[:4, column] = boxes[i]
        tensor[4, column] = scores[i]
        tensor[5:, column] = points[i].reshape(-1)
        # A weaker, shifted twin that suppression has to take away.
        tensor[:, column - 1] = tensor[:, column]
        tensor[0, column - 1] += 4
        tensor[4, column - 1] -= 0.1
    return tensor


def v7_rows(anchors: int = 1000) -> np.ndarray:
    boxes, scores, points = people()
    rows = np.zeros((anchors, 57), np.float32)
    for i in range(3):
        rows[i * 2] = [*boxes[i], scores[i], 1.0, *points[i].reshape(-1)]
        rows[i * 2 + 1] = [*(boxes[i] + [4, 0, 0, 0]), scores[i], 0.9, *points[i].reshape(-1)]
    return rows


def check(dets: object) -> None:
    boxes, scores, points = people()
    expected = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    np.testing.assert_allclose(dets.boxes, expected)  # type: ignore[attr-defined]
    np.testing.assert_allclose(dets.scores, scores)  # type: ignore[attr-defined]
    np.testing.assert_allclose(dets.keypoints, points)  # type: ignore[attr-defined]
    assert dets.boxes.dtype == np.float32  # type: ignore[attr-defined]
    assert dets.class_ids.tolist() == [0, 0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("picture", ["bus.jpg", "zidane.jpg"])
def test_real_pose_model(direct: Run, picture: str) -> None:
    tensor = direct("yolov8n-pose.onnx", picture)
    dets = decode_pose(tensor)
    expected = reference.rows_to_objects(tensor.T, 0.25, 0.45, 1, False)
    assert len(dets) == len(expected) == {"bus.jpg": 4, "zidane.jpg": 2}[picture]
    assert dets.keypoints is not None
    for i, (_, score, box, points) in enumerate(expected):
        assert dets.scores[i] == pytest.approx(score)
        np.testing.assert_allclose(dets.boxes[i], box, atol=1e-3)
        np.testing.assert_array_equal(dets.keypoints[i].reshape(-1), np.array(points, np.float32))
    # A person's sure keypoints lie in the box.
    assert (dets.keypoints[0, :, 2] > 0.8).sum() >= 8
    for box_, person in zip(dets.boxes, dets.keypoints, strict=True):
        sure = person[person[:, 2] > 0.8]
        assert (sure[:, 0] > box_[0] - 8).all()
        assert (sure[:, 0] < box_[2] + 8).all()


def test_yolov8_layouts() -> None:
    tensor = v8_tensor()
    check(decode_pose(tensor))
    check(decode_pose(tensor[None]))
    check(decode_pose(tensor.T))
    check(decode_pose(np.ascontiguousarray(tensor.T)))
    check(decode_pose(tensor.astype(np.float64)))
    check(decode_yolov8_pose(tensor))


def test_yolov7_layouts() -> None:
    rows = v7_rows()
    check(decode_pose(rows))
    check(decode_yolov7_pose(rows))
    layer = np.concatenate([[6], rows.reshape(-1)]).astype(np.float32)
    assert layer.size == 57001
    check(decode_pose(layer))
    check(decode_pose(layer.reshape(57001, 1, 1)))
    # Rows beyond the count are left-overs of an earlier frame.
    layer[0] = 4
    assert len(decode_pose(layer)) == 2
    layer[0] = 5000
    assert len(decode_pose(layer)) == 3


def test_end_to_end_rows() -> None:
    boxes, scores, points = people()
    rows = np.zeros((300, 57), np.float32)
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    for i in range(3):
        rows[i] = [*corners[i], scores[i], 0, *points[i].reshape(-1)]
    check(decode_pose(rows))


def test_nobody() -> None:
    for empty in (np.zeros((56, 8400)), np.zeros((1000, 57)), np.zeros(57001), np.zeros((300, 57))):
        dets = decode_pose(empty.astype(np.float32))
        assert len(dets) == 0
        assert dets.keypoints is not None
        assert dets.keypoints.shape == (0, 17, 3)


def test_several_classes_and_other_keypoints() -> None:
    tensor = np.zeros((4 + 2 + 5 * 3, 100), np.float32)
    tensor[:4, 3] = [50, 50, 20, 20]
    tensor[5, 3] = 0.8
    tensor[:4, 9] = [50, 50, 20, 20]
    tensor[4, 9] = 0.7
    dets = decode_pose(tensor, num_classes=2)
    assert dets.class_ids.tolist() == [1, 0]
    assert dets.keypoints is not None
    assert dets.keypoints.shape == (2, 5, 3)


def test_most_and_least() -> None:
    assert len(decode_pose(v8_tensor(), max_det=2)) == 2
    assert len(decode_pose(v8_tensor(), conf=0.7)) == 2
    assert len(decode_pose(v8_tensor(), iou=0.99)) == 6


def test_unknown_shape() -> None:
    with pytest.raises(ModelError, match=r"\(84, 8400\).*YOLOv8-pose"):
        pose_layout((84, 8400))


def test_parser_by_name() -> None:
    tensor = v8_tensor()
    layers = [LayerInfo("output0", (56, 8400))]
    parser = get_parser("NvDsInferParseYoloPose", "instance", layers, NETWORK, 1)
    check(parser({"output0": tensor}, np.array([0.25], np.float32)))
    assert parser.clustered
    assert "YOLOv8-pose" in parser.describe()
    # Newer exports for that library: anchors first, corners instead of centre and size.
    rows = np.ascontiguousarray(tensor.T)
    rows[:, :2] -= rows[:, 2:4] / 2
    rows[:, 2:4] += rows[:, :2]
    parser = get_parser("NvDsInferParseYoloPose", "instance", [LayerInfo("output0", (8400, 56))], NETWORK, 1)
    dets = parser({"output0": rows}, np.array([0.25], np.float32))
    np.testing.assert_allclose(dets.boxes, decode_pose(tensor).boxes, atol=1e-3)
    parser = get_parser(None, "instance", [LayerInfo("output0", (8400, 56))], NETWORK, 1)
    check(parser({"output0": np.ascontiguousarray(tensor.T)}, np.array([0.25], np.float32)))


def test_quick_enough() -> None:
    tensor = v8_tensor()
    decode_pose(tensor)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        decode_pose(tensor)
        times.append(time.perf_counter() - start)
    # The best of many, so that a busy machine does not fail it; about 0.1 ms on an idle one.
    assert min(times) < 0.5e-3


def test_skeleton() -> None:
    assert len(COCO_KEYPOINTS) == len(COCO_KEYPOINT_COLOURS) == 17
    assert len(COCO_SKELETON) == len(COCO_SKELETON_COLOURS) == 19
    assert {n for pair in COCO_SKELETON for n in pair} == set(range(17))
    person = np.ones((17, 3), np.float32)
    person[:, 0] = np.arange(17)
    assert len(list(skeleton_lines(person))) == 19
    person[0, 2] = 0.4
    lines = list(skeleton_lines(person))
    assert len(lines) == 17
    limb, x1, _, x2, _ = lines[-1]
    assert (x1, x2) == COCO_SKELETON[limb] == (14, 16)
    assert list(skeleton_lines(person[:3])) == [(2, 1.0, 1.0, 2.0, 1.0)]


def test_display_meta() -> None:
    functions = pytest.importorskip("millrace.meta.functions", reason="metadata is not there")
    from millrace.infer.parsers import add_pose_display_meta

    batch_meta = functions.nvds_create_batch_meta(1)
    frame_meta = functions.nvds_acquire_frame_meta_from_pool(batch_meta)
    functions.nvds_add_frame_meta_to_batch(batch_meta, frame_meta)
    person = np.ones((17, 3), np.float32) * [100, 200, 1]
    added = add_pose_display_meta(batch_meta, frame_meta, np.stack([person, person]))
    # 38 lines and 34 circles, sixteen of each to a display meta.
    assert added == 3
    metas = list(frame_meta.display_metas)
    assert [m.num_lines for m in metas] == [16, 16, 6]
    assert [m.num_circles for m in metas] == [16, 16, 2]
    line = metas[2].line_params[5]
    assert (line.x1, line.y1, line.line_width) == (100, 200, 2)


def test_keypoints_of_an_object() -> None:
    functions = pytest.importorskip("millrace.meta.functions", reason="metadata is not there")
    from millrace.infer.parsers import keypoints_of

    obj_meta = functions.nvds_acquire_obj_meta_from_pool(functions.nvds_create_batch_meta(1))
    assert keypoints_of(obj_meta) is None
    points = people()[2][0]
    mask = obj_meta.mask_params
    mask.width, mask.height, mask.data = 1920, 1080, points
    np.testing.assert_array_equal(keypoints_of(obj_meta), points)
    mask.width, mask.height, mask.data = 6, 5, np.zeros(30, np.float32)
    assert keypoints_of(obj_meta) is None
