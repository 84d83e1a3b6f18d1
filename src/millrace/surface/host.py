"""Surfaces in host memory: NumPy arrays worked on by OpenCV."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from millrace.errors import MediaError
from millrace.surface.base import Surface
from millrace.surface.blit import Picture, Rgb, Yuv, blit, window
from millrace.surface.color import yuv_of
from millrace.surface.formats import BT601, JPEG, PACKED, Colorimetry, Plane, interpolation_flag, plane_shapes
from millrace.surface.rect import Rect
from millrace.surface.system import Memory, is_yuv, read_picture, write_picture

#: How a flip method is made: whether to swap rows and columns first, then OpenCV's flip code.
FLIPS: Final[dict[int, tuple[bool, int | None]]] = {
    1: (True, 0),
    2: (False, -1),
    3: (True, 1),
    4: (False, 1),
    5: (True, -1),
    6: (False, 0),
    7: (True, None),
}


class _Share:
    """How many surfaces use the same planes."""

    __slots__ = ("lock", "owners")

    def __init__(self) -> None:
        # Re-entrant: a surface may be finalized by the garbage collector while this thread holds the lock.
        self.lock = threading.RLock()
        self.owners = 0


class HostSurface(Surface):
    """A picture in host memory. Thread-safe for :meth:`share` and :meth:`writable`; writes need one owner."""

    def __init__(self, planes: Sequence[Plane], fmt: str, colorimetry: Colorimetry = BT601) -> None:
        """Wrap planes without copying them.

        Args:
            planes: uint8 arrays as :meth:`array` describes them, rows may be padded, pixels may not.
            fmt: one of :data:`millrace.surface.FORMATS`.
            colorimetry: what YUV values mean.

        Raises:
            MediaError: the planes do not have the format's shapes.
        """
        height, width = planes[0].shape[:2]
        shapes = plane_shapes(width, height, fmt)
        if [p.shape for p in planes] != shapes or any(p.dtype != np.uint8 for p in planes):
            got = ", ".join(f"{p.dtype}{list(p.shape)}" for p in planes)
            raise MediaError(f"{fmt} needs uint8 planes of shapes {shapes}, got {got}")
        self._init(list(planes), fmt, colorimetry, _Share())

    def _init(self, planes: list[Plane], fmt: str, colorimetry: Colorimetry, share: _Share) -> None:
        self._planes, self._format, self._colorimetry, self._share = planes, fmt, colorimetry, share
        with share.lock:
            share.owners += 1

    def __del__(self) -> None:
        share = getattr(self, "_share", None)
        if share is not None:
            with share.lock:
                share.owners -= 1

    @classmethod
    def allocate(cls, width: int, height: int, fmt: str, colorimetry: Colorimetry = BT601) -> HostSurface:
        """A new surface whose pixels are not set.

        Raises:
            MediaError: the format or size is not possible.
        """
        surface = cls.__new__(cls)
        planes = [np.empty(shape, np.uint8) for shape in plane_shapes(width, height, fmt)]
        surface._init(planes, fmt, colorimetry, _Share())
        return surface

    @classmethod
    def upload(
        cls,
        src: Memory,
        width: int,
        height: int,
        fmt: str,
        strides: Sequence[int],
        offsets: Sequence[int],
        colorimetry: Colorimetry = BT601,
        as_format: str | None = None,
    ) -> HostSurface:
        """Copy a picture from system memory.

        Args:
            src: the mapped memory.
            width: pixels.
            height: pixels.
            fmt: any of :data:`millrace.surface.READABLE`.
            strides: bytes per row of each plane.
            offsets: byte at which each plane starts.
            colorimetry: of the source, kept by the surface.
            as_format: the surface's format; default NV12 for YUV sources and ``fmt`` for the others.

        Raises:
            MediaError: the format is unknown or the memory too small.
        """
        picture = read_picture(src, width, height, fmt, strides, offsets, colorimetry)
        surface = cls.allocate(width, height, as_format or ("NV12" if is_yuv(fmt) else fmt), colorimetry)
        blit(picture, (0, 0, width, height), surface._picture(), interpolation_flag("bilinear"))
        return surface

    @property
    def width(self) -> int:
        return int(self._planes[0].shape[1])

    @property
    def height(self) -> int:
        return int(self._planes[0].shape[0])

    @property
    def format(self) -> str:
        return self._format

    @property
    def colorimetry(self) -> Colorimetry:
        return self._colorimetry

    @property
    def memory(self) -> str:
        return "host"

    @property
    def shared(self) -> bool:
        """True while another surface uses the same pixels."""
        with self._share.lock:
            return self._share.owners > 1

    def _picture(self) -> Picture:
        p, fmt = self._planes, self._format
        if fmt == "NV12":
            return Yuv(p[0], uv=p[1], colorimetry=self._colorimetry)
        if fmt == "I420":
            return Yuv(p[0], u=p[1], v=p[2], colorimetry=self._colorimetry)
        if fmt == "GRAY8":
            return Yuv(p[0], colorimetry=JPEG)
        return Rgb(p[0], PACKED[fmt], self._colorimetry)

    def convert(
        self,
        format: str | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Rect | None = None,
        interpolation: str | int = "bilinear",
        colorimetry: Colorimetry | None = None,
    ) -> Surface:
        box = (0, 0, self.width, self.height) if crop is None else crop.pixels(self.width, self.height)
        fmt = format or self._format
        target = colorimetry or self._colorimetry
        w, h = width or box[2] - box[0], height or box[3] - box[1]
        wanted, present = (fmt, w, h, target), (self._format, self.width, self.height, self._colorimetry)
        if wanted == present and box == (0, 0, w, h):
            return self
        out = HostSurface.allocate(w, h, fmt, target)
        blit(self._picture(), box, out._picture(), interpolation_flag(interpolation))
        return out

    def paste(
        self, src: Surface, dst: Rect, src_rect: Rect | None = None, interpolation: str | int = "bilinear"
    ) -> None:
        part = src_rect or Rect(0, 0, src.width, src.height)
        if not (dst.is_finite() and part.is_finite()):
            raise MediaError(f"cannot paste {tuple(part)} onto {tuple(dst)}: the rectangles must be finite")
        x0, y0 = int(np.floor(dst.left + 0.5)), int(np.floor(dst.top + 0.5))
        x1, y1 = int(np.floor(dst.right + 0.5)), int(np.floor(dst.bottom + 0.5))
        cx0, cy0, cx1, cy1 = max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height)
        if cx0 >= cx1 or cy0 >= cy1 or part.width <= 0 or part.height <= 0:
            return
        if (cx0, cy0, cx1, cy1) != (x0, y0, x1, y1):
            kx, ky = part.width / (x1 - x0), part.height / (y1 - y0)
            left, top = part.left + (cx0 - x0) * kx, part.top + (cy0 - y0) * ky
            part = Rect(left, top, (cx1 - cx0) * kx, (cy1 - cy0) * ky)
        if not isinstance(src, HostSurface):
            rgba = src.array() if src.format == "RGBA" else src.convert("RGBA").array()
            src = HostSurface([np.ascontiguousarray(rgba)], "RGBA", src.colorimetry)
        target = window(self._picture(), (cx0, cy0, cx1, cy1))
        blit(src._picture(), part.pixels(src.width, src.height), target, interpolation_flag(interpolation))

    def flip(self, method: int) -> Surface:
        if method == 0:
            return self
        if method not in FLIPS:
            raise MediaError(f"flip method {method} is not known; use 0 to 7")
        transpose, mirror = FLIPS[method]
        width, height = (self.height, self.width) if transpose else (self.width, self.height)
        out = HostSurface.allocate(width, height, self._format, self._colorimetry)
        for plane, target in zip(self._planes, out._planes, strict=True):
            turned = cv2.transpose(plane) if transpose else plane
            flipped = turned if mirror is None else cv2.flip(turned, mirror)
            np.copyto(target, np.asarray(flipped).reshape(target.shape))
        return out

    def fill(self, r: float, g: float, b: float, a: float = 1.0) -> None:
        if self._format in PACKED:
            values = {"R": r, "G": g, "B": b, "A": a, "x": 1.0}
            levels = [values[c] * 255.0 for c in PACKED[self._format]]
            self._planes[0][...] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
            return
        colorimetry = JPEG if self._format == "GRAY8" else self._colorimetry
        yuv = np.clip(np.rint(yuv_of(r, g, b, colorimetry)), 0, 255).astype(np.uint8)
        self._planes[0][...] = yuv[0]
        if self._format == "NV12":
            self._planes[1][...] = yuv[1:]
        elif self._format == "I420":
            self._planes[1][...], self._planes[2][...] = yuv[1], yuv[2]

    def copy(self) -> HostSurface:
        twin = HostSurface.__new__(HostSurface)
        twin._init([np.array(p, order="C") for p in self._planes], self._format, self._colorimetry, _Share())
        return twin

    def share(self) -> HostSurface:
        twin = HostSurface.__new__(HostSurface)
        twin._init(self._planes, self._format, self._colorimetry, self._share)
        return twin

    def writable(self) -> HostSurface:
        return self.copy() if self.shared else self

    def download(self, dst: Memory, strides: Sequence[int], offsets: Sequence[int], format: str | None = None) -> None:
        fmt = format or self._format
        size = (self.width, self.height)
        picture, finish = write_picture(dst, *size, fmt, strides, offsets, self._colorimetry)
        blit(self._picture(), (0, 0, *size), picture, interpolation_flag("bilinear"))
        finish()

    def to_rgb(self, out: Plane | None = None, bgr: bool = False) -> Plane:
        shape = (self.height, self.width, 3)
        if out is None:
            out = np.empty(shape, np.uint8)
        elif out.shape != shape or out.dtype != np.uint8:
            raise MediaError(f"to_rgb needs a uint8 array of shape {shape}, got {out.dtype}{list(out.shape)}")
        picture = Rgb(out, "BGR" if bgr else "RGB", self._colorimetry)
        blit(self._picture(), (0, 0, self.width, self.height), picture, interpolation_flag("bilinear"))
        return out

    def array(self) -> Any:
        return list(self._planes) if is_yuv(self._format) else self._planes[0]
