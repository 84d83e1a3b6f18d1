"""What a network found becomes metadata: plain Python over the metadata model."""

from __future__ import annotations

import logging

import numpy as np

from ..config import InferConfig
from ..infer import FrameResult, InferContext
from ..infer.parsers.results import Classification, Detections
from ..meta.enums import NvDsMetaType
from ..meta.frame import NvDsBatchMeta, NvDsFrameMeta
from ..meta.functions import (
    nvds_acquire_classifier_meta_from_pool,
    nvds_acquire_label_info_meta_from_pool,
    nvds_acquire_obj_meta_from_pool,
    nvds_add_classifier_meta_to_object,
    nvds_add_label_info_meta_to_classifier,
    nvds_add_obj_meta_to_frame,
)
from ..meta.objects import NvDsObjectMeta
from ..meta.preprocess import NvDsRoiMeta, nvds_add_classifier_meta_to_roi
from ..meta.tensor import attach_segmentation_meta, attach_tensor_meta, attach_user_meta, make_tensor_meta

log = logging.getLogger("millrace.infer")

BORDER_WIDTH, FRAME_BORDER_WIDTH = 3, 6
NO_CLASS = -1
TEXT_ABOVE = 10  # pixels between the top of the box and the top of its text
FONT, FONT_SIZE = "Serif", 11
RED = (1.0, 0.0, 0.0, 1.0)
FRAME_BACKGROUND = (1.0, 1.0, 0.0, 0.4)  # not drawn unless an application switches it on


class Attacher:
    """Attaches results of one nvinfer to frames and objects.

    Args:
        config: the element's effective configuration.
        context: its inference context, for labels and network information.
    """

    def __init__(self, config: InferConfig, context: InferContext) -> None:
        self._config = config
        self._labels = context.labels
        self._lines = context.label_lines
        self._info, self._inputs = context.network_info, len(context.input_layers)
        self._random = np.random.default_rng(0)
        self._masks_noted = False

    def attach(
        self,
        meta: NvDsBatchMeta,
        frame: NvDsFrameMeta,
        parent: NvDsObjectMeta | None,
        result: FrameResult,
        roi: NvDsRoiMeta | None = None,
    ) -> None:
        """Attach the result of one frame, of one object ``parent``, or of one row of an input tensor.

        A classification is attached by the caller.
        """
        owner = roi if roi is not None else frame if parent is None else parent
        config = self._config
        if config.output_tensor_meta:
            tensor_meta = make_tensor_meta(
                [(layer.name, layer.array) for layer in result.tensors],
                (self._info.width, self._info.height, self._info.channels),
                config.gie_unique_id,
                maintain_aspect_ratio=config.maintain_aspect_ratio,
                inputs=self._inputs,
            )
            attach_tensor_meta(meta, owner, tensor_meta)
            if roi is not None:  # so that the tensors are also found from the frame and the object
                for place in (frame, parent):
                    if place is not None:
                        attach_user_meta(meta, place, roi, NvDsMetaType.NVDS_ROI_META)
        if result.detections is not None:
            self._attach_objects(meta, frame, parent, result.detections)
        if result.masks is not None:
            found = result.masks
            classes = 1 if found.probabilities is None else found.probabilities.shape[0]
            attach_segmentation_meta(
                meta, owner, found.class_map, classes, found.probabilities, unique_id=config.gie_unique_id
            )

    # Objects -------------------------------------------------------------------------------------------------------

    def _attach_objects(
        self, meta: NvDsBatchMeta, frame: NvDsFrameMeta, parent: NvDsObjectMeta | None, found: Detections
    ) -> None:
        config = self._config
        boxes, scores, classes = found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist()
        for index, (left, top, right, bottom) in enumerate(boxes):
            label = self._labels[classes[index]] if classes[index] < len(self._labels) else ""
            item = self._new_object(meta, classes[index], scores[index], label)
            self._place(item, left, top, right - left, bottom - top)
            if not config.output_instance_mask:
                self._note_masks(found)
            elif found.keypoints is not None:
                self._set_mask(item, found.keypoints[index], frame.pipeline_width, frame.pipeline_height)
            elif found.masks is not None:
                mask = found.masks[index]
                self._set_mask(item, mask, mask.shape[1], mask.shape[0])
                red, green, blue = self._random.random(3).tolist()
                item.rect_params.border_color.set(red, green, blue, 1.0)  # a colour for each mask, as DeepStream does
            nvds_add_obj_meta_to_frame(frame, item, parent)

    def _new_object(self, meta: NvDsBatchMeta, class_id: int, confidence: float, label: str) -> NvDsObjectMeta:
        item = nvds_acquire_obj_meta_from_pool(meta)
        item.unique_component_id = self._config.gie_unique_id
        item.class_id = class_id
        item.confidence = confidence
        item.obj_label = label
        attrs = self._config.class_attrs(class_id)
        rect, text = item.rect_params, item.text_params
        rect.border_width = BORDER_WIDTH
        rect.border_color.set(*(attrs.border_color or RED))
        if attrs.bg_color:
            rect.has_bg_color = 1
            rect.bg_color.set(*attrs.bg_color)
        text.display_text = label
        text.font_params.font_name = FONT
        text.font_params.font_size = FONT_SIZE
        text.font_params.font_color.set(1.0, 1.0, 1.0, 1.0)
        text.set_bg_clr = 1
        text.text_bg_clr.set(0.0, 0.0, 0.0, 1.0)
        return item

    @staticmethod
    def _place(item: NvDsObjectMeta, left: float, top: float, width: float, height: float) -> None:
        for box in (item.rect_params, item.detector_bbox_info.org_bbox_coords):
            box.left, box.top, box.width, box.height = left, top, width, height
        item.text_params.x_offset = max(0, int(left))
        item.text_params.y_offset = max(0, int(top) - TEXT_ABOVE)

    def _note_masks(self, found: Detections) -> None:
        """Say once that masks are there and nobody gets them."""
        if self._masks_noted or (found.keypoints is None and found.masks is None):
            return
        self._masks_noted = True
        what = "masks" if found.keypoints is None else "keypoints"
        log.warning("the network gives %s, but output-instance-mask is 0: objects come without; set it to 1", what)

    def _set_mask(self, item: NvDsObjectMeta, values: np.ndarray, width: int, height: int) -> None:
        mask = item.mask_params
        mask.data = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        mask.width, mask.height = width, height
        mask.threshold = self._config.segmentation_threshold

    # Classifications -----------------------------------------------------------------------------------------------

    def classify_frame(self, meta: NvDsBatchMeta, frame: NvDsFrameMeta, found: Classification) -> None:
        """A primary classifier's result goes on an object that covers the frame."""
        if not found.attributes:
            return
        item = self._new_object(meta, NO_CLASS, 0.0, "")
        rect = item.rect_params
        rect.border_width = FRAME_BORDER_WIDTH
        rect.border_color.set(*RED)
        rect.has_bg_color = 0
        rect.bg_color.set(*FRAME_BACKGROUND)
        self._place(item, 0.0, 0.0, float(frame.pipeline_width), float(frame.pipeline_height))
        nvds_add_obj_meta_to_frame(frame, item, None)
        self.classify(meta, item, found)

    def classify(
        self,
        meta: NvDsBatchMeta,
        item: NvDsObjectMeta | None,
        found: Classification,
        roi: NvDsRoiMeta | None = None,
    ) -> None:
        """One NvDsClassifierMeta on an object and a row of an input tensor, with a label for each attribute.

        The object's text grows by them.
        """
        if not found.attributes:
            return
        classifier = nvds_acquire_classifier_meta_from_pool(meta)
        classifier.unique_component_id = self._config.gie_unique_id
        classifier.classifier_type = self._config.classifier_type
        for attribute in found.attributes:
            label = nvds_acquire_label_info_meta_from_pool(meta)
            label.result_class_id = attribute.class_index
            label.label_id = attribute.task_index
            label.result_prob = attribute.probability
            label.result_label = attribute.label
            line = self._lines[attribute.task_index] if attribute.task_index < len(self._lines) else []
            label.num_classes = len(line)
            nvds_add_label_info_meta_to_classifier(classifier, label)
        if roi is not None:
            nvds_add_classifier_meta_to_roi(roi, classifier if item is None else classifier.duplicate())
        if item is None:
            return
        nvds_add_classifier_meta_to_object(item, classifier)
        if found.label:
            text = item.text_params
            text.display_text = f"{text.text} {found.label}" if text.text else found.label
