"""``NvBufSurface``: the structures of NVIDIA's buffers, which exist so that applications can name them.

Pictures are read with ``get_nvds_buf_surface``; the C functions on NVIDIA memory raise one clear error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import MediaError
from .enums import NvBufSurfaceColorFormat, NvBufSurfaceLayout, NvBufSurfaceMemType
from .fields import Castable

NVBUF_MAX_PLANES = 4


class NvBufSurfacePlaneParams(Castable):
    """The planes of a picture: ``num_planes``, and int32[4] arrays of their sizes."""

    __slots__ = ("num_planes", "width", "height", "pitch", "offset", "psize", "bytesPerPix", "_address",
                 "__weakref__")  # fmt: skip

    def __init__(self) -> None:
        self.num_planes = 0
        self.width, self.height, self.pitch, self.offset, self.psize, self.bytesPerPix = (
            np.zeros(NVBUF_MAX_PLANES, np.int32) for _ in range(6)
        )


class NvBufSurfaceCreateParams(Castable):
    """What a picture is allocated with."""

    __slots__ = ("gpuId", "width", "height", "size", "isContiguous", "colorFormat", "layout", "memType",
                 "_address", "__weakref__")  # fmt: skip

    def __init__(self) -> None:
        self.gpuId = 0
        self.width = 0
        self.height = 0
        self.size = 0
        self.isContiguous = False
        self.colorFormat = NvBufSurfaceColorFormat.NVBUF_COLOR_FORMAT_INVALID
        self.layout = NvBufSurfaceLayout.NVBUF_LAYOUT_PITCH
        self.memType = NvBufSurfaceMemType.NVBUF_MEM_DEFAULT


class NvBufSurfaceMappedAddr(Castable):
    """Addresses of mapped planes (uint64[4]); pictures are not mapped, they are in host memory."""

    __slots__ = ("addr", "eglImage", "_address", "__weakref__")

    def __init__(self) -> None:
        self.addr = np.zeros(NVBUF_MAX_PLANES, np.uint64)
        self.eglImage: Any = None


class NvBufSurfaceParams(Castable):
    """One picture of a batch."""

    __slots__ = ("width", "height", "pitch", "colorFormat", "layout", "bufferDesc", "dataSize", "dataPtr",
                 "planeParams", "mappedAddr", "_address", "__weakref__")  # fmt: skip

    def __init__(self) -> None:
        self.width = 0
        self.height = 0
        self.pitch = 0
        self.colorFormat = NvBufSurfaceColorFormat.NVBUF_COLOR_FORMAT_INVALID
        self.layout = NvBufSurfaceLayout.NVBUF_LAYOUT_PITCH
        self.bufferDesc = 0
        self.dataSize = 0
        self.dataPtr: Any = None
        self.planeParams = NvBufSurfacePlaneParams()
        self.mappedAddr = NvBufSurfaceMappedAddr()


class NvBufSurface(Castable):
    """The pictures of a batch."""

    __slots__ = ("gpuId", "batchSize", "numFilled", "isContiguous", "memType", "surfaceList", "_address",
                 "__weakref__")  # fmt: skip

    def __init__(self) -> None:
        self.gpuId = 0
        self.batchSize = 0
        self.numFilled = 0
        self.isContiguous = False
        self.memType = NvBufSurfaceMemType.NVBUF_MEM_SYSTEM
        self.surfaceList: Any = None


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
