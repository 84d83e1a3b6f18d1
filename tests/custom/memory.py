"""How much a process grows while something is called again and again."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from pathlib import Path

# The process's other memory grows now and then, but not in every quarter of the calls.
FORGOTTEN = 1 << 16


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def least_growth(call: Callable[[], object], name: str) -> int:
    """Bytes more after 2,500 calls, at least, in four such rounds."""
    for _ in range(1000):
        call()
    grown = []
    for _ in range(4):
        gc.collect()
        before = resident()
        for _ in range(2_500):
            call()
        gc.collect()
        grown.append(resident() - before)
    print(f"{name}: {[size // 1024 for size in grown]} KiB more after 2,500 calls each")
    return min(grown)
