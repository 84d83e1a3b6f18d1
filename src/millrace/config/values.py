"""Typed values of configuration keys: how text becomes them, how they are written, what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, MinLen
from pydantic.fields import FieldInfo

from .keyfile import Entry, escape, split_list, unescape

INT_MAX = 2147483647

_TRUE = ("1", "true", "yes", "on", "y")
_FALSE = ("0", "false", "no", "off", "n")


def to_bool(text: str) -> bool:
    """``1 true yes on y`` and their opposites, in any case."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError


def to_int(text: str) -> int:
    """A decimal or ``0x`` hexadecimal integer; a comment may follow it after a blank, as GKeyFile lets it."""
    word, *rest = text.split(maxsplit=1) or [""]
    if rest and rest[0][0] not in "#;/":
        raise ValueError
    sign = word[:1] if word[:1] in "+-" else ""
    digits = word[len(sign) :]
    if digits[:2].lower() == "0x":
        return int(sign + digits[2:], 16)
    if not digits.isascii() or not digits.isdigit():
        raise ValueError
    return int(word)


def to_float(text: str) -> float:
    """A finite decimal number."""
    number = float(text)
    if not math.isfinite(number) or "_" in text:
        raise ValueError
    return number


class Kind:
    """How the values of one key are read and written.

    Args:
        words: what the value is, in words.
        parse: from text, ValueError when it is not one.
        show: to text.
        many: it is a list.
    """

    def __init__(self, words: str, parse: Callable[[str], Any], show: Callable[[Any], str], many: bool = False) -> None:
        self.words, self.parse, self.show, self.many = words, parse, show, many

    def read(self, entry: Entry) -> Any:
        """The value of an entry; ValueError when it is not one."""
        if self.many:
            return [self.parse(self._text(item, entry)) for item in _items(entry)]
        if isinstance(entry.value, list):
            raise ValueError
        return self.parse(self._text(entry.value, entry))

    def _text(self, item: str, entry: Entry) -> str:
        return unescape(item) if entry.escaped else item

    def ini(self, value: Any) -> str:
        """The value as INI text."""
        if self.many:
            return "".join(escape(self.show(item)).replace(";", "\\;") + ";" for item in value)
        return escape(self.show(value))

    def plain(self, value: Any) -> Any:
        """The value as YAML takes it: a number, text, or a list of them."""
        return [self._plain(item) for item in value] if self.many else self._plain(value)

    def _plain(self, item: Any) -> Any:
        return item if type(item) in (float, str) else int(item) if isinstance(item, int) else str(item)


def _items(entry: Entry) -> list[str]:
    if isinstance(entry.value, list):
        return entry.value
    if entry.escaped:
        return split_list(entry.value)
    return [item.strip() for item in entry.value.split(";") if item.strip()]


def _path(text: str) -> str:
    if not text:
        raise ValueError
    return text


BOOL = Kind("1 or 0 (also true, false, yes, no)", to_bool, lambda v: str(int(v)))
INT = Kind("an integer", to_int, lambda v: str(int(v)))
FLOAT = Kind("a number", to_float, lambda v: repr(float(v)))
STRING = Kind("text", str, str)
PATH = Kind("a file path", _path, str)
INTS = Kind("integers separated by ;", to_int, lambda v: str(int(v)), many=True)
FLOATS = Kind("numbers separated by ;", to_float, lambda v: repr(float(v)), many=True)
STRINGS = Kind("names separated by ;", str, str, many=True)

_BY_TYPE: dict[Any, Kind] = {bool: BOOL, int: INT, float: FLOAT, str: STRING, Path: PATH}
_BY_ITEM: dict[Any, Kind] = {int: INTS, float: FLOATS, str: STRINGS}


def peel(annotation: Any) -> tuple[Any, list[Any]]:
    """The type without ``| None`` and ``Annotated``, and the limits that ``Annotated`` carried."""
    options = getattr(annotation, "__args__", ())
    if type(None) in options:
        annotation = next(option for option in options if option is not type(None))
    limits: list[Any] = []
    for item in getattr(annotation, "__metadata__", ()):
        limits += item.metadata if isinstance(item, FieldInfo) else [item]
        annotation = annotation.__origin__
    return annotation, limits


def kind_of(field: FieldInfo) -> Kind:
    """How a field of the model is written in files."""
    kind, _ = peel(field.annotation)
    if getattr(kind, "__origin__", None) in (list, tuple):
        return _BY_ITEM[kind.__args__[0]]
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return INT
    return _BY_TYPE[kind]


def limits_of(field: FieldInfo) -> list[str]:
    """The range and form of a key's values, in words."""
    limits: list[str] = []
    for item in [*field.metadata, *peel(field.annotation)[1]]:
        if isinstance(item, Ge):
            limits.append(f"at least {item.ge}")
        elif isinstance(item, Gt):
            limits.append(f"greater than {item.gt}")
        elif isinstance(item, Le):
            if item.le == INT_MAX:
                continue  # the type's own limit says nothing
            limits.append(f"at most {item.le}")
        elif isinstance(item, MinLen):
            limits.append(f"exactly {item.min_length} of them")  # used only together with an equal MaxLen
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("form"):
        limits.append(str(extra["form"]))
    return limits


def allowed(field: FieldInfo) -> str:
    """What a key may be, in words: type, range, choices."""
    bare, _ = peel(field.annotation)
    if isinstance(bare, type) and issubclass(bare, IntEnum):
        return " or ".join(f"{member.value} ({member.name.lower()})" for member in bare)
    limits = limits_of(field)
    return kind_of(field).words + (", " + ", ".join(limits) if limits else "")
