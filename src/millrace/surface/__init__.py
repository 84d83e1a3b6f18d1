"""Surfaces: one picture with a format, a size and a colorimetry, wherever its memory is."""

from __future__ import annotations

from millrace.surface.base import Surface
from millrace.surface.formats import (
    BT601,
    BT709,
    FORMATS,
    INTERPOLATIONS,
    JPEG,
    Colorimetry,
    Plane,
    interpolation_flag,
    plane_shapes,
)
from millrace.surface.host import HostSurface
from millrace.surface.rect import Rect
from millrace.surface.system import READABLE, WRITABLE, default_layout

__all__ = [
    "BT601",
    "BT709",
    "FORMATS",
    "INTERPOLATIONS",
    "JPEG",
    "READABLE",
    "WRITABLE",
    "Colorimetry",
    "HostSurface",
    "Plane",
    "Rect",
    "Surface",
    "default_layout",
    "interpolation_flag",
    "plane_shapes",
]
