"""nvmultiurisrcbin: several sources by their URIs, already batched; they come and go by REST."""

from __future__ import annotations

import logging
import threading
import weakref
from http import HTTPStatus
from typing import Any

from ..rest import RestError, RestServer, Stream, handle
from ..rest.api import Answer
from . import caps as nvcaps
from ._gst import GLib, Gst
from .base import NvBin, post_error, post_warning
from .properties import properties_of
from .urisrcbin import elements_of

log = logging.getLogger("millrace.elements")

_OWN = ("uri-list", "sensor-id-list", "sensor-name-list", "max-batch-size", "mode", "ip-address", "port")
_OF_MUX = frozenset(properties_of("nvstreammux"))
_NOT_SHARED = ("uri", "source-id", "type", "smart-rec-status", "stats")  # of one source alone
_OF_SOURCES = frozenset(properties_of("nvurisrcbin")).difference(_NOT_SHARED)
_AUDIO = 1
_AFTER = {
    Gst.StateChange.NULL_TO_READY: Gst.State.READY,
    Gst.StateChange.READY_TO_PAUSED: Gst.State.PAUSED,
    Gst.StateChange.PAUSED_TO_PLAYING: Gst.State.PLAYING,
    Gst.StateChange.PLAYING_TO_PAUSED: Gst.State.PAUSED,
    Gst.StateChange.PAUSED_TO_READY: Gst.State.READY,
    Gst.StateChange.READY_TO_NULL: Gst.State.NULL,
}


def split_list(text: str | None) -> list[str]:
    """The parts of a comma-separated list, without spaces around them; empty parts do not count."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _shared_properties() -> dict[str, tuple[Any, ...]]:
    """This bin's own properties, those of its sources and those of its muxer; its own win."""
    sources = {name: spec for name, spec in properties_of("nvurisrcbin").items() if name not in _NOT_SHARED}
    return {**sources, **properties_of("nvstreammux"), **properties_of("nvmultiurisrcbin")}


class NvMultiUriSrcBin(NvBin, Gst.Bin):
    """One nvurisrcbin for each source, an nvstreammux behind them, and a REST server that adds and removes sources."""

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
        self._mux = self.make("nvstreammux", batch_size=self.value("max-batch-size"))
        self._sources: dict[int, Gst.Element] = {}
        self._streams: dict[int, Stream] = {}
        self._next = 0  # where the search for a free pad begins, as in DeepStream
        self._lock = threading.RLock()  # one change of the sources at a time
        self._changing = threading.RLock()  # sources come and go before or after a state change, not in its midst
        self._level = Gst.State.NULL
        self._running = False
        self._rest: RestServer | None = None
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
        """The sources of ``uri-list`` are made when the bin starts, and then the REST server."""
        if transition == Gst.StateChange.NULL_TO_READY:
            try:
                self._start()
            except ValueError as error:
                post_error(self, f"{self.get_name()}: {error}")
                return Gst.StateChangeReturn.FAILURE
        elif transition == Gst.StateChange.READY_TO_NULL:
            self._stop()
        with self._changing:
            result = Gst.Bin.do_change_state(self, transition)
            if result != Gst.StateChangeReturn.FAILURE:
                result = self._change_sources(transition, result)
        return result

    def _change_sources(self, transition: Gst.StateChange, result: Gst.StateChangeReturn) -> Gst.StateChangeReturn:
        """Take the sources along: one that fails leaves (see :meth:`do_handle_message`), and the others go on."""
        with self._lock:
            self._level = _AFTER[transition]
            for index in list(self._sources):
                if self._level == Gst.State.NULL:
                    self._remove_source(index, tell=False)
                    continue
                outcome = self._bring(self._sources[index])
                if outcome == Gst.StateChangeReturn.NO_PREROLL:
                    result = outcome
                elif outcome == Gst.StateChangeReturn.FAILURE and not self._survives():
                    return outcome
        return result

    def _bring(self, source: Gst.Element) -> Gst.StateChangeReturn:
        """Bring a source to the state of this bin."""
        source.set_base_time(self.get_base_time())
        return source.set_state(self._level)

    def _start(self) -> None:
        """Make the first sources.

        Raises:
            ValueError: the properties do not fit; the message says which.
        """
        if int(self.value("mode")) == _AUDIO:
            raise ValueError("mode=1 (audio) is not supported; leave it at 0")
        uris = split_list(self.value("uri-list"))
        ids = split_list(self.value("sensor-id-list"))
        names = split_list(self.value("sensor-name-list"))
        for what, parts in (("sensor-id-list", ids), ("sensor-name-list", names)):
            if parts and len(parts) != len(uris):
                raise ValueError(f"{what} has {len(parts)} entries, uri-list {len(uris)}; they go in pairs")
        twice = next((one for one in ids if ids.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"sensor-id-list has {twice} twice; ids are unique")
        most = self.value("max-batch-size")
        if most and len(uris) > most:
            raise ValueError(f"uri-list has {len(uris)} entries, max-batch-size is {most}")
        text = str(self.value("port") or "0").strip()
        if not text.isdecimal() or int(text) > 65535:
            raise ValueError(f"port is {text!r}; it is a number up to 65535, or 0 for no REST server")
        with self._lock:
            self._next = 0
            self._running = True
            for index, uri in enumerate(uris):
                self._add_source(ids[index] if ids else "", names[index] if names else "", uri, "")
        if int(text):
            self._listen(int(text))

    def _listen(self, port: int) -> None:
        owner = weakref.ref(self)  # the server's threads must not keep the bin alive

        def answer(method: str, path: str, body: bytes) -> Answer:
            alive = owner()
            if alive is None:
                raise RuntimeError("the pipeline is gone")
            return handle(alive, method, path, body)

        address = str(self.value("ip-address") or "localhost")
        try:
            self._rest = RestServer(address, port, answer)
        except OSError as error:
            post_warning(
                self,
                f"{self.get_name()}: no REST server on {address} port {port}: {error.strerror or error}; set port to a "
                "free one, or to 0 for no server. The sources of uri-list play all the same",
            )

    def _stop(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.stop()
        with self._lock:
            self._running = False

    # Sources -------------------------------------------------------------------------------------------------------

    def _free_index(self) -> int | None:
        """The next free pad, going round."""
        most = self.value("max-batch-size") or len(self._sources) + 1
        for step in range(most):
            index = (self._next + step) % most
            if index not in self._sources:
                return index
        return None

    def _add_source(self, sensor_id: str, name: str, uri: str, metadata: str) -> Gst.Element:
        index = self._free_index()
        if index is None:
            raise RestError("STREAM_ADD_FAIL, Active sources exceded max-batch-size of nvstreammux")
        self._next = index + 1
        source = self.make("nvurisrcbin", uri=uri, source_id=index)
        source.set_locked_state(True)  # its state is changed here, so that its failure is not this bin's
        source.set_property("async-handling", True)  # and its preroll does not take the pipeline out of PLAYING
        for setting in self._set_by_user:
            if setting in _OF_SOURCES:
                source.set_property(setting, self.value(setting))
        pad = self._mux.request_pad_simple(f"sink_{index}")
        source.connect("pad-added", NvMultiUriSrcBin._on_pad_added, pad)
        self._sources[index] = source
        self._streams[index] = stream = Stream(index, sensor_id, name, uri, metadata)
        self._tell("stream-add", stream)
        return source

    def _remove_source(self, index: int, tell: bool = True) -> None:
        source, stream = self._sources.pop(index), self._streams.pop(index)
        for ghost in source.srcpads:
            ghost.add_probe(Gst.PadProbeType.DATA_DOWNSTREAM, _drop)  # what still comes must not be an error
        pad = self._mux.get_static_pad(f"sink_{index}")
        if pad is not None:
            self._mux.release_request_pad(pad)  # whoever waits in the muxer comes back
        source.set_state(Gst.State.NULL)
        self.remove(source)
        if tell:
            self._tell("stream-remove", stream)

    def _tell(self, name: str, stream: Stream) -> None:
        """The element message that applications read with ``gst_nvmessage_parse_stream_add`` and ``…_remove``."""
        structure = Gst.Structure.new_from_string(f"{name}, source-id=(uint){stream.source_id}")
        structure.set_value("sensor-id", stream.sensor_id)
        structure.set_value("sensor-name", stream.sensor_name)
        structure.set_value("uri", stream.uri)
        structure.set_value("sensor-metadata", stream.metadata)
        self.post_message(Gst.Message.new_element(self, structure))

    @staticmethod
    def _on_pad_added(source: Gst.Element, pad: Gst.Pad, sink: Gst.Pad) -> None:
        if pad.get_name().startswith("vsrc_") and not sink.is_linked():
            pad.link(sink)

    # Sources that end or fail --------------------------------------------------------------------------------------

    def do_handle_message(self, message: Gst.Message) -> None:
        """A source that has ended leaves; one that fails does too, as a warning: the others go on."""
        if message.type == Gst.MessageType.ELEMENT and message.src is self._mux:
            structure = message.get_structure()
            if structure.has_name("stream-eos"):
                self._leave(structure.get_uint("stream-id")[1])
        elif message.type == Gst.MessageType.ERROR:
            index = self._source_of(message.src)
            if index is not None and self._survives():
                error, details = message.parse_error()
                stream = self._streams.get(index)
                self._leave(index)
                text = f"{error.message}; source {index} {stream.sensor_id if stream else ''}".rstrip() + " is removed"
                log.warning("%s: %s", self.get_name(), text)
                named = GLib.Error.new_literal(GLib.quark_from_string(error.domain), text, error.code)
                message = Gst.Message.new_warning(message.src, named, details or "")
        Gst.Bin.do_handle_message(self, message)

    def _survives(self) -> bool:
        """Whether something can come after a source has failed: another source, or one by REST."""
        return self._rest is not None or len(self._sources) > 1

    def _source_of(self, element: Gst.Object | None) -> int | None:
        """The source that an element is, or is in."""
        for index, source in list(self._sources.items()):
            if element is source or (element is not None and element.has_as_ancestor(source)):
                return index
        return None

    def _leave(self, index: int) -> None:
        """Remove a source from another thread: this one is the source's own, or the muxer's."""
        source = self._sources.get(index)
        owner = weakref.ref(self)

        def remove() -> None:
            alive = owner()
            if alive is None:
                return
            with alive._changing, alive._lock:
                if alive._running and source is not None and alive._sources.get(index) is source:
                    alive._remove_source(index)

        threading.Thread(target=remove, name=f"{self.get_name()}:remove{index}", daemon=True).start()

    # REST ----------------------------------------------------------------------------------------------------------

    def add_stream(self, sensor_id: str, name: str, uri: str, metadata: str) -> None:
        """A request adds a source.

        Raises:
            RestError: there is no place for it, the id is taken, or the pipeline stops.
        """
        with self._changing, self._lock:
            if not self._running:
                raise RestError("STREAM_ADD_FAIL, the pipeline stops")
            if any(stream.sensor_id == sensor_id for stream in self._streams.values()):
                raise RestError("STREAM_ADD_FAIL, Duplicate Camera id, unable to add stream")
            if not Gst.uri_is_valid(uri):
                raise RestError(f"STREAM_ADD_FAIL, {uri} is no URI", HTTPStatus.BAD_REQUEST)
            source = self._add_source(sensor_id, name, uri, metadata)
            for level in (Gst.State.READY, Gst.State.PAUSED, Gst.State.PLAYING):
                if level <= self._level:
                    source.set_base_time(self.get_base_time())
                    source.set_state(level)

    def remove_stream(self, sensor_id: str, uri: str) -> None:
        """A request removes a source.

        Raises:
            RestError: there is none with this id and URI.
        """
        with self._changing, self._lock:
            for index, stream in self._streams.items():
                if self._running and (stream.sensor_id, stream.uri) == (sensor_id, uri):
                    self._remove_source(index)
                    return
        raise RestError("STREAM_REMOVE_FAIL, No record found. Failed to remove source stream")

    def streams(self) -> list[Stream]:
        """The sources there are."""
        return [self._streams[index] for index in sorted(self._streams)]

    def state(self) -> str:
        """Name of the state."""
        return str(Gst.Element.state_get_name(self.current_state))

    def set_source(self, source_id: int, name: str, value: int) -> None:
        """A request sets a property of one source.

        Raises:
            RestError: there is no such source.
        """
        source = self._sources.get(source_id)
        if source is None:
            raise RestError(f"Unable to find stream id {source_id}")
        source.set_property(name, value)

    def set_muxer(self, name: str, value: int) -> None:
        """A request sets a property of the muxer."""
        self.set_property(name, value)

    def set_downstream(self, element: str, name: str, value: int) -> None:
        """A request sets a property of all elements of a kind in the pipeline.

        Raises:
            RestError: there is none.
        """
        top: Gst.Object = self
        while top.get_parent() is not None:
            top = top.get_parent()
        found = elements_of(top, element)
        if not found:
            raise RestError(f"the pipeline has no {element}")
        for one in found:
            one.set_property(name, value)

    def quit(self) -> None:
        """A request ends the pipeline: with DeepStream's message, and as an end of stream."""
        structure = Gst.Structure.new_from_string("force-pipeline-eos, force_eos=(boolean)true")
        self.post_message(Gst.Message.new_element(self, structure))
        self.get_static_pad("src").push_event(Gst.Event.new_eos())


def _drop(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
    return Gst.PadProbeReturn.DROP
