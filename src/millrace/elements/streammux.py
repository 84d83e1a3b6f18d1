"""nvstreammux: many sources in, one batched buffer out."""

from __future__ import annotations

import os
import threading
import time

from ..errors import ConfigError, MediaError
from ..meta.batch import Batch
from ..meta.functions import (
    nvds_acquire_frame_meta_from_pool,
    nvds_add_frame_meta_to_batch,
    nvds_create_batch_meta,
)
from ..surface import Surface
from . import _native, events
from . import caps as nvcaps
from ._gst import Gst
from .base import NvElement, guarded, post_error, requested_index
from .batcher import Batcher, Frame, Round
from .convert import INTERPOLATION_NAMES
from .handle import batch_of, new_handle
from .muxinput import GIVES_PADS_AWAY, Input, fit
from .properties import properties_of
from .refusal import why_refused
from .rtpend import unwatch, watch_jitter_buffers


class NvStreamMux(NvElement, Gst.Element):
    """Forms batches of the frames of many sources and starts their metadata."""

    __gtype_name__ = "GstNvStreamMux"
    __gstmetadata__ = (
        "Stream multiplexer",
        "Generic",
        "Forms batched buffers of frames from many sources, with NvDsBatchMeta",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new(
            "sink_%u",
            Gst.PadDirection.SINK,
            Gst.PadPresence.REQUEST,
            Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420"))),
        ),
        Gst.PadTemplate.new(
            "src",
            Gst.PadDirection.SRC,
            Gst.PadPresence.ALWAYS,
            Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420"))),
        ),
    )
    __gproperties__ = properties_of("nvstreammux")

    def __init__(self) -> None:
        super().__init__()
        self.srcpad = self.new_pad("src")
        self.srcpad.set_query_function_full(guarded(NvStreamMux.on_src_query))
        self.srcpad.set_event_function_full(guarded(NvStreamMux.on_src_event))
        self.add_pad(self.srcpad)
        self._inputs: dict[int, Input] = {}
        self._by_address: dict[int, Input] = {}
        self._lock = threading.Lock()
        self._batcher = Batcher()
        self._worker: threading.Thread | None = None
        self._watched: tuple[Gst.Bin, int] | None = None
        self._caps: Gst.Caps | None = None
        self._flow = _native.FLOW_OK
        self._last_pts = -1
        self._flushing = 0
        self._pushing = threading.RLock()
        self._stream_started = self._segment_sent = False
        self._deleted: list[int] = []  # sources that left, not yet told downstream

    # Pads ----------------------------------------------------------------------------------------------------------

    def do_request_new_pad(self, template: Gst.PadTemplate, name: str | None, caps: Gst.Caps | None) -> Gst.Pad | None:
        """A new source joins."""
        with self._lock:
            index = requested_index(name, "sink_", self._inputs)
            if index is None:
                return None
            pad = self.new_pad("sink_%u", f"sink_{index}")
            self.take_buffers(pad)
            pad.set_event_function_full(guarded(NvStreamMux.on_sink_event))
            pad.set_query_function_full(guarded(NvStreamMux.on_sink_query))
            source = Input(index, pad)
            self._inputs[index] = source
            self._by_address[hash(pad)] = source
        self._batcher.add(index)
        pad.set_active(True)
        self.add_pad(pad)
        if GIVES_PADS_AWAY:
            _native.object_unref(hash(pad))
        return pad

    def do_release_pad(self, pad: Gst.Pad) -> None:
        """A source leaves."""
        if not hasattr(self, "_batcher"):
            return  # the element is being disposed of: its Python side has gone already
        with self._lock:
            source = self._by_address.pop(hash(pad), None)
            if source is not None:
                self._inputs.pop(source.index, None)
        if source is not None:
            self._batcher.remove(source.index)
            if source.announced:
                with self._lock:
                    self._deleted.append(source.index)
        pad.set_active(False)
        self.remove_pad(pad)

    def property_changed(self, name: str, value: object) -> None:
        """How long a batch waits may change while playing."""
        if name in ("batched-push-timeout", "max-latency"):
            self._set_patience()

    def _set_patience(self) -> None:
        timeout = self.value("batched-push-timeout")
        self._batcher.timeout_s = timeout / 1e6 if timeout >= 0 else -1.0
        self._batcher.max_latency_s = self.value("max-latency") / 1e9

    # State ---------------------------------------------------------------------------------------------------------

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start and stop the thread that pushes batches."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            try:
                self._start()
                self._watched = watch_jitter_buffers(self)
            except ConfigError as error:
                post_error(self, error)
                return Gst.StateChangeReturn.FAILURE
        elif transition == Gst.StateChange.PAUSED_TO_READY:
            self._batcher.stop()
            unwatch(self._watched)
            self._watched = None
        result = Gst.Element.do_change_state(self, transition)
        if transition == Gst.StateChange.PAUSED_TO_READY and self._worker is not None:
            self._worker.join()
            self._worker = None
        return result

    def _start(self) -> None:
        width, height = self.value("width"), self.value("height")
        if bool(width) != bool(height):
            raise ConfigError(
                f"{self.get_name()}: set both width and height, or neither to keep each source's own size; now "
                f"width={width}, height={height}"
            )
        batcher = self._batcher
        batcher.batch_size = self.value("batch-size")
        batcher.live = bool(self.value("live-source"))
        batcher.sync = self.value("sync-inputs")
        self._set_patience()
        batcher.start()
        self._caps = None
        self._stream_started = self._segment_sent = False
        self._flushing = 0
        self._flow = _native.FLOW_OK
        self._last_pts = -1
        for source in self._inputs.values():
            source.announced, source.begins = False, True
        self._worker = threading.Thread(target=self._run, name=f"{self.get_name()}:src", daemon=True)
        self._worker.start()

    # Events and queries --------------------------------------------------------------------------------------------

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """Events of one source; only what concerns all sources goes on downstream."""
        source = self._by_address.get(hash(pad))
        if source is None:
            return False
        kind = event.type
        if kind == Gst.EventType.CAPS:
            source.caps = nvcaps.parse(event.parse_caps())
        elif kind == Gst.EventType.SEGMENT:
            event.copy_segment(source.segment)
        elif kind == Gst.EventType.STREAM_START:
            source.begins = True
            self._batcher.resume(source.index)
        elif kind == Gst.EventType.EOS:
            self._batcher.end(source.index)
        elif kind in (Gst.EventType.FLUSH_START, Gst.EventType.FLUSH_STOP):
            self._flush_source(source, kind == Gst.EventType.FLUSH_START)
        elif kind == Gst.EventType.TAG:
            pass  # tags of one source do not describe the batch
        elif not _native.is_serialized(event):
            return bool(self.srcpad.push_event(event))
        return True

    def on_src_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """Seeks and QoS go to all sources."""
        if event.type == Gst.EventType.QOS:
            return True  # frames are never dropped here
        if event.type != Gst.EventType.SEEK or not event.parse_seek()[2] & Gst.SeekFlags.FLUSH:
            return bool(pad.event_default(self, event))
        self._flush(True)
        try:
            return bool(pad.event_default(self, event))
        finally:
            self._flush(False)

    def _flush_source(self, source: Input, flushing: bool) -> None:
        """One source drops its frames; downstream is flushed only when there is no other source to disturb."""
        self._batcher.flush(source.index, flushing)
        source.begins = True
        if flushing and not self._flushing and len(self._inputs) == 1:
            source.flushes_all = True
            self._flush(True)
        elif not flushing and source.flushes_all:
            source.flushes_all = False
            self._flush(False)

    def _flush(self, flushing: bool) -> None:
        """Downstream drops everything; no batch of before the flush comes after it."""
        with self._lock:
            self._flushing += 1 if flushing else -1
            if self._flushing != int(flushing):
                return  # inside another flush
        if flushing:
            self._batcher.hold(True)
            self.srcpad.push_event(Gst.Event.new_flush_start())
            with self._pushing:
                pass  # the pushing thread has come back from downstream
        else:
            self._flow = _native.FLOW_OK
            self._last_pts = -1
            self._segment_sent = False
            self.srcpad.push_event(Gst.Event.new_flush_stop(True))
            self._batcher.hold(False)

    def on_sink_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Any size is taken; the template says which formats."""
        if query.type == Gst.QueryType.CAPS:
            template = pad.get_pad_template_caps()
            wanted = query.parse_caps()
            query.set_caps_result(wanted.intersect(template) if wanted is not None else template)
            return True
        if query.type == Gst.QueryType.ALLOCATION:
            return False
        return bool(pad.query_default(self, query))

    def on_src_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Caps of the output; latency is the sources' plus the time that a batch may wait."""
        if query.type == Gst.QueryType.CAPS:
            caps = self._caps or pad.get_pad_template_caps()
            wanted = query.parse_caps()
            query.set_caps_result(wanted.intersect(caps) if wanted is not None else caps)
            return True
        done = bool(pad.query_default(self, query))
        if done and query.type == Gst.QueryType.LATENCY:
            live, least, most = query.parse_latency()
            own = max(0, self.value("batched-push-timeout")) * 1000
            query.set_latency(live, least + own, most if most == _native.CLOCK_TIME_NONE else most + own)
        return done

    # Data in -------------------------------------------------------------------------------------------------------

    def chain(self, pad: int, address: int) -> int:
        """Queue one frame of one source, scaled to the muxer's resolution."""
        try:
            source = self._by_address.get(pad)
            if source is None or self._flow != _native.FLOW_OK:
                return _native.FLOW_FLUSHING if source is None else self._flow
            batch = batch_of(address)
            if batch is None or not batch.surfaces:
                raise MediaError(
                    f"{self.get_name()}: {source.pad.get_name()} got a buffer without a surface; decode with "
                    "nvv4l2decoder or convert with nvvideoconvert to video/x-raw(memory:NVMM) first"
                )
            fields = _native.buffer_fields(address)
            surface = batch.surfaces[0]
            size = (surface.width, surface.height)
            running = source.segment.to_running_time(Gst.Format.TIME, fields.pts)
            if running == _native.CLOCK_TIME_NONE:
                running = 0
            if self._batcher.sync:
                running = source.synchronised_time(running, self._last_pts)
            frame = Frame(
                surface=self._scale(surface),
                pts=fields.pts,
                running_time=running,
                duration=fields.duration,
                ntp=time.time_ns() if self.value("attach-sys-ts") else _native.camera_time(address),
                source_size=size,
                number=self._batcher.number(source.index),
            )
        finally:
            _native.mini_object_unref(address)
        if not self._batcher.put(source.index, frame):
            return _native.FLOW_FLUSHING if self._flow == _native.FLOW_OK else self._flow
        return _native.FLOW_OK

    def _scale(self, surface: Surface) -> Surface:
        width, height = self.value("width"), self.value("height")
        if not width or not height:
            return surface
        method = INTERPOLATION_NAMES[int(self.value("interpolation-method"))]
        return fit(surface, width, height, method, padding=self.value("enable-padding"))

    # Data out ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """The pushing thread: batches until stopped or until downstream refuses."""
        while self._flow == _native.FLOW_OK:
            turn = self._batcher.take()
            if turn is None:
                return
            with self._pushing:
                if turn.holds != self._batcher.holds:
                    continue  # formed before a flush
                try:
                    flow = self._give(turn)
                except BaseException as error:  # whatever it is, this thread must not end in silence
                    post_error(self, error)
                    flow = _native.FLOW_ERROR
            # while downstream flushes, batches are lost and the next one may pass again
            stopped = flow not in (_native.FLOW_OK, _native.FLOW_FLUSHING)
            if stopped and not self._flushing and turn.holds == self._batcher.holds:
                self._flow = flow
        if self._flow not in (_native.FLOW_EOS, _native.FLOW_ERROR):
            post_error(self, f"{self.get_name()}: downstream refused a batch: {why_refused(self, self._flow)}")
        self._batcher.stop()

    def _give(self, turn: Round) -> int:
        """Push a batch, and tell which sources have ended."""
        if not self._stream_started:
            self._stream_started = True
            self.srcpad.push_event(Gst.Event.new_stream_start(f"{self.get_name()}-{os.getpid()}"))
        flow = self._push(turn.frames) if turn.frames else _native.FLOW_OK
        for index in turn.ended:
            events.stream_eos(self.srcpad, index)
            self._tell_bus(index)
            if self.value("frame-num-reset-on-eos"):
                self._batcher.renumber(index)
        if turn.finished and not (self.value("no-pipeline-eos") or self.value("drop-pipeline-eos")):
            self.srcpad.push_event(Gst.Event.new_eos())
        return flow

    def _push(self, frames: list[tuple[int, Frame]]) -> int:
        self._announce(frames)
        size = self.value("batch-size") or len(self._inputs)
        meta = nvds_create_batch_meta(max(size, len(frames)))
        surfaces: list[Surface] = []
        for index, frame in frames:
            item = nvds_acquire_frame_meta_from_pool(meta)
            item.pad_index = item.source_id = index
            item.batch_id = len(surfaces)
            item.frame_num = frame.number
            item.buf_pts = frame.pts
            item.ntp_timestamp = frame.ntp
            item.num_surfaces_per_frame = 1
            item.source_frame_width, item.source_frame_height = frame.source_size
            item.pipeline_width, item.pipeline_height = frame.surface.width, frame.surface.height
            nvds_add_frame_meta_to_batch(meta, item)
            surfaces.append(frame.surface)
        own, last = {} if self._batcher.sync else self._inputs, self._last_pts
        times = [own[n].output_time(f.running_time, last) if n in own else f.running_time for n, f in frames]
        pts = self._last_pts = max(last, min(times))
        return int(_native.pad_push(hash(self.srcpad), new_handle(Batch(surfaces, meta), pts, frames[0][1].duration)))

    def _announce(self, frames: list[tuple[int, Frame]]) -> None:
        """Caps and segment before the first batch; pad-added events before a source's first frame."""
        if self._caps is None:
            surface = frames[0][1].surface
            width = self.value("width") or max(f.surface.width for _, f in frames)
            height = self.value("height") or max(f.surface.height for _, f in frames)
            source = self._inputs.get(frames[0][0])
            rate = source.caps.framerate if source is not None and source.caps is not None else (0, 1)
            size = self.value("batch-size") or len(self._inputs)
            self._caps = Gst.Caps.from_string(
                f"video/x-raw({nvcaps.NVMM}), format=(string){surface.format}, width=(int){width}, "
                f"height=(int){height}, "
                f"framerate=(fraction){rate[0]}/{rate[1]}, batch-size=(int){size}, num-surfaces-per-frame=(int)1, "
                f"colorimetry=(string){nvcaps.colorimetry_name(surface.colorimetry, rgb=False)}"
            )
            self.srcpad.push_event(Gst.Event.new_caps(self._caps))
        if not self._segment_sent:
            self._segment_sent = True
            segment = Gst.Segment()
            segment.init(Gst.Format.TIME)
            self.srcpad.push_event(Gst.Event.new_segment(segment))
        with self._lock:
            deleted, self._deleted = self._deleted, []
        for index in deleted:
            events.pad_deleted(self.srcpad, index)
        for index, _ in frames:
            source = self._inputs.get(index)
            if source is not None and not source.announced:
                source.announced = True
                events.pad_added(self.srcpad, index)
                events.stream_start(self.srcpad, index, source.pad.get_stream_id() or "")
                events.stream_segment(self.srcpad, index, source.segment)

    def _tell_bus(self, index: int) -> None:
        """The element message that applications read with ``gst_nvmessage_parse_stream_eos``."""
        structure = Gst.Structure.new_from_string(f"stream-eos, stream-id=(uint){index}")
        self.post_message(Gst.Message.new_element(self, structure))
