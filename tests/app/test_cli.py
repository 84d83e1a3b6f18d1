from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from millrace import __version__

from .conftest import Cli


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").stdout.strip() == f"millrace {__version__}"
    shown = cli("--help")
    assert shown.returncode == 0
    for command in ("pose", "run", "env", "demo", "doctor", "samples"):
        assert command in shown.stdout


def test_help_loads_nothing_heavy(cli: Cli) -> None:
    shown = cli("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert not loaded & {"gi", "cv2", "numpy", "openvino", "onnxruntime", "onnx", "pydantic"}


def test_usage_error_is_exit_code_2(cli: Cli) -> None:
    assert cli("pose").returncode == 2
    assert cli("no-such-command").returncode == 2
    assert cli("pose", "x.mp4", "--size", "big").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.mp4",), "stream missing.mp4: no such file"),
        (("empty.mp4",), "stream empty.mp4: the file is empty"),
        (("folder",), "stream folder: this is a folder; name a video or picture in it"),
        (("/dev/video97",), "stream /dev/video97: there is no such camera; see which there are: ls /dev/video*"),
        (("clip.mp4", "--out", "nowhere/x.mp4"), "cannot write nowhere/x.mp4: there is no folder nowhere"),
        (("clip.mp4", "--out", "x.mp4", "--json", "folder"), "cannot write folder: Is a directory"),
        (
            ("clip.mp4", "--model", "no.onnx"),
            "no such model: no.onnx; name an ONNX file or an nvinfer configuration file",
        ),
        (("clip.mp4", "--out", "x.jpg"), "--out x.jpg is a picture, and there is a video among the inputs"),
        (("clip.mp4", "--out", "rtsp://localhost:99999/x"), "the port must be a number from 1 to 65535"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "clip.mp4").write_bytes(b"not looked at")
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"\0")
    if "--model" not in arguments:
        arguments = (*arguments, "--model", "model.onnx")
    result = cli("pose", *arguments, "--no-display")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("millrace: error: ")
    assert message in result.stderr


def test_a_file_that_is_no_model_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not looked at")
    (tmp_path / "model.onnx").write_bytes(b"text")
    result = cli("pose", "clip.mp4", "--model", "model.onnx")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "model.onnx is not an ONNX model" in result.stderr


def test_a_port_in_use_is_named(cli: Cli, tmp_path: Path) -> None:
    import socket

    (tmp_path / "clip.mp4").write_bytes(b"not looked at")
    (tmp_path / "model.onnx").write_bytes(b"\0")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        result = cli("pose", "clip.mp4", "--model", "model.onnx", "--out", f"rtsp://localhost:{port}/x")
    assert result.returncode == 1
    assert f"port {port} cannot be used (Address already in use): choose another in --out" in result.stderr


def test_env_is_idempotent_in_a_shell(cli: Cli) -> None:
    lines = cli("env", env={"GST_PLUGIN_PATH": "/their/plugins"}).stdout
    script = lines + 'printf "%s\\n" "$PATH" "$PYTHONPATH" "$GST_PLUGIN_PATH" "$GST_REGISTRY"'
    first = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    path, python_path, plugin_path, registry = first
    assert plugin_path.split(":")[0].endswith("millrace/elements/plugin")
    assert plugin_path.split(":")[1:] == ["/their/plugins"]
    assert (Path(python_path.split(":")[0]) / "millrace" / "__init__.py").is_file()
    assert "gst-registry-" in registry
    again = {"PATH": path, "PYTHONPATH": python_path, "GST_PLUGIN_PATH": plugin_path}
    second = cli("env", env=again).stdout
    for name, value in again.items():
        assert f"export {name}={value}\n" in second or f"export {name}='{value}'\n" in second


def test_env_keeps_what_a_path_with_blanks_needs(cli: Cli, tmp_path: Path) -> None:
    lines = cli("env", env={"XDG_CACHE_HOME": str(tmp_path / "a b")}).stdout
    script = lines + 'printf "%s" "$GST_REGISTRY"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.startswith(str(tmp_path / "a b" / "millrace" / "gst-registry-"))


def test_doctor_lists_what_is_there(cli: Cli) -> None:
    result = cli("doctor")
    assert "ok      Python package numpy" in result.stdout
    assert result.returncode == (1 if "MISSING" in result.stdout else 0)


def test_env_lets_gstreamers_tools_and_python_find_millrace(cli: Cli) -> None:
    gi = pytest.importorskip("gi")
    gi.require_version("Gst", "1.0")
    from gi.repository import Gst

    Gst.init(None)
    if Gst.Registry.get().find_plugin("python") is None:
        pytest.skip("GStreamer's Python plugin loader is not installed")
    script = cli("env").stdout + (
        "gst-inspect-1.0 nvstreammux && python3 -c 'import pyds; print(pyds.NvDsBatchMeta)' && "
        "gst-launch-1.0 -q videotestsrc num-buffers=3 ! nvvideoconvert ! 'video/x-raw(memory:NVMM)' ! m.sink_0 "
        "nvstreammux name=m batch-size=1 width=320 height=240 ! nvdsosd ! fakesink"
    )
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    for name in ("batch-size", "batched-push-timeout", "live-source", "enable-padding", "NvDsBatchMeta"):
        assert name in shown.stdout
    assert shown.stderr == ""
