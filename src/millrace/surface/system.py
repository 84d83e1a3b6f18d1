"""Pictures in system memory with GStreamer's formats, strides and offsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from millrace.errors import MediaError
from millrace.surface.blit import Picture, Rgb, Yuv
from millrace.surface.formats import PACKED, Colorimetry, Plane

Memory = memoryview | bytes | bytearray | np.ndarray[Any, np.dtype[np.uint8]]

#: Chroma subsampling (horizontal, vertical) of the planar and semi-planar formats.
_PLANAR = {"I420": (2, 2), "YV12": (2, 2), "Y42B": (2, 1), "Y444": (1, 1), "I420_10LE": (2, 2)}
_SEMI = {"NV12": 1, "NV21": 1, "P010_10LE": 2}
#: Formats that system memory can have when read.
READABLE = (*PACKED, "GRAY8", "YUY2", "UYVY", *_PLANAR, *_SEMI)
#: Formats that system memory can have when written.
WRITABLE = tuple(f for f in READABLE if "10LE" not in f)


def is_yuv(fmt: str) -> bool:
    """True for formats that carry luma and chroma."""
    return fmt not in PACKED and fmt != "GRAY8"


def default_layout(width: int, height: int, fmt: str) -> tuple[list[int], list[int], int]:
    """GStreamer's default (strides, offsets, size in bytes) of a picture."""
    r2, r4 = (width + 1) // 2 * 2, (width + 3) // 4 * 4
    h2 = (height + 1) // 2 * 2
    if fmt in PACKED:
        stride = (width * len(PACKED[fmt]) + 3) // 4 * 4
        return [stride], [0], stride * height
    if fmt == "GRAY8":
        return [r4], [0], r4 * height
    if fmt in ("YUY2", "UYVY"):
        stride = (r2 * 2 + 3) // 4 * 4
        return [stride], [0], stride * height
    if fmt in _SEMI:
        stride = (width * _SEMI[fmt] + 3) // 4 * 4
        return [stride, stride], [0, stride * h2], stride * h2 + stride * (h2 // 2)
    if fmt == "Y444":
        return [r4] * 3, [0, r4 * height, r4 * height * 2], r4 * height * 3
    if fmt == "Y42B":
        chroma = (width + 7) // 8 * 8 // 2
        offsets = [0, r4 * height, (r4 + chroma) * height]
        return [r4, chroma, chroma], offsets, (r4 + 2 * chroma) * height
    if fmt in ("I420", "YV12", "I420_10LE"):
        size = 2 if fmt == "I420_10LE" else 1
        luma, chroma = (width * size + 3) // 4 * 4, (r2 // 2 * size + 3) // 4 * 4
        first = luma * h2
        return [luma, chroma, chroma], [0, first, first + chroma * (h2 // 2)], first + chroma * h2
    raise MediaError(f"raw video format {fmt!r} is not known; use one of {', '.join(READABLE)}")


class _Views:
    """Cuts views out of one block of memory and says clearly when it is too small."""

    def __init__(self, memory: Memory, fmt: str, strides: Sequence[int], offsets: Sequence[int], size: str) -> None:
        self.memory = memory.reshape(-1).view(np.uint8).data if isinstance(memory, np.ndarray) else memory
        self.fmt, self.strides, self.offsets, self.size = fmt, strides, offsets, size

    def plane(self, index: int, shape: tuple[int, ...], dtype: type[Any] = np.uint8) -> Any:
        item = np.dtype(dtype).itemsize
        inner = (item,) if len(shape) == 2 else (item * shape[2], item)
        try:
            strides = (self.strides[index], *inner)
            return np.ndarray(shape, dtype, self.memory, self.offsets[index], strides)
        except (TypeError, ValueError, IndexError) as error:
            raise MediaError(
                f"{self.fmt} {self.size} with strides {list(self.strides)} and offsets {list(self.offsets)} "
                f"does not fit in {memoryview(self.memory).nbytes} bytes ({error})"
            ) from None


def _views(memory: Memory, w: int, h: int, fmt: str, strides: Sequence[int], offsets: Sequence[int]) -> _Views:
    if w < 1 or h < 1:
        raise MediaError(f"a picture needs at least 1x1 pixels, got {w}x{h}")
    return _Views(memory, fmt, strides, offsets, f"{w}x{h}")


def read_picture(
    memory: Memory,
    w: int,
    h: int,
    fmt: str,
    strides: Sequence[int],
    offsets: Sequence[int],
    colorimetry: Colorimetry,
) -> Picture:
    """A readable picture over system memory; copies only what cannot be viewed (NV21's chroma, YUY2, 10 bit).

    Raises:
        MediaError: the format is unknown or the memory too small.
    """
    views = _views(memory, w, h, fmt, strides, offsets)
    cw, ch = (w + 1) // 2, (h + 1) // 2
    if fmt in PACKED:
        return Rgb(views.plane(0, (h, w, len(PACKED[fmt]))), PACKED[fmt], colorimetry)
    if fmt == "GRAY8":
        return Yuv(views.plane(0, (h, w)), colorimetry=Colorimetry("bt601", True))
    if fmt in ("YUY2", "UYVY"):
        pairs = views.plane(0, (h, cw * 2, 2))
        luma = 0 if fmt == "YUY2" else 1
        y: Plane = cv2.extractChannel(pairs, luma)
        uv = np.asarray(cv2.extractChannel(pairs, 1 - luma)).reshape(h, cw, 2)
        return Yuv(y[:, :w], uv=uv, colorimetry=colorimetry)
    if fmt in _SEMI:
        deep = fmt == "P010_10LE"
        y = views.plane(0, (h, w), np.uint16 if deep else np.uint8)
        uv = views.plane(1, (ch, cw, 2), np.uint16 if deep else np.uint8)
        if fmt == "NV21":
            uv = uv[..., ::-1].copy()
        elif deep:
            y, uv = (cv2.convertScaleAbs(p, alpha=1 / 256) for p in (y, uv))
        return Yuv(y, uv=uv, colorimetry=colorimetry)
    if fmt in _PLANAR:
        sx, sy = _PLANAR[fmt]
        small = ((h + sy - 1) // sy, (w + sx - 1) // sx)
        kind: type[Any] = np.uint16 if fmt == "I420_10LE" else np.uint8
        planes = [views.plane(0, (h, w), kind), views.plane(1, small, kind), views.plane(2, small, kind)]
        if fmt == "I420_10LE":
            planes = [cv2.convertScaleAbs(p, alpha=1 / 4) for p in planes]
        if fmt == "YV12":
            planes[1:] = planes[:0:-1]
        return Yuv(planes[0], u=planes[1], v=planes[2], colorimetry=colorimetry)
    raise MediaError(f"raw video format {fmt!r} cannot be read; use one of {', '.join(READABLE)}")


def _nothing() -> None:
    return None


def write_picture(
    memory: Memory,
    w: int,
    h: int,
    fmt: str,
    strides: Sequence[int],
    offsets: Sequence[int],
    colorimetry: Colorimetry,
) -> tuple[Picture, Callable[[], None]]:
    """A picture to write and a function to call afterwards, which moves what could not be written in place.

    Raises:
        MediaError: the format is unknown, the memory too small or read-only.
    """
    if fmt not in WRITABLE:
        raise MediaError(f"raw video format {fmt!r} cannot be written; use one of {', '.join(WRITABLE)}")
    if memory.flags.writeable is False if isinstance(memory, np.ndarray) else memoryview(memory).readonly:
        raise MediaError("the destination memory is read-only; map the buffer for writing")
    views = _views(memory, w, h, fmt, strides, offsets)
    cw, ch = (w + 1) // 2, (h + 1) // 2
    if fmt in ("YUY2", "UYVY"):
        pairs = views.plane(0, (h, cw * 2, 2))
        y, uv = np.empty((h, cw * 2), np.uint8), np.empty((h, cw, 2), np.uint8)

        def interleave() -> None:
            y[:, w:] = y[:, w - 1 : w]
            chroma = uv.reshape(h, cw * 2)
            np.copyto(pairs, cv2.merge([y, chroma] if fmt == "YUY2" else [chroma, y]))

        return Yuv(y[:, :w], uv=uv, colorimetry=colorimetry), interleave
    if fmt == "NV21":
        vu = views.plane(1, (ch, cw, 2))
        swapped = np.empty((ch, cw, 2), np.uint8)

        def swap() -> None:
            np.copyto(vu, swapped[..., ::-1])

        return Yuv(views.plane(0, (h, w)), uv=swapped, colorimetry=colorimetry), swap
    return read_picture(memory, w, h, fmt, strides, offsets, colorimetry), _nothing
