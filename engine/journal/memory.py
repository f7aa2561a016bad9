"""A disk in memory that fails in every way that a disk does: the same journal runs on it, without waiting."""

import errno
import os
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Self

from engine.journal.storage import BALLAST_BYTES, File, quarantine_name

SECTOR_BYTES = 512


class Survival(Enum):
    """What a power cut leaves of a sector that was written and not flushed."""

    OLD = "old"
    NEW = "new"
    ZERO = "zero"
    GARBAGE = "garbage"


class MemoryStorage:
    """Two files, each as processes see it (`seen`) and as it stands on the disk (`safe`).

    `unsafe` has the sectors that were written and not flushed.

    Parameters
    ----------
    faults
        By number of the write or flush, counted from 0: the `errno` that it fails with.
    take_max
        The most bytes that one write takes.
    room
        How many bytes the log may grow to before the disk is full; None: no end. Dropped ballast adds to it.
    """

    def __init__(
        self,
        *,
        faults: Mapping[int, int] | None = None,
        take_max: int | None = None,
        room: int | None = None,
    ) -> None:
        self.seen: dict[File, bytearray] = {File.LOG: bytearray()}
        self.safe: dict[File, bytearray] = {File.LOG: bytearray()}
        self.kept: dict[str, bytes] = {}
        self.faults = dict(faults or {})
        self.take_max = take_max
        self.room = room
        self.operations = 0
        self.closed = False
        self._ballast = 0
        self.unsafe: dict[File, set[int]] = {File.LOG: set(), File.ANCHOR: set()}

    def read(self, file: File) -> bytes | None:
        """Return the whole file as processes see it; None where it is missing."""
        return bytes(self.seen[file]) if file in self.seen else None

    def write(self, file: File, data: bytes | memoryview, offset: int) -> int:
        """Take all of `data`, or as much of it as one write takes."""
        self._operate()
        data = bytes(data[: self.take_max])
        content = self.seen[file]
        if self.room is not None and file is File.LOG:
            data = data[: max(0, self.room - offset)]
            if not data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
        last = (offset + len(data) - 1) // SECTOR_BYTES
        self.unsafe[file].update(range(offset // SECTOR_BYTES, last + 1))
        return len(data)

    def sync(self, file: File) -> None:
        """Make safe what was written. After an error it never is: the kernel holds it for written."""
        unsafe, self.unsafe[file] = self.unsafe[file], set()
        self._operate()
        for sector in unsafe:
            _copy(self.seen[file], self.safe[file], sector)

    def place_anchor(self, data: bytes) -> None:
        """Make the anchor file, whole and safe at once."""
        self._operate()
        self.seen[File.ANCHOR] = bytearray(data)
        self.safe[File.ANCHOR] = bytearray(data)
        self.unsafe[File.ANCHOR] = set()

    def truncate_log(self, size: int) -> None:
        """Cut the log off, safe at once."""
        self._operate()
        del self.seen[File.LOG][size:]
        del self.safe[File.LOG][size:]

    def quarantine(self, offset: int, data: bytes) -> None:
        """Keep bytes that are about to be cut off."""
        self._operate()
        self.kept[quarantine_name(offset, data)] = data

    def quarantined(self) -> dict[str, bytes]:
        """Return what was kept, by name."""
        return dict(self.kept)

    def lay_ballast(self) -> bool:
        """Take room, if there is any."""
        if self.room is not None and self.room - len(self.seen[File.LOG]) < BALLAST_BYTES:
            return False
        self._ballast = BALLAST_BYTES
        if self.room is not None:
            self.room -= self._ballast
        return True

    def drop_ballast(self) -> bool:
        """Give the room back."""
        given, self._ballast = self._ballast, 0
        if self.room is not None:
            self.room += given
        return given > 0

    def free_bytes(self) -> int:
        """Return how much room is left; a terabyte where there is no end."""
        return 10**12 if self.room is None else self.room - len(self.seen[File.LOG])

    def close(self) -> None:
        """Let go. What was written stays as it is."""
        self.closed = True

    def after_kill(self) -> Self:
        """Return the disk as the next process finds it: what was written is there, flushed or not."""
        after = type(self)()
        after.seen = {file: bytearray(content) for file, content in self.seen.items()}
        after.safe = {file: bytearray(content) for file, content in self.safe.items()}
        after.kept = dict(self.kept)
        after.unsafe = {file: set(sectors) for file, sectors in self.unsafe.items()}
        return after

    def after_power_cut(self, survival: Callable[[File, int], Survival]) -> Self:
        """Return the disk as it is found after a power cut.

        Parameters
        ----------
        survival
            Asked for each sector that was written and not flushed.
        """
        after = type(self)()
        after.kept = dict(self.kept)
        for file, safe in self.safe.items():
            content = bytearray(safe)
            for sector in sorted(self.unsafe[file]):
                match survival(file, sector):
                    case Survival.OLD:
                        continue
                    case Survival.NEW:
                        _copy(self.seen[file], content, sector)
                    case Survival.ZERO:
                        _copy(bytearray(len(self.seen[file])), content, sector)
                    case Survival.GARBAGE:
                        _copy(bytearray(b"\xa5" * len(self.seen[file])), content, sector)
            after.seen[file] = content
            after.safe[file] = bytearray(content)
        return after

    def _operate(self) -> None:
        number = self.operations
        self.operations += 1
        if number in self.faults:
            raise OSError(self.faults[number], os.strerror(self.faults[number]))


def _copy(source: bytearray, target: bytearray, sector: int) -> None:
    place = slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
    data = source[place]
    target.extend(bytes(max(0, place.start + len(data) - len(target))))
    target[place.start : place.start + len(data)] = data
