"""``millrace pose`` on generated clips with the bundled model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from millrace.samples import write_clip

from .conftest import SRC, Cli

pytestmark = pytest.mark.gst
COMPLAINTS = ("CRITICAL", "WARNING", "Warning:", "Traceback")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "walk.mp4", seconds=2.0, fps=10, seed=910_000_001, people=3)


def plays(video: Path) -> bool:
    """Whether another program decodes the whole file."""
    command = f"gst-launch-1.0 -q filesrc location={video} ! qtdemux ! h264parse ! avdec_h264 ! fakesink"
    return subprocess.run(command.split(), timeout=60).returncode == 0


def test_two_streams_to_video_and_json(cli: Cli, clip: Path, tmp_path: Path) -> None:
    result = cli("pose", str(clip), str(clip), "--tracker", "--out", "out.mp4", "--json", "out.jsonl")
    assert result.returncode == 0, result.stderr
    assert not any(word in result.stderr for word in COMPLAINTS), result.stderr
    assert "written: out.mp4" in result.stdout
    assert plays(tmp_path / "out.mp4")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    truth = json.loads(clip.with_suffix(".json").read_text())
    for name in (str(clip), f"{clip}#2"):
        mine = [line for line in lines if line["stream"] == name]
        assert [line["frame"] for line in mine] == list(range(len(truth["frames"])))
        assert [line["pts"] for line in mine] == sorted(line["pts"] for line in mine)
        people = [person for line in mine for person in line["objects"]]
        assert people
        for person in people:
            assert (person["class_id"], person["label"]) == (0, "person")
            assert 0.25 <= person["confidence"] <= 1
            assert isinstance(person["track_id"], int)
            assert len(person["keypoints"]) == 17
            left, top, width, height = person["box"]
            assert -2 <= left < left + width <= truth["width"] + 2
            assert -2 <= top < top + height <= truth["height"] + 2


def test_a_picture_is_a_stream_of_one_frame(cli: Cli, clip: Path, tmp_path: Path) -> None:
    picture = tmp_path / "first.jpg"
    command = (
        f"gst-launch-1.0 -q filesrc location={clip} ! qtdemux ! h264parse ! avdec_h264 ! videoconvert ! jpegenc ! "
    )
    subprocess.run([*command.split(), "multifilesink", f"location={tmp_path}/f%d.jpg"], check=True, timeout=60)
    (tmp_path / "f0.jpg").rename(picture)
    result = cli("pose", "first.jpg", "--out", "drawn.png", "--json", "-")
    assert result.returncode == 0, result.stderr
    (line,) = [json.loads(text) for text in result.stdout.splitlines()]
    assert (line["stream"], line["frame"]) == ("first.jpg", 0)
    assert all(person["track_id"] is None for person in line["objects"])
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_a_stream_that_fails_is_named_and_the_others_go_on(cli: Cli, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("some text, no video at all")
    result = cli("pose", "missing.mp4", "notes.mp4", str(clip), "--json", "out.jsonl")
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("millrace: error:")]
    assert errors == [
        "millrace: error: stream missing.mp4: no such file",
        "millrace: error: stream notes.mp4: this is not a video or picture that GStreamer knows",
    ]
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(lines) == 20
    assert {json.loads(line)["stream"] for line in lines} == {str(clip)}


def test_an_rtsp_server_that_is_not_there(cli: Cli) -> None:
    result = cli("pose", "rtsp://127.0.0.1:9/none")
    assert result.returncode == 1
    assert "millrace: error: stream rtsp://127.0.0.1:9/none: no RTSP server answers at 127.0.0.1:9" in result.stderr
    assert not any(word in result.stderr for word in COMPLAINTS), result.stderr


def test_an_interrupt_leaves_a_playable_video(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    long = write_clip(tmp_path / "long.mp4", seconds=60.0, fps=10, seed=910_000_002, people=1, width=320, height=180)
    environ = {**os.environ, "PYTHONPATH": str(SRC)}
    arguments = [str(long), str(long), "--out", str(tmp_path / "cut.mp4"), "--json", str(tmp_path / "cut.jsonl")]
    command = [sys.executable, "-m", "millrace.app.cli", "pose", *arguments]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        started = False
        while not started and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
            started = (tmp_path / "cut.mp4").is_file() and (tmp_path / "cut.mp4").stat().st_size > 5000
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert started
    assert process.returncode == 130, errors
    assert plays(tmp_path / "cut.mp4")
