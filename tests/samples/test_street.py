"""The procedural street: ground truth fits the pictures, and follows from the seed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from millrace.errors import MediaError, MillraceError
from millrace.samples import Street, read_street_truth, write_street_clip
from millrace.samples.drawing import Canvas
from millrace.samples.figure import View
from millrace.samples.install import CLIPS, RAW, install_models, install_streams
from millrace.samples.vehicle import COLOURS, MAKES, TYPES, Model, paint_vehicle

needs_gstreamer = pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="gst-launch-1.0 is not installed")


def test_same_seed_and_moment_give_the_same_frame() -> None:
    first, things = Street(5, 640, 360).frame(1.25)
    other = Street(5, 640, 360)
    other.frame(7.0)
    second, again = other.frame(1.25)
    assert np.array_equal(first, second) and things == again
    assert not np.array_equal(first, Street(6, 640, 360).frame(1.25)[0])


def test_every_class_and_attribute_occurs() -> None:
    classes, values = set(), set()
    for seed in range(40):
        for thing in Street(seed, 320, 184).frame(1.0)[1]:
            classes.add(thing.class_id)
            values |= set(thing.attributes.values())
            left, top, width, height = thing.box
            assert left >= 0 and top >= 0 and left + width <= 320 and top + height <= 184
            assert 0 < thing.visible <= 1.001
            assert set(thing.attributes) == ({"colour", "type", "make"} if thing.class_id == 0 else set())
    assert {0, 1, 2, 3} <= classes
    assert values == set(COLOURS) | set(TYPES) | set(MAKES)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("heading", [0.0, 0.8, 1.5708, 2.6, -1.2])
def test_box_is_what_was_painted(kind: str, heading: float) -> None:
    canvas = Canvas(np.full((400, 500, 3), 90, np.uint8))
    box = paint_vehicle(
        canvas, 7, View((250.0, 300.0), 30.0, heading, 0.3), Model("red", kind, "Cedar", (195.0, 30.0, 30.0), 1, 1)
    )
    rows, columns = np.nonzero(canvas.owner == 7)
    painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.array(box) - painted).max() <= 1.6


def test_colour_is_seen() -> None:
    for name, paint in COLOURS.items():
        canvas = Canvas(np.full((300, 300, 3), 90, np.uint8))
        paint_vehicle(canvas, 1, View((150.0, 220.0), 40.0, 1.57, 0.1), Model(name, "van", "Alder", paint, 1, 1))
        seen = np.median(canvas.rgb[canvas.owner == 1].astype(float), axis=0)
        nearest = min(COLOURS, key=lambda c: float(np.abs(np.array(COLOURS[c]) - seen).sum()))
        assert nearest == name


def test_counts_and_limits() -> None:
    street = Street(3, 640, 360, vehicles=4, bicycles=0, people=0, signs=2)
    found = [t.class_id for k in range(8) for t in street.frame(k * 0.5)[1]]
    assert set(found) <= {0, 3} and 0 in found
    with pytest.raises(MillraceError, match="seed"):
        Street(-1)
    with pytest.raises(MillraceError, match="out of range"):
        Street(0, 10, 10)


@needs_gstreamer
def test_clip_and_truth(tmp_path: Path) -> None:
    clip = write_street_clip(tmp_path / "s.mp4", 0.5, 10, 4, width=320, height=180, vehicles=3)
    truth = read_street_truth(clip)
    image, things = Street(4, 320, 180, 3).frame(0.2)
    assert len(truth) == 5
    assert [t.track_id for t in truth[2]] == [t.track_id for t in things]
    assert [t.attributes for t in truth[2]] == [t.attributes for t in things]
    video = cv2.VideoCapture(str(clip))
    frames = [video.read()[1][..., ::-1] for _ in range(5)]
    assert np.abs(frames[2].astype(float) - image).mean() < 8
    stamp = clip.stat().st_mtime_ns
    write_street_clip(clip, 0.5, 10, 4, width=320, height=180, vehicles=3)
    assert clip.stat().st_mtime_ns == stamp
    with pytest.raises(MediaError, match="ground truth"):
        read_street_truth(tmp_path / "other.mp4")


def test_models_land_under_deepstreams_names(tmp_path: Path) -> None:
    install_models(tmp_path)
    for name in (
        "models/Primary_Detector/resnet18_trafficcamnet_pruned.onnx",
        "models/Primary_Detector/labels.txt",
        "models/Primary_Detector/cal_trt.bin",
        "models/Secondary_VehicleMake/resnet18_vehiclemakenet_pruned.onnx",
        "models/Secondary_VehicleTypes/cal_trt.bin",
        "models/tao_pretrained_models/peopleNet/resnet34_peoplenet_int8.onnx",
        "models/tao_pretrained_models/peopleNet/resnet34_peoplenet_int8.txt",
        "configs/tao_pretrained_models/labels_peoplenet.txt",
        "configs/deepstream-app/config_infer_primary.txt",
    ):
        assert (tmp_path / name).is_file(), name
    assert not list(tmp_path.rglob("*.engine"))


@needs_gstreamer
def test_streams_are_made_once(tmp_path: Path) -> None:
    files = install_streams(tmp_path, shorten=0.01)
    names = {path.name for path in files}
    assert {c[0] for c in CLIPS} | set(RAW) | {"sample_720p.jpg", "sample_720p.mjpeg", "sample_720p.json"} <= names
    assert (tmp_path / "streams" / "sample_720p.h264").read_bytes()[:4] == b"\x00\x00\x00\x01"
    notes = json.loads((tmp_path / "streams" / "sample_1080p_h264.json").read_text())
    assert (notes["width"], notes["height"]) == (1920, 1080)
    stamps = [path.stat().st_mtime_ns for path in files]
    assert [path.stat().st_mtime_ns for path in install_streams(tmp_path, shorten=0.01)] == stamps
