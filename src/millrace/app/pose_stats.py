"""What ``millrace pose`` counts and shows: frames, people, latency; a bar for each stream and a table at the end."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

_MOST_WAITING = 1000


@dataclass
class StreamStats:
    """Counts of one stream; times are seconds of the monotonic clock.

    Attributes:
        frames: frames that came out at the end.
        objects: people on all of these.
        current: people on the newest frame.
        position: timestamp of the newest frame, nanoseconds.
        duration: length of the stream in nanoseconds, 0 when it is not known.
    """

    name: str
    frames: int = 0
    objects: int = 0
    current: int = 0
    position: int = 0
    duration: int = 0
    error: str = ""
    first: float = 0.0
    last: float = 0.0
    latency_sum: float = 0.0
    latency_count: int = 0
    _arrived: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arrive(self, pts: int) -> None:
        """A decoded frame enters the pipeline."""
        with self._lock:
            if len(self._arrived) >= _MOST_WAITING:
                self._arrived.clear()  # timestamps that repeat or are missing never leave
            self._arrived[pts] = time.monotonic()

    def leave(self, pts: int, objects: int) -> None:
        """A finished frame leaves the pipeline with ``objects`` people on it."""
        now = time.monotonic()
        with self._lock:
            arrived = self._arrived.pop(pts, None)
            if arrived is not None:
                self.latency_sum += now - arrived
                self.latency_count += 1
            self.first = self.first or now
            self.last = now
            self.frames += 1
            self.objects += objects
            self.current = objects
            self.position = max(self.position, pts)

    @property
    def fps(self) -> float:
        """Frames a second between the first frame and the newest; 0 below two frames."""
        return (self.frames - 1) / (self.last - self.first) if self.frames > 1 and self.last > self.first else 0.0

    @property
    def latency_ms(self) -> float:
        """Mean time from the decoded to the finished frame, milliseconds."""
        return 1000 * self.latency_sum / self.latency_count if self.latency_count else 0.0


class Display:
    """A progress bar for each stream on stderr while the pipeline runs, when that is a terminal."""

    def __init__(self, streams: list[StreamStats]) -> None:
        self._streams = streams
        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._tasks: list[TaskID] = []

    def start(self) -> None:
        """Show the bars."""
        if not self._console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            refresh_per_second=4,
        )
        self._tasks = [self._progress.add_task(_shorten(stream.name), total=None, text="") for stream in self._streams]
        self._progress.start()

    def update(self) -> None:
        """Bring the bars up to date."""
        if self._progress is None:
            return
        for task, stream in zip(self._tasks, self._streams, strict=True):
            text = f"{stream.frames} frames  {stream.fps:.1f} fps  {stream.latency_ms:.0f} ms  {stream.current} people"
            self._progress.update(
                task,
                total=stream.duration or None,
                completed=min(stream.position, stream.duration) if stream.duration else stream.position,
                text=(stream.error and "failed") or text,
            )

    def stop(self) -> None:
        """Leave the bars as they are."""
        if self._progress is not None:
            for task, stream in zip(self._tasks, self._streams, strict=True):
                if not stream.error:
                    self._progress.update(task, total=1, completed=1)
            self.update_text()
            self._progress.stop()
            self._progress = None

    def update_text(self) -> None:
        """Bring only the words beside the bars up to date."""
        if self._progress is not None:
            for task, stream in zip(self._tasks, self._streams, strict=True):
                text = f"{stream.frames} frames  {stream.fps:.1f} fps  {stream.latency_ms:.0f} ms"
                self._progress.update(task, text=(stream.error and "failed") or text)

    def say(self, line: str) -> None:
        """Print one line on stderr, above the bars."""
        if self._progress is not None:
            self._progress.console.print(line, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


def _shorten(name: str, width: int = 36) -> str:
    return name if len(name) <= width else "…" + name[-(width - 1) :]


def print_summary(streams: list[StreamStats], seconds: float, *, to_stderr: bool = False) -> None:
    """The table at the end of a run.

    Args:
        streams: one row each.
        seconds: wall time of the whole run.
        to_stderr: leave stdout to the JSON lines.
    """
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table(title=None, show_edge=False, pad_edge=False)
    table.add_column("stream", overflow="fold")
    for name in ("frames", "fps", "latency ms", "people", "people a frame"):
        table.add_column(name, justify="right")
    for stream in streams:
        mean = stream.objects / stream.frames if stream.frames else 0.0
        table.add_row(
            stream.name + (" (failed)" if stream.error else ""),
            str(stream.frames),
            f"{stream.fps:.1f}",
            f"{stream.latency_ms:.1f}",
            str(stream.objects),
            f"{mean:.2f}",
        )
    console.print(table)
    frames = sum(stream.frames for stream in streams)
    rate = f", {frames / seconds:.1f} fps together with start-up" if frames and seconds > 0 else ""
    console.print(f"{frames} frames in {seconds:.1f} s{rate}", markup=False)
