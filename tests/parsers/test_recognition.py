"""Each family of networks is recognised by the function's name and by the outputs' shapes, and the log says which."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pytest

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer.parsers import KNOWN_FUNCTIONS, LayerInfo, NetworkInfo, get_parser
from millrace.infer.postprocess import PostProcessor

NETWORK = NetworkInfo(640, 640)
TYPES = {"detector": 0, "classifier": 1, "segmentation": 2, "instance": 3}
KEYS = {
    "detector": "parse-bbox-func-name",
    "classifier": "parse-classifier-func-name",
    "segmentation": "parse-segmentation-func-name",
    "instance": "parse-bbox-instance-mask-func-name",
}


@dataclass
class Case:
    """A network's outputs without the batch, the functions that name its family, and the layout to be found."""

    kind: str
    outputs: dict[str, tuple[int, ...]]
    layout: str
    functions: tuple[str, ...]
    classes: int = 80
    by_shape: bool = True
    whole: tuple[str, ...] = ()

    @property
    def layers(self) -> list[LayerInfo]:
        return [LayerInfo(n, s, "int32" if n in self.whole else "float32") for n, s in self.outputs.items()]


PEOPLENET = {"output_cov/Sigmoid": (3, 34, 60), "output_bbox/BiasAdd": (12, 34, 60)}
TENSORFLOW = {
    "num_detections": (1,), "detection_boxes": (100, 4), "detection_scores": (100,), "detection_classes": (100,),
}  # fmt: skip
BATCHED = {"BatchedNMS": (1,), "BatchedNMS_1": (200, 4), "BatchedNMS_2": (200,), "BatchedNMS_3": (200,)}
EFFICIENT = {"num_dets": (1,), "det_boxes": (100, 4), "det_scores": (100,), "det_classes": (100,)}

CASES = {
    "DetectNet_v2": Case("detector", PEOPLENET, "detectnet", ("NvDsInferParseCustomResnet",), 3),
    "SSD of TensorFlow": Case("detector", TENSORFLOW, "suppressed", ("NvDsInferParseCustomTfSSD",)),
    "NMS of TAO": Case(
        "detector", {"NMS": (1, 200, 7), "NMS_1": (1, 1, 1)}, "nms-rows", ("NvDsInferParseCustomNMSTLT",)
    ),
    "BatchedNMS": Case(
        "detector", BATCHED, "suppressed",
        ("NvDsInferParseCustomBatchedNMSTLT", "NvDsInferParseCustomBatchedYoloV5NMSTLT"),
    ),
    "EfficientNMS": Case("detector", EFFICIENT, "suppressed", ("NvDsInferParseCustomEfficientNMS", "NvDsInferYoloNMS")),
    "YOLOv3 heads": Case(
        "detector", {"a": (255, 20, 20), "b": (255, 40, 40), "c": (255, 80, 80)}, "anchor-heads",
        ("NvDsInferParseCustomYoloV3",),
    ),
    "YOLOv4": Case(
        "detector", {"boxes": (22743, 1, 4), "confs": (22743, 80)}, "boxes-scores", ("NvDsInferParseCustomYoloV4",)
    ),
    "YOLOv5": Case(
        "detector", {"output0": (25200, 85)}, "yolov5",
        ("NvDsInferParseCustomYoloV5", "NvDsInferParseCustomYoloV7", "NvDsInferParseYoloV5", "NvDsInferParseYolo"),
    ),
    "YOLOv8": Case(
        "detector", {"output0": (84, 8400)}, "yolov8",
        ("NvDsInferParseCustomYoloV8", "NvDsInferParseYoloV11", "NvDsInferParseYolo", "NvDsInferParseYoloCuda"),
    ),
    "YOLOv10": Case("detector", {"output0": (300, 6)}, "yolo-end2end", ("NvDsInferParseYolo",)),
    "DeepStream-Yolo": Case("detector", {"output": (8400, 6)}, "yolo-end2end", ("NvDsInferParseYolo",)),
    "YOLOX": Case("detector", {"output": (8400, 85)}, "yolox", ("NvDsInferParseCustomYoloX", "NvDsInferParseYolo")),
    "RT-DETR rows": Case("detector", {"output0": (300, 84)}, "rtdetr-rows", ("NvDsInferParseYolo",)),
    "DETR of TAO": Case(
        "detector", {"pred_logits": (900, 91), "pred_boxes": (900, 4)}, "detr",
        ("NvDsInferParseCustomDDETRTAO", "NvDsInferParseCustomRTDETRTAO"), 91,
    ),
    "softmax": Case(
        "classifier", {"predictions/Softmax": (6, 1, 1)}, "softmax", ("NvDsInferClassiferParseCustomSoftmax",)
    ),
    "several tasks": Case("classifier", {"color/Softmax": (11,), "type/Softmax": (5,)}, "softmax", ()),
    "UNet, argmax": Case(
        "segmentation", {"argmax_1": (640, 640, 1)}, "class-numbers",
        ("NvDsInferParseCustomPeopleSemSegNet", "NvDsInferParseCustomSegformerTAO"), 2, whole=("argmax_1",),
    ),
    "UNet, softmax": Case("segmentation", {"softmax_1": (640, 640, 4)}, "class-scores", (), 4),
    "UNet, sigmoid": Case("segmentation", {"sigmoid": (1, 640, 640)}, "class-scores", (), 1),
    "Mask-RCNN": Case(
        "instance", {"generate_detections": (100, 6), "mask_fcn_logits/BiasAdd": (100, 91, 28, 28)}, "mrcnn",
        ("NvDsInferParseCustomMrcnnTLT", "NvDsInferParseCustomMrcnnTLTV2"), 91,
    ),
    "YOLOv8-seg": Case(
        "instance", {"output0": (116, 8400), "output1": (32, 160, 160)}, "yolo-seg", ("NvDsInferParseYoloSeg",)
    ),
    "YOLOv8-pose": Case("instance", {"output0": (56, 8400)}, "pose", ("NvDsInferParseYoloPose",), 1),
    "poses in three outputs": Case(
        "instance", {"boxes": (8400, 4), "scores": (8400, 1), "kpts": (8400, 51)}, "pose-tensors",
        ("NvDsInferParseYoloPose",), 1,
    ),
    "YOLOv8-face": Case(
        "instance", {"boxes": (8400, 4), "scores": (8400, 1), "landmarks": (8400, 10)}, "pose-tensors",
        ("NvDsInferParseYoloFace",), 1,
    ),
    "YOLOv7-pose": Case("instance", {"output": (25200, 57)}, "pose", ("NvDsInferParseYoloPose",), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_recognised_by_name_and_by_shape_and_said(name: str, caplog: pytest.LogCaptureFixture) -> None:
    case = CASES[name]
    for function in case.functions:
        parser = get_parser(function, case.kind, case.layers, NETWORK, case.classes)  # type: ignore[call-overload]
        assert parser.name == case.layout, function
        assert parser.describe().endswith(f"(named {function})")
        assert all(layer in parser.describe() for layer in case.outputs)
    for function in (None, *case.functions):
        key = f"{KEYS[case.kind]}={function}\n" if function else ""
        text = f"[property]\nnetwork-type={TYPES[case.kind]}\nnum-detected-classes={case.classes}\n{key}cluster-mode=4"
        caplog.clear()
        with caplog.at_level(logging.INFO, "millrace.infer"):
            post = PostProcessor(parse_infer_config(text), case.layers, NETWORK, [], case.classes)
        assert post.parser is not None
        assert post.parser.name == case.layout
        assert f"outputs are read as {post.parser.title}" in caplog.text
        assert ("recognised by shape" if function is None else f"named {function}") in caplog.text


def test_every_known_function_reads_something_here_or_has_a_cousin_that_does() -> None:
    layouts = {case.layout for case in CASES.values()}
    for function, (_, names) in KNOWN_FUNCTIONS.items():
        assert layouts & set(names), function


@pytest.mark.parametrize(
    ("kind", "outputs", "classes", "words"),
    [
        (
            "detector",
            {"feature": (512, 7, 7, 2)},
            4,
            ("feature (512, 7, 7, 2)", "detected-classes=4", "what fits: "),
        ),
        (
            "detector",
            {"output0": (85, 3, 3), "b": (9,)},
            4,
            ("output0 (85, 3, 3), b (9,)", "YOLOX", "DETR"),
        ),
        ("detector", {"output0": (25200, 85)}, 3, ("YOLOv3-v5/v7", "num-detected-classes=80")),
        ("detector", {"o": (116, 8400), "p": (32, 160, 160)}, 80, ("YOLOv8-seg", "network-type=3")),
        ("instance", {"output0": (84, 8400)}, 80, ("YOLOv8/v11 grid", "network-type=0")),
        ("instance", {"x": (2, 2, 2, 2)}, 80, ("x (2, 2, 2, 2)", "YOLO-seg", "Mask-RCNN", "YOLOv8-pose")),
        ("classifier", {"map": (4, 20, 20)}, 0, ("map (4, 20, 20)", "one vector of class probabilities a task")),
        ("segmentation", {"vector": (9,)}, 2, ("vector (9,)", "(classes, h, w) scores or (h, w) class numbers")),
    ],
)
def test_what_nothing_reads_is_listed_with_what_would_fit(
    kind: str, outputs: dict[str, tuple[int, ...]], classes: int, words: tuple[str, ...]
) -> None:
    with pytest.raises(ModelError) as caught:
        get_parser(None, kind, Case(kind, outputs, "", ()).layers, NETWORK, classes)  # type: ignore[call-overload]
    message = str(caught.value)
    assert message.startswith(f"no built-in {kind} parser reads the outputs ")
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_outputs_that_are_not_named_may_be_left_out_of_a_detector() -> None:
    layers = [LayerInfo("output0", (84, 8400)), LayerInfo("aux", (512, 20, 20)), LayerInfo("aux2", (512, 40, 40))]
    text = "[property]\nnum-detected-classes=80\ncluster-mode=2\n"
    with pytest.raises(ModelError, match=r"output0 .*, aux "):
        PostProcessor(parse_infer_config(text), layers, NETWORK, [], 80)
    post = PostProcessor(parse_infer_config(text + "output-blob-names=output0"), layers, NETWORK, [], 80)
    assert post.parser is not None
    assert post.parser.layers == ("output0",)


@pytest.mark.parametrize(("order", "expected"), [("", "chw"), ("segmentation-output-order=1\n", "hwc")])
def test_the_order_of_a_class_map_is_as_said_where_the_shape_does_not_tell(order: str, expected: str) -> None:
    scores = np.random.default_rng(0).uniform(0.1, 1, (3, 2, 3)).astype(np.float32)
    config = parse_infer_config(f"[property]\nnetwork-type=2\nnum-detected-classes=3\n{order}")
    post = PostProcessor(config, [LayerInfo("o", (3, 2, 3))], NETWORK, [], 3)
    assert post.parser is not None
    found = post.parser({"o": scores}, np.zeros(1, np.float32))
    assert found.class_map.tolist() == scores.argmax(0 if expected == "chw" else 2).tolist()


def test_mode_0_without_a_group_threshold_is_said(caplog: pytest.LogCaptureFixture) -> None:
    layers, text = [LayerInfo("o", (6, 8400))], "[property]\nnum-detected-classes=2\n"
    PostProcessor(parse_infer_config(text), layers, NETWORK, [], 2)
    assert "cluster-mode=0 without a group-threshold (2 of 2 classes)" in caplog.text
    caplog.clear()
    PostProcessor(parse_infer_config(text + "[class-attrs-all]\ngroup-threshold=1"), layers, NETWORK, [], 2)
    assert "cluster-mode" not in caplog.text


def test_function_names_that_are_not_used_are_said(caplog: pytest.LogCaptureFixture) -> None:
    layers, text = [LayerInfo("o", (6, 8400))], "[property]\nnum-detected-classes=2\ncluster-mode=2\n"
    PostProcessor(parse_infer_config(text + "parse-bbox-func-name=Mine"), layers, NETWORK, [], 2)
    assert "parse-bbox-func-name=Mine is no built-in parser and custom-lib-path is not set" in caplog.text
    caplog.clear()
    config = parse_infer_config(text + "parse-bbox-instance-mask-func-name=NvDsInferParseYoloPose")
    PostProcessor(config, layers, NETWORK, [], 2)
    said = "parse-bbox-instance-mask-func-name has no effect with network-type=0 (detector): set parse-bbox-func-name"
    assert said in caplog.text


def test_errors_name_the_file_and_the_line() -> None:
    text = "[property]\nnum-detected-classes=2\n"
    with pytest.raises(ModelError, match=r"^pgie.txt: no built-in detector parser reads the outputs x \(3, 3\)"):
        PostProcessor(parse_infer_config(text, "pgie.txt"), [LayerInfo("x", (3, 3))], NETWORK, [], 2)
    config = parse_infer_config(text + "parse-bbox-func-name=NvDsInferParseYoloPose", "pgie.txt")
    with pytest.raises(ConfigError, match=r"^pgie.txt:3: NvDsInferParseYoloPose reads .* set network-type=3"):
        PostProcessor(config, [LayerInfo("x", (56, 8400))], NETWORK, [], 2)
