"""The keys of Gst-nvinfer's ``[property]`` and ``[class-attrs-*]`` groups: types, defaults, ranges, units."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from .values import INT_MAX


class NetworkMode(IntEnum):
    """``network-mode``: the precision the engine computes in."""

    FP32, INT8, FP16, BEST = 0, 1, 2, 3


class NetworkType(IntEnum):
    """``network-type``: what the network's outputs are."""

    DETECTOR, CLASSIFIER, SEGMENTATION, INSTANCE_SEGMENTATION, OTHER = 0, 1, 2, 3, 100


class ProcessMode(IntEnum):
    """``process-mode``: whole frames, or objects."""

    PRIMARY, SECONDARY = 1, 2


class ColorFormat(IntEnum):
    """``model-color-format``: the channels the network takes."""

    RGB, BGR, GRAY = 0, 1, 2


class ClusterMode(IntEnum):
    """``cluster-mode``: how overlapping boxes are merged."""

    GROUP_RECTANGLES, DBSCAN, NMS, DBSCAN_NMS_HYBRID, NONE = 0, 1, 2, 3, 4


class InputOrder(IntEnum):
    """``network-input-order`` and ``segmentation-output-order``."""

    NCHW, NHWC = 0, 1


class UffInputOrder(IntEnum):
    """The fourth value of ``input-dims``."""

    NCHW, NHWC, NC = 0, 1, 2


class ScalingFilter(IntEnum):
    """``scaling-filter``: interpolation of frames and crops to the network's size."""

    NEAREST, BILINEAR, CUBIC, SUPER, LANCZOS, NICEST, DEFAULT = 0, 1, 2, 3, 4, 5, 6


def key(default: Any, text: str, unit: str = "", form: str = "", **limits: Any) -> Any:
    """A model field with its description, unit and form in words."""
    extra: Any = {name: value for name, value in (("unit", unit), ("form", form)) if value}
    factory = type(default)
    if isinstance(default, list):
        return Field(default_factory=factory, description=text, json_schema_extra=extra, **limits)
    return Field(default, description=text, json_schema_extra=extra, **limits)


def _dashed(name: str) -> str:
    return "minBoxes" if name == "minBoxes" else name.replace("_", "-")


Color = Annotated[list[float], Field(min_length=4, max_length=4)]


class ClassAttrs(BaseModel):
    """``[class-attrs-all]`` or ``[class-attrs-<class-id>]``; a class's own values go before those for all."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        alias_generator=_dashed,
        validate_assignment=True,
        allow_inf_nan=False,
    )

    pre_cluster_threshold: float = key(0.2, "Least confidence of a detection before clustering.", "0 to 1", ge=0)
    post_cluster_threshold: float = key(
        0.0, "Confidence that objects need after clustering: more than it (NMS), at least it (DBSCAN).", "0 to 1", ge=0
    )
    eps: float = key(
        0.0,
        "groupRectangles: share of the size by which edges of a group may differ; DBSCAN: 1 - IoU of neighbours.",
        ge=0,
    )
    group_threshold: int = key(
        0, "groupRectangles: a group needs more than so many boxes; 0: see cluster-mode 0.", "boxes", ge=0, le=INT_MAX
    )
    minBoxes: int = key(
        0, "DBSCAN: least number of boxes near each other, itself included; 0 leaves boxes as they are.",
        "boxes", ge=0, le=INT_MAX,
    )  # fmt: skip
    dbscan_min_score: float = key(0.0, "DBSCAN: least sum of confidences in a cluster.", ge=0)
    nms_iou_threshold: float = key(
        0.3, "NMS: overlap (IoU) above which the weaker of two boxes goes.", "0 to 1", ge=0, le=1
    )
    roi_top_offset: int = key(
        0,
        "Objects whose box begins nearer to the frame's top are dropped, or cropped.",
        "frame pixels",
        ge=0,
        le=INT_MAX,
    )
    roi_bottom_offset: int = key(
        0,
        "Objects whose box ends nearer to the frame's bottom are dropped, or cropped.",
        "frame pixels",
        ge=0,
        le=INT_MAX,
    )
    detected_min_w: int = key(0, "Least width of an object.", "frame pixels", ge=0, le=INT_MAX)
    detected_min_h: int = key(0, "Least height of an object.", "frame pixels", ge=0, le=INT_MAX)
    detected_max_w: int = key(0, "Greatest width of an object; 0 for any.", "frame pixels", ge=0, le=INT_MAX)
    detected_max_h: int = key(0, "Greatest height of an object; 0 for any.", "frame pixels", ge=0, le=INT_MAX)
    topk: int = key(
        -1, "Keep only so many objects of the class, the surest; -1 keeps all. Not for groups.", ge=-1, le=INT_MAX
    )
    border_color: Color | None = key(None, "Colour of the box: red, green, blue, alpha.", "0 to 1", "r;g;b;a")
    bg_color: Color | None = key(None, "Colour that fills the box: red, green, blue, alpha.", "0 to 1", "r;g;b;a")

    # Legacy
    threshold: float | None = key(None, "Old name of pre-cluster-threshold.", "0 to 1", ge=0)


class InferProperties(BaseModel):
    """The keys of ``[property]``."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        alias_generator=_dashed,
        validate_assignment=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_not_set(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[str(info.field_name)].get_default(call_default_factory=True)
        return None if default is None and isinstance(value, str) and value == "" else value

    # The element
    gie_unique_id: int = key(15, "Number that marks the metadata this instance makes.", ge=1, le=INT_MAX)
    process_mode: ProcessMode = key(ProcessMode.PRIMARY, "Infer on whole frames or on objects.")
    interval: int = key(0, "Batches skipped between two inferences.", "batches", ge=0, le=INT_MAX)
    batch_size: int = key(1, "Frames or objects inferred together.", "frames", ge=1, le=1024)
    gpu_id: int = key(0, "Device that computes.")
    output_tensor_meta: bool = key(False, "Attach the raw output tensors as metadata (docs/raw-tensors.md).")
    output_instance_mask: bool = key(False, "Attach instance masks to objects.")
    tensor_meta_pool_size: int = key(
        6, "Output buffers kept ready for tensor metadata; here they are made as needed.", "buffers"
    )
    input_tensor_from_meta: bool = key(
        False, "Take ready input tensors from upstream metadata, without pre-processing (docs/raw-tensors.md)."
    )
    disable_output_host_copy: bool = key(False, "Leave outputs in device memory.")
    clip_object_outside_roi: bool = key(
        True, "With input-tensor-from-meta: clip objects to the regions set by the preprocess element."
    )
    crop_objects_to_roi_boundary: bool = key(
        False, "Crop objects at roi-top-offset and roi-bottom-offset instead of dropping them."
    )
    stabilize_buffer_count: int = key(0, "First buffers to let go without inference.", "buffers")
    warmup_engine: bool = key(False, "Run the engine before the first buffer.")

    # Model and engine
    onnx_file: Path | None = key(None, "ONNX model.")
    model_engine_file: Path | None = key(None, "Compiled engine: read when it fits, written when it does not.")
    network_mode: NetworkMode = key(NetworkMode.FP32, "Precision the engine computes in.")
    network_type: NetworkType = key(NetworkType.DETECTOR, "What the outputs are.")
    infer_dims: Annotated[list[int], Field(min_length=3, max_length=3)] | None = key(
        None, "Size of the network's input.", "pixels", "channels;height;width"
    )
    int8_calib_file: Path | None = key(None, "INT8 calibration cache.")
    output_blob_names: list[str] = key([], "Output layers; for classifiers the order of the label file's lines.")
    output_io_formats: list[str] = key([], "Data type and order of outputs.", form="layer:type:order")
    layer_device_precision: list[str] = key([], "Device and precision of layers.", form="layer:precision:device")
    workspace_size: int = key(0, "Memory the engine builder may use.", "MB")
    force_implicit_batch_dim: bool = key(False, "Use TensorRT's implicit batch dimension.")
    enable_dla: bool = key(False, "Run on a deep learning accelerator.")
    use_dla_core: int = key(0, "Which deep learning accelerator.")
    auto_inc_mem: bool = key(True, "Let the pool of device memory grow.")
    max_gpu_mem_per: float = key(99.0, "Most device memory to use.", "percent")
    engine_create_func_name: str | None = key(None, "Function that builds the engine.")
    custom_network_config: str | None = key(None, "Configuration for the function that builds the engine.")
    strongly_typed: bool = key(False, "Let the model's own types decide the precision.")
    dynamic_properties: str | None = key(None, "Further settings for TensorRT.", form="name=value;name=value")
    dump_input_tensor: bool = key(False, "Write input tensors to files.")
    dump_output_tensor: bool = key(False, "Write output tensors to files.")
    raw_output_file_write: bool = key(
        False, "Write the raw outputs of each batch to files in the working folder, gstnvdsinfer_uid-…_layer-….bin."
    )
    overwrite_input_tensor: bool = key(False, "Take the input tensor from ip-tensor-file.")
    ip_tensor_file: Path | None = key(None, "File with an input tensor.")
    overwrite_output_tensor: bool = key(False, "Take the output tensors from op-tensor-files.")
    op_tensor_files: list[str] = key([], "Files with output tensors.")

    # Preprocessing
    net_scale_factor: float = key(1.0, "Factor of pixels after the mean is subtracted.", gt=0)
    offsets: list[float] = key([], "Mean of each channel, subtracted.", "0 to 255", "at most 4", max_length=4)
    mean_file: Path | None = key(None, "Mean picture (PPM) of the network's size.")
    model_color_format: ColorFormat = key(ColorFormat.RGB, "Channels the network takes.")
    maintain_aspect_ratio: bool = key(False, "Keep the picture's shape and pad with black.")
    symmetric_padding: bool = key(False, "Pad on both sides instead of right and bottom.")
    scaling_filter: ScalingFilter = key(
        ScalingFilter.DEFAULT, "Interpolation when frames and objects are scaled; the default is bilinear."
    )
    scaling_compute_hw: int = key(0, "Unit that scales: 0 default, 1 GPU, 2 VIC.")
    network_input_order: InputOrder = key(InputOrder.NCHW, "Order of the input's dimensions.")

    # Detectors
    num_detected_classes: int = key(
        0,
        "Number of classes; parsers of segmentations get the output's channels where it is not set.",
        "classes",
        ge=0,
        le=INT_MAX,
    )
    labelfile_path: Path | None = key(None, "Labels: a line for each class; for classifiers a line for each task.")
    cluster_mode: ClusterMode = key(ClusterMode.GROUP_RECTANGLES, "How overlapping boxes are merged.")
    filter_out_class_ids: list[int] = key([], "Classes whose objects are dropped.")
    custom_lib_path: Path | None = key(None, "Library or Python file with the parse function.")
    parse_bbox_func_name: str | None = key(None, "Function that reads a detector's outputs.")
    parse_bbox_instance_mask_func_name: str | None = key(None, "Function that reads boxes with masks or keypoints.")
    parse_classifier_func_name: str | None = key(None, "Function that reads a classifier's outputs.")
    parse_segmentation_func_name: str | None = key(None, "Function that reads a segmentation's outputs.")

    # Classifiers and segmentation
    classifier_threshold: float = key(0.0, "A label needs a greater probability.", "0 to 1", ge=0)
    classifier_async_mode: bool = key(False, "Classify tracked objects without holding up frames.")
    classifier_type: str | None = key(None, "What the labels describe.")
    segmentation_threshold: float = key(
        0.0, "A pixel's class needs a greater probability, else it is -1.", "0 to 1", ge=0
    )
    segmentation_output_order: InputOrder = key(
        InputOrder.NCHW, "Order of the segmentation's dimensions; the shape decides where it can."
    )

    # Secondary mode
    operate_on_gie_id: int = key(-1, "Take objects of this instance only; -1 takes all.", ge=-1, le=INT_MAX)
    operate_on_class_ids: list[int] = key([], "Take objects of these classes only; none takes all.")
    secondary_reinfer_interval: int = key(
        INT_MAX, "Frames after which a tracked object is inferred on again.", "frames", ge=0, le=INT_MAX
    )
    input_object_min_width: int = key(0, "Least width of objects taken.", "pixels", ge=0, le=INT_MAX)
    input_object_min_height: int = key(0, "Least height of objects taken.", "pixels", ge=0, le=INT_MAX)
    input_object_max_width: int = key(0, "Greatest width of objects taken; 0 for any.", "pixels", ge=0, le=INT_MAX)
    input_object_max_height: int = key(0, "Greatest height of objects taken; 0 for any.", "pixels", ge=0, le=INT_MAX)

    # Other model formats
    model_file: Path | None = key(None, "Caffe model.")
    proto_file: Path | None = key(None, "Caffe prototxt.")
    uff_file: Path | None = key(None, "UFF model.")
    uff_input_order: int = key(0, "Order of a UFF model's input: 0 NCHW, 1 NHWC, 2 NC.")
    uff_input_blob_name: str | None = key(None, "Input layer of a UFF model.")
    tlt_encoded_model: Path | None = key(None, "Encrypted TAO model.")
    tlt_model_key: str | None = key(None, "Key of the encrypted TAO model.")

    # Legacy
    input_dims: Annotated[list[int], Field(min_length=4, max_length=4)] | None = key(
        None, "Old form of infer-dims with uff-input-order.", "pixels", "channels;height;width;order"
    )
    uff_input_dims: Annotated[list[int], Field(min_length=4, max_length=4)] | None = key(
        None, "Old form of infer-dims with uff-input-order.", "pixels", "channels;height;width;order"
    )
    is_classifier: bool | None = key(None, "Old form of network-type=1.")
    enable_dbscan: bool | None = key(None, "Old form of cluster-mode=1.")
    parse_func: int | None = key(None, "Number of a built-in parser in old versions.")


# Only mean something on NVIDIA hardware or to TensorRT, or are done in another way here.
NO_EFFECT = frozenset(
    {
        "auto_inc_mem", "custom_network_config", "disable_output_host_copy", "dump_input_tensor",
        "dump_output_tensor", "dynamic_properties", "enable_dla", "engine_create_func_name",
        "force_implicit_batch_dim", "gpu_id", "ip_tensor_file", "layer_device_precision", "max_gpu_mem_per",
        "op_tensor_files", "output_io_formats", "overwrite_input_tensor", "overwrite_output_tensor", "parse_func",
        "scaling_compute_hw", "stabilize_buffer_count", "strongly_typed",
        "tensor_meta_pool_size", "uff_input_blob_name", "uff_input_order", "use_dla_core", "warmup_engine",
        "workspace_size",
    }
)  # fmt: skip
