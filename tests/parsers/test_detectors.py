from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from millrace.infer.parsers import Detections, LayerInfo, NetworkInfo, get_parser, nms_detections

from . import reference

Run = Callable[[str, str], np.ndarray]
NETWORK = NetworkInfo(640, 480)
THRESHOLDS = np.full(3, 0.25, np.float32)
# Left, top, right, bottom, class, score.
TRUTH = [(100, 50, 180, 210, 1, 0.9), (300, 200, 420, 260, 2, 0.8), (10, 20, 60, 90, 0, 0.6)]
CORNERS = np.array([t[:4] for t in TRUTH], np.float32)
CLASSES = [t[4] for t in TRUTH]
SCORES = [t[5] for t in TRUTH]
CENTRES = np.concatenate([(CORNERS[:, :2] + CORNERS[:, 2:]) / 2, CORNERS[:, 2:] - CORNERS[:, :2]], axis=1)
UNIT = np.array([640, 480, 640, 480], np.float32)


def parse(
    arrays: dict[str, np.ndarray], name: str | None = None, classes: int = 3, network: NetworkInfo = NETWORK
) -> tuple[Detections, str]:
    layers = [LayerInfo(n, tuple(a.shape), str(a.dtype)) for n, a in arrays.items()]
    parser = get_parser(name, "detector", layers, network, classes)
    return parser(arrays, np.full(classes, 0.25, np.float32)), parser.name


def check(dets: Detections, atol: float = 1e-3) -> None:
    order = np.argsort(-dets.scores)
    np.testing.assert_allclose(dets.scores[order], SCORES, atol=1e-5)
    np.testing.assert_allclose(dets.boxes[order], CORNERS, atol=atol)
    assert dets.class_ids[order].tolist() == CLASSES
    assert dets.boxes.dtype == np.float32
    assert dets.scores.dtype == np.float32
    assert dets.class_ids.dtype == np.int64


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


@pytest.mark.parametrize("picture", ["bus.jpg", "zidane.jpg"])
def test_yolov8n(direct: Run, picture: str) -> None:
    tensor = direct("yolov8n.onnx", picture)
    dets, name = parse({"output0": tensor}, classes=80, network=NetworkInfo(640, 640))
    assert name == "yolov8"
    check_against(dets, reference.rows_to_objects(tensor.T, 0.25, 0.45, 80, False))
    if picture == "bus.jpg":
        kept = nms_detections(dets, 0.45)
        found = kept.class_ids.tolist()
        assert (found.count(0), found.count(5)) == (4, 1)
    for form in (tensor.T, np.ascontiguousarray(tensor.T)):
        again, name = parse({"output0": form}, classes=80, network=NetworkInfo(640, 640))
        assert name == "yolov8"
        np.testing.assert_array_equal(again.boxes, dets.boxes)


@pytest.mark.parametrize("picture", ["bus.jpg", "zidane.jpg"])
def test_yolox_nano(direct: Run, picture: str) -> None:
    tensor = direct("yolox_nano.onnx", picture)
    dets, name = parse({"output": tensor}, classes=80, network=NetworkInfo(416, 416))
    assert name == "yolox"
    rows = tensor.astype(np.float64)
    place = 0
    for stride in (8, 16, 32):
        side = 416 // stride
        for y in range(side):
            for x in range(side):
                row = rows[place]
                row[:2] = (row[:2] + np.array([x, y])) * stride
                row[2:4] = np.exp(row[2:4]) * stride
                place += 1
    check_against(dets, reference.rows_to_objects(rows, 0.25, 0.45, 80, True))
    if picture == "bus.jpg":
        assert sorted(nms_detections(dets, 0.45).class_ids.tolist()) == [0, 0, 0, 0, 5]
    # An export that decodes in the graph has the same shape.
    decoded, name = parse({"output": rows.astype(np.float32)}, classes=80, network=NetworkInfo(416, 416))
    assert name == "yolox"
    np.testing.assert_allclose(decoded.boxes, dets.boxes, atol=1e-3)


def check_against(dets: Detections, expected: list[tuple[int, float, list[float], list[float]]]) -> None:
    kept = nms_detections(dets, 0.45)
    assert kept.class_ids.tolist() == [e[0] for e in expected]
    np.testing.assert_allclose(kept.scores, [e[1] for e in expected], rtol=1e-5)
    np.testing.assert_allclose(kept.boxes, [e[2] for e in expected], atol=1e-3)


def v8_columns(anchors: int = 900) -> np.ndarray:
    tensor = np.zeros((7, anchors), np.float32)
    for i in range(3):
        tensor[:4, i * 7] = CENTRES[i]
        tensor[4 + CLASSES[i], i * 7] = SCORES[i]
    return tensor


def v5_rows(anchors: int) -> np.ndarray:
    rows = np.zeros((anchors, 8), np.float32)
    rows[:, :2] = [320, 240]
    for i in range(3):
        rows[i * 7, :4] = CENTRES[i]
        rows[i * 7, 4] = 0.95
        rows[i * 7, 5 + CLASSES[i]] = SCORES[i] / 0.95
    return rows


def test_yolo_rows() -> None:
    check(parse({"o": v8_columns()})[0])
    check(parse({"o": v8_columns()}, "NvDsInferParseYolo")[0])
    cells = sum((640 // s) * (480 // s) for s in (8, 16, 32))
    dets, name = parse({"o": v5_rows(3 * cells)})
    check(dets)
    assert name == "yolov5"
    dets, name = parse({"o": v5_rows(3 * cells)}, "NvDsInferParseCustomYoloV7_cuda")
    check(dets)
    assert name == "yolov5"
    dets, name = parse({"o": v5_rows(cells)})
    check(dets)
    assert name == "yolox"


@pytest.mark.parametrize("function", [None, "NvDsInferParseYolo", "NvDsInferParseYoloCuda"])
def test_end_to_end_rows(function: str | None) -> None:
    rows = np.zeros((300, 6), np.float32)
    for i in range(3):
        rows[i] = [*CORNERS[i], SCORES[i], CLASSES[i]]
    dets, name = parse({"output0": rows}, function)
    check(dets)
    assert name == "yolo-end2end"


def test_one_class_rows_of_six() -> None:
    network = NetworkInfo(64, 64)
    for function, expected in ((None, "yolox"), ("NvDsInferParseYolo", "yolo-end2end")):
        assert parse({"o": np.zeros((84, 6), np.float32)}, function, 1, network)[1] == expected
    assert parse({"o": np.zeros((252, 6), np.float32)}, None, 1, network)[1] == "yolov5"
    assert parse({"o": np.zeros((300, 6), np.float32)}, None, 1, network)[1] == "yolo-end2end"


def test_decoded_boxes_scores_classes() -> None:
    arrays = {
        "boxes": CORNERS,
        "scores": np.array(SCORES, np.float32)[:, None],
        "classes": np.array(CLASSES, np.float32)[:, None],
    }
    dets, name = parse(arrays, "NvDsInferParseYolo")
    check(dets)
    assert name == "suppressed"


def four_tensors(boxes: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    padded = np.zeros((100, 4), np.float32)
    padded[:3] = boxes
    padded[3:] = padded[0]
    scores = np.full(100, 0.99, np.float32)
    scores[:3] = SCORES
    classes = np.zeros(100, np.float32)
    classes[:3] = CLASSES
    return dict(zip(names, (np.array([3], np.int32), padded, scores, classes), strict=True))


BATCHED = ("BatchedNMS", "BatchedNMS_1", "BatchedNMS_2", "BatchedNMS_3")
EFFICIENT = ("num_dets", "det_boxes", "det_scores", "det_classes")
TENSORFLOW = ("num_detections", "detection_boxes", "detection_scores", "detection_classes")


@pytest.mark.parametrize(
    ("function", "names", "boxes"),
    [
        ("NvDsInferParseCustomBatchedNMSTLT", BATCHED, CORNERS / UNIT),
        (None, BATCHED, CORNERS / UNIT),
        ("NvDsInferParseCustomEfficientNMS", EFFICIENT, CORNERS),
        (None, EFFICIENT, CORNERS),
        ("NvDsInferParseCustomTfSSD", TENSORFLOW, (CORNERS / UNIT)[:, [1, 0, 3, 2]]),
        (None, TENSORFLOW, (CORNERS / UNIT)[:, [1, 0, 3, 2]]),
        ("NvDsInferParseCustomEfficientDetTAO", EFFICIENT, CORNERS[:, [1, 0, 3, 2]]),
    ],
)
def test_suppression_plugins(function: str | None, names: tuple[str, ...], boxes: np.ndarray) -> None:
    dets, name = parse(four_tensors(boxes, names), function)
    check(dets)
    assert name == "suppressed"
    arrays = four_tensors(boxes, names)
    arrays[names[0]] = np.array([0], np.int32)
    assert len(parse(arrays, function)[0]) == 0


def test_tensorflow_order_is_found_by_name() -> None:
    arrays = four_tensors((CORNERS / UNIT)[:, [1, 0, 3, 2]], TENSORFLOW)
    shuffled = {name: arrays[name] for name in sorted(arrays)}
    check(parse(shuffled, "NvDsInferParseCustomTfSSD")[0])


def test_nms_plugin_rows() -> None:
    rows = np.zeros((200, 1, 7), np.float32)
    for i in range(3):
        rows[i, 0] = [0, CLASSES[i], SCORES[i], *(CORNERS[i] / UNIT)]
    dets, name = parse({"NMS": rows, "NMS_1": np.array([3], np.int32)}, "NvDsInferParseCustomNMSTLT")
    check(dets)
    assert name == "nms-rows"


def test_detectnet() -> None:
    coverage = np.zeros((3, 30, 40), np.float32)
    bbox = np.zeros((12, 30, 40), np.float32)
    for i, (left, top, right, bottom, number, score) in enumerate(TRUTH):
        x, y = (left + right) // 2 // 16 + i, (top + bottom) // 2 // 16
        coverage[number, y, x] = score
        centre_x, centre_y = x * 16 + 0.5, y * 16 + 0.5
        offsets = (centre_x - left, centre_y - top, right - centre_x, bottom - centre_y)
        bbox[number * 4 : number * 4 + 4, y, x] = np.array(offsets) / 35
    for arrays in ({"cov": coverage, "box": bbox}, {"box": bbox, "cov": coverage}):
        dets, name = parse(arrays, "NvDsInferParseCustomResnet")
        check(dets)
        assert name == "detectnet"
    # Fewer configured classes than the network has: the rest is left out.
    parser = get_parser(None, "detector", [LayerInfo("c", (3, 30, 40)), LayerInfo("b", (12, 30, 40))], NETWORK, 2)
    assert parser({"c": coverage, "b": bbox}, np.full(2, 0.25, np.float32)).class_ids.tolist() == [0, 1]


def test_detr() -> None:
    boxes = np.zeros((300, 4), np.float32)
    boxes[:3] = CENTRES / UNIT
    logits = np.full((300, 3), -8.0, np.float32)
    for i in range(3):
        logits[i, CLASSES[i]] = logit(SCORES[i])
    dets, name = parse({"pred_logits": logits, "pred_boxes": boxes})
    check(dets)
    assert name == "detr"
    # The TAO function takes class 0 for the background.
    dets, _ = parse({"pred_logits": logits, "pred_boxes": boxes}, "NvDsInferParseCustomDDETRTAO")
    assert sorted(dets.class_ids.tolist()) == [1, 2]
    # DETR proper: one class more, and a softmax.
    plain = np.zeros((300, 4), np.float32)
    plain[:, 3] = 12
    for i in range(3):
        plain[i] = np.log((1 - SCORES[i]) / 3)
        plain[i, CLASSES[i]] = np.log(SCORES[i])
    check(parse({"logits": plain, "pred_boxes": boxes})[0])


def test_rtdetr_rows() -> None:
    rows = np.zeros((300, 7), np.float32)
    for i in range(3):
        rows[i, :4] = CENTRES[i] / UNIT
        rows[i, 4 + CLASSES[i]] = SCORES[i]
    dets, name = parse({"output0": rows})
    check(dets)
    assert name == "rtdetr-rows"


def test_yolov4_boxes_and_scores() -> None:
    boxes = np.zeros((500, 1, 4), np.float32)
    scores = np.zeros((500, 3), np.float32)
    for i in range(3):
        boxes[i, 0] = CORNERS[i] / UNIT
        scores[i, CLASSES[i]] = SCORES[i]
    for function in ("NvDsInferParseCustomYoloV4", None):
        dets, name = parse({"boxes": boxes, "confs": scores}, function)
        check(dets)
        assert name == "boxes-scores"


def test_yolov3_heads() -> None:
    from millrace.infer.parsers.detectors import YOLOV3_ANCHORS

    heads = {f"head{s}": np.full((24, 480 // s, 640 // s), -9, np.float32) for s in (32, 16, 8)}
    for i, stride in enumerate((8, 16, 32)):
        head = heads[f"head{stride}"].reshape(3, 8, 480 // stride, 640 // stride)
        cx, cy, w, h = CENTRES[i] / [stride, stride, 1, 1]
        column, row = int(cx), int(cy)
        anchor = YOLOV3_ANCHORS[i][1]
        cell = head[1, :, row, column]
        eps = 1e-6
        cell[0], cell[1] = (logit(float(np.clip(v - int(v), eps, 1 - eps))) for v in (cx, cy))
        cell[2], cell[3] = np.log(w / anchor[0]), np.log(h / anchor[1])
        cell[4] = logit(0.99)
        cell[5 + CLASSES[i]] = logit(SCORES[i] / 0.99)
    dets, name = parse(heads, "NvDsInferParseCustomYoloV3")
    check(dets, atol=0.01)
    assert name == "anchor-heads"


def test_thresholds_of_each_class() -> None:
    tensor = v8_columns()
    parser = get_parser(None, "detector", [LayerInfo("o", (7, 900))], NETWORK, 3)
    assert parser({"o": tensor}, np.array([0.7, 0.7, 0.7], np.float32)).class_ids.tolist() == [1, 2]
    assert parser({"o": tensor}, np.array([0.5, 0.95, 0.95], np.float32)).class_ids.tolist() == [0]
    assert len(parser({"o": tensor}, np.array([2.0, 2.0, 2.0], np.float32))) == 0
