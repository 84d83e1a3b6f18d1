"""Compiled engines on disk, with a fingerprint of all that they depend on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import struct
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

log = logging.getLogger("millrace.infer")

MAGIC = b"MILLRACE ENGINE 1\n"
_LENGTH = struct.Struct("<I")
_WORDS = {"model": "the model", "settings": "the settings", "library": "the library", "processor": "the processor"}


@dataclass(frozen=True)
class Fingerprint:
    """What a compiled engine depends on.

    Attributes:
        model: hash of the model's files.
        settings: all that was asked for, as text.
        library: name and version.
        processor: name and instruction sets.
    """

    model: str
    settings: str
    library: str
    processor: str

    def differences(self, other: Fingerprint) -> list[str]:
        """In words, what is not the same."""
        return [words for key, words in _WORDS.items() if getattr(self, key) != getattr(other, key)]


def hash_model(model: Path) -> str:
    """SHA-256 of a model file and of the weights beside it."""
    digest = hashlib.sha256()
    beside = (model.with_suffix(".bin"), Path(f"{model}.data"), Path(f"{model}_data"))
    for path in (model, *(p for p in beside if p.is_file())):
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def processor() -> str:
    """Name and a digest of the instruction sets of this machine's processor, and how many cores may be used."""
    name, flags = platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = " ".join(sorted(value.split()))
                break
    except OSError:
        pass
    return f"{name}, {hashlib.sha256(flags.encode()).hexdigest()[:12]}, {len(os.sched_getaffinity(0))} cores"


def load(path: Path, wanted: Fingerprint) -> tuple[bytes, dict[str, Any]] | None:
    """The compiled engine in a file and its notes, when it is ours and fits; else None, with one line that says why."""
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
            if head != MAGIC:
                log.warning("%s is not an engine of this program: it is left alone and the model is used", path)
                return None
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            header = json.loads(file.read(length))
            found = Fingerprint(**header["fingerprint"])
            notes, size = dict(header["notes"]), int(header["size"])
            blob = file.read()
        if len(blob) != size:
            log.warning("rebuilding engine %s: the file is cut short", path)
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("engine %s cannot be read (%s): compiling the model", path, error.strerror)
        return None
    except (ValueError, KeyError, TypeError, struct.error):
        log.warning("rebuilding engine %s: its header is damaged", path)
        return None
    different = wanted.differences(found)
    if different:
        verb = "has" if len(different) == 1 and different[0] != "the settings" else "have"
        log.warning("rebuilding engine %s: %s %s changed", path, " and ".join(different), verb)
        return None
    return blob, notes


def store(path: Path, fingerprint: Fingerprint, blob: bytes, notes: dict[str, Any]) -> bool:
    """Write an engine with some notes (JSON), all or nothing; False, and a line in the log, when it cannot be."""
    if path.exists() and not is_ours(path):
        return False
    header = json.dumps({"fingerprint": fingerprint.__dict__, "size": len(blob), "notes": notes}).encode()
    temporary: str | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(MAGIC + _LENGTH.pack(len(header)) + header)
            file.write(blob)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        log.warning("engine %s cannot be written (%s): it is compiled again next time", path, error.strerror)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        return False
    log.info("engine written to %s (%.1f MB)", path, len(blob) / 1e6)
    return True


def is_ours(path: Path) -> bool:
    """Whether a file is an engine written by :func:`store`."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
