"""Caps of NVMM and system video: templates, parsing and making."""

from __future__ import annotations

from typing import NamedTuple

from ..surface import Colorimetry
from ._gst import Gst, GstVideo

NVMM = "memory:NVMM"
NVMM_FORMATS = ("NV12", "RGBA", "I420", "BGRx", "BGRA", "RGB", "BGR", "GRAY8")
SYSTEM_FORMATS = (
    "NV12", "I420", "RGBA", "BGRx", "BGRA", "RGBx", "RGB", "BGR", "GRAY8", "YV12", "NV21", "YUY2", "UYVY", "Y42B",
    "Y444", "I420_10LE",
)  # fmt: skip
OUTPUT_FORMATS = ("NV12", "I420", "RGBA", "BGRx", "BGRA", "RGB", "BGR", "GRAY8")
_SIZE = "width=(int)[1,2147483647], height=(int)[1,2147483647], framerate=(fraction)[0/1,2147483647/1]"


def nvmm_caps(formats: tuple[str, ...] = NVMM_FORMATS) -> str:
    """Caps string of surfaces in any of ``formats``."""
    return f"video/x-raw({NVMM}), format=(string){{ {', '.join(formats)} }}, {_SIZE}"


def system_caps(formats: tuple[str, ...] = SYSTEM_FORMATS) -> str:
    """Caps string of pictures in system memory in any of ``formats``."""
    return f"video/x-raw, format=(string){{ {', '.join(formats)} }}, {_SIZE}"


class VideoCaps(NamedTuple):
    """What fixed video caps say."""

    nvmm: bool
    format: str
    width: int
    height: int
    framerate: tuple[int, int]
    colorimetry: Colorimetry


_FULL_RANGE = 1  # GST_VIDEO_COLOR_RANGE_0_255, whose name is no Python identifier
_MATRICES = {
    GstVideo.VideoColorMatrix.BT709: "bt709",
    GstVideo.VideoColorMatrix.BT2020: "bt2020",
}


def colorimetry_of(caps: Gst.Caps, height: int) -> Colorimetry:
    """Matrix and range that the caps name; without a name, what GStreamer's own elements take for that height."""
    text = caps.get_structure(0).get_string("colorimetry")
    found = GstVideo.VideoColorimetry()
    if text and found.from_string(text):
        known = found.matrix not in (GstVideo.VideoColorMatrix.UNKNOWN, GstVideo.VideoColorMatrix.RGB)
        matrix = _MATRICES.get(found.matrix, "bt601") if known else ("bt709" if height >= 720 else "bt601")
        return Colorimetry(matrix, int(found.range) == _FULL_RANGE)  # type: ignore[arg-type]
    return Colorimetry("bt709" if height >= 720 else "bt601", False)


def parse(caps: Gst.Caps) -> VideoCaps:
    """Read fixed video caps."""
    structure = caps.get_structure(0)
    height = structure.get_int("height")[1]
    found, numerator, denominator = structure.get_fraction("framerate")
    return VideoCaps(
        nvmm=caps.get_features(0).contains(NVMM),
        format=structure.get_string("format") or "NV12",
        width=structure.get_int("width")[1],
        height=height,
        framerate=(numerator, denominator) if found else (0, 1),
        colorimetry=colorimetry_of(caps, height),
    )


def colorimetry_name(colorimetry: Colorimetry, rgb: bool) -> str:
    """GStreamer's ``colorimetry`` caps string for a surface."""
    if rgb:
        return "sRGB"
    if not colorimetry.full_range:
        return colorimetry.matrix
    number = {"bt601": 4, "bt709": 3, "bt2020": 6}[colorimetry.matrix]
    return f"1:{number}:0:0"


def layout_of(caps: Gst.Caps) -> tuple[list[int], list[int], int]:
    """``(strides, offsets, size)`` in bytes of a frame in system memory by GStreamer's default layout."""
    info = GstVideo.VideoInfo.new_from_caps(caps)
    planes = info.finfo.n_planes
    return list(info.stride[:planes]), list(info.offset[:planes]), int(info.size)
