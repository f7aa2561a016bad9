"""Hashes of our own source files and of the libraries under them: code is an input like any other."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.domain.errors import InvalidValueError

_ROOT = Path(__file__).resolve().parent.parent

LIBRARIES = ("numpy", "numba", "scipy", "riskfolio-lib", "skfolio", "cvxpy", "clarabel", "vectorbt")

# What allocations and judges need beside them; accounts do not hang on these.
JUDGING_LIBRARIES = ("skfolio", "scikit-learn", "cvxpy-base", "pandas", "arch")


@cache
def sources_hash(*places: str) -> str:
    """Return the SHA-256 of every Python file in some places of the source tree, paths included.

    Parameters
    ----------
    places
        Folders or files, relative to the folder that holds the packages, such as `engine/allocation`.

    Raises
    ------
    InvalidValueError
        For a place without any source: its hash would be that of nothing, whatever the code says.
    """
    digest = hashlib.sha256()
    for place in sorted(places):
        path = _ROOT / place
        sources = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not sources:
            raise InvalidValueError(f"sources: there is no Python file at {place}")
        for source in sources:
            digest.update(f"{source.relative_to(_ROOT).as_posix()}\0".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


@cache
def library_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the libraries that can change a published number, by name."""
    return tuple((name, _version(name)) for name in LIBRARIES)


@cache
def judging_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the libraries that choose weights or judge, by name."""
    return tuple((name, _version(name)) for name in JUDGING_LIBRARIES)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
