"""nvtracker's past-frame metadata, as applications read it."""

from __future__ import annotations

from typing import Any

import pyds

from .pipelines import numbered, play

ABSENT = (3, 4, 5)


def test_an_object_found_again_tells_where_it_was() -> None:
    found: list[tuple[int, int, int, str, list[tuple[int, float, int]]]] = []
    at: list[int] = []

    def detect(batch: Any, buffer: Any) -> None:
        for frame in batch.meta.frames:
            if frame.frame_num in ABSENT:
                continue
            obj = pyds.nvds_acquire_obj_meta_from_pool(batch.meta)
            rect = obj.rect_params
            rect.left, rect.top, rect.width, rect.height = 10 + frame.frame_num, 10, 20, 20
            obj.class_id, obj.confidence, obj.obj_label = 2, 0.75, "person"
            pyds.nvds_add_obj_meta_to_frame(frame, obj, None)

    def read(batch: Any, buffer: Any) -> None:
        node = batch.meta.batch_user_meta_list
        while node is not None:
            user = pyds.NvDsUserMeta.cast(node.data)
            assert user.base_meta.meta_type == pyds.NvDsMetaType.NVDS_TRACKER_PAST_FRAME_META
            data = pyds.NvDsTargetMiscDataBatch.cast(user.user_meta_data)
            for stream in pyds.NvDsTargetMiscDataBatch.list(data):
                for item in pyds.NvDsTargetMiscDataStream.list(stream):
                    frames = [
                        (past.frameNum, past.tBbox.left, past.age) for past in pyds.NvDsTargetMiscDataObject.list(item)
                    ]
                    found.append((stream.streamID, item.numObj, item.classId, item.objLabel, frames))
                    at.append(next(iter(batch.meta.frames)).frame_num)
            node = node.next

    outcome = play(
        f"{numbered(9)} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! nvtracker name=k ! "
        "fakesink name=out",
        {"m:src": detect, "out:sink": read},
    )
    assert outcome.ok, outcome
    assert at == [6]
    assert found == [(0, 3, 2, "person", [(3, 13.0, 3), (4, 14.0, 4), (5, 15.0, 5)])]
