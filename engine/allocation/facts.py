"""The store of weights already solved, by the hash of what they were solved from.

A file a fact, in a folder that may be deleted at any time. Files appear whole or not at all, and two
processes that solve the same inputs write the same bytes.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from engine.allocation.allocator import WEIGHT_UNITS, Engine, Profile
from engine.allocation.riskfolio_adapter import LIBRARIES
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray

# Raise when the answer to the same inputs changes.
FACTS_VERSION = 1


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
    """Return the hash of everything that the weights depend on, versions of solvers included."""
    libraries = LIBRARIES if task.engine is Engine.RISKFOLIO else ()
    return content_hash(
        {
            "facts": FACTS_VERSION,
            "engine": task.engine,
            "profile": task.profile,
            "returns": task.returns,
            "libraries": {name: _version(name) for name in libraries},
        }
    )


@cache
def _version(library: str) -> str:
    # Read from the metadata of the package, which takes 2 ms: thousands of questions ask.
    return version(library)


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
