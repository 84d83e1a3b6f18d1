"""Where DeepStream's own files are: the real installation, or Millrace's folder that stands for it.

Applications name files below ``/opt/nvidia/deepstream/deepstream`` (models, streams, tracker libraries). Where that
folder is missing, :func:`map_path` answers with the same place below Millrace's folder, which is
``$MILLRACE_HOME/deepstream`` or ``~/.local/share/millrace/deepstream``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .placeholders import write_placeholders

# /opt/nvidia/deepstream/deepstream is a link to a versioned folder; documents and applications use both names
_DEEPSTREAM = re.compile(r"^(file://)?(/opt/nvidia/deepstream/deepstream(?:-[0-9.]+)?)(?=/|$)")
_REAL_ROOT = "/opt/nvidia/deepstream"
_FOLDERS = ("lib", "samples/models", "samples/streams", "samples/configs")


def home() -> Path:
    """Millrace's folder of the user's data: ``$MILLRACE_HOME``, or ``millrace`` below XDG's data folder."""
    named = os.environ.get("MILLRACE_HOME")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "millrace"


def cache_dir() -> Path:
    """Folder for what can be made again (engines, GStreamer's registry): ``millrace`` in XDG's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "millrace"


def deepstream_root() -> Path:
    """The folder that stands for ``/opt/nvidia/deepstream/deepstream`` where that is missing."""
    return home() / "deepstream"


def map_path(path: str) -> str:
    """Answer with the place of a DeepStream file on this machine.

    Args:
        path: a path or a ``file://`` URI; anything not below ``/opt/nvidia/deepstream/deepstream`` (or the folder with
            a version in its name) comes back as it is, and so does everything where a real DeepStream is installed.

    Returns:
        The mapped path or URI, whether something exists there or not.
    """
    match = _DEEPSTREAM.match(path)
    if match is None or os.path.lexists(_REAL_ROOT):
        return path
    return f"{match.group(1) or ''}{deepstream_root()}{path[match.end() :]}"


def make_tree() -> Path:
    """Make the folders and files applications expect below :func:`deepstream_root`; returns that folder."""
    root = deepstream_root()
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_placeholders(root)
    return root
