"""Parsers of raw network outputs: pose, detectors, masks, classifiers, class maps, and clustering."""

from __future__ import annotations

from .boxes import iou_matrix, nms, nms_detections
from .clustering import (
    ClusterParams,
    cluster,
    crop_to_offsets,
    group_rectangles,
    pre_cluster_thresholds,
    within_limits,
)
from .parser import Kind, Parser
from .pose import (
    COCO_KEYPOINT_COLOURS,
    COCO_KEYPOINTS,
    COCO_SKELETON,
    COCO_SKELETON_COLOURS,
    decode_pose,
    decode_yolov7_pose,
    decode_yolov8_pose,
    keypoints_of,
    skeleton_lines,
)
from .pose_display import add_pose_display_meta
from .registry import KNOWN_FUNCTIONS, get_parser, layouts
from .results import (
    Classification,
    ClassifierAttribute,
    Detections,
    LayerInfo,
    NetworkInfo,
    SegmentationMap,
)

__all__ = [
    "COCO_KEYPOINTS",
    "COCO_KEYPOINT_COLOURS",
    "COCO_SKELETON",
    "COCO_SKELETON_COLOURS",
    "KNOWN_FUNCTIONS",
    "Classification",
    "ClassifierAttribute",
    "ClusterParams",
    "Detections",
    "Kind",
    "LayerInfo",
    "NetworkInfo",
    "Parser",
    "SegmentationMap",
    "add_pose_display_meta",
    "cluster",
    "crop_to_offsets",
    "decode_pose",
    "decode_yolov7_pose",
    "decode_yolov8_pose",
    "get_parser",
    "group_rectangles",
    "iou_matrix",
    "keypoints_of",
    "layouts",
    "nms",
    "nms_detections",
    "pre_cluster_thresholds",
    "skeleton_lines",
    "within_limits",
]
