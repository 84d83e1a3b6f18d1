"""What all metadata of a batch shares: the batch's state, its lock, ``base_meta`` and the pools."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from .checked import INT, UINT, optional_slot, slot_field, whole, whole_slot
from .enums import NvDsMetaType
from .fields import Castable, Struct
from .glist import GList

if TYPE_CHECKING:
    from .frame import NvDsBatchMeta

MAX_USER_FIELDS = 4
MAX_RESERVED_FIELDS = 4
UNTRACKED_OBJECT_ID = 0xFFFFFFFFFFFFFFFF


class BatchState:
    """What the metadata of one batch has in common; metadata refers to it, not to the batch: no cycles."""

    __slots__ = ("released", "on_buffer", "lock", "batch_ref", "__weakref__")

    def __init__(self, batch_meta: NvDsBatchMeta) -> None:
        self.released = False
        self.on_buffer = False  # then it is released with the buffer
        self.lock = threading.RLock()
        self.batch_ref = weakref.ref(batch_meta)


def _meta_type(value: Any, what: str) -> Any:
    if not isinstance(value, int):
        raise TypeError(f"{what} needs a NvDsMetaType, got {type(value).__name__}")
    return NvDsMetaType(whole(value, what, INT))


def _function(value: Any, what: str) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{what} needs a function or None, got {type(value).__name__}")
    return value


class NvDsBaseMeta(Castable):
    """What all metadata has: type and batch; for user metadata also the copy and release functions."""

    __slots__ = ("_meta_type", "_state", "uContext", "_copy_func", "_release_func", "_address", "__weakref__")
    copy_func: Any = slot_field("copy_func", _function)
    release_func: Any = slot_field("release_func", _function)

    def __init__(self) -> None:
        self._meta_type: Any = NvDsMetaType.NVDS_INVALID_META
        self._state: BatchState | None = None
        self.uContext: Any = None
        self._copy_func: Any = None
        self._release_func: Any = None

    @property
    def meta_type(self) -> Any:
        """The :class:`NvDsMetaType`; an unnamed one for user types."""
        return self._meta_type

    @meta_type.setter
    def meta_type(self, value: Any) -> None:
        self._meta_type = _meta_type(value, "NvDsBaseMeta.meta_type")

    @property
    def batch_meta(self) -> NvDsBatchMeta | None:
        """The batch that this metadata belongs to; ``None`` when it has gone."""
        return self._state.batch_ref() if self._state is not None else None

    @batch_meta.setter
    def batch_meta(self, batch_meta: NvDsBatchMeta | None) -> None:
        state = getattr(batch_meta, "_state", None)
        if batch_meta is not None and (type(batch_meta).__name__ != "NvDsBatchMeta" or state is None):
            raise TypeError(f"NvDsBaseMeta.batch_meta needs a NvDsBatchMeta or None, got {type(batch_meta).__name__}")
        self._state = state


class Meta(Struct):
    """Base of the metadata classes that live in a batch."""

    __slots__ = ("_state", "_base", "_listed")  # _listed: whether it is in a list
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

    __slots__ = ("_meta_type", "_max_elements_in_pool", "_element_size", "_num_empty_elements",
                 "_num_full_elements", "_empty_list", "_full_list", "_address", "__weakref__")  # fmt: skip
    meta_type: Any = slot_field("meta_type", _meta_type)
    max_elements_in_pool: Any = whole_slot("max_elements_in_pool", UINT)
    element_size: Any = whole_slot("element_size", UINT)
    num_empty_elements: Any = whole_slot("num_empty_elements", UINT)
    num_full_elements: Any = whole_slot("num_full_elements", UINT)
    empty_list: Any = optional_slot("empty_list", GList)
    full_list: Any = optional_slot("full_list", GList)

    def __init__(self, meta_type: Any = NvDsMetaType.NVDS_INVALID_META, element_size: int = 0) -> None:
        self.meta_type = meta_type
        self.max_elements_in_pool = 0
        self.element_size = element_size
        self.num_empty_elements = 0
        self.num_full_elements = 0
        self.empty_list = None
        self.full_list = None
