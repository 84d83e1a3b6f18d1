"""GList walks and changes, as applications do them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.meta import api
from millrace.meta.glist import MetaList


def walk(node: Any) -> list[Any]:
    found = []
    while node is not None:
        found.append(node.data)
        node = node.next
    return found


def walk_back(node: Any) -> list[Any]:
    while node is not None and node.next is not None:
        node = node.next
    found = []
    while node is not None:
        found.append(node.data)
        node = node.previous
    return found


class Item:
    pass


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=40))
def test_a_list_is_what_a_python_list_is(steps: list[tuple[bool, int]]) -> None:
    chain, model = MetaList(), []
    for add, number in steps:
        if add or not model:
            item = Item()
            chain.append(item)
            model.append(item)
        else:
            item = model.pop(number % len(model))
            assert chain.remove(item)
            assert not chain.remove(item)
        assert walk(chain.head) == model == list(chain)
        assert walk_back(chain.head) == model[::-1]
        assert len(chain) == len(model)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 12), st.sets(st.integers(0, 11)))
def test_removing_the_current_object_while_walking(count: int, drop: set[int]) -> None:
    batch = api.nvds_create_batch_meta(1)
    frame = api.nvds_acquire_frame_meta_from_pool(batch)
    api.nvds_add_frame_meta_to_batch(batch, frame)
    for number in range(count):
        obj = api.nvds_acquire_obj_meta_from_pool(batch)
        obj.class_id = number
        api.nvds_add_obj_meta_to_frame(frame, obj, None)
    seen = []
    node = frame.obj_meta_list
    while node is not None:
        obj = api.NvDsObjectMeta.cast(node.data)
        node = node.next
        seen.append(obj.class_id)
        if obj.class_id in drop:
            api.nvds_remove_obj_meta_from_frame(frame, obj)
    assert seen == list(range(count))
    left = [number for number in range(count) if number not in drop]
    assert [obj.class_id for obj in frame.objects] == left
    assert frame.num_obj_meta == len(left)


def test_new_style_iteration_survives_removal() -> None:
    batch = api.nvds_create_batch_meta(2)
    for source in range(2):
        frame = api.nvds_acquire_frame_meta_from_pool(batch)
        frame.source_id = source
        api.nvds_add_frame_meta_to_batch(batch, frame)
    assert batch.num_frames_in_batch == 2
    for frame in batch.frames:
        api.nvds_remove_frame_meta_from_batch(batch, frame)
    assert batch.frame_meta_list is None and batch.num_frames_in_batch == 0


def test_the_end_of_a_list_is_none_and_empty_lists_are_none() -> None:
    batch = api.nvds_create_batch_meta(1)
    assert batch.frame_meta_list is None and batch.batch_user_meta_list is None
    frame = api.nvds_acquire_frame_meta_from_pool(batch)
    api.nvds_add_frame_meta_to_batch(batch, frame)
    node = batch.frame_meta_list
    assert node.data is frame and node.next is None and node.prev is None
    assert frame.obj_meta_list is None and frame.display_meta_list is None
    assert frame.frame_user_meta_list is None


def test_casts() -> None:
    batch = api.nvds_create_batch_meta(1)
    frame = api.nvds_acquire_frame_meta_from_pool(batch)
    api.nvds_add_frame_meta_to_batch(batch, frame)
    assert api.NvDsFrameMeta.cast(batch.frame_meta_list.data) is frame
    assert api.NvDsFrameMeta.cast(api.get_ptr(frame)) is frame
    assert api.NvDsFrameMeta.cast(hash(frame)) is frame
    assert api.NvDsFrameMeta.cast(None) is None
    assert api.NvDsBaseMeta.cast(frame).meta_type == api.NVDS_FRAME_META
    assert frame.base_meta.batch_meta is batch
    with pytest.deprecated_call():
        assert api.glist_get_nvds_frame_meta(batch.frame_meta_list.data) is frame
    for wrong in (frame, "frame", 3.5, True, batch.frame_meta_list, hash(frame)):
        with pytest.raises(TypeError, match="NvDsObjectMeta"):
            api.NvDsObjectMeta.cast(wrong)
    with pytest.raises(ValueError, match="no live metadata"):
        api.NvDsObjectMeta.cast(0x1234)


def test_classifications_and_labels() -> None:
    batch = api.nvds_create_batch_meta(1)
    obj = api.nvds_acquire_obj_meta_from_pool(batch)
    classifier = api.nvds_acquire_classifier_meta_from_pool(batch)
    info = api.nvds_acquire_label_info_meta_from_pool(batch)
    info.result_label = "red"
    info.result_prob = 0.5
    api.nvds_add_label_info_meta_to_classifier(classifier, info)
    api.nvds_add_classifier_meta_to_object(obj, classifier)
    found = api.NvDsClassifierMeta.cast(obj.classifier_meta_list.data)
    assert api.NvDsLabelInfo.cast(found.label_info_list.data).result_label == "red"
    assert [label.result_prob for label in obj.classifiers[0].labels] == [0.5]
    assert found.num_labels == 1
    api.nvds_remove_label_info_meta_from_classifier(classifier, info)
    api.nvds_remove_classifier_meta_from_obj(obj, classifier)
    assert obj.classifier_meta_list is None and classifier.num_labels == 0
