"""``NvDsUserMeta``: any data attached to a batch, frame or object, with functions to copy and release it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from ctypes import c_uint
from typing import Any

from .base import BatchState, Meta
from .enums import NvDsMetaType
from .fields import Pointer, object_at, own

log = logging.getLogger("millrace.meta")

CopyFunc = Callable[[Any, Any], Any]
ReleaseFunc = Callable[[Any, Any], Any]

_epoch = 0
_share_lock = threading.Lock()


class UserFunction:
    """A copy or release function of the application; ``unset_callback_funcs()`` switches all of them off."""

    __slots__ = ("func", "epoch")

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.epoch = _epoch

    def __call__(self, *args: Any) -> Any:
        return self.func(*args) if self.epoch == _epoch else None


class BatchData:
    """User data that refers to the frames and objects of its batch: copies get one that refers to theirs."""

    __slots__ = ()

    def duplicate_for(self, state: BatchState) -> Any:
        """The data of a copy.

        Args:
            state: of the batch that the copy is for.
        """
        raise TypeError(f"{type(self).__name__} cannot be copied")

    def release(self) -> None:
        """The user meta was removed, or its buffer has gone."""


class NvDsUserMeta(Meta):
    """Data of the application or of an element; ``base_meta.meta_type`` says what ``user_meta_data`` is."""

    __slots__ = ("_data", "_users", "_released")
    _fields_ = (("_unused", c_uint),)
    _meta_type = NvDsMetaType.NVDS_USER_META

    def __init__(self) -> None:
        self._state = None
        self._base = None
        self._data: Any = None
        self._users: list[int] | None = None
        self._released = False

    @property
    def user_meta_data(self) -> Any:
        """The data: any Python object; an address of metadata or a pointer is resolved to its object."""
        return self._data

    @user_meta_data.setter
    def user_meta_data(self, data: Any) -> None:
        if isinstance(data, int) and not isinstance(data, bool):
            data = object_at(data) or data
        elif isinstance(data, Pointer) and data.owner is not None:
            data = data.owner
        own(data)
        self._data = data

    def duplicate(self, state: BatchState | None = None) -> NvDsUserMeta:
        """A copy for another batch; the copy function makes the data, without one the data is shared.

        Shared data with a release function is released once, with its last user.

        Args:
            state: state of the batch that the copy is for.
        """
        copy = NvDsUserMeta()
        copy._state = self._state if state is None else state
        if self._base is None:
            copy._data = self._data
            return copy
        base, target = self._base, copy.base_meta
        target._meta_type = base._meta_type
        target.uContext = base.uContext
        target.copy_func = base.copy_func
        target.release_func = base.release_func
        if base.copy_func is not None:
            try:
                copy.user_meta_data = base.copy_func(self, None)
            except BaseException:  # sys.exit() too: it would keep the other metas from being copied
                log.exception("the copy function of a user meta failed; the copy of this meta has no data")
                target.release_func = None
        else:
            copy._data = self._data
            if isinstance(self._data, BatchData) and copy._state is not None:
                copy._data = self._data.duplicate_for(copy._state)
            if base.release_func is not None:
                with _share_lock:
                    if self._users is None:
                        self._users = [1]
                    self._users[0] += 1
                    copy._users = self._users
        return copy

    def release(self) -> None:
        """Call the release function, once; later calls do nothing."""
        if self._released:
            return
        self._released = True
        if isinstance(self._data, BatchData):
            self._data.release()
        base = self._base
        if base is None or base.release_func is None:
            return
        if self._users is not None:
            with _share_lock:
                self._users[0] -= 1
                if self._users[0] > 0:
                    return
        try:
            base.release_func(self, None)
        except BaseException:  # sys.exit() too: it would keep the other metas from being released
            log.exception("the release function of a user meta failed; its data may not be released")


def _checked(meta: NvDsUserMeta, func: Any, name: str) -> UserFunction | None:
    if not isinstance(meta, NvDsUserMeta):
        raise TypeError(f"{name}() needs a NvDsUserMeta, got {type(meta).__name__}")
    if func is None:
        return None
    if not callable(func):
        raise TypeError(f"{name}() needs a function, got {type(func).__name__}")
    return UserFunction(func)


def set_user_copyfunc(meta: NvDsUserMeta, func: CopyFunc | None) -> None:
    """Set the function that copies this meta's data.

    Args:
        meta: the user meta.
        func: called as ``func(user_meta, None)``; returns the data of the copy. ``None`` removes it.
    """
    meta.base_meta.copy_func = _checked(meta, func, "set_user_copyfunc")


def set_user_releasefunc(meta: NvDsUserMeta, func: ReleaseFunc | None) -> None:
    """Set the function that releases this meta's data; called as ``func(user_meta, None)``, once."""
    meta.base_meta.release_func = _checked(meta, func, "set_user_releasefunc")


def user_copyfunc(meta: NvDsUserMeta, func: CopyFunc | None) -> None:
    """The same as :func:`set_user_copyfunc`."""
    meta.base_meta.copy_func = _checked(meta, func, "user_copyfunc")


def user_releasefunc(meta: NvDsUserMeta, func: ReleaseFunc | None) -> None:
    """The same as :func:`set_user_releasefunc`."""
    meta.base_meta.release_func = _checked(meta, func, "user_releasefunc")


def register_user_copyfunc(func: CopyFunc) -> None:
    """Does nothing; kept for applications written for DeepStream 5 (use :func:`set_user_copyfunc`)."""


def register_user_releasefunc(func: ReleaseFunc) -> None:
    """Does nothing; kept for applications written for DeepStream 5 (use :func:`set_user_releasefunc`)."""


def unset_callback_funcs() -> None:
    """Switch off all copy and release functions that the application has set so far."""
    global _epoch
    _epoch += 1
