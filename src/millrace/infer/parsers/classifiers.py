"""Classifiers and semantic segmentation: probabilities to attributes and class maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .detectors import sigmoid, softmax
from .results import AnyArray, Classification, ClassifierAttribute, SegmentationMap


def classify(
    outputs: Sequence[AnyArray], threshold: float, labels: Sequence[Sequence[str]] = (), *, logits: bool = False
) -> Classification:
    """One attribute for each output whose best class is above the threshold.

    Args:
        outputs: one tensor a task, any shape; values outside 0 to 1 are taken for logits and get a softmax.
        threshold: ``classifier-threshold``; the best probability of a task counts when it is greater.
        labels: class names of each task, in the outputs' order; missing names are left empty.
        logits: take values for logits in any case.
    """
    attributes: list[ClassifierAttribute] = []
    for task, output in enumerate(outputs):
        values = np.asarray(output, np.float32).reshape(-1)
        if values.size == 0:
            continue
        if logits or values.min() < 0.0 or values.max() > 1.0 + 1e-3:
            values = softmax(values)
        values = np.where(np.isnan(values), -np.inf, values)  # what is no number is no class's
        best = int(values.argmax())
        probability = float(values[best])
        if probability <= threshold:
            continue
        names = labels[task] if task < len(labels) else ()
        attributes.append(ClassifierAttribute(task, best, probability, names[best] if best < len(names) else ""))
    return Classification(attributes)


def segment(array: AnyArray, threshold: float, *, form: str = "chw") -> SegmentationMap:
    """Class of each pixel.

    Args:
        array: "chw": (C, h, w) scores; "hwc": (h, w, C) scores; "classes": (h, w) or (1, h, w) class numbers.
        threshold: ``segmentation-threshold``: pixels whose best score is not greater are -1. Logits of one
            channel get a sigmoid first.
        form: which of the three.
    """
    if form == "classes":
        return SegmentationMap(np.rint(array.reshape(array.shape[-2:])).astype(np.int32))
    scores = np.asarray(array.transpose(2, 0, 1) if form == "hwc" else array, np.float32)
    if len(scores) == 1:
        if scores.min() < 0.0 or scores.max() > 1.0 + 1e-3:
            scores = sigmoid(scores)
        class_map = np.zeros(scores.shape[1:], np.int32)
        best = scores[0]
    else:
        class_map = scores.argmax(axis=0).astype(np.int32)
        best = scores.max(axis=0)
    class_map[best <= threshold] = -1
    return SegmentationMap(class_map, np.ascontiguousarray(scores))
