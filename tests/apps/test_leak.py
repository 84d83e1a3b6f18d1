"""The leak benchmark for a few seconds; ``python benchmarks/leak.py`` is the ten minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "benchmarks" / "leak.py"


@pytest.mark.skipif(not PROGRAM.is_file(), reason="the benchmarks are not in this checkout")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_stays_flat_and_user_metadata_is_released_once() -> None:
    # one user meta a frame that is never freed makes 2.5 % in this time
    result = subprocess.run(
        [sys.executable, str(PROGRAM), "--minutes", "0.15", "--warm-up", "8", "--limit", "1.5"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert "made" in result.stdout and not result.stderr
