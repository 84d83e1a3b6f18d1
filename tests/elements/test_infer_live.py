"""Properties of nvinfer that are set while it plays, and models that take over."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gi.repository import Gst
from onnx import TensorProto, helper, numpy_helper

import pyds

from .pipelines import Outcome, drain, pad_of, play, playing, watch
from .test_infer import Run, save
from .test_infer import config as labels

ROWS = ((2, 2, 8, 8, 0.9, 0), (8, 8, 14, 14, 0.8, 1))
Actions = dict[int, Callable[[Any], object]]


def network(path: Path, rows: tuple[tuple[float, ...], ...] = ROWS) -> Path:
    """A model that answers the same boxes for every picture: x1, y1, x2, y2 of 16 x 16, score, class."""
    weights = [
        numpy_helper.from_array(np.array([rows], np.float32), "rows"),
        numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        numpy_helper.from_array(np.array([3], np.int64), "last"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["m", "last"], ["s"]),
        helper.make_node("Mul", ["s", "zero"], ["z"]),
        helper.make_node("Add", ["z", "rows"], ["output0"]),
    ]
    out = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", len(rows), 6])
    save(path, nodes, [out], *weights)
    return path


def config(folder: Path, name: str = "boxes", rows: tuple[tuple[float, ...], ...] = ROWS, extra: str = "") -> Path:
    network(folder / f"{name}.onnx", rows)
    file = folder / f"{name}.txt"
    file.write_text(
        f"[property]\nonnx-file={name}.onnx\nnet-scale-factor=0.0039\ngie-unique-id=3\nnum-detected-classes=3\n"
        f"cluster-mode=4\n{extra}[class-attrs-all]\npre-cluster-threshold=0.5\n"
    )
    return file


class Live:
    """A pipeline that does something to nvinfer before a frame reaches it, and what came out, by frame."""

    def __init__(
        self, file: Path, frames: int = 12, properties: str = "", live: bool = False, at: Actions | None = None
    ) -> None:
        self.pipeline = Gst.parse_launch(
            f"videotestsrc num-buffers={frames} is-live={str(live).lower()} ! "
            "video/x-raw,format=NV12,width=160,height=160,framerate=50/1 ! nvvideoconvert ! "
            "video/x-raw(memory:NVMM) ! mux.sink_0 nvstreammux name=mux batch-size=1 width=160 height=160 ! "
            f"queue name=before ! nvinfer name=infer config-file-path={file} {properties} ! fakesink name=end"
        )
        self.infer = self.pipeline.get_by_name("infer")
        self.at = at or {}
        self.seen: dict[int, list[tuple[int, int]]] = {}  # class and instance number of each object
        self.done: list[bool] = []
        self.tensors: list[int] = []
        self.updates: list[tuple[int, str]] = []
        self.updated = threading.Event()
        self.infer.connect("model-updated", self._on_update)
        self.infer.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self._before)
        self.pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self._after)

    def _on_update(self, _element: Gst.Element, status: int, path: str) -> None:
        self.updates.append((status, path))
        self.updated.set()

    def _before(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        for frame in pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer())).frames:
            if frame.frame_num in self.at:
                self.at[frame.frame_num](self.infer)
        return Gst.PadProbeReturn.OK

    def _after(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        for frame in pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer())).frames:
            self.seen[frame.frame_num] = [(item.class_id, item.unique_component_id) for item in frame.objects]
            self.done.append(bool(frame.bInferDone))
            self.tensors.append(len(list(frame.user_metas)))
        return Gst.PadProbeReturn.OK

    def play(self) -> Outcome:
        with playing(self.pipeline):
            return drain(self.pipeline)

    def wait(self, what: Callable[[], bool], seconds: float = 15.0) -> bool:
        end = time.monotonic() + seconds
        while not what() and time.monotonic() < end:
            time.sleep(0.02)
        return what()

    def update(self, name: str, path: Path | str) -> tuple[int, str]:
        """Set a property and wait for the signal."""
        self.updated.clear()
        self.infer.set_property(name, str(path))
        assert self.updated.wait(20)
        return self.updates[-1]

    def classes(self) -> list[int]:
        """Classes in the newest frame."""
        return [class_id for class_id, _ in self.seen[max(self.seen)]]


def setting(name: str, value: object) -> Callable[[Any], object]:
    return lambda infer: infer.set_property(name, value)


def test_values_act_from_the_next_batch(tmp_path: Path) -> None:
    at = {
        3: setting("unique-id", 9),
        5: setting("filter-out-class-ids", "0;2"),
        7: setting("filter-out-class-ids", ""),
        8: setting("output-tensor-meta", True),
        9: setting("output-tensor-meta", False),
    }
    run = Live(config(tmp_path), at=at)
    outcome = run.play()
    assert outcome.ok and outcome.warnings == []
    both = [(0, 9), (1, 9)]
    assert [run.seen[n] for n in range(10)] == [[(0, 3), (1, 3)]] * 3 + [both] * 2 + [[(1, 9)]] * 2 + [both] * 3
    assert run.tensors[:10] == [0] * 8 + [1, 0]


def test_the_interval_by_property_and_by_event(tmp_path: Path) -> None:
    run = Live(config(tmp_path), frames=16, at={4: setting("interval", 3)})
    assert run.play().ok
    assert [n for n, done in enumerate(run.done) if done] == [0, 1, 2, 3, 4, 8, 12]
    assert run.infer.get_property("interval") == 3
    run = Live(config(tmp_path), frames=200, live=True)
    before = run.pipeline.get_by_name("before")
    with playing(run.pipeline):
        assert run.wait(lambda: len(run.done) > 3) and all(run.done)
        assert pyds.gst_element_send_nvevent_interval_update(hash(before), "0", 1)
        assert run.wait(lambda: run.infer.get_property("interval") == 1)
        run.done.clear()
        assert run.wait(lambda: len(run.done) > 12)
        assert sum(run.done[2:12]) == 5


def test_an_interval_event_sent_to_nvinfer_itself(tmp_path: Path) -> None:
    run = Live(config(tmp_path), frames=200, live=True)
    with playing(run.pipeline):
        assert run.wait(lambda: len(run.done) > 3)
        pyds.gst_element_send_nvevent_interval_update(hash(run.infer), "0", 4)
        assert run.wait(lambda: run.infer.get_property("interval") == 4)


@pytest.mark.parametrize(
    ("name", "value", "kept", "message"),
    [
        ("batch-size", 2, 1, "batch-size cannot change while the element plays and stays 1; set it in READY or NULL"),
        ("process-mode", 2, 1, "process-mode cannot change while the element plays and stays 1"),
        ("filter-out-class-ids", "a;3", "", 'infer: filter-out-class-ids="a;3": it must be class ids separated by ";"'),
        ("infer-on-class-ids", "x", "", 'infer: infer-on-class-ids="x": it must be class ids separated by ":"'),
        ("unique-id", 0, 3, "infer: unique-id=0: it must be an integer, at least 1; the value is not taken"),
    ],
)
def test_what_cannot_be_taken_is_one_warning(
    tmp_path: Path, name: str, value: object, kept: object, message: str
) -> None:
    run = Live(config(tmp_path), at={4: setting(name, value), 6: setting("unique-id", 8)})
    outcome = run.play()
    assert outcome.ok
    assert len(outcome.warnings) == 1 and outcome.warnings[0].startswith(message)
    assert run.infer.get_property(name) == kept or name == "unique-id"
    assert run.seen[5] == [(0, 3), (1, 3)] and run.seen[6] == [(0, 8), (1, 8)]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (
            'filter-out-class-ids="a;3"',
            'infer: filter-out-class-ids="a;3": it must be class ids separated by ";", such as',
        ),
        ("infer-on-class-ids=1:b", 'infer: infer-on-class-ids="1:b": it must be class ids separated by ":", such as'),
        ("unique-id=0", "infer: unique-id=0: it must be an integer, at least 1"),
    ],
)
def test_a_wrong_property_is_one_error_in_its_own_name(tmp_path: Path, properties: str, message: str) -> None:
    outcome = Live(config(tmp_path), properties=properties).play()
    assert len(outcome.errors) == 1 and outcome.errors[0].startswith(message)


def test_another_model_takes_over(tmp_path: Path) -> None:
    file = config(tmp_path)
    other = config(tmp_path, "other", ((2, 2, 8, 8, 0.9, 2),), "gie-unique-id=12\ninterval=5\n")
    run = Live(file, frames=3000, live=True)
    with playing(run.pipeline):
        assert run.wait(lambda: len(run.seen) > 3)
        assert run.update("config-file-path", other) == (0, str(other))
        # Only the model is another: what the file says of the element waits for the next start.
        assert run.wait(lambda: run.seen[max(run.seen)] == [(2, 3)])
        assert run.infer.get_property("config-file-path") == str(other)
        assert run.infer.get_property("interval") == 0
        engine = str(tmp_path / "boxes.onnx_b1_gpu0_fp32.engine")
        assert run.update("model-engine-file", engine) == (0, engine)
        assert run.wait(lambda: run.classes() == [0, 1])
        assert run.infer.get_property("model-engine-file") == engine
        bus = run.pipeline.get_bus()
        assert bus.pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.WARNING) is None


def test_a_model_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    file = config(tmp_path)
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(file.read_text().replace("onnx-file", "onxx-file"))
    classes = tmp_path / "classes.txt"
    classes.write_text(file.read_text().replace("classes=3", "classes=4"))
    run = Live(file, frames=3000, live=True)
    bus = run.pipeline.get_bus()
    with playing(run.pipeline):
        assert run.wait(lambda: len(run.seen) > 3)
        for name, path, word in (
            ("config-file-path", tmp_path / "none.txt", "none.txt"),
            ("config-file-path", wrong, "onxx-file"),
            ("config-file-path", classes, "classes.txt:5: num-detected-classes=4, but it is 3 in the model in use"),
            ("model-engine-file", tmp_path / "none.engine", "none.engine does not exist"),
        ):
            assert run.update(name, path) == (1, str(path))
            message = bus.timed_pop_filtered(2 * Gst.SECOND, Gst.MessageType.ERROR | Gst.MessageType.WARNING)
            text = message.parse_warning()[0].message
            assert word in text and "does not take over" in text and "\n" not in text
            assert bus.pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.WARNING) is None
        assert run.infer.get_property("config-file-path") == str(file)
        assert run.infer.get_property("unique-id") == 3
        count = len(run.seen)
        assert run.wait(lambda: len(run.seen) > count + 3) and run.classes() == [0, 1]
    with playing(run.pipeline):  # the old file still holds at the next start
        assert run.pipeline.get_state(10 * Gst.SECOND)[0] != Gst.StateChangeReturn.FAILURE


def test_getters(tmp_path: Path) -> None:
    file = config(tmp_path)
    run = Live(file)
    infer = run.infer
    assert infer.get_property("model-engine-file") == ""
    assert run.play().ok
    infer.set_state(Gst.State.PAUSED)
    assert infer.get_property("model-engine-file") == str(tmp_path / "boxes.onnx_b1_gpu0_fp32.engine")
    infer.set_state(Gst.State.NULL)
    mode = infer.get_property("process-mode")
    assert mode == 1 and mode.value_nick == "primary"  # GObject's enumeration, as DeepStream's
    infer.set_property("config-file-path", str(tmp_path / "none.txt"))
    assert infer.get_property("unique-id") == 3
    outcome = run.play()
    assert len(outcome.errors) == 1 and "none.txt" in outcome.errors[0]
    infer.set_property("config-file-path", str(file))
    assert run.play().ok


def test_the_interval_by_rest(tmp_path: Path) -> None:
    """nvmultiurisrcbin's server sets every nvinfer of the pipeline; a stream that is not there is refused."""
    clip = tmp_path / "clip.mp4"
    made = Gst.parse_launch(
        "videotestsrc num-buffers=250 ! video/x-raw,width=160,height=160,framerate=25/1 ! x264enc speed-preset=1 ! "
        f"mp4mux ! filesink location={clip}"
    )
    with playing(made):
        assert drain(made).ok
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipeline = Gst.parse_launch(
        f"nvmultiurisrcbin port={port} uri-list={clip.as_uri()} width=160 height=160 ! "
        f"nvinfer name=infer config-file-path={config(tmp_path)} ! fakesink name=end sync=true"
    )
    done: list[bool] = []

    def look(_batch: Any, buffer: Any) -> None:
        done.extend(bool(f.bInferDone) for f in pyds.gst_buffer_get_nvds_batch_meta(hash(buffer)).frames)

    watch(pad_of(pipeline, "end:sink"), look)

    def ask(stream: str, interval: int) -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps({"stream": {"stream_id": stream, "interval": interval}})
        client.request("POST", "/api/v1/infer/set-interval", body)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())["reason"]

    with playing(pipeline):
        deadline = time.monotonic() + 15
        while len(done) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ask("9", 4) == (500, "INFER_INTERVAL_UPDATE_FAIL, Unable to find stream id 9")
        assert ask("0", -1)[0] == 400
        assert all(done)
        assert ask("0", 4) == (200, "INFER_INTERVAL_UPDATE_SUCCESS")
        assert pipeline.get_by_name("infer").get_property("interval") == 4
        time.sleep(0.3)
        done.clear()
        while len(done) < 10 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sum(done[:10]) == 2


def test_a_model_that_came_too_late_for_a_batch(tmp_path: Path) -> None:
    """It takes over when the element stops, and counts at the next start."""
    other = config(tmp_path, "other", ((2, 2, 8, 8, 0.9, 2),))
    run = Live(config(tmp_path), frames=3)
    with playing(run.pipeline):
        assert drain(run.pipeline).ok
        run.infer.set_property("config-file-path", str(other))
        assert run.infer.get_property("config-file-path") != str(other)
    assert run.updates == [(0, str(other))]
    assert run.infer.get_property("config-file-path") == str(other)
    assert run.play().ok
    assert run.classes() == [2]


def test_models_in_turn_while_frames_pass(tmp_path: Path) -> None:
    """Frames go on while models are loaded, none is lost, and each has one model's objects."""
    files = [config(tmp_path), config(tmp_path, "other", ((2, 2, 8, 8, 0.9, 2),))]
    run = Live(files[0], frames=3000, live=True)
    with playing(run.pipeline):
        assert run.wait(lambda: len(run.seen) > 3)
        for turn in range(6):
            assert run.update("config-file-path", files[turn % 2])[0] == 0
        last = max(run.seen)
        assert run.wait(lambda: max(run.seen) > last + 3)
    assert sorted(run.seen) == list(range(len(run.seen)))
    assert {tuple(c for c, _ in found) for found in run.seen.values()} == {(0, 1), (2,)}
    assert run.classes() == [2]


def test_one_operate_property_leaves_the_other(tmp_path: Path) -> None:
    file = labels(tmp_path, "operate-on-gie-id=2\n")
    run = Run(file, frames=6)

    def look(_batch: Any, _buffer: Any) -> None:
        if len(run.seen) == 2:
            run.pipeline.get_by_name("infer").set_property("infer-on-class-ids", "1")

    watch(pad_of(run.pipeline, "end:sink"), look)
    run.play()
    assert not any(labelled for found in run.seen for _, _, labelled in found)  # still instance 2 only


def test_nvtracker_names_a_wrong_list_of_classes() -> None:
    outcome = play("videotestsrc num-buffers=1 ! fakesink nvtracker name=t operate-on-class-ids=1:x ! fakesink")
    wanted = 't: operate-on-class-ids="1:x": it must be class ids separated by ":", such as "0:2"'
    assert outcome.errors == [wanted]
