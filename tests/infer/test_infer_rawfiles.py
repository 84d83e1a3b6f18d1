"""``raw-output-file-write``: files under DeepStream's names with the values of the tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from millrace.config import parse_infer_config
from millrace.infer import InferContext, InferItem
from millrace.surface import HostSurface


def items(count: int) -> list[InferItem]:
    pictures = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return [InferItem(HostSurface([picture], "RGB")) for picture in pictures]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_each_batch_is_written_for_each_layer(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    model = make_model(("n", 3, 8, 8), 1 / 255)
    monkeypatch.chdir(tmp_path)
    config = parse_infer_config(
        f"[property]\nonnx-file={model}\nnetwork-type=100\nbatch-size=3\ngie-unique-id=7\nraw-output-file-write=1"
    )
    context = InferContext(config, engine=engine, cache=False)
    layer = context.output_layers[0].name
    for number, count in enumerate((3, 2)):
        results = context.submit(items(count)).result()
        path = tmp_path / f"gstnvdsinfer_uid-07_layer-{layer}_batch-{number:010d}_batchsize-{count:02d}.bin"
        tensors = np.stack([result.tensors[0].array for result in results])
        np.testing.assert_array_equal(np.fromfile(path, tensors.dtype), tensors.ravel())
    context.close()


def test_a_folder_that_takes_no_files_is_said_once(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model(("n", 3, 8, 8), 1 / 255)
    config = parse_infer_config(f"[property]\nonnx-file={model}\nnetwork-type=100\nraw-output-file-write=1")
    context = InferContext(config, cache=False)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for _ in range(2):
        context.submit(items(1)).result()
    context.close()
    assert caplog.text.count("raw-output-file-write: cannot write") == 1
