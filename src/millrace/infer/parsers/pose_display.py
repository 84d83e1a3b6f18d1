"""Skeletons as display metadata, for nvdsosd to draw."""

from __future__ import annotations

import importlib
from typing import Any

from .pose import COCO_KEYPOINT_COLOURS, COCO_SKELETON, COCO_SKELETON_COLOURS, skeleton_lines
from .results import AnyArray

# A display meta holds at most this many of each shape.
MAX_ELEMENTS_IN_DISPLAY_META = 16


class _Shapes:
    """Hands out line and circle parameters, taking another display meta when one is full."""

    def __init__(self, functions: Any, batch_meta: Any, frame_meta: Any) -> None:
        self._functions = functions
        self._batch_meta = batch_meta
        self._frame_meta = frame_meta
        self._metas: list[Any] = []
        self._lines = 0
        self._circles = 0

    def _meta(self, index: int) -> Any:
        number = index // MAX_ELEMENTS_IN_DISPLAY_META
        while len(self._metas) <= number:
            meta = self._functions.nvds_acquire_display_meta_from_pool(self._batch_meta)
            meta.num_lines = 0
            meta.num_circles = 0
            self._metas.append(meta)
        return self._metas[number]

    def line(self) -> Any:
        meta, slot = self._meta(self._lines), self._lines % MAX_ELEMENTS_IN_DISPLAY_META
        self._lines += 1
        meta.num_lines = slot + 1
        return meta.line_params[slot]

    def circle(self) -> Any:
        meta, slot = self._meta(self._circles), self._circles % MAX_ELEMENTS_IN_DISPLAY_META
        self._circles += 1
        meta.num_circles = slot + 1
        return meta.circle_params[slot]

    def attach(self) -> int:
        for meta in self._metas:
            self._functions.nvds_add_display_meta_to_frame(self._frame_meta, meta)
        return len(self._metas)


def add_pose_display_meta(
    batch_meta: Any,
    frame_meta: Any,
    keypoints: AnyArray,
    *,
    threshold: float = 0.5,
    draw_keypoints: bool = True,
    draw_limbs: bool = True,
    line_width: int = 2,
    radius: int = 3,
    skeleton: tuple[tuple[int, int], ...] = COCO_SKELETON,
    limb_colours: tuple[tuple[float, float, float], ...] = COCO_SKELETON_COLOURS,
    keypoint_colours: tuple[tuple[float, float, float], ...] = COCO_KEYPOINT_COLOURS,
    functions: Any = None,
) -> int:
    """Add the skeletons of one frame's people to its display metadata.

    Args:
        batch_meta: NvDsBatchMeta, the pool's owner.
        frame_meta: NvDsFrameMeta to add to.
        keypoints: (N, K, 3) x, y in pixels of the frame and confidence.
        threshold: least confidence of a keypoint that is drawn.
        draw_keypoints: add circles.
        draw_limbs: add lines.
        line_width: pixels.
        radius: pixels.
        skeleton: pairs of keypoint numbers.
        limb_colours: red, green, blue from 0 to 1 for each pair, repeated when there are fewer.
        keypoint_colours: the same for each keypoint.
        functions: module with pyds's functions; by default Millrace's own.

    Returns:
        Number of display metas added.
    """
    shapes = _Shapes(functions or importlib.import_module("millrace.meta.functions"), batch_meta, frame_meta)
    for person in keypoints:
        if draw_limbs:
            for limb, x1, y1, x2, y2 in skeleton_lines(person, threshold, skeleton):
                line = shapes.line()
                line.x1, line.y1 = max(0, round(x1)), max(0, round(y1))
                line.x2, line.y2 = max(0, round(x2)), max(0, round(y2))
                line.line_width = line_width
                line.line_color.set(*limb_colours[limb % len(limb_colours)], 1.0)
        if draw_keypoints:
            for number, (x, y, confidence) in enumerate(person):
                if confidence < threshold:
                    continue
                circle = shapes.circle()
                circle.xc, circle.yc = max(0, round(float(x))), max(0, round(float(y)))
                circle.radius = radius
                colour = keypoint_colours[number % len(keypoint_colours)]
                circle.circle_color.set(*colour, 1.0)
                circle.has_bg_color = 1
                circle.bg_color.set(*colour, 1.0)
    return shapes.attach()
