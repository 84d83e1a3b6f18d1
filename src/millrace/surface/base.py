"""The surface interface: one picture, wherever its memory is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from millrace.surface.formats import Colorimetry, Plane
from millrace.surface.rect import Rect
from millrace.surface.system import Memory


class Surface(ABC):
    """One picture; coordinates are pixels from the top left. Call :meth:`writable` before writing."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Width in pixels."""

    @property
    @abstractmethod
    def height(self) -> int:
        """Height in pixels."""

    @property
    @abstractmethod
    def format(self) -> str:
        """One of :data:`millrace.surface.FORMATS`."""

    @property
    @abstractmethod
    def colorimetry(self) -> Colorimetry:
        """What YUV values mean; for RGB formats, what they meant before and will mean when converted back."""

    @property
    @abstractmethod
    def memory(self) -> str:
        """Where the pixels are: ``"host"`` or ``"cuda"``."""

    @abstractmethod
    def convert(
        self,
        format: str | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: Rect | None = None,
        interpolation: str | int = "bilinear",
        colorimetry: Colorimetry | None = None,
    ) -> Surface:
        """The picture (or its part ``crop``, rounded to whole pixels and clipped) in another format or size.

        Sizes default to the crop's. Returns ``self`` when nothing changes, a new surface otherwise.

        Raises:
            MediaError: the format, size or interpolation is not possible.
        """

    @abstractmethod
    def paste(
        self, src: Surface, dst: Rect, src_rect: Rect | None = None, interpolation: str | int = "bilinear"
    ) -> None:
        """Copy ``src`` (or its part ``src_rect``), scaled and colour-converted, onto ``dst`` of this surface.

        What lies outside this surface is left out; alpha is copied, not blended.
        """

    @abstractmethod
    def flip(self, method: int) -> Surface:
        """The picture turned or mirrored, in a new surface (``self`` for 0).

        Args:
            method: nvvideoconvert's ``flip-method``: 1 a quarter turn counterclockwise, 2 a half turn, 3 a quarter turn
                clockwise, 4 left to right, 5 across the upper right diagonal, 6 upside down, 7 across the upper left
                diagonal. Odd numbers swap width and height.

        Raises:
            MediaError: no such method.
        """

    @abstractmethod
    def fill(self, r: float, g: float, b: float, a: float = 1.0) -> None:
        """Set every pixel to one colour, channels 0..1."""

    @abstractmethod
    def copy(self) -> Surface:
        """A private copy of the pixels."""

    @abstractmethod
    def share(self) -> Surface:
        """A copy-on-write twin: the same pixels until one of the two calls :meth:`writable`."""

    @abstractmethod
    def writable(self) -> Surface:
        """This surface when nobody shares its pixels, a private copy otherwise."""

    @abstractmethod
    def download(self, dst: Memory, strides: Sequence[int], offsets: Sequence[int], format: str | None = None) -> None:
        """Write the planes into system memory; strides and offsets in bytes, one per plane.

        ``format`` may name another GStreamer format (I420, YV12, NV21, YUY2, ...), default the surface's own.

        Raises:
            MediaError: the memory is too small or read-only, or the format cannot be written.
        """

    @abstractmethod
    def to_rgb(self, out: Plane | None = None, bgr: bool = False) -> Plane:
        """The picture as uint8 HxWx3 in RGB (or BGR) order, written into ``out`` when given."""

    @abstractmethod
    def array(self) -> Any:
        """Host view of the pixels, no copy where memory is the host's.

        Packed formats: uint8 HxWxC. GRAY8: HxW. NV12: ``[Y HxW, UV hxwx2]``. I420: ``[Y, U, V]``.
        """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.width}x{self.height} {self.format} {self.memory}>"
