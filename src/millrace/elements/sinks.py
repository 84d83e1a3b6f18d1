"""nveglglessink and nv3dsink: a window where there is a display, frames at their time without one."""

from __future__ import annotations

import logging
import os
from typing import Any, ClassVar

from . import caps as nvcaps
from ._gst import GObject, Gst
from .base import NvBin
from .properties import base_properties, properties_of

log = logging.getLogger("millrace.elements")

_CAPS = Gst.Caps.from_string(f"{nvcaps.nvmm_caps()}; {nvcaps.system_caps()}")
_FORWARDED = base_properties("nveglglessink")
_READ_ONLY = ("last-sample", "stats")
# environment variable that names a display -> sinks for it, the best first
_WINDOW_SINKS = {
    "WAYLAND_DISPLAY": ("waylandsink", "glimagesink"),
    "DISPLAY": ("xvimagesink", "ximagesink", "glimagesink"),
}


class _DisplaySink(NvBin):
    """Shows frames in a window; on a machine without a display it lets them go at their time."""

    _has_warned: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        convert = self.make("nvvideoconvert")
        raw = self.make("capsfilter", caps=Gst.Caps.from_string("video/x-raw"))
        self._why_unseen = ""
        self._sink = self._make_sink()
        convert.link(raw)
        if self._sink.get_factory().get_name() == "fakesink":
            raw.link(self._sink)
        else:
            fit = self.make("videoconvert")
            raw.link(fit)
            fit.link(self._sink)
        for name in _FORWARDED:
            if name not in _READ_ONLY:
                self.property_changed(name, self.value(name))
        self.add_pad(
            Gst.GhostPad.new_from_template("sink", convert.get_static_pad("sink"), self.get_pad_template("sink"))
        )

    def _make_sink(self) -> Gst.Element:
        displays = {name: os.environ[name] for name in _WINDOW_SINKS if os.environ.get(name)}
        for display in displays:
            for name in _WINDOW_SINKS[display]:
                sink = Gst.ElementFactory.make(name)
                if sink is None:
                    continue
                opened = sink.set_state(Gst.State.READY) != Gst.StateChangeReturn.FAILURE
                sink.set_state(Gst.State.NULL)
                if opened:
                    self.add(sink)
                    return sink
        if displays:
            shown = ", ".join(f"{name}={value}" for name, value in displays.items())
            self._why_unseen = f"no window can be opened ({shown}; apt-get install gstreamer1.0-x when that is missing)"
        else:
            self._why_unseen = "there is no display (DISPLAY is not set)"
        return self.make("fakesink")

    def property_changed(self, name: str, value: object) -> None:
        """What GStreamer's sinks know is the inner sink's; not every one knows all."""
        if name in _FORWARDED and self._sink.find_property(name) is not None:
            self._sink.set_property(name, value)

    def do_get_property(self, pspec: GObject.ParamSpec) -> Any:
        """The last sample and the statistics are the inner sink's."""
        if pspec.name not in _READ_ONLY:
            return super().do_get_property(pspec)
        known = self._sink.find_property(pspec.name) is not None
        return self._sink.get_property(pspec.name) if known else None

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Say once that nothing will be seen."""
        if transition == Gst.StateChange.NULL_TO_READY and self._why_unseen and not _DisplaySink._has_warned:
            _DisplaySink._has_warned = True
            log.warning("%s: %s: frames are not shown", self.get_name(), self._why_unseen)
        return Gst.Bin.do_change_state(self, transition)


class NvEglGlesSink(_DisplaySink, Gst.Bin):
    """The window sink of dGPU pipelines."""

    __gtype_name__ = "GstNvEglGlesSink"
    __gstmetadata__ = ("EGL/GLES vout Sink", "Sink/Video", "Shows frames in a window", "Millrace")
    __gsttemplates__ = (Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),)
    __gproperties__ = properties_of("nveglglessink")


class Nv3dSink(_DisplaySink, Gst.Bin):
    """The window sink of Jetson pipelines."""

    __gtype_name__ = "GstNv3dSink"
    __gstmetadata__ = ("Nv3dSink", "Sink/Video", "Shows frames in a window", "Millrace")
    __gsttemplates__ = (Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),)
    __gproperties__ = properties_of("nv3dsink")
