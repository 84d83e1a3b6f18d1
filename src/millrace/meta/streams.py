"""pyds functions on GStreamer elements: events for one source, and NTP time of RTSP sources."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_uint, c_ulong, c_void_p
from typing import Any

from .checked import INT, UINT, whole
from .strings import CAN_PROBE, _memory

#: GST_NVEVENT_INFER_INTERVAL_UPDATE in DeepStream's numbering of custom events.
_INTERVAL_UPDATE = 407

_EVENT_TYPE_OFFSET = 64  # of GstEvent.type, behind the GstMiniObject
_TYPE_NODE_BYTES = 64
_LARGEST_FUNDAMENTAL = 255 << 2  # types up to this number are no addresses

_SOURCE_SETUP = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)


def _address(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        if not type(value).__module__.startswith(("gi.", "__gi__")):
            raise TypeError(f"{name}() needs hash(element), got {type(value).__name__}")
        value = hash(value)
    if not _is_element(value):
        raise ValueError(f"{name}(): there is no Gst.Element at {value:#x}; pass hash(element)")
    return value


def _is_element(address: int) -> bool:
    """Whether a GstElement lives there; what is no object at all is told by reading through the kernel."""
    if address <= 0 or not CAN_PROBE:
        return address > 0
    from ..elements._gst import Gst
    from ..elements._native import _declare, _gobject

    try:
        instance_class = int.from_bytes(_memory(address, size=8), "little")
        kind = int.from_bytes(_memory(instance_class, size=8), "little")
        node = _memory(kind & ~3, size=_TYPE_NODE_BYTES)
    except ValueError:
        return False
    if kind % 4 or len(node) < _TYPE_NODE_BYTES or kind <= _LARGEST_FUNDAMENTAL:
        return False
    is_a = _declare(_gobject, "g_type_is_a", c_int, c_ulong, c_ulong)
    return bool(is_a(kind, int(hash(Gst.Element.__gtype__))))


def _send(element: int, kind: int, structure: str) -> bool:
    from ..elements import events
    from ..elements._gst import Gst
    from ..elements._native import _declare, _gst

    send = _declare(_gst, "gst_element_send_event", c_int, c_void_p, c_void_p)
    made = Gst.Structure.new_from_string(structure)
    return bool(send(element, events._event_new_custom(kind, events._structure_copy(hash(made)))))


def gst_element_send_nvevent_new_stream_reset(gst_element: int, source_id: int) -> bool:
    """Tell an element and those downstream that source ``source_id`` starts anew (after a reconnection).

    Args:
        gst_element: ``hash(element)``.
        source_id: the muxer's pad index of the source.

    Returns:
        Whether the event was handled.
    """
    from ..elements import events

    name = "gst_element_send_nvevent_new_stream_reset"
    source = whole(source_id, f"{name}(): source_id", UINT)
    return _send(_address(gst_element, name), events.STREAM_RESET, f"nv-stream-reset, source-id=(uint){source}")


def gst_nvevent_new_stream_reset(source_id: int) -> Any:
    """The event of :func:`gst_element_send_nvevent_new_stream_reset`, for ``element.send_event()`` (pyds 1.1.3).

    Args:
        source_id: the muxer's pad index of the source.

    Returns:
        A ``Gst.Event``.
    """
    from ..elements import events
    from ..elements._gst import Gst

    source = whole(source_id, "gst_nvevent_new_stream_reset(): source_id", UINT)
    structure = Gst.Structure.new_from_string(f"nv-stream-reset, source-id=(uint){source}")
    event = Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, structure)
    # PyGObject makes events of GStreamer's own types only, and DeepStream's number is none of those
    c_int.from_address(hash(event) + _EVENT_TYPE_OFFSET).value = events.STREAM_RESET
    return event


def gst_element_send_nvevent_interval_update(gst_element: int, stream_id: str, interval: int) -> bool:
    """Ask an nvinfer to infer one stream with another ``interval``.

    Args:
        gst_element: ``hash(nvinfer)``.
        stream_id: the stream, as a str.
        interval: batches to skip between inferences.

    Returns:
        Whether the event was handled.
    """
    from ..elements import events

    name = "gst_element_send_nvevent_interval_update"
    if not isinstance(stream_id, str):
        raise TypeError(f"{name}() needs a stream id (a str), got {type(stream_id).__name__}")
    quoted = stream_id.replace("\\", "\\\\").replace('"', '\\"')
    batches = whole(interval, f"{name}(): interval", (0, INT[1]))
    structure = f'nv-infer-interval-update, stream-id=(string)"{quoted}", interval=(uint){batches}'
    return _send(_address(gst_element, name), events._event_type(_INTERVAL_UPDATE), structure)


def _want_reference_time(element: int) -> bool:
    """Switch on the reference timestamps of an rtspsrc; False for an element that has none."""
    library = ctypes.PyDLL("libgobject-2.0.so.0")
    find = library.g_object_class_find_property
    find.restype, find.argtypes = c_void_p, [c_void_p, c_char_p]
    name = b"add-reference-timestamp-meta"
    if not find(c_void_p.from_address(element).value, name):
        return False
    library.g_object_set(c_void_p(element), name, c_int(1), c_void_p(None))
    return True


@_SOURCE_SETUP
def _source_setup(_bin: int, source: int, _data: int | None) -> None:
    _want_reference_time(source)


def configure_source_for_ntp_sync(src_elem: int) -> None:
    """Let an RTSP source pass the camera's NTP time on with its frames, as reference timestamps.

    Args:
        src_elem: ``hash(element)`` of an rtspsrc or uridecodebin; other elements are left as they are.
    """
    address = _address(src_elem, "configure_source_for_ntp_sync")
    if _want_reference_time(address):
        return
    library = ctypes.PyDLL("libgobject-2.0.so.0")
    lookup = library.g_signal_lookup
    lookup.restype, lookup.argtypes = c_uint, [c_char_p, c_ulong]
    kind = c_ulong.from_address(c_void_p.from_address(address).value or 0).value
    if lookup(b"source-setup", kind):
        connect = library.g_signal_connect_data
        connect.restype = c_ulong
        connect.argtypes = [c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_int]
        connect(address, b"source-setup", ctypes.cast(_source_setup, c_void_p), None, None, 0)
