"""Write the sample models' INT8 calibration caches from streets that the networks were trained on.

    python scripts/train_calibration.py

Run it after scripts/train_street.py. The detectors see whole frames, the classifiers vehicles cut out of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
from millrace.config import parse_infer_config
from millrace.infer.calibrate import calibrate
from millrace.samples import scoring
from millrace.samples.street import Street

MODELS = Path(__file__).resolve().parents[1] / "src" / "millrace" / "samples" / "models"
FRAMES = "[property]\nonnx-file={}\nnet-scale-factor=0.0039215697906911373\nmodel-color-format=0\n"
CROPS = "[property]\nonnx-file={}\nnet-scale-factor=1\nmodel-color-format=1\nnetwork-type=1\n"
CAFFE = CROPS + "offsets=103.939;116.779;123.68\n"
CACHES = {
    "Primary_Detector": (FRAMES, "cal_trt.bin"),
    "tao_pretrained_models/peopleNet": (FRAMES, "resnet34_peoplenet_int8.txt"),
    "Secondary_VehicleMake": (CROPS, "cal_trt.bin"),
    "Secondary_VehicleTypes": (CROPS, "cal_trt.bin"),
    "Secondary_VehicleAttributes": (CAFFE, "cal_trt.bin"),
}


def frames(streets: int) -> Iterator[Any]:
    """One frame of each street at 720p."""
    for seed in range(streets):
        yield Street(seed).frame(seed * 0.7)


def crops(streets: int) -> Iterator[Any]:
    """Vehicles cut out."""
    for image, things in frames(streets):
        for thing in filter(scoring.worth_classifying, things):
            left, top, width, height = (round(v) for v in thing.box)
            yield image[top : top + height, left : left + width].copy()


def main() -> None:
    """Every cache."""
    for folder, (text, name) in CACHES.items():
        model = next((MODELS / folder).glob("*.onnx"))
        config = parse_infer_config(text.format(model), str(model.with_suffix(".txt")))
        pictures = crops(60) if "Secondary" in folder else (image for image, _ in frames(60))
        calibrate(model, pictures, config).write(MODELS / folder / name)
        print(MODELS / folder / name)


if __name__ == "__main__":
    main()
