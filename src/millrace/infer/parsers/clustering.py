"""Clustering of raw detections: Gst-nvinfer's ``cluster-mode`` values with their per-class keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import ConfigError

from .boxes import iou_matrix, nms
from .results import AnyArray, Detections, FloatArray, IntArray

GROUP_RECTANGLES, DBSCAN, NMS, HYBRID, NONE = range(5)

# OpenCV's grouping keeps no confidences; this value tells applications so.
FARTHEST = np.float32(1e9)  # pixels; widths up to here fit OpenCV's integer rectangles
NO_CONFIDENCE = -0.1

# What takes groupRectangles' place where nothing is to be grouped: DeepStream built without OpenCV does the same.
FALLBACK_IOU, FALLBACK_TOPK = 0.5, 20

# DBSCAN drops clusters whose box is large for its number of members: sqrt(area) / (members + 1) above this.
ATHR_LIMIT = 60.0


@dataclass(frozen=True)
class ClusterParams:
    """The ``[class-attrs-*]`` keys of one class, with Gst-nvinfer's defaults.

    Attributes:
        pre_cluster_threshold: least score before clustering.
        post_cluster_threshold: scores after clustering are above it (modes 2, 3) or at least it (mode 1).
        eps: how far boxes of one group may differ (modes 0, 1, 3).
        group_threshold: a group needs more than so many boxes (mode 0); 0 takes suppression instead.
        minBoxes: least number of boxes around a core box (modes 1, 3); 0 leaves the boxes as they are.
        dbscan_min_score: least sum of a cluster's scores (mode 1).
        nms_iou_threshold: overlap above which the weaker box goes (modes 2, 3).
        topk: most objects of the class, -1 for all (modes 1 to 4).
        roi_top_offset: rows at the frame's top where objects are dropped, pixels of the frame.
        roi_bottom_offset: the same at the bottom.
        detected_min_w: least width in pixels of the frame; 0 for any.
        detected_min_h: least height.
        detected_max_w: greatest width; 0 for any.
        detected_max_h: greatest height; 0 for any.
    """

    pre_cluster_threshold: float = 0.2
    post_cluster_threshold: float = 0.0
    eps: float = 0.0
    group_threshold: int = 0
    minBoxes: int = 0
    dbscan_min_score: float = 0.0
    nms_iou_threshold: float = 0.3
    topk: int = -1
    roi_top_offset: int = 0
    roi_bottom_offset: int = 0
    detected_min_w: int = 0
    detected_min_h: int = 0
    detected_max_w: int = 0
    detected_max_h: int = 0

    @classmethod
    def of(cls, attrs: Any) -> ClusterParams:
        """Read any object with some of these attributes; what it lacks, or holds as None, is the default."""
        if isinstance(attrs, cls):
            return attrs
        values = {f.name: getattr(attrs, f.name, None) for f in fields(cls)}
        if values["minBoxes"] is None:
            values["minBoxes"] = getattr(attrs, "min_boxes", None)
        return cls(**{name: value for name, value in values.items() if value is not None})


AttrsSource = Mapping[int, Any] | Callable[[int], Any] | ClusterParams


def _lookup(attrs: AttrsSource) -> Callable[[int], ClusterParams]:
    if isinstance(attrs, ClusterParams):
        return lambda class_id: attrs
    if isinstance(attrs, Mapping):
        # -1 stands for [class-attrs-all].
        return lambda class_id: ClusterParams.of(attrs.get(class_id, attrs.get(-1, ClusterParams())))
    return lambda class_id: ClusterParams.of(attrs(class_id))


def pre_cluster_thresholds(attrs: AttrsSource, num_classes: int) -> FloatArray:
    """(classes,) float32 pre-cluster thresholds, as parsers take them."""
    lookup = _lookup(attrs)
    return np.array([lookup(c).pre_cluster_threshold for c in range(num_classes)], np.float32)


def cluster(dets: Detections, mode: int, attrs: AttrsSource) -> Detections:
    """Group the raw detections of one picture, class by class.

    Args:
        dets: raw detections.
        mode: ``cluster-mode``: 0 OpenCV groupRectangles (without ``group-threshold`` suppression at IoU 0.5 and
            at most 20 objects), 1 DBSCAN, 2 non-maximum suppression, 3 DBSCAN then suppression, 4 none.
        attrs: per-class keys: a function of the class number, a mapping (-1 for all others), or one value
            for all. Values are :class:`ClusterParams` or objects with its attribute names.

    Returns:
        Objects by class number; in modes 2 and 3, and where ``topk`` counts, by falling score, else in the order
        found. Scores of groups (mode 0) are -0.1. Where boxes are merged (modes 0 and 1), keypoints and masks are
        those of the source box that overlaps the merged one most.

    Raises:
        ConfigError: ``mode`` is not 0 to 4.
    """
    if mode not in _METHODS:
        raise ConfigError(
            f"cluster-mode={mode} does not exist; use 0 (groupRectangles), 1 (DBSCAN), 2 (NMS), "
            "3 (DBSCAN then NMS) or 4 (none)"
        )
    dets = _within_reach(dets)
    if len(dets) == 0:
        return dets
    lookup = _lookup(attrs)
    method = _METHODS[mode]
    parts: list[Detections] = []
    for class_id in np.unique(dets.class_ids):
        params = lookup(int(class_id))
        chosen = (dets.class_ids == class_id) & (dets.scores >= params.pre_cluster_threshold)
        part = dets.take(np.flatnonzero(chosen))
        if len(part) == 0:
            continue
        parts.append(method(part, params))
    return Detections.concatenate(parts) if parts else dets.take(np.zeros(0, np.int64))


def _within_reach(dets: Detections) -> Detections:
    """Boxes that are no numbers are dropped, those with corners too far off for their area to be one are cut."""
    if (np.abs(dets.boxes) <= FARTHEST).all():
        return dets
    known = dets.take(np.flatnonzero(~np.isnan(dets.boxes).any(axis=1)))
    return replace(known, boxes=known.boxes.clip(-FARTHEST, FARTHEST))


def within_limits(
    boxes: AnyArray, class_ids: AnyArray, frame_height: float, attrs: AttrsSource, *, offsets: bool = True
) -> npt.NDArray[np.bool_]:
    """Which objects the size limits and the top and bottom offsets of their classes allow.

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels of the frame.
        class_ids: (N,).
        frame_height: pixels.
        attrs: as for :func:`cluster`.
        offsets: look at ``roi-top-offset`` and ``roi-bottom-offset``, not at the sizes only.
    """
    keep = np.ones(len(boxes), bool)
    if len(boxes) == 0:
        return keep
    lookup = _lookup(attrs)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    for class_id in np.unique(class_ids):
        p = lookup(int(class_id))
        ok = (width >= p.detected_min_w) & (height >= p.detected_min_h)
        if p.detected_max_w > 0:
            ok &= width <= p.detected_max_w
        if p.detected_max_h > 0:
            ok &= height <= p.detected_max_h
        if offsets and p.roi_top_offset > 0:
            ok &= boxes[:, 1] >= p.roi_top_offset
        if offsets and p.roi_bottom_offset > 0:
            ok &= boxes[:, 3] <= frame_height - p.roi_bottom_offset
        keep &= ok | (class_ids != class_id)
    return keep


def crop_to_offsets(boxes: FloatArray, class_ids: AnyArray, frame_height: float, attrs: AttrsSource) -> FloatArray:
    """The parts of boxes between ``roi-top-offset`` and ``roi-bottom-offset`` (``crop-objects-to-roi-boundary``).

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels of the frame.
        class_ids: (N,).
        frame_height: pixels.
        attrs: as for :func:`cluster`.

    Returns:
        (N, 4); boxes outside have no height.
    """
    lookup, out = _lookup(attrs), boxes.copy()
    for class_id in np.unique(class_ids):
        p, members = lookup(int(class_id)), class_ids == class_id
        out[members, 1::2] = boxes[members, 1::2].clip(p.roi_top_offset, max(0, frame_height - p.roi_bottom_offset))
    return out


def _merged(source: Detections, boxes: FloatArray, scores: FloatArray) -> Detections:
    nearest = np.zeros(0, np.int64) if len(boxes) == 0 else iou_matrix(boxes, source.boxes).argmax(axis=1)
    taken = source.take(nearest)
    return Detections(boxes, scores, taken.class_ids, taken.keypoints, taken.masks)


def group_rectangles(
    rects: AnyArray, group_threshold: int, eps: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """What OpenCV's groupRectangles does (OpenCV 5 has it no more).

    Rectangles whose four edges differ by at most eps x (lesser width + lesser height) / 2 are of one group, and so
    are chains of them. A group's mean replaces it; groups of up to ``group_threshold`` rectangles go, and so do
    weak groups inside stronger ones.

    Args:
        rects: (N, 4) int32 left, top, width, height.
        group_threshold: 0 or less returns the rectangles as they are.
        eps: see above.

    Returns:
        (M, 4) int32 rectangles and (M,) int32 counts.
    """
    if group_threshold <= 0 or len(rects) == 0:
        return np.asarray(rects, np.int32).reshape(-1, 4), np.ones(len(rects), np.int32)
    labels = _linked(_similar(np.asarray(rects, np.float64), eps))
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), 4))
    np.add.at(sums, labels, rects)
    # In single precision as OpenCV does, so that halves round the same way.
    share = np.float32(1.0) / counts.astype(np.float32)
    means = np.rint(sums.astype(np.float32) * share[:, None]).astype(np.int32)
    strong = counts > group_threshold
    means, counts = means[strong], counts[strong]
    # Row i is inside column j, give or take eps of j's size.
    slack = np.rint(means[None, :, 2:] * eps)
    corners = means[:, :2] + means[:, 2:]
    inside = (means[:, None, :2] >= means[None, :, :2] - slack).all(axis=2)
    inside &= (corners[:, None] <= corners[None, :] + slack).all(axis=2)
    weaker = (counts[None, :] > np.maximum(3, counts[:, None])) | (counts[:, None] < 3)
    np.fill_diagonal(inside, False)
    keep = ~(inside & weaker).any(axis=1)
    return means[keep], counts[keep].astype(np.int32)


def _similar(rects: AnyArray, eps: float) -> npt.NDArray[np.bool_]:
    edges = np.concatenate([rects[:, :2], rects[:, :2] + rects[:, 2:]], axis=1)
    least = np.minimum(rects[:, None, 2:], rects[None, :, 2:])
    allowed = eps * least.sum(axis=2) * 0.5
    return np.asarray((np.abs(edges[:, None] - edges[None, :]) <= allowed[..., None]).all(axis=2))


def _linked(near: npt.NDArray[np.bool_]) -> IntArray:
    """Numbers of the connected parts of a symmetric (N, N) relation, by their first member."""
    labels = np.full(len(near), -1, np.int64)
    number = 0
    for start in range(len(near)):
        if labels[start] >= 0:
            continue
        front = np.zeros(len(near), bool)
        front[start] = True
        while front.any():
            labels[front] = number
            front = near[front].any(axis=0) & (labels < 0)
        number += 1
    return labels


def _group_rectangles(dets: Detections, params: ClusterParams) -> Detections:
    if params.group_threshold <= 0:
        return _nms(dets, replace(params, nms_iou_threshold=FALLBACK_IOU, topk=FALLBACK_TOPK))
    # Left, top, width and height lose their fractions one by one, as OpenCV's integer rectangles do.
    rects = np.concatenate([dets.boxes[:, :2], dets.boxes[:, 2:] - dets.boxes[:, :2]], axis=1).astype(np.int32)
    boxes = group_rectangles(rects, params.group_threshold, params.eps)[0].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return _merged(dets, boxes, np.full(len(boxes), NO_CONFIDENCE, np.float32))


def dbscan(boxes: AnyArray, eps: float, min_boxes: int) -> IntArray:
    """Density clustering of boxes with 1 - IoU as distance, as ``NvDsInferDBScanCluster`` does it.

    A core box has at least ``min_boxes`` boxes nearer than ``eps``, itself included. In their order, each core box
    that no cluster has taken starts one and takes the core boxes near it; a cluster grows by one step only, and boxes
    that are not core belong to none.

    Args:
        boxes: (N, 4) left, top, right, bottom.
        eps: boxes are neighbours when 1 - IoU is less than this.
        min_boxes: see above.

    Returns:
        (N,) cluster numbers from 0; -1 for boxes that belong to none.
    """
    near = np.float32(1.0) - iou_matrix(boxes, boxes) < np.float32(eps)
    np.fill_diagonal(near, False)
    core = near.sum(axis=1) + 1 >= min_boxes
    labels = np.full(len(boxes), -1, np.int64)
    number = 0
    for start in np.flatnonzero(core):
        if labels[start] < 0:
            labels[start] = number
            labels[near[start] & core & (labels < 0)] = number
            number += 1
    return labels


def _dbscan(dets: Detections, params: ClusterParams) -> Detections:
    if params.minBoxes > 0:
        labels = dbscan(dets.boxes, params.eps, params.minBoxes)
        merged = [_mean(dets, labels == number, params) for number in range(int(labels.max(initial=-1)) + 1)]
        found = [item for item in merged if item is not None]
        boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
        dets = _merged(dets, boxes, np.array([score for _, score in found], np.float32))
    return _surest(dets.take(dets.scores >= params.post_cluster_threshold), params.topk)


def _mean(dets: Detections, members: npt.NDArray[np.bool_], params: ClusterParams) -> tuple[FloatArray, float] | None:
    """A cluster's box, the mean weighted by score, and its best score; None when it is too weak or too sparse."""
    scores = dets.scores[members]
    total = float(scores.sum(dtype=np.float64))
    if total < params.dbscan_min_score or total <= 0.0:
        return None
    box = np.asarray((dets.boxes[members] * scores[:, None]).sum(axis=0) / total, np.float32)
    side = float(np.sqrt(max(0.0, float((box[2] - box[0]) * (box[3] - box[1])))))
    return None if side / (len(scores) + 1) > ATHR_LIMIT else (box, float(scores.max()))


def _surest(dets: Detections, topk: int) -> Detections:
    return dets if topk < 0 else dets.take(np.argsort(-dets.scores, kind="stable")[:topk])


def _nms(dets: Detections, params: ClusterParams) -> Detections:
    kept = dets.take(nms(dets.boxes, dets.scores, params.nms_iou_threshold))
    # More than the threshold, where DBSCAN asks for no less: so in DeepStream.
    return _surest(kept.take(kept.scores > params.post_cluster_threshold), params.topk)


def _hybrid(dets: Detections, params: ClusterParams) -> Detections:
    if params.minBoxes > 0:
        dets = dets.take(np.flatnonzero(dbscan(dets.boxes, params.eps, params.minBoxes) >= 0))
    return _nms(dets, params)


def _none(dets: Detections, params: ClusterParams) -> Detections:
    return _surest(dets, params.topk)


_METHODS: dict[int, Callable[[Detections, ClusterParams], Detections]] = {
    GROUP_RECTANGLES: _group_rectangles,
    DBSCAN: _dbscan,
    NMS: _nms,
    HYBRID: _hybrid,
    NONE: _none,
}
