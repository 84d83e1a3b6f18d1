"""nvv4l2h264enc, nvv4l2h265enc and the display sinks."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .pipelines import NVMM, Gst, drain, numbered, pad_of, play, playing, watch

ENCODERS = {"nvv4l2h264enc": ("h264", "x264enc"), "nvv4l2h265enc": ("h265", "x265enc")}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> str:
    if Gst.ElementFactory.find(ENCODERS[request.param][1]) is None:
        pytest.skip(f"{ENCODERS[request.param][1]} is not installed")
    return str(request.param)


def test_output_decodes_to_what_went_in(encoder: str, tmp_path: Path) -> None:
    kind = ENCODERS[encoder][0]
    caps: list[str] = []
    path = tmp_path / "out.mp4"
    pipeline = Gst.parse_launch(
        f"{numbered(12, 160, 120, more='pattern=smpte100')} ! {encoder} name=e bitrate=800000 ! "
        f"{kind}parse ! mp4mux ! "
        f"filesink location={path}"
    )
    pad = pad_of(pipeline, "e:src")
    watch(pad, lambda _batch, _buffer: caps.append(pad.get_current_caps().to_string()))
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    structure = Gst.Caps.from_string(caps[0]).get_structure(0)
    assert structure.get_name() == f"video/x-{kind}"
    assert structure.get_string("stream-format") == "byte-stream"
    assert structure.get_string("alignment") == "au"
    frames: list[Any] = []
    outcome = play(
        f"uridecodebin uri=file://{path} ! fakesink name=out",
        {"out:sink": lambda batch, _buffer: frames.append(batch.surfaces[0].to_rgb().copy())},
    )
    assert outcome.ok, outcome
    assert len(frames) == 12
    assert frames[0].shape == (120, 160, 3)
    np.testing.assert_allclose(frames[5][20:60, 4:16].reshape(-1, 3).mean(0), (255, 255, 255), atol=10)
    np.testing.assert_allclose(frames[5][20:60, 144:156].reshape(-1, 3).mean(0), (0, 0, 255), atol=16)


@pytest.mark.parametrize("fmt", ["NV12", "RGBA", "I420", "BGRx"])
def test_input_formats(encoder: str, fmt: str) -> None:
    sizes: list[int] = []
    outcome = play(
        f"{numbered(3)} ! nvvideoconvert ! {NVMM},format={fmt} ! {encoder} ! fakesink name=out",
        {"out:sink": lambda _batch, buffer: sizes.append(buffer.get_size())},
    )
    assert outcome.ok, outcome
    assert len(sizes) == 3


def total(encoder: str, bitrate: int, more: str = "") -> int:
    sizes: list[int] = []
    outcome = play(
        f"{numbered(50, 320, 240, more='pattern=snow')} ! {encoder} bitrate={bitrate} {more} ! fakesink name=out",
        {"out:sink": lambda _batch, buffer: sizes.append(buffer.get_size())},
    )
    assert outcome.ok, outcome
    return sum(sizes) * 8 * 25 // 50  # bits a second


def test_bitrate_is_in_bits(encoder: str) -> None:
    low, high = total(encoder, 300_000), total(encoder, 1_500_000)
    assert 100_000 < low < 700_000
    assert 700_000 < high < 2_500_000


def test_key_frames(encoder: str) -> None:
    """``idrinterval`` frames apart, and at once when asked for."""
    keys: list[int] = []
    count = 0

    def look(_batch: Any, buffer: Any) -> None:
        nonlocal count
        if not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
            keys.append(count)
        count += 1
        if count == 15:
            pipeline.get_by_name("e").set_property("force-idr", True)

    pipeline = Gst.parse_launch(f"{numbered(30)} ! {encoder} name=e idrinterval=10 ! fakesink name=out")
    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert keys[:2] == [0, 10]
    assert 15 in keys or 16 in keys


@pytest.mark.parametrize(
    "settings",
    [
        "profile=0", "profile=2", "profile=4", "control-rate=0", "control-rate=2 constqp=30:30:30", "preset-level=1",
        "preset-id=1 insert-sps-pps=1 bufapi-version=1", "maxperf-enable=1 iframeinterval=15 insert-vui=true",
    ],
)  # fmt: skip
def test_the_usual_properties(settings: str) -> None:
    outcome = play(f"{numbered(3)} ! nvv4l2h264enc {settings} ! h264parse ! avdec_h264 ! fakesink")
    assert outcome.ok, outcome


def test_bitrate_changes_while_playing(encoder: str) -> None:
    sizes: list[int] = []

    def look(_batch: Any, buffer: Any) -> None:
        sizes.append(buffer.get_size())
        if len(sizes) == 25:
            pipeline.get_by_name("e").set_property("bitrate", 200_000)

    pipeline = Gst.parse_launch(
        f"{numbered(75, 320, 240, more='pattern=snow')} ! {encoder} name=e bitrate=2000000 ! fakesink name=out"
    )
    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    if encoder == "nvv4l2h264enc":
        assert sum(sizes[50:]) < sum(sizes[:25]) / 2


def test_every_key_frame_has_its_parameter_sets() -> None:
    """A receiver may join at any key frame."""
    starts: list[bytes] = []

    def look(_batch: Any, buffer: Any) -> None:
        if not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
            starts.append(buffer.extract_dup(0, buffer.get_size()))

    outcome = play(f"{numbered(20)} ! nvv4l2h264enc idrinterval=5 ! fakesink name=out", {"out:sink": look})
    assert outcome.ok, outcome
    assert len(starts) == 4
    for data in starts:
        kinds = [data[i + 3] & 0x1F for i in range(len(data) - 3) if data[i : i + 3] == b"\x00\x00\x01"]
        assert 7 in kinds and 8 in kinds and 5 in kinds


@pytest.mark.parametrize("sink", ["nveglglessink", "nv3dsink"])
@pytest.mark.parametrize("source", ["nvmm", "system"])
def test_sinks_without_a_display(sink: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    start = numbered(10) if source == "nvmm" else "videotestsrc num-buffers=10 ! video/x-raw,framerate=25/1"
    began = time.monotonic()
    outcome = play(f"{start} ! {sink} sync=true")
    assert outcome.ok, outcome
    assert 0.3 < time.monotonic() - began < 3  # at the frames' time
    began = time.monotonic()
    outcome = play(f"{start} ! {sink} sync=false qos=false")
    assert outcome.ok, outcome
    assert time.monotonic() - began < 0.3


@pytest.mark.parametrize("sink", ["nveglglessink", "nv3dsink"])
def test_a_display_that_cannot_be_opened_is_as_none(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":7654")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert play(f"{numbered(10)} ! {sink} sync=false").ok


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed (apt-get install xvfb)")
@pytest.mark.skipif(Gst.ElementFactory.find("ximagesink") is None, reason="gstreamer1.0-x is not installed")
def test_a_window_shows_the_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    screen = tmp_path / "Xvfb_screen0"
    command = ["Xvfb", "-noreset", "-displayfd", "1", "-screen", "0", "320x240x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().strip()}")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        pipeline = Gst.parse_launch(
            "videotestsrc pattern=red num-buffers=75 ! video/x-raw,format=NV12,width=320,height=240,framerate=25/1 ! "
            "nvvideoconvert ! video/x-raw(memory:NVMM) ! nveglglessink name=out"
        )
        with playing(pipeline):
            deadline = time.monotonic() + 10
            pixels = np.zeros(0)
            while not pixels.any() and time.monotonic() < deadline:
                time.sleep(0.1)
                pixels = np.frombuffer(screen.read_bytes()[-320 * 240 * 4 :], np.uint8).reshape(240, 320, 4)[..., :3]
            assert drain(pipeline).ok
    finally:
        server.kill()
        server.wait()
    blue, green, red = pixels.mean(axis=(0, 1))
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("wanted", [False, True])
def test_metadata_passes_an_encoder_only_when_asked_for(wanted: bool) -> None:
    description = (
        "videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width=64,height=48 ! nvvideoconvert ! "
        "video/x-raw(memory:NVMM) ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! "
        f"nvv4l2h264enc copy-meta={str(wanted).lower()} ! fakesink name=out"
    )
    seen: list[bool] = []
    outcome = play(description, {"out:sink": lambda batch, _buffer: seen.append(batch is not None)})
    assert outcome.ok, outcome
    assert seen == [wanted] * 3
