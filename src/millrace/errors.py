"""Errors that a Millrace user sees: one line that names the file, line or stream, and the mend."""

from __future__ import annotations

from pathlib import Path


class MillraceError(Exception):
    """Base of all errors raised on purpose; ``str(error)`` is one complete line."""


class ConfigError(MillraceError):
    """A configuration file or property is wrong.

    Args:
        message: what is wrong and how to mend it.
        file: the configuration file, when one is involved.
        line: 1-based line in ``file``.
    """

    def __init__(self, message: str, file: str | Path | None = None, line: int | None = None) -> None:
        self.file = str(file) if file is not None else None
        self.line = line
        where = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
        super().__init__(f"{where}{message}")


class ModelError(MillraceError):
    """A model or engine file is missing, unreadable or does not fit its configuration."""


class MediaError(MillraceError):
    """A video, picture, camera or stream cannot be read or written."""
