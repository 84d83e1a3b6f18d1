"""The REST interface of nvmultiurisrcbin: plain Python, no GStreamer."""

from .api import RestError, Sources, Stream, handle
from .server import RestServer

__all__ = ["RestError", "RestServer", "Sources", "Stream", "handle"]
