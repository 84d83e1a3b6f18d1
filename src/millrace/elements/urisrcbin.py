"""nvurisrcbin: a file, stream or camera by its URI, decoded to surfaces; files may loop, RTSP sources come back."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from ctypes import c_uint32
from typing import Any

from . import caps as nvcaps
from ._gst import GLib, GObject, Gst
from .base import NvBin, make_element, post_error, post_warning
from .fileloop import FileLoop
from .properties import properties_of
from .reconnect import Statistics, Watchdog
from .recordinfo import UserData, natural_handler, session_pointer
from .smartrecord import SmartRecord

log = logging.getLogger("millrace.elements")

_TCP = 4
_RTSP = ("rtsp:", "rtsps:", "rtspt:", "rtspu:")
_OF_DECODER = {"dec-skip-frames": "skip-frames", "drop-frame-interval": "drop-frame-interval"}  # also while playing
_ANY_VIDEO = Gst.Caps.from_string(f"{nvcaps.nvmm_caps()}; {nvcaps.system_caps()}")


def elements_of(top: Gst.Object, kind: str) -> list[Gst.Element]:
    """The elements in a bin, at any depth, that the factory ``kind`` made."""
    found: list[Gst.Element] = []
    for child in top.children if isinstance(top, Gst.Bin) else ():
        factory = child.get_factory()
        found += [child] if factory is not None and factory.get_name() == kind else elements_of(child, kind)
    return found


class NvUriSrcBin(NvBin, Gst.Bin):
    """uridecodebin with DeepStream's names, RTSP set up by properties, ``file-loop`` and smart record."""

    __gtype_name__ = "GstNvUriSrcBin"
    __gstmetadata__ = ("NvUriSrc Bin", "NvUriSrc Bin", "Decodes what a URI names to surfaces", "Millrace")
    __gsttemplates__ = (
        Gst.PadTemplate.new("vsrc_%u", Gst.PadDirection.SRC, Gst.PadPresence.SOMETIMES, _ANY_VIDEO),
        Gst.PadTemplate.new(
            "asrc_%u", Gst.PadDirection.SRC, Gst.PadPresence.SOMETIMES, Gst.Caps.from_string("audio/x-raw")
        ),
    )
    __gproperties__ = properties_of("nvurisrcbin")
    __gsignals__ = {
        "start-sr": (
            GObject.SignalFlags.RUN_LAST | GObject.SignalFlags.ACTION,
            None,
            (GObject.TYPE_POINTER, GObject.TYPE_UINT, GObject.TYPE_UINT, GObject.TYPE_POINTER),
        ),
        "stop-sr": (GObject.SignalFlags.RUN_LAST | GObject.SignalFlags.ACTION, None, (GObject.TYPE_UINT,)),
        "sr-done": (GObject.SignalFlags.RUN_LAST, None, (GObject.TYPE_POINTER, GObject.TYPE_POINTER)),
    }

    def __init__(self) -> None:
        super().__init__()
        self.user_data = UserData()
        self._recorder: SmartRecord | None = None
        self._statistics = Statistics()
        self._watchdog: Watchdog | None = None
        self._decode = self._make_decode()
        self._again = False  # whether the URI was opened again
        self._loop = FileLoop(self)
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
        elif name in _OF_DECODER:
            for decoder in self._decoders():
                decoder.set_property(_OF_DECODER[name], value)

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start anew."""
        if transition == Gst.StateChange.NULL_TO_READY:
            self._failure = ""
            self._again = False
            if not self.value("uri"):
                post_error(self, f"{self.get_name()}: uri is not set; it names a file:///, rtsp:// or other source")
                return Gst.StateChangeReturn.FAILURE
        elif transition == Gst.StateChange.READY_TO_PAUSED:
            self._loop = FileLoop(self)
            self._statistics = Statistics()
            self._recorder = SmartRecord(self) if int(self.value("smart-record")) else None
            self._watch()
        elif transition == Gst.StateChange.PAUSED_TO_READY and self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        result = Gst.Bin.do_change_state(self, transition)
        if transition == Gst.StateChange.PAUSED_TO_READY and self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        return result

    def do_get_property(self, pspec: GObject.ParamSpec) -> Any:
        """What is known of the source now, besides the stored properties."""
        if pspec.name == "smart-rec-status":
            return self._recorder is not None and self._recorder.active
        if pspec.name == "stats":
            return self._stats()
        return super().do_get_property(pspec)

    # Smart record --------------------------------------------------------------------------------------------------

    def emit(self, signal: str, *args: Any) -> Any:
        """``start-sr`` takes natural Python values for its pointers: a ``ctypes.c_uint32()`` or None, and anything."""
        if signal == "start-sr" and len(args) == 4:
            args = (session_pointer(args[0]), args[1], args[2], self.user_data.pointer(args[3]))
        return Gst.Bin.emit(self, signal, *args)

    def connect(self, signal: str, handler: Callable[..., Any], *args: Any) -> int:
        """Handlers of ``sr-done`` get a readable :class:`NvDsSRRecordingInfo` and the user data as it was given."""
        if signal == "sr-done":
            handler = natural_handler(handler)
        return int(Gst.Bin.connect(self, signal, handler, *args))

    def do_start_sr(self, session: Any, back: int, duration: int, user: Any) -> None:
        """``start-sr``: record from ``back`` seconds ago until ``duration`` seconds from now."""
        address = hash(user) if user is not None else 0
        if self._recorder is None:
            self.user_data.forget(address)
            post_warning(
                self,
                f"{self.get_name()}: start-sr needs smart-record=1 or 2, set before the pipeline starts, and a "
                "pipeline that runs",
            )
        elif not self._recorder.start(back, duration, address):
            self.user_data.forget(address)
        elif session is not None:
            c_uint32.from_address(hash(session)).value = 0  # a source has one recording at a time

    def do_stop_sr(self, session: int) -> None:
        """``stop-sr``: end the recording now."""
        if self._recorder is not None:
            self._recorder.stop()

    def do_handle_message(self, message: Gst.Message) -> None:
        """An error from inside names the URI, once."""
        if self._again and message.type in (Gst.MessageType.ASYNC_START, Gst.MessageType.ASYNC_DONE):
            return  # a new connection's own state changes must not take this bin out of PLAYING
        if message.type == Gst.MessageType.WARNING and message.src is not self and self._watchdog is not None:
            self._statistics.last_error = message.parse_warning()[0].message
            self._watchdog.failed()  # rtspsrc calls a server that closed the connection a warning
        elif message.type == Gst.MessageType.ERROR and message.src is not self:
            error, details = message.parse_error()
            self._statistics.last_error = error.message
            if self._failure and error.matches(Gst.CoreError.quark(), Gst.CoreError.STATE_CHANGE):
                return  # the consequence of the error before
            if self._watchdog is not None:
                log.info("%s: %s: %s", self.get_name(), self.value("uri"), error.message)
                self._watchdog.failed()
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
        if source.find_property("add-reference-timestamp-meta") is not None:  # GStreamer 1.22
            source.set_property("add-reference-timestamp-meta", True)  # for attach-sys-ts=0 of the muxer
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
        if self is None or factory is None:
            return
        if self._recorder is not None:
            self._tap(factory, element)
        if factory.get_name() != "nvv4l2decoder":
            return
        element.set_property("skip-frames", int(self.value("dec-skip-frames")))
        element.set_property("drop-frame-interval", self.value("drop-frame-interval"))
        element.set_property("low-latency-mode", bool(self.value("low-latency-mode")))

    def _decoders(self) -> list[Gst.Element]:
        """The decoders there are now."""
        return elements_of(self._decode, "nvv4l2decoder")

    def _tap(self, factory: Gst.ElementFactory, element: Gst.Element) -> None:
        """Let the recorder see what reaches the decoders."""
        if self._recorder is None:
            return
        name = factory.get_name()
        if name == "nvv4l2decoder":
            self._recorder.tap("video", element.get_static_pad("sink"))
        elif "Decoder/Audio" in factory.get_metadata("klass"):
            self._recorder.tap("audio", element.get_static_pad("sink"))
        elif name in ("h264parse", "h265parse") and not str(self.value("uri")).startswith("file:"):
            element.set_property("config-interval", -1)  # a recording may begin at any key frame

    def rewind(self, seek: Gst.Event) -> bool:
        """Seek in the file; false when it cannot."""
        return bool(self._decode.send_event(seek))

    def length(self) -> int:
        """Duration of the file in nanoseconds, 0 when unknown."""
        found, duration = self._decode.query_duration(Gst.Format.TIME)
        return duration if found and duration > 0 else 0

    def _count(self, prefix: str) -> int:
        return sum(pad.get_name().startswith(prefix) for pad in self.srcpads)

    def _expose(self, pad: Gst.Pad, template: str, name: str) -> None:
        ghost = Gst.GhostPad.new_from_template(name, pad, self.get_pad_template(template))
        self._add_probes(pad)
        ghost.set_active(True)
        self.add_pad(ghost)

    def _add_probes(self, pad: Gst.Pad) -> None:
        if self.value("file-loop") and str(self.value("uri")).startswith("file:"):
            self._loop.watch(pad)
        if str(self.value("uri")).startswith(_RTSP):
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
        if not interval or not str(self.value("uri")).startswith(_RTSP):
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

        self.set_property("async-handling", True)  # or the pipeline waits for a connection that was given up meanwhile
        first, attempts = self.value("init-rtsp-reconnect-interval"), self.value("rtsp-reconnect-attempts")
        self._watchdog = Watchdog(interval, first, attempts, connect, give_up, running)
        self._watchdog.start(f"{self.get_name()}:watch")

    def _connect_again(self, attempt: int) -> None:
        """Replace what opens the URI; the pads of this bin stay, so nothing downstream is disturbed."""
        watchdog = self._watchdog
        if watchdog is None:
            return
        self._statistics.attempt()
        count = f"attempt {attempt} of {watchdog.attempts}" if watchdog.attempts >= 0 else f"attempt {attempt}"
        post_warning(self, f"{self.value('uri')}: no data for {watchdog.limit:g} s, connecting again ({count})")
        self._again = True
        old = self._decode
        for ghost in self.srcpads:
            ghost.set_target(None)
        self.remove(old)  # first: when the pipeline stops just now, it must not wait for this one's end
        old.set_state(Gst.State.NULL)
        self._decode = self._make_decode()
        self._decode.set_property("uri", self.value("uri"))
        self._decode.set_state(Gst.State.PAUSED)
        self._decode.set_state(Gst.State.PLAYING)  # a live uridecodebin stays in PAUSED when asked for this at once

    def _give_up(self) -> None:
        """All attempts have failed: this source has ended, the others of the pipeline go on."""
        watchdog = self._watchdog
        attempts = watchdog.attempts if watchdog is not None else 0
        text = f"{self.value('uri')}: no data after {attempts} attempts to connect again; giving up"
        exceeded = (
            f"attempt-exceeded, source-id=(uint){self.value('source-id') & 0xFFFFFFFF}, attempt_exceeded=(boolean)true"
        )
        self.post_message(Gst.Message.new_element(self, Gst.Structure.new_from_string(exceeded)))
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

    def _stats(self) -> Gst.Structure:
        """The ``stats`` property."""
        now = self._statistics
        stats = Gst.Structure.new_from_string(
            f"application/x-nvurisrcbin-stats, source-id=(int){self.value('source-id')}, frames=(guint64){now.frames}, "
            f"attempts=(uint){now.attempts}, total-attempts=(uint){now.total_attempts}, "
            f"reconnects=(uint){now.reconnects}, last-data-age=(guint64){now.age_ns()}"
        )
        stats.set_value("last-error", now.last_error)
        return stats

    def _watch_data(self, pad: Gst.Pad) -> None:
        """Tell the watchdog of each frame; the end of a connection is not the end of the stream."""
        owner = weakref.ref(self)

        def probe(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            alive = owner()
            if alive is None:
                return Gst.PadProbeReturn.OK
            if info.type & Gst.PadProbeType.BUFFER:
                alive._statistics.data()
            watchdog = alive._watchdog
            if watchdog is None:
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
