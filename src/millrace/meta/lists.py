"""The ``nvds_*`` functions of pyds on whole lists: find, clear and copy."""

from __future__ import annotations

from typing import Any

from .frame import NvDsBatchMeta, NvDsFrameMeta
from .functions import _count, _live, _need, nvds_add_frame_meta_to_batch, nvds_add_obj_meta_to_frame
from .glist import GList
from .objects import NvDsObjectMeta


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


def _clear(cls: type[Any], owner: Any, field: str, meta_list: Any, name: str, count: str | None = None) -> None:
    owner = _need(cls, owner, name)
    items = getattr(owner, field)
    for meta in _nodes(meta_list, name):
        if items is not None and items.remove(meta):
            if count is not None:
                _count(owner, count, -1)
            if hasattr(meta, "release"):
                meta.release()


def nvds_clear_frame_meta_list(batch_meta: NvDsBatchMeta, meta_list: GList | None) -> None:
    """Remove the frames from ``meta_list`` on; what is not in the batch stays as it is."""
    _clear(NvDsBatchMeta, batch_meta, "_frames", meta_list, "nvds_clear_frame_meta_list", "num_frames_in_batch")


def nvds_clear_obj_meta_list(frame_meta: NvDsFrameMeta, meta_list: GList | None) -> None:
    """Remove the objects from ``meta_list`` on."""
    _clear(NvDsFrameMeta, frame_meta, "_objs", meta_list, "nvds_clear_obj_meta_list", "num_obj_meta")


def nvds_clear_display_meta_list(frame_meta: NvDsFrameMeta, meta_list: GList | None) -> None:
    """Remove the display metadata from ``meta_list`` on."""
    _clear(NvDsFrameMeta, frame_meta, "_displays", meta_list, "nvds_clear_display_meta_list")


def nvds_clear_batch_user_meta_list(batch_meta: NvDsBatchMeta, meta_list: GList | None) -> None:
    """Remove and release the batch's user metadata from ``meta_list`` on."""
    _clear(NvDsBatchMeta, batch_meta, "_users", meta_list, "nvds_clear_batch_user_meta_list")


def nvds_clear_frame_user_meta_list(frame_meta: NvDsFrameMeta, meta_list: GList | None) -> None:
    """Remove and release the frame's user metadata from ``meta_list`` on."""
    _clear(NvDsFrameMeta, frame_meta, "_users", meta_list, "nvds_clear_frame_user_meta_list")


def nvds_clear_obj_user_meta_list(object_meta: NvDsObjectMeta, meta_list: GList | None) -> None:
    """Remove and release the object's user metadata from ``meta_list`` on."""
    _clear(NvDsObjectMeta, object_meta, "_users", meta_list, "nvds_clear_obj_user_meta_list")


def nvds_clear_meta_list(batch_meta: NvDsBatchMeta, meta_list: GList | None, meta_pool: Any) -> None:
    """Remove all metadata of ``meta_list`` from wherever it is in the batch."""
    name = "nvds_clear_meta_list"
    batch_meta = _need(NvDsBatchMeta, batch_meta, name)
    frames = batch_meta.frames
    objects = [obj for frame in frames for obj in frame.objects]
    _clear(NvDsBatchMeta, batch_meta, "_frames", meta_list, name, "num_frames_in_batch")
    _clear(NvDsBatchMeta, batch_meta, "_users", meta_list, name)
    for frame in frames:
        _clear(NvDsFrameMeta, frame, "_objs", meta_list, name, "num_obj_meta")
        _clear(NvDsFrameMeta, frame, "_displays", meta_list, name)
        _clear(NvDsFrameMeta, frame, "_users", meta_list, name)
    for obj in objects:
        _clear(NvDsObjectMeta, obj, "_classifiers", meta_list, name)
        _clear(NvDsObjectMeta, obj, "_users", meta_list, name)


def nvds_copy_batch_user_meta_list(src_user_meta_list: GList | None, dst_batch_meta: NvDsBatchMeta) -> None:
    """Add copies of user metadata to a batch."""
    name = "nvds_copy_batch_user_meta_list"
    dst = _live(NvDsBatchMeta, dst_batch_meta, name)
    for user in _nodes(src_user_meta_list, name):
        dst._users.append(user.duplicate(dst._state))


def nvds_copy_frame_user_meta_list(src_user_meta_list: GList | None, dst_frame_meta: NvDsFrameMeta) -> None:
    """Add copies of user metadata to a frame."""
    name = "nvds_copy_frame_user_meta_list"
    dst = _live(NvDsFrameMeta, dst_frame_meta, name)
    for user in _nodes(src_user_meta_list, name):
        dst._users.append(user.duplicate(dst._state))


def nvds_copy_display_meta_list(src_display_meta: GList | None, dst_frame_meta: NvDsFrameMeta) -> None:
    """Add copies of display metadata to a frame."""
    name = "nvds_copy_display_meta_list"
    dst = _live(NvDsFrameMeta, dst_frame_meta, name)
    for display in _nodes(src_display_meta, name):
        dst._displays.append(display.duplicate(dst._state))


def nvds_copy_frame_meta_list(src_frame_meta_list: GList | None, dst_batch_meta: NvDsBatchMeta) -> None:
    """Add deep copies of frames to a batch."""
    name = "nvds_copy_frame_meta_list"
    dst = _live(NvDsBatchMeta, dst_batch_meta, name)
    for frame in _nodes(src_frame_meta_list, name):
        nvds_add_frame_meta_to_batch(dst, frame.duplicate(dst._state))


def nvds_copy_obj_meta_list(src_obj_meta_list: GList | None, dst_object_meta: NvDsFrameMeta) -> None:
    """Add deep copies of objects to a frame (the argument's name is that of the bindings)."""
    name = "nvds_copy_obj_meta_list"
    dst = _live(NvDsFrameMeta, dst_object_meta, name)
    for obj in _nodes(src_obj_meta_list, name):
        copy = obj.duplicate(dst._state)
        nvds_add_obj_meta_to_frame(dst, copy, copy._parent)
