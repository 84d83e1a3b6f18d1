"""Preprocessing against the documented formula, with both engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, MediaError
from millrace.infer import InferContext, InferItem
from millrace.infer.preprocess import InputBuffer, Preprocessor
from millrace.infer.transform import letterbox
from millrace.surface import HostSurface, Rect

ENGINES = ["openvino", "onnxruntime"]
RNG = np.random.default_rng(7)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def run(model: Path, extra: str, items: list[InferItem], engine: str | None = None, batch: int = 1) -> list:
    text = f"[property]\nonnx-file={model}\nnetwork-type=100\n{extra}"
    context = InferContext(parse_infer_config(text), batch_size=batch, engine=engine, cache=False)
    try:
        return context.submit(items).result()
    finally:
        context.close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("color", [0, 1])
@pytest.mark.parametrize("order", [0, 1])
def test_formula_order_and_colours(make_model: Callable[..., Path], engine: str, color: int, order: int) -> None:
    rgb = picture(8, 12)
    model = make_model(("n", 3, 8, 12) if order == 0 else ("n", 8, 12, 3))
    extra = f"model-color-format={color}\nnetwork-input-order={order}"
    extra += "\nnet-scale-factor=0.017\noffsets=103.9;116.8;123.7"
    out = run(model, extra, [InferItem(HostSurface([rgb], "RGB"))], engine)[0].tensors[0].array
    expected = 0.017 * ((rgb if color == 0 else rgb[:, :, ::-1]).astype(np.float64) - [103.9, 116.8, 123.7])
    expected = expected.transpose(2, 0, 1) if order == 0 else expected
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_gray(make_model: Callable[..., Path], engine: str) -> None:
    gray = picture(8, 12)[:, :, 0]
    out = run(
        make_model(("n", 1, 8, 12)),
        "model-color-format=2\nnet-scale-factor=0.5\noffsets=10",
        [InferItem(HostSurface([gray], "GRAY8"))],
        engine,
    )
    np.testing.assert_allclose(out[0].tensors[0].array[0], 0.5 * (gray.astype(np.float32) - 10), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_mean_file(make_model: Callable[..., Path], engine: str, tmp_path: Path) -> None:
    rgb, mean = picture(8, 12), picture(8, 12)
    cv2.imwrite(str(tmp_path / "mean.ppm"), mean[:, :, ::-1])
    extra = f"mean-file={tmp_path / 'mean.ppm'}\nnet-scale-factor=0.5\nmodel-color-format=1"
    out = run(make_model(), extra, [InferItem(HostSurface([rgb], "RGB"))], engine)[0].tensors[0].array
    expected = 0.5 * (rgb.astype(np.float32) - mean.astype(np.float32))[:, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_mean_file_errors(make_model: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    item = InferItem(HostSurface([picture(8, 12)], "RGB"))
    cv2.imwrite(str(tmp_path / "mean.ppm"), picture(9, 12))
    (tmp_path / "junk.ppm").write_bytes(b"P6 junk")
    (tmp_path / "empty.ppm").touch()
    (tmp_path / "cut.ppm").write_bytes((tmp_path / "mean.ppm").read_bytes()[:100])
    capfd.readouterr()
    for name, message in (
        ("none.ppm", "mean-file: no such file: .*none.ppm$"),
        (".", "mean-file: a folder, not a picture: "),
        ("junk.ppm", r"mean-file: not a picture: .*junk.ppm; save it as PPM$"),
        ("empty.ppm", "mean-file: not a picture: "),
        ("cut.ppm", "mean-file: not a picture: "),
        ("mean.ppm", r"mean-file: .*mean.ppm is 12x9; it must be 12x8, as the network's input$"),
    ):
        for engine in ENGINES:
            with pytest.raises(ConfigError, match=message):
                run(make_model(), f"mean-file={tmp_path / name}", [item], engine)
    assert capfd.readouterr().err == ""  # OpenCV has nothing to add
    with pytest.raises(
        ConfigError, match=r"offsets has 2 values but the network's input has 3 channels; give 3 with ; between them$"
    ):
        run(make_model(), "offsets=1;2", [item])


@pytest.mark.parametrize("symmetric", [0, 1])
@pytest.mark.parametrize(("height", "width"), [(20, 60), (60, 20)])
def test_letterbox_padding_is_black_before_normalisation(
    make_model: Callable[..., Path], symmetric: int, height: int, width: int
) -> None:
    rgb = np.full((height, width, 3), 200, np.uint8)
    extra = f"maintain-aspect-ratio=1\nsymmetric-padding={symmetric}\nnet-scale-factor=0.1\noffsets=50;50;50"
    result = run(make_model(("n", 3, 30, 30)), extra, [InferItem(HostSurface([rgb], "RGB"))])[0]
    out = result.tensors[0].array[0]
    inside = np.isclose(out, 15.0, atol=1e-4)
    assert np.isclose(out[~inside], -5.0, atol=1e-4).all()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    start = 10 if symmetric else 0
    if width > height:
        assert (len(rows), rows[0], len(columns)) == (10, start, 30)
    else:
        assert (len(columns), columns[0], len(rows)) == (10, start, 30)
    corners = result.transform.to_frame(np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32))
    np.testing.assert_allclose(corners[0], [0, 0, width, height], atol=1e-4)


def test_old_pixels_do_not_stay_in_the_padding() -> None:
    config = parse_infer_config("[property]\nmaintain-aspect-ratio=1")
    pre = Preprocessor(config, 16, 16, 3)
    buffer = InputBuffer(np.empty((2, 16, 16, 3), np.uint8))
    white = HostSurface([np.full((16, 16, 3), 255, np.uint8)], "RGB")
    wide = HostSurface([np.full((8, 32, 3), 255, np.uint8)], "RGB")
    pre(white, None, buffer, 0)
    pre(white, None, buffer, 1)
    pre(wide, None, buffer, 0)
    assert buffer.array[0, :4].min() == 255
    assert buffer.array[0, 4:].max() == 0
    assert buffer.array[1].min() == 255


@pytest.mark.parametrize(
    ("number", "flag"),
    [(0, cv2.INTER_NEAREST), (1, cv2.INTER_LINEAR), (2, cv2.INTER_CUBIC), (4, cv2.INTER_LANCZOS4), (6, 1)],
)
def test_scaling_filter(number: int, flag: int) -> None:
    rgb = picture(40, 60)
    pre = Preprocessor(parse_infer_config(f"[property]\nscaling-filter={number}"), 30, 20, 3)
    buffer = InputBuffer(np.empty((1, 20, 30, 3), np.uint8))
    pre(HostSurface([rgb], "RGB"), None, buffer, 0)
    np.testing.assert_array_equal(buffer.array[0], cv2.resize(rgb, (30, 20), interpolation=flag))


def test_region_is_cut_to_even_pixels_inside_the_picture() -> None:
    rgb = picture(40, 60)
    pre = Preprocessor(parse_infer_config("[property]"), 10, 10, 3)
    buffer = InputBuffer(np.empty((1, 10, 10, 3), np.uint8))
    transform = pre(HostSurface([rgb], "RGB"), Rect(3.5, 2.2, 8.1, 9.0), buffer, 0)
    assert transform.roi == (2, 2, 10, 10)
    np.testing.assert_array_equal(buffer.array[0], rgb[2:12, 2:12])
    assert pre(HostSurface([rgb], "RGB"), Rect(50, 30, 100, 100), buffer, 0).roi == (50, 30, 10, 10)
    for bad in (Rect(70, 0, 5, 5), Rect(0, 0, 0, 5), Rect(float("nan"), 0, 5, 5)):
        with pytest.raises(MediaError, match="lies outside the 60x40 picture"):
            pre(HostSurface([rgb], "RGB"), bad, buffer, 0)


@given(
    st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(1, 4000), st.integers(1, 4000)),
    st.integers(1, 1300),
    st.integers(1, 1300),
    st.booleans(),
    st.booleans(),
)
def test_letterbox_fits_and_maps_back(
    roi: tuple[int, int, int, int], width: int, height: int, keep: bool, symmetric: bool
) -> None:
    transform, (inner_w, inner_h) = letterbox(roi, width, height, keep, symmetric)
    assert 1 <= inner_w <= width
    assert 1 <= inner_h <= height
    assert transform.pad_x + inner_w <= width
    assert transform.pad_y + inner_h <= height
    assert keep is False or inner_w == width or inner_h == height
    corners = np.array([[0, 0], [1, 1]], np.float32) * [roi[2], roi[3]] + [roi[0], roi[1]]
    there = transform.points_to_network(corners)
    np.testing.assert_allclose(there[1] - there[0], [inner_w, inner_h], rtol=1e-3)
    np.testing.assert_allclose(transform.points_to_frame(there), corners, rtol=1e-3, atol=1e-2 * max(roi[2:]))
