from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import ConfigError
from millrace.infer.parsers import ClusterParams, Detections, cluster, pre_cluster_thresholds, within_limits
from millrace.infer.parsers.clustering import dbscan, group_rectangles


def scene() -> Detections:
    """Class 0: a heap of four, a heap of two, a lonely box. Class 1: one box on the first heap."""
    boxes = [
        (100, 100, 200, 200), (102, 101, 202, 201), (98, 100, 199, 202), (101, 99, 201, 199),
        (400, 100, 460, 180), (402, 102, 462, 182),
        (300, 300, 330, 340),
        (101, 100, 201, 200),
    ]  # fmt: skip
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.55, 0.4, 0.85]
    classes = [0, 0, 0, 0, 0, 0, 0, 1]
    return Detections(
        np.array(boxes, np.float32),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
        np.arange(8, dtype=np.float32)[:, None, None] * np.ones((8, 2, 3), np.float32),
    )


def rounded(dets: Detections) -> list[float]:
    return [round(float(s), 3) for s in dets.scores]


def test_nms_by_class() -> None:
    found = cluster(scene(), 2, ClusterParams(nms_iou_threshold=0.5))
    assert found.class_ids.tolist() == [0, 0, 0, 1]
    assert rounded(found) == [0.9, 0.55, 0.4, 0.85]
    assert found.keypoints is not None
    assert found.keypoints[:, 0, 0].tolist() == [0, 5, 6, 7]


def test_thresholds_and_topk() -> None:
    strict = ClusterParams(nms_iou_threshold=0.5, pre_cluster_threshold=0.5)
    assert rounded(cluster(scene(), 2, strict)) == [0.9, 0.55, 0.85]
    after = ClusterParams(nms_iou_threshold=0.5, post_cluster_threshold=0.6)
    assert rounded(cluster(scene(), 2, after)) == [0.9, 0.85]
    assert rounded(cluster(scene(), 2, ClusterParams(nms_iou_threshold=0.5, topk=1))) == [0.9, 0.85]
    assert len(cluster(scene(), 2, ClusterParams(topk=0))) == 0
    nothing = cluster(scene(), 2, ClusterParams(pre_cluster_threshold=0.99))
    assert len(nothing) == 0
    assert nothing.keypoints is not None


def test_each_class_has_its_own_keys() -> None:
    attrs = {0: ClusterParams(pre_cluster_threshold=0.88), -1: SimpleNamespace(pre_cluster_threshold=0.1)}
    assert rounded(cluster(scene(), 4, attrs)) == [0.9, 0.85]
    by_call = cluster(scene(), 4, lambda c: SimpleNamespace(topk=2 if c == 0 else 0))
    assert rounded(by_call) == [0.9, 0.8]
    assert pre_cluster_thresholds(attrs, 3).tolist() == pytest.approx([0.88, 0.1, 0.1])
    assert ClusterParams.of(SimpleNamespace(min_boxes=3, eps=None)).minBoxes == 3
    assert ClusterParams.of(SimpleNamespace(min_boxes=3, eps=None)).eps == 0.0


def test_no_clustering() -> None:
    found = cluster(scene(), 4, ClusterParams())
    assert rounded(found) == [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.85]


def test_group_rectangles() -> None:
    found = cluster(scene(), 0, ClusterParams(group_threshold=1, eps=0.2))
    assert found.boxes.tolist() == [[100, 100, 200, 200], [401, 101, 461, 181]]
    assert found.scores.tolist() == pytest.approx([-0.1, -0.1])
    assert found.class_ids.tolist() == [0, 0]
    # A threshold of zero groups nothing.
    assert len(cluster(scene(), 0, ClusterParams())) == 8


def test_weak_groups_inside_strong_ones_go() -> None:
    big, small = [[0, 0, 100, 100]] * 5, [[30, 30, 20, 20]] * 2
    rects, counts = group_rectangles(np.array(big + small, np.int32), 1, 0.2)
    assert (rects.tolist(), counts.tolist()) == ([[0, 0, 100, 100]], [5])
    rects, counts = group_rectangles(np.array(big + small * 2, np.int32), 1, 0.2)
    assert (rects.tolist(), counts.tolist()) == ([[0, 0, 100, 100]], [5])
    rects, counts = group_rectangles(np.array(big + small * 3, np.int32), 1, 0.2)
    assert counts.tolist() == [5, 6]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(10, 50)] * 2), max_size=25),
    st.integers(1, 3),
    st.sampled_from([0.1, 0.3, 0.7]),
)
def test_group_rectangles_is_opencvs(numbers: list[tuple[int, int, int, int]], threshold: int, eps: float) -> None:
    if not hasattr(cv2, "groupRectangles"):
        pytest.skip("this OpenCV has no groupRectangles")
    expected, weights = cv2.groupRectangles([list(n) for n in numbers], threshold, eps)
    rects, counts = group_rectangles(np.array(numbers, np.int32).reshape(-1, 4), threshold, eps)
    assert rects.tolist() == np.asarray(expected).reshape(-1, 4).tolist()
    assert counts.tolist() == np.asarray(weights).reshape(-1).tolist()


def test_dbscan() -> None:
    found = cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=2))
    assert found.class_ids.tolist() == [0, 0]
    assert rounded(found) == [0.9, 0.55]
    np.testing.assert_allclose(found.boxes[0], [100.3, 100.1, 200.5, 200.5], atol=0.6)
    # The sum of scores around a box decides as well.
    assert len(cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=2, dbscan_min_score=1.5))) == 1
    assert len(cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=5))) == 0


def test_dbscan_chains_through_core_boxes_only() -> None:
    boxes = np.array([[i * 30, 0, i * 30 + 100, 100] for i in range(5)], np.float32)
    scores = np.full(5, 0.5, np.float32)
    assert dbscan(boxes, scores, 0.5, 2, 0.0).tolist() == [0] * 5
    # The ends have one neighbour, so they are borders: in the cluster, not carrying it on.
    assert dbscan(boxes, scores, 0.5, 3, 0.0).tolist() == [0] * 5
    assert dbscan(boxes[:2], scores[:2], 0.5, 3, 0.0).tolist() == [-1, -1]
    assert dbscan(boxes[:0], scores[:0], 0.5, 3, 0.0).tolist() == []


def test_hybrid_drops_outliers_then_suppresses() -> None:
    found = cluster(scene(), 3, ClusterParams(eps=0.3, minBoxes=2, nms_iou_threshold=0.5))
    assert rounded(found) == [0.9, 0.55]
    # Nothing is averaged: the boxes are the network's own.
    np.testing.assert_array_equal(found.boxes, scene().boxes[[0, 5]])


def test_nothing_to_cluster() -> None:
    for mode in range(5):
        assert len(cluster(Detections.empty(), mode, ClusterParams())) == 0


def test_unknown_mode() -> None:
    with pytest.raises(ConfigError, match="cluster-mode=7"):
        cluster(scene(), 7, ClusterParams())


def test_sizes_and_offsets() -> None:
    boxes = np.array([[0, 5, 50, 55], [0, 100, 10, 110], [0, 420, 90, 478], [0, 100, 300, 400]], np.float32)
    classes = np.array([0, 0, 0, 1])
    attrs = {
        0: ClusterParams(
            detected_min_w=20, detected_min_h=20, detected_max_w=200, detected_max_h=200, roi_top_offset=4
        ),
        1: ClusterParams(detected_max_w=200),
    }
    assert within_limits(boxes, classes, 480, attrs).tolist() == [True, False, True, False]
    edges = ClusterParams(roi_top_offset=10, roi_bottom_offset=5)
    assert within_limits(boxes, classes, 480, edges).tolist() == [False, True, False, True]
    assert within_limits(boxes[:0], classes[:0], 480, edges).tolist() == []
