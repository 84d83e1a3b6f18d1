"""Parse functions of one's own in ``custom-lib-path``: a Python file or module or a C++ library in DeepStream's ABI."""

from __future__ import annotations

from pathlib import Path

from .choose import custom_function
from .objects import DescribedClassification, DetectedObject

__all__ = ["DescribedClassification", "DetectedObject", "custom_function", "include_dir"]


def include_dir() -> Path:
    """The folder with ``nvdsinfer.h`` and ``nvdsinfer_custom_impl.h``, for a compiler's ``-I``."""
    return Path(__file__).resolve().parents[2] / "include"
