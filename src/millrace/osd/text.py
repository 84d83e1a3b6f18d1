"""Text: TrueType glyphs rendered once by Pillow and kept as alpha masks."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from millrace.osd.canvas import Canvas, signed
from millrace.surface import Plane

_log = logging.getLogger("millrace.osd")

#: Pango's points are 1/72 inch at 96 dots per inch.
_PIXELS_PER_POINT = 96.0 / 72.0
_MAX_PIXELS = 256
_MAX_CHARACTERS = 512
_BACKGROUND_PADDING = 2
_FAMILIES = (
    (("mono", "courier", "consol"), ("DejaVuSansMono", "LiberationMono-Regular", "FreeMono")),
    (
        ("sans", "arial", "helvetica", "verdana", "ubuntu", "roboto"),
        ("DejaVuSans", "LiberationSans-Regular", "FreeSans"),
    ),
    (("serif", "times", "georgia"), ("DejaVuSerif", "LiberationSerif-Regular", "FreeSerif", "DejaVuSans")),
)
# FreeType faces are not safe to use from two threads at once.
_lock = threading.Lock()


class _Glyph(NamedTuple):
    mask: Plane
    left: int
    top: int
    advance: float


@lru_cache(maxsize=64)
def _font(name: str, pixels: int) -> Any:
    """A font for a DeepStream font name: that file or face, its family's usual face, or Pillow's own."""
    lower = name.lower()
    bold = "-Bold" if "bold" in lower else ""
    family = next((faces for words, faces in _FAMILIES if any(w in lower for w in words)), _FAMILIES[1][1])
    candidates = [name] if Path(name).suffix.lower() in (".ttf", ".otf", ".ttc") else [f"{name}.ttf"]
    for face in family:
        candidates += [f"{face}{bold}.ttf"] if bold else []
        candidates.append(f"{face}.ttf")
    for candidate in candidates:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(candidate, pixels)
    _log.debug("no font file for %r on this machine; Pillow's own font is used", name)
    try:
        return ImageFont.load_default(pixels)
    except TypeError:
        return ImageFont.load_default()


@lru_cache(maxsize=4096)
def _glyph(name: str, pixels: int, char: str) -> _Glyph:
    font = _font(name, pixels)
    core, offset = font.getmask2(char, mode="L", anchor="la")
    width, height = core.size
    mask = (
        np.frombuffer(bytes(core), np.uint8).reshape(height, width) if width and height else np.zeros((0, 0), np.uint8)
    )
    return _Glyph(mask, int(offset[0]), int(offset[1]), float(font.getlength(char)))


def _line_height(font: Any) -> int:
    if isinstance(font, ImageFont.FreeTypeFont):
        return int(sum(font.getmetrics()))
    box = font.getbbox("Ag")
    return math.ceil(box[3])


def _render_line(text: str, name: str, pixels: int) -> Plane:
    font = _font(name, pixels)
    height = _line_height(font)
    if not text:
        return np.zeros((height, 0), np.uint8)
    if not isinstance(font, ImageFont.FreeTypeFont) or not (text.isascii() and text.isprintable()):
        try:
            return _render_whole(text, font, height)
        except (OSError, RuntimeError, ValueError) as error:
            _log.debug("%r cannot be shaped (%s); other characters are shown as ?", text, error)
            text = text.encode("ascii", "replace").decode()
            if not isinstance(font, ImageFont.FreeTypeFont):
                return _render_whole(text, font, height)
    return _render_glyphs(text, name, pixels, height)


def _render_whole(text: str, font: Any, height: int) -> Plane:
    """A line in any script, shaped as a whole."""
    box = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font=font)
    image = Image.new("L", (max(math.ceil(box[2]) + 1, 1), max(height, math.ceil(box[3]))), 0)
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image, np.uint8)


def _render_glyphs(text: str, name: str, pixels: int, height: int) -> Plane:
    """A line of printable ASCII, put together from single glyphs."""
    glyphs = [_glyph(name, pixels, char) for char in text]
    pens, pen = [], 0.0
    for glyph in glyphs:
        pens.append(round(pen) + glyph.left)
        pen += glyph.advance
    first = min(0, *pens)
    width = max(math.ceil(pen), *(p + g.mask.shape[1] for p, g in zip(pens, glyphs, strict=True))) - first
    depth = max(height, *(g.top + g.mask.shape[0] for g in glyphs))
    out = np.zeros((depth, width), np.uint8)
    for x, glyph in zip(pens, glyphs, strict=True):
        h, w = glyph.mask.shape
        top = max(glyph.top, 0)
        part = out[top : top + h, x - first : x - first + w]
        np.maximum(part, glyph.mask[: part.shape[0]], out=part)
    return out


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)


@lru_cache(maxsize=1024)
def render(text: str, name: str = "Serif", size: int = 10) -> Plane:
    """The alpha mask (uint8, h x w, read only) of ``text`` at ``size`` points; lines end with ``\\n``."""
    pixels = min(max(round(size * _PIXELS_PER_POINT), 1), _MAX_PIXELS)
    with _lock:
        rows = [_render_line(_printable(line), name, pixels) for line in text[:_MAX_CHARACTERS].split("\n")]
    if len(rows) == 1:
        return rows[0]
    out = np.zeros((sum(r.shape[0] for r in rows), max(r.shape[1] for r in rows)), np.uint8)
    y = 0
    for row in rows:
        out[y : y + row.shape[0], : row.shape[1]] = row
        y += row.shape[0]
    return out


def _string(value: Any) -> str:
    """The text of a string field, which may hold the text itself or its address; empty when there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not value:
        return ""
    from millrace.meta.strings import get_string

    try:
        return get_string(value) or ""
    except (TypeError, ValueError) as error:
        _log.debug("a text cannot be read: %s", error)
        return ""


def draw_text(canvas: Canvas, params: Any) -> None:
    """Draw NvOSD_TextParams; (``x_offset``, ``y_offset``) is the top left corner of the text."""
    text = _string(params.display_text)
    x, y = signed(params.x_offset), signed(params.y_offset)
    if not text or not (-1e6 < x < 1e6 and -1e6 < y < 1e6):
        return
    font = params.font_params
    paint = canvas.paint(font.font_color)
    background = canvas.paint(params.text_bg_clr) if params.set_bg_clr else None
    if (paint is None and background is None) or not font.font_size > 0:
        return
    left, top = int(x), int(y)
    mask = render(text, _string(font.font_name) or "Serif", int(min(font.font_size, _MAX_PIXELS)))
    if background is not None:
        canvas.fill(left, top, left + mask.shape[1] + 2 * _BACKGROUND_PADDING, top + mask.shape[0], background)
        left += _BACKGROUND_PADDING
    if paint is not None:
        canvas.stencil(mask, left, top, paint)
