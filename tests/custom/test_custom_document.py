"""The examples of docs/custom-parsers.md run, and say the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from millrace.config import parse_infer_config
from millrace.infer import LayerInfo, NetworkInfo
from millrace.infer.custom import custom_function
from millrace.infer.parsers import KNOWN_FUNCTIONS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "custom-parsers.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_examples(compiled: Callable[..., Path], tmp_path: Path) -> None:
    source = tmp_path / "parser.cpp"
    source.write_text(block("cpp"))
    library = compiled(tmp_path / "libparser.so", [source])
    (tmp_path / "my_parser.py").write_text(block("python"))
    random = np.random.default_rng(5)
    ids = random.integers(0, 3, 50)
    layers = {"output": np.hstack([random.uniform(0, 60, (50, 5)), ids[:, None]]).astype(np.float32)}
    layers["output"][:, 4] /= 60
    found = []
    for text in (block("ini"), f"{block('ini')}custom-lib-path={library}\nparse-bbox-func-name=ParseRows\n"):
        config = parse_infer_config(text, folder=tmp_path)
        infos = [LayerInfo("output", (50, 6))]
        function = custom_function(config, "detector", infos, NetworkInfo(64, 64), config.num_detected_classes)
        assert callable(function)
        found.append(function(layers, np.array([0.3, 0.5], np.float32)))
    assert 10 < len(found[0]) < 40
    for name in ("boxes", "scores", "class_ids"):
        assert np.array_equal(getattr(found[0], name), getattr(found[1], name))


def test_named_functions_exist() -> None:
    text = DOCUMENT.read_text()
    shown = set(re.findall(r"`(NvDsInferParse\w+)`", text))
    assert len(shown) >= 5 and shown <= set(KNOWN_FUNCTIONS)
