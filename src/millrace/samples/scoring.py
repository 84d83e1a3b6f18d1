"""Scores of detectors and classifiers on the street: average precision and accuracy, in plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from millrace.samples.drawing import Array
from millrace.samples.evaluate import overlap
from millrace.samples.street import Street, Thing

HELD_OUT_SEED = 900_000_000
"""Streets from this seed on are never trained on."""

SEEN = 0.35
"""Things of which less than this share is seen are neither asked for nor counted as false alarms."""


@dataclass(frozen=True)
class Found:
    """Detections in one frame: boxes (N, 4) left, top, width, height in frame pixels, scores (N,), class_ids (N,)."""

    boxes: Array
    scores: Array
    class_ids: npt.NDArray[np.int64]


def asked_for(thing: Thing, height: int) -> bool:
    """Whether a detector must find it: enough of it is seen and it is not tiny for a picture of `height` rows."""
    return thing.visible >= SEEN and thing.box[3] >= 0.022 * height and thing.box[2] >= 0.011 * height


def suppress(boxes: Array, scores: Array, iou: float = 0.5) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression of boxes (N, 4): the rows kept, best first."""
    alive, chosen = np.ones(len(boxes), bool), []
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    for k in range(len(order)):
        if alive[k]:
            chosen.append(int(order[k]))
            alive[k + 1 :] &= overlap(boxes[k : k + 1], boxes[k + 1 :])[0] <= iou
    return np.array(chosen, np.int64)


def decode_grid(
    coverage: npt.NDArray[np.float32], bbox: npt.NDArray[np.float32], size: tuple[int, int], threshold: float = 0.05
) -> Found:
    """DetectNet_v2's grids to boxes after NMS, in network pixels.

    coverage: (C, h, w) scores; bbox: (4C, h, w) distances from a cell's corner over 35; size: network width, height.
    """
    classes, rows, columns = np.nonzero(coverage >= threshold)
    scores = coverage[classes, rows, columns].astype(np.float64)
    sides = 35.0 * bbox.reshape(-1, 4, *bbox.shape[1:])[classes, :, rows, columns].astype(np.float64)
    x = columns * size[0] / coverage.shape[2] + 0.5
    y = rows * size[1] / coverage.shape[1] + 0.5
    low, high = np.stack([x - sides[:, 0], y - sides[:, 1]], 1), np.stack([x + sides[:, 2], y + sides[:, 3]], 1)
    boxes = np.concatenate([low, np.maximum(high - low, 0.1)], axis=1)
    kept: list[int] = []
    for c in np.unique(classes):
        members = np.nonzero(classes == c)[0]
        kept.extend(members[suppress(boxes[members], scores[members])].tolist())
    return Found(boxes[kept], scores[kept], classes[kept].astype(np.int64))


def average_precision(
    found: Sequence[Found], truth: Sequence[Sequence[Thing]], height: int, class_id: int, iou: float = 0.5
) -> float:
    """Area under the precision-recall curve of one class over frames (all points), nan when none is asked for."""
    rows: list[tuple[float, int]] = []
    wanted = 0
    for detections, things in zip(found, truth, strict=True):
        members = [t for t in things if t.class_id == class_id]
        must = np.array([asked_for(t, height) for t in members], bool)
        wanted += int(must.sum())
        mine = np.nonzero(detections.class_ids == class_id)[0]
        mine = mine[np.argsort(-detections.scores[mine], kind="stable")]
        ious = overlap(detections.boxes[mine], np.array([t.box for t in members], np.float64).reshape(-1, 4))
        taken = np.zeros(len(members), bool)
        for k, row in enumerate(mine):
            # A thing that must be found is matched before one that may be ignored.
            free = np.where(taken, 0.0, ious[k]) if len(members) else np.zeros(0)
            good = np.nonzero((free >= iou) & must)[0]
            if len(good):
                taken[good[np.argmax(free[good])]] = True
                rows.append((float(detections.scores[row]), 1))
            elif not ((ious[k] >= iou) & ~must).any():
                rows.append((float(detections.scores[row]), 0))
    if not wanted:
        return float("nan")
    rows.sort(key=lambda r: -r[0])
    hits = np.cumsum([r[1] for r in rows]) if rows else np.zeros(0)
    precision = hits / np.arange(1, len(rows) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.array([r[1] for r in rows], bool)
    return float(precision[steps].sum() / wanted) if len(rows) else 0.0


def mean_average_precision(
    found: Sequence[Found], truth: Sequence[Sequence[Thing]], height: int, class_ids: Sequence[int] = (0, 1, 2, 3)
) -> tuple[float, list[float]]:
    """(mean over classes, each class's average precision)."""
    each = [average_precision(found, truth, height, c) for c in class_ids]
    return float(np.nanmean(each)), each


def held_out(
    streets: int, frames: int = 4, width: int = 1280, height: int = 720
) -> list[tuple[npt.NDArray[np.uint8], list[Thing]]]:
    """Frames of streets that were never trained on."""
    shots = []
    for k in range(streets):
        street = Street(HELD_OUT_SEED + k, width, height)
        shots += [street.frame(2.3 * n + 0.4) for n in range(frames)]
    return shots


def worth_classifying(thing: Thing) -> bool:
    """A vehicle seen well and large enough for a secondary: 64 pixels a side, four fifths in sight."""
    return thing.class_id == 0 and thing.visible >= 0.8 and min(thing.box[2:]) >= 64
