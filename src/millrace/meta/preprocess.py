"""Ready input tensors for nvinfer: a batch's ``GstNvDsPreProcessBatchMeta``, its tensor, and what each row is of."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import BatchState
from .checked import UINT, UINT64, optional_slot, slot_field, text_slot, whole, whole_slot
from .enums import NvDsDataType
from .fields import Castable, Pointer, _capsule_pointer, as_float, resolve
from .frame import NvDsFrameMeta
from .functions import _live, _new
from .glist import MetaList, list_field
from .objects import NvDsClassifierMeta, NvDsObjectMeta
from .osd_params import NvOSD_RectParams, copy_struct
from .user import BatchData, NvDsUserMeta

Array = npt.NDArray[Any]

DS_MAX_POLYGON_POINTS = 8
_DTYPES: dict[int, str] = {
    NvDsDataType.NvDsDataType_FP32: "float32", NvDsDataType.NvDsDataType_FP16: "float16",
    NvDsDataType.NvDsDataType_UINT8: "uint8", NvDsDataType.NvDsDataType_INT8: "int8",
    NvDsDataType.NvDsDataType_UINT32: "uint32", NvDsDataType.NvDsDataType_INT32: "int32",
    NvDsDataType.NvDsDataType_UINT64: "uint64", NvDsDataType.NvDsDataType_INT64: "int64",
}  # fmt: skip
_KINDS = {name: kind for kind, name in _DTYPES.items()}

Place = tuple[tuple[int, int, int, int], int]  # which frame, and the number of its object or -1


def _data_type(value: Any, what: str) -> Any:
    if not isinstance(value, int):
        raise TypeError(f"{what} needs a NvDsDataType, got {type(value).__name__}")
    return NvDsDataType(whole(value, what, UINT))


def _number(value: Any, what: str) -> float:
    return float(value) if isinstance(value, (int, float)) else as_float(value, what)


def _flag(value: Any, what: str) -> bool:
    return bool(whole(value, what, UINT))


def _sizes(value: Any, what: str) -> list[int]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{what} needs a list of int, got {type(value).__name__}")
    return [whole(size, what, (0, 2**31 - 1)) for size in value]


def _ids(value: Any, what: str) -> list[int]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{what} needs a list of int, got {type(value).__name__}")
    return [whole(number, what, UINT64) for number in value]


def _rois(value: Any, what: str) -> list[NvDsRoiMeta]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{what} needs a list of NvDsRoiMeta, got {type(value).__name__}")
    return [NvDsRoiMeta.cast(roi) for roi in value]


def _box(value: Any, what: str) -> NvOSD_RectParams:
    if not isinstance(value, NvOSD_RectParams):
        raise TypeError(f"{what} needs NvOSD_RectParams, got {type(value).__name__}")
    copy = NvOSD_RectParams()
    copy_struct(value, copy)
    return copy


def _polygon(value: Any, what: str) -> Array:
    array = np.array(value, np.uint32)
    if array.shape != (DS_MAX_POLYGON_POINTS, 2):
        raise TypeError(f"{what} needs {DS_MAX_POLYGON_POINTS} x 2 whole numbers, got the shape {array.shape}")
    return array


class NvDsPreProcessTensorMeta(Castable):
    """A tensor for a network's input; its memory lives as long as this meta.

    Attributes:
        tensor_shape: list of int; the first is the number of rows, of which ``roi_vector`` may use fewer.
        data_type: :class:`NvDsDataType` of the values.
        tensor_name: the network's input that it is for.
        buffer_size: bytes at ``raw_tensor_buffer``.
        meta_id: tensors of one batch with the same number are the inputs of one inference.
        maintain_aspect_ratio: whether the pictures keep their shape.
        gpu_id: not used; tensors are in host memory.
        private_data: the application's own.
    """

    __slots__ = ("_buffer", "_array", "_buffer_size", "_tensor_shape", "_data_type", "_tensor_name", "_gpu_id",
                 "private_data", "_meta_id", "_maintain_aspect_ratio", "_address", "__weakref__")  # fmt: skip
    buffer_size: Any = whole_slot("buffer_size", UINT64)
    tensor_shape: Any = slot_field("tensor_shape", _sizes)
    data_type: Any = slot_field("data_type", _data_type)
    tensor_name: Any = text_slot("tensor_name")
    gpu_id: Any = whole_slot("gpu_id", UINT)
    meta_id: Any = whole_slot("meta_id", UINT)
    maintain_aspect_ratio: Any = slot_field("maintain_aspect_ratio", _flag)

    def __init__(self) -> None:
        self._buffer: Pointer | None = None
        self._array: Array | None = None
        self.buffer_size = 0
        self.tensor_shape = []
        self.data_type = NvDsDataType.NvDsDataType_FP32
        self.tensor_name = ""
        self.gpu_id = 0
        self.private_data: Any = None
        self.meta_id = 0
        self.maintain_aspect_ratio = False

    @property
    def raw_tensor_buffer(self) -> Pointer | None:
        """Pointer to the values (``get_ptr``). Takes an address, whose memory the application keeps, or an array."""
        return self._buffer

    @raw_tensor_buffer.setter
    def raw_tensor_buffer(self, value: Any) -> None:
        self._array = None
        if isinstance(value, np.ndarray):
            self.array = value
        elif value is None or isinstance(value, Pointer):
            self._buffer = value
        else:
            address = _capsule_pointer(value)
            if address is None and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"raw_tensor_buffer needs a NumPy array or an address, got {type(value).__name__}")
            self._buffer = Pointer(int(value) if address is None else address)

    @property
    def array(self) -> Array:
        """The tensor as an array of ``tensor_shape`` that shares its memory; assigning one sets shape and type too.

        Raises:
            ValueError: there is no memory, or less than shape and type need.
        """
        shape, kind = tuple(int(size) for size in self.tensor_shape), _DTYPES.get(int(self.data_type))
        if kind is None:
            raise ValueError(f"tensor {self.tensor_name!r} has data_type {int(self.data_type)}; see NvDsDataType")
        held = self._array
        if held is not None and held.shape == shape and held.dtype == kind:
            return held
        if not self._buffer:
            raise ValueError(f"tensor {self.tensor_name!r} has no raw_tensor_buffer")
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        if not shape or min(shape) < 0 or size > self.buffer_size:
            raise ValueError(
                f"tensor {self.tensor_name!r}: tensor_shape {shape} of {kind} needs {size} bytes, "
                f"buffer_size is {self.buffer_size}"
            )
        memory: Any = (ctypes.c_char * size).from_address(self._buffer.address)
        return np.frombuffer(memory, kind).reshape(shape)

    @array.setter
    def array(self, value: Array) -> None:
        array = np.ascontiguousarray(value)
        if array.dtype.name not in _KINDS:
            raise TypeError(
                f"an input tensor cannot be {array.dtype.name}; convert it with .astype() to one of {', '.join(_KINDS)}"
            )
        self._array = array
        self._buffer = Pointer(array.ctypes.data, array)
        self.buffer_size = array.nbytes
        self.tensor_shape = list(array.shape)
        self.data_type = _KINDS[array.dtype.name]

    def duplicate(self) -> NvDsPreProcessTensorMeta:
        """Another meta of the same memory."""
        copy = NvDsPreProcessTensorMeta()
        for name in self.__slots__[:-2]:
            setattr(copy, name, getattr(self, name))
        copy.tensor_shape = self.tensor_shape
        return copy

    def __repr__(self) -> str:
        return f"<NvDsPreProcessTensorMeta {self.tensor_name!r} {tuple(self.tensor_shape)}>"


class NvDsRoiMeta(BatchData, Castable):
    """What one row of an input tensor is of: a part of a frame, and how it lies in the network's input.

    ``network = (frame - roi's corner) * scale_ratio + offset``, in pixels.

    Attributes:
        roi: left, top, width and height of the part, in pixels of the frame.
        scale_ratio_x, scale_ratio_y: network pixels for each pixel of the frame.
        offset_left, offset_top: where the part begins in the network's input, in network pixels.
        roi_polygon: uint32 array (8, 2); not used.
        converted_buffer: the application's own.
    """

    __slots__ = ("_roi", "_roi_polygon", "converted_buffer", "_scale_ratio_x", "_scale_ratio_y", "_offset_left",
                 "_offset_top", "_state", "_frame", "_object", "_place", "_classifiers", "_users", "_address",
                 "__weakref__")  # fmt: skip
    roi: Any = slot_field("roi", _box)
    roi_polygon: Any = slot_field("roi_polygon", _polygon)
    scale_ratio_x: Any = slot_field("scale_ratio_x", _number)
    scale_ratio_y: Any = slot_field("scale_ratio_y", _number)
    offset_left: Any = slot_field("offset_left", _number)
    offset_top: Any = slot_field("offset_top", _number)
    classifier_meta_list: Any = list_field(
        "classifier_meta_list", "_classifiers", "GList of :class:`NvDsClassifierMeta`."
    )
    roi_user_meta_list: Any = list_field(
        "roi_user_meta_list", "_users", "GList of :class:`NvDsUserMeta`: output tensors and class maps."
    )

    def __init__(self) -> None:
        self.roi = NvOSD_RectParams()
        self.roi_polygon = np.zeros((DS_MAX_POLYGON_POINTS, 2), np.uint32)
        self.converted_buffer: Any = None
        self.scale_ratio_x = self.scale_ratio_y = 1.0
        self.offset_left = self.offset_top = 0.0
        self._state: BatchState | None = None
        # Weak, because the frame itself may hold this meta: a cycle would keep the tensors.
        self._frame: weakref.ref[NvDsFrameMeta] | None = None
        self._object: weakref.ref[NvDsObjectMeta] | None = None
        self._place: Place | None = None
        self._classifiers = MetaList()
        self._users = MetaList()

    @property
    def frame_meta(self) -> NvDsFrameMeta | None:
        """The frame; ``None`` when it is not in this batch (any more)."""
        self._find()
        return self._frame() if self._frame is not None else None

    @frame_meta.setter
    def frame_meta(self, frame: NvDsFrameMeta | None) -> None:
        found = resolve(NvDsFrameMeta, frame)
        self._frame = None if found is None else weakref.ref(found)
        self._place = None
        if found is not None:
            self._state = found._state

    @property
    def object_meta(self) -> NvDsObjectMeta | None:
        """The object that the part is the box of, or ``None``."""
        self._find()
        return self._object() if self._object is not None else None

    @object_meta.setter
    def object_meta(self, item: NvDsObjectMeta | None) -> None:
        found = resolve(NvDsObjectMeta, item)
        self._object = None if found is None else weakref.ref(found)

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a copy in a batch that the frame did not go to, as after nvstreamdemux."""
        self._find()
        return self._place is not None

    @property
    def classifiers(self) -> list[NvDsClassifierMeta]:
        """The classifications, first to last."""
        return self._classifiers.items()

    @property
    def user_metas(self) -> list[NvDsUserMeta]:
        """The user metadata, first to last."""
        return self._users.items()

    def _find(self) -> None:
        """In a copy: find the copy's frame and object."""
        batch = self._state.batch_ref() if self._place is not None and self._state is not None else None
        if batch is None or self._place is None:
            return
        which, number = self._place
        for frame in batch.frames:
            if _identity(frame) == which:
                self.frame_meta = frame
                objects = frame.objects
                self.object_meta = objects[number] if 0 <= number < len(objects) else None
                return

    def duplicate_for(self, state: BatchState) -> NvDsRoiMeta:
        """A deep copy for another batch, of that batch's frame and object."""
        copy = NvDsRoiMeta()
        copy.roi = self.roi
        copy.roi_polygon = self.roi_polygon
        copy.converted_buffer = self.converted_buffer
        copy.scale_ratio_x, copy.scale_ratio_y = self.scale_ratio_x, self.scale_ratio_y
        copy.offset_left, copy.offset_top = self.offset_left, self.offset_top
        copy._state, copy._place = state, self._place
        frame, item = self.frame_meta, self.object_meta
        if frame is not None:
            number = next((n for n, other in enumerate(frame.objects) if other is item), -1)
            copy._place = (_identity(frame), number)
        for classifier in self.classifiers:
            copy._classifiers.append(classifier.duplicate(state))
        for user in self.user_metas:
            copy._users.append(user.duplicate(state))
        return copy

    def release(self) -> None:
        """Release the user metadata of the row."""
        for user in self.user_metas:
            user.release()

    def __repr__(self) -> str:
        roi = self.roi
        return f"<NvDsRoiMeta {roi.left:g} {roi.top:g} {roi.width:g} {roi.height:g}>"


def _identity(frame: NvDsFrameMeta) -> tuple[int, int, int, int]:
    """What a frame and its copies have in common."""
    return frame.pad_index, frame.source_id, frame.frame_num, frame.buf_pts


class GstNvDsPreProcessBatchMeta(BatchData, Castable):
    """A ready input tensor of a batch: user metadata of type ``NVDS_PREPROCESS_BATCH_META``.

    Attributes:
        target_unique_ids: ``gie-unique-id`` of each nvinfer that it is for.
        tensor_meta: the tensor.
        roi_vector: a :class:`NvDsRoiMeta` for each row of it.
        private_data: the application's own.
    """

    __slots__ = ("_target_unique_ids", "_tensor_meta", "_roi_vector", "private_data", "_address", "__weakref__")
    target_unique_ids: Any = slot_field("target_unique_ids", _ids)
    tensor_meta: Any = optional_slot("tensor_meta", NvDsPreProcessTensorMeta)
    roi_vector: Any = slot_field("roi_vector", _rois)

    def __init__(self) -> None:
        self.target_unique_ids = []
        self.tensor_meta = None
        self.roi_vector = []
        self.private_data: Any = None

    def duplicate_for(self, state: BatchState) -> GstNvDsPreProcessBatchMeta:
        """A copy for another batch: of the same tensor, and of that batch's frames and objects."""
        copy = GstNvDsPreProcessBatchMeta()
        copy.target_unique_ids = list(self.target_unique_ids)
        copy.tensor_meta = None if self.tensor_meta is None else self.tensor_meta.duplicate()
        copy.roi_vector = [roi.duplicate_for(state) for roi in self.roi_vector]
        copy.private_data = self.private_data
        for roi in copy.roi_vector:
            roi._find()  # now, while the objects are numbered as in the source
        return copy

    def release(self) -> None:
        """Release the user metadata of all rows."""
        for roi in self.roi_vector:
            roi.release()

    def __repr__(self) -> str:
        return f"<GstNvDsPreProcessBatchMeta for {self.target_unique_ids} {self.tensor_meta}>"


def nvds_add_classifier_meta_to_roi(roi_meta: NvDsRoiMeta, classifier_meta: NvDsClassifierMeta) -> None:
    """Add a classification at the end of a row's."""
    name = "nvds_add_classifier_meta_to_roi"
    roi = _live(NvDsRoiMeta, roi_meta, name)
    roi._classifiers.append(_new(NvDsClassifierMeta, classifier_meta, roi, name))


def nvds_add_user_meta_to_roi(roi_meta: NvDsRoiMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to a row."""
    name = "nvds_add_user_meta_to_roi"
    roi = _live(NvDsRoiMeta, roi_meta, name)
    roi._users.append(_new(NvDsUserMeta, user_meta, roi, name))
