"""One input of ``millrace pose`` in the pipeline, and what its failures mean."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

from gi.repository import GLib, Gst

from millrace.app.media import Input
from millrace.app.pose_stats import StreamStats
from millrace.elements.base import make_element
from millrace.elements.caps import NVMM
from millrace.errors import MediaError

_CAMERA = "v4l2src device={device} ! decodebin ! videoconvert ! nvvideoconvert ! video/x-raw(memory:NVMM),format=NV12"


class Source:
    """An input linked to its pad of the muxer.

    Args:
        number: index of the stream and of the muxer's pad.
        item: what to open.
        stats: told about each decoded frame.
    """

    def __init__(self, number: int, item: Input, stats: StreamStats) -> None:
        self.number = number
        self.item = item
        self.ended = False  # no more frames come
        self.broken_off = False  # and not because the source has no more
        self.damaged_frames = 0
        self._stats = stats
        self.element = self._make()
        self.mux_pad: Any = None

    def _make(self) -> Any:
        if not self.item.device:
            element = make_element("nvurisrcbin", f"source-{self.number}")
            element.set_property("uri", self.item.uri)
            element.set_property("disable-audio", True)
            return element
        try:
            element = Gst.parse_bin_from_description(_CAMERA.format(device=self.item.device), True)
        except GLib.Error as error:
            raise MediaError(f"stream {self.item.name}: {error.message}") from None
        element.set_name(f"source-{self.number}")
        return element

    def link(self, mux: Any) -> None:
        """Link to the muxer, now or when the source has found its video."""
        self.mux_pad = mux.request_pad_simple(f"sink_{self.number}")
        events = Gst.PadProbeType.EVENT_DOWNSTREAM
        self.mux_pad.add_probe(events, self._on_event)
        self.mux_pad.add_probe(Gst.PadProbeType.BUFFER, self._on_buffer)
        pad = self.element.get_static_pad("src")
        if pad is not None:
            pad.link(self.mux_pad)
        else:
            self.element.connect("pad-added", self._on_pad)

    def _on_pad(self, _element: Any, pad: Any) -> None:
        caps = pad.get_current_caps() or pad.query_caps(None)
        if self.mux_pad.is_linked() or not caps.get_size() or caps.get_structure(0).get_name() != "video/x-raw":
            return
        if caps.get_features(0).contains(NVMM):
            pad.link(self.mux_pad)
            return
        convert = make_element("nvvideoconvert")  # some decoders know only system memory
        self.element.get_parent().add(convert)
        convert.get_static_pad("src").link(self.mux_pad)
        convert.sync_state_with_parent()
        pad.link(convert.get_static_pad("sink"))

    def _on_event(self, _pad: Any, info: Any) -> Any:
        if info.get_event().type == Gst.EventType.EOS:
            self.ended = True
        return Gst.PadProbeReturn.OK

    def _on_buffer(self, _pad: Any, info: Any) -> Any:
        buffer = info.get_buffer()
        if buffer.has_flags(Gst.BufferFlags.CORRUPTED):
            self.damaged_frames += 1
        self._stats.arrive(buffer.pts)
        return Gst.PadProbeReturn.OK

    def end(self) -> bool:
        """Let the stream end at the muxer, whatever the source is doing; returns at once, ``False`` for a timer."""
        if not self.ended:
            self.ended = self.broken_off = True
            # a pad's events wait for the buffer that it is taking
            threading.Thread(target=self._send_end, name=f"end-{self.number}", daemon=True).start()
        return False

    def _send_end(self) -> None:
        if self.mux_pad.get_sticky_event(Gst.EventType.STREAM_START, 0) is None:
            self.mux_pad.send_event(Gst.Event.new_stream_start(f"millrace-{self.number}"))
        if self.mux_pad.get_sticky_event(Gst.EventType.SEGMENT, 0) is None:
            segment = Gst.Segment()
            segment.init(Gst.Format.TIME)
            self.mux_pad.send_event(Gst.Event.new_segment(segment))
        self.mux_pad.send_event(Gst.Event.new_eos())

    def read_duration(self) -> None:
        """Tell the counts how long the stream is, once that is known."""
        if not self._stats.duration and not self.item.live and not self.item.picture:
            known, duration = self.element.query_duration(Gst.Format.TIME)
            if known and duration > 0:
                self._stats.duration = duration


def explain(item: Input, error: Any) -> str:
    """What a GStreamer error of this input means, in words that say what to do.

    Args:
        item: the input.
        error: the ``GLib.Error`` of the bus message.
    """
    rtsp = item.uri.startswith("rtsp")
    stream, resource = Gst.StreamError, Gst.ResourceError
    if error.matches(stream.quark(), stream.TYPE_NOT_FOUND) or error.matches(stream.quark(), stream.WRONG_TYPE):
        return "this is not a video or picture that GStreamer knows"
    if rtsp and any(
        error.matches(resource.quark(), code)
        for code in (resource.OPEN_READ_WRITE, resource.OPEN_READ, resource.OPEN_WRITE, resource.FAILED)
    ):
        host = urlsplit(item.uri).netloc.rpartition("@")[2]
        return f"no RTSP server answers at {host}; is it running, and is the address right? ({error.message})"
    if rtsp and error.matches(resource.quark(), resource.NOT_AUTHORIZED):
        return "the server wants a user and a password: rtsp://USER:PASSWORD@host/path"
    if rtsp and error.matches(resource.quark(), resource.NOT_FOUND):
        return "the server has no stream of this name"
    if item.device and error.matches(resource.quark(), resource.BUSY):
        return "the camera is in use by another program"
    return str(error.message).strip()
