"""Where a series lives in the lake, and which series lives at a place."""

from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import IntArray
from engine.domain.time import Timeframe

CORRECTIONS = "corrections"

_NAME_MAX = 240
"""File systems allow 255; some of it is for what comes after a name."""


def escaped(name: str) -> str:
    """Return a name that is one folder on every file system: `BTC/USD` is `BTC%2FUSD`.

    Raises
    ------
    InputError
        If the name is too long for a folder.
    """
    # quote leaves dots alone, and "." and ".." are other folders.
    text = quote(name, safe="").replace(".", "%2E")
    if len(text) > _NAME_MAX:
        raise InputError(
            f"{name[:40]}...: has {len(text)} characters as the name of a folder, at most {_NAME_MAX} can be"
        )
    return text


def folder(key: SeriesKey) -> Path:
    """Return where the rows of a series live, relative to the lake: `bars/kraken/1m/BTC%2FUSD`."""
    above = Path(key.kind.value) / escaped(key.venue)
    return (above / key.timeframe.value if key.timeframe is not None else above) / escaped(key.instrument)


def correction_folder(key: SeriesKey) -> Path:
    """Return where the revisions of a series live, relative to the lake."""
    return Path(CORRECTIONS) / folder(key)


def key_of(place: Path) -> SeriesKey | None:
    """Return the series whose rows live in a folder (relative to the lake); None where none can."""
    names = place.parts
    try:
        kind = SeriesKind(names[0])
        timeframe = Timeframe(names[2]) if kind is SeriesKind.BARS else None
        venue, instrument = unquote(names[1]), unquote(names[3 if timeframe is not None else 2])
        key = SeriesKey(venue=venue, kind=kind, instrument=instrument, timeframe=timeframe)
        return key if folder(key) == place else None
    except (IndexError, ValueError, InputError, InvalidValueError):
        return None


def folders(root: Path) -> list[Path]:
    """Return the folders of series, relative to the lake, in the order of their names."""
    found: list[Path] = []
    for kind in SeriesKind:
        depth = "*/*/*" if kind is SeriesKind.BARS else "*/*"
        found += [path.relative_to(root) for path in (root / kind.value).glob(depth) if path.is_dir()]
    return sorted(found)


def month_of(stamp: int) -> int:
    """Return the month of a stamp (UTC nanoseconds), counted from January 1970."""
    return int(np.datetime64(stamp, "ns").astype("datetime64[M]").astype(np.int64))


def month_start(month: int) -> int:
    """Return when a month begins, UTC nanoseconds."""
    return int(np.datetime64(month, "M").astype("datetime64[ns]").astype(np.int64))


def month_cuts(stamps: IntArray) -> list[int]:
    """Return where each month begins in ordered stamps, and their end."""
    if not len(stamps):
        return [0]
    months = range(month_of(int(stamps[0])) + 1, month_of(int(stamps[-1])) + 1)
    # A stamp at a time takes longer than writing them.
    inner = np.searchsorted(stamps, [month_start(month) for month in months]).tolist()
    return sorted({0, *inner, len(stamps)})


def month_name(month: int) -> str:
    """Return a month as its folder is called: `2026-11`."""
    return str(np.datetime64(month, "M"))
