"""nvvideoconvert: format, size, crop, and the way between surfaces and system memory."""

from __future__ import annotations

from ..errors import ConfigError
from ..meta.batch import Batch
from ..surface import Rect, Surface
from ..surface.factory import allocate, upload
from . import _native
from . import caps as nvcaps
from ._gst import Gst, GstVideo
from .base import post_warning
from .filter import NvFilter
from .handle import attach, batch_of, new_handle
from .properties import properties_of

INTERPOLATION_NAMES = ("nearest", "bilinear", "cubic", "area", "lanczos", "lanczos", "bilinear")


def parse_rectangle(name: str, text: str | None) -> Rect | None:
    """``left:top:width:height`` in pixels; empty or all zero means none."""
    if not text or not text.strip("0:"):
        return None
    try:
        left, top, width, height = (int(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"{name}={text!r} is not left:top:width:height in pixels, such as 0:0:640:360") from None
    if width <= 0 or height <= 0 or left < 0 or top < 0:
        raise ConfigError(f"{name}={text!r}: left and top must be 0 or more, width and height 1 or more")
    return Rect(left, top, width, height)


def nearest(structure: Gst.Structure, field: str, wanted: int) -> int:
    """The value nearest to ``wanted`` that an integer field of caps allows (any, when it has no such field)."""
    if not structure.has_field(field):
        return wanted
    fixed = structure.copy()
    fixed.fixate_field_nearest_int(field, wanted)
    return int(fixed.get_int(field)[1])


def closest(caps: Gst.Caps, size: tuple[int, int]) -> tuple[Gst.Structure, tuple[int, int]]:
    """The structure of ``caps`` that allows the size nearest to ``size`` (width, height), and that size."""
    found: list[tuple[int, Gst.Structure, tuple[int, int]]] = []
    for index in range(caps.get_size()):
        structure = caps.get_structure(index)
        near = nearest(structure, "width", size[0]), nearest(structure, "height", size[1])
        found.append((abs(near[0] - size[0]) + abs(near[1] - size[1]), structure, near))
    _, structure, near = min(found, key=lambda item: item[0])
    return structure, near


def only_framerate(structure: Gst.Structure) -> Gst.Caps:
    """Caps of any memory with no more than the frame rate of ``structure``."""
    rate = structure.copy()  # values stay in C: PyGObject leaks the Python objects of fraction ranges
    for name in [rate.nth_field_name(index) for index in range(rate.n_fields())]:
        if name != "framerate":
            rate.remove_field(name)
    caps = Gst.Caps.new_empty()
    caps.append_structure_full(rate, Gst.CapsFeatures.new_any())
    return caps


def turned(flip_method: int, video: nvcaps.VideoCaps) -> tuple[int, int]:
    """(width, height) of a picture after a flip: quarter turns and diagonals, the odd methods, swap them."""
    return (video.height, video.width) if flip_method % 2 else (video.width, video.height)


class NvVideoConvert(NvFilter, Gst.Element):
    """Converts between formats, sizes, surfaces and system memory."""

    __gtype_name__ = "GstNvVideoConvert"
    __gstmetadata__ = (
        "NVIDIA-compatible video converter",
        "Filter/Converter/Video/Scaler",
        "Converts video between formats, sizes, and surfaces (memory:NVMM) and system memory",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new(
            "sink",
            Gst.PadDirection.SINK,
            Gst.PadPresence.ALWAYS,
            Gst.Caps.from_string(f"{nvcaps.nvmm_caps()}; {nvcaps.system_caps()}"),
        ),
        Gst.PadTemplate.new(
            "src",
            Gst.PadDirection.SRC,
            Gst.PadPresence.ALWAYS,
            Gst.Caps.from_string(f"{nvcaps.nvmm_caps()}; {nvcaps.system_caps(nvcaps.OUTPUT_FORMATS)}"),
        ),
    )
    __gproperties__ = properties_of("nvvideoconvert")

    def __init__(self) -> None:
        super().__init__()
        self._in: nvcaps.VideoCaps | None = None
        self._out: nvcaps.VideoCaps | None = None
        self._layout: tuple[list[int], list[int], int] = ([], [], 0)
        self._out_layout: tuple[list[int], list[int], int] = ([], [], 0)
        self._src_crop: Rect | None = None
        self._dest_crop: Rect | None = None
        self._warned = False
        self.carries_metadata = True  # into system memory; an encoder would deep-copy it for each frame

    # Negotiation ---------------------------------------------------------------------------------------------------

    def _reachable(self, caps: Gst.Caps, template: str) -> Gst.Caps:
        """Caps on one side that some conversion reaches from ``caps`` on the other, those that change least first."""
        everything = self.get_pad_template(template).get_caps()
        if caps.is_any():
            return everything
        result = Gst.Caps.new_empty()
        for index in range(caps.get_size()):
            structure = caps.get_structure(index)
            result.append(caps.copy_nth(index))
            result.append(everything.intersect(only_framerate(structure)))
        return result.intersect_full(everything, Gst.CapsIntersectMode.FIRST)

    def _answer_caps(self, pad: Gst.Pad, other: Gst.Pad, query: Gst.Query) -> bool:
        wanted = query.parse_caps()
        result = self._reachable(other.peer_query_caps(None), pad.get_property("template").name_template)
        if wanted is not None:
            result = wanted.intersect_full(result, Gst.CapsIntersectMode.FIRST)
        query.set_caps_result(result)
        return True

    def on_sink_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Any caps that can be converted to what downstream takes."""
        if query.type == Gst.QueryType.CAPS:
            return self._answer_caps(pad, self.srcpad, query)
        if query.type == Gst.QueryType.ALLOCATION:
            query.add_allocation_meta(GstVideo.video_meta_api_get_type(), None)  # strides of any kind are read
            return True
        return super().on_sink_query(pad, query)

    def on_src_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """Any caps that can be made of what upstream offers."""
        if query.type == Gst.QueryType.CAPS:
            return self._answer_caps(pad, self.sinkpad, query)
        return super().on_src_query(pad, query)

    def _choose(self, incoming: Gst.Caps, video: nvcaps.VideoCaps) -> Gst.Caps | None:
        """Output caps: what downstream takes and changes least of memory, format and size, in this order."""
        allowed = self.srcpad.peer_query_caps(None).intersect(self.srcpad.get_pad_template_caps())
        features = (True, False) if video.nvmm else (False, True)
        natural = turned(int(self.value("flip-method")), video)
        formats = [video.format, *(f for f in nvcaps.OUTPUT_FORMATS if f != video.format)]
        for nvmm in features:
            for fmt in formats:
                memory = f"({nvcaps.NVMM})" if nvmm else ""
                some = allowed.intersect(Gst.Caps.from_string(f"video/x-raw{memory}, format={fmt}"))
                if some.is_empty():
                    continue
                best, size = closest(some, natural)
                asked = best.get_string("colorimetry") or ""
                return self._complete(incoming, video, fmt, nvmm, size, asked)
        return None

    def _complete(
        self,
        incoming: Gst.Caps,
        video: nvcaps.VideoCaps,
        fmt: str,
        nvmm: bool,
        size: tuple[int, int],
        colorimetry: str,
    ) -> Gst.Caps:
        """Fixed caps: the chosen ones with the fields that the conversion keeps."""
        source = incoming.get_structure(0)
        fields = [f"format=(string){fmt}", f"width=(int){size[0]}", f"height=(int){size[1]}"]
        numerator, denominator = video.framerate
        fields.append(f"framerate=(fraction){numerator}/{denominator}")
        if fmt != "GRAY8":
            rgb = not nvmm and fmt not in ("NV12", "I420")
            name = colorimetry or nvcaps.colorimetry_name(video.colorimetry, rgb)
            fields.append(f"colorimetry=(string){name}")
        if nvmm:
            for name in ("batch-size", "num-surfaces-per-frame"):
                found, number = source.get_int(name)
                if found:
                    fields.append(f"{name}=(int){number}")
        else:
            fields += ["interlace-mode=(string)progressive", "pixel-aspect-ratio=(fraction)1/1"]
        memory = f"({nvcaps.NVMM})" if nvmm else ""
        return Gst.Caps.from_string(f"video/x-raw{memory}, {', '.join(fields)}")

    def set_caps(self, caps: Gst.Caps) -> Gst.Caps | None:
        """Choose the output and prepare the layouts."""
        video = nvcaps.parse(caps)
        out = self._choose(caps, video)
        if out is None:
            return None
        self._in, self._out = video, nvcaps.parse(out)
        self._src_crop = parse_rectangle("src-crop", self.value("src-crop"))
        self._dest_crop = parse_rectangle("dest-crop", self.value("dest-crop"))
        if not video.nvmm:
            self._layout = nvcaps.layout_of(caps)
        if not self._out.nvmm:
            self._out_layout = nvcaps.layout_of(out)
        return out

    # Data ----------------------------------------------------------------------------------------------------------

    def process(self, address: int) -> int | None:
        """Convert every surface of the buffer."""
        if self.srcpad.check_reconfigure():
            self._renegotiate()
        source, target = self._in, self._out
        if source is None or target is None:
            _native.mini_object_unref(address)
            raise ConfigError(f"{self.get_name()}: a buffer came before caps")
        if not source.nvmm:
            surface = self._upload(address, source)
            batch = batch_of(address)
            rider = batch.deep_copy() if batch is not None else Batch([], None)
            rider.surfaces = [self._convert(surface, target)]
        else:
            address, rider = self.writable_batch(address)
            rider.surfaces = [self._convert(surface, target) for surface in rider.surfaces]
            if target.nvmm:
                return address
        out = new_handle(rider) if target.nvmm else self._download(rider, target)
        _native.copy_timestamps(address, out)
        _native.mini_object_unref(address)
        return out

    def _renegotiate(self) -> None:
        """Downstream wants other caps than before, or a property changed what goes out."""
        caps, now = self.sinkpad.get_current_caps(), self.srcpad.get_current_caps()
        out = self.set_caps(caps) if caps is not None else None
        if out is not None and (now is None or not out.is_equal(now)):
            self.srcpad.push_event(Gst.Event.new_caps(out))

    def property_changed(self, name: str, value: object) -> None:
        """Crops and flips may change while playing."""
        if name in ("src-crop", "dest-crop", "flip-method"):
            self.srcpad.mark_reconfigure()

    def _upload(self, address: int, video: nvcaps.VideoCaps) -> Surface:
        strides, offsets, _ = self._layout
        layout = _native.video_layout(address)
        if layout is not None:
            strides, offsets = layout
        with _native.mapped(address, _native.MAP_READ) as view:
            fmt = self._out.format if self._out is not None else None
            return upload(view, video.width, video.height, video.format, strides, offsets, video.colorimetry, fmt)

    def _download(self, batch: Batch, video: nvcaps.VideoCaps) -> int:
        strides, offsets, size = self._out_layout
        if len(batch.surfaces) > 1 and not self._warned:
            self._warned = True
            post_warning(
                self,
                f"a batch of {len(batch.surfaces)} frames goes to system memory: only the first is kept; put "
                "nvmultistreamtiler or nvstreamdemux before",
            )
        out = _native.new_buffer(size)
        with _native.mapped(out, _native.MAP_WRITE) as view:
            if batch.surfaces:
                batch.surfaces[0].download(view, strides, offsets)
        if self.carries_metadata:
            attach(out, batch)
        return out

    def _convert(self, surface: Surface, target: nvcaps.VideoCaps) -> Surface:
        method = INTERPOLATION_NAMES[int(self.value("interpolation-method"))]
        flip, crop = int(self.value("flip-method")), self._src_crop
        if flip:
            surface = surface.convert(crop=crop).flip(flip)
            crop = None
        width, height = target.width, target.height
        source = self._in
        if target.nvmm and source is not None and not self._src_crop and turned(flip, source) == (width, height):
            width, height = surface.width, surface.height  # batches of native sizes keep them
        if self._dest_crop is not None:
            canvas = allocate(width, height, target.format, surface.colorimetry, surface)
            canvas.fill(0, 0, 0)
            canvas.paste(surface, self._dest_crop, crop, method)
            return canvas
        # In system memory the caps must tell the truth; surfaces say themselves what their colours mean.
        colorimetry = target.colorimetry if not target.nvmm and target.format in ("NV12", "I420") else None
        return surface.convert(target.format, width, height, crop, method, colorimetry)
