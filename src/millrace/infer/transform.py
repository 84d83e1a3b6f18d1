"""The way from a picture to the network's input and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LetterboxTransform:
    """Where a picture lies in the network's input.

    ``network = (frame - roi's corner) * scale + pad``, both in pixels from the top left corner.

    Attributes:
        scale_x: network pixels for each pixel of the surface.
        scale_y: the same, vertically.
        pad_x: columns of padding on the left; whole pixels, except for ready tensors.
        pad_y: rows of padding above; the same.
        roi: left, top, width, height of the part of the surface that was taken; the same.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float
    roi: tuple[float, float, float, float]

    def to_frame(self, boxes_xyxy: npt.NDArray[Any]) -> FloatArray:
        """(..., 4) left, top, right, bottom in network pixels to pixels of the surface; not clipped."""
        return self.points_to_frame(np.asarray(boxes_xyxy).reshape(*boxes_xyxy.shape[:-1], 2, 2)).reshape(
            boxes_xyxy.shape
        )

    def points_to_frame(self, points: npt.NDArray[Any]) -> FloatArray:
        """(..., 2 or more) x, y in network pixels to pixels of the surface; further columns stay."""
        out = np.array(points, np.float32)
        with np.errstate(over="ignore"):  # too far away to say is infinitely far, and clipped later
            out[..., 0] = (out[..., 0] - self.pad_x) / self.scale_x + self.roi[0]
            out[..., 1] = (out[..., 1] - self.pad_y) / self.scale_y + self.roi[1]
        return out

    def points_to_network(self, points: npt.NDArray[Any]) -> FloatArray:
        """The inverse of :meth:`points_to_frame`."""
        out = np.array(points, np.float32)
        out[..., 0] = (out[..., 0] - self.roi[0]) * self.scale_x + self.pad_x
        out[..., 1] = (out[..., 1] - self.roi[1]) * self.scale_y + self.pad_y
        return out


def letterbox(
    roi: tuple[int, int, int, int], width: int, height: int, keep_aspect: bool, symmetric: bool
) -> tuple[LetterboxTransform, tuple[int, int]]:
    """Place a picture part in a network input, as Gst-nvinfer does.

    Args:
        roi: left, top, width, height of the part, whole pixels.
        width: of the network's input.
        height: of the network's input.
        keep_aspect: ``maintain-aspect-ratio``.
        symmetric: ``symmetric-padding``; else the padding is at the right and the bottom.

    Returns:
        The transform, and width and height of the scaled picture.
    """
    inner_w, inner_h = width, height
    if keep_aspect:
        fitted = int(width * roi[3] / roi[2])
        if fitted <= height:
            inner_h = max(1, fitted)
        else:
            inner_w = max(1, int(height * roi[2] / roi[3]))
    pad_x, pad_y = ((width - inner_w) // 2, (height - inner_h) // 2) if symmetric else (0, 0)
    return LetterboxTransform(inner_w / roi[2], inner_h / roi[3], pad_x, pad_y, roi), (inner_w, inner_h)
