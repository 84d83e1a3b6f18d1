"""Runs the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """``cli("pose", "x.mp4", cwd=..., env={...})`` answers with returncode, stdout and stderr."""

    def call(
        *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "MILLRACE_HOME": str(tmp_path / "home"), "COLUMNS": "120"}
        environ["PYTHONPATH"] = os.pathsep.join([str(SRC), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            environ.pop(name, None)
        environ.update(env or {})
        return subprocess.run(
            [sys.executable, "-m", "millrace.app.cli", *arguments],
            cwd=cwd or tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    return call
