"""When to open an RTSP source again: plain Python, no GStreamer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Statistics:
    """What an application may want to know of one source's connection.

    Attributes:
        frames: encoded or decoded frames that arrived since the source started.
        attempts: attempts to connect again since data last came.
        total_attempts: the same since the source started.
        reconnects: times that data came again after an attempt.
        last_error: text of the last error, empty without one.
        last_data: ``time.monotonic()`` of the last frame, 0 before the first.
    """

    frames: int = 0
    attempts: int = 0
    total_attempts: int = 0
    reconnects: int = 0
    last_error: str = ""
    last_data: float = 0.0

    def data(self) -> None:
        """A frame arrived."""
        self.frames += 1
        self.last_data = time.monotonic()
        if self.attempts:
            self.attempts = 0
            self.reconnects += 1

    def attempt(self) -> None:
        """The source is connected again."""
        self.attempts += 1
        self.total_attempts += 1

    def age_ns(self) -> int:
        """Nanoseconds since the last frame; all bits set (GStreamer's none) before the first."""
        return int((time.monotonic() - self.last_data) * 1e9) if self.last_data else (1 << 64) - 1


class Watchdog:
    """Watches one source's data and calls for a new connection when none has come for too long.

    Args:
        interval: seconds without data until an attempt.
        first_interval: the same before the first data and after an error; 0 takes ``interval``.
        attempts: attempts in a row without data before giving up; 0, as in DeepStream, and less never give up.
        connect: called in the watchdog's own thread with the attempt's number, from 1.
        give_up: called once when all attempts have failed.
        running: whether data is expected now; a paused source is never late.
    """

    def __init__(
        self,
        interval: float,
        first_interval: float,
        attempts: int,
        connect: Callable[[int], None],
        give_up: Callable[[], None],
        running: Callable[[], bool],
    ) -> None:
        self.interval = interval
        self.first_interval = first_interval or interval
        self.attempts = attempts or -1
        self.reconnects = 0  # times that data came again after an attempt
        self._connect, self._give_up, self._running = connect, give_up, running
        self._tried = 0
        self._has_data = False
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Start watching."""
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when no attempt is under way."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def data(self) -> int:
        """Data came. Returns the attempts that it took when this ends an interruption, else 0."""
        self._last = time.monotonic()
        self._has_data = True
        tried, self._tried = self._tried, 0
        if tried:
            self.reconnects += 1
        return tried

    def failed(self) -> None:
        """The connection reported trouble: the interval for first connections counts until data comes again."""
        self._has_data = False
        self._wake.set()

    @property
    def limit(self) -> float:
        """Seconds that the source may be silent now."""
        return self.interval if self._has_data else self.first_interval

    def _run(self) -> None:
        while not self._stop.is_set():
            left = self._last + self.limit - time.monotonic()
            if left > 0:
                self._wake.wait(left)
                self._wake.clear()
                continue
            self._last = time.monotonic()
            if not self._running():
                continue
            if 0 <= self.attempts <= self._tried:
                self._give_up()
                return
            self._tried += 1
            self._connect(self._tried)
            self._last = time.monotonic()
