"""Pose networks: raw tensors to boxes and keypoints, and the COCO skeleton.

Usable from a pad probe on ``NvDsInferTensorMeta`` arrays as well as by the element's own post-processing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from millrace.errors import ModelError

from .boxes import cxcywh_to_ltrb, nms_detections
from .results import AnyArray, Detections, FloatArray

PoseLayout = Literal["auto", "yolov8", "yolov7", "yololayer", "end2end"]
BoxFormat = Literal["cxcywh", "ltrb"]

COCO_KEYPOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

# Pairs of 0-based keypoint numbers.
COCO_SKELETON: tuple[tuple[int, int], ...] = (
    (0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
    (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip

# 133 keypoints of a whole body are the most in use; a wider row is another network's grid.
_GREATEST_ROW = 6 + 3 * 133

_Colour = tuple[float, float, float]
_HEAD: _Colour = (1.00, 0.84, 0.25)
_TORSO: _Colour = (0.93, 0.93, 0.93)
_LEFT_ARM: _Colour = (0.16, 0.80, 0.64)
_RIGHT_ARM: _Colour = (0.98, 0.45, 0.32)
_LEFT_LEG: _Colour = (0.25, 0.60, 1.00)
_RIGHT_LEG: _Colour = (0.78, 0.42, 0.95)

# Red, green, blue from 0 to 1; the left and the right of a body differ so that a turned figure shows.
COCO_KEYPOINT_COLOURS: tuple[_Colour, ...] = (
    *(_HEAD,) * 5,
    *(_LEFT_ARM, _RIGHT_ARM) * 3,
    *(_LEFT_LEG, _RIGHT_LEG) * 3,
)
COCO_SKELETON_COLOURS: tuple[_Colour, ...] = (
    *(_HEAD,) * 7,
    _TORSO,
    *(_LEFT_ARM,) * 2,
    *(_RIGHT_ARM,) * 2,
    *(_TORSO,) * 3,
    *(_LEFT_LEG,) * 2,
    *(_RIGHT_LEG,) * 2,
)


def decode_pose(
    array: AnyArray,
    conf: float = 0.25,
    iou: float | None = None,
    max_det: int = 300,
    *,
    layout: PoseLayout = "auto",
    num_classes: int = 1,
    boxes: BoxFormat = "cxcywh",
) -> Detections:
    """Decode any known pose tensor of one picture, with non-maximum suppression.

    Args:
        array: one picture's tensor, float: YOLOv8-pose (4 + classes + 3K, A) or its transpose, YOLOv7-pose
            (A, 6 + 3K), end-to-end (300, 6 + 3K), or the YoloLayer form (a count, then
            rows of 57; 57001 for 1000 rows). Dimensions of length one are ignored.
        conf: least confidence.
        iou: overlap above which the weaker of two boxes goes; by default 0.45, and 0.65 for YOLOv7-pose.
        max_det: most objects returned.
        layout: what the tensor holds, when its shape should not decide.
        num_classes: classes in a YOLOv8-pose tensor.
        boxes: how a YOLOv8-pose tensor writes its boxes; see :func:`box_format`.

    Returns:
        Objects in network pixels, highest score first, ``keypoints`` (N, K, 3).

    Raises:
        ModelError: the shape is none of these.
    """
    if layout == "auto":
        layout = pose_layout(array.shape, num_classes)
    if layout == "yolov8":
        least = 0.45 if iou is None else iou
        return decode_yolov8_pose(array, conf, least, max_det, num_classes=num_classes, boxes=boxes)
    if layout == "end2end":
        return _decode_end2end(array, conf, max_det)
    return decode_yolov7_pose(array, conf, 0.65 if iou is None else iou, max_det)


def pose_layout(shape: tuple[int, ...], num_classes: int = 1) -> PoseLayout:
    """Name the layout that a pose tensor of this shape (without batch) has.

    Raises:
        ModelError: the shape is not a pose tensor's.
    """
    dims = [int(d) for d in shape if d != 1]
    if len(dims) == 1 and dims[0] > 57 and (dims[0] - 1) % 57 == 0:
        return "yololayer"
    if len(dims) == 2:
        channels = min(dims)
        if channels > 6 + num_classes and (channels - 4 - num_classes) % 3 == 0:
            return "yolov8"
        # Rows only: 84 channels of an 80-class detector would pass for 26 keypoints.
        anchors, channels = dims
        if 8 < channels <= _GREATEST_ROW and (channels - 6) % 3 == 0:
            return "end2end" if anchors == 300 else "yolov7"
    raise ModelError(
        f"no pose layout fits an output of shape {tuple(shape)}: expected ({4 + num_classes} + 3K, anchors) "
        "(YOLOv8-pose), (anchors, 6 + 3K) (YOLOv7-pose) or 1 + 57 x N numbers (YoloLayer)"
    )


def box_format(rows: AnyArray) -> BoxFormat:
    """Tell corners from centre and size by all (A, 4 or more) rows: only corners never have right < left."""
    is_ordered = (rows[:, 2] >= rows[:, 0]).all() and (rows[:, 3] >= rows[:, 1]).all()
    return "ltrb" if is_ordered and len(rows) else "cxcywh"


def decode_yolov8_pose(
    array: AnyArray,
    conf: float = 0.25,
    iou: float = 0.45,
    max_det: int = 300,
    *,
    num_classes: int = 1,
    boxes: BoxFormat = "cxcywh",
) -> Detections:
    """Decode YOLOv8-pose / YOLO11-pose: (4 + classes + 3K, A) or (A, 4 + classes + 3K).

    Returns:
        Objects in network pixels after per-class suppression, highest score first.
    """
    tensor = _channels_first(array, lambda c: c > 6 + num_classes and (c - 4 - num_classes) % 3 == 0)
    if num_classes == 1:
        scores = tensor[4]
    else:
        scores = tensor[4 : 4 + num_classes].max(axis=0)
    index = np.flatnonzero(scores >= conf)
    keypoint_count = (tensor.shape[0] - 4 - num_classes) // 3
    if index.size == 0:
        return Detections.empty(keypoint_count)
    # Only the survivors' columns are touched: a full transpose would read the whole tensor.
    rows = np.asarray(tensor[:, index].T, dtype=np.float32, order="C")
    if num_classes == 1:
        class_ids = np.zeros(len(rows), np.int64)
    else:
        class_ids = rows[:, 4 : 4 + num_classes].argmax(axis=1)
    dets = Detections(
        cxcywh_to_ltrb(rows[:, :4]) if boxes == "cxcywh" else rows[:, :4].copy(),
        np.asarray(scores[index], dtype=np.float32),
        class_ids,
        rows[:, 4 + num_classes :].reshape(len(rows), keypoint_count, 3),
    )
    return nms_detections(dets, iou, max_det)


def decode_yolov7_pose(array: AnyArray, conf: float = 0.25, iou: float = 0.65, max_det: int = 300) -> Detections:
    """Decode YOLOv7-pose: (A, 6 + 3K), its transpose, or the YoloLayer form (count first, then rows of 57).

    A row is cx, cy, width, height, object confidence, class confidence, then K x (x, y, confidence).

    Returns:
        Objects in network pixels after suppression, highest score first; score = object x class confidence.
    """
    dims = [d for d in array.shape if d != 1]
    if len(dims) == 1:
        flat = array.reshape(-1)
        rows = flat[1:].reshape(-1, 57)
        # The count may exceed what the layer had room for.
        rows = rows[: int(np.clip(np.nan_to_num(flat[0]), 0, len(rows)))]
    else:
        rows = _channels_first(array, lambda c: c > 8 and (c - 6) % 3 == 0).T
    keypoint_count = (rows.shape[1] - 6) // 3
    # A class confidence is at most 1, so a row under the threshold here stays under it.
    index = np.flatnonzero(rows[:, 4] >= conf)
    picked = np.asarray(rows[index], dtype=np.float32, order="C")
    scores = picked[:, 4] * picked[:, 5]
    passed = scores >= conf
    picked, scores = picked[passed], scores[passed]
    if len(picked) == 0:
        return Detections.empty(keypoint_count)
    dets = Detections(
        cxcywh_to_ltrb(picked[:, :4]),
        scores,
        np.zeros(len(picked), np.int64),
        picked[:, 6:].reshape(len(picked), keypoint_count, 3),
    )
    return nms_detections(dets, iou, max_det)


def _decode_end2end(array: AnyArray, conf: float, max_det: int) -> Detections:
    rows = _squeeze2d(array)
    picked = np.asarray(rows[rows[:, 4] >= conf], dtype=np.float32, order="C")
    picked = picked[np.argsort(-picked[:, 4], kind="stable")[:max_det]]
    keypoints = picked[:, 6:].reshape(len(picked), (rows.shape[1] - 6) // 3, 3)
    return Detections(picked[:, :4].copy(), picked[:, 4].copy(), picked[:, 5].astype(np.int64), keypoints)


def _squeeze2d(array: AnyArray) -> AnyArray:
    if array.ndim == 2:
        return array
    dims = [d for d in array.shape if d != 1]
    if len(dims) > 2:
        raise ModelError(f"a pose tensor of one picture has two dimensions, not shape {array.shape}; pass one picture")
    return array.reshape(dims if len(dims) == 2 else (array.shape[-2], array.shape[-1]))


def _channels_first(array: AnyArray, fits: Callable[[int], bool]) -> AnyArray:
    tensor = _squeeze2d(array)
    rows, columns = tensor.shape
    # The channel side is the short one; both fit only for tiny grids.
    for side in sorted((0, 1), key=lambda s: tensor.shape[s]):
        if fits(tensor.shape[side]):
            return tensor if side == 0 else tensor.T
    raise ModelError(f"({rows}, {columns}) is not this pose layout's shape")


def skeleton_lines(
    keypoints: AnyArray, threshold: float = 0.5, skeleton: tuple[tuple[int, int], ...] = COCO_SKELETON
) -> Iterator[tuple[int, float, float, float, float]]:
    """Limbs of one person whose two ends are seen.

    Args:
        keypoints: (K, 3) x, y, confidence in any frame of coordinates.
        threshold: least confidence of both ends.
        skeleton: pairs of keypoint numbers; pairs beyond K are left out.

    Yields:
        (number of the limb in ``skeleton``, x1, y1, x2, y2).
    """
    points: FloatArray = keypoints
    count = len(points)
    for limb, (a, b) in enumerate(skeleton):
        if a < count and b < count and points[a, 2] >= threshold and points[b, 2] >= threshold:
            yield limb, float(points[a, 0]), float(points[a, 1]), float(points[b, 0]), float(points[b, 1])


def keypoints_of(obj_meta: Any) -> FloatArray | None:
    """Keypoints that inference left on an object, as DeepStream-Yolo-Pose does: in its mask parameters.

    Args:
        obj_meta: NvDsObjectMeta.

    Returns:
        (K, 3) float32 x, y in pixels of the frame and confidence, sharing the object's memory; None when the
        object has no mask parameters, or a mask of width x height values.
    """
    mask = obj_meta.mask_params
    values = mask.get_mask_array()
    if len(values) == 0 or len(values) % 3 or len(values) == mask.width * mask.height:
        return None
    points: FloatArray = values.reshape(-1, 3)
    return points
