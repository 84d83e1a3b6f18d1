"""The bundled default: procedural clips with exact ground truth, and small models that know their world."""

from __future__ import annotations

from pathlib import Path

from millrace.samples.clip import demo_clips, read_street_truth, write_clip, write_street_clip
from millrace.samples.install import install_samples
from millrace.samples.street import Street, Thing
from millrace.samples.world import Actor, Person, World

__all__ = [
    "Actor",
    "Person",
    "Street",
    "Thing",
    "World",
    "demo_clips",
    "install_samples",
    "pose_config",
    "pose_model",
    "read_street_truth",
    "sample_config",
    "write_clip",
    "write_street_clip",
]

_HERE = Path(__file__).resolve().parent
_POSE = _HERE / "models" / "pose"


def pose_config(tensor_output: bool = False) -> Path:
    """The nvinfer configuration of the bundled pose model.

    tensor_output: False for network-type=3, where nvinfer itself attaches boxes and keypoints; True for
    network-type=100 with output-tensor-meta=1, for applications that decode the tensor in a probe.
    """
    return _POSE / ("config_infer_pose_tensor.txt" if tensor_output else "config_infer_pose.txt")


def pose_model() -> Path:
    """The bundled pose model: ONNX, input `images` (batch, 3, 384, 640), output `output0` (batch, 56, anchors)."""
    return _POSE / "millrace_pose.onnx"


def sample_config(name: str = "primary") -> Path:
    """The nvinfer configuration of a bundled street model.

    name: "primary" (detector: Vehicle, Bicycle, Person, RoadSign), "secondary_vehicleattributes" (colour and type,
    multi-task), "secondary_vehiclemake" or "secondary_vehicletypes".
    """
    return _HERE / "configs" / "deepstream-app" / f"config_infer_{name}.txt"
