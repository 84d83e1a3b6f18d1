"""Everything that a frame's metadata asks to be drawn, in DeepStream's order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from millrace.osd.canvas import Canvas
from millrace.osd.shapes import draw_arrow, draw_circle, draw_line, draw_mask, draw_rect
from millrace.osd.text import draw_text
from millrace.surface import Surface


def _walk(node: Any) -> Iterator[Any]:
    while node is not None:
        yield node.data
        node = node.next


def _items(meta: Any, plain: str, glist: str) -> Iterable[Any]:
    items = getattr(meta, plain, None)
    return items if items is not None else _walk(getattr(meta, glist, None))


def _first(items: Any, count: Any) -> Iterator[Any]:
    """The first ``count`` elements of a params array."""
    for index in range(min(int(count), len(items))):
        yield items[index]


def draw_frame(
    surface: Surface,
    frame_meta: Any,
    *,
    display_text: bool = True,
    display_bbox: bool = True,
    display_mask: bool = False,
) -> None:
    """Draw a frame's objects (masks, boxes, labels), then its display metas (as rects to circles).

    Args:
        surface: where to draw, in place; the caller made it writable.
        frame_meta: an NvDsFrameMeta, or anything with the same attribute names.
        display_text: draw objects' and display metas' labels.
        display_bbox: draw objects' and display metas' rectangles.
        display_mask: draw instance masks over the objects' boxes.

    Raises:
        MediaError: the surface is not in host memory.
    """
    canvas = Canvas(surface)
    objects = list(_items(frame_meta, "objects", "obj_meta_list"))
    if display_mask:
        for obj in objects:
            draw_mask(canvas, getattr(obj, "mask_params", None), obj.rect_params)
    if display_bbox:
        for obj in objects:
            draw_rect(canvas, obj.rect_params)
    if display_text:
        for obj in objects:
            draw_text(canvas, obj.text_params)
    displays = list(_items(frame_meta, "display_metas", "display_meta_list"))
    if display_bbox:
        for meta in displays:
            for params in _first(meta.rect_params, meta.num_rects):
                draw_rect(canvas, params)
    if display_text:
        for meta in displays:
            for params in _first(meta.text_params, meta.num_labels):
                draw_text(canvas, params)
    for meta in displays:
        for params in _first(meta.line_params, meta.num_lines):
            draw_line(canvas, params)
    for meta in displays:
        for params in _first(meta.arrow_params, meta.num_arrows):
            draw_arrow(canvas, params)
    for meta in displays:
        for params in _first(meta.circle_params, meta.num_circles):
            draw_circle(canvas, params)
