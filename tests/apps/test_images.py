"""Pictures in probes: seen, changed, and the change seen downstream."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

import pyds
from millrace.errors import MediaError

from .conftest import MUX, NVMM, run, source, walk


def test_what_a_probe_writes_is_seen_downstream() -> None:
    last: list[np.ndarray] = []

    def paint(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            picture = pyds.get_nvds_buf_surface(hash(buffer), frame.batch_id)
            assert picture.shape == (48, 64, 4) and picture.dtype == np.uint8
            assert tuple(picture[0, 0][:3]) == (255, 0, 0)
            copy = np.array(picture, copy=True, order="C")
            cv2.rectangle(picture, (16, 12), (31, 23), (0, 0, 255, 255), -1)
            assert tuple(copy[16, 20][:3]) == (255, 0, 0)
            pyds.unmap_nvds_buf_surface(hash(buffer), frame.batch_id)

    def look(buffer: Any, batch_meta: Any) -> None:
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        last.append(data.reshape(48, 64, 4))

    run(
        f"{source(3, fmt='RGBA')} ! m.sink_0 {MUX} ! nvvideoconvert ! {NVMM},format=RGBA ! identity name=i ! "
        "nvvideoconvert ! video/x-raw,format=RGBA ! fakesink name=out",
        i_sink=paint, out_sink=look,
    )  # fmt: skip
    assert len(last) == 3
    for picture in last:
        assert tuple(picture[16, 20][:3]) == (0, 0, 255)
        assert tuple(picture[40, 50][:3]) == (255, 0, 0)


def test_a_branch_of_a_tee_does_not_see_what_another_one_writes() -> None:
    seen: dict[str, set[tuple[int, ...]]] = {"a": set(), "b": set()}

    def paint(buffer: Any, batch_meta: Any) -> None:
        pyds.get_nvds_buf_surface(hash(buffer), 0)[:] = (0, 255, 0, 255)

    def look(name: str) -> Any:
        def note(buffer: Any, batch_meta: Any) -> None:
            data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
            seen[name].add(tuple(int(v) for v in data.reshape(48, 64, 4)[10, 10][:3]))

        return note

    out = "nvvideoconvert ! video/x-raw,format=RGBA ! fakesink"
    run(
        f"{source(5, fmt='RGBA')} ! m.sink_0 {MUX} ! nvvideoconvert ! {NVMM},format=RGBA ! tee name=t "
        f"t. ! queue ! nvvideoconvert ! {NVMM},width=32,height=24 ! nvvideoconvert ! {NVMM},width=64,height=48 ! "
        f"identity name=i ! {out} name=a t. ! queue ! {out} name=b",
        i_src=paint, a_sink=look("a"), b_sink=look("b"),
    )  # fmt: skip
    assert seen == {"a": {(0, 255, 0)}, "b": {(255, 0, 0)}}


def test_a_picture_that_is_not_rgba_names_what_is_missing() -> None:
    errors: list[str] = []

    def look(buffer: Any, batch_meta: Any) -> None:
        with pytest.raises(MediaError) as caught:
            pyds.get_nvds_buf_surface(hash(buffer), 0)
        errors.append(str(caught.value))

    run(f"{source(1)} ! m.sink_0 {MUX} ! fakesink name=out", out_sink=look)
    assert "nvvideoconvert" in errors[0] and "RGBA" in errors[0]


def test_encoded_crops_travel_as_user_metadata() -> None:
    context = pyds.nvds_obj_enc_create_context(0)
    sizes: list[tuple[int, int]] = []

    def encode(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            obj = pyds.nvds_acquire_obj_meta_from_pool(batch_meta)
            rect = obj.rect_params
            rect.left, rect.top, rect.width, rect.height = 8, 8, 32, 16
            pyds.nvds_add_obj_meta_to_frame(frame, obj, None)
            wanted = pyds.NvDsObjEncUsrArgs()
            wanted.saveImg, wanted.attachUsrMeta, wanted.quality = False, True, 80
            pyds.nvds_obj_enc_process(context, wanted, hash(buffer), obj, frame)
        pyds.nvds_obj_enc_finish(context)

    def look(buffer: Any, batch_meta: Any) -> None:
        for frame in walk(batch_meta):
            for obj in frame.objects:
                for user in obj.user_metas:
                    if user.base_meta.meta_type == pyds.NvDsMetaType.NVDS_CROP_IMAGE_META:
                        data = pyds.NvDsObjEncOutParams.cast(user.user_meta_data).outBuffer()
                        sizes.append(cv2.imdecode(data, cv2.IMREAD_COLOR).shape[:2])

    run(f"{source(2)} ! m.sink_0 {MUX} ! identity name=i ! queue ! fakesink name=out", i_sink=encode, out_sink=look)
    pyds.nvds_obj_enc_destroy_context(context)
    assert sizes == [(16, 32)] * 2
