"""YOLO detectors: raw or decoded output tensors of one picture to detections before clustering."""

from __future__ import annotations

import logging

import numpy as np

from .boxes import cxcywh_to_ltrb
from .results import AnyArray, Detections, FloatArray, IntArray

log = logging.getLogger("millrace.infer")

YOLO_STRIDES = (8, 16, 32)


def grid_cells(width: int, height: int, strides: tuple[int, ...] = YOLO_STRIDES) -> int:
    """Number of grid cells over all strides for a network of this size in pixels."""
    return sum((width // s) * (height // s) for s in strides)


def passing(scores: AnyArray, class_ids: AnyArray, thresholds: AnyArray, keep: AnyArray | None = None) -> IntArray:
    """Row numbers whose score reaches their class's threshold; classes without a threshold never do.

    Args:
        scores: (N,).
        class_ids: (N,) integers.
        thresholds: (classes,) pre-cluster thresholds.
        keep: (N,) further condition.
    """
    valid = (class_ids >= 0) & (class_ids < len(thresholds))
    if keep is not None:
        valid &= keep
    return np.flatnonzero(valid & (scores >= thresholds[np.where(valid, class_ids, 0)]))


def select(
    boxes: FloatArray,
    scores: AnyArray,
    class_ids: AnyArray,
    thresholds: AnyArray,
    keep: AnyArray | None = None,
) -> Detections:
    """Detections of the rows that :func:`passing` names; ``boxes`` is (N, 4) left, top, right, bottom."""
    ids = np.asarray(class_ids, dtype=np.int64)
    index = passing(scores, ids, thresholds, keep)
    return Detections(boxes[index], np.asarray(scores[index], dtype=np.float32), ids[index])


def decode_yolov8(array: AnyArray, thresholds: AnyArray) -> Detections:
    """YOLOv8 / v9 / v11 heads: (4 + C, A), boxes cx, cy, width, height in network pixels.

    Args:
        array: (4 + C, A); a transposed view is fine.
        thresholds: (C,) pre-cluster thresholds.
    """
    best = array[4:].max(axis=0)
    index = np.flatnonzero(best >= thresholds.min())
    if index.size == 0:
        return Detections.empty()
    columns = np.asarray(array[:, index], dtype=np.float32)
    return select(cxcywh_to_ltrb(columns[:4].T), best[index], columns[4:].argmax(axis=0), thresholds)


def decode_yolov5(array: AnyArray, thresholds: AnyArray) -> Detections:
    """YOLOv3 to v5 and v7 decoded heads: (A, 5 + C), cx, cy, width, height, object confidence, class scores.

    Args:
        array: (A, 5 + C) in network pixels.
        thresholds: (C,) pre-cluster thresholds, compared with object confidence x class score.
    """
    index = np.flatnonzero(array[:, 4] >= thresholds.min())
    if index.size == 0:
        return Detections.empty()
    rows = np.asarray(array[index], dtype=np.float32)
    class_ids = rows[:, 5:].argmax(axis=1)
    scores = rows[np.arange(len(rows)), 5 + class_ids] * rows[:, 4]
    return select(cxcywh_to_ltrb(rows[:, :4]), scores, class_ids, thresholds)


def decode_end2end(array: AnyArray, thresholds: AnyArray) -> Detections:
    """(N, 6) rows of left, top, right, bottom in network pixels, score, class (YOLOv10, YOLO26)."""
    index = np.flatnonzero(array[:, 4] >= thresholds.min())
    rows = np.asarray(array[index], dtype=np.float32)
    return select(rows[:, :4].copy(), rows[:, 4], np.rint(rows[:, 5]), thresholds)


class YoloxGrid:
    """YOLOX raw grid decoder for one network size.

    Args:
        width: network width in pixels.
        height: network height in pixels.
        strides: cell sizes in pixels, in the tensor's order.
    """

    def __init__(self, width: int, height: int, strides: tuple[int, ...] = YOLO_STRIDES) -> None:
        origins, cell = [], []
        for stride in strides:
            ys, xs = np.mgrid[0 : height // stride, 0 : width // stride]
            origins.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
            cell.append(np.full(xs.size, stride))
        self._width = width
        self._origin = np.concatenate(origins).astype(np.float32)
        self._stride = np.concatenate(cell).astype(np.float32)[:, None]
        self._decoded: bool | None = None

    def __call__(self, array: AnyArray, thresholds: AnyArray) -> Detections:
        """Decode (A, 5 + C) raw values: centre from the cell, log size in cells, confidences."""
        if self._decoded is None:
            # Some exports decode inside the graph in the same shape; centres then average half the width.
            self._decoded = bool(np.abs(array[:, 0].mean(dtype=np.float64)) > self._width / 8)
            if self._decoded:
                log.info("output boxes are decoded by the network already, grid and stride are not applied")
        if self._decoded:
            return decode_yolov5(array, thresholds)
        index = np.flatnonzero(array[:, 4] >= thresholds.min())
        if index.size == 0:
            return Detections.empty()
        rows = np.array(array[index], dtype=np.float32)
        stride = self._stride[index]
        rows[:, 0:2] = (rows[:, 0:2] + self._origin[index]) * stride
        rows[:, 2:4] = np.exp(rows[:, 2:4]) * stride
        return decode_yolov5(rows, thresholds)
