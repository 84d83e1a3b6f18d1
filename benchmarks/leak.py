"""Memory of a process that attaches metadata of every kind to every frame at full speed, minute by minute.

    python benchmarks/leak.py [--minutes 10] [--warm-up 60] [--limit 2.0]

Two streams of generated frames go through nvstreammux, nvtracker, a tee, nvvideoconvert and nvdsosd. A probe attaches
objects, classifications, display metadata, user metadata with copy and release functions, event messages with strings
and extensions, custom structures and JPEG crops; it allocates, duplicates and frees strings. Other probes read it all
behind the tee. The exit code is 0 when the median memory of each minute stays within ``--limit`` percent of the first
one after the warm-up, and each user meta was released exactly once.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst
from rich.console import Console
from rich.table import Table

import pyds

WIDTH, HEIGHT, STREAMS, OBJECTS = 320, 240, 2, 6
NVMM = "video/x-raw(memory:NVMM)"
SAMPLE_S = 1.0


class Data:
    """Application data of a user meta; how many were made and released is counted."""

    made = released = 0

    def __init__(self, text: str) -> None:
        Data.made += 1
        self.text = text
        self.live = True


def copy_data(meta: Any, _user: Any) -> Data:
    """Copy function of the user metas."""
    return Data(pyds.NvDsUserMeta.cast(meta).user_meta_data.text)


def release_data(meta: Any, _user: Any) -> None:
    """Release function of the user metas; each data must come here once."""
    data = pyds.NvDsUserMeta.cast(meta).user_meta_data
    if not data.live:
        raise RuntimeError("a user meta was released twice")
    data.live = False
    Data.released += 1


def nodes(node: Any) -> Any:
    """The data of a GList."""
    while node is not None:
        yield node.data
        node = node.next


class Load:
    """The probes."""

    def __init__(self) -> None:
        self.frames = self.seen = 0
        self.encoder = pyds.nvds_obj_enc_create_context(0)

    def make(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """Attach metadata of every kind."""
        buffer = info.get_buffer()
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(buffer))
        pyds.nvds_acquire_meta_lock(batch)
        for data in nodes(batch.frame_meta_list):
            frame = pyds.NvDsFrameMeta.cast(data)
            self.frames += 1
            for number in range(OBJECTS):
                self._object(batch, frame, number)
            self._display(batch, frame)
            self._user(batch, frame)
            self._event(batch, frame)
            self._custom(batch, frame)
            if frame.frame_num % 32 == 0:
                self._encode(hash(buffer), frame)
        pyds.nvds_release_meta_lock(batch)
        return Gst.PadProbeReturn.OK

    def _object(self, batch: Any, frame: Any, number: int) -> None:
        item = pyds.nvds_acquire_obj_meta_from_pool(batch)
        item.unique_component_id, item.class_id, item.confidence = 1, number % 3, 0.5
        rect = item.rect_params
        rect.left, rect.top = 40 * number + frame.frame_num % 20, 30 + 20 * number
        rect.width, rect.height, rect.border_width = 30, 40, 2
        rect.border_color.set(1.0, 0.0, 0.0, 1.0)
        for text in ("first", f"object {number} of frame {frame.frame_num}"):
            item.obj_label = text
            item.text_params.display_text = text
            pyds.get_string(item.text_params.display_text)
        item.text_params.font_params.font_name = "Serif"
        classifier = pyds.nvds_acquire_classifier_meta_from_pool(batch)
        label = pyds.nvds_acquire_label_info_meta_from_pool(batch)
        label.result_label = f"label {number}"
        pyds.nvds_add_label_info_meta_to_classifier(classifier, label)
        pyds.nvds_add_classifier_meta_to_object(item, classifier)
        pyds.nvds_add_obj_meta_to_frame(frame, item, None)
        assert pyds.NvDsObjectMeta.cast(hash(item)) is item
        if number == OBJECTS - 1:
            pyds.nvds_remove_obj_meta_from_frame(frame, item)

    @staticmethod
    def _display(batch: Any, frame: Any) -> None:
        display = pyds.nvds_acquire_display_meta_from_pool(batch)
        display.num_labels = 2
        for index in range(2):
            text = display.text_params[index]
            for round_ in range(3):
                text.display_text = f"frame {frame.frame_num}, text {index}, round {round_}"
            text.x_offset, text.y_offset = 10, 10 + 20 * index
            text.font_params.font_name, text.font_params.font_size = "Serif", 10
            text.font_params.font_color.set(1.0, 1.0, 1.0, 1.0)
        display.num_lines = 1
        line = display.line_params[0]
        line.x1, line.y1, line.x2, line.y2, line.line_width = 0, 0, 50, 50, 2
        line.line_color.set(0.0, 1.0, 0.0, 1.0)
        pyds.nvds_add_display_meta_to_frame(frame, display)

    @staticmethod
    def _user(batch: Any, frame: Any) -> None:
        user = pyds.nvds_acquire_user_meta_from_pool(batch)
        user.user_meta_data = Data(f"user data of frame {frame.frame_num}" * 4)
        user.base_meta.meta_type = pyds.NvDsMetaType(pyds.nvds_get_user_meta_type("MILLRACE.LEAK.TEST"))
        pyds.user_copyfunc(user, copy_data)
        pyds.user_releasefunc(user, release_data)
        pyds.nvds_add_user_meta_to_frame(frame, user)

    @staticmethod
    def _event(batch: Any, frame: Any) -> None:
        user = pyds.nvds_acquire_user_meta_from_pool(batch)
        event = pyds.NvDsEventMsgMeta.cast(pyds.alloc_nvds_event_msg_meta(user))
        event.bbox.left, event.frameId, event.trackingId = 1.5, frame.frame_num, frame.frame_num
        event.sensorStr, event.videoPath = f"sensor-{frame.pad_index}", "a" * 200
        event.videoPath = f"video of frame {frame.frame_num}"
        event.ts = pyds.alloc_buffer(33)
        pyds.generate_ts_rfc3339(event.ts, 32)
        event.type = pyds.NvDsEventType.NVDS_EVENT_MOVING
        event.objType = pyds.NvDsObjectType.NVDS_OBJECT_TYPE_VEHICLE
        vehicle = pyds.NvDsVehicleObject.cast(pyds.alloc_nvds_vehicle_object())
        vehicle.type, vehicle.color, vehicle.make = "sedan", "blue", f"make {frame.frame_num}"
        event.extMsg, event.extMsgSize = vehicle, 64
        text = pyds.strdup(event.sensorStr)
        assert pyds.get_string(text) == pyds.strdup2str(event.sensorStr)
        pyds.free_buffer(text)
        pyds.free_buffer(pyds.alloc_buffer(256))
        user.user_meta_data = event
        user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_EVENT_MSG_META
        pyds.nvds_add_user_meta_to_frame(frame, user)

    @staticmethod
    def _custom(batch: Any, frame: Any) -> None:
        user = pyds.nvds_acquire_user_meta_from_pool(batch)
        data = pyds.alloc_custom_struct(user)
        data.message = f"message of frame {frame.frame_num}"
        data.message = pyds.get_string(data.message)
        data.structId = frame.frame_num
        user.user_meta_data = data
        user.base_meta.meta_type = pyds.NvDsMetaType.NVDS_USER_META
        pyds.nvds_add_user_meta_to_frame(frame, user)

    def _encode(self, buffer: int, frame: Any) -> None:
        item = pyds.NvDsObjectMeta.cast(frame.obj_meta_list.data)
        wanted = pyds.NvDsObjEncUsrArgs()
        wanted.saveImg, wanted.attachUsrMeta, wanted.quality = False, True, 80
        pyds.nvds_obj_enc_process(self.encoder, wanted, buffer, item, frame)
        pyds.nvds_obj_enc_finish(self.encoder)

    def read(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """Read the metadata behind the tee, and touch the picture where it is RGBA."""
        buffer = info.get_buffer()
        batch = pyds.gst_buffer_get_nvds_batch_meta(hash(buffer))
        for data in nodes(batch.frame_meta_list):
            frame = pyds.NvDsFrameMeta.cast(data)
            self.seen += 1
            for found in nodes(frame.obj_meta_list):
                pyds.get_string(pyds.NvDsObjectMeta.cast(found).text_params.display_text)
            for found in nodes(frame.frame_user_meta_list):
                user = pyds.NvDsUserMeta.cast(found)
                if user.base_meta.meta_type == pyds.NvDsMetaType.NVDS_EVENT_MSG_META:
                    event = pyds.NvDsEventMsgMeta.cast(user.user_meta_data)
                    pyds.get_string(event.sensorStr)
                    pyds.get_string(pyds.NvDsVehicleObject.cast(event.extMsg).make)
            pyds.get_nvds_buf_surface(hash(buffer), frame.batch_id)[:4, :4] = 0
            pyds.unmap_nvds_buf_surface(hash(buffer), frame.batch_id)
        return Gst.PadProbeReturn.OK


def pipeline_of(load: Load) -> Gst.Pipeline:
    """The pipeline with its probes."""
    source = (
        f"videotestsrc pattern=smpte ! video/x-raw,format=NV12,width={WIDTH},height={HEIGHT},framerate=30/1 ! "
        "nvvideoconvert ! video/x-raw(memory:NVMM) ! queue max-size-buffers=2 ! mux.sink_"
    )
    pipeline = Gst.parse_launch(
        f"nvstreammux name=mux batch-size={STREAMS} width={WIDTH} height={HEIGHT} batched-push-timeout=40000 ! "
        "identity name=make ! nvtracker ! tee name=tee "
        f"tee. ! queue max-size-buffers=2 ! nvvideoconvert ! {NVMM},format=RGBA ! identity name=read ! nvdsosd ! "
        "fakesink sync=false "
        f"tee. ! queue max-size-buffers=2 ! nvvideoconvert ! {NVMM},width=160,height=120 ! fakesink sync=false "
        + " ".join(f"{source}{index}" for index in range(STREAMS))
    )
    for name, function in (("make", load.make), ("read", load.read)):
        pipeline.get_by_name(name).get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, function)
    return pipeline


def memory() -> float:
    """Resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def measure(minutes: float, warm_up: float, parts: int) -> tuple[list[float], list[int]]:
    """Play; the median memory in MiB of each part of the time, and the frames made until its end.

    Raises:
        RuntimeError: the pipeline stopped.
    """
    load = Load()
    pipeline = pipeline_of(load)
    bus = pipeline.get_bus()
    pipeline.set_state(Gst.State.PLAYING)
    medians: list[float] = []
    frames: list[int] = []

    def sample(until: float) -> list[float]:
        found = []
        while time.monotonic() < until:
            message = bus.timed_pop_filtered(int(SAMPLE_S * Gst.SECOND), Gst.MessageType.ERROR | Gst.MessageType.EOS)
            if message is not None:
                raise RuntimeError(f"the pipeline stopped: {message.get_structure().to_string()}")
            found.append(memory())
        return found

    try:
        start = time.monotonic() + warm_up
        sample(start)
        for part in range(parts):
            medians.append(statistics.median(sample(start + (part + 1) * minutes * 60 / parts)))
            frames.append(load.frames)
            print(f"{(part + 1) * minutes / parts:.1f} min: {medians[-1]:.1f} MiB, {load.frames} frames", flush=True)
    finally:
        pipeline.set_state(Gst.State.NULL)
    if not load.seen:
        raise RuntimeError("no frame came through")
    return medians, frames


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="time to measure")
    parser.add_argument("--warm-up", type=float, default=60.0, metavar="SECONDS", help="time before it")
    parser.add_argument("--limit", type=float, default=2.0, help="percent that the memory may differ")
    arguments = parser.parse_args()
    warnings.simplefilter("error", DeprecationWarning)
    parts = max(round(arguments.minutes), 4)
    medians, frames = measure(arguments.minutes, arguments.warm_up, parts)
    gc.collect()
    table = Table("until, min", "frames", "memory, MiB", "change, %")
    for part, (median, count) in enumerate(zip(medians, frames, strict=True)):
        change = 100 * (median / medians[0] - 1)
        table.add_row(f"{(part + 1) * arguments.minutes / parts:g}", str(count), f"{median:.1f}", f"{change:+.2f}")
    Console().print(table)
    worst = max(abs(100 * (median / medians[0] - 1)) for median in medians)
    print(f"largest change {worst:.2f} %; user metas: {Data.made} made, {Data.released} released")
    return 0 if worst <= arguments.limit and Data.made == Data.released else 1


if __name__ == "__main__":
    sys.exit(main())
