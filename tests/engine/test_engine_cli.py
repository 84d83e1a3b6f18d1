"""`millrace engine`: engines built, described, measured and calibrated from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millrace.app.cli import app
from millrace.app.engine import Request, bench, markdown_table, text_table
from millrace.errors import MillraceError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def good(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def failure(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, MillraceError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_from_calibration_to_an_engine(make_net: Callable[..., Path], frames_folder: Path, tmp_path: Path) -> None:
    model, calib = make_net(), tmp_path / "calib.txt"
    assert "ranges of 3 tensors" in good("engine", "calibrate", model, "--frames", frames_folder, "--out", calib)
    assert calib.read_text().startswith("TRT-")
    shapes = ("--min", "1x3x32x32", "--opt", "1x3x32x32", "--max", "images:4x3x32x32")
    build = ("engine", "build", model, *shapes, "--int8", "--calib", calib)
    engine = tmp_path / "net.onnx_b4_gpu0_int8.engine"
    lines = good(*build).splitlines()
    assert lines[0].startswith(f"{engine}: written") and "INT8 (3 of 3" in lines[1] and "batch 1 to 4" in lines[1]
    assert lines[2:] == ["  input images: 3x32x32 float32", "  output scores: 5 float32"]
    assert "up to date" in good(*build)
    assert "written" in good(*build, "--force")
    info = good("engine", "info", engine)
    assert f"model        {model}" in info and f"calibration  {calib}" in info and "NOT this machine" not in info
    calib.write_text(calib.read_text().replace("r1: 3", "r1: 4"))
    assert "the calibration cache has changed since" in good("engine", "info", engine)
    model.unlink()
    assert "the model is not there: the engine is used as it is" in good("engine", "info", engine)
    rows = good("engine", "bench", engine, "--seconds", "0.1").splitlines()
    assert rows[0].split() == "model precision size batch requests fps p50/ms p90/ms p95/ms p99/ms build/ms".split()
    assert rows[1].split()[:4] == ["net.onnx", "INT8", "32x32", "4"]


def test_a_configuration_is_built_for_its_own_engine_file(make_net: Callable[..., Path], tmp_path: Path) -> None:
    make_net()
    config = tmp_path / "pgie.txt"
    config.write_text(
        "[property]\nonnx-file=net.onnx\nmodel-engine-file=my.engine\nbatch-size=2\nnetwork-type=100\nnetwork-mode=0\n"
    )
    assert good("engine", "build", config).startswith(f"{tmp_path / 'my.engine'}: written")
    assert "says scale and offsets itself" in failure("engine", "build", config, "--scale", "1")
    smaller = good("engine", "build", config, "--batch", "1").splitlines()  # what is there serves it too
    assert "up to date" in smaller[0] and "batch 1 to 2" in smaller[1]
    assert "DAMAGED" not in good("engine", "info", tmp_path / "my.engine")
    damaged = bytearray((tmp_path / "my.engine").read_bytes())
    damaged[-9] ^= 1
    (tmp_path / "my.engine").write_bytes(damaged)
    assert "DAMAGED: its checksum differs" in good("engine", "info", tmp_path / "my.engine")
    assert "written" in good("engine", "build", config)
    other = tmp_path / "other.engine"
    other.write_bytes(b"ptrt" + bytes(100))
    assert "stays as it is; name another file with --out" in failure("engine", "build", config, "--out", other)
    assert "is an engine of TensorRT, which runs on the NVIDIA GPU" in failure("engine", "info", other)


def test_a_model_is_described(make_net: Callable[..., Path]) -> None:
    lines = good("engine", "info", make_net()).splitlines()
    assert re.search(r"ONNX model, .* opset 13, 7 nodes, float$", lines[0])
    assert lines[1:] == ["  input  images: nx3x32x32 float", "  output scores: nx5 float"]


def test_measured_at_several_batches(make_net: Callable[..., Path], tmp_path: Path) -> None:
    model = make_net()
    table = good("engine", "bench", model, "--batch", "1", "4", "--seconds", "0.1", "--markdown").splitlines()
    assert table[0] == "| model | device | size | batch | fps | ms |"
    cells = [[c.strip() for c in row.strip("|").split("|")] for row in table[2:]]
    assert [(c[0], c[2], c[3]) for c in cells] == [("net.onnx (FP32)", "32", "1"), ("net.onnx (FP32)", "32", "4")]
    assert all(c[1].endswith(("core", "cores")) and float(c[4]) > 0 and float(c[5]) > 0 for c in cells)
    found = bench(Request(model), [2], 0.1, one_at_a_time=True)
    assert found[0].requests == 1 and found[0].latency_ms == tuple(sorted(found[0].latency_ms))
    assert text_table(found) and markdown_table(found)
    assert not list(tmp_path.glob("*.engine"))  # measuring leaves nothing behind


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "none.onnx"), "no such model: none.onnx"),
        (("build", "NET", "--max", "3x32"), "--max 3x32: write it as 1x3x640x640"),
        (("build", "NET", "--min", "1x3x32x32", "--max", "2x3x64x64"), "may differ in the batch only"),
        (("build", "NET", "--min", "4x3x32x32", "--max", "2x3x32x32"), "must grow"),
        (("build", "NET", "--max", "2x3x32x32", "--batch", "4"), "differ; give one of them"),
        (("build", "NET", "--max", "2x3x64x64"), "infer-dims=3;64;64 but the input images of net.onnx is 3;32;32"),
        (("bench", "NET", "--shape", "640"), "--max 1x640: write it as 1x3x640x640"),
        (("build", "NET", "--calib", "c.txt"), "--calib is for --int8"),
        (("build", "NET", "--int8", "--calib", "none.txt"), "no such calibration cache: none.txt"),
        (("build", "NET", "--offsets", "a;b"), "--offsets a;b: it must be numbers"),
        (("build", "NET", "--color", "red"), "--color red: it must be rgb, bgr or gray"),
        (("build", "junk.engine"), "junk.engine is an engine, not a model or a configuration; what it is: millrace"),
        (("bench", "junk.plan"), "junk.plan is an engine, not a model or a configuration"),
        (("build", "MEAN"), "mean.txt:3: mean-file: no such file: "),
        (("calibrate", "MEAN", "--frames", "FRAMES"), "mean.txt:3: mean-file: no such file: "),
        (("build", "a.etlt"), "a.etlt is an encrypted TAO model, which cannot be read: export it to ONNX"),
        (("info", "junk.xml"), "junk.xml: it is not an OpenVINO model"),
        (("info", "junk.onnx"), "junk.onnx: it is not an ONNX model"),
        (("info", "a.uff"), "a.uff is a UFF model"),
        (("info", "none.engine"), "no such engine: none.engine"),
        (("calibrate", "NET", "--frames", "none"), "no such folder or file of frames: none"),
        (("calibrate", "NET", "--frames", ".", "--method", "best"), "--method best: it must be mse or minmax"),
    ],
)
def test_what_does_not_fit_is_one_line(
    make_net: Callable[..., Path],
    frames_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    model = make_net()
    monkeypatch.chdir(tmp_path)
    for name in ("junk.engine", "junk.plan", "junk.xml", "junk.onnx"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / "mean.txt").write_text(f"[property]\nonnx-file={model}\nmean-file=none.ppm\n")
    names = {"NET": str(model), "MEAN": "mean.txt", "FRAMES": str(frames_folder)}
    assert message in failure("engine", *(names.get(a, a) for a in arguments))
