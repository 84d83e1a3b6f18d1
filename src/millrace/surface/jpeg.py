"""JPEG pictures to RGB just as libjpeg does it, to the last bit.

Networks can move a keypoint by pixels when a picture changes by one grey level, so that results on a JPEG stream are
comparable with those of programs that read the same file with OpenCV or Pillow.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from millrace.surface.formats import Plane

_Table = npt.NDArray[Any]
_SHIFT = 16
_HALF = 1 << (_SHIFT - 1)


def _fixed(value: float) -> int:
    return int(value * (1 << _SHIFT) + 0.5)


@lru_cache(maxsize=1)
def _tables() -> tuple[_Table, _Table, _Table, _Table]:
    """What Cr adds to red, Cb to blue (int16), and Cb and Cr to green (int32, scaled by 65536), for each value."""
    x = np.arange(256, dtype=np.int64) - 128
    red = (_fixed(1.40200) * x + _HALF) >> _SHIFT
    blue = (_fixed(1.77200) * x + _HALF) >> _SHIFT
    green_cb = -_fixed(0.34414) * x + _HALF
    green_cr = -_fixed(0.71414) * x
    return red.astype(np.int16), blue.astype(np.int16), green_cb.astype(np.int32), green_cr.astype(np.int32)


def upsample(plane: Plane, width: int, height: int) -> Plane:
    """A half-size chroma plane at full size, by libjpeg's triangle filter.

    Args:
        plane: uint8 (ceil(height / 2), ceil(width / 2)).
        width: of the result, pixels.
        height: of the result, pixels.
    """
    rows, columns = plane.shape
    near = plane.astype(np.uint16)
    near *= 3
    out = np.empty((2 * rows, 2 * columns), np.uint8)
    for lower in (False, True):
        far = np.concatenate([plane[1:], plane[-1:]] if lower else [plane[:1], plane[:-1]])
        column = cv2.add(near, far, dtype=cv2.CV_16U)  # 3/4 of the nearer row, 1/4 of the farther one, times 4
        triple = column * np.uint16(3)
        left, right = triple + np.uint16(8), triple + np.uint16(7)
        left[:, 1:] += column[:, :-1]
        left[:, 0] += column[:, 0]
        right[:, :-1] += column[:, 1:]
        right[:, -1] += column[:, -1]
        left >>= 4
        right >>= 4
        row = out[int(lower) :: 2]
        row[:, 0::2] = left
        row[:, 1::2] = right
    return out[:height, :width]


def to_rgb(y: Plane, cb: Plane, cr: Plane, out: Plane, bgr: bool = False) -> None:
    """Full-range BT.601 YCbCr with half-size chroma to packed RGB.

    Args:
        y: uint8 (height, width).
        cb: uint8 (ceil(height / 2), ceil(width / 2)).
        cr: like ``cb``.
        out: uint8 (height, width, 3), written.
        bgr: blue first.
    """
    height, width = y.shape
    red_table, blue_table, green_cb, green_cr = _tables()
    cb, cr = upsample(cb, width, height), upsample(cr, width, height)
    green = cv2.add(cv2.LUT(cb, green_cb), cv2.LUT(cr, green_cr))
    green >>= _SHIFT
    channels = [
        cv2.add(y, cv2.LUT(cr, red_table), dtype=cv2.CV_8U),
        cv2.add(y, green, dtype=cv2.CV_8U),
        cv2.add(y, cv2.LUT(cb, blue_table), dtype=cv2.CV_8U),
    ]
    cv2.merge(channels[::-1] if bgr else channels, dst=out)
