"""What all metadata of a batch shares: the batch's state, its lock, ``base_meta`` and the pools."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from .enums import NvDsMetaType
from .fields import Castable, Struct

if TYPE_CHECKING:
    from .frame import NvDsBatchMeta

MAX_USER_FIELDS = 4
MAX_RESERVED_FIELDS = 4
UNTRACKED_OBJECT_ID = 0xFFFFFFFFFFFFFFFF


class BatchState:
    """What the metadata of one batch has in common; metadata refers to it, not to the batch: no cycles."""

    __slots__ = ("released", "lock", "batch_ref", "__weakref__")

    def __init__(self, batch_meta: NvDsBatchMeta) -> None:
        self.released = False
        self.lock = threading.RLock()
        self.batch_ref = weakref.ref(batch_meta)


class NvDsBaseMeta(Castable):
    """What all metadata has: type and batch; for user metadata also the copy and release functions."""

    __slots__ = ("_meta_type", "_state", "uContext", "copy_func", "release_func", "_address", "__weakref__")

    def __init__(self) -> None:
        self._meta_type: Any = NvDsMetaType.NVDS_INVALID_META
        self._state: BatchState | None = None
        self.uContext: Any = None
        self.copy_func: Any = None
        self.release_func: Any = None

    @property
    def meta_type(self) -> Any:
        """The :class:`NvDsMetaType`; an unnamed one for user types."""
        return self._meta_type

    @meta_type.setter
    def meta_type(self, value: Any) -> None:
        if not isinstance(value, int):
            raise TypeError(f"NvDsBaseMeta.meta_type needs a NvDsMetaType, got {type(value).__name__}")
        self._meta_type = NvDsMetaType(value)

    @property
    def batch_meta(self) -> NvDsBatchMeta | None:
        """The batch that this metadata belongs to; ``None`` when it has gone."""
        return self._state.batch_ref() if self._state is not None else None

    @batch_meta.setter
    def batch_meta(self, batch_meta: NvDsBatchMeta | None) -> None:
        self._state = batch_meta._state if batch_meta is not None else None


class Meta(Struct):
    """Base of the metadata classes that live in a batch."""

    __slots__ = ("_state", "_base")
    _meta_type = NvDsMetaType.NVDS_INVALID_META

    _state: BatchState | None
    _base: NvDsBaseMeta | None

    @property
    def base_meta(self) -> NvDsBaseMeta:
        """Type, batch and functions of this metadata."""
        base = self._base
        if base is None:
            base = self._base = NvDsBaseMeta()
            base._meta_type = self._meta_type
            base._state = self._state
        return base

    @base_meta.setter
    def base_meta(self, base: NvDsBaseMeta) -> None:
        if not isinstance(base, NvDsBaseMeta):
            raise TypeError(f"{type(self).__name__}.base_meta needs a NvDsBaseMeta, got {base!r:.40}")
        mine = self.base_meta
        mine.meta_type = base.meta_type
        mine.uContext = base.uContext
        mine.copy_func = base.copy_func
        mine.release_func = base.release_func


class NvDsMetaPool(Castable):
    """A pool of metadata; it allocates as needed and is never empty, the counts say what is in use."""

    __slots__ = ("meta_type", "max_elements_in_pool", "element_size", "num_empty_elements",
                 "num_full_elements", "empty_list", "full_list", "_address", "__weakref__")  # fmt: skip

    def __init__(self, meta_type: Any = NvDsMetaType.NVDS_INVALID_META, element_size: int = 0) -> None:
        self.meta_type = meta_type
        self.max_elements_in_pool = 0
        self.element_size = element_size
        self.num_empty_elements = 0
        self.num_full_elements = 0
        self.empty_list: Any = None
        self.full_list: Any = None
