"""Probes that do what they should not: clear errors, and the pipeline goes on."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gst

import pyds

from .conftest import MUX, run, source, walk
from .hostile_pipelines import SCENARIOS

HERE = Path(__file__).resolve().parent

PIPELINE = f"{source(4)} ! m.sink_0 {MUX} ! identity name=i ! queue ! nvdsosd ! fakesink name=out"


def test_wrong_casts() -> None:
    tried = 0

    def bad(buffer: Any, batch_meta: Any) -> None:
        nonlocal tried
        frame = walk(batch_meta)[0]
        for cast in (pyds.NvDsObjectMeta.cast, pyds.NvDsUserMeta.cast, pyds.NvDsBatchMeta.cast):
            for wrong in (frame, hash(frame), "text", 1.5, object(), 12345, -1, 2**70):
                with pytest.raises((TypeError, ValueError, OverflowError)) as caught:
                    cast(wrong)
                assert str(caught.value)
                tried += 1

    run(PIPELINE, i_sink=bad)
    assert tried == 4 * 24


def test_metadata_kept_after_its_buffer_has_gone() -> None:
    kept: list[Any] = []

    def keep(buffer: Any, batch_meta: Any) -> None:
        frame = walk(batch_meta)[0]
        obj = pyds.nvds_acquire_obj_meta_from_pool(batch_meta)
        obj.obj_label = "kept"
        pyds.nvds_add_obj_meta_to_frame(frame, obj, None)
        kept.append((batch_meta, frame, obj, hash(obj)))

    run(PIPELINE, i_sink=keep)
    gc.collect()
    assert len(kept) == 4
    for batch_meta, frame, obj, address in kept:
        assert obj.obj_label == "kept" and frame.frame_num in range(4)
        with pytest.raises(ValueError):
            pyds.NvDsObjectMeta.cast(address)
        with pytest.raises(ValueError, match="gone"):
            pyds.nvds_acquire_obj_meta_from_pool(batch_meta)


def test_a_buffer_that_is_none_or_not_a_batch() -> None:
    assert pyds.gst_buffer_get_nvds_batch_meta(hash(Gst.Buffer.new())) is None
    for wrong in (None, "text", 1.5):
        with pytest.raises((TypeError, ValueError)):
            pyds.gst_buffer_get_nvds_batch_meta(wrong)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        pyds.get_nvds_buf_surface(hash(Gst.Buffer.new()), 0)


def test_exceptions_in_probes_lose_that_buffer_only(capfd: pytest.CaptureFixture[str]) -> None:
    passed: list[int] = []
    pipeline = Gst.parse_launch(PIPELINE)

    def bad(_pad: Any, info: Any, _data: Any) -> Gst.PadProbeReturn:
        frame = walk(pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer())))[0]
        if frame.frame_num == 1:
            raise KeyError("a mistake of the application")
        return Gst.PadProbeReturn.OK

    def look(_pad: Any, info: Any, _data: Any) -> Gst.PadProbeReturn:
        passed.append(walk(pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer())))[0].frame_num)
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("i").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, bad, 0)
    pipeline.get_by_name("out").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, look, 0)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(10 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    assert message is not None and message.type == Gst.MessageType.EOS
    assert set(passed) >= {0, 2, 3}
    assert "a mistake of the application" in capfd.readouterr().err


def test_five_thousand_objects_with_user_metadata() -> None:
    released: list[int] = []
    counts: list[int] = []

    def add(buffer: Any, batch_meta: Any) -> None:
        frame = walk(batch_meta)[0]
        for number in range(5000):
            obj = pyds.nvds_acquire_obj_meta_from_pool(batch_meta)
            obj.class_id = number
            if number % 100 == 0:
                user = pyds.nvds_acquire_user_meta_from_pool(batch_meta)
                user.user_meta_data = {"number": number}
                pyds.user_releasefunc(user, lambda meta, _: released.append(1))
                pyds.nvds_add_user_meta_to_obj(obj, user)
            pyds.nvds_add_obj_meta_to_frame(frame, obj, None)

    def count(buffer: Any, batch_meta: Any) -> None:
        frame = walk(batch_meta)[0]
        number, node = 0, frame.obj_meta_list
        while node is not None:
            assert pyds.NvDsObjectMeta.cast(node.data).class_id == number
            number += 1
            node = node.next
        assert frame.num_obj_meta == number
        counts.append(number)

    run(f"{source(2)} ! m.sink_0 {MUX} ! identity name=i ! queue ! fakesink name=out", i_sink=add, out_sink=count)
    gc.collect()
    assert counts == [5000, 5000]
    assert len(released) == 2 * 50


def test_functions_that_fail_do_not_stop_the_pipeline() -> None:
    def fail(meta: Any, _user: Any) -> Any:
        raise RuntimeError("a copy function that fails")

    passed: list[int] = []

    def add(buffer: Any, batch_meta: Any) -> None:
        user = pyds.nvds_acquire_user_meta_from_pool(batch_meta)
        user.user_meta_data = {"a": 1}
        pyds.user_copyfunc(user, fail)
        pyds.user_releasefunc(user, fail)
        pyds.nvds_add_user_meta_to_frame(walk(batch_meta)[0], user)

    run(
        f"{source(3)} ! m.sink_0 {MUX} ! identity name=i ! tee name=t t. ! queue ! nvdsosd ! fakesink name=out "
        "t. ! queue ! fakesink",
        i_sink=add, out_sink=lambda buffer, meta: passed.append(walk(meta)[0].frame_num),
    )  # fmt: skip
    assert passed == [0, 1, 2]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_probe_crashes_the_process(scenario: str) -> None:
    result = subprocess.run(
        [sys.executable, str(HERE / "hostile_pipelines.py"), scenario],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout.endswith("survived\n"), result.stderr[-3000:]
    assert "CRITICAL" not in result.stderr and "WARNING" not in result.stderr
