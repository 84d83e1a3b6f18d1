"""docs/nvinfer.md is what the typed model says."""

from __future__ import annotations

from pathlib import Path

from millrace.config.docs import main, render
from millrace.config.infer_keys import NO_EFFECT, ClassAttrs, InferProperties

PAGE = Path(__file__).resolve().parents[2] / "docs" / "nvinfer.md"


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m millrace.config.docs docs/nvinfer.md"


def test_every_key_has_a_row_with_a_meaning() -> None:
    rows = {line.split("|")[1].strip(): line for line in render().splitlines() if line.startswith("| `")}
    for model in (InferProperties, ClassAttrs):
        for name, info in model.model_fields.items():
            row = rows[f"`{info.alias}`" + (" †" if name in NO_EFFECT else "")]
            cells = [cell.strip() for cell in row.split("|")[1:-1]]
            assert len(cells) == 5 and cells[1] and cells[3] and cells[4].endswith(".")
    assert (
        "| `infer-dims` | integers separated by ;, exactly 3 of them, channels;height;width | pixels | – |" in render()
    )
    assert "| `net-scale-factor` | a number, greater than 0 |  | 1 |" in render()


def test_the_script_writes_it(tmp_path: Path) -> None:
    assert main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render()
