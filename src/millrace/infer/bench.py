"""How fast an engine is by itself, with the settings that inference contexts use."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import InferConfig, NetworkMode
from .context import engine_spec
from .engines import EngineSpec, make_engine
from .engines.base import Run
from .model import precision_name, resolve_model


@dataclass(frozen=True)
class BenchResult:
    """Measured speed.

    Attributes:
        model: file name.
        engine: library, version.
        precision: computed in.
        width: of the input.
        height: of the input.
        batch: pictures in a request.
        requests: at the same time, at most.
        fps: pictures a second.
        latency_ms: 50th, 90th, 95th and 99th percentile of a request's time from start to result, milliseconds.
        build_ms: time to compile or load.
    """

    model: str
    engine: str
    precision: str
    width: int
    height: int
    batch: int
    requests: int
    fps: float
    latency_ms: tuple[float, float, float, float]
    build_ms: float


def benchmark_engine(
    model: str | Path | InferConfig | EngineSpec,
    batch: int = 1,
    seconds: float = 5.0,
    *,
    network_mode: int = 0,
    dims: tuple[int, int, int] | None = None,
    engine: str | None = None,
    engine_file: Path | None = None,
    streams: int = 0,
    requests: int = 0,
    warm_up: float = 0.5,
) -> BenchResult:
    """Run an engine on random pictures.

    Args:
        model: model file, a configuration that names one, or what the engine is to be like.
        batch: pictures in a request; not for what an engine is to be like.
        seconds: how long to measure.
        network_mode: as in configurations: 0 FP32, 1 INT8, 2 FP16, 3 the fastest; not for a configuration.
        dims: channels, height, width of the input, where the model leaves them open.
        engine: ``openvino`` or ``onnxruntime``; default what fits.
        engine_file: compiled engine to load or write.
        streams: requests computed at the same time; 0 lets the engine choose.
        requests: requests in flight; 0 for as many as an inference context has.
        warm_up: seconds before the measurement.

    Raises:
        ModelError: the model is missing or unreadable.
    """
    if isinstance(model, EngineSpec):
        spec = model
    elif isinstance(model, InferConfig):
        spec = engine_spec(model, resolve_model(model, batch).model, batch)
    else:
        spec = EngineSpec(Path(model), batch, precision_name(NetworkMode(network_mode)), dims=dims, scale=1 / 255)
    started = time.perf_counter()
    network = make_engine(replace(spec, streams=streams), engine_file, engine)
    build = (time.perf_counter() - started) * 1e3
    info = network.network_info
    in_flight = requests or network.slots
    generator = np.random.default_rng(0)
    try:
        latencies: list[float] = []
        flight: deque[tuple[Run, float]] = deque()
        done = 0
        begin = time.perf_counter()
        measured_from: float | None = None
        count = network.batch_size

        def collect() -> None:
            nonlocal done
            run, at = flight.popleft()
            run.wait()
            done += count
            latencies.append((time.perf_counter() - at) * 1e3)

        filled: set[int] = set()
        while True:
            now = time.perf_counter()
            if measured_from is None and now - begin >= warm_up:
                done, latencies, measured_from = 0, [], now
            if measured_from is not None and now - measured_from >= seconds:
                break
            if len(flight) >= in_flight:
                collect()
            slot = network.acquire()
            if id(slot) not in filled:
                for array in slot.arrays:
                    array[...] = generator.integers(0, 256, array.shape[1:], np.uint8)
                filled.add(id(slot))
            flight.append((network.start(slot, count), time.perf_counter()))
        fps = done / (time.perf_counter() - measured_from)
        while flight:
            collect()
    finally:
        network.close()
    quantiles = np.percentile(latencies, (50, 90, 95, 99)) if latencies else np.zeros(4)
    p50, p90, p95, p99 = (float(value) for value in quantiles)
    return BenchResult(
        spec.model.name, network.name, network.precision, info.width, info.height, count, in_flight, fps,
        (p50, p90, p95, p99), build,
    )  # fmt: skip
