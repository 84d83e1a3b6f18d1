"""C++ parse functions through a configuration: equal to Python's, no leaks, clear errors."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer import InferContext, InferItem, LayerInfo, NetworkInfo
from millrace.infer.custom import DescribedClassification, custom_function, include_dir
from millrace.infer.custom.elf import read_elf
from millrace.infer.types import FrameResult
from millrace.surface import HostSurface

from .memory import FORGOTTEN, least_growth

PYTHON = Path(__file__).resolve().parent / "parsers.py"
KEYS = ["parse-bbox-func-name", "parse-classifier-func-name", "parse-segmentation-func-name"]
KEYS.append("parse-bbox-instance-mask-func-name")


def rows(classes: int = 3, anchors: int = 60) -> np.ndarray:
    random = np.random.default_rng(7)
    boxes = np.vstack([random.uniform(5, 59, (2, anchors)), random.uniform(3, 30, (2, anchors))])
    return np.vstack([boxes, random.uniform(0, 0.9, (classes, anchors))]).astype(np.float32)


def context(model: Path, library: Path, kind: int, function: str, extra: str = "") -> InferContext:
    text = f"""[property]
onnx-file={model}
network-type={kind}
num-detected-classes=3
net-scale-factor=0.0001
cluster-mode=2
classifier-threshold=0.3
segmentation-threshold=0.3
{KEYS[kind]}={function}
custom-lib-path={library}
{extra}
[class-attrs-all]
pre-cluster-threshold=0.4
nms-iou-threshold=0.5
[class-attrs-1]
pre-cluster-threshold=0.6
"""
    return InferContext(parse_infer_config(text, "pgie.txt"), batch_size=3, cache=False)


def results(model: Path, library: Path, kind: int, function: str, extra: str = "") -> list[FrameResult]:
    c = context(model, library, kind, function, extra)
    pictures = [np.full((96, 128, 3), value, np.uint8) for value in (10, 120, 250)]
    found = c.submit([InferItem(HostSurface([picture], "RGB")) for picture in pictures]).result()
    c.close()
    return found


@pytest.mark.parametrize("function", ["ParseBoxes", "ParseMasks", "ParsePoints"])
def test_objects_equal_pythons(make_model: Callable[..., Path], library: Path, function: str) -> None:
    model = make_model({"output0": rows()})
    kind = 0 if function == "ParseBoxes" else 3
    ours = results(model, library, kind, function)
    theirs = results(model, PYTHON, kind, function)
    counts = set()
    for a, b in zip(ours, theirs, strict=True):
        assert a.detections is not None and b.detections is not None
        counts.add(len(a.detections))
        for name in ("boxes", "scores", "class_ids", "keypoints", "masks"):
            left, right = getattr(a.detections, name), getattr(b.detections, name)
            assert (left is None) == (right is None)
            assert left is None or (left.dtype == right.dtype and np.array_equal(left, right)), name
    assert min(counts) >= 10
    first = ours[0].detections
    assert first is not None
    assert (first.masks is not None) == (function == "ParseMasks")
    assert (first.keypoints is not None) == (function == "ParsePoints")


def test_labels_equal_pythons(make_model: Callable[..., Path], library: Path, tmp_path: Path) -> None:
    model = make_model(
        {"colour": np.array([0.1, 0.7, 0.2]), "type": np.array([0.6, 0.4]), "make": np.array([0.2, 0.1])}
    )
    labels = tmp_path / "labels.txt"
    labels.write_text("red;green;blue\ntype-0;van\na;b\n")
    ours = results(model, library, 1, "ParseLabels", f"labelfile-path={labels}")
    theirs = results(model, PYTHON, 1, "ParseLabels")
    for a, b in zip(ours, theirs, strict=True):
        assert a.classes == b.classes
        assert isinstance(a.classes, DescribedClassification)
        assert a.classes.label == "colour-1 and type-0"
        assert [x.label for x in a.classes.attributes] == ["colour-1", "type-0"]


def test_pixels_equal_pythons(make_model: Callable[..., Path], library: Path) -> None:
    scores = np.random.default_rng(3).uniform(0, 0.6, (3, 64, 64)).astype(np.float32)
    model = make_model({"output0": scores})
    for a, b in zip(*(results(model, one, 2, "ParsePixels") for one in (library, PYTHON)), strict=True):
        assert a.masks is not None and b.masks is not None
        assert np.array_equal(a.masks.class_map, b.masks.class_map)
        assert a.masks.probabilities is not None and b.masks.probabilities is not None
        assert np.array_equal(a.masks.probabilities, b.masks.probabilities)
        assert set(np.unique(a.masks.class_map)) == {-1, 0, 1, 2}


def direct(library: Path, kind: str, function: str, layers: dict[str, np.ndarray], classes: int = 3, size: int = 64):
    key = {"detector": 0, "classifier": 1, "segmentation": 2, "instance": 3}[kind]
    config = parse_infer_config(f"[property]\n{KEYS[key]}={function}\ncustom-lib-path={library}\n", "pgie.txt")
    infos = [LayerInfo(name, array.shape, str(array.dtype)) for name, array in layers.items()]
    call = custom_function(config, kind, infos, NetworkInfo(size, size), classes)
    assert callable(call)
    return call


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("detector", "ParseBoxes"),
        ("instance", "ParseMasks"),
        ("classifier", "ParseLabels"),
        ("segmentation", "ParsePixels"),
    ],
)
def test_nothing_leaks(library: Path, kind: str, function: str) -> None:
    names = ["output0"] if kind != "classifier" else ["a" * 150, "b" * 150, "c" * 150]
    array = {"classifier": np.array([0.1, 0.9], np.float32), "segmentation": np.ones((3, 16, 16), np.float32)}
    layers = {name: array.get(kind, rows()) for name in names}
    call = direct(library, kind, function, layers, size=16)
    thresholds = np.full(3, 0.1, np.float32)
    # The smallest thing forgotten at every call, a list of two labels, would be 225 KiB each time.
    assert least_growth(lambda: call(layers, thresholds), function) < FORGOTTEN


def test_types_and_shapes(library: Path) -> None:
    layers = {
        "f4": np.array([[1.0, 2.0]], np.float32),
        "f2": np.array([3.0], np.float16),
        "i8": np.array([-4], np.int8),
        "u1": np.array([5, 0], np.uint8),
        "i4": np.array(6, np.int32),
        "i2": np.array([7], np.int64),
        "strided": np.arange(8, dtype=np.float32)[::2],
    }
    found = direct(library, "detector", "ParseNumbers", layers, classes=9)(layers, np.zeros(9, np.float32))
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    assert found.class_ids.tolist() == [0, 0, 2, 5, 3, 3, 0]
    assert found.boxes[:, 0].tolist() == [1, 3, -4, 5, 6, 7, 0]
    assert found.boxes[:, 1].tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert sizes.astype(int).tolist() == [[2, 1], [1, 2], [1, 3], [2, 4], [1, 5], [1, 6], [4, 7]]


def test_int64_where_the_function_wants_it(library: Path, caplog: pytest.LogCaptureFixture) -> None:
    layers = {"labels": np.array([2, 0, 40], np.int64)}
    call = direct(library, "detector", "ParseWide", layers)
    for _ in range(2):
        found = call(layers, np.zeros(3, np.float32))
        assert found.class_ids.tolist() == [2, 0]
        assert found.boxes.tolist() == [[1, 2, 4, 6]] * 2
    assert [r.getMessage() for r in caplog.records].count(
        "ParseWide of libparsers.so: objects with a box or confidence that is no number, a negative size, or a class "
        "beyond num-detected-classes=3 are dropped"
    ) == 1


def test_false_is_an_error(library: Path) -> None:
    layers = {"out": np.zeros((2, 3), np.float32)}
    where = r"^pgie.txt:2: parse-bbox-func-name: "
    with pytest.raises(
        ModelError, match=where + r"ParseNothing of libparsers.so returned false .* out \(2, 3\) float32$"
    ):
        direct(library, "detector", "ParseNothing", layers)(layers, np.zeros(3, np.float32))
    layers = {"out": np.zeros((1,) * 9, np.float32)}
    with pytest.raises(ModelError, match="at most 8"):
        direct(library, "detector", "ParseNothing", layers)(layers, np.zeros(3, np.float32))


def test_missing_functions(library: Path) -> None:
    layers = {"out": np.zeros((2, 3), np.float32)}
    with pytest.raises(ConfigError) as caught:
        direct(library, "detector", "ParseBox", layers)
    text = str(caught.value)
    assert text.startswith("pgie.txt:2: parse-bbox-func-name: ")
    assert "it has ParseBoxes, ParseLabels, ParseMasks" in text and text.endswith("did you mean ParseBoxes?")
    with pytest.raises(ConfigError, match='ParseMangled without C linkage; write extern "C"'):
        direct(library, "detector", "ParseMangled", layers)


def without(compiled: Callable[..., Path], tmp_path: Path, missing: str) -> Path:
    """A parser library linked to one that is gone again."""
    source = tmp_path / "gone.cpp"
    source.write_text('extern "C" int gone() { return 1; }')
    gone = compiled(tmp_path / missing, [source], f"-Wl,-soname,{missing}")
    parser = tmp_path / "user.cpp"
    parser.write_text(
        'extern "C" int gone(); extern "C" bool Mine() { return gone() == 1; } '
        'extern "C" bool NvDsInferParseYolo() { return gone() == 1; }'
    )
    library = compiled(tmp_path / "libuser.so", [parser], str(gone))
    gone.unlink()
    return library


def test_linked_to_tensorrt(
    make_model: Callable[..., Path],
    compiled: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    library = without(compiled, tmp_path, "libnvinfer.so.8")
    model = make_model({"output0": rows()})
    with pytest.raises(ConfigError) as caught:
        context(model, library, 0, "Mine")
    text = str(caught.value)
    assert text.startswith(f"pgie.txt:10: custom-lib-path: {library} needs libnvinfer.so.8: TensorRT or CUDA")
    assert "or remove parse-bbox-func-name: the built-in parser 'YOLOv8" in text
    assert "\n" not in text
    with caplog.at_level(logging.WARNING):
        found = results(model, library, 0, "NvDsInferParseYolo")[0].detections
    assert found is not None and len(found)
    notices = [r.getMessage() for r in caplog.records if "custom-lib-path" in r.getMessage()]
    assert len(notices) == 1
    assert re.search(r"needs libnvinfer.so.8: .*; the built-in parser for NvDsInferParseYolo is used$", notices[0])


def test_files_that_cannot_be_loaded(make_model: Callable[..., Path], library: Path, tmp_path: Path) -> None:
    model = make_model({"output0": rows()})
    with pytest.raises(ConfigError, match=r"^pgie.txt:10: custom-lib-path: no such file: .*/libno.so; compile"):
        context(model, tmp_path / "libno.so", 0, "Mine")
    text = tmp_path / "libtext.so"
    text.write_text("no library")
    with pytest.raises(ConfigError, match="neither a shared library nor a Python file"):
        context(model, text, 0, "Mine")
    other = tmp_path / "libother.so"
    data = bytearray(library.read_bytes())
    data[18:20] = (243).to_bytes(2, "little")
    other.write_bytes(data)
    with pytest.raises(ConfigError, match="is built for riscv64, not for this processor"):
        context(model, other, 0, "ParseBoxes")


def test_old_strings_are_refused(compiled: Callable[..., Path], tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent / "parsers.cpp"
    old = compiled(tmp_path / "libold.so", [here], "-D_GLIBCXX_USE_CXX11_ABI=0")
    layers = {"output0": rows()}
    with pytest.raises(ConfigError, match="another std::string"):
        direct(old, "classifier", "ParseLabels", layers)
    assert len(direct(old, "detector", "ParseBoxes", layers)(layers, np.full(3, 0.4, np.float32))) > 10


def test_undefined_symbols(compiled: Callable[..., Path], tmp_path: Path) -> None:
    source = tmp_path / "user.cpp"
    source.write_text('int helper(); extern "C" bool Mine() { return helper() == 1; }')
    library = compiled(tmp_path / "libuser.so", [source])
    with pytest.raises(ConfigError, match="needs the symbol _Z6helperv"):
        direct(library, "detector", "Mine", {"out": np.zeros((2, 3), np.float32)})


def test_elf_tables(library: Path, tmp_path: Path) -> None:
    elf = read_elf(library)
    assert elf is not None and not elf.foreign
    assert {"ParseBoxes", "ParseMasks", "ParseLabels", "ParsePixels"} <= set(elf.plain_functions)
    assert "libstdc++.so.6" in elf.needed and "strdup" in elf.undefined
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(library.read_bytes()[:200])
    assert read_elf(damaged) is None
    assert read_elf(tmp_path / "none.so") is None


@pytest.mark.parametrize("standard", ["c++11", "c++14", "c++20"])
def test_headers_stand_alone(compiled: Callable[..., Path], tmp_path: Path, standard: str) -> None:
    source = tmp_path / "only.cpp"
    source.write_text('#include "nvdsinfer_custom_impl.h"\n#include "NvInfer.h"\n#include "nvdsinfer.h"\n')
    compiled(tmp_path / "only.so", [source], f"-std={standard}", "-pedantic")


def test_wrong_prototypes_do_not_compile(compiled: Callable[..., Path], tmp_path: Path) -> None:
    source = tmp_path / "wrong.cpp"
    source.write_text(
        '#include "nvdsinfer_custom_impl.h"\nextern "C" bool Wrong(float) { return true; }\n'
        "CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(Wrong);\n"
    )
    with pytest.raises(AssertionError, match="Wrong"):
        compiled(tmp_path / "wrong.so", [source])


def test_sizes_are_the_headers(compiled: Callable[..., Path], tmp_path: Path) -> None:
    from millrace.infer.custom import abi

    source = tmp_path / "sizes.cpp"
    source.write_text(
        '#include "nvdsinfer_custom_impl.h"\nextern "C" unsigned sizes(int i) { const unsigned s[] = {'
        "sizeof(NvDsInferLayerInfo), sizeof(NvDsInferNetworkInfo), sizeof(NvDsInferParseDetectionParams), "
        "sizeof(NvDsInferObjectDetectionInfo), sizeof(NvDsInferInstanceMaskInfo), sizeof(NvDsInferAttribute), "
        "sizeof(std::string), sizeof(std::vector<float>)}; return s[i]; }"
    )
    import ctypes

    library = ctypes.CDLL(str(compiled(tmp_path / "libsizes.so", [source])))
    structures = [abi.Layer, abi.Network, abi.DetectionParams]
    expected = [ctypes.sizeof(x) for x in structures] + [x.itemsize for x in (abi.OBJECT, abi.INSTANCE, abi.ATTRIBUTE)]
    expected += [ctypes.sizeof(abi.String), ctypes.sizeof(abi.Vector)]
    assert [library.sizes(i) for i in range(8)] == expected
    assert (include_dir() / "nvdsinfer_custom_impl.h").is_file()


@pytest.mark.parametrize(
    ("function", "lines"),
    [
        ("Throws", ("millrace: Throws of {library} let a C++ exception out", "std::runtime_error", "what():  boom")),
        ("Crashes", ('File "{library}", line ', " in Crashes")),
    ],
)
def test_what_ended_the_process(
    compiled: Callable[..., Path], tmp_path: Path, function: str, lines: tuple[str, ...]
) -> None:
    """stderr of a process of its own says which function of which library was running."""
    source = tmp_path / "end.cpp"
    head = (
        "(std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &, "
        "NvDsInferParseDetectionParams const &, std::vector<NvDsInferObjectDetectionInfo> &)"
    )
    source.write_text(
        '#include "nvdsinfer_custom_impl.h"\n#include <csignal>\n#include <stdexcept>\n'
        f'extern "C" bool Throws{head} {{ if (!layers.empty()) throw std::runtime_error("boom"); return true; }}\n'
        f'extern "C" bool Crashes{head} {{ if (!layers.empty()) std::raise(SIGSEGV); return true; }}\n'
    )
    library = compiled(tmp_path / "libend.so", [source])
    code = (
        "import numpy as np, threading\n"
        "from millrace.config import parse_infer_config\n"
        "from millrace.infer import LayerInfo, NetworkInfo\n"
        "from millrace.infer.custom import custom_function\n"
        f"text = '[property]\\nparse-bbox-func-name={function}\\ncustom-lib-path={library}\\n'\n"
        "call = custom_function(parse_infer_config(text), 'detector', [LayerInfo('o', (1,))], NetworkInfo(8, 8), 1)\n"
        "layers = {'o': np.zeros(1, np.float32)}\n"
        "thread = threading.Thread(target=call, args=(layers, np.zeros(1, np.float32)))\n"
        "thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode < 0
    for line in lines:
        assert line.format(library=library) in done.stderr, done.stderr
