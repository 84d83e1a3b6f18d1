"""Instance segmentation: boxes with masks from YOLO-seg prototypes, fused rows and Mask-RCNN heads.

Every mask covers its object's box: (h, w) values stretched over the box's width and height.
"""

from __future__ import annotations

import cv2
import numpy as np

from .boxes import cxcywh_to_ltrb, nms
from .detectors import sigmoid
from .results import AnyArray, Detections, FloatArray
from .yolo import passing

_LEAST_SIDE, _GREATEST_SIDE = 16, 160


def clip_boxes(boxes: FloatArray, width: int, height: int) -> FloatArray:
    """(N, 4) boxes cut to the network's picture, in place; masks are stretched over the visible part."""
    np.clip(boxes[:, 0::2], 0, width, out=boxes[:, 0::2])
    np.clip(boxes[:, 1::2], 0, height, out=boxes[:, 1::2])
    return boxes


def crop_masks(masks: AnyArray, boxes: AnyArray, width: int, height: int) -> FloatArray:
    """Cut whole-picture masks to their objects' boxes.

    Args:
        masks: (N, h, w) probabilities over the whole network picture.
        boxes: (N, 4) left, top, right, bottom in network pixels.
        width: network width in pixels.
        height: network height in pixels.

    Returns:
        (N, s_h, s_w) float32; the size is the largest box's at the masks' resolution, 16 to 160 a side.
    """
    if len(boxes) == 0:
        return np.zeros((0, _LEAST_SIDE, _LEAST_SIDE), np.float32)
    scale = np.array([masks.shape[2] / width, masks.shape[1] / height] * 2, np.float32)
    cells = np.asarray(boxes, np.float32) * scale
    out_w, out_h = (
        int(np.clip(np.ceil((cells[:, 2 + a] - cells[:, a]).max()), _LEAST_SIDE, _GREATEST_SIDE)) for a in (0, 1)
    )
    out = np.empty((len(boxes), out_h, out_w), np.float32)
    for i, (left, top, right, bottom) in enumerate(cells):
        step_x, step_y = (right - left) / out_w, (bottom - top) / out_h
        # Sample at the middle of each output cell; OpenCV counts pixels from their centres.
        matrix = np.array([[step_x, 0, left + step_x / 2 - 0.5], [0, step_y, top + step_y / 2 - 0.5]], np.float64)
        cv2.warpAffine(
            np.ascontiguousarray(masks[i], np.float32),
            matrix,
            (out_w, out_h),
            dst=out[i],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def decode_yolo_seg(
    array: AnyArray,
    prototypes: AnyArray,
    thresholds: AnyArray,
    width: int,
    height: int,
    *,
    form: str = "yolov8",
    iou: float = 0.45,
    max_det: int = 300,
) -> Detections:
    """YOLO-seg: detections with mask coefficients, and prototype masks.

    Args:
        array: "yolov8": (4 + C + M, A); "yolov5": (A, 5 + C + M); "end2end": (N, 6 + M).
        prototypes: (M, h, w).
        thresholds: (C,) pre-cluster thresholds.
        width: network width in pixels.
        height: network height in pixels.
        form: which of the three.
        iou: suppression threshold within a class; not used by "end2end".
        max_det: most objects; masks are only made for these.

    Returns:
        Objects, highest score first, with masks over their boxes.
    """
    classes, count = len(thresholds), prototypes.shape[0]
    if form == "yolov8":
        best = array[4 : 4 + classes].max(axis=0)
        index = np.flatnonzero(best >= thresholds.min())
        rows = np.asarray(array[:, index].T, np.float32)
        scores, class_ids = (
            rows[:, 4 : 4 + classes].max(axis=1, initial=0),
            rows[:, 4 : 4 + classes].argmax(axis=1),
        )
        boxes = cxcywh_to_ltrb(rows[:, :4])
    elif form == "yolov5":
        index = np.flatnonzero(array[:, 4] >= thresholds.min())
        rows = np.asarray(array[index], np.float32)
        table = rows[:, 5 : 5 + classes]
        scores, class_ids = table.max(axis=1, initial=0) * rows[:, 4], table.argmax(axis=1)
        boxes = cxcywh_to_ltrb(rows[:, :4])
    else:
        index = np.flatnonzero(array[:, 4] >= thresholds.min())
        rows = np.asarray(array[index], np.float32)
        scores, class_ids, boxes = rows[:, 4], np.rint(rows[:, 5]).astype(np.int64), rows[:, :4].copy()
    chosen = passing(scores, class_ids, thresholds)
    if form == "end2end":
        order = np.argsort(-scores[chosen], kind="stable")[:max_det]
    else:
        order = nms(boxes[chosen], scores[chosen], iou, class_ids[chosen], max_det)
    chosen = chosen[order]
    dets = Detections(boxes[chosen], np.asarray(scores[chosen], np.float32), class_ids[chosen].astype(np.int64))
    clip_boxes(dets.boxes, width, height)
    coefficients = rows[chosen, rows.shape[1] - count :]
    raw = sigmoid(coefficients @ np.asarray(prototypes, np.float32).reshape(count, -1))
    dets.masks = crop_masks(raw.reshape(len(dets), *prototypes.shape[1:]), dets.boxes, width, height)
    return dets


def decode_fused_masks(
    boxes: AnyArray,
    scores: AnyArray,
    class_ids: AnyArray,
    masks: AnyArray,
    thresholds: AnyArray,
    width: int,
    height: int,
) -> Detections:
    """Boxes (N, 4) left, top, right, bottom in network pixels, masks (N, h, w) already cut to the boxes."""
    values = np.asarray(scores, np.float32).reshape(-1)
    ids = np.rint(np.asarray(class_ids).reshape(-1)).astype(np.int64)
    index = passing(values, ids, thresholds)
    flat = np.asarray(boxes, np.float32).reshape(-1, 4)
    dets = Detections(flat[index], values[index], ids[index], None, np.asarray(masks[index], np.float32))
    clip_boxes(dets.boxes, width, height)
    return dets


def decode_mrcnn(rows: AnyArray, masks: AnyArray, thresholds: AnyArray, width: int, height: int) -> Detections:
    """Mask-RCNN: rows (N, 6) of top, left, bottom, right, class, score and masks (N, C, h, w).

    Boxes may be network pixels or 0 to 1. The mask of an object is its class's plane, values as the network
    gives them (``segmentation-threshold`` is compared with those).
    """
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    boxes = table[:, [1, 0, 3, 2]]
    if len(boxes) and float(boxes.max()) < 2.0:
        boxes = boxes * np.array([width, height, width, height], np.float32)
    clip_boxes(boxes, width, height)
    ids = np.rint(table[:, 4]).astype(np.int64)
    visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    index = passing(table[:, 5], ids, thresholds, visible)
    planes = np.minimum(ids[index], masks.shape[1] - 1)
    return Detections(
        boxes[index], table[index, 5].copy(), ids[index], None, np.asarray(masks[index, planes], np.float32)
    )
