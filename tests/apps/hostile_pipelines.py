"""Pipelines whose probes do what they must not, each run by name in a process of its own: a crash is an exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyds
from millrace.errors import MediaError
from tests.apps.conftest import MUX, NVMM, Probe, run, source, walk


def expect(error: Any, text: str, call: Callable[..., Any], *given: Any) -> None:
    """``call`` raises that error (a class or a tuple of them) with that text."""
    with pytest.raises(error, match=re.escape(text)) as caught:
        call(*given)
    assert str(caught.value)


def play(probe: Probe, frames: int = 8, more: str = "queue ! nvdsosd !", fmt: str = "NV12") -> None:
    """A pipeline with a tee behind the probe, so that metadata are copied too."""
    run(
        f"{source(frames, fmt=fmt)} ! m.sink_0 {MUX} ! identity name=i ! tee name=t t. ! queue ! nvvideoconvert ! "
        f"{NVMM},width=32 ! fakesink t. ! {more} fakesink",
        i_src=probe,
    )


def add_object(batch: Any, frame: Any) -> Any:
    item = pyds.nvds_acquire_obj_meta_from_pool(batch)
    item.rect_params.width = item.rect_params.height = 10
    item.text_params.display_text = "text"
    pyds.nvds_add_obj_meta_to_frame(frame, item, None)
    return item


def pictures_kept() -> None:
    """Arrays stay what they were, and can be written, after their buffers have gone."""
    kept: list[tuple[int, Any]] = []

    def keep(buffer: Any, batch: Any) -> None:
        picture = pyds.get_nvds_buf_surface(hash(buffer), 0)
        picture[:] = len(kept)
        kept.append((len(kept), picture))
        pyds.unmap_nvds_buf_surface(hash(buffer), 0)

    play(keep, 30, fmt="RGBA")
    gc.collect()
    assert len(kept) == 30
    for number, picture in kept:
        assert (picture == number).all(), number
        picture[:] = 255


def wrong_pictures() -> None:
    """Wrong batch ids, addresses and formats."""

    def look(buffer: Any, batch: Any) -> None:
        address = hash(buffer)
        for wrong in (None, "0", 1.5, [], 2**70):
            expect(TypeError, "batch_id needs a whole number", pyds.get_nvds_buf_surface, address, wrong)
        for wrong in (1, -1, 1000):
            expect(MediaError, "there is no picture", pyds.get_nvds_buf_surface, address, wrong)
            expect(MediaError, "there is no picture", pyds.unmap_nvds_buf_surface, address, wrong)
        for wrong in (hash(None), 0, -1, address + 8, id(buffer), id(batch)):
            expect(ValueError, "no Gst.Buffer", pyds.get_nvds_buf_surface, wrong, 0)
        for wrong in (None, "buffer", 1.5):
            expect(TypeError, "hash(gst_buffer)", pyds.get_nvds_buf_surface, wrong, 0)
        expect(MediaError, "only RGBA can be read", pyds.get_nvds_buf_surface, address, 0)
        expect(MediaError, "GPU memory", pyds.get_nvds_buf_surface_gpu, address, np.int64(0))

    play(look, 3)


def everything_kept() -> None:
    """Metadata of buffers that have gone is read and written in every way."""
    kept: list[Any] = []

    def keep(buffer: Any, batch: Any) -> None:
        frame = walk(batch)[0]
        item = add_object(batch, frame)
        user = pyds.nvds_acquire_user_meta_from_pool(batch)
        user.user_meta_data = pyds.alloc_nvds_event_msg_meta(user)
        user.user_meta_data.sensorStr = "sensor"
        pyds.nvds_add_user_meta_to_frame(frame, user)
        display = pyds.nvds_acquire_display_meta_from_pool(batch)
        display.text_params[0].display_text = "shape"
        pyds.nvds_add_display_meta_to_frame(frame, display)
        kept.append((hash(buffer), batch, frame, item, user, display, frame.obj_meta_list))

    play(keep, 6)
    gc.collect()
    for address, batch, frame, item, user, display, node in kept:
        expect((ValueError, MediaError), "", pyds.get_nvds_buf_surface, address, 5)
        for meta in (batch, frame, item, user, display, node, item.rect_params, item.text_params):
            for name in [n for n in dir(meta) if not n.startswith("_")]:
                value = getattr(meta, name)
                if not callable(value):
                    with contextlib.suppress(TypeError, AttributeError):  # strings read as addresses; read-only
                        setattr(meta, name, value)
            repr(meta)
        item.text_params.display_text = "later"
        assert item.text_params.text == "later" and node.data is item
        expect(ValueError, "has gone", pyds.nvds_add_obj_meta_to_frame, frame, pyds.NvDsObjectMeta(), None)
        expect(ValueError, "has gone", pyds.NvDsObjectMeta.cast, hash(item))
        expect(ValueError, "has gone", pyds.nvds_acquire_user_meta_from_pool, batch)
        assert pyds.get_string(user.user_meta_data.sensorStr) is None  # released with its buffer


def added_and_removed_twice() -> None:
    """Metadata added twice, to another batch, and removed twice."""
    before: list[Any] = []

    def mix(buffer: Any, batch: Any) -> None:
        frame = walk(batch)[0]
        item = add_object(batch, frame)
        expect(ValueError, "added before", pyds.nvds_add_obj_meta_to_frame, frame, item, None)
        for old in before:
            expect(ValueError, "", pyds.nvds_add_obj_meta_to_frame, frame, old, None)
        before.append(item)
        second = add_object(batch, frame)
        pyds.nvds_remove_obj_meta_from_frame(frame, second)
        expect(ValueError, "is not in this", pyds.nvds_remove_obj_meta_from_frame, frame, second)
        user = pyds.nvds_acquire_user_meta_from_pool(batch)
        pyds.nvds_add_user_meta_to_frame(frame, user)
        expect(ValueError, "added before", pyds.nvds_add_user_meta_to_batch, batch, user)
        pyds.nvds_remove_user_meta_from_frame(frame, user)
        expect(ValueError, "is not in this", pyds.nvds_remove_user_meta_from_frame, frame, user)
        expect(ValueError, "on a buffer", pyds.nvds_destroy_batch_meta, batch)
        expect(TypeError, "list of NvDsFrameMeta needs", setattr, batch.frame_meta_list, "data", None)
        text = pyds.alloc_buffer(10)
        pyds.free_buffer(text)
        expect(ValueError, "freed before", pyds.free_buffer, text)
        for wrong in (12345, id(frame), 2**62):
            expect(ValueError, "not a buffer of pyds", pyds.free_buffer, wrong)

    play(mix)


def removed_while_walking() -> None:
    """Every object of a list is removed, and others are added, by the walk that is at it."""
    left: list[int] = []

    def walk_and_remove(buffer: Any, batch: Any) -> None:
        frame = walk(batch)[0]
        for _ in range(200):
            add_object(batch, frame)
        node, count = frame.obj_meta_list, 0
        while node is not None:
            pyds.nvds_remove_obj_meta_from_frame(frame, pyds.NvDsObjectMeta.cast(node.data))
            if count < 50:
                add_object(batch, frame)
            node, count = node.next, count + 1
        left.append(frame.num_obj_meta)

    play(walk_and_remove, 4)
    assert left == [0] * 4


def read_by_other_threads() -> None:
    """Threads read, and try to change, the metadata of whatever buffer is under way."""
    current: list[Any] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def publish(buffer: Any, batch: Any) -> None:
        frame = walk(batch)[0]
        for _ in range(10):
            add_object(batch, frame)
        current[:] = [(batch, frame)]

    def read() -> None:
        while not done.is_set():
            if not current:
                continue
            batch, frame = current[0]
            try:
                for item in frame.objects:
                    assert item.text_params.text == "text"
                    pyds.NvDsObjectMeta.cast(pyds.get_ptr(item))
                add_object(batch, frame)
                pyds.nvds_remove_obj_meta_from_frame(frame, frame.objects[-1])
            except (ValueError, IndexError):
                pass  # gone, or removed by another thread
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        play(publish, 150)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


def wild_functions() -> None:
    """Functions that are called back fail in every way, or call back into pyds."""
    released: list[int] = []

    def add(buffer: Any, batch: Any) -> None:
        frame = walk(batch)[0]

        def copy(meta: Any, _: Any) -> Any:
            user = pyds.NvDsUserMeta.cast(meta)
            pyds.nvds_add_user_meta_to_frame(frame, pyds.nvds_acquire_user_meta_from_pool(batch))
            return user

        def release(meta: Any, _: Any) -> None:
            released.append(1)
            pyds.nvds_remove_user_meta_from_frame(frame, meta)
            raise SystemExit(3)

        for function in (copy, lambda meta, _: 1 / 0, lambda: None, lambda meta, _: None):
            user = pyds.nvds_acquire_user_meta_from_pool(batch)
            user.user_meta_data = user if function is copy else {"a": 1}
            pyds.user_copyfunc(user, function)
            pyds.user_releasefunc(user, release)
            pyds.nvds_add_user_meta_to_frame(frame, user)
        expect(TypeError, "", pyds.user_copyfunc, user, "copy")

    play(add, 4)
    gc.collect()
    assert len(released) >= 4 * 4


SCENARIOS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        pictures_kept, wrong_pictures, everything_kept, added_and_removed_twice, removed_while_walking,
        read_by_other_threads, wild_functions,
    )
}  # fmt: skip

if __name__ == "__main__":
    faulthandler.enable()
    SCENARIOS[sys.argv[1]]()
    print("survived")
