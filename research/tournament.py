"""The walk-forward tournament: from a configuration to the cells of a board.

Every piece of work is kept under the hash of its inputs as soon as it is done. So a run that was interrupted,
or killed, goes on where it stopped when it is started again, and equal inputs give equal bytes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from engine.compiled import CORE_VERSION
from engine.domain.errors import InputError
from engine.domain.identity import content_hash
from engine.features.strategy import Strategy
from engine.home import cache_folder
from engine.strategy_files import load_strategy, strategy_names
from engine.workforce import Workforce
from research import nautilus_simulator
from research.admission import refusals
from research.arena import (
    Contestant,
    baseline_cells,
    baseline_work,
    contestant_cells,
    contestant_work,
)
from research.batches import Simulators, Work
from research.cell_store import CellStore
from research.cells import (
    CellResult,
    CellStatus,
    Control,
    PermutationRecord,
    Refusal,
    Simulator,
    Tournament,
    UniverseRecord,
)
from research.configuration import ALL_STRATEGIES, TournamentSettings, Universe
from research.controls import PLANTED_DATA, play_no_edge, play_peek, play_planted, real_ground
from research.grounds import Ground, Prepared, prepare, survey, universe_record, window_choices
from research.permutation import Search, search_null
from research.registers import control_register_of, record_of, record_trials, register_of
from research.sources import judging_versions, library_versions, sources_hash

# Whatever lies here can change a published number; the core has a version of its own.
_SOURCES = (
    "engine/allocation",
    "engine/data",
    "engine/domain",
    "engine/schedule",
    "engine/selection",
    "research",
    "scoreboards",
)
_RUN_ID_DIGITS = 12

ADMISSION = "truncation"
SELECTIONS = "selections"
WEIGHTS = "base weights"
ACCOUNTS = "accounts"
PERMUTATIONS = "shuffled"


class Reporter(Protocol):
    """Is told what happens; calls come from two threads."""

    def step(self, name: str, words: str) -> None:
        """Say that a step is done, and what came of it."""

    def advance(self, work: str, done: int, total: int, now: str = "") -> None:
        """Say how much of a long piece of work is done, and what is being done."""


class _InterruptedError(Exception):
    """Ends the preparing thread when the main thread is on its way out."""


def run(settings: TournamentSettings, reporter: Reporter, *, workforce: Workforce) -> Tournament:
    """Play a tournament; what was done before is found again.

    Parameters
    ----------
    workforce
        Who selects, solves and plays. No result depends on it.

    Raises
    ------
    InputError
        For a strategy, parameter or data set that is not there, or data too short for a window.
    """
    strategies = _strategies(settings)
    grounds = [survey(universe, settings) for universe in settings.configuration.universes]
    for ground in grounds:
        reporter.step("data", _data_words(ground))
        reporter.step("hold-out", _holdout_words(ground))
    interrupted = threading.Event()
    with (
        ThreadPoolExecutor(1) as background,
        Simulators(CellStore(cache_folder() / "cells"), threads=1) as simulators,
    ):
        preparing = background.submit(_prepare, grounds, settings, reporter, workforce, interrupted)
        try:
            refused = refusals(
                strategies,
                grounds,
                facts=cache_folder() / "truncation",
                progress=lambda done, total, now: reporter.advance(ADMISSION, done, total, now),
            )
            reporter.step(ADMISSION, _admission_words(strategies, refused))
            controls = _play_controls(grounds, settings, simulators, workforce)
            reporter.step("controls", f"{len(controls)} of 3 played")
            prepared = preparing.result()
            reporter.step("weights", _weights_words(prepared))
        except BaseException:
            # The pool is left only when its thread has ended: it must not finish hours of work first.
            interrupted.set()
            raise
        contestants = [Contestant.of(strategy) for strategy in strategies]
        cells, universes = _play_all(
            contestants, refused, prepared, settings, simulators, workforce, reporter
        )
    reporter.step("cells", _cells_words(cells))
    inputs_hash = _inputs_hash(
        contestants,
        settings,
        universes={
            universe.name: _Inputs(universe.content_hash, universe.trials.head, universe.holdout_openings)
            for universe in universes
        },
        controls={
            control.name: _Inputs(control.universe.content_hash, control.universe.trials.head)
            for control in controls
            if control.universe is not None
        },
    )
    return Tournament(
        run_id=_run_id(inputs_hash),
        inputs_hash=inputs_hash,
        configuration_hash=settings.content_hash,
        core_version=CORE_VERSION,
        costs=settings.costs.words(),
        cells=tuple(cells),
        universes=tuple(universes),
        refusals=tuple(refused),
        controls=tuple(controls),
        choices=tuple(choice for item in prepared for choice in window_choices(item)),
    )


def _strategies(settings: TournamentSettings) -> list[Strategy]:
    configuration = settings.configuration
    names = configuration.strategies
    if ALL_STRATEGIES in names:
        names = tuple(strategy_names())
    for name in configuration.parameters:
        if name not in names:
            raise InputError(
                f"{settings.source}: parameters are given for {name}, which does not play; "
                f"there are {', '.join(names)}"
            )
    return [load_strategy(name, configuration.parameters.get(name)) for name in names]


def _prepare(
    grounds: Sequence[Ground],
    settings: TournamentSettings,
    reporter: Reporter,
    workforce: Workforce,
    interrupted: threading.Event,
) -> list[Prepared]:
    def telling(work: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            if interrupted.is_set():
                raise _InterruptedError
            reporter.advance(work, done, total)

        return tell

    return prepare(
        grounds, settings, workforce=workforce, choosing=telling(SELECTIONS), solving=telling(WEIGHTS)
    )


def _play_controls(
    grounds: Sequence[Ground], settings: TournamentSettings, simulators: Simulators, workforce: Workforce
) -> list[Control]:
    wanted = settings.configuration.controls
    played = []
    if wanted.peek:
        played.append(play_peek(grounds[0].panel))
    if wanted.random:
        played.append(play_no_edge(grounds, settings, simulators, workforce))
    if wanted.planted:
        played.append(play_planted(settings, simulators, workforce))
    return played


def _play_all(
    contestants: Sequence[Contestant],
    refused: Sequence[Refusal],
    prepared: Sequence[Prepared],
    settings: TournamentSettings,
    simulators: Simulators,
    workforce: Workforce,
    reporter: Reporter,
) -> tuple[list[CellResult], list[UniverseRecord]]:
    configuration = settings.configuration
    away = {(refusal.strategy, refusal.universe) for refusal in refused}
    turns = [
        (item, [entry for entry in contestants if (entry.name, item.ground.name) not in away])
        for item in prepared
    ]
    modes, kinds = configuration.rebalances, configuration.simulators
    works: list[Work] = []
    for item, admitted in turns:
        works += baseline_work(item.arena, modes, kinds)
        for entry in admitted:
            works += contestant_work(item.arena, entry, item.weights, modes, kinds)
    simulators.ahead(works, workforce, progress=lambda done, total: reporter.advance(ACCOUNTS, done, total))
    cells: list[CellResult] = []
    universes = []
    for item, admitted in turns:
        arena = item.arena
        permuted = _permuted(item, admitted, settings, workforce, reporter)
        found = baseline_cells(arena, modes, kinds, simulators)
        for entry in admitted:
            found += contestant_cells(arena, entry, item.weights, modes, kinds, simulators)
        register = register_of(arena.panel)
        record_trials(register, found, arena.panel, configuration.cash)
        record = universe_record(item.ground, configuration.cash, record_of(register))
        universes.append(replace(record, permutation=permuted))
        cells += found
    return cells, universes


def _permuted(
    prepared: Prepared,
    contestants: Sequence[Contestant],
    settings: TournamentSettings,
    workforce: Workforce,
    reporter: Reporter,
) -> PermutationRecord | None:
    """Play the whole search on shuffled bars; None where that is not asked, or nobody plays."""
    configuration = settings.configuration
    search = Search.of(prepared, contestants, configuration)
    if configuration.resampling.permutations == 0 or search.n_cells == 0:
        return None
    record = search_null(
        search,
        seed=configuration.seed,
        facts=cache_folder() / "permutations",
        workforce=workforce,
        count=configuration.resampling.permutations,
        progress=lambda done, total: reporter.advance(f"{PERMUTATIONS} {prepared.ground.name}", done, total),
    )
    reporter.step(
        PERMUTATIONS,
        f"{prepared.ground.name}  {record.n_searched} cells on {record.count} shuffled histories: the best "
        f"of them has excess Sharpe {np.quantile(record.null, 0.95):+.2f} in one of 20",
    )
    return record


def expected_run_id(settings: TournamentSettings) -> str:
    """Return the id that `run` gives a tournament whose trials are all on record already.

    Playing it again adds no trial, so whoever finds a board of that id has its result.
    """
    contestants = [Contestant.of(strategy) for strategy in _strategies(settings)]
    grounds = [survey(universe, settings) for universe in settings.configuration.universes]
    wanted = settings.configuration.controls
    controls = {}
    if wanted.random:
        controls["no_edge"] = real_ground(grounds, settings)
    if wanted.planted:
        controls["planted"] = survey(Universe(name=PLANTED_DATA), settings)
    return _run_id(
        _inputs_hash(
            contestants,
            settings,
            universes={
                ground.name: _Inputs(
                    ground.manifest.content_hash, register_of(ground.panel).head, ground.openings
                )
                for ground in grounds
            },
            controls={
                name: _Inputs(ground.manifest.content_hash, control_register_of(ground.panel, name).head)
                for name, ground in controls.items()
            },
        )
    )


class _Inputs(NamedTuple):
    """What a board depends on of a data set: bars, trials made on it, openings of its hold-out."""

    content_hash: str
    trials: str
    openings: int = 0


def _run_id(inputs_hash: str) -> str:
    return f"t-{inputs_hash[:_RUN_ID_DIGITS]}"


def _inputs_hash(
    contestants: Sequence[Contestant],
    settings: TournamentSettings,
    *,
    universes: Mapping[str, _Inputs],
    controls: Mapping[str, _Inputs],
) -> str:
    """Return the hash of everything that the board depends on, trials of others included: they deflate."""
    return content_hash(
        {
            "kind": "tournament/2",
            "configuration": settings.content_hash,
            # With this run's own trials in it: run again, it adds none, and the head stays.
            "universes": {name: tuple(inputs) for name, inputs in universes.items()},
            # Controls are judged too: on data of their own, deflated by registers of their own.
            "controls": {name: tuple(inputs) for name, inputs in controls.items()},
            "strategies": {entry.name: entry.graph_hash for entry in contestants},
            "core": CORE_VERSION,
            "sources": sources_hash(*_SOURCES),
            "libraries": (*library_versions(), *judging_versions()),
            "nautilus": _nautilus(settings),
        }
    )


def _nautilus(settings: TournamentSettings) -> str:
    """Return the version of nautilus that plays; empty where none does, and installed later it adds rows."""
    if Simulator.NAUTILUS not in settings.configuration.simulators:
        return ""
    python = nautilus_simulator.available()
    return "" if python is None else nautilus_simulator.version(python)


def _data_words(ground: Ground) -> str:
    panel, digest = ground.panel, ground.manifest.content_hash
    return (
        f"{ground.name}  {len(panel):,} bars x {len(panel.instruments)}, {_day(panel.timestamps[0])} → "
        f"{_day(panel.timestamps[-1])} UTC, {len(ground.windows)} windows, sha256 {digest[:4]}…{digest[-4:]}"
    )


def _holdout_words(ground: Ground) -> str:
    times = "1 opening" if ground.openings == 1 else f"{ground.openings} openings"
    return f"{ground.name}  last {ground.manifest.holdout_rows:,} bars sealed, {times} so far"


def _admission_words(strategies: Sequence[Strategy], refused: Sequence[Refusal]) -> str:
    words = f"{len(strategies)} strategies cut at 8 dates in a fresh process, "
    return words + (f"{len(refused)} refused" if refused else "none reads the future")


def _weights_words(prepared: Sequence[Prepared]) -> str:
    sets = sum(len(item.weights) for item in prepared)
    failed = sum(bool(base.problem) for item in prepared for base in item.weights.values())
    words = f"{sets} allocations over {sum(len(item.ground.windows) for item in prepared):,} windows"
    return words + (f", {failed} without an answer" if failed else "")


def _cells_words(cells: Sequence[CellResult]) -> str:
    missing = sum(cell.status is CellStatus.MISSING for cell in cells)
    baselines = sum(cell.is_baseline for cell in cells)
    words = f"{len(cells) - baselines:,} cells and {baselines} baselines"
    return words + (f", {missing} missing" if missing else "")


def _day(stamp: np.int64) -> str:
    return str(np.datetime64(int(stamp), "ns").astype("datetime64[D]"))
