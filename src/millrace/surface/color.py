"""Colour matrices: affine maps between full-range RGB and YUV of any colorimetry, all in 0..255 units."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from millrace.errors import MediaError
from millrace.surface.formats import MATRICES, Colorimetry, Plane

Affine = npt.NDArray[np.float64]


def _square(affine: Affine) -> Affine:
    return np.vstack([affine, [0.0, 0.0, 0.0, 1.0]])


@lru_cache(maxsize=32)
def rgb_to_yuv(colorimetry: Colorimetry) -> Affine:
    """3x4 matrix from (R, G, B, 1) to (Y, U, V).

    Raises:
        MediaError: the matrix is not a known one.
    """
    if colorimetry.matrix not in MATRICES:
        raise MediaError(f"unknown colour matrix {colorimetry.matrix!r}; use one of {', '.join(MATRICES)}")
    kr, kb = MATRICES[colorimetry.matrix]
    luma = np.array([kr, 1.0 - kr - kb, kb])
    u = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - kb))
    v = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - kr))
    ys, cs, y0 = (1.0, 1.0, 0.0) if colorimetry.full_range else (219.0 / 255.0, 224.0 / 255.0, 16.0)
    return np.column_stack([np.stack([luma * ys, u * cs, v * cs]), [y0, 128.0, 128.0]])


@lru_cache(maxsize=32)
def yuv_to_rgb(colorimetry: Colorimetry) -> Affine:
    """3x4 matrix from (Y, U, V, 1) to (R, G, B); see :func:`rgb_to_yuv`."""
    return np.asarray(np.linalg.inv(_square(rgb_to_yuv(colorimetry)))[:3], np.float64)


@lru_cache(maxsize=64)
def yuv_to_yuv(src: Colorimetry, dst: Colorimetry) -> Affine:
    """3x4 matrix from (Y, U, V, 1) of one colorimetry to another."""
    product: Affine = (_square(rgb_to_yuv(dst)) @ _square(yuv_to_rgb(src)))[:3]
    return product


@lru_cache(maxsize=4)
def range_tables(full_range: bool) -> tuple[Plane, Plane]:
    """Look-up tables (luma, chroma), 256 entries each, to full range (True) or to limited range (False)."""
    x = np.arange(256, dtype=np.float64)
    if full_range:
        luma, chroma = (x - 16.0) * 255.0 / 219.0, (x - 128.0) * 255.0 / 224.0 + 128.0
    else:
        luma, chroma = x * 219.0 / 255.0 + 16.0, (x - 128.0) * 224.0 / 255.0 + 128.0
    tables = [np.clip(np.rint(t), 0, 255).astype(np.uint8) for t in (luma, chroma)]
    return tables[0], tables[1]


def yuv_of(r: float, g: float, b: float, colorimetry: Colorimetry) -> tuple[float, float, float]:
    """(Y, U, V), 0..255, of a colour given as 0..1 red, green and blue."""
    y, u, v = rgb_to_yuv(colorimetry) @ np.array([r * 255.0, g * 255.0, b * 255.0, 1.0])
    return float(y), float(u), float(v)
