"""Which instruments each window may hold, under each selection; chosen once and kept as facts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, Panel
from engine.pipeline.planning import select_window
from engine.schedule.windows import Window
from engine.selection.universe import Selection
from engine.workforce import THIS_PROCESS, Workforce
from research.cell_store import read_arrays, write_arrays
from research.sources import library_versions, sources_hash
from research.training import training_rows

BoolArray = npt.NDArray[np.bool_]

# The selection, the measures that it is handed, what hands them over, and what cuts the rows.
_SOURCES = (
    "engine/selection",
    "engine/core/metrics.py",
    "engine/pipeline/planning.py",
    "research/selections.py",
    "research/training.py",
)
# Windows that one worker chooses for at a time.
_CHUNK = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The instruments of K windows under one selection.

    Attributes
    ----------
    selected, eligible
        Shape (K, N).
    fallback
        Shape (K,): too few were chosen, so all eligible ones stand.
    zeroed
        For each window, the parts of the score that had no data and got weight 0, joined by `;`.
    """

    selected: BoolArray
    eligible: BoolArray
    fallback: BoolArray
    zeroed: npt.NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What is chosen from.

    Attributes
    ----------
    floor
        Fewer instruments are no universe: all eligible ones are taken.
    seed
        Of the bootstrap, which is drawn anew for each window from the seed and the window's index.
    """

    panel: Panel
    windows: tuple[Window, ...]
    selection: Selection
    floor: int
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chunk:
    """A part of a request, with all that a worker needs.

    Attributes
    ----------
    windows
        Of the panel.
    first_row
        Of the panel: the row with which `close` and `volume` begin.
    close, volume
        Shape (rows, N), all training rows of the windows. No volume: None.
    """

    key: str
    windows: tuple[Window, ...]
    first_row: int
    close: FloatArray
    volume: FloatArray | None
    selection: Selection
    floor: int
    seed: int
    days_per_year: int


def choose(
    requests: Sequence[Request],
    *,
    facts: Path,
    workforce: Workforce = THIS_PROCESS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Choice, ...]:
    """Choose the instruments of every window from its training rows, in worker processes.

    Parameters
    ----------
    facts
        Folder of what was chosen before.
    workforce
        Who chooses. Taking all eligible ones is always done in this process.
    progress
        Called with the number of chunks of windows done, and of all.
    """
    chunks = [_chunks(request) for request in requests]
    done: dict[str, Choice] = {}
    missing = []
    for chunk in (chunk for parts in chunks for chunk in parts):
        stored = _read(facts, chunk.key)
        if stored is not None:
            done[chunk.key] = stored
        elif chunk.selection is Selection.ALL:
            done[chunk.key] = _kept(_choose(chunk), chunk.key, facts)
        else:
            missing.append(chunk)
    total = len(done) + len(missing)
    for place, choice in workforce.stream(_choose, [(chunk,) for chunk in missing]):
        key = missing[place].key
        done[key] = _kept(choice, key, facts)
        if progress is not None:
            progress(len(done), total)
    return tuple(_joined([done[chunk.key] for chunk in parts]) for parts in chunks)


def _chunks(request: Request) -> list[_Chunk]:
    panel = request.panel
    code = sources_hash(*_SOURCES), library_versions()
    chunks = []
    for first in range(0, len(request.windows), _CHUNK):
        windows = request.windows[first : first + _CHUNK]
        start = min(window.train_start for window in windows)
        rows = slice(start, max(window.train_stop for window in windows))
        close = panel.close[rows]
        # Where there is no volume at all, liquidity has no data; a hole in it is the selection's to judge.
        volume = panel.volume[rows] if panel.has_volume else None
        key = content_hash(
            {
                "kind": "selection/3",
                "code": code,
                "windows": windows,
                "close": close,
                "volume": volume,
                "selection": request.selection,
                "floor": request.floor,
                "seed": request.seed,
                "days_per_year": panel.calendar.days_per_year,
            }
        )
        chunks.append(
            _Chunk(
                key=key,
                windows=windows,
                first_row=start,
                close=close,
                volume=volume,
                selection=request.selection,
                floor=request.floor,
                seed=request.seed,
                days_per_year=panel.calendar.days_per_year,
            )
        )
    return chunks


def _choose(chunk: _Chunk) -> Choice:
    found = [
        select_window(
            training_rows(chunk.close, window, first_row=chunk.first_row),
            None if chunk.volume is None else training_rows(chunk.volume, window, first_row=chunk.first_row),
            index=window.index,
            selection=chunk.selection,
            floor=chunk.floor,
            seed=chunk.seed,
            days_per_year=chunk.days_per_year,
        )
        for window in chunk.windows
    ]
    return Choice(
        selected=np.array([window.mask for window in found]),
        eligible=np.array([window.eligible for window in found]),
        fallback=np.array([window.is_fallback for window in found]),
        zeroed=np.array([";".join(window.components_zeroed) for window in found], dtype=np.str_),
    )


def _kept(choice: Choice, key: str, facts: Path) -> Choice:
    write_arrays(_path(facts, key), key, vars(choice))
    return choice


def _read(facts: Path, key: str) -> Choice | None:
    stored = read_arrays(_path(facts, key), key)
    if stored is None:
        return None
    return Choice(
        selected=stored["selected"].astype(np.bool_),
        eligible=stored["eligible"].astype(np.bool_),
        fallback=stored["fallback"].astype(np.bool_),
        zeroed=stored["zeroed"].astype(np.str_),
    )


def _joined(parts: Sequence[Choice]) -> Choice:
    return Choice(
        selected=np.concatenate([part.selected for part in parts]),
        eligible=np.concatenate([part.eligible for part in parts]),
        fallback=np.concatenate([part.fallback for part in parts]),
        zeroed=np.concatenate([part.zeroed for part in parts]),
    )


def _path(facts: Path, key: str) -> Path:
    return facts / key[:2] / f"{key}.npz"
