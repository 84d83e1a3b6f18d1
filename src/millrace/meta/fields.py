"""Building blocks of the metadata classes: C-like storage, checked fields, addresses and casts.

The classes keep their numbers in ``ctypes`` structures: a float field rounds to float32 as in DeepStream, a
wrong type is a ``TypeError``, nested structures share memory with their parent, and a copy is one block copy.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from operator import attrgetter
from typing import Any, TypeVar

from .checked import INT, UINT, CheckedStructure, whole, whole_field

T = TypeVar("T")

#: Addresses of metadata are names, not memory: never reused, so a stale one is always told from a live one.
_next_address = itertools.count(1 << 60, 64)
_by_address: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
#: Copies that only an address refers to yet (``memdup``, ``get_ptr`` of an ``alloc_*`` object).
_pinned: dict[int, Any] = {}


def address_of(obj: Any) -> int:
    """The address of a metadata object: constant, and ``cast()`` resolves it while the object lives."""
    try:
        address: int = obj._address
    except AttributeError:
        address = obj._address = next(_next_address)
        _by_address[address] = obj
    return address


def pin(obj: Any) -> int:
    """Keep ``obj``, which only its address refers to, alive until :func:`unpin`; returns the address."""
    address = address_of(obj)
    _pinned[address] = obj
    return address


def unpin(obj: Any) -> None:
    """Undo :func:`pin`: something owns the object now, or it was freed."""
    try:
        address = obj._address
    except AttributeError:
        return
    _pinned.pop(address, None)


def own(obj: Any) -> None:
    """An ``alloc_*`` object has an owner now and lives as long as that; its address does not pin it."""
    if getattr(obj, "_on_heap", False):
        obj._on_heap = False
    unpin(obj)


def object_at(address: int) -> Any:
    """The metadata object with that address, or ``None`` when there is none (any more)."""
    return _by_address.get(address)


def _capsule_pointer(value: Any) -> int | None:
    if type(value).__name__ != "PyCapsule":
        return None
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    pointer: int | None = api.PyCapsule_GetPointer(value, api.PyCapsule_GetName(value))
    return pointer


class Pointer:
    """A C pointer as a Python object, for ``void*`` fields; ``get_ptr`` turns it into an integer.

    Args:
        address: the address, in bytes.
        owner: the object whose memory it is; it lives as long as the pointer.
    """

    __slots__ = ("address", "owner")

    def __init__(self, address: int, owner: Any = None) -> None:
        self.address = address
        self.owner = owner

    def __int__(self) -> int:
        return self.address

    __index__ = __int__

    def __bool__(self) -> bool:
        return self.address != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pointer) and other.address == self.address

    def __hash__(self) -> int:
        return self.address

    def __repr__(self) -> str:
        return f"<pointer {self.address:#x}>"


def resolve(cls: type[T], data: Any) -> T | None:
    """What ``cls.cast(data)`` gives when ``data`` is not simply an instance of ``cls``.

    Raises:
        TypeError: ``data`` is something else, or an address of an object of another type.
        ValueError: the address is unknown, or its object has gone.
    """
    if data is None or isinstance(data, cls):
        return data
    if isinstance(data, Pointer):
        if isinstance(data.owner, cls):
            return data.owner
        data = data.address
    address = _capsule_pointer(data)
    if address is not None:
        data = address
    if isinstance(data, int) and not isinstance(data, bool):
        address = int(data)
        if address == 0:
            return None
        found = _by_address.get(address)
        if found is None:
            raise ValueError(
                f"{cls.__name__}.cast({address:#x}): no live metadata has this address "
                "(its buffer has gone, or it never was an address of metadata)"
            )
        state = getattr(found, "_state", None)
        if state is not None and state.released:
            raise ValueError(
                f"{cls.__name__}.cast({address:#x}): the buffer of this {type(found).__name__} has gone; "
                "take what you need from metadata inside the probe"
            )
        data = found
        if isinstance(data, cls):
            return data
    base = getattr(data, "base_meta", None)
    if base is not None and isinstance(base, cls):
        return base
    mend = "; pass node.data" if type(data).__name__ == "GList" else ""
    raise TypeError(f"{cls.__name__}.cast() needs a {cls.__name__}, got a {type(data).__name__}{mend}")


class Castable:
    """Mixin: the static ``cast()`` of every pyds class, and an address as hash."""

    __slots__ = ()

    @classmethod
    def cast(cls: type[T], data: Any) -> T:
        """``data`` as an instance of this class.

        Args:
            data: the object, ``node.data`` of a GList, an integer address or a capsule. ``None`` gives
                ``None``.

        Raises:
            TypeError: ``data`` is of another type.
            ValueError: the address is not that of live metadata.
        """
        if data.__class__ is cls:
            return data  # type: ignore[no-any-return]
        return resolve(cls, data)  # type: ignore[return-value]

    def __hash__(self) -> int:
        return address_of(self)


class Struct(ctypes.Structure, Castable, metaclass=CheckedStructure):
    """Base of the classes that keep numbers: a C structure with pyds's field names."""

    __slots__ = ("_address", "__weakref__")
    __hash__ = Castable.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def as_float(value: Any, what: str) -> float:
    """``value`` as a float; 1-element arrays count, as they did for the bindings.

    Raises:
        TypeError: ``value`` is not a number.
    """
    if not isinstance(value, (str, bytes)) and getattr(value, "size", None) == 1:
        try:
            return float(value.item())
        except (AttributeError, TypeError, ValueError):
            pass
    raise TypeError(f"{what} needs a number, got {type(value).__name__} {value!r:.40}")


def float_field(name: str) -> Any:
    """A float property over the C field ``_<name>``; also takes numpy scalars and 1-element arrays."""
    stored = "_" + name

    namespace: dict[str, Any] = {"as_float": as_float}
    # A setter with the field's name compiled in is twice as fast as one with setattr().
    exec(
        f"def store(self, value):\n"
        f"    try:\n        self.{stored} = value\n"
        f"    except TypeError:\n"
        f"        self.{stored} = as_float(value, type(self).__name__ + '.{name}')\n",
        namespace,
    )
    return property(attrgetter(stored), namespace["store"])


def unsigned_field(name: str) -> Any:
    """A property over the unsigned C field ``_<name>``; negative numbers are errors, they do not wrap."""
    return whole_field("_" + name, name, UINT)


def enum_field(name: str, enum: Any) -> Any:
    """A property over the C field ``_<name>`` that reads as ``enum``; takes members and integers."""
    stored = "_" + name

    def load(self: Any) -> Any:
        return enum(getattr(self, stored))

    def store(self: Any, value: Any) -> None:
        if not isinstance(value, int):
            raise TypeError(f"{type(self).__name__}.{name} needs a {enum.__name__}, got {value!r:.40}")
        setattr(self, stored, whole(value, f"{type(self).__name__}.{name}", INT))

    return property(load, store)


def array_field(name: str, dtype: str) -> Any:
    """A property: the C array ``_<name>`` as a numpy array that shares its memory; assigning copies the values."""
    stored = "_" + name

    def load(self: Any) -> Any:
        import numpy

        return numpy.frombuffer(getattr(self, stored), dtype=dtype)

    def store(self: Any, value: Any) -> None:
        import numpy

        where, mine = f"{type(self).__name__}.{name}", load(self)
        found = numpy.asarray(value) if isinstance(value, (list, tuple, numpy.ndarray)) else None
        if found is None or found.dtype.kind not in "iu" or found.shape != mine.shape:
            raise TypeError(f"{where} needs {mine.size} whole numbers, got {type(value).__name__} {value!r:.40}")
        limits = numpy.iinfo(mine.dtype)
        mine[:] = [whole(item, where, (int(limits.min), int(limits.max))) for item in found.tolist()]

    return property(load, store)
