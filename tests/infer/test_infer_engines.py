"""Engines: batches of all kinds, asynchrony, memory of results, errors."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer import Engine, EngineSpec, InferContext, InferItem, benchmark_engine, make_engine
from millrace.infer.engines import Slot
from millrace.infer.engines.buffers import BufferPool
from millrace.infer.preprocess import InputBuffer
from millrace.surface import HostSurface

ENGINES = ["openvino", "onnxruntime"]
SHAPE = (8, 12, 3)


def item(value: int) -> InferItem:
    return InferItem(HostSurface([np.full(SHAPE, value, np.uint8)], "RGB"))


def context(model: Path, batch: int, engine: str | None = None, extra: str = "") -> InferContext:
    config = parse_infer_config(f"[property]\nonnx-file={model}\nnetwork-type=100\n{extra}")
    return InferContext(config, batch_size=batch, engine=engine, cache=False)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_dim", ["n", 1, 2, 4, 6])
def test_static_and_dynamic_batches_full_or_not(
    make_model: Callable[..., Path], engine: str, batch_dim: str | int
) -> None:
    c = context(make_model((batch_dim, 3, 8, 12), factor=2.0), 4, engine)
    assert [(x.name, x.shape) for x in c.output_layers] == [("out", (3, 8, 12))]
    assert [(x.name, x.shape) for x in c.input_layers] == [("images", (3, 8, 12))]
    assert (c.network_info.width, c.network_info.height, c.network_info.channels) == (12, 8, 3)
    for count in (4, 1, 3, 2, 4, 0):
        values = list(range(10, 10 + count))
        results = c.submit([item(v) for v in values]).result()
        assert [r.tensors[0].array.shape for r in results] == [(3, 8, 12)] * count
        assert [float(r.tensors[0].array.mean()) for r in results] == [2.0 * v for v in values]
        assert all(r.tensors[0].array.flags.c_contiguous for r in results)
    with pytest.raises(ConfigError, match="5 pictures for batch-size=4"):
        c.submit([item(0)] * 5)
    c.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_without_a_batch_run_one_by_one(make_model: Callable[..., Path], engine: str) -> None:
    c = context(make_model(unbatched=True), 3, engine)
    assert c.engine.batch_size == 1
    results = c.submit([item(v) for v in (1, 2, 3)]).result()
    assert [x.tensor("mean").tolist() for x in results] == [[v] * 3 for v in (1, 2, 3)]
    assert [x.tensors[1].name for x in results] == ["mean"] * 3
    c.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_many_jobs_at_once_keep_their_order_and_their_memory(make_model: Callable[..., Path], engine: str) -> None:
    c = context(make_model(), 2, engine)
    jobs = [c.submit([item(v % 250), item(v % 250 + 1)]) for v in range(60)]
    results = [job.result() for job in jobs]
    assert jobs[3].result() is results[3]
    c.close()
    for v, (first, second) in enumerate(results):
        assert (first.tensors[0].array == v % 250).all()
        assert (second.tensors[0].array == v % 250 + 1).all()


def test_threads_share_a_context(make_model: Callable[..., Path]) -> None:
    c = context(make_model(), 1)
    wrong: list[int] = []

    def work(base: int) -> None:
        values = range(base, base + 40)
        wrong.extend(v for v in values if not (c.submit([item(v)]).result()[0].tensors[0].array == v).all())

    threads = [threading.Thread(target=work, args=(base,)) for base in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    c.close()
    assert wrong == []


def test_buffers_are_used_again_only_when_no_view_is_left() -> None:
    pool = BufferPool((2, 3), np.float32)
    array = pool.take()
    address = array.ctypes.data
    view = array[1][:2]
    del array
    gc.collect()
    other = pool.take()
    assert other.ctypes.data != address
    del view
    gc.collect()
    assert pool.take().ctypes.data == address


@pytest.mark.parametrize("engine", ENGINES)
def test_open_size_needs_infer_dims(make_model: Callable[..., Path], engine: str) -> None:
    model = make_model(("n", 3, "h", "w"))
    with pytest.raises(ModelError, match="set infer-dims"):
        context(model, 1, engine)
    c = context(model, 2, engine, "infer-dims=3;8;12")
    assert (c.submit([item(9)]).result()[0].tensors[0].array == 9).all()
    c.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_infer_dims_names_both(make_model: Callable[..., Path], engine: str) -> None:
    with pytest.raises(
        ConfigError, match=r"infer-dims=3;9;12 but the input images of model.onnx is 3;8;12 .*; correct infer-dims or"
    ):
        context(make_model(), 1, engine, "infer-dims=3;9;12")
    with pytest.raises(
        ConfigError,
        match="model-color-format=2 makes 1 channels but the input images of .*model.onnx is 3x8x12 without the batch, "
        r"3 channels; set model-color-format=0 \(RGB\) or 1 \(BGR\)$",
    ):
        context(make_model(), 1, engine, "model-color-format=2")
    with pytest.raises(
        ConfigError,
        match=r"network-input-order=1 \(NHWC\) but the input images of .*model.onnx is 3x8x12 without the batch, "
        "which is NCHW; set network-input-order=0$",
    ):
        context(make_model(), 1, engine, "network-input-order=1")


def test_unreadable_models(tmp_path: Path, make_model: Callable[..., Path]) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"this is not a model")
    for engine in (*ENGINES, None):
        with pytest.raises(ModelError, match=r"bad\.onnx") as caught:
            context(bad, 1, engine)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no such model"):
        make_engine(EngineSpec(tmp_path / "none.onnx"))
    with pytest.raises(ConfigError, match="unknown engine tensorrt; engines are openvino and onnxruntime"):
        context(make_model(), 1, "tensorrt")
    with pytest.raises(ModelError, match="shape"):
        context(make_model((3, 8)), 1)


def test_closed(make_model: Callable[..., Path]) -> None:
    c = context(make_model(), 1)
    job = c.submit([item(1)])
    c.close()
    assert (job.result()[0].tensors[0].array == 1).all()
    with pytest.raises(ModelError, match="the engine is closed"):
        c.submit([item(1)])


def test_precision_is_said(make_model: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "millrace.infer"):
        context(make_model(), 1, "openvino", "network-mode=1").close()
        assert "network-mode=1 (INT8): model.onnx is not quantised, computing in FP32" in caplog.text
        c = context(make_model(), 1, "openvino", "network-mode=2")
        assert c.engine.precision == "FP16" or f"computing in {c.engine.precision}" in caplog.text
        c.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_are_in_the_models_order(
    make_model: Callable[..., Path], caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    c = context(make_model(outputs=("b", "a", "c")), 1, engine, "output-blob-names=c;x;a")
    assert [x.name for x in c.output_layers] == ["b", "a", "c"]
    assert [x.name for x in c.submit([item(1)]).result()[0].tensors] == ["b", "a", "c"]
    assert "output-blob-names: the model has no x; it has b, a, c" in caplog.text
    c.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_benchmark(make_model: Callable[..., Path], engine: str) -> None:
    result = benchmark_engine(make_model(), 2, 0.1, engine=engine, warm_up=0.05)
    assert result.fps > 0
    assert result.batch == 2
    assert 0 < result.latency_ms[0] <= result.latency_ms[3]


def test_nobody_waits_for_a_request_that_has_not_started() -> None:
    starting, go, events = threading.Event(), threading.Event(), list[str]()

    class SlowSlot(Slot):
        def start(self, count: int) -> None:
            starting.set()
            go.wait(5)
            events.append("started")

        def finish(self) -> list[np.ndarray]:
            events.append("finished")
            return [np.zeros(1)]

    class OneSlot(Engine):
        def __init__(self) -> None:
            super().__init__()
            self._add_slots([SlowSlot(InputBuffer(np.zeros((1, 2, 2, 3), np.uint8)))])

    engine = OneSlot()
    slot = engine.acquire()
    threads = [threading.Thread(target=engine.start, args=(slot, 1)), threading.Thread(target=engine.acquire)]
    threads[0].start()
    assert starting.wait(5)
    threads[1].start()  # all are busy: it waits for the oldest, which is only about to start
    threads[1].join(0.1)
    go.set()
    for thread in threads:
        thread.join(5)
    assert events == ["started", "finished"]
