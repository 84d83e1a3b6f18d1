"""Detected objects: ``NvDsObjectMeta``, its classifications and their labels."""

from __future__ import annotations

from ctypes import c_float, c_int, c_int64, c_uint, c_uint64
from typing import Any

from .base import MAX_RESERVED_FIELDS, MAX_USER_FIELDS, UNTRACKED_OBJECT_ID, BatchState, Meta
from .checked import optional_text_slot
from .enums import NvDsMetaType
from .fields import Struct, array_field, float_field
from .glist import GList, MetaList, list_field
from .osd_params import NvBbox_Coords, NvOSD_MaskParams, NvOSD_RectParams, NvOSD_TextParams, copy_struct
from .strings import encode
from .user import NvDsUserMeta

MAX_LABEL_SIZE = 128


def label(value: Any, what: str) -> str:
    """``value`` as a label: what fits into DeepStream's 128 bytes.

    Raises:
        TypeError: ``value`` is not a string.
    """
    if type(value) is str and len(value) < 32 and "\0" not in value:
        return value
    return encode(value, what)[: MAX_LABEL_SIZE - 1].decode("utf-8", "ignore")


class NvDsComp_BboxInfo(Struct):
    """The box that a detector or tracker gave, before clipping: ``org_bbox_coords``, in pixels."""

    __slots__ = ()
    _fields_ = (("org_bbox_coords", NvBbox_Coords),)
    org_bbox_coords: NvBbox_Coords


class NvDsObjectMeta(Meta):
    """One object of a frame.

    ``rect_params`` is its box in pixels of the frame, ``object_id`` the tracker's number
    (``UNTRACKED_OBJECT_ID`` without one), ``confidence`` the detector's, 0 to 1.
    """

    __slots__ = ("_parent", "_label", "_text", "_mask", "_classifiers", "_users")
    _fields_ = (
        ("unique_component_id", c_int),
        ("class_id", c_int),
        ("object_id", c_uint64),
        ("detector_bbox_info", NvDsComp_BboxInfo),
        ("tracker_bbox_info", NvDsComp_BboxInfo),
        ("_confidence", c_float),
        ("_tracker_confidence", c_float),
        ("rect_params", NvOSD_RectParams),
        ("_misc_obj_info", c_int64 * MAX_USER_FIELDS),
        ("_reserved", c_int64 * MAX_RESERVED_FIELDS),
    )
    _meta_type = NvDsMetaType.NVDS_OBJ_META
    unique_component_id: int
    class_id: int
    object_id: int
    detector_bbox_info: NvDsComp_BboxInfo
    tracker_bbox_info: NvDsComp_BboxInfo
    confidence: float = float_field("confidence")
    tracker_confidence: float = float_field("tracker_confidence")
    rect_params: NvOSD_RectParams
    misc_obj_info: Any = array_field("misc_obj_info", "int64")
    reserved: Any = array_field("reserved", "int64")
    classifier_meta_list: GList | None = list_field(
        "classifier_meta_list", "_classifiers", "GList of :class:`NvDsClassifierMeta`."
    )
    obj_user_meta_list: GList | None = list_field("obj_user_meta_list", "_users", "GList of :class:`NvDsUserMeta`.")

    def __init__(self) -> None:
        self.object_id = UNTRACKED_OBJECT_ID
        self._state = None
        self._base = None
        self._parent: NvDsObjectMeta | None = None
        self._label = ""
        self._text: NvOSD_TextParams | None = None
        self._mask: NvOSD_MaskParams | None = None
        self._classifiers: MetaList | None = None
        self._users: MetaList | None = None

    @property
    def parent(self) -> NvDsObjectMeta | None:
        """The object that this one was found in."""
        return self._parent

    @parent.setter
    def parent(self, obj: NvDsObjectMeta | None) -> None:
        if obj is not None and not isinstance(obj, NvDsObjectMeta):
            raise TypeError(f"NvDsObjectMeta.parent needs a NvDsObjectMeta or None, got {type(obj).__name__}")
        ancestor = obj
        while ancestor is not None:
            if ancestor is self:
                raise ValueError("NvDsObjectMeta.parent: an object cannot be its own ancestor")
            ancestor = ancestor._parent
        self._parent = obj

    @property
    def text_params(self) -> NvOSD_TextParams:
        """The text drawn at the object."""
        text = self._text
        if text is None:
            text = self._text = NvOSD_TextParams()
        return text

    @text_params.setter
    def text_params(self, params: NvOSD_TextParams) -> None:
        if not isinstance(params, NvOSD_TextParams):
            raise TypeError(f"NvDsObjectMeta.text_params needs NvOSD_TextParams, got {type(params).__name__}")
        self._text = params.duplicate()

    @property
    def mask_params(self) -> NvOSD_MaskParams:
        """The instance mask or keypoints of the object."""
        mask = self._mask
        if mask is None:
            mask = self._mask = NvOSD_MaskParams()
        return mask

    @mask_params.setter
    def mask_params(self, params: NvOSD_MaskParams) -> None:
        if not isinstance(params, NvOSD_MaskParams):
            raise TypeError(f"NvDsObjectMeta.mask_params needs NvOSD_MaskParams, got {type(params).__name__}")
        self._mask = params.duplicate()

    @property
    def obj_label(self) -> str:
        """The class of the object as text, at most 127 bytes."""
        return self._label

    @obj_label.setter
    def obj_label(self, value: str) -> None:
        self._label = label(value, "NvDsObjectMeta.obj_label")

    @property
    def classifiers(self) -> list[NvDsClassifierMeta]:
        """The classifications, first to last."""
        return self._classifiers.items() if self._classifiers is not None else []

    @property
    def user_metas(self) -> list[NvDsUserMeta]:
        """The user metadata, first to last."""
        return self._users.items() if self._users is not None else []

    def duplicate(self, state: BatchState | None = None) -> NvDsObjectMeta:
        """A deep copy for another batch; ``parent`` still refers to the original's parent."""
        copy = NvDsObjectMeta()
        copy_struct(self, copy)
        copy._state = self._state if state is None else state
        copy._parent = self._parent
        copy._label = self._label
        if self._text is not None:
            copy._text = self._text.duplicate()
        if self._mask is not None:
            copy._mask = self._mask.duplicate()
        if self._classifiers is not None:
            copy._classifiers = MetaList()
            for classifier in self._classifiers:
                copy._classifiers.append(classifier.duplicate(copy._state))
        if self._users is not None:
            copy._users = MetaList()
            for user in self._users:
                copy._users.append(user.duplicate(copy._state))
        return copy

    def release(self) -> None:
        """Release the user metadata of the object."""
        if self._users is not None:
            for user in self._users:
                user.release()

    def __repr__(self) -> str:
        return f"<NvDsObjectMeta class_id={self.class_id} {self._label!r} object_id={self.object_id}>"


class NvDsClassifierMeta(Meta):
    """What one classifier said of an object: ``num_labels`` labels, by component ``unique_component_id``.

    ``classifier_type`` is nvinfer's key of that name; the C structure has it, pyds 1.2.0 does not show it.
    """

    __slots__ = ("_labels", "_classifier_type")
    _fields_ = (("num_labels", c_uint), ("unique_component_id", c_int))
    _meta_type = NvDsMetaType.NVDS_CLASSIFIER_META
    num_labels: int
    unique_component_id: int
    classifier_type: str | None = optional_text_slot("classifier_type")
    label_info_list: GList | None = list_field(
        "label_info_list", "_labels", "GList of :class:`NvDsLabelInfo`.", "num_labels"
    )

    def __init__(self) -> None:
        self._state = None
        self._base = None
        self._labels = MetaList()
        self.classifier_type = None

    @property
    def labels(self) -> list[NvDsLabelInfo]:
        """The labels, first to last."""
        return self._labels.items()

    def duplicate(self, state: BatchState | None = None) -> NvDsClassifierMeta:
        """A deep copy for another batch."""
        copy = NvDsClassifierMeta()
        copy_struct(self, copy)
        copy._state = self._state if state is None else state
        copy.classifier_type = self.classifier_type
        for info in self._labels:
            copy._labels.append(info.duplicate(copy._state))
        return copy


class NvDsLabelInfo(Meta):
    """One label of a classifier: ``result_label`` (127 bytes), ``pResult_label`` (any length)."""

    __slots__ = ("_label", "_pResult_label")
    _fields_ = (
        ("num_classes", c_uint),
        ("result_class_id", c_uint),
        ("label_id", c_uint),
        ("_result_prob", c_float),
    )
    _meta_type = NvDsMetaType.NVDS_LABEL_INFO_META
    num_classes: int
    result_class_id: int
    label_id: int
    result_prob: float = float_field("result_prob")
    pResult_label: str | None = optional_text_slot("pResult_label")

    def __init__(self) -> None:
        self._state = None
        self._base = None
        self._label = ""
        self.pResult_label = None

    @property
    def result_label(self) -> str:
        """The label as text, at most 127 bytes."""
        return self._label

    @result_label.setter
    def result_label(self, value: str) -> None:
        self._label = label(value, "NvDsLabelInfo.result_label")

    def duplicate(self, state: BatchState | None = None) -> NvDsLabelInfo:
        """A copy for another batch."""
        copy = NvDsLabelInfo()
        copy_struct(self, copy)
        copy._state = self._state if state is None else state
        copy._label = self._label
        copy.pResult_label = self.pResult_label
        return copy
