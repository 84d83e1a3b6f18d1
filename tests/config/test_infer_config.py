"""nvinfer's configuration: INI and YAML, errors with lines, legacy keys, round trips."""

from __future__ import annotations

import logging
import os
from enum import IntEnum
from pathlib import Path

import pytest
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

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
from millrace.config.values import BOOL, INT, PATH, STRING, STRINGS, allowed, kind_of, peel
from millrace.errors import ConfigError

EXAMPLES = int(os.environ.get("MILLRACE_EXAMPLES", "60"))

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
labelfile-path=/srv/models/labels.txt
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
    assert config.labelfile_path == Path("/srv/models/labels.txt")
    assert config.source_of("network-mode") == (str(path), 14)
    assert config.source_of("interval") == (str(path), None)
    assert config.no_effect_keys == ["enable-dla", "scaling-compute-hw"]
    assert config.class_attrs(0).topk == 300
    assert config.class_attrs(2).topk == 20
    assert config.class_attrs(2).pre_cluster_threshold == 0.25
    assert config.class_attrs(2).nms_iou_threshold == 0.3


def test_deepstreams_own_folder_is_found_in_millraces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/opt/nvidia/deepstream").exists():
        pytest.skip("a real DeepStream is installed")
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path))
    config = parse_infer_config("[property]\nonnx-file=/opt/nvidia/deepstream/deepstream/samples/models/a/b.onnx\n")
    assert config.onnx_file == tmp_path / "deepstream/samples/models/a/b.onnx"


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
        ("[property]\nnet-work-mode=1", ":2: unknown key net-work-mode in [property]; did you mean network-mode?"),
        ("[property]\nbatch-size=0", ":2: batch-size=0: it must be an integer, at least 1, at most 1024"),
        ("[property]\nnetwork-mode=7", ":2: network-mode=7: it must be 0 (fp32) or 1 (int8) or 2 (fp16) or 3 (best)"),
        ("[property]\ninterval=two", ":2: interval=two: it must be an integer, at least 0"),
        ("[property]\nnet-scale-factor=1.5 # a comment", "greater than 0; a comment needs a line of its own"),
        ("[property]\nenable-dla=0\t# a comment", "no); a comment needs a line of its own"),
        ("[property]\ngpu-id=0 apples", ":2: gpu-id=0 apples: it must be an integer"),
        ("[property]\ninput-tensor-meta=1", "did you mean input-tensor-from-meta?"),
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
    ("line", "message"),
    [
        ("qqqq=1", "unknown key qqqq in [property] is left out, as by DeepStream; it is not one of nvinfer's keys"),
        ("eps=1", "unknown key eps in [property] is left out, as by DeepStream"),
        ("alignment-type=1", "unknown key alignment-type in [property] is left out, as by DeepStream; did you mean"),
        ("network_mode=1", "network_mode is read as network-mode; DeepStream leaves it out"),
    ],
)
def test_keys_that_deepstream_leaves_out_are_warned_about(
    line: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = parse_infer_config(f"[property]\n{line}\ngie-unique-id=4", "pgie.txt")
    assert config.gie_unique_id == 4 and config.network_mode == (1 if "mode" in line else 0)
    assert f"pgie.txt:2: {message}" in caplog.text


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


def test_the_properties_of_whom_to_operate_on_go_together() -> None:
    # DeepStream reads neither key of the file when one of the properties is set.
    config = parse_infer_config("[property]\noperate-on-gie-id=1\noperate-on-class-ids=0;2")
    assert config.with_overrides({"operate_on_gie_id": 3}).operate_on_class_ids == []
    assert config.with_overrides({"operate_on_class_ids": [1]}).operate_on_gie_id == -1
    assert config.with_overrides({"interval": 1}).operate_on_class_ids == [0, 2]


def test_an_old_switch_that_is_off_says_nothing_about_clustering() -> None:
    assert "cluster_mode" not in parse_infer_config("[property]\nenable-dbscan=0").model_fields_set


def test_every_key_is_described() -> None:
    for model in (InferProperties, ClassAttrs):
        for name, info in model.model_fields.items():
            assert info.description, name
            assert info.description.endswith("."), name
            assert allowed(info), name


ODD = [*"#;='[]é漢", '"', "\\", " ", "\t", "\n", "\r", ": ", "- ", "\u2028", "\ufeff", "null", "0x1"]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.lists(st.sampled_from(ODD), max_size=6).map("".join),
)
LEGACY = {"input_dims", "uff_input_dims", "is_classifier", "enable_dbscan", "threshold"}


@given(TEXT)
def test_escapes_round_trip(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.lists(TEXT, max_size=4))
def test_lists_round_trip(items: list[str]) -> None:
    assert [unescape(item) for item in split_list(STRINGS.ini(items))] == items


def _numbers(info: FieldInfo, whole: bool) -> st.SearchStrategy:
    """All numbers within a key's limits."""
    low = next((m.ge for m in info.metadata if isinstance(m, Ge)), None)
    over = next((m.gt for m in info.metadata if isinstance(m, Gt)), None)
    high = next((m.le for m in info.metadata if isinstance(m, Le)), None)
    if whole:
        return st.integers(low if low is not None else -(2**63), high if high is not None else 2**63)
    start = low if over is None else over
    return st.floats(start, high, exclude_min=over is not None, allow_nan=False, allow_infinity=False)


def _value(name: str, info: FieldInfo) -> st.SearchStrategy:
    """Any value that a key takes."""
    kind, finite = kind_of(info), st.floats(allow_nan=False, allow_infinity=False)
    bare, limits = peel(info.annotation)
    if kind is BOOL:
        return st.booleans()
    if isinstance(bare, type) and issubclass(bare, IntEnum):
        return st.sampled_from(list(bare))
    if kind is PATH:
        return st.builds(lambda folder, t: Path(folder + t), st.sampled_from(["", "/", "/a b/", "../x#y;z/"]), TEXT)
    if kind is STRING:
        return TEXT
    if not kind.many:
        return _numbers(info, kind is INT)
    items = {"int": st.integers(-(2**63), 2**63), "float": finite, "str": TEXT}[bare.__args__[0].__name__]
    least = next((m.min_length for m in limits if isinstance(m, MinLen)), 0)
    most = next((m.max_length for m in [*limits, *info.metadata] if isinstance(m, MaxLen)), 5)
    if name in ("input_dims", "uff_input_dims"):
        return st.tuples(items, items, items, st.integers(0, 2)).map(list)
    return st.lists(items, min_size=least, max_size=most)


def _values(model: type[BaseModel], legacy: bool = False) -> st.SearchStrategy[dict]:
    """Any values that the model takes, for any of its keys."""
    names = [name for name in model.model_fields if legacy or name not in LEGACY]
    return st.fixed_dictionaries({}, optional={name: _value(name, model.model_fields[name]) for name in names})


CLASS_IDS = st.one_of(st.integers(0, 90), st.integers(0, 2**40))


def _config(values: dict, attrs: dict, by_class: dict) -> InferConfig:
    return InferConfig(
        **values,
        attrs_all=ClassAttrs(**attrs),
        attrs_by_class={number: ClassAttrs(**own) for number, own in by_class.items()},
    )


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_values(InferProperties), _values(ClassAttrs), st.dictionaries(CLASS_IDS, _values(ClassAttrs), max_size=2))
def test_any_config_survives_ini_and_yaml(values: dict, attrs: dict, by_class: dict) -> None:
    config = _config(values, attrs, by_class)
    here = Path(".")  # so that relative paths stay as they are
    from_ini = parse_infer_config(config.to_ini(), folder=here)
    assert from_ini == config
    from_yaml = parse_infer_config(from_ini.to_yaml(), folder=here, form="yaml")
    assert from_yaml == config
    assert parse_infer_config(from_yaml.to_ini(), folder=here) == config


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_values(InferProperties, legacy=True), _values(ClassAttrs, legacy=True))
def test_old_keys_are_written_as_the_present_ones(values: dict, attrs: dict) -> None:
    here = Path(".")
    config = parse_infer_config(_config(values, attrs, {}).to_ini(), folder=here)
    assert not LEGACY & config.model_fields_set
    assert parse_infer_config(config.to_yaml(), folder=here, form="yaml") == config


def test_the_property_test_makes_every_key() -> None:
    for model in (InferProperties, ClassAttrs):
        for name, info in model.model_fields.items():
            _value(name, info).validate()
