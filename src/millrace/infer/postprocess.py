"""Raw outputs to results in the surface's pixels."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from ..config import ClusterMode, InferConfig, InputOrder, NetworkType
from ..errors import ConfigError, ModelError
from .custom import custom_function
from .labels import match_tasks
from .parsers import (
    KNOWN_FUNCTIONS,
    Detections,
    Parser,
    cluster,
    crop_to_offsets,
    get_parser,
    pre_cluster_thresholds,
    within_limits,
)
from .parsers.parser import Kind
from .parsers.registry import PARSE_KEYS, DetectionKind
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
        if config.network_type == NetworkType.OTHER:
            return
        kind = _KINDS[config.network_type]
        try:
            self._parser = self._choose(kind, layers, info, labels, num_classes)
        except ModelError as error:
            others = self._keys_of_other_kinds(kind)
            file, line = config.source_of(others[0] if others else "network-type")
            place = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
            mend = "".join(f"; {_misplaced(key, kind, config)}" for key in others)
            raise ModelError(f"{place}{error}{mend}") from None
        except ConfigError as error:
            raise error if error.file else config.error(PARSE_KEYS[kind], str(error)) from None
        if kind in ("detector", "instance"):
            self._thresholds = pre_cluster_thresholds(config.class_attrs, num_classes)
            # Instance segmentation is not grouped: in DeepStream it is an error to ask for it.
            if "cluster_mode" not in config.model_fields_set and (self._parser.clustered or kind == "instance"):
                self._mode = int(ClusterMode.NONE)
            if self._mode == ClusterMode.GROUP_RECTANGLES:
                self._say_what_stands_in(num_classes)
        else:
            threshold = config.classifier_threshold if kind == "classifier" else config.segmentation_threshold
            self._thresholds = np.array([threshold], np.float32)
        self._say_what_was_chosen(kind, self._parser)

    def _choose(
        self, kind: Kind, layers: list[LayerInfo], info: NetworkInfo, labels: list[list[str]], num_classes: int
    ) -> Parser[Any]:
        config = self._config
        classes = num_classes or (_map_classes(config, layers, labels) if kind == "segmentation" else 0)
        function = custom_function(config, kind, layers, info, classes, labels)
        if kind == "classifier":
            tasks: list[list[str]] = []
            if not callable(function):  # what the labels of a custom function stand for is its own affair
                layers, tasks = match_tasks(config, layers, labels)
            return get_parser(function, "classifier", layers, info, labels=tasks)
        if kind == "segmentation":
            order = config.segmentation_output_order
            is_last = order == InputOrder.NHWC if "segmentation_output_order" in config.model_fields_set else None
            return get_parser(function, "segmentation", layers, info, num_classes, channels_last=is_last)
        return _detector(function, kind, layers, info, num_classes, config.output_blob_names)

    def _say_what_was_chosen(self, kind: Kind, parser: Parser[Any]) -> None:
        config = self._config
        name = getattr(config, PARSE_KEYS[kind].replace("-", "_"))
        if name is not None and config.custom_lib_path is None and name not in KNOWN_FUNCTIONS:
            text = "%s=%s is no built-in parser and custom-lib-path is not set: outputs are read as %s"
            log.warning(text, PARSE_KEYS[kind], name, parser.describe())
        else:
            log.info("outputs are read as %s", parser.describe())
        for key in self._keys_of_other_kinds(kind):
            file, line = config.source_of(key)
            log.warning("%s%s", f"{file}:{line}: " if file and line else "", _misplaced(key, kind, config))

    def _keys_of_other_kinds(self, kind: Kind) -> list[str]:
        """Keys that are set and name the parse function of another kind of network."""
        config = self._config
        return [key for other, key in PARSE_KEYS.items() if other != kind and getattr(config, key.replace("-", "_"))]

    def _say_what_stands_in(self, num_classes: int) -> None:
        ungrouped = sum(self._config.class_attrs(c).group_threshold <= 0 for c in range(num_classes))
        if ungrouped:
            log.warning(
                "cluster-mode=0 without a group-threshold (%d of %d classes): boxes are suppressed by NMS at IoU 0.5, "
                "at most 20 a class, as DeepStream without OpenCV does; set cluster-mode=2 or 4, or group-threshold",
                ungrouped,
                num_classes,
            )

    def with_config(self, config: InferConfig) -> PostProcessor:
        """The same parser and thresholds with the filters of another configuration."""
        other = copy.copy(self)
        other._config = config
        other._dropped = np.array(sorted(set(config.filter_out_class_ids)), np.int64)
        return other

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
        config, transform = self._config, result.transform
        whole = transform.to_frame(found.boxes)
        left, top, right, bottom = 0.0, 0.0, float(width), float(height)
        if config.input_tensor_from_meta and config.clip_object_outside_roi:
            left, top = float(transform.roi[0]), float(transform.roi[1])
            right, bottom = left + transform.roi[2], top + transform.roi[3]
        boxes = whole.clip(np.array([left, top] * 2, np.float32), np.array([right, bottom] * 2, np.float32))
        crops = config.crop_objects_to_roi_boundary
        keep = within_limits(boxes, found.class_ids, height, config.class_attrs, offsets=not crops)
        if crops:
            boxes = crop_to_offsets(boxes, found.class_ids, height, config.class_attrs)
        keep &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        points = None if found.keypoints is None else transform.points_to_frame(found.keypoints)
        masks = None if found.masks is None else clip_masks(found.masks, whole, boxes)
        mapped = Detections(boxes, found.scores, found.class_ids, points, masks)
        return mapped if keep.all() else mapped.take(keep)


def _misplaced(key: str, kind: Kind, config: InferConfig) -> str:
    """That a parse function is named by the wrong key, and the mend."""
    number = next(int(n) for n, other in _KINDS.items() if PARSE_KEYS[other] == key)
    return (
        f"{key} has no effect with network-type={int(config.network_type)} ({kind}): "
        f"set {PARSE_KEYS[kind]} instead, or network-type={number}"
    )


def _map_classes(config: InferConfig, layers: list[LayerInfo], labels: list[list[str]]) -> int:
    """How many classes a segmentation has where ``num-detected-classes`` does not say it; 0 when nothing does."""
    shape = layers[0].shape if len(layers) == 1 else ()
    if len(shape) == 3:
        channels = shape[2] if config.segmentation_output_order == InputOrder.NHWC else shape[0]
        if channels > 1:
            return channels
    if not labels and config.custom_lib_path is not None:
        log.warning(
            "num-detected-classes is not set and neither the outputs nor labels tell it: "
            "parse-segmentation-func-name gets 0 classes; set num-detected-classes"
        )
    return len(labels)


def _detector(
    function: str | Callable[..., Any] | None,
    kind: DetectionKind,
    layers: list[LayerInfo],
    info: NetworkInfo,
    num_classes: int,
    names: list[str],
) -> Parser[Detections]:
    """The parser of all outputs or, where none reads them together, of those in ``output-blob-names``."""
    try:
        return get_parser(function, kind, layers, info, num_classes)
    except ModelError:
        named = [layer for layer in layers if layer.name in names]
        if not named or len(named) == len(layers):
            raise
        try:
            return get_parser(function, kind, named, info, num_classes)
        except ModelError:
            pass
        raise


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
