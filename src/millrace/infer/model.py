"""Which files an nvinfer configuration means: the model to read and the compiled engine to keep."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ..config import InferConfig, NetworkMode
from ..errors import ConfigError, ModelError

log = logging.getLogger("millrace.infer")

MODEL_SUFFIXES = (".onnx", ".xml")
_MODE_NAMES = {NetworkMode.FP32: "fp32", NetworkMode.INT8: "int8", NetworkMode.FP16: "fp16", NetworkMode.BEST: "best"}
_UNREADABLE = {
    "tlt_encoded_model": "an encrypted TAO model",
    "model_file": "a Caffe model",
    "uff_file": "a UFF model",
}


@dataclass(frozen=True)
class ModelFiles:
    """The model, and where its compiled engine is kept."""

    model: Path
    engine: Path


def precision_name(mode: NetworkMode) -> str:
    """``fp32``, ``int8``, ``fp16`` or ``best``."""
    return _MODE_NAMES[mode]


def resolve_model(config: InferConfig, batch_size: int) -> ModelFiles:
    """Find the model that a configuration means.

    ``onnx-file`` goes first; else ``model-engine-file`` when it is itself an ``.onnx`` or ``.xml`` file, else the
    ONNX file beside it with the same stem.

    Raises:
        ConfigError: no model is named, or only one of a format that cannot be read.
        ModelError: the file named does not exist.
    """
    engine = config.model_engine_file
    model = config.onnx_file
    if model is not None:
        if not model.is_file():
            raise ModelError(_where(config, "onnx-file") + f"onnx-file: no such model: {model}")
    elif engine is not None:
        if engine.suffix.lower() in MODEL_SUFFIXES:
            if not engine.is_file():
                raise ModelError(_where(config, "model-engine-file") + f"model-engine-file: no such model: {engine}")
            model, engine = engine, None
        else:
            model = _beside(config, engine)
    else:
        for key, what in _UNREADABLE.items():
            if getattr(config, key) is not None:
                name = key.replace("_", "-")
                raise config.error(key, f"{name} is {what}, which cannot be read; export it to ONNX and set onnx-file")
        raise ConfigError("no model: set onnx-file (or model-engine-file) in [property]", config.file)
    if engine is None or engine == model:
        # The name that DeepStream gives an engine when the configuration has none.
        tail = f"_b{batch_size}_gpu{config.gpu_id}_{precision_name(config.network_mode)}.engine"
        engine = model.with_name(model.name + tail)
    return ModelFiles(model, engine)


def _where(config: InferConfig, key: str) -> str:
    file, line = config.source_of(key)
    return "" if file is None else f"{file}:{line}: " if line else f"{file}: "


def _beside(config: InferConfig, engine: Path) -> Path:
    for suffix in MODEL_SUFFIXES:
        candidate = engine.with_suffix(suffix)
        if candidate.is_file():
            log.info("onnx-file is not set: using %s, beside model-engine-file", candidate)
            return candidate
    state = "is an engine of another library or machine" if engine.is_file() else "does not exist"
    raise ModelError(
        _where(config, "model-engine-file")
        + f"model-engine-file {engine} {state}, and there is no {engine.with_suffix('.onnx').name} beside it; "
        "set onnx-file to the model it is built from"
    )
