"""The environment in which GStreamer's tools and any Python find Millrace's elements and ``pyds``."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import millrace
from millrace.paths import cache_dir

_PACKAGE = Path(millrace.__file__).resolve().parent
PLUGIN_DIR = _PACKAGE / "elements" / "plugin"
_KEPT_REGISTRIES = 4


def _prepend(value: str | None, *entries: str) -> str:
    """``entries`` before the entries of the path list ``value``, each one once."""
    rest = [entry for entry in (value or "").split(os.pathsep) if entry and entry not in entries]
    return os.pathsep.join([*dict.fromkeys(entries), *rest])


def _registry(search_path: str) -> Path:
    """GStreamer's registry file for this state of the elements.

    GStreamer looks again at Python plugins only when a file in the plugin folder changes; a registry named after the
    elements' source files is therefore never out of date.
    """
    digest = hashlib.sha256(f"{sys.version}{search_path}".encode())
    for file in sorted(_PACKAGE.joinpath("elements").rglob("*.py")):
        stat = file.stat()
        digest.update(f"{file}{stat.st_mtime_ns}{stat.st_size}".encode())
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    registry = folder / f"gst-registry-{digest.hexdigest()[:16]}.bin"
    others = [file for file in folder.glob("gst-registry-*.bin") if file != registry]
    for old in sorted(others, key=lambda file: file.stat().st_mtime, reverse=True)[_KEPT_REGISTRIES - 1 :]:
        old.unlink(missing_ok=True)
    return registry


def variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables to export, computed on top of ``environ``; doing it twice changes nothing.

    Returns:
        ``PATH`` (the commands of this installation first), ``PYTHONPATH`` (the interpreter inside GStreamer's Python
        plugin loader knows no virtual environment), ``GST_PLUGIN_PATH`` and ``GST_REGISTRY``.
    """
    packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    plugin_path = _prepend(environ.get("GST_PLUGIN_PATH"), str(PLUGIN_DIR))
    found = {
        "PATH": _prepend(environ.get("PATH"), sysconfig.get_path("scripts")),
        "PYTHONPATH": _prepend(environ.get("PYTHONPATH"), str(_PACKAGE.parent), *packages),
        "GST_PLUGIN_PATH": plugin_path,
    }
    return {**found, "GST_REGISTRY": str(_registry(plugin_path))}


def export_lines() -> str:
    """Lines for ``eval "$(millrace env)"`` in a POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables().items())
