"""nvvideoconvert against GStreamer's own videoconvert, and everything else that it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from millrace.elements import caps as nvcaps
from millrace.elements.convert import NvVideoConvert
from millrace.meta.batch import Batch

from .pipelines import NVMM, Gst, drain, numbered, pad_of, pixels, play, playing, watch

WIDTH, HEIGHT = 160, 120


def picture(description: str, width: int = 0, height: int = 0) -> np.ndarray:
    """What a pipeline's first frame looks like, as int RGB HxWx3; GStreamer converts it to RGB."""
    size = f",width={width},height={height}" if width else ""
    found: list[np.ndarray] = []
    pipeline = Gst.parse_launch(
        f"{description} ! videoconvert dither=none ! video/x-raw,format=RGB{size} ! fakesink name=out"
    )
    pad = pad_of(pipeline, "out:sink")

    def look(_batch: Any, buffer: Any) -> None:
        if not found:
            found.append(pixels(buffer, pad.get_current_caps()).astype(int))

    watch(pad, look)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    return found[0]


def source(fmt: str, more: str = "", pattern: str = "smpte100", width: int = WIDTH, height: int = HEIGHT) -> str:
    return (
        f"videotestsrc num-buffers=1 pattern={pattern} ! video/x-raw,format={fmt},width={width},height={height}{more}"
    )


def assert_alike(got: np.ndarray, expected: np.ndarray, mean: float = 12.0) -> None:
    difference = np.abs(got - expected)
    assert got.shape == expected.shape
    assert difference.mean() < mean, f"mean difference {difference.mean():.2f}"
    assert np.median(difference) <= 3
    assert np.percentile(difference, 80) <= 8


@pytest.mark.parametrize("fmt", nvcaps.SYSTEM_FORMATS)
def test_upload_from_every_format(fmt: str) -> None:
    """System memory to each surface format, and back."""
    expected = picture(source(fmt))
    for surface in nvcaps.NVMM_FORMATS:
        back = "RGBA" if surface not in ("NV12", "I420", "GRAY8") else surface
        got = picture(
            f"{source(fmt)} ! nvvideoconvert ! {NVMM},format={surface} ! nvvideoconvert ! video/x-raw,format={back}"
        )
        if surface == "GRAY8" and fmt != "GRAY8":
            assert got.std(axis=2).max() < 3  # grey
        else:
            assert_alike(got, expected)


@pytest.mark.parametrize("fmt", nvcaps.OUTPUT_FORMATS)
@pytest.mark.parametrize("surface", ["NV12", "RGBA", "I420", "BGRx"])
def test_download_to_every_format(surface: str, fmt: str) -> None:
    expected = picture(f"{source('RGBA')} ! videoconvert ! video/x-raw,format={fmt}")
    got = picture(
        f"{source('RGBA')} ! nvvideoconvert ! {NVMM},format={surface} ! nvvideoconvert ! video/x-raw,format={fmt}"
    )
    assert_alike(got, expected)


@pytest.mark.parametrize("fmt", ["NV12", "I420"])
@pytest.mark.parametrize("colorimetry", ["bt601", "bt709", "1:3:0:0", "1:4:0:0"])
def test_matrix_and_range_are_those_of_the_caps(fmt: str, colorimetry: str) -> None:
    start = source(fmt, f",colorimetry={colorimetry}")
    expected = picture(start)
    assert_alike(
        picture(f"{start} ! nvvideoconvert ! {NVMM},format=RGBA ! nvvideoconvert ! video/x-raw,format=RGBA"), expected
    )
    assert_alike(
        picture(f"{start} ! nvvideoconvert ! {NVMM},format=NV12 ! nvvideoconvert ! video/x-raw,format=I420"), expected
    )


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (101, 77)])
@pytest.mark.parametrize("fmt", ["NV12", "RGBA"])
def test_sizes(fmt: str, size: tuple[int, int]) -> None:
    """BT.709 is the rule from 720 lines on; odd sizes have their own chroma."""
    start = source(fmt, width=size[0], height=size[1])
    for back in ("I420", "RGBA", "NV12"):
        got = picture(
            f"{start} ! nvvideoconvert ! {NVMM},format={'NV12' if fmt == 'RGBA' else 'RGBA'} ! "
            f"nvvideoconvert ! video/x-raw,format={back}"
        )
        assert_alike(got, picture(start))


def test_downstream_may_ask_for_a_colorimetry() -> None:
    start = source("NV12", ",colorimetry=bt601")
    got = picture(f"{start} ! nvvideoconvert ! {NVMM} ! nvvideoconvert ! video/x-raw,format=I420,colorimetry=bt709")
    assert_alike(got, picture(start))


def test_colorimetry_stays_through_mux_and_tiler() -> None:
    """A small BT.601 source in a 720-line picture: no conversion, and caps that say so."""
    caps: list[str] = []
    pipeline = Gst.parse_launch(
        "nvstreammux name=m batch-size=1 width=1280 height=720 ! nvmultistreamtiler width=1280 height=720 ! "
        "nvvideoconvert ! video/x-raw,format=I420 ! fakesink name=out "
        f"{numbered(1, 64, 48, caps=',colorimetry=bt601')} ! m.sink_0"
    )
    pad = pad_of(pipeline, "out:sink")
    watch(pad, lambda _batch, _buffer: caps.append(pad.get_current_caps().get_structure(0).get_string("colorimetry")))
    with playing(pipeline):
        assert drain(pipeline).ok
    assert caps == ["bt601"]


def test_strides_from_the_decoder() -> None:
    """avdec gives padded rows with a GstVideoMeta; 102 pixels are no multiple of anything."""
    clip = source("I420", width=102, height=78) + " ! x264enc ! h264parse"
    expected = picture(f"{clip} ! avdec_h264")
    got = picture(
        f"{clip} ! avdec_h264 ! nvvideoconvert ! {NVMM},format=NV12 ! nvvideoconvert ! video/x-raw,format=I420"
    )
    assert_alike(got, expected, 1.0)


@pytest.mark.parametrize("method", ["Nearest", "Bilinear", "Algo-1", "Algo-2", "Algo-3", "Algo-4", "Default"])
def test_scaling_and_interpolation(method: str) -> None:
    start = source("NV12", pattern="gradient")
    expected = picture(f"{start} ! videoscale ! video/x-raw,width=80,height=90")
    got = picture(
        f"{start} ! nvvideoconvert interpolation-method={method} ! {NVMM},width=80,height=90 ! "
        "nvvideoconvert ! video/x-raw,format=NV12"
    )
    assert_alike(got, expected)


def test_src_crop() -> None:
    whole = picture(source("RGBA"))
    got = picture(
        f"{source('RGBA')} ! nvvideoconvert src-crop=40:30:80:60 ! {NVMM},width=80,height=60 ! nvvideoconvert ! "
        "video/x-raw,format=RGBA"
    )
    np.testing.assert_array_equal(got, whole[30:90, 40:120])


def test_src_crop_changes_while_playing() -> None:
    widths: list[float] = []
    pipeline = Gst.parse_launch(
        f"{numbered(6, 64, 48, 'RGBA', more='pattern=white')} ! nvvideoconvert ! {NVMM},format=RGBA ! "
        f"nvvideoconvert name=c src-crop=0:0:32:24 ! {NVMM},width=64,height=48 ! fakesink name=out"
    )
    crops = iter(["0:0:64:48", "16:16:16:16", "8:8:8:8", "0:0:0:0", "0:0:1:1", "0:0:64:48"])
    watch(pad_of(pipeline, "c:src"), lambda _b, _buf: pipeline.get_by_name("c").set_property("src-crop", next(crops)))
    watch(pad_of(pipeline, "out:sink"), lambda batch, _buf: widths.append(batch.surfaces[0].width))
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert widths == [64] * 6


def test_dest_crop() -> None:
    """The picture goes into a rectangle; the rest is black."""
    got = picture(
        f"{source('RGBA', pattern='white')} ! nvvideoconvert dest-crop=20:10:60:40 ! "
        f"{NVMM},width=100,height=80,format=RGBA ! "
        "nvvideoconvert ! video/x-raw,format=RGBA"
    )
    assert got[10:50, 20:80].min() == 255
    got[10:50, 20:80] = 0
    assert got.max() == 0


@pytest.mark.parametrize("crop", ["1:2:3", "a:b:c:d", "0:0:0:10", "-1:0:5:5"])
def test_a_wrong_crop_is_one_clear_error(crop: str) -> None:
    outcome = play(f"{source('NV12')} ! nvvideoconvert src-crop={crop} ! {NVMM} ! fakesink")
    assert outcome.end == "error"
    assert "src-crop" in outcome.errors[0] and crop in outcome.errors[0], outcome


# flip-method: 0 none, 1 counterclockwise, 2 rotate-180, 3 clockwise, 4 horizontal, 5 upper-right-diagonal, 6 vertical,
# 7 upper-left-diagonal
FLIPS: list[Any] = [
    lambda p: p,
    lambda p: np.rot90(p, 1),
    lambda p: np.rot90(p, 2),
    lambda p: np.rot90(p, 3),
    lambda p: p[:, ::-1],
    lambda p: np.rot90(p, 2).swapaxes(0, 1),
    lambda p: p[::-1],
    lambda p: p.swapaxes(0, 1),
]


@pytest.mark.parametrize("method", range(8))
@pytest.mark.parametrize("fmt", ["RGBA", "NV12", "I420", "GRAY8"])
def test_flip(fmt: str, method: int) -> None:
    plain = picture(f"{source(fmt)} ! nvvideoconvert ! {NVMM},format={fmt} ! nvvideoconvert ! video/x-raw,format={fmt}")
    expected = FLIPS[method](plain)
    got = picture(
        f"{source(fmt)} ! nvvideoconvert flip-method={method} ! {NVMM},format={fmt} ! "
        f"nvvideoconvert ! video/x-raw,format={fmt}"
    )
    assert_alike(got, expected, 1.5)


def test_a_batch_to_system_memory_warns() -> None:
    outcome = play(
        f"nvstreammux name=m batch-size=2 width=64 height=48 ! nvvideoconvert ! video/x-raw,format=RGBA ! fakesink "
        f"{numbered(3)} ! m.sink_0 {numbered(3)} ! m.sink_1"
    )
    assert outcome.ok, outcome
    assert len(outcome.warnings) == 1 and "only the first is kept" in outcome.warnings[0]


def test_resolution_changes_in_mid_stream() -> None:
    """A source that switches its size: surfaces of the new size, and system memory renegotiated."""
    sizes: list[tuple[int, int]] = []
    raw: list[tuple[int, int]] = []
    pipeline = Gst.parse_launch(
        "videotestsrc num-buffers=20 ! capsfilter name=size caps=video/x-raw,format=NV12,width=64,height=48 ! "
        f"nvvideoconvert ! {NVMM} ! identity name=nvmm ! nvvideoconvert ! video/x-raw,format=RGBA ! fakesink name=out"
    )

    def nvmm(batch: Batch, _buffer: Any) -> None:
        sizes.append((batch.surfaces[0].width, batch.surfaces[0].height))
        if len(sizes) == 5:
            pipeline.get_by_name("size").set_property(
                "caps", Gst.Caps.from_string("video/x-raw,format=I420,width=128,height=96")
            )

    def system(_batch: Any, buffer: Any) -> None:
        structure = pad_of(pipeline, "out:sink").get_current_caps().get_structure(0)
        size = (structure.get_int("width")[1], structure.get_int("height")[1])
        assert buffer.get_size() == size[0] * size[1] * 4
        raw.append(size)

    watch(pad_of(pipeline, "nvmm:src"), nvmm)
    watch(pad_of(pipeline, "out:sink"), system)
    with playing(pipeline):
        outcome = drain(pipeline)
    assert outcome.ok, outcome
    assert len(raw) == len(sizes) == 20
    assert raw == sizes
    assert raw[0] == (64, 48) and raw[-1] == (128, 96)
    assert raw == sorted(raw)


CHAINS = {
    "to x264": f"{numbered(3)} ! nvvideoconvert ! video/x-raw,format=I420 ! x264enc ! fakesink name=out",
    "to x264 without caps": f"{numbered(3)} ! nvvideoconvert ! x264enc ! fakesink name=out",
    "osd between": (
        f"{numbered(3)} ! nvvideoconvert ! nvdsosd ! nvvideoconvert ! {NVMM},format=RGBA ! fakesink name=out"
    ),
    "osd on RGBA": (
        f"{numbered(3)} ! nvvideoconvert ! {NVMM},format=RGBA ! nvdsosd ! nvvideoconvert ! {NVMM},format=I420 ! "
        "nvv4l2h264enc ! h264parse ! fakesink name=out"
    ),
    "straight into the muxer": (
        "videotestsrc num-buffers=3 ! nvvideoconvert ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! "
        "fakesink name=out"
    ),
    "scaled by caps": f"{numbered(3)} ! nvvideoconvert ! {NVMM},width=32,height=24 ! fakesink name=out",
    "range of sizes": f"{numbered(3)} ! nvvideoconvert ! video/x-raw,format=RGBA,width=[1,32] ! fakesink name=out",
    "to a jpeg": f"{numbered(3)} ! nvvideoconvert ! jpegenc ! fakesink name=out",
    "into videoconvert": f"{numbered(3)} ! nvvideoconvert ! videoconvert ! video/x-raw,format=xBGR ! fakesink name=out",
    "framerate kept": f"{numbered(3, rate='7/2')} ! nvvideoconvert ! video/x-raw,framerate=7/2 ! fakesink name=out",
}


@pytest.mark.parametrize("chain", CHAINS)
def test_negotiation(chain: str) -> None:
    count: list[int] = []
    outcome = play(CHAINS[chain], {"out:sink": lambda _batch, _buffer: count.append(1)})
    assert outcome.ok, outcome
    assert len(count) == 3


def test_same_format_stays_in_place() -> None:
    """Nothing to convert: the surface itself goes on, not a copy."""
    seen: dict[str, list[int]] = {"in": [], "out": []}
    keep: list[Any] = []

    def note(name: str) -> Any:
        def look(batch: Batch, _buffer: Any) -> None:
            keep.append(batch.surfaces[0])
            seen[name].append(id(batch.surfaces[0]))

        return look

    outcome = play(
        f"{numbered(3)} ! identity name=in ! nvvideoconvert ! {NVMM} ! fakesink name=out",
        {"in:src": note("in"), "out:sink": note("out")},
    )
    assert outcome.ok, outcome
    assert seen["in"] == seen["out"]


def test_timestamps_and_flags_go_along() -> None:
    stamps: list[tuple[int, int, int]] = []
    outcome = play(
        f"{numbered(3)} ! nvvideoconvert ! video/x-raw,format=RGBA ! fakesink name=out",
        {"out:sink": lambda _batch, buffer: stamps.append((buffer.pts, buffer.duration, buffer.offset))},
    )
    assert outcome.ok, outcome
    assert [stamp[:2] for stamp in stamps] == [(n * 40_000_000, 40_000_000) for n in range(3)]


def test_no_way_out_is_an_error_not_a_hang() -> None:
    outcome = (
        play(f"{numbered(3)} ! nvvideoconvert ! video/x-raw,format=GRAY16_LE ! fakesink", seconds=5)
        if _links()
        else None
    )
    assert outcome is None or outcome.end == "error"


def _links() -> bool:
    try:
        Gst.parse_launch(f"{numbered(3)} ! nvvideoconvert ! video/x-raw,format=GRAY16_LE ! fakesink")
    except Exception:
        return False
    return True


def test_class_is_the_registered_one() -> None:
    assert isinstance(Gst.ElementFactory.make("nvvideoconvert"), NvVideoConvert)
