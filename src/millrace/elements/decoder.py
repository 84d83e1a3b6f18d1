"""nvv4l2decoder: any common codec to NVMM surfaces, by GStreamer's software decoders."""

from __future__ import annotations

from ..errors import MediaError
from . import caps as nvcaps
from . import latency
from ._gst import Gst
from .base import PACKAGES, NvBin, guarded
from .damage import COUNTED, DamageWatch
from .properties import properties_of

# media type -> decoders in order of preference
DECODERS: dict[str, tuple[str, ...]] = {
    "video/x-h264": ("avdec_h264", "openh264dec"),
    "video/x-h265": ("avdec_h265", "libde265dec"),
    "image/jpeg": ("jpegdec", "avdec_mjpeg"),
    "video/x-vp8": ("vp8dec", "avdec_vp8"),
    "video/x-vp9": ("vp9dec", "avdec_vp9"),
    "video/x-av1": ("dav1ddec", "av1dec", "avdec_av1"),
    "video/mpeg": ("avdec_mpeg2video", "avdec_mpeg4"),
}

_SINK_CAPS = (
    "image/jpeg; video/x-h264, stream-format=(string){ byte-stream, avc }, alignment=(string)au; "
    "video/x-h265, stream-format=(string){ byte-stream, hvc1, hev1 }, alignment=(string)au; video/x-vp8; video/x-vp9; "
    "video/x-av1; video/mpeg, mpegversion=(int){ 1, 2, 4 }, systemstream=(boolean)false, parsed=(boolean)true"
)
_EXACT_IDCT = 0  # jpegdec's default is faster, and a grey level off on average
_SKIP_NON_REFERENCE, _SKIP_ALL_BUT_KEYS = 1, 2


def choose_decoder(caps: Gst.Caps) -> str:
    """Name of the installed decoder for ``caps``.

    Raises:
        MediaError: none is installed; the message names the package.
    """
    media = caps.get_structure(0).get_name()
    candidates = DECODERS.get(media, ())
    for name in candidates:
        factory = Gst.ElementFactory.find(name)
        if factory is not None and factory.can_sink_any_caps(caps):
            return name
    wanted = candidates[0] if candidates else media
    package = next((p for prefix, p in PACKAGES.items() if wanted.startswith(prefix)), "gstreamer1.0-plugins-bad")
    raise MediaError(f"no decoder for {media} is installed: apt-get install {package}")


class NvV4l2Decoder(NvBin, Gst.Bin):
    """A decoder that is chosen when the caps are known, then the way into surfaces."""

    __gtype_name__ = "GstNvV4l2Decoder"
    __gstmetadata__ = (
        "NVIDIA-compatible video decoder",
        "Codec/Decoder/Video",
        "Decodes H.264, H.265, MJPEG, VP8, VP9, AV1 and MPEG video to memory:NVMM",
        "Millrace",
    )
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(_SINK_CAPS)),
        Gst.PadTemplate.new(
            "src",
            Gst.PadDirection.SRC,
            Gst.PadPresence.ALWAYS,
            Gst.Caps.from_string(nvcaps.nvmm_caps(("NV12",))),
        ),
    )
    __gproperties__ = properties_of("nvv4l2decoder")

    def __init__(self) -> None:
        super().__init__()
        self._decoder: Gst.Element | None = None
        self._media = ""
        self._count = 0
        self._filters_keys = False
        adapt = self.make("videoconvert")  # idle, but for the formats that surfaces are not made of, such as Y444_10LE
        convert = self.make("nvvideoconvert")
        adapt.link(convert)
        surfaces = self.make("capsfilter", caps=Gst.Caps.from_string(f"video/x-raw({nvcaps.NVMM}), format=NV12"))
        convert.link(surfaces)
        self._adapt = adapt
        sink = Gst.GhostPad.new_no_target_from_template("sink", self.get_pad_template("sink"))
        sink.set_event_function_full(guarded(NvV4l2Decoder.on_sink_event))
        self.add_pad(sink)
        out = Gst.GhostPad.new_from_template("src", surfaces.get_static_pad("src"), self.get_pad_template("src"))
        self.add_pad(out)
        latency.watch(self, sink)
        latency.watch(self, out)

    def property_changed(self, name: str, value: object) -> None:
        """Frame skipping may change while playing."""
        if name == "drop-frame-interval" and value and not self._count:
            self._count = 1
            self.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, NvV4l2Decoder._thin_out)
        elif name == "skip-frames":
            self._apply_skip()
            if int(self.value(name)) == _SKIP_ALL_BUT_KEYS and not self._filters_keys:
                self._filters_keys = True
                self.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, NvV4l2Decoder._keep_keys)

    @staticmethod
    def _thin_out(pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """Keep one frame of every ``drop-frame-interval``."""
        decoder = pad.get_parent_element()
        decoder._count += 1
        interval = decoder.value("drop-frame-interval")
        keep = not interval or (decoder._count - 2) % interval == 0
        return Gst.PadProbeReturn.OK if keep else Gst.PadProbeReturn.DROP

    def _apply_skip(self) -> None:
        if self._decoder is None or self._decoder.find_property("skip-frame") is None:
            return
        skip_b_frames = int(self.value("skip-frames")) == _SKIP_NON_REFERENCE
        self._decoder.set_property("skip-frame", int(skip_b_frames))

    @staticmethod
    def _keep_keys(pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """With ``skip-frames`` at key frames only, nothing else reaches the decoder."""
        if int(pad.get_parent_element().value("skip-frames")) != _SKIP_ALL_BUT_KEYS:
            return Gst.PadProbeReturn.OK
        is_delta = info.get_buffer().has_flags(Gst.BufferFlags.DELTA_UNIT)
        return Gst.PadProbeReturn.DROP if is_delta else Gst.PadProbeReturn.OK

    def on_sink_event(self, pad: Gst.Pad, event: Gst.Event) -> bool:
        """The first caps say which decoder it takes."""
        if event.type == Gst.EventType.CAPS:
            self._plug(pad, event.parse_caps())
        return bool(pad.event_default(self, event))

    def do_change_state(self, transition: Gst.StateChange) -> Gst.StateChangeReturn:
        """Stopped, the decoder goes, so that the next stream may be of any codec."""
        result = Gst.Bin.do_change_state(self, transition)
        if transition == Gst.StateChange.READY_TO_NULL and self._decoder is not None:
            self._unplug(self.get_static_pad("sink"))
        return result

    def _unplug(self, pad: Gst.Pad) -> None:
        decoder, self._decoder = self._decoder, None
        pad.set_target(None)
        if decoder is not None:
            decoder.set_state(Gst.State.NULL)
            self.remove(decoder)

    def _plug(self, pad: Gst.Pad, caps: Gst.Caps) -> None:
        media = caps.get_structure(0).get_name()
        if self._decoder is not None:
            if media == self._media:
                return
            self._unplug(pad)
        self._decoder = self.make(choose_decoder(caps))
        self._media = media
        self._apply_skip()
        if self._decoder.find_property("idct-method") is not None:
            self._decoder.set_property("idct-method", _EXACT_IDCT)
        if self.value("low-latency-mode") and self._decoder.find_property("max-threads") is not None:
            self._decoder.set_property("max-threads", 1)
        if self._decoder.find_property("qos") is not None:
            self._decoder.set_property("qos", False)  # hardware decoders do not drop late frames
        if media in COUNTED:
            DamageWatch(self._decoder, self)
        self._decoder.link(self._adapt)
        pad.set_target(self._decoder.get_static_pad("sink"))
        self._decoder.sync_state_with_parent()
