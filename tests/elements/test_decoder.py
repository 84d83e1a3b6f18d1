"""nvv4l2decoder, plugged by decodebin and by hand, on clips made here and on the project's assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from millrace.meta.batch import Batch

from .pipelines import NVMM, Gst, Outcome, drain, pad_of, play, playing, watch

FRAMES = 30
CLIPS = {
    "h264.mp4": "x264enc key-int-max=10 tune=zerolatency ! h264parse ! mp4mux",
    "h264.mkv": "x264enc bframes=2 ! h264parse ! matroskamux",
    "h264.ts": "x264enc key-int-max=10 ! h264parse ! mpegtsmux",
    "h265.mp4": "x265enc speed-preset=ultrafast ! h265parse ! mp4mux",
    "vp8.webm": "vp8enc deadline=1 ! webmmux",
    "vp9.webm": "vp9enc deadline=1 cpu-used=8 ! webmmux",
    "mjpeg.avi": "jpegenc ! avimux",
}
REFERENCE = {
    "h264": "h264parse ! avdec_h264", "h265": "h265parse ! avdec_h265", "vp8": "vp8dec", "vp9": "vp9dec",
    "mjpeg": "jpegdec",
}  # fmt: skip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, encode in CLIPS.items():
        if Gst.ElementFactory.find(encode.split()[0]) is None:
            continue
        fmt = "RGB" if "jpeg" in name else "I420"  # of RGB, jpegenc makes what JPEG means: full range
        outcome = play(
            f"videotestsrc num-buffers={FRAMES} pattern=smpte100 ! "
            f"video/x-raw,format={fmt},width=160,height=120,framerate=25/1 ! "
            f"{encode} ! filesink location={folder / name}",
            seconds=60,
        )
        assert outcome.ok, (name, outcome)
    outcome = play(
        "videotestsrc num-buffers=1 pattern=red ! video/x-raw,format=RGB,width=64,height=48 ! jpegenc ! "
        f"filesink location={folder / 'picture.jpg'}"
    )
    assert outcome.ok, outcome
    return folder


class Decoded:
    def __init__(self) -> None:
        self.rgb: list[np.ndarray] = []
        self.formats: set[str] = set()
        self.stamps: list[int] = []
        self.caps = ""
        self.factories: list[str] = []


def factories(bin_: Gst.Bin) -> list[str]:
    names: list[str] = []
    iterator = bin_.iterate_recurse()
    while True:
        state, element = iterator.next()
        if state != Gst.IteratorResult.OK:
            return names
        names.append(element.get_factory().get_name())


def decode(description: str, seconds: float = 20.0) -> tuple[Decoded, Outcome]:
    seen = Decoded()
    pipeline = Gst.parse_launch(f"{description} ! fakesink name=out")
    pad = pad_of(pipeline, "out:sink")

    def look(batch: Batch | None, buffer: Any) -> None:
        assert batch is not None, "no surface"
        surface = batch.surfaces[0]
        seen.formats.add(surface.format)
        seen.rgb.append(surface.to_rgb())
        seen.stamps.append(buffer.pts)
        seen.caps = pad.get_current_caps().to_string()

    watch(pad, look)
    with playing(pipeline):
        outcome = drain(pipeline, seconds)
        seen.factories = factories(pipeline)
    return seen, outcome


def reference_count(path: Path) -> int:
    """Frames that GStreamer's own decoder makes of a file."""
    kind = path.name.split(".")[0]
    demux = {"mp4": "qtdemux", "mkv": "matroskademux", "webm": "matroskademux", "avi": "avidemux", "ts": "tsdemux"}
    count: list[int] = []
    play(
        f"filesrc location={path} ! {demux[path.suffix[1:]]} ! {REFERENCE[kind]} ! fakesink name=out",
        {"out:sink": lambda _batch, _buffer: count.append(1)},
    )
    return len(count)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("how", ["filesrc location={path} ! decodebin", "uridecodebin uri=file://{path}"])
def test_autoplugged(clips: Path, name: str, how: str) -> None:
    path = clips / name
    if not path.exists():
        pytest.skip(f"no encoder for {name} is installed")
    seen, outcome = decode(how.format(path=path))
    assert outcome.ok, outcome
    assert "nvv4l2decoder" in seen.factories
    assert len(seen.rgb) == reference_count(path) == FRAMES
    assert seen.formats == {"NV12"}
    caps = Gst.Caps.from_string(seen.caps)
    assert caps.get_features(0).to_string() == "memory:NVMM"
    structure = caps.get_structure(0)
    assert (structure.get_string("format"), structure.get_int("width")[1], structure.get_int("height")[1]) == (
        "NV12",
        160,
        120,
    )
    assert seen.stamps == sorted(seen.stamps) and len(set(seen.stamps)) == FRAMES
    white = seen.rgb[0][20:60, 4:16].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(white, [255, 255, 255], atol=8)


def test_jpeg_picture(clips: Path) -> None:
    seen, outcome = decode(f"uridecodebin uri=file://{clips / 'picture.jpg'}")
    assert outcome.ok, outcome
    assert "nvv4l2decoder" in seen.factories
    assert len(seen.rgb) == 1
    np.testing.assert_allclose(seen.rgb[0].reshape(-1, 3).mean(0), [255, 0, 0], atol=8)


def test_by_hand(clips: Path) -> None:
    seen, outcome = decode(f"filesrc location={clips / 'h264.mp4'} ! qtdemux ! h264parse ! nvv4l2decoder")
    assert outcome.ok, outcome
    assert len(seen.rgb) == FRAMES


@pytest.mark.parametrize("fmt", ["Y444", "Y42B", "I420_10LE", "I422_10LE", "Y444_10LE"])
def test_pixel_formats(fmt: str) -> None:
    """Whatever the decoder's output is, surfaces are NV12."""
    seen, outcome = decode(
        f"videotestsrc num-buffers=3 pattern=white ! video/x-raw,format={fmt},width=160,height=120 ! "
        "x264enc ! decodebin"
    )
    assert outcome.ok, outcome
    assert len(seen.rgb) == 3 and seen.formats == {"NV12"}
    assert seen.rgb[0].min() > 245


def test_byte_stream_of_jpegs(clips: Path) -> None:
    seen, outcome = decode(
        f"multifilesrc location={clips / 'picture.jpg'} num-buffers=5 caps=image/jpeg,framerate=5/1 ! "
        "jpegparse ! nvv4l2decoder mjpeg=1"
    )
    assert outcome.ok, outcome
    assert len(seen.rgb) == 5


def test_drop_frame_interval(clips: Path) -> None:
    seen, outcome = decode(
        f"filesrc location={clips / 'h264.mp4'} ! qtdemux ! h264parse ! nvv4l2decoder drop-frame-interval=3"
    )
    assert outcome.ok, outcome
    assert len(seen.rgb) == FRAMES // 3


def test_only_key_frames(clips: Path) -> None:
    seen, outcome = decode(f"filesrc location={clips / 'h264.mp4'} ! qtdemux ! h264parse ! nvv4l2decoder skip-frames=2")
    assert outcome.ok, outcome
    assert len(seen.rgb) == FRAMES // 10


def test_used_again_with_another_codec() -> None:
    """The same decoder after a stop: caps of another codec plug another decoder."""
    pipeline = Gst.parse_launch(
        "videotestsrc name=s num-buffers=5 ! x264enc name=x ! nvv4l2decoder name=d ! fakesink name=out"
    )
    count: list[int] = []
    watch(pad_of(pipeline, "out:sink"), lambda batch, _buffer: count.append(len(batch.surfaces)))
    for _ in range(2):
        with playing(pipeline):
            assert drain(pipeline).ok
    source, x264, decoder = (pipeline.get_by_name(name) for name in "sxd")
    pipeline.remove(x264)
    x264.set_state(Gst.State.NULL)
    jpeg = Gst.ElementFactory.make("jpegenc")
    pipeline.add(jpeg)
    assert source.link(jpeg) and jpeg.link(decoder)
    with playing(pipeline):
        assert drain(pipeline).ok
    assert len(count) == 15


@pytest.mark.parametrize("name", ["h264.mkv", "h264.ts", "h265.mp4", "vp8.webm", "mjpeg.avi"])
def test_corrupt_middle(clips: Path, name: str, tmp_path: Path) -> None:
    """Frames before and after the damage come out; nothing crashes or hangs."""
    source = clips / name
    if not source.exists():
        pytest.skip(f"no encoder for {name} is installed")
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    for position in range(middle, middle + len(data) // 20):
        data[position] ^= 0x5A
    broken = tmp_path / name
    broken.write_bytes(data)
    seen, outcome = decode(f"uridecodebin uri=file://{broken}", 10)
    assert outcome.end in ("eos", "error")
    assert len(seen.rgb) >= max(1, reference_count(broken) - 2)
    if name.endswith((".ts", ".avi")):
        assert outcome.ok, outcome
        assert len(seen.rgb) > FRAMES // 2


def test_corrupt_middle_of_an_asset(assets: Path, tmp_path: Path) -> None:
    source = assets / "streams" / "car-detection.mp4"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    count: list[int] = []
    outcome = play(
        f"uridecodebin uri=file://{broken} ! fakesink name=out", {"out:sink": lambda _batch, _buffer: count.append(1)}
    )
    assert outcome.ok, outcome
    assert 377 * 0.9 < len(count) <= 377


def test_asset_frame_count(assets: Path) -> None:
    source = assets / "streams" / "car-detection.mp4"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    count: list[int] = []
    outcome = play(
        f"filesrc location={source} ! qtdemux ! h264parse ! nvv4l2decoder ! {NVMM} ! fakesink name=out",
        {"out:sink": lambda _batch, _buffer: count.append(1)},
    )
    assert outcome.ok, outcome
    assert len(count) == 377


def test_not_a_video(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("this is not a video\n" * 100)
    _, outcome = decode(f"uridecodebin uri=file://{text}", 5)
    assert outcome.end == "error"
