"""nvdslogger: frames a second of each source, printed from time to time."""

from __future__ import annotations

import sys
import time

from . import caps as nvcaps
from ._gst import Gst
from .filter import NvFilter
from .handle import batch_of
from .properties import properties_of

_CAPS = Gst.Caps.from_string(f"{nvcaps.nvmm_caps()}; {nvcaps.system_caps()}")
_HEADER_EVERY = 20  # lines of numbers


class NvDsLogger(NvFilter, Gst.Element):
    """Lets buffers pass and counts the frames of each source."""

    __gtype_name__ = "GstNvdslogger"
    __gstmetadata__ = ("NvDs Logger", "Generic", "Prints the frames a second of each source", "Millrace")
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = properties_of("nvdslogger")

    def __init__(self) -> None:
        super().__init__()
        self._reset()

    def _reset(self) -> None:
        self._counts: dict[int, int] = {}  # frames of each source since the last line
        self._totals: dict[int, int] = {}
        self._began: dict[int, float] = {}  # time of each source's first frame
        self._last = 0.0
        self._lines = 0

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start counting anew."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            self._reset()
        return Gst.Element.do_change_state(self, transition)

    def process(self, address: int) -> int | None:
        """Count; print when the interval is over."""
        now = time.monotonic()
        batch = batch_of(address)
        sources = [frame.pad_index for frame in batch.meta.frames] if batch is not None and batch.meta else [0]
        if not self._last:
            self._last = now
        for source in sources:
            if source not in self._began:
                self._began[source] = now  # the first frame starts the measurement
                self._counts[source] = self._totals[source] = 0
            else:
                self._counts[source] += 1
                self._totals[source] += 1
        interval = self.value("fps-measurement-interval-sec")
        if interval and now - self._last >= interval:
            if not self.value("silent"):
                self._print(now)
            self._last = now
            self._counts = dict.fromkeys(self._counts, 0)
        return address

    def _print(self, now: float) -> None:
        sources = sorted(self._began)
        if self._lines % _HEADER_EVERY == 0:
            print("**PERF:  " + "\t".join(f"FPS {source} (Avg)" for source in sources))
        self._lines += 1
        columns = []
        for source in sources:
            since = now - max(self._last, self._began[source])
            rate = self._counts[source] / since if since > 0 else 0.0
            whole = now - self._began[source]
            columns.append(f"{rate:.2f} ({self._totals[source] / whole if whole > 0 else 0.0:.2f})")
        print("**PERF:  " + "\t".join(columns))
        sys.stdout.flush()
