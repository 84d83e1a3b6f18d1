"""Millrace's elements, ready in this process, or one line that says what is missing."""

from __future__ import annotations

from millrace.errors import MillraceError
from millrace.unwind import prefer_libgcc


def register_elements() -> None:
    """Initialise GStreamer and register Millrace's elements.

    Raises:
        MillraceError: GStreamer's Python bindings are missing; the message names the packages.
    """
    prefer_libgcc()
    try:
        from millrace import elements

        elements.register()
    except ImportError as error:
        if error.name and error.name.startswith("millrace"):
            raise
        raise MillraceError(str(error)) from None
