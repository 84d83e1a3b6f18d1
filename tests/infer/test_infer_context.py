"""The whole way from a picture to detections, and what goes wrong on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer import InferContext, InferItem
from millrace.infer.parsers import nms
from millrace.surface import HostSurface, Rect

# cx, cy, w, h, then one row a class; anchors are columns
ROWS = np.array(
    [
        [32, 32, 10, 60, 20],
        [32, 33, 32, 32, 32],
        [20, 20, 40, 10, 2],
        [10, 10, 8, 10, 2],
        [0.9, 0.8, 0.1, 0.7, 0.6],
        [0.0, 0.0, 0.6, 0.0, 0.0],
    ]
    + [[0.0] * 5] * 3,
    np.float32,
)
ROWS = np.concatenate([ROWS, np.zeros((9, 5), np.float32)], axis=1)  # more anchors than channels


def surface(width: int = 128, height: int = 64) -> HostSurface:
    return HostSurface([np.zeros((height, width, 3), np.uint8)], "RGB")


def photograph(assets: Path, name: str) -> np.ndarray:
    bgr = cv2.imread(str(assets / "images" / name))
    assert bgr is not None
    return bgr


def make(model: Path, extra: str = "", attrs: str = "", classes: int = 5, batch: int = 1) -> InferContext:
    text = f"""[property]
onnx-file={model}
num-detected-classes={classes}
maintain-aspect-ratio=1
symmetric-padding=1
cluster-mode=2
{extra}
[class-attrs-all]
pre-cluster-threshold=0.5
{attrs}
"""
    return InferContext(parse_infer_config(text, "pgie.txt"), batch_size=batch, cache=False)


def test_detections_in_frame_pixels(make_detector: Callable[..., Path]) -> None:
    c = make(make_detector(ROWS))
    found = c.submit([InferItem(surface())]).result()[0].detections
    assert found is not None
    # 128x64 in 64x64: scale 0.5, 16 rows of padding above
    expected = {(44, 22, 84, 42, 0), (0, 24, 60, 40, 1), (110, 22, 128, 42, 0), (38, 30, 42, 34, 0)}
    got = {(*np.rint(box).astype(int).tolist(), int(k)) for box, k in zip(found.boxes, found.class_ids, strict=True)}
    assert got == expected
    c.close()


def test_filters(make_detector: Callable[..., Path]) -> None:
    model = make_detector(ROWS)

    def count(extra: str = "", attrs: str = "") -> int:
        c = make(model, extra, attrs)
        found = c.submit([InferItem(surface())]).result()[0].detections
        c.close()
        assert found is not None
        return len(found)

    assert count() == 4
    assert count("filter-out-class-ids=1") == 3
    assert count(attrs="detected-min-w=10") == 3
    assert count(attrs="detected-max-w=30") == 2
    assert count(attrs="detected-min-h=5") == 3
    assert count(attrs="roi-top-offset=25") == 1
    assert count(attrs="roi-bottom-offset=25") == 1
    assert count(attrs="topk=1") == 2
    assert count(attrs="nms-iou-threshold=0.99") == 5
    assert count(attrs="[class-attrs-1]\npre-cluster-threshold=0.7") == 3


def test_region_of_interest(make_detector: Callable[..., Path]) -> None:
    c = make(make_detector(ROWS))
    found = c.submit([InferItem(surface(), Rect(60, 0, 32, 32))]).result()[0].detections
    assert found is not None
    # the region fills the network at scale 2: columns -10 to 65 of the network are 55 to 92.5 of the frame
    assert (found.boxes[:, 0].min(), found.boxes[:, 2].max()) == (55, 92.5)
    c.close()


def test_crop_to_the_offsets_instead_of_dropping(make_detector: Callable[..., Path]) -> None:
    model = make_detector(ROWS)
    c = make(model, "crop-objects-to-roi-boundary=1", "roi-top-offset=25\nroi-bottom-offset=30")
    found = c.submit([InferItem(surface())]).result()[0].detections
    assert found is not None
    # The frame has 64 rows; one object of four lies above row 34, the others are cut to rows 25 to 34.
    assert sorted(found.boxes[:, 1].tolist()) == [25, 25, 25, 30]
    assert found.boxes[:, 3].tolist() == [34] * 4
    c.close()


def test_labels(make_detector: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = make_detector(ROWS)
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc d\ne\n\n")
    c = make(model, f"labelfile-path={labels}")
    assert c.labels == ["a", "b", "c d", "e"]
    c.close()
    assert f"{labels}: 4 labels for num-detected-classes=5: objects of the others have none; add" in caplog.text
    labels.write_text("a;b;c d;e;f")
    make(model, f"labelfile-path={labels}").close()
    assert f"{labels}: 1 label for num-detected-classes=5: a detector's labels are one a line, without ;" in caplog.text
    labels.write_text("a\nb\nc d\ne\nf\n\n")
    c = make(model, f"labelfile-path={labels}")
    assert c.labels == ["a", "b", "c d", "e", "f"]
    c.close()
    make(model, f"labelfile-path={labels}", classes=0).close()
    with pytest.raises(ConfigError, match=r"^pgie\.txt:10: \[class-attrs-5\], but there are 5 classes: "):
        make(model, f"labelfile-path={labels}", "[class-attrs-5]\ntopk=1")
    with pytest.raises(ConfigError, match=r"^pgie\.txt: num-detected-classes is missing"):
        make(model, classes=0)
    with pytest.raises(ConfigError, match=r"^pgie.txt:7: labelfile-path: no such file"):
        make(model, f"labelfile-path={tmp_path / 'none.txt'}")


def test_outputs_that_nothing_reads(make_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelError) as caught:
        make(make_model(("n", 3, 8, 12)))
    assert "out (3, 8, 12)" in str(caught.value)


def test_classifier(make_model: Callable[..., Path], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    text = f"[property]\nonnx-file={make_model(('n', 3, 1, 1), 1 / 255)}\nnetwork-type=1\nlabelfile-path={labels}\n"
    config = parse_infer_config(text + "classifier-threshold=0.5")
    labels.write_text("red;green\n")
    with pytest.raises(ConfigError, match=r"labels.txt:1: 2 labels, but the task's output has 3 classes"):
        InferContext(config, cache=False)
    for content in ("red;green;blue\n", "red\ngreen\nblue\n"):
        labels.write_text(content)
        c = InferContext(config, cache=False)
        item = InferItem(HostSurface([np.array([[[10, 200, 30]]], np.uint8)], "RGB"))
        classes = c.submit([item]).result()[0].classes
        assert classes is not None
        assert classes.label == "green"
        assert c.labels == ["red", "green", "blue"]
        c.close()


def test_python_parser(make_model: Callable[..., Path], tmp_path: Path) -> None:
    parser = tmp_path / "parser.py"
    parser.write_text(
        """
import numpy as np
from millrace.infer import Detections

def mine(layers, thresholds):
    value = layers["out"].max()
    return Detections(np.array([[2, 2, 6, 6]], np.float32), np.array([value / 255], np.float32), np.array([1]))
"""
    )
    model = make_model(("n", 3, 8, 8))
    c = make(model, f"custom-lib-path={parser}\nparse-bbox-func-name=mine", classes=2)
    item = InferItem(HostSurface([np.full((16, 16, 3), 204, np.uint8)], "RGB"))
    found = c.submit([item]).result()[0].detections
    assert found is not None
    assert found.boxes.tolist() == [[4, 4, 12, 12]]
    assert found.scores[0] == pytest.approx(0.8)
    c.close()
    with pytest.raises(ConfigError, match=r"^pgie.txt:8: parse-bbox-func-name: .* has no function other$"):
        make(model, f"custom-lib-path={parser}\nparse-bbox-func-name=other")
    parser.write_text("1 / 0")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        make(model, f"custom-lib-path={parser}\nparse-bbox-func-name=mine")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("name", ["bus.jpg", "zidane.jpg"])
def test_pose_equals_a_direct_run(assets: Path, engine: str, name: str) -> None:
    import openvino

    text = f"""[property]
onnx-file={assets / "models/yolov8n-pose.onnx"}
net-scale-factor=0.0039215697906911373
network-type=3
num-detected-classes=1
maintain-aspect-ratio=1
symmetric-padding=1
cluster-mode=2
parse-bbox-instance-mask-func-name=NvDsInferParseYoloPose
[class-attrs-all]
pre-cluster-threshold=0.25
nms-iou-threshold=0.45
"""
    bgr = photograph(assets, name)
    c = InferContext(parse_infer_config(text), batch_size=2, engine=engine, cache=False)
    results = c.submit([InferItem(HostSurface([bgr], "BGR"))] * 2).result()
    c.close()

    height, width = bgr.shape[:2]
    scale = 640 / max(height, width)
    w, h = int(width * scale), int(height * scale)
    left, top = (640 - w) // 2, (640 - h) // 2
    canvas = np.zeros((640, 640, 3), np.uint8)
    canvas[top : top + h, left : left + w] = cv2.resize(bgr[:, :, ::-1], (w, h))
    network = openvino.Core().compile_model(
        str(assets / "models/yolov8n-pose.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    out = next(iter(network({0: canvas.transpose(2, 0, 1)[None].astype(np.float32) / 255}).values()))[0]
    out = out[:, out[4] >= 0.25]
    boxes = np.stack([out[0] - out[2] / 2, out[1] - out[3] / 2, out[0] + out[2] / 2, out[1] + out[3] / 2], axis=1)
    keep = nms(boxes, out[4], 0.45)
    boxes = (boxes[keep] - [left, top, left, top]) / scale
    points = (out[5:].T.reshape(-1, 17, 3)[keep][:, :, :2] - [left, top]) / scale
    assert len(keep) >= 2
    for result in results:
        found = result.detections
        assert found is not None
        assert found.keypoints is not None
        assert len(found) == len(keep)
        np.testing.assert_allclose(found.boxes, boxes.clip(0, [width, height] * 2), atol=0.5)
        np.testing.assert_allclose(found.keypoints[:, :, :2], points, atol=0.5)


def test_real_models_of_other_kinds(assets: Path) -> None:
    bgr = photograph(assets, "bus.jpg")
    item = InferItem(HostSurface([bgr], "BGR"))
    attrs = "nms-iou-threshold=0.45"
    yolo = make(assets / "models/yolov8n.onnx", "net-scale-factor=0.00392156862745098", attrs, classes=80, batch=3)
    yolox = make(assets / "models/yolox_nano.onnx", "model-color-format=1", attrs, classes=80, batch=3)
    quantised = make(
        assets / "models/yolov8n-pose-int8.xml",
        "net-scale-factor=0.00392156862745098\nnetwork-type=3\nnetwork-mode=1",
        attrs,
        classes=1,
    )
    for c in (yolo, yolox, quantised):
        results = c.submit([item] * c.batch_size).result()
        c.close()
        for result in results:
            assert result.detections is not None
            people = result.detections.boxes[result.detections.class_ids == 0]
            assert len(people) >= 3
            assert any(np.abs(box - [672, 390, 808, 878]).max() < 65 for box in people)


def test_masks_follow_clipped_boxes() -> None:
    from millrace.infer.postprocess import clip_masks

    masks = np.zeros((2, 4, 8), np.float32)
    masks[:, :, 4:] = 1
    whole = np.array([[-8, 0, 8, 8], [0, 0, 16, 8]], np.float32)
    out = clip_masks(masks, whole, whole.clip(0, 100))
    assert out[0].min() > 0.4
    assert out[0, :, 1:].min() == 1
    np.testing.assert_array_equal(out[1], masks[1])
