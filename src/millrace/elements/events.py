"""DeepStream's GST_NVEVENT_* events: what happens to one source of a batch, told downstream.

Their type numbers are not among GStreamer's own, so they are made and pushed by ctypes.
"""

from __future__ import annotations

from ctypes import c_int, c_void_p

from ._gst import Gst
from ._native import _declare, _gst, _gst_gil

_DOWNSTREAM_SERIALIZED = 1 << 1 | 1 << 2


def _event_type(number: int) -> int:
    return number << 8 | _DOWNSTREAM_SERIALIZED


PAD_ADDED = _event_type(400)
PAD_DELETED = _event_type(401)
STREAM_EOS = _event_type(402)
STREAM_SEGMENT = _event_type(403)
STREAM_RESET = _event_type(404)
STREAM_START = _event_type(405)
INFER_INTERVAL_UPDATE = _event_type(407)

_structure_copy = _declare(_gst_gil, "gst_structure_copy", c_void_p, c_void_p)
_event_new_custom = _declare(_gst_gil, "gst_event_new_custom", c_void_p, c_int, c_void_p)
_push_event = _declare(_gst, "gst_pad_push_event", c_int, c_void_p, c_void_p)  # may block: without the GIL


def push(pad: Gst.Pad, kind: int, name: str, source_id: int, **fields: object) -> bool:
    """Push one event about source ``source_id`` (the muxer's pad index) on a source pad.

    Args:
        pad: the pad to push on.
        kind: one of this module's event types.
        name: structure name, such as ``"nv-pad-added"``.
        source_id: index of the muxer's sink pad.
        fields: more fields of the structure.
    """
    structure = Gst.Structure.new_from_string(f"{name}, source-id=(uint){source_id}")
    for field, value in fields.items():
        structure.set_value(field.replace("_", "-"), value)
    return bool(_push_event(hash(pad), _event_new_custom(kind, _structure_copy(hash(structure)))))


def pad_added(pad: Gst.Pad, source_id: int) -> bool:
    """A source joined the batch."""
    return push(pad, PAD_ADDED, "nv-pad-added", source_id)


def pad_deleted(pad: Gst.Pad, source_id: int) -> bool:
    """A source left the batch."""
    return push(pad, PAD_DELETED, "nv-pad-deleted", source_id)


def stream_eos(pad: Gst.Pad, source_id: int) -> bool:
    """A source has no more frames."""
    return push(pad, STREAM_EOS, "nv-stream-eos", source_id)


def stream_start(pad: Gst.Pad, source_id: int, stream_id: str) -> bool:
    """A source starts a stream."""
    return push(pad, STREAM_START, "nv-stream-start", source_id, stream_id=stream_id)


def stream_segment(pad: Gst.Pad, source_id: int, segment: Gst.Segment) -> bool:
    """A source starts a segment."""
    return push(pad, STREAM_SEGMENT, "nv-stream-segment", source_id, segment=segment)
