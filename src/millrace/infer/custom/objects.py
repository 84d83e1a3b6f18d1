"""What parse functions return, brought into the shape that the rest of Millrace takes."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ...errors import ModelError
from ..parsers.results import AnyArray, Classification, ClassifierAttribute, Detections, FloatArray, SegmentationMap
from .task import Task

log = logging.getLogger("millrace.infer")

_LARGEST_MASK = 4096

# Our name of a field, and DeepStream's.
_FIELDS = {
    "class_id": "classId",
    "left": "left",
    "top": "top",
    "width": "width",
    "height": "height",
    "confidence": "detectionConfidence",
}


@dataclass
class DetectedObject:
    """One object as a Python parse function may return it.

    Attributes:
        class_id: number of its class.
        left: of its box, pixels of the network's input picture.
        top: the same.
        width: the same.
        height: the same.
        confidence: 0 to 1.
        mask: (h, w) float32 probabilities stretched over the box, or None.
        keypoints: (K, 3) float32 x, y in network pixels and confidence, or None.
    """

    class_id: int
    left: float
    top: float
    width: float
    height: float
    confidence: float
    mask: FloatArray | None = None
    keypoints: FloatArray | None = None


@dataclass
class DescribedClassification(Classification):
    """Attributes with a text of the parser's own (``descString``), which is then the label.

    Attributes:
        description: the text; empty for none.
    """

    description: str = ""

    @property
    def label(self) -> str:
        """The description, or the attributes' names."""
        return self.description or super().label


class Sieve:
    """Drops the objects that no class of the configuration or no pixel can hold; says so once."""

    def __init__(self, task: Task) -> None:
        self._task, self._said = task, False

    def __call__(self, found: Detections) -> Detections:
        """``found`` without what is not finite, of negative size, or of a class beyond ``num-detected-classes``."""
        good = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
        good &= (found.class_ids >= 0) & (found.class_ids < self._task.num_classes)
        with np.errstate(invalid="ignore"):
            good &= (found.boxes[:, 2:] >= found.boxes[:, :2]).all(axis=1)
        if good.all():
            return found
        if not self._said:
            self._said = True
            log.warning(
                "%s: objects with a box or confidence that is no number, a negative size, or a class beyond "
                "num-detected-classes=%d are dropped",
                self._task.title,
                self._task.num_classes,
            )
        return found.take(np.flatnonzero(good))


def detections(value: Any) -> Detections:
    """Detections of whatever describes objects: Detections, or a list of objects.

    An object is a :class:`DetectedObject`, a mapping or object with its names or DeepStream's
    (``classId``, ``detectionConfidence``), or a tuple (class, left, top, width, height, confidence).

    Raises:
        ModelError: the value is something else; says what.
    """
    if isinstance(value, Detections):
        return _checked(value)
    if value is None or isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ModelError(f"{_what(value)} was returned; return Detections or a list of objects")
    objects = list(value)
    rows = np.array([_row(item) for item in objects], np.float64).reshape(-1, 6)
    boxes = rows[:, 1:5].copy()
    boxes[:, 2:] += boxes[:, :2]
    masks = [_optional(item, "mask") for item in objects]
    points = [_optional(item, "keypoints") for item in objects]
    return _checked(
        Detections(
            boxes.astype(np.float32),
            rows[:, 5].astype(np.float32),
            rows[:, 0].astype(np.int64),
            _same_shape(points, "keypoints"),
            stack_masks([None if mask is None else np.asarray(mask, np.float32) for mask in masks]),
        )
    )


def stack_masks(masks: Sequence[FloatArray | None]) -> FloatArray | None:
    """(N, h, w) of masks of their own sizes, each scaled to the largest; missing ones are full; None without any.

    Raises:
        ModelError: a mask has another number of dimensions than two, or a side of more than 4096.
    """
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    for mask in given:
        if mask.ndim != 2 or not mask.size or max(mask.shape) > _LARGEST_MASK:
            raise ModelError(f"a mask of shape {mask.shape}; a mask is (height, width), each 1 to {_LARGEST_MASK}")
    height, width = (max(mask.shape[axis] for mask in given) for axis in (0, 1))
    out = np.ones((len(masks), height, width), np.float32)
    for index, one in enumerate(masks):
        if one is not None:
            same = one.shape == (height, width)
            out[index] = one if same else cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR)
    return out


def classification(value: Any, task: Task) -> Classification:
    """A Classification of itself, or of a list of attributes or tuples (task, class, probability[, label]).

    Raises:
        ModelError: the value is something else.
    """
    if isinstance(value, Classification):
        return _with_probabilities(value)
    if value is None or isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ModelError(f"{_what(value)} was returned; return Classification or a list of ClassifierAttribute")
    found = []
    for item in value:
        if not isinstance(item, ClassifierAttribute):
            if not isinstance(item, Sequence) or len(item) not in (3, 4):
                raise ModelError(f"{_what(item)} is no attribute; it is (task, class, probability)")
            index, number = _whole(item[0], "task"), _whole(item[1], "class")
            label = str(item[3]) if len(item) == 4 else task.label(index, number)
            item = ClassifierAttribute(index, number, float(item[2]), label)
        found.append(item)
    return _with_probabilities(Classification(found))


def segmentation(value: Any) -> SegmentationMap:
    """A SegmentationMap of itself or of an (h, w) array of class numbers.

    Raises:
        ModelError: the value is something else.
    """
    if not isinstance(value, (SegmentationMap, np.ndarray)):
        raise ModelError(f"{_what(value)} was returned; return SegmentationMap or an (h, w) array of class numbers")
    class_map: AnyArray = value if isinstance(value, np.ndarray) else value.class_map
    probabilities = None if isinstance(value, np.ndarray) else value.probabilities
    if class_map.ndim != 2:
        raise ModelError(f"a class map of shape {class_map.shape}; it is (height, width)")
    if class_map.dtype.kind not in "iub" and not np.array_equal(class_map, np.trunc(class_map)):
        raise ModelError(f"a class map of {class_map.dtype} with values that are no whole numbers; use argmax")
    if probabilities is not None:
        probabilities = np.ascontiguousarray(probabilities, np.float32)
    return SegmentationMap(np.ascontiguousarray(class_map, np.int32), probabilities)


def _whole(value: Any, what: str) -> int:
    if value != int(value):
        raise ModelError(f"{value} is no {what}'s number")
    return int(value)


def _with_probabilities(found: Classification) -> Classification:
    for one in found.attributes:
        if not math.isfinite(one.probability):
            raise ModelError(f"task {one.task_index}, class {one.class_index}: its probability is {one.probability}")
    return found


def _checked(found: Detections) -> Detections:
    boxes, scores = np.asarray(found.boxes, np.float32), np.asarray(found.scores, np.float32)
    ids = np.asarray(found.class_ids)
    if not boxes.size:
        boxes = boxes.reshape(0, 4)
    count = len(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ModelError(f"boxes of shape {boxes.shape} were returned; they are (N, 4): left, top, right, bottom")
    for what, array in (("scores", scores), ("class_ids", ids)):
        if array.ndim != 1:
            raise ModelError(f"{what} of shape {array.shape} were returned; they are ({count},)")
    if not np.array_equal(ids, np.trunc(ids)):
        raise ModelError("class_ids with values that are no whole numbers were returned")
    ids = ids.astype(np.int64)
    if len(scores) != count or len(ids) != count:
        raise ModelError(f"{count} boxes, {len(scores)} scores and {len(ids)} class numbers were returned")
    points = None if found.keypoints is None else np.asarray(found.keypoints, np.float32)
    masks = None if found.masks is None else np.asarray(found.masks, np.float32)
    if points is not None and (points.ndim != 3 or points.shape[0] != count or points.shape[2] != 3):
        raise ModelError(f"keypoints of shape {points.shape} were returned; they are ({count}, K, 3)")
    if masks is not None and (masks.ndim != 3 or masks.shape[0] != count):
        raise ModelError(f"masks of shape {masks.shape} were returned; they are ({count}, h, w)")
    return Detections(boxes, scores, ids, points, masks)


def _row(item: Any) -> list[float]:
    if isinstance(item, (Sequence, np.ndarray)) and not isinstance(item, (str, bytes)):
        if len(item) != 6:
            raise ModelError(f"an object of {len(item)} values; it has 6: class, left, top, width, height, confidence")
        return [float(value) for value in item]
    return [_field(item, ours, theirs) for ours, theirs in _FIELDS.items()]


def _field(item: Any, ours: str, theirs: str) -> float:
    for name in (ours, theirs):
        if isinstance(item, Mapping) and name in item:
            return float(item[name])
        if not isinstance(item, Mapping) and hasattr(item, name):
            return float(getattr(item, name))
    raise ModelError(f"an object ({_what(item)}) without {ours}")


def _optional(item: Any, name: str) -> Any:
    if isinstance(item, Mapping):
        return item.get(name)
    return None if isinstance(item, (Sequence, np.ndarray)) else getattr(item, name, None)


def _same_shape(values: Sequence[Any], name: str) -> FloatArray | None:
    given = [value for value in values if value is not None]
    if not given:
        return None
    if len(given) != len(values) or len({np.shape(value) for value in given}) != 1:
        raise ModelError(f"{name} of different shapes; every object has the same number or none has any")
    return np.array(given, np.float32)


def _what(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
