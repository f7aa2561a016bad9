"""The one way in which Gauntlet compiles: options, and where compiled code is kept.

Kernels are cached on disk under a key of the sources of all kernels, because numba notices a changed
file but not a changed function that it inlined from another file. Numba itself keys by CPU.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

from engine.home import cache_folder

_KERNEL_PACKAGES = ("core", "features", "pipeline")


def core_version() -> str:
    """Return the hash of every source file that takes part in compiled code, 16 hex digits.

    It is part of a strategy's identity: a changed kernel is another strategy.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for package in _KERNEL_PACKAGES:
        for source in sorted((folder / package).glob("*.py")):
            digest.update(f"{package}/{source.name}\0".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


CORE_VERSION = core_version()
_CACHE = str(cache_folder() / "kernels" / CORE_VERSION)
# Child processes read the variable; here numba may have been imported before.
os.environ["NUMBA_CACHE_DIR"] = _CACHE
# Vectorised logarithms of a maths library found on the machine differ from the scalar ones in the last bit,
# and a stream has nothing to vectorise.
os.environ["NUMBA_DISABLE_INTEL_SVML"] = "1"
numba.config.DISABLE_INTEL_SVML = 1  # type: ignore[attr-defined]  # set by numba at import
numba.config.CACHE_DIR = _CACHE  # type: ignore[attr-defined]  # set by numba at import


def constant(number: int) -> int:
    """Return a whole number for compiled code to pass on.

    Numba takes a plain one for a type of its own and compiles what it is passed to once more for each.
    """
    return cast(int, np.int64(number))


YES = cast(bool, np.bool_(1))
NO = cast(bool, np.bool_(0))
"""Truths to pass on, for the same reason."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "_nrt": False,
}


def kernel(function: _Function) -> _Function:
    """Compile a function: cached, without the GIL, IEEE arithmetic, no allocation.

    Reference counting inside kernels costs more than the arithmetic (a sweep took 91 ms with it and 38 ms
    without), so it is off: kernels get all memory passed in. The plain Python twin is `function.py_func`.
    """
    return cast(_Function, numba.njit(**_OPTIONS)(function))


def inlined_kernel(function: _Function) -> _Function:
    """Compile a function that is always inlined where another kernel calls it.

    A call passes tuples of arrays word by word: on the path of an order the calls cost ten times the work.
    """
    return cast(_Function, numba.njit(forceinline=True, **_OPTIONS)(function))
