"""What ``nvds_measure_buffer_latency`` prints of the components on the way."""

from __future__ import annotations

import re
from typing import Any

import pytest

import pyds

from .conftest import MUX, NVMM, run, source

NUMBER = r"\d+\.\d{6}"
TIMES = rf"in_system_timestamp = ({NUMBER}) out_system_timestamp = ({NUMBER}) component.latency= ({NUMBER})"
PIPELINE = (
    f"{source(3)} ! m.sink_0 {MUX} ! nvtracker name=tracker ! queue ! "
    "nvmultistreamtiler name=tiler width=64 height=48 ! "
    f"nvvideoconvert name=convert ! {NVMM},format=RGBA ! nvdsosd name=osd ! fakesink name=out"
)


def measure(buffer: Any, _meta: Any) -> None:
    assert pyds.nvds_measure_buffer_latency(hash(buffer)) == 1


def test_every_component_has_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NVDS_ENABLE_LATENCY_MEASUREMENT", "1")
    monkeypatch.setenv("NVDS_ENABLE_COMPONENT_LATENCY_MEASUREMENT", "1")
    run(PIPELINE, out_sink=measure)
    batches = capsys.readouterr().out.split("************BATCH-NUM = ")[1:]
    assert len(batches) == 3
    for number, text in enumerate(batches):
        lines = text.splitlines()[1:]
        first = f"Comp name = nvstreammux-m source_id = 0 pad_index = 0 frame_num = {number} "
        heads = [first, *(f"Comp name = {name} " for name in ("tracker", "tiler", "convert", "osd"))]
        before = 0.0
        for head, line in zip(heads, lines[:-1], strict=True):
            match = re.fullmatch(re.escape(head) + TIMES, line)
            assert match is not None, line
            came, left, took = map(float, match.groups())
            assert before <= came <= left and took == pytest.approx(left - came, abs=1e-3)
            before = came
        assert re.fullmatch(rf"Source id = 0 Frame_num = {number} Frame latency = [\d.]+ \(ms\)", lines[-1])


def test_frames_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NVDS_ENABLE_LATENCY_MEASUREMENT", "1")
    monkeypatch.delenv("NVDS_ENABLE_COMPONENT_LATENCY_MEASUREMENT", raising=False)
    run(PIPELINE, out_sink=measure)
    printed = capsys.readouterr().out
    assert "Comp name" not in printed and printed.count("Frame latency") == 3
