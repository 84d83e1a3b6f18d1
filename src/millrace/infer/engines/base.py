"""The engine interface: a compiled network with a few requests that run at the same time."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import MillraceError, ModelError
from ..parsers.results import LayerInfo, NetworkInfo
from ..preprocess import InputBuffer

Array = npt.NDArray[Any]


class Slot(ABC):
    """One request: its input memory and a way to run on it.

    Args:
        inputs: where pictures go, or an array (batch, ...) for each input of a network that takes ready tensors.
    """

    def __init__(self, inputs: InputBuffer | list[Array]) -> None:
        self._pictures = inputs if isinstance(inputs, InputBuffer) else None
        self.arrays: list[Array] = inputs if isinstance(inputs, list) else [inputs.array]

    @property
    def buffer(self) -> InputBuffer:
        """Where pictures go; only for networks that take pictures."""
        assert self._pictures is not None
        return self._pictures

    @abstractmethod
    def start(self, count: int) -> None:
        """Start on the first ``count`` pictures of the buffer and return at once."""

    @abstractmethod
    def finish(self) -> list[Array]:
        """Wait for the end; outputs, each (count, ...), whose memory is not written again while they live."""


class Run:
    """One started request."""

    def __init__(self, engine: Engine, slot: Slot, count: int) -> None:
        self.count = count
        self._engine, self._slot = engine, slot
        self._lock = threading.Lock()
        self._outputs: list[Array] | None = None
        self._error: Exception | None = None

    def wait(self) -> list[Array]:
        """Outputs, each (count, ...); the slot is free afterwards. Any thread may call it, more than once.

        Raises:
            ModelError: the engine failed.
        """
        with self._lock:
            if self._outputs is None and self._error is None:
                try:
                    self._outputs = self._slot.finish()
                except Exception as error:  # engines raise their own types
                    self._error = error
                self._engine._give_back(self, self._slot)
        if self._error is not None:
            if isinstance(self._error, MillraceError):
                raise self._error
            raise ModelError(f"inference failed: {str(self._error).splitlines()[0]}") from self._error
        assert self._outputs is not None
        return self._outputs


class Engine(ABC):
    """A compiled network.

    Attributes:
        name: library and version.
        precision: what it computes in, for the log.
        network_info: input size.
        input_layers: the inputs, without batch; one where the network takes pictures.
        output_layers: outputs in order, without batch; -1 where dynamic.
        batch_size: pictures a request takes.
        slots: number of requests.
        from_cache: it was loaded from a compiled file.
    """

    name: str
    precision: str
    network_info: NetworkInfo
    input_layers: list[LayerInfo]
    output_layers: list[LayerInfo]
    batch_size: int
    slots: int
    from_cache: bool = False

    def __init__(self) -> None:
        self._free: list[Slot] = []
        self._running: deque[Run] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def new_inputs(self, raw: bool) -> InputBuffer | list[Array]:
        """Input memory of one request: for pictures, or as the network declares its inputs."""
        if raw:
            return [np.zeros((self.batch_size, *layer.shape), layer.dtype) for layer in self.input_layers]
        info = self.network_info
        return InputBuffer(np.zeros((self.batch_size, info.height, info.width, info.channels), np.uint8))

    def _add_slots(self, slots: list[Slot]) -> None:
        self._free = slots
        self.slots = len(slots)

    def acquire(self) -> Slot:
        """A slot to fill and give to :meth:`start`; waits for the oldest request when all are busy.

        Raises:
            ModelError: the engine is closed.
        """
        while True:
            with self._changed:
                if self._closed:
                    raise ModelError("the engine is closed")
                if self._free:
                    return self._free.pop()
                if not self._running:
                    self._changed.wait(0.1)
                    continue
                oldest = self._running[0]
            try:
                oldest.wait()
            except ModelError:
                pass  # told to whoever collects that run's result

    def start(self, slot: Slot, count: int) -> Run:
        """Run on the first ``count`` pictures of a slot's buffer, asynchronously."""
        run = Run(self, slot, count)
        with run._lock:  # whoever waits for the oldest run must not do so before it has started
            with self._changed:
                self._running.append(run)
            try:
                slot.start(count)
            except Exception as error:
                run._error = ModelError(f"inference failed: {str(error).splitlines()[0]}")
                self._give_back(run, slot)
                raise run._error from error
        return run

    def release(self, slot: Slot) -> None:
        """Give a slot back that was not started."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def _give_back(self, run: Run, slot: Slot) -> None:
        with self._changed:
            self._running.remove(run)
            self._free.append(slot)
            self._changed.notify()

    def close(self) -> None:
        """Wait for what runs and free the network."""
        with self._changed:
            self._closed = True
            running = list(self._running)
        for run in running:
            try:
                run.wait()
            except ModelError:
                pass
        with self._changed:
            self._free.clear()
