"""Old cast functions, from before classes had ``cast()``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from .bufsurface import NvBufSurfaceParams
from .display import NvDsDisplayMeta
from .frame import NvDsBatchMeta, NvDsFrameMeta
from .infer import NvDsInferTensorMeta
from .objects import NvDsClassifierMeta, NvDsLabelInfo, NvDsObjectMeta
from .schema import NvDsEventMsgMeta, NvDsPersonObject, NvDsVehicleObject
from .user import NvDsUserMeta


def _old(suffix: str, cls: Any) -> Callable[[Any], Any]:
    name = f"glist_get_nvds_{suffix}"

    def function(data: Any) -> Any:
        warnings.warn(f"{name}() is deprecated, use {cls.__name__}.cast()", DeprecationWarning, stacklevel=2)
        return cls.cast(data)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Deprecated: ``{cls.__name__}.cast(data)``."
    return function


glist_get_nvds_batch_meta = _old("batch_meta", NvDsBatchMeta)
glist_get_nvds_frame_meta = _old("frame_meta", NvDsFrameMeta)
glist_get_nvds_object_meta = _old("object_meta", NvDsObjectMeta)
glist_get_nvds_user_meta = _old("user_meta", NvDsUserMeta)
glist_get_nvds_classifier_meta = _old("classifier_meta", NvDsClassifierMeta)
glist_get_nvds_display_meta = _old("display_meta", NvDsDisplayMeta)
glist_get_nvds_label_info = _old("label_info", NvDsLabelInfo)
glist_get_nvds_event_msg_meta = _old("event_msg_meta", NvDsEventMsgMeta)
glist_get_nvds_vehicle_object = _old("vehicle_object", NvDsVehicleObject)
glist_get_nvds_person_object = _old("person_object", NvDsPersonObject)
glist_get_nvds_tensor_meta = _old("tensor_meta", NvDsInferTensorMeta)
glist_get_nvds_Surface_Params = _old("Surface_Params", NvBufSurfaceParams)  # noqa: N816
