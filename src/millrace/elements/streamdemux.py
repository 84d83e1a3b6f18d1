"""nvstreamdemux: one batched buffer in, each source's frame out on that source's pad."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from ..errors import MediaError
from ..meta.batch import Batch
from ..meta.frame import NvDsBatchMeta, NvDsFrameMeta
from ..meta.functions import nvds_add_frame_meta_to_batch, nvds_create_batch_meta
from ..surface import Surface
from . import _native, events
from . import caps as nvcaps
from ._gst import Gst
from .base import NvElement, guarded, requested_index
from .handle import batch_of, new_handle
from .muxinput import GIVES_PADS_AWAY
from .properties import properties_of

_ANY = Gst.Caps.from_string(nvcaps.nvmm_caps())
_OF_ONE_SOURCE = (events.PAD_ADDED, events.PAD_DELETED, events.STREAM_RESET)


@dataclass
class Output:
    """What the demuxer knows of one source pad: its number is the index of the muxer's sink pad."""

    index: int
    pad: Gst.Pad
    segment: Gst.Segment | None = None
    picture: tuple[str, int, int] | None = None  # format, width and height of the caps sent last
    started: bool = False
    segment_sent: bool = False
    ended: bool = False
    flow: int = field(default=_native.FLOW_OK)


def split(batch: Batch, frame: NvDsFrameMeta, surface: Surface) -> Batch:
    """A batch of one: the picture (shared until one side writes) and copies of the metadata of its frame.

    Args:
        batch: the batch that the frame is in; the user metadata of the batch goes along with each of its frames.
        frame: one of the batch's frames; its user metadata is copied by its copy functions.
        surface: the picture of that frame.
    """
    assert batch.meta is not None
    meta: NvDsBatchMeta = nvds_create_batch_meta(1)
    single = frame.duplicate(meta._state)
    single.batch_id = 0
    nvds_add_frame_meta_to_batch(meta, single)
    for user in batch.meta._users:
        meta._users.append(user.duplicate(meta._state))
    return Batch([surface.share()], meta)


class NvStreamDemux(NvElement, Gst.Element):
    """Splits batches; frames of a source whose pad nobody asked for are dropped."""

    __gtype_name__ = "GstNvStreamDemux"
    __gstmetadata__ = (
        "Stream demultiplexer",
        "Generic",
        "Splits batched buffers into buffers of one frame, each on its source's pad",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _ANY),
        Gst.PadTemplate.new("src_%u", Gst.PadDirection.SRC, Gst.PadPresence.REQUEST, _ANY),
    )
    __gproperties__ = properties_of("nvstreamdemux")

    def __init__(self) -> None:
        super().__init__()
        self.sinkpad = self.new_pad("sink")
        self.take_buffers(self.sinkpad)
        self.sinkpad.set_event_function_full(guarded(NvStreamDemux.on_sink_event))
        self.sinkpad.set_query_function_full(guarded(NvStreamDemux.on_sink_query))
        self.add_pad(self.sinkpad)
        self._outputs: dict[int, Output] = {}
        self._lock = threading.Lock()
        self._video: nvcaps.VideoCaps | None = None
        self._segments: dict[int, Gst.Segment] = {}  # of sources, also of those whose pad comes later
        self._segment: Gst.Segment | None = None

    # Pads ----------------------------------------------------------------------------------------------------------

    def do_request_new_pad(self, template: Gst.PadTemplate, name: str | None, caps: Gst.Caps | None) -> Gst.Pad | None:
        """A pad for the source of that number; the first free number without a name."""
        with self._lock:
            index = requested_index(name, "src_", self._outputs)
            if index is None:
                return None
            pad = self.new_pad("src_%u", f"src_{index}")
            pad.set_query_function_full(guarded(NvStreamDemux.on_src_query))
            pad.set_event_function_full(guarded(NvStreamDemux.on_src_event))
            self._outputs[index] = Output(index, pad)
        pad.set_active(True)
        self.add_pad(pad)
        if GIVES_PADS_AWAY:
            _native.object_unref(hash(pad))
        return pad

    def do_release_pad(self, pad: Gst.Pad) -> None:
        """Nobody wants this source any more."""
        if not hasattr(self, "_outputs"):
            return  # the element is being disposed of: its Python side has gone already
        with self._lock:
            for index, output in list(self._outputs.items()):
                if hash(output.pad) == hash(pad):
                    del self._outputs[index]
        pad.set_active(False)
        self.remove_pad(pad)

    def _all(self) -> list[Output]:
        with self._lock:
            return [self._outputs[index] for index in sorted(self._outputs)]

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start each pad's stream anew."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            self._video, self._segment = None, None
            self._segments.clear()
            for output in self._all():
                output.started = output.segment_sent = output.ended = False
                output.picture, output.flow = None, _native.FLOW_OK
        return Gst.Element.do_change_state(self, transition)

    # Events and queries --------------------------------------------------------------------------------------------

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """What concerns one source goes to its pad, what concerns all to all pads."""
        kind = event.type
        if kind == Gst.EventType.CAPS:
            self._video = nvcaps.parse(event.parse_caps())
            for output in self._all():
                output.picture = None
            return True
        if kind == Gst.EventType.STREAM_START:
            return True
        if kind == Gst.EventType.SEGMENT:
            self._segment = Gst.Segment()
            event.copy_segment(self._segment)
            for output in self._all():
                output.segment_sent = False
            return True
        if kind == Gst.EventType.EOS:
            for output in self._all():
                self._end(output)
            return True
        number = _native.event_type(event)
        if number in (events.STREAM_EOS, events.STREAM_SEGMENT, events.STREAM_START, *_OF_ONE_SOURCE):
            self._on_source_event(number, event)
            return True
        if kind == Gst.EventType.FLUSH_STOP:
            for output in self._all():
                output.segment_sent = output.ended = False
                output.flow = _native.FLOW_OK
        done = [output.pad.push_event(event) for output in self._all()]
        return any(done) or not done

    def _on_source_event(self, number: int, event: Gst.Event) -> None:
        structure = event.get_structure()
        index = structure.get_uint("source-id")[1]
        with self._lock:
            output = self._outputs.get(index)
        if number == events.STREAM_SEGMENT:
            self._segments[index] = structure.get_value("segment").copy()  # what it gives goes with the event
            if output is not None:
                output.segment_sent = False
        if output is None:
            return
        if number == events.STREAM_START:
            output.ended = False
        elif number == events.STREAM_EOS:
            if self.value("per-stream-eos"):
                self._end(output)
        elif number in _OF_ONE_SOURCE:
            output.pad.push_event(event)

    def _end(self, output: Output) -> None:
        if output.ended:
            return
        self._start(output)
        output.ended = True
        output.pad.push_event(Gst.Event.new_eos())

    def on_sink_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Surfaces of any size; latency and position are those of any output."""
        if query.type == Gst.QueryType.CAPS:
            wanted = query.parse_caps()
            query.set_caps_result(wanted.intersect(_ANY) if wanted is not None else _ANY)
            return True
        if query.type == Gst.QueryType.ALLOCATION:
            return False
        return bool(pad.query_default(self, query))

    def on_src_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Everything but the caps is upstream's to answer."""
        if query.type == Gst.QueryType.CAPS:
            caps = pad.get_current_caps() or _ANY
            wanted = query.parse_caps()
            query.set_caps_result(wanted.intersect(caps) if wanted is not None else caps)
            return True
        if query.type == Gst.QueryType.ACCEPT_CAPS:
            return bool(pad.query_default(self, query))
        return bool(self.sinkpad.peer_query(query))

    def on_src_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """One late source must not slow the others: QoS ends here, the rest goes upstream."""
        return True if event.type == Gst.EventType.QOS else bool(self.sinkpad.push_event(event))

    # Data ----------------------------------------------------------------------------------------------------------

    def chain(self, pad: int, address: int) -> int:
        """Push each frame of the batch on its pad."""
        try:
            batch = batch_of(address)
            if batch is None or batch.meta is None:
                raise MediaError(
                    f"{self.get_name()}: a buffer came without batch metadata; nvstreamdemux splits what nvstreammux "
                    "made, before any nvmultistreamtiler"
                )
            duration = _native.buffer_fields(address).duration
            parts: list[tuple[Output, int, NvDsFrameMeta, Surface]] = []
            for frame in batch.meta.frames:
                with self._lock:
                    output = self._outputs.get(frame.pad_index)
                if output is None or output.ended:
                    continue
                if frame.batch_id >= len(batch.surfaces):
                    raise MediaError(
                        f"{self.get_name()}: frame {frame.frame_num} of source {frame.pad_index} has no picture of its "
                        "own; put nvstreamdemux before nvmultistreamtiler"
                    )
                surface = batch.surface_of(frame)
                buffer = new_handle(split(batch, frame, surface), frame.buf_pts, duration)
                parts.append((output, buffer, frame, surface))
            del batch
        finally:
            _native.mini_object_unref(address)
        for output, buffer, _, surface in parts:
            self._start(output, surface)
            output.flow = int(_native.pad_push(hash(output.pad), buffer))
        return self._flow()

    def _flow(self) -> int:
        """What all pads together say: one that flows is enough, an error is everybody's."""
        flows = [output.flow for output in self._all()]
        for flow in flows:
            if flow <= _native.FLOW_NOT_NEGOTIATED:
                return flow
        if not flows or any(flow >= _native.FLOW_OK for flow in flows):
            return _native.FLOW_OK
        return _native.FLOW_FLUSHING if _native.FLOW_FLUSHING in flows else max(flows)

    def _start(self, output: Output, surface: Surface | None = None) -> None:
        """Stream start, caps and segment, each where it is due."""
        if not output.started:
            output.started = True
            output.pad.push_event(Gst.Event.new_stream_start(f"{self.get_name()}-{os.getpid()}-{output.index}"))
        picture = (surface.format, surface.width, surface.height) if surface is not None else None
        if surface is not None and picture != output.picture:
            output.picture = picture
            numerator, denominator = self._video.framerate if self._video is not None else (0, 1)
            output.pad.push_event(
                Gst.Event.new_caps(
                    Gst.Caps.from_string(
                        f"video/x-raw({nvcaps.NVMM}), format=(string){surface.format}, width=(int){surface.width}, "
                        f"height=(int){surface.height}, framerate=(fraction){numerator}/{denominator}, "
                        "batch-size=(int)1, num-surfaces-per-frame=(int)1, "
                        f"colorimetry=(string){nvcaps.colorimetry_name(surface.colorimetry, rgb=False)}"
                    )
                )
            )
        if not output.segment_sent:
            # timestamps are the source's own again, so its own segment tells their running time
            segment = self._segments.get(output.index) or self._segment
            if segment is None:
                segment = Gst.Segment()
                segment.init(Gst.Format.TIME)
            output.segment_sent = True
            output.pad.push_event(Gst.Event.new_segment(segment))
