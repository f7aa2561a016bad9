"""Files that are there as a whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from engine.domain.errors import InputError


def replace_whole(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Put a file in its place in one step, when its bytes are safe on disk.

    Raises
    ------
    OSError
        If the disk refuses; then what stood there still stands.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # A name is safe only when the folder that holds it is.
        os.fsync(folder)
    finally:
        os.close(folder)


def write_whole(path: Path, text: str) -> None:
    """Write a file and the folders above it; one of that name is replaced in one step, once this one is safe.

    Raises
    ------
    InputError
        If the disk refuses; then what stood there still stands.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, lambda file: file.write(text.encode()))
    except OSError as refused:
        raise InputError(
            f"{path}: cannot be written, {refused}; what stood there still stands. Free some space, or "
            "choose a folder that can be written, and do the same again"
        ) from refused
