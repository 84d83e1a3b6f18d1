"""Pictures into an engine's input buffer: crop, colour order, scaling and padding, all in uint8.

The arithmetic ``y = net-scale-factor * (x - mean)`` is part of the engine's graph.
"""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..config import ColorFormat, InferConfig, ScalingFilter
from ..errors import MediaError
from ..surface import Rect, Surface
from .transform import LetterboxTransform, letterbox

U8Array = npt.NDArray[np.uint8]

_FILTERS = {
    ScalingFilter.NEAREST: cv2.INTER_NEAREST,
    ScalingFilter.BILINEAR: cv2.INTER_LINEAR,
    ScalingFilter.CUBIC: cv2.INTER_CUBIC,
    ScalingFilter.SUPER: cv2.INTER_AREA,
    ScalingFilter.LANCZOS: cv2.INTER_LANCZOS4,
    ScalingFilter.NICEST: cv2.INTER_LINEAR,
    # DeepStream's default is nearest, which costs accuracy and saves nothing here.
    ScalingFilter.DEFAULT: cv2.INTER_LINEAR,
}


class InputBuffer:
    """An engine's input: (batch, height, width, channels) uint8, and where pictures lie in it."""

    def __init__(self, array: U8Array) -> None:
        self.array = array
        self.array[...] = 0
        self._placed: list[tuple[int, int, int, int] | None] = [None] * array.shape[0]

    def window(self, index: int, left: int, top: int, width: int, height: int) -> U8Array:
        """The part that a picture fills; everything around it is zero."""
        picture: U8Array = self.array[index]
        where = (left, top, width, height)
        if self._placed[index] != where:
            picture[...] = 0
            self._placed[index] = where
        return picture[top : top + height, left : left + width]


class Preprocessor:
    """Writes pictures into input buffers as the configuration says.

    Args:
        config: the nvinfer configuration.
        width: of the network's input, pixels.
        height: of the network's input, pixels.
        channels: 3, or 1 for ``model-color-format=2``.
    """

    def __init__(self, config: InferConfig, width: int, height: int, channels: int) -> None:
        self.width, self.height, self.channels = width, height, channels
        self._keep_aspect = config.maintain_aspect_ratio
        self._symmetric = config.symmetric_padding
        self._filter = _FILTERS[config.scaling_filter]
        self._bgr = config.model_color_format == ColorFormat.BGR
        self._gray = channels == 1
        self._local = threading.local()

    def __call__(self, surface: Surface, roi: Rect | None, buffer: InputBuffer, index: int) -> LetterboxTransform:
        """Write one picture to place ``index`` of a buffer.

        Args:
            surface: the picture.
            roi: part of it in pixels, or None for all; clipped to the surface and to even pixels.
            buffer: the engine's input.
            index: number in the batch.

        Returns:
            How to map results back to the surface.

        Raises:
            MediaError: the part lies outside the surface.
        """
        part = _even_part(surface, roi)
        transform, (inner_w, inner_h) = letterbox(part, self.width, self.height, self._keep_aspect, self._symmetric)
        window = buffer.window(index, int(transform.pad_x), int(transform.pad_y), inner_w, inner_h)
        if roi is not None:
            surface = surface.convert(crop=Rect(*map(float, part)))
        same_size = part[2:] == (inner_w, inner_h)
        if self._gray:
            pixels = surface.convert("GRAY8").array()
            pixels = pixels[0] if isinstance(pixels, list) else pixels
            plane = window[:, :, 0]
            if same_size:
                plane[...] = pixels
            else:
                cv2.resize(pixels, (inner_w, inner_h), dst=plane, interpolation=self._filter)
            return transform
        if same_size:
            surface.to_rgb(window, bgr=self._bgr)
        else:
            rgb = surface.to_rgb(self._scratch(part[3], part[2]), bgr=self._bgr)
            cv2.resize(rgb, (inner_w, inner_h), dst=window, interpolation=self._filter)
        return transform

    def _scratch(self, height: int, width: int) -> U8Array:
        """Memory of this thread for a picture at its own size; grows and is used again."""
        size = height * width * 3
        held: Any = getattr(self._local, "scratch", None)
        if held is None or held.size < size:
            held = self._local.scratch = np.empty(size, np.uint8)
        return held[:size].reshape(height, width, 3)  # type: ignore[no-any-return]


def _even_part(surface: Surface, roi: Rect | None) -> tuple[int, int, int, int]:
    """Left, top, width, height in whole even pixels, as chroma has half the resolution."""
    if roi is None:
        return 0, 0, surface.width, surface.height
    clipped = roi.clip(surface.width, surface.height) if roi.is_finite() else Rect(0, 0, 0, 0)
    if clipped.width < 1 or clipped.height < 1:
        raise MediaError(f"the region {tuple(roi)} lies outside the {surface.width}x{surface.height} picture")
    left, top = int(clipped.left) // 2 * 2, int(clipped.top) // 2 * 2
    right = min(surface.width, -(-int(np.ceil(clipped.right)) // 2) * 2)
    bottom = min(surface.height, -(-int(np.ceil(clipped.bottom)) // 2) * 2)
    return left, top, right - left, bottom - top
