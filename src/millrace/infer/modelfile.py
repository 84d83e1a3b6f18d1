"""What is wrong with a model's file, told before a library that would say less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH = 7
# Field numbers of onnx.ModelProto.
_FIELDS = frozenset((1, 2, 3, 4, 5, 6, _GRAPH, 8, 14, 20, 25, 26))


def model_problem(path: Path) -> str | None:
    """What keeps a model from being read and how to mend it; None when nothing is seen.

    Args:
        path: an ONNX file, or OpenVINO's ``.xml``; it exists.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return "the file is empty"
            if file.read(24) == b"version https://git-lfs.":
                return "it is a pointer of Git LFS, not the model itself: get that with git lfs pull"
            if path.suffix.lower() == ".xml":
                return _xml_problem(path)
            file.seek(0)
            problem = _outer_problem(file, size)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return problem or _onnx_problem(path)


def _outer_problem(file: BinaryIO, size: int) -> str | None:
    """Walk over the fields of the whole file, without reading what they hold."""
    not_onnx = "it is not an ONNX model"
    found: set[int] = set()
    while file.tell() < size:
        tag = _varint(file)
        if tag is None or (number := tag >> 3) not in _FIELDS:
            return not_onnx if not found else "the file is damaged: build or download it again"
        found.add(number)
        kind = tag & 7
        if kind == _VARINT:
            if _varint(file) is None:
                return not_onnx
        elif kind in (_BYTES, _FIXED64, _FIXED32):
            length = _varint(file) if kind == _BYTES else 8 if kind == _FIXED64 else 4
            end = size + 1 if length is None else file.tell() + length
            if end > size:
                if 1 not in found:
                    return not_onnx
                return f"the file is cut short: {size} of {end} bytes or more; build or download it again"
            file.seek(end)
        else:
            return not_onnx
    return None if _GRAPH in found else "the file is cut short or damaged: it holds no network"


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    return None


def _onnx_problem(path: Path) -> str | None:
    import onnx

    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError and others
        return f"the file is damaged ({type(error).__name__}): build or download it again"
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        name = where.get("location", "")
        beside = path.parent / name
        if not name or not beside.is_file():
            return f"its weights are in the file {name}, which is not there: put it into {path.parent}"
        try:
            end, size = int(where.get("offset", 0)) + int(where.get("length", 0)), beside.stat().st_size
        except (ValueError, OSError):
            continue
        if end > size:
            return f"the file of its weights, {beside}, is cut short: {size} of {end} bytes or more"
    return None


def external_files(path: Path) -> list[Path]:
    """The files that hold an ONNX model's weights, there or not, in the order of their names."""
    import onnx

    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except Exception:  # told by whoever reads the model
        return []
    outside = [t for t in _tensors(model.graph) if t.data_location == onnx.TensorProto.EXTERNAL]
    names = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
    return [path.parent / name for name in sorted(names)]


def _tensors(graph: Any) -> Iterator[Any]:
    """The constants of a graph and of the graphs in its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _tensors(inner)


def _xml_problem(path: Path) -> str | None:
    try:
        root = next(ElementTree.iterparse(str(path), events=("start",)))[1]
    except (ElementTree.ParseError, StopIteration) as error:
        return f"it is not an OpenVINO model ({error})"
    if root.tag != "net" or root.get("version") is None:
        return "it is not an OpenVINO model: its XML is of another kind"
    weights = path.with_suffix(".bin")
    return None if weights.is_file() else f"its weights, {weights.name}, are not beside it"
