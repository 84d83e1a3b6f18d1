"""``NvBufSurface``: the structures of NVIDIA's buffers, which exist so that applications can name them.

Pictures are read with ``get_nvds_buf_surface``; the C functions on NVIDIA memory raise one clear error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import MediaError
from .checked import UINT, read_only, whole_slot
from .enums import NvBufSurfaceColorFormat, NvBufSurfaceLayout, NvBufSurfaceMemType
from .fields import Castable

NVBUF_MAX_PLANES = 4


class NvBufSurfacePlaneParams(Castable):
    """The planes of a picture: ``num_planes``, and int32[4] arrays of their sizes."""

    __slots__ = ("_num_planes", "_width", "_height", "_pitch", "_offset", "_psize", "_bytesPerPix", "_address",
                 "__weakref__")  # fmt: skip
    num_planes: Any = whole_slot("num_planes", UINT)
    width: Any = read_only("width")
    height: Any = read_only("height")
    pitch: Any = read_only("pitch")
    offset: Any = read_only("offset")
    psize: Any = read_only("psize")
    bytesPerPix: Any = read_only("bytesPerPix")

    def __init__(self) -> None:
        self.num_planes = 0
        self._width, self._height, self._pitch, self._offset, self._psize, self._bytesPerPix = (
            np.zeros(NVBUF_MAX_PLANES, np.int32) for _ in range(6)
        )


class NvBufSurfaceCreateParams(Castable):
    """What a picture is allocated with."""

    __slots__ = ("_gpuId", "_width", "_height", "_size", "_isContiguous", "_colorFormat", "_layout",
                 "_memType", "_address", "__weakref__")  # fmt: skip
    gpuId: Any = read_only("gpuId")
    width: Any = read_only("width")
    height: Any = read_only("height")
    size: Any = read_only("size")
    isContiguous: Any = read_only("isContiguous")
    colorFormat: Any = read_only("colorFormat")
    layout: Any = read_only("layout")
    memType: Any = read_only("memType")

    def __init__(self) -> None:
        self._gpuId = 0
        self._width = 0
        self._height = 0
        self._size = 0
        self._isContiguous = False
        self._colorFormat = NvBufSurfaceColorFormat.NVBUF_COLOR_FORMAT_INVALID
        self._layout = NvBufSurfaceLayout.NVBUF_LAYOUT_PITCH
        self._memType = NvBufSurfaceMemType.NVBUF_MEM_DEFAULT


class NvBufSurfaceMappedAddr(Castable):
    """Addresses of mapped planes (uint64[4]); pictures are not mapped, they are in host memory."""

    __slots__ = ("_addr", "_eglImage", "_address", "__weakref__")  # fmt: skip
    addr: Any = read_only("addr")
    eglImage: Any = read_only("eglImage")

    def __init__(self) -> None:
        self._addr = np.zeros(NVBUF_MAX_PLANES, np.uint64)
        self._eglImage: Any = None


class NvBufSurfaceParams(Castable):
    """One picture of a batch."""

    __slots__ = ("_width", "_height", "_pitch", "_colorFormat", "_layout", "_bufferDesc", "_dataSize",
                 "_dataPtr", "_planeParams", "_mappedAddr", "_address", "__weakref__")  # fmt: skip
    width: Any = read_only("width")
    height: Any = read_only("height")
    pitch: Any = read_only("pitch")
    colorFormat: Any = read_only("colorFormat")
    layout: Any = read_only("layout")
    bufferDesc: Any = read_only("bufferDesc")
    dataSize: Any = read_only("dataSize")
    dataPtr: Any = read_only("dataPtr")
    planeParams: Any = read_only("planeParams")
    mappedAddr: Any = read_only("mappedAddr")

    def __init__(self) -> None:
        self._width = 0
        self._height = 0
        self._pitch = 0
        self._colorFormat = NvBufSurfaceColorFormat.NVBUF_COLOR_FORMAT_INVALID
        self._layout = NvBufSurfaceLayout.NVBUF_LAYOUT_PITCH
        self._bufferDesc = 0
        self._dataSize = 0
        self._dataPtr: Any = None
        self._planeParams = NvBufSurfacePlaneParams()
        self._mappedAddr = NvBufSurfaceMappedAddr()


class NvBufSurface(Castable):
    """The pictures of a batch."""

    __slots__ = ("_gpuId", "_batchSize", "_numFilled", "_isContiguous", "_memType", "_surfaceList", "_address",
                 "__weakref__")  # fmt: skip
    gpuId: Any = read_only("gpuId")
    batchSize: Any = read_only("batchSize")
    numFilled: Any = read_only("numFilled")
    isContiguous: Any = read_only("isContiguous")
    memType: Any = read_only("memType")
    surfaceList: Any = read_only("surfaceList")

    def __init__(self) -> None:
        self._gpuId = 0
        self._batchSize = 0
        self._numFilled = 0
        self._isContiguous = False
        self._memType = NvBufSurfaceMemType.NVBUF_MEM_SYSTEM
        self._surfaceList: Any = None


def _needs_nvidia(name: str) -> Callable[..., int]:
    def function(*args: Any, **kwargs: Any) -> int:
        raise MediaError(
            f"{name}() works on NVIDIA buffers only, pictures are in host memory here; "
            "use get_nvds_buf_surface(hash(gst_buffer), batch_id) for a writable view of a picture"
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "For NVIDIA buffers only: raises :class:`~millrace.errors.MediaError`."
    return function


NvBufSurfaceCreate = _needs_nvidia("NvBufSurfaceCreate")
NvBufSurfaceDestroy = _needs_nvidia("NvBufSurfaceDestroy")
NvBufSurfaceMap = _needs_nvidia("NvBufSurfaceMap")
NvBufSurfaceUnMap = _needs_nvidia("NvBufSurfaceUnMap")
NvBufSurfaceCopy = _needs_nvidia("NvBufSurfaceCopy")
NvBufSurfaceSyncForCpu = _needs_nvidia("NvBufSurfaceSyncForCpu")
NvBufSurfaceSyncForDevice = _needs_nvidia("NvBufSurfaceSyncForDevice")
NvBufSurfaceFromFd = _needs_nvidia("NvBufSurfaceFromFd")
NvBufSurfaceMemSet = _needs_nvidia("NvBufSurfaceMemSet")
NvBufSurfaceMapEglImage = _needs_nvidia("NvBufSurfaceMapEglImage")
