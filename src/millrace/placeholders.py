"""Files below DeepStream's folder that applications test for, but that have no work to do here.

NVIDIA's libraries are not part of Millrace: the files in ``lib`` are text that says so, and no program can load them.
``nvtracker`` tracks by overlap (IOU) whatever its library and configuration are.
"""

from __future__ import annotations

from pathlib import Path

_TRACKERS = ("libnvds_nvmultiobjecttracker.so", "libnvds_mot_iou.so", "libnvds_mot_klt.so", "libnvds_nvdcf.so")
_BROKERS = tuple(f"libnvds_{name}_proto.so" for name in ("kafka", "amqp", "redis", "mqtt", "azure", "azure_edge"))
#: Names in ``lib``. No ``libnvds_infer*``: nvinfer takes its own parser where a ``custom-lib-path`` is missing.
LIBRARIES = (*_TRACKERS, *_BROKERS, "libnvds_msgconv.so")
#: Names in ``samples/configs/deepstream-app``.
TRACKER_CONFIGS = tuple(
    f"config_tracker_{name}.yml"
    for name in ("IOU", "NvSORT", "NvDeepSORT", "NvDCF_perf", "NvDCF_max_perf", "NvDCF_accuracy")
)

_LIBRARY_TEXT = "Millrace placeholder: text under the name of an NVIDIA library, which is not part of Millrace.\n"
_CONFIG_TEXT = """\
# Placeholder of Millrace: nvtracker tracks by overlap of boxes (IOU) and reads no settings of NVIDIA's trackers.
# Whatever stands here has no effect.
BaseConfig: {}
"""


def is_placeholder(path: Path) -> bool:
    """Whether ``path`` is a library of :func:`write_placeholders`."""
    try:
        with path.open("rb") as file:
            return file.read(len(_LIBRARY_TEXT)) == _LIBRARY_TEXT.encode()
    except OSError:
        return False


def write_placeholders(root: Path) -> list[Path]:
    """Write the files that are missing below ``root``, which stands for DeepStream's folder; returns all of them.

    Raises:
        OSError: a file cannot be written.
    """
    texts = {root / "lib" / name: _LIBRARY_TEXT for name in LIBRARIES}
    texts |= {root / "samples" / "configs" / "deepstream-app" / name: _CONFIG_TEXT for name in TRACKER_CONFIGS}
    for path, text in texts.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return list(texts)
