"""Time that walking, making and copying metadata takes: 4 streams of 50 objects, on one core.

    python benchmarks/metadata.py [--streams 4] [--objects 50] [--limit 1.0]

The walk is that of DeepStream's sample applications: GList nodes, cast(), and what a probe reads of an object. The exit
code is 1 when it takes longer than ``--limit`` milliseconds a batch.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pyds

ROUNDS = 200


def make(streams: int, objects: int) -> Any:
    """A batch as nvinfer and nvtracker leave it."""
    batch = pyds.nvds_create_batch_meta(streams)
    for source in range(streams):
        frame = pyds.nvds_acquire_frame_meta_from_pool(batch)
        frame.pad_index = frame.source_id = frame.batch_id = source
        pyds.nvds_add_frame_meta_to_batch(batch, frame)
        for number in range(objects):
            item = pyds.nvds_acquire_obj_meta_from_pool(batch)
            item.class_id, item.object_id, item.confidence = number % 4, number, 0.5
            item.obj_label = "person"
            rect = item.rect_params
            rect.left, rect.top, rect.width, rect.height = 10.0 * number, 20.0, 30.0, 40.0
            item.text_params.display_text = f"person {number}"
            pyds.nvds_add_obj_meta_to_frame(frame, item, None)
    return batch


def walk(batch: Any) -> int:
    """Every object, the GList way; how many there were."""
    count = 0
    l_frame = batch.frame_meta_list
    while l_frame is not None:
        try:
            frame_meta = pyds.NvDsFrameMeta.cast(l_frame.data)
        except StopIteration:
            break
        l_obj = frame_meta.obj_meta_list
        while l_obj is not None:
            try:
                obj_meta = pyds.NvDsObjectMeta.cast(l_obj.data)
            except StopIteration:
                break
            rect = obj_meta.rect_params
            _ = (obj_meta.class_id, obj_meta.object_id, obj_meta.confidence, obj_meta.obj_label)
            _ = (rect.left, rect.top, rect.width, rect.height)
            count += 1
            try:
                l_obj = l_obj.next
            except StopIteration:
                break
        try:
            l_frame = l_frame.next
        except StopIteration:
            break
    return count


def milliseconds(call: Callable[[], Any]) -> float:
    """The median time of a call."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--objects", type=int, default=50, help="objects in each stream")
    parser.add_argument("--limit", type=float, default=1.0, help="milliseconds a batch that the walk may take")
    arguments = parser.parse_args()
    batch = make(arguments.streams, arguments.objects)
    assert walk(batch) == arguments.streams * arguments.objects
    taken = milliseconds(lambda: walk(batch))
    print(f"{arguments.streams} streams of {arguments.objects} objects, ms a batch:")
    print(f"  walk, the GList way  {taken:.3f}")
    print(f"  make                 {milliseconds(lambda: make(arguments.streams, arguments.objects)):.3f}")
    print(f"  deep copy            {milliseconds(batch.duplicate):.3f}")
    return 0 if taken <= arguments.limit else 1


if __name__ == "__main__":
    sys.exit(main())
