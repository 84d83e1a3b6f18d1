"""Names of pyds 1.1.0 to 1.1.8, used as the applications of that time did."""

from __future__ import annotations

from typing import Any

import pytest

import pyds

from .conftest import MUX, Gst, run, source, walk

ABSENT = (2, 3)


def detect(_buffer: Any, meta: Any) -> None:
    for frame in walk(meta):
        if frame.frame_num not in ABSENT:
            obj = pyds.nvds_acquire_obj_meta_from_pool(meta)
            rect = obj.rect_params
            rect.left, rect.top, rect.width, rect.height = 10, 10, 20, 20
            obj.class_id, obj.obj_label = 1, "car"
            pyds.nvds_add_obj_meta_to_frame(frame, obj, None)


def test_past_frames_by_their_old_names() -> None:
    found: list[tuple[Any, ...]] = []
    confidences: list[float] = []

    def read(_buffer: Any, meta: Any) -> None:
        confidences.extend(obj.tracker_confidence for frame in meta.frames for obj in frame.objects)
        node = meta.batch_user_meta_list
        while node is not None:
            user = pyds.NvDsUserMeta.cast(node.data)
            if user.base_meta.meta_type == pyds.NvDsMetaType.NVDS_TRACKER_PAST_FRAME_META:
                batch = pyds.NvDsPastFrameObjBatch.cast(user.user_meta_data)
                for stream in pyds.NvDsPastFrameObjBatch.list(batch):
                    for item in pyds.NvDsPastFrameObjStream.list(stream):
                        head = (stream.streamID, stream.surfaceStreamID, item.numObj, item.classId, item.objLabel)
                        found.extend((*head, past.frameNum) for past in pyds.NvDsPastFrameObjList.list(item))
            node = node.next

    run(f"{source(6)} ! m.sink_0 {MUX} ! nvtracker ! fakesink name=o", m_src=detect, o_sink=read)
    assert found == [(0, 0, 2, 1, "car", 2), (0, 0, 2, 1, "car", 3)]
    assert confidences == [1.0] * 4  # of DeepStream's present IOU tracker; applications show or compare it


def test_drawing_by_hardware_has_its_old_name() -> None:
    assert pyds.NvOSD_Mode.MODE_HW == pyds.MODE_HW == 2
    assert str(pyds.NvOSD_Mode(2)) == "NvOSD_Mode.MODE_NONE"


def test_the_event_of_a_stream_reset_can_be_sent() -> None:
    seen: list[str] = []
    pipeline = Gst.parse_launch(
        f"{source(30, more='is-live=true')} ! m.sink_0 {MUX} ! nvtracker name=k ! fakesink name=o"
    )

    def look(_pad: Any, info: Any) -> Any:
        structure = info.get_event().get_structure()
        if structure is not None and structure.get_name() == "nv-stream-reset":
            seen.append(structure.to_string())
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("o").get_static_pad("sink").add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, look)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        bus = pipeline.get_bus()
        assert bus.timed_pop_filtered(10 * Gst.SECOND, Gst.MessageType.ASYNC_DONE | Gst.MessageType.ERROR) is not None
        assert pipeline.get_by_name("k").send_event(pyds.gst_nvevent_new_stream_reset(3))
    finally:
        pipeline.set_state(Gst.State.NULL)
    assert seen == ["nv-stream-reset, source-id=(uint)3;"]
    with pytest.raises(TypeError, match="source_id"):
        pyds.gst_nvevent_new_stream_reset(-1)
