"""Clips: real H.264 in MP4 whose pictures fit the ground truth beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from millrace.errors import MediaError
from millrace.samples import World, demo_clips, write_clip

needs_gstreamer = pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="gst-launch-1.0 is not installed")


@needs_gstreamer
def test_clip_is_h264_with_matching_truth(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 1.0, 10, 3, width=320, height=180)
    data = path.read_bytes()
    assert data[4:8] == b"ftyp" and b"avc1" in data
    truth = json.loads(path.with_suffix(".json").read_text())
    assert len(truth["frames"]) == 10 and truth["frames"][4]["pts"] == 400_000_000
    video = cv2.VideoCapture(str(path))
    frames = []
    while (got := video.read())[0]:
        frames.append(got[1][..., ::-1])
    assert len(frames) == 10 and video.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    image, people = World(3, 320, 180).frame(0.4)
    assert np.abs(frames[4].astype(float) - image).mean() < 8
    recorded = truth["frames"][4]["objects"]
    assert [o["track_id"] for o in recorded] == [p.track_id for p in people]
    assert recorded[0]["box"] == pytest.approx(people[0].box, abs=1e-3)
    assert not list(tmp_path.glob("*.partial"))


@needs_gstreamer
def test_demo_clips_are_made_once(tmp_path: Path) -> None:
    first = demo_clips(tmp_path, 2, 0.4, width=160, height=96)
    stamps = [p.stat().st_mtime_ns for p in first]
    assert [p.name for p in first] == ["demo_0.mp4", "demo_1.mp4"]
    assert [p.stat().st_mtime_ns for p in demo_clips(tmp_path, 2, 0.4, width=160, height=96)] == stamps
    first[1].with_suffix(".json").write_text("{}")
    demo_clips(tmp_path, 2, 0.4, width=160, height=96)
    assert first[0].stat().st_mtime_ns == stamps[0] and first[1].stat().st_mtime_ns != stamps[1]


def test_bad_requests_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"odd\.mp4.*even"):
        write_clip(tmp_path / "odd.mp4", 1.0, width=321)


def test_missing_gstreamer_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediaError, match=r"gstreamer1\.0-tools"):
        write_clip(tmp_path / "a.mp4", 0.2)
