"""How nvstreammux forms batches: plain Python, no GStreamer.

Producers (one thread a source) put frames; one consumer takes rounds. A source gives at most one frame to a batch, as a
tiled picture shows no more, and a batch is full when every source that still runs has given one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ..surface import Surface

GRACE_S = 1.0  # without a timeout the other sources wait this long for a silent one
QUEUE_FRAMES = 4


class Frame(NamedTuple):
    """One frame of one source.

    Attributes:
        surface: the picture, already at the muxer's resolution when it has one.
        pts: the source's presentation timestamp in nanoseconds.
        running_time: the same in the pipeline's running time.
        duration: nanoseconds, or GStreamer's none.
        ntp: wall-clock nanoseconds since the epoch, 0 when unknown.
        source_size: (width, height) as the source sent it, in pixels.
        number: index of the frame within its source, from 0.
    """

    surface: Surface
    pts: int
    running_time: int
    duration: int
    ntp: int
    source_size: tuple[int, int]
    number: int


@dataclass
class Source:
    """The queue of one source."""

    index: int
    frames: deque[Frame] = field(default_factory=deque)
    ended: bool = False
    announced: bool = False
    flushing: bool = False
    count: int = 0


class Round(NamedTuple):
    """What the consumer gets: frames of one batch, then the sources that ended, then whether all have.

    ``holds`` is :attr:`Batcher.holds` at that time: a round with an older number is one of before a flush.
    """

    frames: list[tuple[int, Frame]]
    ended: list[int]
    finished: bool
    holds: int = 0


class Batcher:
    """Collects frames of many sources into batches.

    Args:
        batch_size: frames in a full batch; 0 means as many as there are sources.
        timeout_s: seconds after the first frame of a batch until it goes incomplete; negative means :data:`GRACE_S`.
        sync: form batches of frames with the same running time.
        max_latency_s: with ``sync``, seconds to wait for a source that is late.
        live: the sources are live: a fast one does not wait for slow ones.
    """

    def __init__(
        self, batch_size: int = 0, timeout_s: float = -1.0, sync: bool = False, max_latency_s: float = 0.0
    ) -> None:
        self.batch_size = batch_size
        self.timeout_s = timeout_s
        self.sync = sync
        self.max_latency_s = max_latency_s
        self.sources: dict[int, Source] = {}
        self._changed = threading.Condition()
        self.live = False
        self._stopped = True
        self._held = False
        self.holds = 0  # counts calls of hold(True)
        self._finished = False  # whether the consumer knows that all sources have ended
        self._next = 0

    # Producers -----------------------------------------------------------------------------------------------------

    def add(self, index: int) -> None:
        """A source joins."""
        with self._changed:
            self.sources[index] = Source(index)
            self._finished = False
            self._changed.notify_all()

    def remove(self, index: int) -> None:
        """A source leaves; what it queued is dropped."""
        with self._changed:
            self.sources.pop(index, None)
            self._changed.notify_all()

    def put(self, index: int, frame: Frame) -> bool:
        """Queue a frame; waits while the source's queue is full. False when stopped, flushed or ended."""
        with self._changed:
            source = self.sources.get(index)
            while source is not None and not self._stopped and len(source.frames) >= QUEUE_FRAMES:
                if source.flushing:
                    return False
                self._changed.wait()
                source = self.sources.get(index)
            if source is None or self._stopped or source.ended or source.flushing:
                return False
            source.frames.append(frame)
            self._changed.notify_all()
            return True

    def number(self, index: int) -> int:
        """The next frame number of a source."""
        source = self.sources.get(index)
        if source is None:
            return 0  # it has just left
        source.count += 1
        return source.count - 1

    def renumber(self, index: int) -> None:
        """The next frame of a source is its first one again."""
        source = self.sources.get(index)
        if source is not None:
            source.count = 0

    def end(self, index: int) -> None:
        """A source has no more frames."""
        with self._changed:
            if index in self.sources:
                self.sources[index].ended = True
                self._changed.notify_all()

    def flush(self, index: int, flushing: bool) -> None:
        """A source drops what it queued; until the flush ends it takes no more. Then it starts again."""
        with self._changed:
            source = self.sources.get(index)
            if source is not None:
                source.frames.clear()
                source.flushing = flushing
                source.ended = source.announced = self._finished = False
                self._changed.notify_all()

    def hold(self, held: bool) -> None:
        """Give no rounds, and forget the one that is forming, until called with False."""
        with self._changed:
            self._held = held
            self.holds += held
            self._changed.notify_all()

    def resume(self, index: int) -> None:
        """A source that had ended sends a new stream; queued frames stay."""
        with self._changed:
            source = self.sources.get(index)
            if source is not None and source.ended:
                source.ended = source.announced = self._finished = False
                self._changed.notify_all()

    def start(self) -> None:
        """Accept frames."""
        with self._changed:
            self._stopped = self._finished = self._held = False
            for source in self.sources.values():
                source.frames.clear()
                source.ended = source.announced = source.flushing = False
                source.count = 0

    def stop(self) -> None:
        """Wake everybody up; nothing waits any longer."""
        with self._changed:
            self._stopped = True
            for source in self.sources.values():
                source.frames.clear()
            self._changed.notify_all()

    # Consumer ------------------------------------------------------------------------------------------------------

    def take(self) -> Round | None:
        """Wait for the next round; ``None`` when stopped."""
        with self._changed:
            picked = self._pick_synchronised() if self.sync else self._pick()
            if picked is None:
                return None
            ended = [s.index for s in self.sources.values() if s.ended and not s.frames and not s.announced]
            for index in ended:
                self.sources[index].announced = True
            self._finished = self._all_announced()
            return Round(picked, ended, self._finished, self.holds)

    def _active(self) -> list[Source]:
        return [s for s in self.sources.values() if s.frames or not s.ended]

    def _all_announced(self) -> bool:
        return bool(self.sources) and all(s.announced for s in self.sources.values())

    def _news(self) -> bool:
        if any(s.ended and not s.frames and not s.announced for s in self.sources.values()):
            return True
        return self._all_announced() and not self._finished  # the last one that ran was removed

    def _rotation(self) -> list[Source]:
        """Sources in round-robin order, from where the last batch stopped."""
        order = sorted(self.sources.values(), key=lambda s: s.index)
        start = next((i for i, s in enumerate(order) if s.index >= self._next), 0)
        return order[start:] + order[:start]

    def _pick(self) -> list[tuple[int, Frame]] | None:
        picked: dict[int, Frame] = {}
        deadline = 0.0
        while True:
            if self._stopped:
                return None
            if self._held:
                picked, deadline = {}, 0.0
                self._changed.wait()
                continue
            progress = False
            size = self.batch_size or len(self.sources)
            for source in self._rotation():
                if source.frames and source.index not in picked and len(picked) < size:
                    picked[source.index] = source.frames.popleft()
                    self._next = source.index + 1
                    progress = True
            if progress:
                deadline = deadline or time.monotonic() + (self.timeout_s if self.timeout_s >= 0 else GRACE_S)
                self._changed.notify_all()
            if picked and self._is_full(picked):
                break
            if not picked and self._news():
                break
            if picked and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            elif picked:
                break
            else:
                self._changed.wait()
        return sorted(picked.items())

    def _is_full(self, picked: dict[int, Frame]) -> bool:
        """Whether there is nothing to wait for: no more place, or no source that has not given its frame."""
        if self.batch_size and len(picked) >= self.batch_size:
            return True
        if all(source.index in picked for source in self._active()):
            return True
        # a live source that has its next frame ready cannot wait for slower ones
        return self.live and any(source.frames for source in self._active() if source.index in picked)

    def _pick_synchronised(self) -> list[tuple[int, Frame]] | None:
        deadline = 0.0
        patience = max(self.max_latency_s, self.timeout_s, 0.05)
        while True:
            if self._stopped:
                return None
            if self._held:
                deadline = 0.0
                self._changed.wait()
                continue
            if self._news():
                heads = [s for s in self.sources.values() if s.frames]
                if not heads:
                    return []
            active = self._active()
            ready = [s for s in active if s.frames]
            if ready and (len(ready) == len(active) or (deadline and time.monotonic() >= deadline)):
                break
            if not ready:
                deadline = 0.0
            elif not deadline:
                deadline = time.monotonic() + patience
            self._changed.wait(deadline - time.monotonic() if deadline else None)
        first = min(s.frames[0].running_time for s in ready)
        near = min(min(s.frames[0].duration or 40_000_000, 100_000_000) for s in ready) // 2
        size = self.batch_size or max(1, len(active))
        picked: list[tuple[int, Frame]] = []
        for source in sorted(ready, key=lambda s: s.frames[0].running_time):
            if len(picked) < size and source.frames[0].running_time <= first + near:
                picked.append((source.index, source.frames.popleft()))
        self._changed.notify_all()
        picked.sort(key=lambda item: item[0])
        return picked
