"""Elements go when their pipeline goes; pipelines stop, seek and start again; nothing is said on stderr."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from .pipelines import NVMM, Gst, drain, numbered, pad_of, play, playing, watch

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

FULL = (
    "nvstreammux name=m batch-size=2 width=64 height=48 batched-push-timeout=40000 ! nvtracker name=tr ! "
    "nvmultistreamtiler name=t rows=1 columns=2 width=128 height=48 ! nvvideoconvert name=c ! nvdsosd name=o ! "
    f"nvvideoconvert ! {NVMM},format=I420 ! tee name=tee tee. ! queue ! nvv4l2h264enc name=e ! "
    "h264parse ! fakesink sync=false "
    "tee. ! queue ! nveglglessink name=s sync=false async=false "
    "videotestsrc num-buffers={frames} ! x264enc tune=zerolatency ! nvv4l2decoder name=d ! m.sink_0 "
    "videotestsrc num-buffers={frames} ! nvvideoconvert ! m.sink_1"
)
NAMES = ("m", "tr", "t", "c", "o", "e", "s", "d")


def test_elements_are_finalized() -> None:
    pipeline = Gst.parse_launch(FULL.format(frames=5))
    refs = [weakref.ref(pipeline)] + [weakref.ref(pipeline.get_by_name(name)) for name in NAMES]
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    del pipeline
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


def test_a_released_pad_is_freed() -> None:
    """Only the test holds it after its release."""
    muxer = Gst.ElementFactory.make("nvstreammux")
    holder = Gst.Pipeline()
    holder.add(muxer)
    pad = muxer.request_pad_simple("sink_0")
    muxer.release_request_pad(pad)
    assert pad.__grefcount__ == 1


def test_elements_never_used_are_finalized() -> None:
    refs = []
    holder = Gst.Pipeline()
    for name in ("nvstreammux", "nvvideoconvert", "nvv4l2decoder", "nvdsosd", "nvmultistreamtiler", "nvurisrcbin",
                 "nvv4l2h264enc", "nv3dsink", "nvtracker", "nvinfer"):  # fmt: skip
        element = Gst.ElementFactory.make(name)
        holder.add(element)
        refs.append((name, weakref.ref(element)))
        del element
    del holder
    gc.collect()
    assert [name for name, ref in refs if ref() is not None] == []


LEAK = """
import gc, sys, threading
from tests.elements.pipelines import play, resident
for number in range(100):
    outcome = play(sys.argv[1])
    assert outcome.ok, outcome
    if number % 10 == 9:
        size = resident()
        print(size, threading.active_count(), len(gc.get_objects()))
"""


def test_100_pipelines_leave_memory_flat(tmp_path: Path) -> None:
    description = FULL.format(frames=2).replace("nvv4l2h264enc name=e ! h264parse", "identity")
    # one arena: with one for each thread, what malloc keeps varies by more than a leak would be
    done = tool(tmp_path, "env", "MALLOC_ARENA_MAX=1", sys.executable, "-c", LEAK, description)
    assert done.returncode == 0, done
    sizes, threads, objects = zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert sizes[-1] - sizes[4] < 8_000_000, sizes
    assert threads[-1] == 1
    assert max(objects[3:]) - min(objects[3:]) < 200, objects


def test_start_and_stop_again() -> None:
    pipeline = Gst.parse_launch(FULL.format(frames=8))
    numbers: list[int] = []
    watch(pad_of(pipeline, "m:src"), lambda batch, _buf: numbers.extend(f.frame_num for f in batch.meta.frames))
    for _ in range(3):
        numbers.clear()
        with playing(pipeline):
            outcome = drain(pipeline)
        assert outcome.ok, outcome
        assert sorted(numbers) == sorted([*range(8), *range(8)])


@pytest.mark.parametrize("state", ["PAUSED", "READY"])
def test_pause_and_go_on(state: str) -> None:
    pipeline = Gst.parse_launch(FULL.format(frames=20))
    for target in ("PAUSED", "PLAYING", state, "PLAYING"):
        pipeline.set_state(getattr(Gst.State, target))
        change, now, _ = pipeline.get_state(5 * Gst.SECOND)
        assert change != Gst.StateChangeReturn.FAILURE and now == getattr(Gst.State, target)
    outcome = drain(pipeline)
    pipeline.set_state(Gst.State.NULL)
    assert outcome.ok, outcome


@pytest.mark.parametrize("wait", [0.0, 0.005, 0.02, 0.1])
def test_stop_in_the_middle(wait: float) -> None:
    pipeline = Gst.parse_launch(FULL.format(frames=-1))
    for _ in range(3):
        pipeline.set_state(Gst.State.PLAYING)
        time.sleep(wait)
        began = time.monotonic()
        pipeline.set_state(Gst.State.NULL)
        assert time.monotonic() - began < 2


def test_stop_while_downstream_blocks() -> None:
    """The muxer's thread waits in a sink without a running clock."""
    pipeline = Gst.parse_launch(
        f"{numbered(-1)} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! fakesink sync=true"
    )
    pipeline.set_state(Gst.State.PAUSED)
    pipeline.get_state(2 * Gst.SECOND)
    time.sleep(0.05)
    began = time.monotonic()
    pipeline.set_state(Gst.State.NULL)
    assert time.monotonic() - began < 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seek") / "clip.mp4"
    outcome = play(
        "videotestsrc num-buffers=100 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! "
        f"x264enc key-int-max=25 tune=zerolatency ! h264parse ! mp4mux ! filesink location={path}"
    )
    assert outcome.ok, outcome
    return path


@pytest.mark.parametrize("middle", ["", "queue !", "nvtracker ! queue !"])
def test_seek_while_playing(clip: Path, middle: str) -> None:
    """A flushing seek back to the start: all frames come again, to the end."""
    pipeline = Gst.parse_launch(
        f"uridecodebin uri=file://{clip} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! {middle} "
        "nvvideoconvert ! fakesink name=out sync=false"
    )
    stamps: list[int] = []
    reached = threading.Event()

    def look(batch: Any, _buffer: Any) -> None:
        stamps.append(batch.meta.frames[0].buf_pts)
        if len(stamps) == 40:
            reached.set()
        if len(stamps) == 45:
            time.sleep(0.2)  # let the seek come in the middle

    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        assert reached.wait(5)
        assert pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT, 0)
        outcome = drain(pipeline, 10)
    assert outcome.ok, (outcome, len(stamps))
    assert stamps[-100:] == [n * 40_000_000 for n in range(100)]
    assert len(stamps) < 160


def test_seek_with_two_sources(clip: Path) -> None:
    pipeline = Gst.parse_launch(
        "nvstreammux name=m batch-size=2 width=64 height=48 ! queue ! fakesink name=out sync=false "
        f"uridecodebin uri=file://{clip} ! m.sink_0 uridecodebin uri=file://{clip} ! m.sink_1"
    )
    rows: list[tuple[int, int]] = []
    reached = threading.Event()

    def look(batch: Any, _buffer: Any) -> None:
        rows.extend((frame.pad_index, frame.buf_pts) for frame in batch.meta.frames)
        if len(rows) > 40:
            reached.set()
            time.sleep(0.002)

    watch(pad_of(pipeline, "out:sink"), look)
    with playing(pipeline):
        assert reached.wait(5)
        assert pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT, 0)
        outcome = drain(pipeline, 10)
    assert outcome.ok, (outcome, len(rows))
    for source in (0, 1):
        assert [pts for index, pts in rows if index == source][-100:] == [n * 40_000_000 for n in range(100)]


def environment(tmp_path: Path) -> dict[str, str]:
    """What ``millrace env`` sets up, with a registry of its own."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    environ = {
        **os.environ,
        "GST_REGISTRY": str(tmp_path / "registry.bin"),
        "GST_PLUGIN_PATH": str(SRC / "millrace" / "elements" / "plugin"),
        "PYTHONPATH": os.pathsep.join([str(SRC), str(ROOT), *packages]),
    }
    environ.pop("GST_DEBUG", None)
    return environ


def tool(tmp_path: Path, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )


def assert_silent(text: str) -> None:
    for word in ("CRITICAL", "WARNING", "Traceback", "Segmentation", "assertion"):
        assert word not in text, text


SCRIPT = """
import sys
from millrace.elements import register
register()
from gi.repository import Gst
for description in sys.argv[1:]:
    pipeline = Gst.parse_launch(description)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(20 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    print(message.type.first_value_nick if message else "timeout")
    pipeline.set_state(Gst.State.NULL)
"""


def test_nothing_on_stderr(clip: Path, tmp_path: Path) -> None:
    descriptions = [
        FULL.format(frames=5),
        f"nvurisrcbin uri=file://{clip} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! fakesink",
        f"{numbered(5)} ! nvv4l2h264enc ! h264parse ! mp4mux ! filesink location={tmp_path}/out.mp4",
    ]
    done = tool(tmp_path, sys.executable, "-c", SCRIPT, *descriptions)
    assert done.stdout.split() == ["eos"] * 3, done
    assert done.returncode == 0
    assert_silent(done.stderr)


def test_plugin_path_and_register_together(tmp_path: Path) -> None:
    """A Python program in a shell that ``millrace env`` has set up."""
    script = (
        "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None);"
        "a = Gst.ElementFactory.make('nvstreammux'); from millrace.elements import register; register(); register();"
        "b = Gst.ElementFactory.make('nvstreammux'); print(b.get_property('batched-push-timeout'))"
    )
    done = tool(tmp_path, sys.executable, "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-1\n", ""), done


def has_tools() -> bool:
    from shutil import which

    return which("gst-inspect-1.0") is not None


needs_tools = pytest.mark.skipif(not has_tools(), reason="gstreamer1.0-tools is not installed")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose registry knows the plugin; skips where Python plugins cannot be loaded."""
    folder = tmp_path_factory.mktemp("registry")
    done = tool(folder, "gst-inspect-1.0", "python")
    if done.returncode:
        pytest.skip("gstreamer1.0-python3-plugin-loader is not installed")
    return folder


@needs_tools
def test_gst_inspect(registry: Path) -> None:
    done = tool(registry, "gst-inspect-1.0", "nvstreammux")
    assert done.returncode == 0, done
    assert_silent(done.stdout + done.stderr)
    assert done.stderr == ""
    text = " ".join(done.stdout.split())
    for expected in (
        "GstNvStreamMux",
        "SINK template: 'sink_%u' Availability: On request",
        "SRC template: 'src' Availability: Always",
        "video/x-raw(memory:NVMM)",
        "batch-size : ",
        "Unsigned Integer. Range: 0 - 1024 Default: 0",
        "batched-push-timeout: ",
        "Integer. Range: -1 - 2147483647 Default: -1",
        "live-source : ",
        "enable-padding : ",
        "nvbuf-memory-type : ",
        "(0): nvbuf-mem-default",
        "sync-inputs : ",
        "attach-sys-ts : ",
    ):
        assert expected in text, (expected, done.stdout)


@needs_tools
@pytest.mark.parametrize(
    ("element", "words"),
    [
        ("nvinfer", ["config-file-path", "model-engine-file", "unique-id", "Range: 0 - 4294967295 Default: 15"]),
        ("nvvideoconvert", ["src-crop", "dest-crop", "flip-method", "interpolation-method"]),
        ("nvmultistreamtiler", ["rows", "columns", "show-source", "Default: 1920"]),
        ("nvdsosd", ["process-mode", "display-text", "display-bbox", "display-mask"]),
        ("nvv4l2decoder", ["drop-frame-interval", "cudadec-memtype", "video/x-h265", "image/jpeg"]),
        ("nvv4l2h264enc", ["bitrate", "Default: 4000000", "insert-sps-pps"]),
        ("nvurisrcbin", ["file-loop", "rtsp-reconnect-interval", "vsrc_%u"]),
        ("nvtracker", ["ll-lib-file", "ll-config-file", "tracker-width"]),
        ("nveglglessink", ["sync", "window-x"]),
        ("nv3dsink", ["sync"]),
    ],
)
def test_gst_inspect_of_the_others(registry: Path, element: str, words: list[str]) -> None:
    done = tool(registry, "gst-inspect-1.0", element)
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert_silent(done.stdout)
    text = " ".join(done.stdout.split())
    for word in words:
        assert word in text, (word, done.stdout)


@needs_tools
def test_gst_launch(registry: Path, tmp_path: Path) -> None:
    """The whole way in a program that is not Python: no deadlock, no noise, exit status 0.

    No decodebin: with inputs as short as these it loses the EOS message in GStreamer 1.22, whatever its decoder.
    """
    description = (
        "videotestsrc num-buffers=30 ! video/x-raw,width=160,height=120 ! nvvideoconvert ! m.sink_0 "
        "videotestsrc num-buffers=30 ! video/x-raw,width=160,height=120 ! x264enc ! nvv4l2decoder ! m.sink_1 "
        "nvstreammux name=m batch-size=2 width=160 height=120 ! queue ! "
        "nvmultistreamtiler rows=1 columns=2 width=320 height=120 ! "
        "nvvideoconvert ! nvdsosd ! queue ! nvvideoconvert ! nvv4l2h264enc ! h264parse ! mp4mux ! "
        f"filesink location={tmp_path}/o.mp4"
    )
    for _ in range(3):
        done = tool(registry, "gst-launch-1.0", *description.split(), timeout=30)
        assert done.returncode == 0, done
        assert_silent(done.stdout + done.stderr)
        assert done.stderr == ""
        assert (tmp_path / "o.mp4").stat().st_size > 1000


@needs_tools
def test_gst_launch_says_what_is_wrong(registry: Path) -> None:
    description = f"{numbered(3)} ! m.sink_0 nvstreammux name=m width=100 ! fakesink"
    done = tool(registry, "gst-launch-1.0", *description.split(), timeout=30)
    assert done.returncode != 0
    assert "set both width and height" in done.stderr
    assert_silent(done.stderr.replace("WARNING: erroneous pipeline", ""))
