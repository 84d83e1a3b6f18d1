"""Inference: engines, pre- and post-processing, compiled engines on disk."""

from __future__ import annotations

from .bench import BenchResult, benchmark_engine
from .context import InferContext, InferJob, engine_spec
from .engines import Engine, EngineSpec, make_engine
from .parsers.results import Classification, Detections, LayerInfo, NetworkInfo, SegmentationMap
from .preprocess import Preprocessor
from .transform import LetterboxTransform
from .types import FrameResult, InferItem, LayerTensor, TensorItem

__all__ = [
    "BenchResult",
    "Classification",
    "Detections",
    "Engine",
    "EngineSpec",
    "FrameResult",
    "InferContext",
    "InferItem",
    "InferJob",
    "LayerInfo",
    "LayerTensor",
    "LetterboxTransform",
    "NetworkInfo",
    "Preprocessor",
    "SegmentationMap",
    "TensorItem",
    "benchmark_engine",
    "engine_spec",
    "make_engine",
]
