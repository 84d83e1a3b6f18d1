"""Networks of the bundled street models and their export as ONNX; scripts/train_street.py trains them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as functional
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

CELL, NORM = 16, 35.0


class Conv(nn.Sequential):
    """Convolution, batch norm, ReLU (whose range INT8 covers well)."""

    def __init__(self, cin: int, cout: int, k: int = 1, stride: int = 1) -> None:
        norm = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03)
        super().__init__(nn.Conv2d(cin, cout, k, stride, k // 2, bias=False), norm, nn.ReLU(inplace=True))


class Stage(nn.Module):
    """Cross-stage block: half the channels pass through `depth` residual pairs, everything is kept and mixed."""

    def __init__(self, cin: int, cout: int, depth: int) -> None:
        super().__init__()
        self.half = cout // 2
        self.split = Conv(cin, 2 * self.half)
        self.steps = nn.ModuleList(
            nn.Sequential(Conv(self.half, self.half, 3), Conv(self.half, self.half, 3)) for _ in range(depth)
        )
        self.mix = Conv((2 + depth) * self.half, cout)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(torch.split(self.split(x), self.half, 1))
        for step in self.steps:
            parts.append(parts[-1] + step(parts[-1]))
        return self.mix(torch.cat(parts, 1))


class Detector(nn.Module):
    """DetectNet_v2's layout: coverage logits (B, C, H/16, W/16) and boxes (B, 4C, H/16, W/16) over 35 pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.c3 = nn.Sequential(
            Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), Stage(32, 32, 1), Conv(32, 64, 3, 2), Stage(64, 64, 2)
        )
        self.c4 = nn.Sequential(Conv(64, 112, 3, 2), Stage(112, 112, 2))
        self.c5 = nn.Sequential(Conv(112, 144, 3, 2), Stage(144, 144, 1))
        self.pool, self.pooled = Conv(144, 64), Conv(256, 96)
        self.mix = Stage(112 + 96, 112, 2)
        self.cover = nn.Sequential(Conv(112, 96, 3), nn.Conv2d(96, classes, 1))
        self.boxes = nn.Sequential(Conv(112, 96, 3), nn.Conv2d(96, 4 * classes, 1))
        nn.init.constant_(self.cover[1].bias, -5.0)  # type: ignore[arg-type]
        nn.init.constant_(self.boxes[1].bias, 1.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c4 = self.c4(self.c3(x))
        pools = [self.pool(self.c5(c4))]
        for _ in range(3):
            pools.append(functional.max_pool2d(pools[-1], 5, 1, 2))
        up = functional.interpolate(self.pooled(torch.cat(pools, 1)), scale_factor=2.0, mode="nearest")
        both = self.mix(torch.cat([c4, up[:, :, : c4.shape[2], : c4.shape[3]]], 1))
        return self.cover(both), self.boxes(both)


def pick_classes(detector: Detector, classes: list[int]) -> Detector:
    """A copy whose last layers hold only `classes`, in that order."""
    copy = Detector(len(classes))
    state = dict(detector.state_dict())
    rows = {"cover.1": classes, "boxes.1": [4 * c + k for c in classes for k in range(4)]}
    for name, keep in rows.items():
        for part in ("weight", "bias"):
            state[f"{name}.{part}"] = state[f"{name}.{part}"][keep]
    copy.load_state_dict(state)
    return copy.eval()


class Shipped(nn.Module):
    """A detector as it is shipped: coverage after its sigmoid."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cover, boxes = self.detector(x)
        return cover.sigmoid(), boxes


class Classifier(nn.Module):
    """A small backbone with one linear head a task: logits of each."""

    def __init__(self, tasks: dict[str, int]) -> None:
        super().__init__()
        self.names = list(tasks)
        self.features = nn.Sequential(
            Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), Stage(32, 32, 1), Conv(32, 56, 3, 2), Stage(56, 56, 1),
            Conv(56, 96, 3, 2), Stage(96, 96, 1), Conv(96, 128, 3, 2), Stage(128, 128, 1),
        )  # fmt: skip
        self.heads = nn.ModuleDict({f"to_{name}": nn.Linear(128, count) for name, count in tasks.items()})

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.features(x).mean((2, 3))
        return [self.heads[f"to_{name}"](functional.dropout(x, 0.1, self.training)) for name in self.names]


class ShippedClassifier(nn.Module):
    """Some tasks with softmax, for BGR pictures in steps of 255 less `mean` (which the caller may have taken off)."""

    def __init__(self, classifier: Classifier, tasks: list[str], subtract: bool) -> None:
        super().__init__()
        self.classifier, self.tasks = classifier, tasks
        mean = torch.tensor([103.939, 116.779, 123.68] if subtract else [0.0, 0.0, 0.0])
        self.register_buffer("mean", mean.reshape(1, 3, 1, 1))
        self.mean: Tensor

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.classifier.features((x - self.mean) * (1 / 64)).mean((2, 3))
        return [self.classifier.heads[f"to_{name}"](x).softmax(1) for name in self.tasks]


def export(module: nn.Module, shape: tuple[int, int, int], source: str, outputs: list[str], path: Path) -> None:
    """Write ONNX (opset 13, batch dynamic) with the large weights stored as FP16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [f"output{k}" for k in range(len(outputs))]
    torch.onnx.export(
        module.cpu().float().eval(), (torch.zeros(1, *shape),), str(path), opset_version=13, dynamo=False,
        input_names=["input"], output_names=plain, dynamic_axes={n: {0: "batch"} for n in ["input", *plain]},
    )  # fmt: skip
    proto = onnx.load(str(path))
    renamed = dict(zip(["input", *plain], [source, *outputs], strict=True))
    for node in proto.graph.node:
        node.doc_string = ""
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                names[k] = renamed.get(name, name)
    for value in [*proto.graph.input, *proto.graph.output]:
        value.name = renamed.get(value.name, value.name)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) > 256 and len(tensor.dims) in (2, 4):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name + "_half"))
            casts.append(helper.make_node("Cast", [name + "_half"], [name], name + "_cast", to=TensorProto.FLOAT))
    for k, cast in enumerate(casts):
        proto.graph.node.insert(k, cast)
    proto.producer_name, proto.producer_version, proto.doc_string = "millrace", "1", "scripts/train_street.py"
    proto.graph.name = path.stem
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))
