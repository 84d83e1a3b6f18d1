"""How good a pose model is on held-out frames of the procedural world.

`python -m millrace.samples.evaluate [MODEL.onnx] [--frames N]` prints recall, precision, OKS and pixel error of a model
with YOLOv8-pose's output layout, run directly in OpenVINO with the letterbox and NMS of the bundled configuration.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from millrace.errors import ModelError
from millrace.samples.drawing import Array
from millrace.samples.skeleton import COCO_SIGMAS
from millrace.samples.world import Person, World, as_array

HELD_OUT_SEED = 900_000_000
"""Worlds from this seed on are never trained on."""

IGNORE_BELOW = 0.35
"""People of whom less than this share is seen are neither asked for nor counted as false alarms."""

Image = npt.NDArray[np.uint8]
Predictor = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Fit:
    """A letterbox: network pixels = frame pixels * scale + (left, top)."""

    scale: float
    left: float
    top: float


def letterbox(image: Image, width: int, height: int) -> tuple[Image, Fit]:
    """Scale an (H, W, 3) picture into (height, width, 3), aspect kept, black bars shared between both sides."""
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    w, h = int(round(columns * scale)), int(round(rows * scale))
    left, top = (width - w) // 2, (height - h) // 2
    result = np.zeros((height, width, 3), np.uint8)
    if (h, w) != (rows, columns):
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    result[top : top + h, left : left + w] = image
    return result, Fit(scale, left, top)


def decode(output: npt.NDArray[np.float32], conf: float = 0.25, iou: float = 0.5) -> tuple[Array, Array, Array]:
    """Boxes (N, 4) left, top, width, height, scores (N,) and keypoints (N, 17, 3) of one (56, A) output after NMS."""
    keep = output[4] > conf
    found = output[:, keep].T.astype(np.float64)
    found = found[np.argsort(-found[:, 4], kind="stable")]
    boxes = np.concatenate([found[:, :2] - found[:, 2:4] / 2, found[:, 2:4]], axis=1)
    alive, chosen = np.ones(len(found), bool), []
    for k in range(len(found)):
        if alive[k]:
            chosen.append(k)
            alive[k + 1 :] &= overlap(boxes[k : k + 1], boxes[k + 1 :])[0] <= iou
    return boxes[chosen], found[chosen, 4], found[chosen, 5:].reshape(-1, 17, 3)


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4), each left, top, width, height."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    inter = np.prod(np.clip(high - low, 0, None), axis=2)
    union = (a[:, 2] * a[:, 3])[:, None] + (b[:, 2] * b[:, 3])[None] - inter
    return np.asarray(inter / np.maximum(union, 1e-9))


def oks(found: Array, truth: Array, area: float) -> float:
    """Object keypoint similarity of (17, 3) predicted and true keypoints; `area` in square pixels of the person."""
    use = truth[:, 2] > 0
    if not use.any():
        return 0.0
    distance = ((found[:, :2] - truth[:, :2]) ** 2).sum(axis=1)
    return float(np.exp(-distance / (2 * (2 * COCO_SIGMAS) ** 2 * max(area, 1.0)))[use].mean())


@dataclass
class Report:
    """Figures over a set of frames; `str()` prints them as a small table."""

    frames: int
    people: int
    recall: float
    precision: float
    mean_oks: float
    mean_iou: float
    pixel_error: float
    relative_error: float
    oks_ap: float
    false_alarms: int
    milliseconds: float

    def __str__(self) -> str:
        rows = [
            ("held-out frames", f"{self.frames}"),
            ("people asked for", f"{self.people}"),
            ("recall (IoU 0.5)", f"{self.recall:.4f}"),
            ("precision", f"{self.precision:.4f}"),
            ("false alarms", f"{self.false_alarms}"),
            ("mean OKS of matches", f"{self.mean_oks:.4f}"),
            ("OKS AP 0.50:0.95", f"{self.oks_ap:.4f}"),
            ("mean box IoU", f"{self.mean_iou:.4f}"),
            ("mean keypoint error", f"{self.pixel_error:.2f} px ({100 * self.relative_error:.2f} % of the box height)"),
            ("inference", f"{self.milliseconds:.1f} ms a frame"),
        ]
        return "\n".join(f"{name:<22}{value}" for name, value in rows)


def held_out_frames(count: int, seed: int = HELD_OUT_SEED, per_world: int = 4) -> Iterator[tuple[Image, list[Person]]]:
    """`count` frames of worlds from `seed` on, through JPEG so that they look like decoded video."""
    world = World(seed)
    for k in range(count):
        if k and k % per_world == 0:
            world = World(seed + k // per_world)
        image, people = world.frame(0.4 + 2.3 * (k % per_world))
        packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        yield np.ascontiguousarray(decoded[..., ::-1]), people


def evaluate(
    predict: Predictor,
    frames: Iterable[tuple[Image, list[Person]]],
    width: int,
    height: int,
    conf: float = 0.25,
) -> Report:
    """Compare a model with ground truth.

    predict: takes (1, 3, height, width) float32 RGB from 0 to 1 and returns (1, 56, anchors) in network pixels.
    frames: pictures (H, W, 3) RGB with their people. Everything is measured in the pictures' pixels.
    """
    scored: list[tuple[float, float]] = []
    similarity: list[float] = []
    ious: list[float] = []
    errors: list[float] = []
    relative: list[float] = []
    people = matched = alarms = shown = 0
    spent = 0.0
    for image, truth in frames:
        shown += 1
        network, fit = letterbox(image, width, height)
        tensor = np.ascontiguousarray(network.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)
        start = time.perf_counter()
        output = predict(tensor)[0]
        spent += time.perf_counter() - start
        boxes, scores, points = decode(np.asarray(output, np.float32), min(conf, 0.05))
        boxes[:, :2] -= (fit.left, fit.top)
        boxes /= fit.scale
        points[..., :2] = (points[..., :2] - (fit.left, fit.top)) / fit.scale
        true_boxes, true_points, visible = as_array(truth)
        wanted = visible >= IGNORE_BELOW
        people += int(wanted.sum())
        table = overlap(boxes, true_boxes)
        free = np.ones(len(truth), bool)
        for k in range(len(boxes)):
            options = np.where(free & wanted, table[k], -1.0)
            best = int(options.argmax()) if len(options) else -1
            if best >= 0 and options[best] >= 0.5:
                free[best] = False
                like = oks(points[k], true_points[best], 0.53 * true_boxes[best, 2] * true_boxes[best, 3])
                scored.append((scores[k], like))
                if scores[k] > conf:
                    matched += 1
                    similarity.append(like)
                    ious.append(float(table[k, best]))
                    use = true_points[best, :, 2] > 0
                    away = np.linalg.norm(points[k, use, :2] - true_points[best, use, :2], axis=1)
                    errors.extend(away)
                    relative.extend(away / true_boxes[best, 3])
            elif not (len(truth) and (table[k][~wanted] >= 0.3).any()):
                scored.append((scores[k], -1.0))
                alarms += int(scores[k] > conf)
    return Report(
        frames=shown,
        people=people,
        recall=matched / max(people, 1),
        precision=matched / max(matched + alarms, 1),
        mean_oks=float(np.mean(similarity)) if similarity else 0.0,
        mean_iou=float(np.mean(ious)) if ious else 0.0,
        pixel_error=float(np.mean(errors)) if errors else 0.0,
        relative_error=float(np.mean(relative)) if relative else 0.0,
        oks_ap=float(np.mean([_average_precision(scored, people, k) for k in np.arange(0.5, 0.96, 0.05)])),
        false_alarms=alarms,
        milliseconds=1000 * spent / max(shown, 1),
    )


def _average_precision(scored: list[tuple[float, float]], people: int, threshold: float) -> float:
    if not scored or not people:
        return 0.0
    hit = np.array([like >= threshold for _, like in sorted(scored, key=lambda s: -s[0])], np.float64)
    recall = np.cumsum(hit) / people
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.mean([envelope[k] if k < len(envelope) else 0.0 for k in at]))


def openvino_predictor(model: Path, device: str = "CPU") -> tuple[Predictor, int, int]:
    """(predict, width, height) for an ONNX file; raises ModelError when it cannot be read or is no pose model."""
    import openvino

    if not model.is_file():
        raise ModelError(f"{model}: no such model file; give an ONNX file with YOLOv8-pose's output (56, anchors)")
    try:
        network = openvino.Core().read_model(str(model))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{model}: OpenVINO cannot read it ({reason}); give an ONNX file") from error
    _, _, height, width = (d.get_length() if d.is_static else 0 for d in network.input(0).get_partial_shape())
    rows = network.output(0).get_partial_shape()[1]
    if not (height and width and rows.is_static and rows.get_length() == 56):
        raise ModelError(f"{model}: needs a fixed input size and an output (batch, 56, anchors) as YOLOv8-pose has")
    network.reshape([1, 3, height, width])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(network, device, settings).create_infer_request()

    def predict(tensor: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        request.infer([tensor])
        return np.array(request.get_output_tensor(0).data, np.float32)

    return predict, width, height


def main(argv: list[str] | None = None) -> int:
    """Command line: print the figures of a model; returns the exit status."""
    from millrace.samples import pose_model

    parser = argparse.ArgumentParser(description="Figures of a pose model on held-out frames of the procedural world.")
    parser.add_argument("model", nargs="?", type=Path, default=pose_model(), help="ONNX file (the bundled one)")
    parser.add_argument("--frames", type=int, default=400, help="held-out frames (400)")
    parser.add_argument("--conf", type=float, default=0.25, help="confidence threshold (0.25)")
    options = parser.parse_args(argv)
    try:
        predict, width, height = openvino_predictor(options.model)
    except ModelError as error:
        print(error)
        return 1
    print(f"{options.model.name}, {width}x{height}, {options.model.stat().st_size / 1e6:.2f} MB")
    print(evaluate(predict, held_out_frames(options.frames), width, height, options.conf))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
