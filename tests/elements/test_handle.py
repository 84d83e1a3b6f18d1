"""The batch that rides on a buffer: freed with it, copied with it, kept by elements that know nothing of it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from millrace.elements import _native, handle
from millrace.meta.batch import Batch
from millrace.meta.functions import (
    nvds_acquire_frame_meta_from_pool,
    nvds_acquire_obj_meta_from_pool,
    nvds_acquire_user_meta_from_pool,
    nvds_add_frame_meta_to_batch,
    nvds_add_obj_meta_to_frame,
    nvds_add_user_meta_to_frame,
    nvds_create_batch_meta,
)
from millrace.surface import HostSurface

from .pipelines import NVMM, Gst, drain, numbered, pad_of, play, playing, resident, watch


def make_batch() -> Batch:
    surface = HostSurface.allocate(8, 8, "RGBA")
    surface.fill(0, 0, 0)
    meta = nvds_create_batch_meta(1)
    nvds_add_frame_meta_to_batch(meta, nvds_acquire_frame_meta_from_pool(meta))
    return Batch([surface], meta)


def test_freed_with_the_buffer() -> None:
    batch = make_batch()
    alive = weakref.ref(batch)
    address = handle.new_handle(batch, pts=5, duration=7)
    assert _native.buffer_fields(address).pts == 5
    assert _native.buffer_fields(address).duration == 7
    assert handle.batch_of(address) is batch
    meta = batch.meta
    assert meta is not None
    del batch
    gc.collect()
    assert alive() is not None
    _native.mini_object_unref(address)
    assert alive() is None
    with pytest.raises(ValueError, match="gone"):
        nvds_acquire_obj_meta_from_pool(meta)


def test_attach_replaces_the_old_batch() -> None:
    first, second = make_batch(), make_batch()
    alive = weakref.ref(first)
    address = handle.new_handle(first)
    del first
    handle.attach(address, second)
    assert alive() is None
    assert handle.batch_of(address) is second
    _native.mini_object_unref(address)


def test_buffer_without_a_batch() -> None:
    address = _native.new_buffer(16)
    assert handle.batch_of(address) is None
    _native.mini_object_unref(address)


def test_copy_is_deep() -> None:
    batch = make_batch()
    address = handle.new_handle(batch)
    _native.mini_object_ref(address)  # somebody else holds it too
    copied = _native.make_writable(address)
    assert copied != address
    twin = handle.batch_of(copied)
    assert twin is not None and twin is not batch
    assert twin.meta is not None and batch.meta is not None
    twin.meta.frames[0].frame_num = 99
    assert batch.meta.frames[0].frame_num == 0
    twin.surfaces[0] = twin.surfaces[0].writable()
    twin.surfaces[0].fill(1, 1, 1)
    assert batch.surfaces[0].array()[0, 0, 0] == 0
    assert twin.surfaces[0].array()[0, 0, 0] == 255
    _native.mini_object_unref(copied)
    _native.mini_object_unref(address)


def test_tee_branches_do_not_see_each_other() -> None:
    """What one branch adds and draws is not on the other."""
    seen: dict[str, list[Any]] = {"plain": [], "drawn": []}

    def add_box(batch: Batch, _buffer: Any) -> None:
        assert batch.meta is not None
        frame = batch.meta.frames[0]
        item = nvds_acquire_obj_meta_from_pool(batch.meta)
        item.rect_params.left = item.rect_params.top = 4
        item.rect_params.width = item.rect_params.height = 30
        item.rect_params.border_width = 4
        item.rect_params.border_color.set(1, 0, 0, 1)
        nvds_add_obj_meta_to_frame(frame, item, None)

    def note(name: str) -> Any:
        def look(batch: Batch, _buffer: Any) -> None:
            assert batch.meta is not None
            frame = batch.meta.frames[0]
            seen[name].append((frame.frame_num, len(frame.objects), batch.surfaces[0].to_rgb()[4:34, 4:34].copy()))

        return look

    pipeline = Gst.parse_launch(
        f"{numbered(6, more='pattern=black')} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! "
        "tee name=t t. ! queue ! nvtracker name=own ! nvdsosd name=osd ! fakesink name=drawn "
        "t. ! queue ! fakesink name=plain"
    )
    watch(pad_of(pipeline, "own:src"), add_box)  # after an element that makes the buffer its own
    watch(pad_of(pipeline, "drawn:sink"), note("drawn"))
    watch(pad_of(pipeline, "plain:sink"), note("plain"))
    with playing(pipeline):
        assert drain(pipeline).ok
    assert [count for _, count, _ in seen["plain"]] == [0] * 6
    assert [count for _, count, _ in seen["drawn"]] == [1] * 6
    assert all(picture[..., 0].max() < 40 for _, _, picture in seen["plain"])
    assert all(picture[..., 0].max() > 150 for _, _, picture in seen["drawn"])


@pytest.mark.parametrize(
    "between", ["queue", f"capsfilter caps={NVMM}", f"nvvideoconvert ! {NVMM},format=RGBA", "identity"]
)
def test_user_meta_survives(between: str) -> None:
    names: list[str] = []

    def add(batch: Batch, _buffer: Any) -> None:
        assert batch.meta is not None
        frame = batch.meta.frames[0]
        user = nvds_acquire_user_meta_from_pool(batch.meta)
        user.user_meta_data = {"text": f"frame {frame.frame_num}"}
        nvds_add_user_meta_to_frame(frame, user)

    def read(batch: Batch, _buffer: Any) -> None:
        assert batch.meta is not None
        names.extend(u.user_meta_data["text"] for f in batch.meta.frames for u in f.user_metas)

    outcome = play(
        f"{numbered(4)} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! {between} ! fakesink name=out",
        {"m:src": add, "out:sink": read},
    )
    assert outcome.ok, outcome
    assert names == [f"frame {n}" for n in range(4)]


def test_metadata_reaches_system_memory() -> None:
    """A batch downloaded to system memory keeps its metadata for probes there."""
    numbers: list[int] = []

    def read(batch: Batch, buffer: Any) -> None:
        assert batch is not None and batch.meta is not None
        numbers.append(batch.meta.frames[0].frame_num)
        assert np.frombuffer(buffer.extract_dup(0, 64), np.uint8).size == 64

    outcome = play(
        f"{numbered(4)} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! nvvideoconvert ! "
        "video/x-raw,format=I420 ! fakesink name=out",
        {"out:sink": read},
    )
    assert outcome.ok, outcome
    assert numbers == list(range(4))


def test_memory_stays_flat_over_20000_buffers() -> None:
    count = 0
    sizes: list[int] = []
    refs: list[weakref.ref[Batch]] = []

    def look(batch: Batch, _buffer: Any) -> None:
        nonlocal count
        count += 1
        if count % 1000 == 0:
            refs.append(weakref.ref(batch))
            sizes.append(resident())

    outcome = play(
        f"{numbered(20000, 32, 32)} ! m.sink_0 nvstreammux name=m batch-size=1 width=32 height=32 ! "
        "fakesink sync=false name=out",
        {"out:sink": look},
        60,
    )
    assert outcome.ok, outcome
    assert count == 20000
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)
    assert min(sizes[-5:]) - sizes[4] < 2_000_000, sizes
