"""The memory rules that DeepStream's Python guides state, each as an application would follow it."""

from __future__ import annotations

import ctypes
import gc
import sys
import warnings
from collections import Counter
from typing import Any

import pytest

import pyds

from .conftest import MUX, NVMM, run, source, walk

VEHICLE = ("type", "make", "model", "color", "license", "region")


def copy_event(data: Any, user_data: Any) -> Any:
    """A copy function in the style of applications for DeepStream 5: memdup, then every string."""
    user = pyds.NvDsUserMeta.cast(data)
    first = pyds.NvDsEventMsgMeta.cast(user.user_meta_data)
    address = pyds.memdup(pyds.get_ptr(first), sys.getsizeof(pyds.NvDsEventMsgMeta))
    twin = pyds.NvDsEventMsgMeta.cast(address)
    twin.ts = pyds.strdup(first.ts)
    twin.sensorStr = pyds.get_string(first.sensorStr)
    if first.objSignature.size > 0:
        twin.objSignature.signature = pyds.memdup(first.objSignature.signature, first.objSignature.size)
        twin.objSignature.size = first.objSignature.size
    if first.extMsgSize > 0 and first.objType == pyds.NvDsObjectType.NVDS_OBJECT_TYPE_VEHICLE:
        before = pyds.NvDsVehicleObject.cast(first.extMsg)
        obj = pyds.alloc_nvds_vehicle_object()
        for name in VEHICLE:
            if getattr(before, name):
                setattr(obj, name, pyds.get_string(getattr(before, name)))
        twin.extMsg = obj
        twin.extMsgSize = sys.getsizeof(pyds.NvDsVehicleObject)
    calls["copy"] += 1
    return twin


def free_event(data: Any, user_data: Any) -> None:
    """The release function that goes with it: every string is freed."""
    user = pyds.NvDsUserMeta.cast(data)
    first = pyds.NvDsEventMsgMeta.cast(user.user_meta_data)
    pyds.free_buffer(first.ts)
    pyds.free_buffer(first.sensorStr)
    if first.objSignature.size > 0:
        pyds.free_buffer(first.objSignature.signature)
        first.objSignature.size = 0
    if first.extMsgSize > 0:
        if first.objType == pyds.NvDsObjectType.NVDS_OBJECT_TYPE_VEHICLE:
            obj = pyds.NvDsVehicleObject.cast(first.extMsg)
            for name in VEHICLE:
                pyds.free_buffer(getattr(obj, name))
        pyds.free_gbuffer(first.extMsg)
        first.extMsgSize = 0
    calls["free"] += 1


calls: Counter[str] = Counter()


def add_event(batch_meta: Any, frame: Any) -> None:
    event = pyds.alloc_nvds_event_msg_meta()  # without a user meta, as before DeepStream 7
    event.bbox.left, event.frameId = 3.0, frame.frame_num
    event.ts = pyds.alloc_buffer(32 + 1)
    pyds.generate_ts_rfc3339(event.ts, 32)
    event.sensorStr = "sensor-0"
    event.objType = pyds.NvDsObjectType.NVDS_OBJECT_TYPE_VEHICLE
    obj = pyds.NvDsVehicleObject.cast(pyds.alloc_nvds_vehicle_object())
    obj.type, obj.color = "sedan", "blue"
    event.extMsg, event.extMsgSize = obj, sys.getsizeof(pyds.NvDsVehicleObject)
    user = pyds.nvds_acquire_user_meta_from_pool(batch_meta)
    user.user_meta_data = event
    user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_EVENT_MSG_META
    pyds.set_user_copyfunc(user, copy_event)
    pyds.set_user_releasefunc(user, free_event)
    pyds.nvds_add_user_meta_to_frame(frame, user)


def test_the_callbacks_of_deepstream_5_applications() -> None:
    calls.clear()
    seen: list[tuple[int, str, str]] = []

    def add(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            add_event(batch_meta, frame)

    def look(buffer: Any, batch_meta: Any) -> None:
        for user in walk(batch_meta)[0].user_metas:
            event = pyds.NvDsEventMsgMeta.cast(user.user_meta_data)
            assert pyds.get_string(event.ts).endswith("Z") and event.bbox.left == 3.0
            vehicle = pyds.NvDsVehicleObject.cast(event.extMsg)
            seen.append((event.frameId, pyds.get_string(event.sensorStr), pyds.get_string(vehicle.color)))

    run(
        f"{source(5)} ! m.sink_0 {MUX} ! identity name=i ! tee name=t "
        f"t. ! queue ! nvvideoconvert ! {NVMM},width=32 ! fakesink name=a "
        "t. ! queue ! nvstreamdemux name=d d.src_0 ! fakesink name=b",
        i_sink=add, a_sink=look, b_sink=look,
    )  # fmt: skip
    gc.collect()
    assert sorted(seen) == [(number, "sensor-0", "blue") for number in range(5) for _ in range(2)]
    assert calls["copy"] >= 5 and calls["free"] == calls["copy"] + 5


def test_unregistered_callbacks_are_not_called_at_exit() -> None:
    calls.clear()

    def add(buffer: Any, batch_meta: Any) -> None:
        add_event(batch_meta, walk(batch_meta)[0])
        pyds.unset_callback_funcs()

    run(f"{source(2)} ! m.sink_0 {MUX} ! identity name=i ! queue ! fakesink", i_sink=add)
    assert not calls


def test_string_fields_are_addresses_that_can_be_freed_and_set_again() -> None:
    obj = pyds.alloc_nvds_person_object()
    obj.gender = "Type"
    address = obj.gender
    assert isinstance(address, int) and ctypes.string_at(address) == b"Type"
    assert pyds.get_string(address) == "Type"
    pyds.free_buffer(obj.gender)
    with pytest.raises(ValueError, match="freed"):
        pyds.get_string(obj.gender)
    with pytest.raises(ValueError, match="freed before"):
        pyds.free_buffer(obj.gender)
    obj.gender = "again"
    assert pyds.get_string(obj.gender) == "again"


@pytest.mark.parametrize("name", ["vehicle_object", "person_object", "face_object", "event", "payload"])
def test_allocated_objects_outlive_their_python_names(name: str) -> None:
    made = getattr(pyds, f"alloc_nvds_{name}")()
    cls, address = type(made), pyds.get_ptr(made)
    del made
    gc.collect()
    assert isinstance(cls.cast(address), cls)
    pyds.free_gbuffer(cls.cast(address))
    gc.collect()
    with pytest.raises(ValueError, match="no live metadata"):
        cls.cast(address)


def test_casts_take_what_a_node_holds_an_address_and_a_capsule() -> None:
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype, new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    seen = []

    def look(buffer: Any, batch_meta: Any) -> None:
        l_frame = batch_meta.frame_meta_list
        frame_meta = pyds.NvDsFrameMeta.cast(l_frame.data)
        address = pyds.get_ptr(l_frame.data)
        assert pyds.NvDsFrameMeta.cast(address) is frame_meta
        assert pyds.NvDsFrameMeta.cast(new_capsule(address, None, None)) is frame_meta
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert pyds.glist_get_nvds_frame_meta(l_frame.data) is frame_meta
            assert pyds.glist_get_nvds_batch_meta(pyds.get_ptr(batch_meta)) is batch_meta
        assert [warning.category for warning in caught] == [DeprecationWarning] * 2
        assert "NvDsFrameMeta.cast" in str(caught[0].message)
        seen.append(frame_meta.frame_num)

    run(f"{source(1)} ! m.sink_0 {MUX} ! fakesink name=out", out_sink=look)
    assert seen == [0]
