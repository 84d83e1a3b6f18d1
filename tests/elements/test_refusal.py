"""The message for frames that nobody takes."""

from __future__ import annotations

import pytest

from millrace.elements.refusal import why_refused

from .pipelines import Gst

NOT_LINKED = int(Gst.FlowReturn.NOT_LINKED)


@pytest.mark.parametrize(
    ("description", "pad"),
    [
        ("identity ! nvstreammux name=m", "m:src"),
        ("nvstreammux name=m ! nvvideoconvert name=c", "c:src"),
        ("nvstreammux name=m ! queue ! tee name=t t. ! fakesink t. ! nvdsosd name=o", "o:src"),
    ],
)
def test_the_unlinked_pad_is_named(description: str, pad: str) -> None:
    pipeline = Gst.parse_launch(description)
    text = why_refused(pipeline.get_by_name("m"), NOT_LINKED)
    assert text.startswith(f"{pad} is not linked; link it to ")


def test_the_unlinked_pad_of_a_bin_is_named() -> None:
    pipeline = Gst.parse_launch("nvstreammux name=m ! identity name=i")
    inner = Gst.parse_bin_from_description("nvvideoconvert ! nvdsosd", True)
    inner.set_name("b")
    pipeline.add(inner)
    pipeline.get_by_name("i").link(inner)
    assert why_refused(pipeline.get_by_name("m"), NOT_LINKED).startswith("b:src is not linked")


def test_a_whole_pipeline_and_other_refusals() -> None:
    pipeline = Gst.parse_launch("nvstreammux name=m ! nvvideoconvert ! nveglglessink")
    muxer = pipeline.get_by_name("m")
    assert why_refused(muxer, NOT_LINKED) == "a pad downstream is not linked"
    assert "caps" in why_refused(muxer, int(Gst.FlowReturn.NOT_NEGOTIATED))
    assert why_refused(muxer, int(Gst.FlowReturn.ERROR)) == "flow error"
