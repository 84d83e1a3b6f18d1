"""What a shared library needs and offers, read from its file without loading it."""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass, field
from pathlib import Path

_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_DYNAMIC, _DYNSYM = 6, 11
_NEEDED = 1
_FUNCTION_TYPES = (2, 10)


@dataclass
class Elf:
    """A shared library.

    Attributes:
        machine: processor it is built for.
        functions: names that it exports.
        undefined: names that it takes from others.
        needed: libraries that it is linked to.
    """

    machine: str
    functions: list[str] = field(default_factory=list)
    undefined: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)

    @property
    def foreign(self) -> bool:
        """Whether it is built for another processor than this one."""
        return self.machine not in (platform.machine(), "")

    @property
    def plain_functions(self) -> list[str]:
        """Exported functions with C linkage, without the linker's own."""
        return [name for name in self.functions if not name.startswith("_")]


def read_elf(path: Path) -> Elf | None:
    """Read a library's tables; None when it is no ELF file or damaged.

    Args:
        path: of the library.
    """
    try:
        data = path.read_bytes()
        if data[:4] != b"\x7fELF":
            return None
        return _read(data)
    except (OSError, struct.error, IndexError, ValueError):
        return None


def _read(data: bytes) -> Elf:
    wide = data[4] == 2
    order = "<" if data[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", data, 18)
    elf = Elf(_MACHINES.get(machine, f"machine {machine}"))
    (offset,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    size, count = struct.unpack_from(order + "HH", data, 58 if wide else 46)
    form = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    sections = [struct.unpack_from(form, data, offset + i * size) for i in range(count)]
    for _, kind, _, _, start, length, link, _, _, entry in sections:
        if kind not in (_DYNAMIC, _DYNSYM) or not entry or link >= len(sections):
            continue
        strings = sections[link][4]
        for at in range(start, start + length, entry):
            if kind == _DYNAMIC:
                tag, value = struct.unpack_from(order + ("qQ" if wide else "iI"), data, at)
                if tag == _NEEDED:
                    elf.needed.append(_text(data, strings + value))
                continue
            if wide:
                name, info, _, section = struct.unpack_from(order + "IBBH", data, at)
            else:
                name, _, _, info, _, section = struct.unpack_from(order + "IIIBBH", data, at)
            if not name or info >> 4 == 0:
                continue
            if section == 0:
                elf.undefined.append(_text(data, strings + name))
            elif info & 15 in _FUNCTION_TYPES:
                elf.functions.append(_text(data, strings + name))
    return elf


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("utf-8", "replace")
