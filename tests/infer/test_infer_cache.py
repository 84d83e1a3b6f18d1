"""Compiled engines on disk: reused, rebuilt with a reason, never written over what is not ours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from millrace.config import InferConfig, parse_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer import InferContext, InferItem, cache
from millrace.infer.model import resolve_model
from millrace.surface import HostSurface

ITEM = InferItem(HostSurface([np.full((8, 12, 3), 5, np.uint8)], "RGB"))


def config(model: Path | None, engine: Path | None, extra: str = "") -> InferConfig:
    lines = ["[property]", "network-type=100", extra]
    lines += [f"onnx-file={model}"] if model else []
    lines += [f"model-engine-file={engine}"] if engine else []
    return parse_infer_config("\n".join(lines), "pgie.txt")


def value(c: InferConfig) -> tuple[float, bool, list[str]]:
    context = InferContext(c)
    result = context.submit([ITEM]).result()[0].tensors[0].array.mean()
    names = [x.name for x in (*context.input_layers, *context.output_layers)]
    context.close()
    return float(result), context.engine.from_cache, names


def test_second_start_loads_the_engine(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millrace.infer")
    engine = tmp_path / "my.engine"
    model = make_model()
    assert value(config(model, engine)) == (5.0, False, ["images", "out"])
    assert value(config(model, engine)) == (5.0, True, ["images", "out"])
    caplog.clear()
    make_model(factor=3.0)
    assert value(config(model, engine))[:2] == (15.0, False)
    assert f"rebuilding engine {engine}: the model has changed" in caplog.text
    assert value(config(model, engine))[:2] == (15.0, True)
    caplog.clear()
    assert value(config(model, engine, "net-scale-factor=2"))[:2] == (30.0, False)
    assert f"rebuilding engine {engine}: the settings have changed" in caplog.text
    assert sum("rebuilding" in r.message for r in caplog.records) == 1


def test_other_library_or_processor(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = cache.Fingerprint("m", "s", "OpenVINO 1", "cpu")
    path = tmp_path / "x.engine"
    assert cache.store(path, ours, b"blob", {"names": ["a"]})
    assert cache.load(path, ours) == (b"blob", {"names": ["a"]})
    assert cache.load(path, cache.Fingerprint("m", "s", "OpenVINO 2", "other")) is None
    assert "the library and the processor have changed" in caplog.text


def test_damaged_engines_are_rebuilt(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = tmp_path / "my.engine"
    model = make_model()
    value(config(model, engine))
    whole = engine.read_bytes()
    for damaged in (whole[:-100], whole[: len(cache.MAGIC) + 2], whole[: len(cache.MAGIC) + 4] + b"{" * 400):
        engine.write_bytes(damaged)
        assert value(config(model, engine))[:2] == (5.0, False)
        assert value(config(model, engine))[:2] == (5.0, True)
    assert caplog.text.count("rebuilding engine") == 3


def test_an_engine_with_changed_bytes_is_rebuilt(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, model = tmp_path / "my.engine", make_model(factor=2.0)
    value(config(model, engine))
    header = cache.read_header(engine)
    assert header is not None
    whole = engine.read_bytes()
    for place in (len(whole) - header.size, len(whole) - header.size // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        engine.write_bytes(damaged)
        assert not cache.is_whole(engine)
        assert value(config(model, engine))[:2] == (10.0, False)
        assert cache.is_whole(engine)
        assert value(config(model, engine))[:2] == (10.0, True)
    message = f"rebuilding engine {engine}: the file is damaged (its checksum differs)"
    assert [r.message for r in caplog.records] == [message] * 3


def test_an_engine_of_a_version_without_checksums_is_rebuilt(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, model = tmp_path / "my.engine", make_model()
    value(config(model, engine))
    whole = engine.read_bytes()
    engine.write_bytes(whole.replace(b'"digest"', b'"others"', 1))
    assert value(config(model, engine))[:2] == (5.0, False)
    assert [r.message for r in caplog.records] == [f"rebuilding engine {engine}: it was written by an older version"]


def test_a_foreign_engine_is_left_alone(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"ptrt" + bytes(1000))
    model = make_model()
    assert value(config(model, engine))[:2] == (5.0, False)
    assert engine.read_bytes() == b"ptrt" + bytes(1000)
    assert sum("left alone" in r.message for r in caplog.records) == 1
    # The same without onnx-file: the ONNX beside it is found.
    assert value(config(None, engine))[:2] == (5.0, False)


def test_engine_that_cannot_be_written(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert value(config(make_model(), tmp_path / "no" / "such" / "folder.engine"))[0] == 5.0
    assert "cannot be written (No such file or directory)" in caplog.text
    assert not list(tmp_path.glob(".*"))


def test_default_engine_name_is_deepstreams(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = make_model()
    files = resolve_model(config(model, None, "network-mode=2"), 4)
    assert files.engine == Path(f"{model}_b4_gpu0_fp16.engine")
    assert resolve_model(config(None, model), 1).model == model
    assert resolve_model(config(None, model), 1).engine == Path(f"{model}_b1_gpu0_fp32.engine")


def test_missing_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^pgie.txt:4: onnx-file: no such model: .*none.onnx$"):
        resolve_model(config(tmp_path / "none.onnx", None), 1)
    with pytest.raises(ModelError, match=r"^pgie.txt:4: model-engine-file .*x.engine does not exist.*no x.onnx beside"):
        resolve_model(config(None, tmp_path / "x.engine"), 1)
    (tmp_path / "y.engine").write_bytes(b"ptrt")
    with pytest.raises(ModelError, match=r"y.engine is an engine of another library or machine.*set onnx-file"):
        resolve_model(config(None, tmp_path / "y.engine"), 1)
    with pytest.raises(ConfigError, match="no model: set onnx-file"):
        resolve_model(config(None, None), 1)


@pytest.mark.parametrize(
    ("keys", "line", "message"),
    [
        (
            "tlt-encoded-model=a.etlt\ntlt-model-key=k",
            2,
            "tlt-encoded-model: a.etlt is an encrypted TAO model.*to ONNX",
        ),
        ("tlt-encoded-model=a.bin", 2, "tlt-encoded-model: a.bin is an encrypted TAO model.*set onnx-file to it"),
        ("model-file=a.caffemodel\nproto-file=a.prototxt", 2, "model-file: a.caffemodel is a Caffe model.*to ONNX"),
        ("uff-file=a.uff", 2, "uff-file: a.uff is a UFF model.*tf2onnx"),
        ("onnx-file=a.etlt", 2, "onnx-file: a.etlt is an encrypted TAO model"),
        ("onnx-file=a.pt", 2, r"onnx-file: a.pt is a PyTorch model.*millrace export a.pt"),
        # As TAO's guide writes it, with the engine's name beside the encrypted model.
        ("model-engine-file=a.etlt_b1_gpu0_fp16.engine\ntlt-encoded-model=a.etlt", 3, "tlt-encoded-model: a.etlt is"),
    ],
)
def test_models_of_other_frameworks(keys: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^pgie.txt:{line}: {message}"):
        resolve_model(parse_infer_config(f"[property]\n{keys}\n", "pgie.txt"), 1)


def test_the_onnx_file_of_an_engines_name_is_found(make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = make_model(name="abc.onnx")
    for name in ("abc.onnx_b1_gpu0_fp16.engine", "abc.etlt_b1_gpu0_fp16.engine", "abc.engine"):
        assert resolve_model(config(None, tmp_path / name), 1).model == model
    both = parse_infer_config(f"[property]\nonnx-file={model}\ntlt-encoded-model=abc.etlt\n", "pgie.txt")
    assert resolve_model(both, 1).model == model


def test_an_engine_is_used_without_its_model(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, model = tmp_path / "my.engine", make_model(name="my.onnx")
    assert value(config(model, engine)) == (5.0, False, ["images", "out"])
    model.unlink()
    for c in (config(model, engine), config(None, engine)):
        caplog.clear()
        assert value(c) == (5.0, True, ["images", "out"])
        assert [r.message for r in caplog.records] == [
            f"engine {engine} is used without its model {model}, which is gone"
        ]
    with pytest.raises(
        ModelError, match=r"my.engine does not fit this configuration and machine, and its model .* is gone"
    ):
        value(config(model, engine, "net-scale-factor=2"))
    assert engine.is_file()
    caplog.clear()
    damaged = bytearray(engine.read_bytes())
    damaged[-1] ^= 1
    engine.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"my.engine is damaged, and its model .* is gone$"):
        value(config(model, engine))
    assert [r.message for r in caplog.records] == [f"engine {engine}: the file is damaged (its checksum differs)"]


def test_an_engine_for_a_greater_batch_serves_smaller_ones(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millrace.infer")
    engine, model = tmp_path / "my.engine", make_model()
    InferContext(config(model, engine), batch_size=4).close()
    written = engine.read_bytes()
    for batch in (2, 1):
        caplog.clear()
        context = InferContext(config(model, engine), batch_size=batch)
        assert (context.engine.from_cache, context.batch_size) == (True, batch)
        results = context.submit([ITEM] * batch).result()
        assert [r.tensors[0].array.mean() for r in results] == [5.0] * batch
        with pytest.raises(ConfigError, match=f"{batch + 1} pictures for batch-size={batch}"):
            context.submit([ITEM] * (batch + 1))
        context.close()
        assert f"engine {engine} was built for batch-size=4, which serves batch-size={batch} too" in caplog.text
    assert engine.read_bytes() == written
    caplog.clear()
    InferContext(config(model, engine), batch_size=8).close()
    assert f"rebuilding engine {engine}: the settings have changed" in caplog.text
    assert cache.batch_of(engine) == 8
    # What is built in its place is for the batch that was asked for.
    for extra in ("net-scale-factor=2", ""):
        context = InferContext(config(model, engine, extra), batch_size=2)
        assert (context.engine.from_cache, cache.batch_of(engine)) == (False, 2)
        context.close()
    context = InferContext(config(model, engine), batch_size=2)
    assert context.engine.from_cache
    context.close()


def test_an_engine_follows_weights_in_another_file(make_model: Callable[..., Path], tmp_path: Path) -> None:
    import onnx

    engine, model = tmp_path / "my.engine", make_model(factor=2.0)
    options = {"save_as_external_data": True, "location": "model.weights", "size_threshold": 0}
    onnx.save_model(onnx.load(str(model)), str(model), **options)
    assert value(config(model, engine))[:2] == (10.0, False)
    assert value(config(model, engine))[:2] == (10.0, True)
    (tmp_path / "model.weights").write_bytes(np.array(3.0, np.float32).tobytes())
    assert value(config(model, engine))[:2] == (15.0, False)
