"""Which files an nvinfer configuration means: the model to read and the compiled engine to keep."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ..config import InferConfig, NetworkMode
from ..errors import ConfigError, ModelError
from . import cache

log = logging.getLogger("millrace.infer")

MODEL_SUFFIXES = (".onnx", ".xml")
_MODE_NAMES = {NetworkMode.FP32: "fp32", NetworkMode.INT8: "int8", NetworkMode.FP16: "fp16", NetworkMode.BEST: "best"}
_OTHER_KEYS = ("tlt_encoded_model", "model_file", "proto_file", "uff_file")
_EXPORT = {
    ".etlt": ("an encrypted TAO model", "export it to ONNX with the TAO version that trained it (tao ... export)"),
    ".tlt": ("an encrypted TAO model", "export it to ONNX with the TAO version that trained it (tao ... export)"),
    ".caffemodel": ("a Caffe model", "convert it to ONNX, for example with caffe2onnx"),
    ".prototxt": ("a Caffe network without weights", "convert it to ONNX, for example with caffe2onnx"),
    ".uff": ("a UFF model", "export the TensorFlow model to ONNX with tf2onnx"),
    ".pb": ("a TensorFlow model", "export it to ONNX with tf2onnx"),
    ".pt": ("a PyTorch model", "export it to ONNX with: millrace export {name}"),
    ".pth": ("a PyTorch model", "export it to ONNX with: millrace export {name}"),
    ".wts": ("a file of weights for TensorRT", "export the model that it was made from to ONNX"),
}
_KEY_SUFFIX = {
    "tlt_encoded_model": ".etlt", "model_file": ".caffemodel", "proto_file": ".prototxt", "uff_file": ".uff",
}  # fmt: skip
# <model>_b<batch>_gpu<id>_<precision>.engine, as DeepStream names engines; with DLA it is _dla<core>.
_ENGINE_NAME = re.compile(r"(?P<model>.+)_b\d+_(?:gpu|dla)\d+_[a-z0-9]+\.(?:engine|plan|trt)\Z")


@dataclass(frozen=True)
class ModelFiles:
    """The model, and where its compiled engine is kept; the model may be gone where that engine exists."""

    model: Path
    engine: Path


def unreadable(path: Path, key: str = "") -> str | None:
    """Why a model of another framework cannot be read and what to do instead; None for a format that can be.

    Args:
        path: the model.
        key: that names it, where its meaning says more than the file's ending.
    """
    suffix = path.suffix.lower()
    if suffix in MODEL_SUFFIXES:
        return None
    what, mend = _EXPORT.get(suffix) or _EXPORT.get(_KEY_SUFFIX.get(key, ""), ("", ""))
    if not what:
        return None
    beside = path.with_suffix(".onnx")
    if beside.is_file():
        mend = f"there is {beside.name} beside it"
    return f"{path.name} is {what}, which cannot be read: {mend.format(name=path.name)}"


def precision_name(mode: NetworkMode) -> str:
    """``fp32``, ``int8``, ``fp16`` or ``best``."""
    return _MODE_NAMES[mode]


def resolve_model(config: InferConfig, batch_size: int) -> ModelFiles:
    """Find the model that a configuration means.

    ``onnx-file`` goes first; else ``model-engine-file`` when it is itself an ``.onnx`` or ``.xml`` file, else the
    ONNX file beside it with the same stem or the name in front of ``_b<n>_gpu<n>_<mode>.engine``. Where the model is
    gone and ``model-engine-file`` is an engine of ours, that engine is used.

    Raises:
        ConfigError: no model is named, or only one of a format that cannot be read.
        ModelError: the file named does not exist.
    """
    engine = config.model_engine_file
    model = config.onnx_file
    others = [key for key in _OTHER_KEYS if getattr(config, key) is not None]
    if model is not None:
        why = unreadable(model)
        if why:
            raise config.error("onnx-file", f"onnx-file: {why}, and set onnx-file to it")
        if not model.is_file() and not (engine is not None and cache.is_ours(engine)):
            raise ModelError(_where(config, "onnx-file") + f"onnx-file: no such model: {model}")
        if others:
            log.info("%s is left out because onnx-file is set", others[0].replace("_", "-"))
    elif engine is not None and engine.suffix.lower() in MODEL_SUFFIXES:
        if not engine.is_file():
            raise ModelError(_where(config, "model-engine-file") + f"model-engine-file: no such model: {engine}")
        model, engine = engine, None
    elif engine is not None and (found := _beside(engine)) is not None:
        model = found
    elif engine is not None and not others:
        raise ModelError(_where(config, "model-engine-file") + _no_model(engine))
    elif others:
        key = others[0]
        name = key.replace("_", "-")
        why = unreadable(getattr(config, key), key) or f"{getattr(config, key).name} cannot be read: export it to ONNX"
        raise config.error(key, f"{name}: {why}, and set onnx-file to it")
    else:
        raise ConfigError("no model: set onnx-file (or model-engine-file) in [property]", config.file)
    if engine is None or engine == model:
        # The name that DeepStream gives an engine when the configuration has none; one for tensors is another here.
        kind = precision_name(config.network_mode) + ("raw" if config.input_tensor_from_meta else "")
        tail = f"_b{batch_size}_gpu{max(0, config.gpu_id)}_{kind}.engine"
        engine = model.with_name(model.name + tail)
    return ModelFiles(model, engine)


def _where(config: InferConfig, key: str) -> str:
    file, line = config.source_of(key)
    return "" if file is None else f"{file}:{line}: " if line else f"{file}: "


def model_place(config: InferConfig) -> str:
    """Where a configuration names its model, as the beginning of a message; empty when it was not read from a file."""
    key = "onnx-file" if config.onnx_file is not None else "model-engine-file"
    place = _where(config, key)
    return place + f"{key}: " if place else ""


def _beside(engine: Path) -> Path | None:
    """The model of an engine, by its name; for an engine of ours the one it was built from, gone or not."""
    match = _ENGINE_NAME.match(engine.name)
    names = [engine.with_suffix(suffix) for suffix in MODEL_SUFFIXES]
    if match:
        base = engine.with_name(match["model"])
        # DeepStream puts the model's whole name in front; TAO's guide has abc.etlt_b1_gpu0_fp16.engine for abc.onnx.
        names += [base] if base.suffix.lower() in MODEL_SUFFIXES else []
        names += [base.with_suffix(suffix) for suffix in MODEL_SUFFIXES]
    for candidate in names:
        if candidate.is_file():
            log.info("onnx-file is not set: using %s, beside model-engine-file", candidate)
            return candidate
    return names[-2] if cache.is_ours(engine) else None


def _no_model(engine: Path) -> str:
    state = "is an engine of another library or machine" if engine.is_file() else "does not exist"
    return (
        f"model-engine-file {engine} {state}, and there is no {engine.with_suffix('.onnx').name} beside it; "
        "set onnx-file to the model it is built from"
    )
