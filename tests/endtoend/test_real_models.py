"""Detectors from elsewhere through the pipeline: the objects are those of a direct run, box for box."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import openvino
import pytest
from gi.repository import Gst

import pyds
from millrace.elements.handle import batch_of

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
CONFIDENCE, OVERLAP = 0.3, 0.45

pytestmark = pytest.mark.skipif(not ASSETS.exists(), reason="needs ../shared/assets")


class Model(NamedTuple):
    file: str
    side: int
    keys: str
    factor: float
    bgr: bool
    symmetric: bool


YOLOV8 = Model("yolov8n.onnx", 640, "symmetric-padding=1\n", 1 / 255, False, True)
YOLOX = Model("yolox_nano.onnx", 416, "model-color-format=1\n", 1.0, True, False)


def decode(model: Model, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (cx, cy, w, h) in network pixels and scores (rows, 80), one row at a time as the papers write it."""
    if model is YOLOV8:
        rows = output.T
        return rows[:, :4].copy(), rows[:, 4:]
    boxes, row = output[:, :4].copy(), 0
    for stride in (8, 16, 32):
        cells = model.side // stride
        for y in range(cells):
            for x in range(cells):
                boxes[row, :2] = (boxes[row, :2] + (x, y)) * stride
                boxes[row, 2:] = np.exp(boxes[row, 2:]) * stride
                row += 1
    return boxes, output[:, 4:5] * output[:, 5:]


def direct(model: Model, network: Any, rgb: np.ndarray) -> list[tuple[int, float, list[float]]]:
    """(class, score, [left, top, width, height]) of one picture by a plain loop."""
    height, width = rgb.shape[:2]
    scale = min(model.side / height, model.side / width)
    inner = round(width * scale), round(height * scale)
    left, top = ((model.side - inner[0]) // 2, (model.side - inner[1]) // 2) if model.symmetric else (0, 0)
    square = np.zeros((model.side, model.side, 3), np.uint8)
    square[top : top + inner[1], left : left + inner[0]] = cv2.resize(rgb, inner)
    if model.bgr:
        square = square[..., ::-1]
    tensor = (square.transpose(2, 0, 1)[None] * np.float32(model.factor)).astype(np.float32)
    boxes, scores = decode(model, network(tensor)[0][0])
    found = []
    for class_id in range(scores.shape[1]):
        chosen = np.flatnonzero(scores[:, class_id] >= CONFIDENCE)
        chosen = chosen[scores[chosen].argmax(axis=1) == class_id]
        corners = [[*(boxes[i, :2] - boxes[i, 2:] / 2), *boxes[i, 2:]] for i in chosen]
        kept = cv2.dnn.NMSBoxes(corners, scores[chosen, class_id].tolist(), CONFIDENCE, OVERLAP) if corners else []
        for k in np.asarray(kept, dtype=int).reshape(-1):
            x0, y0, w, h = corners[k]
            x1, y1 = (x0 + w - left) / scale, (y0 + h - top) / scale
            x0, y0 = max(0.0, (x0 - left) / scale), max(0.0, (y0 - top) / scale)
            box = [x0, y0, min(width, x1) - x0, min(height, y1) - y0]
            found.append((class_id, float(scores[chosen[k], class_id]), box))
    return found


def through_pipeline(model: Model, source: str, folder: Path, frames: range) -> list[tuple[np.ndarray, list[Any]]]:
    """Picture and objects of the frames ``frames`` behind nvinfer."""
    copy = folder / model.file
    copy.write_bytes((ASSETS / "models" / model.file).read_bytes())
    config = folder / "config.txt"
    config.write_text(
        f"[property]\nonnx-file={copy.name}\nnet-scale-factor={model.factor}\nmaintain-aspect-ratio=1\n{model.keys}"
        f"num-detected-classes=80\ncluster-mode=2\n[class-attrs-all]\npre-cluster-threshold={CONFIDENCE}\n"
        f"nms-iou-threshold={OVERLAP}\n"
    )
    pipeline = Gst.parse_launch(
        f"uridecodebin uri={(ASSETS / source).as_uri()} ! mux.sink_0 nvstreammux name=mux batch-size=1 ! "
        f"nvinfer name=infer config-file-path={config} ! fakesink"
    )
    seen: list[tuple[np.ndarray, list[Any]]] = []

    def look(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        address = hash(info.get_buffer())
        meta = pyds.gst_buffer_get_nvds_batch_meta(address)
        if meta.frames[0].frame_num in frames:
            batch = batch_of(address)
            objects = []
            for item in meta.frames[0].objects:
                rect = item.rect_params
                objects.append((item.class_id, item.confidence, [rect.left, rect.top, rect.width, rect.height]))
            assert batch is not None
            seen.append((batch.surfaces[0].to_rgb().copy(), objects))
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("infer").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, look)
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    for _ in range(600):
        message = bus.timed_pop_filtered(Gst.SECOND // 10, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        if message is not None or len(seen) >= len(frames):
            break
    pipeline.set_state(Gst.State.NULL)
    assert message is None or message.type == Gst.MessageType.EOS, message.parse_error()
    return seen


@pytest.mark.parametrize("model", [YOLOV8, YOLOX], ids=lambda model: model.file)
@pytest.mark.parametrize(
    ("source", "frames"),
    [
        ("images/bus.jpg", range(1)),
        ("images/zidane.jpg", range(1)),
        ("streams/car-detection.mp4", range(100, 200, 10)),
    ],
    ids=["bus", "zidane", "cars"],
)
def test_objects_equal_a_direct_run(tmp_path: Path, model: Model, source: str, frames: range) -> None:
    network = openvino.Core().compile_model(
        str(ASSETS / "models" / model.file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    seen = through_pipeline(model, source, tmp_path, frames)
    assert len(seen) == len(frames)
    total = 0
    for rgb, objects in seen:
        expected = direct(model, network, rgb)
        total += len(expected)
        assert sorted(class_id for class_id, _, _ in objects) == sorted(class_id for class_id, _, _ in expected)
        for class_id, score, box in expected:
            same = [np.abs(np.array(o[2]) - box).max() + abs(o[1] - score) for o in objects if o[0] == class_id]
            assert min(same) < 0.5
    assert total > 0
