"""RTSP streams of a recording: their end, also when the pipeline is late, and the time the server says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyds

from ..rtsp import recording, rtsp_server
from .pipelines import Gst, drain, pad_of, playing, watch


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    """An RTSP stream of six seconds."""
    clip = tmp_path / "clip.mp4"
    make = Gst.parse_launch(
        "videotestsrc num-buffers=60 ! video/x-raw,width=64,height=48,framerate=10/1 ! x264enc key-int-max=10 ! "
        f"h264parse ! mp4mux ! filesink location={clip}"
    )
    with playing(make):
        assert drain(make).ok
    with rtsp_server(recording(clip)) as (served,):
        yield served


def test_a_late_pipeline_gets_the_end_of_a_recording(uri: str) -> None:
    pipeline = Gst.parse_launch(
        f"uridecodebin uri={uri} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 live-source=true ! "
        "fakesink name=out sync=false"
    )
    frames = 0

    def slowly(batch: object, buffer: object) -> None:
        nonlocal frames
        frames += 1
        time.sleep(0.17)

    watch(pad_of(pipeline, "out:sink"), slowly)
    with playing(pipeline):
        assert drain(pipeline, 30).ok
    assert frames >= 50


@pytest.mark.skipif(Gst.version() < (1, 22), reason="GStreamer tells the sender's time from 1.22 on")
@pytest.mark.parametrize("source", ["uridecodebin", "nvurisrcbin"])
def test_frames_carry_the_time_of_the_sender(uri: str, source: str) -> None:
    pipeline = Gst.parse_launch(
        f"{source} name=source uri={uri} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 "
        "live-source=true attach-sys-ts=false ! fakesink name=out sync=false"
    )
    if source == "uridecodebin":
        pyds.configure_source_for_ntp_sync(hash(pipeline.get_by_name("source")))
    times: list[tuple[int, int]] = []
    watch(
        pad_of(pipeline, "out:sink"),
        lambda batch, buffer: times.extend((f.ntp_timestamp, f.buf_pts) for f in batch.meta.frames),
    )
    with playing(pipeline):
        assert drain(pipeline, 30).ok
    known = [(ntp, pts) for ntp, pts in times if ntp]  # unknown until the first sender report
    assert known and all(abs(ntp - time.time_ns()) < 60e9 for ntp, _ in known)
    (first_ntp, first_pts), (last_ntp, last_pts) = known[0], known[-1]
    assert last_ntp - first_ntp == pytest.approx(last_pts - first_pts, abs=300e6)  # the jitter buffer follows the clock
