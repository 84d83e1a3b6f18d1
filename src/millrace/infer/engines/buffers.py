"""Output memory that is used again once nobody looks at it."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class _Lease:
    """Owner that NumPy keeps as the base of an array and of all its views."""

    __slots__ = ("__array_interface__", "__weakref__", "_memory")

    def __init__(self, memory: Array) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__


class BufferPool:
    """Arrays of one shape and type.

    Args:
        shape: of each array.
        dtype: of each array.
        keep: arrays kept for later use.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, keep: int = 16) -> None:
        self.shape, self.dtype, self._keep = shape, np.dtype(dtype), keep
        # Re-entrant: arrays are also given back by the garbage collector, at any time in any thread.
        self._lock = threading.RLock()
        self._idle: list[Array] = []

    def take(self) -> Array:
        """An array, its content not set; its memory returns when the last view of it is gone."""
        with self._lock:
            memory = self._idle.pop() if self._idle else None
        if memory is None:
            memory = np.empty(self.shape, self.dtype)
        lease = _Lease(memory)
        weakref.finalize(lease, self._give_back, memory).atexit = False
        return np.asarray(lease)

    def _give_back(self, memory: Array) -> None:
        with self._lock:
            if len(self._idle) < self._keep:
                self._idle.append(memory)
