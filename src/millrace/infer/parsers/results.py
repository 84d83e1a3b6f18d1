"""What parsers take and give: layers, network info, detections, attributes and class maps.

All coordinates are pixels of the network's input picture, origin at its top left corner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
AnyArray = npt.NDArray[Any]
Layers = Mapping[str, AnyArray]


class LayerLike(Protocol):
    """Description of one output layer; ``shape`` is without the batch dimension, ``-1`` when not known."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> Sequence[int]: ...


class NetworkLike(Protocol):
    """Size of the network's input in pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


@dataclass(frozen=True)
class LayerInfo:
    """One output layer: name, shape without the batch dimension, element type."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class NetworkInfo:
    """Input size of the network: width and height in pixels, number of channels."""

    width: int
    height: int
    channels: int = 3


@dataclass
class Detections:
    """Objects that a detector found in one picture.

    Attributes:
        boxes: (N, 4) float32, left, top, right, bottom in network pixels.
        scores: (N,) float32 confidences, 0 to 1.
        class_ids: (N,) int64.
        keypoints: (N, K, 3) float32 x, y in network pixels and confidence, or None.
        masks: (N, h, w) float32 probabilities, each stretched over its object's box, or None.
    """

    boxes: FloatArray
    scores: FloatArray
    class_ids: IntArray
    keypoints: FloatArray | None = None
    masks: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.boxes.shape[0])

    @classmethod
    def empty(cls, keypoints: int = 0, mask_shape: tuple[int, int] | None = None) -> Detections:
        """No objects; with ``keypoints`` or ``mask_shape`` the optional arrays exist and have zero rows."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros((0, keypoints, 3), np.float32) if keypoints else None,
            np.zeros((0, *mask_shape), np.float32) if mask_shape else None,
        )

    def take(self, index: AnyArray) -> Detections:
        """The objects that an integer or boolean index picks, in its order (a copy)."""
        return Detections(
            self.boxes[index],
            self.scores[index],
            self.class_ids[index],
            None if self.keypoints is None else self.keypoints[index],
            None if self.masks is None else self.masks[index],
        )

    @staticmethod
    def concatenate(parts: Sequence[Detections]) -> Detections:
        """All objects of ``parts`` in order; keypoints and masks stay only where every part has them."""
        full = [part for part in parts if len(part)]
        if not full:
            return parts[0] if parts else Detections.empty()
        if len(full) == 1:
            return full[0]
        keypoints = [p.keypoints for p in full if p.keypoints is not None]
        masks = [p.masks for p in full if p.masks is not None]
        return Detections(
            np.concatenate([p.boxes for p in full]),
            np.concatenate([p.scores for p in full]),
            np.concatenate([p.class_ids for p in full]),
            np.concatenate(keypoints) if len(keypoints) == len(full) else None,
            np.concatenate(masks) if len(masks) == len(full) else None,
        )


@dataclass(frozen=True)
class ClassifierAttribute:
    """One classified attribute.

    Attributes:
        task_index: number of the classifier's output (task), in output order.
        class_index: number of the class within that task.
        probability: 0 to 1.
        label: the class's name, or an empty string when there are no labels.
    """

    task_index: int
    class_index: int
    probability: float
    label: str = ""


@dataclass
class Classification:
    """Attributes of one picture that reached the threshold; ``label`` joins their names with spaces."""

    attributes: list[ClassifierAttribute] = field(default_factory=list)

    @property
    def label(self) -> str:
        return " ".join(a.label for a in self.attributes if a.label)


@dataclass
class SegmentationMap:
    """Class of each pixel of one picture.

    Attributes:
        class_map: (h, w) int32 class numbers; -1 where no class reaches the threshold.
        probabilities: (classes, h, w) float32, or None when the network gives class numbers only.
    """

    class_map: npt.NDArray[np.int32]
    probabilities: FloatArray | None = None
