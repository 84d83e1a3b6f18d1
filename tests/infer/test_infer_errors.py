"""What does not fit is one line with the configuration's file and line, what is wrong, and the mend."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, MillraceError, ModelError
from millrace.infer import InferContext

SRC = Path(__file__).resolve().parents[2] / "src"
ENGINES = ["openvino", "onnxruntime"]


def error_of(model: Path, extra: str, engine: str | None = None) -> str:
    """The error of ``[property]``, ``onnx-file=…`` and lines from the third on."""
    text = f"[property]\nonnx-file={model}\n{extra}\n"
    with pytest.raises(MillraceError) as caught:
        InferContext(parse_infer_config(text, "pgie.txt"), engine=engine)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            "network-type=100\ninfer-dims=3;9;12",
            "pgie.txt:4: infer-dims=3;9;12 but the input images of model.onnx is 3;",
        ),
        ("network-type=100\noffsets=1;2", "pgie.txt:4: offsets has 2 values but"),
        ("network-type=100\nmodel-color-format=2", "pgie.txt:4: model-color-format=2 makes 1 channels but the input"),
        ("network-type=100\nnetwork-input-order=1", "pgie.txt:4: network-input-order=1 (NHWC) but the input images of"),
        ("network-type=100\nmean-file=none.ppm", "pgie.txt:4: mean-file: no such file: "),
        ("network-type=100\nmean-file=/", "pgie.txt:4: mean-file: a folder, not a picture: /"),
    ],
)
def test_keys_that_do_not_fit_the_model(make_model: Callable[..., Path], engine: str, extra: str, message: str) -> None:
    assert error_of(make_model(), extra, engine).startswith(message)


def test_a_mean_file_of_another_size_names_its_line(make_model: Callable[..., Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mean.ppm"), np.zeros((9, 12, 3), np.uint8))
    found = error_of(make_model(), f"network-type=100\nmean-file={tmp_path}/mean.ppm")
    assert found.startswith(f"pgie.txt:4: mean-file: {tmp_path}/mean.ppm is 12x9; it must be 12x8")


def test_gray_models_and_colour(make_model: Callable[..., Path]) -> None:
    found = error_of(make_model(("n", 1, 8, 12)), "network-type=100")
    assert found.startswith("pgie.txt: model-color-format=0 makes 3 channels but")
    assert found.endswith("1 channels; set model-color-format=2 (gray)")
    found = error_of(make_model(("n", 7, 8, 12)), "network-type=100")
    assert "7 channels; pictures have 1 or 3 channels (ready tensors of any shape" in found


def broken_models(folder: Path, whole: Path) -> dict[str, str]:
    """Name of a file in the folder to what must be said of it."""
    content = whole.read_bytes()
    (folder / "empty.onnx").touch()
    (folder / "text.onnx").write_bytes(b"this is not a model" * 40)
    (folder / "cut.onnx").write_bytes(content[: len(content) // 2])
    (folder / "pointer.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    graph = onnx.load(str(whole)).graph
    inside = bytearray(content)
    at = content.index(graph.node[0].op_type.encode())
    inside[at - 1] = 200  # the length of a text inside the graph
    (folder / "damaged.onnx").write_bytes(inside)
    for name in ("external", "shortened"):
        model = onnx.load(str(whole))
        onnx.save_model(
            model,
            str(folder / f"{name}.onnx"),
            save_as_external_data=True,
            location=f"{name}.weights",
            size_threshold=0,
        )
    (folder / "external.weights").unlink()
    (folder / "shortened.weights").write_bytes(b"x")
    return {
        "empty.onnx": "the file is empty",
        "text.onnx": "it is not an ONNX model",
        "cut.onnx": f"the file is cut short: {len(content) // 2} of ",
        "pointer.onnx": "it is a pointer of Git LFS, not the model itself: get that with git lfs pull",
        "damaged.onnx": "the file is damaged (DecodeError): build or download it again",
        "external.onnx": f"its weights are in the file external.weights, which is not there: put it into {folder}",
        "shortened.onnx": f"the file of its weights, {folder}/shortened.weights, is cut short: 1 of ",
    }


@pytest.mark.parametrize("engine", [*ENGINES, None])
def test_models_that_cannot_be_read(make_model: Callable[..., Path], tmp_path: Path, engine: str | None) -> None:
    for name, message in broken_models(tmp_path, make_model()).items():
        found = error_of(tmp_path / name, "network-type=100", engine)
        assert found.startswith(f"pgie.txt:2: onnx-file: {tmp_path}/{name}: {message}"), found


def test_broken_models_print_nothing_else(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """Not even what libraries print by themselves, which a test in this process could not see."""
    names = list(broken_models(tmp_path, make_model()))
    (tmp_path / "a.xml").write_text("<net/>")
    (tmp_path / "b.xml").write_text("junk")
    (tmp_path / "c.xml").write_text('<net name="x" version="11"><layers/></net>')
    script = (
        "import sys\nfrom millrace.config import parse_infer_config\nfrom millrace.infer import InferContext\n"
        "for name in sys.argv[1:]:\n"
        "    key = 'onnx-file' if name.endswith('.onnx') else 'model-engine-file'\n"
        "    try:\n        InferContext(parse_infer_config(f'[property]\\n{key}={name}\\nnetwork-type=100', 'c.txt'))\n"
        "    except Exception as error:\n        print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *names, "a.xml", "b.xml", "c.xml"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    # TBB's own word about a machine without /sys, such as a chroot, is none about the model
    printed = [line for line in done.stderr.splitlines() if not line.startswith("hwloc/")]
    assert (printed, done.returncode) == ([], 0)
    lines = done.stdout.splitlines()
    assert len(lines) == len(names) + 3 and all(line.startswith("ModelError c.txt:2: ") for line in lines)
    assert lines[-3].endswith("a.xml: it is not an OpenVINO model: its XML is of another kind")
    assert "b.xml: it is not an OpenVINO model (syntax error" in lines[-2]
    assert lines[-1].endswith("c.xml: its weights, c.bin, are not beside it")


def test_parse_functions_under_the_wrong_key(make_model: Callable[..., Path]) -> None:
    found = error_of(make_model(), "num-detected-classes=1\nnetwork-type=3\nparse-bbox-func-name=NvDsInferParseYolo")
    assert found.startswith("pgie.txt:5: no built-in instance parser reads the outputs out (3, 8, 12)")
    assert found.endswith(
        "; parse-bbox-func-name has no effect with network-type=3 (instance): "
        "set parse-bbox-instance-mask-func-name instead, or network-type=0"
    )
    found = error_of(make_model(), "network-type=1\nparse-bbox-func-name=NvDsInferParseYolo")
    assert found.startswith("pgie.txt:4: no built-in classifier parser reads the outputs")
    assert found.endswith(
        "; parse-bbox-func-name has no effect with network-type=1 (classifier): "
        "set parse-classifier-func-name instead, or network-type=0"
    )


def test_a_parse_function_without_effect_is_said(
    make_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    text = f"[property]\nonnx-file={make_model()}\nnetwork-type=2\nnum-detected-classes=3\nparse-bbox-func-name=f\n"
    InferContext(parse_infer_config(text, "pgie.txt"), cache=False).close()
    assert (
        "pgie.txt:5: parse-bbox-func-name has no effect with network-type=2 (segmentation): "
        "set parse-segmentation-func-name instead, or network-type=0"
    ) in caplog.text


def test_labels_that_are_not_utf8(make_model: Callable[..., Path], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes("person\ncafé\n".encode("latin-1"))
    found = error_of(make_model(), f"labelfile-path={labels}")
    assert found == f"pgie.txt:3: labelfile-path: {labels}:2: not UTF-8 text: save the file as UTF-8"
    assert error_of(make_model(), f"labelfile-path={tmp_path}").endswith(f"cannot read {tmp_path}: Is a directory")


def test_keys_without_effect_have_no_range(caplog: pytest.LogCaptureFixture) -> None:
    text = "gpu-id=-1\nuse-dla-core=-1\nworkspace-size=-5\nscaling-compute-hw=7\ntensor-meta-pool-size=0\n"
    text += "stabilize-buffer-count=-1\nmax-gpu-mem-per=200\nuff-input-order=9\n"
    config = parse_infer_config(f"[property]\n{text}", "pgie.txt")
    assert sorted(config.no_effect_keys) == sorted(line.split("=")[0] for line in text.splitlines())
    with pytest.raises(ConfigError, match="use-dla-core=none: it must be an integer"):
        parse_infer_config("[property]\nuse-dla-core=none", "pgie.txt")


def test_a_parser_sees_the_outputs_in_the_models_order(make_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "parser.py").write_text("def mine(layers):\n    raise ValueError(' '.join(layers))\n")
    model = make_model(outputs=("b", "a", "c"))
    text = (
        f"[property]\nonnx-file={model}\nnum-detected-classes=1\noutput-blob-names=c;a;b\n"
        f"custom-lib-path={tmp_path}/parser.py\nparse-bbox-func-name=mine\n"
    )
    from millrace.infer import InferItem
    from millrace.surface import HostSurface

    context = InferContext(parse_infer_config(text, "pgie.txt"), cache=False)
    picture = HostSurface([np.zeros((8, 12, 3), np.uint8)], "RGB")
    with pytest.raises(ModelError, match="ValueError: b a c"):
        context.submit([InferItem(picture)]).result()
    context.close()


def test_numbers_far_off_and_no_numbers_are_quiet(recwarn: pytest.WarningsRecorder) -> None:
    from millrace.infer import LetterboxTransform
    from millrace.infer.parsers.classifiers import classify

    transform = LetterboxTransform(0.1, 0.1, 0, 0, (0, 0, 640, 480))
    assert transform.to_frame(np.array([[0, 1, 3e38, 2]], np.float32)).tolist()[0][2] == np.inf
    found = classify([np.array([np.nan, 0.6, 0.4], np.float32), np.array([np.nan, np.nan], np.float32)], 0.5)
    assert [(a.task_index, a.class_index) for a in found.attributes] == [(0, 1)]
    assert not recwarn.list


def test_the_log_of_a_healthy_start_has_no_warning(
    make_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    text = f"[property]\nonnx-file={make_model()}\nnetwork-type=100\n"
    InferContext(parse_infer_config(text, "pgie.txt")).close()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
