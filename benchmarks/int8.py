"""What INT8 costs and saves: networks in FP32 and in INT8 by a calibration cache, on frames that are new to them.

    python benchmarks/int8.py MODEL.onnx|CONFIG ... --frames VIDEO|FOLDER ... [--calibrate-with VIDEO|FOLDER ...]
    python benchmarks/int8.py CONFIG ... --street 20 [--calib C] [--batch N]

The FP32 detections of at least the threshold stand for the truth: the agreement is the mean average precision at an
overlap of 0.5 (and 0.75) that the INT8 detections reach against them. With --street, for the sample detector and the
sample classifiers, both are held against the exact truth of generated streets that were never trained on; a classifier
sees the true boxes of vehicles. Speeds are the engine alone.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from millrace.config import InferConfig, NetworkMode, NetworkType, load_infer_config, parse_infer_config
from millrace.infer import Detections, InferContext, InferItem, benchmark_engine
from millrace.infer.calibrate import METHODS, calibrate, read_frames
from millrace.infer.model import MODEL_SUFFIXES, resolve_model
from millrace.samples.scoring import Found, held_out, mean_average_precision, worth_classifying
from millrace.samples.street import Thing
from millrace.surface import HostSurface, Rect

FLOOR = 0.05
"""Least confidence of the INT8 detections that are ranked."""

Image = npt.NDArray[np.uint8]

CONFIG = """[property]
onnx-file={model}
net-scale-factor={scale}
model-color-format={color}
maintain-aspect-ratio=1
num-detected-classes={classes}
network-type={kind}
{parser}
cluster-mode=2

[class-attrs-all]
pre-cluster-threshold={floor}
nms-iou-threshold=0.45
"""


def configuration(path: Path) -> InferConfig:
    """The configuration named, or one for a YOLO model of the usual kinds."""
    if path.suffix.lower() not in MODEL_SUFFIXES:
        config = load_infer_config(path)
        config.attrs_all.pre_cluster_threshold = FLOOR
        return config
    pose, yolox = "pose" in path.stem, "yolox" in path.stem
    text = CONFIG.format(
        model=path.resolve(), floor=FLOOR, classes=1 if pose else 80, kind=3 if pose else 0,
        scale=1.0 if yolox else 1 / 255, color=1 if yolox else 0,
        parser="parse-bbox-instance-mask-func-name=NvDsInferParseYoloPose" if pose else "",
    )  # fmt: skip
    return parse_infer_config(text, str(path))


def detect(config: InferConfig, frames: list[Image]) -> list[Detections]:
    """Detections of each frame in its pixels."""
    context = InferContext(config, batch_size=1, cache=False)
    try:
        jobs = (context.submit([InferItem(HostSurface([frame], "RGB"))]).result()[0] for frame in frames)
        return [result.detections or Detections.empty() for result in jobs]
    finally:
        context.close()


def average_precision(found: list[Detections], truth: list[Detections], overlap: float) -> tuple[float, int]:
    """Mean over the classes that occur of the area under the precision-recall curve; and the number of true objects."""
    scores = []
    total = 0
    for class_id in sorted({int(c) for t in truth for c in t.class_ids}):
        wanted = [t.boxes[t.class_ids == class_id] for t in truth]
        count = sum(len(boxes) for boxes in wanted)
        total += count
        free = [np.ones(len(boxes), bool) for boxes in wanted]
        ranked = sorted(
            ((float(d.scores[k]), n, k) for n, d in enumerate(found) for k in np.flatnonzero(d.class_ids == class_id)),
            reverse=True,
        )
        hits = np.zeros(len(ranked))
        for place, (_, n, k) in enumerate(ranked):
            if len(wanted[n]):
                ious = iou(found[n].boxes[k], wanted[n]) * free[n]
                best = int(np.argmax(ious))
                if ious[best] >= overlap:
                    hits[place], free[n][best] = 1, False
        recall = np.cumsum(hits) / count
        precision = np.cumsum(hits) / np.arange(1, len(ranked) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        scores.append(float(np.sum(np.diff(recall, prepend=0.0) * precision)))
    return float(np.mean(scores)) if scores else 0.0, total


def iou(box: npt.NDArray[np.float32], boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Overlap (N,) of a box (4,) with boxes (N, 4), left, top, right, bottom."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=1).astype(np.float64)
    area = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(inter / np.maximum(area - inter, 1e-9))


def gather(sources: Iterable[Path], limit: int, part: int) -> list[Image]:
    """Every second of the frames of some sources, ``limit`` of each, beginning with the first or the second."""
    return [f for source in sources for f in itertools.islice(read_frames(source, 2 * limit), part, None, 2)]


def against_truth(configs: Iterable[InferConfig], streets: int) -> list[float]:
    """Mean average precision at an overlap of 0.5 of each configuration on held-out streets."""
    shots = held_out(streets)
    frames, things = [image for image, _ in shots], [thing for _, thing in shots]
    scores = []
    for config in configs:
        found = []
        for d in detect(config, frames):
            boxes = np.concatenate([d.boxes[:, :2], d.boxes[:, 2:] - d.boxes[:, :2]], axis=1).astype(np.float64)
            found.append(Found(boxes, d.scores.astype(np.float64), d.class_ids))
        scores.append(mean_average_precision(found, things, frames[0].shape[0])[0])
    return scores


Vehicle = tuple[HostSurface, Rect, Thing]


def vehicles(streets: int) -> list[Vehicle]:
    """Vehicles large enough for a secondary on held-out streets: the frame, the true box in whole pixels, the truth."""
    found = []
    for image, things in held_out(streets):
        surface = HostSurface([image], "RGB")
        for thing in filter(worth_classifying, things):
            left, top = max(0, round(thing.box[0])), max(0, round(thing.box[1]))
            right = min(image.shape[1], round(thing.box[0] + thing.box[2]))
            bottom = min(image.shape[0], round(thing.box[1] + thing.box[3]))
            found.append((surface, Rect(left, top, right - left, bottom - top), thing))
    return found


def classify(config: InferConfig, crops: list[Vehicle]) -> tuple[list[list[str]], npt.NDArray[np.float64]]:
    """The answer of each task and its probability (crops, tasks), whatever the threshold."""
    context = InferContext(config.with_overrides({"classifier_threshold": 0.0}), batch_size=1, cache=False)
    answers, certain = [], []
    try:
        for surface, box, _ in crops:
            classes = context.submit([InferItem(surface, box)]).result()[0].classes
            attributes = classes.attributes if classes else []
            answers.append([a.label for a in attributes])
            certain.append([a.probability for a in attributes])
    finally:
        context.close()
    return answers, np.array(certain, np.float64)


def judge_classifier(name: str, config: InferConfig, low: InferConfig, streets: int) -> None:
    """Print each task's accuracy in both precisions."""
    crops = vehicles(streets)
    lines = (config.labelfile_path or Path()).read_text(encoding="utf-8").splitlines()
    (first, sure), (second, less) = classify(config, crops), classify(low, crops)
    print(f"{name}: {len(crops)} vehicles on {streets} held-out streets")
    for task, line in enumerate(lines):
        labels = set(line.split(";"))
        key = next(k for k in crops[0][2].attributes if {thing.attributes[k] for *_, thing in crops} <= labels)
        right = [
            float(
                np.mean([answer[task] == thing.attributes[key] for answer, (*_, thing) in zip(a, crops, strict=True)])
            )
            for a in (first, second)
        ]
        same = float(np.mean([a[task] == b[task] for a, b in zip(first, second, strict=True)]))
        shift = float(np.abs(sure[:, task] - less[:, task]).mean())
        print(
            f"  {key}: accuracy FP32 {right[0]:.4f}, INT8 {right[1]:.4f}, loss {right[0] - right[1]:+.4f}; "
            f"the same answer {same:.4f}, mean change of the probability {shift:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+")
    parser.add_argument("--frames", type=Path, nargs="+", help="every second frame is judged")
    parser.add_argument("--street", type=int, default=0, help="judge with the truth of so many generated streets")
    parser.add_argument("--calibrate-with", type=Path, nargs="+", help="default: the other frames of --frames")
    parser.add_argument("--calib", type=Path, help="use this calibration cache")
    parser.add_argument("--count", type=int, default=20, help="frames of each source")
    parser.add_argument("--threshold", type=float, default=0.25)
    parser.add_argument("--method", choices=METHODS, default="mse")
    parser.add_argument("--batch", type=int, default=1, help="pictures in a request when speed is measured")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement of speed; 0 for none")
    options = parser.parse_args()
    if not options.frames and not options.street:
        parser.error("name --frames, or --street")
    for path in options.model:
        measure(path, options)


def measure(path: Path, options: argparse.Namespace) -> None:
    """Print what INT8 costs and saves one network."""
    config = configuration(path)
    model = resolve_model(config, 1).model
    table = options.calib
    if options.street and table is None and options.calibrate_with is None:
        table = config.int8_calib_file or next(iter(sorted(model.parent.glob("cal_*"))))
    with tempfile.TemporaryDirectory() as folder:
        if table is None:
            table = Path(folder) / "calib.txt"
            pictures = gather(options.calibrate_with or options.frames, options.count, 1)
            calibrate(model, pictures, config, options.method).write(table)
            print(f"calibrated with {len(pictures)} frames ({options.method})")
        low = config.with_overrides({"network_mode": NetworkMode.INT8, "int8_calib_file": table})
        if options.street and config.network_type == NetworkType.CLASSIFIER:
            judge_classifier(model.name, config, low, options.street)
        elif options.street:
            high, less = against_truth((config, low), options.street)
            print(f"{model.name}: mAP@0.5 on {options.street} held-out streets: FP32 {high:.4f}, INT8 {less:.4f}")
        frames = gather(options.frames or (), options.count, 0)
        truth = [d.take(d.scores >= options.threshold) for d in detect(config, frames)]
        found = detect(low, frames)
        if frames:
            print(f"{model.name}: {len(frames)} frames")
        for overlap in (0.5, 0.75) if frames else ():
            score, count = average_precision(found, truth, overlap)
            print(f"  mAP@{overlap} of INT8 against FP32's {count} detections: {score:.4f}")
        if options.seconds:
            half = options.seconds / 2
            rounds = [(benchmark_engine(c, options.batch, half).fps for c in (config, low)) for _ in range(2)]
            first, second = (float(np.mean(pair)) for pair in zip(*rounds, strict=True))
            print(
                f"  FP32 {first:.1f} fps, INT8 {second:.1f} fps at batch {options.batch}: "
                f"{second / first:.2f} times as fast"
            )


if __name__ == "__main__":
    main()
