"""Python parse functions: what they get, what they may return, and how their errors read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from millrace.config import parse_infer_config
from millrace.errors import ConfigError, ModelError
from millrace.infer import Classification, Detections, LayerInfo, NetworkInfo
from millrace.infer.custom import DetectedObject, custom_function
from millrace.infer.custom.objects import classification, detections, segmentation, stack_masks
from millrace.infer.custom.task import Task
from millrace.infer.parsers import ClassifierAttribute

LAYERS = {"boxes": np.arange(12, dtype=np.float32).reshape(3, 4), "scores": np.array([0.9, 0.5, 0.1], np.float32)}
THRESHOLDS = np.array([0.2, 0.4], np.float32)


def function(path: Path, name: str = "mine", kind: str = "detector", folder: Path | None = None) -> Callable[..., Any]:
    key = {"detector": "bbox", "classifier": "classifier", "segmentation": "segmentation"}[kind]
    text = f"[property]\nparse-{key}-func-name={name}\ncustom-lib-path={path}\n"
    config = parse_infer_config(text, "pgie.txt", folder)
    infos = [LayerInfo(n, a.shape) for n, a in LAYERS.items()]
    found = custom_function(config, kind, infos, NetworkInfo(64, 32), 2, [["a"], ["b"]])  # type: ignore[arg-type]
    assert callable(found)
    return found


def written(tmp_path: Path, body: str, name: str = "user.py") -> Path:
    path = tmp_path / name
    path.write_text(body)
    return path


def test_layers_network_thresholds(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
from __future__ import annotations
from dataclasses import dataclass
import beside

@dataclass
class Kept:
    names: list[str]

def mine(layers, network, thresholds):
    assert Kept(list(layers)).names == ["boxes", "scores"]
    assert (network.width, network.height, network.channels) == (64, 32, 3)
    assert thresholds.dtype == "float32" and thresholds.shape == (2,)
    return [(1, 2, 3, beside.WIDTH, 5, layers["scores"][0])]

def two(layers, thresholds):
    return mine(layers, NET, thresholds) if False else []

def one(layers):
    return []

def four(a, b, c, d):
    return []

def many(*values):
    assert len(values) == 3
    return []
""",
    )
    written(tmp_path, "WIDTH = 4", "beside.py")
    found = function(path)(LAYERS, THRESHOLDS)
    assert found.boxes.tolist() == [[2, 3, 6, 8]]
    assert found.class_ids.tolist() == [1]
    for name in ("two", "one", "many"):
        assert len(function(path, name)(LAYERS, THRESHOLDS)) == 0
    with pytest.raises(ConfigError, match=r"^pgie.txt:2: parse-bbox-func-name: four of user.py takes 4 arguments"):
        function(path, "four")
    with pytest.raises(ConfigError, match=r"has no function man; did you mean many\?$"):
        function(path, "man")


def test_one_threshold_for_the_others(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "import numpy as np\n"
        "def label(layers, network, threshold):\n"
        "    assert isinstance(threshold, float)\n    return [(0, 1, threshold)]\n"
        "def pixels(layers, network, threshold):\n    return np.zeros((network.height, network.width), int)\n",
    )
    found = function(path, "label", "classifier")(LAYERS, np.array([0.5], np.float32))
    assert isinstance(found, Classification)
    assert [(a.task_index, a.class_index, a.probability) for a in found.attributes] == [(0, 1, 0.5)]
    plane = function(path, "pixels", "segmentation")(LAYERS, np.array([0.5], np.float32))
    assert plane.class_map.shape == (32, 64) and plane.class_map.dtype == np.int32


def test_modules_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "millrace_test_parsers"
    package.mkdir()
    written(package, "from .inner import mine", "__init__.py")
    written(package, "def mine(layers):\n    return []\n", "inner.py")
    assert len(function(package)(LAYERS, THRESHOLDS)) == 0
    # A module's name, found beside the configuration file or on sys.path.
    assert len(function(Path("millrace_test_parsers.inner"), folder=tmp_path)(LAYERS, THRESHOLDS)) == 0
    with pytest.raises(
        ConfigError, match=r"^pgie.txt:3: custom-lib-path: no such file or Python module: .*millrace_no"
    ):
        function(Path("millrace_no"), folder=tmp_path)
    with pytest.raises(ConfigError, match=r"^pgie.txt:3: custom-lib-path: no such file: .*none.py$"):
        function(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x = 1\n1 / 0\n", r"user.py:2: ZeroDivisionError: division by zero$"),
        ("def mine(:\n", r"user.py:1: SyntaxError: "),
        ("raise SystemExit('no')\n", r"user.py:1: SystemExit: no$"),
        ("import millrace_no_such_module\n", r"user.py:1: ModuleNotFoundError: No module named"),
    ],
)
def test_files_that_fail(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"^pgie.txt:3: custom-lib-path: .*" + message):
        function(written(tmp_path, body))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return layers['no']", r"^mine: .*user.py:3: KeyError: 'no'$"),
        ("return np.reshape(layers['boxes'], 5)", r"^mine: .*user.py:3: ValueError: cannot reshape"),
        ("layers['boxes'][0] = 1", r"^mine: .*user.py:3: ValueError: assignment destination is read-only$"),
        ("return None", r"user.py:2: mine: None was returned; return Detections or a list of objects$"),
        ("return 'text'", r"user.py:2: mine: a value of type str was returned"),
        ("return [(1, 2)]", r"user.py:2: mine: an object of 2 values; it has 6"),
        ("return [{'class_id': 1}]", r"user.py:2: mine: an object .* without left$"),
        ("return [('a', 2, 3, 4, 5, 6)]", r"user.py:2: mine: could not convert string to float"),
        ("raise SystemExit(3)", r"^mine: .*user.py:3: SystemExit: 3$"),
        ("raise GeneratorExit", r"^mine: .*user.py:3: GeneratorExit$"),
    ],
)
def test_functions_that_fail(tmp_path: Path, body: str, message: str) -> None:
    path = written(tmp_path, f"import numpy as np\ndef mine(layers, network, thresholds):\n    {body}\n")
    call = function(path)
    with pytest.raises(ModelError, match=message) as caught:
        call(LAYERS, THRESHOLDS)
    assert "\n" not in str(caught.value)
    assert LAYERS["boxes"][0, 0] == 0


def test_objects_in_all_forms() -> None:
    mask = np.ones((4, 6), np.float32)
    deepstream = SimpleNamespace(classId=1, left=2, top=3, width=4, height=5, detectionConfidence=0.5)
    for item in (
        DetectedObject(1, 2, 3, 4, 5, 0.5),
        {"class_id": 1, "left": 2, "top": 3, "width": 4, "height": 5, "confidence": 0.5},
        {"classId": 1, "left": 2, "top": 3, "width": 4, "height": 5, "detectionConfidence": 0.5},
        deepstream,
        (1, 2, 3, 4, 5, 0.5),
        np.array([1, 2, 3, 4, 5, 0.5]),
    ):
        found = detections([item])
        assert found.boxes.tolist() == [[2, 3, 6, 8]]
        assert (found.scores.tolist(), found.class_ids.tolist()) == ([0.5], [1])
        assert found.masks is None and found.keypoints is None
    points = np.zeros((2, 3), np.float32)
    many = detections(
        [DetectedObject(1, 2, 3, 4, 5, 0.5, mask, points), DetectedObject(0, 2, 3, 4, 5, 0.5, None, points)]
    )
    assert many.masks is not None and many.masks.shape == (2, 4, 6)
    assert many.keypoints is not None and many.keypoints.shape == (2, 2, 3)
    with pytest.raises(ModelError, match="keypoints of different shapes"):
        detections([DetectedObject(1, 2, 3, 4, 5, 0.5, None, points), DetectedObject(0, 2, 3, 4, 5, 0.5)])
    plain = Detections([[1, 2, 3, 4]], [0.5], [1.0])  # type: ignore[arg-type]
    assert detections(plain).class_ids.dtype == np.int64
    with pytest.raises(ModelError, match="1 boxes, 2 scores and 1 class numbers"):
        detections(Detections(np.zeros((1, 4), np.float32), np.zeros(2, np.float32), np.zeros(1, np.int64)))
    with pytest.raises(ModelError, match=r"masks of shape \(4, 6\)"):
        detections(Detections(np.zeros((1, 4), np.float32), np.zeros(1, np.float32), np.zeros(1, np.int64), None, mask))


def test_masks_of_several_sizes() -> None:
    small = np.array([[0.0, 1.0]], np.float32)
    found = stack_masks([small, None, np.zeros((4, 8), np.float32)])
    assert found is not None and found.shape == (3, 4, 8)
    assert found[1].min() == 1
    assert np.all(np.diff(found[0], axis=1) >= 0) and found[0, 0, 0] == 0 and found[0, 0, -1] == 1
    assert stack_masks([None, None]) is None
    with pytest.raises(ModelError, match="a mask is"):
        stack_masks([np.zeros(3, np.float32)])


def test_other_results() -> None:
    task = Task("classifier", Path("x.py"), "f", NetworkInfo(4, 4), labels=(("a", "b"),))
    assert classification([(0, 1, 0.5), (1, 7, 0.25, "red")], task).label == "b red"
    for wrong in (None, "red", [1], [(1, 2)]):
        with pytest.raises(ModelError):
            classification(wrong, task)
    for wrong in (None, [[1]], np.zeros(3)):
        with pytest.raises(ModelError):
            segmentation(wrong)


def test_results_of_wrong_shapes_and_values() -> None:
    four, two, ids = np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int64)
    nothing = detections(Detections([], [], []))  # type: ignore[arg-type]
    assert nothing.boxes.shape == (0, 4) and len(nothing) == 0
    for boxes, scores, classes, text in (
        (np.zeros((4, 5), np.float32), np.zeros(5, np.float32), ids, r"boxes of shape \(4, 5\) .* \(N, 4\)"),
        (np.zeros(8, np.float32), two, ids, r"boxes of shape \(8,\)"),
        (four, np.zeros((2, 1), np.float32), ids, r"scores of shape \(2, 1\) were returned; they are \(2,\)"),
        (four, two, np.zeros((1, 2), np.int64), r"class_ids of shape \(1, 2\)"),
        (four, two, np.array([0, 0.5]), "class_ids with values that are no whole numbers"),
    ):
        with pytest.raises(ModelError, match=text):
            detections(Detections(boxes, scores, classes))
    task = Task("classifier", Path("x.py"), "f", NetworkInfo(4, 4))
    for wrong in ([(0, 1, float("nan"))], Classification([ClassifierAttribute(0, 1, float("inf"), "x")])):
        with pytest.raises(ModelError, match=r"^task 0, class 1: its probability is (nan|inf)$"):
            classification(wrong, task)
    with pytest.raises(ModelError, match=r"^1.5 is no class's number$"):
        classification([(0, 1.5, 0.5)], task)
    assert segmentation(np.array([[1.0, -1.0]])).class_map.tolist() == [[1, -1]]
    for wrong in (np.array([[0.5]]), np.array([[np.nan]])):
        with pytest.raises(
            ModelError, match="a class map of float64 with values that are no whole numbers; use argmax"
        ):
            segmentation(wrong)


def test_boxes_of_negative_size_are_dropped_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "def mine(layers):\n    return [(0, 9, 9, -5, 4, 0.5), (1, 2, 3, 4, 5, 0.5)]\n")
    assert function(path)(LAYERS, THRESHOLDS).class_ids.tolist() == [1]
    assert "a negative size" in caplog.text
