"""The model of ``millrace pose`` as an nvinfer configuration file."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from millrace.errors import ModelError
from millrace.paths import cache_dir, map_path

CONFIDENCE = 0.25
NMS_IOU = 0.45
_DEFAULT_SIZE = 640

log = logging.getLogger("millrace.app")


def _network_size(model: Path) -> tuple[int, int]:
    """Width and height of the model's input; 640 where the model leaves them open."""
    import onnx

    try:
        graph = onnx.load(str(model), load_external_data=False).graph
        weights = {weight.name for weight in graph.initializer}
        inputs = [item for item in graph.input if item.name not in weights]
        sides = [side.dim_value for side in inputs[0].type.tensor_type.shape.dim]
    except Exception as error:  # protobuf and onnx raise what they like
        raise ModelError(f"{model} is not an ONNX model ({type(error).__name__})") from None
    if len(sides) != 4:
        raise ModelError(
            f"{model} takes an input of {len(sides)} dimensions; a pose model takes (batch, 3, height, width)"
        )
    return sides[3] or _DEFAULT_SIZE, sides[2] or _DEFAULT_SIZE


def find_model(named: str | None) -> Path:
    """The file of ``--model``, or the bundled pose model.

    Raises:
        ModelError: there is no such file.
    """
    if named is None:
        from millrace.samples import pose_model

        path = pose_model()
        hint = "the bundled model is missing; name one with --model"
    else:
        path = Path(map_path(named)).expanduser()
        hint = "name an ONNX file or an nvinfer configuration file"
    if not path.is_file():
        raise ModelError(f"no such model: {path}; {hint}")
    return path.resolve()


def infer_config(
    model: Path, folder: Path, batch_size: int, confidence: float = CONFIDENCE, nms_iou: float = NMS_IOU
) -> Path:
    """An nvinfer configuration file for ``model``: the file itself, or one written into ``folder`` for an ONNX model.

    Args:
        model: ONNX model of YOLOv8's or YOLOv7's pose layout, or an nvinfer configuration file.
        folder: where to write.
        batch_size: number of streams.
        confidence: least confidence of a person.
        nms_iou: overlap above which the weaker of two boxes is dropped.

    Raises:
        ModelError: the file is not a usable ONNX model.
    """
    if model.suffix.lower() in (".txt", ".ini", ".cfg", ".conf", ".yml", ".yaml"):
        return model
    if model.suffix.lower() != ".onnx":
        raise ModelError(f"{model}: name an ONNX model (.onnx) or an nvinfer configuration file (.txt, .yml)")
    width, height = _network_size(model)
    labels = folder / "labels.txt"
    labels.write_text("person\n")
    digest = hashlib.sha256(str(model).encode()).hexdigest()[:12]
    engines = cache_dir() / "engines"
    try:
        engines.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("cannot make the folder %s: compiled engines are not kept (%s)", engines, error.strerror)
        engines = folder
    config = folder / "pose.txt"
    config.write_text(
        f"""[property]
onnx-file={model}
model-engine-file={engines / f"{model.stem}-{digest}_b{batch_size}_cpu_fp32.engine"}
labelfile-path={labels}
batch-size={batch_size}
infer-dims=3;{height};{width}
network-mode=0
network-type=3
process-mode=1
gie-unique-id=1
num-detected-classes=1
net-scale-factor=0.00392156862745098
model-color-format=0
maintain-aspect-ratio=1
symmetric-padding=1
cluster-mode=2
parse-bbox-instance-mask-func-name=NvDsInferParseYoloPose
output-instance-mask=1

[class-attrs-all]
pre-cluster-threshold={confidence}
nms-iou-threshold={nms_iou}
topk=300
"""
    )
    return config
