"""What a custom parse function is asked to do, and how its errors are said."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..parsers.parser import Kind
from ..parsers.results import FloatArray, NetworkInfo


@dataclass(frozen=True)
class Task:
    """One parse function of a configuration.

    Attributes:
        kind: what the network does.
        library: the file, or the module's name as a path.
        function: its name.
        network: the network's input size.
        num_classes: ``num-detected-classes``.
        post_thresholds: (num_classes,) float32 post-cluster thresholds.
        labels: the label file's classes, a list for each task; classifiers only.
        key: that names the function; empty where it is not known.
        where: the configuration's file and line of ``key`` as they begin a message, or empty.
    """

    kind: Kind
    library: Path
    function: str
    network: NetworkInfo
    num_classes: int = 0
    post_thresholds: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    labels: tuple[tuple[str, ...], ...] = ()
    key: str = ""
    where: str = ""

    @property
    def title(self) -> str:
        """Function and file, for messages."""
        return f"{self.function} of {self.library.name}"

    def label(self, task: int, value: int) -> str:
        """The label file's word for a class of a task; empty when it has none."""
        if 0 <= task < len(self.labels) and 0 <= value < len(self.labels[task]):
            return self.labels[task][value]
        return ""
