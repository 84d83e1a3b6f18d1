"""Buffers as applications see them: their metadata, their pictures, and JPEG crops of objects."""

from __future__ import annotations

import itertools
import os
import time
from ctypes import c_char, c_int, c_uint
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError
from .batch import Batch
from .checked import INT, whole
from .enums import NvDsMetaType
from .fields import Castable, Struct
from .frame import NvDsBatchMeta, NvDsFrameMeta
from .functions import _need
from .latency import FRAMES, components_of, is_on
from .objects import NvDsObjectMeta
from .strings import CAN_PROBE, _memory
from .tensor import attach_user_meta

_buffer_type: bytes | None = None


def _batch(gst_buffer: Any, name: str) -> Batch | None:
    """The batch on a buffer; checks that there is a buffer at the address before anything follows it."""
    from ..elements import handle
    from ..elements._gst import Gst

    global _buffer_type
    if _buffer_type is None:
        _buffer_type = int(hash(Gst.Buffer.__gtype__)).to_bytes(8, "little")
    if isinstance(gst_buffer, Gst.Buffer):
        gst_buffer = hash(gst_buffer)
    if not isinstance(gst_buffer, int) or isinstance(gst_buffer, bool):
        raise TypeError(f"{name}() needs hash(gst_buffer), got {type(gst_buffer).__name__}")
    try:
        known = not CAN_PROBE or _memory(gst_buffer, size=8) == _buffer_type
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{name}(): there is no Gst.Buffer at {gst_buffer:#x}; pass hash(gst_buffer)")
    return handle.batch_of(gst_buffer)


def gst_buffer_get_nvds_batch_meta(buffer: int) -> NvDsBatchMeta | None:
    """The metadata of a buffer.

    Args:
        buffer: ``hash(gst_buffer)``.

    Returns:
        The batch's metadata, or ``None`` when the buffer has none (upstream of nvstreammux).
    """
    batch = _batch(buffer, "gst_buffer_get_nvds_batch_meta")
    return batch.meta if batch is not None else None


def gst_buffer_add_nvds_meta(
    buffer: Any, meta_data: Any, user_data: Any = None, copy_func: Any = None, release_func: Any = None
) -> Any:
    """Cannot be called from Python, as in pyds: attach user metadata to the batch instead.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        "gst_buffer_add_nvds_meta() cannot be called from Python; use "
        "nvds_acquire_user_meta_from_pool(batch_meta) and nvds_add_user_meta_to_batch(batch_meta, user_meta)"
    )


def _surface(gst_buffer: Any, batch_id: int, name: str) -> tuple[Batch, Any]:
    batch = _batch(gst_buffer, name)
    batch_id = whole(batch_id, f"{name}(): batch_id", INT)
    if batch is None or not batch.surfaces:
        raise MediaError(f"{name}(): this buffer has no NVMM pictures; call it downstream of nvstreammux")
    if not 0 <= batch_id < len(batch.surfaces):
        raise MediaError(
            f"{name}(): there is no picture {batch_id}, the buffer has {len(batch.surfaces)}; pass frame_meta.batch_id"
        )
    return batch, batch.surfaces[batch_id]


def get_nvds_buf_surface(gst_buffer: int, batchID: int) -> Any:
    """The picture of one frame as a writable view, without a copy: what is written is seen downstream.

    Args:
        gst_buffer: ``hash(gst_buffer)``.
        batchID: ``frame_meta.batch_id``.

    Returns:
        uint8 array (height, width, 4) of RGBA, or (height, width, 3) of RGB.

    Raises:
        MediaError: the buffer has no such picture, or it is not RGBA.
    """
    batch, surface = _surface(gst_buffer, batchID, "get_nvds_buf_surface")
    if surface.format not in ("RGBA", "RGB"):
        raise MediaError(
            f"get_nvds_buf_surface(): the picture is {surface.format}, only RGBA can be read as an array; "
            "add nvvideoconvert and a capsfilter with caps 'video/x-raw(memory:NVMM), format=RGBA' before it"
        )
    surface = batch.surfaces[batchID] = surface.writable()
    return surface.array()


def unmap_nvds_buf_surface(gst_buffer: int, batchID: int) -> None:
    """Say that the view of :func:`get_nvds_buf_surface` is no longer needed; nothing has to be done."""
    _surface(gst_buffer, batchID, "unmap_nvds_buf_surface")


def get_nvds_buf_surface_gpu(gst_buffer: int, batchID: int) -> Any:
    """The picture of one frame in GPU memory.

    Raises:
        MediaError: the picture is in host memory.
    """
    _surface(gst_buffer, batchID, "get_nvds_buf_surface_gpu")
    raise MediaError(
        "get_nvds_buf_surface_gpu() needs pictures in NVIDIA GPU memory, these are in host memory; "
        "use get_nvds_buf_surface()"
    )


def nvds_measure_buffer_latency(gst_buffer: int) -> int:
    """Print each frame's latency in ms, when ``NVDS_ENABLE_LATENCY_MEASUREMENT`` is set.

    When ``NVDS_ENABLE_COMPONENT_LATENCY_MEASUREMENT`` is set too, a line for each component on the way comes before.

    Returns:
        The number of frames in the batch; 0 when the variable is not set.
    """
    if not is_on(FRAMES):
        return 0
    meta = gst_buffer_get_nvds_batch_meta(gst_buffer)
    if meta is None:
        print("Batch meta not found for buffer")
        return 0
    frames = meta.frames
    now = time.time_ns()
    if frames:
        print(f"************BATCH-NUM = {frames[0].frame_num}**************")
    for component in components_of(meta):
        if component.left:  # the one that the buffer is in has not done with it
            print(component.line())
    for frame in frames:
        latency = max(now - frame.ntp_timestamp, 0) / 1e6
        where = f"Source id = {frame.source_id} Frame_num = {frame.frame_num}"
        print(f"{where} Frame latency = {latency:.3f} (ms)")
    return len(frames)


class NvDsObjEncUsrArgs(Struct):
    """How an object is encoded as JPEG: to a file, to user metadata, scaled or not; ``quality`` 1 to 100."""

    __slots__ = ()
    _fields_ = (
        ("_saveImg", c_int),
        ("_attachUsrMeta", c_int),
        ("_scaleImg", c_int),
        ("scaledWidth", c_int),
        ("scaledHeight", c_int),
        ("_fileName", c_char * 1024),
        ("objNum", c_int),
        ("quality", c_int),
        ("_isFrame", c_uint),
        ("_calcEncodeTime", c_int),
    )
    scaledWidth: int
    scaledHeight: int
    objNum: int
    quality: int

    @staticmethod
    def _flag(name: str) -> Any:
        def load(self: Any) -> bool:
            return bool(getattr(self, name))

        def store(self: Any, value: Any) -> None:
            if value is not None and not hasattr(type(value), "__bool__"):
                raise TypeError(f"NvDsObjEncUsrArgs.{name[1:]} needs a bool, got {type(value).__name__}")
            setattr(self, name, bool(value))

        return property(load, store)

    saveImg: bool = _flag("_saveImg")
    attachUsrMeta: bool = _flag("_attachUsrMeta")
    scaleImg: bool = _flag("_scaleImg")
    isFrame: bool = _flag("_isFrame")
    calcEncodeTime: bool = _flag("_calcEncodeTime")

    @property
    def fileNameImg(self) -> str:
        """Path of the JPEG file; empty for a name made of frame and object number."""
        return os.fsdecode(self._fileName)

    @fileNameImg.setter
    def fileNameImg(self, path: str) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(f"NvDsObjEncUsrArgs.fileNameImg needs a str, got {type(path).__name__}")
        encoded = os.fsencode(path)
        if len(encoded) > 1023:
            raise ValueError(f"NvDsObjEncUsrArgs.fileNameImg: {len(encoded)} bytes are more than 1023")
        self._fileName = encoded


class NvDsObjEncOutParams(Castable):
    """An encoded object, attached as user metadata of type ``NVDS_CROP_IMAGE_META``."""

    __slots__ = ("_jpeg", "_address", "__weakref__")

    def __init__(self, jpeg: Any = None) -> None:
        self._jpeg = jpeg

    @property
    def outLen(self) -> int:
        """Size of the JPEG in bytes."""
        return 0 if self._jpeg is None else int(self._jpeg.size)

    def outBuffer(self) -> Any:
        """The JPEG as a uint8 array."""
        return np.zeros(0, np.uint8) if self._jpeg is None else self._jpeg


_contexts: set[int] = set()
_next_context = itertools.count(1)


def nvds_obj_enc_create_context(gpu_id: int = 0) -> int:
    """A context for encoding objects; ``gpu_id`` is accepted and not used."""
    context = next(_next_context)
    _contexts.add(context)
    return context


def nvds_obj_enc_process(
    ctx: int,
    args: NvDsObjEncUsrArgs,
    gst_buffer: int,
    obj_meta: NvDsObjectMeta | None,
    frame_meta: NvDsFrameMeta,
) -> bool:
    """Encode an object's box (or the frame, with ``isFrame``) as JPEG, to a file and/or to user metadata.

    Args:
        ctx: from :func:`nvds_obj_enc_create_context`.
        args: what to do.
        gst_buffer: ``hash(gst_buffer)``.
        obj_meta: the object; not used for whole frames.
        frame_meta: its frame.

    Returns:
        True when the picture was encoded; False when the box lies outside the frame.

    Raises:
        MediaError: no such context or picture, or the file cannot be written.
    """
    import cv2

    from ..surface.rect import Rect

    name = "nvds_obj_enc_process"
    if not isinstance(ctx, int) or ctx not in _contexts:
        raise MediaError(f"{name}(): {ctx!r} is not a context of nvds_obj_enc_create_context()")
    args = _need(NvDsObjEncUsrArgs, args, name)
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    batch, surface = _surface(gst_buffer, frame_meta.batch_id, name)
    started = time.perf_counter()
    left, top, right, bottom = 0.0, 0.0, float(surface.width), float(surface.height)
    owner: Any = frame_meta
    if not args.isFrame:
        owner = obj_meta = _need(NvDsObjectMeta, obj_meta, name)
        box = obj_meta.rect_params
        left, top = max(box.left, 0.0), max(box.top, 0.0)
        right, bottom = min(box.left + box.width, right), min(box.top + box.height, bottom)
    if not (right - left >= 1 and bottom - top >= 1):
        return False
    scaled = args.scaleImg and args.scaledWidth > 0 and args.scaledHeight > 0
    picture = surface.convert(
        width=args.scaledWidth if scaled else None,
        height=args.scaledHeight if scaled else None,
        crop=Rect(left, top, right - left, bottom - top),
    ).to_rgb(bgr=True)
    quality = args.quality if 1 <= args.quality <= 100 else 80
    done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise MediaError(f"{name}(): the picture could not be encoded as JPEG")
    if args.saveImg:
        default = f"frame{frame_meta.frame_num}_stream{frame_meta.pad_index}_{args.objNum}.jpg"
        path = Path(args.fileNameImg or default)
        try:
            path.write_bytes(jpeg.tobytes())
        except OSError as error:
            raise MediaError(f"{name}(): cannot write {path}: {error.strerror}") from None
    if args.attachUsrMeta and batch.meta is not None:
        encoded = NvDsObjEncOutParams(jpeg.reshape(-1))
        attach_user_meta(batch.meta, owner, encoded, NvDsMetaType.NVDS_CROP_IMAGE_META)
    if args.calcEncodeTime:
        print(f"{name}: encoded in {(time.perf_counter() - started) * 1e3:.3f} ms")
    return True


def nvds_obj_enc_finish(ctx: int) -> None:
    """Wait for all encoding of a context; it is always done already."""


def nvds_obj_enc_destroy_context(ctx: int) -> None:
    """Forget a context."""
    _contexts.discard(ctx)
