"""``millrace run``: a DeepStream Python application, unmodified, with everything it imports in place."""

from __future__ import annotations

import builtins
import contextlib
import io
import linecache
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from millrace.app import nocuda
from millrace.app.gst import register_elements
from millrace.app.surroundings import mapped, surroundings
from millrace.errors import MillraceError
from millrace.paths import make_tree, map_path

# modules whose distribution has another name on the package index
_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "cupy": "cupy-cuda12x",
    "google": "protobuf",
    "zmq": "pyzmq",
    "paho": "paho-mqtt",
    "kafka": "kafka-python",
    "serial": "pyserial",
}
# modules that are of no use without an NVIDIA GPU
_GPU_MODULES = ("cupy", "pycuda", "tensorrt", "pynvml")
# modules that no index has: parts of the applications' own repository
_APPLICATION_FOLDERS = {"common": "apps/common of deepstream_python_apps; put that folder beside SCRIPT's"}
_PATH_IN_TEXT = re.compile(r"(?:file://)?/opt/nvidia/deepstream/deepstream[^\s\"'!;,]*")
_SETTERS = ("set_property", "set_properties")
_PATH_FUNCTIONS = ("stat", "lstat", "access", "listdir", "scandir", "mkdir", "chdir")


@contextlib.contextmanager
def mapped_files() -> Iterator[None]:
    """Within this context Python's own file functions find DeepStream's paths in Millrace's folder."""
    saved: list[tuple[Any, str, Any]] = [(builtins, "open", builtins.open), (io, "open", io.open)]
    saved += [(os, name, getattr(os, name)) for name in _PATH_FUNCTIONS]
    try:
        for owner, name, function in saved:
            setattr(owner, name, mapped(function))
        yield
    finally:
        for owner, name, function in saved:
            setattr(owner, name, function)


def _mapped_text(text: str) -> str:
    """A pipeline description with every DeepStream path in it taken through :func:`map_path`."""
    return _PATH_IN_TEXT.sub(lambda match: map_path(match.group()), text)


@contextlib.contextmanager
def mapped_properties() -> Iterator[None]:
    """Within this context elements written in C find DeepStream's paths, set from Python, in Millrace's folder."""
    from gi.repository import GObject, Gst

    owner = GObject.Object
    saved: list[tuple[Any, str, Any]] = [(owner, name, getattr(owner, name)) for name in _SETTERS]
    saved.append((Gst, "parse_launch", Gst.parse_launch))

    def set_property(self: Any, name: str, value: Any) -> None:
        saved[0][2](self, name, map_path(value) if isinstance(value, str) else value)

    def set_properties(self: Any, **values: Any) -> None:
        saved[1][2](self, **{name: map_path(v) if isinstance(v, str) else v for name, v in values.items()})

    def parse_launch(description: str) -> Any:
        return saved[2][2](_mapped_text(description))

    try:
        owner.set_property, owner.set_properties, Gst.parse_launch = set_property, set_properties, parse_launch
        yield
    finally:
        for place, name, function in saved:
            setattr(place, name, function)


def _compile(script: str) -> CodeType:
    try:
        source = Path(script).read_bytes()
    except IsADirectoryError:
        raise MillraceError(f"{script} is a folder; name the application's Python file in it") from None
    except FileNotFoundError:
        raise MillraceError(f"no such script: {script}") from None
    except OSError as error:
        raise MillraceError(f"cannot read {script}: {error.strerror}") from None
    return compile(source, script, "exec", dont_inherit=True)


def _missing_module(error: ModuleNotFoundError, script: str) -> str | None:
    """The message for a third-party module that is not installed, or ``None`` when it is something else."""
    top = (error.name or "").partition(".")[0]
    if not top or top in sys.modules or top in ("millrace", "pyds"):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    files = [frame.filename for frame in frames if not frame.filename.startswith("<frozen")]
    importer = files[-1] if files else script
    text = f"No module named '{top}', which {_short(importer)} imports: "
    if top in _APPLICATION_FOLDERS:
        return f"{text}it is {_APPLICATION_FOLDERS[top]}"
    if top in _GPU_MODULES and not Path("/dev/nvidiactl").exists():
        return f"{text}it needs an NVIDIA GPU, this machine has none; pyds.get_nvds_buf_surface() gives NumPy arrays"
    if top == "gi":
        return f"{text}install it with: apt-get install python3-gi python3-gst-1.0"
    return f"{text}install it with: {sys.executable} -m pip install {_DISTRIBUTIONS.get(top, top)}"


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _application_frames(trace: TracebackType | None, script: str) -> TracebackType | None:
    """``trace`` from the application's first frame on, without Millrace's own."""
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    return trace


def run_script(script: str, arguments: Sequence[str]) -> int:
    """Run an application as ``python3 SCRIPT ARGS`` would, with Millrace in DeepStream's place.

    Args:
        script: path of the application; its folder becomes the first entry of ``sys.path``.
        arguments: its command line; DeepStream's paths in it are mapped.

    Returns:
        1 when the application ended by an exception of its own, whose traceback is then on stderr, 130 when it was
        interrupted, else 0.

    Raises:
        MillraceError: the script cannot be read, or imports a module that is not installed.
        SystemExit: the application's own ``sys.exit``.
    """
    code = _compile_or_report(script)
    if code is None:
        return 1
    # DeepStream's samples serve a udpsrc as if it were a payloader, and GStreamer's RTSP server asks it for "pt"
    warnings.filterwarnings("ignore", message=".*object class 'GstUDPSrc' has no property named 'pt'")
    register_elements()
    nocuda.install()
    make_tree()
    module = ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=builtins, __spec__=None, __loader__=None)
    sys.modules["__main__"] = module  # for good: threads, pickles and callbacks of the application look there
    sys.argv[:] = [script, *map(map_path, arguments)]
    sys.path.insert(0, str(Path(script).resolve().parent))
    with mapped_files(), mapped_properties(), surroundings():
        try:
            exec(code, module.__dict__)
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            message = _missing_module(error, script) if isinstance(error, ModuleNotFoundError) else None
            if message:
                raise MillraceError(message) from None
            linecache.checkcache()
            traceback.print_exception(type(error), error, _application_frames(error.__traceback__, script))
            return 1
    return 0


def _compile_or_report(script: str) -> CodeType | None:
    try:
        return _compile(script)
    except (SyntaxError, ValueError) as error:
        traceback.print_exception(type(error), error, None)
        return None
