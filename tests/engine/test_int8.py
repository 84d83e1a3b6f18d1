"""INT8 by calibration caches: the file, the graph, the numbers, the engines' fingerprints."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from millrace import samples
from millrace.config import InferConfig, load_infer_config, parse_infer_config
from millrace.errors import ConfigError, MediaError, ModelError
from millrace.infer import InferContext, InferItem
from millrace.infer.calibrate import calibrate, read_frames
from millrace.infer.calibration import CalibrationTable, read_calibration
from millrace.infer.quantize import is_quantised, load_onnx, quantise, quantise_weights, targets
from millrace.samples.scoring import HELD_OUT_SEED, worth_classifying
from millrace.samples.street import Street
from millrace.surface import HostSurface, Rect

TENSORRT = """TRT-8503-EntropyCalibration2
images: 3c010a14
(Unnamed Layer* 3) [Shuffle]_output: 3d7c35e7
conv1/Conv:0: 00000000

"""


def test_a_tensorrt_cache_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cal_trt.bin"
    path.write_text(TENSORRT)
    table = read_calibration(path)
    assert table.header == "TRT-8503-EntropyCalibration2"
    assert list(table.scales) == ["images", "(Unnamed Layer* 3) [Shuffle]_output"]  # a step of zero says nothing
    assert table.scales["images"] == struct.unpack(">f", bytes.fromhex("3c010a14"))[0]
    assert table.ranges()["images"] == pytest.approx(1.0, rel=1e-3)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cc", "Zs")), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.floats(2.0**-90, 2.0**90, width=32)))
def test_caches_survive_writing(tmp_path_factory: pytest.TempPathFactory, scales: dict[str, float]) -> None:
    path = tmp_path_factory.mktemp("calib") / "c.txt"
    CalibrationTable(scales).write(path)
    assert dict(read_calibration(path).scales) == scales


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"c.txt:1: not a calibration cache: the first line must be like TRT-"),
        ("{}\n", r"c.txt:1: not a calibration cache"),
        ("TRT-8503-EntropyCalibration2\nimages 3c010a14\n", r"c.txt:2: 'images 3c010a14': it must be 'tensor: 8 hex"),
        ("TRT-8503-EntropyCalibration2\n\nimages: 3c01\n", r"c.txt:3: .*8 hexadecimal digits"),
        ("TRT-8503-EntropyCalibration2\nx: 7f800000\n", r"c.txt:2: x: 7f800000 is inf"),
        ("TRT-8503-EntropyCalibration2\nx: bf800000\n", r"c.txt:2: x: bf800000 is -1.0"),
    ],
)
def test_what_is_no_cache_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_calibration(path)


def test_weights_keep_their_channels() -> None:
    weight = np.random.default_rng(0).normal(0, [[1.0], [100.0], [0.0]], (3, 50)).astype(np.float32)
    values, steps = quantise_weights(weight, 0)
    assert values.dtype == np.int8 and steps.shape == (3,)
    assert np.all(np.abs(values * steps[:, None] - weight).max(axis=1) <= 0.5001 * steps)
    assert np.all(np.abs(values[:2]).max(axis=1) == 127) and not values[2].any()
    turned, across = quantise_weights(weight.T.copy(), 1)
    assert np.array_equal(turned.T, values) and np.array_equal(across, steps)


def context_of(config: InferConfig, engine: str) -> InferContext:
    return InferContext(config, engine=engine, cache=False)


def scores(config: InferConfig, engine: str, pictures: list[np.ndarray]) -> tuple[np.ndarray, str]:
    context = context_of(config, engine)
    items = [InferItem(HostSurface([p], "RGB")) for p in pictures]
    found = [context.submit([item]).result()[0].tensors[0].array for item in items]
    context.close()
    return np.stack(found), context.engine.precision


def config_of(model: Path, extra: str = "") -> InferConfig:
    text = f"[property]\nonnx-file={model}\nnetwork-type=100\nnet-scale-factor=0.00392156862745098\n{extra}"
    return parse_infer_config(text, "cfg.txt")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_ranges_drive_int8(
    make_net: Callable[..., Path],
    pictures: list[np.ndarray],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    engine: str,
) -> None:
    caplog.set_level(logging.INFO, "millrace.infer")
    model, path = make_net(), tmp_path / "calib.txt"
    calibrate(model, pictures, config_of(model)).write(path)
    low = config_of(model, f"network-mode=1\nint8-calib-file={path}")
    wanted, name = scores(config_of(model), engine, pictures)
    assert name == "FP32"
    found, name = scores(low, engine, pictures)
    assert name.startswith("INT8 (3 of 3")
    assert sum("3 of 3 convolutions and products in INT8" in r.message for r in caplog.records) == 1
    spread = wanted.max() - wanted.min()
    assert 0 < np.abs(found - wanted).max() < 0.03 * spread
    # A wrong range shows in the numbers: it is the cache that decides.
    scales = {key: value / 20 for key, value in read_calibration(path).scales.items()}
    CalibrationTable(scales).write(path)
    assert np.abs(scores(low, engine, pictures)[0] - wanted).max() > 0.1 * spread


def test_tensors_that_the_cache_does_not_name_stay_float(
    make_net: Callable[..., Path], pictures: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, path = make_net(), tmp_path / "calib.txt"
    table = calibrate(model, pictures, config_of(model))
    assert set(table.scales) == {"images", "r1", "flat"}
    proto, coverage = quantise(load_onnx(model), {"r1": table.scales["r1"]})
    assert (coverage.quantised, coverage.total, coverage.missing) == (1, 3, ("images", "flat"))
    inputs = {node.name: node.input[0] for node in proto.graph.node}
    assert inputs["first"] == "images" and inputs["third"] == "flat" and inputs["second"] == "r1.dequantised"
    assert is_quantised(proto) and not is_quantised(load_onnx(model))
    CalibrationTable({"r1": table.scales["r1"]}).write(path)
    low = config_of(model, f"network-mode=1\nint8-calib-file={path}")
    scores(low, "openvino", pictures[:1])
    assert (
        "1 of 3 convolutions and products in INT8; float where the cache does not name the input: images" in caplog.text
    )
    caplog.clear()
    CalibrationTable({"other": 1.0}).write(path)
    assert scores(low, "openvino", pictures[:1])[1] == "FP32"
    assert "names no tensor that feeds a convolution" in caplog.text


def test_without_a_cache_it_stays_float_and_says_why(
    make_net: Callable[..., Path], pictures: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_net()
    for extra, why in (("", "int8-calib-file is not set"), ("int8-calib-file=none.txt", "there is no int8-calib-file")):
        for engine in ("openvino", "onnxruntime"):
            caplog.clear()
            low = config_of(model, f"network-mode=1\n{extra}")
            assert scores(low, engine, pictures[:1])[1] == "FP32"
            lines = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
            assert len(lines) == 1 and "net.onnx is not quantised, computing in FP32" in lines[0] and why in lines[0]


def test_old_opsets_are_converted(make_net: Callable[..., Path]) -> None:
    proto, coverage = quantise(load_onnx(make_net(opset=11)), {"images": 0.01, "r1": 0.1, "flat": 0.1})
    assert coverage.quantised == 3 and proto.opset_import[0].version == 13


def test_a_changed_cache_rebuilds_the_engine(
    make_net: Callable[..., Path], pictures: list[np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, path, engine = make_net(), tmp_path / "calib.txt", tmp_path / "x.engine"
    table = calibrate(model, pictures, config_of(model))
    table.write(path)
    low = config_of(model, f"network-mode=1\nint8-calib-file={path}\nmodel-engine-file={engine}")

    def start() -> tuple[bool, str]:
        context = InferContext(low)
        context.close()
        return context.engine.from_cache, context.engine.precision

    assert start()[0] is False
    assert start() == (True, "INT8 (3 of 3 convolutions and products), FP32 elsewhere")
    CalibrationTable({**table.scales, "r1": 1.0}).write(path)
    caplog.clear()
    assert start()[0] is False
    assert [r.message for r in caplog.records if "rebuilding" in r.message] == [
        f"rebuilding engine {engine}: the calibration cache has changed"
    ]
    assert start()[0] is True


def test_the_least_error_ignores_a_single_far_value(make_net: Callable[..., Path], pictures: list[np.ndarray]) -> None:
    model = make_net()
    for method in ("mse", "minmax"):
        table = calibrate(model, pictures, config_of(model), method)  # type: ignore[arg-type]
        assert table.ranges()["images"] <= 1.0 + 1e-6
        assert table.ranges()["images"] > 0.8
    whole = calibrate(model, [np.full((8, 8, 3), 255, np.uint8)], config_of(model), "minmax")
    assert whole.ranges()["images"] == pytest.approx(1.0)


def test_calibration_names_what_is_wrong(make_net: Callable[..., Path], tmp_path: Path) -> None:
    model = make_net()
    with pytest.raises(MediaError, match="no pictures to calibrate with"):
        calibrate(model, [])
    with pytest.raises(MediaError, match="no such folder or file of frames"):
        list(read_frames(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(MediaError, match=r"no pictures .* and no video in it"):
        list(read_frames(tmp_path / "empty"))
    with pytest.raises(MediaError, match=r"bad.png: not a picture"):
        list(read_frames(tmp_path / "bad.png"))
    with pytest.raises(ModelError, match="no such model"):
        calibrate(tmp_path / "none.onnx", [])


def test_frames_come_evenly_from_a_folder(frames_folder: Path) -> None:
    assert len(list(read_frames(frames_folder))) == 16
    four = list(read_frames(frames_folder, 4))
    assert len(four) == 4 and four[0].shape == (32, 32, 3)


def test_products_with_shared_weights_share_their_int8_form() -> None:
    nodes = [helper.make_node("MatMul", [f"x{k}", "w"], [f"x{k + 1}"]) for k in range(3)]
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(nodes, "g", [value("x0", 1, [1, 4])], [value("x3", 1, [1, 4])], [weight])
    )
    assert len(targets(model)) == 3
    found, coverage = quantise(model, {"x0": 1.0, "x1": 1.0, "x2": 1.0})
    assert coverage.quantised == 3
    assert [t.name for t in found.graph.initializer if t.name.startswith("w")] == [
        "w.axis1.int8", "w.axis1.steps", "w.axis1.zeros",
    ]  # fmt: skip


def test_steps_are_finer_where_no_value_is_negative() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["gate"]),
        helper.make_node("Mul", ["c", "gate"], ["silu"]),
        helper.make_node("MaxPool", ["silu"], ["pool"], kernel_shape=[2, 2]),
        helper.make_node("Conv", ["pool", "w"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["e"]),
    ]
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    value = helper.make_tensor_value_info
    source, target = value("x", 1, [1, 3, 4, 4]), value("e", 1, [1, 3, 3, 3])
    model = helper.make_model(helper.make_graph(nodes, "g", [source], [target], [weight]))
    found, _ = quantise(model, {"x": 1 / 127, "pool": 2 / 127, "d": 3 / 127}, least_input=0.0)
    values = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
    assert (values["x.step"], values["x.zero"]) == (pytest.approx(1 / 255), 0)
    assert (values["pool.step"], values["pool.zero"]) == (pytest.approx((2 + 0.2785) / 255), 31)
    assert (values["d.step"], values["d.zero"]) == (pytest.approx(3 / 127), 128)


def test_depthwise_convolutions_stay_float() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], group=3)]
    weight = numpy_helper.from_array(np.ones((3, 1, 1, 1), np.float32), "w")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", 1, [1, 3, 4, 4])], [value("y", 1, [1, 3, 4, 4])], [weight])
    assert targets(helper.make_model(graph)) == []


def test_the_sample_classifiers_answer_the_same_in_int8() -> None:
    folder = Path(samples.__file__).parent
    street = Street(HELD_OUT_SEED + 3, 1280, 720)
    crops = []
    for moment in (0.4, 2.7, 5.0):
        image, things = street.frame(moment)
        surface = HostSurface([image], "RGB")
        for thing in filter(worth_classifying, things):
            left, top = max(0, round(thing.box[0])), max(0, round(thing.box[1]))
            right, bottom = round(thing.box[0] + thing.box[2]), round(thing.box[1] + thing.box[3])
            crops.append(InferItem(surface, Rect(left, top, min(1280, right) - left, min(720, bottom) - top)))
    assert crops
    for config in sorted((folder / "configs" / "deepstream-app").glob("config_infer_secondary_*.txt")):
        exact = load_infer_config(config)
        assert exact.onnx_file is not None
        table = exact.onnx_file.parent / "cal_trt.bin"
        answers = []
        for precision in (exact, exact.with_overrides({"network_mode": 1, "int8_calib_file": table})):
            context = InferContext(precision, batch_size=1, cache=False)
            results = [context.submit([crop]).result()[0].classes for crop in crops]
            context.close()
            answers.append([[a.label for a in found.attributes] for found in results if found is not None])
        assert answers[0] == answers[1], config.name
