"""Train the bundled street models (detector and vehicle classifiers) on the procedural street; export them as ONNX.

Needs PyTorch and onnx (training only; the package itself needs neither). One run on one H200 with 16 cores made the
shipped models:

    python scripts/train_street.py --out src/millrace/samples/models --minutes 7.6 --batch 80

Worker processes film streets all the time; the trainer keeps every picture on the device and draws batches from those
growing pools, so a smaller GPU wants a smaller --room. Output, in DeepStream's names: Primary_Detector, PeopleNet
(the same detector, other classes), Secondary_VehicleMake, Secondary_VehicleTypes and Secondary_VehicleAttributes
(multi-task), and street.pt to go on from.
"""

from __future__ import annotations

import argparse
import math
import mmap
import multiprocessing as mp
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from street_network import CELL, NORM, Classifier, Detector, Shipped, ShippedClassifier, export, pick_classes
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
from millrace.samples import scoring
from millrace.samples.street import CLASSES, Street
from millrace.samples.vehicle import COLOURS, MAKES, TYPES

WIDTH, HEIGHT, CROP = 640, 368, 224
LAYOUT = Path("Primary_Detector/resnet18_trafficcamnet_pruned.onnx")
MOST, CROPS = 32, 3  # objects a frame, crops a frame
TASKS = {"color": list(COLOURS), "type": list(TYPES), "make": list(MAKES)}
SIZES = [(1280, 720)] * 3 + [(960, 540)] * 2 + [(640, 360)]


# ---- data -----------------------------------------------------------------------------------------------------------
def damage(rng: np.random.Generator, image: Any) -> Any:
    """What cameras and codecs do: blur, blocks."""
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.3)))
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(30, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image


def crops_of(rng: np.random.Generator, image: Any, things: Any) -> list[tuple[Any, list[int]]]:
    """Vehicles cut out with a box a little off, and their attributes' numbers."""
    height, width = image.shape[:2]
    cut = []
    for thing in things:
        left, top, w, h = thing.box
        if thing.class_id or thing.visible < 0.7 or min(w, h) < 44:
            continue
        x0, x1 = left + w * rng.normal(0, 0.025), left + w * (1 + rng.normal(0, 0.025))
        y0, y1 = top + h * rng.normal(0, 0.025), top + h * (1 + rng.normal(0, 0.025))
        a, b = max(0, round(x0)), min(width, round(x1))
        c, d = max(0, round(y0)), min(height, round(y1))
        names = thing.attributes
        row = [TASKS[t].index(names[k]) for t, k in (("color", "colour"), ("type", "type"), ("make", "make"))]
        cut.append((cv2.resize(image[c:d, a:b], (CROP, CROP), interpolation=cv2.INTER_LINEAR), row))
    return cut


def film(rank: int, ranks: int, slots: int, ring: Any, progress: Any) -> None:
    """Worker: fill its rings of frames and crops for ever."""
    cv2.setNumThreads(1)
    pictures, labels, patches, facts = ring
    number = rank
    while True:
        rng = np.random.default_rng([number, 27644437])
        width, height = SIZES[int(rng.integers(len(SIZES)))]
        street = Street(number, width, height)
        number += ranks
        for _ in range(14):
            while progress[0][rank] - progress[1][rank] >= slots:
                time.sleep(0.02)
            image, things = street.frame(float(rng.uniform(0, 60)))
            image = damage(rng, image)
            row = np.zeros((MOST, 6), np.float32)
            scale = np.array([WIDTH / width, HEIGHT / height])
            for k, thing in enumerate(sorted(things, key=lambda t: -t.visible)[:MOST]):
                box = np.array(thing.box).reshape(2, 2) * scale
                least = (3.0, 6.0) if thing.class_id < 4 else (4.0, 5.0)
                good = thing.visible >= scoring.SEEN and box[1, 0] >= least[0] and box[1, 1] >= least[1]
                row[k] = (1.0 if good else -1.0, thing.class_id, *(box[0] + box[1] / 2), *box[1])
            at = progress[0][rank] % slots
            pictures[at] = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
            labels[at] = row
            progress[0][rank] += 1
            if height < 500:
                continue
            for patch, fact in crops_of(rng, image, things)[:CROPS]:
                if progress[2][rank] - progress[3][rank] >= slots:
                    break
                at = progress[2][rank] % slots
                patches[at], facts[at] = patch, fact
                progress[2][rank] += 1


def shared(shape: tuple[int, ...], kind: Any) -> Any:
    """An array that forked processes share."""
    return np.frombuffer(mmap.mmap(-1, math.prod(shape) * np.dtype(kind).itemsize), kind).reshape(shape)


class Pool:
    """Samples on the training device, growing until full and then replaced oldest first."""

    def __init__(self, x: Any, y: Any, written: Any, taken: Any, room: int, device: torch.device) -> None:
        self.source, self.written, self.taken, self.room = (x, y), written, taken, room
        self.x = torch.empty((room, *x.shape[2:]), dtype=torch.uint8, device=device)
        self.y = torch.zeros((room, *y.shape[2:]), device=device)
        self.count = self.next = 0

    def collect(self) -> None:
        """Take over what the workers have finished."""
        slots = self.source[0].shape[1]
        for k in range(len(self.written)):
            while self.taken[k] < self.written[k]:
                first = self.taken[k] % slots
                n = min(self.written[k] - self.taken[k], slots - first, self.room - self.next)
                for kept, source in zip((self.x, self.y), self.source, strict=True):
                    kept[self.next : self.next + n] = torch.from_numpy(source[k, first : first + n]).to(kept.device)
                self.taken[k] += n
                self.next = (self.next + n) % self.room
                self.count = min(self.room, self.count + n)

    def draw(self, size: int) -> tuple[Tensor, Tensor]:
        """A random batch: pictures (B, 3, H, W) from 0 to 255 and their labels."""
        pick = torch.randint(self.count, (size,), device=self.x.device)
        return self.x[pick].permute(0, 3, 1, 2).float(), self.y[pick]


def recolour(x: Tensor, tone: float, gain: float) -> Tensor:
    """Exposure, tint and noise on pictures from 0 to 255."""
    n, device = len(x), x.device
    tint = torch.empty(n, 3, 1, 1, device=device).uniform_(1 - tone, 1 + tone)
    tint = tint * torch.empty(n, 1, 1, 1, device=device).uniform_(1 - gain, 1 + gain)
    noise = torch.randn_like(x) * torch.empty(n, 1, 1, 1, device=device).uniform_(0, 5)
    return (x * tint + noise).clamp(0, 255)


def augment(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror, zoom and shift frames and their boxes on the device."""
    n, device = len(x), x.device
    y = y.clone()
    mirror = torch.rand(n, device=device) < 0.5
    zoom = torch.where(torch.rand(n, device=device) < 0.6, torch.empty(n, device=device).uniform_(-0.4, 0.5).exp(), 1.0)
    shift = torch.empty(n, 2, device=device).uniform_(-0.25, 0.25) * (zoom != 1).float()[:, None]
    sign = torch.where(mirror, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = sign / zoom, 1 / zoom
    theta[:, 0, 2], theta[:, 1, 2] = -sign * shift[:, 0] / zoom, -shift[:, 1] / zoom
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    x = functional.grid_sample(x, grid, align_corners=False)
    half = torch.tensor([WIDTH / 2, HEIGHT / 2], device=device)
    gain = torch.stack([sign * zoom, zoom], 1)[:, None]
    middle, size = (y[..., 2:4] - half) * gain + ((1 + shift) * half)[:, None], y[..., 4:] * zoom[:, None, None]
    low = torch.maximum(middle - size / 2, torch.zeros_like(half))
    high = torch.minimum(middle + size / 2, 2 * half)
    inside = (high - low).clamp(0).prod(-1) / (size.prod(-1) + 1e-6)
    high = torch.maximum(high, low + 0.5)
    y[..., 2:4], y[..., 4:] = (low + high) / 2, high - low
    kind = y[..., 0]
    small = (size[..., 1] < 5) | (size[..., 0] < 2.5)
    y[..., 0] = torch.where((kind > 0) & ((inside < 0.3) | small), -kind, kind) * (inside > 0.02)
    return recolour(x, 0.12, 0.25), y


# ---- loss -----------------------------------------------------------------------------------------------------------
def box_overlap(a: Tensor, b: Tensor, complete: bool = False) -> Tensor:
    """IoU, or IoU less the distance of centres, of corner boxes (..., 4)."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0).prod(-1)
    area = [(c[..., 2:] - c[..., :2]).clamp(1e-3).prod(-1) for c in (a, b)]
    iou = inter / (area[0] + area[1] - inter + 1e-6)
    if not complete:
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).pow(2).sum(-1)
    return iou - apart / (hull.pow(2).sum(-1) + 1e-6)


def detector_loss(cover: Tensor, boxes: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Loss and its parts (coverage, boxes) for labels (B, MOST, 6): kind, class, cx, cy, w, h in network pixels."""
    n, classes, rows, columns = cover.shape
    device = cover.device
    row, column = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    cell = torch.stack([column, row], -1).reshape(-1, 2) * CELL + 0.5  # where DetectNet's decoder puts a cell's centre
    sides = boxes.float().reshape(n, classes, 4, -1).transpose(2, 3) * NORM
    logit = cover.float().flatten(2)
    corners = torch.cat([cell - sides[..., :2], cell + sides[..., 2:]], -1)
    kind, which = y[..., 0], y[..., 1].long()
    truth = torch.cat([y[..., 2:4] - y[..., 4:] / 2, y[..., 2:4] + y[..., 4:] / 2], -1)
    with torch.no_grad():
        mine = which[:, :, None].expand(-1, -1, cell.shape[0])
        score = logit.sigmoid().gather(1, mine)
        guess = corners.gather(1, mine[..., None].expand(-1, -1, -1, 4))
        iou = box_overlap(guess, truth[:, :, None])
        reach = torch.clamp(y[..., 4:] / 2, min=CELL / 2 + 1.0)[:, :, None]
        offset = (cell - y[:, :, None, 2:4]).abs()
        inside = (offset < reach).all(-1)
        # The cells nearest the middle get a floor, so that boxes which overlap nothing yet begin to learn.
        floor = 0.02 * torch.exp(-(offset / reach).pow(2).sum(-1))
        metric = (score.sqrt() * iou.pow(4) + 0.01 * floor) * (inside & (kind > 0)[..., None])
        best = metric.topk(9, -1)
        chosen = torch.zeros_like(metric).scatter_(-1, best.indices, (best.values > 0).float()) * metric
        top_iou = (iou * (chosen > 0)).amax(-1, keepdim=True).clamp(min=0.1)
        quality = chosen / (chosen.amax(-1, keepdim=True) + 1e-12) * top_iou
        target, owner, skip = (torch.zeros_like(logit) for _ in range(3))
        for c in range(classes):
            here = (which == c)[..., None]
            value, index = (chosen * here).max(1)
            target[:, c] = quality.gather(1, index[:, None])[:, 0] * (value > 0)
            owner[:, c] = index
            skip[:, c] = (inside & here & (kind < 0)[..., None]).any(1).float() * (target[:, c] == 0)
        scale = target.sum().clamp(min=1.0)
    coverage = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    focus = (logit.detach().sigmoid() - target).abs().clamp(min=0.02).sqrt()
    coverage = (coverage * (1 - skip) * focus).sum() / scale
    where, group, place = (target > 0).nonzero(as_tuple=True)
    match = truth[where, owner[where, group, place].long()]
    off = 1 - box_overlap(corners[where, group, place], match, True)
    # Plain distances pull boxes that do not overlap at all.
    near = functional.smooth_l1_loss(corners[where, group, place] / NORM, match / NORM, reduction="none", beta=0.1)
    near = near.mean(1)
    box = ((off + 0.2 * near) * target[where, group, place]).sum() / scale
    return coverage + 2.5 * box, [coverage, box]


# ---- training -------------------------------------------------------------------------------------------------------
def report(detector: Detector, classifier: Classifier, device: torch.device, streets: int) -> str:
    """Figures on held-out streets."""
    shots = scoring.held_out(streets)
    found, right, total = [], np.zeros(3), 0
    rng = np.random.default_rng(0)
    shipped = Shipped(detector).eval()
    for image, things in shots:
        small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        x = torch.from_numpy(small).to(device).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            cover, boxes = (v[0].float().cpu().numpy() for v in shipped(x))
        grid = scoring.decode_grid(cover, boxes, (WIDTH, HEIGHT))
        grid.boxes[:] *= np.tile([1280 / WIDTH, 720 / HEIGHT], 2)
        found.append(grid)
        for patch, row in crops_of(rng, image, [t for t in things if scoring.worth_classifying(t)]):
            x = torch.from_numpy(patch[..., ::-1].copy()).to(device).permute(2, 0, 1)[None].float()
            with torch.no_grad():
                guess = [int(v.argmax()) for v in classifier((x - mean_of(device)) / 64)]
            right += np.array(guess) == row
            total += 1
    _, each = scoring.mean_average_precision(found, [t for _, t in shots], 720, range(len(CLASSES)))
    first, _ = scoring.mean_average_precision(found, [t for _, t in shots], 720)
    lines = [f"{name} {ap:.3f}" for name, ap in zip(CLASSES, each, strict=True)]
    tasks = [f"{name} {r / max(total, 1):.4f}" for name, r in zip(TASKS, right, strict=True)]
    return f"{len(shots)} frames: mAP@0.5 {first:.4f} ({', '.join(lines)}); {total} crops: {', '.join(tasks)}"


def mean_of(device: torch.device) -> Tensor:
    """Caffe's mean of blue, green and red."""
    return torch.tensor([103.939, 116.779, 123.68], device=device).reshape(1, 3, 1, 1)


def write_models(detector: Detector, classifier: Classifier, out: Path) -> None:
    """Every ONNX file under DeepStream's names."""
    names = ["output_cov/Sigmoid:0", "output_bbox/BiasAdd:0"]
    export(Shipped(pick_classes(detector.cpu(), [0, 1, 2, 3])), (3, HEIGHT, WIDTH), "input_1:0", names, out / LAYOUT)
    people = out / "tao_pretrained_models/peopleNet/resnet34_peoplenet_int8.onnx"
    export(Shipped(pick_classes(detector, [2, 4, 5])), (3, 544, 960), "input_1:0", names, people)
    for folder, tasks, subtract, file in (
        ("Secondary_VehicleMake", ["make"], True, "resnet18_vehiclemakenet_pruned.onnx"),
        ("Secondary_VehicleTypes", ["type"], True, "resnet18_vehicletypenet_pruned.onnx"),
        ("Secondary_VehicleAttributes", ["color", "type"], False, "millrace_vehicle_attributes.onnx"),
    ):
        outputs = ["predictions/Softmax:0"] if len(tasks) == 1 else [f"{name}/Softmax" for name in tasks]
        model = ShippedClassifier(classifier.cpu(), tasks, subtract)
        export(model, (3, CROP, CROP), "input_1:0", outputs, out / folder / file)


def optimiser_of(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW that decays weights but not norms and biases."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0.0}])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--minutes", type=float, default=8.0, help="training time, filming included")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate of AdamW")
    parser.add_argument("--workers", type=int, default=max(1, mp.cpu_count() - 1))
    parser.add_argument("--room", type=int, default=60_000, help="frames and crops kept on the device, 0.9 MB together")
    parser.add_argument("--streets", type=int, default=60, help="held-out streets for the closing figures")
    parser.add_argument("--start", type=Path, help="a street.pt to go on from")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    slots, workers = 128, options.workers
    frames = shared((workers, slots, HEIGHT, WIDTH, 3), np.uint8), shared((workers, slots, MOST, 6), np.float32)
    patches = shared((workers, slots, CROP, CROP, 3), np.uint8), shared((workers, slots, 3), np.float32)
    progress = shared((4, workers), np.int64)
    context = mp.get_context("fork")
    crew = [
        context.Process(
            target=film, daemon=True,
            args=(k, workers, slots, (frames[0][k], frames[1][k], patches[0][k], patches[1][k]), progress),
        )
        for k in range(workers)
    ]  # fmt: skip
    for process in crew:
        process.start()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    scenes = Pool(*frames, progress[0], progress[1], options.room, device)
    cars = Pool(*patches, progress[2], progress[3], options.room, device)
    tasks = {name: len(labels) for name, labels in TASKS.items()}
    detector, classifier = Detector(len(CLASSES)).to(device), Classifier(tasks).to(device)
    if options.start:
        for model, state in zip((detector, classifier), torch.load(options.start, map_location=device), strict=True):
            model.load_state_dict(state)
    average = [
        torch.optim.swa_utils.AveragedModel(
            m, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
        )
        for m in (detector, classifier)
    ]
    optimisers = [optimiser_of(detector), optimiser_of(classifier)]
    sizes = [sum(p.numel() for p in m.parameters()) for m in (detector, classifier)]
    print(f"{sizes[0]:,} and {sizes[1]:,} parameters on {device}, {workers} workers", flush=True)
    while min(scenes.count, cars.count) < options.batch * 4:
        time.sleep(0.2)
        scenes.collect()
        cars.collect()
    limit = options.minutes * 60 - (time.time() - began)
    start, step, told = time.time(), 0, 0.0
    while (done := (time.time() - start) / limit) < 1:
        if step % 10 == 0:
            scenes.collect()
            cars.collect()
        rate = options.rate * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        x, y = augment(*scenes.draw(options.batch))
        patch, facts = cars.draw(options.batch)
        patch = torch.where(torch.rand(len(patch), 1, 1, 1, device=device) < 0.5, patch.flip(3), patch)
        patch = recolour(patch, 0.03, 0.08).flip(1)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            cover, boxes = detector((x / 255).contiguous(memory_format=torch.channels_last))
            guesses = classifier(((patch - mean_of(device)) / 64).contiguous(memory_format=torch.channels_last))
        first, parts = detector_loss(cover, boxes, y)
        second = sum(
            functional.cross_entropy(g.float(), facts[:, k].long(), label_smoothing=0.02) for k, g in enumerate(guesses)
        )
        for loss, model, optimiser, kept in zip(
            (first, second), (detector, classifier), optimisers, average, strict=True
        ):
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimiser.step()
            kept.update_parameters(model)
        step += 1
        if time.time() - told > 10:
            told = time.time()
            words = " ".join(f"{float(p.detach()):.3f}" for p in (*parts, second))
            print(f"{done:6.1%} step {step} frames {scenes.count} crops {cars.count} ({words})", flush=True)
    for process in crew:
        process.terminate()
    final = [kept.module.eval() for kept in average]
    torch.save([m.state_dict() for m in final], options.out / "street.pt")
    print(f"trained after {time.time() - began:.0f} s", flush=True)
    print(report(final[0], final[1], device, options.streets), flush=True)
    write_models(final[0], final[1], options.out)
    print(f"{options.out} after {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
