"""``GList``: the doubly linked list in which DeepStream keeps metadata."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from .fields import Castable


class GList(Castable):
    """One node of a list; ``None`` stands for the empty list and for the end.

    Attributes:
        data: the metadata; pass it to ``cast()`` of its class.
        next: the next node, or ``None`` at the end. A removed node keeps it, for a walk that is at it.
    """

    __slots__ = ("_data", "_next", "_prev", "_address", "__weakref__")

    def __init__(self, data: Any = None) -> None:
        self._data = data
        self._next: GList | None = None
        self._prev: weakref.ref[GList] | None = None

    def _set_data(self, data: Any) -> None:
        old = self._data
        if old is not None and type(data) is not type(old):
            kind = type(old).__name__
            raise TypeError(f"GList.data of a list of {kind} needs a {kind}, got {type(data).__name__}")
        self._data = data

    def _set_next(self, node: GList | None) -> None:
        after = node
        while after is not None:
            if not isinstance(after, GList):
                raise TypeError(f"GList.next needs a GList or None, got {type(after).__name__}")
            if after is self:
                raise ValueError("GList.next: the list would come back to this node and never end")
            after = after._next
        self._next = node

    data = property(attrgetter("_data"), _set_data)
    next = property(attrgetter("_next"), _set_next)

    @property
    def prev(self) -> GList | None:
        """The node before this one, or ``None`` at the start."""
        return self._prev() if self._prev is not None else None

    @prev.setter
    def prev(self, node: GList | None) -> None:
        if node is not None and not isinstance(node, GList):
            raise TypeError(f"GList.prev needs a GList or None, got {type(node).__name__}")
        self._prev = weakref.ref(node) if node is not None else None

    previous = prev

    def __repr__(self) -> str:
        return f"<GList of {type(self.data).__name__}>"


class MetaList:
    """A list of metadata: ``head`` is the GList that applications walk.

    Nodes point forwards strongly and backwards weakly: a list is freed as soon as nothing refers to it.
    """

    __slots__ = ("head", "_tail")

    def __init__(self) -> None:
        self.head: GList | None = None
        self._tail: GList | None = None

    def append(self, data: Any) -> None:
        """Add ``data`` at the end."""
        node = GList(data)
        tail = self._tail
        if tail is None:
            self.head = node
        else:
            while tail._next is not None:  # an application may have linked nodes by itself
                tail = tail._next
            tail._next = node
            node._prev = weakref.ref(tail)
        self._tail = node
        data._listed = True

    def remove(self, data: Any) -> bool:
        """Take out the first node that holds ``data`` (the object itself); False when there is none."""
        before: GList | None = None
        node = self.head
        while node is not None:
            if node._data is data:
                after = node._next
                if before is None:
                    self.head = after
                else:
                    before._next = after
                if after is not None:
                    after._prev = weakref.ref(before) if before is not None else None
                if node is self._tail or after is None:
                    self._tail = before
                node._prev = None
                data._listed = False
                return True
            before = node
            node = node._next
        return False

    def clear(self) -> None:
        """Forget all nodes."""
        self.head = self._tail = None

    def replace(self, head: Any, what: str) -> list[Any]:
        """Let the list begin at ``head`` (a GList or ``None``); returns what is no longer in it.

        Raises:
            TypeError: ``head`` is something else; ``what`` is the field's name for the message.
        """
        if head is not None and not isinstance(head, GList):
            raise TypeError(f"{what} needs a GList or None, got {type(head).__name__}")
        before = self.items()
        self.head = self._tail = head
        while self._tail is not None and self._tail._next is not None:
            self._tail = self._tail._next
        kept = {id(item) for item in self.items()}
        gone = [item for item in before if id(item) not in kept]
        for item in gone:
            if hasattr(item, "_listed"):  # an application may have put anything into a node
                item._listed = False
        return gone

    def items(self) -> list[Any]:
        """The data of all nodes, first to last: a snapshot that stays valid while the list changes."""
        found = []
        node = self.head
        while node is not None:
            found.append(node._data)
            node = node._next
        return found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self.items())


def list_field(name: str, slot: str, doc: str, count: str | None = None) -> Any:
    """A property: the head of the :class:`MetaList` in ``slot``, which may be ``None`` until something is added.

    Assigning another node or ``None`` releases the metadata that is then no longer in the list.

    Args:
        name: name of the field.
        slot: where its list is.
        doc: what the property's documentation says.
        count: the field that counts the list's items.
    """

    def load(self: Any) -> GList | None:
        items = getattr(self, slot)
        return items.head if items is not None else None

    def store(self: Any, head: Any) -> None:
        items = getattr(self, slot)
        if items is None:
            items = MetaList()
        for meta in items.replace(head, f"{type(self).__name__}.{name}"):
            if hasattr(meta, "release"):
                meta.release()
        setattr(self, slot, items)
        if count is not None:
            setattr(self, count, len(items))

    return property(load, store, doc=doc)
