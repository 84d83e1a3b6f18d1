"""Pixel formats, colorimetry and interpolation names, in GStreamer's and DeepStream's words."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from millrace.errors import MediaError

Plane = npt.NDArray[np.uint8]

#: Channel order of each packed format; "x" is a byte without meaning, written as 255.
PACKED: Final[dict[str, str]] = {
    "RGBA": "RGBA",
    "RGBx": "RGBx",
    "BGRA": "BGRA",
    "BGRx": "BGRx",
    "RGB": "RGB",
    "BGR": "BGR",
}
#: Formats a surface can have.
FORMATS: Final[tuple[str, ...]] = ("NV12", "I420", *PACKED, "GRAY8")
#: Luma weights (Kr, Kb) of each matrix.
MATRICES: Final[dict[str, tuple[float, float]]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}

#: OpenCV's flag for each name; numbers follow NvBufSurfTransform_Inter, whose ``Default`` is bilinear here.
INTERPOLATIONS: Final[dict[str | int, int]] = {
    "nearest": cv2.INTER_NEAREST_EXACT,
    "bilinear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
    "default": cv2.INTER_LINEAR,
    0: cv2.INTER_NEAREST_EXACT,
    1: cv2.INTER_LINEAR,
    2: cv2.INTER_CUBIC,
    3: cv2.INTER_AREA,
    4: cv2.INTER_LANCZOS4,
    5: cv2.INTER_LANCZOS4,
    6: cv2.INTER_LINEAR,
}


class Colorimetry(NamedTuple):
    """How YUV values stand for colours.

    Attributes:
        matrix: ``"bt601"``, ``"bt709"`` or ``"bt2020"``.
        full_range: True when Y, U and V use 0..255; False when Y uses 16..235 and U, V use 16..240.
    """

    matrix: str = "bt601"
    full_range: bool = False


BT601: Final = Colorimetry("bt601", False)
BT709: Final = Colorimetry("bt709", False)
JPEG: Final = Colorimetry("bt601", True)


def interpolation_flag(interpolation: str | int) -> int:
    """OpenCV's flag for an interpolation's name or DeepStream number.

    Raises:
        MediaError: no such interpolation.
    """
    try:
        return INTERPOLATIONS[interpolation]
    except KeyError:
        names = ", ".join(f"{k}" for k in INTERPOLATIONS)
        raise MediaError(f"unknown interpolation {interpolation!r}; use one of {names}") from None


def plane_shapes(width: int, height: int, fmt: str) -> list[tuple[int, ...]]:
    """NumPy shapes of the planes of a picture (odd sizes round the chroma up).

    Raises:
        MediaError: the size is not positive or the format is not in :data:`FORMATS`.
    """
    if width < 1 or height < 1:
        raise MediaError(f"a surface needs at least 1x1 pixels, got {width}x{height}")
    cw, ch = (width + 1) // 2, (height + 1) // 2
    if fmt == "NV12":
        return [(height, width), (ch, cw, 2)]
    if fmt == "I420":
        return [(height, width), (ch, cw), (ch, cw)]
    if fmt == "GRAY8":
        return [(height, width)]
    if fmt in PACKED:
        return [(height, width, len(PACKED[fmt]))]
    raise MediaError(f"surfaces cannot have format {fmt!r}; use one of {', '.join(FORMATS)}")
