"""Options of ``millrace pose`` and where its picture goes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from millrace.app.media import Input
from millrace.app.pose_model import CONFIDENCE, NMS_IOU
from millrace.app.rtsp_out import RtspAddress
from millrace.errors import MediaError

CONTAINERS = {".mp4": "mp4mux", ".m4v": "mp4mux", ".mov": "qtmux", ".mkv": "matroskamux", ".ts": "mpegtsmux"}
STILLS = {".jpg": "jpegenc", ".jpeg": "jpegenc", ".png": "pngenc"}


@dataclass(frozen=True)
class PoseOptions:
    """What the user asked for; see ``millrace pose --help``.

    Attributes:
        size: width and height of the drawn picture; ``None`` is the source's for one stream, 1280x720 for several.
        bitrate: of the encoded video, bits a second.
    """

    inputs: list[str]
    model: str | None = None
    out: str | None = None
    json: str | None = None
    tracker: bool = False
    display: bool = True
    confidence: float = CONFIDENCE
    nms_iou: float = NMS_IOU
    size: tuple[int, int] | None = None
    bitrate: int = 4_000_000


@dataclass(frozen=True)
class Output:
    """Where the drawn picture goes.

    Attributes:
        kind: ``file``, ``still``, ``rtsp``, ``window`` or ``nothing``.
        target: file or address, as the user wrote it.
        address: where to serve, for ``rtsp``.
    """

    kind: str
    target: str = ""
    address: RtspAddress | None = None

    @classmethod
    def parse(cls, options: PoseOptions, inputs: list[Input]) -> Output:
        """What ``--out`` asks for.

        Raises:
            MediaError: it cannot be written: no folder, no permission, an unknown ending, a port in use.
        """
        if options.out is None:
            screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
            return cls("window") if options.display and screen else cls("nothing")
        if options.out.startswith("rtsp://"):
            address = RtspAddress.parse(options.out)
            address.check_free()
            return cls("rtsp", options.out, address)
        path = Path(options.out).expanduser()
        if not path.parent.is_dir():
            raise MediaError(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise MediaError(f"cannot write {path}: {'it is a folder' if path.is_dir() else 'no permission'}")
        suffix = path.suffix.lower()
        if suffix in STILLS:
            if not all(item.picture for item in inputs):
                raise MediaError(f"--out {path} is a picture, and there is a video among the inputs; name an .mp4 file")
            return cls("still", str(path))
        if suffix not in CONTAINERS:
            raise MediaError(f"--out {path}: name a file ending in {', '.join([*CONTAINERS, *STILLS])}, or rtsp://…")
        return cls("file", str(path))
