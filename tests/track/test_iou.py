"""The IOU tracker: stable, unique ids per stream and class."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.track import UNTRACKED, IouTracker, iou_matrix


def test_iou_of_known_boxes() -> None:
    got = iou_matrix([[0, 0, 10, 10]], [[0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 1, 1], [0, 0, 0, 0]])
    assert np.allclose(got, [[1, 1 / 3, 0, 0]])
    assert iou_matrix(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


def test_moving_objects_keep_their_ids() -> None:
    rng = np.random.default_rng(1)
    start = np.array([[50, 50, 40, 80], [300, 60, 50, 90], [600, 400, 60, 60]], float)
    speed = np.array([[6, 1], [-5, 2], [0, -4]], float)
    tracker = IouTracker()
    first = None
    for frame in range(60):
        boxes = start.copy()
        boxes[:, :2] += speed * frame + rng.normal(0, 1, (3, 2))
        order = rng.permutation(3)
        ids = np.empty(3, np.uint64)
        ids[order] = tracker.update(0, frame, boxes[order], np.zeros(3), np.full(3, 0.9))
        first = ids if first is None else first
        assert np.array_equal(ids, first)


def test_a_hidden_object_is_found_again_until_max_age() -> None:
    for hidden, same in ((5, True), (10, True), (11, False)):
        tracker = IouTracker(max_age=10)
        still, step = np.array([[0, 0, 40, 40]], float), np.array([[4, 0, 0, 0]], float)
        for frame in range(20):
            before = tracker.update(0, frame, still + frame * step, [0])
        for frame in range(20, 20 + hidden):
            assert tracker.update(0, frame, np.zeros((0, 4)), []).size == 0
        at = 20 + hidden
        after = tracker.update(0, at, still + at * step, [0])
        assert (after == before).all() == same


def test_skipped_frame_numbers_age_tracks() -> None:
    tracker = IouTracker(max_age=5)
    first = tracker.update(0, 0, [[0, 0, 9, 9]], [0])
    assert tracker.update(0, 6, [[0, 0, 9, 9]], [0]) == first
    assert tracker.update(0, 13, [[0, 0, 9, 9]], [0]) != first
    again = tracker.update(0, 0, [[0, 0, 9, 9]], [0])
    assert again != first


def test_classes_and_streams_are_apart() -> None:
    tracker = IouTracker()
    box = [[0, 0, 10, 10]]
    a = tracker.update(0, 0, box, [0])
    b = tracker.update(0, 1, box, [1])
    c = tracker.update(1, 1, box, [0])
    assert len({int(a[0]), int(b[0]), int(c[0])}) == 3
    assert tracker.update(0, 2, box, [0]) == a
    tracker.remove_stream(0)
    tracker.remove_stream(99)
    assert tracker.active(0).size == 0
    assert tracker.update(0, 3, box, [0])[0] > c[0]
    assert tracker.update(1, 3, box, [0]) == c
    tracker.reset()
    assert tracker.active(1).size == 0


def test_probation() -> None:
    tracker = IouTracker(min_hits=3)
    got = [int(tracker.update(0, f, [[0, 0, 9, 9]], [0])[0]) for f in range(4)]
    assert got == [UNTRACKED, UNTRACKED, 1, 1]


def test_bad_boxes_are_untracked_and_bad_arguments_are_errors() -> None:
    tracker = IouTracker()
    boxes = [[np.nan, 0, 1, 1], [0, 0, -1, 1], [0, 0, 0, 0], [np.inf, 0, 1, 1], [5, 5, 2, 2], [0, 0, 1e300, 1e300]]
    ids = tracker.update(0, 0, np.array(boxes), [0] * 6, [np.nan] * 6)
    assert (ids[[0, 1, 2, 3, 5]] == np.uint64(UNTRACKED)).all()
    assert ids[4] == 1
    with pytest.raises(ValueError, match="do not match"):
        tracker.update(0, 1, [[0, 0, 1, 1]], [0, 1])
    for bad in ({"iou_threshold": 0.0}, {"max_age": -1}, {"min_hits": 0}, {"first_id": -1}):
        with pytest.raises(ValueError, match="must be"):
            IouTracker(**bad)  # type: ignore[arg-type]


box = st.tuples(st.floats(-50, 200), st.floats(-50, 200), st.floats(0.5, 80), st.floats(0.5, 80), st.integers(0, 2))
frames = st.lists(st.tuples(st.integers(0, 1), st.lists(box, max_size=8)), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(frames=frames, motion=st.booleans(), hits=st.integers(1, 2), age=st.integers(0, 3))
def test_invariants(frames, motion, hits, age) -> None:
    tracker = IouTracker(motion=motion, min_hits=hits, max_age=age)
    owner: dict[int, tuple[int, int]] = {}
    for number, (stream, items) in enumerate(frames):
        boxes = np.array([i[:4] for i in items], float).reshape(-1, 4)
        classes = [i[4] for i in items]
        ids = tracker.update(stream, number, boxes, classes, np.linspace(0.1, 0.9, len(items)))
        assert ids.dtype == np.uint64
        assert ids.shape == (len(items),)
        known = [int(i) for i in ids if int(i) != UNTRACKED]
        assert len(set(known)) == len(known)
        for identity, cls in zip(ids.tolist(), classes, strict=True):
            if identity != UNTRACKED:
                assert owner.setdefault(identity, (stream, cls)) == (stream, cls)
        assert set(known) <= set(tracker.active(stream).tolist())


def test_many_objects_are_quick_and_tracks_do_not_pile_up() -> None:
    rng = np.random.default_rng(0)
    tracker = IouTracker(max_age=3)
    start = time.perf_counter()
    for frame in range(50):
        tracker.update(0, frame, rng.uniform(0, 1000, (100, 4)) * [1, 1, 0.05, 0.05] + [0, 0, 1, 1], np.zeros(100))
    assert time.perf_counter() - start < 5
    assert tracker.active(0).size <= 500
