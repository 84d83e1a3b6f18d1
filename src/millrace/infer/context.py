"""One network at work: pictures in, results out, asynchronously."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from ..config import ColorFormat, InferConfig, InputOrder, NetworkType
from ..errors import ConfigError, MediaError, ModelError
from .engines import Engine, EngineSpec, Run, SpecError, make_engine
from .labels import class_count, read_labels
from .model import model_place, precision_name, resolve_model
from .parsers.results import LayerInfo, NetworkInfo
from .postprocess import PostProcessor
from .preprocess import Preprocessor
from .rawfiles import RawWriter
from .transform import LetterboxTransform
from .types import FrameResult, InferItem, LayerTensor, TensorItem

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
        self._post = context._post  # the filters that were set when it began
        self._results: list[FrameResult] | None = None
        self._lock = threading.Lock()

    def result(self) -> list[FrameResult]:
        """Wait for the results, one for each item in order; the same list at every call.

        Raises:
            ModelError: the engine failed.
        """
        with self._lock:
            if self._results is None:
                self._results = [r for part in self._parts for r in self._context._results_of(part, self._post)]
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
        self.engine_file: Path = files.engine
        lines = read_labels(config)
        classes = class_count(config, lines)
        with located(config):
            spec = engine_spec(config, files.model, self.batch_size)
            self._engine: Engine = make_engine(spec, files.engine if cache else None, engine)
        info = self._engine.network_info
        self._check_blob_names()
        self._raw = RawWriter(config.gie_unique_id) if config.raw_output_file_write else None
        self._pre = None if spec.raw else Preprocessor(config, info.width, info.height, info.channels)
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
        """The network's inputs, one unless it takes ready tensors; shapes without the batch dimension."""
        return self._engine.input_layers

    @property
    def output_layers(self) -> list[LayerInfo]:
        """Outputs in the model's order, as in DeepStream; shapes without the batch dimension, -1 where open."""
        return self._engine.output_layers

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
            ConfigError: more items than ``batch_size``, or the network takes ready tensors.
            MediaError: a region lies outside its picture.
            ModelError: the engine failed or is closed.
        """
        if self._pre is None:
            raise ConfigError("input-tensor-from-meta=1: the network takes ready tensors, not pictures")
        if len(items) > self.batch_size:
            raise ConfigError(f"{len(items)} pictures for batch-size={self.batch_size}")
        size = self._engine.batch_size
        return InferJob(self, [self._start(items[at : at + size]) for at in range(0, len(items), size)])

    def check_tensors(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Make sure that ready tensors fit the network's inputs.

        Args:
            tensors: (rows, ...) for each input, by its name.

        Raises:
            MediaError: a name, shape or type is another, or an input has no tensor; the message says which and what
                the network takes.
        """
        layers = {layer.name: layer for layer in self.input_layers}
        takes = ", ".join(f"'{x.name}' {_shown(x.shape)} {x.dtype}" for x in layers.values())
        for name, array in tensors.items():
            layer = layers.get(name)
            if layer is None:
                raise MediaError(f"there is a tensor '{name}', but the network's input is {takes}")
            if array.shape[1:] != layer.shape:
                raise MediaError(
                    f"tensor '{name}' has the shape {'x'.join(map(str, array.shape))}, but the network takes "
                    f"{_shown(layer.shape)}"
                )
            if array.dtype.name != layer.dtype:
                raise MediaError(
                    f"tensor '{name}' is {array.dtype.name}, but the network takes {layer.dtype}; convert it with "
                    f'.astype("{layer.dtype}")'
                )
        missing = [name for name in layers if name not in tensors]
        if missing:
            raise MediaError(f"no tensor came for the input '{missing[0]}'; the network takes {takes}")

    def submit_tensors(self, items: list[TensorItem]) -> InferJob:
        """Start on some rows of ready tensors: they are copied now and inferred on in the background.

        Waits only while all requests are busy.

        Args:
            items: up to ``batch_size`` rows, of shapes and types that :meth:`check_tensors` takes.

        Raises:
            ConfigError: more items than ``batch_size``, or the network takes pictures.
            ModelError: the engine failed or is closed.
        """
        if self._pre is not None:
            raise ConfigError("the network takes pictures; ready tensors need input-tensor-from-meta=1")
        if len(items) > self.batch_size:
            raise ConfigError(f"{len(items)} rows for batch-size={self.batch_size}")
        size = self._engine.batch_size
        return InferJob(self, [self._start_tensors(items[at : at + size]) for at in range(0, len(items), size)])

    def _start_tensors(self, items: list[TensorItem]) -> _Part:
        slot = self._engine.acquire()
        try:
            for index, item in enumerate(items):
                for array, row in zip(slot.arrays, item.rows, strict=True):
                    array[index] = row
        except Exception:
            self._engine.release(slot)
            raise
        sizes = [(item.width, item.height) for item in items]
        return _Part(self._engine.start(slot, len(items)), [item.transform for item in items], sizes)

    def _start(self, items: list[InferItem]) -> _Part:
        assert self._pre is not None
        slot = self._engine.acquire()
        try:
            transforms = [self._pre(item.surface, item.roi, slot.buffer, i) for i, item in enumerate(items)]
        except Exception:
            self._engine.release(slot)
            raise
        sizes = [(item.surface.width, item.surface.height) for item in items]
        return _Part(self._engine.start(slot, len(items)), transforms, sizes)

    def _results_of(self, part: _Part, post: PostProcessor) -> list[FrameResult]:
        outputs = part.run.wait()
        names = [layer.name for layer in self._engine.output_layers]
        if self._raw is not None:
            self._raw(names, outputs, len(part.transforms))
        results = []
        for index, transform in enumerate(part.transforms):
            tensors = [LayerTensor(name, output[index]) for name, output in zip(names, outputs, strict=True)]
            result = FrameResult(tensors, transform)
            post(result, *part.sizes[index])
            results.append(result)
        return results

    def _check_blob_names(self) -> None:
        names = [layer.name for layer in self._engine.output_layers]
        missing = [name for name in self.config.output_blob_names if name not in names]
        if missing:
            log.warning("output-blob-names: the model has no %s; it has %s", ", ".join(missing), ", ".join(names))

    def reconfigure(self, config: InferConfig) -> None:
        """Other filters, instance number and raw files from the next :meth:`submit`; the network stays as it is."""
        if not config.raw_output_file_write:
            self._raw = None
        elif self._raw is None or config.gie_unique_id != self.config.gie_unique_id:
            self._raw = RawWriter(config.gie_unique_id)
        self.config = config
        self._post = self._post.with_config(config)

    def close(self) -> None:
        """Wait for what runs and free the engine; results already given stay valid."""
        self._engine.close()


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, ("N", *shape)))


@contextmanager
def located(config: InferConfig) -> Iterator[None]:
    """Errors of an engine's specification and model get the file and line of the key that they are about.

    Raises:
        ConfigError: in place of :class:`SpecError`.
        ModelError: the model cannot be read, or does not fit.
    """
    try:
        yield
    except SpecError as error:
        key = next((key for key in error.keys if key in config.model_fields_set), error.keys[0])
        raise config.error(key, str(error)) from None
    except ModelError as error:
        raise ModelError(model_place(config) + str(error)) from error


def engine_spec(config: InferConfig, model: Path, batch_size: int) -> EngineSpec:
    """What an engine for a configuration must be like.

    Raises:
        SpecError: ``offsets`` has another number of values than the network has channels.
    """
    dims = config.infer_dims
    spec = EngineSpec(
        model=model,
        batch_size=batch_size,
        precision=precision_name(config.network_mode),
        layout="NHWC" if config.network_input_order == InputOrder.NHWC else "NCHW",
        dims=None if dims is None else (dims[0], dims[1], dims[2]),
        calibration=config.int8_calib_file,
        raw=config.input_tensor_from_meta,
    )
    if spec.raw:
        return spec
    return replace(
        spec,
        channels=1 if config.model_color_format == ColorFormat.GRAY else 3,
        scale=config.net_scale_factor,
        means=tuple(config.offsets),
        mean_file=config.mean_file,
        bgr=config.model_color_format == ColorFormat.BGR,
    )
