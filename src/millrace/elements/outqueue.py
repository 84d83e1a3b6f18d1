"""A source pad fed by a thread of its own: what arrives in order leaves in order, work in between runs ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from . import _native
from ._gst import Gst
from .base import NvElement, post_error

LIMIT = 4


class OutputQueue:
    """Buffers with unfinished work, and the events between them, on the way to a source pad.

    Args:
        element: owner; errors go on the bus in its name.
        pad: source pad to push on.
        finish: called in the pushing thread as ``finish(address, work)``; returns the buffer to push.
        limit: most buffers queued; :meth:`put_buffer` waits when there are as many.
        passing: called in the pushing thread with each event just before it is pushed.
    """

    def __init__(
        self,
        element: NvElement,
        pad: Gst.Pad,
        finish: Callable[[int, Any], int],
        limit: int = LIMIT,
        passing: Callable[[Gst.Event], None] | None = None,
    ) -> None:
        self._element = element
        self._pad = pad
        self._finish = finish
        self._limit = limit
        self._passing = passing
        self._items: deque[tuple[int, Any] | Gst.Event] = deque()
        self._changed = threading.Condition()
        self._buffers = 0
        self._busy = False
        self._epoch = 0  # counts flushes
        self._running = False
        self._thread: threading.Thread | None = None
        self.flow = _native.FLOW_OK

    @property
    def running(self) -> bool:
        """Whether the pushing thread is there."""
        return self._running

    def start(self) -> None:
        """Start the pushing thread."""
        self.flow = _native.FLOW_OK
        self._running = True
        self._thread = threading.Thread(target=self._run, name=f"{self._element.get_name()}:src", daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """Refuse more and wake everybody; call before the pads are deactivated."""
        with self._changed:
            self._running = False
            self.flow = _native.FLOW_FLUSHING
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the thread and drop what is left; call after the pads are deactivated."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._drop()

    def flush(self, flushing: bool) -> None:
        """A flush starts (drop everything) or has ended."""
        with self._changed:
            if flushing:
                self._epoch += 1
            else:
                while self._busy and self._running:  # what was on its way when the flush began must not pass after it
                    self._changed.wait()
            self.flow = _native.FLOW_FLUSHING if flushing else _native.FLOW_OK
            self._changed.notify_all()
        if flushing:
            self._drop()

    def put_buffer(self, address: int, work: Any) -> int:
        """Queue an owned buffer; returns the flow so far."""
        with self._changed:
            while self._buffers >= self._limit and self.flow == _native.FLOW_OK:
                self._changed.wait()
            if self.flow == _native.FLOW_OK:
                self._items.append((address, work))
                self._buffers += 1
                self._changed.notify_all()
                return _native.FLOW_OK
        _native.mini_object_unref(address)
        return self.flow

    def put_event(self, event: Gst.Event) -> bool:
        """Queue a serialized event behind the buffers."""
        with self._changed:
            if self.flow == _native.FLOW_FLUSHING:
                return False
            self._items.append(event)
            self._changed.notify_all()
        return True

    def wait_until_empty(self) -> None:
        """Wait until everything queued has been pushed, or dropped."""
        with self._changed:
            while (self._items or self._busy) and self._running and self.flow == _native.FLOW_OK:
                self._changed.wait()

    def _drop(self) -> None:
        with self._changed:
            items, self._items = self._items, deque()
            self._buffers = 0
            self._changed.notify_all()
        for item in items:
            if isinstance(item, tuple):
                _native.mini_object_unref(item[0])

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                while self._running and not self._items:
                    self._changed.wait()
                if not self._running:
                    return
                item = self._items.popleft()
                self._busy = True
                if isinstance(item, tuple):
                    self._buffers -= 1
                self._changed.notify_all()
            if isinstance(item, tuple):
                self._push(*item)
            else:
                self._pass(item)
            del item

    def _pass(self, event: Gst.Event) -> None:
        try:
            if self._passing is not None:
                self._passing(event)
        except BaseException as error:
            post_error(self._element, error)
        self._pad.push_event(event)

    def _push(self, address: int, work: Any) -> None:
        if self.flow != _native.FLOW_OK:
            _native.mini_object_unref(address)
            return
        epoch = self._epoch
        try:
            address = self._finish(address, work)
        except BaseException as error:  # a parse function may call sys.exit(): no reason for this thread to end
            _native.mini_object_unref(address)
            post_error(self._element, error)
            flow = _native.FLOW_ERROR
        else:
            flow = int(_native.pad_push(hash(self._pad), address))
        if flow != _native.FLOW_OK:
            with self._changed:
                if epoch == self._epoch:
                    self.flow = flow
                    self._changed.notify_all()
