"""nvstreamdemux and nvdslogger on real pipelines."""

from __future__ import annotations

import re
from typing import Any

import gi
import pytest

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

import pyds  # noqa: E402

from .pipelines import drain, numbered, pad_of, play, playing, watch, watch_events  # noqa: E402

MUX = "nvstreammux name=m batch-size=2 width=64 height=48 batched-push-timeout=100000"


def two(first: int = 5, second: int = 5, more: str = "") -> str:
    """Two sources, red at 25 frames a second and blue at 10, in one batch."""
    return (
        f"{numbered(first, more='pattern=red')} ! m.sink_0 {numbered(second, rate='10/1', more='pattern=blue')} ! "
        f"m.sink_1 {MUX} ! {more} nvstreamdemux name=d "
    )


def test_each_source_has_its_frames_back() -> None:
    seen: dict[int, list[tuple[int, int, int, int]]] = {0: [], 1: []}
    colours: dict[int, set[bool]] = {0: set(), 1: set()}

    def note(pad: int) -> Any:
        def look(batch: Any, buffer: Any) -> None:
            (frame,) = batch.meta.frames
            (surface,) = batch.surfaces
            seen[pad].append((frame.pad_index, frame.batch_id, frame.frame_num, buffer.pts))
            assert frame.buf_pts == buffer.pts
            red, _, blue = surface.convert("RGBA").array()[0, 0, :3]
            colours[pad].add(bool(red > blue))

        return look

    text = f"{two(6, 4)} d.src_0 ! queue ! fakesink name=a d.src_1 ! queue ! fakesink name=b"
    outcome = play(text, {"a:sink": note(0), "b:sink": note(1)})
    assert outcome.ok, outcome
    assert seen[0] == [(0, 0, n, n * Gst.SECOND // 25) for n in range(6)]
    assert seen[1] == [(1, 0, n, n * Gst.SECOND // 10) for n in range(4)]
    assert colours == {0: {True}, 1: {False}}


def test_caps_say_what_one_buffer_is() -> None:
    pipeline = Gst.parse_launch(f"{two(2, 2)} d.src_1 ! queue ! fakesink name=b")
    caps: list[str] = []
    kinds: list[int] = []

    def note(number: int, event: Any) -> None:
        kinds.append(number)
        if event.type == Gst.EventType.CAPS:
            caps.append(event.parse_caps().to_string())

    watch_events(pad_of(pipeline, "b:sink"), note)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert len(caps) == 1 and "memory:NVMM" in caps[0] and "batch-size=(int)1" in caps[0] and "width=(int)64" in caps[0]
    wanted = [
        int(kind) for kind in (Gst.EventType.STREAM_START, Gst.EventType.CAPS, Gst.EventType.SEGMENT, Gst.EventType.EOS)
    ]
    assert [kind for kind in kinds if kind in wanted] == wanted


@pytest.mark.parametrize("alone", [False, True])
def test_when_a_source_ends(alone: bool) -> None:
    text = f"{two(2, 40)} d.src_0 ! queue ! fakesink name=a d.src_1 ! queue ! fakesink name=b"
    pipeline = Gst.parse_launch(text)
    pipeline.get_by_name("d").set_property("per-stream-eos", alone)
    frames: list[int] = []
    ended_after: list[int] = []
    watch(pad_of(pipeline, "b:sink"), lambda batch, buffer: frames.append(1))

    def note(number: int, event: Any) -> None:
        if event.type == Gst.EventType.EOS:
            ended_after.append(len(frames))

    watch_events(pad_of(pipeline, "a:sink"), note)
    with playing(pipeline):
        assert drain(pipeline).ok
    assert len(frames) == 40 and len(ended_after) == 1
    assert (ended_after[0] < 36) if alone else (ended_after[0] >= 36)


def test_a_pad_released_while_playing() -> None:
    pipeline = Gst.parse_launch(f"{two(200, 200)} d.src_0 ! queue ! fakesink name=a d.src_1 ! queue ! fakesink name=b")
    demux = pipeline.get_by_name("d")
    seen = [0, 0]

    def look(batch: Any, buffer: Any) -> None:
        seen[0] += 1
        if seen[0] == 20:
            pad = demux.get_static_pad("src_1")
            pad.get_peer().send_event(Gst.Event.new_eos())
            demux.release_request_pad(pad)

    watch(pad_of(pipeline, "a:sink"), look)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert seen[0] == 200
    assert [pad.get_name() for pad in demux.srcpads] == ["src_0"]


def test_user_metadata_is_copied_to_its_frames_and_released_once() -> None:
    alive: dict[int, int] = {}
    found: dict[str, list[str]] = {"a": [], "b": []}
    counter = iter(range(10_000))

    def make(owner: str) -> dict[str, Any]:
        number = next(counter)
        alive[number] = alive.get(number, 0) + 1
        return {"number": number, "owner": owner}

    def copy(meta: Any, _: Any) -> Any:
        return make(pyds.NvDsUserMeta.cast(meta).user_meta_data["owner"])

    def release(meta: Any, _: Any) -> None:
        alive[pyds.NvDsUserMeta.cast(meta).user_meta_data["number"]] -= 1

    def attach(batch: Any, buffer: Any) -> None:
        meta = pyds.gst_buffer_get_nvds_batch_meta(hash(buffer))
        for frame in meta.frames:
            user = pyds.nvds_acquire_user_meta_from_pool(meta)
            user.user_meta_data = make(f"frame of {frame.pad_index}")
            user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_USER_META
            pyds.user_copyfunc(user, copy)
            pyds.user_releasefunc(user, release)
            pyds.nvds_add_user_meta_to_frame(frame, user)

    def look(name: str) -> Any:
        def note(batch: Any, buffer: Any) -> None:
            for frame in batch.meta.frames:
                found[name] += [user.user_meta_data["owner"] for user in frame.user_metas]

        return note

    text = f"{two(4, 4, 'identity name=i !')} d.src_0 ! queue ! fakesink name=a d.src_1 ! queue ! fakesink name=b"
    outcome = play(text, {"i:sink": attach, "a:sink": look("a"), "b:sink": look("b")})
    assert outcome.ok, outcome
    assert found == {"a": ["frame of 0"] * 4, "b": ["frame of 1"] * 4}
    assert alive and set(alive.values()) == {0}


def test_after_a_tiler_there_is_nothing_to_split() -> None:
    outcome = play(f"{two(2, 2, 'nvmultistreamtiler width=64 height=48 !')} d.src_1 ! fakesink")
    assert outcome.end == "error"
    assert "put nvstreamdemux before nvmultistreamtiler" in outcome.errors[0]


def test_logger_prints_each_sources_rate(capfd: pytest.CaptureFixture[str]) -> None:
    live = numbered(40, more="is-live=true")
    outcome = play(f"{live} ! m.sink_0 {live} ! m.sink_1 {MUX} ! nvdslogger fps-measurement-interval-sec=1 ! fakesink")
    assert outcome.ok, outcome
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("**PERF:")]
    assert lines[0].split("\t") == ["**PERF:  FPS 0 (Avg)", "FPS 1 (Avg)"]
    rates = [float(number) for number in re.findall(r"([0-9.]+) \(", lines[1])]
    assert len(rates) == 2 and all(15 < rate < 35 for rate in rates), lines


def test_a_silent_logger_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    live = numbered(30, more="is-live=true")
    assert play(f"{live} ! m.sink_0 {MUX} ! nvdslogger fps-measurement-interval-sec=1 silent=true ! fakesink").ok
    assert "**PERF" not in capfd.readouterr().out
