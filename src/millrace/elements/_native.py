"""The few C calls that the data path needs, by ctypes: exact reference counts, no wrapper object per buffer.

PyGObject wraps every buffer that crosses into Python in an object that holds its own reference, so a pushed buffer
would never be writable downstream. Here a buffer is its address (an ``int``), owned exactly as GStreamer's C API says.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p

from ._gst import GObject, Gst, GstVideo

CLOCK_TIME_NONE = 0xFFFFFFFFFFFFFFFF

FLOW_OK = 0
FLOW_FLUSHING = -2
FLOW_EOS = -3
FLOW_NOT_NEGOTIATED = -4
FLOW_ERROR = -5

MAP_READ = 1
MAP_WRITE = 2

_gst = ctypes.CDLL("libgstreamer-1.0.so.0")  # releases the GIL: pushing may run a whole downstream pipeline
_gst_gil = ctypes.PyDLL("libgstreamer-1.0.so.0")  # keeps the GIL: cheap getters, and calls that touch Python objects
_gobject = ctypes.PyDLL("libgobject-2.0.so.0")


class GEnumValue(Structure):
    """One value of a GEnum class."""

    _fields_ = (("value", c_int), ("name", c_char_p), ("nick", c_char_p))


class GstMapInfo(Structure):
    """A mapped buffer: address, size and what unmapping needs."""

    _fields_ = (
        ("memory", c_void_p),
        ("flags", c_int),
        ("data", c_void_p),
        ("size", c_size_t),
        ("maxsize", c_size_t),
        ("user_data", c_void_p * 4),
        ("_reserved", c_void_p * 4),
    )


class _GstBuffer(Structure):
    """The public head of a GstBuffer (stable ABI of GStreamer 1.x)."""

    _fields_ = (
        ("gtype", c_size_t),
        ("refcount", c_int),
        ("lockstate", c_int),
        ("flags", c_uint),
        ("copy", c_void_p),
        ("dispose", c_void_p),
        ("free", c_void_p),
        ("priv_uint", c_uint),
        ("priv_pointer", c_void_p),
        ("pool", c_void_p),
        ("pts", c_uint64),
        ("dts", c_uint64),
        ("duration", c_uint64),
        ("offset", c_uint64),
        ("offset_end", c_uint64),
    )


class _GstVideoMeta(Structure):
    """The public head of a GstVideoMeta."""

    _fields_ = (
        ("meta_flags", c_int),
        ("meta_info", c_void_p),
        ("buffer", c_void_p),
        ("flags", c_int),
        ("format", c_int),
        ("id", c_int),
        ("width", c_uint),
        ("height", c_uint),
        ("n_planes", c_uint),
        ("offset", c_size_t * 4),
        ("stride", c_int * 4),
    )


class _GstReferenceTimestampMeta(Structure):
    """When a frame was taken, by a clock that the caps ``reference`` name."""

    _fields_ = (
        ("meta_flags", c_int),
        ("meta_info", c_void_p),
        ("reference", c_void_p),
        ("timestamp", c_uint64),
        ("duration", c_uint64),
    )


CHAIN_FUNCTION = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p)


def _declare(lib: ctypes.CDLL, name: str, restype: object, *argtypes: object) -> ctypes._CFuncPtr:  # type: ignore[name-defined]
    function = getattr(lib, name)
    function.restype = restype
    function.argtypes = argtypes
    return function  # type: ignore[no-any-return]


pad_push = _declare(_gst, "gst_pad_push", c_int, c_void_p, c_void_p)
mini_object_unref = _declare(_gst, "gst_mini_object_unref", None, c_void_p)
mini_object_ref = _declare(_gst_gil, "gst_mini_object_ref", c_void_p, c_void_p)
_buffer_new = _declare(_gst_gil, "gst_buffer_new_allocate", c_void_p, c_void_p, c_size_t, c_void_p)
_buffer_copy_into = _declare(_gst_gil, "gst_buffer_copy_into", c_int, c_void_p, c_void_p, c_int, c_size_t, c_size_t)
_buffer_map = _declare(_gst, "gst_buffer_map", c_int, c_void_p, POINTER(GstMapInfo), c_int)
_buffer_unmap = _declare(_gst, "gst_buffer_unmap", None, c_void_p, POINTER(GstMapInfo))
_buffer_get_meta = _declare(_gst_gil, "gst_buffer_get_meta", c_void_p, c_void_p, c_size_t)
_get_reference_timestamp = _declare(
    _gst_gil, "gst_buffer_get_reference_timestamp_meta", c_void_p, c_void_p, c_void_p
)
_add_reference_timestamp = _declare(
    _gst_gil, "gst_buffer_add_reference_timestamp_meta", c_void_p, c_void_p, c_void_p, c_uint64, c_uint64
)
_mini_object_is_writable = _declare(_gst_gil, "gst_mini_object_is_writable", c_int, c_void_p)
_buffer_copy = _declare(_gst_gil, "gst_mini_object_copy", c_void_p, c_void_p)
set_chain_function = _declare(
    _gst_gil, "gst_pad_set_chain_function_full", None, c_void_p, CHAIN_FUNCTION, c_void_p, c_void_p
)
object_unref = _declare(_gobject, "g_object_unref", None, c_void_p)
_object_ref = _declare(_gobject, "g_object_ref", c_void_p, c_void_p)
_force_floating = _declare(_gobject, "g_object_force_floating", None, c_void_p)
_enum_register = _declare(_gobject, "g_enum_register_static", c_size_t, c_char_p, POINTER(GEnumValue))

_VIDEO_META_API: int = hash(GstVideo.video_meta_api_get_type())
_BUFFER_COPY_TIMESTAMPS_AND_FLAGS = 1 | 2


def make_floating(element: GObject.Object) -> None:
    """Give ``element`` the floating reference that a C constructor would: its bin then owns it alone."""
    _object_ref(hash(element))
    _force_floating(hash(element))


def buffer_fields(address: int) -> _GstBuffer:
    """Timestamps, flags and reference count of the buffer at ``address``, readable and writable in place."""
    return _GstBuffer.from_address(address)


_EVENT_TYPE_OFFSET = _GstBuffer.pool.offset  # GstEvent.type follows the GstMiniObject, as GstBuffer.pool does
_SERIALIZED = 1 << 2


def event_type(event: object) -> int:
    """The type of a Gst.Event as a number, DeepStream's own types too."""
    return c_int.from_address(hash(event) + _EVENT_TYPE_OFFSET).value


def is_serialized(event: object) -> bool:
    """Whether an event travels in order with the buffers."""
    return bool(event_type(event) & _SERIALIZED)


def new_buffer(size: int) -> int:
    """A new buffer of ``size`` bytes of system memory; the caller owns the reference."""
    address = _buffer_new(None, size, None)
    if not address:
        raise MemoryError(f"GStreamer could not allocate a buffer of {size} bytes")
    return int(address)


def copy_timestamps(source: int, target: int) -> None:
    """Copy flags and timestamps, the camera's too (no other metas, not memory), from one buffer to another."""
    _buffer_copy_into(target, source, _BUFFER_COPY_TIMESTAMPS_AND_FLAGS, 0, c_size_t(-1).value)
    found = _get_reference_timestamp(source, None)
    if found:
        meta = _GstReferenceTimestampMeta.from_address(found)
        _add_reference_timestamp(target, meta.reference, meta.timestamp, meta.duration)


_NTP_CAPS, _UNIX_CAPS = Gst.Caps.from_string("timestamp/x-ntp"), Gst.Caps.from_string("timestamp/x-unix")
_NTP_EPOCH_TO_UNIX_NS = 2_208_988_800 * 1_000_000_000  # 1900 to 1970


def camera_time(address: int) -> int:
    """When the camera took the frame: nanoseconds since 1970, 0 when the source has not said (yet)."""
    found = _get_reference_timestamp(address, hash(_NTP_CAPS))
    if found:
        time: int = _GstReferenceTimestampMeta.from_address(found).timestamp
        return max(0, time - _NTP_EPOCH_TO_UNIX_NS)
    found = _get_reference_timestamp(address, hash(_UNIX_CAPS))
    return int(_GstReferenceTimestampMeta.from_address(found).timestamp) if found else 0


def make_writable(address: int) -> int:
    """The same buffer when this reference is the only one, else a copy (metas deep-copied, the reference moved)."""
    if _mini_object_is_writable(address):
        return address
    copy = int(_buffer_copy(address))
    mini_object_unref(address)
    return copy


@contextmanager
def mapped(address: int, flags: int) -> Iterator[memoryview]:
    """The bytes of a buffer as a memoryview, for the time of the ``with`` block."""
    info = GstMapInfo()
    if not _buffer_map(address, ctypes.byref(info), flags):
        raise BufferError("GStreamer could not map a buffer")
    try:
        yield memoryview((ctypes.c_uint8 * info.size).from_address(info.data or 0)).cast("B")
    finally:
        _buffer_unmap(address, ctypes.byref(info))


def video_layout(address: int) -> tuple[list[int], list[int]] | None:
    """``(strides, offsets)`` in bytes from the buffer's GstVideoMeta, or ``None`` when it has none."""
    meta = _buffer_get_meta(address, _VIDEO_META_API)
    if not meta:
        return None
    video = _GstVideoMeta.from_address(meta)
    return list(video.stride[: video.n_planes]), list(video.offset[: video.n_planes])


_kept_enums: list[object] = []  # GLib keeps pointers to the value tables for the life of the process


def register_enum(name: str, values: list[tuple[int, str, str]]) -> GObject.GType:
    """Register a GEnum type (value, description, nick), or return it when an earlier import did."""
    try:
        return GObject.type_from_name(name)
    except RuntimeError:
        pass
    table = (GEnumValue * (len(values) + 1))()
    for slot, (value, description, nick) in zip(table, values, strict=False):
        slot.value, slot.name, slot.nick = value, description.encode(), nick.encode()
    _kept_enums.append(table)
    _enum_register(name.encode(), table)
    return GObject.type_from_name(name)


_enum_values: dict[str, list[tuple[int, str, str]]] = {}


def same_enum(name: str, values: list[tuple[int, str, str]]) -> bool:
    """Whether the enum ``name`` is free, or registered with just these values."""
    return _enum_values.setdefault(name, values) == values
