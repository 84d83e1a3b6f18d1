"""Drawing the real metadata classes."""

from __future__ import annotations

import numpy as np

from millrace.meta import functions as meta
from millrace.meta.frame import NvDsBatchMeta, NvDsFrameMeta
from millrace.osd import draw_frame
from millrace.surface import HostSurface


def new_frame() -> tuple[NvDsBatchMeta, NvDsFrameMeta]:
    batch = meta.nvds_create_batch_meta(1)
    frame = meta.nvds_acquire_frame_meta_from_pool(batch)
    meta.nvds_add_frame_meta_to_batch(batch, frame)
    return batch, frame


def test_objects_and_display_metas() -> None:
    batch, frame = new_frame()
    obj = meta.nvds_acquire_obj_meta_from_pool(batch)
    box = obj.rect_params
    box.left, box.top, box.width, box.height, box.border_width = 20.0, 40.0, 60.0, 50.0, 4
    box.border_color.set(0.0, 1.0, 0.0, 1.0)
    label = obj.text_params
    label.display_text = "person 1"
    label.x_offset, label.y_offset, label.set_bg_clr = 20, 10, 1
    label.font_params.font_name, label.font_params.font_size = "Serif", 12
    label.font_params.font_color.set(1.0, 1.0, 1.0, 1.0)
    label.text_bg_clr.set(0.0, 0.0, 1.0, 1.0)
    obj.mask_params.data = np.ones(51, np.float32)
    obj.mask_params.width = obj.mask_params.height = 640
    meta.nvds_add_obj_meta_to_frame(frame, obj, None)

    display = meta.nvds_acquire_display_meta_from_pool(batch)
    display.num_lines = display.num_circles = display.num_arrows = 2  # the second of each is never set
    line = display.line_params[0]
    line.x1, line.y1, line.x2, line.y2, line.line_width = 100, 60, 150, 60, 4
    line.line_color.set(1.0, 0.0, 0.0, 1.0)
    circle = display.circle_params[0]
    circle.xc, circle.yc, circle.radius, circle.has_bg_color = 120, 90, 8, 1
    circle.bg_color.set(1.0, 0.0, 1.0, 1.0)
    circle.circle_color.set(1.0, 0.0, 1.0, 1.0)
    arrow = display.arrow_params[0]
    arrow.x1, arrow.y1, arrow.x2, arrow.y2, arrow.arrow_width = 100, 30, 150, 30, 4
    arrow.arrow_color.set(1.0, 1.0, 0.0, 1.0)
    meta.nvds_add_display_meta_to_frame(frame, display)

    surface = HostSurface.allocate(160, 120, "NV12")
    surface.fill(0, 0, 0)
    draw_frame(surface, frame, display_mask=True)
    rgb = surface.to_rgb().astype(int)
    for x, y, want in [
        (20, 60, (0, 255, 0)),
        (21, 12, (0, 0, 255)),
        (130, 60, (255, 0, 0)),
        (120, 90, (255, 0, 255)),
        (130, 30, (255, 255, 0)),
        (0, 0, (0, 0, 0)),
        (50, 65, (0, 0, 0)),
    ]:
        assert np.abs(rgb[y, x] - want).max() <= 8, (x, y, rgb[y, x])
    assert (rgb[10:30, 22:90].min(axis=2) > 180).any()


def test_negative_coordinates_wrapped_by_unsigned_fields() -> None:
    batch, frame = new_frame()
    display = meta.nvds_acquire_display_meta_from_pool(batch)
    display.num_lines = 1
    line = display.line_params[0]
    line.x1, line.y1, line.x2, line.y2, line.line_width = 2**32 - 20, 30, 40, 30, 4
    line.line_color.set(1.0, 1.0, 1.0, 1.0)
    meta.nvds_add_display_meta_to_frame(frame, display)
    surface = HostSurface.allocate(64, 64, "NV12")
    surface.fill(0, 0, 0)
    draw_frame(surface, frame)
    assert (surface.array()[0][30, :39] > 230).all()
    assert (surface.array()[0][30, 48:] < 20).all()
