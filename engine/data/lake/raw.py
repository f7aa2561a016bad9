"""Replies of providers as they came, `raw/<run>/<name>.json.gz`: what was made of them can be made again."""

import gzip
import zlib
from pathlib import Path

from engine.data.lake import files, layout

FOLDER = "raw"
SUFFIX = ".json.gz"


def keep(root: Path, run: str, name: str, payload: bytes) -> Path:
    """Keep a reply and return its file; one that says something else under the same name stands beside it.

    Raises
    ------
    InputError
        If the disk refuses, or the name is too long.
    """
    folder = root / FOLDER / layout.escaped(run)
    path = folder / f"{layout.escaped(name)}{SUFFIX}"
    if path.exists() and payload_of(path) != payload:
        # A run that was killed asks again under the same name, and the venue may have changed its mind.
        path = folder / f"{layout.escaped(name)}.{files.sha256(payload)[:16]}{SUFFIX}"
    if path.exists() and payload_of(path) == payload:
        return path
    # No time and no name inside, so that equal replies are equal files.
    files.put(root, path, gzip.compress(payload, compresslevel=6, mtime=0))
    return path


def payload_of(path: Path) -> bytes | None:
    """Return a reply as it came; None if the file is not what was written."""
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        return None
