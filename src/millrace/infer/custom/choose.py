"""Which function reads a network's outputs: the configuration's own, or a built-in parser in its place."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ...config import InferConfig
from ...errors import ConfigError, ModelError
from ..parsers import KNOWN_FUNCTIONS, get_parser
from ..parsers.parser import Kind
from ..parsers.registry import PARSE_KEYS
from ..parsers.results import LayerInfo, NetworkInfo
from . import library as cpp
from . import python
from .elf import Elf, read_elf
from .task import Task

log = logging.getLogger("millrace.infer")

_NVIDIA = re.compile(r"^lib(nv|cu|tensorrt|nppi|npp)", re.IGNORECASE)
_MOST_NAMES = 12


def custom_function(
    config: InferConfig,
    kind: Kind,
    layers: Sequence[LayerInfo],
    network: NetworkInfo,
    num_classes: int,
    labels: Sequence[Sequence[str]] = (),
) -> str | Callable[..., Any] | None:
    """The parse function of a configuration.

    Args:
        config: the nvinfer configuration.
        kind: what the network does.
        layers: its outputs, in order.
        network: its input size.
        num_classes: of a detector or segmentation.
        labels: lines of the label file, for classifiers.

    Returns:
        A function ``(layers, thresholds)`` from ``custom-lib-path``, or the function's name for a built-in parser, or
        None when the configuration names none.

    Raises:
        ConfigError: the file is missing, cannot be loaded, or has no such function; says what can be used instead.
    """
    key = PARSE_KEYS[kind]
    name: str | None = getattr(config, key.replace("-", "_"))
    path = config.custom_lib_path
    if name is None or path is None:
        return name
    where, key_where = config.source_of("custom-lib-path"), config.source_of(key)
    classes = [config.class_attrs(c).post_cluster_threshold or 0.0 for c in range(num_classes)]
    task = Task(
        kind,
        path,
        name,
        network,
        num_classes,
        np.array(classes, np.float32),
        _tasks(labels, len(layers)),
        key,
        "".join(f"{part}:" for part in key_where if part is not None) + " " if key_where[0] else "",
    )
    if python.is_python(path):
        function = python.load(path, name, key, where, key_where)
        try:
            return python.PythonFunction(function, task)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}", *key_where) from None
    problem = _problem(path)
    if problem is None:
        try:
            loaded = cpp.load(path)
        except OSError as error:
            problem = _reason(path, str(error))
        else:
            _check_names(path, name, kind, key, key_where, loaded)
            return cpp.LibraryFunction(loaded, task)
    if name in KNOWN_FUNCTIONS and KNOWN_FUNCTIONS[name][0] == kind:
        log.warning("custom-lib-path: %s; the built-in parser for %s is used", problem, name)
        return name
    raise ConfigError(f"custom-lib-path: {problem}; {_mend(key, kind, layers, network, num_classes)}", *where)


def _tasks(labels: Sequence[Sequence[str]], outputs: int) -> tuple[tuple[str, ...], ...]:
    if outputs == 1 and len(labels) > 1 and all(len(line) == 1 for line in labels):
        return (tuple(line[0] for line in labels),)  # one task written a label a line
    return tuple(tuple(line) for line in labels)


def _problem(path: Path) -> str | None:
    """What keeps a file from being loaded, as far as it can be seen without trying."""
    if not path.is_file():
        return f"no such file: {path}"
    elf = read_elf(path)
    if elf is None:
        return f"{path} is neither a shared library nor a Python file"
    if elf.foreign:
        return f"{path} is built for {elf.machine}, not for this processor"
    return None


def _reason(path: Path, message: str) -> str:
    missing = re.match(r"(\S+): cannot open shared object file", message)
    if missing and missing[1] != str(path):
        elf = read_elf(path)
        others = [n for n in (elf.needed if elf else []) if _NVIDIA.match(n) and n != missing[1]]
        also = f" (it is linked to {', '.join(others)}, too)" if others else ""
        kind = "TensorRT or CUDA, which are not used" if _NVIDIA.match(missing[1]) else "a library not installed"
        return f"{path} needs {missing[1]}{also}: {kind}"
    undefined = re.search(r"undefined symbol: (\S+)", message)
    if undefined:
        return f"{path} needs the symbol {undefined[1]}, which no library that it is linked to has"
    return f"{path} cannot be loaded: {message}"


def _mend(key: str, kind: Kind, layers: Sequence[LayerInfo], network: NetworkInfo, num_classes: int) -> str:
    compile_it = "compile the parse function alone against Millrace's headers (docs/custom-parsers.md)"
    try:
        parser = get_parser(None, kind, layers, network, num_classes)  # type: ignore[call-overload]
    except (ConfigError, ModelError):
        return compile_it
    return f"{compile_it}, or remove {key}: the built-in parser '{parser.title}' reads these outputs"


def _check_names(path: Path, name: str, kind: Kind, key: str, where: python.Where, loaded: Any) -> None:
    """Refuse a function that is not there, or whose std::string is another than ours."""
    elf = read_elf(path) or Elf("")
    if not hasattr(loaded, name) or (elf.functions and name not in elf.functions):
        mangled = [n for n in elf.functions if n.startswith("_Z") and f"{len(name)}{name}" in n]
        if mangled:
            raise ConfigError(f'{key}: {path} has {name} without C linkage; write extern "C" before it', *where)
        names = elf.plain_functions
        near = get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        shown = ", ".join(sorted(names)[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
        raise ConfigError(f"{key}: {path} has no function {name}; it has {shown or 'none'}{hint}", *where)
    if kind == "classifier":
        text = [n for n in elf.undefined + elf.functions if n.startswith(("_ZNSs", "_ZNKSs", "_ZNSt3__1"))]
        if text:
            raise ConfigError(
                f"{key}: {path} is compiled with another std::string than libstdc++'s since GCC 5; "
                "compile it with g++ and _GLIBCXX_USE_CXX11_ABI=1",
                *where,
            )
