"""What a smart recording keeps of the past: plain Python, no GStreamer.

Encoded frames of a source get a place on one timeline that never goes back, whatever the source does: a file that
starts over and an RTSP source that was connected again simply go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable
from typing import Any, NamedTuple

SECOND = 1_000_000_000
_REORDER = SECOND  # presentation times may go back this far without a new start
_JUMP = 10 * SECOND  # a larger step forward that did not take its time is a seek


class Encoded(NamedTuple):
    """One encoded frame.

    Attributes:
        kind: ``"video"`` or ``"audio"``.
        time: place on the timeline in nanoseconds, in decoding order.
        shift: what to add to the frame's own timestamps to get there, in nanoseconds.
        key: whether decoding can start here; audio always can.
        fresh: whether this is the first frame of its kind after a new start of the source.
        form: what must stay the same within one file: media type, size and decoder configuration.
        data: the frame itself.
    """

    kind: str
    time: int
    shift: int
    key: bool
    fresh: bool
    form: Hashable
    data: Any


class Timeline:
    """Gives each frame its place."""

    def __init__(self) -> None:
        self.newest = -1
        self._shown = -1  # the latest presentation time, which B-frames let run ahead
        self._offset = 0
        self._step = SECOND // 25
        self._arrived = 0.0

    def place(self, running: int, shown: int | None = None) -> int:
        """Where a frame goes.

        Args:
            running: running time of its decoding in nanoseconds.
            shown: running time of its presentation, when it is another.
        """
        later = max(0, shown - running) if shown is not None else 0
        now = time.monotonic()
        at = running + self._offset
        if self.newest < 0:
            self._offset, at = -running, 0
        else:
            ahead = at - self.newest
            waited = int((now - self._arrived) * SECOND)
            if ahead < -_REORDER or (ahead > _JUMP and waited < ahead // 2):
                at = max(self.newest, self._shown - later) + self._step
                self._offset = at - running
            elif 0 < ahead < SECOND:
                self._step = ahead
        self.newest = max(self.newest, at)
        self._shown = max(self._shown, at + later)
        self._arrived = now
        return at


class RecordCache:
    """The last seconds of a source's encoded frames, from a key frame on.

    Args:
        seconds: length of the cache.
    """

    def __init__(self, seconds: int) -> None:
        self.span = seconds * SECOND
        self._frames: deque[Encoded] = deque()
        self._has_video = False

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def newest(self) -> int:
        """Time of the last frame in nanoseconds, -1 without one."""
        return self._frames[-1].time if self._frames else -1

    def add(self, frame: Encoded) -> None:
        """Keep a frame and drop what has become too old, with the frames that cannot be decoded without it."""
        self._has_video = self._has_video or frame.kind == "video"
        self._frames.append(frame)
        oldest = frame.time - self.span
        if self._frames[0].time < oldest:
            while self._frames and self._frames[0].time < oldest:
                self._frames.popleft()
        while self._frames and not self._begins(self._frames[0]):
            self._frames.popleft()

    def _begins(self, frame: Encoded) -> bool:
        return frame.key and (frame.kind == "video" or not self._has_video)

    def history(self, seconds: int) -> list[Encoded]:
        """The frames of the last ``seconds``, from the first key frame among them on; may be empty."""
        since = self.newest - seconds * SECOND
        frames = [frame for frame in self._frames if frame.time >= since]
        for index, frame in enumerate(frames):
            if self._begins(frame):
                return frames[index:]
        return []
