"""Drawing for the procedural world: anti-aliased rounded shapes with an owner map beside the picture.

All coordinates are continuous frame pixels: the pixel in column 3 covers x from 3 to 4, its centre is 3.5.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

_SHIFT = 4
_UNIT = 1 << _SHIFT
_ARC = 7
_SWEEP = np.linspace(-np.pi / 2, np.pi / 2, _ARC)
_CIRCLE = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_CIRCLE_XY = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)


def shade(colour: Colour, gain: float) -> Colour:
    """A colour made lighter (gain above 1) or darker, kept within 0 to 255."""
    r, g, b = colour
    return (min(255.0, r * gain), min(255.0, g * gain), min(255.0, b * gain))


def capsules(start: Array, end: Array, r0: Array, r1: Array) -> Array:
    """Outlines of tapered limbs with round ends.

    start, end: (N, 2) points in pixels; r0, r1: (N,) radii in pixels. Returns (N, 14, 2) outline points.
    """
    delta = end - start
    angle = np.arctan2(delta[:, 1], delta[:, 0])
    far = angle[:, None] + _SWEEP
    near = far + np.pi
    head = end[:, None] + r1[:, None, None] * np.stack([np.cos(far), np.sin(far)], axis=2)
    tail = start[:, None] + r0[:, None, None] * np.stack([np.cos(near), np.sin(near)], axis=2)
    return np.concatenate([head, tail], axis=1)


def disc(centre: Array, rx: float, ry: float) -> Array:
    """Outline (16, 2) of an upright ellipse with radii rx, ry in pixels."""
    return centre + _CIRCLE_XY * (rx, ry)


def hull(points: Array) -> Array:
    """Convex hull (M, 2) of points (N, 2)."""
    return cv2.convexHull(points.astype(np.float32)).reshape(-1, 2).astype(np.float64)


class Canvas:
    """A picture being drawn: `rgb` (H, W, 3) uint8 and `owner` (H, W) uint8, the number of whoever owns a pixel."""

    def __init__(self, background: npt.NDArray[np.uint8]) -> None:
        self.rgb = background.copy()
        self.height, self.width = background.shape[:2]
        self.owner = np.zeros((self.height, self.width), np.uint8)

    def fill(self, outline: Array, colour: Colour, owner: int) -> None:
        """Fill a convex outline (N, 2) with a colour and give its pixels to `owner` (0 leaves the owner map)."""
        points = np.rint((outline - 0.5) * _UNIT).astype(np.int32)
        cv2.fillConvexPoly(self.rgb, points, colour, cv2.LINE_AA, _SHIFT)
        if owner:
            cv2.fillConvexPoly(self.owner, points, owner, cv2.LINE_8, _SHIFT)

    def darken(self, centre: Array, rx: float, ry: float, gain: float) -> None:
        """Multiply an upright ellipse by `gain`: a shadow on the ground."""
        x0, x1 = max(0, int(centre[0] - rx)), min(self.width, int(centre[0] + rx) + 2)
        y0, y1 = max(0, int(centre[1] - ry)), min(self.height, int(centre[1] + ry) + 2)
        if x0 >= x1 or y0 >= y1:
            return
        patch = self.rgb[y0:y1, x0:x1]
        mask = np.zeros(patch.shape[:2], np.uint8)
        outline = np.rint((disc(centre - (x0, y0), rx, ry) - 0.5) * _UNIT).astype(np.int32)
        cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_AA, _SHIFT)
        factor = 1.0 - (1.0 - gain) * (mask[..., None] / np.float32(255))
        patch[:] = (patch * factor).astype(np.uint8)

    def count(self, owner: int, box: tuple[float, float, float, float]) -> int:
        """Pixels inside the box (left, top, right, bottom) that belong to `owner`."""
        left, top = max(0, int(box[0])), max(0, int(box[1]))
        right, bottom = int(np.ceil(box[2])), int(np.ceil(box[3]))
        return int(np.count_nonzero(self.owner[top:bottom, left:right] == owner))
