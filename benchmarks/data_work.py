"""One piece of work on minute bars, timed in a process that does nothing else.

`python -m benchmarks.data_work load gauntlet FOLDER` prints one JSON document.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import data_peer
from benchmarks.memory import peak_mb
from engine.data.audit import report
from engine.data.lake import datasets
from engine.data.lake.importing import Request, import_files
from engine.data.lake.lake import Lake
from engine.data.quality import Bars, each_of_panel
from engine.data.series import BAR_VALUES
from engine.domain.time import Calendar, Timeframe

OURS = "gauntlet"
SET = "minutes"

_PLACES_KEPT = 1000
_KNOWN_AT = 1_900_000_000 * 10**9

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a piece of work took; memory is that of the whole process, interpreter and libraries included."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, kw_only=True)
class Done:
    """One piece of work.

    Attributes
    ----------
    rows
        Bars that it was done on.
    places
        That look wrong to an audit.
    digest
        Of the arrays of a panel; empty for other work.
    """

    rows: int
    cost: Cost
    places: int = 0
    digest: str = ""


def import_file(engine: str, folder: Path, source: Path) -> Done:
    """Take a long file of minute bars into a lake, or into a folder of files an instrument."""
    if engine != OURS:
        rows, cost = _timed(lambda: data_peer.import_file(source, folder, reader=engine))
        return Done(rows=rows, cost=cost)
    request = Request(
        name=SET, paths=(source,), timeframe=Timeframe.MINUTE_1, known_at=_KNOWN_AT, run="benchmark"
    )
    found, cost = _timed(lambda: import_files(Lake(folder), request))
    return Done(rows=sum(appended.new for appended in found.values()), cost=cost)


def freeze(engine: str, folder: Path) -> Done:
    """Make a data set of what was imported: audited, sealed, with one hash. pandas has no such thing."""
    assert engine == OURS
    lake = Lake(folder)
    frozen, cost = _timed(
        lambda: lake.freeze(SET, lake.series(), timeframe=Timeframe.MINUTE_1, calendar=Calendar.ALWAYS)
    )
    return Done(rows=frozen.manifest.rows * len(frozen.instruments), cost=cost)


def load(engine: str, folder: Path) -> Done:
    """Bring what was imported into five arrays of shape (T, N)."""
    if engine != OURS:
        arrays, cost = _timed(lambda: data_peer.load_panel(folder, how=engine))
    else:
        panel, cost = _timed(lambda: Lake(folder).load_panel(SET))
        arrays = {"stamps": panel.timestamps} | {name: getattr(panel, name) for name in BAR_VALUES}
    return Done(rows=int(np.isfinite(arrays["close"]).sum()), digest=_digest(arrays), cost=cost)


def audit(engine: str, folder: Path) -> Done:
    """Look for everything that is wrong in what was imported."""
    if engine != OURS:
        (rows, places), cost = _timed(lambda: data_peer.audit(folder))
        return Done(rows=rows, places=places, cost=cost)
    audited, cost = _timed(
        lambda: report.audit(
            _each(Lake(folder)),
            Timeframe.MINUTE_1,
            Calendar.ALWAYS,
            name=SET,
            now=_KNOWN_AT,
            limit=_PLACES_KEPT,
        )
    )
    return Done(rows=audited.rows, places=sum(audited.counts.values()), cost=cost)


def _each(lake: Lake) -> Iterator[Bars]:
    """Yield the bars of each instrument as `engine data audit` does, the sealed ones too."""
    for panel in datasets.each(lake.root, lake.version(SET)):
        yield from each_of_panel(panel)


def _timed(work: Callable[[], _Result]) -> tuple[_Result, Cost]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return result, Cost(wall_s=wall_s, cpu_s=cpu_s, peak_mb=peak_mb())


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for values in arrays.values():
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def do(what: str, engine: str, folder: Path, *source: Path) -> Done:
    """Do one piece of work: `import`, `freeze`, `load` or `audit`."""
    if what == "import":
        return import_file(engine, folder, *source)
    return {"freeze": freeze, "load": load, "audit": audit}[what](engine, folder)


def main(what: str, engine: str, *paths: str) -> None:
    """Do one piece of work and print what it took."""
    sys.stdout.write(json.dumps(asdict(do(what, engine, *map(Path, paths)))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
