"""nvmultiurisrcbin: files by a list of URIs, batched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .pipelines import Gst, drain, pad_of, play, playing, watch


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clips") / "a.mkv"
    outcome = play(
        "videotestsrc num-buffers=8 ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc ! matroskamux ! "
        f"filesink location={file}"
    )
    assert outcome.ok, outcome
    return file


def test_sources_of_the_list_are_one_batch_each(clip: Path) -> None:
    uri = clip.as_uri()
    pipeline = Gst.parse_launch(
        f"nvmultiurisrcbin name=s uri-list={uri},{uri},{uri} sensor-id-list=a,b,c width=32 height=24 "
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
    ],
)
def test_lists_that_do_not_fit(settings: str, message: str) -> None:
    outcome = play(f"nvmultiurisrcbin uri-list=file:///a,file:///b {settings} ! fakesink")
    assert len(outcome.errors) == 1 and message in outcome.errors[0]
