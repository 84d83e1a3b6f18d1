"""The engine interface: a compiled network with a few requests that run at the same time."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import MillraceError, ModelError
from ..parsers.results import LayerInfo, NetworkInfo
from ..preprocess import InputBuffer

Array = npt.NDArray[Any]
Layout = Literal["NCHW", "NHWC"]
TENSORS = "ready tensors of any shape can be attached with input-tensor-from-meta=1"


@dataclass(frozen=True)
class EngineSpec:
    """What to build.

    Attributes:
        model: ONNX file, or OpenVINO's ``.xml``.
        batch_size: pictures in one request, at most.
        precision: ``fp32``, ``fp16``, ``int8`` or ``best``.
        layout: order of the network's input dimensions.
        dims: channels, height, width of the input, where given.
        channels: that the colour format has.
        scale: factor after the mean is subtracted.
        means: for each channel in the network's order, or none.
        mean_file: picture of means, or None.
        bgr: the network's channels are blue, green, red.
        streams: requests computed at the same time; 0 lets the engine choose.
        threads: threads it may use; 0 for all.
        calibration: INT8 calibration cache; used when the precision is ``int8`` or ``best``.
        raw: the network takes ready tensors as it declares them; nothing of the pre-processing is part of it.
    """

    model: Path
    batch_size: int = 1
    precision: str = "fp32"
    layout: Layout = "NCHW"
    dims: tuple[int, int, int] | None = None
    channels: int = 3
    scale: float = 1.0
    means: tuple[float, ...] = ()
    mean_file: Path | None = None
    bgr: bool = False
    streams: int = 0
    threads: int = 0
    calibration: Path | None = None
    raw: bool = False

    def __post_init__(self) -> None:
        if self.means and len(self.means) != self.channels:
            raise ModelError(
                f"offsets has {len(self.means)} values but the network's input has {self.channels} channels"
            )

    def to_notes(self) -> dict[str, Any]:
        """All of it as JSON, for the engine's file."""
        return {
            key: str(value.absolute()) if isinstance(value, Path) else value for key, value in self.__dict__.items()
        }

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any]) -> EngineSpec:
        """What :meth:`to_notes` was made from.

        Raises:
            KeyError, TypeError: they are of another version.
        """
        values = dict(notes)
        for name in ("model", "mean_file", "calibration"):
            values[name] = None if values[name] is None else Path(values[name])
        values["dims"] = None if values["dims"] is None else tuple(values["dims"])
        values["means"] = tuple(values["means"])
        return cls(**values)

    def mean_image(self, info: NetworkInfo) -> npt.NDArray[np.float32] | None:
        """(height, width, channels) float32 in the network's channel order, or None.

        Raises:
            ModelError: ``mean-file`` cannot be read or has another size.
        """
        if self.mean_file is None:
            return None
        import cv2

        image = cv2.imread(str(self.mean_file), cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR)
        if image is None:
            raise ModelError(f"mean-file: cannot read the picture {self.mean_file}")
        if image.shape[:2] != (info.height, info.width):
            got = f"{image.shape[1]}x{image.shape[0]}"
            raise ModelError(f"mean-file {self.mean_file} is {got}; it must be {info.width}x{info.height}")
        if self.channels == 1:
            return image[:, :, None].astype(np.float32)
        return (image if self.bgr else image[:, :, ::-1]).astype(np.float32)


def check_input(spec: EngineSpec, name: str, shape: list[int]) -> tuple[NetworkInfo, int]:
    """Network size and batch (-1 when dynamic) from the model's input shape, checked against the configuration.

    Args:
        spec: what was asked for.
        name: of the input.
        shape: all dimensions, -1 where dynamic.

    Raises:
        ModelError: not a picture input, a dimension stays open, or ``infer-dims`` is another.
    """
    if len(shape) != 4:
        shown = tuple("?" if d < 0 else d for d in shape)
        raise ModelError(f"{spec.model}: input {name} has shape {shown}; a picture input has 4 dimensions ({TENSORS})")
    batch, rest = shape[0], shape[1:]
    c, h, w = rest if spec.layout == "NCHW" else (rest[2], rest[0], rest[1])
    if spec.dims is not None:
        wanted = spec.dims
        if any(have not in (-1, want) for have, want in zip((c, h, w), wanted, strict=True)):
            have = ";".join("?" if d < 0 else str(d) for d in (c, h, w))
            raise ModelError(
                f"infer-dims={';'.join(map(str, wanted))} but the input {name} of {spec.model.name} is {have} "
                f"(channels;height;width, {spec.layout})"
            )
        c, h, w = wanted
    c = spec.channels if c < 0 else c
    if h < 0 or w < 0:
        raise ModelError(f"{spec.model}: input {name} has no fixed size; set infer-dims=channels;height;width")
    if c != spec.channels:
        raise ModelError(
            f"{spec.model}: input {name} has {c} channels, but model-color-format makes {spec.channels}; "
            "check model-color-format, network-input-order and infer-dims"
        )
    return NetworkInfo(w, h, c), batch


def check_tensors(spec: EngineSpec, inputs: list[tuple[str, list[int], str]]) -> tuple[list[LayerInfo], int]:
    """The inputs of a network that takes ready tensors, without batch, and the batch (-1 when dynamic).

    Args:
        spec: what was asked for; ``dims`` fills the open dimensions of a picture.
        inputs: name, all dimensions (-1 where dynamic) and element type of each.

    Raises:
        ModelError: an input has no batch, a dimension stays open, or ``infer-dims`` is another.
    """
    layers, batches = [], set()
    for name, shape, dtype in inputs:
        if not shape:
            raise ModelError(f"{spec.model}: input {name} is a single number; a ready tensor has a batch dimension")
        rest = shape[1:]
        if spec.dims is not None and len(rest) == 3 and (len(inputs) == 1 or -1 in rest):
            c, h, w = spec.dims
            wanted = [c, h, w] if spec.layout == "NCHW" else [h, w, c]
            if any(have not in (-1, want) for have, want in zip(rest, wanted, strict=True)):
                shown = ";".join("?" if d < 0 else str(d) for d in rest)
                given = ";".join(map(str, spec.dims))
                raise ModelError(
                    f"infer-dims={given} but the input {name} of {spec.model.name} is {shown} ({spec.layout[1:]})"
                )
            rest = wanted
        if -1 in rest:
            shown = "x".join("?" if d < 0 else str(d) for d in shape)
            mend = "set infer-dims=channels;height;width" if len(rest) == 3 else "export the model with its size"
            raise ModelError(f"{spec.model}: input {name} ({shown}) has no fixed size; {mend}")
        layers.append(LayerInfo(name, tuple(rest), dtype))
        batches.add(shape[0])
    fixed = batches - {-1}
    if len(fixed) > 1:
        raise ModelError(f"{spec.model}: its inputs have different batches: {', '.join(map(str, sorted(fixed)))}")
    return layers, fixed.pop() if fixed else -1


def picture_size(layers: list[LayerInfo], layout: Layout) -> NetworkInfo:
    """What of a network's inputs is nearest to a picture's size: for post-processing and metadata."""
    shape = next((layer.shape for layer in layers if len(layer.shape) == 3), layers[0].shape)
    if len(shape) == 3 and layout == "NHWC":
        return NetworkInfo(shape[1], shape[0], shape[2])
    c, h, w = (1, 1, 1, *shape)[-3:] if len(shape) < 3 else (shape[0], *shape[-2:])
    return NetworkInfo(w, h, c)


class Slot(ABC):
    """One request: its input memory and a way to run on it.

    Args:
        inputs: where pictures go, or an array (batch, ...) for each input of a network that takes ready tensors.
    """

    def __init__(self, inputs: InputBuffer | list[Array]) -> None:
        self._pictures = inputs if isinstance(inputs, InputBuffer) else None
        self.arrays: list[Array] = inputs if isinstance(inputs, list) else [inputs.array]

    @property
    def buffer(self) -> InputBuffer:
        """Where pictures go; only for networks that take pictures."""
        assert self._pictures is not None
        return self._pictures

    @abstractmethod
    def start(self, count: int) -> None:
        """Start on the first ``count`` pictures of the buffer and return at once."""

    @abstractmethod
    def finish(self) -> list[Array]:
        """Wait for the end; outputs, each (count, ...), whose memory is not written again while they live."""


class Run:
    """One started request."""

    def __init__(self, engine: Engine, slot: Slot, count: int) -> None:
        self.count = count
        self._engine, self._slot = engine, slot
        self._lock = threading.Lock()
        self._outputs: list[Array] | None = None
        self._error: Exception | None = None

    def wait(self) -> list[Array]:
        """Outputs, each (count, ...); the slot is free afterwards. Any thread may call it, more than once.

        Raises:
            ModelError: the engine failed.
        """
        with self._lock:
            if self._outputs is None and self._error is None:
                try:
                    self._outputs = self._slot.finish()
                except Exception as error:  # engines raise their own types
                    self._error = error
                self._engine._give_back(self, self._slot)
        if self._error is not None:
            if isinstance(self._error, MillraceError):
                raise self._error
            raise ModelError(f"inference failed: {str(self._error).splitlines()[0]}") from self._error
        assert self._outputs is not None
        return self._outputs


class Engine(ABC):
    """A compiled network.

    Attributes:
        name: library and version.
        precision: what it computes in, for the log.
        network_info: input size.
        input_layers: the inputs, without batch; one where the network takes pictures.
        output_layers: outputs in order, without batch; -1 where dynamic.
        batch_size: pictures a request takes.
        slots: number of requests.
        from_cache: it was loaded from a compiled file.
    """

    name: str
    precision: str
    network_info: NetworkInfo
    input_layers: list[LayerInfo]
    output_layers: list[LayerInfo]
    batch_size: int
    slots: int
    from_cache: bool = False

    def __init__(self) -> None:
        self._free: list[Slot] = []
        self._running: deque[Run] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def new_inputs(self, raw: bool) -> InputBuffer | list[Array]:
        """Input memory of one request: for pictures, or as the network declares its inputs."""
        if raw:
            return [np.zeros((self.batch_size, *layer.shape), layer.dtype) for layer in self.input_layers]
        info = self.network_info
        return InputBuffer(np.zeros((self.batch_size, info.height, info.width, info.channels), np.uint8))

    def _add_slots(self, slots: list[Slot]) -> None:
        self._free = slots
        self.slots = len(slots)

    def acquire(self) -> Slot:
        """A slot to fill and give to :meth:`start`; waits for the oldest request when all are busy.

        Raises:
            ModelError: the engine is closed.
        """
        while True:
            with self._changed:
                if self._closed:
                    raise ModelError("the engine is closed")
                if self._free:
                    return self._free.pop()
                if not self._running:
                    self._changed.wait(0.1)
                    continue
                oldest = self._running[0]
            try:
                oldest.wait()
            except ModelError:
                pass  # told to whoever collects that run's result

    def start(self, slot: Slot, count: int) -> Run:
        """Run on the first ``count`` pictures of a slot's buffer, asynchronously."""
        run = Run(self, slot, count)
        with run._lock:  # whoever waits for the oldest run must not do so before it has started
            with self._changed:
                self._running.append(run)
            try:
                slot.start(count)
            except Exception as error:
                run._error = ModelError(f"inference failed: {str(error).splitlines()[0]}")
                self._give_back(run, slot)
                raise run._error from error
        return run

    def release(self, slot: Slot) -> None:
        """Give a slot back that was not started."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def _give_back(self, run: Run, slot: Slot) -> None:
        with self._changed:
            self._running.remove(run)
            self._free.append(slot)
            self._changed.notify()

    def close(self) -> None:
        """Wait for what runs and free the network."""
        with self._changed:
            self._closed = True
            running = list(self._running)
        for run in running:
            try:
                run.wait()
            except ModelError:
                pass
        with self._changed:
            self._free.clear()
