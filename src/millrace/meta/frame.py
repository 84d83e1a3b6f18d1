"""``NvDsBatchMeta`` and ``NvDsFrameMeta``: the root of all metadata on a buffer, and one frame of it."""

from __future__ import annotations

from ctypes import c_int, c_int64, c_uint, c_uint64
from typing import Any

from .base import MAX_RESERVED_FIELDS, MAX_USER_FIELDS, BatchState, Meta, NvDsMetaPool
from .display import NvDsDisplayMeta
from .enums import NvDsMetaType
from .fields import array_field
from .glist import GList, MetaList, list_field
from .objects import NvDsClassifierMeta, NvDsLabelInfo, NvDsObjectMeta
from .osd_params import copy_struct
from .user import NvDsUserMeta


class NvDsFrameMeta(Meta):
    """One frame of a batch.

    ``batch_id`` is its place in the batch, ``pad_index`` the muxer's pad, ``source_id`` its source;
    ``buf_pts`` is in nanoseconds; ``source_frame_width`` and ``_height`` are those of the source, in pixels,
    before scaling.
    """

    __slots__ = ("_objs", "_displays", "_users")
    _fields_ = (
        ("pad_index", c_uint),
        ("batch_id", c_uint),
        ("frame_num", c_int),
        ("buf_pts", c_uint64),
        ("ntp_timestamp", c_uint64),
        ("source_id", c_uint),
        ("num_surfaces_per_frame", c_int),
        ("source_frame_width", c_uint),
        ("source_frame_height", c_uint),
        ("surface_type", c_uint),
        ("surface_index", c_uint),
        ("num_obj_meta", c_uint),
        ("bInferDone", c_int),
        ("pipeline_width", c_uint),
        ("pipeline_height", c_uint),
        ("_misc_frame_info", c_int64 * MAX_USER_FIELDS),
        ("_reserved", c_int64 * MAX_RESERVED_FIELDS),
    )
    _meta_type = NvDsMetaType.NVDS_FRAME_META
    pad_index: int
    batch_id: int
    frame_num: int
    buf_pts: int
    ntp_timestamp: int
    source_id: int
    num_surfaces_per_frame: int
    source_frame_width: int
    source_frame_height: int
    surface_type: int
    surface_index: int
    num_obj_meta: int
    bInferDone: int
    pipeline_width: int
    pipeline_height: int
    misc_frame_info: Any = array_field("misc_frame_info", "int64")
    reserved: Any = array_field("reserved", "int64")
    obj_meta_list: GList | None = list_field(
        "obj_meta_list", "_objs", "GList of :class:`NvDsObjectMeta`.", "num_obj_meta"
    )
    display_meta_list: GList | None = list_field(
        "display_meta_list", "_displays", "GList of :class:`NvDsDisplayMeta`."
    )
    frame_user_meta_list: GList | None = list_field(
        "frame_user_meta_list", "_users", "GList of :class:`NvDsUserMeta`."
    )

    def __init__(self) -> None:
        self._state = None
        self._base = None
        self._objs = MetaList()
        self._displays = MetaList()
        self._users = MetaList()

    @property
    def objects(self) -> list[NvDsObjectMeta]:
        """The objects, first to last."""
        return self._objs.items()

    @property
    def display_metas(self) -> list[NvDsDisplayMeta]:
        """The display metadata, first to last."""
        return self._displays.items()

    @property
    def user_metas(self) -> list[NvDsUserMeta]:
        """The user metadata, first to last."""
        return self._users.items()

    def duplicate(self, state: BatchState | None = None) -> NvDsFrameMeta:
        """A deep copy for another batch; objects' parents are those of the copy."""
        copy = NvDsFrameMeta()
        copy_struct(self, copy)
        copy._state = self._state if state is None else state
        copies: dict[int, NvDsObjectMeta] = {}
        for obj in self._objs:
            copies[id(obj)] = twin = obj.duplicate(copy._state)
            copy._objs.append(twin)
        for twin in copy._objs:
            if twin._parent is not None:
                twin._parent = copies.get(id(twin._parent))
        for display in self._displays:
            copy._displays.append(display.duplicate(copy._state))
        for user in self._users:
            copy._users.append(user.duplicate(copy._state))
        return copy

    def release(self) -> None:
        """Release all user metadata of the frame and its objects."""
        for user in self._users:
            user.release()
        for obj in self._objs:
            obj.release()

    def __repr__(self) -> str:
        what = f"source_id={self.source_id} frame_num={self.frame_num} objects={self.num_obj_meta}"
        return f"<NvDsFrameMeta {what}>"


def _pool(meta_type: Any, element: type[Meta]) -> Any:
    def load(self: NvDsBatchMeta) -> NvDsMetaPool:
        pool = self._pools.get(element)
        if pool is None:
            pool = self._pools[element] = NvDsMetaPool(meta_type, element.__basicsize__)
        pool.num_full_elements = self._count(element)
        most = max(pool.max_elements_in_pool, pool.num_full_elements, self.max_frames_in_batch)
        pool.max_elements_in_pool = most
        pool.num_empty_elements = pool.max_elements_in_pool - pool.num_full_elements
        return pool

    return property(load, doc=f"The pool of {element.__name__}.")


class NvDsBatchMeta(Meta):
    """All metadata of a batch of frames; ``num_frames_in_batch`` of at most ``max_frames_in_batch``."""

    __slots__ = ("_frames", "_users", "_pools")
    _fields_ = (
        ("max_frames_in_batch", c_uint),
        ("num_frames_in_batch", c_uint),
        ("_misc_batch_info", c_int64 * MAX_USER_FIELDS),
        ("_reserved", c_int64 * MAX_RESERVED_FIELDS),
    )
    _meta_type = NvDsMetaType.NVDS_BATCH_META
    max_frames_in_batch: int
    num_frames_in_batch: int
    misc_batch_info: Any = array_field("misc_batch_info", "int64")
    reserved: Any = array_field("reserved", "int64")
    frame_meta_pool: Any = _pool(NvDsMetaType.NVDS_FRAME_META, NvDsFrameMeta)
    obj_meta_pool: Any = _pool(NvDsMetaType.NVDS_OBJ_META, NvDsObjectMeta)
    classifier_meta_pool: Any = _pool(NvDsMetaType.NVDS_CLASSIFIER_META, NvDsClassifierMeta)
    display_meta_pool: Any = _pool(NvDsMetaType.NVDS_DISPLAY_META, NvDsDisplayMeta)
    user_meta_pool: Any = _pool(NvDsMetaType.NVDS_USER_META, NvDsUserMeta)
    label_info_meta_pool: Any = _pool(NvDsMetaType.NVDS_LABEL_INFO_META, NvDsLabelInfo)
    frame_meta_list: GList | None = list_field(
        "frame_meta_list", "_frames", "GList of :class:`NvDsFrameMeta`.", "num_frames_in_batch"
    )
    batch_user_meta_list: GList | None = list_field(
        "batch_user_meta_list", "_users", "GList of :class:`NvDsUserMeta`."
    )

    def __init__(self, max_frames_in_batch: int = 0) -> None:
        self.max_frames_in_batch = max_frames_in_batch
        self._state: BatchState = BatchState(self)
        self._base = None
        self._frames = MetaList()
        self._users = MetaList()
        self._pools: dict[type[Meta], NvDsMetaPool] = {}

    @property
    def meta_mutex(self) -> Any:
        """The lock of ``nvds_acquire_meta_lock``."""
        return self._state.lock

    @property
    def frames(self) -> list[NvDsFrameMeta]:
        """The frames, first to last."""
        return self._frames.items()

    @property
    def user_metas(self) -> list[NvDsUserMeta]:
        """The user metadata of the batch, first to last."""
        return self._users.items()

    def _count(self, element: type[Meta]) -> int:
        frames = self.frames
        if element is NvDsFrameMeta:
            return len(frames)
        objects = [obj for frame in frames for obj in frame.objects]
        if element is NvDsObjectMeta:
            return len(objects)
        if element is NvDsDisplayMeta:
            return sum(len(frame.display_metas) for frame in frames)
        if element is NvDsUserMeta:
            return sum(len(owner.user_metas) for owner in (self, *frames, *objects))
        classifiers = [found for obj in objects for found in obj.classifiers]
        if element is NvDsClassifierMeta:
            return len(classifiers)
        return sum(len(found.labels) for found in classifiers)

    def duplicate(self) -> NvDsBatchMeta:
        """A deep copy: user metadata through its copy functions."""
        copy = NvDsBatchMeta()
        copy_struct(self, copy)
        for frame in self._frames:
            copy._frames.append(frame.duplicate(copy._state))
        for user in self._users:
            copy._users.append(user.duplicate(copy._state))
        return copy

    def release(self) -> None:
        """Call the release functions of all user metadata once, and mark everything as stale."""
        state = self._state
        if state.released:
            return
        state.released = True
        for user in self._users:
            user.release()
        for frame in self._frames:
            frame.release()

    def __repr__(self) -> str:
        return f"<NvDsBatchMeta frames={self.num_frames_in_batch}>"
