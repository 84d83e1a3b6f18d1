"""An honest plain tracker: boxes of one class and stream are linked by overlap, nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The id of an object that is not tracked, as DeepStream's UNTRACKED_OBJECT_ID.
UNTRACKED: Final = 0xFFFFFFFFFFFFFFFF


def iou_matrix(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Intersection over union, (N, M), of boxes (N, 4) and (M, 4) given as left, top, width, height."""
    first, second = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    a0, a1 = first[:, None, :2], first[:, None, :2] + first[:, None, 2:]
    b0, b1 = second[None, :, :2], second[None, :, :2] + second[None, :, 2:]
    overlap = np.clip(np.minimum(a1, b1) - np.maximum(a0, b0), 0.0, None).prod(axis=2)
    union = first[:, None, 2:].prod(axis=2) + second[None, :, 2:].prod(axis=2) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _greedy(iou: Floats, threshold: float) -> tuple[list[int], list[int]]:
    """Pairs (rows, columns) in order of falling overlap, each row and column at most once."""
    rows, columns = np.nonzero(iou >= threshold)
    order = np.argsort(-iou[rows, columns], kind="stable")
    used_rows, used_columns = np.zeros(iou.shape[0], bool), np.zeros(iou.shape[1], bool)
    out_rows: list[int] = []
    out_columns: list[int] = []
    for r, c in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if not (used_rows[r] or used_columns[c]):
            used_rows[r] = used_columns[c] = True
            out_rows.append(r)
            out_columns.append(c)
    return out_rows, out_columns


@dataclass
class _Stream:
    """The tracks of one stream, one row each."""

    frame: int | None = None
    boxes: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    velocity: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    classes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ids: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    hits: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    missed: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        for name in ("boxes", "velocity", "classes", "ids", "hits", "missed"):
            setattr(self, name, getattr(self, name)[rows])


class IouTracker:
    """Greedy association by intersection over union, per stream and class, with constant velocity between frames.

    Args:
        iou_threshold: least overlap of a detection with a track's predicted box, above 0 to 1.
        max_age: frames that a track survives without a detection.
        min_hits: detections before a track's id is given out; until then objects are :data:`UNTRACKED`.
        motion: predict by the track's smoothed velocity; otherwise by its last box.
        first_id: the first id; ids count up from it and are unique over all streams of this tracker.

    Raises:
        ValueError: a parameter is out of range.
    """

    #: Weight of the newest step in the smoothed velocity.
    SMOOTHING: Final = 0.4

    def __init__(
        self,
        iou_threshold: float = 0.3,
        max_age: int = 30,
        min_hits: int = 1,
        motion: bool = True,
        first_id: int = 1,
    ) -> None:
        if not 0.0 < iou_threshold <= 1.0:
            raise ValueError(f"iou_threshold must be above 0 and at most 1, got {iou_threshold}")
        if max_age < 0 or min_hits < 1:
            raise ValueError(f"max_age must be 0 or more and min_hits 1 or more, got {max_age} and {min_hits}")
        if not 0 <= first_id < UNTRACKED:
            raise ValueError(f"first_id must be an unsigned 64-bit number below {UNTRACKED}, got {first_id}")
        self.iou_threshold, self.max_age, self.min_hits, self.motion = iou_threshold, max_age, min_hits, motion
        self._next = first_id
        self._streams: dict[Any, _Stream] = {}
        self._lock = threading.Lock()

    def update(
        self,
        stream_id: int,
        frame_num: int,
        boxes: npt.ArrayLike,
        class_ids: npt.ArrayLike,
        scores: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.uint64]:
        """Link one frame's detections to the stream's tracks.

        Args:
            stream_id: which stream the frame is of.
            frame_num: the frame's number; skipped numbers age the tracks, going back does not.
            boxes: (N, 4) left, top, width, height in pixels.
            class_ids: (N,) integers; tracks never change class.
            scores: (N,) confidences; of equal overlaps the surest detection is linked first.

        Returns:
            (N,) uint64 ids, all different but for :data:`UNTRACKED`, which boxes without a finite, positive area get.

        Raises:
            ValueError: the arrays' lengths differ.
        """
        detections = np.asarray(boxes, np.float64).reshape(-1, 4)
        classes = np.asarray(class_ids, np.int64).reshape(-1)
        count = len(detections)
        confidence = np.ones(count) if scores is None else np.asarray(scores, np.float64).reshape(-1)
        if len(classes) != count or len(confidence) != count:
            raise ValueError(f"{count} boxes, {len(classes)} class ids and {len(confidence)} scores do not match")
        ids = np.full(count, UNTRACKED, np.uint64)
        usable = np.isfinite(detections).all(axis=1) & (detections[:, 2:] > 0).all(axis=1)
        rows = np.flatnonzero(usable & (np.abs(detections) < 1e9).all(axis=1))
        rows = rows[np.argsort(-np.nan_to_num(confidence[rows]), kind="stable")]
        with self._lock:
            stream = self._streams.setdefault(stream_id, _Stream())
            ids[rows] = self._associate(stream, frame_num, detections[rows], classes[rows])
        return ids

    def _associate(
        self, stream: _Stream, frame_num: int, boxes: Floats, classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint64]:
        steps = 1 if stream.frame is None else max(frame_num - stream.frame, 1)
        stream.frame = frame_num
        stream.missed += steps
        stream.keep(stream.missed <= self.max_age + 1)
        predicted = stream.boxes.copy()
        if self.motion:
            predicted[:, :2] += stream.velocity * stream.missed[:, None]
        iou = iou_matrix(predicted, boxes)
        iou[stream.classes[:, None] != classes[None, :]] = 0.0
        tracks, found = _greedy(iou, self.iou_threshold)
        ids = np.full(len(boxes), UNTRACKED, np.uint64)
        if tracks:
            old, new = stream.boxes[tracks], boxes[found]
            moved = (new[:, :2] + new[:, 2:] / 2) - (old[:, :2] + old[:, 2:] / 2)
            speed = moved / stream.missed[tracks][:, None]
            stream.velocity[tracks] += self.SMOOTHING * (speed - stream.velocity[tracks])
            stream.boxes[tracks] = new
            stream.missed[tracks] = 0
            stream.hits[tracks] += 1
            sure = stream.hits[tracks] >= self.min_hits
            ids[np.array(found)[sure]] = stream.ids[tracks][sure]
        fresh = np.setdiff1d(np.arange(len(boxes)), found)
        if fresh.size:
            born = np.arange(fresh.size, dtype=np.uint64) + np.uint64(self._next)
            self._next += int(fresh.size)
            stream.boxes = np.concatenate([stream.boxes, boxes[fresh]])
            stream.velocity = np.concatenate([stream.velocity, np.zeros((fresh.size, 2))])
            stream.classes = np.concatenate([stream.classes, classes[fresh]])
            stream.ids = np.concatenate([stream.ids, born])
            stream.hits = np.concatenate([stream.hits, np.ones(fresh.size, np.int64)])
            stream.missed = np.concatenate([stream.missed, np.zeros(fresh.size, np.int64)])
            if self.min_hits == 1:
                ids[fresh] = born
        return ids

    def remove_stream(self, stream_id: int) -> None:
        """Forget a stream that ended; its ids are not used again. Unknown streams are ignored."""
        with self._lock:
            self._streams.pop(stream_id, None)

    def reset(self) -> None:
        """Forget all tracks of all streams; ids go on counting."""
        with self._lock:
            self._streams.clear()

    def active(self, stream_id: int) -> npt.NDArray[np.uint64]:
        """Ids of the stream's live tracks, found in the last frame or not."""
        with self._lock:
            stream = self._streams.get(stream_id)
            return np.zeros(0, np.uint64) if stream is None else stream.ids.copy()
