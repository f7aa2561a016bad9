"""Finished work of a tournament on disk, so that an interrupted run goes on where it stopped.

One file holds one batch of accounts under the hash of everything that went into it. A file appears by a
rename, so it is there whole or not at all; it is checked when read, and a damaged one counts as absent.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from research.cells import VariantResult

_DIGEST = "sha256"


@dataclass(frozen=True, kw_only=True, eq=False)
class Accounts:
    """P accounts over the same R rows.

    Attributes
    ----------
    equity, gross, turnover
        Shape (P, R), as in `CellResult`.
    trades, fills, fees
        Shape (P,), NaN where the simulator does not say.
    halts, delisted_exits
        Shape (P,).
    reason_counts
        Shape (P, number of reasons), by the reasons' codes.
    """

    equity: FloatArray
    gross: FloatArray
    turnover: FloatArray
    trades: FloatArray
    fills: FloatArray
    fees: FloatArray
    halts: IntArray
    delisted_exits: IntArray
    reason_counts: IntArray

    def __post_init__(self) -> None:
        shape = self.equity.shape
        for name in ("gross", "turnover"):
            if getattr(self, name).shape != shape:
                raise InvalidValueError(
                    f"accounts: {name} must have shape {shape}, was {getattr(self, name).shape}"
                )


def _digest(key: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def write_arrays(path: Path, key: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write named arrays so that `path` holds all of them or does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays, **{_DIGEST: np.array(_digest(key, arrays))})  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_arrays(path: Path, key: str) -> dict[str, npt.NDArray[np.generic]] | None:
    """Return what `write_arrays` wrote under `key`; None when absent or damaged."""
    try:
        # numpy leaves a damaged file open when it opens it itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, OSError):
        return None
    stated = arrays.pop(_DIGEST, None)
    if stated is None or str(stated) != _digest(key, arrays):
        return None
    return arrays


class CellStore:
    """Batches of accounts by the hash of their inputs.

    Attributes
    ----------
    reused, computed
        How many batches were found, and how many were written, by this object.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.reused = 0
        self.computed = 0

    def holds(self, key: str) -> bool:
        """Say whether there is a file of that key; whether it is whole shows when it is read."""
        return self._path(key).is_file()

    def fetch(self, key: str) -> Accounts | None:
        """Return the finished batch, or None when it is still to be done."""
        arrays = read_arrays(self._path(key), key)
        if arrays is None or set(arrays) != {field.name for field in fields(Accounts)}:
            return None
        self.reused += 1
        return Accounts(**arrays)  # type: ignore[arg-type]

    def keep(self, key: str, accounts: Accounts) -> None:
        """Write a finished batch."""
        arrays = {field.name: getattr(accounts, field.name) for field in fields(accounts)}
        write_arrays(self._path(key), key, arrays)
        self.computed += 1

    def fetch_results(self, key: str) -> tuple[VariantResult, ...] | None:
        """Return the finished results of a variant, or None when they are still to be had."""
        arrays = read_arrays(self._path(key), key)
        if arrays is None or set(arrays) != {field.name for field in fields(VariantResult)}:
            return None
        self.reused += 1
        return tuple(
            VariantResult(float(excess), float(annual), str(hashed))
            for excess, annual, hashed in zip(
                arrays["excess_sharpe"], arrays["annualized_return"], arrays["curves_hash"], strict=True
            )
        )

    def keep_results(self, key: str, results: Sequence[VariantResult]) -> None:
        """Write the results of a variant."""
        arrays = {
            field.name: np.array([getattr(result, field.name) for result in results])
            for field in fields(VariantResult)
        }
        write_arrays(self._path(key), key, arrays)
        self.computed += 1

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"
