"""Finds strategies: one file each, in the package `strategies` and in the project's folder of that name."""

import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from engine.domain.errors import InputError
from engine.features.strategy import Strategy

PACKAGE = "strategies"


def project_folder() -> Path:
    """Return the folder in which the user's own strategies stand: `strategies` in the current folder."""
    return Path.cwd() / PACKAGE


def add_folder(folder: Path) -> None:
    """Make the files of a folder modules of the package `strategies`, behind those that it has.

    So they import one another, and are found by name in worker processes as well.
    """
    package = importlib.import_module(PACKAGE)
    if folder.resolve() not in {Path(known).resolve() for known in package.__path__}:
        package.__path__.append(str(folder.resolve()))
        importlib.invalidate_caches()


def _folders() -> list[Path]:
    """Return the folders that strategies are found in, the packaged one first."""
    if project_folder().is_dir():
        add_folder(project_folder())
    return [Path(folder) for folder in importlib.import_module(PACKAGE).__path__]


def strategy_names() -> list[str]:
    """Return the names of all strategies, in order. A file that begins with an underscore is none."""
    files = [file for folder in _folders() for file in folder.glob("*.py")]
    return sorted({file.stem for file in files if not file.stem.startswith("_")})


def class_name(name: str) -> str:
    """Return the name of the class that the file `name` must define."""
    return "".join(part.capitalize() for part in name.split("_"))


def strategy_class(name: str) -> type[Strategy]:
    """Return the strategy that stands in the file `name`.

    Raises
    ------
    InputError
        If there is no such file, it cannot be imported, or it does not define that strategy.
    """
    known = strategy_names()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise InputError(f"no strategy {name!r} in {PACKAGE}/, {hint}")
    try:
        module = importlib.import_module(f"{PACKAGE}.{name}")
    except (Exception, SystemExit) as error:  # a script that ends itself would end the command with it
        raise InputError(
            f"{PACKAGE}/{name}.py cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Strategy) and value.__module__ == module.__name__
    ]
    for candidate in found:
        if candidate.strategy_name() == name:
            return candidate
    defines = ", ".join(candidate.__name__ for candidate in found) or "no strategy"
    raise InputError(
        f"{PACKAGE}/{name}.py must define class {class_name(name)}(Strategy), it defines {defines}"
    )


def load_strategy(name: str, parameters: Mapping[str, object] | None = None) -> Strategy:
    """Return a strategy by name, with some parameters changed.

    Raises
    ------
    InputError
        If there is no such strategy.
    InvalidValueError
        If it does not take these parameters.
    """
    return strategy_class(name).of(parameters or {})


def strategy_file(strategy: Strategy) -> Path:
    """Return the file that a strategy stands in."""
    return Path(inspect.getfile(type(strategy))).resolve()
