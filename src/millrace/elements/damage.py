"""Tells of frames that went into a decoder and never came out: GStreamer's decoders pass over damage in silence."""

from __future__ import annotations

from ._gst import GLib, Gst

# parsed to access units, one frame out for each; other codecs come in pieces or have units that are not shown
COUNTED = ("video/x-h264", "video/x-h265")


class DamageWatch:
    """Counts a decoder's units in and frames out, and posts one warning at the end of a damaged stream.

    Args:
        decoder: the software decoder.
        owner: element in whose name the warning goes on the bus.
    """

    def __init__(self, decoder: Gst.Element, owner: Gst.Element) -> None:
        self._owner = owner.weak_ref()
        self._units = self._frames = 0
        self._told = self._joined = False
        sink, src = decoder.get_static_pad("sink"), decoder.get_static_pad("src")
        events = Gst.PadProbeType.EVENT_DOWNSTREAM | Gst.PadProbeType.EVENT_FLUSH
        self._segment = Gst.Segment()
        sink.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self._note_segment)
        sink.add_probe(Gst.PadProbeType.BUFFER, self._unit)
        src.add_probe(Gst.PadProbeType.BUFFER, self._frame)
        src.add_probe(events, self._event)

    def _note_segment(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        event = info.get_event()
        if event.type == Gst.EventType.SEGMENT:
            event.copy_segment(self._segment)
        return Gst.PadProbeReturn.OK

    def _is_shown(self, buffer: Gst.Buffer) -> bool:
        """Whether a unit's frame lies in the segment; a trimmed file has frames before its start."""
        if self._segment.format != Gst.Format.TIME or buffer.pts == Gst.CLOCK_TIME_NONE:
            return True
        stop = self._segment.stop
        return bool(self._segment.start <= buffer.pts and (stop == Gst.CLOCK_TIME_NONE or buffer.pts < stop))

    def _unit(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        # who joins a stream in the middle cannot decode what comes before its first key frame
        buffer = info.get_buffer()
        self._joined = self._joined or not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        if self._joined and self._is_shown(buffer):
            self._units += 1
        return Gst.PadProbeReturn.OK

    def _frame(self, _pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        self._frames += 1
        return Gst.PadProbeReturn.OK

    def _event(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        kind = info.get_event().type
        if kind == Gst.EventType.FLUSH_STOP:
            self._units = self._frames = 0
            self._joined = False
        elif kind == Gst.EventType.EOS and self._units > self._frames and not self._told:
            self._told = True
            self._tell(self._units - self._frames)
        return Gst.PadProbeReturn.OK

    def _tell(self, lost: int) -> None:
        owner = self._owner()
        if owner is None or int(owner.value("skip-frames")):
            return  # frames that were to be skipped are no loss
        text = f"{lost} of {self._units} frames could not be decoded: the stream is damaged there"
        error = GLib.Error.new_literal(Gst.StreamError.quark(), text, int(Gst.StreamError.DECODE))
        owner.post_message(Gst.Message.new_warning(owner, error, owner.get_path_string()))
