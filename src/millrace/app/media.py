"""Inputs of ``millrace pose``: what a word on the command line names, as a URI or a camera."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from millrace.errors import MediaError
from millrace.paths import map_path

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True)
class Input:
    """One stream.

    Attributes:
        name: as the user wrote it; unique in a run, so the second ``a.mp4`` is ``a.mp4#2``.
        uri: what ``nvurisrcbin`` opens; empty for a camera.
        device: ``/dev/video0`` and the like; empty for anything else.
    """

    name: str
    uri: str = ""
    device: str = ""

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace."""
        return bool(self.device) or self.uri.startswith(("rtsp://", "rtsps://", "udp://", "srt://"))

    @property
    def picture(self) -> bool:
        """Whether the name says that this is one picture."""
        return Path(urlsplit(self.uri).path).suffix.lower() in PICTURES


def _check_file(path: Path, shown: str) -> str:
    if path.is_dir():
        raise MediaError(f"stream {shown}: this is a folder; name a video or picture in it")
    if not path.exists():
        raise MediaError(f"stream {shown}: no such file")
    if not os.access(path, os.R_OK):
        raise MediaError(f"stream {shown}: no permission to read the file")
    if path.stat().st_size == 0:
        raise MediaError(f"stream {shown}: the file is empty")
    return path.resolve().as_uri()


def parse_input(word: str, name: str | None = None) -> Input:
    """What ``word`` names.

    Args:
        word: a file, a URI (``file``, ``rtsp``, ``http`` and what else GStreamer opens) or a camera's device.
        name: name of the stream when it is not to be ``word``.

    Raises:
        MediaError: a file that is missing, empty, unreadable or a folder, or a camera that is missing.
    """
    shown = name or word
    if word.startswith("/dev/"):
        if not os.path.exists(word):
            raise MediaError(f"stream {shown}: there is no such camera; see which there are: ls /dev/video*")
        return Input(shown, device=word)
    parts = urlsplit(word)
    if parts.scheme == "file":
        return Input(shown, uri=_check_file(Path(map_path(unquote(parts.path))), shown))
    if "://" in word:
        if not parts.netloc:
            raise MediaError(f"stream {shown}: the address has no host")
        return Input(shown, uri=word)
    return Input(shown, uri=_check_file(Path(map_path(word)).expanduser(), shown))


def parse_inputs(words: list[str]) -> tuple[list[Input], list[MediaError]]:
    """All inputs that can be opened, and one error for each that cannot."""
    inputs: list[Input] = []
    errors: list[MediaError] = []
    seen: dict[str, int] = {}
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        name = word if seen[word] == 1 else f"{word}#{seen[word]}"
        try:
            inputs.append(parse_input(word, name))
        except MediaError as error:
            errors.append(error)
    return inputs, errors
