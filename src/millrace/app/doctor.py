"""``millrace doctor``: what is needed, what is here, and the command that installs the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from dataclasses import dataclass

from millrace import __version__

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "openvino",
    "onnxruntime",
    "onnx",
    "pydantic",
    "PyYAML",
    "rich",
)
# an element that stands for the package it comes from
_ELEMENTS = {
    "videoconvert": "gstreamer1.0-plugins-base",
    "qtdemux": "gstreamer1.0-plugins-good",
    "rtspsrc": "gstreamer1.0-plugins-good",
    "h264parse": "gstreamer1.0-plugins-bad",
    "h265parse": "gstreamer1.0-plugins-bad",
    "x264enc": "gstreamer1.0-plugins-ugly",
    "x265enc": "gstreamer1.0-plugins-bad",
    "avdec_h264": "gstreamer1.0-libav",
    "avdec_h265": "gstreamer1.0-libav",
    "ximagesink": "gstreamer1.0-x",
}
_NAMESPACES = {
    "Gst": "gir1.2-gstreamer-1.0",
    "GstVideo": "gir1.2-gst-plugins-base-1.0",
    "GstRtspServer": "gir1.2-gst-rtsp-server-1.0",
}


@dataclass
class _Check:
    name: str
    found: str | None
    package: str = ""
    pip: str = ""


def _python_packages() -> list[_Check]:
    checks = []
    for name in _PACKAGES:
        try:
            found: str | None = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = None
        checks.append(_Check(f"Python package {name}", found, pip=name))
    return checks


def _gstreamer() -> list[_Check]:
    if importlib.util.find_spec("gi") is None:
        return [_Check("PyGObject", None, package="python3-gi python3-gst-1.0")]
    import gi

    checks = []
    for namespace, package in _NAMESPACES.items():
        try:
            gi.require_version(namespace, "1.0")
            checks.append(_Check(f"introspection of {namespace}", "1.0", package))
        except ValueError:
            checks.append(_Check(f"introspection of {namespace}", None, package))
    if checks[0].found is None:
        return checks
    from gi.repository import Gst

    Gst.init(None)
    checks.insert(0, _Check("GStreamer", Gst.version_string().removeprefix("GStreamer "), "gstreamer1.0-tools"))
    tool = shutil.which("gst-launch-1.0")
    checks.append(_Check("gst-launch-1.0", tool, "gstreamer1.0-tools"))
    for element, package in _ELEMENTS.items():
        factory = Gst.ElementFactory.find(element)
        checks.append(_Check(f"element {element}", factory.get_plugin_name() if factory else None, package))
    loader = Gst.Registry.get().find_plugin("python")
    checks.append(
        _Check(
            "Python plugin loader",
            loader.get_version() if loader else None,
            "gstreamer1.0-python3-plugin-loader",
        )
    )
    return checks


def run_doctor() -> int:
    """Print the list and the commands that install what is missing; returns 1 when something is."""
    print(f"millrace {__version__}, Python {sys.version.split()[0]} ({sys.executable})")
    checks = _python_packages() + _gstreamer()
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"  {'ok     ' if check.found else 'MISSING'} {check.name:<{width}}  {check.found or ''}".rstrip())
    packages = dict.fromkeys(check.package for check in checks if not check.found and check.package)
    wheels = [check.pip for check in checks if not check.found and check.pip]
    if packages:
        print(f"install with: apt-get install {' '.join(packages)}")
    if wheels:
        print(f"install with: {sys.executable} -m pip install {' '.join(wheels)}")
    if not packages and not wheels:
        print("nothing is missing")
    return 1 if packages or wheels else 0
