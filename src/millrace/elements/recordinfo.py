"""What crosses nvurisrcbin's smart-record signals: C's pointers, and how they look in Python.

The signals have DeepStream's C signature (``start-sr``: guint32*, guint, guint, gpointer; ``sr-done``:
NvDsSRRecordingInfo*, gpointer), in which PyGObject takes only capsules. Here any natural Python value becomes one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from ._gst import GObject

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_CAPSULE = type(_new_capsule(1, None, None))
_POINTERS = (_CAPSULE, GObject.GPointer)
_BYREF = type(ctypes.byref(ctypes.c_int()))
_DATA: tuple[type, ...] = (ctypes._SimpleCData, ctypes.Structure, ctypes.Union, ctypes.Array)  # type: ignore[attr-defined]


class _RecordingInfo(ctypes.Structure):
    """NvDsSRRecordingInfo as C sees it."""

    _fields_ = (
        ("ctx", ctypes.c_void_p),
        ("sessionId", ctypes.c_uint32),
        ("filename", ctypes.c_char_p),
        ("dirpath", ctypes.c_char_p),
        ("duration", ctypes.c_uint64),
        ("containerType", ctypes.c_int),
        ("width", ctypes.c_uint),
        ("height", ctypes.c_uint),
        ("containsVideo", ctypes.c_int),
        ("channels", ctypes.c_uint),
        ("samplingRate", ctypes.c_uint),
        ("containsAudio", ctypes.c_int),
    )


class NvDsSRRecordingInfo:
    """What ``sr-done`` says of a recording.

    Attributes:
        sessionId: what ``start-sr`` gave; 0, as a source has one recording at a time.
        filename: name of the file, without its folder.
        dirpath: its folder.
        duration: milliseconds.
        containerType: 0 MP4, 1 MKV.
        width: of the video in pixels, 0 without video.
        height: likewise.
        containsVideo: whether there is video.
        channels: of the audio, 0 without audio.
        samplingRate: of the audio in Hz, 0 without audio.
        containsAudio: whether there is audio.

    ``hash(info)`` is the address of the C structure during the handler, for code that casts it with ctypes.
    """

    def __init__(self, address: int) -> None:
        info = _RecordingInfo.from_address(address)
        self._address = address
        self.sessionId: int = info.sessionId
        self.filename: str = (info.filename or b"").decode(errors="surrogateescape")
        self.dirpath: str = (info.dirpath or b"").decode(errors="surrogateescape")
        self.duration: int = info.duration
        self.containerType: int = info.containerType
        self.width: int = info.width
        self.height: int = info.height
        self.containsVideo = bool(info.containsVideo)
        self.channels: int = info.channels
        self.samplingRate: int = info.samplingRate
        self.containsAudio = bool(info.containsAudio)

    def __hash__(self) -> int:
        return self._address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NvDsSRRecordingInfo) and vars(self) == vars(other)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name != "_address")
        return f"NvDsSRRecordingInfo({fields})"


def c_info(filename: str, dirpath: str, **fields: int) -> ctypes.Structure:
    """The C structure; keep it for as long as somebody may read it.

    Args:
        filename: name of the file, without its folder.
        dirpath: its folder.
        fields: the numbers, by their names.
    """
    info = _RecordingInfo(**fields)
    info.filename = filename.encode(errors="surrogateescape")
    info.dirpath = dirpath.encode(errors="surrogateescape")
    return info


def address_of(value: Any) -> int | None:
    """The address that a Python value stands for in C, or ``None`` when it stands for none.

    Integers are addresses; ctypes data, ``byref()``, ``pointer()``, capsules and GObject's pointers are theirs.
    """
    if value is None:
        return 0
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, GObject.GPointer):
        return hash(value)
    if isinstance(value, _CAPSULE):
        return None  # only its maker knows under which name to open it; GObject takes those without one as they are
    if isinstance(value, _BYREF):
        return ctypes.addressof(value._obj)  # type: ignore[attr-defined]
    if isinstance(value, ctypes._Pointer):  # type: ignore[attr-defined]
        return ctypes.cast(value, ctypes.c_void_p).value or 0
    if isinstance(value, _DATA):
        return ctypes.addressof(value)  # type: ignore[arg-type]
    return None


def capsule(address: int) -> Any:
    """What PyGObject takes for a pointer; ``None`` for 0."""
    return _new_capsule(address, None, None) if address else None


def session_pointer(value: Any) -> Any:
    """The first argument of ``start-sr`` as PyGObject takes it: where the session's id is written.

    Raises:
        TypeError: the value is no place for a number.
    """
    if isinstance(value, _POINTERS):
        return value
    address = address_of(value)
    if address is None:
        raise TypeError(
            f"start-sr: the session id is written through a pointer; pass a ctypes.c_uint32() or None, not {value!r}"
        )
    return capsule(address)


def natural_handler(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler of ``sr-done`` as GObject calls it, around one that takes natural Python values."""

    def call(element: Any, info: Any, user: Any, *more: Any) -> Any:
        return handler(element, NvDsSRRecordingInfo(hash(info)), element.user_data.value(user), *more)

    return call


class UserData:
    """Keeps the Python objects that were passed as user data, so that ``sr-done`` hands back the same ones."""

    def __init__(self) -> None:
        self._objects: dict[int, list[Any]] = {}  # one entry for each recording that was started with it

    def pointer(self, value: Any) -> Any:
        """``value`` as PyGObject takes it for a pointer."""
        if value is None or isinstance(value, _POINTERS):
            return value
        address = address_of(value) or id(value)
        self._objects.setdefault(address, []).append(value)
        return capsule(address)

    def value(self, pointer: Any) -> Any:
        """What :meth:`pointer` was made of, or the pointer itself."""
        kept = self._objects.get(hash(pointer)) if pointer is not None else None
        return kept[0] if kept else pointer

    def forget(self, address: int) -> None:
        """One recording is over, or was not started."""
        kept = self._objects.get(address)
        if kept:
            kept.pop()
            if not kept:
                self._objects.pop(address, None)
