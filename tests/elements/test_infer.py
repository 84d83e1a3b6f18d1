"""nvinfer in pipelines: primary and secondary mode on small networks made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from gi.repository import Gst
from onnx import TensorProto, helper, numpy_helper

import pyds

TIMEOUT = 20 * Gst.SECOND
COLOURS = ("red", "green", "blue")
# videotestsrc's 320x180 SMPTE bars, at the top: which colours are where, in pixels
BARS = {"green": (140, 20, 40, 60), "red": (230, 20, 40, 60), "blue": (276, 20, 40, 60)}


def classifier(path: Path) -> Path:
    """Two tasks over the mean colour: which channel is greatest, and whether the picture is bright."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])
    outputs = [
        helper.make_tensor_value_info("colour/Softmax", TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info("light/Softmax", TensorProto.FLOAT, ["n", 2]),
    ]
    weights = [
        numpy_helper.from_array(np.eye(3, dtype=np.float32) * 20, "w1"),
        numpy_helper.from_array(np.array([[-9, 9]] * 3, np.float32), "w2"),
        numpy_helper.from_array(np.array([0, -4], np.float32), "b2"),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w1"], ["c"]),
        helper.make_node("Softmax", ["c"], ["colour/Softmax"], axis=1),
        helper.make_node("MatMul", ["f", "w2"], ["l0"]),
        helper.make_node("Add", ["l0", "b2"], ["l"]),
        helper.make_node("Softmax", ["l"], ["light/Softmax"], axis=1),
    ]
    graph = helper.make_graph(nodes, "g", [x], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def config(folder: Path, extra: str = "", mode: int = 2) -> Path:
    model = classifier(folder / "colours.onnx")
    (folder / "labels.txt").write_text(";".join(COLOURS) + "\ndark;light\n")
    file = folder / "infer.txt"
    file.write_text(
        f"[property]\nonnx-file={model.name}\nnet-scale-factor=0.00392156862745098\nlabelfile-path=labels.txt\n"
        f"batch-size=4\nnetwork-type=1\nprocess-mode={mode}\ngie-unique-id=7\nclassifier-threshold=0.5\n"
        f"output-blob-names=colour/Softmax;light/Softmax\nclassifier-type=look\n{extra}"
    )
    return file


class Run:
    """A pipeline with objects put on the bars by a probe before nvinfer, and what came out of it."""

    def __init__(self, file: Path, frames: int = 3, object_ids: bool = False, sources: int = 1) -> None:
        source = (
            f"videotestsrc num-buffers={frames} ! video/x-raw,format=NV12,width=320,height=180,framerate=30/1 ! "
            "nvvideoconvert ! video/x-raw(memory:NVMM) ! mux.sink_"
        )
        self.pipeline = Gst.parse_launch(
            f"nvstreammux name=mux batch-size={sources} width=320 height=180 ! nvinfer name=infer "
            f"config-file-path={file} ! fakesink name=end " + " ".join(f"{source}{i}" for i in range(sources))
        )
        self.seen: list[list[tuple[int, str, list[tuple[str, int, int]]]]] = []
        self.tensors: list[int] = []
        self.ids = object_ids
        mux, end = self.pipeline.get_by_name("mux"), self.pipeline.get_by_name("end")
        mux.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self._put)
        end.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self._look)

    def _put(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        for frame in batch.frames:
            for number, (left, top, width, height) in enumerate(BARS.values()):
                item = pyds.nvds_acquire_obj_meta_from_pool(batch)
                item.unique_component_id, item.class_id, item.obj_label = 1, number, "bar"
                item.text_params.display_text = "bar"
                if self.ids:
                    item.object_id = number + 1
                rect = item.rect_params
                rect.left, rect.top, rect.width, rect.height = left, top, width, height
                pyds.nvds_add_obj_meta_to_frame(frame, item, None)
        return Gst.PadProbeReturn.OK

    def _look(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        for frame in batch.frames:
            found = []
            for item in frame.objects:
                labels = [
                    (label.result_label, label.label_id, label.result_class_id)
                    for meta in item.classifiers
                    for label in meta.labels
                ]
                found.append((item.class_id, item.text_params.text, labels))
                self.tensors += [
                    pyds.NvDsInferTensorMeta.cast(user.user_meta_data).num_output_layers for user in item.user_metas
                ]
            self.seen.append(found)
        return Gst.PadProbeReturn.OK

    def play(self) -> Run:
        self.pipeline.set_state(Gst.State.PLAYING)
        try:
            message = self.pipeline.get_bus().timed_pop_filtered(TIMEOUT, Gst.MessageType.EOS | Gst.MessageType.ERROR)
            assert message is not None
            assert message.type == Gst.MessageType.EOS, message.parse_error()
        finally:
            self.pipeline.set_state(Gst.State.NULL)
        return self


def test_a_secondary_classifier_labels_every_object(tmp_path: Path) -> None:
    run = Run(config(tmp_path), sources=2).play()
    assert len(run.seen) == 6
    for found in run.seen:
        for (class_id, text, labels), name in zip(found, BARS, strict=True):
            assert labels[0] == (name, 0, COLOURS.index(name)), class_id
            assert [task for _, task, _ in labels] == list(range(len(labels)))
            assert text == " ".join(["bar", *(label for label, _, _ in labels)])


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("operate-on-class-ids=1\n", [1]),
        ("operate-on-gie-id=2\n", []),
        ("operate-on-gie-id=1\n", [0, 1, 2]),
        ("input-object-min-width=41\n", []),
        ("input-object-max-height=60\n", [0, 1, 2]),
        ("input-object-max-height=59\n", []),
    ],
)
def test_objects_are_chosen_by_instance_class_and_size(tmp_path: Path, extra: str, expected: list[int]) -> None:
    run = Run(config(tmp_path, extra), frames=1).play()
    assert [class_id for class_id, _, labels in run.seen[0] if labels] == expected


def test_tracked_objects_are_inferred_on_once_and_keep_their_labels(tmp_path: Path) -> None:
    run = Run(config(tmp_path, "output-tensor-meta=1\n"), frames=5, object_ids=True).play()
    assert all(labels for found in run.seen for _, _, labels in found)
    assert run.tensors == [2, 2, 2]  # tensors of two layers, on the first frame's three objects only


def test_a_tracked_object_is_inferred_on_again_after_the_interval(tmp_path: Path) -> None:
    extra = "output-tensor-meta=1\nsecondary-reinfer-interval=1\n"
    run = Run(config(tmp_path, extra), frames=4, object_ids=True).play()
    assert len(run.tensors) == 6


def test_asynchronous_classification_reaches_later_frames(tmp_path: Path) -> None:
    run = Run(config(tmp_path, "classifier-async-mode=1\n"), frames=60, object_ids=True).play()
    assert [labels[0][0] for _, _, labels in run.seen[-1]] == list(BARS)


def test_a_primary_classifier_puts_its_labels_on_a_whole_frame_object(tmp_path: Path) -> None:
    run = Run(config(tmp_path, mode=1), frames=1).play()
    labelled = [entry for entry in run.seen[0] if entry[2]]
    assert len(labelled) == 1


def test_properties_override_the_file_and_show_its_values(tmp_path: Path) -> None:
    pipeline = Run(config(tmp_path)).pipeline
    infer = pipeline.get_by_name("infer")
    assert (infer.get_property("batch-size"), infer.get_property("unique-id")) == (4, 7)
    infer.set_property("batch-size", 2)
    infer.set_property("infer-on-class-ids", "0:2")
    assert infer.get_property("batch-size") == 2
    run_labels = []

    def look(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        run_labels.extend(item.class_id for frame in batch.frames for item in frame.objects if item.classifiers)
        return Gst.PadProbeReturn.OK

    infer.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, look)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(TIMEOUT, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    assert message.type == Gst.MessageType.EOS
    assert set(run_labels) == {0, 2}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("clustr-mode=2\n", ("infer.txt:", "clustr-mode", "cluster-mode")),
        ("infer-dims=3;8;8;8\n", ("infer-dims",)),
        ("onnx-file=nothing.onnx\n", ("nothing.onnx",)),
    ],
)
def test_a_wrong_configuration_is_one_error_on_the_bus(tmp_path: Path, extra: str, words: tuple[str, ...]) -> None:
    pipeline = Run(config(tmp_path, extra)).pipeline
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(TIMEOUT, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    assert message.type == Gst.MessageType.ERROR
    text = message.parse_error()[0].message
    assert "\n" not in text
    assert all(word in text for word in words)
