"""The elements and their names, made known to GStreamer."""

from __future__ import annotations

import threading

from ._gst import GObject, Gst

_lock = threading.Lock()
_done = False


def elements() -> dict[str, tuple[int, type]]:
    """Factory name -> (rank, class) of every element."""
    from .convert import NvVideoConvert
    from .decoder import NvV4l2Decoder
    from .egltransform import NvEglTransform
    from .encoder import NvV4l2H264Enc, NvV4l2H265Enc
    from .infer import NvInfer
    from .logger import NvDsLogger
    from .multiurisrcbin import NvMultiUriSrcBin
    from .osd import NvDsOsd
    from .sinks import Nv3dSink, NvEglGlesSink
    from .streamdemux import NvStreamDemux
    from .streammux import NvStreamMux
    from .tiler import NvMultiStreamTiler
    from .tracker import NvTracker
    from .urisrcbin import NvUriSrcBin

    primary = int(Gst.Rank.PRIMARY)
    return {
        "nvv4l2decoder": (primary + 11, NvV4l2Decoder),
        "nvstreammux": (primary, NvStreamMux),
        "nvstreamdemux": (primary, NvStreamDemux),
        "nvinfer": (primary, NvInfer),
        "nvtracker": (primary, NvTracker),
        "nvmultistreamtiler": (primary, NvMultiStreamTiler),
        "nvvideoconvert": (primary, NvVideoConvert),
        "nvdsosd": (primary, NvDsOsd),
        "nvdslogger": (primary, NvDsLogger),
        "nvurisrcbin": (int(Gst.Rank.NONE), NvUriSrcBin),
        "nvmultiurisrcbin": (int(Gst.Rank.NONE), NvMultiUriSrcBin),
        "nvv4l2h264enc": (int(Gst.Rank.NONE), NvV4l2H264Enc),
        "nvv4l2h265enc": (int(Gst.Rank.NONE), NvV4l2H265Enc),
        "nvegltransform": (int(Gst.Rank.NONE), NvEglTransform),
        "nveglglessink": (int(Gst.Rank.NONE), NvEglGlesSink),
        "nv3dsink": (int(Gst.Rank.NONE), Nv3dSink),
    }


def plugin_element(name: str) -> tuple[str, int, type]:
    """``(name, rank, class)`` of one element, as GStreamer's Python plugin loader wants it: one a file."""
    rank, kind = elements()[name]
    GObject.type_register(kind)
    return name, rank, kind


def register() -> None:
    """Register all elements in this process, once; ``import pyds`` calls it."""
    global _done
    with _lock:
        if _done:
            return
        for name, (rank, kind) in elements().items():
            GObject.type_register(kind)
            Gst.Element.register(None, name, rank, kind)
        _done = True
