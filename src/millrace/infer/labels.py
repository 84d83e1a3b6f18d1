"""Label files: a class a line, or for classifiers a task a line with ``;`` between its labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from ..config import InferConfig, NetworkType
from ..errors import ConfigError
from .parsers.results import LayerInfo

log = logging.getLogger("millrace.infer")

_NEEDS_CLASSES = (NetworkType.DETECTOR, NetworkType.INSTANCE_SEGMENTATION)


def read_labels(config: InferConfig) -> list[list[str]]:
    """The lines of ``labelfile-path`` that are not empty, each split at ``;``; empty when no file is named.

    Raises:
        ConfigError: the file is missing or is not text.
    """
    path = config.labelfile_path
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise config.error("labelfile-path", f"labelfile-path: no such file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise config.error("labelfile-path", f"labelfile-path: cannot read {path}: {error}") from None
    # Empty lines count for nothing, as in DeepStream; one with a blank is a class without a name.
    lines = [line.rstrip("\r") for line in text.rstrip().split("\n")]
    return [[label.strip() for label in line.strip().rstrip(";").split(";")] for line in lines if line]


def class_count(config: InferConfig, labels: list[list[str]]) -> int:
    """Number of classes of a detector: ``num-detected-classes``, or else as many as there are labels.

    Raises:
        ConfigError: neither says it, or keys are for a class beyond the last.
    """
    if config.network_type not in _NEEDS_CLASSES:
        return config.num_detected_classes
    count = config.num_detected_classes or len(labels)
    for number in config.attrs_by_class:
        if number >= count > 0:
            group = f"class-attrs-{number}"
            raise config.error(group, f"[{group}], but there are {count} classes: the last one is {count - 1}")
    count = config.num_detected_classes
    if count == 0:
        if not labels:
            kind = int(config.network_type)
            message = f"num-detected-classes is missing; network-type={kind} needs it, or a labelfile-path"
            raise ConfigError(message, config.file)
        return len(labels)
    if labels and len(labels) < count:
        # DeepStream goes on with objects that have no label, and so do its own samples.
        mend = "objects of the others have none; add the missing lines or correct the number"
        if len(labels) == 1 and len(labels[0]) > 1:
            mend = "a detector's labels are one a line, without ;"
        log.warning(
            "%s: %s for num-detected-classes=%d: %s", config.labelfile_path, _count(len(labels), "label"), count, mend
        )
    if len(labels) > count:
        log.warning("%s: %d labels for num-detected-classes=%d", config.labelfile_path, len(labels), count)
    return count


def task_layers(config: InferConfig, layers: Sequence[LayerInfo], labels: list[list[str]]) -> list[LayerInfo]:
    """The outputs that are a classifier's tasks: all of them, unless the configuration tells otherwise.

    DeepStream takes every output of an ONNX model for a task, named in ``output-blob-names`` or not. Where the named
    ones are just as many as the label file has lines, the others have no labels and are left out here, which is said.

    Args:
        config: for ``output-blob-names``.
        layers: all outputs, the named ones first.
        labels: lines of the label file.
    """
    named = [layer for layer in layers if layer.name in config.output_blob_names]
    if not named or len(named) == len(layers) or len(named) != len(_one_task(labels, len(named))):
        return list(layers)
    others = ", ".join(layer.name for layer in layers if layer not in named)
    log.info("%s: not in output-blob-names and without a line of labels, not taken for a task", others)
    return named


def task_labels(config: InferConfig, labels: list[list[str]], layers: Sequence[LayerInfo]) -> list[list[str]]:
    """A classifier's labels, one list a task (an output).

    Args:
        config: for the file's name.
        labels: lines of the file.
        layers: the outputs, in the tasks' order.

    Raises:
        ConfigError: there are fewer labels than classes; names the output and the command that writes the file.
    """
    if not labels:
        return []
    labels = _one_task(labels, len(layers))
    if len(labels) < len(layers):
        names = ", ".join(layer.name for layer in layers)
        message = (
            f"{_count(len(labels), 'line')}, but the classifier has {len(layers)} outputs ({names}); one line a task"
        )
        raise ConfigError(message + _mend(config, layers), config.labelfile_path)
    for number, (line, layer) in enumerate(zip(labels, layers, strict=False), start=1):
        size = 0 if -1 in layer.shape else math.prod(layer.shape)
        if len(line) < size:
            message = f"{_count(len(line), 'label')}, but the task's output has {size} classes ({layer.name})"
            raise ConfigError(message + _mend(config, layers), config.labelfile_path, number)
    return labels


def _one_task(labels: list[list[str]], outputs: int) -> list[list[str]]:
    if outputs == 1 and len(labels) > 1 and all(len(line) == 1 for line in labels):
        return [[line[0] for line in labels]]  # one task written a label a line
    return labels


def _mend(config: InferConfig, layers: Sequence[LayerInfo]) -> str:
    if len(layers) < 2:
        return ""
    target = config.file or "FILE"
    return (
        "; lines are in the order of output-blob-names, then the model's: "
        f"`millrace labels from-classmap classmap.json --config {target}` writes them so"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
