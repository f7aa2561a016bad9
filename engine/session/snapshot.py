"""A saved state, so that a restart does not begin at the origin. It may be deleted at any time.

It vouches for nothing: it names the place in the journal that it was taken at, and whoever cannot find that
place there, or finds the file damaged or of another core, does without it.
"""

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compiled import CORE_VERSION

SNAPSHOT = "snapshot.npz"
_PLACE = "place"
_HEAD = "head"
_CORE = "core"
_STATE = "state."
_HASH_BYTES = 32

State = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a journal: between two batches.

    Attributes
    ----------
    end
        Offset in the log of the byte after the batch before it.
    next_sequence
        Number of the record after it.
    head
        Hash of the frame before it, hex.
    """

    end: int
    next_sequence: int
    head: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """The state of a trader at a place in its journal."""

    place: Place
    state: State


def save(folder: Path, snapshot: Snapshot) -> None:
    """Put a snapshot in place of the one before, whole or not at all.

    It is not flushed: what a power cut leaves of it is found damaged, and does no harm.
    """
    place = snapshot.place
    written = io.BytesIO()
    arrays: dict[str, Any] = {f"{_STATE}{name}": values for name, values in snapshot.state.items()}
    arrays |= {
        _PLACE: np.array([place.end, place.next_sequence], dtype=np.int64),
        _HEAD: np.array([place.head]),
        _CORE: np.array([CORE_VERSION]),
    }
    np.savez(written, **arrays)
    data = written.getvalue()
    temporary = folder / f".{SNAPSHOT}.{os.getpid()}"
    temporary.write_bytes(data + sha256(data).digest())
    temporary.replace(folder / SNAPSHOT)


def load(folder: Path) -> Snapshot | None:
    """Return the snapshot in a folder; None where there is none of this core that is whole."""
    try:
        file = (folder / SNAPSHOT).read_bytes()
        data, digest = file[:-_HASH_BYTES], file[-_HASH_BYTES:]
        if sha256(data).digest() != digest:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        if str(arrays[_CORE][0]) != CORE_VERSION:
            return None
        end, next_sequence = map(int, arrays[_PLACE])
        return Snapshot(
            place=Place(end=end, next_sequence=next_sequence, head=str(arrays[_HEAD][0])),
            state={
                name.removeprefix(_STATE): values
                for name, values in arrays.items()
                if name.startswith(_STATE)
            },
        )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
