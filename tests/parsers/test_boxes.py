from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.infer.parsers import Detections, iou_matrix, nms, nms_detections
from millrace.infer.parsers import boxes as boxes_module

from . import reference


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = draw(st.integers(0, 40))
    numbers = draw(st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=count, max_size=count))
    ltwh = np.array(numbers, np.float32).reshape(-1, 4)
    boxes = np.concatenate([ltwh[:, :2], ltwh[:, :2] + ltwh[:, 2:]], axis=1)
    scores = np.array(draw(st.lists(st.integers(1, 20), min_size=count, max_size=count)), np.float32) / 20
    classes = np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), np.int64)
    return boxes, scores, classes


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.3, 0.45, 0.65]), st.booleans())
def test_nms_is_the_plain_one(problem: tuple[np.ndarray, np.ndarray, np.ndarray], iou: float, per_class: bool) -> None:
    boxes, scores, classes = problem
    groups = classes if per_class else None
    expected = reference.nms(boxes, scores, iou, groups)
    assert nms(boxes, scores, iou, groups).tolist() == expected
    assert nms(boxes, scores, iou, groups, max_det=3).tolist() == expected[:3]
    order = np.argsort(-scores, kind="stable")
    by_row = boxes_module._keep_by_row(boxes[order], None if groups is None else groups[order], iou, len(boxes) or 1)
    assert order[by_row].tolist() == expected


def test_many_boxes() -> None:
    rng = np.random.default_rng(1)
    left_top = rng.uniform(0, 600, (700, 2)).astype(np.float32)
    boxes = np.concatenate([left_top, left_top + rng.uniform(5, 80, (700, 2))], axis=1).astype(np.float32)
    scores = rng.uniform(0, 1, 700).astype(np.float32)
    assert nms(boxes, scores, 0.3).tolist() == reference.nms(boxes, scores, 0.3)


def test_empty_boxes_do_not_divide_by_zero() -> None:
    empty = np.zeros((2, 4), np.float32)
    assert iou_matrix(empty, empty).tolist() == [[0, 0], [0, 0]]
    assert nms(empty, np.array([0.5, 0.6], np.float32)).tolist() == [1, 0]


def test_keypoints_and_masks_follow_their_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], np.float32)
    dets = Detections(
        boxes,
        np.array([0.5, 0.9, 0.7], np.float32),
        np.zeros(3, np.int64),
        np.arange(3, dtype=np.float32)[:, None, None] * np.ones((3, 2, 3), np.float32),
        np.arange(3, dtype=np.float32)[:, None, None] * np.ones((3, 4, 5), np.float32),
    )
    kept = nms_detections(dets, 0.5)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7])
    assert kept.keypoints is not None
    assert kept.masks is not None
    assert kept.keypoints[:, 0, 0].tolist() == [1, 2]
    assert kept.masks[:, 0, 0].tolist() == [1, 2]


def test_concatenate_keeps_what_all_parts_have() -> None:
    one = Detections.empty(17).take(np.zeros(0, np.int64))
    assert one.keypoints is not None
    assert one.keypoints.shape == (0, 17, 3)
    assert len(Detections.concatenate([])) == 0
    a = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.ones(1, np.int64))
    joined = Detections.concatenate([a, one, a])
    assert len(joined) == 2
    assert joined.keypoints is None
