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
    except OSError as error:
        raise config.error("labelfile-path", f"labelfile-path: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        where = f"{path}:{error.object.count(10, 0, error.start) + 1}"
        message = f"labelfile-path: {where}: not UTF-8 text: save the file as UTF-8"
        raise config.error("labelfile-path", message) from None
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


def match_tasks(
    config: InferConfig, layers: Sequence[LayerInfo], labels: list[list[str]]
) -> tuple[list[LayerInfo], list[list[str]]]:
    """A classifier's tasks: the output of each line of the label file.

    The lines may be in the order of ``output-blob-names`` or in that in which the network predicts, or the numbers of
    labels say which line is whose; the first of these that fits is taken, and said when it is not the first. Every
    output is a task, named in ``output-blob-names`` or not, as in DeepStream; only where the named ones are just as
    many as the label file has lines, the others have no labels and are left out, which is said.

    Args:
        config: for ``output-blob-names`` and names of files.
        layers: all outputs in the model's order.
        labels: lines of the label file.

    Returns:
        The outputs in the order of the lines, and the labels of each; no labels without a label file, where the order
        is that of ``output-blob-names``, then the model's.

    Raises:
        ConfigError: there are fewer lines than outputs, or fewer labels than classes; names the output and the command
            that writes the file.
    """
    found = {layer.name: layer for layer in layers}
    named = [found[name] for name in dict.fromkeys(config.output_blob_names) if name in found]
    others = [layer for layer in layers if layer not in named]
    if not labels:
        return [*named, *others], []
    if named and others and len(named) == len(_one_task(labels, len(named))):
        log.info("%s: not in output-blob-names and without a line of labels, not taken for a task", _names(others))
        others = []
    by_names = [*named, *others]
    by_model = [layer for layer in layers if layer in by_names]
    labels = _one_task(labels, len(by_names))
    if len(labels) < len(by_names):
        message = (
            f"{_count(len(labels), 'line')}, but the classifier has {len(by_names)} outputs ({_names(by_names)}); "
            "one line a task"
        )
        raise ConfigError(message + _mend(config, by_names), config.labelfile_path)
    for exact in (True, False):  # labels beyond the last class harm nothing, but tell less
        fits = _fits(by_names, labels, exact)
        if by_names != by_model and _fits(by_model, labels, exact):
            return _model_order(config, by_names, by_model, fits), labels
        if fits:
            return by_names, labels
        if exact and (by_counts := _by_counts(by_model, labels)):
            text = "%s: by their numbers of labels, the lines are those of %s"
            log.info(text, config.labelfile_path, _names(by_counts))
            return by_counts, labels
    number, line, layer = next(
        (n, line, x) for n, (line, x) in enumerate(zip(labels, by_names, strict=False), 1) if len(line) < _size(x)
    )
    message = f"{_count(len(line), 'label')}, but the task's output has {_size(layer)} classes ({layer.name})"
    raise ConfigError(message + _mend(config, by_names), config.labelfile_path, number)


def _model_order(
    config: InferConfig, by_names: list[LayerInfo], by_model: list[LayerInfo], names_fit: bool
) -> list[LayerInfo]:
    """Choose between the two orders where the model's fits; says what was taken."""
    if not names_fit:
        log.info("%s: the lines are in the order of the model's outputs, %s", config.labelfile_path, _names(by_model))
        return by_model
    log.warning(
        "%s: the lines fit the order of output-blob-names (%s) and the model's (%s); the former is taken: "
        "if labels are mixed up, write output-blob-names in the order of the lines",
        config.labelfile_path,
        _names(by_names),
        _names(by_model),
    )
    return by_names


def _size(layer: LayerInfo) -> int:
    """Number of classes, 0 where it is open."""
    return 0 if -1 in layer.shape else math.prod(layer.shape)


def _fits(layers: list[LayerInfo], labels: list[list[str]], exact: bool) -> bool:
    pairs = [(len(line), _size(layer)) for line, layer in zip(labels, layers, strict=False)]
    return all(size == 0 or count == size or (not exact and count > size) for count, size in pairs)


def _by_counts(layers: list[LayerInfo], labels: list[list[str]]) -> list[LayerInfo] | None:
    """The outputs in the order of the lines, where each line can be one output's only."""
    sizes = {_size(layer): layer for layer in layers}
    counts = [len(line) for line in labels]
    if len(sizes) < len(layers) or len(set(counts)) < len(counts) or set(counts) != set(sizes):
        return None
    return [sizes[count] for count in counts]


def _names(layers: Sequence[LayerInfo]) -> str:
    return ", ".join(layer.name for layer in layers)


def _one_task(labels: list[list[str]], outputs: int) -> list[list[str]]:
    if outputs == 1 and len(labels) > 1 and all(len(line) == 1 for line in labels):
        return [[line[0] for line in labels]]  # one task written a label a line
    return labels


def _mend(config: InferConfig, layers: Sequence[LayerInfo]) -> str:
    if len(layers) < 2:
        return ""
    target = config.file or "FILE"
    return (
        "; lines are in the order of output-blob-names, or in the model's: "
        f"`millrace labels from-classmap classmap.json --config {target}` writes them"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
