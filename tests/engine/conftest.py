"""A small network with weights, and pictures for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SIZE = 32


@pytest.fixture(autouse=True)
def _no_engine_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_ENGINE", raising=False)


@pytest.fixture
def make_net(tmp_path: Path) -> Callable[..., Path]:
    """Writes Conv, Relu, Conv, Add with a shortcut, mean, Gemm: 3x32x32 to 5 numbers; the batch is open."""

    def make(name: str = "net.onnx", seed: int = 0, opset: int = 13) -> Path:
        random = np.random.default_rng(seed)
        shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,), "w3": (5, 8), "b3": (5,)}
        weights = [
            numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), key)
            for key, shape in shapes.items()
        ]
        nodes = [
            helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c1"], ["r1"]),
            helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second", pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["c2", "r1"], ["sum"]),
            helper.make_node("GlobalAveragePool", ["sum"], ["pool"]),
            helper.make_node("Flatten", ["pool"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w3", "b3"], ["scores"], "third", transB=1),
        ]
        source = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])
        target = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 5])
        graph = helper.make_graph(nodes, "net", [source], [target], weights)
        path = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
        return path

    return make


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Sixteen smooth random pictures, 32x32 RGB."""
    import cv2

    random = np.random.default_rng(7)
    small = random.integers(0, 256, (16, 4, 4, 3), np.uint8)
    return [cv2.resize(p, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for p in small]


@pytest.fixture
def frames_folder(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    import cv2

    folder = tmp_path / "frames"
    folder.mkdir()
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{k:02}.png"), picture[:, :, ::-1])
    return folder
