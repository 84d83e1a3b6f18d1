"""Gst-nvinfer's configuration file as one typed model."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo

from ..errors import ConfigError
from ..paths import map_path
from .infer_keys import NO_EFFECT, ClassAttrs, ClusterMode, InferProperties, NetworkType, UffInputOrder
from .keyfile import Document, Entry, read_document, read_ini, read_yaml
from .values import PATH, allowed, kind_of

log = logging.getLogger("millrace.config")

_GROUPS = ("property", "class-attrs-all")
_CLASS_GROUP = re.compile(r"class-attrs-(\d+)\Z")

_OPERATE = {"operate_on_gie_id", "operate_on_class_ids"}

ModelT = TypeVar("ModelT", bound=BaseModel)


class InferConfig(InferProperties):
    """All of one nvinfer's configuration; attributes are the keys with ``-`` written as ``_``.

    Attributes:
        attrs_all: ``[class-attrs-all]``.
        attrs_by_class: ``[class-attrs-<n>]``; use :meth:`class_attrs` for a class's effective values.
    """

    attrs_all: ClassAttrs = Field(default_factory=ClassAttrs, exclude=True)
    attrs_by_class: dict[Annotated[int, Field(ge=0)], ClassAttrs] = Field(default_factory=dict, exclude=True)

    _file: str | None = PrivateAttr(default=None)
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)
    _merged: dict[int, ClassAttrs] = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Equal values, wherever they were read from."""
        return isinstance(other, InferConfig) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    @property
    def file(self) -> str | None:
        """The file it was read from."""
        return self._file

    @property
    def no_effect_keys(self) -> list[str]:
        """Keys that were set and do nothing without NVIDIA hardware, as written in files."""
        found = sorted(name for name in NO_EFFECT & self.model_fields_set if name != "gpu_id" or self.gpu_id)
        return [name.replace("_", "-") for name in found]

    def class_attrs(self, class_id: int) -> ClassAttrs:
        """The effective keys of one class: its own group's, then those for all classes, then defaults."""
        own = self.attrs_by_class.get(class_id)
        if own is None:
            return self.attrs_all
        merged = self._merged.get(class_id)
        if merged is None:
            changes = {name: getattr(own, name) for name in own.model_fields_set}
            merged = self._merged[class_id] = self.attrs_all.model_copy(update=changes)
        return merged

    def source_of(self, key: str) -> tuple[str | None, int | None]:
        """File and line that set a key (``onnx-file`` or ``onnx_file``) or a class's group (``class-attrs-3``)."""
        return self._file, self._lines.get(key.replace("-", "_"))

    def error(self, key: str, message: str) -> ConfigError:
        """An error about a key, with the file and line that set it."""
        return ConfigError(message, *self.source_of(key))

    def with_overrides(self, changes: Mapping[str, Any]) -> InferConfig:
        """A copy with some attributes replaced, as GObject properties do.

        A change of ``operate_on_gie_id`` or ``operate_on_class_ids`` sets the other one back too, as in DeepStream.

        Raises:
            ConfigError: a value is out of range; names the key and what is allowed.
        """
        values = {name: getattr(self, name) for name in self.model_fields_set | {"attrs_all", "attrs_by_class"}}
        fields = InferProperties.model_fields
        if _OPERATE & changes.keys():
            values = {name: value for name, value in values.items() if name not in _OPERATE}
        for name, value in changes.items():
            if name not in fields:
                raise ConfigError(f"unknown key {name.replace('_', '-')}{_nearest(name, fields)}")
            values[name] = (value or None) if kind_of(fields[name]) is PATH else value
        try:
            config = InferConfig(**values)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            words = allowed(fields[name])
            raise ConfigError(f"{name.replace('_', '-')}={changes.get(name)!r}: it must be {words}") from None
        config._file = self._file
        config._lines = {name: line for name, line in self._lines.items() if name not in changes}
        return config

    # Writing ---------------------------------------------------------------------------------------------------

    def _groups(self) -> list[tuple[str, BaseModel]]:
        groups: list[tuple[str, BaseModel]] = [("property", self)]
        if self.attrs_all.model_fields_set:
            groups.append(("class-attrs-all", self.attrs_all))
        groups += [(f"class-attrs-{number}", attrs) for number, attrs in sorted(self.attrs_by_class.items())]
        return groups

    def to_ini(self) -> str:
        """The keys that are set, as an INI file; reading it gives an equal configuration."""
        lines: list[str] = []
        for group, model in self._groups():
            lines.append(f"[{group}]")
            for name, info, value in _set_fields(model):
                lines.append(f"{_alias(name, info)}={kind_of(info).ini(value)}")
            lines.append("")
        return "\n".join(lines)

    def to_yaml(self) -> str:
        """The keys that are set, as a YAML file; reading it gives an equal configuration."""
        document = {
            group: {_alias(name, info): kind_of(info).plain(value) for name, info, value in _set_fields(model)}
            for group, model in self._groups()
        }
        # PyYAML does not quote Unicode's own line ends when it writes Unicode.
        strange = any(end in repr(document) for end in ("\\x85", "\\u2028", "\\u2029", "\\ufeff"))
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=not strange)


def _alias(name: str, info: FieldInfo) -> str:
    return info.alias or name


def _set_fields(model: BaseModel) -> list[tuple[str, FieldInfo, Any]]:
    fields = InferProperties.model_fields if isinstance(model, InferProperties) else ClassAttrs.model_fields
    values = [(name, info, getattr(model, name)) for name, info in fields.items() if name in model.model_fields_set]
    return [item for item in values if item[2] is not None]


def load_infer_config(path: str | Path) -> InferConfig:
    """Read an nvinfer configuration file, INI or YAML by its ending or content.

    Relative paths are resolved against the file's folder.

    Raises:
        ConfigError: one line with the file, the line, the key, what is allowed, and the nearest valid key.
    """
    path = Path(path)
    return _build(read_document(path), path.resolve().parent)


def parse_infer_config(text: str, file: str = "<text>", folder: Path | None = None, form: str = "ini") -> InferConfig:
    """Read configuration text of ``form`` ``"ini"`` or ``"yaml"``; raises as :func:`load_infer_config`."""
    document = read_yaml(text, file) if form == "yaml" else read_ini(text, file)
    return _build(document, folder or Path.cwd())


def _build(document: Document, folder: Path) -> InferConfig:
    file = document.file
    if "property" not in document.groups:
        near = difflib.get_close_matches("property", list(document.groups), 1, 0.7)
        hint = f"; did you mean it by [{near[0]}]?" if near else ""
        raise ConfigError(f"group [property] is missing{hint}", file)
    values = _values(document, "property", InferProperties, folder)
    lines = {name: line for name, (_, line) in values.items()}
    attrs_all = ClassAttrs()
    attrs_by_class: dict[int, ClassAttrs] = {}
    for group, line in document.group_lines.items():
        number = _number_of(group)
        if group == "property":
            continue
        if group == "class-attrs-all":
            attrs_all = _class_group(document, group, folder)
        elif number is not None:
            attrs_by_class[number] = _class_group(document, group, folder)
            lines[f"class_attrs_{number}"] = line
        elif group.startswith("class-attrs") or difflib.get_close_matches(group, _GROUPS, 1, 0.8):
            raise ConfigError(
                f"unknown group [{group}]; groups are [property], [class-attrs-all] and [class-attrs-<class-id>]",
                file,
                line,
            )
        else:
            log.warning("%s:%d: group [%s] is not one of nvinfer's and is left out", file, line, group)
    config = _validate(InferConfig, {name: value for name, (value, _) in values.items()}, file, lines)
    _apply_legacy(config, file, lines)
    config.attrs_all, config.attrs_by_class = attrs_all, attrs_by_class
    config.__pydantic_fields_set__.difference_update(("attrs_all", "attrs_by_class"))
    config._file, config._lines = file, lines
    return config


def _number_of(group: str) -> int | None:
    match = _CLASS_GROUP.match(group)
    return int(match[1]) if match else None


def _class_group(document: Document, group: str, folder: Path) -> ClassAttrs:
    values = _values(document, group, ClassAttrs, folder)
    lines = {name: line for name, (_, line) in values.items()}
    attrs = _validate(ClassAttrs, {name: value for name, (value, _) in values.items()}, document.file, lines)
    if attrs.threshold is not None:
        log.warning("%s:%d: threshold is an old name; use pre-cluster-threshold", document.file, lines["threshold"])
        if "pre_cluster_threshold" not in attrs.model_fields_set:
            attrs.pre_cluster_threshold = attrs.threshold
        attrs.threshold = None
        attrs.__pydantic_fields_set__.discard("threshold")
    return attrs


def _values(document: Document, group: str, model: type[BaseModel], folder: Path) -> dict[str, tuple[Any, int]]:
    """Attribute name to value and line for every key of a group."""
    fields = model.model_fields
    names = {_alias(name, info): name for name, info in fields.items()}
    result: dict[str, tuple[Any, int]] = {}
    for written, entry in document.groups.get(group, {}).items():
        name = names.get(written)
        if name is None and (name := names.get(written.replace("_", "-"))) is not None:
            log.warning(
                "%s:%d: %s is read as %s; DeepStream leaves it out",
                document.file, entry.line, written, written.replace("_", "-"),
            )  # fmt: skip
        if name is None:
            if _is_slip(written, fields):
                raise ConfigError(
                    f"unknown key {written} in [{group}]{_nearest(written, fields)}", document.file, entry.line
                )
            log.warning(
                "%s:%d: unknown key %s in [%s] is left out, as by DeepStream%s",
                document.file, entry.line, written, group, _nearest(written, fields),
            )  # fmt: skip
            continue
        if _is_empty(entry):
            continue  # a key without a value, as in templates, counts as not set
        kind = kind_of(fields[name])
        try:
            value = kind.read(entry)
        except ValueError:
            raise _wrong(written, entry, fields[name], document.file) from None
        if kind is PATH:
            value = folder / map_path(str(value))
        result[name] = (value, entry.line)
    return result


def _is_empty(entry: Entry) -> bool:
    return isinstance(entry.value, str) and not (entry.value.rstrip(" \t") if entry.escaped else entry.value)


def _wrong(written: str, entry: Entry, info: FieldInfo, file: str) -> ConfigError:
    shown = entry.value.strip() if isinstance(entry.value, str) else entry.value
    hint = "; a comment needs a line of its own" if isinstance(shown, str) and re.search(r"\s#", shown) else ""
    return ConfigError(f"{written}={shown}: it must be {allowed(info)}{hint}", file, entry.line)


def _validate(model: type[ModelT], values: dict[str, Any], file: str, lines: Mapping[str, int]) -> ModelT:
    try:
        return model(**values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        info = model.model_fields[name]
        text = kind_of(info).ini(values[name]).rstrip(";")
        message = f"{_alias(name, info)}={text}: it must be {allowed(info)}"
        raise ConfigError(message, file, lines.get(name)) from None


def _is_slip(written: str, fields: Mapping[str, FieldInfo]) -> bool:
    """Whether an unknown key is nearly one of these: DeepStream would go on with the default, which nobody wants.

    Keys of modified plugins or of other groups stand in many files that run with DeepStream.
    """
    names = [_alias(name, info).lower() for name, info in fields.items()]
    return bool(difflib.get_close_matches(written.lower(), names, 1, 0.82))


def _nearest(written: str, fields: Mapping[str, FieldInfo]) -> str:
    names = {_alias(name, info).lower(): _alias(name, info) for name, info in fields.items()}
    near = difflib.get_close_matches(written.lower().replace("_", "-"), list(names), 1, 0.5)
    if near:
        return f"; did you mean {names[near[0]]}?"
    return "; it is not one of nvinfer's keys, remove it"


def _apply_legacy(config: InferConfig, file: str, lines: dict[str, int]) -> None:
    """Old keys become the present ones, which go first where both are given."""

    def take(old: str, new: str, value: Any) -> None:
        where = f"{file}:{lines[old]}"
        old_key, new_key = old.replace("_", "-"), new.replace("_", "-")
        if new in config.model_fields_set and new in lines:
            log.warning("%s: %s is an old key and is left out because %s is set", where, old_key, new_key)
        else:
            log.warning("%s: %s is an old key; use %s", where, old_key, new_key)
            setattr(config, new, value)
            lines.setdefault(new, lines[old])
        setattr(config, old, None)
        config.__pydantic_fields_set__.discard(old)

    for old in ("input_dims", "uff_input_dims"):
        dims = getattr(config, old)
        if dims is not None:
            if dims[3] not in (0, 1, 2):
                text = f"{old.replace('_', '-')}={';'.join(map(str, dims))}"
                raise ConfigError(f"{text}: the fourth value, the order, must be 0, 1 or 2", file, lines[old])
            order = UffInputOrder(dims[3])
            take(old, "infer_dims", dims[:3])
            if order == UffInputOrder.NHWC and "network_input_order" not in config.model_fields_set:
                config.network_input_order = type(config.network_input_order)(1)
    if config.is_classifier is not None:
        take("is_classifier", "network_type", NetworkType.CLASSIFIER if config.is_classifier else NetworkType.DETECTOR)
    if config.enable_dbscan:
        take("enable_dbscan", "cluster_mode", ClusterMode.DBSCAN)
    elif config.enable_dbscan is not None:
        log.warning("%s:%d: enable-dbscan is an old key; use cluster-mode", file, lines["enable_dbscan"])
        config.enable_dbscan = None
        config.__pydantic_fields_set__.discard("enable_dbscan")
