"""Python functions of a trailing window: which ones are allowed, what their identity is, and their memory."""

import ast
import dis
import hashlib
import importlib.util
import types
from collections.abc import Callable
from importlib.abc import InspectLoader

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

WindowFunction = Callable[..., float]

STRATEGIES = "strategies"
"""Name of the folder, and of the package, that strategies live in."""

_GLOBAL_READS = ("LOAD_GLOBAL", "LOAD_NAME")

_CONSTANTS = (
    bool,
    int,
    float,
    str,
    bytes,
    np.number,
    np.dtype,
    np.ufunc,
    type,
    types.BuiltinFunctionType,
    types.ModuleType,
)


def identity_of(function: WindowFunction) -> tuple[str, str]:
    """Return the name of a function and the hash of all source that its values may depend on.

    Raises
    ------
    InvalidValueError
        If the function is not at the top of a file under `strategies/`, is a closure, or reads a global that
        is not a constant: its values could then change without its hash.
    """
    if not isinstance(function, types.FunctionType):
        raise InvalidValueError(
            f"window_function: expected a function written with def, was {type(function).__name__}"
        )
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__closure__ or "<" in function.__qualname__:
        raise InvalidValueError(
            f"window_function: {name} is a closure, a lambda or a nested function; define it at the top of a "
            "file under strategies/ and pass what it needs as inputs"
        )
    if not _is_strategy_module(function.__module__):
        raise InvalidValueError(
            f"window_function: {name} is not defined in a file under strategies/; move it to the top of one, "
            "since its identity is the hash of that file"
        )
    _refuse_variable_globals(function, name, set())
    return name, source_hash(function.__module__)


def _is_strategy_module(module: str | None) -> bool:
    return module is not None and module.startswith(f"{STRATEGIES}.")


def _names(code: types.CodeType) -> set[str]:
    """Return every name that a piece of code, or a function inside it, looks up outside."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    looked_up = {step.argval for step in dis.get_instructions(code) if step.opname in _GLOBAL_READS}
    return looked_up.union(*map(_names, inner))


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    return value is None or isinstance(value, _CONSTANTS)


def _refuse_variable_globals(function: types.FunctionType, name: str, seen: set[object]) -> None:
    seen.add(function)
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    if not _is_constant(defaults):
        raise InvalidValueError(f"window_function: {name} has a default value that is not a constant")
    for key in sorted(_names(function.__code__) & function.__globals__.keys()):
        value = function.__globals__[key]
        if isinstance(value, types.FunctionType):
            # What it calls in a strategies file is held to the same rule; libraries are pinned by the lock.
            if _is_strategy_module(value.__module__) and value not in seen:
                _refuse_variable_globals(value, f"{name} -> {key}", seen)
        elif not _is_constant(value):
            raise InvalidValueError(
                f"window_function: {name} reads the global {key}, a {type(value).__name__}; only constants, "
                "functions, classes and modules may be read, pass data as an input"
            )


def source_hash(module: str) -> str:
    """Return the SHA-256 of the source of a module and of all that it imports from `strategies`."""
    sources: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in sources:
            source = _source(name)
            if source is not None:
                sources[name] = source
                waiting += _imported(name, source)
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\0{len(sources[name])}\0{sources[name]}".encode())
    return digest.hexdigest()


def _source(module: str) -> str | None:
    """Return the source of a module, None for what is a name inside a module."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is None or not isinstance(spec.loader, InspectLoader):
        return None
    return spec.loader.get_source(module)


def _imported(module: str, source: str) -> list[str]:
    """Return the modules of the package `strategies` that a source may import."""
    names: list[str] = []
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            names += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) - statement.level] if statement.level else []
            origin = ".".join([*above, *([statement.module] if statement.module else [])])
            # `from strategies import helpers` may name a module or something inside one.
            names += [origin, *(f"{origin}.{alias.name}" for alias in statement.names)]
    return [name for name in names if _is_strategy_module(name)]


class WindowMemory:
    """The last `length` observations of each instrument, and the function that looks at them.

    Batch and stream push bar by bar into the same memory, so their values are equal.
    """

    def __init__(self, function: WindowFunction, length: int, n_inputs: int, n: int) -> None:
        self._function = function
        self._length = length
        # Twice the length: windows are slices, and values move to the front once every `length` observations.
        self._values = np.zeros((n, n_inputs, 2 * length))
        self._shown = self._values.view()
        self._shown.flags.writeable = False
        self._stop = np.zeros(n, dtype=np.int64)
        self._count = np.zeros(n, dtype=np.int64)

    def push(self, values: FloatArray) -> FloatArray:
        """Take one bar, Shape (inputs, N), and return the function's values, Shape (N,)."""
        out = np.full(values.shape[1], np.nan)
        for j in np.flatnonzero(~np.isnan(values).any(axis=0)):
            stop = int(self._stop[j])
            if stop == 2 * self._length:
                keep = self._length - 1
                self._values[j, :, :keep] = self._values[j, :, stop - keep : stop]
                stop = keep
            self._values[j, :, stop] = values[:, j]
            self._stop[j] = stop = stop + 1
            self._count[j] = min(self._count[j] + 1, self._length)
            if self._count[j] == self._length:
                out[j] = self._call(self._shown[j, :, stop - self._length : stop])
        return out

    def memory(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that is remembered, to be copied or written into."""
        return {"values": self._values, "stop": self._stop, "count": self._count}

    def _call(self, windows: FloatArray) -> float:
        value = self._function(*windows)
        try:
            return float(value)
        except (TypeError, ValueError):
            name = f"{self._function.__module__}.{self._function.__qualname__}"
            raise InvalidValueError(
                f"window_function: {name} must return a number, returned {type(value).__name__}"
            ) from None
