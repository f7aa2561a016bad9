"""The store of weights already solved, by the hash of what they were solved from.

A file a fact, in a folder that may be deleted at any time. Files appear whole or not at all, and two
processes that solve the same inputs write the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from engine.allocation import allocator, clusters, conventions, riskfolio_adapter, skfolio_adapter
from engine.allocation.allocator import WEIGHT_UNITS, Engine, Profile
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray

_SHARED = (allocator, clusters, conventions)
_ADAPTERS: Mapping[Engine, ModuleType] = {
    Engine.RISKFOLIO: riskfolio_adapter,
    Engine.SKFOLIO: skfolio_adapter,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllocationTask:
    """One question to an allocator.

    Attributes
    ----------
    returns
        Shape (T, n), simple returns of the selected instruments' training rows, oldest first.
    """

    engine: Engine
    profile: Profile
    returns: FloatArray


def input_hash(task: AllocationTask) -> str:
    """Return the hash of everything that the weights depend on.

    For a library these are its version, those of its solvers, and our sources between it and the weights.
    Native weights are made anew wherever they are needed and compared themselves, so that a journal replays
    under later sources too: their hash is of the question alone.
    """
    return content_hash(
        {
            "kind": "allocation/2",
            "engine": task.engine,
            "profile": task.profile,
            "returns": task.returns,
            "code": _code(task.engine),
        }
    )


@cache
def _code(engine: Engine) -> Mapping[str, str]:
    # Once a process: thousands of questions ask, and the version of a package takes 2 ms to read.
    adapter = _ADAPTERS.get(engine)
    if adapter is None:
        return {}
    libraries: tuple[str, ...] = adapter.LIBRARIES
    return {name: version(name) for name in libraries} | {"sources": sources_hash(adapter, *_SHARED)}


def sources_hash(*modules: ModuleType) -> str:
    """Return the SHA-256 of the files of some modules, names included.

    Raises
    ------
    InvalidValueError
        For a module without a file.
    """
    digest = hashlib.sha256()
    for module in modules:
        if module.__file__ is None:
            raise InvalidValueError(f"{module.__name__} has no source file, so it cannot be hashed")
        digest.update(f"{module.__name__}\0".encode())
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class FactStore:
    """Weights on disk, in units of 1e-4.

    Attributes
    ----------
    folder
        Made on the first write.
    """

    folder: Path

    def read(self, key: str) -> IntArray | None:
        """Return the units stored under an input hash; None if there are none, or the file is damaged."""
        try:
            record = json.loads(self._path(key).read_text())
            units = np.array(record["units"], dtype=np.int64)
            whole = record["input_hash"] == key and record["check"] == content_hash(units)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return units if whole and units.ndim == 1 and units.sum() == WEIGHT_UNITS else None

    def write(self, key: str, units: IntArray) -> None:
        """Store units under an input hash, replacing what is there."""
        if units.sum() != WEIGHT_UNITS:
            raise InvalidValueError(f"fact {key}: units must sum to {WEIGHT_UNITS}, were {units.sum()}")
        record: dict[str, Any] = {"input_hash": key, "units": units.tolist(), "check": content_hash(units)}
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(record))
        unfinished.replace(path)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
