"""nvinfer: a network on each frame (primary) or on each object (secondary) of a batch."""

from __future__ import annotations

import logging
from typing import Any, ClassVar, NamedTuple

from ..config import InferConfig, load_infer_config
from ..errors import ConfigError, MillraceError
from ..infer import InferContext, InferItem, InferJob
from ..meta.batch import Batch
from ..meta.frame import NvDsFrameMeta
from ..meta.objects import NvDsObjectMeta
from . import _native
from . import caps as nvcaps
from ._gst import Gst, GObject
from .attach import Attacher
from .base import post_error
from .filter import NvFilter
from .outqueue import OutputQueue
from .properties import properties_of

log = logging.getLogger("millrace.infer")

_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "RGBA", "I420", "BGRx", "BGRA", "RGB", "BGR")))


class _Work(NamedTuple):
    """Inference under way for one buffer."""

    jobs: list[InferJob]
    targets: list[tuple[NvDsFrameMeta, NvDsObjectMeta | None]]


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
    __gsignals__ = {
        "model-updated": (GObject.SignalFlags.RUN_LAST, None, (GObject.TYPE_INT, GObject.TYPE_STRING))
    }

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
        "crop-objects-to-roi-boundary": "crop_objects_to_roi_boundary",
    }

    def __init__(self) -> None:
        super().__init__()
        self._config: InferConfig | None = None
        self._config_error: MillraceError | None = None
        self._context: InferContext | None = None
        self._attacher: Attacher | None = None
        self._skipped = 0
        self._output = OutputQueue(self, self.srcpad, self._finish)

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
            raise ConfigError(
                f"{self.get_name()}: config-file-path is not set; it names nvinfer's configuration file"
            )
        changes: dict[str, Any] = {}
        for name, attribute in self._OVERRIDES.items():
            if name in self._set_by_user:
                value = self._values[name]
                if name in ("infer-on-class-ids", "filter-out-class-ids"):
                    value = [
                        int(part) for part in str(value or "").replace(":", ";").split(";") if part.strip()
                    ]
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
        elif transition == Gst.StateChange.READY_TO_NULL and self._context is not None:
            self._context.close()
            self._context = None
        return result

    def _start(self) -> None:
        config = self._effective_config()
        if self._context is None:
            for key in config.no_effect_keys:
                log.info("%s: %s has no effect on this machine", self.get_name(), key)
            self._context = InferContext(config, batch_size=config.batch_size)
        self._attacher = Attacher(config, self._context)
        self._active = config
        self._skipped = 0
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
        assert context is not None and batch.meta is not None
        targets: list[tuple[NvDsFrameMeta, NvDsObjectMeta | None]] = []
        items: list[InferItem] = []
        if self._skipped < config.interval:
            self._skipped += 1
            return _Work([], [])
        self._skipped = 0
        for frame in batch.meta.frames:
            targets.append((frame, None))
            items.append(InferItem(batch.surfaces[frame.batch_id], None))
        size = context.batch_size
        jobs = [context.submit(items[start : start + size]) for start in range(0, len(items), size)]
        return _Work(jobs, targets)

    def _finish(self, address: int, work: _Work) -> int:
        """In the pushing thread: wait for the results and attach them."""
        if work.jobs:
            from .handle import batch_of

            batch = batch_of(address)
            assert batch is not None and batch.meta is not None and self._attacher is not None
            results = [result for job in work.jobs for result in job.result()]
            for (frame, parent), result in zip(work.targets, results, strict=True):
                self._attacher.attach(batch.meta, frame, parent, result)
                frame.bInferDone = True
        return address
