"""nvurisrcbin: a file, stream or camera by its URI, decoded to surfaces; files may loop, RTSP sources come back."""

from __future__ import annotations

import logging
import threading
import weakref

from . import _native
from . import caps as nvcaps
from ._gst import GLib, Gst
from .base import NvBin, make_element, post_error, post_warning
from .properties import properties_of
from .reconnect import Watchdog

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
        self._decode = self._make_decode()
        self._watchdog: Watchdog | None = None
        self._again = False  # whether the URI was opened again
        self._base = 0  # running time of the passes before this one, in nanoseconds
        self._end = 0
        self._loops = 0
        self._seek = 0  # sequence number of the seek that starts the file over
        self._passed: set[str] = set()  # pads whose pass of the file has ended
        self._failure = ""

    def _make_decode(self) -> Gst.Element:
        decode = self.make("uridecodebin")
        decode.connect("pad-added", NvUriSrcBin._on_pad_added)
        decode.connect("pad-removed", NvUriSrcBin._on_pad_removed)
        decode.connect("source-setup", NvUriSrcBin._on_source_setup)
        decode.connect("deep-element-added", NvUriSrcBin._on_element_added)
        self._select_streams(decode)
        return decode

    def property_changed(self, name: str, value: object) -> None:
        """The URI goes on to uridecodebin."""
        if name == "uri":
            self._decode.set_property("uri", value)
        elif name == "disable-audio":
            self._select_streams(self._decode)

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start anew."""
        if transition == Gst.StateChange.NULL_TO_READY:
            self._failure = ""
            self._again = False
            if not self.value("uri"):
                post_error(self, f"{self.get_name()}: uri is not set; it names a file:///, rtsp:// or other source")
                return Gst.StateChangeReturn.FAILURE
        elif transition == Gst.StateChange.READY_TO_PAUSED:
            self._base = self._end = self._loops = self._seek = 0
            self._passed.clear()
            self._watch()
        elif transition == Gst.StateChange.PAUSED_TO_READY and self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        return Gst.Bin.do_change_state(self, transition)

    def do_handle_message(self, message: Gst.Message) -> None:
        """An error from inside names the URI, once."""
        if self._again and message.type in (Gst.MessageType.ASYNC_START, Gst.MessageType.ASYNC_DONE):
            return  # a new connection's own state changes must not take this bin out of PLAYING
        if message.type == Gst.MessageType.ERROR and message.src is not self:
            error, details = message.parse_error()
            if self._failure and error.matches(Gst.CoreError.quark(), Gst.CoreError.STATE_CHANGE):
                return  # the consequence of the error before
            if self._watchdog is not None:
                log.info("%s: %s: %s", self.get_name(), self.value("uri"), error.message)
                return  # the watchdog connects again
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

    def _select_streams(self, decode: Gst.Element) -> None:
        """Without audio, do not even decode it."""
        video = "video/x-raw(ANY)"
        quiet = bool(self.value("disable-audio"))
        decode.set_property("caps", Gst.Caps.from_string(video if quiet else f"{video}; audio/x-raw(ANY)"))
        decode.set_property("expose-all-streams", not quiet)

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
        if self._plug_again(pad, media):
            return
        if media.startswith("video/"):
            self._expose(pad, "vsrc_%u", f"vsrc_{self._count('vsrc_')}")
        elif media.startswith("audio/") and not self.value("disable-audio"):
            self._expose(pad, "asrc_%u", f"asrc_{self._count('asrc_')}")
        else:
            self._discard(pad)

    @staticmethod
    def _on_pad_removed(decode: Gst.Element, pad: Gst.Pad) -> None:
        """Stopped, or opened anew: this bin's pads stay for the next stream of their kind."""
        self = decode.get_parent()
        for ghost in self.srcpads if self is not None else ():
            if ghost.get_target() is pad:
                ghost.set_target(None)

    @staticmethod
    def _on_element_added(decode: Gst.Element, _bin: Gst.Element, element: Gst.Element) -> None:
        """Hand decoding settings to the decoder."""
        self = decode.get_parent()
        factory = element.get_factory()
        if self is None or factory is None or factory.get_name() != "nvv4l2decoder":
            return
        element.set_property("skip-frames", int(self.value("dec-skip-frames")))
        element.set_property("drop-frame-interval", self.value("drop-frame-interval"))
        element.set_property("low-latency-mode", bool(self.value("low-latency-mode")))

    def _count(self, prefix: str) -> int:
        return sum(pad.get_name().startswith(prefix) for pad in self.srcpads)

    def _expose(self, pad: Gst.Pad, template: str, name: str) -> None:
        ghost = Gst.GhostPad.new_from_template(name, pad, self.get_pad_template(template))
        self._add_probes(pad)
        ghost.set_active(True)
        self.add_pad(ghost)

    def _add_probes(self, pad: Gst.Pad) -> None:
        if self.value("file-loop") and str(self.value("uri")).startswith("file:"):
            events = Gst.PadProbeType.EVENT_DOWNSTREAM | Gst.PadProbeType.EVENT_FLUSH
            pad.add_probe(events | Gst.PadProbeType.BUFFER, self._make_loop_probe())
        if self._watchdog is not None:
            self._watch_data(pad)

    def _discard(self, pad: Gst.Pad) -> None:
        """Let a stream that nobody wants run into nothing."""
        sink = make_element("fakesink")
        sink.set_property("async", False)
        self.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    # RTSP sources that fail ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """With a reconnect interval, an RTSP source that falls silent is opened again."""
        interval = self.value("rtsp-reconnect-interval")
        if not interval or not str(self.value("uri")).startswith(("rtsp:", "rtsps:", "rtspt:", "rtspu:")):
            return
        owner = weakref.ref(self)  # the watchdog's thread must not keep the bin alive

        def running() -> bool:
            alive = owner()
            return alive is not None and alive.target_state == Gst.State.PLAYING

        def connect(attempt: int) -> None:
            alive = owner()
            if alive is not None:
                alive._connect_again(attempt)

        def give_up() -> None:
            alive = owner()
            if alive is not None:
                alive._give_up()

        first, attempts = self.value("init-rtsp-reconnect-interval"), self.value("rtsp-reconnect-attempts")
        self._watchdog = Watchdog(interval, first, attempts, connect, give_up, running)
        self._watchdog.start(f"{self.get_name()}:watch")

    def _connect_again(self, attempt: int) -> None:
        """Replace what opens the URI; the pads of this bin stay, so nothing downstream is disturbed."""
        watchdog = self._watchdog
        if watchdog is None:
            return
        most = watchdog.attempts
        post_warning(
            self,
            f"{self.value('uri')}: no data for {watchdog.limit:g} s, connecting again (attempt {attempt}"
            f"{f' of {most}' if most >= 0 else ''})",
        )
        self._again = True
        old = self._decode
        old.set_locked_state(True)
        for ghost in self.srcpads:
            ghost.set_target(None)
        old.set_state(Gst.State.NULL)
        self.remove(old)
        self._decode = self._make_decode()
        self._decode.set_property("uri", self.value("uri"))
        self._decode.set_state(Gst.State.PAUSED)
        self._decode.set_state(Gst.State.PLAYING)  # a live uridecodebin stays in PAUSED when asked for this at once

    def _give_up(self) -> None:
        """All attempts have failed: this source has ended, the others of the pipeline go on."""
        watchdog = self._watchdog
        attempts = watchdog.attempts if watchdog is not None else 0
        text = f"{self.value('uri')}: no data after {attempts} attempts to connect again; giving up"
        if not self.srcpads:
            post_error(self, text)
            return
        post_warning(self, text)
        for ghost in self.srcpads:
            ghost.push_event(Gst.Event.new_eos())

    def _plug_again(self, pad: Gst.Pad, media: str) -> bool:
        """Give a stream to the pad that showed one of its kind before."""
        prefix = "vsrc_" if media.startswith("video/") else "asrc_"
        for ghost in self.srcpads:
            if ghost.get_name().startswith(prefix) and ghost.get_target() is None:
                self._add_probes(pad)
                return bool(ghost.set_target(pad))
        return False

    def _watch_data(self, pad: Gst.Pad) -> None:
        """Tell the watchdog of each frame; the end of a connection is not the end of the stream."""
        owner = weakref.ref(self)

        def probe(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            alive = owner()
            watchdog = alive._watchdog if alive is not None else None
            if alive is None or watchdog is None:
                return Gst.PadProbeReturn.OK
            if info.type & Gst.PadProbeType.BUFFER:
                tried = watchdog.data()
                if tried:
                    log.info(
                        "%s: %s: data again after %d attempts (%d interruptions so far)",
                        alive.get_name(), alive.value("uri"), tried, watchdog.reconnects,
                    )  # fmt: skip
            elif info.get_event().type == Gst.EventType.EOS:
                return Gst.PadProbeReturn.DROP
            return Gst.PadProbeReturn.OK

        pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.EVENT_DOWNSTREAM, probe)

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
            self._passed.add(pad.get_name())
            if len(self._passed) >= sum(ghost.get_target() is not None for ghost in self.srcpads):
                self._passed.clear()  # all streams of the file have come to its end
                threading.Thread(target=self._rewind, name=f"{self.get_name()}:loop", daemon=True).start()
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
        found, duration = self._decode.query_duration(Gst.Format.TIME)
        self._base += duration if found and duration > 0 else self._end
        self._loops += 1
        flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT
        seek = Gst.Event.new_seek(1.0, Gst.Format.TIME, flags, Gst.SeekType.SET, 0, Gst.SeekType.NONE, 0)
        self._seek = seek.get_seqnum()
        if not self._decode.send_event(seek) and self.target_state >= Gst.State.PAUSED:
            post_error(self, f"{self.get_name()}: {self.value('uri')} cannot seek, so file-loop cannot start it over")
