"""Calls every function and method of pyds, and sets every field, with what does not belong there.

Run as a program of its own, so that a crash is an exit code. What is raised must be an error that names what is wrong;
anything else is printed, and the exit code is 1.
"""

from __future__ import annotations

import faulthandler
import inspect
import itertools
import random
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import pyds
from millrace.errors import MillraceError

EXPECTED = (TypeError, ValueError, IndexError, OverflowError, AttributeError, RuntimeError, MemoryError, MillraceError)
wrong: list[str] = []


def make_batch() -> Any:
    """A batch with one of everything."""
    batch = pyds.nvds_create_batch_meta(2)
    frame = pyds.nvds_acquire_frame_meta_from_pool(batch)
    pyds.nvds_add_frame_meta_to_batch(batch, frame)
    item = pyds.nvds_acquire_obj_meta_from_pool(batch)
    classifier = pyds.nvds_acquire_classifier_meta_from_pool(batch)
    pyds.nvds_add_label_info_meta_to_classifier(classifier, pyds.nvds_acquire_label_info_meta_from_pool(batch))
    pyds.nvds_add_classifier_meta_to_object(item, classifier)
    pyds.nvds_add_obj_meta_to_frame(frame, item, None)
    display = pyds.nvds_acquire_display_meta_from_pool(batch)
    display.text_params[0].display_text = "text"
    pyds.nvds_add_display_meta_to_frame(frame, display)
    for owner, add in (
        (batch, pyds.nvds_add_user_meta_to_batch),
        (frame, pyds.nvds_add_user_meta_to_frame),
        (item, pyds.nvds_add_user_meta_to_obj),
    ):
        user = pyds.nvds_acquire_user_meta_from_pool(batch)
        user.user_meta_data = pyds.alloc_nvds_event_msg_meta(user)
        add(owner, user)
    return batch


def metas_of(batch: Any) -> list[Any]:
    """Every meta of :func:`make_batch`, and their nodes."""
    frame = batch.frame_meta_list.data
    item = frame.obj_meta_list.data
    found = [batch, frame, item, item.classifier_meta_list.data, item.classifier_meta_list.data.label_info_list.data]
    found += [frame.display_meta_list.data, frame.frame_user_meta_list.data, item.obj_user_meta_list.data]
    return [*found, batch.frame_meta_list, frame.obj_meta_list, item.base_meta, item.rect_params, item.text_params]


memory = np.zeros(4096, np.uint8)
live, stale = make_batch(), make_batch()
stale_metas = metas_of(stale)
pyds.nvds_destroy_batch_meta(stale)
VALUES: list[Any] = [
    None, 0, -1, 7, 2**31, 2**70, 1.5, float("nan"), "text", "\0", b"\xff", [], {}, object(), int, True, (1, 2),
    np.zeros(2), memory.ctypes.data, id(live), hash(None), pyds.alloc_buffer(8), print, *metas_of(live), *stale_metas,
]  # fmt: skip


def arguments(count: int) -> Iterator[tuple[Any, ...]]:
    """Combinations of values: all of them for one argument, a sample for more."""
    if count <= 1:
        yield from itertools.product(VALUES, repeat=count)
        return
    chance = random.Random(count)
    for _ in range(300):
        yield tuple(chance.choice(VALUES) for _ in range(count))


def parameters(function: Any) -> int:
    """How many arguments to try."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return 2 if any(p.kind == p.VAR_POSITIONAL for p in found) else len(found)


def attempt(what: str, call: Any, *given: Any) -> bool:
    """Call; whether it succeeded. An unexpected exception, or one without a text, is noted."""
    try:
        call(*given)
        return True
    except EXPECTED as error:
        if not str(error):
            wrong.append(f"{what}{given!r:.60}: {type(error).__name__} without a text")
    except BaseException as error:
        wrong.append(f"{what}{given!r:.60}: {error!r:.120}")
    return False


def main() -> int:
    """All of it."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    classes = {n: v for n, v in vars(pyds).items() if isinstance(v, type) and hasattr(v, "cast")}
    functions = {n: v for n, v in vars(pyds).items() if inspect.isfunction(v) and n not in ("unset_callback_funcs",)}
    functions.pop("__getattr__", None)
    for name, function in functions.items():
        for given in arguments(parameters(function)):
            attempt(name, function, *given)
    for name, cls in classes.items():
        for member in [m for m in dir(cls) if not m.startswith("_")]:
            if callable(getattr(cls, member)) and not isinstance(getattr(cls, member), type):
                function = getattr(cls(), member)
                for given in arguments(parameters(function)):
                    attempt(f"{name}.{member}", function, *given)
                continue
            for value in VALUES:
                made = cls()
                if attempt(f"{name}.{member}=", setattr, made, member, value):
                    attempt(f"{name}.{member}", getattr, made, member)
                    attempt(f"repr({name})", repr, made)
    for meta in stale_metas:
        for member in [m for m in dir(type(meta)) if not m.startswith("_")]:
            attempt(f"gone {type(meta).__name__}.{member}", getattr, meta, member)
            value = getattr(meta, member, None)
            if not callable(value):
                attempt(f"gone {type(meta).__name__}.{member}=", setattr, meta, member, value)
    print("\n".join(sorted(set(wrong))))
    print(f"{len(functions)} functions, {len(classes)} classes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
