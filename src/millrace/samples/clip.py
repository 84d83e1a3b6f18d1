"""Video clips of the procedural world: H.264 in MP4 with a JSON file of the ground truth beside it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2

from millrace.errors import MediaError
from millrace.samples.scenery import Image
from millrace.samples.street import Street, Thing
from millrace.samples.world import Person, World

log = logging.getLogger("millrace.samples")

GENERATOR = 1
"""Raised when the same seed gives other pictures than before, so that cached clips are made again."""

STREET_GENERATOR = 1
"""The same for street clips."""

_DEMO_SEED = 910_000_000


def _ground_truth(people: list[Person], frame: int, pts: int) -> dict[str, Any]:
    return {
        "frame": frame,
        "pts": pts,
        "objects": [
            {
                "class_id": 0,
                "label": p.label,
                "track_id": p.track_id,
                "visible": round(p.visible, 4),
                "box": [round(float(v), 3) for v in p.box],
                "keypoints": [[round(float(x), 3), round(float(y), 3), int(v)] for x, y, v in p.keypoints],
            }
            for p in people
        ],
    }


def write_clip(
    path: str | Path,
    seconds: float = 10.0,
    fps: int = 25,
    seed: int = 0,
    *,
    width: int = 640,
    height: int = 360,
    people: int | None = None,
    tall: tuple[float, float] | None = None,
    bitrate: int = 1_500_000,
) -> Path:
    """Film `World(seed)` into an H.264 MP4 file and write the ground truth to the same name with `.json`.

    seconds, fps: length and rate; width, height: pixels, even; people, tall: as World takes them; bitrate: bits a
    second. Returns the file's path. The JSON file holds the settings and {"frames": [{"frame", "pts" in ns, "objects":
    [{"class_id", "label", "track_id", "visible", "box": [left, top, width, height], "keypoints": [[x, y, 0|1|2]]}]}]}
    in pixels. Both files appear only when complete. Raises MediaError when GStreamer's
    gst-launch-1.0 or x264enc is missing or fails, or when the size is odd.
    """
    path, count = Path(path), max(1, round(seconds * fps))
    _check_even(path, width, height)
    shots = World(seed, width, height, people, tall).frames(fps, count)
    settings = _settings(seed, fps, width, height, people, tall, count, bitrate)
    rows = ((image, _ground_truth(found, k, round(k * 1e9 / fps))) for k, (image, found) in enumerate(shots))
    return _encode(path, rows, settings)


def write_street_clip(
    path: str | Path,
    seconds: float = 10.0,
    fps: int = 30,
    seed: int = 0,
    *,
    width: int = 1280,
    height: int = 720,
    vehicles: int | None = None,
    bicycles: int | None = None,
    people: int | None = None,
    signs: int | None = None,
    bitrate: int = 4_000_000,
) -> Path:
    """Film `Street(seed)` into an H.264 MP4 file and write the ground truth to the same name with `.json`.

    Arguments are write_clip's and Street's. An existing clip made with the same arguments is left as it is. Objects of
    the JSON file are {"class_id", "label", "track_id", "visible", "box": [left, top, width, height] in pixels,
    "attributes": {"colour", "type", "make"} for vehicles, else empty}. Raises MediaError as write_clip does.
    """
    path, count = Path(path), max(1, round(seconds * fps))
    _check_even(path, width, height)
    settings = {
        "generator": STREET_GENERATOR, "world": "street", "seed": seed, "width": width, "height": height, "fps": fps,
        "vehicles": vehicles, "bicycles": bicycles, "people": people, "signs": signs, "bitrate": bitrate,
        "count": count,
    }  # fmt: skip
    if _same(path, settings):
        return path
    log.info("making %s (%g s)", path, seconds)
    street = Street(seed, width, height, vehicles, bicycles, people, signs)
    shots = street.frames(fps, count)
    rows = ((image, _street_truth(found, k, round(k * 1e9 / fps))) for k, (image, found) in enumerate(shots))
    return _encode(path, rows, settings)


def _street_truth(things: list[Thing], frame: int, pts: int) -> dict[str, Any]:
    objects = [
        {
            "class_id": thing.class_id,
            "label": thing.label,
            "track_id": thing.track_id,
            "visible": round(thing.visible, 4),
            "box": [round(float(v), 3) for v in thing.box],
            "attributes": thing.attributes,
        }
        for thing in things
    ]
    return {"frame": frame, "pts": pts, "objects": objects}


def read_street_truth(clip: str | Path) -> list[list[Thing]]:
    """The things in each frame of a clip of write_street_clip. Raises MediaError without a readable JSON file."""
    notes = Path(clip).with_suffix(".json")
    try:
        frames = json.loads(notes.read_text())["frames"]
        return [
            [Thing(o["class_id"], tuple(o["box"]), o["track_id"], o["visible"], o["attributes"]) for o in f["objects"]]
            for f in frames
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{notes}: no ground truth of a street clip ({type(error).__name__})") from None


def _check_even(path: Path, width: int, height: int) -> None:
    if width % 2 or height % 2:
        raise MediaError(f"{path}: {width}x{height} cannot be coded as 4:2:0 video; give even sizes")


def _encode(path: Path, rows: Iterable[tuple[Image, dict[str, Any]]], settings: dict[str, Any]) -> Path:
    """Code pictures and write their truths; both files appear only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    truth: dict[str, Any] = {**settings, "frames": []}
    count = settings["count"]
    encoder = _encoder(partial, settings["width"], settings["height"], settings["fps"], settings["bitrate"])
    assert encoder.stdin is not None
    try:
        for image, row in rows:
            encoder.stdin.write(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).tobytes())
            truth["frames"].append(row)
        encoder.stdin.close()
    except BrokenPipeError:
        log.debug("the encoder ended early")
    except BaseException:
        encoder.kill()
        encoder.wait()
        partial.unlink(missing_ok=True)
        raise
    message = encoder.stderr.read().decode(errors="replace") if encoder.stderr else ""
    if encoder.wait() != 0 or not partial.is_file() or len(truth["frames"]) < count:
        partial.unlink(missing_ok=True)
        reason = next((line for line in message.splitlines() if line.strip()), "no reason given")
        raise MediaError(f"{path}: encoding failed: {reason.strip()}; is gstreamer1.0-plugins-ugly installed?")
    notes = path.with_suffix(".json")
    notes.with_name(notes.name + ".partial").write_text(json.dumps(truth, separators=(",", ":")))
    os.replace(partial, path)
    os.replace(notes.with_name(notes.name + ".partial"), notes)
    return path


def _settings(
    seed: int,
    fps: int,
    width: int,
    height: int,
    people: int | None,
    tall: tuple[float, float] | None,
    count: int,
    bitrate: int,
) -> dict[str, Any]:
    return {
        "generator": GENERATOR, "seed": seed, "width": width, "height": height, "fps": fps, "people": people,
        "tall": list(tall) if tall else None, "bitrate": bitrate, "count": count,
    }  # fmt: skip


def _encoder(target: Path, width: int, height: int, fps: int, bitrate: int) -> subprocess.Popen[bytes]:
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        raise MediaError(f"{target.name}: gst-launch-1.0 is missing; install the package gstreamer1.0-tools")
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1,colorimetry=bt601"
    command = [
        launch, "-q", "fdsrc", "fd=0", f"blocksize={width * height * 3 // 2}", "!", caps,
        "!", "rawvideoparse", "use-sink-caps=true",
        "!", "x264enc", f"bitrate={max(1, bitrate // 1000)}", "speed-preset=veryfast", f"key-int-max={2 * fps}",
        "!", "video/x-h264,profile=high", "!", "h264parse", "!", "mp4mux", "faststart=true",
        "!", "filesink", f"location={target}",
    ]  # fmt: skip
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def demo_clips(
    directory: str | Path, count: int = 4, seconds: float = 10.0, *, width: int = 640, height: int = 360, fps: int = 25
) -> list[Path]:
    """`count` clips of held-out worlds in `directory`, made when missing or made otherwise, else taken as they are.

    Returns the paths demo_0.mp4, demo_1.mp4, ...; ground truth lies beside each. Raises MediaError as write_clip does.
    """
    clips = []
    for k in range(count):
        path = Path(directory) / f"demo_{k}.mp4"
        people = 3 + (k * 3) % 5
        tall = (0.22 * height, 0.7 * height)
        want = _settings(_DEMO_SEED + k, fps, width, height, people, tall, max(1, round(seconds * fps)), 1_500_000)
        if not _same(path, want):
            log.info("making %s (%g s)", path, seconds)
            write_clip(path, seconds, fps, _DEMO_SEED + k, width=width, height=height, people=people, tall=tall)
        clips.append(path)
    return clips


def _same(path: Path, want: dict[str, Any]) -> bool:
    try:
        notes = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return False
    return path.is_file() and isinstance(notes, dict) and all(notes.get(key) == want[key] for key in want)
