"""nvstreammux in real pipelines: batches, their metadata, caps, events, sources that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from millrace.elements import events
from millrace.meta.batch import Batch

from .pipelines import NVMM, Gst, Outcome, drain, numbered, pad_of, play, playing, watch, watch_events

Row = tuple[int, int, int, int]


class Frames:
    """Collects what a batch says, and a copy of each picture."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.limits: list[int] = []

    def __call__(self, batch: Batch, _buffer: Any) -> None:
        meta = batch.meta
        assert meta is not None
        self.limits.append(meta.max_frames_in_batch)
        rows = []
        for frame in meta.frames:
            names = [n for n, _ in frame._fields_ if not n.startswith("_")]
            row = {name: getattr(frame, name) for name in names}
            surface = batch.surfaces[frame.batch_id]
            row["size"] = (surface.width, surface.height)
            row["rgb"] = surface.to_rgb().copy()
            rows.append(row)
        assert meta.num_frames_in_batch == len(rows)
        self.batches.append(rows)

    def of(self, source: int) -> list[dict[str, Any]]:
        return [row for rows in self.batches for row in rows if row["pad_index"] == source]


def mux(sources: list[str], settings: str, rest: str = "fakesink name=out") -> str:
    inputs = " ".join(f"{source} ! m.sink_{index}" for index, source in enumerate(sources))
    return f"nvstreammux name=m {settings} ! {rest} {inputs}"


def run_mux(sources: list[str], settings: str, rest: str = "fakesink name=out") -> tuple[Frames, Outcome]:
    frames = Frames()
    return frames, play(mux(sources, settings, rest), {"out:sink": frames})


def test_frame_meta_and_caps() -> None:
    seen: list[str] = []

    def caps_seen(_batch: Batch, _buffer: Any) -> None:
        seen.append(pad_of(pipeline, "out:sink").get_current_caps().to_string())

    pipeline = Gst.parse_launch(mux([numbered(4, 64, 48), numbered(4, 96, 32)], "batch-size=2 width=80 height=60"))
    frames = Frames()
    watch(pad_of(pipeline, "out:sink"), frames)
    watch(pad_of(pipeline, "out:sink"), caps_seen)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    caps = Gst.Caps.from_string(seen[0])
    structure = caps.get_structure(0)
    assert caps.get_features(0).to_string() == "memory:NVMM"
    assert structure.get_string("format") == "NV12"
    assert [structure.get_int(n)[1] for n in ("width", "height", "batch-size", "num-surfaces-per-frame")] == [
        80,
        60,
        2,
        1,
    ]
    assert structure.get_fraction("framerate")[1:] == (25, 1)
    assert [len(rows) for rows in frames.batches] == [2] * 4
    for number, rows in enumerate(frames.batches):
        assert [row["pad_index"] for row in rows] == [row["source_id"] for row in rows] == [0, 1]
        assert [row["batch_id"] for row in rows] == [0, 1]
        assert {row["frame_num"] for row in rows} == {number}
        assert {row["buf_pts"] for row in rows} == {number * 40_000_000}
        assert [(row["source_frame_width"], row["source_frame_height"]) for row in rows] == [(64, 48), (96, 32)]
        assert {row["size"] for row in rows} == {(80, 60)}
        assert {(row["pipeline_width"], row["pipeline_height"]) for row in rows} == {(80, 60)}
        assert {row["num_surfaces_per_frame"] for row in rows} == {1}
        assert all(abs(row["ntp_timestamp"] - time.time_ns()) < 60e9 for row in rows)
        assert {row["num_obj_meta"] for row in rows} == {0}
    assert frames.limits == [2] * 4


def test_ntp_timestamp_without_system_time() -> None:
    frames, outcome = run_mux([numbered(1)], "width=64 height=48 batch-size=1 attach-sys-ts=false")
    assert outcome.ok, outcome
    assert frames.of(0)[0]["ntp_timestamp"] == 0


def test_buffer_timestamps_never_go_back() -> None:
    stamps: list[int] = []
    outcome = play(
        mux([numbered(6), numbered(3, rate="10/1")], "batch-size=2 width=64 height=48 batched-push-timeout=20000"),
        {"out:sink": lambda _batch, buffer: stamps.append(buffer.pts)},
    )
    assert outcome.ok, outcome
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("padding", [False, True])
def test_scaling(padding: bool) -> None:
    """A white 64x32 picture in a 64x64 frame: stretched, or in the middle between black bars."""
    source = numbered(1, 64, 32, more="pattern=white")
    frames, outcome = run_mux([source], f"batch-size=1 width=64 height=64 enable-padding={padding}")
    assert outcome.ok, outcome
    rgb = frames.of(0)[0]["rgb"].astype(int)
    assert rgb[18:46].min() > 245
    if padding:
        assert rgb[:15].max() < 10 and rgb[49:].max() < 10
    else:
        assert rgb.min() > 245


def test_sources_keep_their_size_without_width_and_height() -> None:
    frames, outcome = run_mux([numbered(2, 64, 48), numbered(2, 96, 32)], "batch-size=2")
    assert outcome.ok, outcome
    assert [[row["size"] for row in rows] for rows in frames.batches] == [[(64, 48), (96, 32)]] * 2


@pytest.mark.parametrize("fmt", ["NV12", "RGBA", "I420"])
def test_formats(fmt: str) -> None:
    source = (
        "videotestsrc num-buffers=1 pattern=red ! video/x-raw,width=64,height=48 ! "
        f"nvvideoconvert ! {NVMM},format={fmt}"
    )
    frames, outcome = run_mux([source], "batch-size=1 width=32 height=32", f"{NVMM},format={fmt} ! fakesink name=out")
    assert outcome.ok, outcome
    np.testing.assert_allclose(frames.of(0)[0]["rgb"].reshape(-1, 3).mean(0), [255, 0, 0], atol=6)


def test_width_without_height_is_one_clear_error() -> None:
    _, outcome = run_mux([numbered(1)], "batch-size=1 width=64")
    assert len(outcome.errors) == 1, outcome
    assert "set both width and height" in outcome.errors[0] and "height=0" in outcome.errors[0]


def test_system_memory_is_refused() -> None:
    """Already when it is linked, with the caps that do not fit."""
    with pytest.raises(Exception, match="m can't handle caps video/x-raw, format"):
        Gst.parse_launch(
            "videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width=64,height=48 ! m.sink_0 "
            "nvstreammux name=m batch-size=1 width=64 height=48 ! fakesink"
        )


def test_a_buffer_without_surface_is_refused() -> None:
    """Caps say NVMM, but nothing rides on the buffers."""
    _, outcome = run_mux(
        [f"fakesrc num-buffers=3 sizetype=fixed filltype=zero ! {NVMM},format=NV12,width=64,height=48,framerate=25/1"],
        "batch-size=1 width=64 height=48",
    )
    assert "without a surface" in outcome.errors[0] and "nvvideoconvert" in outcome.errors[0], outcome


def test_events_in_order() -> None:
    """pad-added before a source's first frame, stream-eos after its last, EOS at the end of all."""
    story: list[tuple[str, int]] = []
    names = {
        events.PAD_ADDED: "added",
        events.STREAM_START: "start",
        events.STREAM_SEGMENT: "segment",
        events.STREAM_EOS: "eos",
    }
    pipeline = Gst.parse_launch(mux([numbered(2), numbered(4)], "batch-size=2 width=64 height=48"))
    pad = pad_of(pipeline, "out:sink")

    def note(kind: int, event: Any) -> None:
        if kind in names:
            found, source = event.get_structure().get_uint("source-id")
            assert found
            story.append((names[kind], source))
        elif kind == int(Gst.EventType.EOS):
            story.append(("END", -1))

    def look(batch: Batch, _buffer: Any) -> None:
        assert batch.meta is not None
        story.extend(("frame", frame.pad_index) for frame in batch.meta.frames)

    watch_events(pad, note)
    watch(pad, look)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    for source, count in ((0, 2), (1, 4)):
        mine = [what for what, index in story if index == source]
        assert mine == ["added", "start", "segment", *["frame"] * count, "eos"]
    assert story[-1] == ("END", -1)
    assert story.count(("END", -1)) == 1
    assert outcome.elements == [("stream-eos", 0), ("stream-eos", 1)]


@pytest.mark.parametrize(
    "settings",
    ["batch-size=2", "batch-size=2 batched-push-timeout=20000", "batch-size=5 batched-push-timeout=20000", ""],
)
def test_sources_of_different_length_and_rate(settings: str) -> None:
    frames, outcome = run_mux(
        [numbered(12, rate="30/1"), numbered(3, rate="5/1"), numbered(7)], f"width=64 height=48 {settings}"
    )
    assert outcome.ok, outcome
    for source, count in ((0, 12), (1, 3), (2, 7)):
        assert [row["frame_num"] for row in frames.of(source)] == list(range(count))
    assert max(map(len, frames.batches)) <= frames.limits[0]


def test_sync_inputs_pairs_running_times() -> None:
    frames, outcome = run_mux(
        [numbered(8, rate="20/1"), numbered(4, rate="10/1")],
        "batch-size=2 width=64 height=48 sync-inputs=true max-latency=200000000",
    )
    assert outcome.ok, outcome
    for rows in frames.batches:
        assert len({row["buf_pts"] for row in rows}) == 1
    assert len(frames.of(0)) == 8 and len(frames.of(1)) == 4


def test_no_pipeline_eos() -> None:
    pipeline = Gst.parse_launch(mux([numbered(2)], "batch-size=1 width=64 height=48 drop-pipeline-eos=true"))
    with playing(pipeline):
        outcome = drain(pipeline, 0.7)
    assert outcome.end == "timeout"
    assert outcome.elements == [("stream-eos", 0)]


def add_source(pipeline: Gst.Pipeline, index: int, frames: int) -> Gst.Bin:
    source = Gst.parse_bin_from_description(f"{numbered(frames, more='is-live=true')}", True)
    source.set_name(f"source{index}")
    pipeline.add(source)
    pad = pipeline.get_by_name("m").get_request_pad(f"sink_{index}")
    assert pad is not None and pad.get_name() == f"sink_{index}"
    assert source.get_static_pad("src").link(pad) == Gst.PadLinkReturn.OK
    source.sync_state_with_parent()
    return source


def test_sources_come_and_go_while_playing() -> None:
    frames = Frames()
    pipeline = Gst.parse_launch(
        "nvstreammux name=m batch-size=2 width=64 height=48 batched-push-timeout=40000 ! fakesink name=out sync=false"
    )
    seen: list[tuple[str, int]] = []

    def note(kind: int, event: Any) -> None:
        name = {events.PAD_ADDED: "added", events.PAD_DELETED: "deleted", events.STREAM_EOS: "eos"}.get(kind)
        if name:
            seen.append((name, event.get_structure().get_uint("source-id")[1]))

    watch(pad_of(pipeline, "out:sink"), frames)
    watch_events(pad_of(pipeline, "out:sink"), note)
    add_source(pipeline, 0, 40)
    with playing(pipeline):
        wait_for(lambda: len(frames.of(0)) > 3)
        late = add_source(pipeline, 5, -1)
        wait_for(lambda: len(frames.of(5)) > 3)
        muxer = pipeline.get_by_name("m")
        pad = muxer.get_static_pad("sink_5")
        late.set_state(Gst.State.NULL)
        late.unlink(muxer)
        muxer.release_request_pad(pad)
        pipeline.remove(late)
        assert muxer.get_static_pad("sink_5") is None
        count = len(frames.of(5))
        add_source(pipeline, 5, 10)
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert [row["frame_num"] for row in frames.of(0)] == list(range(40))
    later = [row["frame_num"] for row in frames.of(5)][count:]
    assert later[-10:] == list(range(10)) and len(later) <= 12  # one batch may have been on its way
    assert seen == [("added", 0), ("added", 5), ("deleted", 5), ("added", 5), ("eos", 5), ("eos", 0)]


def test_request_pads() -> None:
    muxer = Gst.ElementFactory.make("nvstreammux")
    first = muxer.request_pad_simple("sink_3")
    assert first.get_name() == "sink_3"
    any_pad = muxer.request_pad_simple("sink_%u")
    assert any_pad.get_name() == "sink_0"
    muxer.release_request_pad(first)
    assert muxer.get_static_pad("sink_3") is None
    assert muxer.request_pad_simple("sink_3").get_name() == "sink_3"


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_file_added_while_others_play_counts_from_then_on() -> None:
    pipeline = Gst.parse_launch(
        "videotestsrc is-live=true ! video/x-raw,format=NV12,width=64,height=48,framerate=25/1 ! nvvideoconvert ! "
        f"capsfilter caps={NVMM} ! m.sink_0 nvstreammux name=m batch-size=2 width=64 height=48 "
        "batched-push-timeout=100000 ! fakesink name=out sync=true"
    )
    batches: list[tuple[int, dict[int, int]]] = []
    watch(
        pad_of(pipeline, "out:sink"),
        lambda batch, buffer: batches.append((buffer.pts, {f.pad_index: f.buf_pts for f in batch.meta.frames})),
    )

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    with playing(pipeline):
        wait_for(lambda: len(batches) > 20)
        late = Gst.parse_bin_from_description(numbered(1000), True)
        pipeline.add(late)
        late.get_static_pad("src").link(pipeline.get_by_name("m").request_pad_simple("sink_1"))
        late.sync_state_with_parent()
        wait_for(lambda: sum(1 in frames for _, frames in batches) > 20)
    times = [pts for pts, _ in batches]
    assert times == sorted(times) and len(set(times)) > len(times) - 5  # time goes on with the batches
    own = [frames[1] for _, frames in batches if 1 in frames]
    assert own[0] == 0 and own == sorted(own)  # the source's own time stays
