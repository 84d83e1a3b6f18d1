"""Ready tensors that nvinfer cannot take, batches without one, and what is left of them: nothing."""

from __future__ import annotations

import gc
import logging
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyds
from millrace.meta.inputtensor import attach_input_tensor, make_roi_meta

from .pipelines import NVMM
from .tensorruns import Make, box_config, boxes_of, crops, play, row, stream
from .test_infer import BARS
from .test_infer import config as classifier_config


def test_batches_without_a_tensor_for_it_pass_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "millrace")
    buffers: list[int] = []

    def make(batch: Any, _buffer: Any) -> None:
        tensor = np.array([row(0, 0, 5, 6)], np.float32)
        attach_input_tensor(batch, tensor, "x", [make_roi_meta(batch.frames[0])], [3, 9])

    looks: dict[str, Make] = {"end:sink": lambda batch, _buffer: buffers.append(len(boxes_of(batch)))}
    assert play(stream(frames=70), box_config(tmp_path), make, looks).ok
    assert buffers == [0] * 70
    assert [record.getMessage() for record in caplog.records] == [
        "infer: input-tensor-meta=1, but none of the first 30 batches had a tensor for unique-id 7 "
        "(there are tensors for 3, 9); batches go through without inference"
    ]


def misfit(what: str) -> Make:
    def make(batch: Any, _buffer: Any) -> None:
        frame = batch.frames[0]
        shape, kind, name = (1, 6), np.float32, "x"
        roi = make_roi_meta(frame)
        if what == "shape":
            shape = (1, 3, 16, 32)
        elif what == "type":
            kind = np.float16
        elif what == "name":
            name = "images"
        elif what == "scale":
            roi = make_roi_meta(frame, scale=(0.0, 1.0))
        elif what == "region":
            roi = make_roi_meta(frame, (10, 10, 0, 5))
        elif what == "offset":
            roi = make_roi_meta(frame, offset=(float("nan"), 0.0))
        elif what == "frame":
            roi = pyds.NvDsRoiMeta()
        user = attach_input_tensor(batch, np.zeros(shape, kind), name, [roi], [7])
        meta = user.user_meta_data
        if what == "rows":
            meta.roi_vector = [roi, make_roi_meta(frame)]
        elif what == "memory":
            meta.tensor_meta.tensor_shape = [4, 6]

    return make


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("shape", "infer: tensor 'x' has the shape 1x3x16x32, but the network takes Nx6"),
        ("type", "infer: tensor 'x' is float16, but the network takes float32; convert it with .astype(\"float32\")"),
        ("name", "infer: there is a tensor 'images', but the network's input is 'x' Nx6 float32"),
        ("rows", "infer: tensor 'x' has 1 rows, but the batch's roi_vector has 2"),
        ("scale", "infer: row 0 of roi_vector: scale_ratio_x and scale_ratio_y are (0.0, 1.0), not above 0"),
        ("region", "infer: row 0 of roi_vector: its roi is 0x5 pixels"),
        (
            "offset",
            "infer: row 0 of roi_vector: its roi (0.0, 0.0, 320.0, 180.0) or its offset (nan, 0.0) is not finite",
        ),
        ("frame", "infer: row 0 of roi_vector: its frame_meta is not a frame of this batch"),
        ("memory", "infer: tensor 'x': tensor_shape (4, 6) of float32 needs 96 bytes, buffer_size is 24"),
    ],
)
def test_a_tensor_that_does_not_fit_is_one_error(tmp_path: Path, what: str, words: str) -> None:
    outcome = play(stream(), box_config(tmp_path), misfit(what))
    assert outcome.end == "error"
    # The source adds one of its own when it happens to push again.
    assert [error for error in outcome.errors if error != "Internal data stream error."] == [words]


def test_tensors_go_with_their_buffers(tmp_path: Path) -> None:
    """Input and output tensors of buffers that were copied: nothing is left, and nothing waits for a collection."""
    tensors: list[weakref.ref[Any]] = []

    def make(batch: Any, buffer: Any) -> None:
        crops(batch, buffer, True)
        tensors.append(weakref.ref(batch.user_metas[0].user_meta_data.tensor_meta.array))

    def look(batch: Any, _buffer: Any) -> None:
        for roi in batch.user_metas[0].user_meta_data.roi_vector:
            tensors.extend(weakref.ref(layer.array) for layer in roi.user_metas[0].user_meta_data.layers)

    tail = "tee name=t t. ! queue ! fakesink name=end t. ! queue ! nvvideoconvert ! "
    tail += f"{NVMM},width=64,height=48 ! fakesink"
    file = classifier_config(tmp_path, "output-tensor-meta=1\n")
    gc.collect()
    gc.disable()
    try:
        outcome = play(stream(tail=tail, frames=12), file, make, {"end:sink": look})
        alive = sum(tensor() is not None for tensor in tensors)
    finally:
        gc.enable()
    assert outcome.ok
    assert len(tensors) == 12 * (1 + len(BARS) * 2)
    assert alive == 0
