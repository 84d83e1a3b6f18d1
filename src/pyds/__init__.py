"""DeepStream's Python bindings on Millrace: importing it makes GStreamer ready and registers the elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.elements import register
from millrace.meta import api as _api
from millrace.meta.api import __version__

register()
globals().update(_api.NAMES)

__all__ = ["__version__", *_api.__all__]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
