from __future__ import annotations

import warnings
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import ConfigError
from millrace.infer.parsers import (
    ClusterParams,
    Detections,
    cluster,
    crop_to_offsets,
    pre_cluster_thresholds,
    within_limits,
)
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


def test_the_post_cluster_threshold_is_above_for_nms_and_at_least_for_dbscan() -> None:
    dets = scene()
    limit = float(dets.scores[0])
    attrs = ClusterParams(nms_iou_threshold=0.5, post_cluster_threshold=limit, eps=0.3, minBoxes=2)
    assert len(cluster(dets, 2, attrs)) == 0
    assert len(cluster(dets, 3, attrs)) == 0
    assert rounded(cluster(dets, 1, attrs)) == [0.9]
    # Without clustering it has nothing to look at.
    assert len(cluster(dets, 4, attrs)) == 8


def test_the_pre_cluster_threshold_is_at_least() -> None:
    limit = float(scene().scores[4])
    assert rounded(cluster(scene(), 4, ClusterParams(pre_cluster_threshold=limit))) == [
        0.9,
        0.8,
        0.7,
        0.6,
        0.5,
        0.55,
        0.85,
    ]


def test_a_box_goes_only_when_it_overlaps_more_than_the_threshold() -> None:
    halves = Detections(
        np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32), np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    )
    assert len(cluster(halves, 2, ClusterParams(nms_iou_threshold=0.5))) == 2
    assert len(cluster(halves, 2, ClusterParams(nms_iou_threshold=0.49))) == 1


def test_no_clustering_keeps_the_order_unless_topk_counts() -> None:
    found = cluster(scene(), 4, ClusterParams())
    assert rounded(found) == [0.9, 0.8, 0.7, 0.6, 0.5, 0.55, 0.4, 0.85]
    assert rounded(cluster(scene(), 4, ClusterParams(topk=6))) == [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.85]


def test_group_rectangles() -> None:
    found = cluster(scene(), 0, ClusterParams(group_threshold=1, eps=0.2))
    assert found.boxes.tolist() == [[100, 100, 200, 200], [401, 101, 461, 181]]
    assert found.scores.tolist() == pytest.approx([-0.1, -0.1])
    assert found.class_ids.tolist() == [0, 0]
    # Neither topk nor the threshold on scores applies: groups have none.
    same = cluster(scene(), 0, ClusterParams(group_threshold=1, eps=0.2, topk=1, post_cluster_threshold=0.5))
    assert len(same) == 2
    # A group needs more boxes than the threshold.
    assert len(cluster(scene(), 0, ClusterParams(group_threshold=2, eps=0.2))) == 1
    assert len(cluster(scene(), 0, ClusterParams(group_threshold=4, eps=0.2))) == 0


def test_without_a_group_threshold_suppression_stands_in() -> None:
    # As in DeepStream without OpenCV: NMS at 0.5 and at most 20, whatever the class's keys are.
    keys = ClusterParams(nms_iou_threshold=0.99, topk=1)
    assert rounded(cluster(scene(), 0, keys)) == [0.9, 0.55, 0.4, 0.85]
    apart = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(30)], np.float32)
    many = Detections(apart, np.linspace(0.9, 0.5, 30, dtype=np.float32), np.zeros(30, np.int64))
    assert len(cluster(many, 0, ClusterParams())) == 20


def test_groups_are_of_integer_rectangles() -> None:
    boxes = np.array([[10.9, 10.9, 31.8, 31.8]] * 3, np.float32)
    found = cluster(
        Detections(boxes, np.full(3, 0.5, np.float32), np.zeros(3, np.int64)),
        0,
        ClusterParams(group_threshold=1, eps=0.2),
    )
    # 10.9 wide 20.9 becomes 10 wide 20.
    assert found.boxes.tolist() == [[10, 10, 30, 30]]


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
    # The mean of the corners, weighted by the scores.
    weights = scene().scores[:4, None]
    np.testing.assert_allclose(found.boxes[0], (scene().boxes[:4] * weights).sum(0) / weights.sum(), rtol=1e-6)
    # The sum of a cluster's scores decides as well: 3.0 and 1.05.
    assert len(cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=2, dbscan_min_score=1.04))) == 2
    assert len(cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=2, dbscan_min_score=1.06))) == 1
    assert len(cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=5))) == 0
    assert rounded(cluster(scene(), 1, ClusterParams(eps=0.3, minBoxes=2, topk=1))) == [0.9]


def test_dbscan_without_min_boxes_is_not_done() -> None:
    assert len(cluster(scene(), 1, ClusterParams(eps=0.3, post_cluster_threshold=0.6))) == 5
    assert rounded(cluster(scene(), 3, ClusterParams(eps=0.3, nms_iou_threshold=0.5))) == [0.9, 0.55, 0.4, 0.85]


def test_dbscan_drops_large_boxes_with_few_members() -> None:
    def heap(side: float, members: int) -> Detections:
        boxes = np.array([[0, 0, side, side]] * members, np.float32)
        return Detections(boxes, np.full(members, 0.5, np.float32), np.zeros(members, np.int64))

    keys = ClusterParams(eps=0.3, minBoxes=1)
    # sqrt(area) / (members + 1) is at most 60.
    assert len(cluster(heap(180, 2), 1, keys)) == 1
    assert len(cluster(heap(181, 2), 1, keys)) == 0
    assert len(cluster(heap(181, 3), 1, keys)) == 1
    # The hybrid merges nothing, so it has no such filter, nor the least sum of scores.
    assert len(cluster(heap(181, 2), 3, ClusterParams(eps=0.3, minBoxes=1, dbscan_min_score=9))) == 1


def test_dbscan_takes_core_boxes_one_step_around() -> None:
    # IoU of neighbours is 70 / 130, so the distance is 0.46.
    boxes = np.array([[i * 30, 0, i * 30 + 100, 100] for i in range(5)], np.float32)
    assert dbscan(boxes, 0.5, 2).tolist() == [0, 0, 1, 1, 2]
    # The ends have one neighbour only, so they are no core boxes and belong to nothing.
    assert dbscan(boxes, 0.5, 3).tolist() == [-1, 0, 0, 1, -1]
    assert dbscan(boxes, 0.46, 2).tolist() == [-1] * 5
    assert dbscan(boxes[:2], 0.5, 3).tolist() == [-1, -1]
    assert dbscan(boxes[:0], 0.5, 3).tolist() == []


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


def test_limits_are_within_the_range() -> None:
    boxes = np.array([[0, 10, 20, 30]], np.float32)
    classes = np.zeros(1, np.int64)

    def fits(**keys: int) -> bool:
        return bool(within_limits(boxes, classes, 40, ClusterParams(**keys))[0])

    assert fits(detected_min_w=20, detected_min_h=20, detected_max_w=20, detected_max_h=20)
    assert fits(roi_top_offset=10, roi_bottom_offset=10)
    assert not fits(detected_min_w=21)
    assert not fits(detected_min_h=21)
    assert not fits(detected_max_w=19)
    assert not fits(detected_max_h=19)
    assert not fits(roi_top_offset=11)
    assert not fits(roi_bottom_offset=11)


def test_cropping_to_the_offsets() -> None:
    boxes = np.array([[0, 10, 20, 30], [0, 0, 20, 4]], np.float32)
    keys = {0: ClusterParams(roi_top_offset=12, roi_bottom_offset=15), 1: ClusterParams()}
    assert crop_to_offsets(boxes, np.array([0, 1]), 40, keys).tolist() == [[0, 12, 20, 25], [0, 0, 20, 4]]
    # Nothing is left of a box outside.
    assert crop_to_offsets(boxes, np.array([0, 0]), 40, keys)[1].tolist() == [0, 12, 20, 12]


@pytest.mark.parametrize("mode", range(5))
def test_boxes_far_off_or_without_numbers_are_quiet(mode: int) -> None:
    far, nothing = np.float32(3e38), np.nan
    boxes = np.array([[0, 0, far, far], [-far, 0, np.inf, 9], [nothing, 0, 9, 9], [5, 5, 25, 25], [5, 5, 25, 25]])
    given = Detections(boxes.astype(np.float32), np.full(5, 0.9, np.float32), np.zeros(5, np.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster(given, mode, ClusterParams(group_threshold=1, minBoxes=1, eps=0.5))
    assert np.isfinite(found.boxes).all()
    assert any(np.allclose(box, [5, 5, 25, 25]) for box in found.boxes)
