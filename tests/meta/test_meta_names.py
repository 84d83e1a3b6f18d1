"""Every public name of pyds 1.2.0 exists, with its members and enum values."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from millrace.meta import api

LINES = (Path(__file__).parent / "pyds_names.txt").read_text().splitlines()


@pytest.mark.parametrize("kind", ["class", "function"])
def test_names_exist(kind: str) -> None:
    wanted = [line.split()[1] for line in LINES if line.startswith(kind + " ")]
    assert len(wanted) > 50
    assert [name for name in wanted if not callable(getattr(api, name, None))] == []


def test_members_exist() -> None:
    missing = []
    for line in LINES:
        if line.startswith("member "):
            cls, member = line.split()[1].split(".")
            if not hasattr(getattr(api, cls), member):
                missing.append(line)
    assert missing == []


def test_enum_values_and_module_level_names() -> None:
    for line in LINES:
        if line.startswith("enum "):
            path, value = line.split()[1:]
            cls, name = path.split(".")
            member = getattr(getattr(api, cls), name)
            assert int(member) == int(value), line
            assert getattr(api, name) == member, line


def test_classes_can_be_made_by_their_constructor() -> None:
    for line in LINES:
        if line.startswith("class "):
            made = getattr(api, line.split()[1])()
            for other in LINES:
                if other.startswith(f"member {line.split()[1]}."):
                    getattr(made, other.split(".")[1])  # every field of a new object can be read


def test_fields_can_be_assigned_where_the_bindings_let_them() -> None:
    counts = {"readonly": 0, "writable": 0}
    for line in LINES:
        kind, path = line.split()[:2]
        if kind not in counts:
            continue
        name, field = path.split(".")
        made = getattr(api, name)()
        value = getattr(made, field)
        counts[kind] += 1
        if kind == "readonly":
            with pytest.raises(AttributeError):
                setattr(made, field, value)
        else:
            setattr(made, field, value)
            assert getattr(made, field) == value or type(getattr(made, field)) is type(value), line
    assert counts == {"readonly": 60, "writable": 268}


def test_arrays_have_deepstreams_lengths() -> None:
    for line in LINES:
        if line.startswith("length "):
            path, length = line.split()[1:]
            name, field = path.split(".")
            assert len(getattr(getattr(api, name)(), field)) == int(length), line


def test_arguments_have_the_names_of_the_bindings() -> None:
    for line in LINES:
        if line.startswith("arguments "):
            name, *wanted = line.split()[1:]
            assert list(inspect.signature(getattr(api, name)).parameters) == wanted, line


def test_enums_behave_like_those_of_the_bindings() -> None:
    kind = api.NvDsMetaType.NVDS_USER_META
    assert kind == 7 and hash(kind) == hash(7)
    assert str(kind) == f"{kind}" == "NvDsMetaType.NVDS_USER_META"
    assert kind.name == "NVDS_USER_META"
    assert api.NvDsMetaType(12) is api.NvDsMetaType.NVDSINFER_TENSOR_OUTPUT_META
    user = api.NvDsMetaType(api.nvds_get_user_meta_type("ACME.COUNT.META"))
    assert user == api.nvds_get_user_meta_type("ACME.COUNT.META") > api.NVDS_START_USER_META
    assert user != api.nvds_get_user_meta_type("ACME.OTHER.META")


def test_names_of_earlier_versions_are_those_of_today() -> None:
    old = {
        "NvDsPastFrameObj": ("NvDsTargetMiscDataFrame", "frameNum tBbox confidence age cast"),
        "NvDsPastFrameObjList": ("NvDsTargetMiscDataObject", "numObj uniqueId classId objLabel cast list"),
        "NvDsPastFrameObjStream": (
            "NvDsTargetMiscDataStream",
            "streamID surfaceStreamID numAllocated numFilled cast list",
        ),
        "NvDsPastFrameObjBatch": ("NvDsTargetMiscDataBatch", "numAllocated numFilled cast list"),
    }
    for name, (today, members) in old.items():
        assert getattr(api, name) is getattr(api, today)
        assert [member for member in members.split() if not hasattr(getattr(api, name), member)] == []
