"""ONNX Runtime on the processor."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ...errors import ModelError
from ..parsers.results import LayerInfo, NetworkInfo
from ..quantize import apply_calibration, load_onnx
from .base import Array, Engine, Slot
from .spec import TENSORS, EngineSpec, check_input, check_tensors, picture_size

log = logging.getLogger("millrace.infer")

_TYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(bool)": "bool",
    "tensor(uint32)": "uint32", "tensor(uint64)": "uint64",
}  # fmt: skip


class OnnxRuntimeEngine(Engine):
    """A network run by ONNX Runtime's CPU provider.

    Args:
        spec: what to build.

    Raises:
        ModelError: the model cannot be read, or does not fit the specification.
    """

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__()
        import onnxruntime

        started = time.perf_counter()
        if not spec.model.is_file():
            raise ModelError(f"no such model: {spec.model}")
        if spec.model.suffix.lower() != ".onnx":
            raise ModelError(f"{spec.model}: ONNX Runtime reads .onnx files only")
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        proto, self.precision = apply_calibration(spec, load_onnx(spec.model))
        if spec.precision == "fp16":
            log.info("network-mode=2 (FP16): ONNX Runtime computes in the model's own precision on this processor")
        cores = len(os.sched_getaffinity(0))
        workers = spec.streams or max(1, cores // 2)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = max(1, (spec.threads or cores) // workers)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if spec.raw:
            model = proto.SerializeToString()
        else:
            model, self.network_info, batch, self.input_layers = with_preprocessing(spec, proto)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise ModelError(f"{spec.model}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        sources = self._session.get_inputs()
        self._inputs = [source.name for source in sources]
        if spec.raw:
            inputs = [(x.name, [d if isinstance(d, int) else -1 for d in x.shape], _element_type(x)) for x in sources]
            self.input_layers, batch = check_tensors(spec, inputs)
            self.network_info = picture_size(self.input_layers, spec.layout)
        outputs = self._session.get_outputs()
        follows = all(o.shape and not isinstance(o.shape[0], int) for o in outputs)
        self._any_count = batch < 0 and follows
        self.batch_size = batch if batch > 0 else (spec.batch_size if follows else 1)
        self.output_layers, self._batched = [], []
        for output in outputs:
            dims = [d if isinstance(d, int) else -1 for d in output.shape]
            batched = self._any_count or (bool(dims) and dims[0] in (self.batch_size, -1))
            self._batched.append(batched)
            dtype = _TYPES.get(output.type, "float32")
            dtype = "float32" if dtype in ("float16", "float64") else dtype
            self.output_layers.append(LayerInfo(output.name, tuple(dims[1:] if batched else dims), dtype))
        if self.batch_size > 1 and not all(self._batched):
            raise ModelError(f"{spec.model} has a fixed batch of {self.batch_size} but outputs without it")
        self._workers = ThreadPoolExecutor(workers, "millrace-onnxruntime")
        self._add_slots([_OnnxRuntimeSlot(self, spec.raw) for _ in range(workers + 1)])
        log.info(
            "%s, %s, batch %d, %d requests: loaded %s in %.0f ms",
            self.name, self.precision, self.batch_size, self.slots, spec.model, (time.perf_counter() - started) * 1e3,
        )  # fmt: skip

    def close(self) -> None:
        super().close()
        self._workers.shutdown()


class _OnnxRuntimeSlot(Slot):
    def __init__(self, engine: OnnxRuntimeEngine, raw: bool) -> None:
        super().__init__(engine.new_inputs(raw))
        self._session, self._inputs, self._workers = engine._session, engine._inputs, engine._workers
        self._batched, self._any_count = engine._batched, engine._any_count
        self._future: Future[list[Any]] | None = None
        self._count = 0

    def start(self, count: int) -> None:
        self._count = count
        arrays = [array[:count] if self._any_count else array for array in self.arrays]
        feed = dict(zip(self._inputs, arrays, strict=True))
        self._future = self._workers.submit(self._session.run, None, feed)

    def finish(self) -> list[Array]:
        assert self._future is not None
        outputs = self._future.result()
        self._future = None
        results = []
        for array, batched in zip(outputs, self._batched, strict=True):
            if array.dtype in (np.float16, np.float64):
                array = array.astype(np.float32)
            results.append(array[: self._count] if batched else array[None])
        return results


def _element_type(source: Any) -> str:
    name = _TYPES.get(source.type)
    if name is None:
        raise ModelError(f"input {source.name} is a {source.type}, which cannot come as a ready tensor")
    return name


def with_preprocessing(spec: EngineSpec, proto: Any = None) -> tuple[bytes, NetworkInfo, int, list[LayerInfo]]:
    """The model with nodes in front that take uint8 NHWC pictures: serialised model, size, batch, input.

    Args:
        spec: says what the pre-processing is.
        proto: the ``onnx.ModelProto`` to put them in front of, which changes; default the file of ``spec``.
    """
    from onnx import TensorProto, helper, numpy_helper

    model = load_onnx(spec.model) if proto is None else proto
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        listed = ", ".join(value.name for value in inputs)
        raise ModelError(f"{spec.model}: {len(inputs)} inputs ({listed}); one picture input is possible ({TENSORS})")
    source = inputs[0]
    shape = [d.dim_value if d.HasField("dim_value") else -1 for d in source.type.tensor_type.shape.dim]
    info, batch = check_input(spec, source.name, [d if d > 0 else -1 for d in shape])
    image = spec.mean_image(info)
    mean = image[None] if image is not None else np.array(spec.means or (0.0,), np.float32)
    constants = {"mean": mean, "scale": np.array(spec.scale, np.float32)}
    graph.initializer.extend(numpy_helper.from_array(v, f"millrace.{k}") for k, v in constants.items())
    kind = source.type.tensor_type.elem_type
    names = [f"millrace.{part}" for part in ("picture", "float", "centred", "scaled", "typed")]
    nodes = [
        helper.make_node("Cast", [names[0]], [names[1]], to=TensorProto.FLOAT),
        helper.make_node("Sub", [names[1], "millrace.mean"], [names[2]]),
        helper.make_node("Mul", [names[2], "millrace.scale"], [names[3]]),
        helper.make_node("Cast", [names[3]], [names[4]], to=kind),
        helper.make_node("Transpose", [names[4]], [source.name], perm=[0, 3, 1, 2])
        if spec.layout == "NCHW"
        else helper.make_node("Identity", [names[4]], [source.name]),
    ]
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *body])
    dims: list[int | str] = [batch if batch > 0 else "batch", info.height, info.width, info.channels]
    picture = helper.make_tensor_value_info(names[0], TensorProto.UINT8, dims)
    graph.input.remove(source)
    graph.input.insert(0, picture)
    layer = LayerInfo(source.name, (info.channels, info.height, info.width))
    return model.SerializeToString(), info, batch, [layer]
