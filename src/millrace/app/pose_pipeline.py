"""The pipeline of ``millrace pose``: sources, muxer, inference, tracker, tiler, drawing, output."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millrace.app.gst import register_elements
from millrace.app.media import Input
from millrace.app.pose_output import CONTAINERS, STILLS, Output, PoseOptions
from millrace.app.pose_probe import JsonLines, PoseProbe
from millrace.app.pose_stats import Display, StreamStats, print_summary
from millrace.errors import MillraceError

log = logging.getLogger("millrace.app")

_INTERRUPTED = 130
_END_TIMEOUT_S = 20


class PoseRun:
    """One pipeline from the inputs to the output.

    Args:
        options: what the user asked for.
        inputs: the streams that can be opened.
        output: where the picture goes.
        config: nvinfer configuration file of the model.
        json_lines: where the frames' descriptions go.
    """

    def __init__(
        self,
        options: PoseOptions,
        inputs: list[Input],
        output: Output,
        config: Path,
        json_lines: JsonLines | None,
    ) -> None:
        # DeepStream's switch: the muxer passes frames in their own size, the tiler scales them
        os.environ["USE_NEW_NVSTREAMMUX"] = "yes"
        register_elements()
        from gi.repository import GLib, Gst

        from millrace.app.pose_source import Source
        from millrace.elements.base import make_element

        self._gst, self._glib, self._make_element = Gst, GLib, make_element
        self._options, self._output = options, output
        self._stats = [StreamStats(item.name) for item in inputs]
        self._display = Display(self._stats)
        self._loop = GLib.MainLoop()
        self._pipeline = Gst.Pipeline.new("pose")
        self._sources = [
            Source(i, item, stats) for i, (item, stats) in enumerate(zip(inputs, self._stats, strict=True))
        ]
        self._drawing = output.kind != "nothing"
        self._probe = PoseProbe(self._stats, json_lines, draw=self._drawing, finish=not self._drawing)
        self._error: str | None = None
        self._interrupted = False
        self._server: Any = None
        self._build(config)

    # building -----------------------------------------------------------------------------------------------------

    def _add(self, factory: str, **properties: Any) -> Any:
        element = self._make_element(factory)
        for name, value in properties.items():
            if element.find_property(name.replace("_", "-")) is not None:
                element.set_property(name.replace("_", "-"), value)
        self._pipeline.add(element)
        return element

    def _caps(self, text: str) -> Any:
        return self._add("capsfilter", caps=self._gst.Caps.from_string(text))

    def _build(self, config: Path) -> None:
        count = len(self._sources)
        live = any(source.item.live for source in self._sources)
        mux = self._add(
            "nvstreammux",
            batch_size=count,
            live_source=live,
            batched_push_timeout=40_000 if live else 4_000_000,
        )
        for source in self._sources:
            self._pipeline.add(source.element)
            source.link(mux)
        infer = self._add("nvinfer", config_file_path=str(config), batch_size=count)
        chain = [mux, self._queue(), infer, self._queue()]
        if self._options.tracker:
            chain.append(self._add("nvtracker"))
        self._on_buffers(chain[-1], self._probe.inferred)
        if self._drawing:
            chain += self._drawing_elements()
        chain += self._output_elements()
        for first, second in zip(chain, chain[1:], strict=False):
            if not first.link(second):
                raise MillraceError(f"GStreamer cannot link {first.get_name()} to {second.get_name()}")

    def _queue(self) -> Any:
        return self._add("queue", max_size_buffers=4, max_size_bytes=0, max_size_time=0)

    def _drawing_elements(self) -> list[Any]:
        count = len(self._sources)
        rows = max(1, math.isqrt(count))
        width, height = self._options.size or (1280, 720)
        tiler = self._add("nvmultistreamtiler", rows=rows, columns=math.ceil(count / rows), width=width, height=height)
        if count == 1 and self._options.size is None:
            self._tile_like_source(tiler)
        # a mask holds the keypoints here, so there is no silhouette to draw
        osd = self._add("nvdsosd", process_mode=0, display_text=True, display_bbox=True, display_mask=False)
        self._on_buffers(osd, self._probe.drawn)
        return [
            tiler,
            self._add("nvvideoconvert"),
            self._caps("video/x-raw(memory:NVMM),format=RGBA"),
            osd,
            self._queue(),
        ]

    def _tile_like_source(self, tiler: Any) -> None:
        gst = self._gst
        sized: set[str] = set()

        def on_event(_pad: Any, info: Any) -> Any:
            event = info.get_event()
            if event.type == gst.EventType.CAPS:
                structure = event.parse_caps().get_structure(0)
                for name in ("width", "height"):
                    if name in sized:
                        continue  # a stream that changes its size is scaled to its first
                    known, pixels = structure.get_int(name)
                    if known:  # even, for 4:2:0 video
                        tiler.set_property(name, pixels + pixels % 2)
                        sized.add(name)
            return gst.PadProbeReturn.OK

        self._sources[0].mux_pad.add_probe(gst.PadProbeType.EVENT_DOWNSTREAM, on_event)

    def _output_elements(self) -> list[Any]:
        kind, target = self._output.kind, self._output.target
        if kind == "nothing":
            return [self._add("fakesink", sync=False, qos=False)]
        if kind == "window":
            return [self._add("nveglglessink", sync=True, qos=False)]
        if kind == "still":
            encoder = STILLS[Path(target).suffix.lower()]
            caps = self._caps(f"video/x-raw,format={'RGBA' if encoder == 'pngenc' else 'I420'}")
            file = self._add("filesink", location=target, sync=False)
            return [self._add("nvvideoconvert"), caps, self._add(encoder), file]
        encoding = [
            self._add("nvvideoconvert"),
            self._caps("video/x-raw(memory:NVMM),format=I420"),
            self._add("nvv4l2h264enc", bitrate=self._options.bitrate, iframeinterval=50),
        ]
        if kind == "rtsp":
            return encoding + self._rtsp_elements()
        container = self._add(CONTAINERS[Path(target).suffix.lower()])
        return [
            *encoding,
            self._add("h264parse"),
            container,
            self._add("filesink", location=target, sync=False),
        ]

    def _rtsp_elements(self) -> list[Any]:
        from millrace.app.rtsp_out import free_udp_port, serve

        assert self._output.address is not None
        port = free_udp_port()
        self._server = serve(self._output.address, port)
        # a client that comes late needs the parameter sets again
        pay = self._add("rtph264pay", config_interval=1, pt=96)
        sink = self._add("udpsink", host="127.0.0.1", port=port, sync=True, qos=False)
        sink.set_property("async", False)
        return [self._add("h264parse"), pay, sink]

    def _on_buffers(self, element: Any, function: Callable[[int], None]) -> None:
        ok = self._gst.PadProbeReturn.OK

        def probe(_pad: Any, info: Any) -> Any:
            try:
                function(hash(info.get_buffer()))
            except Exception as error:  # an exception in a probe would only be printed
                log.debug("a probe failed", exc_info=error)
                self._fail_later(f"{type(error).__name__}: {error}")
            return ok

        element.get_static_pad("src").add_probe(self._gst.PadProbeType.BUFFER, probe)

    def _fail_later(self, message: str) -> None:
        self._error = self._error or message
        self._glib.idle_add(self._loop.quit)

    # running ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Play until the end; returns the exit code."""
        gst, glib = self._gst, self._glib
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        handler = bus.connect("message", self._on_message)
        timers = [
            glib.timeout_add(250, self._tick),
            glib.unix_signal_add(glib.PRIORITY_HIGH, signal.SIGINT, self._interrupt),
            glib.unix_signal_add(glib.PRIORITY_HIGH, signal.SIGTERM, self._interrupt),
        ]
        started = time.monotonic()
        self._display.start()
        if self._output.kind == "rtsp":
            self._display.say(f"serving {self._output.target}")
        try:
            self._play()
            if self._error is None:
                self._loop.run()
        finally:
            self._display.stop()
            self._pipeline.set_state(gst.State.NULL)
            for timer in timers:
                glib.source_remove(timer)
            bus.disconnect(handler)
            bus.remove_signal_watch()
        if self._error is not None:
            raise MillraceError(self._error)
        return self._finish(time.monotonic() - started)

    def _finish(self, seconds: float) -> int:
        for source, stats in zip(self._sources, self._stats, strict=True):
            if not stats.error and not stats.frames and not self._interrupted:
                self._stream_failed(source.number, "no frame came out of it")
            elif not stats.error and source.damaged_frames:
                self._stream_failed(source.number, f"{source.damaged_frames} frames are damaged; the rest was played")
        print_summary(self._stats, seconds, to_stderr=self._options.json == "-")
        if self._output.kind in ("file", "still") and any(stats.frames for stats in self._stats):
            print_to = self._display.say if self._options.json == "-" else print
            print_to(f"written: {self._output.target}")
        if self._interrupted:
            return _INTERRUPTED
        return 1 if any(stats.error for stats in self._stats) else 0

    def _play(self) -> None:
        gst = self._gst
        while self._pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            # a source that cannot even start takes the pipeline's state change with it: go on without that one
            message = self._pipeline.get_bus().pop_filtered(gst.MessageType.ERROR)
            number = self._source_of(message.src) if message is not None else None
            if message is None or number is None or self._stats[number].error:
                self._error = message.parse_error()[0].message if message else "the pipeline cannot be started"
                return
            self._source_error(number, message.parse_error()[0])
            self._remove(self._sources[number])

    def _tick(self) -> bool:
        for source in self._sources:
            source.read_duration()
        self._display.update()
        return True

    def _interrupt(self) -> bool:
        if self._interrupted:
            os._exit(_INTERRUPTED)  # asked twice: the file cannot be finished
        self._interrupted = True
        self._display.say("millrace: stopping (once more to stop at once, without finishing the file)")
        for source in self._sources:
            source.end()
        self._glib.timeout_add_seconds(_END_TIMEOUT_S, self._give_up)
        return True

    def _give_up(self) -> bool:
        self._fail_later(f"the pipeline did not end within {_END_TIMEOUT_S} s after the interrupt")
        return False

    def _source_of(self, element: Any) -> int | None:
        while element is not None:
            for source in self._sources:
                if source.element == element:
                    return source.number
            element = element.get_parent()
        return None

    def _removed(self, element: Any) -> bool:
        """Whether ``element`` is what is left of a source that was taken out."""
        while element is not None and element != self._pipeline:
            element = element.get_parent()
        return element is None

    def _on_message(self, _bus: Any, message: Any) -> None:
        gst = self._gst
        if self._removed(message.src):
            return
        if message.type == gst.MessageType.EOS:
            self._loop.quit()
        elif message.type == gst.MessageType.ERROR:
            error, debug = message.parse_error()
            log.info("%s: %s (%s)", message.src.get_path_string(), error.message, debug)
            number = self._source_of(message.src)
            if number is None:
                self._error = self._error or error.message
                self._loop.quit()
            else:
                self._source_error(number, error)
        elif message.type == gst.MessageType.WARNING:
            error, _debug = message.parse_warning()
            number = self._source_of(message.src)
            if number is None:
                self._display.say(f"millrace: warning: {error.message}")
            elif self._sources[number].broken_off:
                pass  # what a decoder had not given out when the stream was ended is not lost to damage
            elif error.matches(gst.StreamError.quark(), gst.StreamError.DECODE):
                self._stream_failed(number, f"{error.message}; what can be decoded is played")

    def _source_error(self, number: int, error: Any) -> None:
        from millrace.app.pose_source import explain

        source = self._sources[number]
        text = explain(source.item, error)
        if self._stats[number].frames:
            text = f"broken off after {self._stats[number].frames} frames: {text}"
        self._stream_failed(number, text)
        if all(stats.error for stats in self._stats) and not any(stats.frames for stats in self._stats):
            self._loop.quit()
            self._glib.idle_add(self._loop.quit)  # the loop may not have started
            return
        if source.mux_pad.is_linked():
            # most sources end their stream themselves after an error; this is for those that do not
            self._glib.timeout_add(500, source.end)
        else:
            self._remove(source)
            # a pipeline whose part failed no longer goes on by itself
            self._pipeline.set_state(self._gst.State.PLAYING)

    def _remove(self, source: Any) -> None:
        """Take out a source that gave nothing; the pipeline would wait for it to become ready."""
        if source.element.get_parent() is not None:
            self._pipeline.remove(source.element)
            source.element.set_state(self._gst.State.NULL)
        source.end()

    def _stream_failed(self, number: int, text: str) -> None:
        stats = self._stats[number]
        if not stats.error:
            stats.error = text
            self._display.say(f"millrace: error: stream {stats.name}: {text}")
