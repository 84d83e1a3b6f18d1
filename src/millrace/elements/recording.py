"""One file of a smart recording: a pipeline of its own, so that nothing it does can disturb the source."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import MediaError
from ._gst import Gst
from .base import make_element
from .recordcache import SECOND, Encoded

log = logging.getLogger("millrace.elements")

_PARSERS = {"video/x-h264": "h264parse", "video/x-h265": "h265parse"}
_STAMPERS = {"video/x-h264": "h264timestamper", "video/x-h265": "h265timestamper"}
_COPY = Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.TIMESTAMPS | Gst.BufferCopyFlags.MEMORY
_QUEUED_BYTES = 256 << 20  # a disk that is further behind than this cannot keep up
_CLOSE_S = 10.0
_SILENT_S = 1.0
_POLL_NS = 100 * Gst.MSECOND


class Recording:
    """Writes encoded frames into a file until its time is over.

    Args:
        path: the file; it must not exist yet.
        muxer: factory name, such as ``"mp4mux"``.
        until: place on the frames' timeline where the recording ends, in nanoseconds.
        seconds: the same as a length of time, for sources that fall silent.
        ended: called once from the recording's thread, with the reason when the file could not be finished.

    Raises:
        MediaError: the file cannot be created; the message says what mends it.
    """

    def __init__(self, path: str, muxer: str, until: int, seconds: int, ended: Callable[[Recording, str], None]):
        self.path = path
        self.until = until
        self.video: Gst.Structure | None = None
        self.audio: Gst.Structure | None = None
        self.frames = 0
        self.complete = False  # whether the file can be played
        self._muxer, self._seconds, self._ended = muxer, seconds, ended
        self._started = self._arrived = time.monotonic()
        self._first = self._last = 0
        self._form: dict[str, Any] = {}
        self._waits_for_key = True
        self._sources: dict[str, Gst.Element] = {}
        self._pipeline: Gst.Pipeline | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._over_at = 0.0
        self._trouble = ""
        try:
            with open(path, "xb"):
                pass
        except OSError as error:
            raise MediaError(f"cannot write {path}: {error.strerror}; {_mend(error, os.path.dirname(path))}") from None
        self._thread = threading.Thread(target=self._run, name=f"record:{os.path.basename(path)}", daemon=True)

    @property
    def duration(self) -> int:
        """Length of what was written, in nanoseconds."""
        return max(0, self._last - self._first)

    @property
    def over(self) -> bool:
        """Whether it takes no more frames; the file may not be complete yet."""
        return self._over.is_set()

    def start(self) -> None:
        """Begin to wait for the end."""
        self._thread.start()

    def write(self, frame: Encoded, caps: dict[str, Gst.Caps]) -> None:
        """Add a frame; returns at once. Frames before the first key frame are left out.

        Args:
            frame: the next frame in decoding order.
            caps: of each kind of stream that is to be in the file, known when the first frame comes.
        """
        with self._lock:
            if self._over.is_set():
                return
            self._arrived = time.monotonic()
            if frame.time >= self.until:
                self._finish()
                return
            if frame.fresh and frame.kind == "video":
                self._waits_for_key = True  # what comes after an interruption cannot be decoded before a key frame
            if self._waits_for_key:
                if not frame.key or (frame.kind != "video" and "video" in caps):
                    return
                self._waits_for_key = False
            if self._pipeline is None:
                self._first = self._last = frame.time
                self._build(caps)
            if self._form.setdefault(frame.kind, frame.form) != frame.form:
                log.info("%s: the stream has another size or codec now; the recording ends", self.path)
                self._finish()
                return
            source = self._sources.get(frame.kind)
            if source is not None:
                self._push(source, frame)

    def _push(self, source: Gst.Element, frame: Encoded) -> None:
        # Gst.Buffer.copy() is another reference to the same buffer; this one shares only the bytes.
        buffer = frame.data.copy_region(_COPY, 0, frame.data.get_size())
        shift = frame.shift - self._first
        for stamp in ("pts", "dts"):
            value = getattr(buffer, stamp)
            if value != Gst.CLOCK_TIME_NONE:
                setattr(buffer, stamp, max(0, value + shift))
        length = buffer.duration if buffer.duration != Gst.CLOCK_TIME_NONE else SECOND // 25
        self._last = max(self._last, frame.time + length)
        self.frames += 1
        source.emit("push-buffer", buffer)
        if source.get_property("current-level-bytes") > _QUEUED_BYTES:
            self._trouble = "the disk is too slow for this stream; record to a faster one"
            self._finish()

    def _build(self, caps: dict[str, Gst.Caps]) -> None:
        pipeline = Gst.Pipeline.new(None)
        sink = make_element("filesink")
        sink.set_property("location", self.path)
        sink.set_property("async", False)
        muxer = make_element(self._muxer_for(caps))
        pipeline.add(muxer)
        pipeline.add(sink)
        muxer.link(sink)
        for kind, form in caps.items():
            structure = form.get_structure(0)
            setattr(self, kind, structure.copy())
            media = structure.get_name()
            source = make_element("appsrc")
            source.set_property("caps", form)
            source.set_property("format", Gst.Format.TIME)
            source.set_property("max-bytes", 0)
            chain = [source]
            if media in _PARSERS:
                chain.append(make_element(_PARSERS[media]))
                if Gst.ElementFactory.find(_STAMPERS[media]) is not None:
                    chain.append(make_element(_STAMPERS[media]))  # RTSP has no decoding times, and files need them
            elif media == "audio/mpeg" and structure.get_int("mpegversion")[1] == 4:
                chain.append(make_element("aacparse"))
            chain.append(make_element("queue"))
            for element in chain:
                pipeline.add(element)
            for one, other in zip([*chain], [*chain[1:], muxer], strict=True):
                one.link(other)
            self._sources[kind] = source
        self._pipeline = pipeline
        if pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            self._trouble = self._trouble or "cannot be written"

    def _muxer_for(self, caps: dict[str, Gst.Caps]) -> str:
        """MP4 with audio that only QuickTime's variant of it knows, such as G.711, takes that."""
        audio = caps.get("audio")
        factory = Gst.ElementFactory.find(self._muxer)
        if audio is None or factory is None or factory.can_sink_any_caps(audio) or self._muxer != "mp4mux":
            return self._muxer
        return "qtmux"

    def finish(self) -> None:
        """End the recording now; the file is complete some moments later."""
        with self._lock:
            self._finish()

    def _finish(self) -> None:
        if not self._over.is_set():
            self._over_at = time.monotonic()
            self._over.set()
            for source in self._sources.values():
                source.emit("end-of-stream")

    def join(self) -> None:
        """Wait until the file is complete."""
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S + 2)

    def _run(self) -> None:
        """Wait for the end and close the file."""
        try:
            failure = self._wait()
        finally:
            if self._pipeline is not None:
                self._pipeline.set_state(Gst.State.NULL)
        if not self.frames and not failure:
            failure = "no key frame came in its time; nothing was recorded"
        if not self.frames:
            try:
                os.unlink(self.path)
            except OSError as error:
                log.info("%s: %s", self.path, error.strerror)
        self._ended(self, failure)

    def _wait(self) -> str:
        while True:
            now = time.monotonic()
            if not self._over.is_set():
                if now - self._started >= self._seconds and now - self._arrived >= _SILENT_S:
                    self.finish()  # the source has fallen silent, so no frame will say that it is time
            elif self._pipeline is None:
                return self._trouble
            elif now - self._over_at > _CLOSE_S:
                return f"could not be completed within {_CLOSE_S:g} s"
            if self._pipeline is None:
                self._over.wait(_POLL_NS / Gst.SECOND)
                continue
            message = self._pipeline.get_bus().timed_pop_filtered(_POLL_NS, Gst.MessageType.EOS | Gst.MessageType.ERROR)
            if message is None:
                continue
            if message.type == Gst.MessageType.EOS:
                self.complete = self.frames > 0
                return self._trouble
            error, details = message.parse_error()
            reason = (details or "").strip().rpartition("\n")[2]
            self.finish()
            return f"{error.message} {reason}".strip()


def _mend(error: OSError, folder: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"create the folder {folder} or set smart-rec-dir-path to one that exists"
    if isinstance(error, PermissionError):
        return f"make {folder} writable for this user or set smart-rec-dir-path to a folder that is"
    if isinstance(error, NotADirectoryError):
        return f"{folder} is no folder; set smart-rec-dir-path to one"
    return "make room there or set smart-rec-dir-path to another folder"
