"""OpenVINO on the processor."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from .. import cache
from ..calibration import hash_calibration
from ..modelfile import model_problem
from ..parsers.results import LayerInfo, NetworkInfo
from ..quantize import VERSION, active_calibration, apply_calibration, load_onnx, warn_float
from .base import Array, Engine, Slot
from .buffers import BufferPool
from .spec import TENSORS, EngineSpec, check_input, check_tensors, picture_size

log = logging.getLogger("millrace.infer")

# Lines of OpenVINO's exceptions that say where it noticed, not what.
_HEADINGS = ("Exception from", "Check '", "While validating", "FrontEnd API failed", "Loading input model")
_core: Any = None


def core() -> Any:
    """The process's ``openvino.Core``; plug-ins load once."""
    global _core
    if _core is None:
        import openvino

        _core = openvino.Core()
    return _core


class OpenVinoEngine(Engine):
    """A network compiled by OpenVINO for the CPU.

    Args:
        spec: what to build.
        engine_file: where the compiled network is kept, or None.

    Raises:
        ModelError: the model cannot be read, or does not fit the specification.
    """

    def __init__(self, spec: EngineSpec, engine_file: Path | None = None) -> None:
        super().__init__()
        import openvino

        started = time.perf_counter()
        self._ov = openvino
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        self._compiled = self._load(spec, engine_file)
        self._describe(spec)
        wanted = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        # One more than run, so that the next picture is ready when a request ends.
        self._add_slots([_OpenVinoSlot(self, spec.raw) for _ in range(wanted + 1)])
        origin = f"loaded from {engine_file}" if self.from_cache else f"compiled from {spec.model}"
        log.info(
            "%s, %s, batch %d, %d requests: %s in %.0f ms",
            self.name, self.precision, self.batch_size, self.slots, origin, (time.perf_counter() - started) * 1e3,
        )  # fmt: skip

    # Building --------------------------------------------------------------------------------------------------

    def _load(self, spec: EngineSpec, engine_file: Path | None) -> Any:
        config = self._settings(spec)
        fingerprint = None
        if engine_file is not None:
            fingerprint = self._fingerprint(spec, config)
            compiled = self._import(spec, engine_file, fingerprint, config)
            if compiled is not None:
                return compiled
        model = self._read(spec)
        try:
            compiled = core().compile_model(model, "CPU", config)
        except RuntimeError as error:
            raise ModelError(f"{spec.model}: OpenVINO cannot compile it: {first_line(error)}") from error
        if engine_file is not None and fingerprint is not None:
            stream = io.BytesIO()
            compiled.export_model(stream)
            notes = {"names": self._names, "precision": self.precision, "spec": spec.to_notes()}
            cache.store(engine_file, fingerprint, stream.getvalue(), notes)
        return compiled

    def _import(self, spec: EngineSpec, engine_file: Path, own: cache.Fingerprint, config: dict[str, Any]) -> Any:
        """The compiled network in a file, or None where it has to be built.

        Raises:
            ModelError: there is no model to build it from.
        """
        batch = max(spec.batch_size, cache.batch_of(engine_file))
        # One that takes more serves as well, as in DeepStream.
        wanted = replace(own, settings=self._asked(replace(spec, batch_size=batch), config))
        found = cache.load(engine_file, wanted)
        if found is not None:
            blob, notes = found
            try:
                compiled = core().import_model(io.BytesIO(blob), "CPU", config)
                self._names = [str(name) for name in notes["names"]]
                self.precision = str(notes.get("precision", self.precision))
                self.from_cache = True
            except (RuntimeError, KeyError) as error:
                log.warning("rebuilding engine %s: %s", engine_file, first_line(error))
            else:
                if not own.model:
                    log.warning("engine %s is used without its model %s, which is gone", engine_file, spec.model)
                if batch > spec.batch_size:
                    text = "engine %s was built for batch-size=%d, which serves batch-size=%d too"
                    log.info(text, engine_file, batch, spec.batch_size)
                return compiled
        if not own.model and engine_file.is_file():
            fault = "does not fit this configuration and machine" if cache.is_whole(engine_file) else "is damaged"
            raise ModelError(
                f"engine {engine_file} {fault}, and its model {spec.model}, from which to build it again, is gone"
            )
        return None

    def _asked(self, spec: EngineSpec, config: dict[str, Any]) -> str:
        """Everything that was asked for, as text."""
        asked: tuple[Any, ...] = (
            spec.precision,
            spec.batch_size,
            spec.layout,
            spec.dims,
            spec.channels,
            spec.scale,
            spec.means,
            spec.bgr,
        )
        if spec.raw:
            asked += ("raw",)
        mean = "" if spec.mean_file is None else hashlib.sha256(spec.mean_bytes()).hexdigest()
        return f"{asked!r} {mean} {sorted(config.items())}"

    def _fingerprint(self, spec: EngineSpec, config: dict[str, Any]) -> cache.Fingerprint:
        calibration = active_calibration(spec)
        return cache.Fingerprint(
            cache.hash_model(spec.model) if spec.model.is_file() else "",
            self._asked(spec, config),
            f"OpenVINO {self._ov.__version__}",
            cache.processor(),
            f"{hash_calibration(calibration)} {VERSION}" if calibration else "",
        )

    def _settings(self, spec: EngineSpec) -> dict[str, Any]:
        """Properties of the compiled network; also says which precision it gets."""
        able = set(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        precision, self.precision = "f32", "FP32"
        if spec.precision in ("fp16", "best"):
            for name, hint in (("FP16", "f16"), ("BF16", "bf16")):
                if name in able:
                    precision, self.precision = hint, name
                    break
            if spec.precision == "fp16" and self.precision != "FP16":
                log.info("network-mode=2 (FP16): this processor has no FP16, computing in %s", self.precision)
        elif spec.precision == "int8":
            self.precision = "INT8 where the model is quantised, FP32 elsewhere"
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": precision,
        }
        if spec.streams:
            config["NUM_STREAMS"] = spec.streams
        if spec.threads:
            config["INFERENCE_NUM_THREADS"] = spec.threads
        return config

    def _read(self, spec: EngineSpec) -> Any:
        """The model with the batch set; with pre-processing in front, so that it takes uint8 NHWC, unless it is raw."""
        ov = self._ov
        if not spec.model.is_file():
            raise ModelError(f"no such model: {spec.model}")
        problem = model_problem(spec.model)
        if problem:
            raise ModelError(f"{spec.model}: {problem}")
        source: str | bytes = str(spec.model)
        if active_calibration(spec) is not None:
            proto, words = apply_calibration(spec, load_onnx(spec.model))
            if words != "FP32":
                self.precision = words.replace("FP32", self.precision) if spec.precision == "best" else words
            source = proto.SerializeToString()
        try:
            model = core().read_model(source)
        except RuntimeError as error:
            raise ModelError(f"{spec.model}: OpenVINO cannot read it: {first_line(error)}") from error
        if len(model.inputs) != 1 and not spec.raw:
            names = ", ".join(_name(port) for port in model.inputs)
            raise ModelError(
                f"{spec.model}: {len(model.inputs)} inputs ({names}); one picture input is possible ({TENSORS})"
            )
        if spec.raw:
            layers, batch = check_tensors(spec, [(_name(port), _dims(port), _dtype(port)) for port in model.inputs])
            info = picture_size(layers, spec.layout)
            sizes = {port: list(layer.shape) for port, layer in zip(model.inputs, layers, strict=True)}
        else:
            info, batch = check_input(spec, _name(model.input(0)), _dims(model.input(0)))
            nchw = [info.channels, info.height, info.width]
            sizes = {model.input(0): nchw if spec.layout == "NCHW" else [*nchw[1:], nchw[0]]}
        quantised = any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())
        if spec.precision == "int8" and not quantised:
            self.precision = "FP32"
            if active_calibration(spec) is None:
                warn_float(spec)
        # A compiled network adds names of its own, so the model's are kept: the input's, then the outputs'.
        self._names = [_name(port) for port in (*model.inputs, *model.outputs)]
        try:
            count: Any = batch if batch > 0 else 1
            if batch < 0 and spec.batch_size > 1 and self._keeps_batch(model, sizes):
                # Open up to the batch size: a batch that is not full costs no more than its pictures.
                count = ov.Dimension(1, spec.batch_size)
            model.reshape({port: ov.PartialShape([count, *size]) for port, size in sizes.items()})
        except RuntimeError as error:
            shown = ", ".join(map(str, sizes.values()))
            raise ModelError(f"{spec.model}: cannot take an input of {shown}: {first_line(error)}") from error
        return self._with_preprocessing(model, spec, info)

    def _keeps_batch(self, model: Any, sizes: dict[Any, list[int]]) -> bool:
        """Whether every output begins with the batch dimension: tried with a batch of two."""
        model.reshape({port: self._ov.PartialShape([2, *size]) for port, size in sizes.items()})
        shapes = [output.get_partial_shape() for output in model.outputs]
        return all(s.rank.is_static and s.rank.get_length() > 0 and s[0].is_static and s[0] == 2 for s in shapes)

    def _with_preprocessing(self, model: Any, spec: EngineSpec, info: NetworkInfo) -> Any:
        ov = self._ov
        from openvino import opset8
        from openvino.preprocess import PrePostProcessor
        from openvino.utils.decorators import custom_preprocess_function

        processor = PrePostProcessor(model)
        for index, output in enumerate(model.outputs):
            if output.get_element_type() in (ov.Type.f16, ov.Type.bf16, ov.Type.f64):
                processor.output(index).tensor().set_element_type(ov.Type.f32)
        if spec.raw:
            return processor.build()
        picture = processor.input(0)
        picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        picture.model().set_layout(ov.Layout(spec.layout))
        steps = picture.preprocess()
        steps.convert_element_type(ov.Type.f32)
        image = spec.mean_image(info)
        mean = np.array(spec.means or (0.0,), np.float32) if image is None else image[None]

        @custom_preprocess_function
        def normalise(node: Any) -> Any:
            centred = opset8.subtract(node, opset8.constant(mean)) if mean.any() else node
            return opset8.multiply(centred, opset8.constant(np.float32(spec.scale)))

        steps.custom(normalise)
        return processor.build()

    def _describe(self, spec: EngineSpec) -> None:
        inputs = self._compiled.inputs
        shape = inputs[0].get_partial_shape()
        limit = int(shape[0].get_max_length())
        self.batch_size = min(limit, spec.batch_size) if shape[0].is_dynamic else limit
        if spec.raw:
            named = zip(self._names, inputs, strict=False)  # the outputs' names follow
            self.input_layers = [LayerInfo(name, tuple(_dims(port)[1:]), _dtype(port)) for name, port in named]
            self.network_info = picture_size(self.input_layers, spec.layout)
        else:
            h, w, c = (int(d.get_length()) for d in list(shape)[1:])
            self.network_info = NetworkInfo(w, h, c)
            self.input_layers = [LayerInfo(self._names[0], (c, h, w))]
        self.output_layers, self._outputs = [], []
        self._any_count = shape[0].is_dynamic
        for name, output in zip(self._names[len(inputs) :], self._compiled.outputs, strict=True):
            dims = [int(d.get_length()) if d.is_static else -1 for d in output.get_partial_shape()]
            dtype = output.get_element_type().to_dtype()
            batched = bool(dims) and (self._any_count or self.batch_size == 1 or dims[0] == self.batch_size)
            if batched and not self._any_count and dims[0] != self.batch_size:
                batched = False
            rest = tuple(dims[1:] if batched else dims)
            fixed = batched and -1 not in rest
            pool = BufferPool((self.batch_size, *rest), dtype) if fixed else None
            self._outputs.append((batched, pool))
            self.output_layers.append(LayerInfo(name, rest, np.dtype(dtype).name))
        if self.batch_size > 1 and not all(batched for batched, _ in self._outputs):
            names = ", ".join(f"{x.name} {x.shape}" for x in self.output_layers)
            raise ModelError(f"the model has a fixed batch of {self.batch_size} but outputs without it: {names}")

    def close(self) -> None:
        super().close()
        self._compiled = None


class _OpenVinoSlot(Slot):
    def __init__(self, engine: OpenVinoEngine, raw: bool) -> None:
        super().__init__(engine.new_inputs(raw))
        self._ov = engine._ov
        self._outputs = engine._outputs
        self._any_count = engine._any_count
        self._request = engine._compiled.create_infer_request()
        self._inputs: dict[int, list[Any]] = {}
        self._taken: list[Array | None] = []
        self._count = 0

    def start(self, count: int) -> None:
        self._count = count
        run = count if self._any_count else self.arrays[0].shape[0]
        tensors = self._inputs.get(run)
        if tensors is None:
            tensors = self._inputs[run] = [self._ov.Tensor(array[:run], shared_memory=True) for array in self.arrays]
        for index, tensor in enumerate(tensors):
            self._request.set_input_tensor(index, tensor)
        self._taken = []
        for index, (_, pool) in enumerate(self._outputs):
            # The network writes into memory of our own, so that results need no copy.
            array = None if pool is None else pool.take()[:run]
            self._taken.append(array)
            if array is not None:
                self._request.set_output_tensor(index, self._ov.Tensor(array, shared_memory=True))
        self._request.start_async()

    def finish(self) -> list[Array]:
        self._request.wait()
        results: list[Array] = []
        for index, (batched, _) in enumerate(self._outputs):
            array = self._taken[index]
            if array is None:
                array = np.array(self._request.get_output_tensor(index).data)
                if not batched:
                    array = array[None]
            results.append(array[: self._count])
        self._taken = []
        return results


def _name(port: Any) -> str:
    """The tensor's name, or its node's where it has none."""
    return str(port.get_any_name() if port.get_names() else port.get_node().get_friendly_name())


def _dims(port: Any) -> list[int]:
    """All dimensions, -1 where dynamic."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        raise ModelError(f"input {_name(port)} has no known number of dimensions; export the model with its size")
    return [int(d.get_length()) if d.is_static else -1 for d in shape]


def _dtype(port: Any) -> str:
    return str(np.dtype(port.get_element_type().to_dtype()).name)


def first_line(error: Exception) -> str:
    """The line of an OpenVINO exception that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_HEADINGS)]
    return (telling or lines or [type(error).__name__])[0][:300]
