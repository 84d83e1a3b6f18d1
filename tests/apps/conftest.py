"""Pipelines with probes, as applications for DeepStream write them: only Gst and pyds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

gi = pytest.importorskip("gi", reason="GStreamer's Python bindings are not installed")
gi.require_version("Gst", "1.0")

from gi.repository import Gst  # noqa: E402

import pyds  # noqa: E402  (makes GStreamer ready and registers the elements)

NVMM = "video/x-raw(memory:NVMM)"
Probe = Callable[[Any, Any], Any]  # (buffer, batch meta or None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "apps":
            item.add_marker(pytest.mark.gst)


def source(frames: int = 5, pattern: str = "red", fmt: str = "NV12", more: str = "") -> str:
    """A description of test pictures as surfaces, 64 x 48 at 25 a second."""
    return (
        f"videotestsrc num-buffers={frames} pattern={pattern} {more} ! "
        "video/x-raw,format=RGBA,width=64,height=48,framerate=25/1 ! nvvideoconvert ! "
        f"capsfilter caps={NVMM},format={fmt}"
    )


MUX = "nvstreammux name=m batch-size=1 width=64 height=48"


def probe(pipeline: Gst.Pipeline, place: str, function: Probe) -> None:
    """Call ``function`` for each buffer at ``element:pad``; what it raises is a bus error here."""
    name, pad = place.split(":")
    element = pipeline.get_by_name(name)

    def call(_pad: Gst.Pad, info: Gst.PadProbeInfo, _data: Any) -> Gst.PadProbeReturn:
        buffer = info.get_buffer()
        try:
            function(buffer, pyds.gst_buffer_get_nvds_batch_meta(hash(buffer)))
        except Exception as error:
            element.message_full(Gst.MessageType.ERROR, Gst.StreamError.quark(), 1, repr(error), None, "", "", 0)
        return Gst.PadProbeReturn.OK

    element.get_static_pad(pad).add_probe(Gst.PadProbeType.BUFFER, call, 0)


def wait(pipeline: Gst.Pipeline, seconds: float = 20.0) -> None:
    """Wait for the end of the stream.

    Raises:
        AssertionError: an error came instead, or nothing.
    """
    message = pipeline.get_bus().timed_pop_filtered(
        int(seconds * Gst.SECOND), Gst.MessageType.EOS | Gst.MessageType.ERROR
    )
    assert message is not None, "no end of stream"
    assert message.type == Gst.MessageType.EOS, message.parse_error()


def run(description: str, **probes: Probe) -> None:
    """Play to the end; ``probes`` are by ``element_pad``."""
    pipeline = Gst.parse_launch(description)
    for place, function in probes.items():
        probe(pipeline, ":".join(place.rsplit("_", 1)), function)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        wait(pipeline)
    finally:
        pipeline.set_state(Gst.State.NULL)


def walk(batch_meta: Any) -> list[Any]:
    """The frames of a batch, the GList way."""
    frames = []
    node = batch_meta.frame_meta_list
    while node is not None:
        frames.append(pyds.NvDsFrameMeta.cast(node.data))
        try:
            node = node.next
        except StopIteration:
            break
    return frames
