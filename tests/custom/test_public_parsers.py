"""Public parser sources, compiled as they are. They are not part of this repository: clone

    https://github.com/marcoslucianops/DeepStream-Yolo
    https://github.com/marcoslucianops/DeepStream-Yolo-Pose
    https://github.com/marcoslucianops/DeepStream-Yolo-Seg
    https://github.com/NVIDIA-AI-IOT/deepstream_tao_apps
    https://github.com/NVIDIA-AI-IOT/yolo_deepstream

into one folder and name it in MILLRACE_PARSER_SOURCES.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from millrace.config import parse_infer_config
from millrace.infer import InferContext, InferItem, LayerInfo, NetworkInfo
from millrace.infer.custom import custom_function, include_dir
from millrace.infer.parsers import Detections, get_parser
from millrace.surface import HostSurface

from .memory import FORGOTTEN, least_growth

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"
NETWORK = NetworkInfo(96, 64)
Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = os.environ.get("MILLRACE_PARSER_SOURCES")
    if not folder:
        pytest.skip("MILLRACE_PARSER_SOURCES does not name a folder with the public repositories")
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed (apt-get install g++)")
    out = tmp_path_factory.mktemp("public")

    def compiled(repository: str, *sources: str) -> Path:
        library = out / f"lib{repository}.so"
        files = [str(Path(folder) / repository / source) for source in sources]
        options = ["-shared", "-fPIC", "-O2", "-Wall", f"-I{include_dir()}", "-Wl,-z,defs"]
        done = subprocess.run(
            ["g++", *options, "-o", str(library), *files, "-lstdc++fs"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return library

    return compiled


def both(library: Path, kind: str, name: str, layers: dict[str, np.ndarray], classes: int) -> tuple[Any, Any]:
    """What the library's function returns, and what the built-in parser of that name does; threshold 0.3.

    The function is called 10,000 times more, and must not leak.
    """
    key = {
        "detector": "bbox",
        "instance": "bbox-instance-mask",
        "classifier": "classifier",
        "segmentation": "segmentation",
    }
    config = parse_infer_config(f"[property]\nparse-{key[kind]}-func-name={name}\ncustom-lib-path={library}\n")
    infos = [LayerInfo(n, a.shape, str(a.dtype)) for n, a in layers.items()]
    function = custom_function(config, kind, infos, NETWORK, classes)  # type: ignore[arg-type]
    assert callable(function)
    thresholds = np.full(max(1, classes), 0.3, np.float32)
    builtin = get_parser(name, kind, infos, NETWORK, classes)  # type: ignore[call-overload]
    assert least_growth(lambda: function(layers, thresholds), name) < FORGOTTEN
    return function(layers, thresholds), builtin(layers, thresholds)


def same(ours: Detections, theirs: Detections, tolerance: float = 1e-4, least: int = 5) -> None:
    assert len(ours) == len(theirs) >= least
    left, right = (np.lexsort((x.boxes[:, 0], -x.scores)) for x in (ours, theirs))
    assert ours.class_ids[left].tolist() == theirs.class_ids[right].tolist()
    assert np.allclose(ours.scores[left], theirs.scores[right], atol=1e-6)
    assert np.abs(ours.boxes[left] - theirs.boxes[right]).max() <= tolerance


def inner_boxes(count: int, random: np.random.Generator) -> np.ndarray:
    corner = random.uniform(2, 30, (count, 2))
    return np.hstack([corner, corner + random.uniform(5, 30, (count, 2))]).astype(np.float32)


def test_deepstream_yolo(build: Build) -> None:
    folder = "nvdsinfer_custom_impl_Yolo"
    library = build("DeepStream-Yolo", f"{folder}/nvdsparsebbox_Yolo.cpp", f"{folder}/utils.cpp")
    random = np.random.default_rng(1)
    table = np.hstack([inner_boxes(40, random), random.uniform(0, 1, (40, 1)), random.integers(0, 3, (40, 1))])
    same(*both(library, "detector", "NvDsInferParseYolo", {"output": table.astype(np.float32)}, 3))


def with_yolo_output(source: Path, target: Path) -> Path:
    """YOLOv8n with the (anchors, 6) output that DeepStream-Yolo's export makes: corners, score, class."""
    model = onnx.load(str(source))
    graph = model.graph
    head = graph.output[0].name
    names = ["cx", "cy", "w", "h", "scores"]
    sizes = numpy_helper.from_array(np.array([1, 1, 1, 1, 80], np.int64), "ds_sizes")
    half = numpy_helper.from_array(np.array(0.5, np.float32), "ds_half")
    graph.initializer.extend([sizes, half])
    make = helper.make_node
    graph.node.extend(
        [
            make("Transpose", [head], ["ds_rows"], perm=[0, 2, 1]),
            make("Split", ["ds_rows", "ds_sizes"], names, axis=2),
            make("Mul", ["w", "ds_half"], ["ds_w"]),
            make("Mul", ["h", "ds_half"], ["ds_h"]),
            make("Sub", ["cx", "ds_w"], ["ds_x0"]),
            make("Sub", ["cy", "ds_h"], ["ds_y0"]),
            make("Add", ["cx", "ds_w"], ["ds_x1"]),
            make("Add", ["cy", "ds_h"], ["ds_y1"]),
            make("ReduceMax", ["scores"], ["ds_best"], axes=[2], keepdims=1),
            make("ArgMax", ["scores"], ["ds_index"], axis=2, keepdims=1),
            make("Cast", ["ds_index"], ["ds_class"], to=TensorProto.FLOAT),
            make("Concat", ["ds_x0", "ds_y0", "ds_x1", "ds_y1", "ds_best", "ds_class"], ["output"], axis=2),
        ]
    )
    batch, _, anchors = (d.dim_value or d.dim_param for d in graph.output[0].type.tensor_type.shape.dim)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, anchors, 6]))
    onnx.save(model, str(target))
    return target


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["bus.jpg", "zidane.jpg"])
def test_deepstream_yolo_on_a_real_model(build: Build, tmp_path: Path, picture: str) -> None:
    model = ASSETS / "models" / "yolov8n.onnx"
    if not model.is_file():
        pytest.skip("the folder of test models (../shared/assets) is not here")
    folder = "nvdsinfer_custom_impl_Yolo"
    library = build("DeepStream-Yolo", f"{folder}/nvdsparsebbox_Yolo.cpp", f"{folder}/utils.cpp")
    rows = with_yolo_output(model, tmp_path / "yolov8n_ds.onnx")
    shutil.copy(model, tmp_path / "yolov8n.onnx")
    bgr = cv2.imread(str(ASSETS / "images" / picture))
    assert bgr is not None
    found = []
    for file, extra in (
        (rows, f"parse-bbox-func-name=NvDsInferParseYolo\ncustom-lib-path={library}"),
        (tmp_path / "yolov8n.onnx", ""),
    ):
        text = (
            f"[property]\nonnx-file={file}\nnet-scale-factor=0.0039215697906911373\nnum-detected-classes=80\n"
            f"maintain-aspect-ratio=1\nsymmetric-padding=1\ncluster-mode=2\n{extra}\n"
            "[class-attrs-all]\npre-cluster-threshold=0.25\nnms-iou-threshold=0.45\n"
        )
        c = InferContext(parse_infer_config(text), batch_size=1, cache=False)
        result = c.submit([InferItem(HostSurface([bgr], "BGR"))]).result()[0].detections
        c.close()
        assert result is not None
        found.append(result)
    same(found[0], found[1], 0.01, least=3)


def test_tao_apps(build: Build) -> None:
    folder = "post_processor"
    sources = [f"{folder}/nvdsinfer_custombboxparser_tao.cpp", f"{folder}/debug_logger_raii.cpp"]
    library = build("deepstream_tao_apps", *sources)
    random = np.random.default_rng(2)
    boxes = inner_boxes(30, random)
    unit = boxes / np.array([96, 64, 96, 64], np.float32)
    scores, ids = random.uniform(0, 1, 30).astype(np.float32), random.integers(0, 3, 30).astype(np.float32)
    nms = {"keep": np.array([25], np.int32), "boxes": unit, "scores": scores, "classes": ids}
    same(*both(library, "detector", "NvDsInferParseCustomBatchedNMSTLT", nms, 3))
    logits = random.normal(0, 2, (30, 3)).astype(np.float32)
    logits[:, 0] = -9  # its first class is the background
    middle = np.hstack([(unit[:, :2] + unit[:, 2:]) / 2, unit[:, 2:] - unit[:, :2]]).astype(np.float32)
    detr = {"pred_logits": logits, "pred_boxes": middle}
    same(*both(library, "detector", "NvDsInferParseCustomDDETRTAO", detr, 3))
    mask = random.normal(0, 1, (30, 3, 14, 14)).astype(np.float32)
    mrcnn = {
        "generate_detections": np.hstack([boxes[:, [1, 0, 3, 2]], ids[:, None], scores[:, None]]).astype(np.float32),
        "mask_fcn_logits/BiasAdd": mask,
    }
    ours, theirs = both(library, "instance", "NvDsInferParseCustomMrcnnTLTV2", mrcnn, 3)
    same(ours, theirs)
    assert np.array_equal(ours.masks, theirs.masks)
    words = {"a": np.array([0.5, 3.0, 1.0], np.float32), "b": np.array([2.0, -1.0], np.float32)}
    ours, theirs = both(library, "classifier", "NvDsInferClassiferParseNonSoftmax", words, 0)
    assert [(a.task_index, a.class_index) for a in ours.attributes] == [(0, 1), (1, 0)]
    assert np.allclose([a.probability for a in ours.attributes], [a.probability for a in theirs.attributes], atol=1e-6)
    plane = {"output": random.integers(0, 4, (64, 96))}
    ours, theirs = both(library, "segmentation", "NvDsInferParseCustomSegformerTAO", plane, 4)
    assert np.array_equal(ours.class_map, theirs.class_map)


def test_yolo_deepstream(build: Build) -> None:
    library = build("yolo_deepstream", "deepstream_yolo/nvdsinfer_custom_impl_Yolo/nvdsparsebbox_Yolo.cpp")
    random = np.random.default_rng(3)
    boxes = inner_boxes(30, random) / np.array([96, 64, 96, 64], np.float32)
    scores = random.uniform(0, 0.9, (30, 80)).astype(np.float32)
    layers = {"boxes": boxes[:, None], "confs": scores}
    same(*both(library, "detector", "NvDsInferParseCustomYoloV4", layers, 80))


def test_deepstream_yolo_pose(build: Build) -> None:
    library = build("DeepStream-Yolo-Pose", "nvdsinfer_custom_impl_Yolo_pose/nvdsparsepose_Yolo.cpp")
    random = np.random.default_rng(4)
    points = random.uniform(0, 60, (80, 17, 3)).astype(np.float32)
    table = np.hstack([inner_boxes(80, random), random.uniform(0, 1, (80, 1)), points.reshape(80, 51)])
    ours, theirs = both(library, "instance", "NvDsInferParseYoloPose", {"output": table.astype(np.float32)}, 1)
    same(ours, theirs)
    assert ours.keypoints.shape[1:] == (17, 3)
    # Where the library clips keypoints to the picture, the built-in parser leaves them to the frame's clipping.
    assert np.abs(ours.keypoints - theirs.keypoints.clip(0, [96, 64, np.inf])).max() < 1e-4


def test_deepstream_yolo_seg(build: Build) -> None:
    folder = "nvdsinfer_custom_impl_Yolo_seg"
    library = build("DeepStream-Yolo-Seg", f"{folder}/nvdsparseseg_Yolo.cpp", f"{folder}/utils.cpp")
    random = np.random.default_rng(6)
    layers = {
        "boxes": inner_boxes(30, random),
        "scores": random.uniform(0, 1, (30, 1)).astype(np.float32),
        "classes": random.integers(0, 3, (30, 1)).astype(np.float32),
        "masks": random.uniform(0, 1, (30, 16, 24)).astype(np.float32),
    }
    ours, theirs = both(library, "instance", "NvDsInferParseYoloSeg", layers, 3)
    same(ours, theirs)
    assert np.array_equal(ours.masks, theirs.masks)
