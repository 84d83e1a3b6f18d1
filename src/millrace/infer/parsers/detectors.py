"""Detectors other than single-tensor YOLO: grids, suppressed tensors, transformers, anchors."""

from __future__ import annotations

import numpy as np

from .boxes import cxcywh_to_ltrb
from .results import AnyArray, Detections, FloatArray
from .yolo import select

# DetectNet_v2 divides box offsets by this before training.
DETECTNET_BBOX_NORM = 35.0

# Pixels of (width, height), three to a head, finest head first; the anchors both were published with on COCO.
YOLOV3_ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
YOLOV4_ANCHORS = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)
YOLOV3_TINY_ANCHORS = (((10, 14), (23, 27), (37, 58)), ((81, 82), (135, 169), (344, 319)))


def sigmoid(values: AnyArray) -> FloatArray:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(values, np.float32))), np.float32)


def softmax(values: AnyArray, axis: int = -1) -> FloatArray:
    """Softmax along ``axis``, float32."""
    shifted = np.exp(np.asarray(values, np.float32) - np.max(values, axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True), np.float32)


def decode_detectnet(coverage: AnyArray, bbox: AnyArray, width: int, height: int, thresholds: AnyArray) -> Detections:
    """DetectNet_v2: coverage (C, h, w) and offsets (4C, h, w) from each cell's centre, divided by 35.

    Args:
        coverage: (C, h, w) scores.
        bbox: (4C, h, w) left, top, right, bottom distances.
        width: network width in pixels; the cell is width / w wide.
        height: network height in pixels.
        thresholds: (C,) pre-cluster thresholds; classes beyond it are left out.
    """
    classes = min(len(coverage), len(thresholds))
    if classes == 0:
        return Detections.empty()
    limit = np.asarray(thresholds[:classes])[:, None, None]
    class_ids, rows, columns = np.nonzero(coverage[:classes] >= limit)
    if class_ids.size == 0:
        return Detections.empty()
    stride_x, stride_y = width / coverage.shape[2], height / coverage.shape[1]
    offsets = np.asarray(bbox.reshape(-1, 4, *bbox.shape[1:])[class_ids, :, rows, columns], np.float32)
    offsets = offsets * np.float32(DETECTNET_BBOX_NORM)
    centre_x = (columns * stride_x + 0.5).astype(np.float32)
    centre_y = (rows * stride_y + 0.5).astype(np.float32)
    boxes = np.stack(
        [
            centre_x - offsets[:, 0],
            centre_y - offsets[:, 1],
            centre_x + offsets[:, 2],
            centre_y + offsets[:, 3],
        ],
        axis=1,
    )
    scores = np.asarray(coverage[class_ids, rows, columns], np.float32)
    return Detections(boxes, scores, class_ids.astype(np.int64))


def decode_suppressed(
    boxes: AnyArray,
    scores: AnyArray,
    class_ids: AnyArray,
    count: AnyArray | None,
    width: int,
    height: int,
    thresholds: AnyArray,
    *,
    y_first: bool = False,
    normalised: bool | None = None,
) -> Detections:
    """Tensors of a suppression plug-in or a decoded head: boxes (N, 4), scores (N), classes (N), and a count.

    Args:
        boxes: (N, 4) or any shape with 4 last: left, top, right, bottom.
        scores: N values.
        class_ids: N values.
        count: how many rows are valid, or None for all.
        width: network width in pixels.
        height: network height in pixels.
        thresholds: (classes,) pre-cluster thresholds.
        y_first: boxes are top, left, bottom, right.
        normalised: boxes are 0 to 1 of the network's size; None decides by their greatest value.
    """
    flat = np.asarray(boxes, np.float32).reshape(-1, 4)
    valid = len(flat) if count is None else int(np.clip(np.asarray(count).reshape(-1)[0], 0, len(flat)))
    flat = flat[:valid]
    if y_first:
        flat = flat[:, [1, 0, 3, 2]]
    if normalised is None:
        normalised = valid > 0 and float(flat.max()) < 2.0
    if normalised:
        flat = flat * np.array([width, height, width, height], np.float32)
    good = (flat[:, 2] > flat[:, 0]) & (flat[:, 3] > flat[:, 1])
    ids = np.rint(np.asarray(class_ids, np.float64).reshape(-1)[:valid])
    return select(flat.copy(), np.asarray(scores).reshape(-1)[:valid], ids, thresholds, good)


def decode_boxes_scores(
    boxes: AnyArray,
    scores: AnyArray,
    width: int,
    height: int,
    thresholds: AnyArray,
    *,
    normalised: bool | None = None,
) -> Detections:
    """Boxes (N, 1, 4) or (N, 4) as left, top, right, bottom and scores (N, C), as pytorch-YOLOv4 exports."""
    table = np.asarray(scores).reshape(-1, scores.shape[-1])
    best = table.max(axis=1)
    index = np.flatnonzero(best >= thresholds.min())
    flat = np.asarray(boxes).reshape(-1, 4)
    if normalised is None:
        normalised = len(flat) > 0 and float(flat.max()) < 2.0
    return decode_suppressed(
        flat[index],
        best[index],
        table[index].argmax(axis=1),
        None,
        width,
        height,
        thresholds,
        normalised=normalised,
    )


def decode_detr(
    boxes: AnyArray,
    logits: AnyArray,
    width: int,
    height: int,
    thresholds: AnyArray,
    *,
    activation: str = "sigmoid",
    background: int | None = None,
) -> Detections:
    """DETR family: boxes (N, 4) as cx, cy, width, height from 0 to 1 and class logits (N, C).

    Args:
        boxes: (N, 4).
        logits: (N, C).
        width: network width in pixels.
        height: network height in pixels.
        thresholds: (classes,) pre-cluster thresholds.
        activation: "sigmoid" (RT-DETR, Deformable DETR), "softmax" (DETR, whose last class is no object) or
            "none" when the network gives probabilities.
        background: class number that means no object, dropped.
    """
    table = np.asarray(logits, np.float32).reshape(-1, logits.shape[-1])
    if activation == "softmax":
        table = softmax(table)[:, :-1]
    # The sigmoid is monotonic, so the best class is found before it is computed.
    class_ids = table.argmax(axis=1)
    scores = table[np.arange(len(table)), class_ids]
    if activation == "sigmoid":
        scores = sigmoid(scores)
    keep = None if background is None else class_ids != background
    ltrb = cxcywh_to_ltrb(np.asarray(boxes, np.float32).reshape(-1, 4))
    ltrb *= np.array([width, height, width, height], np.float32)
    return select(ltrb, scores, class_ids, thresholds, keep)


def decode_nms_rows(
    rows: AnyArray, count: AnyArray | None, width: int, height: int, thresholds: AnyArray
) -> Detections:
    """NMS plug-in rows of 7: image, class, score, left, top, right, bottom from 0 to 1."""
    table = np.asarray(rows, np.float32).reshape(-1, 7)
    return decode_suppressed(table[:, 3:7], table[:, 2], table[:, 1], count, width, height, thresholds, normalised=True)


def decode_anchor_heads(
    heads: list[AnyArray],
    anchors: tuple[tuple[tuple[int, int], ...], ...],
    width: int,
    height: int,
    thresholds: AnyArray,
) -> Detections:
    """YOLOv3 / v4 heads before decoding: (3 x (5 + C), h, w) logits each.

    Args:
        heads: finest grid first, as ``anchors``.
        anchors: pixels (width, height), one group to a head.
        width: network width in pixels.
        height: network height in pixels.
        thresholds: (C,) pre-cluster thresholds.
    """
    least = float(np.clip(thresholds.min(), 1e-6, 1 - 1e-6))
    least_logit = np.log(least / (1 - least))
    parts: list[Detections] = []
    for head, sizes in zip(heads, anchors, strict=True):
        grid = head.reshape(len(sizes), -1, *head.shape[1:])
        which, rows, columns = np.nonzero(grid[:, 4] >= least_logit)
        if which.size == 0:
            continue
        cells = np.asarray(grid[which, :, rows, columns], np.float32)
        stride_x, stride_y = width / head.shape[2], height / head.shape[1]
        centre = sigmoid(cells[:, :2])
        centre[:, 0] = (centre[:, 0] + columns) * stride_x
        centre[:, 1] = (centre[:, 1] + rows) * stride_y
        size = np.exp(cells[:, 2:4]) * np.array(sizes, np.float32)[which]
        class_ids = cells[:, 5:].argmax(axis=1)
        best = cells[np.arange(len(cells)), 5 + class_ids]
        scores = sigmoid(cells[:, 4]) * sigmoid(best)
        parts.append(select(cxcywh_to_ltrb(np.concatenate([centre, size], axis=1)), scores, class_ids, thresholds))
    return Detections.concatenate(parts) if parts else Detections.empty()
