"""What all of Millrace's elements share: properties from a table, errors on the bus, chains without wrappers."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable, Collection
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConfigError, MediaError, MillraceError, ModelError
from . import _native, latency, leaving
from ._gst import GLib, GObject, Gst

log = logging.getLogger("millrace.elements")
leaving.watch()


class Propertied:
    """Stores the properties of a ``__gproperties__`` table; subclasses react in :meth:`property_changed`."""

    def _init_properties(self) -> None:
        self._values: dict[str, Any] = {}
        self._set_by_user: set[str] = set()

    def do_get_property(self, pspec: GObject.ParamSpec) -> Any:
        """GObject asks for a property."""
        return self._values.get(pspec.name, pspec.default_value)

    def do_set_property(self, pspec: GObject.ParamSpec, value: Any) -> None:
        """GObject sets a property."""
        self._values[pspec.name] = value
        self._set_by_user.add(pspec.name)
        self.property_changed(pspec.name, value)

    def property_changed(self, name: str, value: Any) -> None:
        """Called after property ``name`` was set to ``value``."""

    def value(self, name: str) -> Any:
        """Current value of property ``name``, without GObject's detour."""
        try:
            return self._values[name]
        except KeyError:
            return self.find_property(name).default_value  # type: ignore[attr-defined]


_ERROR_DOMAINS: tuple[tuple[type[BaseException], Any, Any], ...] = (
    (ConfigError, Gst.LibraryError.quark, Gst.LibraryError.SETTINGS),
    (ModelError, Gst.ResourceError.quark, Gst.ResourceError.NOT_FOUND),
    (MediaError, Gst.StreamError.quark, Gst.StreamError.FAILED),
)


def post_error(element: Gst.Element, error: BaseException | str) -> None:
    """Put one clear error message of ``element`` on the bus."""
    domain, code = Gst.StreamError.quark(), Gst.StreamError.FAILED
    for kind, quark, number in _ERROR_DOMAINS:
        if isinstance(error, kind):
            domain, code = quark(), number
            break
    if isinstance(error, (MillraceError, str)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
        log.error("%s: unexpected error", element.get_name(), exc_info=error)
    gerror = GLib.Error.new_literal(domain, text, int(code))
    element.post_message(Gst.Message.new_error(element, gerror, f"{element.get_path_string()}: {text}"))


def post_warning(element: Gst.Element, text: str) -> None:
    """Put one warning message of ``element`` on the bus, and in the log."""
    log.warning("%s: %s", element.get_name(), text)
    gerror = GLib.Error.new_literal(Gst.StreamError.quark(), text, int(Gst.StreamError.FAILED))
    element.post_message(Gst.Message.new_warning(element, gerror, element.get_path_string()))


_elements: weakref.WeakValueDictionary[int, NvElement] = weakref.WeakValueDictionary()


def _chain(pad: int, parent: int, address: int) -> int:
    """GStreamer hands over one buffer: find the element and let it have the buffer."""
    element = _elements.get(parent)
    if element is None:
        _native.mini_object_unref(address)
        return _native.FLOW_FLUSHING
    try:
        return element.chain(pad, address)
    except BaseException as error:  # SystemExit too: ctypes would print it and go on as if all were well
        post_error(element, error)
        return _native.FLOW_ERROR


_chain_function = _native.CHAIN_FUNCTION(_chain)  # one for all pads, alive as long as the process


if TYPE_CHECKING:
    from gi.repository.Gst import Bin as _Bin
    from gi.repository.Gst import Element as _Element
else:
    # While C creates an object of a Python class, GObject shows __init__ the class of the first Python ancestor, which
    # has no pad templates: so these bases are no GObject classes, and the elements derive from GStreamer's own.
    _Element = _Bin = object


class _Shared:
    """Lets a base that is no GObject class implement virtual functions: PyGObject looks only into the class itself."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if issubclass(cls, Gst.Element) and "do_change_state" not in cls.__dict__:
            inherited = cls.do_change_state  # type: ignore[attr-defined]
            if inherited is not Gst.Element.do_change_state and inherited is not Gst.Bin.do_change_state:
                cls.do_change_state = inherited  # type: ignore[attr-defined]


class NvElement(Propertied, _Shared, _Element):
    """Base of the elements that see buffers themselves; name it before ``Gst.Element``."""

    __gstmetadata__: ClassVar[tuple[str, str, str, str]]

    def __init__(self) -> None:
        super().__init__()
        _native.make_floating(self)
        self._init_properties()
        _elements[hash(self)] = self

    def new_pad(self, template: str, name: str | None = None) -> Gst.Pad:
        """A pad of this element's template, not yet added."""
        pad = Gst.Pad.new_from_template(self.get_pad_template(template), name or template)
        latency.watch(self, pad)
        return pad

    def take_buffers(self, pad: Gst.Pad) -> None:
        """Let :meth:`chain` be called for each buffer that arrives at ``pad``."""
        _native.set_chain_function(hash(pad), _chain_function, None, None)

    def chain(self, pad: int, address: int) -> int:
        """One buffer arrives.

        Args:
            pad: address of the sink pad.
            address: address of the buffer; its reference is this element's now.

        Returns:
            A GstFlowReturn.
        """
        raise TypeError(f"{type(self).__name__} has no chain function")


class NvBin(Propertied, _Shared, _Bin):
    """Base of the elements that are made of other elements; name it before ``Gst.Bin``."""

    def __init__(self) -> None:
        super().__init__()
        _native.make_floating(self)
        self._init_properties()

    def make(self, factory: str, **properties: Any) -> Gst.Element:
        """Make an element and add it to this bin.

        Raises:
            MediaError: the element is not installed; the message names the package.
        """
        element = make_element(factory)
        for name, value in properties.items():
            element.set_property(name.replace("_", "-"), value)
        self.add(element)
        return element


PACKAGES = {
    "avdec_": "gstreamer1.0-libav",
    "x264enc": "gstreamer1.0-plugins-ugly",
    "x265enc": "gstreamer1.0-plugins-bad",
    "h264parse": "gstreamer1.0-plugins-bad",
    "h265parse": "gstreamer1.0-plugins-bad",
    "jpegdec": "gstreamer1.0-plugins-good",
    "vp": "gstreamer1.0-plugins-good",
    "rtp": "gstreamer1.0-plugins-good",
    "rtsp": "gstreamer1.0-plugins-good",
    "uridecodebin": "gstreamer1.0-plugins-base",
}


def make_element(factory: str, name: str | None = None) -> Gst.Element:
    """``Gst.ElementFactory.make`` that says what to install when the element is missing."""
    element = Gst.ElementFactory.make(factory, name)
    if element is None:
        package = next((package for prefix, package in PACKAGES.items() if factory.startswith(prefix)), None)
        hint = f"install it with: apt-get install {package}" if package else "install GStreamer's plugin for it"
        raise MediaError(f"GStreamer has no element {factory}: {hint}")
    return element


def class_ids(element: Gst.Element, name: str, text: str | None, separator: str) -> list[int]:
    """The class numbers in a property's value; ``:``, ``;`` and ``,`` all separate.

    Args:
        element: whose property it is.
        name: of the property.
        text: its value.
        separator: the one that DeepStream documents, for the message.

    Raises:
        ConfigError: a part is no whole number.
    """
    parts = [part.strip() for part in re.split("[:;,]", text or "") if part.strip()]
    if not all(re.fullmatch(r"-?\d{1,9}", part) for part in parts):
        raise ConfigError(
            f'{element.get_name()}: {name}="{text}": it must be class ids separated by "{separator}", '
            f'such as "0{separator}2"'
        )
    return [int(part) for part in parts]


@cache
def guarded(method: Callable[..., bool]) -> Callable[..., bool]:
    """An event or query function (pad, element, object) whose exceptions become a bus error."""

    def call(pad: Gst.Pad, element: Gst.Element, thing: Any) -> bool:
        try:
            return method(element, pad, thing)
        except BaseException as error:  # SystemExit too, which PyGObject would let pass
            post_error(element, error)
            return False

    return call


def requested_index(name: str | None, prefix: str, taken: Collection[int]) -> int | None:
    """The number of a requested pad: of its name, or the first free one; ``None`` when it cannot be had.

    Args:
        name: such as ``"sink_3"``, or ``None`` for any.
        prefix: of the template's names, such as ``"sink_"``.
        taken: numbers in use.
    """
    if name is None:
        return next(index for index in range(len(taken) + 1) if index not in taken)
    number = name.removeprefix(prefix)
    return int(number) if number.isdecimal() and int(number) not in taken else None
