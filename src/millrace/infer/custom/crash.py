"""Which parse function was running when a library ended the process."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_running = threading.local()
_HANDLER = ctypes.CFUNCTYPE(None)
_keep: list[Any] = []  # the C++ library holds a pointer to the handler
_lock = threading.Lock()


def watch() -> None:
    """Have the process say what it was doing when it ends by a signal, or by an exception that nobody catches."""
    with _lock:
        if _keep:
            return
        if not faulthandler.is_enabled():
            faulthandler.enable(2, all_threads=False)
        set_terminate = ctypes.CDLL("libstdc++.so.6")["_ZSt13set_terminatePFvvE"]
        set_terminate.restype, set_terminate.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        handler = _HANDLER(_say)
        before = set_terminate(ctypes.cast(handler, ctypes.c_void_p))
        _keep.extend((handler, _HANDLER(before) if before else None))


def _say() -> None:
    """C++ is about to end the process: name the function, then let libstdc++ say what was thrown."""
    title = getattr(_running, "title", None)
    if title:
        text = f"millrace: {title} let a C++ exception out, which ends the process; catch it and return false\n"
        os.write(2, text.encode())
    if _keep[1] is not None:
        _keep[1]()
    os.abort()


def named(function: Callable[..., Any], name: str, library: Path) -> Callable[..., Any]:
    """``function`` through a frame that shows as ``name`` in the file ``library`` when a signal ends the process."""
    title = f"{name} of {library}"

    def call(*arguments: Any) -> Any:
        _running.title = title
        try:
            return function(*arguments)
        finally:
            _running.title = None

    call.__code__ = call.__code__.replace(co_name=name, co_filename=str(library), co_firstlineno=1)
    return call
