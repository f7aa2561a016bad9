"""Where the bytes of a journal live: the port, and the files of a local disk."""

import ctypes
import errno
import fcntl
import os
from contextlib import suppress
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from engine.domain.errors import InputError, JournalCode, JournalError

LOG = "journal.log"
ANCHOR = "journal.anchor"
BALLAST = "journal.ballast"
QUARANTINE = "quarantine"

# Enough for some thousand orders: the last bar, and the cancels after it.
BALLAST_BYTES = 1 << 20
DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# On these a lock or a flush can be granted by a machine that forgets it. Overlays are not among them: they
# are how containers show a local disk, and lock and flush there are those of the disk below.
_NETWORK_DISKS = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9P",
    0x5346414F: "AFS",
    0x00C36400: "Ceph",
    0x47504653: "GPFS",
    0x0BD00BD0: "Lustre",
}
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class File(Enum):
    """The two files of a journal."""

    LOG = LOG
    ANCHOR = ANCHOR


class Storage(Protocol):
    """What a journal needs of a disk. Every method may raise OSError; the journal decides what that means."""

    def read(self, file: File) -> bytes | None:
        """Return the whole file; None where it is missing."""

    def write(self, file: File, data: bytes | memoryview, offset: int) -> int:
        """Write at `offset` and return how many bytes were taken, perhaps fewer. Not safe before `sync`."""

    def sync(self, file: File) -> None:
        """Return when everything written to the file is safe."""

    def place_anchor(self, data: bytes) -> None:
        """Make the anchor file, whole and safe at once, in place of one that may be there."""

    def truncate_log(self, size: int) -> None:
        """Cut the log off and return when that is safe."""

    def quarantine(self, offset: int, data: bytes) -> None:
        """Keep bytes that are about to be cut off at `offset`, safe and for ever."""

    def quarantined(self) -> dict[str, bytes]:
        """Return what was kept, by name."""

    def lay_ballast(self) -> bool:
        """Take room that `drop_ballast` can give back; False where there is none to take."""

    def drop_ballast(self) -> bool:
        """Give the room back; False where there was none."""

    def free_bytes(self) -> int:
        """Return how much room is left."""

    def close(self) -> None:
        """Give back everything, the lock last."""


def quarantine_name(offset: int, data: bytes) -> str:
    """Return the name under which a torn tail is kept: equal tails share one."""
    return f"tail-{offset}-{sha256(data).hexdigest()[:16]}.bin"


class PosixStorage:
    """A folder on a local disk, held by one process for as long as it lives.

    Attributes
    ----------
    folder
        Holds `journal.log`, `journal.anchor` and `quarantine/`.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Open and lock the journal in `folder`; with `create`, make folder and log where they are missing.

        Raises
        ------
        InputError
            If there is no journal.
        JournalError
            LOCK_HELD, NETWORK_DISK, LEDGER_ROLLBACK (only the anchor is left).
        """
        self.folder = folder
        if create:
            _make_folder(folder)
        elif not (folder / LOG).exists():
            if (folder / ANCHOR).exists():
                raise JournalError(
                    JournalCode.LEDGER_ROLLBACK, f"{folder / LOG} is missing, its anchor is not"
                )
            raise InputError(f"{folder} holds no journal")
        # Held open while names in it are made: an error in writing the folder is told to whoever holds it.
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[File, int] = {}
        try:
            _refuse_network_disk(folder)
            log = os.open(LOG, _FLAGS | (os.O_CREAT if create else 0), 0o600, dir_fd=self._directory)
            self._open[File.LOG] = log
            _lock(log, folder)
            if create:
                os.fsync(log)
                os.fsync(self._directory)
        except BaseException:
            self.close()
            raise

    def read(self, file: File) -> bytes | None:
        """Return the whole file; None where it is missing."""
        return read_file(self.folder, file)

    def write(self, file: File, data: bytes | memoryview, offset: int) -> int:
        """Write at `offset` and return how many bytes were taken."""
        return os.pwrite(self._descriptor(file), data, offset)

    def sync(self, file: File) -> None:
        """Return when everything written to the file is safe."""
        os.fdatasync(self._descriptor(file))

    def place_anchor(self, data: bytes) -> None:
        """Make the anchor file, whole and safe at once."""
        if (old := self._open.pop(File.ANCHOR, None)) is not None:
            os.close(old)
        _place(self._directory, ANCHOR, data)

    def truncate_log(self, size: int) -> None:
        """Cut the log off and return when that is safe."""
        os.ftruncate(self._descriptor(File.LOG), size)
        os.fsync(self._descriptor(File.LOG))

    def quarantine(self, offset: int, data: bytes) -> None:
        """Keep bytes that are about to be cut off at `offset`."""
        folder = self.folder / QUARANTINE
        _make_folder(folder)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _place(directory, quarantine_name(offset, data), data)
        finally:
            os.close(directory)

    def quarantined(self) -> dict[str, bytes]:
        """Return what was kept, by name."""
        return {
            path.name: path.read_bytes() for path in sorted((self.folder / QUARANTINE).glob("tail-*.bin"))
        }

    def lay_ballast(self) -> bool:
        """Take room that `drop_ballast` can give back; False where the disk is full."""
        descriptor = os.open(BALLAST, _FLAGS | os.O_CREAT, 0o600, dir_fd=self._directory)
        try:
            os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        except OSError as error:
            os.unlink(BALLAST, dir_fd=self._directory)
            if error.errno not in DISK_FULL_ERRORS:
                raise
            return False
        finally:
            os.close(descriptor)
        return True

    def drop_ballast(self) -> bool:
        """Give the room back; False where there was none."""
        try:
            os.unlink(BALLAST, dir_fd=self._directory)
        except FileNotFoundError:
            return False
        # Some file systems give room back only when they have written down that they did.
        os.fsync(self._directory)
        return True

    def free_bytes(self) -> int:
        """Return how much room is left for this user."""
        disk = os.fstatvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        """Close the files; the lock goes with the log."""
        if self._directory < 0:
            return
        with suppress(OSError):
            # It has done its work: a finished session must not take room for ever.
            os.unlink(BALLAST, dir_fd=self._directory)
        for descriptor in (*self._open.values(), self._directory):
            os.close(descriptor)
        self._open.clear()
        self._directory = -1

    def _descriptor(self, file: File) -> int:
        if file not in self._open:
            self._open[file] = os.open(file.value, _FLAGS, dir_fd=self._directory)
        return self._open[file]


def read_file(folder: Path, file: File, *, start: int = 0) -> bytes | None:
    """Return one of the two files from byte `start` on; None where it is missing."""
    try:
        with (folder / file.value).open("rb") as opened:
            opened.seek(start)
            return opened.read()
    except FileNotFoundError:
        return None


def lock_holder(folder: Path) -> int | None:
    """Return the process that writes the journal in `folder`; None where none can be named."""
    with suppress(OSError):
        log = (folder / LOG).stat()
        inode = f"{os.major(log.st_dev):02x}:{os.minor(log.st_dev):02x}:{log.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 4711 fe:00:123456 0 EOF
            words = line.split()
            if words[1] == "FLOCK" and words[5] == inode and int(words[4]) > 0:
                return int(words[4])
    return None


def _lock(log: int, folder: Path) -> None:
    try:
        # The kernel gives the lock back when this process ends, however it ends.
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock_holder(folder)
        by = f"process {holder}" if holder else "another process"
        raise JournalError(
            JournalCode.LOCK_HELD,
            f"{folder} is being written by {by}, and a journal has one writer; end that first",
        ) from None


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, safe: a file is lost when the name of its folder is."""
    for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _place(directory: int, name: str, data: bytes) -> None:
    """Put a file in its place in one step, when its bytes are safe."""
    temporary = f".{name}.{os.getpid()}"
    descriptor = os.open(temporary, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _refuse_network_disk(folder: Path) -> None:
    # The kind of file system is the first word of what statfs fills; Python's own statvfs leaves it out.
    filled = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).statfs(os.fsencode(folder), filled) != 0:
        return
    kind = _NETWORK_DISKS.get(ctypes.c_ulong.from_buffer(filled).value & 0xFFFFFFFF)
    if kind is not None:
        raise JournalError(
            JournalCode.NETWORK_DISK,
            f"{folder} is on {kind}: a lock or a flush there may not hold. Set GAUNTLET_HOME to a local disk",
        )
