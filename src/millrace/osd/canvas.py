"""A surface as something to paint on: its planes, colours in their terms, and alpha."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from millrace.errors import MediaError
from millrace.surface import JPEG, Colorimetry, Plane, Surface
from millrace.surface.color import yuv_of

#: One value per channel of a layer, 0..255.
Ink = tuple[float, ...]
#: Draws on (plane, x offset, y offset, scale, ink, line type); pixel v lands at ``v * scale + offset``.
Stroke = Callable[[Plane, float, float, float, Ink, int], None]

_PACKED = {"RGBA": "RGBA", "RGBx": "RGBA", "BGRA": "BGRA", "BGRx": "BGRA", "RGB": "RGB", "BGR": "BGR"}


@dataclass(frozen=True)
class Paint:
    """A colour for one canvas: an ink for each of its layers and 0 < alpha <= 255."""

    inks: tuple[Ink, ...]
    alpha: int


def _inks(fmt: str, colorimetry: Colorimetry, r: float, g: float, b: float) -> tuple[Ink, ...]:
    if fmt in _PACKED:
        values = {"R": r * 255.0, "G": g * 255.0, "B": b * 255.0, "A": 255.0}
        return (tuple(round(values[c]) for c in _PACKED[fmt]),)
    y, u, v = (min(max(round(x), 0), 255) for x in yuv_of(r, g, b, JPEG if fmt == "GRAY8" else colorimetry))
    if fmt == "NV12":
        return (y,), (u, v)
    if fmt == "I420":
        return (y,), (u,), (v,)
    return ((y,),)


@lru_cache(maxsize=4096)
def _paint(fmt: str, colorimetry: Colorimetry, r: Any, g: Any, b: Any, a: Any) -> Paint | None:
    try:
        rgb = [min(max(0.0, float(c)), 1.0) for c in (r, g, b)]
        level = round(min(float(a), 1.0) * 255.0)
    except (TypeError, ValueError, OverflowError):
        return None
    return Paint(_inks(fmt, colorimetry, *rgb), level) if level > 0 else None


@lru_cache(maxsize=1024)
def _blend_table(ink: Ink, alpha: int) -> Plane:
    """256 entries per channel: what a value becomes under ``ink`` at alpha/255."""
    old = np.arange(256, dtype=np.float32)[:, None]
    table = old + (np.array(ink, np.float32) - old) * (alpha / 255.0)
    return np.rint(table).astype(np.uint8).reshape(1, 256, len(ink))


class Canvas:
    """Paints on a surface's own memory. Coordinates are the surface's pixels; what lies outside is clipped.

    Raises:
        MediaError: the surface is not in host memory.
    """

    def __init__(self, surface: Surface) -> None:
        if surface.memory != "host":
            raise MediaError(f"cannot draw on a surface in {surface.memory} memory; convert it to host memory first")
        self.width, self.height = surface.width, surface.height
        self.format, self.colorimetry = surface.format, surface.colorimetry
        pixels = surface.array()
        planes: list[Plane] = pixels if isinstance(pixels, list) else [pixels]
        #: (plane, 1 when it has half the resolution, line type: OpenCV cannot smooth two channels)
        self.layers: list[tuple[Plane, int, int]] = [
            (p, int(i > 0), cv2.LINE_8 if p.ndim == 3 and p.shape[2] == 2 else cv2.LINE_AA)
            for i, p in enumerate(planes)
        ]

    def paint(self, color: Any) -> Paint | None:
        """A paint from NvOSD_ColorParams (red, green, blue, alpha, 0..1); None when it leaves no trace."""
        return _paint(self.format, self.colorimetry, color.red, color.green, color.blue, color.alpha)

    def fill(self, x0: int, y0: int, x1: int, y1: int, paint: Paint) -> None:
        """Fill pixels x0..x1-1, y0..y1-1."""
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height)
        if x0 >= x1 or y0 >= y1:
            return
        for (plane, half, _), ink in zip(self.layers, paint.inks, strict=True):
            a, b, c, d = (x0 >> 1, y0 >> 1, (x1 + 1) >> 1, (y1 + 1) >> 1) if half else (x0, y0, x1, y1)
            if paint.alpha >= 255:
                cv2.rectangle(plane, (a, b), (c - 1, d - 1), ink, cv2.FILLED)
            else:
                part = plane[b:d, a:c]
                np.copyto(part, np.reshape(cv2.LUT(part, _blend_table(ink, paint.alpha)), part.shape))

    def stroke(self, box: tuple[float, float, float, float] | None, paint: Paint, draw: Stroke) -> None:
        """Run ``draw`` on each layer; a translucent paint draws on a copy of ``box`` (x0, y0, x1, y1) and blends."""
        for (plane, half, line), ink in zip(self.layers, paint.inks, strict=True):
            # Chroma sample i sits between luma pixels 2i and 2i + 1.
            scale, shift = (0.5, -0.25) if half else (1.0, 0.0)
            if paint.alpha >= 255 or box is None:
                draw(plane, shift, shift, scale, ink, line)
                continue
            h, w = plane.shape[:2]
            x0, y0 = max(int(box[0] * scale) - 2, 0), max(int(box[1] * scale) - 2, 0)
            x1, y1 = min(int(box[2] * scale) + 3, w), min(int(box[3] * scale) + 3, h)
            if x0 >= x1 or y0 >= y1:
                continue
            part = plane[y0:y1, x0:x1]
            drawn = part.copy()
            draw(drawn, shift - x0, shift - y0, scale, ink, line)
            share = paint.alpha / 255.0
            np.copyto(part, np.reshape(cv2.addWeighted(drawn, share, part, 1.0 - share, 0.0), part.shape))

    def stencil(self, mask: Plane, x: int, y: int, paint: Paint) -> None:
        """Paint through a uint8 ``mask`` (hxw, 255 = full) whose top left pixel lands on (x, y)."""
        cut_x, cut_y = max(-x, 0), max(-y, 0)
        mask = mask[cut_y : self.height - y, cut_x : self.width - x] if cut_x < self.width - x else mask[:0]
        if cut_y >= self.height - y or not mask.size:
            return
        x, y = x + cut_x, y + cut_y
        small: Plane | None = None
        for (plane, half, _), ink in zip(self.layers, paint.inks, strict=True):
            alpha, left, top = mask, x, y
            if half:
                if small is None:
                    small = _halve(mask, x & 1, y & 1)
                alpha, left, top = small, x >> 1, y >> 1
            part = plane[top : top + alpha.shape[0], left : left + alpha.shape[1]]
            alpha = alpha[: part.shape[0], : part.shape[1]]
            share = paint.alpha / 255.0
            keep: Any = cv2.convertScaleAbs(alpha, alpha=-share, beta=255.0)
            add: Any = [cv2.convertScaleAbs(alpha, alpha=share * value / 255.0) for value in ink]
            if len(ink) > 1:
                keep, add = cv2.merge([keep] * len(ink)), cv2.merge(add)
            else:
                add = add[0]
            kept = cv2.multiply(part, np.reshape(keep, part.shape), scale=1.0 / 255.0)
            total = cv2.add(np.reshape(kept, part.shape), np.reshape(add, part.shape))
            np.copyto(part, np.reshape(total, part.shape))


def signed(value: Any) -> Any:
    """A coordinate from an unsigned 32-bit field: one left of or above the picture has wrapped around."""
    return value - 0x100000000 if 0x80000000 <= value <= 0xFFFFFFFF else value


def _halve(mask: Plane, odd_x: int, odd_y: int) -> Plane:
    """The mask at half resolution, each sample the mean of the four pixels it covers."""
    h, w = mask.shape
    padded = np.zeros(((h + odd_y + 1) // 2 * 2, (w + odd_x + 1) // 2 * 2), np.uint8)
    padded[odd_y : odd_y + h, odd_x : odd_x + w] = mask
    size = (padded.shape[1] // 2, padded.shape[0] // 2)
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)
