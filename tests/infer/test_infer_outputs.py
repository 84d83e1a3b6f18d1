"""Outputs by position, as parsers in C++ and applications see them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyds
from millrace.config import parse_infer_config
from millrace.infer import InferContext, InferItem
from millrace.infer.custom import include_dir
from millrace.meta.tensor import make_tensor_meta
from millrace.surface import HostSurface

SOURCE = """
#include <cstring>
#include "nvdsinfer_custom_impl.h"

extern "C" bool ParsePixels(std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,
                            float, unsigned int numClasses, int *classificationMap, float *&)
{
    // The first pixels say what came: number of classes, then the first letter of each layer and its binding.
    classificationMap[0] = numClasses;
    for (unsigned int n = 0; n < layers.size(); n++) {
        classificationMap[1 + 2 * n] = layers[n].layerName[0];
        classificationMap[2 + 2 * n] = layers[n].bindingIndex;
    }
    return network.width > 0;
}
CHECK_CUSTOM_SEM_SEGMENTATION_PARSE_FUNC_PROTOTYPE(ParsePixels);
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed (apt-get install g++)")
    folder = tmp_path_factory.mktemp("pixels")
    (folder / "pixels.cpp").write_text(SOURCE)
    command = ["g++", "-shared", "-fPIC", f"-I{include_dir()}", "-o", "libpixels.so", "pixels.cpp"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "libpixels.so"


def pixels(model: Path, library: Path, extra: str = "") -> list[int]:
    text = (
        f"[property]\nonnx-file={model}\nnetwork-type=2\ncustom-lib-path={library}\n"
        f"parse-segmentation-func-name=ParsePixels\n{extra}\n"
    )
    context = InferContext(parse_infer_config(text, "sgie.txt"), cache=False)
    masks = context.submit([InferItem(HostSurface([np.zeros((8, 12, 3), np.uint8)], "RGB"))]).result()[0].masks
    context.close()
    assert masks is not None
    return [int(value) for value in masks.class_map.reshape(-1)[:7]]


def test_a_library_gets_the_outputs_in_the_models_order(make_model: Callable[..., Path], library: Path) -> None:
    model = make_model(outputs=("b", "a", "c"))
    found = pixels(model, library, "output-blob-names=c;a;b\nnum-detected-classes=5")
    assert found == [5, ord("b"), 1, ord("a"), 2, ord("c"), 3]


def test_a_segmentation_without_a_number_of_classes_has_its_channels(
    make_model: Callable[..., Path], library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert pixels(make_model(), library)[0] == 3
    assert pixels(make_model(), library, "segmentation-output-order=1")[0] == 12
    assert pixels(make_model(), library, "num-detected-classes=2")[0] == 2
    assert not caplog.text
    gray = make_model(("n", 1, 8, 12))
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    assert pixels(gray, library, f"model-color-format=2\nlabelfile-path={tmp_path}/labels.txt")[0] == 4
    assert pixels(gray, library, "model-color-format=2")[0] == 0
    assert "parse-segmentation-func-name gets 0 classes; set num-detected-classes" in caplog.text


def test_bindings_are_numbered_after_the_inputs() -> None:
    layers = [("b", np.zeros(3, np.float32)), ("a", np.zeros(4, np.float32))]
    meta = make_tensor_meta(layers, (12, 8, 3))
    found = [pyds.get_nvds_LayerInfo(meta, n) for n in range(2)]
    assert [(layer.layerName, layer.bindingIndex, layer.isInput) for layer in found] == [("b", 1, 0), ("a", 2, 0)]
    assert make_tensor_meta(layers, (12, 8, 3), inputs=2).output_layers_info(0).bindingIndex == 2
