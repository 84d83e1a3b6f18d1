"""Values in the forms that DeepStream's readers take: what GLib's key files accept means the same here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from millrace.config import InferConfig, load_infer_config, parse_infer_config
from millrace.errors import ConfigError

INTEGERS = [
    "3",
    " 7",
    "+3",
    "-1",
    "3\t",
    "3  ",
    "3 ## is for instance masks",
    "3\t; 4",
    "007",
    "3#x",
    "3;4",
    "1e3",
    "x",
]
NUMBERS = ["1.5", "1", "-0.5", "1e-3", ".5", "5.", "1.5 # x", "1,5", "1.5x"]
SWITCHES = ["1", "0", "true", "false", "1 ", "0\t", "2", "maybe", "1 # x"]
TEXTS = ["a b", "a # c", '"q"', "a;b", "a=b", "\\sx\\s", "a\\\\b", "ü", "a\\tb"]
INTEGER_LISTS = ["1;2;", "1;2", " 1 ; 2 ", "3;224;224 # channels, height, width", "1", "1;;2", ";1", "a;b"]
FILES = [
    "[property]\r\ninterval=1\r\nonnx-file=x\r\n",
    " [property]\n interval = 1",
    "[property] \ninterval=1",
    "[property]\n\tinterval\t=\t1",
    "[property]\ninterval=5\n[class-attrs-0]\n[property]\ninterval=1",
    "[property]\ninterval=5\n\n\t\n  # comment\ninterval=1",
    "[property] # comment\ninterval=1",
    "[property]\n// comment\ninterval=1",
    "[property]\ninterval",
    "interval=1\n[property]\n",
]


def glib(text: str, kind: str, key: str) -> Any:
    """What GLib reads, None for an error."""
    repository = pytest.importorskip("gi.repository.GLib", reason="PyGObject is not installed")
    keyfile = repository.KeyFile()
    try:
        keyfile.load_from_data(text, len(text.encode()), repository.KeyFileFlags.NONE)
        return getattr(keyfile, f"get_{kind}")("property", key)
    except repository.Error:
        return None


def ours(text: str, attribute: str) -> Any:
    try:
        return getattr(parse_infer_config(text, folder=Path(".")), attribute)
    except ConfigError:
        return None


@pytest.mark.parametrize(
    ("kind", "key", "values"),
    [
        ("integer", "operate-on-gie-id", INTEGERS),
        ("double", "max-gpu-mem-per", NUMBERS),
        ("boolean", "enable-dla", SWITCHES),
        ("string", "classifier-type", TEXTS),
        ("integer_list", "filter-out-class-ids", INTEGER_LISTS),
        ("string_list", "output-blob-names", ["a;b", "a;b;", "a\\;b;c", "a b;c", "a"]),
    ],
)
def test_values_are_glibs(kind: str, key: str, values: list[str]) -> None:
    for value in values:
        text = f"[property]\n{key}={value}"
        expected = glib(text, kind, key)
        assert ours(text, key.replace("-", "_")) == expected, value


def test_files_are_glibs() -> None:
    for text in FILES:
        assert ours(text, "interval") == glib(text, "integer", "interval"), text


@pytest.mark.parametrize("text", ["interval=0x1F", "interval= 31 # hexadecimal 1F", "interval=+31"])
def test_more_forms_of_integers(text: str) -> None:
    assert parse_infer_config(f"[property]\n{text}").interval == 31


@pytest.mark.parametrize("word", ["1", "true", "TRUE", "Yes", "on", "y"])
def test_more_forms_of_switches(word: str) -> None:
    assert parse_infer_config(f"[property]\nenable-dla={word}").enable_dla is True
    assert parse_infer_config(f"property:\n  enable-dla: {word}", form="yaml").enable_dla is True


@pytest.mark.parametrize("form", ["3;32;64", "3;32;64;", "[3, 32, 64]", "\n    - 3\n    - 32\n    - 0x40", "'3;32;64'"])
def test_forms_of_lists_in_yaml(form: str) -> None:
    text = (
        f"property:\n  infer-dims: {form} # channels, height, width\n"
        if "\n" not in form
        else f"property:\n  infer-dims:{form}"
    )
    assert parse_infer_config(text, form="yaml").infer_dims == [3, 32, 64]


def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path: Path) -> None:
    for name, text in (("a.txt", "[property]\r\ninterval=2\r\nonnx-file=a b.onnx\r\n"),
                       ("a.yml", "property:\r\n  interval: 2\r\n  onnx-file: a b.onnx\r\n")):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        config = load_infer_config(path)
        assert (config.interval, config.onnx_file) == (2, tmp_path / "a b.onnx")


def test_a_group_given_again_goes_on() -> None:
    config = parse_infer_config(
        "[property]\ninterval=2\n[class-attrs-all]\ntopk=3\n[property]\nbatch-size=4\n[class-attrs-all]\neps=0.5"
    )
    assert (config.interval, config.batch_size) == (2, 4)
    assert (config.attrs_all.topk, config.attrs_all.eps) == (3, 0.5)


def test_lines_outside_of_yaml_groups_are_said_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    # As in the configuration of one of DeepStream's sample applications, which runs.
    text = "property:\n  interval: 1\nclass-attrs-all:\npre-cluster-threshold: 0.2\ntopk: 20\n"
    with caplog.at_level(logging.WARNING, "millrace.config"):
        config = parse_infer_config(text, "pgie.yml", form="yaml")
    assert config.attrs_all.topk == -1
    assert "pgie.yml:4: pre-cluster-threshold stands outside of every group" in caplog.text


def test_keys_of_the_newest_release() -> None:
    config = parse_infer_config(
        "[property]\nstrongly-typed=1\ndynamic-properties=data_max=1;init_max=2\nwarmup-engine=1\n"
        "stabilize-buffer-count=3\nraw-output-file-write=1\noverwrite-output-tensor=1\nop-tensor-files=a.bin;b.bin"
    )
    assert config.dynamic_properties == "data_max=1;init_max=2"
    assert config.op_tensor_files == ["a.bin", "b.bin"]
    assert "strongly-typed" in config.no_effect_keys


@pytest.mark.parametrize("text", ["eps: .inf", "eps: nan", "eps: -1"])
def test_numbers_are_finite_and_in_range(text: str) -> None:
    with pytest.raises(ConfigError, match="eps="):
        parse_infer_config(f"property:\n  interval: 1\nclass-attrs-all:\n  {text}", form="yaml")


def test_the_model_takes_no_infinite_numbers_and_empty_text_is_not_set() -> None:
    with pytest.raises(ValueError, match="finite"):
        InferConfig(net_scale_factor=float("inf"))
    assert InferConfig(classifier_type="").classifier_type is None
