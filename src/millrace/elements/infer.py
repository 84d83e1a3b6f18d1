"""nvinfer: a network on each frame (primary) or on each object (secondary) of a batch."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple

from ..config import InferConfig, NetworkType, ProcessMode, load_infer_config
from ..errors import ConfigError, MillraceError
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
from .filter import NvFilter
from .handle import batch_of
from .outqueue import OutputQueue
from .properties import properties_of
from .secondary import Selector, Track
from .tensorinput import TensorInput

log = logging.getLogger("millrace.infer")

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


class NvInfer(NvFilter, Gst.Element):
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

    # property -> configuration attribute
    _OVERRIDES: ClassVar[dict[str, str]] = {
        "batch-size": "batch_size",
        "unique-id": "gie_unique_id",
        "process-mode": "process_mode",
        "interval": "interval",
        "infer-on-gie-id": "operate_on_gie_id",
        "infer-on-class-ids": "operate_on_class_ids",
        "filter-out-class-ids": "filter_out_class_ids",
        "model-engine-file": "model_engine_file",
        "gpu-id": "gpu_id",
        "output-tensor-meta": "output_tensor_meta",
        "output-instance-mask": "output_instance_mask",
        "input-tensor-meta": "input_tensor_from_meta",
        "clip-object-outside-roi": "clip_object_outside_roi",
        "crop-objects-to-roi-boundary": "crop_objects_to_roi_boundary",
        "raw-output-file-write": "raw_output_file_write",
        "strongly-typed": "strongly_typed",
        "dynamic-properties": "dynamic_properties",
    }

    def __init__(self) -> None:
        super().__init__()
        self._config: InferConfig | None = None
        self._config_error: MillraceError | None = None
        self._context: InferContext | None = None
        self._attacher: Attacher | None = None
        self._batches = 0
        self._active: InferConfig | None = None  # what the context was built from
        self._primary = True
        self._tensors: TensorInput | None = None  # instead of pictures
        self._late: ThreadPoolExecutor | None = None
        self._output = OutputQueue(self, self.srcpad, self._finish, passing=self._event_passes)

    # Configuration -------------------------------------------------------------------------------------------------

    def property_changed(self, name: str, value: Any) -> None:
        """A configuration file is read at once, so that its values can be asked for."""
        if name != "config-file-path":
            return
        self._config, self._config_error = None, None
        try:
            self._config = load_infer_config(value)
        except MillraceError as error:
            self._config_error = error  # told when the element starts, on the bus
        if self._output.running:
            post_warning(self, f"{value} takes effect when the element starts again, from READY or NULL")

    def do_get_property(self, pspec: GObject.ParamSpec) -> Any:
        """Properties that were not set show the configuration file's values."""
        attribute = self._OVERRIDES.get(pspec.name)
        if attribute is not None and pspec.name not in self._set_by_user and self._config is not None:
            value = getattr(self._config, attribute, None)
            if isinstance(value, (list, tuple)):
                return (":" if pspec.name == "infer-on-class-ids" else ";").join(str(item) for item in value)
            return str(value) if pspec.value_type == GObject.TYPE_STRING and value is not None else value
        return super().do_get_property(pspec)

    def _effective_config(self) -> InferConfig:
        """The file's values with the element's properties on top."""
        if self._config_error is not None:
            raise self._config_error
        if self._config is None:
            raise ConfigError(f"{self.get_name()}: config-file-path is not set; it names nvinfer's configuration file")
        changes: dict[str, Any] = {}
        for name, attribute in self._OVERRIDES.items():
            if name in self._set_by_user:
                value = self._values[name]
                if name in ("infer-on-class-ids", "filter-out-class-ids"):
                    value = [int(part) for part in str(value or "").replace(":", ";").split(";") if part.strip()]
                elif hasattr(value, "value_nick"):
                    value = int(value)
                changes[attribute] = value
        return self._config.with_overrides(changes)

    # State ---------------------------------------------------------------------------------------------------------

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Load the engine on the way up; stop the pushing thread and free the engine on the way down."""
        if transition == Gst.StateChange.READY_TO_PAUSED:
            try:
                self._start()
            except Exception as error:
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
        elif transition == Gst.StateChange.READY_TO_NULL and self._context is not None:
            self._context.close()
            self._context = None
        return result

    def _start(self) -> None:
        config = self._effective_config()
        if self._context is not None and self._active != config:
            self._context.close()
            self._context = None
        if self._context is None:
            for key in config.no_effect_keys:
                log.info("%s: %s has no effect on this machine", self.get_name(), key)
            self._context = InferContext(config, batch_size=config.batch_size)
        self._attacher = Attacher(config, self._context)
        self._active = config
        self._primary = config.process_mode == ProcessMode.PRIMARY
        classifies = config.network_type == NetworkType.CLASSIFIER
        self._selector = Selector(config, remember=classifies and not self._primary)
        name, tensors = self.get_name(), config.input_tensor_from_meta
        self._tensors = TensorInput(name, config.gie_unique_id, self._context) if tensors else None
        if tensors and config.classifier_async_mode:
            log.info("%s: classifier-async-mode has no effect with input-tensor-meta", name)
        late = classifies and not self._primary and config.classifier_async_mode and not tensors
        self._late = ThreadPoolExecutor(1, f"{self.get_name()}:late") if late else None
        self._batches = 0
        self._output.start()

    # Events --------------------------------------------------------------------------------------------------------

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """Serialized events wait their turn behind the buffers that are being inferred on."""
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
            work = self._submit(batch)
        except Exception:
            _native.mini_object_unref(address)
            raise
        return self._output.put_buffer(address, work)

    def _submit(self, batch: Batch) -> _Work:
        context, config = self._context, self._active
        assert context is not None and config is not None and batch.meta is not None
        if self._tensors is not None:
            jobs, rows = self._tensors.submit(batch)
            return _Work(jobs, [_Target(frame, roi.object_meta, None, roi) for frame, roi in rows], [])
        if self._primary:
            skip = self._batches % (config.interval + 1) != 0
            self._batches += 1
            if skip:
                return _Work([], [], [])
        frames = batch.meta.frames
        if self._primary:
            targets = [_Target(frame) for frame in frames]
            recalled: list[_Target] = []
        else:
            targets, recalled = self._select(batch, frames)
        items = [
            InferItem(batch.surface_of(t.frame), None if t.item is None else _rect_of(t.item)) for t in targets
        ]
        size = context.batch_size
        jobs = [context.submit(items[start : start + size]) for start in range(0, len(items), size)]
        if self._late is not None and jobs:
            self._late.submit(self._store, jobs, targets)
            return _Work([], [], recalled + targets)
        return _Work(jobs, targets, recalled)

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
                target = _Target(frame, item, track)
                if self._selector.is_due(frame, item, track):
                    targets.append(target)
                elif track is not None:
                    recalled.append(target)
        return targets, recalled

    def _store(self, jobs: list[InferJob], targets: list[_Target]) -> None:
        """In asynchronous mode: remember results when they come, for the frames after."""
        try:
            results = [result for job in jobs for result in job.result()]
        except MillraceError as error:
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
        assert batch is not None and batch.meta is not None and self._attacher is not None
        meta, attacher = batch.meta, self._attacher
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
