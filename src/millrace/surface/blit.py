"""The one kernel: copy a rectangle of one picture onto another, scaled and colour-converted, in host memory.

All is done by OpenCV calls that release the interpreter lock and write straight into the destination.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from millrace.surface import jpeg
from millrace.surface.color import range_tables, rgb_to_yuv, yuv_to_rgb, yuv_to_yuv
from millrace.surface.formats import BT601, JPEG, Colorimetry, Plane

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Yuv:
    """Views of a YUV picture: luma HxW; chroma is ``uv`` (hxwx2), ``u`` and ``v`` (hxw), or none (grey)."""

    y: Plane
    uv: Plane | None = None
    u: Plane | None = None
    v: Plane | None = None
    colorimetry: Colorimetry = BT601

    @property
    def width(self) -> int:
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        return int(self.y.shape[0])

    def chroma(self) -> list[Plane]:
        """The chroma planes there are."""
        return [p for p in (self.uv, self.u, self.v) if p is not None]


@dataclass(frozen=True)
class Rgb:
    """View of a packed picture HxWx3 or HxWx4; ``order`` names the channels, as in ``"BGRx"``."""

    data: Plane
    order: str
    colorimetry: Colorimetry = BT601

    @property
    def width(self) -> int:
        return int(self.data.shape[1])

    @property
    def height(self) -> int:
        return int(self.data.shape[0])


Picture = Yuv | Rgb


def window(dst: Picture, box: Box) -> Picture:
    """The part of a destination inside ``box``; abutting boxes never share a chroma sample."""
    x0, y0, x1, y1 = box
    if isinstance(dst, Rgb):
        return replace(dst, data=dst.data[y0:y1, x0:x1])

    def cut(plane: Plane | None) -> Plane | None:
        if plane is None:
            return None
        sx = 1 if plane.shape[1] == dst.width else 2
        sy = 1 if plane.shape[0] == dst.height else 2
        return plane[(y0 + sy - 1) // sy : (y1 + sy - 1) // sy, (x0 + sx - 1) // sx : (x1 + sx - 1) // sx]

    return replace(dst, y=dst.y[y0:y1, x0:x1], uv=cut(dst.uv), u=cut(dst.u), v=cut(dst.v))


def _in_place(out: object, dst: Plane) -> None:
    # OpenCV returns another array when it could not write into ``dst`` itself.
    if out is not dst:
        np.copyto(dst, np.asarray(out).reshape(dst.shape))


def _scale(src: Plane, dst: Plane, inter: int) -> None:
    if src.shape[:2] == dst.shape[:2]:
        np.copyto(dst, src)
    elif dst.size:
        _in_place(cv2.resize(src, (dst.shape[1], dst.shape[0]), dst=dst, interpolation=inter), dst)


def _scale_chroma(plane: Plane, luma: tuple[int, int], crop: Box, dst: Plane, inter: int) -> None:
    """Scale the chroma under the rectangle ``crop`` of a ``luma`` = (width, height) picture to ``dst``."""
    if not dst.size:
        return
    h, w = plane.shape[:2]
    sx, sy = (1 if w == luma[0] else 2), (1 if h == luma[1] else 2)
    fx0, fy0, fx1, fy1 = crop[0] / sx, crop[1] / sy, crop[2] / sx, crop[3] / sy
    x0, y0, x1, y1 = int(fx0), int(fy0), -int(-crop[2] // sx), -int(-crop[3] // sy)
    aligned = fx0 == x0 and fy0 == y0 and (fx1 == x1 or x1 == w) and (fy1 == y1 or y1 == h)
    if aligned and (plane[y0:y1, x0:x1].shape[:2] == dst.shape[:2]):
        np.copyto(dst, plane[y0:y1, x0:x1])
        return
    kx, ky = (fx1 - fx0) / dst.shape[1], (fy1 - fy0) / dst.shape[0]
    if aligned or inter in (cv2.INTER_NEAREST_EXACT, cv2.INTER_AREA) or min(kx, ky) >= 2.0:
        _scale(plane[y0:y1, x0:x1], dst, inter)
        return
    # An odd edge lies between two chroma samples: sample there instead of moving the colour by half a sample.
    matrix = np.array([[kx, 0.0, fx0 + kx / 2 - 0.5], [0.0, ky, fy0 + ky / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (dst.shape[1], dst.shape[0])
    out = cv2.warpAffine(plane, matrix, size, dst=dst, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    _in_place(out, dst)


def _lookup(plane: Plane, table: Plane) -> None:
    if plane.size:
        _in_place(cv2.LUT(plane, table, dst=plane), plane)


def _planar(src: Yuv) -> tuple[Plane, Plane]:
    if src.uv is not None:
        return cv2.extractChannel(src.uv, 0), cv2.extractChannel(src.uv, 1)
    assert src.u is not None
    assert src.v is not None
    return src.u, src.v


def _yuv444(src: Yuv, crop: Box, width: int, height: int, inter: int) -> Plane:
    """The cropped picture at ``width`` x ``height`` with interleaved full-resolution Y, U, V."""
    y = src.y[crop[1] : crop[3], crop[0] : crop[2]]
    if y.shape != (height, width):
        y = np.empty((height, width), np.uint8)
        _scale(src.y[crop[1] : crop[3], crop[0] : crop[2]], y, inter)
    if src.uv is not None and width * height < src.uv.shape[0] * src.uv.shape[1]:
        # Shrinking: separate the channels where they are few.
        pair = np.empty((height, width, 2), np.uint8)
        _scale_chroma(src.uv, (src.width, src.height), crop, pair, inter)
        return np.asarray(cv2.merge([y, *cv2.split(pair)]), np.uint8)
    chroma = []
    for plane in _planar(src):
        full = np.empty((height, width), np.uint8)
        _scale_chroma(plane, (src.width, src.height), crop, full, inter)
        chroma.append(full)
    return np.asarray(cv2.merge([y, *chroma]), np.uint8)


def _store(yuv: Plane, dst: Yuv) -> None:
    """Write interleaved 4:4:4 ``yuv``, of the destination's size, to its planes, averaging the chroma."""
    y, *chroma = cv2.split(yuv)
    np.copyto(dst.y, y)
    planes = [p for p in dst.chroma() if p.size]
    if not planes:
        return
    h, w = planes[0].shape[:2]
    if chroma[0].shape != (h, w):
        chroma = [cv2.resize(c, (w, h), interpolation=cv2.INTER_AREA) for c in chroma]
    if dst.uv is not None:
        _in_place(cv2.merge(chroma, dst=dst.uv), dst.uv)
    else:
        for plane, values in zip(planes, chroma, strict=True):
            np.copyto(plane, values)


def _yuv_to_yuv(src: Yuv, crop: Box, dst: Yuv, inter: int) -> None:
    src_chroma, dst_chroma = bool(src.chroma()), bool(dst.chroma())
    same_matrix = src.colorimetry.matrix == dst.colorimetry.matrix
    if src_chroma and dst_chroma and not same_matrix:
        yuv = _yuv444(src, crop, dst.width, dst.height, inter)
        yuv = cv2.transform(yuv, yuv_to_yuv(src.colorimetry, dst.colorimetry), dst=yuv)
        _store(np.asarray(yuv, np.uint8), dst)
        return
    _scale(src.y[crop[1] : crop[3], crop[0] : crop[2]], dst.y, inter)
    if src_chroma:
        _chroma_to_chroma(src, crop, dst, inter)
    else:
        for plane in dst.chroma():
            plane[...] = 128
    if src.colorimetry.full_range != dst.colorimetry.full_range:
        luma, chroma = range_tables(dst.colorimetry.full_range)
        _lookup(dst.y, luma)
        if src_chroma:
            for plane in dst.chroma():
                _lookup(plane, chroma)


def _chroma_to_chroma(src: Yuv, crop: Box, dst: Yuv, inter: int) -> None:
    size = (src.width, src.height)
    if dst.uv is not None and src.uv is not None:
        _scale_chroma(src.uv, size, crop, dst.uv, inter)
    elif dst.uv is not None and dst.uv.size:
        parts = [np.empty(dst.uv.shape[:2], np.uint8) for _ in range(2)]
        for plane, part in zip(_planar(src), parts, strict=True):
            _scale_chroma(plane, size, crop, part, inter)
        _in_place(cv2.merge(parts, dst=dst.uv), dst.uv)
    elif dst.u is not None and dst.v is not None:
        for plane, part in zip(_planar(src), (dst.u, dst.v), strict=True):
            _scale_chroma(plane, size, crop, part, inter)


_TWO_PLANE = {
    "RGB": cv2.COLOR_YUV2RGB_NV12,
    "BGR": cv2.COLOR_YUV2BGR_NV12,
    "RGBA": cv2.COLOR_YUV2RGBA_NV12,
    "BGRA": cv2.COLOR_YUV2BGRA_NV12,
}


def _yuv_to_rgb(src: Yuv, crop: Box, dst: Rgb, inter: int) -> None:
    w, h = dst.width, dst.height
    cw, ch = crop[2] - crop[0], crop[3] - crop[1]
    order = dst.order.replace("x", "A")
    if not src.chroma():
        grey = np.empty((h, w), np.uint8)
        _yuv_to_yuv(src, crop, Yuv(grey, colorimetry=Colorimetry("bt601", True)), inter)
        code = cv2.COLOR_GRAY2RGB if len(order) == 3 else cv2.COLOR_GRAY2RGBA
        _in_place(cv2.cvtColor(grey, code, dst=dst.data), dst.data)
        return
    if src.colorimetry == JPEG and crop[0] % 2 == 0 and crop[1] % 2 == 0 and _is_420(src):
        _jpeg_to_rgb(src, crop, dst, inter)
        return
    if src.colorimetry == BT601 and w % 2 == 0 and h % 2 == 0:
        # OpenCV's own NV12 conversion is limited-range BT.601 and the fastest there is.
        half = src.uv
        luma = src.y[crop[1] : crop[3], crop[0] : crop[2]]
        unscaled = (cw, ch) == (w, h) and crop[0] % 2 == 0 and crop[1] % 2 == 0
        if half is not None and unscaled and half.shape[1] < src.width and half.shape[0] < src.height:
            half = half[crop[1] // 2 : crop[3] // 2, crop[0] // 2 : crop[2] // 2]
        else:
            half = np.empty((h // 2, w // 2, 2), np.uint8)
            _chroma_to_chroma(src, crop, Yuv(luma, uv=half), inter)
            if (cw, ch) != (w, h):
                luma = np.empty((h, w), np.uint8)
                _scale(src.y[crop[1] : crop[3], crop[0] : crop[2]], luma, inter)
        _in_place(cv2.cvtColorTwoPlane(luma, half, _TWO_PLANE[order], dst=dst.data), dst.data)
        return
    yuv = _yuv444(src, crop, w, h, inter)
    matrix = yuv_to_rgb(src.colorimetry)
    if order.startswith("B"):
        matrix = matrix[::-1]
    if len(order) == 3:
        _in_place(cv2.transform(yuv, matrix, dst=dst.data), dst.data)
    else:
        rgb = cv2.transform(yuv, matrix, dst=yuv)
        _in_place(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA, dst=dst.data), dst.data)


def _is_420(src: Yuv) -> bool:
    return all(part.shape[:2] == ((src.height + 1) // 2, (src.width + 1) // 2) for part in src.chroma())


def _jpeg_to_rgb(src: Yuv, crop: Box, dst: Rgb, inter: int) -> None:
    """Convert at full size as libjpeg does, then scale, as whoever reads the file as RGB would."""
    x0, y0, x1, y1 = crop
    part = slice(y0 // 2, (y1 + 1) // 2), slice(x0 // 2, (x1 + 1) // 2)
    cb, cr = (plane[part] for plane in _planar(src))
    order = "BGR" if dst.order.startswith("B") else "RGB"
    whole = len(dst.order) == 3 and (dst.width, dst.height) == (x1 - x0, y1 - y0) and dst.data.flags.c_contiguous
    rgb = dst.data if whole else np.empty((y1 - y0, x1 - x0, 3), np.uint8)
    jpeg.to_rgb(src.y[y0:y1, x0:x1], cb, cr, rgb, bgr=order == "BGR")
    if not whole:
        _rgb_to_rgb(rgb, order, dst, inter)


def _rgb_to_rgb(src: Plane, order: str, dst: Rgb, inter: int) -> None:
    same_colours = order[0] == dst.order[0] and len(order) == len(dst.order)
    if src.shape[:2] != dst.data.shape[:2]:
        if same_colours:
            _scale(src, dst.data, inter)
        else:
            scaled = np.empty((dst.height, dst.width, len(order)), np.uint8)
            _scale(src, scaled, inter)
            src = scaled
    elif same_colours:
        np.copyto(dst.data, src)
    if not same_colours:
        code = getattr(cv2, f"COLOR_{order.replace('x', 'A')}2{dst.order.replace('x', 'A')}")
        _in_place(cv2.cvtColor(src, code, dst=dst.data), dst.data)
    if order.endswith("x") and len(dst.order) == 4:
        dst.data[..., 3] = 255


def _rgb_to_yuv(src: Plane, order: str, dst: Yuv, inter: int) -> None:
    if src.shape[:2] != dst.y.shape:
        scaled = np.empty((dst.height, dst.width, len(order)), np.uint8)
        _scale(src, scaled, inter)
        src = scaled
    cv_order = order.replace("x", "A")
    if not dst.chroma():
        _in_place(cv2.cvtColor(src, getattr(cv2, f"COLOR_{cv_order}2GRAY"), dst=dst.y), dst.y)
        if not dst.colorimetry.full_range:
            _lookup(dst.y, range_tables(False)[0])
        return
    if len(order) == 4:
        src = cv2.cvtColor(src, cv2.COLOR_RGBA2RGB)
    matrix = rgb_to_yuv(dst.colorimetry)
    if order.startswith("B"):
        matrix = matrix[:, [2, 1, 0, 3]]
    _store(np.asarray(cv2.transform(src, matrix), np.uint8), dst)


def blit(src: Picture, crop: Box, dst: Picture, inter: int) -> None:
    """Fill ``dst`` with the pixels ``crop`` = (x0, y0, x1, y1) of ``src``; ``inter`` is an OpenCV flag."""
    if dst.width < 1 or dst.height < 1:
        return
    if isinstance(src, Yuv):
        if isinstance(dst, Yuv):
            _yuv_to_yuv(src, crop, dst, inter)
        else:
            _yuv_to_rgb(src, crop, dst, inter)
        return
    data = src.data[crop[1] : crop[3], crop[0] : crop[2]]
    if isinstance(dst, Rgb):
        _rgb_to_rgb(data, src.order, dst, inter)
    else:
        _rgb_to_yuv(data, src.order, dst, inter)
