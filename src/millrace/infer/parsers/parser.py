"""The parser object: one way to read a network's outputs, bound to layer names and network size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from .results import AnyArray, Classification, Detections, LayerLike, Layers, NetworkLike, SegmentationMap

Kind = Literal["detector", "classifier", "segmentation", "instance"]

Result_co = TypeVar("Result_co", covariant=True, bound="Detections | Classification | SegmentationMap")


@dataclass(frozen=True)
class Parser(Generic[Result_co]):
    """Reads the outputs of one picture.

    Attributes:
        kind: detector and instance return Detections, the others Classification and SegmentationMap.
        name: short name of the layout, as :func:`layouts` lists it.
        title: the layout in words.
        run: layers by name and thresholds to the result.
        layers: names of the layers it reads.
        why: how it was chosen.
        clustered: it suppresses overlaps itself, so clustering has nothing left to do.
    """

    kind: Kind
    name: str
    title: str
    run: Callable[[Layers, AnyArray], Result_co]
    layers: tuple[str, ...] = ()
    why: str = ""
    clustered: bool = False

    def __call__(self, layers: Layers, thresholds: AnyArray) -> Result_co:
        """Parse one picture.

        Args:
            layers: output name to array, without the batch dimension.
            thresholds: float32; one pre-cluster threshold a class for detections, one value otherwise.
        """
        return self.run(layers, thresholds)

    def describe(self) -> str:
        """One line for the log: the layout, the layers, and how it was chosen."""
        layers = ", ".join(self.layers) or "all outputs"
        return f"{self.title} from {layers}" + (f" ({self.why})" if self.why else "")

    def because(self, why: str) -> Parser[Result_co]:
        """A copy with another reason."""
        return replace(self, why=why)


@dataclass(frozen=True)
class Outputs:
    """What a layout looks at when it decides whether it fits.

    Attributes:
        layers: all outputs, in order.
        shapes: their shapes without batch; leading and trailing ones dropped where more than two dimensions.
        network: input size.
        num_classes: ``num-detected-classes`` (0 when not known).
        named: the function name that was asked for, or None.
        labels: classifier labels, one list a task.
        channels_last: a class map's classes are in its last dimension; None when not said.
    """

    layers: tuple[LayerLike, ...]
    shapes: tuple[tuple[int, ...], ...]
    network: NetworkLike
    num_classes: int
    named: str | None = None
    labels: Sequence[Sequence[str]] = ()
    channels_last: bool | None = None

    @classmethod
    def of(
        cls,
        layers: Sequence[LayerLike],
        network: NetworkLike,
        num_classes: int,
        named: str | None = None,
        labels: Sequence[Sequence[str]] = (),
        channels_last: bool | None = None,
    ) -> Outputs:
        return cls(
            tuple(layers),
            tuple(squeezed(layer.shape) for layer in layers),
            network,
            num_classes,
            named,
            labels,
            channels_last,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    def find(self, *words: str) -> int | None:
        """Number of the first layer whose lower-case name contains one of the words, tried in order."""
        for word in words:
            for number, layer in enumerate(self.layers):
                if word in layer.name.lower():
                    return number
        return None

    def describe(self) -> str:
        return ", ".join(f"{layer.name} {tuple(layer.shape)}" for layer in self.layers) or "none"


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without dimensions of one, as long as more than two dimensions are left."""
    dims = [int(d) for d in shape]
    while len(dims) > 2 and 1 in dims:
        dims.remove(1)
    return tuple(dims)


def as_squeezed(array: AnyArray) -> AnyArray:
    """A view with :func:`squeezed`'s shape."""
    return array.reshape(squeezed(array.shape))


Match = Callable[[Outputs], "Parser[Any] | None"]
