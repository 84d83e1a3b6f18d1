"""The commands `millrace engine`, `millrace export` and `millrace labels`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from millrace.errors import ConfigError

if TYPE_CHECKING:
    from millrace.app.engine import Request

engine_app = typer.Typer(help="Compiled engines: build, describe, measure, calibrate.", no_args_is_help=True)
labels_app = typer.Typer(help="Label files.", no_args_is_help=True)

# typer evaluates these on Python 3.10 too, where it needs Optional.
MaybePath = Optional[Path]  # noqa: UP045
MaybeText = Optional[str]  # noqa: UP045
MaybeInt = Optional[int]  # noqa: UP045
MaybeFloat = Optional[float]  # noqa: UP045
MaybeList = Optional[list[str]]  # noqa: UP045

Fp16 = Annotated[bool, typer.Option("--fp16", help="FP16, or BF16 or FP32 where the processor has no FP16.")]
Int8 = Annotated[bool, typer.Option("--int8", help="INT8, by --calib or the configuration's int8-calib-file.")]
Best = Annotated[bool, typer.Option("--best", help="The fastest of all precisions, INT8 with a calibration cache.")]
Calib = Annotated[MaybePath, typer.Option(metavar="FILE", help="INT8 calibration cache.")]
Batch = Annotated[MaybeInt, typer.Option(min=1, help="Most pictures in a request.")]
Scale = Annotated[MaybeFloat, typer.Option(help="net-scale-factor of a model; 1/255 by default.")]
Offsets = Annotated[MaybeText, typer.Option(metavar="R;G;B", help="Mean of each channel of a model.")]
Color = Annotated[str, typer.Option(help="Channels that a model takes: rgb, bgr or gray.")]


def _request(
    source: Path, fp16: bool, int8: bool, best: bool, calib: Path | None, batch: int | None,
    shapes: tuple[str | None, str | None, str | None], scale: float | None, offsets: str | None, color: str,
) -> Request:  # fmt: skip
    from millrace.app.engine import Request, mode_of

    return Request(source, mode_of(fp16, int8, best, calib), calib, shapes, batch, scale, offsets, color)


@engine_app.command("build")
def engine_build(
    source: Annotated[Path, typer.Argument(metavar="CONFIG|MODEL", help="nvinfer configuration, or ONNX model.")],
    min_shape: Annotated[MaybeText, typer.Option("--min", metavar="NxCxHxW", help="Least input shape.")] = None,
    opt_shape: Annotated[MaybeText, typer.Option("--opt", metavar="NxCxHxW", help="Usual input shape.")] = None,
    max_shape: Annotated[
        MaybeText,
        typer.Option("--max", metavar="NxCxHxW", help="Greatest input shape, as images:4x3x640x640; sets the batch."),
    ] = None,
    batch: Batch = None,
    fp16: Fp16 = False,
    int8: Int8 = False,
    best: Best = False,
    calib: Calib = None,
    scale: Scale = None,
    offsets: Offsets = None,
    color: Color = "rgb",
    out: Annotated[MaybePath, typer.Option(help="Engine file; else the configuration's or DeepStream's name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Build even when the engine is up to date.")] = False,
) -> None:
    """Compile a model ahead of time. It takes every batch from 1 to the greatest; --opt changes nothing here."""
    from millrace.app.engine import build

    shapes = (min_shape, opt_shape, max_shape)
    build(_request(source, fp16, int8, best, calib, batch, shapes, scale, offsets, color), out, force)


@engine_app.command("info")
def engine_info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Engines or models.")],
) -> None:
    """Say what an engine or a model is, and whether the engine fits this machine and its model."""
    from millrace.app.engine import describe

    for path in files:
        for line in describe(path):
            print(line)


@engine_app.command("bench")
def engine_bench(
    sources: Annotated[
        list[str], typer.Argument(metavar="MODEL|CONFIG|ENGINE...", help="What to measure; numbers are batches.")
    ],
    batch: Annotated[MaybeList, typer.Option(metavar="N...", help="Batch sizes: --batch 1 4, or 1,4.")] = None,
    shape: Annotated[
        MaybeText, typer.Option(metavar="CxHxW", help="Input size, where the model leaves it open.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each measurement.")] = 5.0,
    latency: Annotated[bool, typer.Option("--latency", help="One request at a time, for the least latency.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    fp16: Fp16 = False,
    int8: Int8 = False,
    best: Best = False,
    calib: Calib = None,
    scale: Scale = None,
    offsets: Offsets = None,
    color: Color = "rgb",
) -> None:
    """Measure engines on random pictures: pictures a second, and percentiles of a request's time."""
    from millrace.app.engine import bench, markdown_table, text_table

    words = [word for text in batch or () for word in text.split(",")]
    words += [source for source in sources if source.isdigit() and not Path(source).exists()]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"--batch {' '.join(words)}: batch sizes are numbers from 1")
    names = [source for source in sources if not source.isdigit() or Path(source).exists()]
    if not names:
        raise typer.BadParameter("name a model, a configuration or an engine")
    batches = sorted({int(word) for word in words})
    results = []
    for name in names:
        request = _request(Path(name), fp16, int8, best, calib, None, (None, None, None), scale, offsets, color)
        results += bench(request, batches, seconds, latency, shape)
    print(markdown_table(results) if markdown else text_table(results))


@engine_app.command("calibrate")
def engine_calibrate(
    source: Annotated[Path, typer.Argument(metavar="CONFIG|MODEL", help="nvinfer configuration, or ONNX model.")],
    frames: Annotated[list[Path], typer.Option(help="Folder of pictures or videos, picture, or video.")],
    out: Annotated[Path, typer.Option(help="Calibration cache to write.")] = Path("calib.txt"),
    count: Annotated[int, typer.Option(min=1, help="Most pictures of each --frames, evenly spread.")] = 100,
    method: Annotated[str, typer.Option(help="mse: least squared error; minmax: whole range.")] = "mse",
    scale: Scale = None,
    offsets: Offsets = None,
    color: Color = "rgb",
) -> None:
    """Find a model's ranges on pictures like those it will see, and write them as a calibration cache for --int8."""
    from millrace.app.engine import Request, configuration, is_model
    from millrace.infer.calibrate import METHODS, calibrate, read_frames
    from millrace.infer.model import resolve_model

    if method not in METHODS:
        raise ConfigError(f"--method {method}: it must be {' or '.join(METHODS)}")
    config = configuration(Request(source, scale=scale, offsets=offsets, color=color))
    if is_model(source):
        config = config.with_overrides({"maintain_aspect_ratio": True})
    pictures = (picture for folder in frames for picture in read_frames(folder, count))
    table = calibrate(resolve_model(config, 1).model, pictures, config, "minmax" if method == "minmax" else "mse")
    table.write(out)
    print(f"{out}: ranges of {len(table.scales)} tensors")


@labels_app.command("from-classmap")
def labels_from_classmap(
    classmap: Annotated[Path, typer.Argument(metavar="classmap.json", help="TAO's class map.")],
    output_blob_names: Annotated[
        MaybeText,
        typer.Option(metavar="A;B;C", help="The network's outputs in their order; goes first."),
    ] = None,
    model: Annotated[MaybePath, typer.Option(help="ONNX model whose outputs give the order.")] = None,
    config: Annotated[MaybePath, typer.Option(help="nvinfer configuration that gives the order.")] = None,
    out: Annotated[Path, typer.Option(help="Label file to write.")] = Path("multitask_classification_labels.txt"),
) -> None:
    """Write the label file of a TAO multi-task classifier, a line for each task in the network's output order.

    Without --output-blob-names, --model or --config the lines are in the order of the file's tasks, with a warning.
    """
    from millrace.app.labels import write_labels

    order = write_labels(classmap, out, model=model, config=config, names=output_blob_names)
    print(f"{out}: {', '.join(order)}")


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL.pt", help="Pickled network, TorchScript, or weights.")],
    shape: Annotated[str, typer.Option(metavar="CxHxW", help="Size of the input.")] = "3x640x640",
    out: Annotated[MaybePath, typer.Option(help="ONNX file; else the model's name with .onnx.")] = None,
    batch: Annotated[int, typer.Option(min=0, help="0 leaves the batch open; else it is fixed.")] = 0,
    input_name: Annotated[str, typer.Option(help="Name of the input.")] = "images",
    output_names: Annotated[
        str,
        typer.Option(metavar="A;B", help="Names of the first outputs; the others are left out. None for all."),
    ] = "",
    opset: Annotated[int, typer.Option(min=9, help="ONNX opset.")] = 17,
    module: Annotated[
        MaybeText,
        typer.Option(metavar="MODULE:CLASS", help="What makes the network of a file with weights only."),
    ] = None,
    check: Annotated[bool, typer.Option(help="Compare the result with PyTorch's.")] = True,
) -> None:
    """Write a PyTorch model as ONNX with an open batch. The file's own code runs: export only files that you trust."""
    from millrace.app.export import ExportOptions
    from millrace.app.export import export as run_export

    sizes = shape.split("x")
    if len(sizes) != 3 or not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise typer.BadParameter(f"--shape {shape}: write it as 3x640x640")
    names = tuple(name.strip() for name in output_names.split(";") if name.strip())
    target = out or model.with_suffix(".onnx")
    options = ExportOptions(
        model, target, (int(sizes[0]), int(sizes[1]), int(sizes[2])), batch, input_name, names, opset, module, check
    )
    for line in run_export(options):
        print(line)
