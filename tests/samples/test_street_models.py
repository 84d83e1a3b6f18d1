"""The bundled street models on held-out streets, directly and through the pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from millrace.config import load_infer_config
from millrace.samples import read_street_truth, sample_config, write_street_clip
from millrace.samples.accuracy import TASKS, labels_of, run_direct, run_pipeline
from millrace.samples.scoring import HELD_OUT_SEED, Found, average_precision, decode_grid, mean_average_precision
from millrace.samples.street import Thing
from millrace.samples.vehicle import COLOURS, MAKES, TYPES

MODELS = Path(sample_config()).parents[2] / "models"


def test_models_are_small_and_configs_name_them() -> None:
    for name, limit in (
        ("primary", 4_000_000),
        ("secondary_vehicleattributes", 2_000_000),
        ("secondary_vehiclemake", 2_000_000),
        ("secondary_vehicletypes", 2_000_000),
    ):
        config = load_infer_config(sample_config(name))
        assert config.onnx_file is not None and config.labelfile_path is not None
        assert config.onnx_file.stat().st_size < limit
        assert config.labelfile_path.is_file()
    assert [labels_of(task) for task in TASKS] == [list(COLOURS), list(TYPES), list(MAKES), list(TYPES)]


def test_detector_layout_and_batch() -> None:
    ort = pytest.importorskip("onnxruntime")
    for path, classes, height, width in (
        ("Primary_Detector/resnet18_trafficcamnet_pruned.onnx", 4, 368, 640),
        ("tao_pretrained_models/peopleNet/resnet34_peoplenet_int8.onnx", 3, 544, 960),
    ):
        session = ort.InferenceSession(str(MODELS / path), providers=["CPUExecutionProvider"])
        assert [o.name for o in session.get_outputs()] == ["output_cov/Sigmoid:0", "output_bbox/BiasAdd:0"]
        batch = np.random.default_rng(0).random((2, 3, height, width), np.float32)
        cover, boxes = session.run(None, {session.get_inputs()[0].name: batch})
        assert cover.shape == (2, classes, height // 16, width // 16)
        assert boxes.shape == (2, 4 * classes, height // 16, width // 16)
        single = session.run(None, {session.get_inputs()[0].name: batch[1:]})
        assert np.allclose(single[0][0], cover[1], atol=1e-4)


def test_grid_decodes_to_the_box_it_says() -> None:
    cover, boxes = np.zeros((4, 23, 40), np.float32), np.zeros((16, 23, 40), np.float32)
    cover[2, 5, 10] = 0.9
    boxes[8:12, 5, 10] = np.array([20, 30, 40, 50]) / 35
    found = decode_grid(cover, boxes, (640, 368))
    assert found.class_ids.tolist() == [2]
    assert found.boxes[0] == pytest.approx([160.5 - 20, 80.5 - 30, 60, 80], abs=1e-3)


def test_average_precision_by_hand() -> None:
    def thing(x: float, visible: float = 1.0) -> Thing:
        return Thing(0, (x, 0.0, 40.0, 40.0), 1, visible)

    def found(xs: list[float], scores: list[float]) -> Found:
        boxes = np.array([(x, 0.0, 40.0, 40.0) for x in xs]).reshape(-1, 4)
        return Found(boxes, np.array(scores), np.zeros(len(xs), np.int64))

    truth = [[thing(0), thing(100), thing(300, 0.1)]]
    assert average_precision([found([0, 100], [0.9, 0.8])], truth, 360, 0) == 1.0
    # A hidden thing's detection counts neither way; a false alarm between two hits costs a sixth.
    assert average_precision([found([0, 300, 500, 100], [0.9, 0.85, 0.8, 0.7])], truth, 360, 0) == pytest.approx(5 / 6)
    assert average_precision([found([], [])], truth, 360, 0) == 0.0
    assert np.isnan(average_precision([found([], [])], [[]], 360, 0))


@pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="gst-launch-1.0 is not installed")
def test_pipeline_keeps_the_models_accuracy(tmp_path: Path) -> None:
    pytest.importorskip("gi")
    clip = write_street_clip(tmp_path / "c.mp4", 3.0, 8, HELD_OUT_SEED + 123, vehicles=6, bicycles=2, people=3, signs=2)
    truth = read_street_truth(clip)
    direct, piped = run_direct(clip, truth), run_pipeline(clip, truth, (1280, 720))
    assert len(piped.found) == len(truth)
    best, through = (
        mean_average_precision(direct.found, truth, 720)[0],
        mean_average_precision(piped.found, truth, 720)[0],
    )
    assert best > 0.85
    assert through >= 0.95 * best
    for task in TASKS:
        (a, n), (b, m) = direct.tasks[task.name], piped.tasks[task.name]
        assert n > 20
        assert m > 0.9 * n
        assert a / n > 0.95
        assert b / m >= 0.98 * a / n
