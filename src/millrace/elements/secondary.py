"""Which objects a secondary nvinfer looks at, and what it remembers of tracked ones: plain Python."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple

from ..config import InferConfig, NetworkType
from ..infer.parsers.results import Classification
from ..meta.frame import NvDsFrameMeta
from ..meta.objects import NvDsObjectMeta
from ..track import UNTRACKED

GROWTH = 1.2  # a tracked object whose area grew by this factor is worth a new look
FORGET_FRAMES = 1800  # tracks not seen for so many frames are forgotten


class Track(NamedTuple):
    """A tracked object of one source."""

    source_id: int
    object_id: int


@dataclass
class _Memory:
    frame: int
    seen: int
    area: float
    found: Classification | None = None


class Selector:
    """Picks objects by instance, class and size, and spares tracked ones that were inferred on before.

    Args:
        config: the element's effective configuration.
        remember: keep by track when an object was inferred on, and its classification; classifiers do, and detectors
            with ``secondary-reinfer-interval``.
    """

    def __init__(self, config: InferConfig, remember: bool) -> None:
        self.configure(config)
        self._remember = remember
        self._tracks: dict[Track, _Memory] = {}
        self._lock = threading.Lock()

    def configure(self, config: InferConfig) -> None:
        """Go by other values from now on; what is remembered stays."""
        self._config = config
        self._classes = set(config.operate_on_class_ids)

    def takes(self, item: NvDsObjectMeta) -> bool:
        """Whether an object is of the instance, class and size that this element operates on."""
        config = self._config
        if config.operate_on_gie_id >= 0 and item.unique_component_id != config.operate_on_gie_id:
            return False
        if self._classes and item.class_id not in self._classes:
            return False
        width, height = item.rect_params.width, item.rect_params.height
        if width < max(1, config.input_object_min_width) or height < max(1, config.input_object_min_height):
            return False
        if config.input_object_max_width and width > config.input_object_max_width:
            return False
        return not (config.input_object_max_height and height > config.input_object_max_height)

    def track_of(self, frame: NvDsFrameMeta, item: NvDsObjectMeta) -> Track | None:
        """The track to remember the object by, ``None`` when it has none or nothing is remembered."""
        if not self._remember or item.object_id == UNTRACKED:
            return None
        return Track(frame.source_id, item.object_id)

    def is_due(self, frame: NvDsFrameMeta, item: NvDsObjectMeta, track: Track | None) -> bool:
        """Whether to infer on the object now; notes that it will be."""
        if track is None:
            return not self._config.classifier_async_mode  # without a track there is nobody to give a late result to
        area = item.rect_params.width * item.rect_params.height
        number = frame.frame_num
        with self._lock:
            memory = self._tracks.get(track)
            if memory is not None:
                memory.seen = number
                interval = self._config.secondary_reinfer_interval
                grown = self._config.network_type == NetworkType.CLASSIFIER and area > memory.area * GROWTH
                if number - memory.frame <= interval and not grown:
                    return False
                memory.frame, memory.area = number, area
                return True
            self._tracks[track] = _Memory(number, number, area)
            if len(self._tracks) % 256 == 0:
                self._forget(track.source_id, number)
            return True

    def _forget(self, source_id: int, number: int) -> None:
        old = [t for t, m in self._tracks.items() if t.source_id == source_id and number - m.seen > FORGET_FRAMES]
        for track in old:
            del self._tracks[track]

    def store(self, track: Track, found: Classification) -> None:
        """A new result takes the place of what was known, as in DeepStream, even when it has no label."""
        with self._lock:
            memory = self._tracks.get(track)
            if memory is not None:
                memory.found = found

    def recall(self, track: Track) -> Classification | None:
        """The latest result of a track."""
        with self._lock:
            memory = self._tracks.get(track)
            return memory.found if memory is not None else None

    def clear(self) -> None:
        """Forget all tracks."""
        with self._lock:
            self._tracks.clear()

    def remove_source(self, source_id: int) -> None:
        """A source has ended: its tracks are over."""
        with self._lock:
            for track in [t for t in self._tracks if t.source_id == source_id]:
                del self._tracks[track]
