"""The ``nvds_*`` functions of pyds: acquire, add, remove, clear and copy metadata, and lock a batch."""

from __future__ import annotations

import threading
from typing import Any

from .display import NvDsDisplayMeta
from .enums import NvDsMetaType
from .fields import resolve
from .frame import NvDsBatchMeta, NvDsFrameMeta
from .glist import MetaList
from .objects import NvDsClassifierMeta, NvDsLabelInfo, NvDsObjectMeta
from .user import NvDsUserMeta

_quarks: dict[str, int] = {}
_quark_lock = threading.Lock()


def _need(cls: type[Any], value: Any, name: str) -> Any:
    """``value`` as ``cls`` (an address or GList data will do)."""
    if value.__class__ is cls:
        return value
    try:
        found = resolve(cls, value)
    except TypeError:
        found = None
    if found is None:
        raise TypeError(f"{name}() needs a {cls.__name__}, got {type(value).__name__}")
    return found


def _live(cls: type[Any], value: Any, name: str) -> Any:
    """``value`` as ``cls``, whose buffer is still there to be changed."""
    owner = _need(cls, value, name)
    state = owner._state
    if state is not None and state.released:
        raise ValueError(f"{name}(): the buffer of this {cls.__name__} has gone; change metadata inside the probe")
    return owner


def _new(cls: type[Any], value: Any, owner: Any, name: str) -> Any:
    """``value`` as ``cls``, which can be added to ``owner``: of the same batch, and in no list yet."""
    meta = _need(cls, value, name)
    if getattr(meta, "_listed", False):
        raise ValueError(f"{name}(): this {cls.__name__} was added before; acquire another one from the pool")
    if meta._state is not owner._state:
        if meta._state is not None and owner._state is not None:
            raise ValueError(
                f"{name}(): this {cls.__name__} is of another batch; acquire one from the pool of this batch"
            )
        meta._state = meta._state or owner._state
    return meta


def _count(owner: Any, field: str, change: int) -> None:
    """Change a count; an application may have written anything into it."""
    setattr(owner, field, min(max(getattr(owner, field) + change, 0), 0xFFFFFFFF))


def _acquire(cls: type[Any], batch_meta: Any, name: str) -> Any:
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    state = batch_meta._state
    if state.released:
        raise ValueError(f"{name}(): the buffer of this batch has gone; use that of the current buffer")
    meta = cls()
    meta._state = state
    return meta


def nvds_acquire_meta_lock(batch_meta: NvDsBatchMeta) -> None:
    """Lock a batch's metadata against other threads; the same thread may lock several times."""
    _need(NvDsBatchMeta, batch_meta, "nvds_acquire_meta_lock")._state.lock.acquire()


def nvds_release_meta_lock(batch_meta: NvDsBatchMeta) -> None:
    """Undo one :func:`nvds_acquire_meta_lock` of this thread.

    Raises:
        RuntimeError: this thread does not hold the lock.
    """
    try:
        _need(NvDsBatchMeta, batch_meta, "nvds_release_meta_lock")._state.lock.release()
    except RuntimeError:
        raise RuntimeError("nvds_release_meta_lock(): this thread does not hold the batch's lock") from None


def nvds_create_batch_meta(max_batch_size: int) -> NvDsBatchMeta:
    """New, empty metadata for at most ``max_batch_size`` frames."""
    return NvDsBatchMeta(max_batch_size)


def _destroy(batch_meta: Any, name: str) -> None:
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    if batch_meta._state.on_buffer and not batch_meta._state.released:
        raise ValueError(f"{name}(): this batch is on a buffer, and goes with it")
    batch_meta.release()


def nvds_destroy_batch_meta(batch_meta: NvDsBatchMeta) -> bool:
    """Release all user metadata of a batch of :func:`nvds_create_batch_meta` and mark it as stale; True.

    Raises:
        ValueError: the batch is on a buffer.
    """
    _destroy(batch_meta, "nvds_destroy_batch_meta")
    return True


def nvds_acquire_frame_meta_from_pool(batch_meta: NvDsBatchMeta) -> NvDsFrameMeta:
    """A new frame meta for this batch."""
    return _acquire(NvDsFrameMeta, batch_meta, "nvds_acquire_frame_meta_from_pool")


def nvds_acquire_obj_meta_from_pool(batch_meta: NvDsBatchMeta) -> NvDsObjectMeta:
    """A new object meta for this batch."""
    return _acquire(NvDsObjectMeta, batch_meta, "nvds_acquire_obj_meta_from_pool")


def nvds_acquire_classifier_meta_from_pool(batch_meta: NvDsBatchMeta) -> NvDsClassifierMeta:
    """A new classifier meta for this batch."""
    return _acquire(NvDsClassifierMeta, batch_meta, "nvds_acquire_classifier_meta_from_pool")


def nvds_acquire_label_info_meta_from_pool(batch_meta: NvDsBatchMeta) -> NvDsLabelInfo:
    """A new label info for this batch."""
    return _acquire(NvDsLabelInfo, batch_meta, "nvds_acquire_label_info_meta_from_pool")


def nvds_acquire_display_meta_from_pool(batch_meta: NvDsBatchMeta) -> NvDsDisplayMeta:
    """A new display meta for this batch; its shapes are all empty."""
    return _acquire(NvDsDisplayMeta, batch_meta, "nvds_acquire_display_meta_from_pool")


def nvds_acquire_user_meta_from_pool(batch_meta: NvDsBatchMeta) -> NvDsUserMeta:
    """A new user meta for this batch."""
    return _acquire(NvDsUserMeta, batch_meta, "nvds_acquire_user_meta_from_pool")


def nvds_add_frame_meta_to_batch(batch_meta: NvDsBatchMeta, frame_meta: NvDsFrameMeta) -> None:
    """Add a frame at the end of a batch."""
    name = "nvds_add_frame_meta_to_batch"
    batch_meta = _live(NvDsBatchMeta, batch_meta, name)
    batch_meta._frames.append(_new(NvDsFrameMeta, frame_meta, batch_meta, name))
    _count(batch_meta, "num_frames_in_batch", 1)


def nvds_add_obj_meta_to_frame(
    frame_meta: NvDsFrameMeta, obj_meta: NvDsObjectMeta, obj_parent: NvDsObjectMeta | None
) -> None:
    """Add an object at the end of a frame; ``obj_parent`` is the object it was found in, or ``None``."""
    name = "nvds_add_obj_meta_to_frame"
    frame_meta = _live(NvDsFrameMeta, frame_meta, name)
    obj_meta = _new(NvDsObjectMeta, obj_meta, frame_meta, name)
    obj_meta.parent = None if obj_parent is None else _need(NvDsObjectMeta, obj_parent, name)
    frame_meta._objs.append(obj_meta)
    _count(frame_meta, "num_obj_meta", 1)


def nvds_add_classifier_meta_to_object(obj_meta: NvDsObjectMeta, classifier_meta: NvDsClassifierMeta) -> None:
    """Add a classification at the end of an object's."""
    name = "nvds_add_classifier_meta_to_object"
    obj_meta = _live(NvDsObjectMeta, obj_meta, name)
    classifier_meta = _new(NvDsClassifierMeta, classifier_meta, obj_meta, name)
    if obj_meta._classifiers is None:
        obj_meta._classifiers = MetaList()
    obj_meta._classifiers.append(classifier_meta)


def nvds_add_label_info_meta_to_classifier(
    classifier_meta: NvDsClassifierMeta, label_info_meta: NvDsLabelInfo
) -> None:
    """Add a label at the end of a classification's."""
    name = "nvds_add_label_info_meta_to_classifier"
    classifier_meta = _live(NvDsClassifierMeta, classifier_meta, name)
    classifier_meta._labels.append(_new(NvDsLabelInfo, label_info_meta, classifier_meta, name))
    _count(classifier_meta, "num_labels", 1)


def nvds_add_display_meta_to_frame(frame_meta: NvDsFrameMeta, display_meta: NvDsDisplayMeta) -> None:
    """Add shapes to draw on a frame."""
    name = "nvds_add_display_meta_to_frame"
    frame_meta = _live(NvDsFrameMeta, frame_meta, name)
    frame_meta._displays.append(_new(NvDsDisplayMeta, display_meta, frame_meta, name))


def nvds_add_user_meta_to_batch(batch_meta: NvDsBatchMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to a batch."""
    name = "nvds_add_user_meta_to_batch"
    batch_meta = _live(NvDsBatchMeta, batch_meta, name)
    batch_meta._users.append(_new(NvDsUserMeta, user_meta, batch_meta, name))


def nvds_add_user_meta_to_frame(frame_meta: NvDsFrameMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to a frame."""
    name = "nvds_add_user_meta_to_frame"
    frame_meta = _live(NvDsFrameMeta, frame_meta, name)
    frame_meta._users.append(_new(NvDsUserMeta, user_meta, frame_meta, name))


def nvds_add_user_meta_to_obj(obj_meta: NvDsObjectMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to an object."""
    name = "nvds_add_user_meta_to_obj"
    obj_meta = _live(NvDsObjectMeta, obj_meta, name)
    user_meta = _new(NvDsUserMeta, user_meta, obj_meta, name)
    if obj_meta._users is None:
        obj_meta._users = MetaList()
    obj_meta._users.append(user_meta)


def _take_out(items: MetaList | None, meta: Any, owner: type[Any], name: str) -> None:
    if items is None or not items.remove(meta):
        raise ValueError(
            f"{name}(): this {type(meta).__name__} is not in this {owner.__name__}; it was removed, or never added"
        )


def nvds_remove_frame_meta_from_batch(batch_meta: NvDsBatchMeta, frame_meta: NvDsFrameMeta) -> None:
    """Take a frame out of a batch and release its user metadata.

    Raises:
        ValueError: the frame is not in the batch; so do the other functions that remove.
    """
    name = "nvds_remove_frame_meta_from_batch"
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    _take_out(batch_meta._frames, frame_meta, NvDsBatchMeta, name)
    _count(batch_meta, "num_frames_in_batch", -1)
    frame_meta.release()


def nvds_remove_obj_meta_from_frame(frame_meta: NvDsFrameMeta, obj_meta: NvDsObjectMeta) -> None:
    """Take an object out of a frame and release its user metadata; safe for the object a walk is at."""
    name = "nvds_remove_obj_meta_from_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    obj_meta = _need(NvDsObjectMeta, obj_meta, name)
    _take_out(frame_meta._objs, obj_meta, NvDsFrameMeta, name)
    _count(frame_meta, "num_obj_meta", -1)
    obj_meta.release()


def nvds_remove_classifier_meta_from_obj(
    obj_meta: NvDsObjectMeta, classifier_meta: NvDsClassifierMeta
) -> None:
    """Take a classification out of an object."""
    name = "nvds_remove_classifier_meta_from_obj"
    classifiers = _need(NvDsObjectMeta, obj_meta, name)._classifiers
    _take_out(classifiers, _need(NvDsClassifierMeta, classifier_meta, name), NvDsObjectMeta, name)


def nvds_remove_label_info_meta_from_classifier(
    classifier_meta: NvDsClassifierMeta, label_info_meta: NvDsLabelInfo
) -> None:
    """Take a label out of a classification."""
    name = "nvds_remove_label_info_meta_from_classifier"
    classifier_meta = _need(NvDsClassifierMeta, classifier_meta, name)
    _take_out(classifier_meta._labels, _need(NvDsLabelInfo, label_info_meta, name), NvDsClassifierMeta, name)
    _count(classifier_meta, "num_labels", -1)


def nvds_remove_display_meta_from_frame(frame_meta: NvDsFrameMeta, display_meta: NvDsDisplayMeta) -> None:
    """Take shapes out of a frame."""
    name = "nvds_remove_display_meta_from_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    _take_out(frame_meta._displays, _need(NvDsDisplayMeta, display_meta, name), NvDsFrameMeta, name)


def nvds_remove_user_meta_from_batch(batch_meta: NvDsBatchMeta, user_meta: NvDsUserMeta) -> None:
    """Take user metadata out of a batch and release it."""
    name = "nvds_remove_user_meta_from_batch"
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    user_meta = _need(NvDsUserMeta, user_meta, name)
    _take_out(batch_meta._users, user_meta, NvDsBatchMeta, name)
    user_meta.release()


def nvds_remove_user_meta_from_frame(frame_meta: NvDsFrameMeta, user_meta: NvDsUserMeta) -> None:
    """Take user metadata out of a frame and release it."""
    name = "nvds_remove_user_meta_from_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    user_meta = _need(NvDsUserMeta, user_meta, name)
    _take_out(frame_meta._users, user_meta, NvDsFrameMeta, name)
    user_meta.release()


def nvds_remove_user_meta_from_object(obj_meta: NvDsObjectMeta, user_meta: NvDsUserMeta) -> None:
    """Take user metadata out of an object and release it."""
    name = "nvds_remove_user_meta_from_object"
    obj_meta = _need(NvDsObjectMeta, obj_meta, name)
    user_meta = _need(NvDsUserMeta, user_meta, name)
    _take_out(obj_meta._users, user_meta, NvDsObjectMeta, name)
    user_meta.release()


def nvds_batch_meta_copy_func(data: Any, user_meta: Any = None) -> NvDsBatchMeta:
    """A deep copy of the batch metadata at ``data``."""
    return _need(NvDsBatchMeta, data, "nvds_batch_meta_copy_func").duplicate()


def nvds_batch_meta_release_func(data: Any, user_data: Any = None) -> None:
    """Release the batch metadata at ``data``."""
    _destroy(data, "nvds_batch_meta_release_func")


def nvds_get_current_metadata_info(batch_meta: NvDsBatchMeta) -> bool:
    """Print how much metadata of each kind is in use; True."""
    batch_meta = _need(NvDsBatchMeta, batch_meta, "nvds_get_current_metadata_info")
    for kind in ("frame", "obj", "classifier", "label_info", "display", "user"):
        pool = getattr(batch_meta, f"{kind}_meta_pool")
        print(f"{kind}_meta_pool: {pool.num_full_elements} in use")
    return True


def nvds_get_user_meta_type(meta_descriptor: str) -> int:
    """A number for user metadata of that name: the same in the whole process, usable as ``meta_type``.

    Args:
        meta_descriptor: such as ``"COMPANY.COMPONENT.KIND"``.
    """
    if not isinstance(meta_descriptor, str):
        raise TypeError(f"nvds_get_user_meta_type() needs a str, got {type(meta_descriptor).__name__}")
    with _quark_lock:
        quark = _quarks.setdefault(meta_descriptor, len(_quarks) + 1)
    return int(NvDsMetaType.NVDS_START_USER_META) + quark
