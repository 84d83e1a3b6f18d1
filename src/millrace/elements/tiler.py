"""nvmultistreamtiler: the frames of a batch side by side in one picture, their metadata moved along."""

from __future__ import annotations

import math

from ..meta.batch import Batch
from ..meta.frame import NvDsFrameMeta
from ..meta.functions import nvds_remove_frame_meta_from_batch
from ..surface import Colorimetry, Rect, Surface
from ..surface.factory import allocate
from . import caps as nvcaps
from ._gst import Gst
from .convert import INTERPOLATION_NAMES
from .filter import NvFilter
from .properties import properties_of

_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420", "BGRx", "BGRA")))


class NvMultiStreamTiler(NvFilter, Gst.Element):
    """Composes a grid of tiles, one a source in row-major order; a source without a new frame keeps its last one."""

    __gtype_name__ = "GstNvMultiStreamTiler"
    __gstmetadata__ = (
        "Stream tiler",
        "Generic",
        "Places the frames of a batch in a grid of one picture",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = properties_of("nvmultistreamtiler")

    def __init__(self) -> None:
        super().__init__()
        self._video: nvcaps.VideoCaps | None = None
        self._canvas: Surface | None = None
        self._geometry: tuple[int, ...] = ()
        self._drawn: set[int] = set()
        self._size = (0, 0)

    # Negotiation ---------------------------------------------------------------------------------------------------

    def _any_size(self, query: Gst.Query, other: Gst.Pad) -> bool:
        peer = other.peer_query_caps(None)
        template = other.get_pad_template_caps()
        allowed = template if peer.is_any() else peer.intersect(template)
        formats = Gst.Caps.new_empty()
        for index in range(allowed.get_size()):
            text = allowed.get_structure(index).get_value("format")
            names = [text] if isinstance(text, str) else list(text or ())
            for name in names:
                formats.append(Gst.Caps.from_string(f"video/x-raw({nvcaps.NVMM}), format=(string){name}"))
        wanted = query.parse_caps()
        query.set_caps_result(formats if wanted is None else wanted.intersect(formats))
        return True

    def on_sink_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Any size comes in; the formats are those of downstream."""
        if query.type == Gst.QueryType.CAPS:
            return self._any_size(query, self.srcpad)
        return super().on_sink_query(pad, query)

    def on_src_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """The tiler's own size goes out; the formats are those of upstream."""
        if query.type == Gst.QueryType.CAPS:
            return self._any_size(query, self.sinkpad)
        return super().on_src_query(pad, query)

    def set_caps(self, caps: Gst.Caps) -> Gst.Caps | None:
        """One frame a buffer, of the tiler's size."""
        self._video = nvcaps.parse(caps)
        self._canvas = None
        return self._out_caps(self._video)

    def _out_caps(self, video: nvcaps.VideoCaps) -> Gst.Caps:
        self._size = self.value("width"), self.value("height")
        numerator, denominator = video.framerate
        return Gst.Caps.from_string(
            f"video/x-raw({nvcaps.NVMM}), format=(string){video.format}, width=(int){self._size[0]}, "
            f"height=(int){self._size[1]}, framerate=(fraction){numerator}/{denominator}, batch-size=(int)1, "
            "num-surfaces-per-frame=(int)1, "
            f"colorimetry=(string){nvcaps.colorimetry_name(video.colorimetry, False)}"
        )

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """A source that leaves the batch gives its tile back."""
        structure = event.get_structure()
        if structure is not None and structure.get_name() == "nv-pad-deleted":
            found, source = structure.get_uint("source-id")
            if found:
                self._drawn.discard(source)
                self._canvas = None
        return super().on_sink_event(pad, event)

    # Data ----------------------------------------------------------------------------------------------------------

    def process(self, address: int) -> int | None:
        """Compose the batch."""
        address, batch = self.writable_batch(address, need_meta=True)
        self._compose(batch)
        return address

    def _grid(self, sources: int) -> tuple[int, int]:
        """(rows, columns); more rows than asked for when the sources would not fit."""
        rows, columns = self.value("rows"), self.value("columns")
        if self.value("square-seq-grid"):
            rows = columns = max(1, math.ceil(math.sqrt(sources)))
        while rows * columns < sources:
            rows, columns = (rows + 1, columns) if rows <= columns else (rows, columns + 1)
        return rows, columns

    def _tile(self, source: int, rows: int, columns: int) -> Rect:
        """The rectangle of a source's tile, in pixels of the output."""
        width, height = self.value("width"), self.value("height")
        row, column = divmod(source, columns)
        left, right = width * column // columns, width * (column + 1) // columns
        top, bottom = height * row // rows, height * (row + 1) // rows
        left, top = left & ~1, top & ~1  # even, so that the chroma of NV12 falls on whole samples
        return Rect(left, top, right - left, bottom - top)

    def _fresh_canvas(self, like: Surface | None) -> Surface:
        video = self._video
        colorimetry = video.colorimetry if video is not None else Colorimetry("bt601", False)
        fmt = video.format if video is not None else "NV12"
        width, height = self.value("width"), self.value("height")
        canvas = allocate(width, height, fmt, colorimetry, like)
        canvas.fill(0.0, 0.0, 0.0)
        return canvas

    def _compose(self, batch: Batch) -> None:
        assert batch.meta is not None
        show = self.value("show-source")
        frames = list(batch.meta.frames)
        if self._video is not None and self._size != (self.value("width"), self.value("height")):
            self.srcpad.push_event(Gst.Event.new_caps(self._out_caps(self._video)))  # changed while playing
        newest = {frame.pad_index: frame for frame in frames}
        self._drawn |= {frame.pad_index for frame in frames}
        rows, columns = (1, 1) if show >= 0 else self._grid(max(self._drawn, default=0) + 1)
        geometry = (rows, columns, show, self.value("width"), self.value("height"))
        canvas = self._canvas
        if canvas is None or geometry != self._geometry:
            canvas = self._fresh_canvas(batch.surfaces[0] if batch.surfaces else None)
            self._geometry = geometry
        canvas = canvas.writable()
        method = INTERPOLATION_NAMES[int(self.value("interpolation-method"))]
        for frame in frames:
            if (show >= 0 and frame.pad_index != show) or newest[frame.pad_index] is not frame:
                nvds_remove_frame_meta_from_batch(batch.meta, frame)
                continue
            surface = batch.surface_of(frame)
            tile = self._tile(0 if show >= 0 else frame.pad_index, rows, columns)
            canvas.paste(surface, tile, None, method)
            move_frame(frame, tile.width / surface.width, tile.height / surface.height, tile.left, tile.top)
        self._canvas = canvas
        batch.surfaces = [canvas.share()]


def move_frame(frame: NvDsFrameMeta, scale_x: float, scale_y: float, left: float, top: float) -> None:
    """Scale all that a frame's metadata draws, and shift it: from frame pixels to pixels of the picture around it.

    Args:
        frame: its objects' and display metas' coordinates change in place.
        scale_x: output pixels a frame pixel, across.
        scale_y: output pixels a frame pixel, down.
        left: where the frame's left edge is, in output pixels.
        top: where the frame's top edge is, in output pixels.
    """
    for item in frame.objects:
        _move_rect(item.rect_params, scale_x, scale_y, left, top)
        _move_text(item.text_params, scale_x, scale_y, left, top)
    for display in frame.display_metas:
        for rect in display.rect_params[: display.num_rects]:
            _move_rect(rect, scale_x, scale_y, left, top)
        for text in display.text_params[: display.num_labels]:
            _move_text(text, scale_x, scale_y, left, top)
        for line in (*display.line_params[: display.num_lines], *display.arrow_params[: display.num_arrows]):
            line.x1, line.x2 = int(line.x1 * scale_x + left), int(line.x2 * scale_x + left)
            line.y1, line.y2 = int(line.y1 * scale_y + top), int(line.y2 * scale_y + top)
        for circle in display.circle_params[: display.num_circles]:
            circle.xc, circle.yc = int(circle.xc * scale_x + left), int(circle.yc * scale_y + top)
            circle.radius = max(1, round(circle.radius * min(scale_x, scale_y)))


def _move_rect(rect: object, scale_x: float, scale_y: float, left: float, top: float) -> None:
    rect.left, rect.top = rect.left * scale_x + left, rect.top * scale_y + top  # type: ignore[attr-defined]
    rect.width, rect.height = rect.width * scale_x, rect.height * scale_y  # type: ignore[attr-defined]


def _move_text(text: object, scale_x: float, scale_y: float, left: float, top: float) -> None:
    text.x_offset = int(text.x_offset * scale_x + left)  # type: ignore[attr-defined]
    text.y_offset = int(text.y_offset * scale_y + top)  # type: ignore[attr-defined]
