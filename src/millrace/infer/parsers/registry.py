"""Chooses a parser: by the function names that DeepStream's users know, else by the outputs' shapes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from millrace.errors import ConfigError, ModelError

from .layouts import DETECTORS
from .layouts_more import CLASSIFIERS, INSTANCES, SEGMENTATIONS
from .parser import Kind, Match, Outputs, Parser
from .results import Classification, Detections, LayerLike, NetworkLike, SegmentationMap

log = logging.getLogger("millrace.infer")

_LAYOUTS: dict[Kind, dict[str, Match]] = {
    "detector": DETECTORS,
    "instance": INSTANCES,
    "classifier": CLASSIFIERS,
    "segmentation": SEGMENTATIONS,
}

_YOLO_DECODED = ("yolo-end2end", "suppressed", "boxes-scores", "yolox", "yolov5", "yolov8", "rtdetr-rows")
_YOLO_ROWS = ("yolov5", "yolox", "yolo-end2end", "yolov8", "suppressed")
_YOLO_HEADS = ("anchor-heads", "boxes-scores", "yolov5", "suppressed")

# Function name to the layouts its library reads, the likeliest first.
KNOWN_FUNCTIONS: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "NvDsInferParseYolo": ("detector", _YOLO_DECODED),
    "NvDsInferParseYoloCuda": ("detector", _YOLO_DECODED),
    "NvDsInferParseYoloE": ("detector", _YOLO_DECODED),
    "NvDsInferParseYoloECuda": ("detector", _YOLO_DECODED),
    "NvDsInferParseCustomYoloV2": ("detector", _YOLO_HEADS),
    "NvDsInferParseCustomYoloV2Tiny": ("detector", _YOLO_HEADS),
    "NvDsInferParseCustomYoloV3": ("detector", _YOLO_HEADS),
    "NvDsInferParseCustomYoloV3Tiny": ("detector", _YOLO_HEADS),
    "NvDsInferParseCustomYoloV4": ("detector", ("boxes-scores", "anchor-heads", "suppressed", "yolov5")),
    "NvDsInferParseCustomYoloV5": ("detector", _YOLO_ROWS),
    "NvDsInferParseCustomYoloV7": ("detector", _YOLO_ROWS),
    "NvDsInferParseCustomYoloV7_cuda": ("detector", _YOLO_ROWS),
    "NvDsInferParseCustomYoloV8": ("detector", ("yolov8", *_YOLO_ROWS)),
    "NvDsInferParseCustomYoloV8_cuda": ("detector", ("yolov8", *_YOLO_ROWS)),
    "NvDsInferParseCustomYoloV11": ("detector", ("yolov8", *_YOLO_ROWS)),
    "NvDsInferParseYoloV5": ("detector", _YOLO_ROWS),
    "NvDsInferParseYoloV7": ("detector", _YOLO_ROWS),
    "NvDsInferParseYoloV8": ("detector", ("yolov8", *_YOLO_ROWS)),
    "NvDsInferParseYoloV11": ("detector", ("yolov8", *_YOLO_ROWS)),
    "NvDsInferParseCustomYoloX": ("detector", ("yolox", *_YOLO_ROWS)),
    "NvDsInferParseCustomResnet": ("detector", ("detectnet",)),
    "NvDsInferParseCustomTfSSD": ("detector", ("suppressed",)),
    "NvDsInferParseCustomSSD": ("detector", ("nms-rows", "suppressed")),
    "NvDsInferParseCustomNMSTLT": ("detector", ("nms-rows",)),
    "NvDsInferParseCustomBatchedNMSTLT": ("detector", ("suppressed",)),
    "NvDsInferParseCustomBatchedYoloV5NMSTLT": ("detector", ("suppressed",)),
    "NvDsInferParseYoloV5CustomBatchedNMSTLT": ("detector", ("suppressed",)),
    "NvDsInferYoloNMS": ("detector", ("suppressed",)),
    "NvDsInferParseCustomEfficientNMS": ("detector", ("suppressed",)),
    "NvDsInferParseCustomEfficientNMSTLT": ("detector", ("suppressed",)),
    "NvDsInferParseCustomEfficientNMSTAO": ("detector", ("suppressed",)),
    "NvDsInferParseCustomEfficientDetTAO": ("detector", ("suppressed",)),
    "NvDsInferParseCustomDDETRTAO": ("detector", ("detr",)),
    "NvDsInferParseCustomRTDETRTAO": ("detector", ("detr", "rtdetr-rows")),
    "NvDsInferParseYoloPose": ("instance", ("pose", "pose-tensors")),
    "NvDsInferParseYoloPoseE": ("instance", ("pose", "pose-tensors")),
    "NvDsInferParseYoloFace": ("instance", ("pose-tensors", "pose")),
    "NvDsInferParseYoloSeg": ("instance", ("fused-rows", "fused-tensors", "yolo-seg")),
    "NvDsInferParseCustomMrcnnTLT": ("instance", ("mrcnn",)),
    "NvDsInferParseCustomMrcnnTLTV2": ("instance", ("mrcnn",)),
    "NvDsInferClassiferParseCustomSoftmax": ("classifier", ("softmax",)),
    "NvDsInferClassifierParseCustomSoftmax": ("classifier", ("softmax",)),
    "NvDsInferClassiferParseNonSoftmax": ("classifier", ("softmax",)),
    "NvDsInferParseCustomSegformerTAO": ("segmentation", ("class-numbers", "class-scores")),
    "NvDsInferParseCustomSegformerTAO2": ("segmentation", ("class-numbers", "class-scores")),
    "NvDsInferParseCustomPeopleSemSegNet": ("segmentation", ("class-numbers", "class-scores")),
}

_EXPECTED: dict[Kind, str] = {
    "detector": (
        "(4 + classes, anchors) YOLOv8; (anchors, 5 + classes) YOLOv5/v7 or YOLOX; (N, 6) end-to-end; "
        "(classes, h, w) with (4 x classes, h, w) DetectNet_v2; count, boxes, scores, classes of an "
        "NMS plug-in; "
        "(N, 4) boxes with (N, classes) logits DETR"
    ),
    "instance": (
        "(5 + 3K, anchors) YOLOv8-pose; (anchors, 6 + 3K) YOLOv7-pose; boxes (A, 4), scores (A, 1) and points "
        "(A, 3K); (4 + classes + M, anchors) with "
        "(M, h, w) "
        "YOLO-seg; (N, 6) with (N, classes, h, w) Mask-RCNN"
    ),
    "classifier": "one vector of class probabilities a task",
    "segmentation": "(classes, h, w) scores or (h, w) class numbers",
}

_NETWORK_TYPE: dict[Kind, int] = {"detector": 0, "classifier": 1, "segmentation": 2, "instance": 3}

DetectionKind = Literal["detector", "instance"]

PARSE_KEYS: dict[Kind, str] = {
    "detector": "parse-bbox-func-name",
    "classifier": "parse-classifier-func-name",
    "segmentation": "parse-segmentation-func-name",
    "instance": "parse-bbox-instance-mask-func-name",
}
"""The key that names the parse function of each kind of network."""


def layouts(kind: Kind) -> tuple[str, ...]:
    """Names of the layouts that a kind of network can have."""
    return tuple(_LAYOUTS[kind])


@overload
def get_parser(
    func_name: str | Callable[..., Any] | None,
    kind: DetectionKind,
    layers: Sequence[LayerLike],
    network_info: NetworkLike,
    num_classes: int = ...,
    *,
    labels: Sequence[Sequence[str]] = ...,
) -> Parser[Detections]: ...


@overload
def get_parser(
    func_name: str | Callable[..., Any] | None,
    kind: Literal["classifier"],
    layers: Sequence[LayerLike],
    network_info: NetworkLike,
    num_classes: int = ...,
    *,
    labels: Sequence[Sequence[str]] = ...,
) -> Parser[Classification]: ...


@overload
def get_parser(
    func_name: str | Callable[..., Any] | None,
    kind: Literal["segmentation"],
    layers: Sequence[LayerLike],
    network_info: NetworkLike,
    num_classes: int = ...,
    *,
    labels: Sequence[Sequence[str]] = ...,
    channels_last: bool | None = ...,
) -> Parser[SegmentationMap]: ...


def get_parser(
    func_name: str | Callable[..., Any] | None,
    kind: Kind,
    layers: Sequence[LayerLike],
    network_info: NetworkLike,
    num_classes: int = 0,
    *,
    labels: Sequence[Sequence[str]] = (),
    channels_last: bool | None = None,
) -> Parser[Any]:
    """Choose the parser for a network's outputs.

    Args:
        func_name: the config's parse-function name, None, or a function ``(layers, thresholds)``.
        kind: what the network does.
        layers: all outputs in order, shapes without batch.
        network_info: input size.
        num_classes: ``num-detected-classes``.
        labels: classifiers: class names of each task, in the outputs' order.
        channels_last: segmentation: ``segmentation-output-order``, None to go by the shape.

    Returns:
        The parser; its ``describe()`` says what was chosen and why.

    Raises:
        ConfigError: the name belongs to another kind of network.
        ModelError: no layout fits; lists the outputs and what would fit.
    """
    if callable(func_name):
        name = getattr(func_name, "__name__", "custom")
        return Parser(kind, "custom", f"custom function {name}", func_name, tuple(x.name for x in layers), "given")
    outputs = Outputs.of(layers, network_info, num_classes, func_name, labels, channels_last)
    preferred: tuple[str, ...] = ()
    if func_name in KNOWN_FUNCTIONS:
        known_kind, preferred = KNOWN_FUNCTIONS[func_name]
        if known_kind != kind:
            raise ConfigError(
                f"{func_name} reads a {known_kind} network but network-type={_NETWORK_TYPE[kind]} is {kind}; "
                f"set network-type={_NETWORK_TYPE[known_kind]}"
            )
    for layout in preferred:
        parser = _LAYOUTS[kind][layout](outputs)
        if parser is not None:
            return parser.because(f"named {func_name}")
    unnamed = Outputs.of(layers, network_info, num_classes, None, labels, channels_last)
    for match in _LAYOUTS[kind].values():
        parser = match(unnamed)
        if parser is not None:
            return parser.because("recognised by shape" if func_name is None else f"by shape; {func_name} not used")
    raise ModelError(_nothing_fits(outputs, kind))


def _nothing_fits(outputs: Outputs, kind: Kind) -> str:
    message = f"no built-in {kind} parser reads the outputs {outputs.describe()}"
    message += f" with num-detected-classes={outputs.num_classes}" if kind in ("detector", "instance") else ""
    hints = _hints(outputs, kind)
    return message + (f"; they would fit {' or '.join(hints)}" if hints else f"; what fits: {_EXPECTED[kind]}")


def _hints(outputs: Outputs, kind: Kind) -> list[str]:
    """Settings under which the outputs would be read, the likeliest first."""
    found: list[tuple[int, str]] = []
    for other, table in _LAYOUTS.items():
        # Nearly any plane of numbers could be a class map, and any vector a class vector: no help.
        if other == kind or other in ("segmentation", "classifier"):
            continue
        trial = Outputs.of(outputs.layers, outputs.network, max(1, outputs.num_classes))
        parser = next((p for p in (match(trial) for match in table.values()) if p is not None), None)
        if parser is not None:
            found.append((0, f"{parser.title} with network-type={_NETWORK_TYPE[other]}"))
    if kind in ("detector", "instance"):
        sizes = {d for shape in outputs.shapes for d in shape if 4 < d < 2000}
        candidates = {c for d in sizes for c in (d - 4, d - 5, d - 4 - 32) if c > 0} - {outputs.num_classes}
        for classes in sorted(candidates):
            trial = Outputs.of(outputs.layers, outputs.network, classes)
            parser = next((p for p in (match(trial) for match in _LAYOUTS[kind].values()) if p is not None), None)
            if parser is not None:
                # (5 + C, anchors) hardly occurs, (4 + C, anchors) does.
                rank = 2 if "columns" in parser.title else 1
                found.append((rank, f"{parser.title} with num-detected-classes={classes}"))
    return [text for _, text in sorted(found, key=lambda item: item[0])][:3]
