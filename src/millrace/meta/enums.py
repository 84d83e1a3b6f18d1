"""The enumerations of pyds with DeepStream's values; each member also exists as a module-level name."""

from __future__ import annotations

from enum import EnumMeta, IntEnum
from typing import Any


class _Members(EnumMeta):
    """Calling an enumeration with a number it does not name gives a nameless member, as in the bindings."""

    def __call__(cls, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs and isinstance(value, int):
            found = cls._value2member_map_.get(int(value))
            if found is not None:
                return found
            member_class: Any = cls
            unnamed: Any = int.__new__(member_class, value)
            unnamed._value_ = int(value)
            unnamed._name_ = "???"
            return unnamed
        return super().__call__(value, *args, **kwargs)


class PydsEnum(IntEnum, metaclass=_Members):
    """An enumeration that compares and hashes as its integer and prints as ``Class.NAME``."""

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self._name_}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self._name_}: {int(self)}>"

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)


class NvDsMetaType(PydsEnum):
    """Kinds of metadata; user types start at ``NVDS_START_USER_META`` (``nvds_get_user_meta_type``)."""

    NVDS_INVALID_META = -1
    NVDS_BATCH_META = 1
    NVDS_FRAME_META = 2
    NVDS_OBJ_META = 3
    NVDS_DISPLAY_META = 4
    NVDS_CLASSIFIER_META = 5
    NVDS_LABEL_INFO_META = 6
    NVDS_USER_META = 7
    NVDS_PAYLOAD_META = 8
    NVDS_EVENT_MSG_META = 9
    NVDS_OPTICAL_FLOW_META = 10
    NVDS_LATENCY_MEASUREMENT_META = 11
    NVDSINFER_TENSOR_OUTPUT_META = 12
    NVDSINFER_SEGMENTATION_META = 13
    NVDS_CROP_IMAGE_META = 14
    NVDS_TRACKER_PAST_FRAME_META = 15
    NVDS_TRACKER_BATCH_REID_META = 16
    NVDS_TRACKER_OBJ_REID_META = 17
    NVDS_TRACKER_TERMINATED_LIST_META = 18
    NVDS_TRACKER_SHADOW_LIST_META = 19
    NVDS_OBJ_VISIBILITY = 20
    NVDS_OBJ_IMAGE_FOOT_LOCATION = 21
    NVDS_OBJ_WORLD_FOOT_LOCATION = 22
    NVDS_OBJ_IMAGE_CONVEX_HULL = 23
    NVDS_AUDIO_BATCH_META = 24
    NVDS_AUDIO_FRAME_META = 25
    NVDS_PREPROCESS_FRAME_META = 26
    NVDS_PREPROCESS_BATCH_META = 27
    NVDS_CUSTOM_MSG_BLOB = 28
    NVDS_ROI_META = 29
    NVDS_RESERVED_META = 4095
    NVDS_GST_CUSTOM_META = 4096
    NVDS_START_USER_META = 8193
    NVDS_FORCE32_META = 0x7FFFFFFF


class GstNvDsMetaType(PydsEnum):
    """Kinds of metadata directly on a Gst.Buffer."""

    NVDS_GST_INVALID_META = -1
    NVDS_BATCH_GST_META = 4097
    NVDS_DECODER_GST_META = 4098
    NVDS_DEWARPER_GST_META = 4099
    NVDS_RESERVED_GST_META = 8192
    NVDS_GST_META_FORCE32 = 0x7FFFFFFF


class NvOSD_Mode(PydsEnum):
    """Where drawing is done."""

    MODE_CPU = 0
    MODE_GPU = 1
    MODE_NONE = 2
    MODE_HW = 2  # its name up to DeepStream 6.1


class NvOSD_Arrow_Head_Direction(PydsEnum):
    """Which ends of an arrow have a head."""

    START_HEAD = 0
    END_HEAD = 1
    BOTH_HEAD = 2


class NvDsInferDataType(PydsEnum):
    """Element type of a tensor."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3


class NvDsDataType(PydsEnum):
    """Element type of an input tensor that comes with the metadata."""

    NvDsDataType_FP32 = 0
    NvDsDataType_UINT8 = 1
    NvDsDataType_INT8 = 2
    NvDsDataType_UINT32 = 3
    NvDsDataType_INT32 = 4
    NvDsDataType_FP16 = 5
    NvDsDataType_UINT64 = 6
    NvDsDataType_INT64 = 7


class NvDsUnitType(PydsEnum):
    """What a row of an input tensor was made of."""

    NvDsUnitType_FullFrame = 0
    NvDsUnitType_ROI = 1
    NvDsUnitType_Object = 2


class ROI_STATUS_360D(PydsEnum):
    """Flags of a region of interest of the 360-degree application."""

    ROI_ENTRY_360D = 1
    ROI_EXIT_360D = 2
    INSIDE_AISLE_360D = 4


class NvDsEventType(PydsEnum):
    """Events of the message schema."""

    NVDS_EVENT_ENTRY = 0
    NVDS_EVENT_EXIT = 1
    NVDS_EVENT_MOVING = 2
    NVDS_EVENT_STOPPED = 3
    NVDS_EVENT_EMPTY = 4
    NVDS_EVENT_PARKED = 5
    NVDS_EVENT_RESET = 6
    NVDS_EVENT_RESERVED = 0x100
    NVDS_EVENT_CUSTOM = 0x101
    NVDS_EVENT_FORCE32 = 0x7FFFFFFF


class NvDsObjectType(PydsEnum):
    """Objects of the message schema."""

    NVDS_OBJECT_TYPE_VEHICLE = 0
    NVDS_OBJECT_TYPE_PERSON = 1
    NVDS_OBJECT_TYPE_FACE = 2
    NVDS_OBJECT_TYPE_BAG = 3
    NVDS_OBJECT_TYPE_BICYCLE = 4
    NVDS_OBJECT_TYPE_ROADSIGN = 5
    NVDS_OBJECT_TYPE_VEHICLE_EXT = 6
    NVDS_OBJECT_TYPE_PERSON_EXT = 7
    NVDS_OBJECT_TYPE_FACE_EXT = 8
    NVDS_OBJECT_TYPE_RESERVED = 0x100
    NVDS_OBJECT_TYPE_CUSTOM = 0x101
    NVDS_OBJECT_TYPE_UNKNOWN = 0x102
    NVDS_OBEJCT_TYPE_FORCE32 = 0x7FFFFFFF


class NvDsPayloadType(PydsEnum):
    """Payloads of the message converter."""

    NVDS_PAYLOAD_DEEPSTREAM = 0
    NVDS_PAYLOAD_DEEPSTREAM_MINIMAL = 1
    NVDS_PAYLOAD_RESERVED = 0x100
    NVDS_PAYLOAD_CUSTOM = 0x101
    NVDS_PAYLOAD_FORCE32 = 0x7FFFFFFF


class NvBufSurfaceMemMapFlags(PydsEnum):
    """How a surface is mapped."""

    NVBUF_MAP_READ = 0
    NVBUF_MAP_WRITE = 1
    NVBUF_MAP_READ_WRITE = 2


class NvBufSurfaceLayout(PydsEnum):
    """Layout of a surface."""

    NVBUF_LAYOUT_PITCH = 0
    NVBUF_LAYOUT_BLOCK_LINEAR = 1


class NvBufSurfaceMemType(PydsEnum):
    """Memory of a surface."""

    NVBUF_MEM_DEFAULT = 0
    NVBUF_MEM_CUDA_PINNED = 1
    NVBUF_MEM_CUDA_DEVICE = 2
    NVBUF_MEM_CUDA_UNIFIED = 3
    NVBUF_MEM_SURFACE_ARRAY = 4
    NVBUF_MEM_HANDLE = 5
    NVBUF_MEM_SYSTEM = 6


_COLOR_FORMATS = (
    "INVALID GRAY8 YUV420 YVU420 YUV420_ER YVU420_ER NV12 NV12_ER NV21 NV21_ER UYVY UYVY_ER VYUY VYUY_ER "
    "YUYV YUYV_ER YVYU YVYU_ER YUV444 RGBA BGRA ARGB ABGR RGBx BGRx xRGB xBGR RGB BGR NV12_10LE NV12_12LE "
    "YUV420_709 "
    "YUV420_709_ER NV12_709 NV12_709_ER YUV420_2020 NV12_2020 NV12_10LE_ER NV12_10LE_709 NV12_10LE_709_ER "
    "NV12_10LE_2020 SIGNED_R16G16"
).split()

_make_enum: Any = PydsEnum
#: DeepStream has more formats, without a pyds name, below NVBUF_COLOR_FORMAT_LAST.
NvBufSurfaceColorFormat: Any = _make_enum(
    "NvBufSurfaceColorFormat",
    {f"NVBUF_COLOR_FORMAT_{name}": value for value, name in enumerate(_COLOR_FORMATS)}
    | {"NVBUF_COLOR_FORMAT_LAST": 88},
    module=__name__,
)

ENUMS: tuple[Any, ...] = (
    NvDsMetaType,
    GstNvDsMetaType,
    NvOSD_Mode,
    NvOSD_Arrow_Head_Direction,
    NvDsInferDataType,
    NvDsDataType,
    NvDsUnitType,
    ROI_STATUS_360D,
    NvDsEventType,
    NvDsObjectType,
    NvDsPayloadType,
    NvBufSurfaceMemMapFlags,
    NvBufSurfaceLayout,
    NvBufSurfaceMemType,
    NvBufSurfaceColorFormat,
)

#: Every member by its name, older names too, for the module-level names that pyds exports.
EXPORTED: dict[str, Any] = {name: member for enum in ENUMS for name, member in enum.__members__.items()}
