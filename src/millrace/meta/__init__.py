"""DeepStream's metadata model: the classes and functions that ``pyds`` re-exports."""

from __future__ import annotations
