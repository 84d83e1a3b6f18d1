"""nvurisrcbin and an RTSP server that goes away and comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from millrace.elements.reconnect import Watchdog

from .pipelines import Gst, drain, pad_of, playing, watch

SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.props.service = sys.argv[1]
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_launch(
    "( videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=20/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5 ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
server.get_mount_points().add_factory("/s", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def server(port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            pytest.skip("GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0) is not installed")
        yield
    finally:
        process.kill()
        process.wait()


def until(condition: Any, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def pipeline_of(port: int, more: str) -> tuple[Gst.Pipeline, list[int]]:
    pipeline = Gst.parse_launch(
        f"nvurisrcbin uri=rtsp://127.0.0.1:{port}/s select-rtp-protocol=4 latency=50 {more} ! m.sink_0 "
        "nvstreammux name=m batch-size=1 width=64 height=48 live-source=true ! fakesink name=out sync=false"
    )
    frames: list[int] = []
    watch(pad_of(pipeline, "out:sink"), lambda batch, buffer: frames.append(next(iter(batch.meta.frames)).frame_num))
    return pipeline, frames


def test_frames_go_on_after_the_server_came_back() -> None:
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1")
    with playing(pipeline):
        with server(port):
            # the server was not there yet when the pipeline began
            assert until(lambda: len(frames) > 5), drain(pipeline, 0.1)
        count = len(frames)
        time.sleep(1.5)
        with server(port):
            assert until(lambda: len(frames) > count + 10), drain(pipeline, 0.1)
        outcome = drain(pipeline, 0.1)
    assert frames == list(range(len(frames)))
    assert outcome.end == "timeout", outcome
    assert any("no data for 1 s, connecting again (attempt 1)" in text for text in outcome.warnings), outcome


def test_no_more_attempts_end_the_source() -> None:
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1 rtsp-reconnect-attempts=1")
    with server(port):
        pipeline.set_state(Gst.State.PLAYING)
        began = until(lambda: len(frames) > 3)
    outcome = drain(pipeline, 15)
    pipeline.set_state(Gst.State.NULL)
    assert began and outcome.ok, outcome
    uri = f"rtsp://127.0.0.1:{port}/s"
    assert [text for text in outcome.warnings if text.startswith(uri)] == [
        f"{uri}: no data for 1 s, connecting again (attempt 1 of 1)",
        f"{uri}: no data after 1 attempts to connect again; giving up",
    ]


def test_a_server_that_never_was_there_is_an_error() -> None:
    port = free_port()
    more = "rtsp-reconnect-interval=30 init-rtsp-reconnect-interval=1 rtsp-reconnect-attempts=1"
    pipeline, _ = pipeline_of(port, more)
    with playing(pipeline):
        outcome = drain(pipeline, 15)
    assert outcome.errors == [f"rtsp://127.0.0.1:{port}/s: no data after 1 attempts to connect again; giving up"], (
        outcome
    )


def test_without_an_interval_a_failure_is_an_error_at_once() -> None:
    pipeline, _ = pipeline_of(free_port(), "")
    with playing(pipeline):
        outcome = drain(pipeline, 10)
    assert outcome.end == "error" and "rtsp://127.0.0.1" in outcome.errors[0]


def test_a_paused_source_is_not_late() -> None:
    calls: list[int] = []
    running = threading.Event()
    dog = Watchdog(0.05, 0, -1, calls.append, lambda: None, running.is_set)
    dog.start("dog")
    time.sleep(0.3)
    assert calls == []
    running.set()
    assert until(lambda: len(calls) >= 2, 5)
    assert dog.data() >= 2
    dog.stop()
    assert dog.reconnects == 1 and calls[0] == 1
