"""The end of an RTSP stream of known length, which GStreamer's rtpjitterbuffer does not always survive.

The length (``npt-stop`` in the caps) arms a timer that ends the stream. When the pipeline is late, the timer has run
out before the last packets leave; each packet then arms it again without waking the thread that serves timers. At the
end the jitter buffer waits for that timer for ever, and often cannot be stopped either (seen with GStreamer 1.22).
Without ``npt-stop`` there is no such timer: the stream ends with the server's BYE, or when nothing comes any more.
"""

from __future__ import annotations

from typing import Any

from ._gst import Gst


def watch_jitter_buffers(element: Gst.Element) -> tuple[Gst.Bin, int] | None:
    """Take the length from all RTP streams of the pipeline that an element is in, now and later.

    Returns:
        What :func:`unwatch` takes, or None for an element outside of any bin.
    """
    top = element.get_parent()
    if top is None:
        return None
    while (parent := top.get_parent()) is not None:
        top = parent
    iterator = top.iterate_all_by_element_factory_name("rtpjitterbuffer")
    iterator.foreach(_mend)
    return top, top.connect("deep-element-added", _on_element)


def unwatch(watched: tuple[Gst.Bin, int] | None) -> None:
    """End what :func:`watch_jitter_buffers` began."""
    if watched is not None:
        watched[0].disconnect(watched[1])


def _on_element(_top: Gst.Bin, _bin: Gst.Bin, element: Gst.Element) -> None:
    factory = element.get_factory()
    if factory is not None and factory.get_name() == "rtpjitterbuffer":
        _mend(element)


def _mend(jitter_buffer: Gst.Element, *_: Any) -> None:
    pad = jitter_buffer.get_static_pad("sink")
    if pad is not None:
        pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, _on_event)


def _without_length(caps: Gst.Caps) -> Gst.Caps:
    structure = caps.get_structure(0).copy()  # PyGObject gives a copy or the caps' own, by its version
    structure.remove_field("npt-stop")
    result = Gst.Caps.new_empty()
    result.append_structure(structure)
    return result


def _on_event(pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
    event = info.get_event()
    if event.type != Gst.EventType.CAPS:
        return Gst.PadProbeReturn.OK
    caps = event.parse_caps()
    if not caps.get_structure(0).has_field("npt-stop"):
        return Gst.PadProbeReturn.OK
    pad.send_event(Gst.Event.new_caps(_without_length(caps)))
    return Gst.PadProbeReturn.DROP
