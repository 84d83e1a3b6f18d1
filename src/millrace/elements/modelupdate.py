"""Another model for an nvinfer that plays: loaded beside the one in use, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..config import InferConfig, load_infer_config
from ..errors import ConfigError, MillraceError
from ..infer import InferContext

log = logging.getLogger("millrace.infer")

# NvDsInferStatus, as far as it is used
SUCCESS, CONFIG_FAILED, UNKNOWN_ERROR = 0, 1, 9

# Keys that come from a new configuration file; all others stay as they are until the element starts again.
_NEW = frozenset(
    {
        "onnx_file", "model_engine_file", "network_mode", "infer_dims", "int8_calib_file", "output_blob_names",
        "net_scale_factor", "offsets", "mean_file", "model_color_format", "network_input_order", "cluster_mode",
        "segmentation_output_order", "tlt_encoded_model", "tlt_model_key", "model_file", "proto_file", "uff_file",
    }
)  # fmt: skip
_NEW_IF_SET = frozenset(
    {
        "labelfile_path", "custom_lib_path", "parse_bbox_func_name", "parse_bbox_instance_mask_func_name",
        "parse_classifier_func_name", "parse_segmentation_func_name",
    }
)  # fmt: skip
_SAME = ("network_type", "num_detected_classes", "input_tensor_from_meta")
_MODELS = ("onnx_file", "tlt_encoded_model", "model_file", "proto_file", "uff_file", "infer_dims")


class Replacement(NamedTuple):
    """A model that is ready to take over.

    Attributes:
        name: the property that was set, ``config-file-path`` or ``model-engine-file``.
        path: its value.
        config: the configuration from then on.
        context: the network.
    """

    name: str
    path: str
    config: InferConfig
    context: InferContext


class ModelUpdater:
    """Loads models one after the other and tells how it went.

    Args:
        element: its name, for the thread.
        tell: called in the loading thread with a NvDsInferStatus, the path, and what went wrong (empty for nothing).
    """

    def __init__(self, element: str, tell: Callable[[int, str, str], None]) -> None:
        self._element, self._tell = element, tell
        self._pool: ThreadPoolExecutor | None = None
        self.ready: Replacement | None = None

    def load(self, name: str, path: str, config: InferConfig, context: InferContext) -> None:
        """Start to load the model that a property names, in place of ``context`` with ``config``."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, f"{self._element}:model")
        self._pool.submit(self._load, name, path, config, context)

    def _load(self, name: str, path: str, config: InferConfig, context: InferContext) -> None:
        if self.ready is not None:
            self._tell(UNKNOWN_ERROR, path, "the model before it has not taken over yet; wait for model-updated")
            return
        try:
            self.ready = build(name, path, config, context)
        except MillraceError as error:
            self._tell(CONFIG_FAILED, path, str(error))
        except BaseException as error:  # a parse function's file may do anything
            log.error("%s: unexpected error", self._element, exc_info=error)
            self._tell(UNKNOWN_ERROR, path, f"{type(error).__name__}: {error}")

    def taken(self, old: InferContext) -> None:
        """The replacement is in use: free the old network and tell, in the loading thread while there is one."""
        assert self.ready is not None
        path, self.ready = self.ready.path, None
        if self._pool is None:
            self._finish(old, path)
        else:
            self._pool.submit(self._finish, old, path)

    def _finish(self, old: InferContext, path: str) -> None:
        old.close()
        log.info("%s: the model of %s is in use", self._element, path)
        self._tell(SUCCESS, path, "")

    def stop(self) -> None:
        """Wait for what is under way."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def build(name: str, path: str, config: InferConfig, context: InferContext) -> Replacement:
    """Load a model to replace ``context``.

    Raises:
        ConfigError, ModelError: the file is wrong or does not fit what is in use; says in what.
    """
    if not path:
        raise ConfigError(f"{name} is empty")
    new = _from_file(path, config) if name == "config-file-path" else _from_engine(path, config)
    made = InferContext(new, batch_size=config.batch_size)
    have, wanted = made.network_info, context.network_info
    if (have.width, have.height) != (wanted.width, wanted.height):
        made.close()
        raise ConfigError(
            f"{path}: the network's input is {have.width}x{have.height}, but the one in use is "
            f"{wanted.width}x{wanted.height}; a model that takes over while playing has the same size"
        )
    return Replacement(name, path, new, made)


def _from_engine(path: str, config: InferConfig) -> InferConfig:
    """Only the engine is another."""
    return config.with_overrides({**dict.fromkeys(_MODELS), "model_engine_file": Path(path)})


def _from_file(path: str, config: InferConfig) -> InferConfig:
    """What a file says of the model itself; what it says of anything else waits for the next start."""
    new = load_infer_config(path)
    for key in _SAME:
        if key in new.model_fields_set and getattr(new, key) != getattr(config, key):
            shown, theirs = (int(getattr(one, key)) for one in (new, config))
            text = f"{key.replace('_', '-')}={shown}, but it is {theirs} in the model in use"
            raise new.error(key, f"{text}; a model that takes over while playing has the same")
    fixed = (config.model_fields_set | new.model_fields_set) - _NEW - (_NEW_IF_SET & new.model_fields_set)
    changes = {key: getattr(config, key) for key in fixed if key in type(new).model_fields}
    changes = {key: value for key, value in changes.items() if not key.startswith("attrs_")}
    merged = new.with_overrides(changes)
    merged.attrs_all, merged.attrs_by_class = config.attrs_all, config.attrs_by_class
    return merged
