from __future__ import annotations

import numpy as np
import pytest

from millrace.errors import ConfigError, ModelError
from millrace.infer.parsers import KNOWN_FUNCTIONS, Detections, LayerInfo, NetworkInfo, get_parser, layouts
from millrace.infer.parsers.masks import crop_masks

NETWORK = NetworkInfo(320, 240)
THRESHOLDS = np.full(2, 0.3, np.float32)


def infos(arrays: dict[str, np.ndarray]) -> list[LayerInfo]:
    return [LayerInfo(name, tuple(a.shape), str(a.dtype)) for name, a in arrays.items()]


def instances(arrays: dict[str, np.ndarray], name: str | None = None) -> tuple[Detections, str]:
    parser = get_parser(name, "instance", infos(arrays), NETWORK, 2)
    return parser(arrays, THRESHOLDS), parser.name


def seg_tensors(form: str) -> dict[str, np.ndarray]:
    """One object, class 1, at 80..160 x 60..180; prototype 3 is one in its left half."""
    prototypes = np.zeros((32, 60, 80), np.float32)
    prototypes[3] = -1
    prototypes[3, 15:45, 20:30] = 1
    coefficients = np.zeros(32, np.float32)
    coefficients[3] = 10
    if form == "yolov8":
        rows = np.zeros((38, 1575), np.float32)
        for column, score in ((4, 0.9), (5, 0.8)):
            rows[:4, column] = [120, 120, 80, 120]
            rows[5, column] = score
            rows[6:, column] = coefficients
    elif form == "yolov5":
        rows = np.zeros((4725, 39), np.float32)
        rows[4] = [120, 120, 80, 120, 0.95, 0, 0.9 / 0.95, *coefficients]
    else:
        rows = np.zeros((300, 38), np.float32)
        rows[0] = [80, 60, 160, 180, 0.9, 1, *coefficients]
    return {"output0": rows, "output1": prototypes}


@pytest.mark.parametrize("form", ["yolov8", "yolov5", "end2end"])
def test_yolo_seg(form: str) -> None:
    dets, name = instances(seg_tensors(form), "NvDsInferParseYoloSeg")
    assert name == "yolo-seg"
    np.testing.assert_allclose(dets.boxes, [[80, 60, 160, 180]])
    assert dets.class_ids.tolist() == [1]
    assert dets.scores.tolist() == pytest.approx([0.9])
    assert dets.masks is not None
    # The box is 20 x 30 cells of the prototypes: the mask keeps that resolution.
    assert dets.masks.shape == (1, 30, 20)
    assert (dets.masks[0, :, :9] > 0.5).all()
    assert (dets.masks[0, :, 11:] < 0.5).all()


def test_yolo_seg_without_objects() -> None:
    arrays = seg_tensors("yolov8")
    arrays["output0"][:] = 0
    dets, _ = instances(arrays)
    assert len(dets) == 0
    assert dets.masks is not None
    assert len(dets.masks) == 0


def test_masks_cover_the_visible_part_of_a_box() -> None:
    masks = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (2, 60, 1))
    out = crop_masks(masks, np.array([[0, 0, 320, 240], [160, 0, 320, 240]], np.float32), 320, 240)
    assert out.shape == (2, 60, 80)
    np.testing.assert_allclose(out[0], masks[0], atol=1e-6)
    assert out[1].min() == pytest.approx(0.5, abs=0.01)


def test_fused_masks() -> None:
    masks = np.random.default_rng(0).uniform(0, 1, (3, 60, 80)).astype(np.float32)
    boxes = np.array([[10, 10, 50, 60], [-5, 20, 90, 250], [0, 0, 9, 9]], np.float32)
    scores, classes = np.array([0.9, 0.8, 0.1], np.float32), np.array([0, 1, 0], np.float32)
    rows = np.concatenate([boxes, scores[:, None], classes[:, None], masks.reshape(3, -1)], axis=1)
    tensors = {"boxes": boxes, "scores": scores[:, None], "classes": classes[:, None], "masks": masks}
    for arrays, expected in (({"output": rows}, "fused-rows"), (tensors, "fused-tensors")):
        dets, name = instances(arrays, "NvDsInferParseYoloSeg")
        assert name == expected
        np.testing.assert_allclose(dets.boxes, [[10, 10, 50, 60], [0, 20, 90, 240]])
        assert dets.class_ids.tolist() == [0, 1]
        np.testing.assert_array_equal(dets.masks, masks[:2])


@pytest.mark.parametrize("width", [10, 15])
def test_poses_in_three_outputs(width: int) -> None:
    boxes, scores = np.zeros((100, 4), np.float32), np.zeros((100, 1), np.float32)
    points = np.zeros((100, 5, width // 5), np.float32)
    for row, score in ((3, 0.8), (4, 0.9), (7, 0.7)):
        centre = 100 if row < 7 else 250
        boxes[row], scores[row] = [centre, 80, 40, 60], score
        points[row, :, :2] = [[centre - 10, 60], [centre + 10, 60], [centre, 80], [centre - 8, 95], [centre + 8, 95]]
        points[row, :, 2:] = 0.5
    arrays = {"scores": scores, "landmarks": points.reshape(100, -1), "boxes": boxes}
    parser = get_parser("NvDsInferParseYoloFace", "instance", infos(arrays), NETWORK, 1)
    dets = parser(arrays, np.array([0.3], np.float32))
    assert parser.name == "pose-tensors"
    np.testing.assert_allclose(dets.boxes, [[80, 50, 120, 110], [230, 50, 270, 110]])
    assert dets.scores.tolist() == pytest.approx([0.9, 0.7])
    assert dets.keypoints is not None
    assert dets.keypoints.shape == (2, 5, 3)
    assert dets.keypoints[0, 2].tolist() == [100, 80, 1.0 if width == 10 else 0.5]


@pytest.mark.parametrize("scale", [1.0, 1 / np.array([240, 320, 240, 320])])
def test_mask_rcnn(scale: float | np.ndarray) -> None:
    rows = np.zeros((100, 6), np.float32)
    rows[0] = [*(np.array([20, 10, 60, 50]) * scale), 1, 0.9]
    rows[1] = [*(np.array([20, 10, 60, 50]) * scale), 0, 0.1]
    masks = np.random.default_rng(0).uniform(-1, 1, (100, 2, 28, 28)).astype(np.float32)
    arrays = {"generate_detections": rows, "mask_fcn_logits/BiasAdd": masks}
    dets, name = instances(arrays, "NvDsInferParseCustomMrcnnTLTV2")
    assert name == "mrcnn"
    np.testing.assert_allclose(dets.boxes, [[10, 20, 50, 60]], atol=1e-4)
    assert dets.class_ids.tolist() == [1]
    assert dets.masks is not None
    np.testing.assert_array_equal(dets.masks[0], masks[0, 1])


def test_multi_task_classifier() -> None:
    labels = [["red", "green", "blue"], ["car", "bus"], ["day", "night"]]
    arrays = {
        "colour": np.array([0.1, 0.2, 0.7], np.float32).reshape(3, 1, 1),
        "kind": np.array([0.55, 0.45], np.float32),
        "time": np.array([0.05, 0.95], np.float32),
    }
    parser = get_parser(None, "classifier", infos(arrays), NETWORK, labels=labels)
    found = parser(arrays, np.array([0.6], np.float32))
    assert [(a.task_index, a.class_index, a.label) for a in found.attributes] == [(0, 2, "blue"), (2, 1, "night")]
    assert found.attributes[0].probability == pytest.approx(0.7)
    assert found.label == "blue night"
    assert "3 classifier outputs" in parser.describe()


def test_classifier_logits_get_a_softmax() -> None:
    arrays = {"logits": np.array([1.0, 4.0, -2.0], np.float32)}
    parser = get_parser("NvDsInferClassiferParseCustomSoftmax", "classifier", infos(arrays), NETWORK)
    (attribute,) = parser(arrays, np.array([0.5])).attributes
    expected = np.exp([1.0, 4.0, -2.0]) / np.exp([1.0, 4.0, -2.0]).sum()
    assert attribute.probability == pytest.approx(expected[1], rel=1e-5)
    assert (attribute.class_index, attribute.label) == (1, "")


def test_logits_within_0_and_1_by_the_functions_name() -> None:
    arrays = {"logits": np.array([0.2, 0.9, 0.1], np.float32)}
    parser = get_parser("NvDsInferClassiferParseNonSoftmax", "classifier", infos(arrays), NETWORK)
    (attribute,) = parser(arrays, np.array([0.0])).attributes
    assert attribute.probability == pytest.approx(np.exp(0.9) / np.exp([0.2, 0.9, 0.1]).sum(), rel=1e-5)
    (attribute,) = get_parser(None, "classifier", infos(arrays), NETWORK)(arrays, np.array([0.0])).attributes
    assert attribute.probability == pytest.approx(0.9)


def test_a_probability_counts_above_the_threshold_only() -> None:
    arrays = {"softmax": np.array([0.5, 0.25, 0.25], np.float32)}
    parser = get_parser(None, "classifier", infos(arrays), NETWORK)
    assert parser(arrays, np.array([0.5])).attributes == []
    assert len(parser(arrays, np.array([0.49])).attributes) == 1
    scores = np.array([[[0.5, 0.0]], [[0.25, 0.0]]], np.float32)
    segmented = get_parser(None, "segmentation", infos({"o": scores}), NETWORK, 2)
    assert segmented({"o": scores}, np.array([0.5])).class_map.tolist() == [[-1, -1]]
    assert segmented({"o": scores}, np.array([0.0])).class_map.tolist() == [[0, -1]]


def test_segformer_takes_the_greatest_logit_at_the_networks_size() -> None:
    logits = np.full((3, 60, 80), -5.0, np.float32)
    logits[1, :, 40:] = -1.0
    parser = get_parser("NvDsInferParseCustomSegformerTAO2", "segmentation", infos({"output": logits}), NETWORK, 3)
    found = parser({"output": logits}, np.array([0.0]))
    assert found.class_map.shape == (240, 320)
    assert (found.class_map[:, :160] == 0).all()
    assert (found.class_map[:, 160:] == 1).all()


def test_segmentation_scores() -> None:
    scores = np.array([[[0.9, 0.2]], [[0.05, 0.3]], [[0.05, 0.5]]], np.float32)
    for array in (scores, np.ascontiguousarray(scores.transpose(1, 2, 0))):
        parser = get_parser(None, "segmentation", infos({"o": array}), NETWORK, 3)
        found = parser({"o": array}, np.array([0.6]))
        assert found.class_map.tolist() == [[0, -1]]
        assert found.class_map.dtype == np.int32
        np.testing.assert_array_equal(found.probabilities, scores)
    assert parser({"o": array}, np.array([0.0])).class_map.tolist() == [[0, 2]]


def test_segmentation_sigmoid_and_numbers() -> None:
    logits = np.array([[[2.0, -2.0], [0.1, 0.0]]], np.float32)
    parser = get_parser(None, "segmentation", infos({"o": logits}), NETWORK, 1)
    assert parser({"o": logits}, np.array([0.51])).class_map.tolist() == [[0, -1], [0, -1]]
    numbers = np.array([[0, 3], [2, 1]], np.int32)
    for array in (numbers, numbers[None], numbers[..., None]):
        parser = get_parser(None, "segmentation", infos({"argmax_1": array}), NETWORK, 4)
        found = parser({"argmax_1": array}, np.array([0.0]))
        assert found.class_map.tolist() == numbers.tolist()
        assert found.probabilities is None


def test_custom_function() -> None:
    def mine(layers: object, thresholds: object) -> Detections:
        return Detections.empty()

    parser = get_parser(mine, "detector", [LayerInfo("x", (1,))], NETWORK, 1)
    assert len(parser({}, THRESHOLDS)) == 0
    assert parser.describe() == "custom function mine from x (given)"


def test_unknown_name_goes_by_shape() -> None:
    parser = get_parser("MyOwnParser", "detector", [LayerInfo("o", (6, 1000))], NETWORK, 2)
    assert parser.name == "yolov8"
    assert "by shape; MyOwnParser not used" in parser.describe()
    named = get_parser("NvDsInferParseCustomYoloV8", "detector", [LayerInfo("o", (6, 1000))], NETWORK, 2)
    assert "named NvDsInferParseCustomYoloV8" in named.describe()


def test_all_known_functions_have_layouts() -> None:
    for kind, names in KNOWN_FUNCTIONS.values():
        assert set(names) <= set(layouts(kind))


def test_nothing_fits() -> None:
    with pytest.raises(ModelError) as caught:
        get_parser(None, "detector", [LayerInfo("output0", (84, 8400))], NETWORK, 4)
    message = str(caught.value)
    assert "output0 (84, 8400)" in message
    assert "num-detected-classes=4" in message
    assert "YOLOv8" in message
    assert "num-detected-classes=80" in message
    assert "\n" not in message
    with pytest.raises(ModelError, match=r"YOLOv8-pose .*network-type=3"):
        get_parser(None, "detector", [LayerInfo("output0", (56, 8400))], NETWORK, 1)
    with pytest.raises(ModelError, match=r"what fits: .*DetectNet"):
        get_parser(None, "detector", [LayerInfo("x", (3, 3, 3, 3))], NETWORK, 1)


def test_name_of_another_kind() -> None:
    with pytest.raises(ConfigError, match="set network-type=3"):
        get_parser("NvDsInferParseYoloPose", "detector", [LayerInfo("o", (56, 8400))], NETWORK, 1)
