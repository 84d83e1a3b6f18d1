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
from typing import Any, BinaryIO

from ..errors import ModelError
from .modelfile import external_files

log = logging.getLogger("millrace.infer")

MAGIC = b"MILLRACE ENGINE 1\n"
_LENGTH = struct.Struct("<I")
_WORDS = {
    "model": "the model", "settings": "the settings", "library": "the library", "processor": "the processor",
    "calibration": "the calibration cache",
}  # fmt: skip


@dataclass(frozen=True)
class Fingerprint:
    """What a compiled engine depends on.

    Attributes:
        model: hash of the model's files; empty when they are gone: then any fits, with any calibration cache.
        settings: all that was asked for, as text.
        library: name and version.
        processor: name and instruction sets.
        calibration: hash of the INT8 calibration cache that was used, or empty.
    """

    model: str
    settings: str
    library: str
    processor: str
    calibration: str = ""

    def differences(self, other: Fingerprint) -> list[str]:
        """In words, what is not the same."""
        keys = [key for key in _WORDS if self.model or key not in ("model", "calibration")]
        return [_WORDS[key] for key in keys if getattr(self, key) != getattr(other, key)]


@dataclass(frozen=True)
class Header:
    """What a file of a compiled engine says about it.

    Attributes:
        fingerprint: what it depends on.
        notes: of the engine that wrote it: names, precision, how it was asked for.
        size: of the compiled network, bytes.
        digest: SHA-256 of it; empty in files of versions that did not write it.
    """

    fingerprint: Fingerprint
    notes: dict[str, Any]
    size: int
    digest: str = ""


def hash_model(model: Path) -> str:
    """SHA-256 of a model file and of the files with its weights."""
    digest = hashlib.sha256()
    names_files = _hash_into(digest, model, b"location")  # an ONNX model with such a word may have weights elsewhere
    if model.suffix.lower() != ".onnx":
        beside = [model.with_suffix(".bin")]
    else:
        beside = external_files(model) if names_files else []
    for path in beside:
        if path.is_file():
            _hash_into(digest, path)
    return digest.hexdigest()


def _hash_into(digest: Any, path: Path, word: bytes = b"") -> bool:
    """Add a file to a digest; whether ``word`` is somewhere in it."""
    found, before = False, b""
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            found = found or (bool(word) and word in before[-len(word) :] + chunk)
            before = chunk
    return found


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
    what = "rebuilding engine" if wanted.model else "engine"
    try:
        with path.open("rb") as file:
            header = _read_header(file)
            if header is None:
                log.warning("%s is not an engine of this program: it is left alone and the model is used", path)
                return None
            blob = file.read()
        if len(blob) != header.size:
            log.warning("%s %s: the file is cut short", what, path)
            return None
        if not header.digest:
            log.warning("%s %s: it was written by an older version", what, path)
            return None
        if hashlib.sha256(blob).hexdigest() != header.digest:
            log.warning("%s %s: the file is damaged (its checksum differs)", what, path)
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("engine %s cannot be read (%s): compiling the model", path, error.strerror)
        return None
    except (ValueError, KeyError, TypeError, struct.error):
        log.warning("%s %s: its header is damaged", what, path)
        return None
    notes, found = header.notes, header.fingerprint
    different = wanted.differences(found)
    if different:
        verb = "has" if len(different) == 1 and different[0] != "the settings" else "have"
        log.warning("%s %s: %s %s changed", what, path, " and ".join(different), verb)
        return None
    return blob, notes


def _read_header(file: BinaryIO) -> Header | None:
    if file.read(len(MAGIC)) != MAGIC:
        return None
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    values = json.loads(file.read(length))
    digest = str(values.get("digest", ""))
    return Header(Fingerprint(**values["fingerprint"]), dict(values["notes"]), int(values["size"]), digest)


def read_header(path: Path) -> Header | None:
    """What an engine file says about itself, or None when it is not ours.

    Raises:
        ModelError: the file cannot be read, or its header is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read_header(file)
    except FileNotFoundError:
        raise ModelError(f"no such engine: {path}") from None
    except OSError as error:
        raise ModelError(f"engine {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, struct.error):
        raise ModelError(f"engine {path}: its header is damaged; build it again") from None


def batch_of(path: Path) -> int:
    """The greatest batch that an engine file was built for; 0 where that is not known."""
    try:
        header = read_header(path)
        return int(header.notes["spec"]["batch_size"]) if header is not None else 0
    except (ModelError, KeyError, TypeError, ValueError):
        return 0


def is_whole(path: Path) -> bool:
    """Whether a compiled network is as it was written, by its size and checksum."""
    try:
        with path.open("rb") as file:
            header = _read_header(file)
            blob = file.read()
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return False
    return header is not None and len(blob) == header.size and hashlib.sha256(blob).hexdigest() == header.digest


def store(path: Path, fingerprint: Fingerprint, blob: bytes, notes: dict[str, Any]) -> bool:
    """Write an engine with some notes (JSON), all or nothing; False, and a line in the log, when it cannot be."""
    if path.exists() and not is_ours(path):
        return False
    digest = hashlib.sha256(blob).hexdigest()
    values = {"fingerprint": fingerprint.__dict__, "size": len(blob), "digest": digest, "notes": notes}
    header = json.dumps(values).encode()
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
