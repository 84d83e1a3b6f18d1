"""Buffers, pictures and JPEG crops through real GStreamer buffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.errors import MediaError
from millrace.meta import api
from millrace.meta.batch import Batch

pytest.importorskip("gi", reason="GStreamer's Python bindings are missing")
handle = pytest.importorskip("millrace.elements.handle")


@pytest.fixture
def surfaces() -> Any:
    from millrace.surface import HostSurface

    return [HostSurface.allocate(64, 48, fmt) for fmt in ("RGBA", "NV12")]


def make(surfaces: list[Any]) -> tuple[int, Any]:
    meta = api.nvds_create_batch_meta(2)
    for index in range(len(surfaces)):
        frame = api.nvds_acquire_frame_meta_from_pool(meta)
        frame.batch_id = index
        api.nvds_add_frame_meta_to_batch(meta, frame)
    return handle.new_handle(Batch(surfaces, meta)), meta


def test_metadata_and_pictures_of_a_buffer(surfaces: Any) -> None:
    address, meta = make(surfaces)
    assert api.gst_buffer_get_nvds_batch_meta(address) is meta
    view = api.get_nvds_buf_surface(address, 0)
    assert view.shape == (48, 64, 4) and view.dtype == np.uint8
    view[3, 5] = (1, 2, 3, 4)
    assert api.get_nvds_buf_surface(address, 0)[3, 5].tolist() == [1, 2, 3, 4]
    api.unmap_nvds_buf_surface(address, 0)
    with pytest.raises(MediaError, match="format=RGBA"):
        api.get_nvds_buf_surface(address, 1)
    with pytest.raises(MediaError, match="no picture 2"):
        api.get_nvds_buf_surface(address, 2)
    with pytest.raises(MediaError, match="GPU memory"):
        api.get_nvds_buf_surface_gpu(address, 0)


def test_writing_to_a_copy_leaves_the_original(surfaces: Any) -> None:
    surfaces[0].fill(0, 0, 0, 0)
    address, _ = make(surfaces)
    twin = handle.new_handle(handle.batch_of(address).deep_copy())
    api.get_nvds_buf_surface(twin, 0)[:] = 200
    assert api.get_nvds_buf_surface(address, 0).max() == 0


def test_what_is_not_a_buffer() -> None:
    from millrace.elements._gst import Gst

    plain = Gst.Buffer.new_allocate(None, 16, None)
    assert api.gst_buffer_get_nvds_batch_meta(hash(plain)) is None
    with pytest.raises(MediaError, match="nvstreammux"):
        api.get_nvds_buf_surface(hash(plain), 0)
    for junk in (0, 8, 1 << 40, -1, hash(Gst.Caps.new_any())):
        with pytest.raises(ValueError, match=r"no Gst\.Buffer"):
            api.gst_buffer_get_nvds_batch_meta(junk)
    with pytest.raises(TypeError, match="hash"):
        api.gst_buffer_get_nvds_batch_meta("buffer")


def test_objects_are_encoded_to_files_and_metadata(surfaces: Any, tmp_path: Path) -> None:
    import cv2

    address, meta = make(surfaces)
    frame = meta.frames[0]
    api.get_nvds_buf_surface(address, 0)[:] = (200, 10, 10, 255)
    obj = api.nvds_acquire_obj_meta_from_pool(meta)
    box = obj.rect_params
    box.left, box.top, box.width, box.height = 8, 8, 100, 16
    api.nvds_add_obj_meta_to_frame(frame, obj, None)
    context = api.nvds_obj_enc_create_context(0)
    args = api.NvDsObjEncUsrArgs()
    args.saveImg = args.attachUsrMeta = args.scaleImg = True
    args.scaledWidth, args.scaledHeight, args.quality = 32, 24, 95
    args.fileNameImg = str(tmp_path / "crop.jpg")
    assert api.nvds_obj_enc_process(context, args, address, obj, frame)
    api.nvds_obj_enc_finish(context)
    picture = cv2.imread(args.fileNameImg)
    assert picture.shape == (24, 32, 3) and abs(int(picture[12, 16, 2]) - 200) < 8
    user = obj.user_metas[0]
    assert user.base_meta.meta_type == api.NVDS_CROP_IMAGE_META
    jpeg = api.NvDsObjEncOutParams.cast(user.user_meta_data).outBuffer()
    assert jpeg.tobytes() == Path(args.fileNameImg).read_bytes()
    args.scaleImg = False
    args.isFrame = True
    assert api.nvds_obj_enc_process(context, args, address, None, frame)
    assert cv2.imread(args.fileNameImg).shape == (48, 64, 3)
    box.left = 500
    args.isFrame = False
    assert not api.nvds_obj_enc_process(context, args, address, obj, frame)
    api.nvds_obj_enc_destroy_context(context)
    with pytest.raises(MediaError, match="not a context"):
        api.nvds_obj_enc_process(context, args, address, obj, frame)


def test_pyds_is_this(surfaces: Any) -> None:
    import pyds

    assert pyds.__version__ == "1.2.0"
    assert pyds.NvDsFrameMeta is api.NvDsFrameMeta and pyds.NVDS_USER_META == 7
