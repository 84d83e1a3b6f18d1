"""Networks that take ready tensors: the same results as from pictures, any shape and type, and what does not fit."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, MediaError, ModelError
from millrace.infer import InferContext, InferItem, LetterboxTransform, TensorItem
from millrace.samples import Street, sample_config
from millrace.surface import HostSurface

ENGINES = ["openvino", "onnxruntime"]
WHOLE = LetterboxTransform(1.0, 1.0, 0, 0, (0, 0, 12, 8))
DETECTOR = Path(sample_config()).parents[2] / "models/Primary_Detector/resnet18_trafficcamnet_pruned.onnx"


def context(
    model: Path, engine: str | None = None, batch: int = 4, extra: str = "", cache: bool = False
) -> InferContext:
    text = f"[property]\nonnx-file={model}\nnetwork-type=100\ninput-tensor-from-meta=1\n{extra}"
    return InferContext(parse_infer_config(text, "t.txt"), batch_size=batch, engine=engine, cache=cache)


def run(c: InferContext, *tensors: np.ndarray) -> list[dict[str, np.ndarray]]:
    names = [layer.name for layer in c.input_layers]
    c.check_tensors(dict(zip(names, tensors, strict=True)))
    items = [TensorItem([t[row] for t in tensors], WHOLE, 12, 8) for row in range(len(tensors[0]))]
    return [{layer.name: layer.array for layer in result.tensors} for result in c.submit_tensors(items).result()]


def network(path: Path, inputs: list[tuple[str, int, list[int | str]]]) -> Path:
    """Each output is twice its input: ``out0`` of the first, and so on."""
    nodes, outputs = [], []
    for number, (name, kind, shape) in enumerate(inputs):
        nodes.append(helper.make_node("Add", [name, name], [f"out{number}"]))
        outputs.append(helper.make_tensor_value_info(f"out{number}", kind, shape))
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*one) for one in inputs], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_a_tensor_gives_what_the_picture_gives_that_it_is_made_of(engine: str) -> None:
    """The bundled detector on a street: picture with the configuration's pre-processing, and a tensor made here."""
    picture = Street(3, 640, 368).frame(1.0)[0]
    scale, offsets = 1 / 250, (1.0, 2.0, 3.0)
    text = f"[property]\nonnx-file={DETECTOR}\nnetwork-type=100\nnet-scale-factor={scale}\noffsets=1;2;3\n"
    usual = InferContext(parse_infer_config(text), batch_size=1, engine=engine, cache=False)
    expected = usual.submit([InferItem(HostSurface([picture], "RGB"))]).result()[0]
    usual.close()
    c = context(DETECTOR, engine, 1, "net-scale-factor=7\noffsets=9;8;7\nmodel-color-format=1\n")  # not looked at
    tensor = ((picture.astype(np.float32) - offsets) * scale).transpose(2, 0, 1)[None].astype(np.float32)
    found = run(c, tensor)[0]
    c.close()
    assert [layer.name for layer in expected.tensors] == list(found)
    for layer in expected.tensors:
        assert np.abs(layer.array).max() > 0.2
        np.testing.assert_allclose(found[layer.name], layer.array, atol=2e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_dim", ["n", 1, 3, 6])
def test_batches_full_or_not(make_model: Callable[..., Path], engine: str, batch_dim: str | int) -> None:
    c = context(make_model((batch_dim, 3, 8, 12), factor=2.0), engine)
    assert [(x.name, x.shape, x.dtype) for x in c.input_layers] == [("images", (3, 8, 12), "float32")]
    assert (c.network_info.width, c.network_info.height, c.network_info.channels) == (12, 8, 3)
    for count in (4, 1, 3, 2):
        tensor = np.random.default_rng(count).standard_normal((count, 3, 8, 12)).astype(np.float32)
        found = run(c, tensor)
        assert len(found) == count
        np.testing.assert_allclose(np.stack([one["out"] for one in found]), tensor * 2, rtol=1e-6)
    with pytest.raises(ConfigError, match="5 rows for batch-size=4"):
        run(c, np.zeros((5, 3, 8, 12), np.float32))
    c.close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 4, 8, 12), (12, 8, 3)),
        ((17,), (17, 1, 1)),
        ((5, 7), (7, 5, 1)),
        ((2, 3, 4, 5, 6), (6, 5, 2)),
        ((), (1, 1, 1)),
    ],
)
def test_inputs_that_are_no_pictures(tmp_path: Path, engine: str, shape: tuple[int, ...], size: tuple[int]) -> None:
    c = context(network(tmp_path / "n.onnx", [("x", TensorProto.FLOAT, ["n", *shape])]), engine)
    assert (c.network_info.width, c.network_info.height, c.network_info.channels) == size
    tensor = np.random.default_rng(1).standard_normal((3, *shape)).astype(np.float32)
    found = run(c, tensor)
    c.close()
    np.testing.assert_allclose(np.stack([one["out0"] for one in found]), tensor * 2, rtol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float16", "uint8", "int8", "int32", "int64", "uint32"])
def test_types_are_the_networks_own(tmp_path: Path, engine: str, dtype: str) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    c = context(network(tmp_path / "n.onnx", [("x", kind, ["n", 6])]), engine)
    assert c.input_layers[0].dtype == dtype
    tensor = np.arange(12, dtype=dtype).reshape(2, 6)
    found = run(c, tensor)
    c.close()
    assert np.stack([one["out0"] for one in found]).astype(np.int64).tolist() == (tensor.astype(np.int64) * 2).tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_with_several_inputs(tmp_path: Path, engine: str) -> None:
    inputs = [("a", TensorProto.FLOAT, ["n", 3, 8, 12]), ("b", TensorProto.INT64, ["n", 4])]
    c = context(network(tmp_path / "n.onnx", inputs), engine)
    a, b = np.ones((3, 3, 8, 12), np.float32), np.arange(12).reshape(3, 4)
    found = run(c, a, b)
    assert [one["out1"].tolist() for one in found] == (b * 2).tolist()
    assert all((one["out0"] == 2).all() for one in found)
    with pytest.raises(MediaError, match="no tensor came for the input 'b'; the network takes 'a' Nx3x8x12 float32, "):
        c.check_tensors({"a": a})
    c.close()


def test_what_does_not_fit_names_tensor_and_both_sides(make_model: Callable[..., Path]) -> None:
    c = context(make_model())
    good = np.zeros((2, 3, 8, 12), np.float32)
    with pytest.raises(MediaError, match=r"tensor 'data', but the network's input is 'images' Nx3x8x12 float32$"):
        c.check_tensors({"data": good})
    with pytest.raises(MediaError, match=r"tensor 'images' has the shape 2x8x12x3, but the network takes Nx3x8x12$"):
        c.check_tensors({"images": good.transpose(0, 2, 3, 1)})
    with pytest.raises(MediaError, match=r"'images' is uint8, but the network takes float32; .*astype\(\"float32\"\)$"):
        c.check_tensors({"images": good.astype(np.uint8)})
    with pytest.raises(ConfigError, match="takes ready tensors, not pictures"):
        c.submit([InferItem(HostSurface([np.zeros((8, 12, 3), np.uint8)], "RGB"))])
    c.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_models_that_cannot_take_ready_tensors(tmp_path: Path, make_model: Callable[..., Path], engine: str) -> None:
    with pytest.raises(ModelError, match=r"images \(\?x3x\?x\?\) has no fixed size; set infer-dims"):
        context(make_model(("n", 3, "h", "w")), engine)
    c = context(make_model(("n", 3, "h", "w")), engine, extra="infer-dims=3;8;12\n")
    assert (run(c, np.ones((1, 3, 8, 12), np.float32))[0]["out"] == 1).all()
    c.close()
    with pytest.raises(ConfigError, match=r"infer-dims=3;9;12 but the input images of model.onnx is 3;8;12 \(CHW\)"):
        context(make_model(), engine, extra="infer-dims=3;9;12\n")
    open_ended = network(tmp_path / "n.onnx", [("x", TensorProto.FLOAT, ["n", "f"])])
    with pytest.raises(ModelError, match=r"input x \(\?x\?\) has no fixed size; export the model with its size"):
        context(open_ended, engine)
    scalar = network(tmp_path / "s.onnx", [("x", TensorProto.FLOAT, [])])
    with pytest.raises(ModelError, match="input x is a single number"):
        context(scalar, engine)
    uneven = network(tmp_path / "u.onnx", [("a", TensorProto.FLOAT, [2, 3]), ("b", TensorProto.FLOAT, [4, 3])])
    with pytest.raises(ModelError, match="different batches: 2, 4"):
        context(uneven, engine)


def test_a_compiled_engine_for_tensors_is_another(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = shutil.copy(make_model(factor=2.0), tmp_path / "kept.onnx")
    tensor = np.full((1, 3, 8, 12), 0.25, np.float32)
    caplog.set_level(logging.WARNING, "millrace.infer")
    for expected in (False, True):
        c = context(model, "openvino", cache=True)
        assert c.engine.from_cache is expected
        assert [(x.name, x.shape) for x in c.input_layers] == [("images", (3, 8, 12))]
        assert (run(c, tensor)[0]["out"] == 0.5).all()
        c.close()
    assert not caplog.records
    assert [path.name for path in tmp_path.glob("*.engine")] == ["kept.onnx_b4_gpu0_fp32raw.engine"]
    text = f"[property]\nonnx-file={model}\nnetwork-type=100\nmodel-engine-file={model}_b4_gpu0_fp32raw.engine\n"
    usual = InferContext(parse_infer_config(text), batch_size=4)
    assert not usual.engine.from_cache and "the settings have changed" in caplog.text
    usual.close()
