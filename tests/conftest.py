"""What all tests share: a home folder of their own, and the optional test assets."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from millrace.unwind import prefer_libgcc

prefer_libgcc()  # tests import NumPy and GStreamer in any order
with contextlib.suppress(ImportError, ValueError):
    import gi

    gi.require_version("Gst", "1.0")

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT.parent / "shared" / "assets"


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache and data folders out of the tests."""
    folder = tmp_path_factory.mktemp("millrace")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.environ["MILLRACE_HOME"] = str(folder / "home")


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of downloaded models, pictures and videos beside the checkout; the test is skipped without it."""
    if not ASSETS.is_dir():
        pytest.skip("the folder ../shared/assets with models and videos is not there")
    return ASSETS
