"""Slow, plain versions to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, classes: np.ndarray | None = None) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i))
    kept: list[int] = []
    for i in order:
        rivals = [j for j in kept if classes is None or classes[i] == classes[j]]
        if all(iou(boxes[i].tolist(), boxes[j].tolist()) <= threshold for j in rivals):
            kept.append(i)
    return kept


def rows_to_objects(
    array: np.ndarray, threshold: float, overlap: float, classes: int, has_object: bool
) -> list[tuple[int, float, list[float], list[float]]]:
    """(class, score, box, the rest of the row) of (A, 4 + [1] + C + extra) rows, one row at a time."""
    first = 5 if has_object else 4
    found = []
    for row in array:
        table = row[first : first + classes]
        best = int(table.argmax())
        score = float(table[best] * (row[4] if has_object else 1))
        if score < threshold:
            continue
        cx, cy, w, h = row[:4]
        box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        found.append((best, score, [float(v) for v in box], row[first + classes :].tolist()))
    boxes = np.array([f[2] for f in found]).reshape(-1, 4)
    kept = nms(boxes, np.array([f[1] for f in found]), overlap, np.array([f[0] for f in found]))
    return [found[i] for i in kept]
