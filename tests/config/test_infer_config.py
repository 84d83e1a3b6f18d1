"""nvinfer's configuration: INI and YAML, errors with lines, legacy keys, round trips."""

from __future__ import annotations

import logging
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from millrace.config import (
    ClassAttrs,
    ClusterMode,
    InferConfig,
    NetworkType,
    load_infer_config,
    parse_infer_config,
)
from millrace.config.infer_keys import InferProperties
from millrace.config.keyfile import escape, split_list, unescape
from millrace.config.values import BOOL, INT, PATH, STRING, STRINGS, allowed, kind_of
from millrace.errors import ConfigError

REAL = """################
# a comment

[property]
gpu-id=0@@
model-color-format=1
process-mode=1@@
net-scale-factor=0.0039215697906911373
# given twice: the last one counts
model-color-format=0@@
model-engine-file=../engines/pose.engine
labelfile-path=/opt/nvidia/deepstream/deepstream/samples/labels.txt
network-type=100
network-mode=2
infer-dims=3;640;640
offsets=103.939;116.779;123.68;
maintain-aspect-ratio=1
symmetric-padding=true
scaling-compute-hw=1
enable-dla=0
operate-on-class-ids=0x10;2
output-tensor-meta=1

[class-attrs-all]
pre-cluster-threshold=0.25
topk=300
[class-attrs-2]
topk=20
""".replace("@@", "  ")


def test_a_config_as_users_write_it(tmp_path: Path) -> None:
    path = tmp_path / "configs" / "pgie.txt"
    path.parent.mkdir()
    path.write_text(REAL)
    config = load_infer_config(path)
    assert config.gpu_id == 0
    assert config.model_color_format == 0
    assert config.net_scale_factor == 0.0039215697906911373
    assert config.network_type == NetworkType.OTHER
    assert config.infer_dims == [3, 640, 640]
    assert config.offsets == [103.939, 116.779, 123.68]
    assert config.symmetric_padding is True
    assert config.operate_on_class_ids == [16, 2]
    assert config.model_engine_file == path.parent / "../engines/pose.engine"
    assert config.labelfile_path == Path("/opt/nvidia/deepstream/deepstream/samples/labels.txt")
    assert config.source_of("network-mode") == (str(path), 14)
    assert config.source_of("interval") == (str(path), None)
    assert config.no_effect_keys == ["enable-dla", "scaling-compute-hw"]
    assert config.class_attrs(0).topk == 300
    assert config.class_attrs(2).topk == 20
    assert config.class_attrs(2).pre_cluster_threshold == 0.25
    assert config.class_attrs(2).nms_iou_threshold == 0.3


def test_the_same_in_yaml(tmp_path: Path) -> None:
    text = """property:
  gpu-id: 0
  net-scale-factor: 0.0039215697906911373
  infer-dims: 3;640;640
  offsets: [1, 2.5, 3]
  maintain-aspect-ratio: yes
  onnx-file: model.onnx
class-attrs-all:
  topk: 20
class-attrs-1:
  pre-cluster-threshold: 0.5
"""
    for name in ("config.yml", "config.txt"):
        path = tmp_path / name
        path.write_text(text)
        config = load_infer_config(path)
        assert config.infer_dims == [3, 640, 640]
        assert config.offsets == [1, 2.5, 3]
        assert config.maintain_aspect_ratio is True
        assert config.onnx_file == tmp_path / "model.onnx"
        assert config.class_attrs(1).topk == 20
        assert config.class_attrs(1).pre_cluster_threshold == 0.5
        assert config.source_of("onnx_file") == (str(path), 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[property]\n\nonx-file=a", ":3: unknown key onx-file in [property]; did you mean onnx-file?"),
        ("[property]\nnetwork_mode=1", ":2: unknown key network_mode in [property]; did you mean network-mode?"),
        ("[property]\nqqqq=1", ":2: unknown key qqqq in [property]; it is not one of nvinfer's keys, remove it"),
        ("[property]\nbatch-size=0", ":2: batch-size=0: it must be an integer, at least 1, at most 1024"),
        ("[property]\nnetwork-mode=7", ":2: network-mode=7: it must be 0 (fp32) or 1 (int8) or 2 (fp16) or 3 (best)"),
        ("[property]\ninterval=two", ":2: interval=two: it must be an integer, at least 0"),
        ("[property]\ngpu-id=0 # the first", "a comment needs a line of its own"),
        ("[property]\ninfer-dims=3;640", ":2: infer-dims=3;640: it must be integers separated by ;, exactly 3 of them"),
        ("[property]\nmaintain-aspect-ratio=2", "it must be 1 or 0 (also true, false, yes, no)"),
        ("[property]\nnet-scale-factor=nan", ":2: net-scale-factor=nan: it must be a number, greater than 0"),
        ("[property]\n[class-attrs-0]\nnms-iou-threshold=1.5", ":3: nms-iou-threshold=1.5: it must be a number"),
        ("[property]\n[class-attrs-0]\ntopk2=1", ":3: unknown key topk2 in [class-attrs-0]; did you mean topk?"),
        ("[property]\n[class-attrs-x]\n", ":2: unknown group [class-attrs-x]"),
        ("[propertie]\n", ": group [property] is missing; did you mean it by [propertie]?"),
        ("gpu-id=0\n", ":1: key gpu-id stands before the first group; add [property] above it"),
        ("[property]\n; no comment\n", ":2: expected key=value, [group] or a # comment"),
        ("[property\n", ":1: a group is written [name], not '[property'"),
        ("[property]\nuff-input-dims=3;4;5;9", ":2: uff-input-dims=3;4;5;9: the fourth value"),
    ],
)
def test_errors_name_line_key_and_mend(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_infer_config(text, "pgie.txt")
    assert str(caught.value).startswith("pgie.txt")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("property:\n  onx-file: a", ":2: unknown key onx-file"),
        ("property:\n  batch-size: [1, 2]", ":2: batch-size=['1', '2']: it must be an integer"),
        ("property:\n  batch-size: {a: 1}", ":2: batch-size must be a value or a list of values"),
        ("property: [1]", "group property must hold 'name: value' pairs"),
        ("- a", "the file must hold 'name: value' pairs"),
        ("property:\n  a: 'x", "not valid YAML"),
        ("", "group [property] is missing"),
    ],
)
def test_yaml_errors(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_infer_config(text, "pgie.yml", form="yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_infer_config(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="is a folder"):
        load_infer_config(tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        load_infer_config(tmp_path / "binary.txt")


def test_other_groups_are_left_out_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "millrace.config"):
        parse_infer_config("[property]\n[tests]\nfile-loop=1", "pgie.txt")
    assert "pgie.txt:2: group [tests]" in caplog.text


def test_legacy_keys(caplog: pytest.LogCaptureFixture) -> None:
    config = parse_infer_config("[property]\nis-classifier=1\nuff-input-dims=3;20;30;0\nenable-dbscan=1")
    assert config.network_type == NetworkType.CLASSIFIER
    assert config.infer_dims == [3, 20, 30]
    assert config.cluster_mode == ClusterMode.DBSCAN
    assert config.source_of("infer-dims")[1] == 3
    config = parse_infer_config("[property]\ninfer-dims=3;4;5\ninput-dims=3;20;30;0\n[class-attrs-all]\nthreshold=0.4")
    assert config.infer_dims == [3, 4, 5]
    assert config.class_attrs(0).pre_cluster_threshold == 0.4
    assert "input-dims is an old key and is left out because infer-dims is set" in caplog.text


def test_empty_values_count_as_not_set() -> None:
    config = parse_infer_config("[property]\nparse-bbox-func-name=\noffsets=\ninterval=  ")
    assert config.parse_bbox_func_name is None
    assert config.source_of("interval")[1] is None


def test_overrides() -> None:
    config = parse_infer_config("[property]\nbatch-size=2\ngpu-id=1\n[class-attrs-1]\ntopk=3", "pgie.txt")
    changed = config.with_overrides({"batch_size": 8, "model_engine_file": "x.engine", "operate_on_class_ids": [1]})
    assert (changed.batch_size, changed.model_engine_file) == (8, Path("x.engine"))
    assert changed.class_attrs(1).topk == 3
    assert changed.source_of("gpu-id") == ("pgie.txt", 3)
    assert changed.source_of("batch-size") == ("pgie.txt", None)
    assert config.batch_size == 2
    assert changed.no_effect_keys == ["gpu-id"]
    assert config.with_overrides({"model_engine_file": ""}).model_engine_file is None
    with pytest.raises(ConfigError, match=r"batch-size=5000: it must be an integer, at least 1, at most 1024"):
        config.with_overrides({"batch_size": 5000})
    with pytest.raises(ConfigError, match="did you mean batch-size"):
        config.with_overrides({"batchsize": 5})


def test_every_key_is_described() -> None:
    for model in (InferProperties, ClassAttrs):
        for name, info in model.model_fields.items():
            assert info.description, name
            assert info.description.endswith("."), name
            assert allowed(info), name


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@given(TEXT)
def test_escapes_round_trip(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.lists(TEXT, max_size=4))
def test_lists_round_trip(items: list[str]) -> None:
    assert [unescape(item) for item in split_list(STRINGS.ini(items))] == items


def _values(model: type[BaseModel]) -> st.SearchStrategy[dict]:
    """Any values that the model takes, for any of its present keys."""
    legacy = {"input_dims", "uff_input_dims", "is_classifier", "enable_dbscan", "threshold"}
    options: dict[str, st.SearchStrategy] = {}
    for name, info in model.model_fields.items():
        if name in legacy:
            continue
        kind = kind_of(info)
        annotation = str(info.annotation)
        if "infer_dims" in name:
            options[name] = st.lists(st.integers(0, 4096), min_size=3, max_size=3)
        elif "color" in name and "format" not in name:
            options[name] = st.lists(st.floats(0, 1), min_size=4, max_size=4)
        elif kind is BOOL:
            options[name] = st.booleans()
        elif isinstance(info.default, IntEnum):
            options[name] = st.sampled_from(list(type(info.default)))
        elif kind is INT:
            limit = 2 if name == "scaling_compute_hw" else 1024
            options[name] = st.integers(1, limit)
        elif kind is PATH:
            options[name] = TEXT.map(lambda t: Path("/x") / t.replace("/", "_"))
        elif kind is STRING:
            options[name] = TEXT
        elif kind is STRINGS:
            options[name] = st.lists(TEXT, max_size=3)
        elif "list[int]" in annotation:
            options[name] = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)
        elif "list[float]" in annotation:
            options[name] = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3)
        else:
            options[name] = st.floats(0, 1, exclude_min=True)
    return st.fixed_dictionaries({}, optional=options)


ATTRS = _values(ClassAttrs)


@settings(max_examples=60, deadline=None)
@given(_values(InferProperties), ATTRS, st.dictionaries(st.integers(0, 90), ATTRS, max_size=2))
def test_any_config_survives_ini_and_yaml(values: dict, attrs: dict, by_class: dict) -> None:
    config = InferConfig(
        **values,
        attrs_all=ClassAttrs(**attrs),
        attrs_by_class={number: ClassAttrs(**own) for number, own in by_class.items()},
    )
    from_ini = parse_infer_config(config.to_ini())
    assert from_ini == config
    from_yaml = parse_infer_config(from_ini.to_yaml(), form="yaml")
    assert from_yaml == config
    assert parse_infer_config(from_yaml.to_ini()) == config
