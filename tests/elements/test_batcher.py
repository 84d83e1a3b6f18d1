"""How batches form, in plain Python with threads for sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace.elements.batcher import QUEUE_FRAMES, Batcher, Frame, Round
from millrace.surface import HostSurface

SURFACE = HostSurface.allocate(2, 2, "RGBA")
MS = 1_000_000


def frame(number: int, running_ms: int = 0, duration_ms: int = 40) -> Frame:
    return Frame(SURFACE, number * MS, running_ms * MS, duration_ms * MS, 0, (2, 2), number)


def numbers(turn: Round | None) -> list[tuple[int, int]]:
    assert turn is not None
    return [(index, item.number) for index, item in turn.frames]


@contextmanager
def feeding(batcher: Batcher, counts: dict[int, int], pause_s: float = 0.0) -> Iterator[None]:
    """One thread a source puts its frames and ends."""

    def feed(index: int, count: int) -> None:
        for number in range(count):
            if not batcher.put(index, frame(number, running_ms=number * 40)):
                return
            if pause_s:
                time.sleep(pause_s)
        batcher.end(index)

    threads = [threading.Thread(target=feed, args=item) for item in counts.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        batcher.stop()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)


def started(sources: int, batch_size: int = 0, timeout_s: float = -1.0, sync: bool = False) -> Batcher:
    batcher = Batcher(batch_size, timeout_s, sync)
    for index in range(sources):
        batcher.add(index)
    batcher.start()
    return batcher


def drain(batcher: Batcher) -> list[Round]:
    rounds: list[Round] = []
    while not rounds or not rounds[-1].finished:
        turn = batcher.take()
        assert turn is not None
        rounds.append(turn)
    return rounds


def test_batch_size_zero_takes_one_frame_of_each_source() -> None:
    batcher = started(3)
    with feeding(batcher, {0: 4, 1: 4, 2: 4}):
        rounds = [turn for turn in drain(batcher) if turn.frames]
    assert [numbers(turn) for turn in rounds] == [[(0, n), (1, n), (2, n)] for n in range(4)]


def test_a_fast_source_does_not_push_a_slow_one_out() -> None:
    batcher = started(2, batch_size=4, timeout_s=0.5)
    with feeding(batcher, {0: 100}):
        time.sleep(0.02)  # source 0 has its queue full
        for number in range(2):
            batcher.put(1, frame(number))
        assert [numbers(batcher.take()) for _ in range(2)] == [[(0, n), (1, n)] for n in range(2)]


def test_an_unfilled_batch_goes_at_the_timeout() -> None:
    batcher = started(2, batch_size=2, timeout_s=0.05)
    batcher.put(0, frame(0))
    began = time.monotonic()
    assert numbers(batcher.take()) == [(0, 0)]
    assert 0.04 < time.monotonic() - began < 0.5


def test_a_source_gives_one_frame_to_a_batch_however_much_room_there_is() -> None:
    batcher = started(2, batch_size=4, timeout_s=0.02)
    with feeding(batcher, {0: 3, 1: 1}):
        assert [numbers(batcher.take()) for _ in range(3)] == [[(0, 0), (1, 0)], [(0, 1)], [(0, 2)]]


def test_a_fast_live_source_does_not_wait_for_a_slow_one() -> None:
    batcher = started(2, timeout_s=5.0)
    batcher.live = True
    for number in range(3):
        batcher.put(0, frame(number))
    began = time.monotonic()
    assert [numbers(batcher.take()) for _ in range(2)] == [[(0, 0)], [(0, 1)]]
    assert time.monotonic() - began < 1


def test_without_timeout_a_batch_waits_until_it_is_full() -> None:
    batcher = started(2, batch_size=2)
    got: list[Round | None] = []
    taker = threading.Thread(target=lambda: got.append(batcher.take()))
    taker.start()
    batcher.put(0, frame(0))
    time.sleep(0.05)
    assert not got
    batcher.put(1, frame(0))
    taker.join(2)
    assert numbers(got[0]) == [(0, 0), (1, 0)]


def test_the_end_of_a_source_is_told_once_after_its_last_frame() -> None:
    batcher = started(2)
    with feeding(batcher, {0: 1, 1: 3}):
        rounds = drain(batcher)
    flat = [("frame", *item) for turn in rounds for item in numbers(turn)]
    assert flat == [("frame", 0, 0), ("frame", 1, 0), ("frame", 1, 1), ("frame", 1, 2)]
    assert [index for turn in rounds for index in turn.ended] == [0, 1]
    assert [turn.finished for turn in rounds] == [False] * (len(rounds) - 1) + [True]
    first_end = next(i for i, turn in enumerate(rounds) if 0 in turn.ended)
    assert all(index != 0 for turn in rounds[first_end + 1 :] for index, _ in numbers(turn))


def test_a_source_that_starts_late_joins() -> None:
    batcher = started(1, timeout_s=0.02)
    batcher.put(0, frame(0))
    assert numbers(batcher.take()) == [(0, 0)]
    batcher.add(7)
    batcher.put(0, frame(1))
    batcher.put(7, frame(0))
    assert numbers(batcher.take()) == [(0, 1), (7, 0)]


def test_a_silent_source_holds_up_a_batch_only_for_its_timeout() -> None:
    batcher = started(2, timeout_s=0.02)
    began = time.monotonic()
    with feeding(batcher, {0: 6}):
        taken = [item for _ in range(6) for item in numbers(batcher.take())]
    assert taken == [(0, n) for n in range(6)]
    assert time.monotonic() - began < 1


def test_put_waits_while_the_queue_is_full() -> None:
    batcher = started(1)
    for number in range(QUEUE_FRAMES):
        assert batcher.put(0, frame(number))
    results: list[bool] = []
    putter = threading.Thread(target=lambda: results.append(batcher.put(0, frame(QUEUE_FRAMES))))
    putter.start()
    time.sleep(0.03)
    assert not results
    assert numbers(batcher.take()) == [(0, 0)]
    putter.join(2)
    assert results == [True]


@pytest.mark.parametrize("sync", [False, True])
def test_stop_wakes_everybody(sync: bool) -> None:
    batcher = started(2, sync=sync)
    results: list[object] = []
    for _ in range(QUEUE_FRAMES):
        batcher.put(0, frame(0))
    threads = [
        threading.Thread(target=lambda: results.append(batcher.put(0, frame(0)))),
        threading.Thread(target=lambda: results.append(batcher.put(0, frame(0)))),
    ]
    idle = started(2, sync=sync)
    threads.append(threading.Thread(target=lambda: results.append(idle.take())))
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    batcher.stop()
    idle.stop()
    for thread in threads:
        thread.join(2)
        assert not thread.is_alive()
    assert sorted(map(str, results)) == ["False", "False", "None"]
    assert not batcher.put(0, frame(0))
    assert batcher.take() is None


def test_removing_a_source_wakes_its_producer() -> None:
    batcher = started(1)
    for number in range(QUEUE_FRAMES):
        batcher.put(0, frame(number))
    results: list[bool] = []
    putter = threading.Thread(target=lambda: results.append(batcher.put(0, frame(9))))
    putter.start()
    batcher.remove(0)
    putter.join(2)
    assert results == [False]
    assert batcher.number(0) == 0


def test_removing_the_last_running_source_finishes() -> None:
    """The others have ended and been told: what is left has ended."""
    batcher = started(2)
    batcher.end(0)
    turn = batcher.take()
    assert turn is not None and turn.ended == [0] and not turn.finished
    batcher.remove(1)
    turn = batcher.take()
    assert turn is not None and turn.finished and not turn.frames


def test_start_again_after_stop() -> None:
    batcher = started(1)
    batcher.put(0, frame(0))
    batcher.end(0)
    batcher.stop()
    batcher.start()
    assert batcher.number(0) == 0
    batcher.put(0, frame(5))
    assert numbers(batcher.take()) == [(0, 5)]


def test_sync_pairs_frames_of_the_same_running_time() -> None:
    batcher = started(2, sync=True)
    for number in range(4):
        batcher.put(0, frame(number, running_ms=number * 40))
    for number in range(2):
        batcher.put(1, frame(number, running_ms=number * 80, duration_ms=80))
    batcher.end(0)
    batcher.end(1)
    rounds = drain(batcher)
    assert [numbers(turn) for turn in rounds if turn.frames] == [
        [(0, 0), (1, 0)],
        [(0, 1)],
        [(0, 2), (1, 1)],
        [(0, 3)],
    ]


def test_flush() -> None:
    """What was queued goes, a producer that waits goes on, and after the flush the source starts again."""
    batcher = started(1)
    for number in range(QUEUE_FRAMES):
        batcher.put(0, frame(number))
    results: list[bool] = []
    putter = threading.Thread(target=lambda: results.append(batcher.put(0, frame(9))))
    putter.start()
    time.sleep(0.01)
    batcher.flush(0, True)
    putter.join(2)
    assert results == [False]
    assert not batcher.put(0, frame(10))
    batcher.flush(0, False)
    assert batcher.put(0, frame(11))
    assert numbers(batcher.take()) == [(0, 11)]


@pytest.mark.parametrize("sync", [False, True])
def test_hold_forgets_the_batch_that_is_forming(sync: bool) -> None:
    batcher = started(2, batch_size=2, sync=sync)
    got: list[Round | None] = []
    taker = threading.Thread(target=lambda: got.append(batcher.take()))
    taker.start()
    batcher.put(0, frame(0))
    time.sleep(0.02)
    batcher.hold(True)
    time.sleep(0.02)
    for index in (0, 1):
        batcher.flush(index, True)
        batcher.flush(index, False)
        batcher.put(index, frame(5))
    time.sleep(0.02)
    assert not got
    batcher.hold(False)
    taker.join(2)
    assert numbers(got[0]) == [(0, 5), (1, 5)]


def test_sync_does_not_spin_after_a_flush() -> None:
    """A source that lost its frames while the other one was awaited leaves nothing to hurry for."""
    batcher = started(2, sync=True)
    batcher.put(0, frame(0))
    taker = threading.Thread(target=batcher.take)
    taker.start()
    time.sleep(0.01)
    batcher.flush(0, True)
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - before < 0.05
    batcher.stop()
    taker.join(2)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    counts=st.lists(st.integers(0, 15), min_size=1, max_size=4),
    batch_size=st.integers(0, 6),
    timeout_ms=st.sampled_from([-1, 0, 1, 5]),
    sync=st.booleans(),
)
def test_every_frame_comes_out_once_and_in_order(
    counts: list[int], batch_size: int, timeout_ms: int, sync: bool
) -> None:
    batcher = started(len(counts), batch_size, timeout_ms / 1e3, sync)
    with feeding(batcher, dict(enumerate(counts))):
        rounds = drain(batcher)
    limit = batch_size or len(counts)
    assert all(len(turn.frames) <= limit for turn in rounds)
    for index, count in enumerate(counts):
        assert [n for turn in rounds for i, n in numbers(turn) if i == index] == list(range(count))
    assert sorted(index for turn in rounds for index in turn.ended) == list(range(len(counts)))
