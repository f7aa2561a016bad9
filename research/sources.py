"""Hashes of our own source files and of the libraries under them: code is an input like any other."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

LIBRARIES = ("numpy", "numba", "scipy", "riskfolio-lib", "cvxpy", "clarabel", "vectorbt")


@cache
def sources_hash(*folders: str) -> str:
    """Return the SHA-256 of every Python file under some folders of the source tree, paths included.

    Parameters
    ----------
    folders
        Relative to the folder that holds the packages, such as `engine/allocation`.
    """
    digest = hashlib.sha256()
    for folder in sorted(folders):
        for source in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(f"{source.relative_to(_ROOT).as_posix()}\0".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


@cache
def library_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the libraries that can change a published number, by name."""
    return tuple((name, _version(name)) for name in LIBRARIES)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
