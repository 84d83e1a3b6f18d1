"""Raw outputs to results in the surface's pixels."""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np

from ..config import ClusterMode, InferConfig, NetworkType
from .custom import custom_function
from .labels import task_labels
from .parsers import Detections, Parser, cluster, get_parser, pre_cluster_thresholds, within_limits
from .parsers.parser import Kind
from .parsers.results import FloatArray, LayerInfo, NetworkInfo
from .types import FrameResult

log = logging.getLogger("millrace.infer")

_KINDS: dict[NetworkType, Kind] = {
    NetworkType.DETECTOR: "detector",
    NetworkType.CLASSIFIER: "classifier",
    NetworkType.SEGMENTATION: "segmentation",
    NetworkType.INSTANCE_SEGMENTATION: "instance",
}


class PostProcessor:
    """Parses, clusters, maps to the surface and filters, as the configuration says.

    Args:
        config: the nvinfer configuration.
        layers: the network's outputs, in order.
        info: its input size.
        labels: lines of the label file.
        num_classes: of a detector.

    Raises:
        ConfigError: the parse function, the labels or a key does not fit.
        ModelError: no parser reads the outputs.
    """

    def __init__(
        self,
        config: InferConfig,
        layers: list[LayerInfo],
        info: NetworkInfo,
        labels: list[list[str]],
        num_classes: int,
    ) -> None:
        self._config = config
        self._parser: Parser[Any] | None = None
        self._thresholds = np.zeros(1, np.float32)
        self._mode = int(config.cluster_mode)
        self._dropped = np.array(sorted(set(config.filter_out_class_ids)), np.int64)
        kind = config.network_type
        if kind == NetworkType.OTHER:
            return
        function = custom_function(config, _KINDS[kind], layers, info, num_classes, labels)
        if kind == NetworkType.CLASSIFIER:
            sizes = [int(np.prod(layer.shape)) if -1 not in layer.shape else 0 for layer in layers]
            # What the labels of a custom function stand for is its own affair.
            tasks = [] if callable(function) else task_labels(config, labels, sizes)
            self._parser = get_parser(function, "classifier", layers, info, labels=tasks)
            self._thresholds = np.array([config.classifier_threshold], np.float32)
        elif kind == NetworkType.SEGMENTATION:
            self._parser = get_parser(function, "segmentation", layers, info, num_classes)
            self._thresholds = np.array([config.segmentation_threshold], np.float32)
        else:
            which = "detector" if kind == NetworkType.DETECTOR else "instance"
            self._parser = get_parser(function, which, layers, info, num_classes)  # type: ignore[call-overload]
            self._thresholds = pre_cluster_thresholds(config.class_attrs, num_classes)
            if self._parser.clustered and "cluster_mode" not in config.model_fields_set:
                self._mode = int(ClusterMode.NONE)
        log.info("outputs are read as %s", self._parser.describe())

    @property
    def parser(self) -> Parser[Any] | None:
        """The parser, None for ``network-type=100``."""
        return self._parser

    def __call__(self, result: FrameResult, frame_width: int, frame_height: int) -> None:
        """Fill in what the tensors of a result mean.

        Args:
            result: with tensors and transform.
            frame_width: of the surface, pixels.
            frame_height: of the surface, pixels.
        """
        if self._parser is None:
            return
        found = self._parser({layer.name: layer.array for layer in result.tensors}, self._thresholds)
        if self._config.network_type == NetworkType.CLASSIFIER:
            result.classes = found
        elif self._config.network_type == NetworkType.SEGMENTATION:
            result.masks = found
        else:
            result.detections = self._to_frame(found, result, frame_width, frame_height)

    def _to_frame(self, found: Detections, result: FrameResult, width: int, height: int) -> Detections:
        found = cluster(found, self._mode, self._config.class_attrs)
        if self._dropped.size and len(found):
            found = found.take(~np.isin(found.class_ids, self._dropped))
        if len(found) == 0:
            return found
        transform = result.transform
        whole = transform.to_frame(found.boxes)
        left, top, right, bottom = 0.0, 0.0, float(width), float(height)
        if self._config.crop_objects_to_roi_boundary:
            left, top = float(transform.roi[0]), float(transform.roi[1])
            right, bottom = left + transform.roi[2], top + transform.roi[3]
        boxes = whole.clip(np.array([left, top] * 2, np.float32), np.array([right, bottom] * 2, np.float32))
        points = None if found.keypoints is None else transform.points_to_frame(found.keypoints)
        masks = None if found.masks is None else clip_masks(found.masks, whole, boxes)
        mapped = Detections(boxes, found.scores, found.class_ids, points, masks)
        keep = within_limits(boxes, found.class_ids, height, self._config.class_attrs)
        keep &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return mapped if keep.all() else mapped.take(keep)


def clip_masks(masks: FloatArray, whole: FloatArray, clipped: FloatArray) -> FloatArray:
    """Masks of boxes that were clipped, cut to what is left and stretched over it again.

    Args:
        masks: (N, h, w), each over its box.
        whole: (N, 4) boxes before.
        clipped: (N, 4) boxes after.
    """
    changed = np.flatnonzero(np.abs(whole - clipped).max(axis=1) > 0.5)
    if changed.size == 0:
        return masks
    masks = masks.copy()
    h, w = masks.shape[1:]
    for index in changed:
        (x0, y0, x1, y1), box = clipped[index], whole[index]
        if x1 - x0 <= 0 or y1 - y0 <= 0:
            continue
        sx, sy = (x1 - x0) / (box[2] - box[0]), (y1 - y0) / (box[3] - box[1])
        # Pixel centres of the new mask in the old one.
        columns = ((np.arange(w) + 0.5) * sx + (x0 - box[0]) / (box[2] - box[0]) * w - 0.5).astype(np.float32)
        rows = ((np.arange(h) + 0.5) * sy + (y0 - box[1]) / (box[3] - box[1]) * h - 0.5).astype(np.float32)
        map_x, map_y = np.meshgrid(columns, rows)
        masks[index] = cv2.remap(masks[index], map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return masks
