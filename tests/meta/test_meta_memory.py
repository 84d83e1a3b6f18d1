"""Lifetimes: strings, allocations, user metadata's functions, copies, release and leaks."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from millrace.meta import api
from millrace.meta.batch import Batch


def make_batch(objects: int = 1) -> Batch:
    meta = api.nvds_create_batch_meta(1)
    frame = api.nvds_acquire_frame_meta_from_pool(meta)
    api.nvds_add_frame_meta_to_batch(meta, frame)
    for number in range(objects):
        obj = api.nvds_acquire_obj_meta_from_pool(meta)
        obj.class_id = number
        obj.text_params.display_text = f"object {number}"
        api.nvds_add_obj_meta_to_frame(frame, obj, frame.objects[0] if number else None)
    return Batch([], meta)


def add_user(batch: Batch, data: Any, copy: Any = None, release: Any = None) -> Any:
    user = api.nvds_acquire_user_meta_from_pool(batch.meta)
    user.user_meta_data = data
    if copy:
        api.set_user_copyfunc(user, copy)
    if release:
        api.set_user_releasefunc(user, release)
    api.nvds_add_user_meta_to_frame(batch.meta.frames[0], user)
    return user


def test_string_fields_of_events() -> None:
    vehicle = api.alloc_nvds_vehicle_object()
    assert vehicle.type == 0 and api.get_string(vehicle.type) is None
    vehicle.type = "sedan"
    assert isinstance(vehicle.type, int) and api.get_string(vehicle.type) == "sedan"
    assert api.get_string(int(vehicle.type)) == "sedan"  # a plain integer does as well
    assert vehicle.text("type") == "sedan"
    copy = api.strdup(vehicle.type)
    assert copy != vehicle.type and api.strdup2str(copy) == "sedan"
    api.free_buffer(copy)
    with pytest.raises(ValueError, match="freed"):
        api.get_string(copy)
    with pytest.raises(ValueError, match="freed"):
        api.free_buffer(copy)
    api.free_buffer(0)
    with pytest.raises(TypeError, match="needs a str"):
        vehicle.color = 5
    for wild in (8, 1 << 62, -5):
        with pytest.raises(ValueError):
            api.get_string(wild)
    with pytest.raises(ValueError):
        api.free_buffer(12345)


def test_time_stamps() -> None:
    user = api.NvDsUserMeta()
    event = api.alloc_nvds_event_msg_meta(user)
    event.ts = api.alloc_buffer(33)
    api.generate_ts_rfc3339(event.ts, 32)
    text = api.get_string(event.ts)
    assert len(text) == 24 and text[10] == "T" and text.endswith("Z")
    short = api.alloc_buffer(5)
    api.generate_ts_rfc3339(short, 32)  # never past the end of the buffer
    assert len(api.get_string(short)) == 4
    again = api.memdup(event.ts, 33)
    assert api.get_string(again) == text
    api.free_buffer(again)
    api.free_buffer(short)


def test_event_messages_are_copied_and_released_with_their_strings() -> None:
    batch = make_batch()
    user = api.nvds_acquire_user_meta_from_pool(batch.meta)
    event = api.alloc_nvds_event_msg_meta(user)
    event.type = api.NvDsEventType.NVDS_EVENT_MOVING
    event.objType = api.NvDsObjectType.NVDS_OBJECT_TYPE_VEHICLE
    event.bbox.top = 5
    event.sensorStr = "sensor-0"
    event.trackingId = 2**63
    vehicle = api.alloc_nvds_vehicle_object()
    vehicle.color = "blue"
    event.extMsg = vehicle
    event.extMsgSize = 99
    user.user_meta_data = event
    user.base_meta.meta_type = api.NvDsMetaType.NVDS_EVENT_MSG_META
    api.nvds_add_user_meta_to_frame(batch.meta.frames[0], user)
    copy = batch.deep_copy()
    batch.release()
    assert event.sensorStr == 0 and event.extMsg is None
    twin = api.NvDsEventMsgMeta.cast(copy.meta.frames[0].user_metas[0].user_meta_data)
    assert twin is not event and twin.type == api.NVDS_EVENT_MOVING and twin.bbox.top == 5
    assert api.get_string(twin.sensorStr) == "sensor-0" and twin.trackingId == 2**63
    assert api.get_string(api.NvDsVehicleObject.cast(twin.extMsg).color) == "blue"


def test_allocated_objects_live_until_freed() -> None:
    address = api.get_ptr(api.alloc_nvds_person_object())
    gc.collect()
    assert api.NvDsPersonObject.cast(address).age == 0
    api.free_gbuffer(address)
    with pytest.raises(ValueError):
        api.NvDsPersonObject.cast(address)


def test_copies_by_address_as_old_applications_made_them() -> None:
    source = api.alloc_nvds_event_msg_meta(api.NvDsUserMeta())
    source.frameId = 7
    target = api.NvDsEventMsgMeta.cast(api.memdup(api.get_ptr(source), 1000))
    assert target is not source and target.frameId == 7
    api.free_gbuffer(target)


def test_several_sets_of_functions_each_called_once() -> None:
    calls: list[Any] = []
    batch = make_batch()
    for name in ("a", "b"):
        add_user(
            batch,
            {"name": name},
            lambda meta, _, name=name: calls.append(("copy", name)) or dict(meta.user_meta_data),
            lambda meta, _, name=name: calls.append(("release", name)),
        )
    copy = batch.deep_copy()
    assert calls == [("copy", "a"), ("copy", "b")]
    first, twin = batch.meta.frames[0].user_metas[0], copy.meta.frames[0].user_metas[0]
    assert twin.user_meta_data == {"name": "a"} and twin.user_meta_data is not first.user_meta_data
    calls.clear()
    batch.release()
    batch.release()
    assert calls == [("release", "a"), ("release", "b")]
    del copy, twin  # freeing the buffer is enough
    assert calls == [("release", "a"), ("release", "b")] * 2


def test_shared_data_is_released_with_its_last_user() -> None:
    calls: list[int] = []
    batch = make_batch()
    add_user(batch, object(), release=lambda meta, _: calls.append(1))
    copy = batch.deep_copy()
    batch.release()
    assert calls == []
    copy.release()
    assert calls == [1]


def test_removing_an_object_releases_its_user_metadata() -> None:
    calls: list[int] = []
    batch = make_batch()
    frame = batch.meta.frames[0]
    user = api.nvds_acquire_user_meta_from_pool(batch.meta)
    api.user_releasefunc(user, lambda meta, _: calls.append(1))
    api.nvds_add_user_meta_to_obj(frame.objects[0], user)
    api.nvds_remove_obj_meta_from_frame(frame, frame.objects[0])
    assert calls == [1]
    batch.release()
    assert calls == [1]


def test_failing_functions_do_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    batch = make_batch()

    def fail(meta: Any, _: Any) -> None:
        raise RuntimeError("no")

    add_user(batch, 1, fail, fail)
    add_user(batch, 2, lambda meta, _: 2, lambda meta, _: calls.append(1))
    copy = batch.deep_copy()
    assert [user.user_meta_data for user in copy.meta.frames[0].user_metas] == [None, 2]
    batch.release()
    copy.release()
    assert calls == [1, 1]
    assert "copy function" in caplog.text and "release function" in caplog.text


def test_unset_callback_funcs() -> None:
    calls: list[int] = []
    batch = make_batch()
    add_user(batch, 1, release=lambda meta, _: calls.append(1))
    api.unset_callback_funcs()
    batch.release()
    assert calls == []


def test_deep_copy_is_independent_and_keeps_parents() -> None:
    batch = make_batch(3)
    batch.meta.frames[0].objects[1].mask_params.data = [1, 2]
    copy = batch.deep_copy()
    first, twin = batch.meta.frames[0], copy.meta.frames[0]
    assert [obj.class_id for obj in twin.objects] == [0, 1, 2] and twin.num_obj_meta == 3
    assert twin.objects[2].parent is twin.objects[0] and twin.base_meta.batch_meta is copy.meta
    twin.objects[0].text_params.display_text = "changed"
    twin.objects[0].rect_params.left = 50
    twin.objects[1].mask_params.get_mask_array()[0] = 9
    assert first.objects[0].text_params.text == "object 0" and first.objects[0].rect_params.left == 0
    assert first.objects[1].mask_params.get_mask_array().tolist() == [1, 2]


def test_stale_metadata() -> None:
    batch = make_batch()
    meta, obj = batch.meta, batch.meta.frames[0].objects[0]
    address = hash(obj)
    assert api.NvDsObjectMeta.cast(address) is obj
    batch.release()
    assert obj.class_id == 0 and obj.text_params.text == "object 0"  # what was kept can still be read
    with pytest.raises(ValueError, match="buffer of this NvDsObjectMeta has gone"):
        api.NvDsObjectMeta.cast(address)
    with pytest.raises(ValueError, match="has gone"):
        api.nvds_acquire_obj_meta_from_pool(meta)
    del obj, meta, batch
    with pytest.raises(ValueError, match="no live metadata"):
        api.NvDsObjectMeta.cast(address)


def test_everything_is_freed_without_the_cycle_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        for release in (True, False):
            batch = make_batch(20)
            add_user(batch, object())
            copy = batch.deep_copy()
            node = batch.meta.frame_meta_list
            items = [batch.meta, copy.meta, node, node.data, *node.data.objects]
            watched = [weakref.ref(item) for item in items]
            watched += [weakref.ref(obj) for obj in copy.meta.frames[0].objects]
            if release:
                batch.release()
            del batch, copy, node, items
            assert [ref() for ref in watched if ref() is not None] == []
    finally:
        gc.enable()


def test_addresses_and_strings_do_not_pile_up() -> None:
    from millrace.meta import fields, strings

    def work() -> None:
        batch = make_batch(5)
        user = api.nvds_acquire_user_meta_from_pool(batch.meta)
        event = api.alloc_nvds_event_msg_meta(user)
        event.ts = api.alloc_buffer(32)
        event.otherAttrs = "x" * 100
        event.extMsg = api.alloc_nvds_vehicle_object()
        event.extMsg.color = "red"
        api.get_ptr(event.extMsg)
        api.get_string(event.otherAttrs)
        user.user_meta_data = event
        api.nvds_add_user_meta_to_frame(batch.meta.frames[0], user)
        hash(batch.meta.frames[0])
        api.get_string(batch.meta.frames[0].objects[0].text_params.display_text)
        batch.deep_copy()

    def sizes() -> tuple[int, ...]:
        gc.collect()
        return tuple(len(table) for table in (fields._by_address, strings._blocks, strings._heap))

    work()
    before = sizes()
    for _ in range(50):
        work()
    assert sizes() == before


def test_the_lock_is_reentrant_and_excludes_other_threads() -> None:
    batch = make_batch()
    api.nvds_acquire_meta_lock(batch.meta)
    api.nvds_acquire_meta_lock(batch.meta)
    got: list[int] = []

    def other() -> None:
        api.nvds_acquire_meta_lock(batch.meta)
        got.append(1)
        api.nvds_release_meta_lock(batch.meta)

    thread = threading.Thread(target=other)
    thread.start()
    api.nvds_release_meta_lock(batch.meta)
    assert got == []
    api.nvds_release_meta_lock(batch.meta)
    thread.join(5)
    assert got == [1]
    with pytest.raises(RuntimeError, match="does not hold"):
        api.nvds_release_meta_lock(batch.meta)


def test_wrong_arguments_are_type_errors() -> None:
    batch = make_batch()
    frame = batch.meta.frames[0]
    for call in (
        lambda: api.nvds_acquire_obj_meta_from_pool(frame),
        lambda: api.nvds_acquire_obj_meta_from_pool(None),
        lambda: api.nvds_add_obj_meta_to_frame(batch.meta, frame.objects[0], None),
        lambda: api.nvds_add_obj_meta_to_frame(frame, frame, None),
        lambda: api.nvds_add_display_meta_to_frame(frame, frame.objects[0]),
        lambda: api.set_user_copyfunc(frame, len),
        lambda: api.set_user_copyfunc(api.NvDsUserMeta(), 5),
        lambda: api.get_ptr("text"),
        lambda: api.alloc_nvds_event_msg_meta(frame),
        lambda: setattr(frame.base_meta, "meta_type", "user"),
    ):
        with pytest.raises(TypeError):
            call()


def test_five_thousand_objects() -> None:
    batch = make_batch(5000)
    copy = batch.deep_copy()
    frame = copy.meta.frames[0]
    api.nvds_clear_obj_meta_list(frame, frame.obj_meta_list)
    assert frame.num_obj_meta == 0 and batch.meta.frames[0].num_obj_meta == 5000
