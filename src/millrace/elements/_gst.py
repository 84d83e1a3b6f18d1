"""GStreamer's introspected libraries, imported and initialised in one place."""

from __future__ import annotations

from ..unwind import prefer_libgcc

prefer_libgcc()

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstVideo", "1.0")
    from gi.repository import GLib, GObject, Gst, GstVideo
except (ImportError, ValueError) as error:
    raise ImportError(
        f"GStreamer's Python bindings are missing ({error}). Install them with: apt-get install python3-gi "
        "python3-gst-1.0 gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0, and use a virtual environment of the system "
        "python3 made with --system-site-packages"
    ) from error

Gst.init(None)

__all__ = ["GLib", "GObject", "Gst", "GstVideo"]
