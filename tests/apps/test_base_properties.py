"""Properties that DeepStream's elements have of GStreamer's base classes: applications set them everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Gst, run, source, wait

TRANSFORMS = "nvinfer nvtracker nvdsosd nvvideoconvert nvmultistreamtiler nvdslogger nvegltransform".split()
SINK_DEFAULTS: dict[str, Any] = {
    "sync": True, "async": True, "qos": True, "ts-offset": 0, "enable-last-sample": True, "blocksize": 4096,
    "render-delay": 0, "throttle-time": 0, "max-bitrate": 0, "processing-deadline": 20_000_000,
    "show-preroll-frame": True, "max-lateness": 20_000_000,
}  # fmt: skip


def made(factory: str) -> Any:
    element = Gst.ElementFactory.make(factory)
    assert element is not None
    return element


@pytest.mark.parametrize("factory", TRANSFORMS)
def test_transforms_have_qos(factory: str) -> None:
    element = made(factory)
    assert element.get_property("qos") is False
    element.set_property("qos", 1)
    assert element.get_property("qos") is True


def test_the_decoder_has_what_video_decoders_have() -> None:
    decoder = made("nvv4l2decoder")
    expected = {
        "qos": True, "max-errors": -1, "min-force-key-unit-interval": 0, "discard-corrupted-frames": False,
        "automatic-request-sync-points": False,
    }  # fmt: skip
    for name, default in expected.items():
        assert decoder.get_property(name) == default, name
        decoder.set_property(name, default)
    assert decoder.get_property("automatic-request-sync-point-flags").value_nicks == ["discard-input", "corrupt-output"]


@pytest.mark.parametrize("factory", ["nvv4l2h264enc", "nvv4l2h265enc"])
def test_encoders_have_what_video_encoders_have(factory: str) -> None:
    encoder = made(factory)
    assert encoder.get_property("qos") is False
    encoder.set_property("min-force-key-unit-interval", 1000)
    assert encoder.get_property("min-force-key-unit-interval") == 1000


@pytest.mark.parametrize("factory", ["nveglglessink", "nv3dsink"])
def test_sinks_have_what_video_sinks_have(factory: str) -> None:
    sink = made(factory)
    for name, default in SINK_DEFAULTS.items():
        assert sink.get_property(name) == default, name
        sink.set_property(name, default)


@pytest.mark.parametrize("factory", ["nveglglessink", "nv3dsink"])
def test_a_sink_tells_what_it_rendered(factory: str) -> None:
    pipeline = Gst.parse_launch(f"{source(4)} ! {factory} name=s sync=false")
    sink = pipeline.get_by_name("s")
    pipeline.set_state(Gst.State.PLAYING)
    try:
        wait(pipeline)
        assert sink.get_property("stats").get_value("rendered") == 4
        assert sink.get_property("last-sample").get_caps().get_structure(0).get_value("width") == 64
        sink.set_property("enable-last-sample", False)
        assert sink.get_property("last-sample") is None
    finally:
        pipeline.set_state(Gst.State.NULL)


def test_nvegltransform_lets_frames_and_metadata_pass() -> None:
    numbers: list[int] = []
    run(
        f"{source(3)} ! m.sink_0 nvstreammux name=m batch-size=1 width=64 height=48 ! nvegltransform ! "
        "nveglglessink name=out sync=false",
        out_sink=lambda _buffer, meta: numbers.extend(frame.frame_num for frame in meta.frames),
    )
    assert numbers == [0, 1, 2]
