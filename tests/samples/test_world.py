"""The procedural world: ground truth fits the pictures and follows from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from millrace.errors import MillraceError
from millrace.samples import World


def test_same_seed_and_moment_give_the_same_frame() -> None:
    first, people = World(5).frame(1.25)
    other = World(5)
    other.frame(7.0)
    second, again = other.frame(1.25)
    assert np.array_equal(first, second)
    assert [p.box for p in people] == [p.box for p in again]
    assert not np.array_equal(first, World(6).frame(1.25)[0])


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (200, 150)])
def test_ground_truth_lies_in_the_frame(size: tuple[int, int]) -> None:
    width, height = size
    for seed in range(6):
        image, people = World(seed, width, height).frame(2.0 + seed)
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
        for person in people:
            left, top, w, h = person.box
            assert left >= 0 and top >= 0 and left + w <= width and top + h <= height and w >= 1 and h >= 1
            assert 0 < person.visible <= 1.0 + 1e-9
            assert person.keypoints.shape == (17, 3)
            x, y, flag = person.keypoints.T
            inside = flag > 0
            assert np.array_equal(inside, (x >= 0) & (x < width) & (y >= 0) & (y < height))
            assert (x[inside] >= left - 2).all() and (x[inside] <= left + w + 2).all()
            assert (y[inside] >= top - 2).all() and (y[inside] <= top + h + 2).all()


def test_people_move_and_keep_their_track_ids() -> None:
    world = World(11, people=5)
    early = {p.track_id: p for p in world.frame(3.0)[1]}
    late = {p.track_id: p for p in world.frame(3.2)[1]}
    common = early.keys() & late.keys()
    assert common
    moved = [np.abs(early[k].keypoints[:, :2] - late[k].keypoints[:, :2]).max() for k in common]
    assert max(moved) > 1.0
    assert all(m < 80 for m in moved)


def test_box_is_the_silhouette() -> None:
    """A lone figure's pixels, found by comparing with the empty scene, reach all four edges of its box."""
    for seed in range(40):
        world = World(seed, people=1)
        film = world._film
        film._noise = (film._noise[0] * 0, film._noise[1] * 0)
        image, people = world.frame(4.0)
        if not people or people[0].visible < 0.999:
            continue
        figure = world.actors
        world.actors = [a for a in figure if type(a).__name__ == "PropActor"]
        empty, _ = world.frame(4.0)
        left, top, w, h = people[0].box
        changed = np.abs(image.astype(int) - empty.astype(int)).sum(axis=2) > 8
        rows, _columns = np.nonzero(changed)
        assert abs(rows.min() - top) < 3 and changed[int(top) : int(top + h) + 1, int(left) : int(left + w) + 1].any()
        return
    pytest.fail("no world with one wholly visible figure among 40 seeds")


def test_crowd_count_and_errors() -> None:
    assert World(1, people=0).frame(0.0)[1] == []
    assert len([a for a in World(1, people=9).actors if hasattr(a, "_mode")]) == 9
    with pytest.raises(MillraceError, match="out of range"):
        World(1, width=10)
    with pytest.raises(MillraceError, match="people"):
        World(1, people=-1)
