"""Text files that are there as a whole or not at all."""

import os
from pathlib import Path

from engine.domain.errors import InputError


def write_whole(path: Path, text: str) -> None:
    """Write a file and the folders above it; one of that name is replaced in one step, once this one is safe.

    Raises
    ------
    InputError
        If the disk refuses; then what stood there still stands.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        # A name is safe only when the folder that holds it is.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as refused:
        raise InputError(
            f"{path}: cannot be written, {refused}; what stood there still stands. Free some space, or "
            "choose a folder that can be written, and do the same again"
        ) from refused
