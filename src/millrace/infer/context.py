"""One network at work: pictures in, results out, asynchronously."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import NamedTuple

from ..config import ColorFormat, InferConfig, InputOrder, NetworkType
from ..errors import ConfigError
from .engines import Engine, EngineSpec, Run, make_engine
from .labels import class_count, read_labels
from .model import precision_name, resolve_model
from .parsers.results import LayerInfo, NetworkInfo
from .postprocess import PostProcessor
from .preprocess import Preprocessor
from .transform import LetterboxTransform
from .types import FrameResult, InferItem, LayerTensor

log = logging.getLogger("millrace.infer")


class _Part(NamedTuple):
    """Pictures that went into one request."""

    run: Run
    transforms: list[LetterboxTransform]
    sizes: list[tuple[int, int]]


class InferJob:
    """Inference under way for the items of one :meth:`InferContext.submit`."""

    def __init__(self, context: InferContext, parts: list[_Part]) -> None:
        self._context, self._parts = context, parts
        self._results: list[FrameResult] | None = None
        self._lock = threading.Lock()

    def result(self) -> list[FrameResult]:
        """Wait for the results, one for each item in order; the same list at every call.

        Raises:
            ModelError: the engine failed.
        """
        with self._lock:
            if self._results is None:
                self._results = [r for part in self._parts for r in self._context._results_of(part)]
                self._parts = []
            return self._results


class InferContext:
    """A network with its pre- and post-processing.

    Args:
        config: the nvinfer configuration.
        batch_size: most items of one submit; default the configuration's.
        engine: ``openvino`` or ``onnxruntime``; default what fits.
        cache: keep the compiled engine under ``model-engine-file``.

    Raises:
        ConfigError: a key is missing or does not fit.
        ModelError: the model is missing, unreadable or does not fit the configuration.
    """

    def __init__(
        self, config: InferConfig, *, batch_size: int | None = None, engine: str | None = None, cache: bool = True
    ) -> None:
        self.config = config
        self.batch_size = batch_size or config.batch_size
        files = resolve_model(config, self.batch_size)
        lines = read_labels(config)
        classes = class_count(config, lines)
        if config.input_tensor_from_meta:
            raise config.error(
                "input-tensor-from-meta", "input-tensor-from-meta=1 needs a preprocess element, which is not available"
            )
        spec = engine_spec(config, files.model, self.batch_size)
        self._engine: Engine = make_engine(spec, files.engine if cache else None, engine)
        info = self._engine.network_info
        self._order = self._output_order()
        self._pre = Preprocessor(config, info.width, info.height, info.channels)
        self._label_lines = lines
        try:
            self._post = PostProcessor(config, self.output_layers, info, lines, classes)
        except Exception:
            self._engine.close()
            raise

    @property
    def network_info(self) -> NetworkInfo:
        """Width, height and channels of the network's input."""
        return self._engine.network_info

    @property
    def input_layers(self) -> list[LayerInfo]:
        """The network's input; shape without the batch dimension."""
        return self._engine.input_layers

    @property
    def output_layers(self) -> list[LayerInfo]:
        """Outputs, those in ``output-blob-names`` first; shapes without the batch dimension, -1 where open."""
        return [self._engine.output_layers[index] for index in self._order]

    @property
    def labels(self) -> list[str]:
        """Label of each class of a detector; all labels of a classifier's first task."""
        if self.config.network_type == NetworkType.CLASSIFIER and len(self._label_lines) == 1:
            return list(self._label_lines[0])
        return [line[0] for line in self._label_lines]

    @property
    def label_lines(self) -> list[list[str]]:
        """The label file: a list for each line, split at ``;``."""
        return self._label_lines

    @property
    def engine(self) -> Engine:
        """The engine that computes."""
        return self._engine

    def submit(self, items: list[InferItem]) -> InferJob:
        """Start on some pictures: they are read and scaled now, in this thread, and inferred on in the background.

        Waits only while all requests are busy.

        Args:
            items: up to ``batch_size`` pictures.

        Raises:
            ConfigError: more items than ``batch_size``.
            MediaError: a region lies outside its picture.
            ModelError: the engine failed or is closed.
        """
        if len(items) > self.batch_size:
            raise ConfigError(f"{len(items)} pictures for batch-size={self.batch_size}")
        size = self._engine.batch_size
        return InferJob(self, [self._start(items[at : at + size]) for at in range(0, len(items), size)])

    def _start(self, items: list[InferItem]) -> _Part:
        slot = self._engine.acquire()
        try:
            transforms = [self._pre(item.surface, item.roi, slot.buffer, i) for i, item in enumerate(items)]
        except Exception:
            self._engine.release(slot)
            raise
        sizes = [(item.surface.width, item.surface.height) for item in items]
        return _Part(self._engine.start(slot, len(items)), transforms, sizes)

    def _results_of(self, part: _Part) -> list[FrameResult]:
        outputs = part.run.wait()
        names = [layer.name for layer in self._engine.output_layers]
        results = []
        for index, transform in enumerate(part.transforms):
            tensors = [LayerTensor(names[k], outputs[k][index]) for k in self._order]
            result = FrameResult(tensors, transform)
            self._post(result, *part.sizes[index])
            results.append(result)
        return results

    def _output_order(self) -> list[int]:
        names = [layer.name for layer in self._engine.output_layers]
        wanted = [name for name in self.config.output_blob_names if name in names]
        missing = [name for name in self.config.output_blob_names if name not in names]
        if missing:
            log.warning("output-blob-names: the model has no %s; it has %s", ", ".join(missing), ", ".join(names))
        return [names.index(name) for name in dict.fromkeys([*wanted, *names])]

    def close(self) -> None:
        """Wait for what runs and free the engine; results already given stay valid."""
        self._engine.close()


def engine_spec(config: InferConfig, model: Path, batch_size: int) -> EngineSpec:
    """What an engine for a configuration must be like.

    Raises:
        ModelError: ``offsets`` has another number of values than the network has channels.
    """
    dims = config.infer_dims
    return EngineSpec(
        model=model,
        batch_size=batch_size,
        precision=precision_name(config.network_mode),
        layout="NHWC" if config.network_input_order == InputOrder.NHWC else "NCHW",
        dims=None if dims is None else (dims[0], dims[1], dims[2]),
        channels=1 if config.model_color_format == ColorFormat.GRAY else 3,
        scale=config.net_scale_factor,
        means=tuple(config.offsets),
        mean_file=config.mean_file,
        bgr=config.model_color_format == ColorFormat.BGR,
        calibration=config.int8_calib_file,
    )
