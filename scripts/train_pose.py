"""Train the bundled pose model on the procedural world and export it as ONNX.

Needs PyTorch and onnx (training only; the package itself needs neither):

    python scripts/train_pose.py --out /some/where --size 480x288 --minutes 8.5
    python scripts/train_pose.py --out /else/where --start /some/where/millrace_pose.pt --minutes 8.5 --rate 1.2e-3
    python scripts/train_pose.py --out src/millrace/samples/models/pose --start /else/where/millrace_pose.pt \\
        --minutes 6 --rate 8e-4

made the shipped model on one H200 with 16 cores. Worker processes film worlds all the time; the trainer keeps every
frame on the device and draws batches from that growing pool, so a smaller GPU wants a smaller --room. Output:
millrace_pose.onnx in YOLOv8-pose's layout, (batch, 3, 384, 640) to (batch, 56, 5040), with weights stored as FP16,
and millrace_pose.pt to go on from.
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
from pose_network import Exported, Pose, export
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
from millrace.samples.evaluate import evaluate, held_out_frames, letterbox
from millrace.samples.skeleton import COCO_SIGMAS
from millrace.samples.world import World, as_array

WIDTH, HEIGHT = 640, 384
PEOPLE, LABEL = 12, 5 + 51  # a label row: class (1 person, -1 ignore, 0 none), box cx cy w h, 17 x (x, y, seen)
FLIP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
SIZES = [(640, 360)] * 8 + [(480, 288)] * 2 + [(854, 480), (480, 360), (360, 640), (384, 384), (1280, 720)]


# ---- loss -----------------------------------------------------------------------------------------------------------
def box_overlap(a: Tensor, b: Tensor, complete: bool = False) -> Tensor:
    """IoU, or complete IoU, of cx cy w h boxes along the last axis (broadcast)."""
    a0, a1 = a[..., :2] - a[..., 2:] / 2, a[..., :2] + a[..., 2:] / 2
    b0, b1 = b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2
    inter = (torch.minimum(a1, b1) - torch.maximum(a0, b0)).clamp(0).prod(-1)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - inter + 1e-6
    iou = inter / union
    if not complete:
        return iou
    span = (torch.maximum(a1, b1) - torch.minimum(a0, b0)).pow(2).sum(-1) + 1e-6
    apart = (a[..., :2] - b[..., :2]).pow(2).sum(-1)
    shape = (4 / math.pi**2) * (
        torch.atan(b[..., 2] / (b[..., 3] + 1e-6)) - torch.atan(a[..., 2] / (a[..., 3] + 1e-6))
    ) ** 2
    weight = (shape / (1 - iou + shape + 1e-6)).detach()
    return iou - apart / span - weight * shape


def loss_of(model: Pose, raw: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Total loss and its parts (objectness, box, points, seen) for labels (B, PEOPLE, LABEL)."""
    middle, size, logit, points, seen = model.decoded(raw.float())
    boxes = torch.cat([middle, size], 1).transpose(1, 2)
    logit = logit[:, 0]
    kind, truth = labels[..., 0], labels[..., 1:5]
    centre = model.centre.T[None, None]
    with torch.no_grad():
        # Each person takes the ten anchors near it that score and overlap best, and each anchor its best person.
        reach = torch.clamp(truth[..., 2:] / 2, min=6.0)
        inside = ((centre - truth[:, :, None, :2]).abs() < reach[:, :, None]).all(-1)
        iou = box_overlap(boxes[:, None], truth[:, :, None])
        metric = logit.sigmoid()[:, None].sqrt() * iou.clamp(0).pow(5) + 1e-9
        metric = metric * (inside & (kind > 0)[..., None])
        best = metric.topk(10, -1)
        chosen = torch.zeros_like(metric).scatter_(-1, best.indices, (best.values > 0).float()) * metric
        value, owner = chosen.max(1)
        positive = value > 0
        top_metric, top_iou = chosen.amax(-1, keepdim=True), (iou * (chosen > 0)).amax(-1, keepdim=True)
        target = (chosen / (top_metric + 1e-12) * top_iou).gather(1, owner[:, None])[:, 0] * positive
        skip = (inside & (kind < 0)[..., None]).any(1) & ~positive
        scale = target.sum().clamp(min=1.0)
    objectness = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    objectness = (objectness * ~skip).sum() / scale
    where, anchor = positive.nonzero(as_tuple=True)
    match = labels[where, owner[where, anchor]]
    weight = target[where, anchor]
    box = ((1 - box_overlap(boxes[where, anchor], match[:, 1:5], True)) * weight).sum() / scale
    wanted = match[:, 5:].reshape(-1, 17, 3)
    found = points[where, :, :, anchor]
    distance = (found - wanted[..., :2]).pow(2).sum(-1)
    spread = (2 * torch.as_tensor(COCO_SIGMAS, dtype=torch.float32, device=raw.device)) ** 2
    error = distance / (2 * spread * (0.53 * match[:, 3] * match[:, 4])[:, None].clamp(min=20.0))
    known = (wanted[..., 2] > 0).float()
    per_point = (1 - torch.exp(-error)) + 0.15 * torch.sqrt(error + 1e-4)
    limbs = ((per_point * known).sum(1) / known.sum(1).clamp(min=1) * weight).sum() / scale
    flags = functional.binary_cross_entropy_with_logits(seen[where, :, 0, anchor], known, reduction="none")
    flags = (flags.mean(1) * weight).sum() / scale
    return objectness + 3 * box + 10 * limbs + 0.5 * flags, [objectness, box, limbs, flags]


# ---- data -----------------------------------------------------------------------------------------------------------
def damage(rng: np.random.Generator, image: Any) -> Any:
    """What cameras and codecs do: blur, lost resolution, blocks."""
    height, width = image.shape[:2]
    if rng.random() < 0.15:
        k = float(rng.uniform(1.2, 2.2))
        image = cv2.resize(
            cv2.resize(image, (int(width / k), int(height / k)), interpolation=cv2.INTER_AREA), (width, height)
        )
    elif rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.4)))
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(20, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image


def film(rank: int, ranks: int, slots: int, pictures: Any, labels: Any, written: Any, taken: Any) -> None:
    """Worker: fill its ring of samples for ever."""
    cv2.setNumThreads(1)
    number, done = rank, 0
    while True:
        rng = np.random.default_rng([number, 31337])
        width, height = SIZES[int(rng.integers(len(SIZES)))]
        world = World(number, width, height)
        number += ranks
        for _ in range(10):
            while done - taken[rank] >= slots:
                time.sleep(0.02)
            image, people = world.frame(float(rng.uniform(0, 40)))
            image, fit = letterbox(damage(rng, image), WIDTH, HEIGHT)
            boxes, points, visible = as_array(people)
            order = np.argsort(-visible)[:PEOPLE]
            row = np.zeros((PEOPLE, LABEL), np.float32)
            for k, j in enumerate(order):
                x, y, w, h = boxes[j] * fit.scale
                row[k, 0] = 1.0 if visible[j] >= 0.3 else -1.0
                row[k, 1:5] = (x + w / 2 + fit.left, y + h / 2 + fit.top, w, h)
                row[k, 5:] = (points[j] * (fit.scale, fit.scale, 1) + (fit.left, fit.top, 0)).ravel()
            pictures[done % slots], labels[done % slots] = image, row
            done += 1
            written[rank] = done


class Pool:
    """Samples on the training device, growing until full and then replaced oldest first."""

    def __init__(self, workers: int, slots: int, room: int) -> None:
        self.slots, self.room, self.workers, self.count, self.next = slots, room, workers, 0, 0
        context = mp.get_context("fork")
        shape = (workers, slots, HEIGHT, WIDTH, 3)
        self.pictures = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
        self.labels = np.frombuffer(mmap.mmap(-1, workers * slots * PEOPLE * LABEL * 4), np.float32)
        self.labels = self.labels.reshape(workers, slots, PEOPLE, LABEL)
        self.written, self.taken = context.Array("q", workers, lock=False), context.Array("q", workers, lock=False)
        self.processes = [
            context.Process(
                target=film,
                args=(k, workers, slots, self.pictures[k], self.labels[k], self.written, self.taken),
                daemon=True,
            )
            for k in range(workers)
        ]
        for process in self.processes:
            process.start()

    def to(self, device: torch.device) -> None:
        """Make room on the device."""
        self.x = torch.empty((self.room, HEIGHT, WIDTH, 3), dtype=torch.uint8, device=device)
        self.y = torch.empty((self.room, PEOPLE, LABEL), device=device)

    def collect(self) -> None:
        """Take over what the workers have finished."""
        for k in range(self.workers):
            while self.taken[k] < self.written[k]:
                first = self.taken[k] % self.slots
                n = min(self.written[k] - self.taken[k], self.slots - first, self.room - self.next)
                self.x[self.next : self.next + n] = torch.from_numpy(self.pictures[k, first : first + n]).to(
                    self.x.device
                )
                self.y[self.next : self.next + n] = torch.from_numpy(self.labels[k, first : first + n]).to(
                    self.x.device
                )
                self.taken[k] += n
                self.next = (self.next + n) % self.room
                self.count = min(self.room, self.count + n)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """A random augmented batch: pictures (B, 3, H, W) from 0 to 1 and labels (B, PEOPLE, LABEL)."""
        pick = torch.randint(self.count, (size,), device=self.x.device)
        return augment(self.x[pick].permute(0, 3, 1, 2).float() / 255, self.y[pick])


def augment(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror, zoom, shift, recolour and add noise on the device."""
    n, device = len(x), x.device
    y = y.clone()
    mirror = torch.rand(n, device=device) < 0.5
    zoom = torch.where(torch.rand(n, device=device) < 0.5, torch.empty(n, device=device).uniform_(-0.6, 0.4).exp(), 1.0)
    moved = (zoom != 1).float()
    shift = torch.empty(n, 2, device=device).uniform_(-0.2, 0.2) * moved[:, None]
    sign = torch.where(mirror, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = sign / zoom, 1 / zoom
    theta[:, 0, 2], theta[:, 1, 2] = -sign * shift[:, 0] / zoom, -shift[:, 1] / zoom
    x = functional.grid_sample(
        x, functional.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False
    )
    half = torch.tensor([WIDTH / 2, HEIGHT / 2], device=device)
    gain = torch.stack([sign * zoom, zoom], 1)[:, None]
    offset = ((1 + shift) * half)[:, None]
    boxes = y[..., 1:5].clone()
    middle, size = (boxes[..., :2] - half) * gain + offset, boxes[..., 2:] * zoom[:, None, None]
    low = torch.maximum(middle - size / 2, torch.zeros_like(half))
    high = torch.minimum(middle + size / 2, 2 * half)
    inside = (high - low).clamp(0).prod(-1) / (size.prod(-1) + 1e-6)
    high = torch.maximum(high, low + 0.5)
    y[..., 1:3], y[..., 3:5] = (low + high) / 2, high - low
    points = y[..., 5:].reshape(n, PEOPLE, 17, 3)
    xy = (points[..., :2] - half) * gain[:, None] + offset[:, None]
    seen = points[..., 2] * ((xy >= 0) & (xy < 2 * half)).all(-1)
    points = torch.cat([xy, seen[..., None]], -1)
    points = torch.where(mirror[:, None, None, None], points[:, :, FLIP], points)
    y[..., 5:] = points.flatten(2)
    kind = y[..., 0]
    y[..., 0] = torch.where((kind > 0) & (inside < 0.35), -kind, kind) * (inside > 0.02)
    tone = torch.empty(n, 3, 1, 1, device=device).uniform_(0.85, 1.15) * torch.empty(
        n, 1, 1, 1, device=device
    ).uniform_(0.65, 1.35)
    grey = (torch.rand(n, 1, 1, 1, device=device) < 0.04).float()
    x = x * tone + torch.empty(n, 1, 1, 1, device=device).uniform_(-0.08, 0.08) * (x > 0)
    x = x * (1 - grey) + x.mean(1, keepdim=True) * grey
    x = x + torch.randn_like(x) * torch.empty(n, 1, 1, 1, device=device).uniform_(0, 0.02)
    return x.clamp(0, 1), y


# ---- training ---
def report(model: Pose, device: torch.device, frames: int) -> str:
    """Figures on held-out frames."""
    shipped = Exported(model).eval()

    def predict(tensor: Any) -> Any:
        with torch.no_grad():
            return shipped(torch.from_numpy(tensor).to(device)).float().cpu().numpy()

    return str(evaluate(predict, held_out_frames(frames), WIDTH, HEIGHT))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for millrace_pose.onnx and millrace_pose.pt")
    parser.add_argument("--minutes", type=float, default=9.0, help="training time")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate of AdamW")
    parser.add_argument("--workers", type=int, default=max(1, mp.cpu_count() - 1))
    parser.add_argument("--room", type=int, default=120_000, help="frames kept on the device, 0.7 MB each")
    parser.add_argument("--frames", type=int, default=400, help="held-out frames for the closing figures")
    parser.add_argument("--start", type=Path, help="a .pt file to go on from")
    parser.add_argument("--size", default=f"{WIDTH}x{HEIGHT}", help="network size, multiples of 32")
    options = parser.parse_args()
    globals().update(zip(("WIDTH", "HEIGHT"), map(int, options.size.split("x")), strict=True))
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    pool = Pool(options.workers, 256, options.room)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pool.to(device)
    torch.backends.cudnn.benchmark = True
    model = Pose(WIDTH, HEIGHT).to(device).to(memory_format=torch.channels_last)
    if options.start:
        model.load_state_dict(torch.load(options.start, map_location=device))
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9985), use_buffers=True
    )
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}, {options.workers} workers", flush=True
    )
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0.0}])
    while pool.count < options.batch * 8:
        time.sleep(0.2)
        pool.collect()
    limit = options.minutes * 60 - (time.time() - began)
    start, step, told = time.time(), 0, 0.0
    while (done := (time.time() - start) / limit) < 1:
        if step % 10 == 0:
            pool.collect()
        rate = options.rate * min(1.0, (step + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        x, y = pool.batch(options.batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            raw = model(x.contiguous(memory_format=torch.channels_last))
        loss, parts = loss_of(model, raw, y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        average.update_parameters(model)
        step += 1
        if time.time() - told > 10:
            told = time.time()
            words = " ".join(f"{float(p.detach()):.3f}" for p in parts)
            print(f"{done:6.1%} step {step} pool {pool.count} loss {float(loss.detach()):.3f} ({words})", flush=True)
    for process in pool.processes:
        process.terminate()
    final = average.module.eval()
    torch.save(final.state_dict(), options.out / "millrace_pose.pt")
    print(report(final, device, options.frames), flush=True)
    export(final, options.out / "millrace_pose.onnx")
    print(f"{options.out / 'millrace_pose.onnx'} after {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
