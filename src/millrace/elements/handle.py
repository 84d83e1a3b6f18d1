"""The handle on a ``memory:NVMM`` buffer: surfaces and batch metadata ride on it as one Python object.

The object is a :class:`~millrace.meta.batch.Batch` in a ``GstCustomMeta``, inside a GValue of PyGObject's boxed type
``PyObject``: it is freed with the buffer, and deep-copied where GStreamer copies a buffer's metas.
"""

from __future__ import annotations

import ctypes
import logging
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p, py_object

from ..meta.batch import Batch
from ._gst import GObject
from ._native import (
    CLOCK_TIME_NONE,
    _buffer_get_meta,
    _declare,
    _gobject,
    _gst_gil,
    buffer_fields,
    new_buffer,
)

log = logging.getLogger("millrace.elements")

HANDLE_BYTES = 64
_META_NAME = b"MillraceBatch"


class _GValue(Structure):
    _fields_ = (("g_type", c_size_t), ("pointer", c_void_p), ("second", c_uint64))


class _GstCustomMeta(Structure):
    _fields_ = (("flags", c_int), ("info", c_void_p), ("structure", c_void_p))


_TRANSFORM = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_uint, c_void_p, c_void_p)

_register = _declare(_gst_gil, "gst_meta_register_custom", c_void_p, c_char_p, c_void_p, _TRANSFORM, c_void_p, c_void_p)
_get_info = _declare(_gst_gil, "gst_meta_get_info", c_void_p, c_char_p)
_add_custom_meta = _declare(_gst_gil, "gst_buffer_add_custom_meta", c_void_p, c_void_p, c_char_p)
_remove_meta = _declare(_gst_gil, "gst_buffer_remove_meta", c_int, c_void_p, c_void_p)
_take_value = _declare(_gst_gil, "gst_structure_id_take_value", None, c_void_p, c_uint, POINTER(_GValue))
_get_value = _declare(_gst_gil, "gst_structure_id_get_value", c_void_p, c_void_p, c_uint)
_quark = _declare(_gst_gil, "g_quark_from_static_string", c_uint, c_char_p)
_value_init = _declare(_gobject, "g_value_init", c_void_p, POINTER(_GValue), c_size_t)
_value_set_boxed = _declare(_gobject, "g_value_set_boxed", None, POINTER(_GValue), py_object)

_FIELD = _quark(b"batch")
_PY_OBJECT: int = hash(GObject.TYPE_PYOBJECT)


def _copy_to(target: int, meta: int, _source: int, _type: int, _data: int, _user_data: int) -> int:
    """GStreamer copies the metas of a buffer: the copy gets a batch of its own."""
    try:
        batch = _read(meta)
        if batch is not None:
            attach(target, batch.deep_copy())
    except Exception:
        log.exception("the metadata of a buffer could not be copied; the copy has none")
        return 0
    return 1


_transform = _TRANSFORM(_copy_to)  # kept for the life of the process: GStreamer holds its address
_no_tags = (c_char_p * 1)(None)
_info = _get_info(_META_NAME) or _register(_META_NAME, _no_tags, _transform, None, None)
_API: int = c_size_t.from_address(_info).value


def _read(meta: int) -> Batch | None:
    value = _get_value(_GstCustomMeta.from_address(meta).structure, _FIELD)
    if not value:
        return None
    batch: Batch = ctypes.cast(_GValue.from_address(value).pointer or 0, py_object).value
    return batch


def attach(address: int, batch: Batch) -> None:
    """Let ``batch`` ride on the (writable) buffer at ``address``, in place of one that is there."""
    old = _buffer_get_meta(address, _API)
    if old:
        _remove_meta(address, old)
    meta = _add_custom_meta(address, _META_NAME)
    value = _GValue()
    _value_init(ctypes.byref(value), _PY_OBJECT)
    _value_set_boxed(ctypes.byref(value), batch)
    _take_value(_GstCustomMeta.from_address(meta).structure, _FIELD, ctypes.byref(value))


def batch_of(address: int) -> Batch | None:
    """The batch on the buffer at ``address`` (``hash(gst_buffer)``), or ``None`` when none rides on it."""
    meta = _buffer_get_meta(address, _API)
    return _read(meta) if meta else None


def new_handle(batch: Batch, pts: int = CLOCK_TIME_NONE, duration: int = CLOCK_TIME_NONE) -> int:
    """A new ``memory:NVMM`` buffer that carries ``batch``; the caller owns the reference.

    Args:
        batch: surfaces and metadata.
        pts: presentation timestamp in nanoseconds.
        duration: duration in nanoseconds.
    """
    address = new_buffer(HANDLE_BYTES)
    fields = buffer_fields(address)
    fields.pts = pts
    fields.duration = duration
    attach(address, batch)
    return address
