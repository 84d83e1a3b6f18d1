"""Detector layouts: each function answers with a parser when a network's outputs have its shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .detectors import (
    YOLOV3_ANCHORS,
    YOLOV3_TINY_ANCHORS,
    YOLOV4_ANCHORS,
    decode_anchor_heads,
    decode_boxes_scores,
    decode_detectnet,
    decode_detr,
    decode_nms_rows,
    decode_suppressed,
)
from .parser import Match, Outputs, Parser, as_squeezed
from .results import AnyArray, Detections, Layers
from .yolo import YoloxGrid, decode_end2end, decode_yolov5, decode_yolov8, grid_cells

Decode = Callable[[AnyArray, AnyArray], Detections]


def _single(outputs: Outputs, name: str, title: str, decode: Decode, transpose: bool = False) -> Parser[Detections]:
    layer = outputs.names[0]

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        array = as_squeezed(layers[layer])
        return decode(array.T if transpose else array, thresholds)

    return Parser("detector", name, title, run, (layer,))


def _pair(outputs: Outputs) -> tuple[int, int] | None:
    return (outputs.shapes[0][0], outputs.shapes[0][1]) if [len(s) for s in outputs.shapes] == [2] else None


def yolo_end2end(outputs: Outputs) -> Parser[Any] | None:
    """(N, 6): suppressed or not, boxes are left, top, right, bottom."""
    dims = _pair(outputs)
    if dims is None or dims[1] != 6:
        return None
    # With one class an (A, 5 + C) grid is six wide too; a known name or another row count settles it.
    cells = grid_cells(outputs.network.width, outputs.network.height)
    if outputs.num_classes == 1 and outputs.named is None and dims[0] in (cells, 3 * cells):
        return None
    title = "YOLO end-to-end rows (left, top, right, bottom, score, class)"
    return _single(outputs, "yolo-end2end", title, decode_end2end)


def yolov8(outputs: Outputs) -> Parser[Any] | None:
    """(4 + C, A) or its transpose with many anchors."""
    dims, wide = _pair(outputs), 4 + outputs.num_classes
    if dims is None or outputs.num_classes < 1:
        return None
    if dims[0] == wide and (dims[1] > wide or dims[1] < 0):
        return _single(outputs, "yolov8", "YOLOv8/v11 grid (4 + classes, anchors)", decode_yolov8)
    cells = grid_cells(outputs.network.width, outputs.network.height)
    if dims[1] == wide and (dims[0] > 1000 or dims[0] == cells):
        return _single(outputs, "yolov8", "YOLOv8/v11 grid, transposed (anchors, 4 + classes)", decode_yolov8, True)
    return None


def yolox(outputs: Outputs) -> Parser[Any] | None:
    """(A, 5 + C) with one anchor a cell."""
    dims = _pair(outputs)
    width, height = outputs.network.width, outputs.network.height
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        if dims == (grid_cells(width, height, strides), 5 + outputs.num_classes):
            grid = YoloxGrid(width, height, strides)
            return _single(outputs, "yolox", "YOLOX raw grid (cells, 5 + classes)", grid)
    return None


def yolov5(outputs: Outputs) -> Parser[Any] | None:
    """(A, 5 + C) or its transpose."""
    dims, wide = _pair(outputs), 5 + outputs.num_classes
    if dims is None or outputs.num_classes < 1:
        return None
    if dims[1] == wide and (dims[0] > wide or dims[0] < 0):
        return _single(outputs, "yolov5", "YOLOv3-v5/v7 decoded rows (anchors, 5 + classes)", decode_yolov5)
    if dims[0] == wide and dims[1] > wide:
        return _single(outputs, "yolov5", "YOLOv3-v5/v7 decoded columns (5 + classes, anchors)", decode_yolov5, True)
    return None


def rtdetr_rows(outputs: Outputs) -> Parser[Any] | None:
    """(queries, 4 + C) with boxes from 0 to 1 and probabilities, at most 1000 queries."""
    dims, wide = _pair(outputs), 4 + outputs.num_classes
    if dims is None or dims[1] != wide or not 0 < dims[0] <= 1000:
        return None
    width, height = outputs.network.width, outputs.network.height

    def decode(array: AnyArray, thresholds: AnyArray) -> Detections:
        return decode_detr(array[:, :4], array[:, 4:], width, height, thresholds, activation="none")

    return _single(outputs, "rtdetr-rows", "RT-DETR rows (queries, 4 + classes)", decode)


def detr(outputs: Outputs) -> Parser[Any] | None:
    """Boxes (N, 4) and logits (N, C), by name or by shape."""
    if len(outputs.layers) != 2:
        return None
    box = next((n for n, s in enumerate(outputs.shapes) if len(s) == 2 and s[1] == 4), None)
    named = outputs.find("logits")
    if named is not None and outputs.shapes[named][-1:] == (4,):
        box = 1 - named
    if box is None or len(outputs.shapes[1 - box]) != 2 or outputs.shapes[box][0] != outputs.shapes[1 - box][0]:
        return None
    if named is None and "box" not in outputs.names[box].lower():
        return None
    if any(len(layer.shape) == 3 and layer.shape[1] == 1 for layer in outputs.layers):
        return None
    box_name, class_name = outputs.names[box], outputs.names[1 - box]
    width, height = outputs.network.width, outputs.network.height
    is_tao = outputs.named == "NvDsInferParseCustomDDETRTAO"
    # Plain DETR adds one class for no object and uses a softmax.
    is_plain = not is_tao and outputs.num_classes > 0 and outputs.shapes[1 - box][1] == outputs.num_classes + 1

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        return decode_detr(
            layers[box_name],
            layers[class_name],
            width,
            height,
            thresholds,
            activation="softmax" if is_plain else "sigmoid",
            background=0 if is_tao else None,
        )

    title = "DETR boxes and logits, " + ("softmax" if is_plain else "sigmoid") + (", class 0 is background" * is_tao)
    return Parser("detector", "detr", title, run, (box_name, class_name))


def boxes_scores(outputs: Outputs) -> Parser[Any] | None:
    """Boxes (N, 1, 4) or (N, 4) as corners and scores (N, C)."""
    if len(outputs.layers) != 2 or any(len(s) != 2 for s in outputs.shapes):
        return None
    box = next((n for n, s in enumerate(outputs.shapes) if s[1] == 4), None)
    if box is None or outputs.shapes[0][0] != outputs.shapes[1][0] or outputs.find("logits") is not None:
        return None
    if outputs.shapes[1 - box][1] not in (outputs.num_classes, -1):
        return None
    box_name, score_name = outputs.names[box], outputs.names[1 - box]
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        return decode_boxes_scores(layers[box_name], layers[score_name], width, height, thresholds)

    return Parser("detector", "boxes-scores", "box corners and a score for each class", run, (box_name, score_name))


# Whether these functions' boxes are 0 to 1 of the network's size; the values decide for others.
_NORMALISED = {
    "NvDsInferParseCustomTfSSD": True,
    "NvDsInferParseCustomBatchedNMSTLT": True,
    "NvDsInferParseCustomBatchedYoloV5NMSTLT": False,
    "NvDsInferParseYoloV5CustomBatchedNMSTLT": False,
}


def suppressed(outputs: Outputs) -> Parser[Any] | None:
    """Count, boxes, scores, classes of a suppression plug-in; or boxes, scores, classes without a count."""
    if len(outputs.layers) not in (3, 4) or any(len(s) > 2 for s in outputs.shapes):
        return None
    box = next((n for n, s in enumerate(outputs.shapes) if s[-1:] == (4,) and len(s) == 2), None)
    if box is None:
        return None
    rest = [n for n in range(len(outputs.layers)) if n != box]
    count: int | None = None
    if len(outputs.layers) == 4:
        count = next((n for n in rest if all(d == 1 for d in outputs.shapes[n])), None)
        if count is None:
            return None
        rest.remove(count)
    rows = outputs.shapes[box][0]
    if rows > 0 and any(math.prod(outputs.shapes[n]) not in (rows, -rows, -1) for n in rest):
        return None
    score = outputs.find("score", "conf")
    label = outputs.find("class", "label")
    if score not in rest or label not in rest or score == label:
        # BatchedNMS names its outputs by number; their order is fixed: boxes, scores, classes.
        score, label = rest
    named = outputs.names
    box_name, score_name, label_name = named[box], named[score], named[label]
    count_name = None if count is None else named[count]
    width, height = outputs.network.width, outputs.network.height
    is_tf = outputs.named == "NvDsInferParseCustomTfSSD" or "detection_boxes" in box_name.lower()
    y_first = is_tf or outputs.named == "NvDsInferParseCustomEfficientDetTAO"
    normalised = _NORMALISED.get(outputs.named or "")

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        return decode_suppressed(
            layers[box_name],
            layers[score_name],
            layers[label_name],
            None if count_name is None else layers[count_name],
            width,
            height,
            thresholds,
            y_first=y_first,
            normalised=normalised,
        )

    title = f"{'count, ' if count_name else ''}boxes ({'y' if y_first else 'x'} first), scores and classes"
    used = (*((count_name,) if count_name else ()), box_name, score_name, label_name)
    return Parser("detector", "suppressed", title, run, used)


def nms_rows(outputs: Outputs) -> Parser[Any] | None:
    """(K, 7) rows and a count: the NMS plug-in."""
    rows = next((n for n, s in enumerate(outputs.shapes) if s[-1:] == (7,)), None)
    # Without a count, seven columns may be anything, so only a name vouches for them.
    if rows is None or len(outputs.layers) > 2 or (len(outputs.layers) == 1 and outputs.named is None):
        return None
    row_name = outputs.names[rows]
    count_name = outputs.names[1 - rows] if len(outputs.layers) == 2 else None
    if count_name and any(d != 1 for d in outputs.shapes[1 - rows]):
        return None
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        count = None if count_name is None else layers[count_name]
        return decode_nms_rows(layers[row_name], count, width, height, thresholds)

    used = (row_name, count_name) if count_name else (row_name,)
    return Parser("detector", "nms-rows", "rows of image, class, score and box from 0 to 1", run, used)


def detectnet(outputs: Outputs) -> Parser[Any] | None:
    """Coverage (C, h, w) and boxes (4C, h, w)."""
    shapes = [tuple(layer.shape) for layer in outputs.layers]
    if len(shapes) != 2 or any(len(s) != 3 for s in shapes) or shapes[0][1:] != shapes[1][1:]:
        return None
    coverage = 0 if shapes[1][0] == 4 * shapes[0][0] else 1
    if shapes[1 - coverage][0] != 4 * shapes[coverage][0]:
        return None
    cov_name, box_name = outputs.names[coverage], outputs.names[1 - coverage]
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        return decode_detectnet(layers[cov_name], layers[box_name], width, height, thresholds)

    return Parser("detector", "detectnet", "DetectNet_v2 coverage and box grids", run, (cov_name, box_name))


def anchor_heads(outputs: Outputs) -> Parser[Any] | None:
    """Two or three (3 x (5 + C), h, w) heads of YOLOv3 / v4 before decoding."""
    shapes = [tuple(layer.shape) for layer in outputs.layers]
    wide = 3 * (5 + outputs.num_classes)
    if len(shapes) not in (2, 3) or outputs.num_classes < 1 or any(len(s) != 3 or s[0] != wide for s in shapes):
        return None
    order = np.argsort([-s[1] * s[2] for s in shapes], kind="stable")
    names = [outputs.names[n] for n in order]
    is_v4 = "V4" in (outputs.named or "")
    anchors = YOLOV3_TINY_ANCHORS if len(shapes) == 2 else YOLOV4_ANCHORS if is_v4 else YOLOV3_ANCHORS
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        return decode_anchor_heads([layers[name] for name in names], anchors, width, height, thresholds)

    title = f"YOLO{'v4' if is_v4 else 'v3'} heads before decoding, published COCO anchors"
    return Parser("detector", "anchor-heads", title, run, tuple(names))


# Tried in this order; the narrower shapes come before the ones that would also take them.
DETECTORS: dict[str, Match] = {
    "detectnet": detectnet,
    "anchor-heads": anchor_heads,
    "nms-rows": nms_rows,
    "suppressed": suppressed,
    "detr": detr,
    "boxes-scores": boxes_scores,
    "yolov8": yolov8,
    "yolo-end2end": yolo_end2end,
    "yolox": yolox,
    "yolov5": yolov5,
    "rtdetr-rows": rtdetr_rows,
}
