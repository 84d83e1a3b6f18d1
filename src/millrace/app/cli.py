"""The ``millrace`` command. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from millrace import __version__
from millrace.app.engine_cli import engine_app, export, labels_app
from millrace.errors import MillraceError
from millrace.unwind import prefer_libgcc

app = typer.Typer(
    name="millrace",
    help="DeepStream's elements, metadata and configuration files on any Linux machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
samples_app = typer.Typer(help="The bundled samples: generated clips and a pose model.", no_args_is_help=True)
app.add_typer(samples_app, name="samples")
app.add_typer(engine_app, name="engine")
app.add_typer(labels_app, name="labels")
app.command()(export)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"millrace {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more; twice for all.")] = 0,
) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(name)s: %(levelname)s: %(message)s", stream=sys.stderr)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 1 and int(height) > 1):
        raise typer.BadParameter(f"{text!r} is no size; write it as 1280x720")
    return int(width) // 2 * 2, int(height) // 2 * 2


@app.command()
def pose(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Videos, pictures, rtsp:// addresses, cameras (/dev/video0)."),
    ],
    model: Annotated[
        Optional[str],  # noqa: UP045 - typer evaluates this on Python 3.10 too
        typer.Option(help="ONNX pose model (YOLOv8 or YOLOv7) or nvinfer configuration file; else the bundled one."),
    ] = None,
    out: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="FILE|RTSP",
            help="Annotated video (.mp4, .mkv, …), picture, or rtsp://localhost:8554/NAME.",
        ),
    ] = None,
    json_file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--json", metavar="FILE", help="One JSON line for each frame; - is stdout."),
    ] = None,
    tracker: Annotated[bool, typer.Option("--tracker", help="Number the people through the frames.")] = False,
    no_display: Annotated[bool, typer.Option("--no-display", help="No window, even where there is a screen.")] = False,
    conf_thres: Annotated[float, typer.Option(min=0, max=1, help="Least confidence of a person.")] = 0.25,
    iou_thres: Annotated[float, typer.Option(min=0, max=1, help="Overlap above which the weaker box goes.")] = 0.45,
    size: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="WxH", help="Size of the drawn picture; else the source's, 1280x720 for several."),
    ] = None,
    bitrate: Annotated[int, typer.Option(min=1000, help="Of the encoded video, bits a second.")] = 4_000_000,
) -> None:
    """Find people and their keypoints in any number of streams at once."""
    from millrace.app.pose import PoseOptions, run_pose

    options = PoseOptions(
        inputs=inputs, model=model, out=out, json=json_file, tracker=tracker, display=not no_display,
        confidence=conf_thres, nms_iou=iou_thres, size=_size(size), bitrate=bitrate,
    )  # fmt: skip
    raise typer.Exit(run_pose(options))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "allow_interspersed_args": False,
        "ignore_unknown_options": True,
    }
)
def run(
    context: typer.Context,
    script: Annotated[str, typer.Argument(help="A DeepStream Python application.")],
) -> None:
    """Run a DeepStream Python application unmodified: millrace run SCRIPT [ARGS]."""
    from millrace.app.launcher import run_script

    raise typer.Exit(run_script(script, context.args))


@app.command()
def env() -> None:
    """Print what a shell needs to find the elements and pyds: eval "$(millrace env)"."""
    from millrace.app.env import export_lines

    print(export_lines())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The annotated video.")] = Path("demo/pose.mp4"),
    streams: Annotated[int, typer.Option(min=1, max=16, help="Number of streams.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Length of each generated clip.")] = 8.0,
    tracker: Annotated[bool, typer.Option(help="Number the people through the frames.")] = True,
) -> None:
    """Generate clips of walking figures, find their poses, write one annotated video."""
    from millrace.app.demo import run_demo

    raise typer.Exit(run_demo(out, streams, seconds, tracker))


@samples_app.command("clips")
def samples_clips(
    folder: Annotated[Path, typer.Argument(help="Where to write demo_0.mp4, demo_1.mp4, … and their ground truth.")],
    count: Annotated[int, typer.Option(min=1, help="Number of clips.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each.")] = 10.0,
    width: Annotated[int, typer.Option(min=64)] = 640,
    height: Annotated[int, typer.Option(min=64)] = 360,
    fps: Annotated[int, typer.Option(min=1, max=120)] = 25,
) -> None:
    """Write clips of moving figures with known boxes and keypoints (H.264, JSON beside each)."""
    from millrace.samples import demo_clips

    for path in demo_clips(folder, count, seconds, width=width, height=height, fps=fps):
        print(path)


@samples_app.command("install")
def samples_install(
    folder: Annotated[
        Path | None, typer.Argument(help="DeepStream's folder; samples is made in it. Default: the one that run uses.")
    ] = None,
) -> None:
    """Lay out DeepStream's samples folder: models, configurations and streams that applications ask for by name."""
    from millrace.app.demo import install_samples

    for path in install_samples(folder):
        print(path)


@app.command()
def doctor() -> None:
    """Say what Millrace needs, what of it is here, and how to install the rest."""
    from millrace.app.doctor import run_doctor

    raise typer.Exit(run_doctor())


def main() -> None:
    """Entry point: an expected error is one line on stderr and exit code 1."""
    prefer_libgcc()  # before an application loads GStreamer in an order of its own
    try:
        app()
    except MillraceError as error:
        print(f"millrace: error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except BrokenPipeError:  # `millrace … | head`
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
