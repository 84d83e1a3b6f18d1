"""Skips these tests where GStreamer is not installed, and fails one in which GLib or GStreamer complained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("gi", reason="GStreamer's Python bindings are not installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "elements":
            item.add_marker(pytest.mark.gst)
            # GLib's own complaints, which PyGObject turns into plain Warnings.
            item.add_marker(pytest.mark.filterwarnings("error:.*(assertion|register existing|out of range):Warning"))


@pytest.fixture(autouse=True)
def _no_complaints(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    text = capfd.readouterr().err
    assert "-CRITICAL" not in text and "-WARNING" not in text, text
