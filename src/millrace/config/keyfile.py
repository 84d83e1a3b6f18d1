"""Readers that keep line numbers: GKeyFile's INI dialect and YAML mappings of groups of keys."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..errors import ConfigError

log = logging.getLogger("millrace.config")

RawValue = str | list[str]

_NULL = "tag:yaml.org,2002:null"
_GROUP_NAMES = ("property", "class-attrs")

_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_UNESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


@dataclass(frozen=True)
class Entry:
    """One value as written: INI text still with its escapes, or YAML scalars; and its 1-based line."""

    value: RawValue
    line: int
    escaped: bool = True


@dataclass
class Document:
    """Groups of keys of one file, in order; of keys given twice the last one counts."""

    file: str
    groups: dict[str, dict[str, Entry]] = field(default_factory=dict)
    group_lines: dict[str, int] = field(default_factory=dict)

    def group(self, name: str, line: int) -> dict[str, Entry]:
        """The group of that name, made when it is new."""
        self.group_lines.setdefault(name, line)
        return self.groups.setdefault(name, {})


def read_ini(text: str, file: str) -> Document:
    """Read GKeyFile's dialect: ``[group]``, ``key=value``, whole-line ``#`` comments.

    Raises:
        ConfigError: a line is none of these, or a key stands before the first group.
    """
    document = Document(file)
    group: dict[str, Entry] | None = None
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if not line.endswith("]") or len(line) < 3:
                raise ConfigError(f"a group is written [name], not {line!r}", file, number)
            group = document.group(line[1:-1], number)
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip(" \t")
        if not equals or not key:
            hint = "; a comment starts with #" if line[0] in ";/" else ""
            raise ConfigError(f"expected key=value, [group] or a # comment, not {line!r}{hint}", file, number)
        if group is None:
            raise ConfigError(f"key {key} stands before the first group; add [property] above it", file, number)
        group[key] = Entry(value.lstrip(" \t"), number)
    return document


def read_yaml(text: str, file: str) -> Document:
    """Read a YAML mapping of groups to mappings of keys; values are scalars or lists of scalars.

    Raises:
        ConfigError: not YAML, or not of that form.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable"
        raise ConfigError(f"not valid YAML: {problem}", file, mark.line + 1 if mark else None) from None
    document = Document(file)
    if root is None:
        return document
    for name, body in _pairs(root, file, "the file"):
        if isinstance(body, yaml.ScalarNode) and body.tag != _NULL and not name.value.startswith(_GROUP_NAMES):
            # One of DeepStream's own samples has such lines, and DeepStream passes over them.
            text = "%s:%d: %s stands outside of every group and is left out; indent it below its group"
            log.warning(text, file, _line(name), name.value)
            continue
        group = document.group(name.value, _line(name))
        if isinstance(body, yaml.ScalarNode) and body.tag == _NULL:
            continue
        for key, node in _pairs(body, file, f"group {name.value}"):
            group[key.value] = Entry(_value(node, file, key.value), _line(key), escaped=False)
    return document


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _pairs(node: yaml.Node, file: str, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{what} must hold 'name: value' pairs", file, _line(node))
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{what} has a key that is not a plain name", file, _line(key))
    return list(node.value)


def _value(node: yaml.Node, file: str, key: str) -> RawValue:
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag == _NULL else str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return [str(item.value) for item in node.value]
    raise ConfigError(f"{key} must be a value or a list of values", file, _line(node))


def read_document(path: Path) -> Document:
    """Read a file as YAML (``.yml``, ``.yaml``, or content that has no ``[group]``) or as INI.

    Raises:
        ConfigError: the file is missing, unreadable or malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no such configuration file: {path}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder, not a configuration file") from None
    except UnicodeDecodeError:
        raise ConfigError("not a text file", path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path) from None
    return read_yaml(text, str(path)) if _is_yaml(path, text) else read_ini(text, str(path))


def _is_yaml(path: Path, text: str) -> bool:
    if path.suffix.lower() in (".yml", ".yaml"):
        return True
    for raw in text.splitlines():
        line = raw.strip()
        if line and not line.startswith("#"):
            return line in ("---", "property:") or line.startswith("property: ")
    return False


def unescape(text: str) -> str:
    r"""Resolve GKeyFile's escapes ``\s \n \t \r \\``; other backslashes stay. Trailing blanks go before that."""
    text = text.rstrip(" \t")
    if "\\" not in text:
        return text
    out: list[str] = []
    index = 0
    while index < len(text):
        if text[index] == "\\" and index + 1 < len(text) and text[index + 1] in _ESCAPES:
            out.append(_ESCAPES[text[index + 1]])
            index += 2
        else:
            out.append(text[index])
            index += 1
    return "".join(out)


def escape(text: str) -> str:
    """The INI form of a string, such that :func:`unescape` gives it back."""
    body = "".join(_UNESCAPES.get(c, c) for c in text)
    stripped = body.strip(" ")
    if not stripped:
        return "\\s" * len(body)
    lead = len(body) - len(body.lstrip(" "))
    tail = len(body) - len(body.rstrip(" "))
    return "\\s" * lead + stripped + "\\s" * tail


def split_list(text: str) -> list[str]:
    r"""Items of a ``;`` list, still escaped; ``\;`` is a semicolon in an item, one trailing ``;`` is allowed."""
    items, current, index = [], "", 0
    text = text.rstrip(" \t")
    while index < len(text):
        pair = text[index : index + 2]
        if pair == "\\;":
            current += ";"
            index += 2
        elif pair[0] == "\\" and len(pair) == 2:
            current += pair
            index += 2
        elif pair[0] == ";":
            items.append(current)
            current = ""
            index += 1
        else:
            current += pair[0]
            index += 1
    if current:
        items.append(current)
    return items
