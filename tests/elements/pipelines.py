"""Runs real pipelines and looks at what flows through their pads."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gi
import numpy as np

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

from millrace.elements import register  # noqa: E402
from millrace.elements._native import event_type  # noqa: E402
from millrace.elements.handle import batch_of  # noqa: E402
from millrace.meta.batch import Batch  # noqa: E402

register()

NVMM = "video/x-raw(memory:NVMM)"
_ENDS = Gst.MessageType.EOS | Gst.MessageType.ERROR


def numbered(
    frames: int = 5,
    width: int = 64,
    height: int = 48,
    fmt: str = "NV12",
    rate: str = "25/1",
    more: str = "",
    caps: str = "",
) -> str:
    """A description of numbered test pictures as surfaces."""
    return (
        f"videotestsrc num-buffers={frames} {more} ! "
        f"video/x-raw,format={fmt},width={width},height={height},framerate={rate}{caps} ! "
        f"nvvideoconvert ! capsfilter caps={NVMM}"
    )


@dataclass
class Outcome:
    """What the bus said until the end."""

    end: str = "timeout"
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    elements: list[Any] = field(default_factory=list)  # (structure name, stream id)

    @property
    def ok(self) -> bool:
        return self.end == "eos" and not self.errors


def drain(pipeline: Gst.Pipeline, seconds: float = 20.0) -> Outcome:
    """Wait for EOS or the first error and collect messages."""
    outcome = Outcome()
    bus = pipeline.get_bus()
    kinds = _ENDS | Gst.MessageType.WARNING | Gst.MessageType.ELEMENT
    deadline = Gst.util_get_timestamp() + int(seconds * Gst.SECOND)
    while True:
        message = bus.timed_pop_filtered(max(0, deadline - Gst.util_get_timestamp()), kinds)
        if message is None:
            return outcome
        if message.type == Gst.MessageType.EOS:
            outcome.end = "eos"
            return outcome
        if message.type == Gst.MessageType.ERROR:
            outcome.end = "error"
            outcome.errors.append(message.parse_error()[0].message)
            while (more := bus.timed_pop_filtered(100 * Gst.MSECOND, Gst.MessageType.ERROR)) is not None:
                outcome.errors.append(more.parse_error()[0].message)
            return outcome
        if message.type == Gst.MessageType.WARNING:
            outcome.warnings.append(message.parse_warning()[0].message)
        else:
            structure = message.get_structure()
            outcome.elements.append((structure.get_name(), structure.get_value("stream-id")))


Looks = dict[str, Callable[[Batch, Any], None]]


def watch(pad: Gst.Pad, look: Callable[[Any, Any], None]) -> None:
    """Call ``look(batch or None, buffer)`` for each buffer on a pad; its exceptions end the pipeline."""

    def probe(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        buffer = info.get_buffer()
        try:
            look(batch_of(hash(buffer)), buffer)
        except Exception as error:
            element = _pad.get_parent_element()
            from millrace.elements.base import post_error

            post_error(element, f"in probe: {error!r}")
            return Gst.PadProbeReturn.DROP
        return Gst.PadProbeReturn.OK

    pad.add_probe(Gst.PadProbeType.BUFFER, probe)


def watch_events(pad: Gst.Pad, note: Callable[[int, Any], None]) -> None:
    """Call ``note(type number, event)`` for each downstream event on a pad."""

    def probe(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        event = info.get_event()
        note(event_type(event), event)
        return Gst.PadProbeReturn.OK

    pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, probe)


def pad_of(pipeline: Gst.Pipeline, path: str) -> Gst.Pad:
    """The pad named ``element:pad``."""
    element, pad = path.split(":")
    found = pipeline.get_by_name(element).get_static_pad(pad)
    assert found is not None, path
    return found


@contextmanager
def playing(pipeline: Gst.Pipeline) -> Iterator[Gst.Pipeline]:
    """Play for the length of the ``with`` block."""
    pipeline.set_state(Gst.State.PLAYING)
    try:
        yield pipeline
    finally:
        pipeline.set_state(Gst.State.NULL)


def play(
    description: str, looks: dict[str, Callable[[Any, Any], None]] | None = None, seconds: float = 20.0
) -> Outcome:
    """Run a description to its end; ``looks`` maps ``element:pad`` to a function for :func:`watch`."""
    pipeline = Gst.parse_launch(description)
    for path, look in (looks or {}).items():
        watch(pad_of(pipeline, path), look)
    with playing(pipeline):
        return drain(pipeline, seconds)


def pixels(buffer: Any, caps: Any) -> np.ndarray:
    """The bytes of a buffer in system memory by its video layout, without row padding; packed formats only."""
    from millrace.elements import caps as nvcaps

    video = nvcaps.parse(caps)
    strides, offsets, _ = nvcaps.layout_of(caps)
    data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
    channels = {"RGB": 3, "BGR": 3, "GRAY8": 1}.get(video.format, 4)
    rows = data[offsets[0] : offsets[0] + strides[0] * video.height].reshape(video.height, strides[0])
    return rows[:, : video.width * channels].reshape(video.height, video.width, channels)


def resident() -> int:
    """Resident memory of this process in bytes, without what the C library keeps for later."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
