"""Drawing NvOSD parameters on surfaces."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace as Params
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import MediaError
from millrace.osd import (
    Canvas,
    draw_arrow,
    draw_circle,
    draw_frame,
    draw_line,
    draw_mask,
    draw_rect,
    draw_text,
)
from millrace.osd.text import render
from millrace.surface import FORMATS, HostSurface

COLOURED = [f for f in FORMATS if f != "GRAY8"]


def color(r: float, g: float, b: float, a: float = 1.0) -> Params:
    return Params(red=r, green=g, blue=b, alpha=a)


def rect(left: float, top: float, width: float, height: float, border: int = 2, **extra: Any) -> Params:
    values = {"border_color": color(1, 0, 0), "has_bg_color": 0, "bg_color": color(0, 0, 1), **extra}
    return Params(left=left, top=top, width=width, height=height, border_width=border, **values)


def text(string: Any, x: float, y: float, size: float = 12, **extra: Any) -> Params:
    font = Params(font_name="Serif", font_size=size, font_color=extra.pop("font_color", color(1, 1, 1)))
    values = {"set_bg_clr": 0, "text_bg_clr": color(0, 0, 0), **extra}
    return Params(display_text=string, x_offset=x, y_offset=y, font_params=font, **values)


def line(x1: float, y1: float, x2: float, y2: float, width: int = 4, **extra: Any) -> Params:
    return Params(x1=x1, y1=y1, x2=x2, y2=y2, line_width=width, **{"line_color": color(0, 1, 0), **extra})


def arrow(x1: float, y1: float, x2: float, y2: float, head: int = 1, width: int = 4, **extra: Any) -> Params:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return Params(**ends, arrow_width=width, arrow_head=head, **{"arrow_color": color(1, 1, 0), **extra})


def circle(x: float, y: float, radius: float, **extra: Any) -> Params:
    values = {"circle_color": color(1, 0, 1), "has_bg_color": 1, "bg_color": color(1, 0, 1), **extra}
    return Params(xc=x, yc=y, radius=radius, **values)


def display(**lists: list[Params]) -> Params:
    kinds = {
        "rect": "num_rects",
        "text": "num_labels",
        "line": "num_lines",
        "arrow": "num_arrows",
        "circle": "num_circles",
    }
    meta = Params()
    for kind, number in kinds.items():
        items = lists.get(kind, [])
        setattr(meta, f"{kind}_params", items)
        setattr(meta, number, len(items))
    return meta


def black(fmt: str = "NV12", width: int = 160, height: int = 120) -> HostSurface:
    surface = HostSurface.allocate(width, height, fmt)
    surface.fill(0, 0, 0)
    return surface


def pixel(surface: HostSurface, x: int, y: int) -> list[int]:
    return surface.to_rgb()[y, x].tolist()


def near(got: list[int], want: tuple[int, int, int], tolerance: int = 8) -> bool:
    return bool(np.abs(np.array(got) - want).max() <= tolerance)


@pytest.mark.parametrize("fmt", COLOURED)
def test_each_primitive_has_its_place_and_colour(fmt: str) -> None:
    surface = black(fmt)
    canvas = Canvas(surface)
    draw_rect(canvas, rect(20, 20, 40, 30, 4, has_bg_color=1))
    draw_line(canvas, line(80, 20, 140, 20, 6))
    draw_circle(canvas, circle(40, 90, 12))
    draw_arrow(canvas, arrow(80, 60, 140, 60, 1))
    assert near(pixel(surface, 20, 30), (255, 0, 0))
    assert near(pixel(surface, 40, 35), (0, 0, 255))
    assert near(pixel(surface, 110, 20), (0, 255, 0))
    assert near(pixel(surface, 40, 90), (255, 0, 255))
    assert near(pixel(surface, 110, 60), (255, 255, 0))
    assert near(pixel(surface, 128, 63), (255, 255, 0))
    assert near(pixel(surface, 84, 65), (0, 0, 0))
    assert near(pixel(surface, 100, 100), (0, 0, 0))


def test_rect_border_is_centred_on_the_edge() -> None:
    surface = black("GRAY8")
    draw_rect(Canvas(surface), rect(50, 40, 30, 20, 4, border_color=color(1, 1, 1)))
    lit = surface.array() > 200
    assert (np.flatnonzero(lit[50])).tolist() == [48, 49, 50, 51, 78, 79, 80, 81]
    assert (np.flatnonzero(lit[:, 60])).tolist() == [38, 39, 40, 41, 58, 59, 60, 61]
    draw_rect(Canvas(surface), rect(10, 10, 3, 3, 9, border_color=color(1, 1, 1)))
    assert surface.array()[11, 11] == 255


@pytest.mark.parametrize("fmt", COLOURED)
def test_alpha_blends(fmt: str) -> None:
    surface = HostSurface.allocate(160, 120, fmt)
    surface.fill(1, 1, 1)
    canvas = Canvas(surface)
    half = color(0, 0, 0, 0.5)
    draw_rect(canvas, rect(10, 10, 40, 40, 0, has_bg_color=1, bg_color=half))
    draw_rect(canvas, rect(10, 70, 40, 40, 8, border_color=half))
    draw_line(canvas, line(70, 20, 150, 20, 10, line_color=half))
    draw_circle(canvas, circle(90, 60, 12, bg_color=half, circle_color=color(0, 0, 0, 0)))
    draw_arrow(canvas, arrow(70, 100, 150, 100, 2, 8, arrow_color=half))
    for x, y in ((30, 30), (10, 90), (30, 70), (110, 20), (90, 60), (110, 100), (76, 100), (144, 100)):
        assert near(pixel(surface, x, y), (128, 128, 128)), (x, y)
    for x, y in ((30, 90), (60, 60), (110, 40)):
        assert near(pixel(surface, x, y), (255, 255, 255)), (x, y)


@pytest.mark.parametrize("fmt", FORMATS)
def test_text_is_where_it_should_be(fmt: str) -> None:
    surface = black(fmt)
    draw_text(Canvas(surface), text("Hello", 31, 41, 14))
    lit = surface.to_rgb()[..., 1] > 128
    rows, columns = np.nonzero(lit)
    assert lit.any()
    assert 41 <= rows.min() < 50
    assert 31 <= columns.min() < 35
    assert columns.max() < 31 + 75


def test_text_background_lines_and_other_scripts() -> None:
    surface = black("RGB")
    draw_text(Canvas(surface), text("one\ntwo", 10, 10, set_bg_clr=1, text_bg_clr=color(0, 0, 1)))
    assert near(pixel(surface, 10, 10), (0, 0, 255))
    assert render("one\ntwo").shape[0] == 2 * render("one").shape[0]
    assert render("Zürich 東京 🙂").any()
    assert render("a" * 10000).shape[1] < 10000
    draw_text(Canvas(surface), text(b"bytes", 10, 60))
    assert surface.array()[60:90].any()


def test_translucent_text() -> None:
    full, half = black("GRAY8"), black("GRAY8")
    draw_text(Canvas(full), text("MMM", 10, 10, 30))
    draw_text(Canvas(half), text("MMM", 10, 10, 30, font_color=color(1, 1, 1, 0.5)))
    assert full.array().max() == 255
    assert 126 <= half.array().max() <= 129


def test_mask_only_when_it_is_one() -> None:
    surface = black()
    values = np.zeros((8, 8), np.float32)
    values[:, 4:] = 0.9
    params = Params(data=values.ravel(), size=256, width=8, height=8, threshold=0.5)
    box = rect(40, 20, 80, 80)
    frame = Params(objects=[Params(rect_params=box, text_params=text("", 0, 0), mask_params=params)], display_metas=[])
    draw_frame(surface, frame, display_bbox=False)
    assert surface.array()[0].max() == 16
    draw_frame(surface, frame, display_bbox=False, display_mask=True)
    assert near(pixel(surface, 100, 60), (128, 0, 0), 12)
    assert near(pixel(surface, 60, 60), (0, 0, 0))
    assert near(pixel(surface, 130, 60), (0, 0, 0))
    keypoints = Params(data=np.ones(51, np.float32), size=204, width=640, height=640, threshold=0.5)
    clean = black()
    draw_mask(Canvas(clean), keypoints, box)
    assert clean.array()[0].max() == 16
    draw_mask(Canvas(clean), params, rect(-1e8, -1e8, 2e8, 2e8))


def test_frame_flags_and_glist_walk() -> None:
    obj = Params(rect_params=rect(20, 30, 40, 40), text_params=text("label", 20, 10), mask_params=None)
    meta = display(
        line=[line(0, 100, 159, 100)], circle=[circle(120, 40, 8)], text=[text("x", 100, 80)], rect=[rect(90, 60, 9, 9)]
    )
    node = Params(data=obj, next=None)
    glist = Params(obj_meta_list=node, display_meta_list=Params(data=meta, next=None))
    modern = Params(objects=[obj], display_metas=[meta])
    first, second = black(), black()
    draw_frame(first, glist)
    draw_frame(second, modern)
    assert np.array_equal(first.to_rgb(), second.to_rgb())
    bare = black()
    draw_frame(bare, modern, display_bbox=False, display_text=False)
    assert near(pixel(bare, 20, 40), (0, 0, 0))
    assert near(pixel(bare, 80, 100), (0, 255, 0))
    assert near(pixel(bare, 120, 40), (255, 0, 255))
    assert not (bare.array()[0][:28] > 30)[:, :60].any()


def test_trailing_empty_params_draw_nothing() -> None:
    none = color(0, 0, 0, 0)
    surface = black()
    before = surface.to_rgb()
    empty = display(
        rect=[rect(0, 0, 0, 0, 0, border_color=none)],
        text=[text(None, 0, 0, 0), text("", 0, 0), text("x", 0, 0, 0), text(0, 0, 0)],
        line=[line(0, 0, 0, 0, 0, line_color=none)],
        arrow=[arrow(0, 0, 0, 0, 0, 0, arrow_color=none), arrow(5, 5, 5, 5)],
        circle=[circle(0, 0, 0, circle_color=none, has_bg_color=0)],
    )
    empty.num_lines = 16
    draw_frame(surface, Params(objects=[], display_metas=[empty]))
    assert np.array_equal(surface.to_rgb(), before)


def test_no_drawing_on_other_memory() -> None:
    with pytest.raises(MediaError, match="cuda memory"):
        Canvas(Params(memory="cuda"))  # type: ignore[arg-type]


number = st.one_of(
    st.floats(-300, 300),
    st.floats(),
    st.integers(-(2**63), 2**64),
    st.sampled_from([0, 1, -1, 2**31 - 1, 2**32 - 1, float("nan"), float("inf")]),
)
width = st.one_of(st.integers(-5, 40), st.integers(-(2**31), 2**32))
channel = st.one_of(st.floats(0, 1), st.floats())
colors = st.builds(color, channel, channel, channel, channel)


@settings(max_examples=250, deadline=None)
@given(
    fmt=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    values=st.tuples(number, number, number, number),
    thick=width,
    paint=colors,
    other=colors,
    head=st.integers(-1, 3),
    font=number,
    string=st.text(max_size=20),
)
def test_nothing_raises(fmt, size, values, thick, paint, other, head, font, string) -> None:
    surface = black(fmt, *size)
    canvas = Canvas(surface)
    a, b, c, d = values
    draw_rect(canvas, rect(a, b, c, d, thick, border_color=paint, has_bg_color=1, bg_color=other))
    draw_line(canvas, line(a, b, c, d, thick, line_color=paint))
    draw_arrow(canvas, arrow(a, b, c, d, head, thick, arrow_color=paint))
    draw_circle(canvas, circle(a, b, c, bg_color=paint, circle_color=other, circle_width=thick))
    draw_text(canvas, text(string, a, b, font, font_color=paint, set_bg_clr=1, text_bg_clr=other))
    mask = Params(data=np.ones(9, np.float32), size=36, width=3, height=3, threshold=0.5)
    draw_mask(canvas, mask, rect(a, b, c, d, border_color=paint))


@settings(max_examples=80, deadline=None)
@given(ends=st.tuples(*[st.floats(-2000, 2000)] * 4), alpha=st.sampled_from([1.0, 0.5]))
def test_clipped_lines_equal_the_same_line_on_a_larger_picture(ends, alpha) -> None:
    small, large = black("GRAY8", 64, 48), black("GRAY8", 564, 548)
    x1, y1, x2, y2 = ends
    white = color(1, 1, 1, alpha)
    draw_line(Canvas(small), line(x1, y1, x2, y2, 3, line_color=white))
    draw_line(Canvas(large), line(x1 + 250, y1 + 250, x2 + 250, y2 + 250, 3, line_color=white))
    seen = np.abs(small.array().astype(int) - large.array()[250:298, 250:314])
    assert seen.mean() < 4


def test_five_thousand_objects() -> None:
    rng = np.random.default_rng(0)
    objects = [
        Params(rect_params=rect(x, y, 30, 60, 2), text_params=text(f"p {i}", x, y - 15), mask_params=None)
        for i, (x, y) in enumerate(rng.uniform(-50, 1300, (5000, 2)))
    ]
    surface = black("NV12", 1280, 720)
    start = time.perf_counter()
    draw_frame(surface, Params(objects=objects, display_metas=[]))
    assert time.perf_counter() - start < 10


def test_text_from_many_threads() -> None:
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            surface = black()
            for i in range(60):
                draw_text(Canvas(surface), text(f"{index} {i} é", 5, 5, 8 + i % 20))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
