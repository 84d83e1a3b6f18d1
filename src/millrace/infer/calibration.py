"""Calibration caches in TensorRT's text form: for each tensor the step of its INT8 scale.

The first line names the writer, as ``TRT-8601-EntropyCalibration2``; every other line is ``tensor: 3c010a14``, the
float32 step as eight hexadecimal digits, most significant first. A tensor's range is -127 to 127 steps.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError

# TensorRT takes a cache only with the name of one of its own algorithms in front.
HEADER = "TRT-8601-EntropyCalibration2"
_HEX = re.compile(r"[0-9a-fA-F]{8}\Z")


@dataclass(frozen=True)
class CalibrationTable:
    """Steps of tensors.

    Attributes:
        scales: tensor name to the size of one INT8 step, in the tensor's own unit; greater than 0.
        header: first line of the file.
    """

    scales: Mapping[str, float]
    header: str = HEADER

    def ranges(self) -> dict[str, float]:
        """Tensor name to the greatest magnitude that INT8 can hold: 127 steps."""
        return {name: 127.0 * scale for name, scale in self.scales.items()}

    def text(self) -> str:
        """The file's content."""
        lines = [self.header]
        lines += [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in self.scales.items()]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            path.write_text(self.text(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write the calibration cache: {error.strerror}", path) from None


def read_calibration(path: Path) -> CalibrationTable:
    """Read a calibration cache; a step of zero (a tensor that was always zero) is left out.

    Raises:
        ConfigError: the file is missing or is not a calibration cache; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no such calibration cache: {path}") from None
    except OSError as error:
        raise ConfigError(f"the calibration cache cannot be read: {error.strerror}", path) from None
    except UnicodeDecodeError:
        raise ConfigError("not a calibration cache: it is not text", path) from None
    lines = text.splitlines()
    if not lines or not lines[0].startswith("TRT-"):
        raise ConfigError(f"not a calibration cache: the first line must be like {HEADER}", path, 1)
    scales: dict[str, float] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        name, colon, value = line.rpartition(":")
        value = value.strip()
        if not colon or not name.strip() or not _HEX.match(value):
            raise ConfigError(f"{line.strip()[:80]!r}: it must be 'tensor: 8 hexadecimal digits'", path, number)
        scale = struct.unpack(">f", bytes.fromhex(value))[0]
        if not math.isfinite(scale) or scale < 0:
            raise ConfigError(f"{name.strip()}: {value} is {scale}, which is no step of a scale", path, number)
        if scale > 0:
            scales[name.strip()] = scale
    return CalibrationTable(scales, lines[0].strip())


def hash_calibration(path: Path | None) -> str:
    """SHA-256 of a cache's content, or an empty string where there is none to read."""
    try:
        return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
