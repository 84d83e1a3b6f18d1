"""What DeepStream's REST requests mean, and the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

PREFIX = "/api/v1"
_VERSION = "Millrace - REST API Version v1"


class RestError(Exception):
    """A request that cannot be done.

    Args:
        reason: what the answer says; begins with DeepStream's word for the failure.
        code: HTTP status.
    """

    def __init__(self, reason: str, code: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR) -> None:
        super().__init__(reason)
        self.code = code


class Stream(NamedTuple):
    """One source.

    Attributes:
        source_id: index of the muxer's pad.
        sensor_id: the camera's id, unique; empty when it was given none.
        sensor_name: its name.
        uri: where it comes from.
        metadata: the request's ``metadata`` as JSON, empty without.
    """

    source_id: int
    sensor_id: str
    sensor_name: str
    uri: str
    metadata: str = ""


class Sources(Protocol):
    """What the requests act on. Methods raise :class:`RestError` when they cannot."""

    def add_stream(self, sensor_id: str, name: str, uri: str, metadata: str) -> None:
        """Add a source."""

    def remove_stream(self, sensor_id: str, uri: str) -> None:
        """Remove a source."""

    def streams(self) -> list[Stream]:
        """The sources there are, by their ids."""

    def state(self) -> str:
        """Name of the GStreamer state, such as ``"PLAYING"``."""

    def set_source(self, source_id: int, name: str, value: int) -> None:
        """Set a property of one source."""

    def set_muxer(self, name: str, value: int) -> None:
        """Set a property of the muxer."""

    def set_downstream(self, element: str, name: str, value: int) -> None:
        """Set a property of every element of that kind in the pipeline."""

    def quit(self) -> None:
        """End the pipeline."""


class _Setting(NamedTuple):
    """A request that sets one property."""

    word: str  # of the answers: WORD_UPDATE_SUCCESS
    field: str
    least: int
    most: int
    target: str  # "source", "muxer" or an element's factory name
    name: str


_INT_MAX = 2**31 - 1
_SETTINGS: dict[str, _Setting] = {
    "/dec/drop-frame-interval": _Setting(
        "DROP_FRAME_INTERVAL", "drop_frame_interval", 0, 30, "source", "drop-frame-interval"
    ),
    "/dec/skip-frames": _Setting("SKIP_FRAMES", "skip_frames", 0, 2, "source", "dec-skip-frames"),
    "/dec/low-latency-mode": _Setting("LOW_LATENCY_MODE", "low_latency_mode", 0, 1, "source", "low-latency-mode"),
    "/mux/batched-push-timeout": _Setting(
        "BATCHED_PUSH_TIMEOUT", "batched_push_timeout", -1, _INT_MAX, "muxer", "batched-push-timeout"
    ),
    "/mux/max-latency": _Setting("MAX_LATENCY", "max_latency", 0, 2**32 - 1, "muxer", "max-latency"),
    "/infer/set-interval": _Setting("INFER_INTERVAL", "interval", 0, _INT_MAX, "nvinfer", "interval"),
    "/osd/process-mode": _Setting("PROCESS_MODE", "process_mode", 0, 2, "nvdsosd", "process-mode"),
}
# requests of DeepStream for which there is nothing here that could be set while playing
_UNKNOWN_HERE = {
    "/roi/update": ("ROI_UPDATE", "there is no nvdspreprocess"),
    "/inferserver/set-interval": ("INFERSERVER_INTERVAL_UPDATE", "there is no nvinferserver"),
    "/nvtracker/config-path": ("NVTRACKER_CONFIG_UPDATE", "nvtracker reads its configuration when the pipeline starts"),
    "/conv/srccrop": ("SRC_CROP_UPDATE", "sources have no converter here"),
    "/conv/destcrop": ("DEST_CROP_UPDATE", "sources have no converter here"),
    "/conv/interpolation-method": ("INTERPOLATION_METHOD_UPDATE", "sources have no converter here"),
    "/conv/flip-method": ("FLIP_METHOD_UPDATE", "sources have no converter here"),
    "/enc/bitrate": ("BITRATE_UPDATE", "encoders are set by the application here"),
    "/enc/force-idr": ("FORCE_IDR_UPDATE", "encoders are set by the application here"),
    "/enc/force-intra": ("FORCE_INTRA_UPDATE", "encoders are set by the application here"),
    "/enc/iframe-interval": ("IFRAME_INTERVAL_UPDATE", "encoders are set by the application here"),
    "/analytics/reload-config": ("RELOAD_CONFIG_UPDATE", "there is no nvdsanalytics"),
    "/generate_text_embeddings": ("TEXT_EMBEDDING_GENERATE", "there is no model for it"),
    "/generate_image_embeddings": ("IMAGE_EMBEDDING_GENERATE", "there is no model for it"),
    "/metrics": ("GET_METRICS_INFO", "read the sources' stats property instead"),
    "/metadata": ("GET_METADATA_INFO", "there is none"),
}
_STATES = {
    # the end of the path: (word of the answer, its key, key inside, states that count as yes)
    "live": ("GET_LIVE_INFO_SUCCESS", "live-info", "ds-liveness", ("PLAYING",)),
    "ready": ("GET_READY_INFO_SUCCESS", "ready-info", "ds-ready", ("PAUSED", "PLAYING")),
    "startup": ("GET_STARTUP_INFO_SUCCESS", "startup-info", "ds-startup", ("PAUSED", "PLAYING")),
    "get-dsready-state": ("GET_READY_INFO_SUCCESS", "health-info", "ds-ready", ("PAUSED", "PLAYING")),
}
_GETS = {
    *(f"{prefix}/{name}" for prefix in ("", PREFIX) for name in ("live", "ready", "startup")),
    f"{PREFIX}/health/get-dsready-state",
    f"{PREFIX}/stream/get-stream-info",
    f"{PREFIX}/metrics",
    f"{PREFIX}/metadata",
    "/version",
}

Answer = tuple[HTTPStatus, dict[str, Any]]


def handle(sources: Sources, method: str, path: str, body: bytes) -> Answer:
    """Do one request.

    Args:
        sources: what it acts on.
        method: ``"GET"`` or ``"POST"``.
        path: without query.
        body: JSON; GET requests may have one, it is not read.

    Returns:
        The HTTP status and the JSON object of the answer; its ``status`` and ``reason`` are DeepStream's.
    """
    path = path.rstrip("/") or "/"
    short = path.removeprefix(PREFIX)
    posts = {"/stream/add", "/stream/remove", "/app/quit", *_SETTINGS, *_UNKNOWN_HERE} if short != path else set()
    try:
        if path in _GETS:
            _expect(method, "GET", path)
            return _get(sources, path)
        if short in posts:
            _expect(method, "POST", path)
            return answer(_post(sources, short, _parse(body)))
        raise RestError(f"no such request: {path}", HTTPStatus.NOT_FOUND)
    except RestError as error:
        return answer(str(error), error.code)


def answer(reason: str, code: HTTPStatus = HTTPStatus.OK, more: Mapping[str, Any] | None = None) -> Answer:
    """An answer as DeepStream words it, with ``more`` in it."""
    return code, {"reason": reason, "status": f"HTTP/1.1 {int(code)} {code.phrase}", **(more or {})}


def _expect(method: str, wanted: str, path: str) -> None:
    if method != wanted:
        raise RestError(f"{path} takes {wanted}, not {method}", HTTPStatus.METHOD_NOT_ALLOWED)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"null")
    except ValueError as error:
        raise RestError(f"the request is not JSON: {error}", HTTPStatus.BAD_REQUEST) from None
    if not isinstance(value, dict):
        raise RestError("the request is not a JSON object", HTTPStatus.BAD_REQUEST)
    return value


def _get(sources: Sources, path: str) -> Answer:
    name = path.rpartition("/")[2]
    if name == "version":
        return HTTPStatus.OK, {"version": _VERSION}
    if name in _STATES:
        word, key, inner, states = _STATES[name]
        return answer(word, more={key: {inner: "YES" if sources.state() in states else "NO"}})
    if name == "get-stream-info":
        streams = [
            {"source_id": one.source_id, "camera_id": one.sensor_id, "camera_name": one.sensor_name}
            for one in sources.streams()
        ]
        info = {"stream-count": len(streams), "stream-info": streams}
        return answer("GET_LIVE_STREAM_INFO_SUCCESS", more={"stream-info": info})
    word, reason = _UNKNOWN_HERE[f"/{name}"]
    raise RestError(f"{word}_FAIL, {reason}", HTTPStatus.NOT_IMPLEMENTED)


def _post(sources: Sources, path: str, request: dict[str, Any]) -> str:
    if path in _UNKNOWN_HERE:
        word, reason = _UNKNOWN_HERE[path]
        raise RestError(f"{word}_FAIL, {reason}", HTTPStatus.NOT_IMPLEMENTED)
    if path in _SETTINGS:
        return _set(sources, _SETTINGS[path], request)
    if path == "/app/quit":
        value = _only(request, "QUIT_FAIL").get("app_quit")
        if value not in (True, 1):
            raise RestError("QUIT_FAIL, app_quit is not true", HTTPStatus.BAD_REQUEST)
        sources.quit()
        return "QUIT_SUCCESS"
    return _stream(sources, path, request)


def _stream(sources: Sources, path: str, request: dict[str, Any]) -> str:
    """As in DeepStream, ``change`` says what is to be done, not the path."""
    word = "STREAM_ADD" if path.endswith("add") else "STREAM_REMOVE"
    value = request.get("value", request.get("event"))
    if not isinstance(value, Mapping):
        raise RestError(f"{word}_FAIL, value is no JSON object", HTTPStatus.BAD_REQUEST)
    change = str(value.get("change", ""))
    adds = "add" in change or "streaming" in change
    if not adds and "remove" not in change:
        raise RestError("Sensor API change string not supported", HTTPStatus.BAD_REQUEST)
    word = "STREAM_ADD" if adds else "STREAM_REMOVE"
    uri, sensor_id = str(value.get("camera_url") or ""), str(value.get("camera_id") or "")
    if not uri:
        raise RestError(f"{word}_FAIL, Source url empty", HTTPStatus.BAD_REQUEST)
    if not sensor_id:
        raise RestError(f"{word}_FAIL, Source id empty", HTTPStatus.BAD_REQUEST)
    if adds:
        metadata = value.get("metadata")
        text = json.dumps(metadata) if metadata else ""
        sources.add_stream(sensor_id, str(value.get("camera_name") or ""), uri, text)
    else:
        sources.remove_stream(sensor_id, uri)
    return f"{word}_SUCCESS"


def _only(request: dict[str, Any], word: str) -> Mapping[str, Any]:
    """The object under the request's one key, whatever the key is."""
    found = next((value for value in request.values() if isinstance(value, Mapping)), None)
    if found is None:
        raise RestError(f"{word}, the request has no JSON object inside", HTTPStatus.BAD_REQUEST)
    return found


def _set(sources: Sources, setting: _Setting, request: dict[str, Any]) -> str:
    word = f"{setting.word}_UPDATE"
    fields = _only(request, f"{word}_FAIL")
    number = _number(fields, setting.field, word)
    if not setting.least <= number <= setting.most:
        text = f"{word}_FAIL, {setting.field} is {number}; Range: {setting.least} - {setting.most}"
        raise RestError(text, HTTPStatus.BAD_REQUEST)
    if setting.target == "nvinfer" and "stream_id" in fields:
        stream = _number(fields, "stream_id", word)
        if all(one.source_id != stream for one in sources.streams()):
            raise RestError(f"{word}_FAIL, Unable to find stream id {stream}")
    setters: dict[str, Callable[[], None]] = {
        "source": lambda: sources.set_source(_number(fields, "stream_id", word), setting.name, number),
        "muxer": lambda: sources.set_muxer(setting.name, number),
    }
    try:
        setters.get(setting.target, lambda: sources.set_downstream(setting.target, setting.name, number))()
    except RestError as error:
        text = str(error)
        raise RestError(text if text.startswith(word) else f"{word}_FAIL, {text}", error.code) from None
    return f"{word}_SUCCESS"


def _number(fields: Mapping[str, Any], name: str, word: str) -> int:
    try:
        return int(fields[name])
    except (KeyError, TypeError, ValueError):
        text = f"{word}_FAIL, {name} is {json.dumps(fields.get(name))}, not a whole number"
        raise RestError(text, HTTPStatus.BAD_REQUEST) from None
