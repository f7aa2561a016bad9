"""The register of all trials ever run on a data set: how many independent ones stand behind a winner.

One file a data set and timeframe, only ever appended to. A line is a JSON record that carries its own hash.
A line that was cut off by a crash is dropped; any other damage is refused, because a register that forgets
trials makes every later deflated Sharpe ratio too good. Beside it lies its mark, which says how many lines
there have been: a register that was cut shorter or taken away is refused too. Controls, permutations and
tests keep registers of their own.
"""

import base64
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY
from research.luck import STILL, LuckyBest

# 1970-01-01 was a Thursday: shifted by 3 days, weeks begin on Monday.
_MONDAY_SHIFT_DAYS = 3
MARK_SUFFIX = ".mark"
# Scores of so many trials are held at a time: 8 MB in 20 years.
_PLAYED_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One thing that was tried.

    Attributes
    ----------
    key
        Hash of its inputs.
    n_observations, sharpe
        Of the daily excess returns; the ratio is per observation, 0 without variance.
    first_week
        Monday-based weeks since 1970 of `weekly[0]`.
    weekly
        Shape (W,), sums of daily excess returns week by week; NaN for a week without a day.
    """

    key: str
    n_observations: int
    sharpe: float
    first_week: int
    weekly: npt.NDArray[np.float32]

    @property
    def record(self) -> dict[str, object]:
        """What is written, without its hash."""
        return {
            "key": self.key,
            "n_observations": self.n_observations,
            "sharpe": self.sharpe,
            "first_week": self.first_week,
            "weekly": base64.b64encode(self.weekly.astype("<f4").tobytes()).decode(),
        }


def trial(key: str, timestamps: IntArray, excess_returns: FloatArray) -> Trial:
    """Describe a trial by its daily excess returns.

    Parameters
    ----------
    timestamps
        Shape (D,), UTC nanoseconds inside each day, increasing.
    excess_returns
        Shape (D,), over the benchmark at the same exposure.
    """
    if timestamps.shape != excess_returns.shape or excess_returns.size == 0:
        raise InvalidValueError(
            f"trial {key}: timestamps {timestamps.shape} and excess returns {excess_returns.shape} must "
            "match and not be empty"
        )
    if not np.isfinite(excess_returns).all():
        raise InvalidValueError(f"trial {key}: excess returns must be finite")
    weeks = (timestamps // NANOSECONDS_PER_DAY + _MONDAY_SHIFT_DAYS) // 7
    first_week = int(weeks[0])
    position = weeks - first_week
    sums = np.bincount(position, weights=excess_returns)
    sums[np.bincount(position) == 0] = np.nan
    varies = excess_returns.size > 1 and bool((excess_returns != excess_returns[0]).any())
    return Trial(
        key=key,
        n_observations=excess_returns.size,
        sharpe=float(excess_returns.mean() / excess_returns.std(ddof=1)) if varies else 0.0,
        first_week=first_week,
        weekly=sums.astype(np.float32),
    )


def _line(entry: Trial) -> str:
    record = entry.record
    return json.dumps(record | {"hash": content_hash(record)}, separators=(",", ":")) + "\n"


class TrialsRegister:
    """The trials of one data set and timeframe. Processes may share the file.

    Parameters
    ----------
    path
        Made, with its folder, by the first trial. `exists` says whether there is one: a board shows a
        missing register.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._trials: dict[str, Trial] = {}
        self._hashes: dict[str, str] = {}
        self._n_bytes_read = 0
        # Of each line read, the hash of itself and all before it.
        self._chain: list[str] = []
        self._n_played = 0
        self._best = LuckyBest.of_none()

    @property
    def exists(self) -> bool:
        """Whether any trial was ever registered."""
        return self._path.exists()

    def add(self, key: str, timestamps: IntArray, excess_returns: FloatArray) -> bool:
        """Register a trial, durably; say whether it is new.

        The same inputs are the same trial, so a re-run adds nothing, and what was first written stays.
        """
        return self.add_all([trial(key, timestamps, excess_returns)]) == 1

    def add_all(self, trials: Sequence[Trial]) -> int:
        """Register many trials at once, after a crash only the first of them; return how many are new.

        One by one a search of thousands would wait for the disk longer than it computes.
        """
        self._read()  # what is refused must not leave an empty file behind
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as descriptor:
            self._read()
            new: dict[str, Trial] = {}
            for entry in trials:
                if entry.key not in self._trials:
                    new.setdefault(entry.key, entry)
            if not new:
                # A crash between the lines and the mark left lines that it does not count yet.
                if self._chain and self._read_mark() != (len(self._chain), self._chain[-1]):
                    self._write_mark()
                return 0
            # A tail without an end is what a crash left behind; the next line must not be glued to it.
            os.ftruncate(descriptor, self._n_bytes_read)
            os.lseek(descriptor, 0, os.SEEK_END)
            _write_all(descriptor, "".join(map(_line, new.values())).encode())
            os.fsync(descriptor)
            self._read()
            # After the lines, so that the mark never counts one that a crash has taken.
            self._write_mark()
        return len(new)

    @property
    def count(self) -> int:
        """How many trials there are."""
        self._read()
        return len(self._trials)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all trials, sorted."""
        self._read()
        return tuple(sorted(self._trials))

    @property
    def head(self) -> str:
        """Hash of all trials. Whatever order they came in, the same trials have the same head."""
        self._read()
        digest = hashlib.sha256(b"trials/1\n")
        for key in sorted(self._hashes):
            digest.update(f"{key} {self._hashes[key]}\n".encode())
        return digest.hexdigest()

    def n_effective(self) -> float:
        """Return the number of independent trials whose best would look as good as the best of these.

        No trial ever lowers it (`LuckyBest`). Each trial is standardised over its own weeks and counts as 0
        outside of them. Over the same weeks that is Pearson's correlation; the less two trials overlap, the
        less they correlate and the more they count, which is the cautious side. Trials that never deviated
        from their benchmark count nothing.
        """
        self._read()
        entries = list(self._trials.values())
        for begin in range(self._n_played, len(entries), _PLAYED_AT_ONCE):
            self._play(entries[begin : begin + _PLAYED_AT_ONCE])
        self._n_played = len(entries)
        return self._best.n_effective

    def _play(self, entries: Sequence[Trial]) -> None:
        spans: dict[tuple[int, int], list[FloatArray]] = {}
        for entry in entries:
            weekly = entry.weekly.astype(np.float64)
            known = np.isfinite(weekly)
            deviation = np.where(known, weekly, 0.0) - np.where(known, np.nanmean(weekly), 0.0)
            norm = math.sqrt(float((deviation * deviation).sum()))
            if norm > STILL:
                spans.setdefault((entry.first_week, weekly.size), []).append(deviation / norm)
        for (first_week, _), scores in spans.items():
            self._best = self._best.among(np.array(scores), first_week=first_week)

    def _read(self) -> None:
        """Take in what was appended since the last reading, and hold it against the mark."""
        # The mark first: what it counts was written before it.
        mark = self._read_mark()
        try:
            with self._path.open("rb") as file:
                file.seek(self._n_bytes_read)
                tail = file.read()
        except FileNotFoundError:
            if self._n_bytes_read:
                raise InputError(f"{self._path}: the register of trials was deleted while in use") from None
            tail = b""
        *lines, _unfinished = tail.split(b"\n")
        for line in lines:
            self._take(line)
            self._n_bytes_read += len(line) + 1
        if mark is None:
            return
        count, chain = mark
        if len(self._chain) < count:
            raise InputError(
                f"{self._path}: the register of trials holds {len(self._chain)} lines, but {count} were "
                f"written; {self._way_on}"
            )
        if count and self._chain[count - 1] != chain:
            raise InputError(
                f"{self._path}: the first {count} lines of the register of trials are not those that were "
                f"written; {self._way_on}"
            )

    @property
    def _mark_path(self) -> Path:
        return self._path.with_name(self._path.name + MARK_SUFFIX)

    @property
    def _way_on(self) -> str:
        return (
            "trials must not be forgotten: restore the file from a copy, or, if they shall be, delete "
            f"{self._mark_path}: then the count goes on with what is left"
        )

    def _read_mark(self) -> tuple[int, str] | None:
        """Return how many lines there have been and their hash; None for a register that never had a mark."""
        try:
            record = json.loads(self._mark_path.read_bytes())
            return int(record["lines"]), str(record["chain"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self._mark_path}: is damaged ({error}); it says how many trials {self._path.name} must "
                "hold: restore it from a copy, or delete it if that file is whole"
            ) from error

    def _write_mark(self) -> None:
        record = json.dumps({"lines": len(self._chain), "chain": self._chain[-1]}) + "\n"
        unfinished = self._mark_path.with_name(self._mark_path.name + ".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write_all(descriptor, record.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(self._mark_path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _take(self, line: bytes) -> None:
        before = self._chain[-1] if self._chain else ""
        number = len(self._chain) + 1
        try:
            record = json.loads(line)
            stored = record.pop("hash")
            if content_hash(record) != stored:
                raise ValueError("its hash does not match")
            entry = Trial(
                key=record["key"],
                n_observations=record["n_observations"],
                sharpe=record["sharpe"],
                first_week=record["first_week"],
                weekly=np.frombuffer(base64.b64decode(record["weekly"]), dtype="<f4").astype(np.float32),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self._path}: line {number} is damaged ({error}); trials must not be forgotten: restore "
                f"the file from a copy, or move it and {self._mark_path.name} away: then it begins anew"
            ) from error
        self._chain.append(hashlib.sha256(before.encode() + line).hexdigest())
        self._trials[entry.key] = entry
        self._hashes[entry.key] = stored

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(descriptor, data[written:])
