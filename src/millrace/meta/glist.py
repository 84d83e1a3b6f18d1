"""``GList``: the doubly linked list in which DeepStream keeps metadata."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from .fields import Castable


class GList(Castable):
    """One node of a list; ``None`` stands for the empty list and for the end.

    Attributes:
        data: the metadata; pass it to ``cast()`` of its class.
        next: the next node, or ``None`` at the end. A removed node keeps it, for a walk that is at it.
    """

    __slots__ = ("data", "next", "_prev", "_address", "__weakref__")

    def __init__(self, data: Any = None) -> None:
        self.data = data
        self.next: GList | None = None
        self._prev: weakref.ref[GList] | None = None

    @property
    def prev(self) -> GList | None:
        """The node before this one, or ``None`` at the start."""
        return self._prev() if self._prev is not None else None

    @prev.setter
    def prev(self, node: GList | None) -> None:
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
            while tail.next is not None:  # an application may have linked nodes by itself
                tail = tail.next
            tail.next = node
            node._prev = weakref.ref(tail)
        self._tail = node

    def remove(self, data: Any) -> bool:
        """Take out the first node that holds ``data`` (the object itself); False when there is none."""
        before: GList | None = None
        node = self.head
        while node is not None:
            if node.data is data:
                after = node.next
                if before is None:
                    self.head = after
                else:
                    before.next = after
                if after is not None:
                    after._prev = weakref.ref(before) if before is not None else None
                if node is self._tail or after is None:
                    self._tail = before
                node._prev = None
                return True
            before = node
            node = node.next
        return False

    def clear(self) -> None:
        """Forget all nodes."""
        self.head = self._tail = None

    def items(self) -> list[Any]:
        """The data of all nodes, first to last: a snapshot that stays valid while the list changes."""
        found = []
        node = self.head
        while node is not None:
            found.append(node.data)
            node = node.next
        return found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self.items())
