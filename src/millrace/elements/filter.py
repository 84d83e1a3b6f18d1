"""Base of the elements with one sink and one source pad."""

from __future__ import annotations

from ..errors import MediaError
from ..meta.batch import Batch
from . import _native
from . import caps as nvcaps
from ._gst import Gst
from .base import NvElement, guarded
from .handle import batch_of


class NvFilter(NvElement):
    """One buffer in, one buffer out, in the caller's thread; caps pass through unless a subclass says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.sinkpad = self.new_pad("sink")
        self.srcpad = self.new_pad("src")
        self.take_buffers(self.sinkpad)
        self.sinkpad.set_event_function_full(guarded(type(self).on_sink_event))
        self.sinkpad.set_query_function_full(guarded(type(self).on_sink_query))
        self.srcpad.set_query_function_full(guarded(type(self).on_src_query))
        self.add_pad(self.sinkpad)
        self.add_pad(self.srcpad)
        self._src = hash(self.srcpad)

    # Events and queries ------------------------------------------------------------------------------------------

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """Negotiate on caps; everything else goes on downstream."""
        if event.type == Gst.EventType.CAPS:
            out = self.set_caps(event.parse_caps())
            return bool(out is not None and self.srcpad.push_event(Gst.Event.new_caps(out)))
        return bool(self.srcpad.push_event(event))

    def on_sink_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Caps that the sink pad takes."""
        if query.type == Gst.QueryType.CAPS:
            return bool(pad.proxy_query_caps(query))
        if query.type == Gst.QueryType.ALLOCATION:
            return False  # handles are made here; there is nothing to share a pool of
        return bool(pad.query_default(self, query))

    def on_src_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Caps that the source pad makes."""
        if query.type == Gst.QueryType.CAPS:
            return bool(pad.proxy_query_caps(query))
        return bool(pad.query_default(self, query))

    def set_caps(self, caps: Gst.Caps) -> Gst.Caps | None:
        """New input caps; returns the output caps, or ``None`` when there is none that downstream takes."""
        return caps

    # Data ----------------------------------------------------------------------------------------------------------

    def chain(self, pad: int, address: int) -> int:
        """Process the buffer and push what comes of it."""
        out = self.process(address)
        return _native.FLOW_OK if out is None else int(_native.pad_push(self._src, out))

    def process(self, address: int) -> int | None:
        """Turn the owned buffer into the buffer to push, or ``None`` to push nothing."""
        return address

    def writable_batch(self, address: int, need_meta: bool = False) -> tuple[int, Batch]:
        """The buffer, copied when others hold it too, and its batch, safe to change.

        Raises:
            MediaError: the buffer carries no surfaces (or, with ``need_meta``, no batch metadata).
        """
        address = _native.make_writable(address)
        batch = batch_of(address)
        if batch is None or (need_meta and batch.meta is None):
            _native.mini_object_unref(address)
            what = "batch metadata" if batch is not None else "surfaces"
            raise MediaError(
                f"{self.get_name()}: a buffer came without {what}; put nvstreammux before this element, and "
                f"nvvideoconvert where frames come from system memory ({nvcaps.NVMM})"
            )
        return address, batch
