"""nvinfer on ready tensors that a probe attached: results on frames, objects and regions, also of copies."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gi.repository import Gst
from onnx import TensorProto, helper

import pyds
from millrace.meta.inputtensor import attach_input_tensor, make_roi_meta
from millrace.samples import sample_config, write_street_clip

from .pipelines import NVMM, drain, pad_of, playing, watch
from .tensorruns import Make, box_config, boxes_of, crops, model, play, put_bars, row, stream
from .test_infer import BARS, COLOURS
from .test_infer import config as classifier_config

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "raw-tensors.md"


def document(number: int, **names: Any) -> dict[str, Any]:
    """Run one of the document's examples; gives its names."""
    exec(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[number], names)
    return names


def test_the_documents_look_at_output_tensors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = classifier_config(tmp_path, "output-tensor-meta=1\nnetwork-type=100\n", mode=1)
    looks: dict[str, Make] = {
        "end:sink": lambda batch, _buffer: document(0, frame_meta=batch.frames[0], pyds=pyds) and None
    }
    outcome = play(stream(frames=1), file, lambda _batch, _buffer: None, looks, input_tensor_meta=False)
    assert outcome.ok, outcome
    assert capfd.readouterr().out.splitlines() == ["colour/Softmax (3,)", "light/Softmax (2,)"]


def test_the_documents_probe_finds_what_nvinfer_finds(tmp_path: Path) -> None:
    """Two streets, the bundled detector: tensors of the probe in docs/raw-tensors.md, and nvinfer's own input."""
    models = Path(sample_config()).parents[2] / "models"
    shutil.copytree(models / "Primary_Detector", tmp_path / "models" / "Primary_Detector")
    (tmp_path / "configs" / "app").mkdir(parents=True)
    config = shutil.copy(sample_config(), tmp_path / "configs" / "app")
    clips = [write_street_clip(tmp_path / f"{n}.mp4", 1.0, 4, seed=n, vehicles=4, people=2) for n in (3, 4)]
    objects: dict[bool, list[tuple[Any, ...]]] = {}
    for tensors in (False, True):
        pipeline = Gst.parse_launch(
            f"nvstreammux name=mux batch-size=2 width=1280 height=720 ! nvvideoconvert ! {NVMM},format=RGBA ! "
            f"nvinfer name=infer config-file-path={config} input-tensor-meta={int(tensors)} ! "
            "fakesink name=end "
            + " ".join(f"nvurisrcbin uri={clip.as_uri()} ! queue ! mux.sink_{n}" for n, clip in enumerate(clips))
        )
        if tensors:
            pad_of(pipeline, "infer:sink").add_probe(Gst.PadProbeType.BUFFER, document(1)["make_tensors"], None)
        seen = objects.setdefault(tensors, [])

        def look(batch: Any, _buffer: Any, seen: list[tuple[Any, ...]] = seen) -> None:
            for frame in batch.meta.frames:
                assert frame.bInferDone
                for item in frame.objects:
                    rect = item.rect_params
                    box = (rect.left, rect.top, rect.width, rect.height)
                    key = (frame.source_id, frame.frame_num)
                    seen.append((*key, item.class_id, item.obj_label, *box, item.confidence))

        watch(pad_of(pipeline, "end:sink"), look)
        with playing(pipeline):
            assert drain(pipeline, 60).ok
        seen.sort(key=lambda one: (one[:3], one[4:]))
    assert len(objects[True]) == len(objects[False]) > 20
    assert {one[0] for one in objects[True]} == {0, 1}
    for found, expected in zip(objects[True], objects[False], strict=True):
        assert found[:4] == expected[:4]
        assert found[4:] == pytest.approx(expected[4:], abs=0.05)


@pytest.mark.parametrize("clip", [True, False])
def test_boxes_come_back_through_region_scale_and_offset(tmp_path: Path, clip: bool) -> None:
    """Two regions of each of two frames, inferred on two at a time; the network is 4 times smaller than the region."""
    seen: list[list[tuple[int, list[float]]]] = []

    def make(batch: Any, _buffer: Any) -> None:
        tensor, rois = [], []
        for frame in batch.frames:
            for left in (0, 100 + 10 * frame.source_id):
                tensor.append(row(4, 6, 10, 12))
                rois.append(make_roi_meta(frame, (left, 20, 60, 40), scale=(0.25, 0.5), offset=(2, 1)))
            tensor.append(row(-10, 6, 40, 12))  # wider than the region
            rois.append(make_roi_meta(frame, (200, 20, 60, 40), scale=(0.25, 0.5), offset=(2, 1)))
        attach_input_tensor(batch, np.array(tensor, np.float32), "x", rois, [3, 7])

    looks: dict[str, Make] = {"end:sink": lambda batch, _buffer: seen.append(boxes_of(batch))}
    outcome = play(stream(sources=2), box_config(tmp_path), make, looks, clip_object_outside_roi=clip)
    assert outcome.ok, outcome
    assert len(seen) == 3
    for found in seen:
        for source in (0, 1):
            mine = [box for number, box in found if number == source]
            # (4 - 2) / 0.25 = 8 and (6 - 1) / 0.5 = 10 inside the region; 24 x 12 pixels
            assert mine[0] == [8, 30, 24, 12]
            assert mine[1] == [108 + 10 * source, 30, 24, 12]
            assert mine[2] == ([200, 30, 60, 12] if clip else [152, 30, 168, 12])


@pytest.mark.parametrize("objects", [True, False])
@pytest.mark.parametrize("mode", [1, 2])
@pytest.mark.parametrize("middle", ["", f"! tee name=t t. ! queue ! fakesink t. ! queue ! nvvideoconvert ! {NVMM}"])
def test_labels_go_to_regions_and_their_objects(tmp_path: Path, objects: bool, mode: int, middle: str) -> None:
    """Also when the buffer was copied between the probe and nvinfer, where the objects are others."""
    file = classifier_config(tmp_path, "output-tensor-meta=1\nclassifier-async-mode=1\n", mode)
    count = 0

    def look(batch: Any, _buffer: Any) -> None:
        nonlocal count
        user = batch.user_metas[0]
        assert user.base_meta.meta_type == pyds.NvDsMetaType.NVDS_PREPROCESS_BATCH_META
        meta = pyds.GstNvDsPreProcessBatchMeta.cast(user.user_meta_data)
        items = batch.frames[0].objects
        assert len(items) == len(meta.roi_vector) == len(BARS)  # no object of the whole frame
        tensors = [u for u in batch.frames[0].user_metas if u.base_meta.meta_type == pyds.NvDsMetaType.NVDS_ROI_META]
        assert [pyds.NvDsRoiMeta.cast(u.user_meta_data) is roi for u, roi in zip(tensors, meta.roi_vector, strict=True)]
        for roi, item, name in zip(meta.roi_vector, items, BARS, strict=True):
            assert roi.frame_meta is batch.frames[0]
            assert roi.object_meta is (item if objects else None)
            owners = [roi, item] if objects else [roi]
            for owner in owners:
                (classifier,) = owner.classifiers
                assert classifier.unique_component_id == 7
                assert classifier.labels[0].result_label == name
            assert item.text_params.text.startswith(name) == objects
            (output,) = [pyds.NvDsInferTensorMeta.cast(user.user_meta_data) for user in roi.user_metas]
            colours = output.layers[0].array
            assert output.layers[0].layerName == "colour/Softmax" and colours.argmax() == COLOURS.index(name)
            assert [u.base_meta.meta_type == pyds.NVDS_ROI_META for u in item.user_metas] == ([True] if objects else [])
            count += 1

    looks: dict[str, Make] = {"end:sink": look}
    outcome = play(stream(middle), file, lambda batch, buffer: crops(batch, buffer, objects), looks, interval=2)
    assert outcome.ok, outcome
    assert count == 3 * len(BARS)


def test_results_survive_copies_behind_nvinfer(tmp_path: Path) -> None:
    """tee and nvvideoconvert: each copy has regions of its own frame, with what nvinfer attached to them."""
    tail = "tee name=t t. ! queue ! fakesink name=end t. ! queue ! nvvideoconvert ! "
    tail += f"{NVMM},width=160,height=90 ! fakesink name=copy"
    frames: dict[str, list[Any]] = {"end": [], "copy": []}
    held: list[Any] = []  # a buffer that nobody else holds is converted in place, not copied

    def look(where: str) -> Make:
        def seen(batch: Any, buffer: Any) -> None:
            held.append(buffer)
            roi = batch.user_metas[0].user_meta_data.roi_vector[1]
            assert roi.frame_meta is batch.frames[0] and roi.object_meta is batch.frames[0].objects[1]
            on_frame = batch.frames[0].user_metas[1].user_meta_data
            assert on_frame.frame_meta is batch.frames[0]
            assert roi.classifiers[0].labels[0].result_label == "red"
            for one in (roi, on_frame):
                assert len(one.user_metas[0].user_meta_data.layers) == 2
            frames[where].append(roi.frame_meta)

        return seen

    looks = {f"{name}:sink": look(name) for name in frames}
    file = classifier_config(tmp_path, "output-tensor-meta=1\n")
    assert play(stream(tail=tail), file, lambda batch, buffer: crops(batch, buffer, True), looks).ok
    assert len(frames["end"]) == len(frames["copy"]) == 3
    assert not {id(frame) for frame in frames["end"]} & {id(frame) for frame in frames["copy"]}


def test_nvstreamdemux_takes_the_rows_of_its_frame_only(tmp_path: Path) -> None:
    """The tensor was made of both sources before the demuxer; nvinfer is on one branch."""
    seen: list[tuple[int, list[float]]] = []

    def make(batch: Any, _buffer: Any) -> None:
        rows = [row(0, 0, 5 + frame.source_id, 6) for frame in batch.frames]
        attach_input_tensor(batch, np.array(rows, np.float32), "x", [make_roi_meta(f) for f in batch.frames], [7])

    middle = "! nvstreamdemux name=demux demux.src_0 ! queue ! fakesink demux.src_1 ! queue"
    looks: dict[str, Make] = {"end:sink": lambda batch, _buffer: seen.extend(boxes_of(batch))}
    assert play(stream(middle, sources=2), box_config(tmp_path), make, looks).ok
    assert seen == [(1, [0, 0, 6, 6])] * 3


def test_objects_found_in_objects_are_their_children(tmp_path: Path) -> None:
    parents: list[Any] = []

    def make(batch: Any, _buffer: Any) -> None:
        rois = [make_roi_meta(frame, scale=(0.5, 0.5), object_meta=item) for frame, item in put_bars(batch)]
        attach_input_tensor(batch, np.array([row(1, 2, 5, 6)] * len(rois), np.float32), "x", rois, [7])

    def look(batch: Any, _buffer: Any) -> None:
        for item in batch.frames[0].objects:
            if item.unique_component_id == 7:
                rect, box = item.rect_params, item.parent.rect_params
                assert (rect.left, rect.top, rect.width, rect.height) == (box.left + 2, box.top + 4, 8, 8)
                parents.append(item.parent.class_id)

    assert play(stream(frames=1), box_config(tmp_path, "process-mode=2\n"), make, {"end:sink": look}).ok
    assert parents == [0, 1, 2]


def test_several_tensors_of_a_batch_and_several_inputs(tmp_path: Path) -> None:
    """One inference for each of two rows that came by themselves, each with the two inputs that the network has."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("a", "b")]
    out = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "g", infos, [out])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "sum.onnx")
    file = tmp_path / "sum.txt"
    file.write_text("[property]\nonnx-file=sum.onnx\nnetwork-type=100\ngie-unique-id=7\noutput-tensor-meta=1\n")
    sums: list[list[float]] = []

    def make(batch: Any, _buffer: Any) -> None:
        rois = [make_roi_meta(batch.frames[0])]
        for name, value in (("a", 1), ("b", 10), ("b", 20), ("a", 2)):
            attach_input_tensor(batch, np.full((1, 2), value, np.float32), name, rois, [7])
        attach_input_tensor(batch, np.full((1, 2), 3, np.float32), "a", rois, [7], meta_id=5)
        attach_input_tensor(batch, np.full((3, 2), 30, np.float32), "b", [], [7], meta_id=5)

    def look(batch: Any, _buffer: Any) -> None:
        for user in batch.frames[0].user_metas:
            found = [pyds.NvDsInferTensorMeta.cast(u.user_meta_data) for u in user.user_meta_data.user_metas]
            sums.append([float(one.layers[0].array[0]) for one in found])

    outcome = play(stream(frames=1), file, make, {"end:sink": look})
    assert outcome.ok, outcome
    assert sums == [[11.0, 22.0, 33.0]] * 3  # one region, three inferences


def test_class_maps_go_to_the_region(tmp_path: Path) -> None:
    model(tmp_path, "m.onnx", [helper.make_node("Identity", ["x"], ["output0"])], ["n", 3, 4, 6], ["n", 3, 4, 6])
    file = tmp_path / "m.txt"
    file.write_text("[property]\nonnx-file=m.onnx\nnetwork-type=2\ngie-unique-id=7\nsegmentation-threshold=0.1\n")
    tensor = np.zeros((1, 3, 4, 6), np.float32)
    tensor[:, 2, :, 3:] = 1
    maps = []

    def look(batch: Any, _buffer: Any) -> None:
        (user,) = batch.user_metas[0].user_meta_data.roi_vector[0].user_metas
        assert user.base_meta.meta_type == pyds.NvDsMetaType.NVDSINFER_SEGMENTATION_META
        maps.append(pyds.get_segmentation_masks(pyds.NvDsInferSegmentationMeta.cast(user.user_meta_data)).tolist())

    def make(batch: Any, _buffer: Any) -> None:
        attach_input_tensor(batch, tensor, "x", [make_roi_meta(batch.frames[0])], [7])

    assert play(stream(frames=1), file, make, {"end:sink": look}).ok
    assert maps == [[[-1, -1, -1, 2, 2, 2]] * 4]
