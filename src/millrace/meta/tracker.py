"""What trackers attach: past frames of objects, and re-identification vectors."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import c_float, c_uint, c_uint16, c_uint64
from typing import Any

from .fields import Struct, float_field
from .objects import label
from .osd_params import NvOSD_RectParams


class NvDsTargetMiscDataFrame(Struct):
    """One object in one past frame: its box in pixels, confidence 0 to 1, and age in frames."""

    __slots__ = ()
    _fields_ = (("frameNum", c_uint), ("tBbox", NvOSD_RectParams), ("_confidence", c_float), ("age", c_uint))
    frameNum: int
    tBbox: NvOSD_RectParams
    confidence: float = float_field("confidence")
    age: int


class _Listed(Struct):
    """Base of the structures that hold a list of others."""

    __slots__ = ("_items",)
    _count = "numFilled"

    def __init__(self) -> None:
        self._items: list[Any] = []

    def append(self, item: Any) -> None:
        """Add one more and count it."""
        self._items.append(item)
        setattr(self, self._count, len(self._items))
        allocated = getattr(self, "numAllocated", None)
        if allocated is not None:
            setattr(self, "numAllocated", max(allocated, len(self._items)))  # noqa: B010

    def list(self) -> Iterator[Any]:
        """Iterate over the filled part."""
        return iter(self._items[: getattr(self, self._count)])


class NvDsTargetMiscDataObject(_Listed):
    """One object's past frames; ``list()`` gives ``numObj`` :class:`NvDsTargetMiscDataFrame`."""

    __slots__ = ("_label",)
    _count = "numObj"
    _fields_ = (("numObj", c_uint), ("uniqueId", c_uint64), ("classId", c_uint16))
    numObj: int
    uniqueId: int
    classId: int

    def __init__(self) -> None:
        super().__init__()
        self._label = ""

    @property
    def objLabel(self) -> str:
        """The class of the object as text, at most 127 bytes."""
        return self._label

    @objLabel.setter
    def objLabel(self, value: str) -> None:
        self._label = label(value, "NvDsTargetMiscDataObject.objLabel")


class NvDsTargetMiscDataStream(_Listed):
    """Objects of one stream; ``list()`` gives ``numFilled`` :class:`NvDsTargetMiscDataObject`."""

    __slots__ = ()
    _fields_ = (
        ("streamID", c_uint),
        ("surfaceStreamID", c_uint64),
        ("numAllocated", c_uint),
        ("numFilled", c_uint),
    )
    streamID: int
    surfaceStreamID: int
    numAllocated: int
    numFilled: int


class NvDsTargetMiscDataBatch(_Listed):
    """Streams of a batch; ``list()`` gives ``numFilled`` :class:`NvDsTargetMiscDataStream`."""

    __slots__ = ()
    _fields_ = (("numAllocated", c_uint), ("numFilled", c_uint))
    numAllocated: int
    numFilled: int


class NvDsObjReid(Struct):
    """An object's re-identification vector of ``featureSize`` float32 values."""

    __slots__ = ("_vector",)
    _fields_ = (("featureSize", c_uint),)
    featureSize: int

    def __init__(self) -> None:
        self._vector: Any = None

    def set_host_reid_vector(self, vector: Any) -> None:
        """Set the vector (1-D, becomes float32) and ``featureSize``."""
        import numpy

        self._vector = numpy.ascontiguousarray(vector, numpy.float32).reshape(-1)
        self.featureSize = self._vector.size

    def get_host_reid_vector(self) -> Any:
        """The vector: float32 array of ``featureSize`` values; empty when there is none."""
        import numpy

        vector = self._vector
        return numpy.zeros(0, numpy.float32) if vector is None else vector[: self.featureSize].copy()


#: What pyds 1.1.0 to 1.1.8 (DeepStream 6.0 to 6.3) called these classes; their fields had the same names.
OLD_NAMES: dict[str, type[Any]] = {
    "NvDsPastFrameObj": NvDsTargetMiscDataFrame,
    "NvDsPastFrameObjList": NvDsTargetMiscDataObject,
    "NvDsPastFrameObjStream": NvDsTargetMiscDataStream,
    "NvDsPastFrameObjBatch": NvDsTargetMiscDataBatch,
}
