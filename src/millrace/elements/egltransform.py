"""nvegltransform: the step before nveglglessink on Jetson; surfaces need none here and pass as they are."""

from __future__ import annotations

from . import caps as nvcaps
from ._gst import Gst
from .filter import NvFilter
from .properties import properties_of

_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps())


class NvEglTransform(NvFilter, Gst.Element):
    """Lets surfaces and their metadata pass."""

    __gtype_name__ = "GstNvEglTransform"
    __gstmetadata__ = ("NvEGL Transform", "Filter/Video", "Lets surfaces pass to a window sink", "Millrace")
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = properties_of("nvegltransform")
