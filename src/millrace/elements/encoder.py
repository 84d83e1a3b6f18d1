"""nvv4l2h264enc and nvv4l2h265enc: surfaces to a byte stream, by x264 and x265."""

from __future__ import annotations

from typing import ClassVar

from . import caps as nvcaps
from ._gst import Gst, GstVideo
from .base import NvBin
from .properties import base_properties, properties_of

_SINK_CAPS = Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12", "I420", "RGBA", "BGRx")))
# preset-level (Jetson) and preset-id (P1..P7) in the words of x264 and x265
_LEVELS = {0: "superfast", 1: "ultrafast", 2: "superfast", 3: "veryfast", 4: "faster"}
_IDS = {1: "ultrafast", 2: "superfast", 3: "veryfast", 4: "faster", 5: "fast", 6: "medium", 7: "slow"}
_VARIABLE, _CONSTANT_QP = 0, 2


_H264 = "video/x-h264, stream-format=(string)byte-stream, alignment=(string)au"
_H265 = "video/x-h265, stream-format=(string)byte-stream, alignment=(string)au"


def _templates(out_caps: str) -> tuple[Gst.PadTemplate, Gst.PadTemplate]:
    """Surfaces in, a byte stream out."""
    out = Gst.Caps.from_string(out_caps)
    return (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, _SINK_CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, out),
    )


class _Encoder(NvBin):
    """What both encoders share: download, encode, byte-stream caps; properties that may change while playing."""

    _factory: ClassVar[str]
    _out_caps: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        convert = self.make("nvvideoconvert")
        raw = self.make("capsfilter", caps=Gst.Caps.from_string("video/x-raw, format=I420"))
        self._encoder = self.make(self._factory)
        self._filter = self.make("capsfilter", caps=Gst.Caps.from_string(self._out_caps))
        self._convert = convert
        convert.link(raw)
        raw.link(self._encoder)
        self._encoder.link(self._filter)
        self.add_pad(
            Gst.GhostPad.new_from_template("sink", convert.get_static_pad("sink"), self.get_pad_template("sink"))
        )
        self.add_pad(
            Gst.GhostPad.new_from_template("src", self._filter.get_static_pad("src"), self.get_pad_template("src"))
        )

    def property_changed(self, name: str, value: object) -> None:
        """Bitrate and forced key frames take effect at once, the rest at the start."""
        if name == "bitrate":
            self._encoder.set_property("bitrate", max(1, self.value("bitrate") // 1000))
        elif name in base_properties("nvv4l2h264enc"):
            self._encoder.set_property(name, value)
        elif name in ("force-idr", "force-intra") and value:
            event = GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0)
            self._filter.get_static_pad("src").send_event(event)

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Hand the properties to the encoder before it starts."""
        if transition == Gst.StateChange.NULL_TO_READY:
            self._configure()
        return Gst.Bin.do_change_state(self, transition)

    def _preset(self) -> str:
        if "preset-id" in self._set_by_user:
            return _IDS[self.value("preset-id")]
        return _LEVELS[int(self.value("preset-level"))] if "preset-level" in self._set_by_user else "superfast"

    def _configure(self) -> None:
        self._convert.carries_metadata = bool(self.value("copy-meta"))
        encoder = self._encoder
        encoder.set_property("bitrate", max(1, self.value("bitrate") // 1000))
        encoder.set_property("speed-preset", self._preset())
        encoder.set_property("tune", "zerolatency")
        idr = self.value("idrinterval") if "idrinterval" in self._set_by_user else self.value("iframeinterval")
        encoder.set_property("key-int-max", idr)


class NvV4l2H264Enc(_Encoder, Gst.Bin):
    """H.264 by x264, low latency, parameter sets with every IDR frame."""

    __gtype_name__ = "GstNvV4l2H264Enc"
    __gstmetadata__ = (
        "NVIDIA-compatible H.264 encoder",
        "Codec/Encoder/Video",
        "Encodes surfaces to H.264 with x264",
        "Millrace",
    )
    __gsttemplates__ = _templates(_H264)
    __gproperties__ = properties_of("nvv4l2h264enc")
    _factory = "x264enc"
    _out_caps = _H264
    _PROFILES: ClassVar[dict[int, str]] = {0: "baseline", 2: "main", 4: "high"}

    def _configure(self) -> None:
        super()._configure()
        encoder = self._encoder
        profile = self._PROFILES.get(int(self.value("profile")))
        encoder.set_property("bframes", self.value("num-B-Frames") if profile != "baseline" else 0)
        encoder.set_property("cabac", not self.value("disable-cabac"))
        encoder.set_property("aud", bool(self.value("insert-aud")))
        encoder.set_property("ref", max(1, self.value("num-Ref-Frames")))
        mode = int(self.value("control-rate"))
        if mode == _CONSTANT_QP:
            encoder.set_property("pass", "quant")
            quantiser = str(self.value("constqp")).split(":")
            encoder.set_property("quantizer", int(quantiser[0] or 0) or 25)
        else:
            encoder.set_property("pass", "cbr")
            if mode == _VARIABLE:
                encoder.set_property("vbv-buf-capacity", 4000)
        if profile:
            self._filter.set_property("caps", Gst.Caps.from_string(f"{self._out_caps}, profile={profile}"))


class NvV4l2H265Enc(_Encoder, Gst.Bin):
    """H.265 by x265, low latency, parameter sets with every IDR frame."""

    __gtype_name__ = "GstNvV4l2H265Enc"
    __gstmetadata__ = (
        "NVIDIA-compatible H.265 encoder",
        "Codec/Encoder/Video",
        "Encodes surfaces to H.265 with x265",
        "Millrace",
    )
    __gsttemplates__ = _templates(_H265)
    __gproperties__ = properties_of("nvv4l2h265enc")
    _factory = "x265enc"
    _out_caps = _H265
