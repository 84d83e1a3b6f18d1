"""Millrace's GStreamer elements, named as DeepStream names them."""

from __future__ import annotations

from .registry import register

__all__ = ["register"]
