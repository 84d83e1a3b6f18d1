"""What inference attaches: tensors, layers, network size, segmentation maps and detections."""

from __future__ import annotations

from ctypes import c_float, c_uint
from typing import Any

import numpy as np

from .checked import UINT, UINT64, read_only, whole_slot
from .enums import NvDsInferDataType
from .fields import Castable, Pointer, Struct, array_field, float_field

NVDSINFER_MAX_DIMS = 8


class NvDsInferDims(Struct):
    """Shape of a layer without the batch: ``d`` is uint32[8], zeros after ``numDims``."""

    __slots__ = ()
    _fields_ = (("_numDims", c_uint), ("_d", c_uint * NVDSINFER_MAX_DIMS), ("_numElements", c_uint))
    numDims: Any = read_only("numDims")
    numElements: Any = read_only("numElements")
    d: Any = array_field("d", "uint32")

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> NvDsInferDims:
        """The dimensions of an array of that shape (at most 8)."""
        if len(shape) > NVDSINFER_MAX_DIMS:
            raise ValueError(f"a layer has at most {NVDSINFER_MAX_DIMS} dimensions, got {len(shape)}")
        dims = cls()
        dims._numDims = len(shape)
        dims._d[: len(shape)] = shape
        dims._numElements = int(np.prod(shape, dtype=np.int64))
        return dims


class NvDsInferDimsCHW(Struct):
    """Channels, height and width of a layer."""

    __slots__ = ()
    _fields_ = (("_c", c_uint), ("_h", c_uint), ("_w", c_uint))
    c: Any = read_only("c")
    h: Any = read_only("h")
    w: Any = read_only("w")


class NvDsInferNetworkInfo(Struct):
    """Input size of a network in pixels, and its channels."""

    __slots__ = ()
    _fields_ = (("width", c_uint), ("height", c_uint), ("channels", c_uint))
    width: int
    height: int
    channels: int


class NvDsInferObjectDetectionInfo(Struct):
    """One detection in pixels of the network's input, as parsers give it."""

    __slots__ = ()
    _fields_ = (
        ("classId", c_uint),
        ("_left", c_float),
        ("_top", c_float),
        ("_width", c_float),
        ("_height", c_float),
        ("_detectionConfidence", c_float),
    )
    classId: int
    left: float = float_field("left")
    top: float = float_field("top")
    width: float = float_field("width")
    height: float = float_field("height")
    detectionConfidence: float = float_field("detectionConfidence")


class NvDsInferAttribute(Struct):
    """One attribute that a classifier found."""

    __slots__ = ("_attributeLabel",)
    _fields_ = (("_attributeIndex", c_uint), ("_attributeValue", c_uint), ("_attributeConfidence", c_float))
    attributeIndex: Any = read_only("attributeIndex")
    attributeValue: Any = read_only("attributeValue")
    attributeConfidence: Any = read_only("attributeConfidence")
    attributeLabel: Any = read_only("attributeLabel")

    def __init__(self) -> None:
        self._attributeLabel: str | None = None

    @property
    def atttributeIndex(self) -> int:
        """``attributeIndex`` under the misspelled name that pyds also has."""
        return self.attributeIndex


_DTYPES: dict[str, NvDsInferDataType] = {
    "float32": NvDsInferDataType.FLOAT,
    "float16": NvDsInferDataType.HALF,
    "int8": NvDsInferDataType.INT8,
    "int32": NvDsInferDataType.INT32,
}


class NvDsInferLayerInfo(Castable):
    """One output layer of a network for one frame or object.

    Attributes:
        array: the values as a C-contiguous, writable numpy array (shared memory).
        dataType: :class:`NvDsInferDataType` of the values.
        inferDims: their shape; also as ``dims``.
        buffer: pointer to the values (``get_ptr``).
        layerName: the layer's name.
    """

    __slots__ = ("_array", "_dataType", "_inferDims", "_bindingIndex", "_layerName", "_isInput", "_buffer",
                 "_address", "__weakref__")  # fmt: skip
    array: Any = read_only("array")
    dataType: Any = read_only("dataType")
    inferDims: Any = read_only("inferDims")
    bindingIndex: Any = read_only("bindingIndex")
    layerName: Any = read_only("layerName")
    isInput: Any = read_only("isInput")

    def __init__(self, name: str = "", array: Any = None, index: int = 0, is_input: bool = False) -> None:
        self._layerName = name
        self._bindingIndex = index
        self._isInput = int(is_input)
        self._array: Any = array
        self._buffer: Pointer | None = None
        self._dataType = NvDsInferDataType.FLOAT
        if array is None:
            self._inferDims = NvDsInferDims()
            return
        if array.dtype.name not in _DTYPES:
            # pyds knows four types; whole numbers of other widths become int32, the rest float32.
            array = array.astype(np.int32 if array.dtype.kind in "iub" else np.float32)
        self._array = np.require(array, requirements=["C", "W"])
        self._dataType = _DTYPES[self._array.dtype.name]
        self._inferDims = NvDsInferDims.of(self._array.shape)

    @property
    def dims(self) -> NvDsInferDims:
        """``inferDims`` under its old name."""
        return self.inferDims

    @property
    def buffer(self) -> Pointer | None:
        """Pointer to the values; ``None`` when the layer has none."""
        if self._buffer is None and self.array is not None:
            self._buffer = Pointer(self.array.ctypes.data, self.array)
        return self._buffer

    def __repr__(self) -> str:
        shape = getattr(self.array, "shape", None)
        return f"<NvDsInferLayerInfo {self.layerName!r} {self.dataType.name} {shape}>"


class _Pointers(Pointer):
    """A C array of pointers."""

    __slots__ = ("_items",)

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        table = np.array([0 if item is None else item.address for item in items] or [0], np.uint64)
        super().__init__(int(table.ctypes.data), table)

    def __getitem__(self, index: int) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)


class NvDsInferTensorMeta(Castable):
    """The output tensors of a network for one frame or object; the memory lives as long as this meta.

    Attributes:
        unique_id: ``gie-unique-id`` of the nvinfer that attached it.
        layers: the output layers (:class:`NvDsInferLayerInfo`).
        network_info: input size of the network.
        maintain_aspect_ratio: whether the frame was letterboxed into the network's input.
    """

    __slots__ = ("_unique_id", "_layers", "_network_info", "_gpu_id", "_priv_data", "_maintain_aspect_ratio",
                 "_pointers", "_address", "__weakref__")  # fmt: skip
    unique_id: Any = read_only("unique_id")
    layers: Any = read_only("layers")
    network_info: Any = read_only("network_info")
    gpu_id: Any = read_only("gpu_id")
    priv_data: Any = read_only("priv_data")
    maintain_aspect_ratio: Any = read_only("maintain_aspect_ratio")

    def __init__(
        self,
        layers: list[NvDsInferLayerInfo] | None = None,
        unique_id: int = 0,
        maintain_aspect_ratio: bool = False,
    ) -> None:
        self._unique_id = unique_id
        self._layers = list(layers or ())
        self._network_info = NvDsInferNetworkInfo()
        self._gpu_id = 0
        self._priv_data: Any = None
        self._maintain_aspect_ratio = maintain_aspect_ratio
        self._pointers: _Pointers | None = None

    @property
    def num_output_layers(self) -> int:
        """How many output layers there are."""
        return len(self.layers)

    def output_layers_info(self, j: int) -> NvDsInferLayerInfo:
        """Output layer ``j``, from 0.

        Raises:
            IndexError: there is no such layer.
        """
        if not 0 <= j < len(self.layers):
            raise IndexError(f"output layer {j} does not exist, the network has {len(self.layers)}")
        return self.layers[j]

    @property
    def out_buf_ptrs_host(self) -> _Pointers:
        """Pointers to the values of the output layers; ``[j]`` is that of layer ``j``."""
        if self._pointers is None:
            self._pointers = _Pointers([layer.buffer for layer in self.layers])
        return self._pointers

    @property
    def out_buf_ptrs_dev(self) -> Any:
        """Pointers into GPU memory: ``None``, the values are in host memory."""
        return None

    def __repr__(self) -> str:
        return f"<NvDsInferTensorMeta unique_id={self.unique_id} {self.layers}>"


class NvDsInferSegmentationMeta(Castable):
    """A class per pixel.

    Attributes:
        classes: number of classes.
        width, height: size of the map in pixels.
        unique_id: ``gie-unique-id`` of the nvinfer that attached it.
        class_map: int32 array (height, width); -1 where no class reached its threshold.
        class_probabilities_map: float32 array (classes, height, width), or ``None``.
    """

    __slots__ = ("_unique_id", "_classes", "_width", "_height", "_class_map", "_class_probabilities_map",
                 "_priv_data", "_address", "__weakref__")  # fmt: skip
    unique_id: Any = read_only("unique_id")
    classes: Any = read_only("classes")
    width: Any = read_only("width")
    height: Any = read_only("height")
    class_map: Any = read_only("class_map")
    class_probabilities_map: Any = read_only("class_probabilities_map")
    priv_data: Any = read_only("priv_data")

    def __init__(
        self, class_map: Any = None, classes: int = 0, probabilities: Any = None, unique_id: int = 0
    ) -> None:
        self._unique_id = unique_id
        self._classes = classes
        self._class_map: Any = None if class_map is None else np.ascontiguousarray(class_map, np.int32)
        shape: Any = (0, 0) if class_map is None else np.shape(class_map)
        self._height, self._width = shape
        self._class_probabilities_map: Any = probabilities
        self._priv_data: Any = None


class NvOFFlowVector(Castable):
    """Motion of one block: ``flowx`` and ``flowy`` in 1/32 pixel."""

    __slots__ = ("_flowx", "_flowy", "_address", "__weakref__")
    flowx: Any = whole_slot("flowx", (-(2**15), 2**15 - 1))
    flowy: Any = whole_slot("flowy", (-(2**15), 2**15 - 1))

    def __init__(self, flowx: int = 0, flowy: int = 0) -> None:
        self.flowx = flowx
        self.flowy = flowy


class NvDsOpticalFlowMeta(Castable):
    """Motion of all blocks of a frame: ``data`` is an int16 array (rows, cols, 2) of flowx, flowy."""

    __slots__ = ("_rows", "_cols", "_mv_size", "_frame_num", "data", "priv", "reserved", "_address",
                 "__weakref__")  # fmt: skip
    rows: Any = whole_slot("rows", UINT)
    cols: Any = whole_slot("cols", UINT)
    mv_size: Any = whole_slot("mv_size", UINT)
    frame_num: Any = whole_slot("frame_num", UINT64)

    def __init__(self) -> None:
        self.rows = 0
        self.cols = 0
        self.mv_size = 4
        self.frame_num = 0
        self.data: Any = None
        self.priv: Any = None
        self.reserved: Any = None


def _cast(cls: type[Any], data: Any, name: str) -> Any:
    found = cls.cast(data)
    if found is None:
        raise TypeError(f"{name}() needs a {cls.__name__}, got None")
    return found


def get_nvds_LayerInfo(data: Any, j: int) -> NvDsInferLayerInfo:
    """Output layer ``j`` (from 0) of a :class:`NvDsInferTensorMeta`.

    Raises:
        IndexError: there is no such layer.
    """
    meta: NvDsInferTensorMeta = _cast(NvDsInferTensorMeta, data, "get_nvds_LayerInfo")
    return meta.output_layers_info(j)


def get_segmentation_masks(data: Any) -> Any:
    """The class map of a :class:`NvDsInferSegmentationMeta`: int32 array (height, width)."""
    meta: NvDsInferSegmentationMeta = _cast(NvDsInferSegmentationMeta, data, "get_segmentation_masks")
    if meta.class_map is None:
        return np.zeros((meta.height, meta.width), np.int32)
    return meta.class_map.reshape(meta.height, meta.width)


def get_optical_flow_vectors(data: Any) -> Any:
    """The motion of a :class:`NvDsOpticalFlowMeta`: float32 array of rows * cols * 2 values (x, y, ...)."""
    meta: NvDsOpticalFlowMeta = _cast(NvDsOpticalFlowMeta, data, "get_optical_flow_vectors")
    if meta.data is None:
        return np.zeros(meta.rows * meta.cols * 2, np.float32)
    return np.asarray(meta.data).reshape(-1).astype(np.float32)


def get_detections(data: Any, i: int) -> float:
    """Value ``i`` of a float32 buffer such as ``layer.buffer``.

    Raises:
        IndexError: the buffer has fewer values.
        TypeError: ``data`` is not a buffer of pyds.
    """
    array = data
    if isinstance(data, Pointer):
        array = data.owner
    elif isinstance(data, NvDsInferLayerInfo):
        array = data.array
    if not isinstance(array, np.ndarray):
        raise TypeError(f"get_detections() needs a layer's buffer, got {type(data).__name__}")
    flat = array.reshape(-1)
    if flat.dtype != np.float32:
        flat = flat.view(np.float32)
    if not 0 <= i < flat.size:
        raise IndexError(f"get_detections(): value {i} of a buffer that holds {flat.size}")
    return float(flat[i])
