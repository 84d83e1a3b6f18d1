"""nvmultiurisrcbin: several sources by their URIs, already batched."""

from __future__ import annotations

from typing import Any

from . import caps as nvcaps
from ._gst import Gst
from .base import NvBin, post_error
from .properties import properties_of

_OWN = ("uri-list", "sensor-id-list", "sensor-name-list", "max-batch-size", "mode", "ip-address", "port")
_OF_MUX = frozenset(properties_of("nvstreammux"))
_NOT_SHARED = ("uri", "source-id", "type")  # properties of one source that the list of sources decides
_OF_SOURCES = frozenset(properties_of("nvurisrcbin")).difference(_NOT_SHARED)


def split_list(text: str | None) -> list[str]:
    """The parts of a comma-separated list, without spaces around them; empty parts do not count."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _shared_properties() -> dict[str, tuple[Any, ...]]:
    """This bin's own properties, those of its sources and those of its muxer; its own win."""
    sources = {name: spec for name, spec in properties_of("nvurisrcbin").items() if name not in _NOT_SHARED}
    return {**sources, **properties_of("nvstreammux"), **properties_of("nvmultiurisrcbin")}


class NvMultiUriSrcBin(NvBin, Gst.Bin):
    """One nvurisrcbin for each URI of ``uri-list``, an nvstreammux behind them."""

    __gtype_name__ = "GstNvMultiUriSrcBin"
    __gstmetadata__ = ("NvMultiUriSrc Bin", "NvMultiUriSrc Bin", "Decodes and batches what URIs name", "Millrace")
    __gsttemplates__ = (
        Gst.PadTemplate.new(
            "src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(nvcaps.nvmm_caps())
        ),
    )
    __gproperties__ = _shared_properties()

    def __init__(self) -> None:
        super().__init__()
        self._mux = self.make("nvstreammux")
        self._sources: dict[int, Gst.Element] = {}
        source = self._mux.get_static_pad("src")
        self.add_pad(Gst.GhostPad.new_from_template("src", source, self.get_pad_template("src")))

    def property_changed(self, name: str, value: object) -> None:
        """Settings of the muxer and of the sources go on to them."""
        if name in _OWN:
            if name == "max-batch-size":
                self._mux.set_property("batch-size", value)
            return
        if name in _OF_MUX and name != "batch-size":
            self._mux.set_property(name, value)
        if name in _OF_SOURCES:
            for source in self._sources.values():
                source.set_property(name, value)

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """The sources of ``uri-list`` are made when the bin starts."""
        if transition == Gst.StateChange.NULL_TO_READY:
            uris = split_list(self.value("uri-list"))
            ids = split_list(self.value("sensor-id-list"))
            names = split_list(self.value("sensor-name-list"))
            for what, parts in (("sensor-id-list", ids), ("sensor-name-list", names)):
                if parts and len(parts) != len(uris):
                    text = f"{what} has {len(parts)} entries, uri-list {len(uris)}; they go in pairs"
                    post_error(self, f"{self.get_name()}: {text}")
                    return Gst.StateChangeReturn.FAILURE
            most = self.value("max-batch-size")
            if most and len(uris) > most:
                post_error(self, f"{self.get_name()}: uri-list has {len(uris)} entries, max-batch-size is {most}")
                return Gst.StateChangeReturn.FAILURE
            if not most:
                self._mux.set_property("batch-size", len(uris))
            for index, uri in enumerate(uris):
                self._add_source(index, uri)
        result = Gst.Bin.do_change_state(self, transition)
        if transition == Gst.StateChange.READY_TO_NULL:
            for index in list(self._sources):
                self._remove_source(index)
        return result

    def _add_source(self, index: int, uri: str) -> None:
        source = self.make("nvurisrcbin", uri=uri, source_id=index)
        for name in self._set_by_user:
            if name in _OF_SOURCES:
                source.set_property(name, self.value(name))
        pad = self._mux.request_pad_simple(f"sink_{index}")
        source.connect("pad-added", NvMultiUriSrcBin._on_pad_added, pad)
        self._sources[index] = source

    def _remove_source(self, index: int) -> None:
        source = self._sources.pop(index)
        source.set_state(Gst.State.NULL)
        self.remove(source)
        pad = self._mux.get_static_pad(f"sink_{index}")
        if pad is not None:
            self._mux.release_request_pad(pad)

    @staticmethod
    def _on_pad_added(source: Gst.Element, pad: Gst.Pad, sink: Gst.Pad) -> None:
        if pad.get_name().startswith("vsrc_") and not sink.is_linked():
            pad.link(sink)
