"""Crops a second of a secondary classifier behind objects on several streams, and the time spent outside its engine.

    python benchmarks/secondary.py [--streams 4] [--objects 12] [--seconds 10] [--config CONFIG]

Objects of the size that vehicles have are put on generated frames by a probe, without ids, so that each is inferred on
in each frame. The engine alone is measured in the same run, before and after, with the same batch size.
"""

from __future__ import annotations

import argparse
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
from millrace.config import load_infer_config
from millrace.infer.bench import benchmark_engine
from millrace.samples import sample_config

WARM_UP_S = 2.0
WIDTH, HEIGHT = 1280, 720
CROP = (160, 110)  # pixels of the frame


class Failed(Exception):
    """The pipeline stopped with an error."""


def measure(config: Path, streams: int, objects: int, seconds: float) -> tuple[float, float]:
    """Crops and frames a second of all streams together, after a warm-up."""
    source = (
        f"videotestsrc pattern=smpte ! video/x-raw,format=NV12,width={WIDTH},height={HEIGHT},framerate=30/1 ! "
        "nvvideoconvert ! video/x-raw(memory:NVMM) ! queue max-size-buffers=2 ! mux.sink_"
    )
    pipeline = Gst.parse_launch(
        f"nvstreammux name=mux batch-size={streams} width={WIDTH} height={HEIGHT} batched-push-timeout=40000 ! "
        f"nvinfer name=infer config-file-path={config} ! fakesink name=end sync=false "
        + " ".join(f"{source}{index}" for index in range(streams))
    )
    crops = frames = 0

    def put(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        for frame in batch.frames:
            for number in range(objects):
                item = pyds.nvds_acquire_obj_meta_from_pool(batch)
                item.unique_component_id, item.class_id = 1, 0
                rect = item.rect_params
                rect.left, rect.top = 40 + 95 * (number % 12), 30 + 120 * (number // 12 % 5)
                rect.width, rect.height = CROP
                pyds.nvds_add_obj_meta_to_frame(frame, item, None)
        return Gst.PadProbeReturn.OK

    def count(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        nonlocal crops, frames
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        frames += batch.num_frames_in_batch
        crops += sum(frame.num_obj_meta for frame in batch.frames)
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("mux").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, put)
    pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    try:
        for wait in (WARM_UP_S, seconds):
            started, before = time.monotonic(), (crops, frames)
            message = bus.timed_pop_filtered(int(wait * Gst.SECOND), Gst.MessageType.ERROR)
            if message is not None:
                raise Failed(message.parse_error()[0].message)
        passed = time.monotonic() - started
        return (crops - before[0]) / passed, (frames - before[1]) / passed
    finally:
        pipeline.set_state(Gst.State.NULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="nvinfer configuration of a secondary classifier")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--objects", type=int, default=12, help="on each frame")
    parser.add_argument("--batch", type=int, default=16, help="batch-size of the classifier")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    named = options.config or sample_config("secondary_vehicleattributes")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "secondary.txt"
        loaded = load_infer_config(named).with_overrides(
            {
                "batch_size": options.batch,
                "operate_on_class_ids": [],
                "operate_on_gie_id": -1,
                "classifier_async_mode": False,
                "model_engine_file": Path(folder) / "secondary.engine",
            }
        )
        config.write_text(loaded.to_ini())
        before = benchmark_engine(loaded, options.batch, options.seconds / 2).fps
        crops, frames = measure(config, options.streams, options.objects, options.seconds)
        after = benchmark_engine(loaded, options.batch, options.seconds / 2).fps
    engine = (before + after) / 2
    what = f"{options.streams} streams of {WIDTH}x{HEIGHT}, {options.objects} objects a frame"
    table = Table(title=f"{named.name}, {what}")
    for column in ("engine alone, crops/s", "pipeline, crops/s", "frames/s", "time outside the engine"):
        table.add_column(column, justify="right")
    table.add_row(f"{engine:.0f}", f"{crops:.0f}", f"{frames:.1f}", f"{max(0.0, 1 - crops / engine):.0%}")
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, GLib.Error) as error:
        print(f"the pipeline failed: {error}", file=sys.stderr)
        sys.exit(1)
