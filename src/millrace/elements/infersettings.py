"""nvinfer's properties over its configuration file, and which of them change while it plays."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from ..config import InferConfig, load_infer_config
from ..errors import ConfigError, MillraceError
from ._gst import GObject
from .base import class_ids, post_warning
from .filter import NvFilter

# property -> configuration attribute
OVERRIDES = {
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
MODEL = ("config-file-path", "model-engine-file")  # a new one while playing is a new model
FIXED = ("batch-size", "process-mode", "gpu-id", "input-tensor-meta", "strongly-typed", "dynamic-properties")
_CLASS_IDS = {"infer-on-class-ids": ":", "filter-out-class-ids": ";"}
_OPERATE = {"infer-on-gie-id": "operate_on_class_ids", "infer-on-class-ids": "operate_on_gie_id"}


class InferSettings(NvFilter):
    """Keeps the configuration and the properties on top of it; name it before ``Gst.Element``."""

    _OVERRIDES: ClassVar[dict[str, str]] = OVERRIDES

    def __init__(self) -> None:
        super().__init__()
        self._config: InferConfig | None = None
        self._config_error: MillraceError | None = None
        self._kept: dict[str, Any] = {}  # attributes that neither the file nor a property says
        self._setting = threading.RLock()  # while values are not whole
        self._stale = False  # a property was set that the next batch is to go by

    def is_running(self) -> bool:
        """Whether the network is in use: from PAUSED up."""
        raise TypeError(f"{type(self).__name__} does not say whether it runs")

    def update_model(self, name: str, path: str) -> None:
        """Load another model beside the one in use."""
        raise TypeError(f"{type(self).__name__} has no model to update")

    def engine_in_use(self) -> str:
        """The compiled engine's file, empty before one is loaded."""
        return ""

    # Properties ------------------------------------------------------------------------------------------------------

    def do_set_property(self, pspec: GObject.ParamSpec, value: Any) -> None:
        """While the element runs, a value acts from the next batch, starts a model's update, or is refused."""
        name = pspec.name
        if not self.is_running():
            super().do_set_property(pspec, value)
            return
        if name in MODEL:
            self.update_model(name, value or "")
        elif name in FIXED:
            self._refuse(pspec, value)
        else:
            self.set_now(name, value)

    def _refuse(self, pspec: GObject.ParamSpec, value: Any) -> None:
        now = self.do_get_property(pspec)
        if now != value and (now or value):
            shown = f'"{now}"' if isinstance(now, str) else int(now)
            text = "cannot change while the element plays and stays"
            post_warning(self, f"{pspec.name} {text} {shown}; set it in READY or NULL")

    def set_now(self, name: str, value: Any) -> None:
        """Set a property that the next batch goes by; a wrong value is a warning and is not taken."""
        trouble = None
        with self._setting:
            before = (dict(self._values), set(self._set_by_user), dict(self._kept))
            other = _OPERATE.get(name)
            if other is not None:
                # In a file one of the two keys alone sets the other one back; a property that is set now does not.
                self._kept.setdefault(other, getattr(self.effective_config(), other))
            self._values[name] = value
            self._set_by_user.add(name)
            try:
                self.effective_config()
                self._stale = True
            except MillraceError as error:
                self._values, self._set_by_user, self._kept = before
                trouble = f"{error}; the value is not taken"
        if trouble is not None:
            post_warning(self, trouble)

    def property_changed(self, name: str, value: Any) -> None:
        """A configuration file is read at once, so that its values can be asked for."""
        if name != "config-file-path":
            return
        self._config_error = None
        self._kept = {}
        try:
            self._config = load_infer_config(value)
        except MillraceError as error:
            self._config_error = error  # told when the element starts, on the bus

    def do_get_property(self, pspec: GObject.ParamSpec) -> Any:
        """Properties that were not set show the configuration file's values."""
        name = pspec.name
        attribute = OVERRIDES.get(name)
        if attribute is None or name in self._set_by_user:
            return super().do_get_property(pspec)
        value = None if self._config is None else getattr(self._config, attribute, None)
        if isinstance(value, (list, tuple)):
            return _CLASS_IDS[name].join(map(str, value))
        if pspec.value_type == GObject.TYPE_STRING:
            return str(value) if value is not None else self.engine_in_use() if name == "model-engine-file" else ""
        if value is None:
            return super().do_get_property(pspec)
        return type(pspec.default_value)(value)  # the file's enumerations are Python's, a property's GObject's

    # Configuration ---------------------------------------------------------------------------------------------------

    def effective_config(self) -> InferConfig:
        """The file's values with the element's properties on top.

        Raises:
            ConfigError: no file is set, it cannot be read, or a property's value is out of range.
        """
        if self._config_error is not None:
            raise self._config_error
        if self._config is None:
            raise ConfigError(f"{self.get_name()}: config-file-path is not set; it names nvinfer's configuration file")
        changes = dict(self._kept)
        mine = [name for name in OVERRIDES if name in self._set_by_user]
        changes.update({OVERRIDES[name]: self._plain(name) for name in mine})
        try:
            return self._config.with_overrides(changes)
        except ConfigError:
            for name in mine:
                self._check(name)
            raise

    def _check(self, name: str) -> None:
        """Say what is wrong with a property's value in the property's own name."""
        assert self._config is not None
        try:
            self._config.with_overrides({OVERRIDES[name]: self._plain(name)})
        except ConfigError as error:
            value = self._values[name]
            shown = value if isinstance(value, str) else int(value)
            why = str(error).rpartition(": ")[2]
            raise ConfigError(f"{self.get_name()}: {name}={shown}: {why}") from None

    def _plain(self, name: str) -> Any:
        """A property's value as the configuration has it."""
        value = self._values[name]
        if name in _CLASS_IDS:
            return class_ids(self, name, value, _CLASS_IDS[name])
        return int(value) if hasattr(value, "value_nick") else value
