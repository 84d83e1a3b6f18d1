"""User and event metadata through the elements that copy buffers: copied when needed, released exactly once."""

from __future__ import annotations

import gc
from typing import Any

import pyds

from .conftest import MUX, NVMM, run, source, walk

COPIES = (
    "identity name=i ! tee name=t "
    f"t. ! queue ! nvvideoconvert ! {NVMM},format=RGBA,width=32,height=24 ! fakesink name=a "
    "t. ! queue ! nvvideoconvert ! video/x-raw,format=I420 ! queue ! fakesink name=b "
    "t. ! queue ! nvmultistreamtiler width=64 height=48 ! nvdsosd ! fakesink name=c"
)


class Counted:
    """Data whose copies and releases are counted, one by one."""

    live: dict[int, int] = {}
    made = 0

    def __init__(self, text: str) -> None:
        Counted.made += 1
        self.number, self.text = Counted.made, text
        Counted.live[self.number] = 1


def copy(meta: Any, _user: Any) -> Counted:
    return Counted(pyds.NvDsUserMeta.cast(meta).user_meta_data.text)


def release(meta: Any, _user: Any) -> None:
    user = pyds.NvDsUserMeta.cast(meta)
    if user.user_meta_data is not None:
        Counted.live[user.user_meta_data.number] -= 1


def attach(batch_meta: Any, owner: Any, add: Any, text: str) -> None:
    user = pyds.nvds_acquire_user_meta_from_pool(batch_meta)
    user.user_meta_data = Counted(text)
    user.base_meta.meta_type = pyds.NvDsMetaType(pyds.nvds_get_user_meta_type("MILLRACE.TEST.COUNTED"))
    pyds.user_copyfunc(user, copy)
    pyds.user_releasefunc(user, release)
    add(owner, user)


def texts(users: Any) -> list[str]:
    return [user.user_meta_data.text for user in users]


def test_functions_across_tee_queue_convert_and_tiler() -> None:
    Counted.live, Counted.made = {}, 0
    seen: dict[str, list[list[str]]] = {"a": [], "b": [], "c": []}

    def make(buffer: Any, batch_meta: Any) -> None:
        attach(batch_meta, batch_meta, pyds.nvds_add_user_meta_to_batch, "batch")
        for frame in walk(batch_meta):
            attach(batch_meta, frame, pyds.nvds_add_user_meta_to_frame, f"frame {frame.frame_num}")
            obj = pyds.nvds_acquire_obj_meta_from_pool(batch_meta)
            obj.rect_params.width = obj.rect_params.height = 10
            pyds.nvds_add_obj_meta_to_frame(frame, obj, None)
            attach(batch_meta, obj, pyds.nvds_add_user_meta_to_obj, "object")

    def look(name: str) -> Any:
        def note(buffer: Any, batch_meta: Any) -> None:
            frame = walk(batch_meta)[0]
            found = texts(frame.user_metas) + texts(next(iter(frame.objects)).user_metas)
            users = []
            node = batch_meta.batch_user_meta_list
            while node is not None:
                users.append(pyds.NvDsUserMeta.cast(node.data))
                node = node.next
            seen[name].append(texts(users) + found)

        return note

    run(
        f"{source(6)} ! m.sink_0 {MUX} ! {COPIES}",
        i_sink=make, a_sink=look("a"), b_sink=look("b"), c_sink=look("c"),
    )  # fmt: skip
    gc.collect()
    expected = [["batch", f"frame {number}", "object"] for number in range(6)]
    assert seen == {"a": expected, "b": expected, "c": expected}
    assert Counted.made > 6 * 3, "nothing was copied"
    assert set(Counted.live.values()) == {0}, Counted.live


def test_the_pattern_of_the_custom_struct() -> None:
    seen: list[tuple[int, str, int]] = []

    def add(buffer: Any, batch_meta: Any) -> None:
        pyds.nvds_acquire_meta_lock(batch_meta)
        for frame in walk(batch_meta):
            user = pyds.nvds_acquire_user_meta_from_pool(batch_meta)
            data = pyds.alloc_custom_struct(user)
            data.message = f"test message {frame.frame_num}"
            data.message = pyds.get_string(data.message)
            data.structId, data.sampleInt = frame.frame_num, frame.frame_num + 1
            user.user_meta_data = data
            user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_USER_META
            pyds.nvds_add_user_meta_to_frame(frame, user)
        pyds.nvds_release_meta_lock(batch_meta)

    def read(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            node = frame.frame_user_meta_list
            while node is not None:
                user = pyds.NvDsUserMeta.cast(node.data)
                data = pyds.CustomDataStruct.cast(user.user_meta_data)
                seen.append((data.structId, pyds.get_string(data.message), data.sampleInt))
                node = node.next

    # the tee holds a second reference, so nvvideoconvert has to copy
    run(
        f"{source(4)} ! m.sink_0 {MUX} ! identity name=i ! tee name=t t. ! queue ! nvvideoconvert ! {NVMM},width=32 ! "
        "fakesink name=out t. ! queue ! fakesink",
        i_sink=add, out_sink=read,
    )  # fmt: skip
    assert seen == [(number, f"test message {number}", number + 1) for number in range(4)]


def test_event_messages_reach_every_branch_whole() -> None:
    seen: dict[str, list[Any]] = {"a": [], "b": [], "c": []}

    def add(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            user = pyds.nvds_acquire_user_meta_from_pool(batch_meta)
            event = pyds.NvDsEventMsgMeta.cast(pyds.alloc_nvds_event_msg_meta(user))
            event.bbox.left, event.frameId, event.trackingId = 3.5, frame.frame_num, 2**64 - 1
            event.sensorStr = "sensor-0"
            event.ts = pyds.alloc_buffer(33)
            pyds.generate_ts_rfc3339(event.ts, 32)
            event.type = pyds.NvDsEventType.NVDS_EVENT_MOVING
            event.objType = pyds.NvDsObjectType.NVDS_OBJECT_TYPE_VEHICLE
            vehicle = pyds.NvDsVehicleObject.cast(pyds.alloc_nvds_vehicle_object())
            vehicle.type, vehicle.color = "sedan", "blue"
            event.extMsg, event.extMsgSize = vehicle, 64
            user.user_meta_data = event
            user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_EVENT_MSG_META
            pyds.nvds_add_user_meta_to_frame(frame, user)

    def look(name: str) -> Any:
        def note(buffer: Any, batch_meta: Any) -> None:
            for user in walk(batch_meta)[0].user_metas:
                event = pyds.NvDsEventMsgMeta.cast(user.user_meta_data)
                vehicle = pyds.NvDsVehicleObject.cast(event.extMsg)
                assert pyds.get_string(event.ts).endswith("Z")
                seen[name].append(
                    (event.frameId, event.bbox.left, event.trackingId, pyds.get_string(event.sensorStr),
                     pyds.get_string(vehicle.type), pyds.get_string(vehicle.color))
                )  # fmt: skip

        return note

    run(
        f"{source(3)} ! m.sink_0 {MUX} ! {COPIES}",
        i_sink=add, a_sink=look("a"), b_sink=look("b"), c_sink=look("c"),
    )  # fmt: skip
    expected = [(number, 3.5, 2**64 - 1, "sensor-0", "sedan", "blue") for number in range(3)]
    assert seen == {"a": expected, "b": expected, "c": expected}
