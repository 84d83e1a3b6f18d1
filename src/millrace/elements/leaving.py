"""``sys.exit()`` in a pad probe: ends the process, in place of a wait without end.

PyGObject lets Python exit in the streaming thread that runs the probe. Python then waits for the main thread, which
waits for the pipeline, which waits for the probe. This runs before that wait begins.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - what it does at the exit is to come after this, the last first
import os
import sys
import threading
from types import FrameType

_OWN = __name__.rpartition(".")[0] + "."


def _pushing(frame: FrameType | None) -> bool:
    """Whether a frame lies inside a push of one of the elements."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(_OWN) and name != __name__:
            return True
        frame = frame.f_back
    return False


def _leave() -> None:
    thread = threading.current_thread()
    if thread is threading.main_thread() or not _pushing(sys._getframe()):
        return
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    text = (
        f"millrace: sys.exit() in a pad probe or another callback, in the streaming thread {thread.name}, ends the "
        "process at once; quit the main loop or post a message there instead\n"
    )
    os.write(2, text.encode())
    os._exit(1)


def watch() -> None:
    """Have it seen to, from now on."""
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(_leave)
