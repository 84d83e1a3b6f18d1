"""nvurisrcbin's smart record: files of the encoded stream, from before the event to after it."""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from ._gst import Gst
from .base import post_warning
from .recordcache import Encoded, RecordCache, Timeline
from .recordinfo import c_info, capsule
from .recording import Recording

if TYPE_CHECKING:
    from .urisrcbin import NvUriSrcBin

log = logging.getLogger("millrace.elements")

_CACHE_S = 30  # DeepStream's, when no size is set
_DURATION_S = 10  # likewise
_LONGEST_S = 300  # a longer duration counts as none
_EXTENSIONS = ("mp4", "mkv")
_MUXERS = ("mp4mux", "matroskamux")
_VIDEO = ("video/x-h264", "video/x-h265")
_AUDIO_VIDEO, _VIDEO_ONLY, _AUDIO_ONLY = 0, 1, 2
_counter = itertools.count()  # one for all sources of the process, as in DeepStream's file names


class SmartRecord:
    """Keeps the cache of one nvurisrcbin and writes its recordings.

    Args:
        element: the bin; it is not kept alive.
    """

    def __init__(self, element: NvUriSrcBin) -> None:
        self._element = weakref.ref(element)
        self._lock = threading.RLock()
        self._timeline = Timeline()
        self._cache = RecordCache(
            element.value("smart-rec-cache") or element.value("smart-rec-video-cache") or _CACHE_S
        )
        self._caps: dict[str, Gst.Caps] = {}
        self._recording: Recording | None = None
        self._closing: set[Recording] = set()
        self._users: dict[Recording, int] = {}
        self._refused = False  # whether it was said that a recording is under way
        mode = int(element.value("smart-rec-mode"))
        self._kinds = {_VIDEO_ONLY: ("video",), _AUDIO_ONLY: ("audio",)}.get(mode, ("video", "audio"))
        folder = self._folder(element)
        if not os.path.isdir(folder):
            post_warning(
                element,
                f"{element.get_name()}: smart-rec-dir-path {folder} does not exist; create it, or nothing is recorded",
            )

    @staticmethod
    def _folder(element: NvUriSrcBin) -> str:
        return str(element.value("smart-rec-dir-path") or ".")

    @property
    def active(self) -> bool:
        """Whether a recording is under way."""
        return self._recording is not None

    # Frames in -----------------------------------------------------------------------------------------------------

    def tap(self, kind: str, pad: Gst.Pad) -> None:
        """Look at the encoded frames that arrive at a decoder's sink pad.

        Args:
            kind: ``"video"`` or ``"audio"``.
            pad: the pad; nothing is held up there and nothing changed.
        """
        if kind not in self._kinds:
            return
        owner = weakref.ref(self)  # a probe that held the recorder would keep all of its frames
        state = _Tap(kind)

        def probe(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            alive = owner()
            if alive is not None:
                if info.type & Gst.PadProbeType.BUFFER:
                    alive._frame(state, info.get_buffer())
                else:
                    alive._event(state, info.get_event())
            return Gst.PadProbeReturn.OK

        pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.EVENT_DOWNSTREAM, probe)

    def _event(self, state: _Tap, event: Gst.Event) -> None:
        if event.type == Gst.EventType.SEGMENT:
            event.copy_segment(state.segment)
            state.fresh = True
        elif event.type == Gst.EventType.CAPS:
            caps = event.parse_caps()
            structure = caps.get_structure(0)
            media = structure.get_name()
            if state.kind == "video" and media not in _VIDEO:
                element = self._element()
                if element is not None:
                    post_warning(element, f"{element.get_name()}: smart record writes H.264 and H.265, not {media}")
                state.form = None
                return
            names = ("width", "height", "channels", "rate", "stream-format")
            state.form = (media, *(structure.get_value(name) for name in names), _codec_data(structure))
            with self._lock:
                self._caps[state.kind] = caps

    def _frame(self, state: _Tap, buffer: Gst.Buffer) -> None:
        stamp = buffer.dts if buffer.dts != Gst.CLOCK_TIME_NONE else buffer.pts
        if state.form is None or stamp == Gst.CLOCK_TIME_NONE:
            return
        sign, running = state.segment.to_running_time_full(Gst.Format.TIME, stamp)
        if not sign:
            return
        shown = running + max(0, buffer.pts - stamp) if buffer.pts != Gst.CLOCK_TIME_NONE else running
        key = state.kind == "audio" or not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        with self._lock:
            at = self._timeline.place(sign * running, shown if sign > 0 else None)
            frame = Encoded(state.kind, at, at - stamp, key, state.fresh, state.form, buffer)
            state.fresh = False
            self._cache.add(frame)
            if self._recording is not None:
                self._recording.write(frame, self._caps)
                if self._recording.over:
                    self._let_go()

    # Recordings ----------------------------------------------------------------------------------------------------

    def start(self, back: int, duration: int, user: int) -> bool:
        """Begin a recording.

        Args:
            back: seconds of the past that are to be in it.
            duration: seconds from now on; 0, or 300 and more, take the default.
            user: address that ``sr-done`` hands on.

        Returns:
            Whether there is one now; when not, the reason is on the bus.
        """
        element = self._element()
        if element is None:
            return False
        seconds = duration if 0 < duration < _LONGEST_S else element.value("smart-rec-default-duration") or _DURATION_S
        container = int(element.value("smart-rec-container"))
        prefix = f"{element.value('smart-rec-file-prefix') or 'Smart_Record'}_{element.value('source-id')}"
        with self._lock:
            if self._recording is not None:
                if not self._refused:
                    self._refused = True
                    path = self._recording.path
                    post_warning(element, f"{element.get_name()}: start-sr does nothing until {path} is complete")
                return False
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
            name = f"{prefix}_{next(_counter):05d}_{stamp}_{os.getpid()}.{_EXTENSIONS[container]}"
            until = max(0, self._timeline.newest) + seconds * Gst.SECOND
            try:
                path = os.path.join(self._folder(element), name)
                recording = Recording(path, _MUXERS[container], until, seconds, self._report())
                for frame in self._cache.history(max(1, back)):
                    recording.write(frame, self._caps)
            except MediaError as error:
                post_warning(element, f"{element.get_name()}: smart record: {error}")
                return False
            self._refused = False
            self._users[recording] = user
            self._recording = recording
            recording.start()
        return True

    def stop(self) -> None:
        """End the recording now, if there is one."""
        with self._lock:
            if self._recording is not None:
                self._recording.finish()
                self._let_go()

    def _let_go(self) -> None:
        if self._recording is not None:
            self._closing.add(self._recording)
            self._recording = None

    def close(self) -> None:
        """The source stops: complete the file. Returns when that is done."""
        self.stop()
        with self._lock:
            closing = list(self._closing)
        for recording in closing:
            recording.join()

    def _report(self) -> Callable[[Recording, str], None]:
        owner = weakref.ref(self)  # a recording's thread must not keep the bin alive

        def ended(recording: Recording, failure: str) -> None:
            alive = owner()
            if alive is not None:
                alive._done(recording, failure)

        return ended

    def _done(self, recording: Recording, failure: str) -> None:
        """In the recording's thread: tell the application."""
        element = self._element()
        with self._lock:
            if self._recording is recording:
                self._recording = None
            self._closing.discard(recording)
            user = self._users.pop(recording, 0)
        if element is None:
            return
        try:
            if failure:
                post_warning(element, f"{element.get_name()}: smart record: {recording.path}: {failure}")
            if recording.complete:
                info = self._info(recording)
                element.emit("sr-done", capsule(ctypes.addressof(info)), capsule(user))
        finally:
            element.user_data.forget(user)

    @staticmethod
    def _info(recording: Recording) -> ctypes.Structure:
        folder, name = os.path.split(recording.path)
        video, audio = recording.video, recording.audio
        return c_info(
            name,
            folder,
            duration=recording.duration // 1_000_000,
            containerType=_EXTENSIONS.index(name.rpartition(".")[2]),
            width=video.get_int("width")[1] if video else 0,
            height=video.get_int("height")[1] if video else 0,
            containsVideo=int(video is not None),
            channels=audio.get_int("channels")[1] if audio else 0,
            samplingRate=audio.get_int("rate")[1] if audio else 0,
            containsAudio=int(audio is not None),
        )


class _Tap:
    """What is known at one decoder's sink pad."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.segment = Gst.Segment()
        self.segment.init(Gst.Format.TIME)
        self.fresh = True
        self.form: Hashable | None = None


def _codec_data(structure: Gst.Structure) -> bytes:
    data: Any = structure.get_value("codec_data")
    return data.extract_dup(0, data.get_size()) if isinstance(data, Gst.Buffer) else b""
