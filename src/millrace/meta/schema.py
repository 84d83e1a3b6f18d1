"""The message schema: events, vehicles, persons and faces that message converters read."""

from __future__ import annotations

from ctypes import c_double, c_float, c_int, c_size_t, c_uint, c_uint64
from typing import Any

from .checked import optional_slot, optional_text_slot
from .enums import NvDsEventType, NvDsObjectType
from .fields import Pointer, Struct, enum_field, float_field, object_at, own
from .glist import GList
from .osd_params import copy_struct
from .strings import adopt, field_text, string_field, text_bytes
from .user import NvDsUserMeta


class NvDsRect(Struct):
    """A box in pixels (float)."""

    __slots__ = ()
    _fields_ = (("_top", c_float), ("_left", c_float), ("_width", c_float), ("_height", c_float))
    top: float = float_field("top")
    left: float = float_field("left")
    width: float = float_field("width")
    height: float = float_field("height")


class NvDsGeoLocation(Struct):
    """Latitude, longitude and altitude."""

    __slots__ = ()
    _fields_ = (("_lat", c_double), ("_lon", c_double), ("_alt", c_double))
    lat: float = float_field("lat")
    lon: float = float_field("lon")
    alt: float = float_field("alt")


class NvDsCoordinate(Struct):
    """A place in space."""

    __slots__ = ()
    _fields_ = (("_x", c_double), ("_y", c_double), ("_z", c_double))
    x: float = float_field("x")
    y: float = float_field("y")
    z: float = float_field("z")


class NvDsObjectSignature(Struct):
    """``size`` values that identify an object; ``signature`` is an address or an array."""

    __slots__ = ("signature",)
    _fields_ = (("size", c_uint),)
    size: int

    def __init__(self) -> None:
        self.signature: Any = None


class SchemaObject(Struct):
    """Base of the schema's objects: string fields read as addresses, assignment takes text."""

    __slots__ = ("_on_heap", "_freed")
    _strings: tuple[str, ...] = ()
    _plain: tuple[str, ...] = ()

    @property
    def freed(self) -> bool:
        """Whether the application freed it (``free_buffer``, ``free_gbuffer``)."""
        return getattr(self, "_freed", False)

    def text(self, field: str) -> str:
        """A string field as text; empty when it is not set or was freed.

        Args:
            field: name of the field, such as ``"color"``.
        """
        if field not in self._strings:
            raise AttributeError(f"{type(self).__name__} has no string field {field!r}")
        return field_text(getattr(self, "_" + field, None))

    def duplicate(self) -> Any:
        """A copy with strings of its own."""
        copy = type(self)()
        copy_struct(self, copy)
        for name in self._strings:
            text = self.text(name)
            if text:
                setattr(copy, "_" + name, text)
        for name in self._plain:
            setattr(copy, name, getattr(self, name, None))
        return copy

    def clear_strings(self) -> None:
        """Forget all strings."""
        for name in self._strings:
            setattr(self, "_" + name, None)


def _schema_class(name: str, strings: str, numbers: str, plain: str, doc: str) -> Any:
    """A class of string fields (addresses), whole numbers and plain fields: text or ``None``; ``mask`` is a GList."""

    def init(self: Any) -> None:
        for field in plain.split():
            setattr(self, field, None)

    body: dict[str, Any] = {
        "__slots__": tuple("_" + field for field in (strings + " " + plain).split()),
        "_fields_": tuple((field, c_uint) for field in numbers.split()) or (("_unused", c_uint),),
        "_strings": tuple(strings.split()),
        "_plain": tuple(plain.split()),
        "__doc__": doc,
        "__module__": __name__,
        "__init__": init,
    }
    for field in strings.split():
        body[field] = string_field(field)
    for field in plain.split():
        body[field] = optional_slot(field, GList) if field == "mask" else optional_text_slot(field)
    return type(name, (SchemaObject,), body)


NvDsVehicleObject = _schema_class(
    "NvDsVehicleObject", "type make model color region license", "", "", "A vehicle; all fields are strings."
)
NvDsPersonObject = _schema_class(
    "NvDsPersonObject", "gender hair cap apparel", "age", "", "A person; all fields but ``age`` are strings."
)
NvDsFaceObject = _schema_class(
    "NvDsFaceObject",
    "gender hair cap glasses facialhair name eyecolor",
    "age",
    "",
    "A face; all fields but ``age`` are strings.",
)
NvDsVehicleObjectExt = _schema_class(
    "NvDsVehicleObjectExt",
    "",
    "",
    "type make model color region license mask",
    "A vehicle with a GList of polygons.",
)
NvDsPersonObjectExt = _schema_class(
    "NvDsPersonObjectExt", "", "age", "gender hair cap apparel mask", "A person with a GList of polygons."
)
NvDsFaceObjectWithExt = _schema_class(
    "NvDsFaceObjectWithExt",
    "",
    "age",
    "gender hair cap glasses facialhair name eyecolor mask",
    "A face with a GList of polygons.",
)


class NvDsEventMsgMeta(SchemaObject):
    """An event that becomes a message; make one with :func:`alloc_nvds_event_msg_meta`.

    ``ts`` takes the address of a buffer (``alloc_buffer``) and owns it from then on.
    """

    __slots__ = ("_ts", "_objectId", "_sensorStr", "_otherAttrs", "_videoPath", "_extMsg", "_signature")
    _fields_ = (
        ("_type", c_int),
        ("_objType", c_int),
        ("bbox", NvDsRect),
        ("location", NvDsGeoLocation),
        ("coordinate", NvDsCoordinate),
        ("objClassId", c_int),
        ("sensorId", c_int),
        ("moduleId", c_int),
        ("placeId", c_int),
        ("componentId", c_int),
        ("frameId", c_int),
        ("_confidence", c_double),
        ("trackingId", c_uint64),
        ("extMsgSize", c_size_t),
    )
    _strings = ("ts", "objectId", "sensorStr", "otherAttrs", "videoPath")
    type: NvDsEventType = enum_field("type", NvDsEventType)
    objType: NvDsObjectType = enum_field("objType", NvDsObjectType)
    bbox: NvDsRect
    location: NvDsGeoLocation
    coordinate: NvDsCoordinate
    objClassId: int
    sensorId: int
    moduleId: int
    placeId: int
    componentId: int
    frameId: int
    confidence: float = float_field("confidence")
    trackingId: int
    extMsgSize: int
    objectId: Any = string_field("objectId")
    sensorStr: Any = string_field("sensorStr")
    otherAttrs: Any = string_field("otherAttrs")
    videoPath: Any = string_field("videoPath")
    _text_ts = string_field("ts")

    def __init__(self) -> None:
        self._extMsg: Any = None
        self._signature = NvDsObjectSignature()

    @property
    def ts(self) -> int:
        """Address of the time stamp's text; 0 when there is none."""
        address: int = self._text_ts
        return address

    @ts.setter
    def ts(self, buffer: Any) -> None:
        if isinstance(buffer, (str, bytes)):
            self._ts: Any = text_bytes(buffer, "NvDsEventMsgMeta.ts")
        else:
            self._ts = adopt(buffer, "NvDsEventMsgMeta.ts")

    @property
    def objSignature(self) -> NvDsObjectSignature:
        """Values that identify the object."""
        return self._signature

    @objSignature.setter
    def objSignature(self, value: NvDsObjectSignature) -> None:
        if not isinstance(value, NvDsObjectSignature):
            raise TypeError(f"NvDsEventMsgMeta.objSignature needs a NvDsObjectSignature, got {value!r:.40}")
        self._signature.size = value.size
        self._signature.signature = value.signature

    @property
    def extMsg(self) -> Any:
        """The extension: usually a vehicle, person or face object; ``None`` without one."""
        return self._extMsg

    @extMsg.setter
    def extMsg(self, value: Any) -> None:
        if isinstance(value, Pointer) and value.owner is not None:
            value = value.owner
        elif isinstance(value, int) and not isinstance(value, bool):
            value = object_at(value) or value or None
        own(value)
        self._extMsg = value

    def duplicate(self) -> NvDsEventMsgMeta:
        """A deep copy, with its extension."""
        copy: NvDsEventMsgMeta = super().duplicate()
        copy.objSignature = self._signature
        extension = self._extMsg
        copy._extMsg = extension.duplicate() if isinstance(extension, SchemaObject) else extension
        return copy


class NvDsEvent(SchemaObject):
    """An event and its metadata (:class:`NvDsEventMsgMeta`)."""

    __slots__ = ("_metadata",)
    metadata: Any = optional_slot("metadata", NvDsEventMsgMeta)
    _fields_ = (("_eventType", c_int),)
    _plain = ("metadata",)
    eventType: NvDsEventType = enum_field("eventType", NvDsEventType)

    def __init__(self) -> None:
        self.metadata: Any = None


class NvDsPayload(SchemaObject):
    """A message as a message broker sends it."""

    __slots__ = ("payload",)
    _fields_ = (("payloadSize", c_uint), ("componentId", c_uint))
    _plain = ("payload",)
    payloadSize: int
    componentId: int

    def __init__(self) -> None:
        self.payload: Any = None


class CustomDataStruct(SchemaObject):
    """The sample of user metadata that pyds ships: two numbers and a string."""

    __slots__ = ("_message",)
    _fields_ = (("structId", c_int), ("sampleInt", c_int))
    _strings = ("message",)
    structId: int
    sampleInt: int
    message: Any = string_field("message")


def _copy_data(user_meta: Any, _user_data: Any) -> Any:
    data = user_meta.user_meta_data
    return data.duplicate() if isinstance(data, SchemaObject) else data


def _release_data(user_meta: Any, _user_data: Any) -> None:
    data = user_meta.user_meta_data
    if isinstance(data, SchemaObject):
        data.clear_strings()
    if isinstance(data, NvDsEventMsgMeta):
        data._extMsg = None
        data.extMsgSize = 0


def _on_heap(made: Any, user_meta: Any = None, name: str = "") -> Any:
    made._on_heap = True
    if user_meta is not None:
        if not isinstance(user_meta, NvDsUserMeta):
            raise TypeError(f"{name}() needs a NvDsUserMeta, got {type(user_meta).__name__}")
        user_meta.base_meta.copy_func = _copy_data
        user_meta.base_meta.release_func = _release_data
    return made


def alloc_nvds_event_msg_meta(user_meta: NvDsUserMeta | None = None) -> NvDsEventMsgMeta:
    """A new event message for ``user_meta``, whose copy and release functions it sets; assign it to
    ``user_meta.user_meta_data``.
    """
    return _on_heap(NvDsEventMsgMeta(), user_meta, "alloc_nvds_event_msg_meta")  # type: ignore[no-any-return]


def alloc_custom_struct(user_meta: NvDsUserMeta) -> CustomDataStruct:
    """A new :class:`CustomDataStruct` for ``user_meta``, whose copy and release functions it sets."""
    return _on_heap(CustomDataStruct(), user_meta, "alloc_custom_struct")  # type: ignore[no-any-return]


def alloc_nvds_vehicle_object() -> Any:
    """A new :class:`NvDsVehicleObject`; it lives as long as something refers to it."""
    return _on_heap(NvDsVehicleObject())


def alloc_nvds_person_object() -> Any:
    """A new :class:`NvDsPersonObject`; it lives as long as something refers to it."""
    return _on_heap(NvDsPersonObject())


def alloc_nvds_face_object() -> Any:
    """A new :class:`NvDsFaceObject`; it lives as long as something refers to it."""
    return _on_heap(NvDsFaceObject())


def alloc_nvds_event() -> NvDsEvent:
    """A new :class:`NvDsEvent`."""
    return _on_heap(NvDsEvent())  # type: ignore[no-any-return]


def alloc_nvds_payload() -> NvDsPayload:
    """A new :class:`NvDsPayload`."""
    return _on_heap(NvDsPayload())  # type: ignore[no-any-return]
