"""nvurisrcbin's smart record: what is in the files, what the signals say, and that the stream is not disturbed."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from millrace.elements.recordcache import SECOND, Encoded, RecordCache, Timeline

from ..rtsp import free_port, rtsp_server
from .pipelines import Gst, drain, pad_of, play, playing, watch
from .test_reconnect import until

RATE = 20
CODECS = {
    "h264": ("x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10", "rtph264pay config-interval=0"),
    "h264b": ("x264enc speed-preset=ultrafast key-int-max=10 bframes=2", "rtph264pay config-interval=0"),
    "h265": ("x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10", "rtph265pay config-interval=0"),
}


@contextmanager
def server(port: int = 0, codec: str = "h264") -> Iterator[str]:
    encoder, payloader = CODECS[codec]
    launch = (
        "( videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48,framerate=20/1 ! "
        f"{encoder} ! {payloader} name=pay0 pt=96 "
        "audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=1 ! avenc_aac ! rtpmp4gpay name=pay1 pt=97 )"
    )
    with rtsp_server(launch, port) as (uri,):
        yield uri

@pytest.fixture(scope="module")
def rtsp() -> Iterator[str]:
    with server() as uri:
        yield uri


class Player:
    """A pipeline of one recording source, what it shows and what ``sr-done`` said."""

    def __init__(self, uri: str, folder: Path | str, more: str = "", sync: bool = False) -> None:
        self.pipeline = Gst.parse_launch(
            f"nvurisrcbin name=s uri={uri} smart-record=2 smart-rec-dir-path={folder} select-rtp-protocol=4 latency=50 "
            f"{more} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 live-source=true ! "
            f"fakesink name=out sync={str(sync).lower()}"
        )
        self.source = self.pipeline.get_by_name("s")
        self.frames: list[int] = []
        self.done: list[tuple[Any, Any]] = []
        watch(pad_of(self.pipeline, "out:sink"), lambda batch, buffer: self.frames.append(buffer.pts))
        self.source.connect("sr-done", self._on_done)

    def _on_done(self, _source: Any, info: Any, user: Any) -> None:
        self.done.append((info, user))

    def wait_frames(self, number: int) -> None:
        assert until(lambda: len(self.frames) >= number), drain(self.pipeline, 0.1)

    def wait_done(self, number: int = 1) -> Any:
        assert until(lambda: len(self.done) >= number), drain(self.pipeline, 0.1)
        return self.done[number - 1][0]


def contents(path: Path | str) -> dict[str, Any]:
    """What a player finds in a file: decoded frames, whether their times go up, length in seconds, streams."""
    pipeline = Gst.Pipeline.new(None)
    decode = Gst.ElementFactory.make("uridecodebin")
    decode.set_property("uri", Path(path).absolute().as_uri())
    pipeline.add(decode)
    stamps: dict[str, list[int]] = {}
    caps: dict[str, str] = {}

    def added(_bin: Any, pad: Gst.Pad) -> None:
        kind = pad.query_caps(None).get_structure(0).get_name().partition("/")[0]
        caps[kind] = pad.get_current_caps().to_string()
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("sync", False)
        pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

        def note(_pad: Any, info: Any) -> Gst.PadProbeReturn:
            stamps.setdefault(kind, []).append(info.get_buffer().pts)
            return Gst.PadProbeReturn.OK

        pad.add_probe(Gst.PadProbeType.BUFFER, note)

    decode.connect("pad-added", added)
    with playing(pipeline):
        outcome = drain(pipeline, 10)
        found, length = pipeline.query_duration(Gst.Format.TIME)
    assert outcome.end == "eos", (path, outcome)
    assert found
    video = stamps.get("video", [])
    assert video == sorted(set(video)), "frames out of order"
    return {"video": len(video), "audio": len(stamps.get("audio", [])), "seconds": length / SECOND, "caps": caps}


@pytest.mark.parametrize(("container", "extension"), [(0, "mp4"), (1, "mkv")])
def test_history_and_duration(rtsp: str, tmp_path: Path, container: int, extension: str) -> None:
    """The file begins before start-sr, ends by itself, and says in sr-done what it is."""
    player = Player(rtsp, tmp_path, f"smart-rec-container={container} smart-rec-cache=5 source-id=3")
    event = {"camera": "gate"}
    session = ctypes.c_uint32(77)
    with playing(player.pipeline):
        player.wait_frames(3 * RATE)
        player.source.emit("start-sr", session, 2, 2, event)
        assert player.source.get_property("smart-rec-status")
        info = player.wait_done()
        assert not player.source.get_property("smart-rec-status")
        outcome = drain(player.pipeline, 0.1)
    assert session.value == 0 and player.done[0][1] is event
    assert outcome.warnings == [], outcome
    assert re.fullmatch(rf"Smart_Record_3_\d{{5}}_\d{{8}}-\d{{6}}_{os.getpid()}\.{extension}", info.filename)
    assert info.dirpath == str(tmp_path) and info.containerType == container
    assert (info.width, info.height, info.containsVideo, info.containsAudio) == (64, 48, True, False)
    assert 3300 <= info.duration <= 4200  # from the first key frame of the last 2 s to 2 s later
    found = contents(tmp_path / info.filename)
    assert abs(found["seconds"] * 1000 - info.duration) < 120
    assert abs(found["video"] - found["seconds"] * RATE) <= 8  # a young RTSP stream's clock still swings in
    assert player.frames == sorted(set(player.frames))


def test_stop_ends_it_and_the_next_one_follows(rtsp: str, tmp_path: Path) -> None:
    player = Player(rtsp, tmp_path, "smart-rec-file-prefix=door smart-rec-cache=3")
    with playing(player.pipeline):
        player.wait_frames(RATE)
        for number in (1, 2):
            player.source.emit("start-sr", None, 1, 60, None)
            player.source.emit("start-sr", None, 1, 60, None)  # there is one already
            player.wait_frames(len(player.frames) + RATE)
            player.source.emit("stop-sr", 0)
            player.wait_done(number)
        outcome = drain(player.pipeline, 0.1)
    assert len([text for text in outcome.warnings if "start-sr does nothing until" in text]) == 2, outcome
    names = [info.filename for info, _ in player.done]
    assert len(set(names)) == 2 and sorted(os.listdir(tmp_path)) == sorted(names)
    for name in names:
        assert name.startswith("door_-1_") and 0.9 <= contents(tmp_path / name)["seconds"] <= 3


@pytest.mark.parametrize("codec", ["h265", "h264b"])
def test_other_streams(tmp_path: Path, codec: str) -> None:
    """H.265, and H.264 with B-frames, whose decoding times RTSP does not carry."""
    with server(codec=codec) as uri:
        player = Player(uri, tmp_path, "smart-rec-cache=5")
        with playing(player.pipeline):
            player.wait_frames(2 * RATE)
            player.source.emit("start-sr", None, 1, 1, 5)
            info = player.wait_done()
    assert player.done[0][1] == 5
    found = contents(tmp_path / info.filename)
    assert found["video"] >= RATE and abs(found["video"] - found["seconds"] * RATE) <= 8, found


def test_audio(rtsp: str, tmp_path: Path) -> None:
    player = Player(rtsp, tmp_path, "disable-audio=false smart-rec-cache=5")

    def added(source: Gst.Element, pad: Gst.Pad) -> None:
        if pad.get_name().startswith("asrc_"):
            sink = Gst.ElementFactory.make("fakesink")
            player.pipeline.add(sink)
            sink.sync_state_with_parent()
            pad.link(sink.get_static_pad("sink"))

    player.source.connect("pad-added", added)
    with playing(player.pipeline):
        player.wait_frames(2 * RATE)
        player.source.emit("start-sr", None, 1, 1, None)
        info = player.wait_done()
    assert (info.containsVideo, info.containsAudio, info.channels, info.samplingRate) == (True, True, 1, 44100)
    found = contents(tmp_path / info.filename)
    assert found["video"] >= RATE and found["audio"] >= 40 and "audio" in found["caps"], found


def test_a_pipeline_that_stops_completes_its_file(rtsp: str, tmp_path: Path) -> None:
    player = Player(rtsp, tmp_path, "smart-rec-cache=5")
    with playing(player.pipeline):
        player.wait_frames(RATE)
        player.source.emit("start-sr", None, 1, 60, None)
        player.wait_frames(2 * RATE)
    assert len(player.done) == 1
    assert contents(tmp_path / player.done[0][0].filename)["seconds"] > 1


def test_reconnection_within_a_recording(tmp_path: Path) -> None:
    port = free_port()
    player = Player(f"rtsp://127.0.0.1:{port}/s0", tmp_path, "smart-rec-cache=5 rtsp-reconnect-interval=1")
    with playing(player.pipeline):
        with server(port):
            player.wait_frames(RATE)
            player.source.emit("start-sr", None, 1, 12, None)
        count = len(player.frames)
        with server(port):
            player.wait_frames(count + RATE)
            player.source.emit("stop-sr", 0)
            info = player.wait_done()
    found = contents(tmp_path / info.filename)
    assert found["video"] >= RATE + 10 and found["seconds"] > 2.5  # the interruption took its time


def test_a_source_that_dies_does_not_hold_the_file_open(tmp_path: Path) -> None:
    port = free_port()
    player = Player(f"rtsp://127.0.0.1:{port}/s0", tmp_path, "smart-rec-cache=5 rtsp-reconnect-interval=60")
    with server(port):
        player.pipeline.set_state(Gst.State.PLAYING)
        player.wait_frames(RATE)
        player.source.emit("start-sr", None, 1, 2, None)
    info = player.wait_done()
    player.pipeline.set_state(Gst.State.NULL)
    assert contents(tmp_path / info.filename)["video"] > 5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a.mp4"
    outcome = play(
        "videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=64,height=48,framerate=20/1 ! "
        f"x264enc key-int-max=10 bframes=2 ! h264parse ! mp4mux ! filesink location={path}"
    )
    assert outcome.ok, outcome
    return path


def test_a_file_that_starts_over(clip: Path, tmp_path: Path) -> None:
    player = Player(clip.as_uri(), tmp_path, "file-loop=true smart-rec-cache=5 smart-rec-default-duration=5", sync=True)
    with playing(player.pipeline):
        player.wait_frames(10)
        player.source.emit("start-sr", None, 0, 0, None)
        info = player.wait_done()
    found = contents(tmp_path / info.filename)
    assert 4 <= found["seconds"] <= 7 and abs(found["video"] - found["seconds"] * RATE) <= 5, found


@pytest.mark.parametrize("trouble", ["missing", "file"])
def test_a_folder_that_cannot_be_written(clip: Path, tmp_path: Path, trouble: str) -> None:
    folder = tmp_path / trouble
    if trouble == "file":
        folder.write_text("")
    player = Player(clip.as_uri(), folder, sync=True)
    with playing(player.pipeline):
        player.wait_frames(5)
        player.source.emit("start-sr", None, 0, 1, object())
        outcome = drain(player.pipeline)
    assert outcome.end == "eos" and len(player.frames) == 60, outcome
    assert outcome.warnings[0] == f"s: smart-rec-dir-path {folder} does not exist; create it, or nothing is recorded"
    assert outcome.warnings[1].startswith(f"s: smart record: cannot write {folder}/Smart_Record_-1_")
    mend = "create the folder" if trouble == "missing" else "is no folder"
    assert mend in outcome.warnings[1] and "smart-rec-dir-path" in outcome.warnings[1]
    assert player.done == []


def test_a_disk_that_is_full(clip: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: writing fails in the midst of the recording."""
    player = Player(clip.as_uri(), tmp_path, "smart-rec-container=1", sync=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with playing(player.pipeline):
            player.wait_frames(5)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
            player.source.emit("start-sr", None, 0, 10, None)
            outcome = drain(player.pipeline)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.end == "eos" and len(player.frames) == 60, outcome
    assert len(outcome.warnings) == 1 and "s: smart record: " in outcome.warnings[0], outcome
    assert str(tmp_path) in outcome.warnings[0] and "riting to file" in outcome.warnings[0]
    assert player.done == []


def test_without_smart_record_start_is_a_warning(clip: Path, tmp_path: Path) -> None:
    pipeline = Gst.parse_launch(f"nvurisrcbin name=s uri={clip.as_uri()} ! fakesink name=out sync=false")
    source = pipeline.get_by_name("s")
    with playing(pipeline):
        source.emit("start-sr", None, 0, 1, None)
        source.emit("stop-sr", 0)
        outcome = drain(pipeline)
    assert outcome.end == "eos" and len(outcome.warnings) == 1 and "smart-record=1 or 2" in outcome.warnings[0]


def test_c_pointers(clip: Path, tmp_path: Path) -> None:
    """Capsules, ctypes pointers and a handler that casts the address itself: as code for DeepStream has to do it."""

    class Info(ctypes.Structure):
        _fields_ = (("ctx", ctypes.c_void_p), ("sessionId", ctypes.c_uint32), ("filename", ctypes.c_char_p))

    names: list[bytes] = []
    player = Player(clip.as_uri(), tmp_path)

    def note(_source: Any, info: Any, _user: Any) -> None:
        names.append(Info.from_address(hash(info)).filename)

    player.source.connect("sr-done", note)
    Gst.Bin.connect(player.source, "sr-done", note)  # as GObject hands it to C
    session, other = ctypes.c_uint32(9), ctypes.c_uint32(9)
    with playing(player.pipeline):
        player.wait_frames(5)
        player.source.emit("start-sr", ctypes.byref(session), 0, 1, None)
        player.wait_done()
        player.source.emit("start-sr", ctypes.pointer(other), 0, 1, None)
        with pytest.raises(TypeError, match="ctypes"):
            player.source.emit("start-sr", "session", 0, 1, None)
    assert session.value == other.value == 0
    assert [name.decode() for name in names[:2]] == [player.done[0][0].filename] * 2


def test_the_cache_begins_with_a_key_frame_and_is_no_longer_than_it_should() -> None:
    cache = RecordCache(2)
    for number in range(100):
        at = number * SECOND // 10
        cache.add(Encoded("video", at, 0, number % 15 == 0, False, "f", number))
    assert 5 <= len(cache) <= 21
    assert cache.history(2)[0].data % 15 == 0 and cache.history(2)[-1].data == 99
    assert [frame.data for frame in cache.history(1)] == list(range(90, 100))
    assert cache.history(0) == []


def test_the_timeline_goes_on_when_a_source_starts_again() -> None:
    line = Timeline()
    assert [line.place(7 * SECOND), line.place(7 * SECOND + SECOND // 2)] == [0, SECOND // 2]
    assert line.place(0) == SECOND  # started over: one step later
    assert line.place(SECOND // 2) == SECOND * 3 // 2
    assert line.place(3600 * SECOND) == 2 * SECOND  # a seek
    assert line.place(3600 * SECOND - SECOND // 4) == 2 * SECOND - SECOND // 4  # another order is no new start


def test_recorders_go_away(clip: Path, tmp_path: Path) -> None:
    """Neither threads nor the element stay, though it recorded to the end."""
    before = threading.active_count()
    pipeline = Gst.parse_launch(
        f"nvurisrcbin name=s uri={clip.as_uri()} smart-record=1 smart-rec-dir-path={tmp_path} ! fakesink sync=true"
    )
    gone = threading.Event()
    pipeline.get_by_name("s").weak_ref(gone.set)
    with playing(pipeline):
        time.sleep(0.5)
        pipeline.get_by_name("s").emit("start-sr", None, 0, 100, {"some": "data"})
        assert drain(pipeline).end == "eos"
    assert len(os.listdir(tmp_path)) == 1
    del pipeline
    gc.collect()
    assert gone.wait(2)
    assert until(lambda: threading.active_count() <= before, 5)
