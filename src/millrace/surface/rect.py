"""Rectangles in pixels."""

from __future__ import annotations

import math
from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle in pixels of the surface it is used with; the origin is the top left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The first column to the right of the rectangle."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The first row below the rectangle."""
        return self.top + self.height

    def is_finite(self) -> bool:
        """True when no side is NaN or infinite."""
        return all(math.isfinite(v) for v in self)

    def clip(self, width: float, height: float) -> Rect:
        """The part inside a ``width`` by ``height`` picture; 0 wide or high when nothing is inside."""
        left, top = min(max(self.left, 0.0), width), min(max(self.top, 0.0), height)
        right, bottom = min(max(self.right, left), width), min(max(self.bottom, top), height)
        return Rect(left, top, right - left, bottom - top)

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Whole pixels ``(x0, y0, x1, y1)`` nearest to the edges, inside the picture, at least one pixel.

        Raises:
            ValueError: a side is NaN or infinite.
        """
        if not self.is_finite():
            raise ValueError(f"rectangle {tuple(self)} is not finite")
        x0 = min(max(math.floor(self.left + 0.5), 0), width - 1)
        y0 = min(max(math.floor(self.top + 0.5), 0), height - 1)
        x1 = min(max(math.floor(self.right + 0.5), x0 + 1), width)
        y1 = min(max(math.floor(self.bottom + 0.5), y0 + 1), height)
        return x0, y0, x1, y1
