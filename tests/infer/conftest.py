"""Small ONNX graphs whose outputs show what went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"


@pytest.fixture(autouse=True)
def _no_engine_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_ENGINE", raising=False)


@pytest.fixture(scope="session")
def assets() -> Path:
    if not (ASSETS / "models").is_dir():
        pytest.skip("the folder of test models (../shared/assets) is not here")
    return ASSETS


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``output = input * factor`` with any input shape; ``split`` adds an output without batch."""

    def make(
        shape: tuple[int | str, ...] = ("n", 3, 8, 12),
        factor: float = 1.0,
        name: str = "model.onnx",
        outputs: tuple[str, ...] = ("out",),
        unbatched: bool = False,
    ) -> Path:
        nodes = [helper.make_node("Mul", ["images", "factor"], [out]) for out in outputs]
        infos = [helper.make_tensor_value_info(out, TensorProto.FLOAT, shape) for out in outputs]
        weights = [numpy_helper.from_array(np.array(factor, np.float32), "factor")]
        if unbatched:
            nodes.append(helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0, axes=[0, 2, 3]))
            infos.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, [3]))
        source = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "test", [source], infos, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        path = tmp_path / name
        onnx.save(model, str(path))
        return path

    return make


@pytest.fixture
def make_detector(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model that always answers with the given YOLOv8 rows: (4 + classes, anchors), centre form."""

    def make(rows: np.ndarray, size: int = 64, name: str = "detector.onnx") -> Path:
        base = numpy_helper.from_array(rows.astype(np.float32)[None], "rows")
        zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
        nodes = [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=1, axes=[1, 2, 3]),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Squeeze", ["nothing", "axis"], ["flat"]),
            helper.make_node("Add", ["flat", "rows"], ["output0"]),
        ]
        axis = numpy_helper.from_array(np.array([3], np.int64), "axis")
        source = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, size, size])
        target = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", *rows.shape])
        graph = helper.make_graph(nodes, "detector", [source], [target], [base, zero, axis])
        path = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
        return path

    return make
