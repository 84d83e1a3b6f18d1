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


def save(
    path: Path, nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], *weights: onnx.TensorProto
) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])
    graph = helper.make_graph(nodes, "g", [x], outputs, list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def test_a_secondary_detector_adds_children_inside_their_parents(tmp_path: Path) -> None:
    """The network always answers one box, the middle quarter of its input: x1, y1, x2, y2, score, class."""
    rows = numpy_helper.from_array(np.array([[[4, 4, 12, 12, 0.9, 0]]], np.float32), "rows")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["m", "last"], ["s"]),
        helper.make_node("Mul", ["s", "zero"], ["z"]),
        helper.make_node("Add", ["z", "rows"], ["output0"]),
    ]
    out = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 1, 6])
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    save(tmp_path / "box.onnx", nodes, [out], rows, zero, numpy_helper.from_array(np.array([3], np.int64), "last"))
    file = tmp_path / "boxes.txt"
    file.write_text(
        "[property]\nonnx-file=box.onnx\nnet-scale-factor=0.0039\nbatch-size=4\nprocess-mode=2\ngie-unique-id=9\n"
        "num-detected-classes=1\ncluster-mode=4\n[class-attrs-all]\npre-cluster-threshold=0.5\n"
    )
    run = Run(file, frames=1)
    children = []

    def look(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        for frame in pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer())).frames:
            for item in frame.objects:
                if item.unique_component_id == 9:
                    rect, parent = item.rect_params, item.parent
                    children.append((parent.class_id, rect.left, rect.top, rect.width, rect.height))
        return Gst.PadProbeReturn.OK

    run.pipeline.get_by_name("infer").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, look)
    run.play()
    assert len(children) == len(BARS)
    for (class_id, *box), (left, top, width, height) in zip(children, BARS.values(), strict=True):
        assert box == pytest.approx([left + width / 4, top + height / 4, width / 2, height / 2], abs=1.0), class_id


def test_a_segmentation_is_user_metadata_of_the_frame(tmp_path: Path) -> None:
    """Class of a pixel: the greatest channel of the picture itself."""
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 16, 16])
    save(tmp_path / "seg.onnx", [helper.make_node("Identity", ["x"], ["y"])], [out])
    file = tmp_path / "seg.txt"
    file.write_text(
        "[property]\nonnx-file=seg.onnx\nnet-scale-factor=0.0039\nnetwork-type=2\nsegmentation-threshold=0.1\n"
    )
    run = Run(file, frames=1)
    maps = []

    def look(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        for frame in pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer())).frames:
            for user in frame.user_metas:
                if user.base_meta.meta_type == pyds.NvDsMetaType.NVDSINFER_SEGMENTATION_META:
                    found = pyds.NvDsInferSegmentationMeta.cast(user.user_meta_data)
                    maps.append((found.width, found.height, found.classes, pyds.get_segmentation_masks(found).copy()))
        return Gst.PadProbeReturn.OK

    run.pipeline.get_by_name("infer").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, look)
    run.play()
    assert [(width, height, classes) for width, height, classes, _ in maps] == [(16, 16, 3)]
    masks = maps[0][3]
    # columns of the 16 where the green, red and blue bars are
    assert [int(masks[4, column]) for column in (8, 12, 14)] == [1, 0, 2]
