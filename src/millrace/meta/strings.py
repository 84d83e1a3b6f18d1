"""C strings and buffers behind pyds: ``alloc_buffer``, ``get_string``, ``free_buffer`` and string fields.

A string field reads as an address (an ``int``), as in the bindings. The address keeps its memory alive for as
long as the integer or the field exists; reading an address that is not ours goes through the
kernel, so that a wrong one is an error and never a crash.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from datetime import datetime, timezone
from typing import Any

from .fields import Pointer, _capsule_pointer, _pinned, address_of, object_at, own, pin

_MAX_STRING = 1 << 20
_MAX_BUFFER = 1 << 30


class Block:
    """Memory with a C address. ``freed`` once ``free_buffer`` was called on it."""

    __slots__ = ("buffer", "address", "freed", "permanent", "__weakref__")

    def __init__(self, content: bytes | int, permanent: bool = False) -> None:
        self.buffer = ctypes.create_string_buffer(content)  # type: ignore[arg-type]
        self.address = ctypes.addressof(self.buffer)
        self.freed = False
        self.permanent = permanent
        _blocks[self.address] = self


class Address(int):
    """The address of a :class:`Block`, which it keeps alive."""

    block: Block

    @classmethod
    def of(cls, block: Block) -> Address:
        address = cls(block.address)
        address.block = block
        return address


_blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()
_heap: dict[int, Block] = {}
_fonts: dict[str, Block] = {}


def encode(value: Any, what: str) -> bytes:
    """``value`` (str or bytes) as UTF-8 up to its first NUL.

    Raises:
        TypeError: ``value`` is not a string.
    """
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        raise TypeError(f"{what} needs a str, got {type(value).__name__}")
    return value.split(b"\0", 1)[0]


def decode(value: bytes) -> str:
    """UTF-8 bytes as text; bytes that are not UTF-8 are replaced."""
    return value.decode("utf-8", "replace")


def text_bytes(value: Any, what: str) -> str:
    """``value`` (str or bytes) as the text that C would see: up to its first NUL."""
    if type(value) is str and "\0" not in value:
        return value
    return decode(encode(value, what))


def intern_font(name: str) -> int:
    """The address of a font's name; one per name for the life of the process, as in the bindings."""
    block = _fonts.get(name)
    if block is None:
        block = _fonts[name] = Block(name.encode(), permanent=True)
    return block.address


def _as_address(value: Any, what: str) -> int:
    if value is None:
        return 0
    if isinstance(value, Pointer):
        return value.address
    capsule = _capsule_pointer(value)
    if capsule is not None:
        return capsule
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise TypeError(f"{what} needs an address (an int), got {type(value).__name__}")


def _memory(address: int, size: int = 0) -> bytes:
    """Read memory that is not ours through the kernel.

    Raises:
        ValueError: there is no such memory.
    """
    try:
        handle = os.open("/proc/self/mem", os.O_RDONLY)
        try:
            return os.pread(handle, size, address)
        finally:
            os.close(handle)
    except (OSError, OverflowError):
        raise ValueError(f"{address:#x} is not the address of a readable buffer") from None


def _can_probe() -> bool:
    known = ctypes.create_string_buffer(b"memory")
    try:
        return _memory(ctypes.addressof(known), size=6) == b"memory"
    except ValueError:
        return False


#: Whether addresses can be checked before they are followed (Linux with /proc).
CAN_PROBE = _can_probe()


def _read_string(address: int) -> bytes:
    text = b""
    while len(text) < _MAX_STRING:
        at = address + len(text)
        chunk = _memory(at, size=4096 - at % 4096)  # up to the end of a page: the next one may not exist
        end = chunk.find(b"\0")
        if end >= 0 or not chunk:
            return text + chunk[: max(end, 0)]
        text += chunk
    return text


def get_string(ptr: Any) -> str | None:
    """The text at an address that a string field or an ``alloc_*`` function gave; ``None`` for address 0.

    Text is accepted too, and returned as it is: some fields already read as ``str``.

    Raises:
        TypeError: not an address.
        ValueError: no string lives at that address (any more).
    """
    if isinstance(ptr, str):
        return ptr
    block = getattr(ptr, "block", None)
    if block is None:
        address = _as_address(ptr, "get_string()")
        if address == 0:
            return None
        block = _blocks.get(address)
        if block is None:
            return decode(_read_string(address))
    if block.freed:
        raise ValueError(f"get_string({block.address:#x}): this string was freed with free_buffer()")
    return decode(block.buffer.value)


def _bytes(size: Any, what: str) -> int:
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"{what} needs a size in bytes, got {type(size).__name__}")
    if not 0 <= size <= _MAX_BUFFER:
        raise ValueError(f"{what} needs a size of 0 to {_MAX_BUFFER} bytes, got {size}")
    return max(size, 1)


def alloc_buffer(size: int) -> int:
    """The address of ``size`` zeroed bytes; they live until ``free_buffer()``, or as their meta does.

    Raises:
        ValueError: ``size`` is negative, or more than 1 GiB.
    """
    block = Block(_bytes(size, "alloc_buffer()"))
    _heap[block.address] = block
    return Address.of(block)


def adopt(address: Any, what: str) -> int:
    """An address that becomes a field's value: memory of ``alloc_buffer`` now lives as long as the field."""
    number = _as_address(address, what)
    block = getattr(address, "block", None) or _blocks.get(number)
    if block is None:
        return number
    _heap.pop(number, None)
    return Address.of(block)


def _free_object(found: Any) -> None:
    """Free an object of ``alloc_*``; its address no longer keeps it.

    Raises:
        ValueError: it was not allocated by the application, or freed before.
    """
    kind = type(found).__name__
    freed = getattr(found, "freed", None)
    if freed is None:
        if _pinned.pop(getattr(found, "_address", 0), None) is not None:
            return  # a copy by memdup()
        raise ValueError(f"free_buffer(): a {kind} is not the application's to free; it goes with its buffer")
    if freed:
        raise ValueError(f"free_buffer(): this {kind} was freed before")
    found._freed = True
    own(found)


def free_buffer(buffer: Any) -> None:
    """Free a string or buffer by its address; address 0 is ignored.

    Raises:
        TypeError: not an address.
        ValueError: not a buffer of pyds, or freed before.
    """
    if buffer is None:
        return
    if not isinstance(buffer, (int, Pointer)) and hasattr(type(buffer), "cast"):
        _free_object(buffer)
        return
    address = _as_address(buffer, "free_buffer()")
    if address == 0:
        return
    found = object_at(address)
    if found is not None:
        _free_object(found)
        return
    block = getattr(buffer, "block", None) or _blocks.get(address)
    if block is None or block.permanent:
        raise ValueError(f"free_buffer({address:#x}): not a buffer of pyds, or its owner freed it already")
    if block.freed:
        raise ValueError(f"free_buffer({address:#x}): this buffer was freed before")
    block.freed = True
    _heap.pop(address, None)


def free_gbuffer(buffer: Any) -> None:
    """Free what a pointer field refers to (an object, an address or a capsule); ``None`` is ignored."""
    free_buffer(buffer)


def get_ptr(ptr: Any) -> int:
    """The address of an object, buffer, array or pointer; an ``int`` for ``ctypes.cast`` and ``cast()``.

    Raises:
        TypeError: ``ptr`` has no address.
    """
    if ptr is None:
        return 0
    if isinstance(ptr, (int, Pointer)) or _capsule_pointer(ptr) is not None:
        return _as_address(ptr, "get_ptr()")
    if hasattr(ptr, "__array_interface__"):
        return int(ptr.__array_interface__["data"][0])
    if hasattr(type(ptr), "cast"):
        return pin(ptr) if getattr(ptr, "_on_heap", False) else address_of(ptr)
    raise TypeError(f"get_ptr() needs metadata, a pointer or an array, got {type(ptr).__name__}")


def strdup(ptr: Any) -> int:
    """The address of a copy of the string at ``ptr`` (0 for 0); free it with ``free_buffer()``."""
    text = get_string(ptr)
    if text is None:
        return 0
    block = Block(text.encode())
    _heap[block.address] = block
    return Address.of(block)


def strdup2str(ptr: Any) -> str:
    """The string at ``ptr`` as ``str``; empty for address 0."""
    return get_string(ptr) or ""


def memdup(ptr: Any, size: int) -> int:
    """The address of a copy of ``size`` bytes at ``ptr``, or of a copy of the metadata at ``ptr``; 0 for 0.

    Raises:
        ValueError: there is no such memory.
    """
    address = get_ptr(ptr)
    room = _bytes(size, "memdup()")
    if address == 0:
        return 0
    found = object_at(address)
    if found is not None:
        if not hasattr(found, "duplicate"):
            raise TypeError(f"memdup() cannot copy a {type(found).__name__}; copy its fields")
        return pin(found.duplicate())
    block = getattr(ptr, "block", None) or _blocks.get(address)
    if block is not None and block.freed:
        raise ValueError(f"memdup({address:#x}): this buffer was freed with free_buffer()")
    content = block.buffer.raw[:size] if block is not None else _memory(address, size=size)
    copy = Block(room)
    ctypes.memmove(copy.buffer, content, min(len(content), size))
    _heap[copy.address] = copy
    return Address.of(copy)


def generate_ts_rfc3339(buffer: Any, size: int) -> None:
    """Write the time of now as ``2024-01-31T12:34:56.789Z`` into a buffer.

    Args:
        buffer: address of the buffer (``alloc_buffer``).
        size: its size in bytes; a longer text is cut, and always ends with a NUL.

    Raises:
        ValueError: no such buffer.
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"generate_ts_rfc3339() needs a size in bytes, got {type(size).__name__}")
    now = datetime.now(timezone.utc)
    text = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z".encode()[: max(size - 1, 0)] + b"\0"
    address = _as_address(buffer, "generate_ts_rfc3339()")
    block = getattr(buffer, "block", None) or _blocks.get(address)
    if block is None or block.permanent:
        raise ValueError(f"generate_ts_rfc3339({address:#x}): not a buffer of pyds; make one with alloc_buffer()")
    if block.freed:
        raise ValueError(f"generate_ts_rfc3339({address:#x}): this buffer was freed with free_buffer()")
    text = text[: len(block.buffer) - 1] + b"\0"
    ctypes.memmove(block.buffer, text, len(text))


def string_field(name: str) -> Any:
    """A string property over the slot ``_<name>``: takes text, reads as an address (0 when empty)."""
    stored = "_" + name

    def load(self: Any) -> int:
        value = getattr(self, stored, None)
        if value is None:
            return 0
        if isinstance(value, str):
            value = Address.of(Block(value.encode("utf-8", "surrogateescape")))
            setattr(self, stored, value)
        return value  # type: ignore[no-any-return]

    def store(self: Any, value: Any) -> None:
        setattr(self, stored, text_bytes(value, f"{type(self).__name__}.{name}"))

    return property(load, store)


def field_text(value: Any) -> str:
    """The text of a value that a string field stores or gives; empty when there is none or it was freed."""
    if isinstance(value, str):
        return value
    if not value or (isinstance(value, Address) and value.block.freed):
        return ""
    return get_string(value) or ""
