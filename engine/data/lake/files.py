"""Files of the lake: each comes into its place in one step, when its bytes are safe, and never changes."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.domain.errors import InputError

STAGING = ".unfinished"
"""Where files are written before they have their name. What lies here after a crash is of no use."""

_LOCK = ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256(payload: bytes) -> str:
    """Return the hash of a file's bytes, in hexadecimal."""
    return hashlib.sha256(payload).hexdigest()


def put(root: Path, path: Path, payload: bytes) -> None:
    """Put a file in its place in one step; one that stands there already must be the same.

    Raises
    ------
    InputError
        If the disk refuses, or if another file stands there; in both cases nothing has changed.
    """
    if path.exists():
        if path.read_bytes() != payload:
            raise InputError(
                f"{path}: another file stands here already, and files of the lake never change; "
                "nothing was written. See what is wrong with: engine data verify"
            )
        return
    # One writer at a time: the name needs to say no more.
    temporary = root / STAGING / str(os.getpid())
    try:
        _make_folder(temporary.parent)
        _make_folder(path.parent)
        try:
            _write(temporary, payload)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as refused:
        raise _refusal(path, refused) from refused


def adopt(temporary: Path, path: Path) -> None:
    """Put a file that was made in the folder of unfinished ones in its place, whatever stood there.

    Only for what can be made again.

    Raises
    ------
    InputError
        If the disk refuses; then what stood there still stands.
    """
    try:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as refused:
        raise _refusal(path, refused) from refused


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Let one writer at a time into the lake, and clear away what a writer that was killed left unfinished.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    try:
        _make_folder(root / STAGING)
        descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as refused:
        raise _refusal(root, refused) from refused
    try:
        # The kernel lets go of it when the holder dies, so a lock never outlives a crash.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in (root / STAGING).iterdir():
            left.unlink()
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """Keep writers out while somebody looks at the lake as a whole."""
    try:
        descriptor = os.open(root / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        # Nothing was ever written here.
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _refusal(path: Path, refused: OSError) -> InputError:
    reason = "the disk is full" if refused.errno in _FULL else str(refused)
    mend = (
        "free some space" if refused.errno in _FULL else "set GAUNTLET_HOME to a folder that can be written"
    )
    return InputError(
        f"{path}: cannot be written, {reason}; what the lake held before it still holds. "
        f"Mend it ({mend}) and do the same again: what was written already is not written twice"
    )


def _write(path: Path, payload: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(payload)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(path: Path) -> None:
    """Make a folder and those above it. A name is safe only when the folder that holds it is."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
