"""Wrong values, wrong places and metadata that is gone: a clear error each time, and never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.meta import api
from millrace.meta.batch import Batch

HERE = Path(__file__).resolve().parent
SRC = HERE.parents[1] / "src"


def make_frame() -> tuple[Any, Any]:
    batch = api.nvds_create_batch_meta(1)
    frame = api.nvds_acquire_frame_meta_from_pool(batch)
    api.nvds_add_frame_meta_to_batch(batch, frame)
    return batch, frame


def test_every_function_method_and_field_survives_what_does_not_belong_there() -> None:
    pytest.importorskip("gi", reason="GStreamer's Python bindings are not installed")
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / "hostile_calls.py")],
        env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    assert "CRITICAL" not in result.stderr


def whole_fields() -> list[str]:
    """``Class.field`` of every field that holds a whole number and can be set."""
    found = []
    for name, cls in api.NAMES.items():
        if not isinstance(cls, type) or not hasattr(cls, "cast") or cls.__module__.endswith(".preprocess"):
            continue
        if name != cls.__name__:
            continue  # an old name of another class
        for field in [f for f in dir(cls) if not f.startswith("_")]:
            made = cls()
            value = getattr(made, field)
            pointer = field.endswith(("ptr", "signature", "font_name", "display_text", "message")) or field == "ts"
            if isinstance(value, int) and not isinstance(value, bool) and not pointer:
                try:
                    setattr(made, field, value)
                except (AttributeError, TypeError):
                    continue  # read-only, or a string that reads as an address
                found.append(f"{name}.{field}")
    return found


def test_numbers_out_of_range_and_of_another_type_name_the_field() -> None:
    fields = whole_fields()
    assert len(fields) > 100
    for path in fields:
        name, field = path.split(".")
        made = getattr(api, name)()
        for wrong in (None, 2**70, -(2**70), 1.5, "1", b"1", [1], object(), np.zeros(2)):
            with pytest.raises(TypeError, match=rf"{name}\.{field} needs"):
                setattr(made, field, wrong)


def test_numbers_of_numpy_are_numbers() -> None:
    _, frame = make_frame()
    frame.source_frame_width = np.float32(640.7)  # the bindings cut it too
    frame.batch_id = np.array([3])
    frame.frame_num = np.int16(-4)
    assert (frame.source_frame_width, frame.batch_id, frame.frame_num) == (640, 3, -4)


def test_structures_take_structures_only() -> None:
    _, frame = make_frame()
    obj = api.nvds_acquire_obj_meta_from_pool(frame.base_meta.batch_meta)
    for wrong in (None, (1, 2, 3, 4), 5, api.NvOSD_ColorParams()):
        with pytest.raises(TypeError, match=r"NvDsObjectMeta\.rect_params needs a NvOSD_RectParams"):
            obj.rect_params = wrong
    for wrong in (None, [1], range(5), "abcd", [0.5] * 4, [2**70, 0, 0, 0]):
        with pytest.raises(TypeError, match="misc_obj_info"):
            obj.misc_obj_info = wrong
    obj.misc_obj_info = [1, -2, 3, 2**40]
    assert obj.misc_obj_info.tolist() == [1, -2, 3, 2**40]


def test_fields_that_can_only_be_read() -> None:
    surface, layer = api.NvBufSurfaceParams(), api.NvDsInferLayerInfo("out")
    for made, field in ((surface, "width"), (surface, "dataPtr"), (layer, "layerName"), (layer, "inferDims")):
        with pytest.raises(AttributeError, match=rf"{type(made).__name__}\.{field} can only be read"):
            setattr(made, field, 1)


def test_adding_what_was_added_before_or_is_of_another_batch() -> None:
    (batch, frame), (other, other_frame) = make_frame(), make_frame()
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    api.nvds_add_obj_meta_to_frame(frame, obj, None)
    for place in (frame, other_frame):
        with pytest.raises(ValueError, match="added before; acquire another"):
            api.nvds_add_obj_meta_to_frame(place, obj, None)
    with pytest.raises(ValueError, match="of another batch"):
        api.nvds_add_obj_meta_to_frame(other_frame, api.nvds_acquire_obj_meta_from_pool(batch), None)
    with pytest.raises(ValueError, match="added before"):
        api.nvds_add_frame_meta_to_batch(other, frame)
    for kind, add in (
        ("user", api.nvds_add_user_meta_to_obj),
        ("classifier", api.nvds_add_classifier_meta_to_object),
    ):
        meta = getattr(api, f"nvds_acquire_{kind}_meta_from_pool")(batch)
        add(obj, meta)
        with pytest.raises(ValueError, match="added before"):
            add(obj, meta)
    assert frame.num_obj_meta == len(frame.objects) == 1 and other_frame.obj_meta_list is None


def test_removing_twice_and_adding_again() -> None:
    released: list[int] = []
    batch, frame = make_frame()
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    user = api.nvds_acquire_user_meta_from_pool(batch)
    api.user_releasefunc(user, lambda meta, _: released.append(1))
    api.nvds_add_user_meta_to_obj(obj, user)
    api.nvds_add_obj_meta_to_frame(frame, obj, None)
    api.nvds_remove_obj_meta_from_frame(frame, obj)
    with pytest.raises(ValueError, match="NvDsObjectMeta is not in this NvDsFrameMeta"):
        api.nvds_remove_obj_meta_from_frame(frame, obj)
    assert frame.num_obj_meta == 0 and released == [1]
    api.nvds_add_obj_meta_to_frame(frame, obj, None)  # some applications change the order like this
    Batch([], batch).release()
    assert frame.objects == [obj] and released == [1]


def test_counts_that_an_application_overwrote_do_not_stop_it() -> None:
    batch, frame = make_frame()
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    api.nvds_add_obj_meta_to_frame(frame, obj, None)
    frame.num_obj_meta = 0
    api.nvds_remove_obj_meta_from_frame(frame, obj)
    assert frame.num_obj_meta == 0
    frame.num_obj_meta = 2**32 - 1
    api.nvds_add_obj_meta_to_frame(frame, obj, None)


def test_objects_are_freed_once_and_only_those_of_the_application() -> None:
    batch, frame = make_frame()
    person = api.alloc_nvds_person_object()
    address = api.get_ptr(person)
    api.free_gbuffer(person)
    for again in (person, address):
        with pytest.raises(ValueError, match="NvDsPersonObject was freed before"):
            api.free_gbuffer(again)
    copy = api.memdup(api.get_ptr(frame), 100)
    assert api.NvDsFrameMeta.cast(copy) is not frame
    api.free_buffer(copy)
    with pytest.raises(ValueError, match="no live metadata"):
        api.NvDsFrameMeta.cast(copy)
    for not_ours in (batch, frame, api.get_ptr(frame), frame.base_meta):
        with pytest.raises(ValueError, match="goes with its buffer"):
            api.free_buffer(not_ours)


def test_a_gone_batch_cannot_be_changed() -> None:
    batch, frame = make_frame()
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    user = api.nvds_acquire_user_meta_from_pool(batch)
    Batch([], batch).release()
    for call in (
        lambda: api.nvds_add_obj_meta_to_frame(frame, obj, None),
        lambda: api.nvds_add_user_meta_to_frame(frame, user),
        lambda: api.nvds_add_user_meta_to_batch(batch, user),
        lambda: api.nvds_copy_frame_meta_list(batch.frame_meta_list, batch),
    ):
        with pytest.raises(ValueError, match="has gone"):
            call()


def test_lists_that_an_application_assigns() -> None:
    released: list[int] = []
    batch, frame = make_frame()
    for number in range(4):
        obj = api.nvds_acquire_obj_meta_from_pool(batch)
        user = api.nvds_acquire_user_meta_from_pool(batch)
        api.user_releasefunc(user, lambda meta, _, number=number: released.append(number))
        api.nvds_add_user_meta_to_obj(obj, user)
        api.nvds_add_obj_meta_to_frame(frame, obj, None)
    frame.obj_meta_list = frame.obj_meta_list.next
    assert len(frame.objects) == frame.num_obj_meta == 3 and released == [0]
    frame.obj_meta_list = None
    assert frame.obj_meta_list is None and frame.num_obj_meta == 0 and released == [0, 1, 2, 3]
    with pytest.raises(TypeError, match=r"NvDsFrameMeta\.obj_meta_list needs a GList"):
        frame.obj_meta_list = [1]
    node = api.GList()
    with pytest.raises(ValueError, match="never end"):
        node.next = node
    with pytest.raises(TypeError, match="list of NvDsFrameMeta needs a NvDsFrameMeta, got NoneType"):
        batch.frame_meta_list.data = None
    with pytest.raises(TypeError, match=r"GList\.next needs a GList"):
        node.next = "next"


def test_an_object_cannot_be_its_own_ancestor() -> None:
    batch, frame = make_frame()
    first, second = (api.nvds_acquire_obj_meta_from_pool(batch) for _ in range(2))
    api.nvds_add_obj_meta_to_frame(frame, first, None)
    api.nvds_add_obj_meta_to_frame(frame, second, first)
    with pytest.raises(ValueError, match="own ancestor"):
        first.parent = second
    with pytest.raises(ValueError, match="own ancestor"):
        second.parent = second


def test_threads_read_metadata_while_its_batch_goes() -> None:
    failures: list[BaseException] = []
    current: list[Any] = [make_frame()]
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            batch, frame = current[0]
            try:
                for obj in frame.objects:
                    assert obj.rect_params.left >= 0 and obj.text_params.text in ("", "text")
                    api.NvDsObjectMeta.cast(hash(obj))
                api.nvds_acquire_obj_meta_from_pool(batch)
            except ValueError as error:
                if "gone" not in str(error):
                    failures.append(error)
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(150):
        batch, frame = make_frame()
        for _ in range(10):
            obj = api.nvds_acquire_obj_meta_from_pool(batch)
            obj.text_params.display_text = "text"
            api.nvds_add_obj_meta_to_frame(frame, obj, None)
        current[0] = (batch, frame)
        Batch([], batch).release()
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
