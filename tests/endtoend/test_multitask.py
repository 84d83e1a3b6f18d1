"""TAO's multi-task classification guide: its configuration as written, and its three preprocessing modes."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from millrace.app.labels import write_labels
from millrace.config import load_infer_config
from millrace.errors import ConfigError
from millrace.infer import InferContext, InferItem
from millrace.surface import HostSurface

TASKS = {"base_color": 11, "category": 10, "season": 4}
# The guide's label file as it is written there, although its output-blob-names begin with base_color.
LABELS = (
    "Fall;Spring;Summer;Winter\n"
    "Bags;Bottomwear;Eyewear;Fragrance;Innerwear;Jewellery;Sandal;Shoes;Topwear;Watches\n"
    "Black;Blue;Brown;Green;Grey;Navy Blue;Pink;Purple;Red;Silver;White\n"
)
LINES = dict(zip(("season", "category", "base_color"), (line.split(";") for line in LABELS.split("\n")), strict=False))
GUIDES_BLOBS = "base_color/Softmax;category/Softmax;season/Softmax"
HEIGHT, WIDTH = 80, 60
MODES = {
    "caffe": ("net-scale-factor=1.0\noffsets=103.939;116.779;123.68\nmodel-color-format=1\n", True),
    "torch": ("net-scale-factor=0.017507\noffsets=123.675;116.280;103.53\nmodel-color-format=0\n", False),
    "tf": ("net-scale-factor=0.0078\noffsets=127.5;127.5;127.5\nmodel-color-format=0\n", False),
}


def multitask(path: Path, show_input: bool = False, tasks: dict[str, int] = TASKS) -> Path:
    """A softmax head a task over the mean of each channel; ``show_input`` adds the input itself as an output."""
    generator = np.random.default_rng(5)
    nodes = [helper.make_node("GlobalAveragePool", ["input_1"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    weights, outputs = [], []
    for task, classes in tasks.items():
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


def classify(config: Path, tasks: tuple[str, ...]) -> None:
    """Run a configuration: attribute k must be the likeliest class of ``tasks[k]``, under its own label."""
    context = InferContext(load_infer_config(config))
    picture = HostSurface([np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8)], "RGB")
    result = context.submit([InferItem(picture, None)]).result()[0]
    context.close()
    assert result.classes is not None
    found = [(a.task_index, a.class_index, a.label) for a in result.classes.attributes]
    best = [int(result.tensor(f"{task}/Softmax").argmax()) for task in tasks]
    assert found == [(k, n, LINES[task][n]) for k, (task, n) in enumerate(zip(tasks, best, strict=True))]


def labels(*tasks: str) -> str:
    return "".join(";".join(LINES[task]) + "\n" for task in tasks)


@pytest.mark.parametrize("order", list(itertools.permutations(TASKS)), ids="-".join)
def test_the_guides_configuration_runs_with_the_guides_labels(
    guide: Path, order: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the order of the model's outputs: attributes follow the lines of the label file."""
    multitask(guide / "../../../models/multi_task/abc.onnx", tasks={task: TASKS[task] for task in order})
    with caplog.at_level(logging.INFO, "millrace.infer"):
        classify(write(guide, "torch", GUIDES_BLOBS), ("season", "category", "base_color"))
    said = [r.message for r in caplog.records if r.message.startswith(str(guide / "multi_task_labels.txt"))]
    how = "the lines are in the order of the model's outputs, "
    if order != ("season", "category", "base_color"):
        how = "by their numbers of labels, the lines are those of "
    assert said == [f"{guide}/multi_task_labels.txt: {how}season/Softmax, category/Softmax, base_color/Softmax"]


def test_the_order_of_the_blobs_is_the_plain_case(guide: Path, caplog: pytest.LogCaptureFixture) -> None:
    (guide / "multi_task_labels.txt").write_text(labels("category", "base_color", "season"))
    file = write(guide, "torch", "category/Softmax;base_color/Softmax;season/Softmax")
    with caplog.at_level(logging.INFO, "millrace.infer"):
        classify(file, ("category", "base_color", "season"))
    assert "multi_task_labels.txt" not in caplog.text


def test_without_blob_names_the_models_order_is_the_plain_case(guide: Path, caplog: pytest.LogCaptureFixture) -> None:
    (guide / "multi_task_labels.txt").write_text(labels("base_color", "category", "season"))
    with caplog.at_level(logging.INFO, "millrace.infer"):
        classify(write(guide, "torch", ""), ("base_color", "category", "season"))
    assert "multi_task_labels.txt" not in caplog.text


def test_where_both_orders_fit_that_of_the_blobs_is_taken_and_said(
    guide: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(LINES, "mood", ["glad", "sad", "mad", "calm"])
    multitask(guide / "../../../models/multi_task/abc.onnx", tasks={"season": 4, "mood": 4})
    (guide / "multi_task_labels.txt").write_text(labels("mood", "season"))
    classify(write(guide, "torch", "mood/Softmax;season/Softmax"), ("mood", "season"))
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{guide}/multi_task_labels.txt: the lines fit the order of output-blob-names (mood/Softmax, season/Softmax) "
        "and the model's (season/Softmax, mood/Softmax); the former is taken: if labels are mixed up, write "
        "output-blob-names in the order of the lines"
    ]


def test_outputs_stay_in_the_models_order(guide: Path) -> None:
    context = InferContext(load_infer_config(write(guide, "torch", "season/Softmax;base_color/Softmax")))
    assert [layer.name for layer in context.output_layers] == [f"{task}/Softmax" for task in TASKS]
    context.close()


@pytest.mark.parametrize("order", list(itertools.permutations(TASKS)), ids="-".join)
def test_labels_from_classmap_are_read_as_they_were_written(
    guide: Path, tmp_path: Path, order: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    multitask(guide / "../../../models/multi_task/abc.onnx", tasks={task: TASKS[task] for task in order})
    mapping = {task: {str(n): label for n, label in enumerate(LINES[task])} for task in TASKS}
    classmap = tmp_path / "classmap.json"
    classmap.write_text(json.dumps({"tasks": list(TASKS), "class_mapping": mapping}))
    file = write(guide, "torch", GUIDES_BLOBS)
    written = write_labels(classmap, guide / "multi_task_labels.txt", config=file)
    assert written == ["base_color", "category", "season"]
    with caplog.at_level(logging.INFO, "millrace.infer"):
        classify(file, tuple(written))
    assert "multi_task_labels.txt" not in caplog.text
    # In the model's order, too.
    write_labels(classmap, guide / "multi_task_labels.txt", model=guide / "../../../models/multi_task/abc.onnx")
    classify(file, order)


def test_labels_that_fit_no_order_point_to_the_command_that_writes_them(guide: Path) -> None:
    (guide / "multi_task_labels.txt").write_text("Fall;Spring;Summer\n" + LABELS.split("\n", 1)[1])
    file = write(guide, "torch", GUIDES_BLOBS)
    message = (
        r"multi_task_labels.txt:1: 3 labels, but the task's output has 11 classes \(base_color/Softmax\); lines are in "
        rf"the order of output-blob-names, or .*`millrace labels from-classmap classmap.json --config {file}`"
    )
    with pytest.raises(ConfigError, match=message) as caught:
        InferContext(load_infer_config(file))
    assert "\n" not in str(caught.value)


def test_too_few_lines_name_the_outputs_and_the_command(guide: Path) -> None:
    (guide / "multi_task_labels.txt").write_text("\n".join(LABELS.splitlines()[:2]))
    file = write(guide, "torch", GUIDES_BLOBS)
    with pytest.raises(ConfigError, match=r"2 lines, but .* 3 outputs \(base_color.*one line a task; .*from-classmap"):
        InferContext(load_infer_config(file))


def test_outputs_without_a_name_and_a_line_are_no_tasks(guide: Path, caplog: pytest.LogCaptureFixture) -> None:
    (guide / "multi_task_labels.txt").write_text(labels("season") + "\n" + labels("base_color"))
    file = write(guide, "torch", "season/Softmax;base_color/Softmax")
    with caplog.at_level(logging.INFO, "millrace.infer"):
        classify(file, ("season", "base_color"))
    assert "category/Softmax: not in output-blob-names and without a line of labels" in caplog.text
    # With a line for each output all are tasks, the named ones first.
    (guide / "multi_task_labels.txt").write_text(labels("season", "base_color", "category"))
    classify(file, ("season", "base_color", "category"))


def test_a_label_needs_more_than_the_threshold(guide: Path) -> None:
    file = write(guide, "torch", GUIDES_BLOBS)
    file.write_text(file.read_text().replace("classifier-threshold=0.0", "classifier-threshold=1.0"))
    context = InferContext(load_infer_config(file))
    picture = HostSurface([np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8)], "RGB")
    result = context.submit([InferItem(picture, None)]).result()[0]
    context.close()
    assert result.classes is not None and result.classes.attributes == []
