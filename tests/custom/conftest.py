"""Compiled parse functions and small models."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from millrace.infer.custom import include_dir

HERE = Path(__file__).resolve().parent
PYTHON = HERE / "parsers.py"


@pytest.fixture(autouse=True)
def _no_engine_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_ENGINE", raising=False)


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Path]:
    """Compiles C++ to a shared library: ``compiled(out, sources, *options)``; warnings are errors."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed (apt-get install g++)")

    def build(out: Path, sources: list[Path], *options: str) -> Path:
        # Fused multiply-add would round otherwise than NumPy.
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"-I{include_dir()}"]
        command = ["g++", *flags, "-o", str(out), *map(str, sources), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return out

    return build


@pytest.fixture(scope="session")
def library(compiled: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library") / "libparsers.so", [HERE / "parsers.cpp"])


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model whose outputs are given arrays, each plus the mean of the picture."""

    def make(outputs: dict[str, np.ndarray], size: int = 64) -> Path:
        nodes, weights, targets = [], [], []
        for name, array in outputs.items():
            nodes.append(helper.make_node("ReduceMean", ["images"], [f"{name}_mean"], keepdims=1, axes=[1, 2, 3]))
            nodes.append(helper.make_node("Reshape", [f"{name}_mean", f"{name}_shape"], [f"{name}_flat"]))
            nodes.append(helper.make_node("Add", [f"{name}_flat", f"{name}_base"], [name]))
            shape = np.array([-1] + [1] * array.ndim, np.int64)
            weights.append(numpy_helper.from_array(shape, f"{name}_shape"))
            weights.append(numpy_helper.from_array(array.astype(np.float32)[None], f"{name}_base"))
            targets.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *array.shape]))
        source = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, size, size])
        graph = helper.make_graph(nodes, "test", [source], targets, weights)
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
        return path

    return make
