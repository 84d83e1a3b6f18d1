"""What `millrace engine` does: compiled engines built, described and measured."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from millrace.config import ColorFormat, InferConfig, NetworkMode, load_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer import BenchResult, EngineSpec, benchmark_engine, cache, engine_spec, make_engine
from millrace.infer.calibration import hash_calibration
from millrace.infer.context import located
from millrace.infer.model import MODEL_SUFFIXES, resolve_model, unreadable
from millrace.infer.modelfile import model_problem
from millrace.infer.quantize import is_quantised, load_onnx

log = logging.getLogger("millrace.app")

_ENGINES = (".engine", ".plan", ".trt")
_SHAPE = re.compile(r"(?:[^:]+:)?\d+x\d+x\d+x\d+\Z")


@dataclass(frozen=True)
class Request:
    """What the command line asks of an engine.

    Attributes:
        source: model, configuration or engine file.
        mode: precision, or None for the configuration's.
        calib: calibration cache, or None for the configuration's.
        shapes: least, usual and greatest input shape as text ``[name:]1x3x640x640``, or None.
        batch: pictures in a request, or None for the configuration's or that of the greatest shape.
        scale: factor of pixels, where the source is a model.
        offsets: mean of each channel, ``;`` between them, where the source is a model.
        color: ``rgb``, ``bgr`` or ``gray``, where the source is a model.
    """

    source: Path
    mode: NetworkMode | None = None
    calib: Path | None = None
    shapes: tuple[str | None, str | None, str | None] = (None, None, None)
    batch: int | None = None
    scale: float | None = None
    offsets: str | None = None
    color: str = "rgb"


def is_model(path: Path) -> bool:
    """Whether a file is a model and not a configuration; says what to do with models of other frameworks.

    Raises:
        ModelError: the model is of a framework whose files cannot be read.
    """
    why = unreadable(path)
    if why:
        raise ModelError(why)
    return path.suffix.lower() in MODEL_SUFFIXES


def configuration(request: Request) -> InferConfig:
    """The configuration that a request means, with its shapes and precision.

    Raises:
        ConfigError: a value does not fit.
        ModelError: the file is a model that cannot be read or does not exist.
    """
    changes: dict[str, Any] = {}
    if is_model(request.source):
        if not request.source.is_file():
            raise ModelError(f"no such model: {request.source}")
        key = "onnx_file" if request.source.suffix.lower() == ".onnx" else "model_engine_file"
        config = InferConfig(net_scale_factor=1 / 255 if request.scale is None else request.scale)
        changes[key] = request.source
        if request.offsets:
            changes["offsets"] = _numbers(request.offsets)
        if request.color.upper() not in ColorFormat.__members__:
            raise ConfigError(f"--color {request.color}: it must be rgb, bgr or gray")
        changes["model_color_format"] = ColorFormat[request.color.upper()]
    elif request.source.suffix.lower() in _ENGINES or cache.is_ours(request.source):
        raise ModelError(
            f"{request.source} is an engine, not a model or a configuration; what it is: millrace engine info "
            f"{request.source.name}, and it is built from its model: millrace engine build MODEL.onnx"
        )
    else:
        if request.scale is not None or request.offsets:
            raise ConfigError(f"{request.source} says scale and offsets itself; --scale and --offsets are for models")
        config = load_infer_config(request.source)
    if request.mode is not None:
        changes["network_mode"] = request.mode
    if request.calib is not None:
        if not request.calib.is_file():
            raise ConfigError(f"no such calibration cache: {request.calib}")
        changes["int8_calib_file"] = request.calib
    batch, dims = _shapes(request, config)
    if batch is not None:
        changes["batch_size"] = batch
    if dims is not None:
        changes["infer_dims"] = dims
    return config.with_overrides(changes)


def _numbers(text: str) -> list[float]:
    try:
        return [float(item) for item in text.split(";") if item.strip()]
    except ValueError:
        raise ConfigError(f"--offsets {text}: it must be numbers with ; between them") from None


def _shapes(request: Request, config: InferConfig) -> tuple[int | None, list[int] | None]:
    """Greatest batch and channels, height, width from trtexec's three shapes."""
    parsed: list[list[int]] = []
    for option, text in zip(("--min", "--opt", "--max"), request.shapes, strict=True):
        if text is None:
            continue
        if not _SHAPE.match(text):
            raise ConfigError(f"{option} {text}: write it as 1x3x640x640 or images:1x3x640x640")
        parsed.append([int(d) for d in text.rpartition(":")[2].split("x")])
    if not parsed:
        return request.batch, None
    if any(shape[1:] != parsed[0][1:] for shape in parsed):
        raise ConfigError("--min, --opt and --max may differ in the batch only: nvinfer scales pictures to one size")
    batches = [shape[0] for shape in parsed]
    if batches != sorted(batches) or batches[0] < 1:
        raise ConfigError("the batches of --min, --opt and --max must grow and be at least 1")
    if request.batch is not None and request.batch != batches[-1]:
        raise ConfigError(f"--batch {request.batch} and the shape's batch {batches[-1]} differ; give one of them")
    rest = parsed[0][1:]
    dims = [rest[2], rest[0], rest[1]] if config.network_input_order else rest
    return batches[-1], dims


def build(request: Request, out: Path | None, force: bool) -> Path:
    """Build an engine (or find that it is up to date), print what it is, and return its file.

    Raises:
        ConfigError: a value does not fit, or the engine cannot be written.
        ModelError: the model cannot be read.
    """
    config = configuration(request)
    files = resolve_model(config, config.batch_size)
    target = out or files.engine
    if target.exists() and not cache.is_ours(target):
        raise ConfigError(f"{target} is not an engine of this program and stays as it is; name another file with --out")
    if force and files.model.is_file():
        target.unlink(missing_ok=True)
    with located(config):
        engine = make_engine(engine_spec(config, files.model, config.batch_size), target, "openvino")
    try:
        if not cache.is_ours(target):
            raise ConfigError(f"the engine cannot be written to {target}")
        most = max(engine.batch_size, cache.batch_of(target)) if engine.from_cache else engine.batch_size
        state = "up to date" if engine.from_cache else "written"
        print(f"{target}: {state}, {target.stat().st_size / 1e6:.1f} MB")
        print(f"  {engine.name}, {engine.precision}, batch 1 to {most}, {engine.slots} requests")
        for kind, layers in (("input", engine.input_layers), ("output", engine.output_layers)):
            for layer in layers:
                print(f"  {kind} {layer.name}: {_shape_text(layer.shape)} {layer.dtype}")
    finally:
        engine.close()
    return target


def _shape_text(shape: Sequence[int | str]) -> str:
    return "x".join("?" if d == -1 else str(d) for d in shape) or "scalar"


def describe(path: Path) -> Iterator[str]:
    """What an engine or a model file is, line by line.

    Raises:
        ModelError: it is neither, or cannot be read.
    """
    if is_model(path):
        yield from _describe_model(path)
        return
    header = cache.read_header(path)
    if header is None:
        with path.open("rb") as file:
            start = file.read(4)
        if start in (b"ptrt", b"ftrt"):
            raise ModelError(
                f"{path} is an engine of TensorRT, which runs on the NVIDIA GPU that it was built for only; "
                "build one from its ONNX model: millrace engine build MODEL.onnx"
            )
        raise ModelError(f"{path} is not an engine of this program")
    import openvino

    spec, print_ = header.notes.get("spec", {}), header.fingerprint
    size = path.stat().st_size / 1e6
    yield f"{path}: engine, {size:.1f} MB"
    yield f"  model        {spec.get('model', 'not known')} (SHA-256 {print_.model[:16]})"
    yield f"  precision    {header.notes.get('precision', 'not known')}"
    yield f"  batch        1 to {spec.get('batch_size', '?')}"
    names = header.notes.get("names", [])
    yield f"  input        {', '.join(names[:1])}"
    yield f"  outputs      {', '.join(names[1:])}"
    if not cache.is_whole(path):
        yield "  DAMAGED: its checksum differs; the engine is built again when it is used"
    if print_.calibration:
        yield f"  calibration  {spec.get('calibration')} (SHA-256 {print_.calibration[:16]})"
    for word, there, here in (
        ("library", print_.library, f"OpenVINO {openvino.__version__}"),
        ("processor", print_.processor, cache.processor()),
    ):
        yield f"  {word:<12} {there}" + ("" if there == here else f"; NOT this machine's, which has {here}")
    model = Path(spec["model"]) if "model" in spec else None
    if model is None or not model.is_file():
        yield "  the model is not there: the engine is used as it is, its model unchecked"
    elif cache.hash_model(model) != print_.model:
        yield "  the model has changed since: the engine is built again when it is used"
    elif print_.calibration and hash_calibration(Path(spec["calibration"])) != print_.calibration.split()[0]:
        yield "  the calibration cache has changed since: the engine is built again when it is used"


def _describe_model(path: Path) -> Iterator[str]:
    if path.suffix.lower() == ".xml":
        from millrace.infer.engines.openvino import core, first_line

        if not path.is_file():
            raise ModelError(f"no such model: {path}")
        if problem := model_problem(path):
            raise ModelError(f"{path}: {problem}")
        try:
            model = core().read_model(str(path))
        except RuntimeError as error:
            raise ModelError(f"{path}: OpenVINO cannot read it: {first_line(error)}") from error
        yield f"{path}: OpenVINO model"
        for kind, ports in (("input", model.inputs), ("output", model.outputs)):
            for port in ports:
                yield f"  {kind:<6} {port.get_any_name()}: {port.get_partial_shape()} {port.get_element_type()}"
        return
    from onnx import TensorProto

    proto = load_onnx(path)
    version = max((x.version for x in proto.opset_import if x.domain in ("", "ai.onnx")), default=0)
    size = path.stat().st_size / 1e6
    kind = "INT8 (quantised)" if is_quantised(proto) else "float"
    yield f"{path}: ONNX model, {size:.1f} MB, opset {version}, {len(proto.graph.node)} nodes, {kind}"
    weights = {tensor.name for tensor in proto.graph.initializer}
    for word, values in (("input", proto.graph.input), ("output", proto.graph.output)):
        for value in values:
            if value.name in weights:
                continue
            tensor = value.type.tensor_type
            dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim]
            yield f"  {word:<6} {value.name}: {_shape_text(dims)} {TensorProto.DataType.Name(tensor.elem_type).lower()}"


def bench(
    request: Request, batches: Sequence[int], seconds: float, one_at_a_time: bool, shape: str | None = None
) -> list[BenchResult]:
    """Measure a model, configuration or engine at some batch sizes; ``shape`` is ``3x640x640`` where a model has none.

    Raises:
        ConfigError: a value does not fit.
        ModelError: the model cannot be read.
    """
    results = []
    one = int(one_at_a_time)
    if cache.is_ours(request.source):
        spec = _spec_of(request.source)
        if list(batches) not in ([], [spec.batch_size]):
            raise ConfigError(f"engine {request.source} was built for a batch of {spec.batch_size}; measure its model")
        return [benchmark_engine(spec, seconds=seconds, engine_file=request.source, requests=one)]
    for batch in batches or [0]:
        asked = request if batch == 0 else replace(request, batch=batch)
        if shape is not None:
            asked = replace(asked, batch=None, shapes=(None, None, f"{batch or 1}x{shape}"))
        config = configuration(asked)
        model = resolve_model(config, config.batch_size).model
        with located(config):
            spec = engine_spec(config, model, config.batch_size)
            results.append(benchmark_engine(spec, seconds=seconds, requests=one, streams=one))
        if results[-1].batch != config.batch_size:
            log.warning("%s takes a batch of %d only", model.name, results[-1].batch)
    return results


def _spec_of(path: Path) -> EngineSpec:
    header = cache.read_header(path)
    assert header is not None
    try:
        return EngineSpec.from_notes(header.notes["spec"])
    except (KeyError, TypeError):
        raise ModelError(f"engine {path} was built by another version; build it again") from None


def device_name() -> str:
    """The processor and how many of its cores may be used, for tables."""
    name, _, cores = cache.processor().split(", ")[-3:]
    return f"{name}, {cores}"


def text_table(results: Sequence[BenchResult]) -> str:
    """Speed and latencies in columns."""
    head = "model precision size batch requests fps p50/ms p90/ms p95/ms p99/ms build/ms"
    rows: list[tuple[str, ...]] = [tuple(head.split())]
    for r in results:
        times = [f"{value:.2f}" for value in r.latency_ms]
        size = f"{r.width}x{r.height}"
        short = r.precision.split(" ")[0].rstrip(",")
        rows.append((r.model, short, size, str(r.batch), str(r.requests), f"{r.fps:.1f}", *times, f"{r.build_ms:.0f}"))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    first, *rest = widths
    lines = [[row[0].ljust(first), *(cell.rjust(w) for cell, w in zip(row[1:], rest, strict=True))] for row in rows]
    return "\n".join("  ".join(line) for line in lines)


def markdown_table(results: Sequence[BenchResult]) -> str:
    """Markdown: model, device, size, batch, fps (pictures a second), ms (median of a request)."""
    lines = ["| model | device | size | batch | fps | ms |", "| --- | :---: | :---: | :---: | :---: | :---: |"]
    for r in results:
        size = str(r.width) if r.width == r.height else f"{r.width}x{r.height}"
        kind = r.precision.split(" ")[0].rstrip(",")
        name = f"{r.model} ({kind})"
        lines.append(f"| {name} | {device_name()} | {size} | {r.batch} | {r.fps:.1f} | {r.latency_ms[0]:.1f} |")
    return "\n".join(lines)


def mode_of(fp16: bool, int8: bool, best: bool, calib: Path | None) -> NetworkMode | None:
    """The precision that the switches mean.

    Raises:
        ConfigError: ``--calib`` with a precision that does not use it.
    """
    if best or (fp16 and int8):
        return NetworkMode.BEST
    if int8:
        return NetworkMode.INT8
    if calib is not None:
        raise ConfigError("--calib is for --int8 (or --best)")
    return NetworkMode.FP16 if fp16 else None
