"""nvtracker: ids for objects across the frames of each source."""

from __future__ import annotations

import logging
import os

import numpy as np

from ..errors import ConfigError
from ..meta.frame import NvDsFrameMeta
from ..meta.objects import NvDsObjectMeta
from ..track import IouTracker
from . import caps as nvcaps
from ._gst import Gst
from .base import class_ids, post_error
from .filter import NvFilter
from .pastframes import PastFrames
from .properties import properties_of

log = logging.getLogger("millrace.track")

FONT, FONT_SIZE = "Serif", 10
CONFIDENCE = 1.0  # of a track that a box was found for; overlap has no measure of its own
_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420", "BGRx", "BGRA")))


class NvTracker(NvFilter, Gst.Element):
    """Associates boxes by overlap (IOU), whatever low-level library the application names."""

    __gtype_name__ = "GstNvTracker"
    __gstmetadata__ = (
        "NvTracker plugin",
        "NvTracker functionality",
        "Gives objects the same id in all frames of a source",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = properties_of("nvtracker")

    def __init__(self) -> None:
        super().__init__()
        self._tracker = IouTracker()
        self._past = PastFrames()
        self._classes: set[int] | None = None

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Start with no tracks."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            self._tracker, self._past = IouTracker(), PastFrames()
            wanted = self.value("operate-on-class-ids")
            try:
                self._classes = set(class_ids(self, "operate-on-class-ids", wanted, ":")) if wanted else None
            except ConfigError as error:
                post_error(self, error)
                return Gst.StateChangeReturn.FAILURE
            library = self.value("ll-lib-file")
            if library and "iou" not in os.path.basename(library).lower():
                log.info(
                    "%s: objects are tracked by overlap (IOU); %s is not loaded",
                    self.get_name(),
                    os.path.basename(library),
                )
        return Gst.Element.do_change_state(self, transition)

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """A source that ends takes its tracks along."""
        structure = event.get_structure()
        if structure is not None and structure.get_name() in (
            "nv-stream-eos",
            "nv-pad-deleted",
            "nv-stream-reset",
        ):
            found, source = structure.get_uint("source-id")
            if found:
                self._tracker.remove_stream(source)
                self._past.forget(source)
        return super().on_sink_event(pad, event)

    def process(self, address: int) -> int | None:
        """Track the objects of every frame."""
        address, batch = self.writable_batch(address, need_meta=True)
        assert batch.meta is not None
        for frame in batch.meta.frames:
            self._track(frame)
        self._past.attach(batch.meta)
        return address

    def _track(self, frame: NvDsFrameMeta) -> None:
        items = [item for item in frame.objects if self._classes is None or item.class_id in self._classes]
        boxes = np.array(
            [(r.left, r.top, r.width, r.height) for r in (item.rect_params for item in items)],
            dtype=np.float32,
        ).reshape(-1, 4)
        class_ids = np.array([item.class_id for item in items], dtype=np.int64)
        scores = np.array([item.confidence for item in items], dtype=np.float32)
        ids = self._tracker.update(frame.source_id, frame.frame_num, boxes, class_ids, scores)
        show = bool(self.value("display-tracking-id"))
        for item, track, box in zip(items, ids.tolist(), boxes.tolist(), strict=True):
            item.object_id = track
            item.tracker_confidence = CONFIDENCE
            place = item.tracker_bbox_info.org_bbox_coords
            place.left, place.top, place.width, place.height = box
            rect = (box[0], box[1], box[2], box[3])
            self._past.note(
                frame.source_id, frame.frame_num, track, rect, item.confidence, item.class_id, item.obj_label
            )
            self._caption(item, track if show else None)
        self._past.tidy(frame.source_id, frame.frame_num)

    @staticmethod
    def _caption(item: NvDsObjectMeta, track: int | None) -> None:
        """Objects that a probe made carry no font: give them one, so that their text can be seen."""
        text = item.text_params
        if not text.font_params.font_size:
            text.font_params.font_name, text.font_params.font_size = FONT, FONT_SIZE
            text.font_params.font_color.set(1.0, 1.0, 1.0, 1.0)
        if track is not None:
            caption = text.text or item.obj_label
            text.display_text = f"{caption} {track & 0xFFFFFFFF}" if caption else str(track & 0xFFFFFFFF)
