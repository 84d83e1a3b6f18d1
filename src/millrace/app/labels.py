"""Label files for classifiers with several tasks, from TAO's ``classmap.json``."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millrace.errors import ConfigError, MillraceError

log = logging.getLogger("millrace.app")


def read_classmap(path: Path) -> dict[str, list[str]]:
    """Labels of each task in the order of their index; the tasks in the file's order.

    Raises:
        ConfigError: the file is missing, is no class map, or an index is missing.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path) from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error.msg}", path, error.lineno) from None
    except UnicodeDecodeError:
        raise ConfigError("not JSON: it is not text", path) from None
    mapping = document.get("class_mapping") if isinstance(document, dict) else None
    if not isinstance(mapping, dict) or not mapping:
        raise ConfigError("no class map: it must hold class_mapping with the labels of each task", path)
    tasks = document.get("tasks", list(mapping))
    if not isinstance(tasks, list) or sorted(map(str, tasks)) != sorted(mapping):
        raise ConfigError(f"tasks and class_mapping differ: {tasks} and {list(mapping)}", path)
    return {task: _labels(path, task, mapping[task]) for task in tasks}


def _labels(path: Path, task: str, entries: Any) -> list[str]:
    if not isinstance(entries, dict) or not entries:
        raise ConfigError(f"class_mapping of {task}: it must be like {{'0': 'label', ...}}", path)
    if not all(re.fullmatch(r"\d+", key) for key in entries) and all(isinstance(v, int) for v in entries.values()):
        entries = {str(index): label for label, index in entries.items()}  # written label to index
    labels = []
    for index in range(len(entries)):
        label = entries.get(str(index))
        if not isinstance(label, str):
            raise ConfigError(f"class_mapping of {task}: index {index} of {len(entries)} has no label", path)
        if ";" in label or "\n" in label:
            raise ConfigError(f"class_mapping of {task}: the label {label!r} cannot be in a label file", path)
        labels.append(label)
    return labels


def task_of(output: str, tasks: Sequence[str]) -> str | None:
    """The task that an output belongs to: ``base_color/Softmax`` is ``base_color``'s; the longest name that fits."""
    parts = re.split(r"[/:]", output)
    exact = [task for task in tasks if task in (output, parts[0], parts[-1])]
    near = [task for task in tasks if re.search(rf"(?<![A-Za-z0-9]){re.escape(task)}(?![A-Za-z0-9])", output)]
    found = sorted(exact or near, key=len)
    return found[-1] if found else None


def order_tasks(classmap: dict[str, list[str]], outputs: Sequence[tuple[str, int]], source: str) -> list[str]:
    """The tasks in the order of a network's outputs.

    Args:
        classmap: labels of each task.
        outputs: name and number of classes of each output, 0 where not known. Names that fit no task are taken by
            their number of classes where that says it.
        source: of the outputs, for errors.

    Raises:
        ConfigError: an output belongs to no task, or a task to no output.
    """
    tasks = list(classmap)
    order: list[str] = []
    for name, classes in outputs:
        left = [task for task in tasks if task not in order]
        task = task_of(name, left)
        if task is None:
            fitting = [t for t in left if classes and len(classmap[t]) == classes]
            task = fitting[0] if len(fitting) == 1 else None
        if task is None:
            raise ConfigError(f"{source}: output {name} belongs to none of the tasks {', '.join(left) or 'left'}")
        if classes and len(classmap[task]) != classes:
            raise ConfigError(f"{source}: output {name} has {classes} classes, {task} {len(classmap[task])} labels")
        order.append(task)
    lost = [task for task in tasks if task not in order]
    if lost:
        raise ConfigError(f"{source}: no output for task {', '.join(lost)}")
    return order


def model_outputs(path: Path) -> list[tuple[str, int]]:
    """Name and number of classes (0 where open) of an ONNX model's outputs, in order.

    Raises:
        ModelError: not an ONNX model.
    """
    from millrace.infer.quantize import load_onnx

    found = []
    for value in load_onnx(path).graph.output:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
        sizes = [d for d in dims if d != 1]
        found.append((value.name, sizes[0] if len(sizes) == 1 else 0))
    return found


def outputs_of_config(path: Path, tasks: int) -> list[tuple[str, int]]:
    """The outputs in the order in which nvinfer first looks for their lines: ``output-blob-names``, then the model's.

    Args:
        path: the configuration.
        tasks: how many there are; where just as many outputs are named, the model's others are no tasks.

    Raises:
        ConfigError: the file names neither outputs nor a model.
        ModelError: the model cannot be read.
    """
    from millrace.config import load_infer_config
    from millrace.infer.model import resolve_model

    config = load_infer_config(path)
    try:
        model = resolve_model(config, 1).model
    except MillraceError:  # the names may be enough
        model = Path()
    sizes = dict(model_outputs(model)) if model.is_file() and model.suffix.lower() == ".onnx" else {}
    names = list(dict.fromkeys(name for name in config.output_blob_names if name in sizes or not sizes))
    if not names and not sizes:
        raise ConfigError("neither output-blob-names nor a model in onnx-file says the order of the outputs", path)
    if len(names) != tasks:
        names = list(dict.fromkeys([*names, *sizes]))
    return [(name, sizes.get(name, 0)) for name in names]


def write_labels(
    classmap_file: Path, out: Path, *, model: Path | None = None, config: Path | None = None, names: str | None = None
) -> list[str]:
    """Write a label file: a line for each task, in the network's order.

    Args:
        classmap_file: TAO's ``classmap.json``.
        out: file to write.
        model: ONNX model whose outputs give the order.
        config: nvinfer configuration whose ``output-blob-names`` and model give the order.
        names: the outputs, with ``;`` between them. Without any of the three: the order of ``tasks``.

    Returns:
        The tasks in the order written.

    Raises:
        ConfigError: a file does not fit or cannot be written.
        ModelError: the model cannot be read.
    """
    classmap = read_classmap(classmap_file)
    if names is not None:
        outputs = [(name.strip(), 0) for name in names.split(";") if name.strip()]
        order = order_tasks(classmap, outputs, "--output-blob-names")
    elif model is not None:
        order = order_tasks(classmap, model_outputs(model), str(model))
    elif config is not None:
        order = order_tasks(classmap, outputs_of_config(config, len(classmap)), str(config))
    else:
        order = list(classmap)
        log.warning(
            "the lines are in the order of the tasks in %s; the network's outputs may have another: check with "
            "--model MODEL.onnx, --config FILE or --output-blob-names",
            classmap_file.name,
        )
    text = "".join(";".join(classmap[task]) + "\n" for task in order)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    return order
