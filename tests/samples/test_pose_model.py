"""The bundled pose model on worlds it was not trained on."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np
import pytest

from millrace.errors import ModelError
from millrace.samples import World, pose_config, pose_model
from millrace.samples.evaluate import HELD_OUT_SEED, evaluate, held_out_frames, letterbox, oks, openvino_predictor
from millrace.samples.world import as_array


def test_configs_name_files_that_exist() -> None:
    for tensor in (False, True):
        path = pose_config(tensor)
        parser = configparser.ConfigParser()
        assert parser.read(path)
        section = parser["property"]
        assert (path.parent / section["onnx-file"]) == pose_model() and pose_model().is_file()
        assert (path.parent / section["labelfile-path"]).read_text().split() == ["person"]
        assert section["network-type"] == ("100" if tensor else "3")
    assert pose_model().stat().st_size < 4_000_000


def test_layout_and_batch() -> None:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(pose_model()), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert [o.name for o in session.get_outputs()] == ["output0"]
    image, _ = World(HELD_OUT_SEED + 5).frame(1.0)
    network, _ = letterbox(image, 640, 384)
    tensor = network.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    one = session.run(None, {"images": tensor})[0]
    three = session.run(None, {"images": np.concatenate([np.zeros_like(tensor), tensor, tensor])})[0]
    assert one.shape == (1, 56, 5040) and three.shape == (3, 56, 5040)
    assert np.allclose(three[2], one[0], atol=1e-2)
    direct = openvino_predictor(pose_model())[0](tensor)
    assert np.abs(direct - one).max() < 0.05


def test_figures_on_held_out_frames() -> None:
    predict, width, height = openvino_predictor(pose_model())
    report = evaluate(predict, held_out_frames(48), width, height)
    assert report.people > 100
    assert report.recall >= 0.95, report
    assert report.precision >= 0.95, report
    assert report.mean_oks >= 0.87, report


def test_perfect_predictions_score_one() -> None:
    image, people = World(HELD_OUT_SEED + 9).frame(1.0)
    boxes, points, _ = as_array(people)
    assert oks(points[0], points[0], 100.0) == 1.0
    _, fit = letterbox(image, 640, 384)
    answer = np.zeros((1, 56, len(people)), np.float32)
    answer[0, :2] = ((boxes[:, :2] + boxes[:, 2:] / 2) * fit.scale + (fit.left, fit.top)).T
    answer[0, 2:4] = (boxes[:, 2:] * fit.scale).T
    answer[0, 4] = 0.9
    moved = points.copy()
    moved[..., :2] = moved[..., :2] * fit.scale + (fit.left, fit.top)
    answer[0, 5:] = moved.reshape(len(people), 51).T
    report = evaluate(lambda _: answer, [(image, people)], 640, 384)
    assert report.recall == 1.0 and report.precision == 1.0
    assert report.mean_oks > 0.999 and report.pixel_error < 0.01 and report.oks_ap == pytest.approx(1.0)


def test_unreadable_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        openvino_predictor(tmp_path / "missing.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        openvino_predictor(tmp_path / "bad.onnx")
