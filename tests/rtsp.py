"""An RTSP server in a process of its own, for tests of sources."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
port, count, shared, launch = sys.argv[1:]
server = GstRtspServer.RTSPServer.new()
server.props.service = port
for index in range(int(count)):
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(launch)
    factory.set_shared(shared == "shared")
    server.get_mount_points().add_factory(f"/s{index}", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


def live(size: str = "width=64,height=48", encoder: str = "key-int-max=5", frames: int = -1) -> str:
    """What to serve: test pictures in H.264, 20 a second."""
    return (
        f"( videotestsrc is-live=true num-buffers={frames} ! video/x-raw,format=I420,{size},framerate=20/1 ! "
        f"x264enc tune=zerolatency speed-preset=ultrafast {encoder} ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )


def recording(clip: Path) -> str:
    """What to serve: an MP4 file with H.264, from its beginning for every client."""
    return f"( filesrc location={clip} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def rtsp_server(launch: str, port: int = 0, count: int = 1, shared: bool = False) -> Iterator[list[str]]:
    """Serve a pipeline description while the block runs; gives the URIs, which all serve the same.

    Args:
        launch: of a media factory, with payloaders pay0, pay1, ...
        port: 0 takes a free one.
        count: of URIs.
        shared: whether all clients of a URI get one pipeline.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(port), str(count), "shared" if shared else "", launch],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        bound = process.stdout.readline().strip()
        if not bound:
            pytest.skip("GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0) is not installed")
        yield [f"rtsp://127.0.0.1:{bound}/s{index}" for index in range(count)]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
