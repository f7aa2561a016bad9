"""The one way in which Gauntlet compiles: options, and where compiled code is kept.

Kernels are cached on disk under a key of the sources of all kernels, because numba notices a changed
file but not a changed function that it inlined from another file. Numba itself keys by CPU.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

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
    "nogil": True,
    "fastmath": False,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
# Numba's compiler has no types.
_Library: Any = JITCodeLibrary
_Lowering: Any = NativeLowering
_Compiler: Any = CompilerBase
_PASSES: Any = DefaultPassBuilder
_registered: Any = register_pass


class _InnerLibrary(_Library):  # type: ignore[misc]
    """Code that waits to be linked into a kernel: there it is optimised and made executable, once."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # noqa: SLF001  # numba has no other way

    def _optimize_final_module(self) -> None:
        """Leave it as it is."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@_registered(mutates_CFG=True, analysis_only=False)
class _InnerLowering(_Lowering):  # type: ignore[misc]
    _name = "inner_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower a function and register it under a key of its own; nothing of it can be called by itself."""
        library = _InnerLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        library.enable_object_caching()
        state.library = library
        state.flags.no_compile = True
        super().run_pass(state)
        library.finalize()
        lowered = state["cr"]
        # Numba wants a built-in function here. Whoever calls this one from Python gets a TypeError.
        key = f"{state.func_id.func_name} is compiled code for compiled code, at {id(library)}".join
        state.targetctx.insert_user_function(key, lowered.fndesc, [library])
        state["cr"] = lowered._replace(cfunc=key)
        return True


class _InnerCompiler(_Compiler):  # type: ignore[misc]
    def define_pipelines(self) -> list[Any]:
        """Return numba's own passes, with another last one."""
        passes = _PASSES.define_nopython_pipeline(self.state)
        passes.passes = [
            (_InnerLowering if step is NativeLowering else step, told) for step, told in passes.passes
        ]
        passes._finalized = False  # noqa: SLF001  # numba has no other way
        passes.finalize()
        return [passes]


_INNER_OPTIONS: dict[str, Any] = _OPTIONS | {"no_cpython_wrapper": True, "pipeline_class": _InnerCompiler}


def _kept_in_turn(compiled: Any) -> Any:
    """Let one process at a time add to what is kept of a kernel.

    Numba reads the index, picks a name for new code and writes both without a lock: of two processes that
    compile different versions of a function at once, one would find the other's code under its own types.
    """
    cache = getattr(compiled, "_cache", None)
    # Without a compiler there is none.
    if cache is not None:
        kept = cache._cache_file  # noqa: SLF001  # numba has no other way
        save, folder = kept.save, Path(kept._cache_path)  # noqa: SLF001  # the same

        def save_alone(key: object, code: object) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                save(key, code)

        kept.save = save_alone
    return compiled


def kernel(function: _Function) -> _Function:
    """Compile a function that Python calls: cached, without the GIL, IEEE arithmetic, no allocation.

    Reference counting inside kernels costs more than the arithmetic (a sweep took 91 ms with it and 38 ms
    without), so it is off: kernels get all memory passed in. The plain Python twin is `function.py_func`.
    """
    return cast(_Function, _kept_in_turn(numba.njit(cache=True, **_OPTIONS)(function)))


def inner_kernel(function: _Function) -> _Function:
    """Compile a function that only kernels call. Called from Python it raises TypeError.

    It is translated, but optimised and made executable only as a part of the kernels that it is linked into:
    to do so for each function as well took most of the time of a first start.
    """
    return cast(_Function, numba.njit(**_INNER_OPTIONS)(function))


def inlined_kernel(function: _Function) -> _Function:
    """Compile an inner kernel that is always inlined where it is called.

    A call passes tuples of arrays word by word: on the path of an order the calls cost ten times the work.
    """
    return cast(_Function, numba.njit(forceinline=True, **_INNER_OPTIONS)(function))
