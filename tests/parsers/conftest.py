"""Models and pictures for the parser tests, run once a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ASSETS = Path(__file__).resolve().parents[3] / "shared" / "assets"


def letterbox(picture: np.ndarray, size: int) -> np.ndarray:
    """Scaled to fit the top left of a grey square."""
    height, width = picture.shape[:2]
    gain = min(size / height, size / width)
    scaled = cv2.resize(picture, (round(width * gain), round(height * gain)))
    out = np.full((size, size, 3), 114, np.uint8)
    out[: scaled.shape[0], : scaled.shape[1]] = scaled
    return out


class Direct:
    """Runs a model on a picture with nothing of Millrace in between."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}
        self._results: dict[tuple[str, str], np.ndarray] = {}

    def __call__(self, model: str, picture: str) -> np.ndarray:
        openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
        model_path, picture_path = ASSETS / "models" / model, ASSETS / "images" / picture
        for path in (model_path, picture_path):
            if not path.exists():
                pytest.skip(f"{path.name} is not among the shared assets")
        key = (model, picture)
        if key not in self._results:
            if model not in self._compiled:
                self._compiled[model] = openvino.Core().compile_model(str(model_path), "CPU")
            image = np.asarray(cv2.imread(str(picture_path)))
            if model.startswith("yolox"):
                tensor = letterbox(image, 416).transpose(2, 0, 1)[None].astype(np.float32)
            else:
                tensor = letterbox(image, 640)[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
            self._results[key] = self._compiled[model](np.ascontiguousarray(tensor))[0][0].copy()
        return self._results[key]


@pytest.fixture(scope="session")
def direct() -> Direct:
    return Direct()
