"""Python functions of a trailing window: which ones are allowed, what their identity is, and their memory."""

import ast
import hashlib
import inspect
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

WindowFunction = Callable[..., float]

STRATEGIES = "strategies"
"""Name of the folder, and of the package, that strategies live in."""


def identity_of(function: WindowFunction) -> tuple[str, str]:
    """Return the name of a function and the hash of all source that its values may depend on.

    Raises
    ------
    InvalidValueError
        If the function is not at the top of a file under `strategies/`, is a closure, or reads a global that is
        not a constant: its values could then change without its hash.
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
    file = Path(inspect.getfile(function)).resolve()
    folder = _strategies_folder(file)
    if folder is None or not file.is_file():
        raise InvalidValueError(
            f"window_function: {name} is defined in {file.name}; move it to the top of a file under strategies/, "
            "since its identity is the hash of that file"
        )
    _refuse_variable_globals(function, name, set())
    return name, source_hash(file)


def _strategies_folder(file: Path) -> Path | None:
    return next((parent for parent in file.parents if parent.name == STRATEGIES), None)


def _names(code: types.CodeType) -> set[str]:
    """Return every name that a piece of code or a function inside it looks up outside."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    return value is None or isinstance(
        value, bool | int | float | str | bytes | np.number | np.dtype | types.ModuleType | type
    ) or isinstance(value, types.BuiltinFunctionType | np.ufunc)


def _refuse_variable_globals(function: types.FunctionType, name: str, seen: set[object]) -> None:
    seen.add(function)
    for key in sorted(_names(function.__code__) & function.__globals__.keys()):
        value = function.__globals__[key]
        if isinstance(value, types.FunctionType):
            # What it calls in the same folder is held to the same rule; libraries are pinned by the lock.
            inside = _strategies_folder(Path(inspect.getfile(value)).resolve()) is not None
            if inside and value not in seen:
                _refuse_variable_globals(value, f"{name} -> {key}", seen)
        elif not _is_constant(value):
            raise InvalidValueError(
                f"window_function: {name} reads the global {key}, a {type(value).__name__}; only constants, "
                "functions, classes and modules may be read, pass data as an input"
            )
    if function.__defaults__ and not _is_constant(function.__defaults__):
        raise InvalidValueError(f"window_function: {name} has a default value that is not a constant")


def source_hash(file: Path) -> str:
    """Return the SHA-256 of a file and of everything it imports from its strategies folder."""
    folder = _strategies_folder(file.resolve())
    if folder is None:
        raise InvalidValueError(f"{file.name} is not under a folder named {STRATEGIES}/")
    sources: dict[str, bytes] = {}
    waiting = [file.resolve()]
    while waiting:
        path = waiting.pop()
        key = path.relative_to(folder).as_posix()
        if key not in sources:
            sources[key] = path.read_bytes()
            waiting += _imported_files(path, sources[key], folder)
    digest = hashlib.sha256()
    for key in sorted(sources):
        digest.update(f"{key}\0{len(sources[key])}\0".encode())
        digest.update(sources[key])
    return digest.hexdigest()


def _imported_files(file: Path, source: bytes, folder: Path) -> list[Path]:
    """Return the files under the strategies folder that a source imports."""
    names: list[tuple[str, ...]] = []
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            names += [tuple(alias.name.split(".")) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            module = tuple(statement.module.split(".")) if statement.module else ()
            if statement.level:
                package = (STRATEGIES, *file.relative_to(folder).parts[:-1])
                module = package[: len(package) - statement.level + 1] + module
            names += [module, *((*module, alias.name) for alias in statement.names)]
    found: list[Path] = []
    for name in names:
        if name[:1] == (STRATEGIES,):
            target = folder.joinpath(*name[1:])
            found += [path for path in (target.with_suffix(".py"), target / "__init__.py") if path.is_file()]
    return found


class WindowMemory:
    """The last `length` observations of each instrument, and the function that looks at them.

    Batch and stream push bar by bar into the same memory, so their values are equal.
    """

    def __init__(self, function: WindowFunction, length: int, n_inputs: int, n: int) -> None:
        self._function = function
        self._length = length
        # Twice the length: windows are slices, and values move to the front once every `length` observations.
        self._values = np.empty((n, n_inputs, 2 * length))
        self._shown = self._values.view()
        self._shown.flags.writeable = False
        self._stop = [0] * n
        self._count = [0] * n

    def push(self, values: FloatArray) -> FloatArray:
        """Take one bar, Shape (inputs, N), and return the function's values, Shape (N,)."""
        out = np.full(values.shape[1], np.nan)
        for j in np.flatnonzero(~np.isnan(values).any(axis=0)):
            stop = self._stop[j]
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

    def _call(self, windows: FloatArray) -> float:
        value = self._function(*windows)
        try:
            return float(value)
        except (TypeError, ValueError):
            name = f"{self._function.__module__}.{self._function.__qualname__}"
            raise InvalidValueError(
                f"window_function: {name} must return a number, returned {type(value).__name__}"
            ) from None


