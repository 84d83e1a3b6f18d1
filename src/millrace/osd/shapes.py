"""Rectangles, lines, arrows, circles and instance masks, from objects with NvOSD_* attribute names.

Strange values never raise: coordinates that are not finite and sizes that are not positive draw nothing.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from millrace.osd.canvas import Canvas, Ink, signed
from millrace.surface import Plane

#: NvOSD_Arrow_Head_Direction.
START_HEAD, END_HEAD, BOTH_HEAD = 0, 1, 2

_FIXED = 4
_UNIT = 1 << _FIXED
_LIMIT = 1e6
_HUGE = 1e9
_DEFAULT_CIRCLE_WIDTH = 2
_MASK_ALPHA = 0.5


def _usable(*values: Any) -> bool:
    """False when a value is NaN, infinite or far beyond any picture."""
    for v in values:  # noqa: SIM110 - a generator costs more than the drawing of a short line
        if not -_HUGE < v < _HUGE:
            return False
    return True


def _fixed(v: float) -> int:
    return round(v * _UNIT)


def _whole(v: float) -> int:
    return math.floor(min(max(v, -_LIMIT), _LIMIT) + 0.5)


def draw_rect(canvas: Canvas, params: Any) -> None:
    """Draw NvOSD_RectParams: the background when ``has_bg_color``, then the border, centred on the edge."""
    left, top, width, height = params.left, params.top, params.width, params.height
    if not (_usable(left, top, width, height) and width > 0 and height > 0):
        return
    x0, y0, x1, y1 = _whole(left), _whole(top), _whole(left + width), _whole(top + height)
    if params.has_bg_color:
        paint = canvas.paint(params.bg_color)
        if paint is not None:
            canvas.fill(x0, y0, x1, y1, paint)
    border = min(int(params.border_width), int(_LIMIT))
    paint = canvas.paint(params.border_color) if border > 0 else None
    if paint is None:
        return
    outer, inner = border // 2, border - border // 2
    ax, ay, bx, by = x0 - outer, y0 - outer, x1 + outer, y1 + outer
    ix0, iy0, ix1, iy1 = x0 + inner, y0 + inner, x1 - inner, y1 - inner
    if ix0 >= ix1 or iy0 >= iy1:
        canvas.fill(ax, ay, bx, by, paint)
        return
    canvas.fill(ax, ay, bx, iy0, paint)
    canvas.fill(ax, iy1, bx, by, paint)
    canvas.fill(ax, iy0, ix0, iy1, paint)
    canvas.fill(ix1, iy0, bx, iy1, paint)


def _clip_line(
    canvas: Canvas, x1: float, y1: float, x2: float, y2: float, margin: float
) -> tuple[float, float, float, float] | None:
    """The part of a line within ``margin`` of the picture (Liang-Barsky), None when there is none."""
    low, high = -margin, (canvas.width + margin, canvas.height + margin)
    if low <= x1 <= high[0] and low <= x2 <= high[0] and low <= y1 <= high[1] and low <= y2 <= high[1]:
        return x1, y1, x2, y2
    dx, dy = x2 - x1, y2 - y1
    start, end = 0.0, 1.0
    for p, q in ((-dx, x1 - low), (dx, high[0] - x1), (-dy, y1 - low), (dy, high[1] - y1)):
        if p == 0:
            if q < 0:
                return None
        elif p < 0:
            start = max(start, q / p)
        else:
            end = min(end, q / p)
    if start > end:
        return None
    return x1 + start * dx, y1 + start * dy, x1 + end * dx, y1 + end * dy


def _thickness(width: float, scale: float) -> int:
    return max(1, round(width * scale))


def draw_line(canvas: Canvas, params: Any) -> None:
    """Draw NvOSD_LineParams, smoothed."""
    x1, y1, x2, y2 = signed(params.x1), signed(params.y1), signed(params.x2), signed(params.y2)
    line_width = params.line_width
    if not (_usable(x1, y1, x2, y2, line_width) and line_width > 0):
        return
    paint = canvas.paint(params.line_color)
    if paint is None:
        return
    width = min(float(line_width), 1000.0)
    ends = _clip_line(canvas, x1, y1, x2, y2, width + 2)
    if ends is None:
        return
    ax, ay, bx, by = ends

    def draw(plane: Plane, ox: float, oy: float, scale: float, ink: Ink, line: int) -> None:
        k, ox, oy = scale * _UNIT, ox * _UNIT + 0.5, oy * _UNIT + 0.5
        a = (math.floor(ax * k + ox), math.floor(ay * k + oy))
        b = (math.floor(bx * k + ox), math.floor(by * k + oy))
        cv2.line(plane, a, b, ink, _thickness(width, scale), line, _FIXED)

    if paint.alpha == 255:
        canvas.stroke(None, paint, draw)
        return
    box = (min(ax, bx) - width, min(ay, by) - width, max(ax, bx) + width, max(ay, by) + width)
    canvas.stroke(box, paint, draw)


def draw_arrow(canvas: Canvas, params: Any) -> None:
    """Draw NvOSD_ArrowParams: a line with a filled head at its start, its end or both."""
    x1, y1, x2, y2 = signed(params.x1), signed(params.y1), signed(params.x2), signed(params.y2)
    arrow_width = params.arrow_width
    if not (_usable(x1, y1, x2, y2, arrow_width) and arrow_width > 0):
        return
    paint = canvas.paint(params.arrow_color)
    length = math.hypot(x2 - x1, y2 - y1)
    if paint is None or length == 0:
        return
    width = min(float(arrow_width), 250.0)
    head = min(max(4.0 * width, 10.0), length)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    where = int(params.arrow_head)
    margin = head + width + 2
    triangles = []
    sx, sy, ex, ey = float(x1), float(y1), float(x2), float(y2)
    if where in (START_HEAD, BOTH_HEAD):
        triangles.append((x1, y1, ux, uy))
        sx, sy = x1 + ux * head / 2, y1 + uy * head / 2
    if where in (END_HEAD, BOTH_HEAD):
        triangles.append((x2, y2, -ux, -uy))
        ex, ey = x2 - ux * head / 2, y2 - uy * head / 2
    ends = _clip_line(canvas, sx, sy, ex, ey, margin)
    if ends is None:
        return
    inside = [
        t for t in triangles if -margin <= t[0] <= canvas.width + margin and -margin <= t[1] <= canvas.height + margin
    ]

    def draw(plane: Plane, ox: float, oy: float, scale: float, ink: Ink, line: int) -> None:
        ax, ay, bx, by = ends
        a = (_fixed(ax * scale + ox), _fixed(ay * scale + oy))
        b = (_fixed(bx * scale + ox), _fixed(by * scale + oy))
        cv2.line(plane, a, b, ink, _thickness(width, scale), line, _FIXED)
        for tx, ty, vx, vy in inside:
            base_x, base_y = tx + vx * head, ty + vy * head
            points = np.array(
                [
                    (tx, ty),
                    (base_x - vy * head * 0.4, base_y + vx * head * 0.4),
                    (base_x + vy * head * 0.4, base_y - vx * head * 0.4),
                ]
            )
            fixed = np.rint((points * scale + (ox, oy)) * _UNIT).astype(np.int32)
            cv2.fillConvexPoly(plane, fixed, ink, line, _FIXED)

    xs, ys = [ends[0], ends[2], *(t[0] for t in inside)], [ends[1], ends[3], *(t[1] for t in inside)]
    box = (min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin)
    canvas.stroke(box, paint, draw)


def draw_circle(canvas: Canvas, params: Any) -> None:
    """Draw NvOSD_CircleParams: the disc when ``has_bg_color``, then the outline (``circle_width`` or 2)."""
    xc, yc, radius = signed(params.xc), signed(params.yc), params.radius
    if not (_usable(xc, yc, radius) and 0 < radius <= 30000):
        return
    width = min(max(int(getattr(params, "circle_width", 0) or _DEFAULT_CIRCLE_WIDTH), 1), 1000)
    reach = radius + width
    if not (-reach <= xc <= canvas.width + reach and -reach <= yc <= canvas.height + reach):
        return
    box = (xc - reach, yc - reach, xc + reach, yc + reach)

    def draw(thickness: int) -> Any:
        def on(plane: Plane, ox: float, oy: float, scale: float, ink: Ink, line: int) -> None:
            center = (_fixed(xc * scale + ox), _fixed(yc * scale + oy))
            border = thickness if thickness < 0 else _thickness(thickness, scale)
            cv2.circle(plane, center, _fixed(radius * scale), ink, border, line, _FIXED)

        return on

    disc = canvas.paint(params.bg_color) if params.has_bg_color else None
    outline = canvas.paint(params.circle_color)
    if outline is not None and outline is disc and disc.alpha == 255:
        radius += width / 2
        canvas.stroke(box, disc, draw(cv2.FILLED))
        return
    if disc is not None:
        canvas.stroke(box, disc, draw(cv2.FILLED))
    if outline is not None:
        canvas.stroke(box, outline, draw(width))


def mask_array(params: Any) -> np.ndarray | None:
    """The instance mask (float32, height x width) in NvOSD_MaskParams, None when it holds none.

    Pose models put keypoints there instead, with a ``size`` that is not width x height floats.
    """
    if params is None:
        return None
    width, height, data = int(params.width), int(params.height), params.data
    if width < 1 or height < 1 or data is None or int(params.size) != width * height * 4:
        return None
    getter = getattr(params, "get_mask_array", None)
    values = np.asarray(getter() if getter is not None else data, np.float32)
    return values.reshape(height, width) if values.size == width * height else None


def draw_mask(canvas: Canvas, params: Any, rect_params: Any) -> None:
    """Draw NvOSD_MaskParams stretched over ``rect_params``, half as opaque as its border colour."""
    values = mask_array(params)
    left, top, width, height = rect_params.left, rect_params.top, rect_params.width, rect_params.height
    if values is None or not (_usable(left, top, width, height) and width > 0 and height > 0):
        return
    x0, y0 = max(_whole(left), 0), max(_whole(top), 0)
    x1, y1 = min(_whole(left + width), canvas.width), min(_whole(top + height), canvas.height)
    paint = canvas.paint(rect_params.border_color)
    if paint is None or x0 >= x1 or y0 >= y1:
        return
    kx, ky = values.shape[1] / width, values.shape[0] / height
    matrix = np.array([[kx, 0, (x0 - left + 0.5) * kx - 0.5], [0, ky, (y0 - top + 0.5) * ky - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    scaled = cv2.warpAffine(values, matrix, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    stencil = np.where(scaled > float(params.threshold), np.uint8(round(255 * _MASK_ALPHA)), np.uint8(0))
    canvas.stencil(stencil, x0, y0, paint)
