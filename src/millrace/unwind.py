"""One stack unwinder for the whole process.

GStreamer is linked to libunwind, which exports the same ``_Unwind_*`` functions as libgcc. When a C++ library has bound
some of them before GStreamer comes and others after, the first C++ exception aborts the process. libgcc in the global
scope ahead of libunwind answers for all of them.
"""

from __future__ import annotations

import ctypes
import sys


def prefer_libgcc() -> None:
    """Load libgcc's unwinder for all libraries; call before GStreamer is loaded. Does nothing where there is none."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        pass  # a system without libgcc has no second unwinder either
