"""NVIDIA's sample applications as they are, in the folders where their relative paths lead to the samples.

They are not part of this repository. Clone https://github.com/NVIDIA-AI-IOT/deepstream_python_apps and name the clone
in MILLRACE_PYTHON_APPS. The RTSP applications send by multicast, so the machine needs a route for 224.0.0.0/4.
A table of what each application printed stands at the end of the run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ..rtsp import recording, rtsp_server
from .running import Apps

TABLE: list[tuple[str, str, str]] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TABLE:
        terminalreporter.section("applications")
        terminalreporter.write_line("| application | command | what it did |\n|---|---|---|")
        for row in TABLE:
            terminalreporter.write_line("| " + " | ".join(row) + " |")


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Apps:
    clone = os.environ.get("MILLRACE_PYTHON_APPS")
    if not clone:
        pytest.skip("MILLRACE_PYTHON_APPS does not name a clone of deepstream_python_apps")
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "MILLRACE_HOME": str(home)}
    install = [sys.executable, "-m", "millrace.app.cli", "samples", "install"]
    subprocess.run(install, env=environment, check=True, stdout=subprocess.DEVNULL)
    sources = home / "deepstream" / "sources" / "deepstream_python_apps"
    shutil.copytree(clone, sources, ignore=shutil.ignore_patterns(".git", "3rdparty"))
    return Apps(sources, home / "deepstream" / "samples" / "streams", environment, TABLE)


@pytest.fixture(scope="session")
def rtsp_out(apps: Apps) -> None:
    """The way out of the RTSP applications: a multicast group on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.sendto(b"", ("224.224.255.255", 5401))
        except OSError:
            pytest.skip("no route for multicast (ip route add 224.0.0.0/4 dev lo)")


@pytest.fixture(scope="session")
def cameras(apps: Apps, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Four RTSP streams of the sample street, ten frames a second each."""
    clip = tmp_path_factory.mktemp("camera") / "street.mp4"
    description = (
        f"filesrc location={apps.streams / 'sample_qHD.mp4'} ! qtdemux ! h264parse ! avdec_h264 ! videorate ! "
        "video/x-raw,framerate=10/1 ! x264enc speed-preset=veryfast key-int-max=10 bitrate=2000 ! h264parse ! mp4mux ! "
        f"filesink location={clip}"
    )
    subprocess.run(["gst-launch-1.0", "-q", *description.split()], check=True, timeout=120)
    with rtsp_server(recording(clip), count=4) as uris:
        yield uris
