"""Running an application, serving it streams, and comparing the counts it prints with the truth of its clip."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from millrace.samples import read_street_truth
from millrace.samples.scoring import asked_for

VEHICLE, PERSON = 0, 2
COUNTS = re.compile(r"Frame Number= ?(\d+) Number of Objects= ?(\d+) Vehicle_count= ?(\d+) Person_count= ?(\d+)")
ALARM = re.compile(r"CRITICAL|GStreamer-WARNING|GLib-\w*-WARNING|Traceback|Segmentation")

RECORDER = (
    "rtspsrc location=rtsp://127.0.0.1:{port}/ds-test protocols=udp latency=200 ! rtp{codec}depay ! decodebin ! "
    "videoconvert ! pngenc ! multifilesink location={folder}/out%04d.png"
)


@dataclass
class Counts:
    """Rows (frame, objects, vehicles, persons) that an application printed."""

    rows: list[tuple[int, int, int, int]]

    @classmethod
    def of(cls, text: str) -> Counts:
        return cls([(int(a), int(b), int(c), int(d)) for a, b, c, d in COUNTS.findall(text)])

    def compare(self, clip: Path, every: int = 1) -> Comparison:
        """With the clip's truth; the application's frame k is the clip's frame k * every."""
        truth = read_street_truth(clip)
        height = cv2.VideoCapture(str(clip.with_suffix(".mp4"))).get(cv2.CAP_PROP_FRAME_HEIGHT)
        fits, means, low, high = 0, np.zeros(2), np.zeros(2), np.zeros(2)
        for frame, _, vehicles, persons in self.rows:
            things = truth[min(frame * every, len(truth) - 1)]
            counted = np.array([vehicles, persons])
            least = np.array(
                [sum(t.class_id == c and asked_for(t, int(height)) for t in things) for c in (VEHICLE, PERSON)]
            )
            most = np.array([sum(t.class_id == c for t in things) for c in (VEHICLE, PERSON)])
            # one object that is half hidden or small may be counted or not
            fits += int(((least - 1 <= counted) & (counted <= most + 1)).all())
            means, low, high = means + counted, low + least, high + most
        n = max(len(self.rows), 1)
        return Comparison(len(self.rows), len(truth), fits / n, *(tuple(x / n) for x in (means, low, high)))


@dataclass
class Comparison:
    """Means are of vehicles and persons a frame; the truth counts those well seen (low) and all (high)."""

    frames: int
    truth_frames: int
    fitting: float
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __str__(self) -> str:
        parts = [
            f"{name} {self.mean[i]:.2f} a frame (truth {self.low[i]:.2f} well seen, {self.high[i]:.2f} in all)"
            for i, name in enumerate(("vehicles", "persons"))
        ]
        return f"{self.frames} frames; {'; '.join(parts)}; {self.fitting:.1%} of the frames within one of the truth"

    @property
    def plausible(self) -> bool:
        inside = all(
            low - 0.4 <= mean <= high + 0.4 for mean, low, high in zip(self.mean, self.low, self.high, strict=True)
        )
        return inside and self.fitting >= 0.9


@dataclass
class Result:
    code: int
    out: str
    err: str
    seconds: float
    pictures: list[Path] = field(default_factory=list)


@dataclass
class Apps:
    """A clone of the applications beside the installed samples."""

    root: Path
    streams: Path
    environment: dict[str, str]
    table: list[tuple[str, str, str]]

    def note(self, app: str, args: Any, what: str) -> None:
        shown = [re.sub(r"(file://)?/\S*/(samples/streams|pytest-\d+)/", "", str(a)) for a in args]
        self.table.append((app, "millrace run " + " ".join(shown), what))

    def run(
        self, folder: str, *args: object, timeout: float = 150, record: tuple[int, str, Path] | None = None,
        interrupt: float | None = None,
    ) -> Result:  # fmt: skip
        """Run an application in its folder to its end.

        Args:
            folder: below the clone.
            args: script and arguments.
            timeout: seconds after which it counts as hung.
            record: RTSP port, codec and folder: decode what the application sends meanwhile.
            interrupt: press Ctrl-C after so many seconds.
        """
        command = [sys.executable, "-m", "millrace.app.cli", "run", *map(str, args)]
        started = time.monotonic()
        out = self.root.parent.parent / "out.txt"
        err = self.root.parent.parent / "err.txt"
        with out.open("w") as o, err.open("w") as e:
            process = subprocess.Popen(command, cwd=self.root / folder, env=self.environment, stdout=o, stderr=e)
            recorder = None
            try:
                if record is not None:
                    recorder = _record(process, *record)
                if interrupt is not None:
                    time.sleep(max(0.0, started + interrupt - time.monotonic()))
                    process.send_signal(signal.SIGINT)
                code = process.wait(timeout)
            finally:
                process.kill()
                if recorder is not None:
                    recorder.kill()
        result = Result(
            code, out.read_text(errors="replace"), err.read_text(errors="replace"), time.monotonic() - started
        )
        if record is not None:
            result.pictures = sorted(record[2].glob("out*.png"))[:-1]  # the last one may be cut off
        assert code == 0, f"exit {code}:\n{result.out[-2000:]}\n{result.err[-2000:]}"
        alarms = [line for line in result.err.splitlines() if ALARM.search(line)]
        assert not alarms, "\n".join(alarms[:20])
        return result


def _record(process: subprocess.Popen[Any], port: int, codec: str, folder: Path) -> subprocess.Popen[Any]:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    description = RECORDER.format(port=port, codec=codec, folder=folder)
    return subprocess.Popen(
        ["gst-launch-1.0", "-q", *description.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
