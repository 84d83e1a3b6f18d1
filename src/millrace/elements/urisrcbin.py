"""nvurisrcbin: a file, stream or camera by its URI, decoded to surfaces; files may loop."""

from __future__ import annotations

import logging
import threading
import weakref

from . import _native
from . import caps as nvcaps
from ._gst import GLib, Gst
from .base import NvBin, make_element, post_error
from .properties import properties_of

log = logging.getLogger("millrace.elements")

_TCP = 4
_ANY_VIDEO = Gst.Caps.from_string(f"{nvcaps.nvmm_caps()}; {nvcaps.system_caps()}")


class NvUriSrcBin(NvBin, Gst.Bin):
    """uridecodebin with DeepStream's names, an RTSP source set up by its properties, and ``file-loop``."""

    __gtype_name__ = "GstNvUriSrcBin"
    __gstmetadata__ = ("NvUriSrc Bin", "NvUriSrc Bin", "Decodes what a URI names to surfaces", "Millrace")
    __gsttemplates__ = (
        Gst.PadTemplate.new("vsrc_%u", Gst.PadDirection.SRC, Gst.PadPresence.SOMETIMES, _ANY_VIDEO),
        Gst.PadTemplate.new(
            "asrc_%u", Gst.PadDirection.SRC, Gst.PadPresence.SOMETIMES, Gst.Caps.from_string("audio/x-raw")
        ),
    )
    __gproperties__ = properties_of("nvurisrcbin")

    def __init__(self) -> None:
        super().__init__()
        self._decode = self.make("uridecodebin")
        self._decode.connect("pad-added", NvUriSrcBin._on_pad_added)
        self._decode.connect("source-setup", NvUriSrcBin._on_source_setup)
        self._select_streams()
        self._base = 0  # running time of the passes before this one, in nanoseconds
        self._end = 0
        self._loops = 0
        self._failure = ""

    def property_changed(self, name: str, value: object) -> None:
        """The URI goes on to uridecodebin."""
        if name == "uri":
            self._decode.set_property("uri", value)
        elif name == "disable-audio":
            self._select_streams()

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start anew."""
        if transition == Gst.StateChange.NULL_TO_READY:
            self._base = self._end = self._loops = 0
            self._failure = ""
            if not self.value("uri"):
                post_error(self, f"{self.get_name()}: uri is not set; it names a file:///, rtsp:// or other source")
                return Gst.StateChangeReturn.FAILURE
        return Gst.Bin.do_change_state(self, transition)

    def do_handle_message(self, message: Gst.Message) -> None:
        """An error from inside names the URI, once."""
        if message.type == Gst.MessageType.ERROR and message.src is not self:
            error, details = message.parse_error()
            if self._failure and error.matches(Gst.CoreError.quark(), Gst.CoreError.STATE_CHANGE):
                return  # the consequence of the error before
            reason = (details or "").rpartition("\n")[2].strip()
            text = f"{self.value('uri')}: {error.message}"
            if reason and reason not in text:
                text = f"{text} {reason}"
            if text == self._failure:
                return
            self._failure = text
            named = GLib.Error.new_literal(GLib.quark_from_string(error.domain), text, error.code)
            message = Gst.Message.new_error(message.src, named, details or "")
        Gst.Bin.do_handle_message(self, message)

    def _select_streams(self) -> None:
        """Without audio, do not even decode it."""
        video = "video/x-raw(ANY)"
        quiet = bool(self.value("disable-audio"))
        self._decode.set_property("caps", Gst.Caps.from_string(video if quiet else f"{video}; audio/x-raw(ANY)"))
        self._decode.set_property("expose-all-streams", not quiet)

    # Sources -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _on_source_setup(decode: Gst.Element, source: Gst.Element) -> None:
        """Hand RTSP settings to rtspsrc."""
        self = decode.get_parent()
        factory = source.get_factory()
        if self is None or factory is None or factory.get_name() != "rtspsrc":
            return
        source.set_property("latency", self.value("latency"))
        source.set_property("drop-on-latency", bool(self.value("drop-on-latency")))
        source.set_property("udp-buffer-size", self.value("udp-buffer-size"))
        if int(self.value("select-rtp-protocol")) == _TCP:
            source.set_property("protocols", _TCP)

    @staticmethod
    def _on_pad_added(decode: Gst.Element, pad: Gst.Pad) -> None:
        """Show video (and audio, when wanted) on a pad of this bin."""
        self = decode.get_parent()
        if self is None:
            return
        caps = pad.get_current_caps() or pad.query_caps(None)
        media = caps.get_structure(0).get_name()
        if media.startswith("video/"):
            self._expose(pad, "vsrc_%u", f"vsrc_{self._count('vsrc_')}")
        elif media.startswith("audio/") and not self.value("disable-audio"):
            self._expose(pad, "asrc_%u", f"asrc_{self._count('asrc_')}")
        else:
            self._discard(pad)

    def _count(self, prefix: str) -> int:
        return sum(pad.get_name().startswith(prefix) for pad in self.srcpads)

    def _expose(self, pad: Gst.Pad, template: str, name: str) -> None:
        ghost = Gst.GhostPad.new_from_template(name, pad, self.get_pad_template(template))
        if self.value("file-loop") and str(self.value("uri")).startswith("file:"):
            events = Gst.PadProbeType.EVENT_DOWNSTREAM | Gst.PadProbeType.EVENT_FLUSH
            pad.add_probe(events | Gst.PadProbeType.BUFFER, self._make_loop_probe())
        ghost.set_active(True)
        self.add_pad(ghost)

    def _discard(self, pad: Gst.Pad) -> None:
        """Let a stream that nobody wants run into nothing."""
        sink = make_element("fakesink")
        sink.set_property("async", False)
        self.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    # Looping -------------------------------------------------------------------------------------------------------

    def _make_loop_probe(self) -> object:
        """A probe that turns the end of the file into a seek to its start, unseen downstream."""
        owner = weakref.ref(self)  # a probe that held the bin would keep it alive

        def probe(pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            alive = owner()
            if alive is None:
                return Gst.PadProbeReturn.OK
            if info.type & Gst.PadProbeType.BUFFER:
                alive._shift(hash(info.get_buffer()))
                return Gst.PadProbeReturn.OK
            return alive._loop_event(pad, info.get_event())

        return probe

    def _shift(self, address: int) -> None:
        """Let timestamps go on from the end of the pass before."""
        fields = _native.buffer_fields(address)
        if fields.pts != _native.CLOCK_TIME_NONE:
            fields.pts += self._base

    def _loop_event(self, pad: Gst.Pad, event: Gst.Event) -> Gst.PadProbeReturn:
        if event.type == Gst.EventType.EOS:
            threading.Thread(target=self._rewind, name=f"{self.get_name()}:loop", daemon=True).start()
            return Gst.PadProbeReturn.DROP
        if not self._loops:
            if event.type == Gst.EventType.SEGMENT:
                self._note_end(event)
            return Gst.PadProbeReturn.OK
        if event.type in (Gst.EventType.FLUSH_START, Gst.EventType.FLUSH_STOP):
            return Gst.PadProbeReturn.DROP
        if event.type == Gst.EventType.SEGMENT:
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
        return Gst.PadProbeReturn.OK

    def _note_end(self, event: Gst.Event) -> None:
        segment = Gst.Segment()
        event.copy_segment(segment)
        self._end = segment.stop if segment.stop != Gst.CLOCK_TIME_NONE else 0

    def _rewind(self) -> None:
        """Seek to the start; running time goes on from the end of this pass."""
        found, duration = self._decode.query_duration(Gst.Format.TIME)
        self._base += duration if found and duration > 0 else self._end
        self._loops += 1
        if not self._decode.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT, 0):
            post_error(self, f"{self.get_name()}: {self.value('uri')} cannot seek, so file-loop cannot start it over")
