"""What ``nvdsanalytics`` attaches to objects and frames, and the remaining small structures of pyds."""

from __future__ import annotations

from ctypes import c_float, c_int
from typing import Any

from .checked import counts_slot, text_slot, texts_slot, whole_slot
from .fields import Castable, Struct, float_field

#: Descriptors of ``nvds_get_user_meta_type`` for the two metas below.
OBJ_META_DESCRIPTOR = "NVIDIA.DSANALYTICSOBJ.USER_META"
FRAME_META_DESCRIPTOR = "NVIDIA.DSANALYTICSFRAME.USER_META"


class NvDsAnalyticsObjInfo(Castable):
    """Analytics of one object.

    Attributes:
        roiStatus: labels of the regions it is in.
        ocStatus: labels of the overcrowded regions it is in.
        lcStatus: labels of the lines it has crossed.
        dirStatus: label of its direction, or empty.
        objStatus: its status as text.
        unique_id: ``unique-id`` of the nvdsanalytics.
    """

    __slots__ = ("_roiStatus", "_ocStatus", "_lcStatus", "_dirStatus", "_objStatus", "_unique_id", "_address",
                 "__weakref__")  # fmt: skip
    roiStatus: Any = texts_slot("roiStatus")
    ocStatus: Any = texts_slot("ocStatus")
    lcStatus: Any = texts_slot("lcStatus")
    dirStatus: Any = text_slot("dirStatus")
    objStatus: Any = text_slot("objStatus")
    unique_id: Any = whole_slot("unique_id")

    def __init__(self) -> None:
        self.roiStatus = []
        self.ocStatus = []
        self.lcStatus = []
        self.dirStatus = ""
        self.objStatus = ""
        self.unique_id = 0


class NvDsAnalyticsFrameMeta(Castable):
    """Analytics of one frame.

    Attributes:
        ocStatus: whether a region is overcrowded, by its label.
        objInROIcnt: how many objects are in a region, by its label.
        objLCCurrCnt: how many objects crossed a line in this frame, by its label.
        objLCCumCnt: how many objects have crossed a line so far, by its label.
        objCnt: how many objects of a class are in the frame, by class id.
        unique_id: ``unique-id`` of the nvdsanalytics.
    """

    __slots__ = ("_ocStatus", "_objInROIcnt", "_objLCCurrCnt", "_objLCCumCnt", "_objCnt", "_unique_id", "_address",
                 "__weakref__")  # fmt: skip
    ocStatus: Any = counts_slot("ocStatus", str, bool)
    objInROIcnt: Any = counts_slot("objInROIcnt", str, int)
    objLCCurrCnt: Any = counts_slot("objLCCurrCnt", str, int)
    objLCCumCnt: Any = counts_slot("objLCCumCnt", str, int)
    objCnt: Any = counts_slot("objCnt", int, int)
    unique_id: Any = whole_slot("unique_id")

    def __init__(self) -> None:
        self.ocStatus = {}
        self.objInROIcnt = {}
        self.objLCCurrCnt = {}
        self.objLCCumCnt = {}
        self.objCnt = {}
        self.unique_id = 0


class RectDim(Struct):
    """A box of the 360-degree application, in pixels."""

    __slots__ = ("text",)
    _fields_ = (
        ("_left", c_float),
        ("_top", c_float),
        ("_width", c_float),
        ("_height", c_float),
        ("class_id", c_int),
        ("tracking_id", c_int),
        ("gie_unique_id", c_int),
        ("roi_status", c_int),
    )
    left: float = float_field("left")
    top: float = float_field("top")
    width: float = float_field("width")
    height: float = float_field("height")
    class_id: int
    tracking_id: int
    gie_unique_id: int
    roi_status: int

    def __init__(self) -> None:
        self.text: Any = None


class NvDsMeta(Castable):
    """Metadata directly on a Gst.Buffer."""

    __slots__ = ("meta", "meta_data", "user_data", "_meta_type", "_address", "__weakref__")
    meta_type: Any = whole_slot("meta_type")

    def __init__(self) -> None:
        self.meta: Any = None
        self.meta_data: Any = None
        self.user_data: Any = None
        self.meta_type = 0
