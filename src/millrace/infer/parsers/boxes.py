"""Box arithmetic and non-maximum suppression on NumPy arrays."""

from __future__ import annotations

import numpy as np

from .results import AnyArray, Detections, FloatArray, IntArray

# Up to here one IoU matrix is quicker than a row at a time; beyond it the matrix costs too much memory.
_MATRIX_LIMIT = 256


def cxcywh_to_ltrb(boxes: AnyArray) -> FloatArray:
    """(N, 4) centre x, centre y, width, height to (N, 4) left, top, right, bottom float32."""
    out = np.empty(boxes.shape, np.float32)
    half = boxes[:, 2:4] * np.float32(0.5)
    np.subtract(boxes[:, 0:2], half, out=out[:, 0:2])
    np.add(boxes[:, 0:2], half, out=out[:, 2:4])
    return out


def ltwh_to_ltrb(boxes: AnyArray) -> FloatArray:
    """(N, 4) left, top, width, height to (N, 4) left, top, right, bottom float32."""
    out = np.array(boxes, np.float32)
    out[:, 2:4] += out[:, 0:2]
    return out


def iou_matrix(a: AnyArray, b: AnyArray) -> FloatArray:
    """(N, M) intersection over union of (N, 4) and (M, 4) corner boxes; 0 for empty ones."""
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - left_top
    np.maximum(size, 0, out=size)
    inter = size[..., 0] * size[..., 1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = area_a[:, None] + area_b[None, :] - inter
    return np.divide(inter, union, out=np.zeros(inter.shape, np.float32), where=union > 0)


def nms(
    boxes: AnyArray,
    scores: AnyArray,
    iou: float = 0.45,
    class_ids: AnyArray | None = None,
    max_det: int | None = None,
) -> IntArray:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) left, top, right, bottom.
        scores: (N,); ties keep their order.
        iou: a box is dropped when it overlaps a kept one by more than this.
        class_ids: (N,); when given, boxes only suppress boxes of their own class.
        max_det: keep at most so many.

    Returns:
        (M,) int64 indices of the kept boxes, highest score first.
    """
    order = np.argsort(-scores, kind="stable")
    limit = len(order) if max_det is None else max_det
    if len(order) <= 1 or limit <= 0:
        return order[: max(limit, 0)]
    sorted_boxes = np.ascontiguousarray(boxes[order], dtype=np.float32)
    sorted_classes = None if class_ids is None else class_ids[order]
    keep = (
        _keep_by_matrix(sorted_boxes, sorted_classes, iou, limit)
        if len(order) <= _MATRIX_LIMIT
        else _keep_by_row(sorted_boxes, sorted_classes, iou, limit)
    )
    return order[keep]


def _keep_by_matrix(boxes: FloatArray, classes: AnyArray | None, iou: float, limit: int) -> list[int]:
    overlaps = iou_matrix(boxes, boxes) > iou
    if classes is not None:
        overlaps &= classes[:, None] == classes[None, :]
    alive = np.ones(len(boxes), bool)
    keep: list[int] = []
    for i in range(len(boxes)):
        if alive[i]:
            keep.append(i)
            if len(keep) >= limit:
                break
            # Rows before i are settled already, so the whole row may be cleared.
            alive &= ~overlaps[i]
    return keep


def _keep_by_row(boxes: FloatArray, classes: AnyArray | None, iou: float, limit: int) -> list[int]:
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    area = (right - left) * (bottom - top)
    rest = np.arange(len(boxes))
    keep: list[int] = []
    while len(rest):
        i = int(rest[0])
        keep.append(i)
        if len(keep) >= limit:
            break
        rest = rest[1:]
        width = np.minimum(right[rest], right[i]) - np.maximum(left[rest], left[i])
        height = np.minimum(bottom[rest], bottom[i]) - np.maximum(top[rest], top[i])
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        union = area[rest] + area[i] - inter
        ratio = np.divide(inter, union, out=np.zeros(inter.shape, np.float32), where=union > 0)
        overlap = ratio > iou
        if classes is not None:
            overlap &= classes[rest] == classes[i]
        rest = rest[~overlap]
    return keep


def nms_detections(
    dets: Detections, iou: float = 0.45, max_det: int | None = None, per_class: bool = True
) -> Detections:
    """:func:`nms` on :class:`Detections`: the kept objects, highest score first."""
    if len(dets) == 0:
        return dets
    return dets.take(nms(dets.boxes, dets.scores, iou, dets.class_ids if per_class else None, max_det))
