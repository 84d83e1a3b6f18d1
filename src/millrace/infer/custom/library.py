"""Parse functions in a C++ library with DeepStream's ABI, called through ctypes."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from ..parsers.results import (
    AnyArray,
    Classification,
    ClassifierAttribute,
    Detections,
    FloatArray,
    Layers,
    SegmentationMap,
)
from . import crash
from .abi import ATTRIBUTE, INSTANCE, OBJECT, DetectionParams, LayerVector, Network, String, Vector
from .objects import DescribedClassification, Sieve, stack_masks
from .task import Task

log = logging.getLogger("millrace.infer")

_POINTER = ctypes.c_void_p
_KEYPOINT_BYTES = 12
_FENCE, _BEHIND = 16, 1024


class Memory:
    """Frees what a library allocated: with its own ``operator delete`` where it brings one, else libstdc++'s."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.delete = _function(library, "_ZdlPv")
        self.delete_array = _function(library, "_ZdaPv")
        self.free = _function(ctypes.CDLL(None), "free")


def _function(library: ctypes.CDLL, name: str) -> Callable[[int], None]:
    try:
        function = library[name]
    except AttributeError:
        function = ctypes.CDLL("libstdc++.so.6")[name]
    function.argtypes, function.restype = [_POINTER], None
    return function


class LibraryFunction:
    """Calls a parse function of a loaded library and brings its result into shape.

    One call at a time: such functions often keep tables in static variables.

    Args:
        library: loaded.
        task: what it is for.
    """

    def __init__(self, library: ctypes.CDLL, task: Task) -> None:
        self._task, self._sieve, self._memory = task, Sieve(task), Memory(library)
        self.__name__ = task.title
        function = library[task.function]
        function.restype = ctypes.c_bool
        extra: dict[str, list[Any]] = {
            "detector": [_POINTER, _POINTER],
            "instance": [_POINTER, _POINTER],
            "classifier": [ctypes.c_float, _POINTER, _POINTER],
            "segmentation": [ctypes.c_float, ctypes.c_uint, _POINTER, _POINTER],
        }
        function.argtypes = [_POINTER, _POINTER, *extra[task.kind]]
        self._function = crash.named(function, task.function, task.library)
        crash.watch()
        self._network = Network.of(task.network)
        self._lock = threading.Lock()
        self._wide = False
        call: dict[str, Callable[[LayerVector, AnyArray], Any]] = {
            "detector": self._objects,
            "instance": self._instances,
            "classifier": self._attributes,
            "segmentation": self._pixels,
        }
        self._call = call[task.kind]

    def __call__(self, layers: Layers, thresholds: AnyArray) -> Any:
        """Parse one picture.

        Raises:
            ModelError: the function returned false or something unreadable.
        """
        with self._lock:
            vector = LayerVector(layers, self._wide)
            found = self._call(vector, thresholds)
            if found is None and vector.narrowed:
                # Written for DeepStream 8, perhaps, where such outputs are INT64.
                found = self._call(LayerVector(layers, True), thresholds)
                self._wide = found is not None
        if found is None:
            shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in layers.items())
            key = f"{self._task.where}{self._task.key}: " if self._task.key else ""
            raise ModelError(f"{key}{self._task.title} returned false for the outputs {shapes}")
        return found

    def _run(self, layers: LayerVector, *arguments: Any) -> bool:
        references = [ctypes.byref(x) if isinstance(x, ctypes.Structure) else x for x in arguments]
        return bool(self._function(ctypes.byref(layers.vector), ctypes.byref(self._network), *references))

    def _params(self, thresholds: AnyArray) -> tuple[DetectionParams, tuple[FloatArray, FloatArray]]:
        pre, post = fenced(thresholds), fenced(self._task.post_thresholds)
        return DetectionParams.of(self._task.num_classes, pre, post), (pre, post)

    def _objects(self, layers: LayerVector, thresholds: AnyArray) -> Detections | None:
        params, _keep = self._params(thresholds)
        found = Vector()
        try:
            if not self._run(layers, params, found):
                return None
            return self._sieve(_detections(found.rows(OBJECT, self._task.title)))
        finally:
            self._memory.delete(found.begin)

    def _instances(self, layers: LayerVector, thresholds: AnyArray) -> Detections | None:
        params, _keep = self._params(thresholds)
        found = Vector()
        rows = np.zeros(0, INSTANCE)
        try:
            good = self._run(layers, params, found)
            rows = found.rows(INSTANCE, self._task.title)
            if not good:
                return None
            result = _detections(rows)
            result.keypoints, result.masks = self._masks(rows)
            return self._sieve(result)
        finally:
            for address in {int(value) for value in rows["mask"]} - {0}:
                self._memory.delete_array(address)
            self._memory.delete(found.begin)

    def _masks(self, rows: AnyArray) -> tuple[FloatArray | None, FloatArray | None]:
        """Keypoints and masks. Pose parsers send (K, 3) keypoints as a mask whose bytes are not width x height."""
        values = [
            None
            if not row["mask"] or not row["size"]
            else np.frombuffer(ctypes.string_at(int(row["mask"]), int(row["size"])), np.uint8)
            for row in rows
        ]
        plain = [int(row["width"]) * int(row["height"]) * 4 == int(row["size"]) for row in rows]
        if all(v is None or p for v, p in zip(values, plain, strict=True)):
            shapes = [(int(row["height"]), int(row["width"])) for row in rows]
            return None, stack_masks(
                [None if v is None else v.view(np.float32).reshape(s) for v, s in zip(values, shapes, strict=True)]
            )
        sizes = {0 if v is None else len(v) for v in values}
        if len(sizes) == 1 and not sizes & {0} and not min(sizes) % _KEYPOINT_BYTES:
            return np.stack([v.view(np.float32).reshape(-1, 3) for v in values if v is not None]), None
        worst = rows[plain.index(False)]
        raise ModelError(
            f"{self._task.title}: a mask of {worst['width']} x {worst['height']} with mask_size {worst['size']}; "
            f"it is 4 x mask_width x mask_height bytes"
        )

    def _attributes(self, layers: LayerVector, thresholds: AnyArray) -> Classification | None:
        found, text = Vector(), String.empty()
        rows = np.zeros(0, ATTRIBUTE)
        try:
            good = self._run(layers, float(thresholds[0]), found, text)
            rows = found.rows(ATTRIBUTE, self._task.title)
            if not good:
                return None
            attributes = [self._attribute(row) for row in rows]
            description = text.text()
            return DescribedClassification(attributes, description) if description else Classification(attributes)
        finally:
            for address in {int(value) for value in rows["label"]} - {0}:
                self._memory.free(address)
            self._memory.delete(found.begin)
            if text.heap is not None:
                self._memory.delete(text.heap)

    def _attribute(self, row: Any) -> ClassifierAttribute:
        task, value, address = int(row["task"]), int(row["value"]), int(row["label"])
        given = ctypes.string_at(address).decode("utf-8", "replace") if address else ""
        return ClassifierAttribute(task, value, float(row["confidence"]), given or self._task.label(task, value))

    def _pixels(self, layers: LayerVector, thresholds: AnyArray) -> SegmentationMap | None:
        height, width = self._task.network.height, self._task.network.width
        # A function that writes at the size of its output layer stays inside, too.
        room = max([height * width, *(array.size for array in layers.arrays)])
        class_map = np.full(room, -1, np.int32)
        probabilities = _POINTER(0)
        good = self._run(
            layers,
            float(thresholds[0]),
            self._task.num_classes,
            class_map.ctypes.data,
            ctypes.byref(probabilities),
        )
        if not good:
            return None
        shape = (max(1, self._task.num_classes), height, width)
        plane = np.ascontiguousarray(class_map[: height * width].reshape(height, width))
        return SegmentationMap(plane, layers.view(probabilities.value, shape))


def fenced(thresholds: AnyArray) -> FloatArray:
    """Thresholds with infinite ones around them: a class number a bit out of range then finds no object, no garbage."""
    room = np.full(_FENCE + len(thresholds) + _BEHIND, np.inf, np.float32)
    room[_FENCE : _FENCE + len(thresholds)] = thresholds
    return room[_FENCE : _FENCE + len(thresholds)]


def _detections(rows: AnyArray) -> Detections:
    boxes = np.array(rows["box"], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, np.array(rows["confidence"], np.float32), rows["class"].astype(np.int64))


def load(library: Path) -> ctypes.CDLL:
    """Load a library with all its symbols resolved.

    Args:
        library: file.

    Raises:
        OSError: the loader's reason.
    """
    return ctypes.CDLL(str(library))
