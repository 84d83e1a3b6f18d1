"""What goes into an inference context and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .parsers.results import Classification, Detections, SegmentationMap
from .transform import LetterboxTransform

if TYPE_CHECKING:
    from ..surface import Rect, Surface


class InferItem(NamedTuple):
    """One picture to infer on: a surface, or the part ``roi`` of it in pixels."""

    surface: Surface
    roi: Rect | None = None


class TensorItem(NamedTuple):
    """One row of ready tensors.

    Attributes:
        rows: for each of the network's inputs, in order, an array without the batch dimension.
        transform: how the picture that they were made of lies in the network's input.
        width: of the frame, pixels.
        height: of the frame, pixels.
    """

    rows: Sequence[npt.NDArray[Any]]
    transform: LetterboxTransform
    width: int
    height: int


@dataclass(frozen=True)
class LayerTensor:
    """One output of one picture.

    Attributes:
        name: the layer.
        array: without the batch dimension, C-contiguous, never written again; keeps its memory alive.
    """

    name: str
    array: npt.NDArray[Any]


@dataclass
class FrameResult:
    """What the network said about one picture.

    Attributes:
        tensors: raw outputs in the network's order.
        transform: from network pixels to the surface's.
        detections: objects in pixels of the surface given (detectors and instance segmentation).
        classes: attributes (classifiers).
        masks: class of each pixel at network size (segmentation).
    """

    tensors: list[LayerTensor]
    transform: LetterboxTransform
    detections: Detections | None = None
    classes: Classification | None = None
    masks: SegmentationMap | None = None

    def tensor(self, name: str) -> np.ndarray[Any, Any]:
        """The output of that name.

        Raises:
            KeyError: there is none.
        """
        for layer in self.tensors:
            if layer.name == name:
                return layer.array
        raise KeyError(name)
