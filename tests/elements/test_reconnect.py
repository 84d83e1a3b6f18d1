"""nvurisrcbin and an RTSP server that goes away and comes back."""

from __future__ import annotations

import threading
import time
from typing import Any

from millrace.elements.reconnect import Watchdog

from ..rtsp import free_port, live, rtsp_server
from .pipelines import Gst, drain, pad_of, playing, watch


def until(condition: Any, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def pipeline_of(port: int, more: str) -> tuple[Gst.Pipeline, list[int]]:
    pipeline = Gst.parse_launch(
        f"nvurisrcbin uri=rtsp://127.0.0.1:{port}/s0 select-rtp-protocol=4 latency=50 {more} ! m.sink_0 "
        "nvstreammux name=m batch-size=1 width=64 height=48 live-source=true ! fakesink name=out sync=false"
    )
    frames: list[int] = []
    watch(pad_of(pipeline, "out:sink"), lambda batch, buffer: frames.append(next(iter(batch.meta.frames)).frame_num))
    return pipeline, frames


def test_frames_go_on_after_the_server_came_back() -> None:
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1")
    with playing(pipeline):
        with rtsp_server(live(), port):
            # the server was not there yet when the pipeline began
            assert until(lambda: len(frames) > 5), drain(pipeline, 0.1)
        count = len(frames)
        time.sleep(1.5)
        with rtsp_server(live(), port):
            assert until(lambda: len(frames) > count + 10), drain(pipeline, 0.1)
        outcome = drain(pipeline, 0.1)
    assert frames == list(range(len(frames)))
    assert outcome.end == "timeout", outcome
    assert any("no data for 1 s, connecting again (attempt 1)" in text for text in outcome.warnings), outcome


def stats(pipeline: Gst.Pipeline) -> dict[str, Any]:
    """The ``stats`` property as an application reads it."""
    structure = pipeline.get_by_name("s").get_property("stats")
    assert structure.get_name() == "application/x-nvurisrcbin-stats"
    return {
        structure.nth_field_name(i): structure.get_value(structure.nth_field_name(i))
        for i in range(structure.n_fields())
    }


def test_statistics_tell_of_the_interruption() -> None:
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1 source-id=4 name=s")
    assert stats(pipeline) == {
        "source-id": 4, "frames": 0, "attempts": 0, "total-attempts": 0, "reconnects": 0, "last-error": "",
        "last-data-age": Gst.CLOCK_TIME_NONE,
    }  # fmt: skip
    with playing(pipeline):
        with rtsp_server(live(), port):
            assert until(lambda: len(frames) > 5), drain(pipeline, 0.1)
            first = stats(pipeline)
            assert first["frames"] > 5 and first["attempts"] == 0 and first["last-data-age"] < Gst.SECOND
        assert until(lambda: stats(pipeline)["attempts"] >= 2), drain(pipeline, 0.1)
        down = stats(pipeline)
        assert down["last-data-age"] > Gst.SECOND and down["last-error"], down
        count = len(frames)
        with rtsp_server(live(), port):
            assert until(lambda: len(frames) > count + 5), drain(pipeline, 0.1)
            up = stats(pipeline)
    assert up["attempts"] == 0 and up["reconnects"] == first["reconnects"] + 1
    assert up["total-attempts"] >= down["total-attempts"] >= 2 and up["frames"] > down["frames"]


def test_zero_attempts_are_as_many_as_it_takes() -> None:
    """As in DeepStream, 0 is no limit."""
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1 rtsp-reconnect-attempts=0")
    with playing(pipeline):
        time.sleep(2.5)
        with rtsp_server(live(), port):
            assert until(lambda: len(frames) > 5), drain(pipeline, 0.1)


def test_after_an_error_the_first_interval_counts() -> None:
    """A server that goes is an error at once: no need to wait the long interval for silent sources."""
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=60 init-rtsp-reconnect-interval=1")
    with playing(pipeline):
        with rtsp_server(live(), port):
            assert until(lambda: len(frames) > 5), drain(pipeline, 0.1)
        count = len(frames)
        with rtsp_server(live(), port):
            assert until(lambda: len(frames) > count + 5), drain(pipeline, 0.1)


def test_no_more_attempts_end_the_source() -> None:
    port = free_port()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1 rtsp-reconnect-attempts=1")
    with rtsp_server(live(), port):
        pipeline.set_state(Gst.State.PLAYING)
        began = until(lambda: len(frames) > 3)
    outcome = drain(pipeline, 15)
    pipeline.set_state(Gst.State.NULL)
    assert began and outcome.ok, outcome
    assert "attempt-exceeded" in [name for name, _ in outcome.elements]
    uri = f"rtsp://127.0.0.1:{port}/s0"
    assert [text for text in outcome.warnings if text.startswith(uri)] == [
        f"{uri}: no data for 1 s, connecting again (attempt 1 of 1)",
        f"{uri}: no data after 1 attempts to connect again; giving up",
    ]


def test_a_server_that_never_was_there_is_an_error() -> None:
    port = free_port()
    more = "rtsp-reconnect-interval=30 init-rtsp-reconnect-interval=1 rtsp-reconnect-attempts=1"
    pipeline, _ = pipeline_of(port, more)
    with playing(pipeline):
        outcome = drain(pipeline, 15)
    assert outcome.errors == [f"rtsp://127.0.0.1:{port}/s0: no data after 1 attempts to connect again; giving up"], (
        outcome
    )


def test_without_an_interval_a_failure_is_an_error_at_once() -> None:
    pipeline, _ = pipeline_of(free_port(), "")
    with playing(pipeline):
        outcome = drain(pipeline, 10)
    assert outcome.end == "error" and "rtsp://127.0.0.1" in outcome.errors[0]


def test_a_paused_source_is_not_late() -> None:
    calls: list[int] = []
    running = threading.Event()
    dog = Watchdog(0.05, 0, -1, calls.append, lambda: None, running.is_set)
    dog.start("dog")
    time.sleep(0.3)
    assert calls == []
    running.set()
    assert until(lambda: len(calls) >= 2, 5)
    assert dog.data() >= 2
    dog.stop()
    assert dog.reconnects == 1 and calls[0] == 1


def test_an_attempt_does_not_hold_up_a_pipeline_that_stops() -> None:
    """Downstream stalls, so an attempt is made, and waits for what is on its way: the pipeline must not wait for it."""
    port = free_port()
    go_on = threading.Event()
    go_on.set()
    pipeline, frames = pipeline_of(port, "rtsp-reconnect-interval=1 name=s")

    def hold(_pad: Gst.Pad, _info: Any) -> Gst.PadProbeReturn:
        go_on.wait(20)
        return Gst.PadProbeReturn.OK

    pad_of(pipeline, "out:sink").add_probe(Gst.PadProbeType.BUFFER, hold)
    with rtsp_server(live(), port), playing(pipeline):
        assert until(lambda: len(frames) > 3), drain(pipeline, 0.1)
        before = stats(pipeline)["total-attempts"]
        go_on.clear()
        assert until(lambda: stats(pipeline)["total-attempts"] > before), drain(pipeline, 0.1)
        time.sleep(0.3)
        pause = threading.Thread(target=pipeline.set_state, args=(Gst.State.PAUSED,), daemon=True)
        pause.start()
        pause.join(5)
        held_up = pause.is_alive()
        go_on.set()
        pause.join(10)
    assert not held_up
