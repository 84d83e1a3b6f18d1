"""How much of the raw engine's speed the whole pipeline keeps: YOLO-pose on 1 and 4 streams, as a table like trtexec's.

    python benchmarks/pose_pipeline.py [--model M.onnx] [--video V.mp4] [--streams 1 4] [--seconds 10] [--rounds 3]

All figures come from one run of one process on the same machine: the raw engine alone (the same asynchronous settings
as nvinfer's, a picture that is already pre-processed), then decode + nvstreammux + nvinfer into fakesink, then with
tracker, tiler, OSD and x264 behind. The engine is measured just before and just after each pipeline, and a ratio is
that of the pipeline to the mean of the two, so that a machine whose speed drifts does not favour one side.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst
from rich.console import Console
from rich.table import Table

import pyds
from millrace.infer.bench import benchmark_engine

ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"
WARM_UP_S = 2.0

CONFIG = """[property]
onnx-file={model}
net-scale-factor=0.0039215697906911373
maintain-aspect-ratio=1
symmetric-padding=1
batch-size={batch}
network-mode={mode}
network-type=3
output-instance-mask=1
parse-bbox-instance-mask-func-name=NvDsInferParseYoloPose
num-detected-classes=1
cluster-mode=4
model-engine-file={folder}/bench_b{batch}_{mode}.engine

[class-attrs-all]
pre-cluster-threshold=0.25
"""

TAILS = {
    "pipeline, fakesink": "fakesink name=end sync=false",
    "pipeline, OSD, tiler, x264": (
        "nvtracker ! nvmultistreamtiler name=tiler width=1280 height=720 ! nvvideoconvert ! nvdsosd ! nvvideoconvert ! "
        "nvv4l2h264enc ! fakesink name=end sync=false"
    ),
}


class Failed(Exception):
    """A pipeline stopped with an error."""


def measure_pipeline(config: Path, video: Path, streams: int, tail: str, seconds: float) -> float:
    """Frames a second of all streams together, after a warm-up."""
    sources = " ".join(
        f"nvurisrcbin uri={video.resolve().as_uri()} file-loop=1 ! queue max-size-buffers=4 ! mux.sink_{index}"
        for index in range(streams)
    )
    pipeline = Gst.parse_launch(
        f"nvstreammux name=mux batch-size={streams} batched-push-timeout=40000 ! "
        f"nvinfer name=infer config-file-path={config} ! {tail} {sources}"
    )
    tiler = pipeline.get_by_name("tiler")
    if tiler is not None:
        side = 1 if streams == 1 else 2
        tiler.set_property("rows", side)
        tiler.set_property("columns", side)
    frames = 0

    def count(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        nonlocal frames
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        frames += batch.num_frames_in_batch
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("infer").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, count)
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    try:
        for wait in (WARM_UP_S, seconds):
            started, before = time.monotonic(), frames
            message = bus.timed_pop_filtered(int(wait * Gst.SECOND), Gst.MessageType.ERROR | Gst.MessageType.EOS)
            if message is not None:
                raise Failed(message.parse_error()[0].message if message.type == Gst.MessageType.ERROR else "EOS")
        return (frames - before) / (time.monotonic() - started)
    finally:
        pipeline.set_state(Gst.State.NULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ASSETS / "models" / "yolov8n-pose.onnx")
    parser.add_argument("--video", type=Path, default=ASSETS / "streams" / "one-by-one-person-detection.mp4")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind; their medians are shown")
    parser.add_argument("--network-mode", type=int, default=0, help="0 FP32, 1 INT8, 2 FP16, as nvinfer's")
    options = parser.parse_args()
    for path in (options.model, options.video):
        if not path.exists():
            print(f"{path} is missing: name another with --model or --video", file=sys.stderr)
            return 1
    table = Table(title=f"{options.model.name}, {options.video.name}, network-mode {options.network_mode}")
    for column in ("what", "model", "size", "streams", "batch", "fps", "ms", "of the raw engine"):
        table.add_column(column, justify="left" if column in ("what", "model") else "right")

    def engine(batch: int) -> tuple[float, str]:
        result = benchmark_engine(
            options.model, batch=batch, seconds=options.seconds / 2, network_mode=options.network_mode
        )
        return result.fps, f"{result.width}x{result.height}"

    with tempfile.TemporaryDirectory() as folder:
        for streams in options.streams:
            raws: list[float] = []
            rates: dict[str, list[float]] = {name: [] for name in TAILS}
            ratios: dict[str, list[float]] = {name: [] for name in TAILS}
            config = Path(folder) / f"pose_b{streams}.txt"
            config.write_text(
                CONFIG.format(
                    model=options.model.resolve(), batch=streams, mode=options.network_mode, folder=folder
                )
            )
            for _ in range(options.rounds):
                before, size = engine(streams)
                raws.append(before)
                for name, tail in TAILS.items():
                    fps = measure_pipeline(config, options.video, streams, tail, options.seconds)
                    after, _ = engine(streams)
                    raws.append(after)
                    rates[name].append(fps)
                    ratios[name].append(fps / ((before + after) / 2))
                    before = after
            head = (options.model.stem, size, str(streams), str(streams))
            raw = statistics.median(raws)
            table.add_row("raw engine", *head, f"{raw:.1f}", f"{1000 / raw:.1f}", "1.00")
            for name in TAILS:
                fps, ratio = statistics.median(rates[name]), statistics.median(ratios[name])
                table.add_row(name, *head, f"{fps:.1f}", f"{1000 / fps:.1f}", f"{ratio:.2f}")
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, GLib.Error) as error:
        print(f"the pipeline failed: {error}", file=sys.stderr)
        sys.exit(1)
