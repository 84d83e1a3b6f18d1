"""DeepStream's parse-function structures and the parts of libstdc++'s ABI that they need, in ctypes.

``std::vector`` is three pointers: begin, end, end of storage. ``std::string`` is a pointer, a length and 16 bytes that
hold short texts. Memory that a library allocates for them is freed with its own ``operator delete``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ModelError
from ..parsers.results import AnyArray, FloatArray, Layers, NetworkInfo

MAX_DIMS = 8
FLOAT, HALF, INT8, INT32, INT64, UINT8 = range(6)

OBJECT = np.dtype([("class", "u4"), ("box", "f4", 4), ("confidence", "f4")])
INSTANCE = np.dtype(
    {
        "names": ["class", "box", "confidence", "mask", "width", "height", "size"],
        "formats": ["u4", ("f4", 4), "f4", "u8", "u4", "u4", "u4"],
        "offsets": [0, 4, 20, 24, 32, 36, 40],
        "itemsize": 48,
    }
)
ATTRIBUTE = np.dtype([("task", "u4"), ("value", "u4"), ("confidence", "f4"), ("", "u4"), ("label", "u8")])

# NumPy types that go over as they are, and what they are called there.
_TYPES = {"float32": FLOAT, "int8": INT8, "int32": INT32, "int64": INT64, "uint8": UINT8}


class Dims(ctypes.Structure):
    """NvDsInferDims."""

    _fields_ = [("numDims", ctypes.c_uint), ("d", ctypes.c_uint * MAX_DIMS), ("numElements", ctypes.c_uint)]


class Layer(ctypes.Structure):
    """NvDsInferLayerInfo."""

    _fields_ = [
        ("dataType", ctypes.c_int),
        ("inferDims", Dims),
        ("bindingIndex", ctypes.c_int),
        ("layerName", ctypes.c_char_p),
        ("buffer", ctypes.c_void_p),
        ("isInput", ctypes.c_int),
    ]


class Network(ctypes.Structure):
    """NvDsInferNetworkInfo."""

    _fields_ = [("width", ctypes.c_uint), ("height", ctypes.c_uint), ("channels", ctypes.c_uint)]

    @classmethod
    def of(cls, info: NetworkInfo) -> Network:
        return cls(info.width, info.height, info.channels)


class Vector(ctypes.Structure):
    """``std::vector``."""

    _fields_ = [("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("capacity", ctypes.c_void_p)]

    @classmethod
    def of(cls, array: AnyArray) -> Vector:
        """A vector over an array's memory, to be read only; the array must stay alive."""
        begin = array.ctypes.data
        end = begin + array.nbytes
        return cls(begin, end, end)

    def rows(self, dtype: np.dtype[Any], title: str) -> AnyArray:
        """A copy of the elements.

        Args:
            dtype: of one element.
            title: for the error.

        Raises:
            ModelError: the size is no multiple of the element's.
        """
        size = (self.end or 0) - (self.begin or 0)
        if size < 0 or size % dtype.itemsize:
            raise ModelError(f"{title} filled its list with elements of another size; compile it against these headers")
        if size == 0:
            return np.zeros(0, dtype)
        return np.frombuffer(ctypes.string_at(self.begin, size), dtype)


class DetectionParams(ctypes.Structure):
    """NvDsInferParseDetectionParams; the last field is a C++ reference to the first vector."""

    _fields_ = [("numClassesConfigured", ctypes.c_uint), ("pre", Vector), ("post", Vector), ("alias", ctypes.c_void_p)]

    @classmethod
    def of(cls, classes: int, pre: FloatArray, post: FloatArray) -> DetectionParams:
        params = cls(classes, Vector.of(pre), Vector.of(post))
        params.alias = ctypes.addressof(params) + cls.pre.offset
        return params


class String(ctypes.Structure):
    """``std::string`` of libstdc++ since GCC 5."""

    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("short", ctypes.c_char * 16)]

    @classmethod
    def empty(cls) -> String:
        text = cls()
        text.data = ctypes.addressof(text) + cls.short.offset
        return text

    @property
    def heap(self) -> int | None:
        """Address of the text where it is allocated."""
        own = ctypes.addressof(self) + String.short.offset
        return None if self.data in (None, own) else int(self.data)

    def text(self) -> str:
        return ctypes.string_at(self.data, self.length).decode("utf-8", "replace") if self.data else ""


class LayerVector:
    """``std::vector<NvDsInferLayerInfo>`` of a picture's outputs; valid as long as this object.

    Args:
        layers: outputs by name, in order.
        wide: hand int64 over as INT64, as DeepStream 8 does. Else it becomes INT32, as TensorRT up to 8 makes it.

    Raises:
        ModelError: a layer has more than eight dimensions.
    """

    def __init__(self, layers: Layers, wide: bool = False) -> None:
        self.arrays: list[AnyArray] = []
        self.narrowed = False
        self._infos = (Layer * max(1, len(layers)))()
        for index, (name, array) in enumerate(layers.items()):
            shape = array.shape or (1,)
            if len(shape) > MAX_DIMS:
                raise ModelError(f"layer {name} has {len(shape)} dimensions; a parse function gets at most {MAX_DIMS}")
            self.narrowed |= array.dtype == np.int64 and not wide
            buffer, kind = _portable(array, wide)
            self.arrays.append(buffer)
            dims = Dims(len(shape), (ctypes.c_uint * MAX_DIMS)(*shape), array.size)
            self._infos[index] = Layer(kind, dims, index + 1, name.encode(), buffer.ctypes.data, 0)
        begin = ctypes.addressof(self._infos)
        end = begin + len(layers) * ctypes.sizeof(Layer)
        self.vector = Vector(begin, end, end)

    def view(self, address: int | None, shape: Sequence[int]) -> FloatArray | None:
        """A copy of float32 values at an address; None where they are not wholly inside one layer."""
        size = int(np.prod(shape)) * 4
        for array in self.arrays:
            start = array.ctypes.data
            if address and start <= address and address + size <= start + array.nbytes:
                return np.frombuffer(ctypes.string_at(address, size), np.float32).reshape(shape)
        return None


def _portable(array: AnyArray, wide: bool) -> tuple[AnyArray, int]:
    """C-contiguous memory with a type that DeepStream knows."""
    if array.dtype == np.int64 and not wide:
        # Twice the room, so that a function that reads it as INT64 all the same stays inside.
        buffer = np.zeros(2 * max(1, array.size), np.int32)
        buffer[: array.size] = array.reshape(-1)
        return buffer, INT32
    kind = _TYPES.get(array.dtype.name)
    if kind is None:
        target = {"f": np.float32, "b": np.int8}.get(array.dtype.kind, np.int32)
        kind = _TYPES[np.dtype(target).name]
        return np.ascontiguousarray(array, target), kind
    return np.ascontiguousarray(array), kind
