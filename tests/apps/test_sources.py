"""Sources that come and go while the pipeline plays."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
from gi.repository import Gst

import pyds
from millrace.elements._native import event_type

from ..rtsp import live, rtsp_server
from .conftest import probe, source, wait, walk

PAD_ADDED, PAD_DELETED = 400, 401


def make_bin(pattern: str) -> Gst.Bin:
    return Gst.parse_bin_from_description(source(100_000, pattern, more="is-live=true"), True)


def until(condition: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_sources_are_added_and_deleted_at_run_time() -> None:
    pipeline = Gst.parse_launch(
        "nvstreammux name=m batch-size=4 width=64 height=48 batched-push-timeout=33000 live-source=1 ! "
        "nvmultistreamtiler width=128 height=96 rows=2 columns=2 ! fakesink name=out sync=false"
    )
    mux = pipeline.get_by_name("m")
    seen: Counter[int] = Counter()
    numbers: dict[int, list[int]] = {}
    events: list[tuple[int, int]] = []

    def look(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            seen[frame.pad_index] += 1
            numbers.setdefault(frame.pad_index, []).append(frame.frame_num)

    def note(_pad: Any, info: Any) -> Gst.PadProbeReturn:
        number = event_type(info.get_event()) >> 8
        if number in (PAD_ADDED, PAD_DELETED):
            events.append((number, info.get_event().get_structure().get_uint("source-id")[1]))
        return Gst.PadProbeReturn.OK

    mux.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, note)
    probe(pipeline, "out:sink", look)
    sources: dict[int, Gst.Bin] = {}

    def add(index: int, pattern: str) -> None:
        sources[index] = one = make_bin(pattern)
        pipeline.add(one)
        one.get_static_pad("src").link(mux.request_pad_simple(f"sink_{index}"))
        one.sync_state_with_parent()

    def delete(index: int) -> None:
        one = sources.pop(index)
        assert one.set_state(Gst.State.NULL) == Gst.StateChangeReturn.SUCCESS
        pad = mux.get_static_pad(f"sink_{index}")
        pad.send_event(Gst.Event.new_flush_stop(False))
        mux.release_request_pad(pad)
        pipeline.remove(one)

    add(0, "red")
    pipeline.set_state(Gst.State.PLAYING)
    try:
        assert until(lambda: seen[0] > 3)
        add(3, "blue")
        assert until(lambda: seen[3] > 3)
        add(1, "green")
        assert until(lambda: seen[1] > 3)
        delete(3)
        time.sleep(0.2)
        gone, others = seen[3], seen[0]
        assert until(lambda: seen[0] > others + 5)
        assert seen[3] == gone
        add(3, "white")
        assert until(lambda: seen[3] > gone + 3)
        assert numbers[3][gone] == 0  # a source that joins counts from the start
        for index in list(sources):
            delete(index)
        assert [pad.get_name() for pad in mux.sinkpads] == []
    except AssertionError:
        message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        assert message is None, message.parse_error()
        raise
    finally:
        pipeline.set_state(Gst.State.NULL)
    assert events[:5] == [(PAD_ADDED, 0), (PAD_ADDED, 3), (PAD_ADDED, 1), (PAD_DELETED, 3), (PAD_ADDED, 3)]


def test_adding_and_deleting_many_times_leaves_nothing_behind() -> None:
    pipeline = Gst.parse_launch(
        f"{source(100_000, more='is-live=true')} ! m.sink_0 nvstreammux name=m batch-size=2 width=64 height=48 "
        "batched-push-timeout=20000 live-source=1 ! fakesink name=out sync=false"
    )
    mux = pipeline.get_by_name("m")
    seen: Counter[int] = Counter()
    probe(pipeline, "out:sink", lambda buffer, meta: seen.update(frame.pad_index for frame in walk(meta)))
    threads = threading.active_count()
    pipeline.set_state(Gst.State.PLAYING)
    try:
        for _ in range(8):
            before = seen[1]
            one = make_bin("blue")
            pipeline.add(one)
            pad = mux.request_pad_simple("sink_1")
            one.get_static_pad("src").link(pad)
            one.sync_state_with_parent()
            assert until(lambda before=before: seen[1] > before)  # type: ignore[misc]
            one.set_state(Gst.State.NULL)
            mux.release_request_pad(pad)
            pipeline.remove(one)
        assert [pad.get_name() for pad in mux.sinkpads] == ["sink_0"]
    finally:
        pipeline.set_state(Gst.State.NULL)
    assert until(lambda: threading.active_count() <= threads)


def test_each_source_out_on_its_own_with_metadata() -> None:
    seen: dict[int, list[str]] = {0: [], 1: []}
    pipeline = Gst.parse_launch(
        f"{source(4)} ! m.sink_0 {source(4, 'blue')} ! m.sink_1 nvstreammux name=m batch-size=2 width=64 height=48 ! "
        "identity name=i ! nvstreamdemux name=d d.src_0 ! queue ! nvdsosd ! fakesink name=a "
        "d.src_1 ! queue ! nvdsosd ! fakesink name=b"
    )

    def add(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            obj = pyds.nvds_acquire_obj_meta_from_pool(batch_meta)
            obj.obj_label = f"object of {frame.pad_index}"
            pyds.nvds_add_obj_meta_to_frame(frame, obj, None)

    def look(index: int) -> Any:
        def note(buffer: Any, batch_meta: Any) -> None:
            seen[index] += [obj.obj_label for frame in walk(batch_meta) for obj in frame.objects]

        return note

    probe(pipeline, "i:sink", add)
    probe(pipeline, "a:sink", look(0))
    probe(pipeline, "b:sink", look(1))
    pipeline.set_state(Gst.State.PLAYING)
    wait(pipeline)
    pipeline.set_state(Gst.State.NULL)
    assert seen == {0: ["object of 0"] * 4, 1: ["object of 1"] * 4}


@pytest.mark.parametrize("how", ["to its end", "in its midst"])
def test_four_rtsp_streams_stop(how: str) -> None:
    """Four streams, batched and tiled: the end of all is the end of the pipeline, and stopping takes no time."""
    with rtsp_server(live(frames=40), count=4) as uris:
        sources = " ".join(
            f"nvurisrcbin uri={uri} select-rtp-protocol=4 ! queue ! m.sink_{index}" for index, uri in enumerate(uris)
        )
        pipeline = Gst.parse_launch(
            "nvstreammux name=m batch-size=4 width=64 height=48 batched-push-timeout=40000 live-source=1 ! "
            "nvmultistreamtiler width=128 height=96 rows=2 columns=2 ! nvdsosd ! fakesink name=out sync=false "
            + sources
        )
        seen: Counter[int] = Counter()
        probe(pipeline, "out:sink", lambda buffer, meta: seen.update(frame.pad_index for frame in walk(meta)))
        pipeline.set_state(Gst.State.PLAYING)
        if how == "to its end":
            wait(pipeline, 30)
            assert sorted(seen) == [0, 1, 2, 3] and min(seen.values()) > 20, seen
        else:
            assert until(lambda: len(seen) == 4 and min(seen.values()) > 5), seen
        stop = threading.Thread(target=pipeline.set_state, args=(Gst.State.NULL,), daemon=True)
        stop.start()
        stop.join(10)
        assert not stop.is_alive()
