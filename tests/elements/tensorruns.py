"""Pipelines in which a probe attaches ready tensors in front of nvinfer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from gi.repository import Gst
from onnx import TensorProto, helper, numpy_helper

import pyds
from millrace.meta.inputtensor import attach_input_tensor, make_roi_meta

from .pipelines import NVMM, drain, pad_of, playing, watch
from .test_infer import BARS

Make = Callable[[Any, Any], None]  # (batch metadata, buffer)


def stream(middle: str = "", tail: str = "fakesink name=end", frames: int = 3, sources: int = 1) -> str:
    """Test pictures through a muxer and an nvinfer; ``middle`` comes between them."""
    source = f"videotestsrc num-buffers={frames} ! video/x-raw,format=NV12,width=320,height=180,framerate=30/1 ! "
    source += f"nvvideoconvert ! {NVMM} ! mux.sink_"
    return (
        f"nvstreammux name=mux batch-size={sources} width=320 height=180 ! nvvideoconvert ! {NVMM},format=RGBA ! "
        f"identity name=probe {middle} ! nvinfer name=infer input-tensor-meta=1 ! {tail} "
        + " ".join(f"{source}{i}" for i in range(sources))
    )


def play(description: str, file: Path, make: Make, looks: dict[str, Make] | None = None, **properties: Any) -> Any:
    """Run a description; ``make`` sees each batch at the element ``probe``."""
    pipeline = Gst.parse_launch(description)
    infer = pipeline.get_by_name("infer")
    infer.set_property("config-file-path", str(file))
    for name, value in properties.items():
        infer.set_property(name.replace("_", "-"), value)
    for path, look in {"probe:src": make, **(looks or {})}.items():

        def seen(_batch: Any, buffer: Any, look: Make = look) -> None:
            look(pyds.gst_buffer_get_nvds_batch_meta(hash(buffer)), buffer)

        watch(pad_of(pipeline, path), seen)
    with playing(pipeline):
        return drain(pipeline)


def model(folder: Path, name: str, nodes: list[Any], shape: list[Any], out: list[Any], *weights: Any) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("output0", TensorProto.FLOAT, out)
    graph = helper.make_graph(nodes, "g", [x], [y], list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / name)
    return folder / name


def box_config(folder: Path, extra: str = "") -> Path:
    """A detector whose tensor (6 numbers a row) is its one object: x1, y1, x2, y2, score, class."""
    shape = numpy_helper.from_array(np.array([0, 1, 6], np.int64), "shape")
    model(folder, "box.onnx", [helper.make_node("Reshape", ["x", "shape"], ["output0"])], ["n", 6], ["n", 1, 6], shape)
    file = folder / "box.txt"
    file.write_text(
        "[property]\nonnx-file=box.onnx\nbatch-size=2\ngie-unique-id=7\nnum-detected-classes=1\ncluster-mode=4\n"
        f"{extra}[class-attrs-all]\npre-cluster-threshold=0.5\n"
    )
    return file


def boxes_of(batch: Any, unique_id: int = 7) -> list[tuple[int, list[float]]]:
    """(source, [left, top, width, height]) of the objects of one component."""
    found = []
    for frame in batch.frames:
        for item in frame.objects:
            if item.unique_component_id == unique_id:
                rect = item.rect_params
                found.append((frame.source_id, [rect.left, rect.top, rect.width, rect.height]))
    return found


def row(*box: float) -> list[float]:
    return [*box, 0.9, 0.0]


def put_bars(batch: Any) -> list[tuple[Any, Any]]:
    """Objects of another component on the coloured bars: (frame, object)."""
    made = []
    for frame in batch.frames:
        for number, (left, top, width, height) in enumerate(BARS.values()):
            item = pyds.nvds_acquire_obj_meta_from_pool(batch)
            item.unique_component_id, item.class_id, item.obj_label = 1, number, "bar"
            rect = item.rect_params
            rect.left, rect.top, rect.width, rect.height = left, top, width, height
            pyds.nvds_add_obj_meta_to_frame(frame, item, None)
            made.append((frame, item))
    return made


def crops(batch: Any, buffer: Any, objects: bool) -> None:
    """Tensors of the bars' crops, for objects or for mere regions."""
    tensor, rois = [], []
    for frame, item in put_bars(batch):
        rgba = pyds.get_nvds_buf_surface(hash(buffer), frame.batch_id)
        box = item.rect_params
        left, top = int(box.left), int(box.top)
        tensor.append(rgba[top : top + 16, left : left + 16, :3].transpose(2, 0, 1) / 255)
        roi = None if objects else (left, top, 16, 16)
        rois.append(make_roi_meta(frame, roi, object_meta=item if objects else None))
    attach_input_tensor(batch, np.array(tensor, np.float32), "x", rois, [7])
