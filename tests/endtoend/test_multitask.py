"""TAO's multi-task classification guide: its configuration as written, and its three preprocessing modes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from millrace.config import load_infer_config
from millrace.errors import ConfigError
from millrace.infer import InferContext, InferItem
from millrace.surface import HostSurface

TASKS = {"base_color": 11, "category": 10, "season": 4}
LABELS = (
    "Black;Blue;Brown;Green;Grey;Navy Blue;Pink;Purple;Red;Silver;White\n"
    "Bags;Bottomwear;Eyewear;Fragrance;Innerwear;Jewellery;Sandal;Shoes;Topwear;Watches\n"
    "Fall;Spring;Summer;Winter\n"
)
HEIGHT, WIDTH = 80, 60
MODES = {
    "caffe": ("net-scale-factor=1.0\noffsets=103.939;116.779;123.68\nmodel-color-format=1\n", True),
    "torch": ("net-scale-factor=0.017507\noffsets=123.675;116.280;103.53\nmodel-color-format=0\n", False),
    "tf": ("net-scale-factor=0.0078\noffsets=127.5;127.5;127.5\nmodel-color-format=0\n", False),
}


def multitask(path: Path, show_input: bool = False) -> Path:
    """A softmax head a task over the mean of each channel; ``show_input`` adds the input itself as an output."""
    generator = np.random.default_rng(5)
    nodes = [helper.make_node("GlobalAveragePool", ["input_1"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    weights, outputs = [], []
    for task, classes in TASKS.items():
        weights.append(numpy_helper.from_array(generator.normal(0, 0.2, (3, classes)).astype(np.float32), f"w_{task}"))
        nodes.append(helper.make_node("MatMul", ["f", f"w_{task}"], [f"l_{task}"]))
        nodes.append(helper.make_node("Softmax", [f"l_{task}"], [f"{task}/Softmax"], axis=1))
        outputs.append(helper.make_tensor_value_info(f"{task}/Softmax", TensorProto.FLOAT, ["n", classes]))
    if show_input:
        nodes.append(helper.make_node("Identity", ["input_1"], ["seen"]))
        outputs.append(helper.make_tensor_value_info("seen", TensorProto.FLOAT, ["n", 3, HEIGHT, WIDTH]))
    x = helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["n", 3, HEIGHT, WIDTH])
    graph = helper.make_graph(nodes, "g", [x], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """The folders of the guide's relative paths."""
    (tmp_path / "models" / "multi_task").mkdir(parents=True)
    configs = tmp_path / "configs" / "a" / "b"
    configs.mkdir(parents=True)
    multitask(tmp_path / "models" / "multi_task" / "abc.onnx")
    (configs / "multi_task_labels.txt").write_text(LABELS)
    return configs


def write(folder: Path, mode: str, blobs: str) -> Path:
    file = folder / "pgie_multi_task_tao_config.txt"
    file.write_text(
        "[property]\ngpu-id=0\n" + MODES[mode][0] + "labelfile-path=multi_task_labels.txt\n"
        "onnx-file=../../../models/multi_task/abc.onnx\n"
        "model-engine-file=../../../models/multi_task/abc.etlt_b1_gpu0_fp16.engine\n"
        "infer-dims=3;80;60\nbatch-size=1\n## 0=FP32, 1=INT8, 2=FP16 mode\nnetwork-mode=0\ninterval=0\n"
        f"gie-unique-id=1\nnetwork-type=1\nscaling-filter=1\nscaling-compute-hw=1\noutput-blob-names={blobs}\n"
        "classifier-threshold=0.0\n"
    )
    return file


@pytest.mark.parametrize("mode", list(MODES))
def test_preprocessing_follows_the_formula(guide: Path, mode: str) -> None:
    multitask(guide / "../../../models/multi_task/abc.onnx", show_input=True)
    picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    blobs = "base_color/Softmax;category/Softmax;season/Softmax;seen"
    config = load_infer_config(write(guide, mode, blobs)).with_overrides({"network_type": 100})
    context = InferContext(config)
    surface = HostSurface([picture], "RGB")
    result = context.submit([InferItem(surface, None)]).result()[0]
    context.close()
    factor, offsets = config.net_scale_factor, np.array(config.offsets, np.float32)
    channels = picture[..., ::-1] if MODES[mode][1] else picture
    expected = (factor * (channels.astype(np.float32) - offsets)).transpose(2, 0, 1)
    np.testing.assert_allclose(result.tensor("seen"), expected, atol=2e-3)


def test_each_task_gives_its_own_label_in_the_order_of_the_blobs(guide: Path) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8)
    blobs = "base_color/Softmax;category/Softmax;season/Softmax"
    context = InferContext(load_infer_config(write(guide, "torch", blobs)))
    result = context.submit([InferItem(HostSurface([picture], "RGB"), None)]).result()[0]
    lines = [line.split(";") for line in LABELS.splitlines()]
    context.close()
    assert result.classes is not None
    assert [a.task_index for a in result.classes.attributes] == [0, 1, 2]
    for attribute, task, line in zip(result.classes.attributes, TASKS, lines, strict=True):
        probabilities = result.tensor(f"{task}/Softmax")
        assert attribute.class_index == int(probabilities.argmax())
        assert attribute.label == line[attribute.class_index]


def classify(config: Path) -> list[tuple[int, str]]:
    context = InferContext(load_infer_config(config))
    picture = HostSurface([np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8)], "RGB")
    result = context.submit([InferItem(picture, None)]).result()[0]
    context.close()
    assert result.classes is not None
    return [(a.task_index, a.label) for a in result.classes.attributes]


def test_labels_in_another_order_point_to_the_command_that_writes_them(guide: Path) -> None:
    file = write(guide, "torch", "season/Softmax;base_color/Softmax;category/Softmax")
    message = (
        r"multi_task_labels.txt:2: 10 labels, but the task's output has 11 classes \(base_color/Softmax\); "
        rf"lines are in the order of output-blob-names, .*`millrace labels from-classmap classmap.json --config {file}`"
    )
    with pytest.raises(ConfigError, match=message) as caught:
        InferContext(load_infer_config(file))
    assert "\n" not in str(caught.value)


def test_too_few_lines_name_the_outputs_and_the_command(guide: Path) -> None:
    (guide / "multi_task_labels.txt").write_text("\n".join(LABELS.splitlines()[:2]))
    file = write(guide, "torch", "base_color/Softmax;category/Softmax;season/Softmax")
    with pytest.raises(ConfigError, match=r"2 lines, but .* 3 outputs \(base_color.*one line a task; .*from-classmap"):
        InferContext(load_infer_config(file))


def test_outputs_without_a_name_and_a_line_are_no_tasks(guide: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = LABELS.splitlines()
    (guide / "multi_task_labels.txt").write_text(f"{lines[2]}\n\n{lines[0]}\n")
    with caplog.at_level(logging.INFO, "millrace.infer"):
        answers = classify(write(guide, "torch", "season/Softmax;base_color/Softmax"))
    assert [task for task, _ in answers] == [0, 1]
    assert answers[0][1] in lines[2].split(";")
    assert answers[1][1] in lines[0].split(";")
    assert "category/Softmax: not in output-blob-names and without a line of labels" in caplog.text
    # With a line for each output all are tasks, the named ones first.
    (guide / "multi_task_labels.txt").write_text(f"{lines[2]}\n{lines[0]}\n{lines[1]}\n")
    answers = classify(write(guide, "torch", "season/Softmax;base_color/Softmax"))
    assert [label in lines[n].split(";") for (_, label), n in zip(answers, (2, 0, 1), strict=True)] == [True] * 3


def test_a_label_needs_more_than_the_threshold(guide: Path) -> None:
    blobs = "base_color/Softmax;category/Softmax;season/Softmax"
    file = write(guide, "torch", blobs)
    file.write_text(file.read_text().replace("classifier-threshold=0.0", "classifier-threshold=1.0"))
    assert classify(file) == []
