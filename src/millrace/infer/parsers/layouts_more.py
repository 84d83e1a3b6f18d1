"""Layouts of instance segmentation, pose, classifiers and semantic segmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from millrace.errors import ModelError

from .classifiers import classify, segment
from .masks import decode_fused_masks, decode_mrcnn, decode_yolo_seg
from .parser import Match, Outputs, Parser, as_squeezed
from .pose import PoseLayout, box_format, decode_pose, pose_layout
from .results import AnyArray, Classification, Detections, Layers, SegmentationMap

# The suppression that the well-known pose and mask parser libraries do themselves.
_NMS_IOU = 0.45


def pose(outputs: Outputs) -> Parser[Any] | None:
    """YOLOv8-pose, YOLOv7-pose, YoloLayer or end-to-end rows with keypoints."""
    if len(outputs.layers) != 1:
        return None
    classes = max(1, outputs.num_classes)
    try:
        layout: PoseLayout = pose_layout(outputs.shapes[0], classes)
    except ModelError:
        return None
    layer = outputs.names[0]
    # Exports for the well-known parser library have anchors first, and newer ones box corners.
    may_be_corners = layout == "yolov8" and outputs.shapes[0][0] > outputs.shapes[0][-1]
    corners: list[bool] = [] if may_be_corners else [False]

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        array = layers[layer]
        if not corners:
            corners.append(box_format(as_squeezed(array)) == "ltrb")
        dets = decode_pose(
            array,
            float(thresholds.min()),
            _NMS_IOU,
            layout=layout,
            num_classes=classes,
            boxes="ltrb" if corners[0] else "cxcywh",
        )
        return dets.take(dets.scores >= thresholds[np.minimum(dets.class_ids, len(thresholds) - 1)])

    titles = {
        "yolov8": "YOLOv8-pose (boxes, score, keypoints)",
        "yolov7": "YOLOv7-pose (boxes, object and class confidence, keypoints)",
        "yololayer": "YoloLayer pose rows after a count",
        "end2end": "end-to-end pose rows",
    }
    return Parser("instance", "pose", f"{titles[layout]}, NMS at {_NMS_IOU}", run, (layer,), clustered=True)


def pose_tensors(outputs: Outputs) -> Parser[Any] | None:
    """Boxes (A, 4) as centre and size, scores (A, 1) and points (A, 3K) or (A, 10): poses, or faces."""
    shapes = outputs.shapes
    if len(shapes) != 3 or any(len(s) != 2 or s[0] != shapes[0][0] for s in shapes):
        return None
    box, score, point = (next((n for n, s in enumerate(shapes) if fits(s[1])), None) for fits in _POSE_WIDTHS)
    if box is None or score is None or point is None:
        return None
    names = (outputs.names[box], outputs.names[score], outputs.names[point])
    flat = shapes[point][1] == 10  # five points without confidences

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        boxes, scores, points = (np.asarray(layers[name], np.float32) for name in names)
        points = points.reshape(len(boxes), -1, 2 if flat else 3)
        if flat:
            points = np.concatenate([points, np.ones((*points.shape[:2], 1), np.float32)], axis=2)
        rows = np.concatenate([boxes, scores.reshape(-1, 1), points.reshape(len(boxes), -1)], axis=1)
        return decode_pose(rows, float(thresholds.min()), _NMS_IOU, layout="yolov8", boxes=box_format(boxes))

    title = f"boxes, scores and points, NMS at {_NMS_IOU}"
    return Parser("instance", "pose-tensors", title, run, names, clustered=True)


_POSE_WIDTHS: tuple[Callable[[int], bool], ...] = (
    lambda width: width == 4,
    lambda width: width == 1,
    lambda width: width == 10 or (width > 6 and width % 3 == 0),
)


def yolo_seg(outputs: Outputs) -> Parser[Any] | None:
    """Detections with mask coefficients and (M, h, w) prototypes."""
    if len(outputs.layers) != 2:
        return None
    proto = next((n for n, s in enumerate(outputs.shapes) if len(s) == 3), None)
    if proto is None or len(outputs.shapes[1 - proto]) != 2:
        return None
    masks, dims = outputs.shapes[proto][0], outputs.shapes[1 - proto]
    row_name, proto_name = outputs.names[1 - proto], outputs.names[proto]
    wide = 4 + outputs.num_classes + masks
    if dims[0] == wide and dims[1] != wide + 1:
        form, transpose, title = "yolov8", False, "YOLOv8-seg (4 + classes + coefficients, anchors)"
    elif dims[1] == wide and dims[0] > 1000:
        form, transpose, title = "yolov8", True, "YOLOv8-seg transposed (anchors, 4 + classes + coefficients)"
    elif dims[1] == wide + 1:
        form, transpose, title = "yolov5", False, "YOLOv5-seg (anchors, 5 + classes + coefficients)"
    elif dims[1] == 6 + masks:
        form, transpose, title = "end2end", False, "end-to-end segmentation rows (6 + coefficients)"
    else:
        return None
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        array = as_squeezed(layers[row_name])
        prototypes = as_squeezed(layers[proto_name])
        return decode_yolo_seg(
            array.T if transpose else array, prototypes, thresholds, width, height, form=form, iou=_NMS_IOU
        )

    return Parser("instance", "yolo-seg", f"{title} with prototypes", run, (row_name, proto_name), clustered=True)


def mrcnn(outputs: Outputs) -> Parser[Any] | None:
    """Rows (N, 6) and masks (N, C, h, w)."""
    mask = next((n for n, layer in enumerate(outputs.layers) if len(layer.shape) == 4), None)
    if mask is None or len(outputs.layers) != 2 or outputs.shapes[1 - mask][-1:] != (6,):
        return None
    row_name, mask_name = outputs.names[1 - mask], outputs.names[mask]
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        return decode_mrcnn(layers[row_name], layers[mask_name], thresholds, width, height)

    return Parser("instance", "mrcnn", "Mask-RCNN rows and class masks", run, (row_name, mask_name))


def fused_rows(outputs: Outputs) -> Parser[Any] | None:
    """(N, 6 + h w): each row ends in a mask cut to its box, a quarter of the network's size."""
    if len(outputs.layers) != 1 or len(outputs.shapes[0]) != 2:
        return None
    width, height = outputs.network.width, outputs.network.height
    mask_w, mask_h = width // 4, height // 4
    if outputs.shapes[0][1] != 6 + mask_w * mask_h:
        return None
    layer = outputs.names[0]

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        rows = as_squeezed(layers[layer])
        masks = rows[:, 6:].reshape(len(rows), mask_h, mask_w)
        return decode_fused_masks(rows[:, :4], rows[:, 4], rows[:, 5], masks, thresholds, width, height)

    return Parser("instance", "fused-rows", "rows of box, score, class and mask", run, (layer,))


def fused_tensors(outputs: Outputs) -> Parser[Any] | None:
    """Boxes (N, 4), scores, classes and masks (N, h, w) of the boxes."""
    shapes = outputs.shapes
    if len(shapes) != 4:
        return None
    mask = next((n for n, s in enumerate(shapes) if len(s) == 3), None)
    box = next((n for n, s in enumerate(shapes) if len(s) == 2 and s[1] == 4), None)
    if mask is None or box is None:
        return None
    score, label = (n for n in range(4) if n not in (mask, box))
    if (outputs.find("class", "label"), outputs.find("score")) == (score, label):
        score, label = label, score
    names = outputs.names
    width, height = outputs.network.width, outputs.network.height

    def run(layers: Layers, thresholds: AnyArray) -> Detections:
        boxes, scores, labels, masks = (layers[names[n]] for n in (box, score, label, mask))
        return decode_fused_masks(boxes, scores, labels, as_squeezed(masks), thresholds, width, height)

    used = (names[box], names[score], names[label], names[mask])
    return Parser("instance", "fused-tensors", "boxes, scores, classes and masks", run, used)


def softmax_heads(outputs: Outputs) -> Parser[Any] | None:
    """Every output is one task's class probabilities."""
    if not outputs.layers or any(sum(d != 1 for d in layer.shape) > 1 for layer in outputs.layers):
        return None
    names, labels = outputs.names, outputs.labels
    logits = outputs.named == "NvDsInferClassiferParseNonSoftmax"

    def run(layers: Layers, thresholds: AnyArray) -> Classification:
        return classify([layers[name] for name in names], float(thresholds.reshape(-1)[0]), labels, logits=logits)

    tasks = "one classifier output" if len(names) == 1 else f"{len(names)} classifier outputs, one task each"
    tasks += ", logits" * logits
    return Parser("classifier", "softmax", tasks, run, names)


def class_scores(outputs: Outputs) -> Parser[Any] | None:
    """(C, h, w) or (h, w, C) scores of each pixel."""
    if len(outputs.layers) != 1 or len(outputs.layers[0].shape) != 3:
        return None
    shape = tuple(outputs.layers[0].shape)
    if shape[0] == 1 and shape[2] != outputs.num_classes and _whole_numbers(outputs):
        return None
    classes = max(1, outputs.num_classes)
    first, last = shape[0] == classes, shape[2] == classes
    # The end that alone can be the class count; where both or none can, as said.
    is_last = last if first != last else bool(outputs.channels_last)
    return _segmentation(outputs, "class-scores", "hwc" if is_last else "chw", "a score for each class and pixel")


def class_numbers(outputs: Outputs) -> Parser[Any] | None:
    """(h, w), (1, h, w) or (h, w, 1) class numbers."""
    if len(outputs.layers) != 1 or not _whole_numbers(outputs):
        return None
    shape = tuple(outputs.layers[0].shape)
    if sum(d != 1 for d in shape) != 2:
        return None
    return _segmentation(outputs, "class-numbers", "classes", "a class number for each pixel")


def _whole_numbers(outputs: Outputs) -> bool:
    layer = outputs.layers[0]
    kind = str(getattr(layer, "dtype", "")).lower()
    return len(layer.shape) == 2 or "int" in kind or "argmax" in layer.name.lower()


def _segmentation(outputs: Outputs, name: str, form: str, title: str) -> Parser[Any]:
    layer = outputs.names[0]
    # This function takes the greatest logit whatever it is, and a map of the network's size.
    is_best = outputs.named == "NvDsInferParseCustomSegformerTAO2"
    size = (outputs.network.width, outputs.network.height)

    def run(layers: Layers, thresholds: AnyArray) -> SegmentationMap:
        array = layers[layer]
        if form == "classes":
            array = as_squeezed(array)
        if not is_best:
            return segment(array, float(thresholds.reshape(-1)[0]), form=form)
        found = segment(array, -np.inf, form=form)
        resized = cv2.resize(found.class_map, size, interpolation=cv2.INTER_NEAREST)
        return SegmentationMap(np.asarray(resized, np.int32), None)

    return Parser("segmentation", name, title, run, (layer,))


INSTANCES: dict[str, Match] = {
    "mrcnn": mrcnn,
    "yolo-seg": yolo_seg,
    "fused-tensors": fused_tensors,
    "fused-rows": fused_rows,
    "pose-tensors": pose_tensors,
    "pose": pose,
}
CLASSIFIERS: dict[str, Match] = {"softmax": softmax_heads}
SEGMENTATIONS: dict[str, Match] = {"class-numbers": class_numbers, "class-scores": class_scores}
