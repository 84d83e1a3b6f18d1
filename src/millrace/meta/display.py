"""``NvDsDisplayMeta``: up to 16 boxes, texts, lines, arrows and circles to draw on a frame."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import c_int64, c_uint
from typing import Any, overload

from .base import MAX_RESERVED_FIELDS, MAX_USER_FIELDS, BatchState, Meta
from .enums import NvDsMetaType
from .fields import Struct, array_field
from .osd_params import (
    NvOSD_ArrowParams,
    NvOSD_CircleParams,
    NvOSD_LineParams,
    NvOSD_RectParams,
    NvOSD_TextParams,
    copy_struct,
)

MAX_ELEMENTS_IN_DISPLAY_META = 16


class Sixteen:
    """A fixed list of 16 parameter structures, each made when it is first asked for."""

    __slots__ = ("_kind", "_made")

    def __init__(self, kind: type[Struct]) -> None:
        self._kind = kind
        self._made: list[Any] = [None] * MAX_ELEMENTS_IN_DISPLAY_META

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        try:
            found = self._made[index]
        except IndexError:
            raise IndexError(
                f"a display meta holds {MAX_ELEMENTS_IN_DISPLAY_META} {self._kind.__name__}, "
                f"there is no number {index}: acquire another display meta for more"
            ) from None
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(MAX_ELEMENTS_IN_DISPLAY_META))]
        if found is None:
            found = self._made[index] = self._kind()
        return found

    def __len__(self) -> int:
        return MAX_ELEMENTS_IN_DISPLAY_META

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def duplicate(self) -> Sixteen:
        """A deep copy."""
        copy = Sixteen(self._kind)
        for index, made in enumerate(self._made):
            if made is not None:
                text = isinstance(made, NvOSD_TextParams)
                copy._made[index] = made.duplicate() if text else self._kind.from_buffer_copy(made)
        return copy


_KINDS: dict[str, type[Struct]] = {
    "_rects": NvOSD_RectParams,
    "_texts": NvOSD_TextParams,
    "_lines": NvOSD_LineParams,
    "_arrows": NvOSD_ArrowParams,
    "_circles": NvOSD_CircleParams,
}


def _sixteen(slot: str, what: str) -> Any:
    def load(self: Any) -> Sixteen:
        items: Sixteen | None = getattr(self, slot)
        if items is None:
            items = Sixteen(_KINDS[slot])
            setattr(self, slot, items)
        return items

    return property(load, doc=f"The 16 {what}; the first ``num_*`` of them are drawn.")


class NvDsDisplayMeta(Meta):
    """Shapes to draw on a frame: the first ``num_rects`` of ``rect_params`` and so on; 16 of each at most."""

    __slots__ = ("_rects", "_texts", "_lines", "_arrows", "_circles")
    _fields_ = (
        ("num_rects", c_uint),
        ("num_labels", c_uint),
        ("num_lines", c_uint),
        ("num_arrows", c_uint),
        ("num_circles", c_uint),
        ("_misc_osd_data", c_int64 * MAX_USER_FIELDS),
        ("_reserved", c_int64 * MAX_RESERVED_FIELDS),
    )
    _meta_type = NvDsMetaType.NVDS_DISPLAY_META
    num_rects: int
    num_labels: int
    num_lines: int
    num_arrows: int
    num_circles: int
    rect_params: Any = _sixteen("_rects", "boxes")
    text_params: Any = _sixteen("_texts", "texts")
    line_params: Any = _sixteen("_lines", "lines")
    arrow_params: Any = _sixteen("_arrows", "arrows")
    circle_params: Any = _sixteen("_circles", "circles")
    misc_osd_data: Any = array_field("misc_osd_data", "int64")
    reserved: Any = array_field("reserved", "int64")

    def __init__(self) -> None:
        self._state = None
        self._base = None
        self._rects: Sixteen | None = None
        self._texts: Sixteen | None = None
        self._lines: Sixteen | None = None
        self._arrows: Sixteen | None = None
        self._circles: Sixteen | None = None

    def duplicate(self, state: BatchState | None = None) -> NvDsDisplayMeta:
        """A deep copy for another batch."""
        copy = NvDsDisplayMeta()
        copy_struct(self, copy)
        copy._state = self._state if state is None else state
        for slot in _KINDS:
            items = getattr(self, slot)
            if items is not None:
                setattr(copy, slot, items.duplicate())
        return copy
