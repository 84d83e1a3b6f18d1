"""``NvOSD_*``: what the on-screen display draws. Coordinates are pixels of the frame, colours 0 to 1."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_float, c_int, c_size_t, c_uint
from typing import Any

from .checked import optional_slot
from .enums import NvOSD_Arrow_Head_Direction, NvOSD_Mode
from .fields import Struct, enum_field, float_field, unsigned_field
from .strings import Address, Block, _blocks, decode, field_text, intern_font, string_field, text_bytes


class NvBbox_Coords(Struct):
    """A box: left, top, width and height in pixels (float)."""

    __slots__ = ()
    _fields_ = (("_left", c_float), ("_top", c_float), ("_width", c_float), ("_height", c_float))
    left: float = float_field("left")
    top: float = float_field("top")
    width: float = float_field("width")
    height: float = float_field("height")


class NvOSD_ColorParams(Struct):
    """A colour: red, green, blue and alpha, each 0.0 to 1.0."""

    __slots__ = ()
    _fields_ = (("_red", c_double), ("_green", c_double), ("_blue", c_double), ("_alpha", c_double))
    red: float = float_field("red")
    green: float = float_field("green")
    blue: float = float_field("blue")
    alpha: float = float_field("alpha")

    def set(self, red: float, green: float, blue: float, alpha: float) -> None:
        """Set all four components at once."""
        try:
            self._red = red
            self._green = green
            self._blue = blue
            self._alpha = alpha
        except TypeError:
            self.red, self.green, self.blue, self.alpha = red, green, blue, alpha

    def __repr__(self) -> str:
        return f"<NvOSD_ColorParams {self.red:g} {self.green:g} {self.blue:g} {self.alpha:g}>"


class NvOSD_Color_info(Struct):
    """A colour by number."""

    __slots__ = ()
    _fields_ = (("id", c_int), ("color", NvOSD_ColorParams))
    id: int
    color: NvOSD_ColorParams


class NvOSD_FontParams(Struct):
    """Name, size and colour of a font. ``font_name`` reads as an address; :attr:`name` is its text."""

    __slots__ = ()
    _fields_ = (("_font_name", c_size_t), ("_font_size", c_uint), ("font_color", NvOSD_ColorParams))
    font_size: int = unsigned_field("font_size")
    font_color: NvOSD_ColorParams

    @property
    def font_name(self) -> int:
        """Address of the name, 0 when none is set; assign a str."""
        address: int = self._font_name
        block = _blocks.get(address)
        return Address.of(block) if block is not None else address

    @font_name.setter
    def font_name(self, name: str) -> None:
        self._font_name = intern_font(text_bytes(name, "NvOSD_FontParams.font_name"))

    @property
    def name(self) -> str:
        """The font's name as text; empty when none is set."""
        block: Block | None = _blocks.get(self._font_name)
        return decode(block.buffer.value) if block is not None else ""


class NvOSD_TextParams(Struct):
    """A text at a place. ``display_text`` reads as an address (``get_string()``); :attr:`text` is the text.

    ``x_offset`` and ``y_offset`` are the left and top of the text in pixels.
    """

    __slots__ = ("_display_text",)
    _fields_ = (
        ("_x_offset", c_uint),
        ("_y_offset", c_uint),
        ("font_params", NvOSD_FontParams),
        ("set_bg_clr", c_int),
        ("text_bg_clr", NvOSD_ColorParams),
    )
    x_offset: int = unsigned_field("x_offset")
    y_offset: int = unsigned_field("y_offset")
    font_params: NvOSD_FontParams
    set_bg_clr: int
    text_bg_clr: NvOSD_ColorParams
    display_text: Any = string_field("display_text")

    @property
    def text(self) -> str:
        """``display_text`` as text; empty when there is none."""
        return field_text(getattr(self, "_display_text", None))

    def duplicate(self) -> NvOSD_TextParams:
        """A copy with a text of its own."""
        copy: NvOSD_TextParams = NvOSD_TextParams.from_buffer_copy(self)
        text = self.text
        if text:
            copy._display_text = text
        return copy


class NvOSD_RectParams(Struct):
    """A box with border and background. Its place in pixels (float), ``border_width`` in pixels."""

    __slots__ = ()
    _fields_ = (
        ("_left", c_float),
        ("_top", c_float),
        ("_width", c_float),
        ("_height", c_float),
        ("_border_width", c_uint),
        ("border_color", NvOSD_ColorParams),
        ("_has_bg_color", c_uint),
        ("reserved", c_uint),
        ("bg_color", NvOSD_ColorParams),
        ("has_color_info", c_int),
        ("color_id", c_int),
    )
    left: float = float_field("left")
    top: float = float_field("top")
    width: float = float_field("width")
    height: float = float_field("height")
    border_width: int = unsigned_field("border_width")
    border_color: NvOSD_ColorParams
    has_bg_color: int = unsigned_field("has_bg_color")
    reserved: int
    bg_color: NvOSD_ColorParams
    has_color_info: int
    color_id: int

    def __repr__(self) -> str:
        return f"<NvOSD_RectParams {self.left:g} {self.top:g} {self.width:g}x{self.height:g}>"


class NvOSD_LineParams(Struct):
    """A line from (x1, y1) to (x2, y2), in pixels."""

    __slots__ = ()
    _fields_ = (
        ("_x1", c_uint),
        ("_y1", c_uint),
        ("_x2", c_uint),
        ("_y2", c_uint),
        ("_line_width", c_uint),
        ("line_color", NvOSD_ColorParams),
    )
    x1: int = unsigned_field("x1")
    y1: int = unsigned_field("y1")
    x2: int = unsigned_field("x2")
    y2: int = unsigned_field("y2")
    line_width: int = unsigned_field("line_width")
    line_color: NvOSD_ColorParams


class NvOSD_ArrowParams(Struct):
    """A line with arrow heads, in pixels."""

    __slots__ = ()
    _fields_ = (
        ("_x1", c_uint),
        ("_y1", c_uint),
        ("_x2", c_uint),
        ("_y2", c_uint),
        ("_arrow_width", c_uint),
        ("_arrow_head", c_int),
        ("arrow_color", NvOSD_ColorParams),
        ("reserved", c_uint),
    )
    x1: int = unsigned_field("x1")
    y1: int = unsigned_field("y1")
    x2: int = unsigned_field("x2")
    y2: int = unsigned_field("y2")
    arrow_width: int = unsigned_field("arrow_width")
    arrow_head: NvOSD_Arrow_Head_Direction = enum_field("arrow_head", NvOSD_Arrow_Head_Direction)
    arrow_color: NvOSD_ColorParams
    reserved: int


class NvOSD_CircleParams(Struct):
    """A circle around (xc, yc), in pixels."""

    __slots__ = ()
    _fields_ = (
        ("_xc", c_uint),
        ("_yc", c_uint),
        ("_radius", c_uint),
        ("circle_color", NvOSD_ColorParams),
        ("_has_bg_color", c_uint),
        ("bg_color", NvOSD_ColorParams),
        ("_circle_width", c_uint),
        ("reserved", c_uint),
    )
    xc: int = unsigned_field("xc")
    yc: int = unsigned_field("yc")
    radius: int = unsigned_field("radius")
    circle_color: NvOSD_ColorParams
    has_bg_color: int = unsigned_field("has_bg_color")
    bg_color: NvOSD_ColorParams
    circle_width: int = unsigned_field("circle_width")
    reserved: int


class NvOSD_MaskParams(Struct):
    """A float32 array on an object: a mask of ``height`` x ``width``, or keypoints (x, y, confidence).

    ``size`` is in bytes.
    """

    __slots__ = ("_data",)
    _fields_ = (("size", c_uint), ("_threshold", c_float), ("width", c_uint), ("height", c_uint))
    size: int
    threshold: float = float_field("threshold")
    width: int
    height: int

    @property
    def data(self) -> Any:
        """The float32 array (1-D, shared, writable), or ``None``; assigning an array also sets ``size``."""
        return getattr(self, "_data", None)

    @data.setter
    def data(self, values: Any) -> None:
        import numpy

        if values is None:
            self._data = None
            self.size = 0
            return
        try:
            array = numpy.ascontiguousarray(values, dtype=numpy.float32).reshape(-1)
        except (TypeError, ValueError):
            raise TypeError(
                f"NvOSD_MaskParams.data needs an array of float32, got {type(values).__name__}"
            ) from None
        self._data = array
        self.size = array.nbytes

    def get_mask_array(self) -> Any:
        """The float32 array of ``size / 4`` elements, shared with the mask; empty when there is none."""
        import numpy

        data = self.data
        return numpy.zeros(0, numpy.float32) if data is None else data[: self.size // 4]

    def alloc_mask_array(self) -> Any:
        """A zeroed, shared float32 array of ``width * height`` elements; it replaces the old one."""
        import numpy

        self.data = numpy.zeros(self.width * self.height, numpy.float32)
        return self._data

    def duplicate(self) -> NvOSD_MaskParams:
        """A copy with an array of its own."""
        copy: NvOSD_MaskParams = NvOSD_MaskParams.from_buffer_copy(self)
        data = self.data
        copy._data = None if data is None else data.copy()
        return copy


def _frame_params(name: str, count: str, items: str, what: str, kind: type[Struct]) -> Any:
    def init(self: Any) -> None:
        self.buf_ptr = None
        setattr(self, items, None)

    return type(
        name,
        (Struct,),
        {
            "__slots__": ("buf_ptr", "_" + items),
            items: optional_slot(items, kind),
            "_fields_": (("_mode", c_int), (count, c_uint)),
            "__doc__": f"All {what} of one frame: ``mode``, ``{count}`` and ``{items}``, the first of them.",
            "__module__": __name__,
            "__init__": init,
            "mode": enum_field("mode", NvOSD_Mode),
        },
    )


NvOSD_FrameTextParams = _frame_params(
    "NvOSD_FrameTextParams", "num_strings", "text_params_list", "texts", NvOSD_TextParams
)
NvOSD_FrameRectParams = _frame_params(
    "NvOSD_FrameRectParams", "num_rects", "rect_params_list", "boxes", NvOSD_RectParams
)
NvOSD_FrameLineParams = _frame_params(
    "NvOSD_FrameLineParams", "num_lines", "line_params_list", "lines", NvOSD_LineParams
)
NvOSD_FrameArrowParams = _frame_params(
    "NvOSD_FrameArrowParams", "num_arrows", "arrow_params_list", "arrows", NvOSD_ArrowParams
)
NvOSD_FrameCircleParams = _frame_params(
    "NvOSD_FrameCircleParams", "num_circles", "circle_params_list", "circles", NvOSD_CircleParams
)


def copy_struct(source: ctypes.Structure, target: ctypes.Structure) -> None:
    """Copy all C fields of ``source`` over those of ``target`` (same class)."""
    ctypes.memmove(ctypes.addressof(target), ctypes.addressof(source), ctypes.sizeof(source))
