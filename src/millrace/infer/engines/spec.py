"""What an engine is to be like, checked against a model's inputs and the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import ModelError
from ..parsers.results import LayerInfo, NetworkInfo

Layout = Literal["NCHW", "NHWC"]
TENSORS = "ready tensors of any shape can be attached with input-tensor-from-meta=1"
_SILENT = 0  # OpenCV's log level


class SpecError(ModelError):
    """A key of the configuration does not fit the model or itself.

    Args:
        keys: attributes of the configuration that it is about, the likeliest first.
        message: what is wrong and how to mend it.
    """

    def __init__(self, keys: tuple[str, ...], message: str) -> None:
        self.keys = keys
        super().__init__(message)


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
            raise SpecError(
                ("offsets",),
                f"offsets has {len(self.means)} values but the network's input has {self.channels} channels; "
                f"give {self.channels} with ; between them",
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
            SpecError: ``mean-file`` cannot be read or has another size.
        """
        if self.mean_file is None:
            return None
        image = _picture(self.mean_bytes(), gray=self.channels == 1)
        if image is None:
            raise SpecError(("mean_file",), f"mean-file: not a picture: {self.mean_file}; save it as PPM")
        if image.shape[:2] != (info.height, info.width):
            got = f"{image.shape[1]}x{image.shape[0]}"
            raise SpecError(
                ("mean_file",),
                f"mean-file: {self.mean_file} is {got}; it must be {info.width}x{info.height}, as the network's input",
            )
        if self.channels == 1:
            return image[:, :, None].astype(np.float32)
        return (image if self.bgr else image[:, :, ::-1]).astype(np.float32)

    def mean_bytes(self) -> bytes:
        """The content of ``mean-file``; empty without one.

        Raises:
            SpecError: it cannot be read.
        """
        path = self.mean_file
        if path is None:
            return b""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            reason = "no such file"
        except IsADirectoryError:
            reason = "a folder, not a picture"
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        raise SpecError(("mean_file",), f"mean-file: {reason}: {path}")


def _picture(content: bytes, gray: bool) -> npt.NDArray[np.uint8] | None:
    """A picture file's pixels, (height, width) or (height, width, 3) blue, green, red; None when it is none."""
    import cv2

    level = cv2.utils.logging.setLogLevel(_SILENT)  # the error that follows says it all
    try:
        data = np.frombuffer(content, np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR) if len(data) else None  # type: ignore[return-value]
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


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
            raise SpecError(
                ("infer_dims", "network_input_order"),
                f"infer-dims={';'.join(map(str, wanted))} but the input {name} of {spec.model.name} is {have} "
                f"(channels;height;width, {spec.layout}); correct infer-dims or remove it",
            )
        c, h, w = wanted
    c = spec.channels if c < 0 else c
    if h < 0 or w < 0:
        raise ModelError(f"{spec.model}: input {name} has no fixed size; set infer-dims=channels;height;width")
    if c != spec.channels:
        raise _wrong_channels(spec, name, rest, c)
    return NetworkInfo(w, h, c), batch


def _wrong_channels(spec: EngineSpec, name: str, rest: list[int], channels: int) -> ModelError:
    shown = "x".join("?" if d < 0 else str(d) for d in rest)
    source = f"the input {name} of {spec.model} is {shown} without the batch"
    order = int(spec.layout == "NHWC")
    if rest[0 if order else 2] == spec.channels:
        other = "NCHW" if order else "NHWC"
        return SpecError(
            ("network_input_order",),
            f"network-input-order={order} ({spec.layout}) but {source}, which is {other}; "
            f"set network-input-order={1 - order}",
        )
    form = 2 if spec.channels == 1 else int(spec.bgr)
    given = f"model-color-format={form} makes {spec.channels} channels but {source}, {channels} channels"
    mends = {1: "set model-color-format=2 (gray)", 3: "set model-color-format=0 (RGB) or 1 (BGR)"}
    mend = mends.get(channels, f"pictures have 1 or 3 channels ({TENSORS})")
    return SpecError(("model_color_format", "network_input_order", "infer_dims"), f"{given}; {mend}")


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
                raise SpecError(
                    ("infer_dims", "network_input_order"),
                    f"infer-dims={given} but the input {name} of {spec.model.name} is {shown} ({spec.layout[1:]}); "
                    "correct infer-dims or remove it",
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
