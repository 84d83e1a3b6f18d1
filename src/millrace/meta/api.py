"""Everything that ``import pyds`` offers, in one namespace."""

from __future__ import annotations

import types
from typing import Any

from . import (
    analytics,
    base,
    bufsurface,
    casts,
    display,
    enums,
    frame,
    functions,
    glist,
    images,
    infer,
    lists,
    objects,
    osd_params,
    preprocess,
    schema,
    streams,
    strings,
    tracker,
    user,
)

__version__ = "1.2.0"

_MODULES: tuple[types.ModuleType, ...] = (
    glist, osd_params, base, user, objects, display, frame, infer, schema, tracker, analytics, bufsurface,
    preprocess,
)  # fmt: skip
_MODULES += (enums, functions, lists, strings, images, casts, streams)
#: Public in their modules, but no names of pyds.
_HIDDEN = set(
    "Meta Sixteen SchemaObject MetaList BatchState UserFunction Block Address PydsEnum "
    "adopt decode encode field_text intern_font string_field text_bytes copy_struct label BatchData".split()
)


def _collect() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            public = not name.startswith("_") and name not in _HIDDEN
            made_here = getattr(value, "__module__", None) == module.__name__
            if public and made_here and isinstance(value, (type, types.FunctionType)):
                names[name] = value
    names.update(enums.EXPORTED)
    names["alloc_char_buffer"] = strings.alloc_buffer
    names.update(tracker.OLD_NAMES)
    return names


#: All public names of pyds and what they are.
NAMES: dict[str, Any] = _collect()
globals().update(NAMES)
__all__ = sorted(NAMES)
