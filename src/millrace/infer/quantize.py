"""INT8 by a calibration cache: QuantizeLinear and DequantizeLinear put around a model's convolutions and products."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .calibration import read_calibration
from .modelfile import model_problem

if TYPE_CHECKING:
    from .engines import EngineSpec

log = logging.getLogger("millrace.infer")

VERSION = 1
"""Changes when the same cache gives another graph; part of an engine's fingerprint."""

OPERATORS = ("Conv", "Gemm", "MatMul")
_CARRIERS = ("Add", "Concat", "MaxPool", "Resize", "Slice", "Split")
_LEAST_SILU = -0.2785
_OPSET = 13  # the first with a scale for each channel


@dataclass(frozen=True)
class Coverage:
    """How much of a model became INT8.

    Attributes:
        quantised: convolutions and products in INT8.
        total: those with constant weights, which could be.
        missing: tensors that the cache does not name and that feed the others.
    """

    quantised: int
    total: int
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        rest = ""
        if self.missing:
            names = ", ".join(self.missing[:3]) + (", …" if len(self.missing) > 3 else "")
            rest = f"; float where the cache does not name the input: {names}"
        return f"{self.quantised} of {self.total} convolutions and products in INT8{rest}"


def load_onnx(path: Path) -> Any:
    """An ``onnx.ModelProto`` with its weights.

    Raises:
        ModelError: it is missing or not ONNX.
    """
    import onnx

    if not path.is_file():
        raise ModelError(f"no such model: {path}")
    try:
        model = onnx.load(str(path))
        if model.HasField("graph"):
            return model
        raise ValueError
    except Exception as error:  # protobuf's DecodeError and others
        raise ModelError(f"{path}: {model_problem(path) or f'not an ONNX model ({type(error).__name__})'}") from error


def is_quantised(model: Any) -> bool:
    """Whether an ``onnx.ModelProto`` already computes in INT8 somewhere."""
    return any(node.op_type in ("QuantizeLinear", "QLinearConv", "ConvInteger") for node in model.graph.node)


@dataclass(frozen=True)
class Target:
    """A node that can be quantised.

    Attributes:
        node: the ``NodeProto``.
        weight: its constant weights.
        axis: of the weights' output channels.
    """

    node: Any
    weight: npt.NDArray[np.float32]
    axis: int


def targets(model: Any) -> list[Target]:
    """The convolutions and products of a model that have constant float weights, in the graph's order.

    Depthwise convolutions and those that average over a softmax are left out: they are small, and INT8 costs them much.
    """
    constants = _Constants(model)
    found = []
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            continue
        weight = constants.get(node.input[1])
        if weight is None or constants.get(node.input[0]) is not None or weight.dtype != np.float32:
            continue
        if constants.maker(node.input[0], through=("Reshape", "Transpose")) == "Softmax":
            continue
        if (
            node.op_type == "Conv"
            and weight.shape[1] == 1
            and any(a.name == "group" and a.i > 1 for a in node.attribute)
        ):
            continue
        axis = 0
        if node.op_type != "Conv":
            if weight.ndim != 2:
                continue
            axis = 0 if node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute) else 1
        found.append(Target(node, weight, axis))
    return found


def quantise(model: Any, scales: Mapping[str, float], least_input: float | None = None) -> tuple[Any, Coverage]:
    """A copy of a model in which the tensors that a cache names are INT8 where they feed convolutions and products.

    Activations are uint8 with the cache's range to both sides of zero (as int8 they come out wrong of OpenVINO on some
    processors), or only down to the least value that their activation function can have, which leaves finer steps;
    weights are int8 with a step for each output channel.

    Args:
        model: ``onnx.ModelProto`` in float.
        scales: tensor name to the size of one INT8 step.
        least_input: least value of the model's input, where known.

    Raises:
        ModelError: the model is of an old opset and cannot be converted.
    """
    from onnx import helper, numpy_helper

    model = _at_opset(model)
    graph = model.graph
    everything = targets(model)
    chosen = [target for target in everything if target.node.input[0] in scales]
    missing = tuple(dict.fromkeys(t.node.input[0] for t in everything if t.node.input[0] not in scales))
    coverage = Coverage(len(chosen), len(everything), missing)
    if not chosen:
        return model, coverage
    steps = {name: scales[name] for name in dict.fromkeys(target.node.input[0] for target in chosen)}
    constants = _Constants(model)
    least = {name: constants.least(name, least_input) for name in steps}
    tensors: list[Any] = []
    before: dict[str, list[Any]] = {}
    weights: dict[tuple[str, int], str] = {}
    for target in chosen:
        node = target.node
        key = (node.input[1], target.axis)
        if key not in weights:
            base = f"{key[0]}.axis{target.axis}"
            name = weights[key] = f"{base}.dequantised"
            values, sizes = quantise_weights(target.weight, target.axis)
            parts = {"int8": values, "steps": sizes, "zeros": np.zeros(len(sizes), np.int8)}
            tensors += [numpy_helper.from_array(value, f"{base}.{part}") for part, value in parts.items()]
            inputs = [f"{base}.{part}" for part in parts]
            extra = helper.make_node("DequantizeLinear", inputs, [name], name, axis=target.axis)
            before.setdefault(node.output[0], []).append(extra)
        node.input[1] = weights[key]
    taking = {target.node.output[0] for target in chosen}
    for node in graph.node:
        # What only moves or adds values takes the INT8 ones too, as otherwise both kinds would be computed.
        if node.output[0] in taking or node.op_type in _CARRIERS:
            for k, name in enumerate(node.input):
                if name in steps and (k == 0 or node.op_type in ("Add", "Concat")):
                    node.input[k] = f"{name}.dequantised"
    nodes: list[Any] = []
    for value in graph.input:
        nodes += _pair(value.name, steps, least, tensors)
    for node in graph.node:
        nodes += [*before.get(node.output[0], ()), node]
        for name in node.output:
            nodes += _pair(name, steps, least, tensors)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    _drop_unused(graph)
    return model, coverage


def _pair(name: str, steps: Mapping[str, float], least: Mapping[str, float | None], tensors: list[Any]) -> list[Any]:
    """The two nodes that make INT8 of a tensor and float again; what they need goes into ``tensors``."""
    from onnx import helper, numpy_helper

    if name not in steps:
        return []
    step, zero, middle, result = (f"{name}.{part}" for part in ("step", "zero", "int8", "dequantised"))
    size, offset, high, low = steps[name], 128, 127 * steps[name], least[name]
    if low is not None and -low < high:
        size = (high - low) / 255
        offset = round(-low / size)
    tensors.append(numpy_helper.from_array(np.array(size, np.float32), step))
    tensors.append(numpy_helper.from_array(np.array(offset, np.uint8), zero))
    return [
        helper.make_node("QuantizeLinear", [name, step, zero], [middle], middle),
        helper.make_node("DequantizeLinear", [middle, step, zero], [result], result),
    ]


def quantise_weights(
    weight: npt.NDArray[np.float32], axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """INT8 values of the same shape and the step (n,) of each of the n output channels; symmetric, -127 to 127."""
    others = tuple(k for k in range(weight.ndim) if k != axis)
    steps = (np.abs(weight).max(axis=others) / 127.0).astype(np.float32)
    steps[steps < 1e-12] = 1.0
    shape = [1] * weight.ndim
    shape[axis] = -1
    values = np.clip(np.rint(weight / steps.reshape(shape)), -127, 127).astype(np.int8)
    return values, steps


class _Constants:
    """Values known without a picture: initialisers, Constant nodes, and casts of those."""

    def __init__(self, model: Any) -> None:
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._made_by = {name: node for node in model.graph.node for name in node.output}
        inputs = [value.name for value in model.graph.input if value.name not in self._tensors]
        self._input = inputs[0] if len(inputs) == 1 else ""
        self._least: dict[str, float | None] = {}

    def get(self, name: str) -> npt.NDArray[Any] | None:
        from onnx import numpy_helper

        tensor = self._tensors.get(name)
        if tensor is not None:
            return np.asarray(numpy_helper.to_array(tensor))
        node = self._made_by.get(name)
        if node is None:
            return None
        if node.op_type == "Constant" and len(node.output) == 1:
            values = [a.t for a in node.attribute if a.name == "value"]
            return np.asarray(numpy_helper.to_array(values[0])) if values else None
        if node.op_type in ("Cast", "Identity"):
            value = self.get(node.input[0])
            return value if value is None or node.op_type == "Identity" else value.astype(np.float32)
        return None

    def maker(self, name: str, through: tuple[str, ...]) -> str:
        """Operator that makes a tensor, looking through those that only move values; empty for an input."""
        node = self._made_by.get(name)
        while node is not None and node.op_type in through:
            node = self._made_by.get(node.input[0])
        return "" if node is None else str(node.op_type)

    def least(self, name: str, of_input: float | None) -> float | None:
        """A bound below which no value of a tensor lies, from the operators that make it; None when there is none."""
        if name not in self._least:
            self._least[name] = self._least_of(name, of_input)
        return self._least[name]

    def _least_of(self, name: str, of_input: float | None) -> float | None:
        node = self._made_by.get(name)
        if node is None:
            return of_input if name == self._input else None
        kind = node.op_type
        if kind in ("Relu", "Sigmoid", "Softmax"):
            return 0.0
        if kind == "HardSwish":
            return -0.375
        if kind == "Mul":  # x * sigmoid(x), that is SiLU
            gates = [self._made_by.get(item) for item in node.input]
            if any(g is not None and g.op_type == "Sigmoid" and g.input[0] in node.input for g in gates):
                return _LEAST_SILU
            return None
        if kind in ("MaxPool", "AveragePool", "GlobalAveragePool", "Reshape", "Flatten", "Transpose", "Slice", "Split"):
            return self.least(node.input[0], of_input)
        if kind in ("Concat", "Add"):
            bounds = [self.least(item, of_input) for item in node.input]
            known = [bound for bound in bounds if bound is not None]
            if len(known) < len(bounds):
                return None
            return sum(known) if kind == "Add" else min(known)
        if kind == "Resize":
            modes = [a.s for a in node.attribute if a.name == "mode"]
            return None if b"cubic" in modes else self.least(node.input[0], of_input)
        return None


def _at_opset(model: Any) -> Any:
    """A copy of the model at opset 13 or later."""
    import onnx
    from onnx import version_converter

    version = max((x.version for x in model.opset_import if x.domain in ("", "ai.onnx")), default=1)
    if version >= _OPSET:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter raises RuntimeError and others
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        message = f"INT8 needs ONNX opset {_OPSET}; this model has {version} and cannot be converted: {first}"
        raise ModelError(f"{message}; export it again with opset {_OPSET} or later") from error


def _drop_unused(graph: Any) -> None:
    """Remove float weights (and casts that made them) which nothing reads any more."""
    while True:
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        idle_nodes = [n for n in graph.node if n.op_type in ("Cast", "Constant") and not used & set(n.output)]
        idle = [tensor for tensor in graph.initializer if tensor.name not in used]
        # Subgraphs read outer names that are not listed here.
        if any(a.HasField("g") for n in graph.node for a in n.attribute) or not (idle or idle_nodes):
            return
        for node in idle_nodes:
            graph.node.remove(node)
        for tensor in idle:
            graph.initializer.remove(tensor)


def active_calibration(spec: EngineSpec) -> Path | None:
    """The calibration cache that an engine of this specification depends on, where there is one to read."""
    path = spec.calibration
    wanted = spec.precision in ("int8", "best") and spec.model.suffix.lower() != ".xml"
    return path if wanted and path is not None and path.is_file() else None


def apply_calibration(spec: EngineSpec, model: Any) -> tuple[Any, str]:
    """The model in INT8 as far as ``int8-calib-file`` goes, and the precision in words; says so in one line.

    Args:
        spec: with the precision that was asked for and the calibration cache.
        model: ``onnx.ModelProto``.

    Raises:
        ConfigError: the cache is not a calibration cache.
        ModelError: the model is of an old opset and cannot be converted.
    """
    if spec.precision not in ("int8", "best"):
        return model, "FP32"
    if is_quantised(model):
        return model, "INT8 where the model is quantised, FP32 elsewhere"
    path = active_calibration(spec)
    if path is None:
        if spec.precision == "int8":
            warn_float(spec)
        return model, "FP32"
    table = read_calibration(path)
    positive = not any(spec.means) and spec.mean_file is None and not spec.raw
    result, coverage = quantise(model, table.scales, 0.0 if positive else None)
    if not coverage.quantised:
        log.warning(
            "int8-calib-file %s names no tensor that feeds a convolution or product of %s: it was made for another "
            "model; computing in FP32",
            path, spec.model.name,
        )  # fmt: skip
        return model, "FP32"
    level = logging.INFO if coverage.quantised == coverage.total else logging.WARNING
    log.log(level, "int8-calib-file %s: %s", path, coverage)
    return result, f"INT8 ({coverage.quantised} of {coverage.total} convolutions and products), FP32 elsewhere"


def warn_float(spec: EngineSpec) -> None:
    """Say that INT8 was asked for and why it is not to be had."""
    why = "int8-calib-file is not set"
    if spec.calibration is not None:
        why = f"there is no int8-calib-file {spec.calibration}"
        if spec.calibration.is_file():
            why = "int8-calib-file needs the ONNX model"
    log.warning("network-mode=1 (INT8): %s is not quantised, computing in FP32: %s", spec.model.name, why)
