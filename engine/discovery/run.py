"""One scan from its configuration to its file: the intent is written down first, the outcome last."""

from collections.abc import Callable
from pathlib import Path

from engine.data import universes
from engine.discovery import pool as pools
from engine.discovery.configuration import Scanner
from engine.discovery.pool import Pool
from engine.discovery.scan import scan
from engine.discovery.sight import look
from engine.domain.errors import GauntletError
from engine.journal import scans
from engine.strategy_files import load_strategy


def discover(
    scanner: Scanner,
    data: str,
    *,
    at: int | None,
    as_of: int | None,
    runs: Path,
    journal: Path,
    clock: Callable[[], int],
) -> tuple[Pool, Path]:
    """Scan a data set, and return what was found and its file.

    Parameters
    ----------
    at, as_of
        As of `sight.look`.
    runs
        `engine.home.runs_folder()`; the file stands in a folder of the scan's id there.
    journal
        `engine.home.scans_folder()`.
    clock
        UTC nanoseconds; the times of the two records, and nothing else.

    Raises
    ------
    InputError
        If the data set, the universe, the strategy or the moment cannot be used, or the disk refuses.
    JournalError
        If the journal of scans cannot be written: what is not on record is not scanned.
    """
    intent = scans.Intent(
        name=scanner.name, scanner_hash=scanner.content_hash, data=data, at_ns=at, as_of_ns=as_of
    )
    started = scans.begin(journal, intent, clock=clock)
    try:
        pool = _scanned(scanner, data, at=at, as_of=as_of)
        path = pools.write(pool, runs / pool.scan_id)
    except GauntletError as problem:
        scans.end(journal, started, scans.Outcome(problem=str(problem)), clock=clock)
        raise
    outcome = scans.Outcome(
        scan_id=pool.scan_id,
        inputs_hash=pool.inputs_hash,
        content_hash=pool.content_hash,
        stages=pool.stages(),
        fallen=pool.fallen_counts,
    )
    scans.end(journal, started, outcome, clock=clock)
    return pool, path


def _scanned(scanner: Scanner, data: str, *, at: int | None, as_of: int | None) -> Pool:
    name, signal = scanner.universe.name, scanner.signal
    universe = None if name is None else universes.read(name)
    strategy = None if signal.strategy is None else load_strategy(signal.strategy, signal.parameters)
    sight = look(data, at=at, as_of=as_of)
    found = scan(scanner, sight, universe=universe, strategy=strategy)
    return Pool(scanner=scanner, sight=sight, universe=universe, strategy=strategy, found=found)
