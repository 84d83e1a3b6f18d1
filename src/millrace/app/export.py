"""PyTorch models to ONNX with an open batch. PyTorch is an optional extra."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from millrace.errors import ConfigError, ModelError

log = logging.getLogger("millrace.app")

INSTALL = "pip install 'millrace[torch]'"
TOLERANCE = 1e-3
"""Most that ONNX Runtime's outputs may differ from PyTorch's, relative to the greatest of each output."""


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        model: pickled module, TorchScript file, or weights.
        out: ONNX file to write.
        shape: channels, height, width of the input.
        batch: 0 for an open batch, else a fixed one.
        input_name: of the input.
        output_names: of the outputs in order, as many as are wanted; none for all, as ``output0``, ``output1``, ….
        opset: of ONNX.
        module: ``module:Class``, ``file.py:Class`` or a function that makes the network, for files of weights.
        check: compare ONNX Runtime's outputs with PyTorch's.
    """

    model: Path
    out: Path
    shape: tuple[int, int, int]
    batch: int = 0
    input_name: str = "images"
    output_names: tuple[str, ...] = ()
    opset: int = 17
    module: str | None = None
    check: bool = True


def import_torch() -> Any:
    """The module ``torch``.

    Raises:
        ConfigError: it is not installed; names the command.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        reason = "not installed" if isinstance(error, ModuleNotFoundError) else f"not usable ({error})"
        raise ConfigError(f"millrace export needs PyTorch, which is {reason}; install it with: {INSTALL}") from None


def export(options: ExportOptions) -> list[str]:
    """Write the ONNX file; returns lines that say what it is.

    Raises:
        ConfigError: PyTorch is missing, or an option does not fit.
        ModelError: the file holds no network, or it cannot be exported, or the result differs.
    """
    if not options.model.is_file():
        raise ModelError(f"no such model: {options.model}")
    torch = import_torch()
    module = load_module(torch, options)
    channels, height, width = options.shape
    example = torch.rand((max(1, options.batch), channels, height, width), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            found = flatten(torch, module(example))
    except Exception as error:  # whatever the network raises
        size = "x".join(map(str, example.shape))
        raise ModelError(f"{options.model}: it cannot take an input of {size}: {_first_line(error)}") from error
    if not found:
        raise ModelError(f"{options.model}: its output holds no tensor")
    names = list(options.output_names) or [f"output{k}" for k in range(len(found))]
    if len(names) > len(found):
        raise ConfigError(f"{len(names)} output names for {len(found)} outputs")
    _write(torch, module, example, names, options)
    lines = [f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, opset {options.opset}"]
    sizes = ["N" if options.batch == 0 else str(options.batch), *map(str, options.shape)]
    lines.append(f"  input {options.input_name}: {'x'.join(sizes)}")
    lines += [f"  output {name}: {'x'.join(map(str, x.shape))}" for name, x in zip(names, found, strict=False)]
    if options.check:
        worst = compare(torch, module, names, options)
        lines.append(f"  differs from PyTorch by at most {worst:.2g} of an output's greatest value")
    return lines


def load_module(torch: Any, options: ExportOptions) -> Any:
    """The network in evaluation mode, float32, on the CPU.

    A pickled file runs code when it is read: export only files that you trust.

    Raises:
        ModelError: the file holds no network.
        ConfigError: ``module`` names nothing.
    """
    path = options.model
    try:
        content = torch.jit.load(str(path), map_location="cpu")
    except Exception:  # not TorchScript: RuntimeError and others
        try:
            content = torch.load(str(path), map_location="cpu", weights_only=False)
        except (ModuleNotFoundError, AttributeError) as error:
            missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
            what = f"the Python package {missing}" if missing else _first_line(error)
            raise ModelError(
                f"{path}: to read it, the code of its classes is needed ({what}); install that or put it on "
                "PYTHONPATH, or save the model as TorchScript"
            ) from None
        except Exception as error:  # pickle's and zip's errors
            raise ModelError(f"{path}: not a PyTorch file ({_first_line(error)})") from None
    network = _network_in(torch, content)
    if network is None:
        weights = _weights_in(torch, content)
        if weights is None:
            raise ModelError(f"{path}: it holds neither a network nor weights, but {type(content).__name__}")
        if options.module is None:
            raise ModelError(
                f"{path}: it holds weights only; name what makes the network with --module package.module:Class "
                "(or file.py:Class)"
            )
        network = _make(options.module)
        try:
            network.load_state_dict(weights)
        except Exception as error:
            raise ModelError(f"{path}: the weights do not fit {options.module}: {_first_line(error)}") from None
    return network.float().eval()


def _network_in(torch: Any, content: Any) -> Any:
    if isinstance(content, torch.nn.Module):
        return content
    if isinstance(content, Mapping):
        for key in ("ema", "model", "net", "network"):  # checkpoints of the common trainers; ema is the better one
            if isinstance(content.get(key), torch.nn.Module):
                return content[key]
    return None


def _weights_in(torch: Any, content: Any) -> Any:
    if not isinstance(content, Mapping):
        return None
    for candidate in (content, *(content.get(key) for key in ("state_dict", "model_state_dict", "model"))):
        if isinstance(candidate, Mapping) and candidate and all(torch.is_tensor(v) for v in candidate.values()):
            return candidate
    return None


def _make(name: str) -> Any:
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise ConfigError(f"--module {name}: write it as package.module:Class or file.py:Class")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            if spec is None or spec.loader is None:
                raise ConfigError(f"--module {name}: {place} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(spec.name, module)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        return getattr(module, attribute)()
    except ConfigError:
        raise
    except Exception as error:  # whatever that code raises
        raise ConfigError(f"--module {name}: {_first_line(error)}") from error


def flatten(torch: Any, outputs: Any) -> list[Any]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if torch.is_tensor(outputs):
        return [outputs]
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, Sequence) and not isinstance(outputs, str):
        return [tensor for item in outputs for tensor in flatten(torch, item)]
    return []


def _write(torch: Any, module: Any, example: Any, names: list[str], options: ExportOptions) -> None:
    class Wanted(torch.nn.Module):  # type: ignore[misc,name-defined]
        """Only the tensors that are wanted."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, images: Any) -> Any:
            found = flatten(torch, self.inner(images))[: len(names)]
            return found[0] if len(found) == 1 else tuple(found)

    # A TorchScript module cannot be traced inside another one; its further outputs are taken away afterwards.
    script = isinstance(module, torch.jit.ScriptModule)
    extra: dict[str, Any] = {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        extra["dynamo"] = False  # the exporter by tracing needs no further package
    if options.batch == 0:
        extra["dynamic_axes"] = {name: {0: "batch"} for name in (options.input_name, *names)}
    try:
        with torch.no_grad():
            torch.onnx.export(
                module if script else Wanted().eval(), (example,), str(options.out), opset_version=options.opset,
                input_names=[options.input_name], output_names=names, **extra,
            )  # fmt: skip
    except Exception as error:  # the exporter's errors have no common base
        raise ModelError(f"{options.model}: PyTorch cannot export it: {_first_line(error)}") from error
    if script:
        import onnx

        proto = onnx.load(str(options.out))
        del proto.graph.output[len(names) :]
        onnx.save(proto, str(options.out))


def compare(torch: Any, module: Any, names: list[str], options: ExportOptions) -> float:
    """Greatest difference between ONNX Runtime and PyTorch for another batch, relative to each output's greatest.

    Raises:
        ModelError: it is more than can come from rounding.
    """
    import onnxruntime

    count = options.batch or 2
    picture = torch.rand((count, *options.shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = [x.numpy() for x in flatten(torch, module(picture))[: len(names)]]
    session = onnxruntime.InferenceSession(str(options.out), providers=["CPUExecutionProvider"])
    worst = 0.0
    try:
        found = session.run(names, {options.input_name: picture.numpy()})
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ModelError(
            f"{options.out}: ONNX Runtime cannot run it with a batch of {count}: {_first_line(error)}; "
            "the network fixes its batch, export it with --batch 1"
        ) from None
    for name, a, b in zip(names, wanted, found, strict=True):
        if a.shape != b.shape:
            raise ModelError(f"{options.out}: output {name} is {b.shape}, PyTorch's {a.shape}; export with --batch 1")
        if a.size:
            worst = max(worst, float(np.abs(a - b).max() / max(1e-6, np.abs(a).max())))
    if not worst <= TOLERANCE:
        raise ModelError(f"{options.out}: it differs from PyTorch by {worst:.3g}; export with --no-check to keep it")
    return worst


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
