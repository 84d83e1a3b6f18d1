"""Times at which a batch came to each component and left it, kept as user metadata of the batch."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from .enums import NvDsMetaType
from .frame import NvDsBatchMeta
from .functions import (
    nvds_acquire_meta_lock,
    nvds_acquire_user_meta_from_pool,
    nvds_add_user_meta_to_batch,
    nvds_release_meta_lock,
)

FRAMES = "NVDS_ENABLE_LATENCY_MEASUREMENT"
COMPONENTS = "NVDS_ENABLE_COMPONENT_LATENCY_MEASUREMENT"


def is_on(variable: str) -> bool:
    """Whether an environment variable switches its measurement on."""
    return os.environ.get(variable, "0") not in ("", "0")


@dataclass
class ComponentLatency:
    """What one component took for a batch, or the muxer for one frame of it.

    ``came`` and ``left`` are milliseconds of the system clock since 1970, ``left`` is 0 until then; ``frame`` is
    ``(source_id, pad_index, frame_num)`` of a frame, or ``None`` for a whole batch.
    """

    component: str
    came: float
    left: float = 0.0
    frame: tuple[int, int, int] | None = None

    def line(self) -> str:
        """The line that ``nvds_measure_buffer_latency`` prints."""
        where = times = ""
        if self.frame is not None:
            where = "source_id = {} pad_index = {} frame_num = {} ".format(*self.frame)
        times = f"in_system_timestamp = {self.came:.6f} out_system_timestamp = {self.left:.6f}"
        what = "component_latency" if self.frame is not None else "component latency"
        return f"Comp name = {self.component} {where}{times} {what}= {self.left - self.came:.6f}"


def now_ms() -> float:
    """The system clock, milliseconds since 1970."""
    return time.time_ns() / 1e6


def components_of(meta: NvDsBatchMeta) -> list[ComponentLatency]:
    """What the components on the way took for a batch, in the order of the way."""
    metas = [user for user in meta.user_metas if isinstance(user.user_meta_data, ComponentLatency)]
    return sorted((user.user_meta_data for user in metas), key=lambda item: item.came)


def add(meta: NvDsBatchMeta, latency: ComponentLatency) -> None:
    """Attach one more to a batch, as ``NVDS_LATENCY_MEASUREMENT_META``."""
    nvds_acquire_meta_lock(meta)
    try:
        user = nvds_acquire_user_meta_from_pool(meta)
        user.user_meta_data = latency
        user.base_meta.meta_type = NvDsMetaType.NVDS_LATENCY_MEASUREMENT_META
        nvds_add_user_meta_to_batch(meta, user)
    finally:
        nvds_release_meta_lock(meta)
