"""``Batch``: what rides on a buffer, surfaces and metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from .frame import NvDsBatchMeta, NvDsFrameMeta

if TYPE_CHECKING:
    from ..surface import Surface


class Batch:
    """The surfaces and the metadata of one buffer.

    Args:
        surfaces: the pictures; ``frame_meta.batch_id`` is the index of a frame's picture.
        meta: their metadata, or ``None`` when the buffer has none.

    The batch lives as long as its buffer: when it goes, :meth:`release` runs.
    """

    __slots__ = ("surfaces", "meta", "extra", "_released", "__weakref__")

    def __init__(self, surfaces: list[Surface] | None = None, meta: NvDsBatchMeta | None = None) -> None:
        self.surfaces: list[Surface] = list(surfaces) if surfaces is not None else []
        self.meta = meta
        if meta is not None:
            meta._state.on_buffer = True
        #: Room for an element's own data that goes along with the buffer; shared by copies.
        self.extra: dict[str, Any] | None = None
        self._released = False

    @property
    def released(self) -> bool:
        """Whether :meth:`release` ran."""
        return self._released

    def surface_of(self, frame: NvDsFrameMeta) -> Surface:
        """The picture of a frame.

        Raises:
            MediaError: its ``batch_id`` names no picture.
        """
        index = frame.batch_id
        if index >= len(self.surfaces):
            raise MediaError(
                f"frame {frame.frame_num} of source {frame.source_id} has batch_id {index}, but the buffer has "
                f"{len(self.surfaces)} pictures; leave batch_id as nvstreammux set it"
            )
        return self.surfaces[index]

    def deep_copy(self) -> Batch:
        """A batch with the same pictures (shared until one side writes) and metadata of its own.

        User metadata is copied by its copy functions.
        """
        copy = Batch([surface.share() for surface in self.surfaces])
        if self.meta is not None:
            copy.meta = self.meta.duplicate()
            copy.meta._state.on_buffer = True
        copy.extra = self.extra
        return copy

    def release(self) -> None:
        """The buffer has gone: call all release functions, once, and mark the metadata as stale.

        Objects that the application kept can still be read; their addresses no longer cast.
        """
        if self._released:
            return
        self._released = True
        if self.meta is not None:
            self.meta.release()
        self.surfaces = []

    def __del__(self) -> None:
        if not getattr(self, "_released", True):
            self.release()

    def __repr__(self) -> str:
        return f"<Batch surfaces={len(self.surfaces)} meta={self.meta!r}>"
