"""A file that starts over at its end: nvurisrcbin's ``file-loop``."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from . import _native
from ._gst import Gst
from .base import post_error

if TYPE_CHECKING:
    from .urisrcbin import NvUriSrcBin


class FileLoop:
    """Turns the end of the file into a seek to its start, unseen downstream: running time goes on.

    Args:
        element: the bin that plays the file; it is not kept alive.
    """

    def __init__(self, element: NvUriSrcBin) -> None:
        self._element = weakref.ref(element)
        self._base = 0  # running time of the passes before this one, in nanoseconds
        self._end = 0
        self._loops = 0
        self._seek = 0  # sequence number of the seek that starts the file over
        self._passed: set[str] = set()  # pads whose pass of the file has ended

    def watch(self, pad: Gst.Pad) -> None:
        """Look at what comes from one stream of the file."""
        owner = weakref.ref(self)  # a probe that held the loop would keep it alive

        def probe(pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            alive = owner()
            if alive is None:
                return Gst.PadProbeReturn.OK
            if info.type & Gst.PadProbeType.BUFFER:
                alive._shift(hash(info.get_buffer()))
                return Gst.PadProbeReturn.OK
            return alive._on_event(pad, info.get_event())

        events = Gst.PadProbeType.EVENT_DOWNSTREAM | Gst.PadProbeType.EVENT_FLUSH
        pad.add_probe(events | Gst.PadProbeType.BUFFER, probe)

    def _shift(self, address: int) -> None:
        """Let timestamps go on from the end of the pass before."""
        fields = _native.buffer_fields(address)
        if fields.pts != _native.CLOCK_TIME_NONE:
            fields.pts += self._base

    def _on_event(self, pad: Gst.Pad, event: Gst.Event) -> Gst.PadProbeReturn:
        if event.type == Gst.EventType.EOS:
            self._passed.add(pad.get_name())
            element = self._element()
            if element is None:
                return Gst.PadProbeReturn.DROP
            if len(self._passed) >= sum(ghost.get_target() is not None for ghost in element.srcpads):
                self._passed.clear()  # all streams of the file have come to its end
                threading.Thread(target=self._rewind, name=f"{element.get_name()}:loop", daemon=True).start()
            return Gst.PadProbeReturn.DROP
        if event.type in (Gst.EventType.FLUSH_START, Gst.EventType.FLUSH_STOP):
            if self._seek and event.get_seqnum() == self._seek:
                return Gst.PadProbeReturn.DROP
            self._base = self._loops = 0  # the application's own seek: running time starts again
            self._passed.clear()
            return Gst.PadProbeReturn.OK
        if event.type != Gst.EventType.SEGMENT:
            return Gst.PadProbeReturn.OK
        if not self._loops:
            self._note_end(event)
            return Gst.PadProbeReturn.OK
        segment = Gst.Segment()
        event.copy_segment(segment)
        if segment.base == self._base:
            return Gst.PadProbeReturn.OK  # the replacement, on its way through this probe
        segment.base = self._base
        segment.start += self._base
        if segment.stop != Gst.CLOCK_TIME_NONE:
            segment.stop += self._base
        pad.push_event(Gst.Event.new_segment(segment))
        return Gst.PadProbeReturn.DROP

    def _note_end(self, event: Gst.Event) -> None:
        segment = Gst.Segment()
        event.copy_segment(segment)
        self._end = segment.stop if segment.stop != Gst.CLOCK_TIME_NONE else 0

    def _rewind(self) -> None:
        """Seek to the start; running time goes on from the end of this pass."""
        element = self._element()
        if element is None:
            return
        self._base += element.length() or self._end
        self._loops += 1
        flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT
        seek = Gst.Event.new_seek(1.0, Gst.Format.TIME, flags, Gst.SeekType.SET, 0, Gst.SeekType.NONE, 0)
        self._seek = seek.get_seqnum()
        if not element.rewind(seek) and element.target_state >= Gst.State.PAUSED:
            uri = element.value("uri")
            post_error(element, f"{element.get_name()}: {uri} cannot seek, so file-loop cannot start it over")
