"""Past frames of tracked objects: where one that was lost for a while has been, told when it is found again."""

from __future__ import annotations

from dataclasses import dataclass

from ..meta.enums import NvDsMetaType
from ..meta.frame import NvDsBatchMeta
from ..meta.functions import nvds_acquire_user_meta_from_pool, nvds_add_user_meta_to_batch
from ..meta.tracker import (
    NvDsTargetMiscDataBatch,
    NvDsTargetMiscDataFrame,
    NvDsTargetMiscDataObject,
    NvDsTargetMiscDataStream,
)

Box = tuple[float, float, float, float]  # left, top, width, height in pixels of the frame
KEPT_FRAMES = 60  # an object not seen for longer than this is forgotten


@dataclass
class _Seen:
    frame_num: int
    box: Box
    confidence: float
    first: int  # number of the frame that the object was first seen in


class PastFrames:
    """Remembers where objects were last seen, and fills the gap by interpolation when one comes back."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[int, _Seen]] = {}
        self._found: dict[int, list[NvDsTargetMiscDataObject]] = {}

    def note(
        self, source: int, frame_num: int, track: int, box: Box, confidence: float, class_id: int, label: str
    ) -> None:
        """One object in one frame; frames must come in order."""
        seen = self._seen.setdefault(source, {})
        last = seen.get(track)
        if last is None:
            seen[track] = _Seen(frame_num, box, confidence, frame_num)
            return
        if 1 < frame_num - last.frame_num <= KEPT_FRAMES:
            found = self._gap(last, frame_num, box, confidence)
            found.uniqueId, found.classId, found.objLabel = track, max(0, class_id), label
            self._found.setdefault(source, []).append(found)
        last.frame_num, last.box, last.confidence = frame_num, box, confidence

    @staticmethod
    def _gap(last: _Seen, frame_num: int, box: Box, confidence: float) -> NvDsTargetMiscDataObject:
        found = NvDsTargetMiscDataObject()
        gap = frame_num - last.frame_num
        for step in range(1, gap):
            part = step / gap
            past = NvDsTargetMiscDataFrame()
            past.frameNum = last.frame_num + step
            left, top, width, height = (a + (b - a) * part for a, b in zip(last.box, box, strict=True))
            place = past.tBbox
            place.left, place.top, place.width, place.height = left, top, width, height
            past.confidence = min(last.confidence, confidence)
            past.age = past.frameNum - last.first
            found.append(past)
        return found

    def forget(self, source: int) -> None:
        """A source has ended."""
        self._seen.pop(source, None)
        self._found.pop(source, None)

    def tidy(self, source: int, frame_num: int) -> None:
        """Drop the objects of a source that have been away for too long."""
        seen = self._seen.get(source)
        if seen and frame_num % KEPT_FRAMES == 0:
            self._seen[source] = {k: v for k, v in seen.items() if frame_num - v.frame_num <= KEPT_FRAMES}

    def attach(self, batch: NvDsBatchMeta) -> None:
        """Put what was found since the last call on a batch, as ``NVDS_TRACKER_PAST_FRAME_META``."""
        if not self._found:
            return
        data = NvDsTargetMiscDataBatch()
        for source, objects in sorted(self._found.items()):
            stream = NvDsTargetMiscDataStream()
            stream.streamID = stream.surfaceStreamID = source
            for item in objects:
                stream.append(item)
            data.append(stream)
        self._found = {}
        user = nvds_acquire_user_meta_from_pool(batch)
        user.user_meta_data = data
        user.base_meta.meta_type = NvDsMetaType.NVDS_TRACKER_PAST_FRAME_META
        nvds_add_user_meta_to_batch(batch, user)
