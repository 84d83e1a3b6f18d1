"""`millrace labels from-classmap`: lines in the network's output order."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import onnx
import pytest
from onnx import helper

from millrace.app.labels import read_classmap, write_labels
from millrace.errors import ConfigError, ModelError

CLASSMAP = {
    "tasks": ["base_color", "category", "season"],
    "class_mapping": {
        "base_color": {"1": "Blue", "0": "Black", "2": "Navy Blue"},
        "category": {"0": "Bags", "1": "Shoes"},
        "season": {"0": "Fall", "1": "Spring", "2": "Summer", "3": "Winter"},
    },
}
LINES = {"base_color": "Black;Blue;Navy Blue", "category": "Bags;Shoes", "season": "Fall;Spring;Summer;Winter"}


@pytest.fixture
def classmap(tmp_path: Path) -> Path:
    path = tmp_path / "classmap.json"
    path.write_text(json.dumps(CLASSMAP))
    return path


def network(path: Path, outputs: dict[str, int]) -> Path:
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", ["input_1"], [name]) for name in outputs]
    results = [value(name, 1, ["n", size]) for name, size in outputs.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [value("input_1", 1, ["n", 3])], results)), str(path))
    return path


def written(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_the_tasks_order_is_the_default_and_said(classmap: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    out = classmap.with_name("labels.txt")
    assert write_labels(classmap, out) == ["base_color", "category", "season"]
    assert written(out) == list(LINES.values())
    assert "in the order of the tasks in classmap.json; the network's outputs may have another" in caplog.text


def test_order_of_output_blob_names(classmap: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = classmap.with_name("labels.txt")
    write_labels(classmap, out, names="season/Softmax;category/Softmax;base_color/Softmax;")
    assert written(out) == [LINES["season"], LINES["category"], LINES["base_color"]]  # as the guide's example
    assert not caplog.text


def test_order_of_a_model(classmap: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.txt"
    names = {"model/category/Softmax:0": 2, "season/Softmax": 4, "base_color/Softmax": 3}
    write_labels(classmap, out, model=network(tmp_path / "a.onnx", names))
    assert written(out) == [LINES["category"], LINES["season"], LINES["base_color"]]
    # Names that say nothing are told apart by their number of classes.
    write_labels(classmap, out, model=network(tmp_path / "b.onnx", {"out_0": 4, "out_1": 3, "out_2": 2}))
    assert written(out) == [LINES["season"], LINES["base_color"], LINES["category"]]


def test_order_of_a_configuration(classmap: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "labels.txt", tmp_path / "sgie.txt"
    network(tmp_path / "a.onnx", {"season/Softmax": 4, "category/Softmax": 2, "base_color/Softmax": 3})
    config.write_text("[property]\nonnx-file=a.onnx\noutput-blob-names=category/Softmax\n")
    assert write_labels(classmap, out, config=config) == ["category", "season", "base_color"]
    # Where just as many outputs are named as there are tasks, the model's others are none, as when nvinfer reads it.
    network(tmp_path / "a.onnx", {"seen": 7, "season/Softmax": 4, "category/Softmax": 2, "base_color/Softmax": 3})
    config.write_text("[property]\nonnx-file=a.onnx\noutput-blob-names=category;season/Softmax;base_color/Softmax\n")
    with pytest.raises(ConfigError, match="output seen belongs to none of the tasks"):
        write_labels(classmap, out, config=config)
    config.write_text(config.read_text().replace("category;", "category/Softmax;"))
    assert write_labels(classmap, out, config=config) == ["category", "season", "base_color"]
    # The model beside the engine's name, as in TAO's guide.
    config.write_text("[property]\nmodel-engine-file=a.etlt_b1_gpu0_fp16.engine\n")
    network(tmp_path / "a.onnx", {"season/Softmax": 4, "category/Softmax": 2, "base_color/Softmax": 3})
    assert write_labels(classmap, out, config=config) == ["season", "category", "base_color"]
    config.write_text("[property]\noutput-blob-names=base_color/Softmax;category/Softmax;season/Softmax\n")
    assert write_labels(classmap, out, config=config) == ["base_color", "category", "season"]
    config.write_text("[property]\nnetwork-type=1\n")
    with pytest.raises(ConfigError, match="neither output-blob-names nor a model"):
        write_labels(classmap, out, config=config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", r"classmap.json:1: not JSON"),
        ("[]", r"no class map: it must hold class_mapping"),
        ('{"class_mapping": {}}', r"no class map"),
        ('{"tasks": ["a"], "class_mapping": {"b": {"0": "x"}}}', r"tasks and class_mapping differ"),
        ('{"class_mapping": {"b": {"0": "x", "2": "y"}}}', r"class_mapping of b: index 1 of 2 has no label"),
        ('{"class_mapping": {"b": {"0": "x;y"}}}', r"the label 'x;y' cannot be in a label file"),
    ],
)
def test_broken_class_maps(classmap: Path, change: str, message: str) -> None:
    classmap.write_text(change)
    with pytest.raises(ConfigError, match=message):
        read_classmap(classmap)


def test_what_does_not_fit_is_named(classmap: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.txt"
    with pytest.raises(ConfigError, match="--output-blob-names: no output for task base_color"):
        write_labels(classmap, out, names="season;category")
    with pytest.raises(ConfigError, match="output brand belongs to none of the tasks base_color"):
        write_labels(classmap, out, names="season;category;brand")
    with pytest.raises(ConfigError, match="season has 5 classes, season 4 labels"):
        write_labels(classmap, out, model=network(tmp_path / "a.onnx", {"season": 5}))
    with pytest.raises(ModelError, match="no such model"):
        write_labels(classmap, out, model=tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match=r"no such file: .*none.json"):
        write_labels(tmp_path / "none.json", out)
    assert not out.exists()
