"""nvdsosd: boxes, text, lines, circles and arrows of the metadata, drawn onto the frames."""

from __future__ import annotations

import time

from ..meta.osd_params import NvOSD_TextParams
from ..osd import Canvas, draw_frame, draw_text
from . import caps as nvcaps
from ._gst import Gst
from .filter import NvFilter
from .properties import properties_of

_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420", "BGRx", "BGRA")))


class NvDsOsd(NvFilter, Gst.Element):
    """Draws in place; a frame that others hold too is copied first."""

    __gtype_name__ = "GstNvDsOsd"
    __gstmetadata__ = (
        "NvDsOsd plugin",
        "NvDsOsd functionality",
        "Draws the bounding boxes, texts and shapes of the metadata",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = properties_of("nvdsosd")

    def process(self, address: int) -> int | None:
        """Draw every frame's metadata on its surface."""
        address, batch = self.writable_batch(address)
        if batch.meta is None:
            return address
        options = {
            "display_text": bool(self.value("display-text")),
            "display_bbox": bool(self.value("display-bbox")),
            "display_mask": bool(self.value("display-mask")),
        }
        last = len(batch.surfaces) - 1
        for frame in batch.meta.frames:
            index = min(frame.batch_id, last)  # after the tiler all frames are in one surface
            surface = batch.surfaces[index] = batch.surfaces[index].writable()
            draw_frame(surface, frame, **options)
        if self.value("display-clock"):
            for index, surface in enumerate(batch.surfaces):
                batch.surfaces[index] = surface.writable()
                draw_text(Canvas(batch.surfaces[index]), self._clock())
        return address

    def _clock(self) -> NvOSD_TextParams:
        """The clock's text; ``clock-color`` is 0xRRGGBBAA."""
        text = NvOSD_TextParams()
        text.display_text = time.strftime("%a %b %d %H:%M:%S %Y")
        text.x_offset, text.y_offset = self.value("x-clock-offset"), self.value("y-clock-offset")
        text.font_params.font_name = self.value("clock-font") or "Serif"
        text.font_params.font_size = self.value("clock-font-size") or 12
        color = self.value("clock-color") or 0xFFFFFFFF
        text.font_params.font_color.set(*((color >> shift & 0xFF) / 255 for shift in (24, 16, 8, 0)))
        return text
