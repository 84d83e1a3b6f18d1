"""A ``cuda`` package for machines without NVIDIA's: every call answers that there is no device.

DeepStream's applications ask ``cuda.cuda`` and ``cuda.cudart`` whether the GPU is an integrated one; newer ones know
them as ``cuda.bindings.driver`` and ``cuda.bindings.runtime``. Functions answer as the real bindings do, with a tuple
whose first item is a result code; here always "no device".
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class CUresult(enum.IntEnum):
    """Result codes of the driver interface, as far as this module answers with them."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_NOT_INITIALIZED = 3
    CUDA_ERROR_NO_DEVICE = 100


class cudaError_t(enum.IntEnum):
    """Result codes of the runtime interface, as far as this module answers with them."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorNoDevice = 100


class cudaDeviceProp:
    """Properties of a device; there is none, so only the type is here."""

    integrated = 0
    name = b""


def _no_device(code: enum.IntEnum, values: int) -> Callable[..., tuple[Any, ...]]:
    def call(*_args: Any, **_keywords: Any) -> tuple[Any, ...]:
        return (code, *([0] * values))

    return call


def _module(name: str, doc: str, **members: Any) -> ModuleType:
    module = ModuleType(name, doc)
    module.__dict__.update(members)
    return module


def _find(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _old_names() -> None:
    """Give a real package, which no longer has them, the names that DeepStream's applications import."""
    for old, new in (("cuda", "driver"), ("cudart", "runtime"), ("nvrtc", "nvrtc")):
        if not _find(f"cuda.{old}") and _find(f"cuda.bindings.{new}"):
            with contextlib.suppress(ImportError):  # the application's own import then says why
                module = importlib.import_module(f"cuda.bindings.{new}")
                sys.modules[f"cuda.{old}"] = module
                setattr(sys.modules["cuda"], old, module)


def install() -> bool:
    """Put the package into ``sys.modules`` unless a real one can be imported; returns whether it was put there."""
    if _find("cuda"):
        _old_names()
        return False
    driver_code, runtime_code = CUresult.CUDA_ERROR_NO_DEVICE, cudaError_t.cudaErrorNoDevice
    driver = _module(
        "cuda.cuda",
        "CUDA's driver interface, without a device.",
        CUresult=CUresult,
        cuInit=_no_device(driver_code, 0),
        cuDriverGetVersion=_no_device(driver_code, 1),
        cuDeviceGetCount=_no_device(driver_code, 1),
        cuDeviceGet=_no_device(driver_code, 1),
        cuDeviceGetAttribute=_no_device(driver_code, 1),
    )
    runtime = _module(
        "cuda.cudart",
        "CUDA's runtime interface, without a device.",
        cudaError_t=cudaError_t,
        cudaDeviceProp=cudaDeviceProp,
        cudaGetDeviceCount=_no_device(runtime_code, 1),
        cudaGetDevice=_no_device(runtime_code, 1),
        cudaSetDevice=_no_device(runtime_code, 0),
        cudaGetDeviceProperties=_no_device(runtime_code, 1),
        cudaDeviceSynchronize=_no_device(runtime_code, 0),
        cudaRuntimeGetVersion=_no_device(runtime_code, 1),
    )
    bindings = _module("cuda.bindings", "CUDA without a device.", driver=driver, runtime=runtime, __path__=[])
    package = _module("cuda", __doc__ or "", cuda=driver, cudart=runtime, bindings=bindings, __path__=[])
    sys.modules.update({"cuda": package, "cuda.cuda": driver, "cuda.cudart": runtime, "cuda.bindings": bindings})
    sys.modules.update({"cuda.bindings.driver": driver, "cuda.bindings.runtime": runtime})
    return True
