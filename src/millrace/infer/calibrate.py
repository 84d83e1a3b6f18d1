"""Post-training calibration: the steps of a model's tensors, found by running it on pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..config import InferConfig
from ..errors import MediaError, ModelError
from ..surface import HostSurface
from .calibration import CalibrationTable
from .context import engine_spec, located
from .engines import EngineSpec
from .engines.onnxruntime import with_preprocessing
from .preprocess import InputBuffer, Preprocessor
from .quantize import is_quantised, load_onnx, targets

log = logging.getLogger("millrace.infer")

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp")
METHODS = ("mse", "minmax")
_BINS = 2048

Image = npt.NDArray[np.uint8]
Method = Literal["mse", "minmax"]


def read_frames(source: Path, limit: int = 100) -> Iterator[Image]:
    """Pictures of a folder, one picture, or evenly spread frames of a video: (height, width, 3) uint8 RGB.

    Args:
        source: folder, picture or video; a folder may hold videos too, each of which gives an equal share.
        limit: most pictures.

    Raises:
        MediaError: there is none, or one cannot be read.
    """
    import cv2

    if not source.exists():
        raise MediaError(f"no such folder or file of frames: {source}")
    files = sorted(p for p in source.iterdir() if p.is_file()) if source.is_dir() else [source]
    pictures = [p for p in files if p.suffix.lower() in PICTURES]
    others = [p for p in files if p not in pictures and p.suffix.lower() in (".mp4", ".mkv", ".avi", ".mov", ".webm")]
    if not pictures and not others:
        raise MediaError(f"{source}: no pictures ({' '.join(PICTURES)}) and no video in it")
    spread = pictures[:: max(1, -(-len(pictures) // limit))]
    for path in spread:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise MediaError(f"{path}: not a picture that can be read")
        yield np.ascontiguousarray(image[:, :, ::-1])
    share = max(1, (limit - len(spread)) // max(1, len(others)))
    for path in others if len(spread) < limit else []:
        yield from _video_frames(path, share)


def _video_frames(path: Path, count: int) -> Iterator[Image]:
    import cv2

    video = cv2.VideoCapture(str(path))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    step, found, index = max(1, total // count), 0, 0
    try:
        while found < count and video.grab():
            if index % step == 0:
                good, image = video.retrieve()
                if good:
                    found += 1
                    yield np.ascontiguousarray(image[:, :, ::-1])
            index += 1
    finally:
        video.release()
    if not found:
        raise MediaError(f"{path}: not a video that can be read")


def calibrate(
    model: Path, frames: Iterable[Image], config: InferConfig | None = None, method: Method = "mse"
) -> CalibrationTable:
    """Run a float model on pictures and choose the step of every tensor that can be INT8.

    Args:
        model: ONNX file.
        frames: (height, width, 3) uint8 RGB pictures, as many as show what the network will see; 50 to 500.
        config: says how pictures become input (scale, offsets, colours, letterbox); default RGB, 1/255, letterbox.
        method: ``mse`` takes for each tensor the range with the least squared error, ``minmax`` the whole range.

    Raises:
        ConfigError: the configuration has ``input-tensor-from-meta``.
        ModelError: the model cannot be read, is INT8 already, or has nothing to quantise.
        MediaError: there are no pictures.
    """
    import onnxruntime

    if config is None:
        config = InferConfig(net_scale_factor=1 / 255, maintain_aspect_ratio=True)
    if config.input_tensor_from_meta:
        raise config.error(
            "input-tensor-from-meta",
            "input-tensor-from-meta=1: calibration feeds pictures; leave it out of the file that you calibrate with, "
            "and set net-scale-factor and offsets there to what your tensors are made with",
        )
    with located(config):
        spec = replace(engine_spec(config, model, 1), precision="fp32", calibration=None)
        proto = load_onnx(model)
    if is_quantised(proto):
        raise ModelError(f"{model}: it is quantised already; calibrate the float model that it was made from")
    names = list(dict.fromkeys(target.node.input[0] for target in targets(proto)))
    if not names:
        raise ModelError(f"{model}: no convolution or product with constant weights, so INT8 has nothing to do")
    with located(config):
        data, info = _with_outputs(spec, proto, names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ModelError(f"{model}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
    source = session.get_inputs()[0].name
    prepare = Preprocessor(config, info.width, info.height, info.channels)
    buffer = InputBuffer(np.zeros((1, info.height, info.width, info.channels), np.uint8))
    histograms = {name: _Histogram() for name in names}
    count = 0
    for frame in frames:
        prepare(HostSurface([frame], "RGB"), None, buffer, 0)
        for name, values in zip(names, session.run(names, {source: buffer.array}), strict=True):
            histograms[name].add(np.asarray(values, np.float32))
        count += 1
    if not count:
        raise MediaError("no pictures to calibrate with")
    log.info("%s: calibrated %d tensors with %d pictures", model.name, len(names), count)
    return CalibrationTable({name: h.step(method) for name, h in histograms.items() if h.greatest > 0})


def _with_outputs(spec: EngineSpec, proto: Any, names: list[str]) -> tuple[bytes, Any]:
    """The model with its pre-processing in front and only the named tensors as outputs."""
    import onnx

    data, info, _, _ = with_preprocessing(spec, proto)
    model = onnx.load_from_string(data)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return model.SerializeToString(), info


class _Histogram:
    """How often magnitudes of a tensor occur; the bins widen by powers of two when a greater value comes."""

    def __init__(self) -> None:
        self.greatest = 0.0
        self._width = 0.0
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        sizes = np.abs(values.ravel())
        greatest = float(sizes.max(initial=0.0))
        if not np.isfinite(greatest):
            raise ModelError("the float model gives values that are not finite; it cannot be calibrated")
        if greatest == 0.0:
            return
        self.greatest = max(self.greatest, greatest)
        if self._width == 0.0:
            self._width = greatest / _BINS
        while greatest > self._width * _BINS:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.concatenate([merged, np.zeros(_BINS // 2, np.int64)])
            self._width *= 2
        index = np.minimum((sizes / self._width).astype(np.int64), _BINS - 1)
        self._counts += np.bincount(index, minlength=_BINS)

    def step(self, method: Method) -> float:
        """The step of a symmetric INT8 scale."""
        if method == "minmax":
            return self.greatest / 127.0
        middles = (np.arange(_BINS) + 0.5) * self._width
        used = np.flatnonzero(self._counts)
        middles, weights = middles[used], self._counts[used].astype(np.float64)
        limits = self.greatest * np.linspace(0.02, 1.0, 197)
        inside = middles[None] <= limits[:, None]
        clipped = np.where(inside, 0.0, middles[None] - limits[:, None]) ** 2
        # A value within the range is off by up to half a step either way, on average by step²/12.
        rounding = np.where(inside, (limits[:, None] / 127.0) ** 2 / 12.0, 0.0)
        error = (weights * (clipped + rounding)).sum(axis=1)
        return float(limits[int(np.argmin(error))] / 127.0)
