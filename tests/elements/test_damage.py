"""A damaged stream plays on, and one warning says how much of it is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from millrace.elements._gst import Gst
from millrace.elements.registry import register

register()

TIMEOUT = 30 * Gst.SECOND


def make_clip(path: Path) -> None:
    pipeline = Gst.parse_launch(
        "videotestsrc num-buffers=120 pattern=ball ! video/x-raw,width=320,height=240 ! x264enc key-int-max=30 "
        f"bitrate=800 ! h264parse ! mp4mux ! filesink location={path}"
    )
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(TIMEOUT, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    assert message.type == Gst.MessageType.EOS


def play(path: Path) -> tuple[int, list[str]]:
    """Frames that came out, and the warnings on the bus."""
    pipeline = Gst.parse_launch(
        f"filesrc location={path} ! qtdemux ! h264parse ! nvv4l2decoder ! fakesink name=end sync=false"
    )
    frames = 0

    def count(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        nonlocal frames
        frames += 1
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
    pipeline.set_state(Gst.State.PLAYING)
    warnings = []
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING
    while (message := pipeline.get_bus().timed_pop_filtered(TIMEOUT, wanted)) is not None:
        if message.type != Gst.MessageType.WARNING:
            break
        warnings.append(message.parse_warning()[0].message)
    pipeline.set_state(Gst.State.NULL)
    assert message is not None
    assert message.type == Gst.MessageType.EOS
    return frames, warnings


@pytest.mark.parametrize("damaged", [False, True])
def test_lost_frames_are_told_once(tmp_path: Path, damaged: bool) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip)
    if damaged:
        data = bytearray(clip.read_bytes())
        generator = random.Random(3)
        middle = data.index(b"mdat") + len(data) // 3
        data[middle : middle + 4000] = bytes(generator.randrange(256) for _ in range(4000))
        clip.write_bytes(data)
    frames, warnings = play(clip)
    if not damaged:
        assert (frames, warnings) == (120, [])
        return
    assert 60 < frames < 120
    assert warnings == [f"{120 - frames} of 120 frames could not be decoded: the stream is damaged there"]
