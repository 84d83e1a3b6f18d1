"""The bundled pose model's network and its export as ONNX; scripts/train_pose.py trains it. Needs PyTorch and onnx."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as functional
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

STRIDES = (8, 16, 32)


class Conv(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(self, cin: int, cout: int, k: int = 1, stride: int = 1) -> None:
        norm = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03)
        super().__init__(nn.Conv2d(cin, cout, k, stride, k // 2, bias=False), norm, nn.SiLU(inplace=True))


class Stage(nn.Module):
    """Cross-stage block: half the channels pass through `depth` residual pairs, everything is kept and mixed."""

    def __init__(self, cin: int, cout: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        self.half, self.residual = cout // 2, residual
        self.split = Conv(cin, 2 * self.half)
        self.steps = nn.ModuleList(
            nn.Sequential(Conv(self.half, self.half, 3), Conv(self.half, self.half, 3)) for _ in range(depth)
        )
        self.mix = Conv((2 + depth) * self.half, cout)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(torch.split(self.split(x), self.half, 1))
        for step in self.steps:
            y = step(parts[-1])
            parts.append(parts[-1] + y if self.residual else y)
        return self.mix(torch.cat(parts, 1))


class Pose(nn.Module):
    """Backbone, feature pyramid and one head shared by three scales; `decoded` adds YOLOv8-pose's output layout."""

    def __init__(self, width: int, height: int, wide: int = 64) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.c2 = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 32, 3, 2), Stage(32, 32, 1))
        self.c3 = nn.Sequential(Conv(32, 64, 3, 2), Stage(64, 64, 2))
        self.c4 = nn.Sequential(Conv(64, 96, 3, 2), Stage(96, 96, 2))
        self.c5 = nn.Sequential(Conv(96, 128, 3, 2), Stage(128, 128, 1))
        self.pool, self.pooled = Conv(128, 64), Conv(256, wide)
        self.p4, self.p3 = Stage(96 + wide, wide, 1, False), Stage(64 + wide, wide, 1, False)
        self.down4, self.n4 = Conv(wide, wide, 3, 2), Stage(2 * wide, wide, 1, False)
        self.down5, self.n5 = Conv(wide, wide, 3, 2), Stage(2 * wide, wide, 1, False)
        self.box = nn.Sequential(Conv(wide, wide, 3), Conv(wide, wide, 3))
        self.limbs = nn.Sequential(Conv(wide, wide, 3), Conv(wide, wide, 3))
        self.to_box, self.to_limbs = nn.Conv2d(wide, 5, 1), nn.Conv2d(wide, 51, 1)
        assert self.to_box.bias is not None
        nn.init.constant_(self.to_box.bias[4], -6.0)
        centres, strides = [], []
        for stride in STRIDES:
            y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
            centres.append((torch.stack([x, y]).reshape(2, -1) + 0.5) * stride)
            strides.append(torch.full((1, centres[-1].shape[1]), float(stride)))
        self.register_buffer("centre", torch.cat(centres, 1), persistent=False)
        self.register_buffer("stride", torch.cat(strides, 1), persistent=False)
        self.centre: Tensor
        self.stride: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs (B, 56, A)."""
        c3 = self.c3(self.c2(x))
        c4 = self.c4(c3)
        pools = [self.pool(self.c5(c4))]
        for _ in range(3):
            pools.append(functional.max_pool2d(pools[-1], 5, 1, 2))
        p5 = self.pooled(torch.cat(pools, 1))
        p4 = self.p4(torch.cat([functional.interpolate(p5, scale_factor=2.0, mode="nearest"), c4], 1))
        p3 = self.p3(torch.cat([functional.interpolate(p4, scale_factor=2.0, mode="nearest"), c3], 1))
        n4 = self.n4(torch.cat([self.down4(p3), p4], 1))
        n5 = self.n5(torch.cat([self.down5(n4), p5], 1))
        outs = []
        for level in (p3, n4, n5):
            both = torch.cat([self.to_box(self.box(level)), self.to_limbs(self.limbs(level))], 1)
            outs.append(both.flatten(2))
        return torch.cat(outs, 2)

    def decoded(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Box centre (B,2,A), box size (B,2,A), logit (B,1,A), points (B,17,2,A), seen logits (B,17,1,A); pixels."""
        sides = functional.softplus(raw[:, :4]) * self.stride
        low, high = self.centre - sides[:, :2], self.centre + sides[:, 2:]
        limbs = raw[:, 5:].reshape(-1, 17, 3, raw.shape[2])
        points = self.centre + limbs[:, :, :2] * (2.0 * self.stride)
        return (low + high) * 0.5, high - low, raw[:, 4:5], points, limbs[:, :, 2:]


class Exported(nn.Module):
    """The model as it is shipped: decoded output (B, 56, A)."""

    def __init__(self, pose: Pose) -> None:
        super().__init__()
        self.pose = pose

    def forward(self, images: Tensor) -> Tensor:
        middle, size, logit, points, seen = self.pose.decoded(self.pose(images))
        limbs = torch.cat([points, seen.sigmoid()], 2).reshape(-1, 51, points.shape[3])
        return torch.cat([middle, size, logit.sigmoid(), limbs], 1)


def export(model: Pose, path: Path) -> None:
    """Write ONNX (opset 13, batch dynamic) with the large weights stored as FP16."""
    example = (torch.zeros(1, 3, model.height, model.width),)
    torch.onnx.export(
        Exported(model).cpu().float().eval(), example, str(path), opset_version=13,
        input_names=["images"], output_names=["output0"], dynamo=False,
        dynamic_axes={"images": {0: "batch"}, "output0": {0: "batch"}},
    )  # fmt: skip
    proto = onnx.load(str(path))
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) > 256 and len(tensor.dims) == 4:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name + "_half"))
            casts.append(helper.make_node("Cast", [name + "_half"], [name], name + "_cast", to=TensorProto.FLOAT))
    for k, cast in enumerate(casts):
        proto.graph.node.insert(k, cast)
    proto.producer_name, proto.producer_version, proto.doc_string = "millrace", "1", "scripts/train_pose.py"
    proto.graph.name = "millrace_pose"
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))
