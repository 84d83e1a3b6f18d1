"""nvmultistreamtiler and nvdsosd: where pixels and metadata end up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from millrace.meta import functions as nvds
from millrace.meta.batch import Batch
from millrace.meta.frame import NvDsFrameMeta

from .pipelines import NVMM, Gst, Outcome, drain, numbered, pad_of, playing, watch

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
COLOURS = ("red", "green", "blue", "white")


def colour_source(pattern: str, frames: int = 3, fmt: str = "NV12", rate: str = "25/1", more: str = "") -> str:
    # From RGBA, so that the colours are exact in surfaces of any format.
    return (
        f"videotestsrc num-buffers={frames} pattern={pattern} {more} ! "
        f"video/x-raw,format=RGBA,width=64,height=48,framerate={rate} ! nvvideoconvert ! {NVMM},format={fmt}"
    )


class Pictures:
    """RGB pictures and frame metadata of each buffer."""

    def __init__(self, read: Callable[[NvDsFrameMeta], Any] = lambda frame: None) -> None:
        self.rgb: list[np.ndarray] = []
        self.read: list[list[Any]] = []
        self._reader = read

    def __call__(self, batch: Batch, _buffer: Any) -> None:
        assert batch.meta is not None
        assert len(batch.surfaces) == 1
        self.rgb.append(batch.surfaces[0].to_rgb().copy())
        self.read.append([self._reader(frame) for frame in batch.meta.frames])


def run(
    description: str, pictures: Pictures, change: Callable[[Batch, Any], None] | None = None, seconds: float = 20
) -> Outcome:
    pipeline = Gst.parse_launch(description)
    if change is not None:
        watch(pad_of(pipeline, "m:src"), change)
    watch(pad_of(pipeline, "out:sink"), pictures)
    with playing(pipeline):
        return drain(pipeline, seconds)


def tiled(sources: list[str], settings: str, size: int = 0, after: str = "") -> str:
    inputs = " ".join(f"{source} ! m.sink_{index}" for index, source in enumerate(sources))
    return (
        f"nvstreammux name=m batch-size={size or len(sources)} width=64 height=48 ! "
        f"nvmultistreamtiler name=t {settings} {after} ! fakesink name=out {inputs}"
    )


def colour_at(rgb: np.ndarray, x: int, y: int) -> np.ndarray:
    return rgb[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0)


def assert_colour(rgb: np.ndarray, x: int, y: int, expected: tuple[int, int, int], tolerance: int = 12) -> None:
    np.testing.assert_allclose(colour_at(rgb, x, y), expected, atol=tolerance)


@pytest.mark.parametrize("fmt", ["NV12", "RGBA", "I420"])
def test_tiles_in_row_major_order(fmt: str) -> None:
    pictures = Pictures()
    sources = [colour_source(colour, fmt=fmt) for colour in COLOURS]
    outcome = run(tiled(sources, "rows=2 columns=2 width=160 height=120"), pictures)
    assert outcome.ok, outcome
    assert len(pictures.rgb) == 3
    for rgb in pictures.rgb:
        assert rgb.shape == (120, 160, 3)
        for (x, y), colour in zip([(40, 30), (120, 30), (40, 90), (120, 90)], (RED, GREEN, BLUE, WHITE), strict=True):
            assert_colour(rgb, x, y, colour)
            for dx, dy in ((-36, -26), (36, 26)):  # right up to the edges
                assert_colour(rgb, x + dx, y + dy, colour)


def test_output_caps() -> None:
    caps: list[str] = []
    pipeline = Gst.parse_launch(
        tiled([colour_source("red"), colour_source("green")], "rows=1 columns=2 width=160 height=60")
    )
    pad = pad_of(pipeline, "out:sink")
    watch(pad, lambda _batch, _buffer: caps.append(pad.get_current_caps().to_string()))
    with playing(pipeline):
        assert drain(pipeline).ok
    structure = Gst.Caps.from_string(caps[0]).get_structure(0)
    assert [structure.get_int(n)[1] for n in ("width", "height", "batch-size")] == [160, 60, 1]
    assert structure.get_fraction("framerate")[1:] == (25, 1)


def test_the_grid_grows() -> None:
    """Three sources in a grid for one."""
    pictures = Pictures()
    outcome = run(tiled([colour_source(c) for c in COLOURS[:3]], "rows=1 columns=1 width=160 height=120"), pictures)
    assert outcome.ok, outcome
    rgb = pictures.rgb[-1]
    assert_colour(rgb, 40, 30, RED)
    assert_colour(rgb, 120, 30, GREEN)
    assert_colour(rgb, 40, 90, BLUE)
    assert_colour(rgb, 120, 90, BLACK)


def test_square_grid() -> None:
    pictures = Pictures()
    outcome = run(tiled([colour_source(c) for c in COLOURS[:2]], "square-seq-grid=true width=160 height=120"), pictures)
    assert outcome.ok, outcome
    assert_colour(pictures.rgb[-1], 40, 30, RED)
    assert_colour(pictures.rgb[-1], 120, 30, GREEN)
    assert_colour(pictures.rgb[-1], 40, 90, BLACK)


def test_a_slow_source_keeps_its_last_frame() -> None:
    pictures = Pictures(lambda frame: frame.pad_index)
    outcome = run(
        tiled(
            [
                colour_source("red", 20, rate="50/1", more="is-live=true"),
                colour_source("green", 2, rate="5/1", more="is-live=true"),
            ],
            "rows=1 columns=2 width=160 height=60",
        ).replace("batch-size=2", "batch-size=2 batched-push-timeout=10000"),
        pictures,
    )
    assert outcome.ok, outcome
    alone = [rgb for rgb, pads in zip(pictures.rgb, pictures.read, strict=True) if pads == [0]]
    assert len(alone) > 5
    assert_colour(alone[-1], 120, 30, GREEN)
    assert_colour(alone[-1], 40, 30, RED)


def test_show_source() -> None:
    pictures = Pictures(lambda frame: frame.pad_index)
    outcome = run(
        tiled([colour_source("red"), colour_source("green")], "rows=1 columns=2 width=160 height=60 show-source=1"),
        pictures,
    )
    assert outcome.ok, outcome
    assert pictures.read == [[1]] * 3
    for x, y in ((5, 5), (80, 30), (155, 55)):
        assert_colour(pictures.rgb[0], x, y, GREEN)


def test_show_source_changes_while_playing() -> None:
    pictures = Pictures(lambda frame: frame.pad_index)
    pipeline = Gst.parse_launch(
        tiled([colour_source("red", 9), colour_source("green", 9)], "rows=1 columns=2 width=160 height=60")
    )
    choices = iter([-1, -1, -1, 0, 0, 0, -1, -1, -1])
    watch(
        pad_of(pipeline, "m:src"), lambda _b, _buf: pipeline.get_by_name("t").set_property("show-source", next(choices))
    )
    watch(pad_of(pipeline, "out:sink"), pictures)
    with playing(pipeline):
        assert drain(pipeline).ok
    assert pictures.read == [[0, 1]] * 3 + [[0]] * 3 + [[0, 1]] * 3
    assert_colour(pictures.rgb[4], 120, 30, RED)
    assert_colour(pictures.rgb[7], 120, 30, GREEN)


def add_everything(batch: Batch, _buffer: Any) -> None:
    """An object and each kind of shape, in pixels of the 64x48 frame."""
    assert batch.meta is not None
    for frame in batch.meta.frames:
        item = nvds.nvds_acquire_obj_meta_from_pool(batch.meta)
        rect, text = item.rect_params, item.text_params
        rect.left, rect.top, rect.width, rect.height, rect.border_width = 16, 12, 32, 24, 2
        rect.border_color.set(1, 1, 1, 1)
        text.display_text, text.x_offset, text.y_offset = "a", 16, 4
        text.font_params.font_name, text.font_params.font_size = "Serif", 10
        text.font_params.font_color.set(1, 1, 1, 1)
        nvds.nvds_add_obj_meta_to_frame(frame, item, None)
        display = nvds.nvds_acquire_display_meta_from_pool(batch.meta)
        display.num_rects = display.num_labels = display.num_lines = display.num_circles = display.num_arrows = 1
        other = display.rect_params[0]
        other.left, other.top, other.width, other.height = 8, 8, 8, 8
        label = display.text_params[0]
        label.display_text, label.x_offset, label.y_offset = "b", 32, 24
        line = display.line_params[0]
        line.x1, line.y1, line.x2, line.y2 = 0, 0, 32, 24
        arrow = display.arrow_params[0]
        arrow.x1, arrow.y1, arrow.x2, arrow.y2 = 10, 10, 20, 20
        circle = display.circle_params[0]
        circle.xc, circle.yc, circle.radius = 32, 24, 10
        nvds.nvds_add_display_meta_to_frame(frame, display)


def coordinates(frame: NvDsFrameMeta) -> dict[str, tuple[float, ...]]:
    item, display = frame.objects[0], frame.display_metas[0]
    rect, text = item.rect_params, item.text_params
    other, label = display.rect_params[0], display.text_params[0]
    line, arrow, circle = display.line_params[0], display.arrow_params[0], display.circle_params[0]
    return {
        "rect": (rect.left, rect.top, rect.width, rect.height),
        "text": (text.x_offset, text.y_offset),
        "other": (other.left, other.top, other.width, other.height),
        "label": (label.x_offset, label.y_offset),
        "line": (line.x1, line.y1, line.x2, line.y2),
        "arrow": (arrow.x1, arrow.y1, arrow.x2, arrow.y2),
        "circle": (circle.xc, circle.yc, circle.radius),
    }


def test_metadata_moves_with_the_tiles() -> None:
    """Tiles of 128x96 are twice the 64x48 frames; source 1 is to the right of source 0."""
    pictures = Pictures(coordinates)
    sources = [colour_source("black", 1), colour_source("black", 1)]
    outcome = run(tiled(sources, "rows=1 columns=2 width=256 height=96"), pictures, add_everything)
    assert outcome.ok, outcome
    left, right = pictures.read[0]
    assert left == {
        "rect": (32, 24, 64, 48),
        "text": (32, 8),
        "other": (16, 16, 16, 16),
        "label": (64, 48),
        "line": (0, 0, 64, 48),
        "arrow": (20, 20, 40, 40),
        "circle": (64, 48, 20),
    }
    assert right["rect"] == (160, 24, 64, 48)
    assert right["text"] == (160, 8)
    assert right["line"] == (128, 0, 192, 48)
    assert right["circle"] == (192, 48, 20)


def test_boxes_drawn_after_the_tiler_sit_on_the_tiles() -> None:
    pictures = Pictures()
    sources = [colour_source("black", 1, "RGBA"), colour_source("black", 1, "RGBA")]
    outcome = run(tiled(sources, "rows=1 columns=2 width=256 height=96", after="! nvdsosd"), pictures, add_everything)
    assert outcome.ok, outcome
    rgb = pictures.rgb[0].astype(int)
    for origin in (0, 128):
        assert rgb[40:60, origin + 31 : origin + 35].max() > 200  # the box's left side
    # the same picture in both tiles
    assert np.abs(rgb[:, 4:124] - rgb[:, 132:252]).mean() < 2


def draw_box(batch: Batch, _buffer: Any) -> None:
    assert batch.meta is not None
    for frame in batch.meta.frames:
        item = nvds.nvds_acquire_obj_meta_from_pool(batch.meta)
        rect = item.rect_params
        rect.left, rect.top, rect.width, rect.height, rect.border_width = 10, 10, 40, 28, 4
        rect.border_color.set(1, 0, 0, 1)
        rect.has_bg_color = 1
        rect.bg_color.set(0, 0, 1, 0.5)
        item.text_params.display_text = ""
        nvds.nvds_add_obj_meta_to_frame(frame, item, None)


OSD = (
    "nvstreammux name=m batch-size=1 width=64 height=48 ! nvvideoconvert ! {caps} ! nvdsosd {settings} ! "
    "fakesink name=out {source} ! m.sink_0"
)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("fmt", ["NV12", "RGBA", "I420"])
def test_osd_draws(fmt: str, mode: int) -> None:
    pictures = Pictures()
    caps = f"{NVMM},format={fmt}"
    outcome = run(
        OSD.format(caps=caps, settings=f"process-mode={mode}", source=colour_source("white")), pictures, draw_box
    )
    assert outcome.ok, outcome
    rgb = pictures.rgb[0]
    assert_colour(rgb, 4, 40, WHITE)
    np.testing.assert_allclose(rgb[24, 30], (128, 128, 255), atol=14)  # half blue over white
    np.testing.assert_allclose(rgb[20:30, 10:12].reshape(-1, 3).mean(0), (255, 0, 0), atol=70)


def test_osd_can_be_switched_off() -> None:
    pictures = Pictures()
    settings = "display-bbox=false display-text=false"
    outcome = run(
        OSD.format(caps=f"{NVMM},format=RGBA", settings=settings, source=colour_source("white")), pictures, draw_box
    )
    assert outcome.ok, outcome
    assert pictures.rgb[0].min() > 250


def test_osd_clock() -> None:
    pictures = Pictures()
    settings = "display-clock=true clock-font-size=14 x-clock-offset=2 y-clock-offset=2 clock-color=0xff0000ff"
    outcome = run(OSD.format(caps=f"{NVMM},format=RGBA", settings=settings, source=colour_source("black")), pictures)
    assert outcome.ok, outcome
    assert pictures.rgb[0][..., 0].max() > 150
    assert pictures.rgb[0][..., 2].max() < 60


def test_osd_needs_no_metadata() -> None:
    """Frames straight from a decoder: nothing to draw, nothing breaks."""
    count: list[int] = []
    pipeline = Gst.parse_launch(f"{numbered(3)} ! nvdsosd ! fakesink name=out")
    watch(pad_of(pipeline, "out:sink"), lambda _batch, _buffer: count.append(1))
    with playing(pipeline):
        assert drain(pipeline).ok
    assert len(count) == 3


def test_tiler_without_metadata_is_one_clear_error() -> None:
    began = time.monotonic()
    pipeline = Gst.parse_launch(f"{numbered(3)} ! nvmultistreamtiler ! fakesink name=out")
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.end == "error" and "put nvstreammux before" in outcome.errors[0], outcome
    assert time.monotonic() - began < 5
