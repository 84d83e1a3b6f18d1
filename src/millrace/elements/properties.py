"""The elements' properties with DeepStream's names, types, ranges and defaults, from ``properties.json``."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from . import _native
from ._gst import GObject, Gst, GstVideo

_NUMBERS = {
    "int": GObject.TYPE_INT,
    "uint": GObject.TYPE_UINT,
    "int64": GObject.TYPE_INT64,
    "uint64": GObject.TYPE_UINT64,
    "float": GObject.TYPE_FLOAT,
    "double": GObject.TYPE_DOUBLE,
}

# DeepStream's elements derive from these classes, whose properties applications set too
_BASES = {
    **dict.fromkeys(
        "nvinfer nvtracker nvdsosd nvvideoconvert nvmultistreamtiler nvdslogger nvegltransform".split(),
        "GstBaseTransform",
    ),
    "nvv4l2decoder": "GstVideoDecoder",
    "nvv4l2h264enc": "GstVideoEncoder",
    "nvv4l2h265enc": "GstVideoEncoder",
    "nveglglessink": "GstVideoSink",
    "nv3dsink": "GstVideoSink",
}


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    table: dict[str, dict[str, dict[str, Any]]] = json.loads(files(__package__).joinpath("properties.json").read_text())
    return table


def _enum(spec: dict[str, Any]) -> GObject.GType:
    values = [(number, nick, nick) for number, nick in spec["values"]]
    name = spec["enum"]
    if not _native.same_enum(name, values):  # two elements use one name for different values
        name += "".join(str(number) for number, _, _ in values)
    return _native.register_enum(name, values)


def base_properties(element: str) -> tuple[str, ...]:
    """Names of the properties that an element has of the GStreamer class that DeepStream's derives from."""
    return tuple(_table()[_BASES[element]]) if element in _BASES else ()


def properties_of(element: str) -> dict[str, tuple[Any, ...]]:
    """The ``__gproperties__`` of an element, with those of DeepStream's base class.

    Args:
        element: factory name, such as ``"nvstreammux"``.
    """
    result: dict[str, tuple[Any, ...]] = {}
    base = _table()[_BASES[element]] if element in _BASES else {}
    for name, spec in {**base, **_table()[element]}.items():
        blurb = spec["blurb"]
        access = {"r": GObject.ParamFlags.READABLE, "w": GObject.ParamFlags.WRITABLE}.get(
            spec.get("rw", "rw"), GObject.ParamFlags.READWRITE
        )
        kind = spec["type"]
        head: tuple[Any, ...]
        if kind in _NUMBERS:
            head = (_NUMBERS[kind], name, blurb, spec["min"], spec["max"], spec["default"])
        elif kind == "bool":
            head = (GObject.TYPE_BOOLEAN, name, blurb, spec["default"])
        elif kind == "string":
            head = (GObject.TYPE_STRING, name, blurb, spec["default"])
        elif kind == "enum":
            head = (_enum(spec), name, blurb, spec["default"])
        elif kind == "flags":
            kind_of_flags = getattr(GstVideo, spec["flags"])
            head = (kind_of_flags, name, blurb, kind_of_flags(spec["default"]))
        elif kind in ("structure", "sample"):
            head = (Gst.Structure if kind == "structure" else Gst.Sample, name, blurb)
        else:
            head = (GObject.TYPE_POINTER, name, blurb)
        result[name] = (*head, access)
    return result
