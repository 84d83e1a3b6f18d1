"""Label files: a class a line, or for classifiers a task a line with ``;`` between its labels."""

from __future__ import annotations

import logging

from ..config import InferConfig, NetworkType
from ..errors import ConfigError

log = logging.getLogger("millrace.infer")

_NEEDS_CLASSES = (NetworkType.DETECTOR, NetworkType.INSTANCE_SEGMENTATION)


def read_labels(config: InferConfig) -> list[list[str]]:
    """The lines of ``labelfile-path``, each split at ``;``; empty when no file is named.

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
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return [[label.strip() for label in line.rstrip(";").split(";")] for line in lines]


def class_count(config: InferConfig, labels: list[list[str]]) -> int:
    """Number of classes of a detector: ``num-detected-classes``, or else as many as there are labels.

    Raises:
        ConfigError: neither says it, or the label file has too few lines.
    """
    if config.network_type not in _NEEDS_CLASSES:
        return config.num_detected_classes
    count = config.num_detected_classes
    if count == 0:
        if not labels:
            kind = int(config.network_type)
            message = f"num-detected-classes is missing; network-type={kind} needs it, or a labelfile-path"
            raise ConfigError(message, config.file)
        return len(labels)
    if labels and len(labels) < count:
        assert config.labelfile_path is not None
        raise ConfigError(
            f"{len(labels)} labels, but num-detected-classes={count}; add the missing lines or correct the number",
            config.labelfile_path,
        )
    if len(labels) > count:
        log.warning("%s: %d labels for num-detected-classes=%d", config.labelfile_path, len(labels), count)
    return count


def task_labels(config: InferConfig, labels: list[list[str]], sizes: list[int]) -> list[list[str]]:
    """A classifier's labels, one list a task (an output).

    Args:
        config: for the file's name.
        labels: lines of the file.
        sizes: number of classes of each output, in order; 0 where not known.

    Raises:
        ConfigError: there are fewer labels than classes.
    """
    if not labels:
        return []
    if len(sizes) == 1 and len(labels) > 1 and all(len(line) == 1 for line in labels):
        labels = [[line[0] for line in labels]]  # one task written a label a line
    if len(labels) < len(sizes):
        raise ConfigError(
            f"{len(labels)} lines, but the classifier has {len(sizes)} outputs; one line a task", config.labelfile_path
        )
    for number, (line, size) in enumerate(zip(labels, sizes, strict=False), start=1):
        if 0 < len(line) < size:
            raise ConfigError(
                f"{len(line)} labels, but the task's output has {size} classes", config.labelfile_path, number
            )
    return labels
