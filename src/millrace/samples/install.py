"""DeepStream's `samples/` folder made of our own models and films, with the file names its applications ask for."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path

import cv2

from millrace.errors import MediaError
from millrace.samples.clip import write_street_clip
from millrace.samples.scoring import HELD_OUT_SEED
from millrace.samples.street import Street

log = logging.getLogger("millrace.samples")

_HERE = Path(__file__).resolve().parent
_SEED = HELD_OUT_SEED + 50_000

# (name, width, height, seconds, bits a second); a street of its own for each.
CLIPS = (
    ("sample_720p.mp4", 1280, 720, 20.0, 4_000_000),
    ("sample_1080p_h264.mp4", 1920, 1080, 10.0, 8_000_000),
    ("sample_qHD.mp4", 960, 540, 10.0, 2_500_000),
)
# A clip's other names: raw H.264 made from the file.
RAW = {
    "sample_720p.h264": "sample_720p.mp4",
    "sample_1080p.h264": "sample_1080p_h264.mp4",
    "sample_qHD.h264": "sample_qHD.mp4",
}


def install_models(samples: Path) -> list[Path]:
    """Copy models, labels, calibration caches and configurations to `samples`/models and /configs; returns the files.

    Raises MediaError when a folder or file cannot be written.
    """
    done = []
    for part in ("models", "configs"):
        for source in sorted((_HERE / part).rglob("*")):
            if not source.is_file() or source.suffix not in (".onnx", ".txt", ".yml", ".bin"):
                continue
            target = samples / part / source.relative_to(_HERE / part)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            except OSError as error:
                raise MediaError(f"cannot write {target}: {error.strerror}") from None
            done.append(target)
    return done


def install_streams(samples: Path, shorten: float = 1.0) -> list[Path]:
    """Make the streams in `samples`/streams, as far as they are missing or were made otherwise; returns the files.

    shorten: factor on every clip's length, for tests. Ground truth lies beside each clip with `.json`. Raises
    MediaError when GStreamer's gst-launch-1.0 or an encoder is missing, or a file cannot be written.
    """
    folder = samples / "streams"
    done = []
    for k, (name, width, height, seconds, bitrate) in enumerate(CLIPS):
        clip = folder / name
        try:
            write_street_clip(
                clip, max(0.2, seconds * shorten), 30, _SEED + k, width=width, height=height,
                vehicles=5, bicycles=2, people=4, signs=2, bitrate=bitrate,
            )  # fmt: skip
        except OSError as error:
            raise MediaError(f"cannot write {clip}: {error.strerror}") from None
        done += [clip, clip.with_suffix(".json")]
    for name, source in RAW.items():
        target, clip = folder / name, folder / source
        if not target.exists() or target.stat().st_mtime_ns < clip.stat().st_mtime_ns:
            _raw(clip, target)
        done.append(target)
    done += _pictures(folder)
    return done


def install_samples(samples: str | Path) -> list[Path]:
    """Lay out DeepStream's samples folder at `samples`: models, configs and streams; returns all its files.

    Streams are filmed the first time (a minute or two) and kept afterwards. Raises MediaError as the parts do.
    """
    folder = Path(samples)
    return [*install_models(folder), *install_streams(folder)]


def _raw(clip: Path, target: Path) -> None:
    """The clip's H.264 as a byte stream, without decoding it."""
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        raise MediaError(f"{target.name}: gst-launch-1.0 is missing; install the package gstreamer1.0-tools")
    partial = target.with_name(target.name + ".partial")
    command = [
        launch, "-q", "filesrc", f"location={clip}", "!", "qtdemux", "!", "h264parse", "config-interval=-1",
        "!", "video/x-h264,stream-format=byte-stream,alignment=au", "!", "filesink", f"location={partial}",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not partial.is_file() or not partial.stat().st_size:
        partial.unlink(missing_ok=True)
        reason = next((line for line in result.stderr.splitlines() if line.strip()), "no reason given")
        raise MediaError(f"{target}: cannot take the H.264 stream out of {clip.name}: {reason.strip()}")
    os.replace(partial, target)


def _pictures(folder: Path) -> list[Path]:
    """A JPEG picture and a short run of JPEG pictures of the 720p street."""
    single, run = folder / "sample_720p.jpg", folder / "sample_720p.mjpeg"
    if not (single.exists() and run.exists()):
        street = Street(_SEED, 1280, 720, 5, 2, 4, 2)
        coded = [cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() for image, _ in street.frames(30, 30)]
        single.write_bytes(coded[0])
        run.write_bytes(b"".join(coded))
    return [single, run]
