"""Host surfaces: colours, sizes, system memory and copy-on-write."""

from __future__ import annotations

import gc
import shutil
import subprocess
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import MediaError
from millrace.surface import (
    BT601,
    BT709,
    FORMATS,
    INTERPOLATIONS,
    JPEG,
    READABLE,
    WRITABLE,
    Colorimetry,
    HostSurface,
    Rect,
    default_layout,
)

COLORIMETRIES = [Colorimetry(m, r) for m in ("bt601", "bt709", "bt2020") for r in (False, True)]
PICTURES = Path(__file__).parents[2].parent / "shared" / "assets" / "images"


def smooth(width: int, height: int) -> np.ndarray:
    """A smooth RGB picture, so that chroma subsampling costs little."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    r = 127 + 90 * np.sin(x / 37) * np.cos(y / 51)
    g = 127 + 90 * np.cos(x / 43 + 1) * np.cos(y / 29)
    b = 127 + 90 * np.sin(x / 31 + y / 47)
    return np.dstack([r, g, b]).round().astype(np.uint8)


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("colorimetry", COLORIMETRIES, ids=lambda c: f"{c.matrix}-{c.full_range}")
@pytest.mark.parametrize("fmt", ["NV12", "I420"])
def test_primaries_follow_the_standard(fmt: str, colorimetry: Colorimetry) -> None:
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}[colorimetry.matrix]
    scale, offset, cscale = (255, 0, 255) if colorimetry.full_range else (219, 16, 224)
    for rgb in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0), (0.5, 0.25, 0.75)]:
        luma = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
        want = (
            luma * scale + offset,
            (rgb[2] - luma) / 2 / (1 - kb) * cscale + 128,
            (rgb[0] - luma) / 2 / (1 - kr) * cscale + 128,
        )
        packed = HostSurface.allocate(16, 12, "RGB", colorimetry)
        packed.fill(*rgb)
        filled = HostSurface.allocate(16, 12, fmt, colorimetry)
        filled.fill(*rgb)
        for surface in (packed.convert(fmt), filled):
            planes = surface.array()
            got = (planes[0][5, 5], *(planes[1][3, 3] if fmt == "NV12" else (planes[1][3, 3], planes[2][3, 3])))
            assert np.allclose(np.array(got, float), np.clip(want, 0, 255), atol=1.01)
            assert np.allclose(surface.to_rgb()[4, 4], np.array(rgb) * 255, atol=3)


@pytest.mark.parametrize("colorimetry", COLORIMETRIES, ids=lambda c: f"{c.matrix}-{c.full_range}")
@pytest.mark.parametrize("size", [(128, 96), (127, 95)])
def test_round_trip_through_yuv(size: tuple[int, int], colorimetry: Colorimetry) -> None:
    rgb = smooth(*size)
    source = HostSurface([rgb], "RGB", colorimetry)
    for fmt in ("NV12", "I420"):
        assert mean_error(source.convert(fmt).to_rgb(), rgb) < 2.0


@pytest.mark.parametrize("target", COLORIMETRIES, ids=lambda c: f"{c.matrix}-{c.full_range}")
def test_changing_colorimetry_keeps_colours(target: Colorimetry) -> None:
    rgb = smooth(128, 96)
    for origin in COLORIMETRIES:
        surface = HostSurface([rgb], "RGB", origin).convert("NV12")
        changed = surface.convert(colorimetry=target)
        assert changed.colorimetry == target
        assert mean_error(changed.to_rgb(), rgb) < 2.5
        canvas = HostSurface.allocate(128, 96, "NV12", target)
        canvas.paste(surface, Rect(0, 0, 128, 96))
        assert np.array_equal(canvas.to_rgb(), changed.to_rgb())


@pytest.mark.parametrize("a", FORMATS)
@pytest.mark.parametrize("b", FORMATS)
def test_every_pair_of_formats(a: str, b: str) -> None:
    rgb = smooth(66, 50) if "GRAY8" not in (a, b) else np.repeat(smooth(66, 50)[..., :1], 3, axis=2)
    first = HostSurface([rgb], "RGB", BT709).convert(a)
    second = first.convert(b)
    assert second.format == b
    assert (second is first) == (a == b)
    assert mean_error(second.to_rgb(), rgb) < 2.5
    assert np.array_equal(second.to_rgb(bgr=True), second.to_rgb()[..., ::-1])
    if b in ("RGBA", "BGRA", "RGBx", "BGRx") and a not in ("RGBA", "BGRA"):
        assert (second.array()[..., 3] == 255).all()


def test_alpha_is_kept_between_packed_formats_and_x_becomes_opaque() -> None:
    surface = HostSurface.allocate(4, 4, "RGBA")
    surface.fill(1, 0, 0, 0.5)
    assert surface.convert("BGRA").array()[0, 0].tolist() == [0, 0, 255, 128]
    x = HostSurface([np.zeros((4, 4, 4), np.uint8)], "BGRx")
    assert x.convert("RGBA").array()[0, 0].tolist() == [0, 0, 0, 255]
    assert x.convert("RGBA", 2, 2).array()[0, 0].tolist() == [0, 0, 0, 255]


def test_jpeg_source_is_full_range() -> None:
    path = PICTURES / "bus.jpg"
    if not path.exists() or not shutil.which("ffmpeg"):
        pytest.skip("shared/assets/images/bus.jpg or ffmpeg is absent")
    want = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    height, width = want.shape[:2]
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuvj420p", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    cw, ch = (width + 1) // 2, (height + 1) // 2
    offsets = [0, width * height, width * height + cw * ch]
    surface = HostSurface.upload(raw, width, height, "I420", [width, cw, cw], offsets, JPEG)
    assert mean_error(surface.to_rgb(), want) < 2.0
    limited = HostSurface.upload(raw, width, height, "I420", [width, cw, cw], offsets, BT601)
    assert mean_error(limited.to_rgb(), want) > 4.0


@pytest.mark.parametrize("fmt", READABLE)
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (1, 1), (2, 3)])
@pytest.mark.parametrize("colorimetry", [BT601, BT709, JPEG], ids=["601", "709", "jpeg"])
def test_system_memory_round_trip(fmt: str, size: tuple[int, int], colorimetry: Colorimetry) -> None:
    width, height = size
    rgb = smooth(width, height)
    if fmt == "GRAY8":
        rgb = np.repeat(rgb[..., :1], 3, axis=2)
    strides, offsets, total = default_layout(width, height, fmt)
    memory = bytearray(total)
    if fmt in WRITABLE:
        HostSurface([rgb], "RGB", colorimetry).download(memoryview(memory), strides, offsets, fmt)
    else:
        planes = HostSurface([rgb], "RGB", colorimetry).convert("I420" if "I420" in fmt else "NV12").array()
        for plane, stride, offset in zip(planes, strides, offsets, strict=True):
            wide = (plane.astype(np.uint16) << (2 if "I420" in fmt else 8)).reshape(plane.shape[0], -1)
            for row in range(plane.shape[0]):
                start = offset + row * stride
                memory[start : start + wide.shape[1] * 2] = wide[row].tobytes()
    loaded = HostSurface.upload(memoryview(bytes(memory)), width, height, fmt, strides, offsets, colorimetry)
    assert loaded.format == ("NV12" if fmt not in FORMATS or fmt in ("NV12", "I420") else fmt)
    assert mean_error(loaded.to_rgb(), rgb) < (3.0 if min(size) > 10 else 40.0)
    if fmt in WRITABLE:
        again = bytearray(total)
        loaded.download(memoryview(again), strides, offsets, fmt)
        difference = np.abs(np.frombuffer(again, np.uint8).astype(int) - np.frombuffer(memory, np.uint8))
        assert difference.mean() < 1.5


def test_padding_between_rows_is_left_alone() -> None:
    surface = HostSurface.allocate(10, 6, "NV12")
    surface.fill(1, 1, 1)
    memory = np.full(2000, 7, np.uint8)
    surface.download(memory, [32, 32], [16, 16 + 32 * 6])
    rows = memory[16 : 16 + 32 * 9].reshape(9, 32)
    assert (rows[:6, :10] == 235).all()
    assert (rows[6:, :10] == 128).all()
    assert (rows[:, 10:] == 7).all()
    assert (memory[:16] == 7).all()


def test_memory_errors_are_one_line() -> None:
    surface = HostSurface.allocate(64, 48, "NV12")
    with pytest.raises(MediaError, match="does not fit"):
        surface.download(bytearray(100), [64, 64], [0, 3072])
    with pytest.raises(MediaError, match="read-only"):
        surface.download(bytes(64 * 72), [64, 64], [0, 3072])
    with pytest.raises(MediaError, match="cannot be read"):
        HostSurface.upload(bytes(100), 4, 4, "XYZ", [4], [0])
    with pytest.raises(MediaError, match="cannot have format"):
        surface.convert("XYZ")
    with pytest.raises(MediaError, match="unknown interpolation"):
        surface.convert(width=10, interpolation="best")
    with pytest.raises(MediaError, match="1x1"):
        HostSurface.allocate(0, 4, "RGB")
    with pytest.raises(MediaError, match="finite"):
        surface.paste(surface.copy(), Rect(float("nan"), 0, 1, 1))


@pytest.mark.parametrize("origin", [(20, 16), (21, 17), (20.4, 16.6)])
@pytest.mark.parametrize("scale", [1, 2, 0.5])
@pytest.mark.parametrize("colorimetry", [BT601, BT709])
def test_crop_does_not_shift_chroma(origin: tuple[float, float], scale: float, colorimetry: Colorimetry) -> None:
    rgb = smooth(160, 120)
    x, y = round(origin[0]), round(origin[1])
    crop = Rect(*origin, 64, 48)
    surface = HostSurface([rgb], "RGB", colorimetry).convert("NV12")
    size = int(64 * scale), int(48 * scale)
    want = cv2.resize(rgb[y : y + 48, x : x + 64], size)
    assert mean_error(surface.convert("RGB", *size, crop=crop).to_rgb(), want) < 2.5
    assert mean_error(surface.convert("NV12", *size, crop=crop).to_rgb(), want) < 2.5


def test_interpolations_by_name_and_number() -> None:
    rgb = smooth(66, 48)
    surface = HostSurface([rgb], "RGB").convert("NV12")
    want = cv2.resize(rgb, (33, 24), interpolation=cv2.INTER_AREA)
    for name in INTERPOLATIONS:
        small = surface.convert("RGB", 33, 24, interpolation=name)
        assert (small.width, small.height) == (33, 24)
        assert mean_error(small.to_rgb(), want) < 6
    with pytest.raises(MediaError):
        surface.convert(width=8, interpolation=9)


@pytest.mark.parametrize("fmt", FORMATS)
def test_paste_tiles_do_not_touch_each_other(fmt: str) -> None:
    canvas = HostSurface.allocate(200, 100, fmt)
    canvas.fill(0, 0, 0)
    tile = HostSurface.allocate(64, 36, "NV12", BT709)
    tile.fill(1, 1, 1)
    canvas.paste(tile, Rect(33, 11, 67, 31))
    grey = canvas.to_rgb().astype(int)
    assert (grey[11:42, 33:100] > 245).all()
    grey[10:43, 32:101] = 0
    assert (grey < 6).all()


def test_paste_is_clipped_with_its_source() -> None:
    source = HostSurface([smooth(100, 80)], "RGB")
    canvas = HostSurface.allocate(60, 40, "RGB")
    canvas.fill(0, 0, 0)
    canvas.paste(source, Rect(-20, -10, 100, 80))
    assert np.array_equal(canvas.array(), source.array()[10:50, 20:80])
    canvas.fill(0, 0, 0)
    for far in (Rect(60, 0, 5, 5), Rect(0, -9, 5, 9), Rect(0, 0, 0, 5), Rect(5, 5, -3, 2)):
        canvas.paste(source, far)
    assert not canvas.array().any()


sizes = st.integers(1, 40)
edges = st.floats(-60, 60)


@settings(max_examples=120, deadline=None)
@given(
    size=st.tuples(sizes, sizes),
    other=st.tuples(sizes, sizes),
    formats=st.tuples(st.sampled_from(FORMATS), st.sampled_from(FORMATS)),
    rect=st.tuples(edges, edges, edges, edges),
    part=st.tuples(edges, edges, edges, edges),
    colours=st.tuples(st.sampled_from(COLORIMETRIES), st.sampled_from(COLORIMETRIES)),
    inter=st.sampled_from(list(INTERPOLATIONS)),
)
def test_any_geometry(
    size: tuple[int, int],
    other: tuple[int, int],
    formats: tuple[str, str],
    rect: tuple[float, float, float, float],
    part: tuple[float, float, float, float],
    colours: tuple[Colorimetry, Colorimetry],
    inter: str | int,
) -> None:
    source = HostSurface.allocate(size[0], size[1], formats[0], colours[0])
    source.fill(0.6, 0.6, 0.6)
    out = source.convert(formats[1], other[0], other[1], crop=Rect(*part), interpolation=inter)
    assert (out.width, out.height, out.format) == (*other, formats[1])
    assert np.allclose(out.to_rgb(), 153, atol=3)
    canvas = HostSurface.allocate(other[0], other[1], formats[1], colours[1])
    canvas.fill(0.6, 0.6, 0.6)
    canvas.paste(source, Rect(*rect), Rect(*part), inter)
    assert np.allclose(canvas.to_rgb(), 153, atol=4)


def test_copy_on_write() -> None:
    first = HostSurface.allocate(8, 8, "RGBA")
    first.fill(0, 0, 0)
    assert first.writable() is first
    twin = first.share()
    assert twin.array() is first.array()
    assert first.shared
    mine = first.writable()
    assert mine is not first
    mine.fill(1, 1, 1)
    assert not twin.array()[..., 0].any()
    del first
    gc.collect()
    assert twin.writable() is twin
    assert mine.writable() is mine


def test_copy_on_write_from_many_threads() -> None:
    origin = HostSurface.allocate(16, 16, "NV12")
    origin.fill(0, 0, 0)
    failures: list[str] = []

    def work(index: int) -> None:
        for _ in range(200):
            twin = origin.share()
            mine = twin.writable()
            if mine is twin:
                failures.append("wrote into shared memory")
            mine.array()[0][...] = 50 + index
            if not (mine.array()[0] == 50 + index).all():
                failures.append("another thread wrote here")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (origin.array()[0] == 16).all()
    assert not origin.shared


def test_array_is_the_memory_itself() -> None:
    surface = HostSurface.allocate(6, 4, "RGBA")
    surface.array()[1, 2] = (9, 8, 7, 6)
    assert surface.array()[1, 2].tolist() == [9, 8, 7, 6]
    assert [p.shape for p in HostSurface.allocate(5, 3, "NV12").array()] == [(3, 5), (2, 3, 2)]
    assert [p.shape for p in HostSurface.allocate(5, 3, "I420").array()] == [(3, 5), (2, 3), (2, 3)]
    with pytest.raises(MediaError, match="needs uint8 planes"):
        HostSurface([np.zeros((4, 4), np.uint8)], "NV12")


def test_rect_clipping_and_rounding() -> None:
    assert Rect(-5, 2, 20, 4).clip(10, 5) == (0, 2, 10, 3)
    assert Rect(50, 2, 20, 4).clip(10, 5).width == 0
    assert Rect(1.5, 1.4, 0.1, 2).pixels(10, 10) == (2, 1, 3, 3)
    assert Rect(90, -9, 5, 3).pixels(10, 10) == (9, 0, 10, 1)
    with pytest.raises(ValueError, match="finite"):
        Rect(0, 0, float("inf"), 1).pixels(4, 4)
