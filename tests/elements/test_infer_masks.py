"""What nvinfer attaches of masks and classifications, what it spares, and parse functions that end a thread."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gst

import pyds

from .pipelines import drain, play, playing
from .test_infer import Run
from .test_infer import config as classifier
from .test_infer_live import ROWS, config, network

PARSER = """
import numpy as np
from millrace.infer.custom import DetectedObject

def masks(layers, network, thresholds):
    mask = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (4, 1))
    return [DetectedObject(int(r[5]), r[0], r[1], 6, 6, r[4], mask=mask) for r in layers["output0"]]

def points(layers, network, thresholds):
    spots = np.array([[4, 4, 0.9], [5, 5, 0.8]], np.float32)
    return [DetectedObject(int(r[5]), r[0], r[1], 6, 6, r[4], keypoints=spots) for r in layers["output0"]]

def leaves(layers):
    raise SystemExit(3)

class Odd(BaseException):
    pass

def odd(layers):
    raise Odd("no Exception")
"""


def custom(folder: Path, function: str, extra: str = "", kind: int = 3) -> Path:
    (folder / "parser.py").write_text(PARSER)
    key = "parse-bbox-instance-mask-func-name" if kind == 3 else "parse-bbox-func-name"
    return config(folder, extra=f"network-type={kind}\ncustom-lib-path=parser.py\n{key}={function}\n{extra}")


def source(more: str, frames: int = 2) -> str:
    return (
        f"videotestsrc num-buffers={frames} ! video/x-raw,format=NV12,width=160,height=160 ! nvvideoconvert ! "
        f"video/x-raw(memory:NVMM) ! mux.sink_0 nvstreammux name=mux batch-size=1 width=160 height=160 ! {more} "
        "! fakesink name=end"
    )


def objects(description: str, frames: int = 2) -> list[Any]:
    found: list[Any] = []

    def look(_batch: Any, buffer: Any) -> None:
        for frame in pyds.gst_buffer_get_nvds_batch_meta(hash(buffer)).frames:
            for item in frame.objects:
                mask, rect = item.mask_params, item.rect_params
                data = None if not mask.size else mask.get_mask_array().copy()
                border = (rect.border_color.red, rect.border_color.green, rect.border_color.blue)
                found.append((item.class_id, mask.width, mask.height, data, border))

    outcome = play(source(description, frames), {"end:sink": look})
    assert outcome.ok, outcome
    return found


@pytest.mark.parametrize(("key", "prop", "given"), [("", "", 0), ("1", "", 1), ("", "1", 1), ("1", "0", 0)])
def test_masks_come_with_output_instance_mask(
    tmp_path: Path, key: str, prop: str, given: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = custom(tmp_path, "masks", f"output-instance-mask={key}\n" if key else "")
    with caplog.at_level(logging.WARNING):
        found = objects(f"nvinfer config-file-path={file} " + (f"output-instance-mask={prop}" if prop else ""))
    assert [item[0] for item in found] == [0, 1] * 2
    assert [item[1:3] for item in found] == [(8, 4) if given else (0, 0)] * 4
    assert all((item[3] is not None and item[3].reshape(4, 8)[2, 7] == 1) == bool(given) for item in found)
    notes = [r.getMessage() for r in caplog.records if "output-instance-mask is 0" in r.getMessage()]
    assert len(notes) == 1 - given
    # With masks every object has a colour of its own, as in DeepStream; without, the class's.
    assert len({item[4] for item in found}) == (4 if given else 1)


def test_keypoints_are_masks_too(tmp_path: Path) -> None:
    found = objects(f"nvinfer config-file-path={custom(tmp_path, 'points', 'output-instance-mask=1' + chr(10))}")
    assert found[0][3].reshape(-1, 3)[:, 2].tolist() == pytest.approx([0.9, 0.8])
    assert found[0][4] == (1.0, 0.0, 0.0)
    assert objects(f"nvinfer config-file-path={custom(tmp_path, 'points')}")[0][3] is None


@pytest.mark.parametrize(("function", "text"), [("leaves", "SystemExit: 3"), ("odd", "Odd: no Exception")])
def test_a_parse_function_cannot_end_the_thread(tmp_path: Path, function: str, text: str) -> None:
    outcome = play(source(f"nvinfer config-file-path={custom(tmp_path, function, kind=0)}", 30))
    assert outcome.end == "error"
    assert f"{function}: {tmp_path}/parser.py:" in outcome.errors[0] and outcome.errors[0].endswith(text)


def test_a_parse_file_cannot_end_the_process(tmp_path: Path) -> None:
    file = custom(tmp_path, "masks")
    (tmp_path / "parser.py").write_text("import sys\nsys.exit('no')\n")
    outcome = play(source(f"nvinfer config-file-path={file}"))
    assert len(outcome.errors) == 1 and "parser.py:2: SystemExit: no" in outcome.errors[0]


def test_a_primary_classifiers_object(tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(_batch: Any, buffer: Any) -> None:
        for frame in pyds.gst_buffer_get_nvds_batch_meta(hash(buffer)).frames:
            for item in frame.objects:
                rect = item.rect_params
                box = (rect.left, rect.top, rect.width, rect.height, rect.border_width, rect.has_bg_color)
                labels = [label.result_label for meta in item.classifiers for label in meta.labels]
                seen.append((item.class_id, item.obj_label, item.confidence, item.unique_component_id, box, labels))

    outcome = play(source(f"nvinfer config-file-path={classifier(tmp_path, mode=1)}", 1), {"end:sink": look})
    assert outcome.ok
    assert len(seen) == 1
    assert seen[0][:5] == (-1, "", 0.0, 7, (0, 0, 160, 160, 6, 0)) and seen[0][5]


def test_a_secondary_detector_spares_tracked_objects(tmp_path: Path) -> None:
    network(tmp_path / "boxes.onnx", ROWS)

    def counts(extra: str, ids: bool) -> list[int]:
        file = config(tmp_path, extra=f"process-mode=2\nbatch-size=4\n{extra}")
        run = Run(file, frames=6, object_ids=ids).play()
        return [len(found) for found in run.seen]

    each = 3 + 3 * len(ROWS)  # three objects, each with children where it was looked at
    assert counts("", True) == [each] * 6
    assert counts("secondary-reinfer-interval=1\n", True) == [each, 3] * 3
    assert counts("secondary-reinfer-interval=1\n", False) == [each] * 6
    assert counts("secondary-reinfer-interval=0\n", True) == [each] * 6


def warnings_of(run: Run) -> list[str]:
    with playing(run.pipeline):
        outcome = drain(run.pipeline)
    assert outcome.ok, outcome
    return outcome.warnings


def test_asynchronous_mode_says_where_it_cannot_work(tmp_path: Path) -> None:
    key = "classifier-async-mode=1\n"
    said = warnings_of(Run(classifier(tmp_path, key), frames=20))
    assert said == [
        "classifier-async-mode=1: objects without a track are not classified; put nvtracker before this element"
    ]
    assert warnings_of(Run(classifier(tmp_path, key), frames=5, object_ids=True)) == []
    run = Run(classifier(tmp_path, key, mode=1), frames=3)
    assert warnings_of(run) == ["classifier-async-mode=1 is for secondary classifiers only: it is turned off here"]
    assert all(any(labels for _, _, labels in found) for found in run.seen)
    run = Run(config(tmp_path, extra=f"process-mode=2\nbatch-size=4\n{key}"), frames=2)
    assert len(warnings_of(run)) == 1 and len(run.seen[1]) == 3 + 3 * len(ROWS)


def test_the_warning_comes_again_after_five_minutes(tmp_path: Path) -> None:
    """Of the stream's time, not the clock's: one frame every two minutes."""
    run = Run(classifier(tmp_path, "classifier-async-mode=1\n"), frames=2)
    slow = Gst.parse_launch(
        "videotestsrc num-buffers=6 ! video/x-raw,format=NV12,width=320,height=180,framerate=1/120 ! nvvideoconvert ! "
        "video/x-raw(memory:NVMM) ! mux.sink_0 nvstreammux name=mux batch-size=1 width=320 height=180 ! "
        f"nvinfer config-file-path={tmp_path / 'infer.txt'} ! fakesink"
    )
    slow.get_by_name("mux").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, run._put)
    with playing(slow):
        outcome = drain(slow)
    assert outcome.ok and len(outcome.warnings) == 2


@pytest.mark.parametrize("place", ["infer:sink", "end:sink"])
def test_sys_exit_in_a_probe_ends_the_process(tmp_path: Path, place: str) -> None:
    """It did not come back: Python waited for the main thread, and that for the pipeline."""
    pipeline = source(f"nvinfer name=infer config-file-path={config(tmp_path)}", 100)
    element, pad = place.split(":")
    code = (
        "import sys, gi\ngi.require_version('Gst', '1.0')\nfrom gi.repository import Gst\n"
        "from millrace.elements import register\nregister()\n"
        f"p = Gst.parse_launch({pipeline!r})\n"
        f"pad = p.get_by_name({element!r}).get_static_pad({pad!r})\n"
        "pad.add_probe(Gst.PadProbeType.BUFFER, lambda pad, info: sys.exit(3))\n"
        "p.set_state(Gst.State.PLAYING)\n"
        "p.get_bus().timed_pop_filtered(30 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "sys.exit() in a pad probe or another callback, in the streaming thread" in done.stderr
