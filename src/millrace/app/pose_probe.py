"""Reads the people off the metadata of a batch: JSON lines, skeletons to draw, counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from millrace.app.pose_stats import StreamStats
from millrace.errors import MillraceError

_UNTRACKED = 0xFFFFFFFFFFFFFFFF
_KEYPOINT_THRESHOLD = 0.5


class JsonLines:
    """The file of ``--json``: one line for each frame; ``-`` is stdout.

    Raises:
        MillraceError: the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[str]
        if path == "-":
            self._file = sys.stdout
            return
        try:
            self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - open as long as the run
        except OSError as error:
            raise MillraceError(f"cannot write {path}: {error.strerror}") from None

    def write(self, stream: str, frame: int, pts: int, objects: list[dict[str, Any]]) -> None:
        """Add the line of one frame; ``pts`` in nanoseconds, coordinates in the source's pixels."""
        line = {"stream": stream, "frame": frame, "pts": pts, "objects": objects}
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Write what is still in memory."""
        self._file.flush()
        if self._file is not sys.stdout:
            self._file.close()


def _source_scale(frame_meta: Any) -> tuple[float, float]:
    """Factors from the muxer's picture to the source's."""
    width, height = frame_meta.pipeline_width, frame_meta.pipeline_height
    if width <= 0 or height <= 0 or frame_meta.source_frame_width <= 0:
        return 1.0, 1.0
    return frame_meta.source_frame_width / width, frame_meta.source_frame_height / height


def describe_object(obj_meta: Any, scale_x: float = 1.0, scale_y: float = 1.0) -> dict[str, Any]:
    """One object as it stands in a JSON line.

    Args:
        obj_meta: NvDsObjectMeta, in pixels of the frame.
        scale_x: factor from these to the source's pixels.
        scale_y: the same for y.
    """
    from millrace.infer.parsers.pose import keypoints_of

    rect = obj_meta.rect_params
    points = keypoints_of(obj_meta)
    box = (rect.left * scale_x, rect.top * scale_y, rect.width * scale_x, rect.height * scale_y)
    keypoints: list[list[float]] = []
    if points is not None and len(points):
        scaled = np.asarray(points, dtype=np.float64) * (scale_x, scale_y, 1.0)
        keypoints = [[round(float(x), 3), round(float(y), 3), round(float(c), 4)] for x, y, c in scaled]
    return {
        "class_id": int(obj_meta.class_id),
        "label": str(obj_meta.obj_label),
        "confidence": round(float(obj_meta.confidence), 5),
        "track_id": None if obj_meta.object_id == _UNTRACKED else int(obj_meta.object_id),
        "box": [round(float(value), 3) for value in box],
        "keypoints": keypoints,
    }


class PoseProbe:
    """Sees each batch after inference.

    Args:
        streams: counts of each stream, by the number of its pad on the muxer.
        json_lines: where the frames go, if anywhere.
        draw: add skeletons to the display metadata.
        finish: frames leave the pipeline here (nothing is drawn after this point).
    """

    def __init__(self, streams: list[StreamStats], json_lines: JsonLines | None, *, draw: bool, finish: bool) -> None:
        self._streams = streams
        self._json = json_lines
        self._draw = draw
        self._finish = finish

    def inferred(self, buffer_address: int) -> None:
        """A batch with its objects; ``buffer_address`` is ``hash(gst_buffer)``."""
        import pyds

        batch_meta = pyds.gst_buffer_get_nvds_batch_meta(buffer_address)
        if batch_meta is None:
            return
        for frame_meta in batch_meta.frames:
            objects = list(frame_meta.objects)
            stream = self._streams[frame_meta.pad_index]
            if self._json is not None:
                scale = _source_scale(frame_meta)
                described = [describe_object(obj_meta, *scale) for obj_meta in objects]
                self._json.write(stream.name, frame_meta.frame_num, frame_meta.buf_pts, described)
            if self._draw:
                self._add_skeletons(batch_meta, frame_meta, objects)
            if self._finish:
                stream.leave(frame_meta.buf_pts, len(objects))

    def drawn(self, buffer_address: int) -> None:
        """A batch that was drawn: its frames are finished."""
        import pyds

        batch_meta = pyds.gst_buffer_get_nvds_batch_meta(buffer_address)
        if batch_meta is None:
            return
        for frame_meta in batch_meta.frames:
            self._streams[frame_meta.pad_index].leave(frame_meta.buf_pts, frame_meta.num_obj_meta)

    def _add_skeletons(self, batch_meta: Any, frame_meta: Any, objects: list[Any]) -> None:
        from millrace.infer.parsers.pose import keypoints_of
        from millrace.infer.parsers.pose_display import add_pose_display_meta

        points = [keypoints_of(obj_meta) for obj_meta in objects]
        found = [item for item in points if item is not None and len(item)]
        if not found:
            return
        # lines that a big picture's tile can still show
        width = max(2, round(frame_meta.source_frame_width / 480))
        add_pose_display_meta(
            batch_meta,
            frame_meta,
            np.stack(found),
            threshold=_KEYPOINT_THRESHOLD,
            line_width=width,
            radius=width + 1,
        )
