"""The bundled default: procedural clips with exact ground truth and a tiny pose model that knows their people."""

from __future__ import annotations

from pathlib import Path

from millrace.samples.clip import demo_clips, write_clip
from millrace.samples.world import Actor, Person, World

__all__ = ["Actor", "Person", "World", "demo_clips", "pose_config", "pose_model", "write_clip"]

_POSE = Path(__file__).resolve().parent / "models" / "pose"


def pose_config(tensor_output: bool = False) -> Path:
    """The nvinfer configuration of the bundled pose model.

    tensor_output: False for network-type=3, where nvinfer itself attaches boxes and keypoints; True for
    network-type=100 with output-tensor-meta=1, for applications that decode the tensor in a probe.
    """
    return _POSE / ("config_infer_pose_tensor.txt" if tensor_output else "config_infer_pose.txt")


def pose_model() -> Path:
    """The bundled pose model: ONNX, input `images` (batch, 3, 384, 640), output `output0` (batch, 56, anchors)."""
    return _POSE / "millrace_pose.onnx"
