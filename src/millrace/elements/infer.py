"""nvinfer: a network on each frame (primary) or on each object (secondary) of a batch."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ..config import InferConfig, NetworkType, ProcessMode
from ..infer import InferContext, InferItem, InferJob
from ..meta.batch import Batch
from ..meta.frame import NvDsFrameMeta
from ..meta.objects import NvDsObjectMeta
from ..meta.preprocess import NvDsRoiMeta
from ..surface import Rect
from . import _native
from . import caps as nvcaps
from ._gst import GObject, Gst
from .attach import Attacher
from .base import post_error, post_warning
from .events import INFER_INTERVAL_UPDATE
from .handle import batch_of
from .infersettings import InferSettings
from .modelupdate import ModelUpdater
from .outqueue import OutputQueue
from .properties import properties_of
from .secondary import Selector, Track
from .tensorinput import TensorInput

log = logging.getLogger("millrace.infer")

_NEVER = 2**31 - 1  # secondary-reinfer-interval where it is not set
_WARN_EVERY = 5 * 60 * Gst.SECOND

_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420", "BGRx", "BGRA", "RGB", "BGR")))


class _Target(NamedTuple):
    """What a result belongs to: a frame, or an object of it, and the track to remember a classification by.

    ``roi`` is the row of an input tensor that the result is of.
    """

    frame: NvDsFrameMeta
    item: NvDsObjectMeta | None = None
    track: Track | None = None
    roi: NvDsRoiMeta | None = None


class _Work(NamedTuple):
    """Inference under way for one buffer; ``recalled`` are objects that get what is remembered of them."""

    jobs: list[InferJob]
    targets: list[_Target]
    recalled: list[_Target]
    attacher: Attacher


class NvInfer(InferSettings, Gst.Element):
    """Runs a network over batches, asynchronously, and attaches what it finds."""

    __gtype_name__ = "GstNvInfer"
    __gstmetadata__ = (
        "NvInfer plugin",
        "NvInfer Plugin",
        "Runs a neural network over batched frames or their objects and attaches the results as metadata",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, _CAPS),
    )
    __gproperties__ = properties_of("nvinfer")
    __gsignals__ = {"model-updated": (GObject.SignalFlags.RUN_LAST, None, (GObject.TYPE_INT, GObject.TYPE_STRING))}

    def __init__(self) -> None:
        super().__init__()
        self._context: InferContext | None = None
        self._attacher: Attacher | None = None
        self._batches = 0
        self._active: InferConfig | None = None  # what the context was built from
        self._primary = True
        self._tensors: TensorInput | None = None  # instead of pictures
        self._late: ThreadPoolExecutor | None = None
        self._warned_at: int | None = None  # stream time of the last warning about objects without a track
        self._updater = ModelUpdater(self.get_name(), self._tell_update)
        self._output = OutputQueue(self, self.srcpad, self._finish, passing=self._event_passes)

    # What InferSettings asks -----------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether the network is in use."""
        return self._output.running

    def engine_in_use(self) -> str:
        """The compiled engine's file, empty before one is loaded."""
        return "" if self._context is None else str(self._context.engine_file)

    def update_model(self, name: str, path: str) -> None:
        """Load another model beside the one in use; it takes over between two batches."""
        if self._active is not None and self._context is not None:
            self._updater.load(name, path, self._active, self._context)

    def _tell_update(self, status: int, path: str, trouble: str) -> None:
        if trouble:
            post_warning(self, f"the model of {path or 'an empty path'} does not take over: {trouble}")
        self.emit("model-updated", status, path)

    # State ---------------------------------------------------------------------------------------------------------

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Load the engine on the way up; stop the pushing thread and free the engine on the way down."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            try:
                self._start()
            except BaseException as error:  # a parse function's file may call sys.exit()
                post_error(self, error)
                return Gst.StateChangeReturn.FAILURE
        elif transition == Gst.StateChange.PAUSED_TO_READY:
            self._output.halt()
        result = Gst.Element.do_change_state(self, transition)
        if transition == Gst.StateChange.PAUSED_TO_READY:
            self._output.join()
            if self._late is not None:
                self._late.shutdown()
                self._late = None
            self._updater.stop()
            if self._updater.ready is not None:  # no batch came any more for it to take over at
                self._take_over()
        elif transition == Gst.StateChange.READY_TO_NULL and self._context is not None:
            self._context.close()
            self._context = None
        return result

    def _start(self) -> None:
        self._kept.pop("classifier_async_mode", None)
        config = self.effective_config()
        if config.classifier_async_mode and (
            config.process_mode == ProcessMode.PRIMARY or config.network_type != NetworkType.CLASSIFIER
        ):
            post_warning(self, "classifier-async-mode=1 is for secondary classifiers only: it is turned off here")
            self._kept["classifier_async_mode"] = False
            config = self.effective_config()
        if self._context is not None and self._active != config:
            self._context.close()
            self._context = None
        if self._context is None:
            for key in config.no_effect_keys:
                log.info("%s: %s has no effect on this machine", self.get_name(), key)
            self._context = InferContext(config, batch_size=config.batch_size)
        self._primary = config.process_mode == ProcessMode.PRIMARY
        classifies = config.network_type == NetworkType.CLASSIFIER
        spares = config.network_type == NetworkType.DETECTOR and config.secondary_reinfer_interval != _NEVER
        self._selector = Selector(config, remember=(classifies or spares) and not self._primary)
        name, tensors = self.get_name(), config.input_tensor_from_meta
        if tensors and config.classifier_async_mode:
            log.info("%s: classifier-async-mode has no effect with input-tensor-meta", name)
        self._apply(config)
        late = classifies and not self._primary and config.classifier_async_mode and not tensors
        self._late = ThreadPoolExecutor(1, f"{name}:late") if late else None
        self._batches, self._warned_at, self._stale = 0, None, False
        self._output.start()

    def _apply(self, config: InferConfig) -> None:
        """Go by a configuration for the context in use from now on."""
        context, before = self._context, self._active
        assert context is not None
        if context.config != config:
            context.reconfigure(config)
        self._active = config
        self._attacher = Attacher(config, context)
        self._selector.configure(config)
        if not config.input_tensor_from_meta:
            self._tensors = None
        elif self._tensors is None or before is None or before.gie_unique_id != config.gie_unique_id:
            self._tensors = TensorInput(self.get_name(), config.gie_unique_id, context)

    def _catch_up(self) -> None:
        """Before a batch: take over a model that is ready, and properties that were set."""
        if self._updater.ready is not None:
            self._output.wait_until_empty()
            if self._late is not None:
                self._late.submit(bool).result()
            if self._output.flow == _native.FLOW_OK:
                self._take_over()
        if self._stale:
            with self._setting:
                self._stale = False
                config = self.effective_config()
            self._apply(config)

    def _take_over(self) -> None:
        """Put the ready model in the place of the old one, of which nothing is under way any more."""
        ready, old = self._updater.ready, self._context
        assert ready is not None and old is not None
        with self._setting:
            self._context, self._config, self._tensors = ready.context, ready.config, None
            if ready.name == "config-file-path":
                self._values["config-file-path"] = ready.path
                self._set_by_user.discard("model-engine-file")
            else:
                self._values["model-engine-file"] = ready.path
                self._set_by_user.add("model-engine-file")
            config = self.effective_config()
        self._selector.clear()
        self._apply(config)
        self._updater.taken(old)

    # Events --------------------------------------------------------------------------------------------------------

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """Serialized events wait their turn behind the buffers that are being inferred on."""
        if event.type == Gst.EventType.EOS:
            self._batches = 0
        self._look_for_interval(event)
        if event.type == Gst.EventType.FLUSH_START:
            result = bool(self.srcpad.push_event(event))
            self._output.flush(True)
            return result
        if event.type == Gst.EventType.FLUSH_STOP:
            self._output.flush(False)
            return bool(self.srcpad.push_event(event))
        if _native.is_serialized(event) and self._output.running:
            return self._output.put_event(event)
        return bool(self.srcpad.push_event(event))

    def _event_passes(self, event: Gst.Event) -> None:
        """In the pushing thread: the tracks of a source that ended are over."""
        structure = event.get_structure()
        if structure is not None and structure.get_name() in ("nv-stream-eos", "nv-pad-deleted", "nv-stream-reset"):
            found, source = structure.get_uint("source-id")
            if found:
                self._selector.remove_source(source)

    def _look_for_interval(self, event: Gst.Event) -> None:
        if _native.event_type(event) == INFER_INTERVAL_UPDATE:
            found, interval = event.get_structure().get_uint("interval")
            if found:
                self.set_now("interval", interval)

    def on_sink_query(self, pad: Gst.Pad, query: Gst.Query) -> bool:
        """A drain waits for the inference under way."""
        if query.type == Gst.QueryType.DRAIN:
            self._output.wait_until_empty()
        return super().on_sink_query(pad, query)

    # Data ----------------------------------------------------------------------------------------------------------

    def chain(self, pad: int, address: int) -> int:
        """Start inference on the buffer and queue it for the pushing thread."""
        if self._output.flow != _native.FLOW_OK:
            _native.mini_object_unref(address)
            return self._output.flow
        address, batch = self.writable_batch(address, need_meta=True)
        try:
            self._catch_up()
            work = self._submit(batch)
        except BaseException:
            _native.mini_object_unref(address)
            raise
        return self._output.put_buffer(address, work)

    def _submit(self, batch: Batch) -> _Work:
        context, config = self._context, self._active
        attacher = self._attacher
        assert context is not None and config is not None and attacher is not None and batch.meta is not None
        if self._tensors is not None:
            jobs, rows = self._tensors.submit(batch)
            return _Work(jobs, [_Target(frame, roi.object_meta, None, roi) for frame, roi in rows], [], attacher)
        if self._primary:
            skip = self._batches % (config.interval + 1) != 0
            self._batches += 1
            if skip:
                return _Work([], [], [], attacher)
        frames = batch.meta.frames
        if self._primary:
            targets = [_Target(frame) for frame in frames]
            recalled: list[_Target] = []
        else:
            targets, recalled = self._select(batch, frames)
        items = [InferItem(batch.surface_of(t.frame), None if t.item is None else _rect_of(t.item)) for t in targets]
        size = context.batch_size
        jobs = [context.submit(items[start : start + size]) for start in range(0, len(items), size)]
        if self._late is not None and jobs:
            self._late.submit(self._store, jobs, targets)
            return _Work([], [], recalled + targets, attacher)
        return _Work(jobs, targets, recalled, attacher)

    def _select(self, batch: Batch, frames: list[NvDsFrameMeta]) -> tuple[list[_Target], list[_Target]]:
        """Objects to infer on, and objects that are known."""
        targets: list[_Target] = []
        recalled: list[_Target] = []
        for frame in frames:
            surface = batch.surface_of(frame)
            for item in frame.objects:
                if not self._selector.takes(item) or not _is_inside(item, surface.width, surface.height):
                    continue
                track = self._selector.track_of(frame, item)
                if track is None and self._late is not None:
                    self._warn_untracked(frame.buf_pts)
                target = _Target(frame, item, track)
                if self._selector.is_due(frame, item, track):
                    targets.append(target)
                elif track is not None:
                    recalled.append(target)
        return targets, recalled

    def _warn_untracked(self, pts: int) -> None:
        """Say now and then that an object without a track gets no label in asynchronous mode."""
        if self._warned_at is None or not 0 <= pts - self._warned_at <= _WARN_EVERY:
            self._warned_at = pts
            text = "objects without a track are not classified; put nvtracker before this element"
            post_warning(self, f"classifier-async-mode=1: {text}")

    def _store(self, jobs: list[InferJob], targets: list[_Target]) -> None:
        """In asynchronous mode: remember results when they come, for the frames after."""
        try:
            results = [result for job in jobs for result in job.result()]
        except BaseException as error:  # nobody looks at this thread's results
            post_error(self, error)
            return
        for target, result in zip(targets, results, strict=True):
            if target.track is not None and result.classes is not None:
                self._selector.store(target.track, result.classes)

    def _finish(self, address: int, work: _Work) -> int:
        """In the pushing thread: wait for the results and attach them."""
        if not work.targets and not work.recalled:
            return address
        batch = batch_of(address)
        assert batch is not None and batch.meta is not None
        meta, attacher = batch.meta, work.attacher
        results = [result for job in work.jobs for result in job.result()]
        for target, result in zip(work.targets, results, strict=True):
            frame, item, track, roi = target
            attacher.attach(meta, frame, item, result, roi)
            if roi is not None:
                frame.bInferDone = True
                if result.classes is not None:
                    attacher.classify(meta, item, result.classes, roi)
            elif item is None:
                frame.bInferDone = True
                if result.classes is not None:
                    attacher.classify_frame(meta, frame, result.classes)
            elif result.classes is not None:
                if track is not None:
                    self._selector.store(track, result.classes)
                attacher.classify(meta, item, result.classes)
        for _frame, item, track, _roi in work.recalled:
            known = self._selector.recall(track) if track is not None else None
            if known is not None and item is not None:
                attacher.classify(meta, item, known)
        return address


def _rect_of(item: NvDsObjectMeta) -> Rect:
    rect = item.rect_params
    return Rect(rect.left, rect.top, rect.width, rect.height)


def _is_inside(item: NvDsObjectMeta, width: int, height: int) -> bool:
    """Whether at least a pixel of the object lies in the frame."""
    rect = item.rect_params
    return rect.left < width - 1 and rect.top < height - 1 and rect.left + rect.width > 1 and rect.top + rect.height > 1
