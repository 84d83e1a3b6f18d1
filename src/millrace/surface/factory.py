"""Makes surfaces without naming where their memory is: elements call these."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.surface.base import Surface
from millrace.surface.formats import Colorimetry
from millrace.surface.host import HostSurface
from millrace.surface.system import Memory


def allocate(width: int, height: int, fmt: str, colorimetry: Colorimetry, like: Surface | None = None) -> Surface:
    """A new surface whose pixels are not set, in the same memory as ``like`` (the host's without one).

    Raises:
        MediaError: the format or size is not possible.
    """
    return HostSurface.allocate(width, height, fmt, colorimetry)


def upload(
    src: Memory,
    width: int,
    height: int,
    fmt: str,
    strides: Sequence[int],
    offsets: Sequence[int],
    colorimetry: Colorimetry,
    as_format: str | None = None,
) -> Surface:
    """A surface with a picture copied from system memory; see :meth:`HostSurface.upload`."""
    return HostSurface.upload(src, width, height, fmt, strides, offsets, colorimetry, as_format)
