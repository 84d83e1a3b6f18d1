"""What ``millrace run`` changes around an application: libraries, OpenCV's files, GStreamer's answers."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import cv2

from millrace.paths import map_path
from millrace.placeholders import is_placeholder

_PICTURE_FUNCTIONS = ("imread", "imreadmulti", "imwrite", "imwritemulti", "imcount", "haveImageReader")


def mapped_path(value: Any) -> Any:
    """``value``, taken through :func:`map_path` when it is a path below ``/opt/nvidia``."""
    if isinstance(value, (str, os.PathLike)):
        name = os.fspath(value)
        if isinstance(name, str) and name.startswith("/opt/nvidia/"):
            return map_path(name)
    return value


def mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with its first argument taken through :func:`mapped_path`."""

    @wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        return function(*map(mapped_path, args[:1]), *args[1:], **keywords)

    return call


class _MappedClass:
    """Stands for a class of OpenCV, whose own cannot be subclassed safely: its constructor finds DeepStream's files."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._kind(*map(mapped_path, args), **{key: mapped_path(value) for key, value in keywords.items()})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._kind)

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._kind)

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._kind,)

    def __or__(self, other: Any) -> Any:
        return self._kind | other

    __ror__ = __or__


def _library_init(original: Callable[..., None]) -> Callable[..., None]:
    """``ctypes.CDLL.__init__`` that finds DeepStream's libraries, and says of a placeholder that it is one."""

    def init(self: Any, name: Any, *args: Any, **keywords: Any) -> None:
        path = mapped_path(name)
        try:
            original(self, path, *args, **keywords)
        except OSError:
            if isinstance(path, str) and is_placeholder(Path(path)):
                raise OSError(
                    f"{name}: NVIDIA's library is not part of Millrace, the file is a placeholder "
                    "(nvtracker works without one)"
                ) from None
            raise

    return init


def _true(function: Callable[..., Any]) -> Callable[..., bool]:
    """A function of GStreamer's Python overrides that raises on failure, answering as the C function does."""

    @wraps(function)
    def call(*args: Any) -> bool:
        function(*args)
        return True

    return call


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """Within this context ctypes and OpenCV find DeepStream's paths, and adding and linking elements answers True."""
    from gi.repository import Gst

    changes: list[tuple[Any, str, Any]] = [(ctypes.CDLL, "__init__", _library_init(ctypes.CDLL.__init__))]
    changes += [(cv2, name, mapped(getattr(cv2, name))) for name in _PICTURE_FUNCTIONS if hasattr(cv2, name)]
    changes += [(cv2, name, _MappedClass(getattr(cv2, name))) for name in ("VideoCapture", "VideoWriter")]
    changes.append((Gst.Bin, "add", _true(Gst.Bin.add)))
    changes.append((Gst.Element, "link_many", staticmethod(_true(Gst.Element.link_many))))
    saved = [(owner, name, vars(owner).get(name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in saved:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
