"""Accuracy on the street: the sample models run directly against the same models through the pipeline.

`python -m millrace.samples.accuracy [--seconds N] [--clip CLIP] [--int8]` films a held-out street (or takes a
clip of write_street_clip), runs the detector and the vehicle classifiers directly in OpenVINO on every decoded frame
and on every true box, then the same files through nvstreammux and nvinfer, whose metadata are read with pyds, and
prints average precision at an overlap of 0.5 and each task's accuracy with their ratio.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from millrace.errors import MediaError, ModelError
from millrace.samples.clip import read_street_truth, write_street_clip
from millrace.samples.evaluate import overlap
from millrace.samples.scoring import HELD_OUT_SEED, Found, asked_for, decode_grid, mean_average_precision
from millrace.samples.scoring import worth_classifying as worth
from millrace.samples.street import CLASSES, Thing

FOLDER = Path(__file__).resolve().parent
CONFIGS = FOLDER / "configs" / "deepstream-app"
FLOOR = 0.05
"""Detections below this score are left out of both curves."""

MEAN = np.array([103.939, 116.779, 123.68], np.float32)
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Task:
    """One attribute: its name in the ground truth, the configuration, and the network's number among the outputs."""

    name: str
    config: str
    component: int
    model: str
    output: int


TASKS = (
    Task("colour", "config_infer_secondary_vehicleattributes.txt", 4, "Secondary_VehicleAttributes", 0),
    Task("type", "config_infer_secondary_vehicleattributes.txt", 4, "Secondary_VehicleAttributes", 1),
    Task("make", "config_infer_secondary_vehiclemake.txt", 2, "Secondary_VehicleMake", 0),
    Task("type (single)", "config_infer_secondary_vehicletypes.txt", 3, "Secondary_VehicleTypes", 0),
)


@dataclass
class Result:
    """Detections a frame and, for each task, (right, asked) over vehicles worth classifying; seconds it took."""

    found: list[Found] = field(default_factory=list)
    tasks: dict[str, tuple[int, int]] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, task: Task, right: bool) -> None:
        """Add one vehicle's answer."""
        good, asked = self.tasks.get(task.name, (0, 0))
        self.tasks[task.name] = (good + right, asked + 1)


def truth_of(task: Task, thing: Thing) -> str:
    """The true label of a vehicle for a task."""
    return thing.attributes[task.name.split(" ")[0]]


def labels_of(task: Task) -> list[str]:
    """The task's labels in the network's order."""
    lines = (FOLDER / "models" / task.model / "labels.txt").read_text().splitlines()
    return lines[task.output].split(";")


def pictures(clip: Path) -> Iterator[Image]:
    """Frames (H, W, 3) RGB of a clip. Raises MediaError when it cannot be read."""
    video = cv2.VideoCapture(str(clip))
    got, frame = video.read()
    if not got:
        raise MediaError(f"{clip}: not a video that can be read")
    while got:
        yield np.ascontiguousarray(frame[..., ::-1]).astype(np.uint8, copy=False)
        got, frame = video.read()
    video.release()


def compiled(folder: str) -> Any:
    """The folder's model in OpenVINO, FP32. Raises ModelError when OpenVINO or the model is missing."""
    try:
        import openvino
    except ImportError:
        raise ModelError("openvino is missing; install it with: pip install openvino") from None
    files = sorted((FOLDER / "models" / folder).glob("*.onnx"))
    if not files:
        raise ModelError(f"{FOLDER / 'models' / folder}: no ONNX file in it")
    return openvino.Core().compile_model(str(files[0]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def run_direct(clip: Path, truth: list[list[Thing]]) -> Result:
    """Detector on whole frames and classifiers on true boxes, without any of the pipeline's code."""
    result, began = Result(), time.perf_counter()
    detector = compiled("Primary_Detector")
    models = {task.model: compiled(task.model) for task in TASKS}
    height, width = detector.input(0).partial_shape[2].get_length(), detector.input(0).partial_shape[3].get_length()
    for image, things in zip(pictures(clip), truth, strict=False):
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        out = detector(small.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
        grid = decode_grid(out[0][0], out[1][0], (width, height), FLOOR)
        grid.boxes[:] *= np.tile([image.shape[1] / width, image.shape[0] / height], 2)
        result.found.append(grid)
        for thing in filter(worth, things):
            left, top, w, h = thing.box
            patch = image[max(0, round(top)) : round(top + h), max(0, round(left)) : round(left + w), ::-1]
            patch = cv2.resize(patch, (224, 224), interpolation=cv2.INTER_LINEAR).astype(np.float32)
            answers: dict[str, Any] = {}
            for task in TASKS:
                if task.model not in answers:
                    tensor = patch - MEAN if task.model == "Secondary_VehicleAttributes" else patch
                    answers[task.model] = models[task.model](tensor.transpose(2, 0, 1)[None])
                best = int(answers[task.model][task.output][0].argmax())
                result.count(task, labels_of(task)[best] == truth_of(task, thing))
    result.seconds = time.perf_counter() - began
    return result


def _adapted(folder: Path, name: str, changes: dict[str, str]) -> Path:
    """A copy of a configuration with absolute paths and other values."""
    text = re.sub(r"=\.\./\.\./", f"={FOLDER}/", (CONFIGS / name).read_text())
    # Compiled engines go to the scratch folder too, never into the package.
    for key, value in (changes | {"model-engine-file": str(folder / f"{name}.engine")}).items():
        line = f"{key}={value}"
        text, count = re.subn(rf"(?m)^{re.escape(key)}=.*$", line.replace("\\", "\\\\"), text)
        if not count:
            text = text.replace("[property]\n", f"[property]\n{line}\n", 1)
    (folder / name).write_text(text)
    return folder / name


def run_pipeline(clip: Path, truth: list[list[Thing]], size: tuple[int, int], int8: bool = False) -> Result:
    """The clip through the elements; metadata read with pyds as an application would.

    size: width and height of the clip; int8: network-mode=1 with the shipped calibration cache for the detector.
    Raises MediaError with GStreamer's words when the pipeline fails.
    """
    from millrace.app.gst import register_elements

    register_elements()
    import pyds
    from millrace.elements._gst import Gst

    result, began = Result(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        changes = {"pre-cluster-threshold": str(FLOOR), "topk": "200", "batch-size": "1"}
        if int8:
            cache = FOLDER / "models" / "Primary_Detector" / "cal_trt.bin"
            changes |= {"network-mode": "1", "int8-calib-file": str(cache)}
        chain = [_adapted(Path(scratch), "config_infer_primary.txt", changes)]
        for name in dict.fromkeys(task.config for task in TASKS):
            low = {"classifier-threshold": "0.0", "input-object-min-width": "16", "input-object-min-height": "16"}
            chain.append(_adapted(Path(scratch), name, low))
        infer = " ! ".join(f'nvinfer config-file-path="{path}"' for path in chain)
        pipeline = Gst.parse_launch(
            f'filesrc location="{clip}" ! qtdemux ! h264parse ! nvv4l2decoder ! m.sink_0 '
            f"nvstreammux name=m batch-size=1 width={size[0]} height={size[1]} batched-push-timeout=4000000 ! "
            f"{infer} ! fakesink name=end sync=false"
        )

        def probe(_pad: Any, info: Any) -> Any:
            batch = pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
            frames = batch.frame_meta_list
            while frames is not None:
                _read(pyds.NvDsFrameMeta.cast(frames.data), truth, result)
                frames = frames.next
            return Gst.PadProbeReturn.OK

        pipeline.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, probe)
        pipeline.set_state(Gst.State.PLAYING)
        message = pipeline.get_bus().timed_pop_filtered(600 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        pipeline.set_state(Gst.State.NULL)
        if message is None or message.type == Gst.MessageType.ERROR:
            reason = message.parse_error()[0].message if message else "no end after 600 s"
            raise MediaError(f"{clip}: the pipeline failed: {reason}")
    result.seconds = time.perf_counter() - began
    return result


def _read(frame: Any, truth: list[list[Thing]], result: Result) -> None:
    """Take over one NvDsFrameMeta."""
    boxes, scores, ids, answers = [], [], [], []
    node = frame.obj_meta_list
    while node is not None:
        item = node.data
        rect = item.rect_params
        boxes.append((rect.left, rect.top, rect.width, rect.height))
        scores.append(item.confidence)
        ids.append(item.class_id)
        labels: dict[int, list[str]] = {}
        kinds = item.classifier_meta_list
        while kinds is not None:
            infos = kinds.data.label_info_list
            while infos is not None:
                labels.setdefault(kinds.data.unique_component_id, []).append(infos.data.result_label)
                infos = infos.next
            kinds = kinds.next
        answers.append(labels)
        node = node.next
    array = np.array(boxes, np.float64).reshape(-1, 4)
    result.found.append(Found(array, np.array(scores, np.float64), np.array(ids, np.int64)))
    vehicles = [k for k, c in enumerate(ids) if c == 0]
    for thing in filter(worth, truth[frame.frame_num]):
        ious = overlap(np.array([thing.box]), array[vehicles])[0]
        if not len(ious) or ious.max() < 0.5:
            continue  # the detector's miss, counted in its own figure
        told = answers[vehicles[int(ious.argmax())]]
        for task in TASKS:
            names = told.get(task.component, [])
            result.count(task, task.output < len(names) and names[task.output] == truth_of(task, thing))


def table(clip: Path, truth: list[list[Thing]], height: int, direct: Result, piped: Result) -> str:
    """Figures of both runs side by side."""
    count = len(truth)
    wanted = sum(asked_for(t, height) for things in truth for t in things if t.class_id < 4)
    lines = [f"{clip.name}: {count} frames, {wanted} things asked for"]
    lines.append(f"{'':<24}{'direct':>10}{'pipeline':>10}{'ratio':>8}")

    def row(name: str, a: float, b: float) -> None:
        lines.append(f"{name:<24}{a:>10.4f}{b:>10.4f}{b / a if a else float('nan'):>8.3f}")

    first = mean_average_precision(direct.found, truth[: len(direct.found)], height)
    second = mean_average_precision(piped.found, truth[: len(piped.found)], height)
    row("mAP@0.5", first[0], second[0])
    for k in range(4):
        row(f"  {CLASSES[k]}", first[1][k], second[1][k])
    for task in TASKS:
        (a, n), (b, m) = direct.tasks.get(task.name, (0, 0)), piped.tasks.get(task.name, (0, 0))
        row(f"{task.name} ({n}, {m})", a / max(1, n), b / max(1, m))
    lines.append(f"{'frames a second':<24}{count / direct.seconds:>10.1f}{len(piped.found) / piped.seconds:>10.1f}")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m millrace.samples.accuracy", description=__doc__)
    parser.add_argument("--clip", type=Path, help="a clip of the street with its JSON; default: film a held-out one")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clip that is filmed")
    parser.add_argument("--int8", action="store_true", help="the pipeline's detector in INT8 by its calibration cache")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clip = options.clip or write_street_clip(
            Path(scratch) / "held_out.mp4", options.seconds, 15, HELD_OUT_SEED + 70_001,
            vehicles=6, bicycles=2, people=4, signs=3,
        )  # fmt: skip
        truth = read_street_truth(clip)
        image = next(pictures(clip))
        size = (image.shape[1], image.shape[0])
        direct = run_direct(clip, truth)
        piped = run_pipeline(clip, truth, size, options.int8)
        print(table(clip, truth, size[1], direct, piped))


if __name__ == "__main__":
    main()
