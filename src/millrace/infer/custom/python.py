"""Parse functions in Python."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import threading
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ...errors import ConfigError, MillraceError, ModelError
from ..parsers.results import AnyArray, Layers
from .objects import Sieve, classification, detections, segmentation
from .task import Task

Where = tuple["str | None", "int | None"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LOADING = threading.Lock()


def is_python(library: Path) -> bool:
    """Whether a ``custom-lib-path`` is a Python file, a package's folder or a module's name."""
    if library.suffix == ".py" or (library / "__init__.py").is_file():
        return True
    return not library.exists() and ".so" not in library.name and bool(_MODULE.fullmatch(library.name))


def load(library: Path, name: str, key: str, where: Where, key_where: Where) -> Callable[..., Any]:
    """The function of a Python file or module.

    Args:
        library: the file, the package's folder, or the module's name after the configuration file's folder.
        name: of the function.
        key: that names it.
        where: file and line of ``custom-lib-path``.
        key_where: file and line of ``key``.

    Raises:
        ConfigError: there is no such file, it fails, or it has no such function.
    """
    module = _module(library, where)
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        near = get_close_matches(name, [n for n, value in vars(module).items() if callable(value)], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{key}: {library} has no function {name}{hint}", *key_where)
    return function


def _module(library: Path, where: Where) -> ModuleType:
    file = library / "__init__.py" if library.is_dir() else library
    if library.suffix == ".py" and not library.is_file():
        raise ConfigError(f"custom-lib-path: no such file: {library}", *where)
    with _LOADING:
        # So that the file finds the modules beside it.
        sys.path.insert(0, str(library.parent))
        try:
            if not file.is_file():
                return importlib.import_module(library.name)
            name = f"millrace_parser_{library.stem}_{abs(hash(str(library))):x}"
            options = [str(library)] if library.is_dir() else None
            spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=options)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # dataclasses look their module up
            spec.loader.exec_module(module)
            return module
        except ModuleNotFoundError as error:
            if error.name == library.name and not file.is_file():
                raise ConfigError(f"custom-lib-path: no such file or Python module: {library}", *where) from None
            raise ConfigError(f"custom-lib-path: {explain(error, library)}", *where) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's file raises, sys.exit() too
            raise ConfigError(f"custom-lib-path: {explain(error, library)}", *where) from error
        finally:
            sys.path.remove(str(library.parent))


def explain(error: BaseException, library: Path) -> str:
    """An error of a user's file in one line: the file, the line and what happened."""
    file, line = str(library), None
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    else:
        own = (str(library), str(library.parent))
        frames = traceback.extract_tb(error.__traceback__)
        for frame in frames:
            if frame.filename == own[0] or frame.filename.startswith(own[1] + "/"):
                file, line = frame.filename, frame.lineno
    text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    place = f"{file}:{line}" if line else file
    return f"{place}: {type(error).__name__}: {text}" if text else f"{place}: {type(error).__name__}"


class PythonFunction:
    """Calls a Python parse function and brings its result into shape.

    Args:
        function: takes ``(layers, network, thresholds)``, ``(layers, thresholds)`` or ``(layers)``.
        task: what it is for.

    Raises:
        ConfigError: it takes another number of arguments.
    """

    def __init__(self, function: Callable[..., Any], task: Task) -> None:
        self._function, self._task, self._sieve = function, task, Sieve(task)
        self.__name__ = task.title
        self._arguments = _arguments(function)
        if self._arguments not in (1, 2, 3):
            raise ConfigError(f"{task.title} takes {self._arguments} arguments; it gets (layers, network, thresholds)")

    def __call__(self, layers: Layers, thresholds: AnyArray) -> Any:
        """Parse one picture.

        Raises:
            ModelError: the function failed or returned something else; names file and line.
        """
        shown = {name: array.view() for name, array in layers.items()}
        for array in shown.values():
            array.flags.writeable = False  # they also ride on the metadata
        level: Any = thresholds if self._task.kind in ("detector", "instance") else float(thresholds[0])
        arguments = {1: (shown,), 2: (shown, level), 3: (shown, self._task.network, level)}[self._arguments]
        try:
            value = self._function(*arguments)
        except MillraceError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's function raises, sys.exit() too
            raise ModelError(f"{self._task.function}: {explain(error, self._file())}") from error
        try:
            if self._task.kind == "classifier":
                return classification(value, self._task)
            if self._task.kind == "segmentation":
                return segmentation(value)
            return self._sieve(detections(value))
        except (ModelError, TypeError, ValueError) as error:
            code = getattr(self._function, "__code__", None)
            place = f"{self._file()}:{code.co_firstlineno}" if code else str(self._file())
            raise ModelError(f"{place}: {self._task.function}: {error}") from error

    def _file(self) -> Path:
        code = getattr(self._function, "__code__", None)
        return Path(code.co_filename) if code else self._task.library


def _arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments a function gets; 3 when it takes any number."""
    count = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind == parameter.VAR_POSITIONAL:
            return max(3, count)
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            # Of what has a default, only the first three are ours to give.
            count += 1 if parameter.default is parameter.empty or count < 3 else 0
    return count
