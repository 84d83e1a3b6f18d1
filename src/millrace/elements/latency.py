"""Component latency: with ``NVDS_ENABLE_COMPONENT_LATENCY_MEASUREMENT`` each element notes when a batch comes and goes.

Pad probes do it, so that nothing is in the way when the variable is not set. ``pyds.nvds_measure_buffer_latency``
prints what was noted.
"""

from __future__ import annotations

import weakref

from ..meta.latency import COMPONENTS, ComponentLatency, add, components_of, is_on, now_ms
from ._gst import Gst
from .handle import batch_of

_MUXER = "nvstreammux"
_DECODER = "decoder latency"  # key in Batch.extra
_KEPT = 4096  # arrivals that never leave, such as those of dropped frames, must not pile up


class _Watch:
    """The probes of one element."""

    def __init__(self, element: Gst.Element, factory: str) -> None:
        self._element = weakref.ref(element)
        self._is_muxer = factory == _MUXER
        self._is_decoder = factory == "nvv4l2decoder"
        # (name of the sink pad, pts) -> (ms of arrival, what the decoder took)
        self._arrived: dict[tuple[str, int], tuple[float, ComponentLatency | None]] = {}

    def came(self, pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """A buffer arrives at a sink pad."""
        buffer, element = info.get_buffer(), self._element()
        if buffer is None or element is None:
            return Gst.PadProbeReturn.OK
        batch = batch_of(hash(buffer))
        if self._is_muxer or self._is_decoder:
            decoded = (batch.extra or {}).get(_DECODER) if batch is not None else None
            if len(self._arrived) >= _KEPT:
                self._arrived.pop(next(iter(self._arrived)), None)
            self._arrived[pad.get_name() if self._is_muxer else "", buffer.pts] = now_ms(), decoded
        elif batch is not None and batch.meta is not None:
            add(batch.meta, ComponentLatency(element.get_name(), now_ms()))
        return Gst.PadProbeReturn.OK

    def left(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """A buffer leaves by a source pad."""
        buffer, element = info.get_buffer(), self._element()
        batch = batch_of(hash(buffer)) if buffer is not None else None
        if batch is None or element is None:
            return Gst.PadProbeReturn.OK
        name, now = element.get_name(), now_ms()
        if self._is_decoder:
            came, _ = self._arrived.pop(("", buffer.pts), (None, None))
            if came is not None:
                batch.extra = {**(batch.extra or {}), _DECODER: ComponentLatency(name, came, now)}
        elif batch.meta is not None and self._is_muxer:
            for frame in batch.meta.frames:
                came, decoded = self._arrived.pop((f"sink_{frame.pad_index}", frame.buf_pts), (None, None))
                if decoded is not None:
                    add(batch.meta, decoded)
                if came is not None:
                    place = (frame.source_id, frame.pad_index, frame.frame_num)
                    add(batch.meta, ComponentLatency(f"{_MUXER}-{name}", came, now, place))
        elif batch.meta is not None:
            for item in components_of(batch.meta):
                if item.component == name and not item.left:
                    item.left = now
        return Gst.PadProbeReturn.OK


_watches: weakref.WeakKeyDictionary[Gst.Element, _Watch] = weakref.WeakKeyDictionary()


def watch(element: Gst.Element, pad: Gst.Pad) -> None:
    """Note what passes ``pad`` of ``element``, when the environment asks for it."""
    if not is_on(COMPONENTS):
        return
    found = _watches.get(element)
    if found is None:
        factory = {"GstNvStreamMux": _MUXER, "GstNvV4l2Decoder": "nvv4l2decoder"}
        found = _watches[element] = _Watch(element, factory.get(type(element).__gtype__.name, ""))
    arrives = pad.get_direction() == Gst.PadDirection.SINK
    pad.add_probe(Gst.PadProbeType.BUFFER, found.came if arrives else found.left)
