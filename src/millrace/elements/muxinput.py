"""One input of nvstreammux: what the muxer knows of it, and how its frames are made to fit."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..surface import Rect, Surface
from ..surface.factory import allocate
from . import caps as nvcaps
from ._gst import Gst

# Gst.Element's typelib says whether PyGObject gives a requested pad away with a reference that nobody takes back.
GIVES_PADS_AWAY = any(
    function.get_name() == "request_new_pad" and int(function.get_caller_owns()) == 2
    for function in Gst.Element.__info__.get_vfuncs()
)


@dataclass
class Input:
    """What the muxer knows of one sink pad."""

    index: int
    pad: Gst.Pad
    segment: Gst.Segment = field(default_factory=Gst.Segment)
    caps: nvcaps.VideoCaps | None = None
    announced: bool = False
    flushes_all: bool = False


def fit(surface: Surface, width: int, height: int, method: str, padding: bool) -> Surface:
    """The picture at ``width`` x ``height`` pixels: stretched, or with ``padding`` in the middle between black bars."""
    if not padding:
        return surface.convert(None, width, height, None, method)
    scale = min(width / surface.width, height / surface.height)
    inner = round(surface.width * scale), round(surface.height * scale)
    if inner == (width, height):
        return surface.convert(None, width, height, None, method)
    canvas = allocate(width, height, surface.format, surface.colorimetry, surface)
    canvas.fill(0.0, 0.0, 0.0)
    canvas.paste(surface, Rect((width - inner[0]) // 2, (height - inner[1]) // 2, *inner), None, method)
    return canvas
