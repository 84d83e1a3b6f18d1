"""Found by GStreamer's Python plugin loader through GST_PLUGIN_PATH."""

from millrace.elements.registry import plugin_element

__gstelementfactory__ = plugin_element("nvegltransform")
