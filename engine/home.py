"""Where Gauntlet keeps what it writes: runs, state and the cache of compiled kernels."""

import os
from pathlib import Path


def home() -> Path:
    """Return the root of everything written: `GAUNTLET_HOME`, else the current folder."""
    return Path(os.environ.get("GAUNTLET_HOME") or ".").resolve()


def runs_folder() -> Path:
    """Return the folder of finished and running tournaments."""
    return home() / "runs"


def state_folder() -> Path:
    """Return the folder of data sets, registers and journals."""
    return home() / "state"


def cache_folder() -> Path:
    """Return the folder of things that can be deleted at any time."""
    return home() / "cache"


def sessions_folder() -> Path:
    """Return the folder of paper and live sessions, one folder each with its journal."""
    return state_folder() / "sessions"


def scans_folder() -> Path:
    """Return the folder of the journal of scans."""
    return state_folder() / "scans"


def promotions_folder() -> Path:
    """Return the folder of the journal of promotions."""
    return state_folder() / "promotions"
