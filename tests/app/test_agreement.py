"""`millrace pose` finds what a direct run of the same network finds: same letterbox, same NMS, same picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
MODEL = ASSETS / "models" / "yolov8n-pose.onnx"
SIDE, CONFIDENCE, OVERLAP = 640, 0.25, 0.45

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="needs ../shared/assets")


def direct(picture: Path) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) left, top, width, height and keypoints (N, 17, 3), in the picture's pixels."""
    image = cv2.imread(str(picture))
    height, width = image.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    inner_w, inner_h = round(width * scale), round(height * scale)
    left, top = (SIDE - inner_w) // 2, (SIDE - inner_h) // 2
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[top : top + inner_h, left : left + inner_w] = cv2.resize(image, (inner_w, inner_h))
    tensor = (square[..., ::-1].transpose(2, 0, 1)[None] / 255).astype(np.float32)
    network = openvino.Core().compile_model(str(MODEL), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = network(tensor)[0][0].T
    rows = rows[rows[:, 4] >= CONFIDENCE]
    boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]], axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), rows[:, 4].tolist(), CONFIDENCE, OVERLAP)).reshape(-1)
    boxes, rows = boxes[kept], rows[kept]
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    corners = (corners - np.array([left, top] * 2)) / scale
    corners = corners.clip(0, np.array([width, height] * 2))
    points = rows[:, 5:].reshape(-1, 17, 3).copy()
    points[..., :2] = (points[..., :2] - np.array([left, top])) / scale
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), points


@pytest.mark.parametrize("name", ["bus.jpg", "zidane.jpg"])
def test_pictures_give_the_same_boxes_and_keypoints(tmp_path: Path, name: str) -> None:
    model = tmp_path / MODEL.name  # the compiled engine is kept beside the model
    model.write_bytes(MODEL.read_bytes())
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "millrace.app.cli", "pose", str(ASSETS / "images" / name), "--model", str(model)]
    subprocess.run([*command, "--json", str(out), "--no-display"], check=True, capture_output=True, timeout=120)
    objects = json.loads(out.read_text())["objects"]
    boxes, points = direct(ASSETS / "images" / name)
    assert len(objects) == len(boxes) > 0
    matched = set()
    for item in objects:
        distance = np.abs(boxes - np.array(item["box"])).max(axis=1)
        nearest = int(distance.argmin())
        matched.add(nearest)
        assert distance[nearest] < 1.0
        assert np.abs(np.array(item["keypoints"])[:, :2] - points[nearest, :, :2]).max() < 1.0
    assert len(matched) == len(boxes)
