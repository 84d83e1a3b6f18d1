"""Serves encoded video as RTSP: the pipeline sends RTP to a local port, the server hands it on to clients."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from millrace.errors import MediaError, MillraceError

_DEFAULT_PORT = 8554


@dataclass(frozen=True)
class RtspAddress:
    """Where to serve: ``rtsp://host:port/path``."""

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, uri: str) -> RtspAddress:
        """Read a ``--out`` address; port 8554 and the path ``/pose`` where it has none.

        Raises:
            MillraceError: the port is not a number.
        """
        parts = urlsplit(uri)
        try:
            port = parts.port or _DEFAULT_PORT
        except ValueError:
            raise MillraceError(f"--out {uri}: the port must be a number from 1 to 65535") from None
        return cls(parts.hostname or "localhost", port, parts.path.rstrip("/") or "/pose")

    @property
    def bind_address(self) -> str:
        """The address to listen on: that of the host, where it is this machine's."""
        return "0.0.0.0" if self.host in ("localhost", "0.0.0.0", "") else self.host

    def check_free(self) -> None:
        """Raise where the server could not listen.

        Raises:
            MediaError: the port is in use, or the host is not this machine.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.bind_address, self.port))
                probe.listen(1)
            except OSError as error:
                reason = f"port {self.port} cannot be used ({error.strerror or error})"
                raise MediaError(f"{reason}: choose another in --out, as rtsp://localhost:8555{self.path}") from None


def free_udp_port() -> int:
    """An even local UDP port that nothing uses now."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port % 2 == 0:
            return port
    return 15400


def serve(address: RtspAddress, udp_port: int) -> Any:
    """Start the server in the default main context.

    Args:
        address: where clients connect.
        udp_port: local port at which the H.264 RTP packets arrive.

    Returns:
        The server; it serves as long as it is kept.

    Raises:
        MediaError: GstRtspServer is not installed, or the port is taken.
    """
    import gi

    try:
        gi.require_version("GstRtspServer", "1.0")
    except ValueError:
        raise MediaError(
            "GStreamer's RTSP server is not installed: apt-get install gir1.2-gst-rtsp-server-1.0"
        ) from None
    from gi.repository import GstRtspServer

    server = GstRtspServer.RTSPServer.new()
    server.set_address(address.bind_address)
    server.set_service(str(address.port))
    factory = GstRtspServer.RTSPMediaFactory.new()
    caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96"
    factory.set_launch(f'( udpsrc name=pay0 address=127.0.0.1 port={udp_port} buffer-size=524288 caps="{caps}" )')
    factory.set_shared(True)
    server.get_mount_points().add_factory(address.path, factory)
    if server.attach(None) == 0:
        raise MediaError(f"port {address.port} is in use: choose another in --out")
    return server
