"""nvmultiurisrcbin: files by a list of URIs, batched, and its REST server."""

from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ..rtsp import free_port, live, rtsp_server
from .pipelines import Gst, drain, pad_of, play, playing, watch
from .test_reconnect import until


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clips") / "a.mkv"
    outcome = play(
        "videotestsrc num-buffers=8 ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc ! matroskamux ! "
        f"filesink location={file}"
    )
    assert outcome.ok, outcome
    return file


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clips") / "b.mkv"
    outcome = play(
        "videotestsrc num-buffers=50 ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc key-int-max=10 "
        f"tune=zerolatency ! matroskamux ! filesink location={file}"
    )
    assert outcome.ok, outcome
    return file


def test_sources_of_the_list_are_one_batch_each(clip: Path) -> None:
    uri = clip.as_uri()
    pipeline = Gst.parse_launch(
        f"nvmultiurisrcbin name=s port=0 uri-list={uri},{uri},{uri} sensor-id-list=a,b,c width=32 height=24 "
        "batched-push-timeout=40000 file-loop=false ! fakesink name=out"
    )
    seen: Counter[int] = Counter()
    sizes: set[tuple[int, int]] = set()

    def look(batch: Any, buffer: Any) -> None:
        seen.update(frame.source_id for frame in batch.meta.frames)
        sizes.update((surface.width, surface.height) for surface in batch.surfaces)

    watch(pad_of(pipeline, "out:sink"), look)
    for _ in range(2):  # and once more after NULL
        seen.clear()
        with playing(pipeline):
            outcome = drain(pipeline)
        assert outcome.ok, outcome
        assert seen == {0: 8, 1: 8, 2: 8} and sizes == {(32, 24)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sensor-id-list=a", "sensor-id-list has 1 entries, uri-list 2; they go in pairs"),
        ("max-batch-size=1", "uri-list has 2 entries, max-batch-size is 1"),
        ("sensor-id-list=a,a", "sensor-id-list has a twice; ids are unique"),
        ("port=many", "port is 'many'; it is a number up to 65535, or 0 for no REST server"),
        ("mode=audio", "mode=1 (audio) is not supported"),
    ],
)
def test_lists_that_do_not_fit(settings: str, message: str) -> None:
    outcome = play(f"nvmultiurisrcbin uri-list=file:///a,file:///b {settings} ! fakesink")
    assert len(outcome.errors) == 1 and message in outcome.errors[0]


class Rest:
    """Talks to a bin's REST server."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        try:
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def change(self, what: str, camera: str, uri: str) -> tuple[int, str]:
        """``stream/add`` or ``stream/remove`` in the documented form: HTTP status and reason."""
        value = {
            "camera_id": camera,
            "camera_name": f"name of {camera}",
            "camera_url": uri,
            "change": f"camera_{what}",
            "metadata": {"resolution": "64 x48", "codec": "h264", "framerate": 25},
        }
        headers = {"source": "vst", "created_at": "2021-06-01T14:34:13.417Z"}
        code, answer = self.ask("POST", f"/api/v1/stream/{what}", {"key": "sensor", "value": value, "headers": headers})
        assert answer["status"].startswith(f"HTTP/1.1 {code} ")
        return code, answer["reason"]

    def cameras(self) -> dict[int, str]:
        """Source id -> camera id of ``get-stream-info``."""
        code, answer = self.ask("GET", "/api/v1/stream/get-stream-info")
        info = answer["stream-info"]
        assert code == 200 and info["stream-count"] == len(info["stream-info"])
        return {one["source_id"]: one["camera_id"] for one in info["stream-info"]}


class Player:
    """A pipeline of an nvmultiurisrcbin, the frames that come out and what its bus says of streams."""

    def __init__(self, settings: str, sync: bool = True) -> None:
        self.rest = Rest(free_port())
        self.pipeline = Gst.parse_launch(
            f"nvmultiurisrcbin name=s port={self.rest.port} width=32 height=24 batched-push-timeout=40000 {settings} ! "
            f"nvdsosd name=osd ! fakesink name=out sync={str(sync).lower()} async=false"
        )
        seen = self.seen = Counter[int]()
        self.messages: list[tuple[str, int, str, str, str]] = []
        watch(
            pad_of(self.pipeline, "out:sink"),
            lambda batch, buffer: seen.update(frame.source_id for frame in batch.meta.frames),
        )

    def listen(self, seconds: float = 0.05) -> list[str]:
        """Collect messages; returns the warnings."""
        bus, warnings = self.pipeline.get_bus(), []
        kinds = Gst.MessageType.ELEMENT | Gst.MessageType.WARNING | Gst.MessageType.ERROR | Gst.MessageType.EOS
        while (message := bus.timed_pop_filtered(int(seconds * Gst.SECOND), kinds)) is not None:
            structure = message.get_structure()
            if message.type == Gst.MessageType.WARNING:
                warnings.append(message.parse_warning()[0].message)
            elif message.type == Gst.MessageType.ELEMENT and structure.get_name() in ("stream-add", "stream-remove"):
                texts = [structure.get_string(name) for name in ("sensor-id", "sensor-name", "uri")]
                self.messages.append((structure.get_name(), structure.get_uint("source-id")[1], *texts))
            elif message.type in (Gst.MessageType.ERROR, Gst.MessageType.EOS) or structure.get_name().startswith(
                "force"
            ):
                self.messages.append((message.type.first_value_nick, -1, "", "", ""))
        return warnings


def test_sources_come_and_go_by_rest(long_clip: Path) -> None:
    uri = long_clip.as_uri()
    player = Player(f"uri-list={uri} sensor-id-list=first sensor-name-list=door file-loop=true max-batch-size=3")
    rest = player.rest
    with playing(player.pipeline):
        assert until(lambda: player.seen[0] > 5), player.listen()
        assert rest.change("add", "second", uri) == (200, "STREAM_ADD_SUCCESS")
        assert until(lambda: player.seen[1] > 5), player.listen()
        assert rest.change("add", "third", uri)[0] == 200
        assert rest.cameras() == {0: "first", 1: "second", 2: "third"}
        assert rest.change("add", "fourth", uri) == (
            500,
            "STREAM_ADD_FAIL, Active sources exceded max-batch-size of nvstreammux",
        )
        before = player.seen[0]
        assert rest.change("remove", "second", uri) == (200, "STREAM_REMOVE_SUCCESS")
        gone = player.seen[1]
        assert until(lambda: player.seen[0] > before + 10) and player.seen[1] <= gone + 1
        assert rest.change("remove", "second", uri) == (
            500,
            "STREAM_REMOVE_FAIL, No record found. Failed to remove source stream",
        )
        assert rest.change("add", "first", uri)[1] == "STREAM_ADD_FAIL, Duplicate Camera id, unable to add stream"
        for camera in ("first", "third"):
            assert rest.change("remove", camera, uri)[0] == 200
        assert rest.cameras() == {}
        assert rest.change("add", "again", uri)[0] == 200  # all were gone, and the pipeline goes on
        index = next(iter(rest.cameras()))
        before = player.seen[index]
        assert until(lambda: player.seen[index] > before + 5), player.listen()
        assert player.pipeline.get_state(0)[1] == Gst.State.PLAYING
        assert player.listen() == []
    assert player.messages[:3] == [
        ("stream-add", 0, "first", "door", uri),
        ("stream-add", 1, "second", "name of second", uri),
        ("stream-add", 2, "third", "name of third", uri),
    ]
    assert [(name, sensor) for name, _, sensor, _, _ in player.messages[3:]] == [
        ("stream-remove", "second"), ("stream-remove", "first"), ("stream-remove", "third"), ("stream-add", "again")
    ]  # fmt: skip


def test_a_pipeline_may_begin_without_sources(clip: Path) -> None:
    player = Player("drop-pipeline-eos=true")
    with playing(player.pipeline):
        for number in (1, 2):
            code, reason = player.rest.change("add", "only", clip.as_uri())
            assert (code, reason) == (200, "STREAM_ADD_SUCCESS"), player.listen()
            assert until(lambda number=number: sum(player.seen.values()) == 8 * number), (player.seen, player.listen())  # type: ignore[misc]
            assert until(lambda: player.rest.cameras() == {}), "a source that has ended leaves"
        assert player.listen() == []
    kinds = [name for name, *_ in player.messages]
    assert kinds == ["stream-add", "stream-remove"] * 2  # and no end of stream


def test_a_broken_source_does_not_end_the_others(clip: Path, tmp_path: Path) -> None:
    missing = (tmp_path / "none.mp4").as_uri()
    player = Player(f"uri-list={missing},{clip.as_uri()} sensor-id-list=a,b")
    with playing(player.pipeline):
        assert until(lambda: player.seen[1] == 8), (player.seen, player.listen())
        assert until(lambda: player.rest.cameras() == {})
        warnings = player.listen()
    assert len(warnings) == 1 and missing in warnings[0] and "source 0 a is removed" in warnings[0], warnings
    assert [name for name, *_ in player.messages].count("eos") == 1


def test_a_broken_source_alone_without_rest_is_an_error(tmp_path: Path) -> None:
    outcome = play(f"nvmultiurisrcbin port=0 uri-list={(tmp_path / 'none.mp4').as_uri()} ! fakesink")
    assert outcome.end == "error" and "none.mp4" in outcome.errors[0]


def test_state_and_version(clip: Path) -> None:
    player = Player(f"uri-list={clip.as_uri()} file-loop=true")
    rest = player.rest
    with playing(player.pipeline):
        assert until(lambda: player.seen[0] > 3)
        for path, key, inner in (
            ("/api/v1/health/get-dsready-state", "health-info", "ds-ready"),
            ("/api/v1/ready", "ready-info", "ds-ready"),
            ("/live", "live-info", "ds-liveness"),
            ("/api/v1/startup", "startup-info", "ds-startup"),
        ):
            code, answer = rest.ask("GET", path)
            assert (code, answer["status"], answer[key]) == (200, "HTTP/1.1 200 OK", {inner: "YES"})
        assert "v1" in rest.ask("GET", "/version")[1]["version"]
    with pytest.raises(OSError):
        rest.ask("GET", "/live")


def test_settings_by_rest(long_clip: Path) -> None:
    player = Player(f"uri-list={long_clip.as_uri()} file-loop=true")

    def setting(path: str, **fields: object) -> tuple[int, str]:
        code, answer = player.rest.ask("POST", f"/api/v1/{path}", {"stream": fields})
        return code, answer["reason"]

    with playing(player.pipeline):
        assert until(lambda: player.seen[0] > 3)
        start, count = time.monotonic(), player.seen[0]
        assert setting("dec/drop-frame-interval", stream_id="0", drop_frame_interval=5) == (
            200,
            "DROP_FRAME_INTERVAL_UPDATE_SUCCESS",
        )
        time.sleep(1.5)
        rate = (player.seen[0] - count) / (time.monotonic() - start)
        assert rate < 12  # of 25
        assert setting("dec/skip-frames", stream_id="7", skip_frames=2) == (
            500,
            "SKIP_FRAMES_UPDATE_FAIL, Unable to find stream id 7",
        )
        code, reason = setting("dec/drop-frame-interval", stream_id="0", drop_frame_interval=31)
        assert code == 400 and "Range: 0 - 30" in reason
        assert setting("mux/batched-push-timeout", batched_push_timeout=1000)[0] == 200
        assert player.pipeline.get_by_name("s").get_property("batched-push-timeout") == 1000
        assert setting("osd/process-mode", stream_id="0", process_mode=0) == (200, "PROCESS_MODE_UPDATE_SUCCESS")
        assert player.pipeline.get_by_name("osd").get_property("process-mode") == 0
        assert setting("infer/set-interval", stream_id="0", interval=4) == (
            500,
            "INFER_INTERVAL_UPDATE_FAIL, the pipeline has no nvinfer",
        )
        code, reason = setting("roi/update", stream_id="0")
        assert code == 501 and reason == "ROI_UPDATE_FAIL, there is no nvdspreprocess"
        assert setting("app/quit", app_quit=True) == (200, "QUIT_SUCCESS")
        player.listen()
    assert "eos" in [name for name, *_ in player.messages]


def test_requests_that_make_no_sense(clip: Path) -> None:
    player = Player(f"uri-list={clip.as_uri()} file-loop=true")
    ask = player.rest.ask
    value = {"camera_id": "x", "camera_url": "file:///x", "change": "camera_add"}
    with playing(player.pipeline):
        for method, path, body, code, reason in (
            ("GET", "/api/v1/stream/add", None, 405, "takes POST, not GET"),
            ("POST", "/api/v1/stream/get-stream-info", {}, 405, "takes GET, not POST"),
            ("GET", "/api/v2/stream/add", None, 404, "no such request"),
            ("GET", "/", None, 404, "no such request"),
            ("POST", "/api/v1/stream/add", b"{not json", 400, "the request is not JSON"),
            ("POST", "/api/v1/stream/add", [1], 400, "the request is not a JSON object"),
            ("POST", "/api/v1/stream/add", {"key": "sensor"}, 400, "STREAM_ADD_FAIL, value is no JSON object"),
            ("POST", "/api/v1/stream/add", {"value": {**value, "camera_url": ""}}, 400, "FAIL, Source url empty"),
            ("POST", "/api/v1/stream/add", {"value": {**value, "camera_id": ""}}, 400, "FAIL, Source id empty"),
            ("POST", "/api/v1/stream/add", {"value": {**value, "change": "x"}}, 400, "change string not supported"),
            ("POST", "/api/v1/stream/add", {"value": {**value, "camera_url": "x"}}, 400, "x is no URI"),
            ("POST", "/api/v1/stream/add", b" " * (2 << 20), 413, "longer than"),
            ("PUT", "/api/v1/stream/add", {}, 405, "takes POST"),
        ):  # fmt: skip
            try:
                got, answer = ask(method, path, body)
            except ConnectionError:
                assert code == 413  # the server does not read so long a request
                continue
            assert got == code and reason in answer["reason"], (method, path, got, answer)
        assert player.listen() == []


def test_a_port_in_use_is_a_warning(clip: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = play(f"nvmultiurisrcbin name=s port={port} uri-list={clip.as_uri()} ! fakesink")
    assert outcome.ok and len(outcome.warnings) == 1
    assert f"s: no REST server on localhost port {port}: Address already in use; set port to" in outcome.warnings[0]


def test_stopping_while_requests_come(long_clip: Path) -> None:
    """A client that adds and removes does not hold up the end of the pipeline."""
    for _ in range(3):
        player = Player(f"uri-list={long_clip.as_uri()} file-loop=true", sync=False)
        stop = threading.Event()

        def torment(rest: Rest = player.rest, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                try:
                    rest.change("add", "x", long_clip.as_uri())
                    rest.change("remove", "x", long_clip.as_uri())
                except (OSError, http.client.HTTPException):
                    return

        threads = [threading.Thread(target=torment, daemon=True) for _ in range(2)]
        with playing(player.pipeline):
            assert until(lambda player=player: player.seen[0] > 3)  # type: ignore[misc]
            for thread in threads:
                thread.start()
            time.sleep(0.7)
            start = time.monotonic()
        assert time.monotonic() - start < 5
        stop.set()
        for thread in threads:
            thread.join(12)
            assert not thread.is_alive()


def test_the_bin_and_its_threads_go_away(clip: Path) -> None:
    threads = threading.active_count()
    player = Player(f"uri-list={clip.as_uri()},{clip.as_uri()}")
    seen, rest = player.seen, player.rest
    gone = threading.Event()
    player.pipeline.get_by_name("s").weak_ref(gone.set)
    with playing(player.pipeline):
        assert until(lambda: seen[0] == 8 and seen[1] == 8)
        assert until(lambda: rest.cameras() == {})
    del player
    gc.collect()
    assert gone.wait(2)
    assert until(lambda: threading.active_count() <= threads, 5)


def test_rtsp_sources(clip: Path) -> None:
    """One from the list, one by REST; when the server dies both leave after their attempts, and the file has played."""
    port = free_port()
    uri = f"rtsp://127.0.0.1:{port}/s0"
    with rtsp_server(live(), port):
        player = Player(
            f"uri-list={uri} sensor-id-list=a live-source=true drop-pipeline-eos=true select-rtp-protocol=4 latency=50 "
            "rtsp-reconnect-interval=1 rtsp-reconnect-attempts=1"
        )
        player.pipeline.set_state(Gst.State.PLAYING)
        assert until(lambda: player.seen[0] > 10), player.listen()
        assert player.rest.change("add", "b", uri)[0] == 200
        assert until(lambda: player.seen[1] > 10), player.listen()
        assert player.rest.change("add", "c", clip.as_uri())[0] == 200
        assert until(lambda: player.seen[2] == 8), player.listen()
        assert player.listen() == []
    assert until(lambda: player.rest.cameras() == {}), player.listen()
    warnings = player.listen()
    player.pipeline.set_state(Gst.State.NULL)
    assert len([text for text in warnings if "giving up" in text]) == 2, warnings
    left = [sensor for name, _, sensor, _, _ in player.messages if name == "stream-remove"]
    assert left[0] == "c" and sorted(left) == ["a", "b", "c"]
