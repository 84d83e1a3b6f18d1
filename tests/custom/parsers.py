"""The functions of parsers.cpp in Python."""

from __future__ import annotations

import numpy as np

from millrace.infer import Classification, Detections, SegmentationMap
from millrace.infer.custom import DescribedClassification, DetectedObject
from millrace.infer.parsers import ClassifierAttribute


def ParseBoxes(layers, network, thresholds):
    rows = layers["output0"]
    ids = rows[4:].argmax(axis=0)
    scores = rows[4:].max(axis=0)
    keep = scores >= thresholds[ids]
    centre, size = rows[:2, keep].T, rows[2:4, keep].T
    corner = centre - size / 2
    return Detections(np.hstack([corner, corner + size]), scores[keep], ids[keep])


def ParseMasks(layers, network, thresholds):
    found = ParseBoxes(layers, network, thresholds)
    columns = np.tile(np.arange(16, dtype=np.float32), (12, 1))
    found.masks = np.stack([(columns + i) / 32 for i in found.class_ids]) if len(found) else None
    return found


def ParsePoints(layers, network, thresholds):
    rows = layers["output0"]
    objects = []
    for column in rows.T:
        number = int(column[4:].argmax())
        score = column[4 + number]
        if score >= thresholds[number]:
            width, height = column[2:4]
            left, top = column[:2] - column[2:4] / 2
            points = np.array([[left, top, 1.0], [left + width, top + height, 0.5]], np.float32)
            objects.append(DetectedObject(number, left, top, width, height, score, keypoints=points))
    return objects


def ParseLabels(layers, network, threshold) -> Classification:
    attributes, words = [], []
    for task, (name, values) in enumerate(layers.items()):
        best = int(values.argmax())
        if values.flat[best] >= threshold:
            words.append(f"{name}-{best}")
            attributes.append(ClassifierAttribute(task, best, float(values.flat[best]), words[-1]))
    return DescribedClassification(attributes, " and ".join(words))


def ParsePixels(layers, network, threshold) -> SegmentationMap:
    scores = layers["output0"]
    classes = scores.argmax(axis=0).astype(np.int32)
    classes[scores.max(axis=0) < threshold] = -1
    return SegmentationMap(classes, scores)
