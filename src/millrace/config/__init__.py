"""Configuration files: the typed model of Gst-nvinfer's keys, read from INI or YAML."""

from __future__ import annotations

from .infer import InferConfig, load_infer_config, parse_infer_config
from .infer_keys import (
    ClassAttrs,
    ClusterMode,
    ColorFormat,
    InputOrder,
    NetworkMode,
    NetworkType,
    ProcessMode,
    ScalingFilter,
)

__all__ = [
    "ClassAttrs",
    "ClusterMode",
    "ColorFormat",
    "InferConfig",
    "InputOrder",
    "NetworkMode",
    "NetworkType",
    "ProcessMode",
    "ScalingFilter",
    "load_infer_config",
    "parse_infer_config",
]
