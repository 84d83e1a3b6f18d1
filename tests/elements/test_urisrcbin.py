"""nvurisrcbin: files, loops, missing files, RTSP from a server of our own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..rtsp import live, rtsp_server
from .pipelines import NVMM, Gst, drain, pad_of, play, playing, watch, watch_events

FRAMES = 15


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uri") / "clip.mp4"
    outcome = play(
        f"videotestsrc num-buffers={FRAMES} ! video/x-raw,format=I420,width=96,height=64,framerate=25/1 ! "
        f"x264enc key-int-max=5 tune=zerolatency ! h264parse ! mux. audiotestsrc num-buffers=26 ! audioconvert ! "
        f"avenc_aac ! mux. mp4mux name=mux ! filesink location={path}"
    )
    assert outcome.ok, outcome
    return path


def bin_pipeline(settings: str, rest: str) -> Gst.Pipeline:
    """nvurisrcbin linked on pad-added, as the samples do."""
    pipeline = Gst.parse_launch(rest)
    source = Gst.ElementFactory.make("nvurisrcbin", "source")
    for setting in settings.split():
        name, value = setting.split("=", 1)
        Gst.util_set_object_arg(source, name, value)
    pipeline.add(source)

    def added(_element: Gst.Element, pad: Gst.Pad) -> None:
        assert pad.get_name() == "vsrc_0"
        mux = pipeline.get_by_name("m")
        target = (
            mux.request_pad_simple("sink_0") if mux is not None else pipeline.get_by_name("in").get_static_pad("sink")
        )
        assert pad.link(target) == Gst.PadLinkReturn.OK

    source.connect("pad-added", added)
    return pipeline


def test_file(clip: Path) -> None:
    stamps: list[int] = []
    pipeline = bin_pipeline(f"uri=file://{clip}", f"capsfilter name=in caps={NVMM} ! fakesink name=out")
    watch(pad_of(pipeline, "out:sink"), lambda batch, buffer: stamps.append(buffer.pts))
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert len(stamps) == FRAMES


def test_file_loop(clip: Path) -> None:
    """Running time goes on and on; nobody downstream sees a flush or an end."""
    running: list[int] = []
    stamps: list[int] = []
    kinds: list[int] = []
    done = threading.Event()
    segment = Gst.Segment()
    pipeline = bin_pipeline(f"uri=file://{clip} file-loop=true", "queue name=in ! fakesink name=out sync=false")
    pad = pad_of(pipeline, "out:sink")

    def note(kind: int, event: Any) -> None:
        kinds.append(kind)
        if kind == int(Gst.EventType.SEGMENT):
            event.copy_segment(segment)

    def look(_batch: Any, buffer: Any) -> None:
        stamps.append(buffer.pts)
        running.append(segment.to_running_time(Gst.Format.TIME, buffer.pts))
        if len(running) >= FRAMES * 3 + 5:
            done.set()

    watch_events(pad, note)
    watch(pad, look)
    with playing(pipeline):
        assert done.wait(4), f"{len(running)} frames"
    assert running == sorted(set(running))
    assert stamps == sorted(set(stamps))
    steps = [b - a for a, b in zip(running, running[1:], strict=False)]
    assert max(steps) < 120_000_000  # no gap at the seam: the audio may be longer than the video by a little
    assert int(Gst.EventType.EOS) not in kinds
    assert int(Gst.EventType.FLUSH_START) not in kinds


def test_file_loop_through_the_mux(clip: Path) -> None:
    numbers: list[int] = []
    stamps: list[int] = []
    done = threading.Event()
    pipeline = bin_pipeline(
        f"uri=file://{clip} file-loop=true",
        "nvstreammux name=m batch-size=1 width=64 height=48 batched-push-timeout=40000 ! fakesink name=out sync=false",
    )

    def look(batch: Any, buffer: Any) -> None:
        numbers.extend(frame.frame_num for frame in batch.meta.frames)
        stamps.append(buffer.pts)
        if len(numbers) >= FRAMES * 3 + 5:
            done.set()

    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        assert done.wait(4), f"{len(numbers)} frames"
    assert numbers == list(range(len(numbers)))
    assert stamps == sorted(set(stamps))


def test_file_loop_at_the_clock(clip: Path) -> None:
    """With a sink that waits for the clock, three passes take three times as long, without a stall."""
    done = threading.Event()
    count: list[int] = []
    pipeline = bin_pipeline(f"uri=file://{clip} file-loop=true", "queue name=in ! fakesink name=out sync=true")

    def look(_batch: Any, _buffer: Any) -> None:
        count.append(1)
        if len(count) == FRAMES * 3:
            done.set()

    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        assert done.wait(6), f"{len(count)} frames"


def test_missing_file_is_named(tmp_path: Path) -> None:
    pipeline = bin_pipeline(f"uri=file://{tmp_path}/nothing.mp4", "queue name=in ! fakesink")
    with playing(pipeline):
        outcome = drain(pipeline, 5)
    assert outcome.end == "error"
    assert len(outcome.errors) == 1 and "nothing.mp4" in outcome.errors[0], outcome


def test_no_uri_is_one_clear_error() -> None:
    pipeline = bin_pipeline("", "queue name=in ! fakesink")
    assert pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE
    outcome = drain(pipeline, 5)
    pipeline.set_state(Gst.State.NULL)
    assert len(outcome.errors) == 1 and "uri is not set" in outcome.errors[0], outcome


@pytest.fixture(scope="module")
def rtsp() -> Iterator[str]:
    with rtsp_server(live("width=96,height=64", "key-int-max=10"), shared=True) as (uri,):
        yield uri


@pytest.mark.parametrize("settings", ["", "select-rtp-protocol=4", "latency=50 drop-on-latency=false"])
def test_rtsp(rtsp: str, settings: str) -> None:
    done = threading.Event()
    numbers: list[int] = []
    pipeline = bin_pipeline(
        f"uri={rtsp} {settings}",
        "nvstreammux name=m batch-size=1 width=96 height=64 live-source=1 batched-push-timeout=40000 ! "
        "fakesink name=out sync=false",
    )

    def look(batch: Any, _buffer: Any) -> None:
        numbers.extend(frame.frame_num for frame in batch.meta.frames)
        if len(numbers) >= 20:
            done.set()

    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        if not done.wait(4):
            raise AssertionError((numbers, drain(pipeline, 0.1)))
    assert numbers == list(range(len(numbers)))


def test_rtsp_server_that_is_not_there() -> None:
    pipeline = bin_pipeline("uri=rtsp://127.0.0.1:9/nothing", "queue name=in ! fakesink")
    with playing(pipeline):
        outcome = drain(pipeline, 10)
    assert outcome.end == "error"
    assert any("onnect" in text for text in outcome.errors), outcome
