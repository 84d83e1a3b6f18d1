"""On-screen display: NvOSD_* parameters drawn on surfaces."""

from __future__ import annotations

from millrace.osd.canvas import Canvas
from millrace.osd.frame import draw_frame
from millrace.osd.shapes import (
    BOTH_HEAD,
    END_HEAD,
    START_HEAD,
    draw_arrow,
    draw_circle,
    draw_line,
    draw_mask,
    draw_rect,
)
from millrace.osd.text import draw_text

__all__ = [
    "BOTH_HEAD",
    "END_HEAD",
    "START_HEAD",
    "Canvas",
    "draw_arrow",
    "draw_circle",
    "draw_frame",
    "draw_line",
    "draw_mask",
    "draw_rect",
    "draw_text",
]
