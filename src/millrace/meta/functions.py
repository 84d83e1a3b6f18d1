"""The ``nvds_*`` functions of pyds: acquire, add, remove, clear and copy metadata, and lock a batch."""

from __future__ import annotations

import threading
from typing import Any

from .display import NvDsDisplayMeta
from .enums import NvDsMetaType
from .fields import resolve
from .frame import NvDsBatchMeta, NvDsFrameMeta
from .glist import GList, MetaList
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


def nvds_destroy_batch_meta(batch_meta: NvDsBatchMeta) -> bool:
    """Release all user metadata of a batch and mark it as stale; True."""
    _need(NvDsBatchMeta, batch_meta, "nvds_destroy_batch_meta").release()
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
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    batch_meta._frames.append(_need(NvDsFrameMeta, frame_meta, name))
    batch_meta.num_frames_in_batch += 1


def nvds_add_obj_meta_to_frame(
    frame_meta: NvDsFrameMeta, obj_meta: NvDsObjectMeta, obj_parent: NvDsObjectMeta | None
) -> None:
    """Add an object at the end of a frame; ``obj_parent`` is the object it was found in, or ``None``."""
    name = "nvds_add_obj_meta_to_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    obj_meta = _need(NvDsObjectMeta, obj_meta, name)
    obj_meta.parent = None if obj_parent is None else _need(NvDsObjectMeta, obj_parent, name)
    frame_meta._objs.append(obj_meta)
    frame_meta.num_obj_meta += 1


def nvds_add_classifier_meta_to_object(obj_meta: NvDsObjectMeta, classifier_meta: NvDsClassifierMeta) -> None:
    """Add a classification at the end of an object's."""
    name = "nvds_add_classifier_meta_to_object"
    obj_meta = _need(NvDsObjectMeta, obj_meta, name)
    classifier_meta = _need(NvDsClassifierMeta, classifier_meta, name)
    if obj_meta._classifiers is None:
        obj_meta._classifiers = MetaList()
    obj_meta._classifiers.append(classifier_meta)


def nvds_add_label_info_meta_to_classifier(
    classifier_meta: NvDsClassifierMeta, label_info_meta: NvDsLabelInfo
) -> None:
    """Add a label at the end of a classification's."""
    name = "nvds_add_label_info_meta_to_classifier"
    classifier_meta = _need(NvDsClassifierMeta, classifier_meta, name)
    classifier_meta._labels.append(_need(NvDsLabelInfo, label_info_meta, name))
    classifier_meta.num_labels += 1


def nvds_add_display_meta_to_frame(frame_meta: NvDsFrameMeta, display_meta: NvDsDisplayMeta) -> None:
    """Add shapes to draw on a frame."""
    name = "nvds_add_display_meta_to_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    frame_meta._displays.append(_need(NvDsDisplayMeta, display_meta, name))


def nvds_add_user_meta_to_batch(batch_meta: NvDsBatchMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to a batch."""
    name = "nvds_add_user_meta_to_batch"
    _need(NvDsBatchMeta, batch_meta, name)._users.append(_need(NvDsUserMeta, user_meta, name))


def nvds_add_user_meta_to_frame(frame_meta: NvDsFrameMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to a frame."""
    name = "nvds_add_user_meta_to_frame"
    _need(NvDsFrameMeta, frame_meta, name)._users.append(_need(NvDsUserMeta, user_meta, name))


def nvds_add_user_meta_to_obj(obj_meta: NvDsObjectMeta, user_meta: NvDsUserMeta) -> None:
    """Add user metadata to an object."""
    name = "nvds_add_user_meta_to_obj"
    obj_meta = _need(NvDsObjectMeta, obj_meta, name)
    user_meta = _need(NvDsUserMeta, user_meta, name)
    if obj_meta._users is None:
        obj_meta._users = MetaList()
    obj_meta._users.append(user_meta)


def nvds_remove_frame_meta_from_batch(batch_meta: NvDsBatchMeta, frame_meta: NvDsFrameMeta) -> None:
    """Take a frame out of a batch and release its user metadata; nothing happens when it is not in it."""
    name = "nvds_remove_frame_meta_from_batch"
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    if batch_meta._frames.remove(frame_meta):
        batch_meta.num_frames_in_batch -= 1
        frame_meta.release()


def nvds_remove_obj_meta_from_frame(frame_meta: NvDsFrameMeta, obj_meta: NvDsObjectMeta) -> None:
    """Take an object out of a frame and release its user metadata; safe for the object a walk is at."""
    name = "nvds_remove_obj_meta_from_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    obj_meta = _need(NvDsObjectMeta, obj_meta, name)
    if frame_meta._objs.remove(obj_meta):
        frame_meta.num_obj_meta -= 1
        obj_meta.release()


def nvds_remove_classifier_meta_from_obj(
    obj_meta: NvDsObjectMeta, classifier_meta: NvDsClassifierMeta
) -> None:
    """Take a classification out of an object."""
    name = "nvds_remove_classifier_meta_from_obj"
    classifiers = _need(NvDsObjectMeta, obj_meta, name)._classifiers
    classifier_meta = _need(NvDsClassifierMeta, classifier_meta, name)
    if classifiers is not None:
        classifiers.remove(classifier_meta)


def nvds_remove_label_info_meta_from_classifier(
    classifier_meta: NvDsClassifierMeta, label_info_meta: NvDsLabelInfo
) -> None:
    """Take a label out of a classification."""
    name = "nvds_remove_label_info_meta_from_classifier"
    classifier_meta = _need(NvDsClassifierMeta, classifier_meta, name)
    if classifier_meta._labels.remove(_need(NvDsLabelInfo, label_info_meta, name)):
        classifier_meta.num_labels = max(classifier_meta.num_labels - 1, 0)


def nvds_remove_display_meta_from_frame(frame_meta: NvDsFrameMeta, display_meta: NvDsDisplayMeta) -> None:
    """Take shapes out of a frame."""
    name = "nvds_remove_display_meta_from_frame"
    frame_meta = _need(NvDsFrameMeta, frame_meta, name)
    frame_meta._displays.remove(_need(NvDsDisplayMeta, display_meta, name))


def _remove_user(owner: Any, user_meta: Any, name: str) -> None:
    user_meta = _need(NvDsUserMeta, user_meta, name)
    if owner._users is not None and owner._users.remove(user_meta):
        user_meta.release()


def nvds_remove_user_meta_from_batch(batch_meta: NvDsBatchMeta, user_meta: NvDsUserMeta) -> None:
    """Take user metadata out of a batch and release it."""
    name = "nvds_remove_user_meta_from_batch"
    _remove_user(_need(NvDsBatchMeta, batch_meta, name), user_meta, name)


def nvds_remove_user_meta_from_frame(frame_meta: NvDsFrameMeta, user_meta: NvDsUserMeta) -> None:
    """Take user metadata out of a frame and release it."""
    name = "nvds_remove_user_meta_from_frame"
    _remove_user(_need(NvDsFrameMeta, frame_meta, name), user_meta, name)


def nvds_remove_user_meta_from_object(obj_meta: NvDsObjectMeta, user_meta: NvDsUserMeta) -> None:
    """Take user metadata out of an object and release it."""
    name = "nvds_remove_user_meta_from_object"
    _remove_user(_need(NvDsObjectMeta, obj_meta, name), user_meta, name)


def _nodes(meta_list: Any, name: str) -> list[Any]:
    """The data of a GList, as a list; ``None`` is the empty list."""
    if meta_list is not None and not isinstance(meta_list, GList):
        raise TypeError(f"{name}() needs a GList, got {type(meta_list).__name__}")
    found = []
    while meta_list is not None:
        found.append(meta_list.data)
        meta_list = meta_list.next
    return found


def nvds_get_nth_frame_meta(frame_meta_list: GList | None, index: int) -> NvDsFrameMeta | None:
    """The frame at ``index`` (from 0) of a list, or ``None``."""
    frames = _nodes(frame_meta_list, "nvds_get_nth_frame_meta")
    return frames[index] if 0 <= index < len(frames) else None


def nvds_clear_frame_meta_list(batch_meta: NvDsBatchMeta, meta_list: GList | None) -> None:
    """Remove the frames from ``meta_list`` on."""
    for frame in _nodes(meta_list, "nvds_clear_frame_meta_list"):
        nvds_remove_frame_meta_from_batch(batch_meta, frame)


def nvds_clear_obj_meta_list(frame_meta: NvDsFrameMeta, meta_list: GList | None) -> None:
    """Remove the objects from ``meta_list`` on."""
    for obj in _nodes(meta_list, "nvds_clear_obj_meta_list"):
        nvds_remove_obj_meta_from_frame(frame_meta, obj)


def nvds_clear_display_meta_list(frame_meta: NvDsFrameMeta, meta_list: GList | None) -> None:
    """Remove the display metadata from ``meta_list`` on."""
    for display in _nodes(meta_list, "nvds_clear_display_meta_list"):
        nvds_remove_display_meta_from_frame(frame_meta, display)


def nvds_clear_batch_user_meta_list(batch_meta: NvDsBatchMeta, meta_list: GList | None) -> None:
    """Remove and release the batch's user metadata from ``meta_list`` on."""
    for user in _nodes(meta_list, "nvds_clear_batch_user_meta_list"):
        nvds_remove_user_meta_from_batch(batch_meta, user)


def nvds_clear_frame_user_meta_list(frame_meta: NvDsFrameMeta, meta_list: GList | None) -> None:
    """Remove and release the frame's user metadata from ``meta_list`` on."""
    for user in _nodes(meta_list, "nvds_clear_frame_user_meta_list"):
        nvds_remove_user_meta_from_frame(frame_meta, user)


def nvds_clear_obj_user_meta_list(object_meta: NvDsObjectMeta, meta_list: GList | None) -> None:
    """Remove and release the object's user metadata from ``meta_list`` on."""
    for user in _nodes(meta_list, "nvds_clear_obj_user_meta_list"):
        nvds_remove_user_meta_from_object(object_meta, user)


def nvds_clear_meta_list(batch_meta: NvDsBatchMeta, meta_list: GList | None, meta_pool: Any) -> None:
    """Remove all metadata of ``meta_list`` from wherever it is in the batch."""
    batch_meta = _need(NvDsBatchMeta, batch_meta, "nvds_clear_meta_list")
    wanted = _nodes(meta_list, "nvds_clear_meta_list")
    owners: list[Any] = [batch_meta, *batch_meta.frames]
    owners += [obj for frame in batch_meta.frames for obj in frame.objects]
    for meta in wanted:
        for owner in owners:
            if isinstance(meta, NvDsUserMeta):
                _remove_user(owner, meta, "nvds_clear_meta_list")
            elif isinstance(owner, NvDsBatchMeta) and isinstance(meta, NvDsFrameMeta):
                nvds_remove_frame_meta_from_batch(owner, meta)
            elif isinstance(owner, NvDsFrameMeta) and isinstance(meta, NvDsObjectMeta):
                nvds_remove_obj_meta_from_frame(owner, meta)
            elif isinstance(owner, NvDsFrameMeta) and isinstance(meta, NvDsDisplayMeta):
                nvds_remove_display_meta_from_frame(owner, meta)
            elif isinstance(owner, NvDsObjectMeta) and isinstance(meta, NvDsClassifierMeta):
                nvds_remove_classifier_meta_from_obj(owner, meta)


def nvds_copy_batch_user_meta_list(src_user_meta_list: GList | None, dst_batch_meta: NvDsBatchMeta) -> None:
    """Add copies of user metadata to a batch."""
    name = "nvds_copy_batch_user_meta_list"
    dst = _need(NvDsBatchMeta, dst_batch_meta, name)
    for user in _nodes(src_user_meta_list, name):
        dst._users.append(user.duplicate(dst._state))


def nvds_copy_frame_user_meta_list(src_user_meta_list: GList | None, dst_frame_meta: NvDsFrameMeta) -> None:
    """Add copies of user metadata to a frame."""
    name = "nvds_copy_frame_user_meta_list"
    dst = _need(NvDsFrameMeta, dst_frame_meta, name)
    for user in _nodes(src_user_meta_list, name):
        dst._users.append(user.duplicate(dst._state))


def nvds_copy_display_meta_list(src_display_meta: GList | None, dst_frame_meta: NvDsFrameMeta) -> None:
    """Add copies of display metadata to a frame."""
    name = "nvds_copy_display_meta_list"
    dst = _need(NvDsFrameMeta, dst_frame_meta, name)
    for display in _nodes(src_display_meta, name):
        dst._displays.append(display.duplicate(dst._state))


def nvds_copy_frame_meta_list(src_frame_meta_list: GList | None, dst_batch_meta: NvDsBatchMeta) -> None:
    """Add deep copies of frames to a batch."""
    name = "nvds_copy_frame_meta_list"
    dst = _need(NvDsBatchMeta, dst_batch_meta, name)
    for frame in _nodes(src_frame_meta_list, name):
        nvds_add_frame_meta_to_batch(dst, frame.duplicate(dst._state))


def nvds_copy_obj_meta_list(src_obj_meta_list: GList | None, dst_object_meta: NvDsFrameMeta) -> None:
    """Add deep copies of objects to a frame (the argument's name is that of the bindings)."""
    name = "nvds_copy_obj_meta_list"
    dst = _need(NvDsFrameMeta, dst_object_meta, name)
    for obj in _nodes(src_obj_meta_list, name):
        copy = obj.duplicate(dst._state)
        nvds_add_obj_meta_to_frame(dst, copy, copy.parent)


def nvds_batch_meta_copy_func(data: Any, user_meta: Any = None) -> NvDsBatchMeta:
    """A deep copy of the batch metadata at ``data``."""
    return _need(NvDsBatchMeta, data, "nvds_batch_meta_copy_func").duplicate()


def nvds_batch_meta_release_func(data: Any, user_data: Any = None) -> None:
    """Release the batch metadata at ``data``."""
    _need(NvDsBatchMeta, data, "nvds_batch_meta_release_func").release()


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
