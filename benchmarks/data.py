"""Minute bars in bulk: taking files in, loading a panel, auditing it, beside plain pandas on the same files.

`python -m benchmarks data` prints a table; `--rows 100000000` measures instead what ours needs for so many.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import data_peer
from benchmarks.data_work import OURS, Cost, Done
from benchmarks.measure import REPOSITORY
from benchmarks.minutes import INSTRUMENTS, SYMBOLS, write_minutes
from engine.data.lake.lake import Lake
from engine.data.series import BAR_VALUES
from engine.home import state_folder

ROWS = 10_000_000
MINUTES_OF_A_YEAR = 525_600
PEAK_MB_MAX = 1500
"""Memory in which any number of bars is imported and audited."""

_RUNS = 3
_BYTES_A_ROW = 250
_SEED = 11
_SAME_WITHIN = 1e-15
"""pandas' own reader of numbers misses their last bit now and then."""


@dataclass(frozen=True, kw_only=True)
class DataTimes:
    """One engine's work: medians over runs, each in a process of its own.

    Attributes
    ----------
    what
        `import CSV`, `import Parquet`, `freeze`, `load` or `audit`.
    wall_ratio, cpu_ratio
        Theirs / ours, median over interleaved pairs; 1 for ourselves.
    same
        Whether its bars are ours; None where there is nothing to compare.
    """

    what: str
    engine: str
    rows: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    places: int = 0
    wall_ratio: float = 1.0
    cpu_ratio: float = 1.0
    same: bool | None = None

    @property
    def rows_per_s(self) -> float:
        """Bars of wall time."""
        return self.rows / self.wall_s


def measure_data(*, minutes: int = ROWS // INSTRUMENTS, year: int = MINUTES_OF_A_YEAR) -> list[DataTimes]:
    """Measure ours and pandas in turn: an import of 30 instruments, and a panel of a year of them.

    Parameters
    ----------
    minutes, year
        Bars of each instrument that are imported, and that are loaded and audited.
    """
    found: list[DataTimes] = []
    with _folder(_BYTES_A_ROW * INSTRUMENTS * (minutes + year)) as folder:
        for ending, peers in (("csv", tuple(data_peer.READERS)), ("parquet", ("pandas",))):
            file = folder / f"minutes.{ending}"
            write_minutes(file, minutes, seed=_SEED)
            found += _imports(f"import {'CSV' if ending == 'csv' else 'Parquet'}", file, peers)
            file.unlink()
        file = folder / "year.parquet"
        write_minutes(file, year, seed=_SEED)
        ours, theirs = folder / "lake", folder / "pandas"
        _work("import", OURS, ours, file)
        _work("import", "pandas", theirs, file)
        file.unlink()
        found.append(_times("freeze", OURS, [_work("freeze", OURS, ours)]))
        places = {OURS: ours, **dict.fromkeys((data_peer.PIVOT, data_peer.COLUMNS), theirs)}
        found += _compared("load", {engine: [] for engine in places}, places)
        found += _compared("audit", {OURS: [], "pandas": []}, {OURS: ours, "pandas": theirs})
    return found


def measure_bound(rows: int) -> list[DataTimes]:
    """Measure the import of so many bars from CSV and from Parquet, and what follows, without a peer."""
    minutes = -(-rows // INSTRUMENTS)
    found = []
    with _folder(_BYTES_A_ROW * rows) as folder:
        for ending in ("csv", "parquet"):
            file, lake = folder / f"minutes.{ending}", folder / ending
            write_minutes(file, minutes, seed=_SEED)
            done = _work("import", OURS, lake, file)
            found.append(_times(f"import {'CSV' if ending == 'csv' else 'Parquet'}", OURS, [done]))
            file.unlink()
            if ending == "csv":
                shutil.rmtree(lake)
        found.append(_times("freeze", OURS, [_work("freeze", OURS, lake)]))
        found.append(_times("audit", OURS, [_work("audit", OURS, lake)]))
    return found


def show(found: list[DataTimes]) -> None:
    """Print the table."""
    print(f"\ndata  minute bars of {INSTRUMENTS} instruments in bulk, files in one process each")
    print(
        f"    {'work':<16}{'engine':<26}{'bars':>12}{'bars/s':>12}{'wall s':>9}{'CPU s':>8}{'peak MB':>9}"
        f"{'wall':>8}{'CPU':>8}  same bars?"
    )
    for one in found:
        ratios = "" if one.engine == OURS else f"{one.wall_ratio:>7.1f}x{one.cpu_ratio:>7.1f}x"
        same = "" if one.same is None else "  yes" if one.same else "  NO"
        print(
            f"    {one.what:<16}{one.engine:<26}{one.rows:>12,}{one.rows_per_s:>12,.0f}{one.wall_s:>9.2f}"
            f"{one.cpu_s:>8.2f}{one.peak_mb:>9,.0f}{ratios:<16}{same}"
        )


def is_bounded(found: list[DataTimes]) -> bool:
    """Return whether our imports and audits kept within their memory."""
    return all(one.peak_mb < PEAK_MB_MAX for one in found if one.engine == OURS and one.what != "load")


# --- inside ------------------------------------------------------------------------------------------------


@contextmanager
def _folder(size: int) -> Iterator[Path]:
    """Give a folder on the disk of real lakes, and take it away afterwards."""
    state_folder().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(state_folder()).free
    if free < size:
        raise SystemExit(
            f"{state_folder()}: {size / 1e9:.0f} GB are needed for the files, {free / 1e9:.0f} GB are free; "
            "set GAUNTLET_HOME to a folder on a larger disk, or --rows to fewer"
        )
    with tempfile.TemporaryDirectory(prefix="bench-data-", dir=state_folder()) as folder:
        yield Path(folder)


def _work(what: str, engine: str, folder: Path, *source: Path) -> Done:
    """Do one piece of work in a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.data_work", what, engine, str(folder), *map(str, source)],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(answer.stdout)
    return Done(**found | {"cost": Cost(**found["cost"])})


def _imports(what: str, file: Path, peers: tuple[str, ...]) -> list[DataTimes]:
    """Import a file with each engine, again and again, and compare what they wrote."""
    done: dict[str, list[Done]] = {engine: [] for engine in (OURS, *peers)}
    same: dict[str, bool | None] = {}
    ours = file.with_name("ours")
    for last in range(_RUNS - 1, -1, -1):
        for engine, runs in done.items():
            folder = ours if engine == OURS else file.with_name("theirs")
            runs.append(_work("import", engine, folder, file))
            if engine != OURS:
                if not last:
                    same[engine] = _are_same(Lake(ours), folder)
                shutil.rmtree(folder)
        shutil.rmtree(ours)
    return _medians(what, done, same)


def _compared(what: str, done: dict[str, list[Done]], places: dict[str, Path]) -> list[DataTimes]:
    for _ in range(_RUNS):
        for engine, runs in done.items():
            runs.append(_work(what, engine, places[engine]))
    digest = done[OURS][0].digest
    same = {engine: runs[0].digest == digest if digest else None for engine, runs in done.items()}
    return _medians(what, done, same | {OURS: None})


def _medians(what: str, done: dict[str, list[Done]], same: dict[str, bool | None]) -> list[DataTimes]:
    return [_times(what, engine, runs, done[OURS], same=same.get(engine)) for engine, runs in done.items()]


def _times(
    what: str, engine: str, runs: list[Done], ours: list[Done] | None = None, *, same: bool | None = None
) -> DataTimes:
    pairs = list(zip(runs, ours or runs, strict=True))
    return DataTimes(
        what=what,
        engine=engine,
        rows=runs[0].rows,
        wall_s=statistics.median(done.cost.wall_s for done in runs),
        cpu_s=statistics.median(done.cost.cpu_s for done in runs),
        peak_mb=max(done.cost.peak_mb for done in runs),
        places=runs[0].places,
        wall_ratio=statistics.median(theirs.cost.wall_s / mine.cost.wall_s for theirs, mine in pairs),
        cpu_ratio=statistics.median(theirs.cost.cpu_s / mine.cost.cpu_s for theirs, mine in pairs),
        same=same,
    )


def _are_same(lake: Lake, folder: Path) -> bool:
    """Return whether two imports of one file have the same bars."""
    keys = {key.instrument: key for key in lake.series()}
    for symbol in SYMBOLS:
        ours, theirs = lake.read(keys[symbol]), data_peer.read_bars(folder, symbol)
        stamps = theirs["timestamp"].dt.as_unit("ns").to_numpy("int64")
        if not np.array_equal(ours.stamps, stamps):
            return False
        if not all(
            np.allclose(getattr(ours, name), theirs[name], rtol=_SAME_WITHIN, atol=0) for name in BAR_VALUES
        ):
            return False
    return True
