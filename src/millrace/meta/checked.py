"""Fields that take only what the bindings take: a wrong type or a number out of range is a clear ``TypeError``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_int64, c_size_t, c_uint, c_uint16, c_uint64
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _ctypes import _PyCStructType as _StructureType
else:
    _StructureType = type(ctypes.Structure)

_RANGES: dict[Any, tuple[int, int]] = {
    c_int: (-(2**31), 2**31 - 1),
    c_uint: (0, 2**32 - 1),
    c_uint16: (0, 2**16 - 1),
    c_int64: (-(2**63), 2**63 - 1),
    c_uint64: (0, 2**64 - 1),
    c_size_t: (0, 2**64 - 1),
}
INT, UINT, UINT64 = _RANGES[c_int], _RANGES[c_uint], _RANGES[c_uint64]


def whole(value: Any, what: str, limits: tuple[int, int]) -> int:
    """``value`` as a whole number; numbers of NumPy and 1-element arrays count, and lose their fraction.

    Raises:
        TypeError: ``value`` is no number, a Python float, or out of range.
    """
    number: Any = None
    if isinstance(value, int):
        number = value
    elif getattr(value, "size", None) == 1 and hasattr(value, "item"):
        number = value.item()  # the bindings cut the fraction off NumPy's floats, not off Python's
    elif hasattr(type(value), "__index__"):
        number = value
    try:
        number = int(number)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not limits[0] <= number <= limits[1]:
        mend = "; clip it" if number is not None or isinstance(value, float) else ""
        raise TypeError(f"{what} needs a whole number from {limits[0]} to {limits[1]}, got {value!r:.40}{mend}")
    return number


def whole_field(stored: str, name: str, limits: tuple[int, int]) -> Any:
    """A property over the attribute ``stored`` for whole numbers within ``limits``."""
    namespace: dict[str, Any] = {"whole": whole, "limits": limits}
    # A setter with the field's name compiled in is twice as fast as one with setattr().
    exec(
        f"def store(self, value):\n"
        f"    if value.__class__ is int and {limits[0]} <= value <= {limits[1]}:\n"
        f"        self.{stored} = value\n"
        f"    else:\n"
        f"        self.{stored} = whole(value, type(self).__name__ + '.{name}', limits)\n",
        namespace,
    )
    return property(attrgetter(stored), namespace["store"])


def _nested_field(stored: str, name: str, kind: type[ctypes.Structure]) -> Any:
    def store(self: Any, value: Any) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{type(self).__name__}.{name} needs a {kind.__name__}, got {type(value).__name__}")
        setattr(self, stored, value)

    return property(attrgetter(stored), store)


class CheckedStructure(_StructureType):
    """Metaclass of the structures: public C fields check what is assigned, where ctypes would cut or convert it."""

    def __init__(self, name: str, bases: Any, namespace: Any, **keywords: Any) -> None:
        super().__init__(name, bases, namespace, **keywords)
        for field, kind in namespace.get("_fields_", ()):
            if field.startswith("_"):
                continue
            stored = f"_c_{field}"
            setattr(self, stored, self.__dict__[field])
            if kind in _RANGES:
                setattr(self, field, whole_field(stored, field, _RANGES[kind]))
            elif issubclass(kind, ctypes.Structure):
                setattr(self, field, _nested_field(stored, field, kind))


def slot_field(name: str, check: Callable[[Any, str], Any], doc: str | None = None) -> Any:
    """A property over the slot ``_<name>``; ``check(value, "Class.field")`` gives what is stored, or raises."""
    stored = "_" + name

    def store(self: Any, value: Any) -> None:
        setattr(self, stored, check(value, f"{type(self).__name__}.{name}"))

    return property(attrgetter(stored), store, doc=doc)


def whole_slot(name: str, limits: tuple[int, int] = INT) -> Any:
    """A property over the slot ``_<name>`` for whole numbers within ``limits``."""
    return whole_field("_" + name, name, limits)


def read_only(name: str, doc: str | None = None) -> Any:
    """A property over the slot ``_<name>`` that cannot be assigned, as in the bindings."""

    def store(self: Any, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can only be read")

    return property(attrgetter("_" + name), store, doc=doc)


def _none_or(kind: type, what: str) -> Callable[[Any, str], Any]:
    def check(value: Any, where: str) -> Any:
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{where} needs {what}, got {type(value).__name__}")
        return value

    return check


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} needs a str, got {type(value).__name__}")
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{where} needs a list of str, got {value!r:.40}")
    return list(value)


def _counts(key: type, item: type) -> Callable[[Any, str], Any]:
    def check(value: Any, where: str) -> Any:
        good = isinstance(value, dict) and all(isinstance(k, key) and isinstance(v, item) for k, v in value.items())
        if not good:
            raise TypeError(f"{where} needs a dict of {key.__name__} to {item.__name__}, got {value!r:.40}")
        return dict(value)

    return check


def text_slot(name: str) -> Any:
    """A property over the slot ``_<name>`` for text."""
    return slot_field(name, _text)


def optional_text_slot(name: str) -> Any:
    """A property over the slot ``_<name>`` for text or ``None``."""
    return slot_field(name, _none_or(str, "a str or None"))


def texts_slot(name: str) -> Any:
    """A property over the slot ``_<name>`` for a list of text, which is copied."""
    return slot_field(name, _texts)


def counts_slot(name: str, key: type, item: type) -> Any:
    """A property over the slot ``_<name>`` for a dict, which is copied."""
    return slot_field(name, _counts(key, item))


def optional_slot(name: str, kind: type) -> Any:
    """A property over the slot ``_<name>`` for an instance of ``kind`` or ``None``."""
    return slot_field(name, _none_or(kind, f"a {kind.__name__} or None"))
