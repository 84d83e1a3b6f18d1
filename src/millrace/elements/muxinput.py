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


LATE_NS = 200_000_000  # a source that is further behind than this counts from now on
SYNC_LATE_NS = 1_000_000_000  # with sync-inputs, sources less apart than this are waited for


@dataclass
class Input:
    """What the muxer knows of one sink pad.

    Attributes:
        begins: whether the next frame is the first one of a stream.
        offset: nanoseconds that the source's running time is shifted by.
    """

    index: int
    pad: Gst.Pad
    segment: Gst.Segment = field(default_factory=Gst.Segment)
    caps: nvcaps.VideoCaps | None = None
    announced: bool = False
    flushes_all: bool = False
    begins: bool = True
    offset: int = 0

    def output_time(self, running_time: int, output: int) -> int:
        """The running time of a frame in the muxer's output.

        A source that is behind the others, as a file that was added while they played, counts from now on: else time
        would stand still until it has caught up, while all sources run ahead at full speed.

        Args:
            running_time: of the frame, in nanoseconds.
            output: time of the last batch, -1 before the first.
        """
        if running_time >= output:
            self.offset = 0  # a live source that was late and no longer is
        elif running_time + self.offset < output - LATE_NS:
            self.offset = output - running_time
        return running_time + self.offset

    def synchronised_time(self, running_time: int, output: int) -> int:
        """The same with sync-inputs, where times say which frames belong together: only a whole stream is shifted."""
        if self.begins:
            self.begins = False
            behind = output - running_time
            self.offset = behind if behind > SYNC_LATE_NS else 0
        return running_time + self.offset


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
