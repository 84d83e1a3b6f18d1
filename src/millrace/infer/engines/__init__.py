"""Engines: what computes a network. OpenVINO first, ONNX Runtime where OpenVINO cannot."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ...errors import ConfigError, ModelError
from .base import Engine, Run, Slot
from .spec import EngineSpec, SpecError

log = logging.getLogger("millrace.infer")

ENGINES = ("openvino", "onnxruntime")

__all__ = ["ENGINES", "Engine", "EngineSpec", "Run", "Slot", "SpecError", "make_engine"]


def make_engine(spec: EngineSpec, engine_file: Path | None = None, kind: str | None = None) -> Engine:
    """Compile a model, or load its compiled engine.

    Args:
        spec: what to build.
        engine_file: where the compiled engine is kept, or None for nowhere.
        kind: ``openvino`` or ``onnxruntime``; None takes ``MILLRACE_ENGINE`` from the environment, else OpenVINO
            and, where that cannot read the model, ONNX Runtime.

    Raises:
        ModelError: no engine can run the model.
        ConfigError: ``kind`` is none of the engines.
    """
    kind = kind or os.environ.get("MILLRACE_ENGINE") or None
    if kind is not None and kind not in ENGINES:
        raise ConfigError(f"unknown engine {kind}; engines are {' and '.join(ENGINES)}")
    spec.mean_bytes()  # read again later: what is wrong with it is told before anything is built
    from .openvino import OpenVinoEngine

    if kind == "openvino":
        return OpenVinoEngine(spec, engine_file)
    from .onnxruntime import OnnxRuntimeEngine

    if kind == "onnxruntime":
        return OnnxRuntimeEngine(spec)
    try:
        return OpenVinoEngine(spec, engine_file)
    except ModelError as error:
        if "OpenVINO cannot" not in str(error) or spec.model.suffix.lower() != ".onnx":
            raise
        try:
            engine = OnnxRuntimeEngine(spec)
        except ModelError:
            raise error from None
        log.warning("%s; using ONNX Runtime", error)
        return engine
