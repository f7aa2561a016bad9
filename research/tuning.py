"""Tuning nested inside walk-forward: every window searches its own training part, one account plays it.

`tuning_search` finds the parameters of a window, `tuning_account` plays them one after the other as one
account, `tuning_trials` says what counts as a trial.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.compiled import CORE_VERSION
from engine.data import catalogue, holdout
from engine.domain.errors import InputError, RefusedError
from engine.domain.identity import content_hash
from engine.domain.panel import Panel
from engine.features.strategy import Strategy
from engine.home import cache_folder, state_folder
from engine.schedule.windows import Window, walk_forward
from engine.strategy_files import strategy_file
from engine.workforce import Shared, Workforce
from research.admission import refusals
from research.configuration import TournamentSettings
from research.fresh_signals import StrategyPlace, panel_parts, place_of
from research.grounds import Ground
from research.registers import register_of
from research.sources import library_versions, sources_hash
from research.training import training_panel
from research.tuning_account import Played, play
from research.tuning_search import Fate, Quest, Searched, balance, search, space
from research.tuning_trials import played_first, register_played

FOLDER = "tuning"
WINDOWS = "windows"

YEARS_OF_TRAINING = 3
YEARS_IN_FORCE = 1
MINIMUM_TRAINING_ROWS = 60
MINIMUM_TEST_ROWS = 20
"""A window that would be in force on fewer rows, at the end of the data, is not made."""

_RUN_ID_DIGITS = 12
_SOURCES = (
    "engine/core/metrics.py",
    "engine/pipeline",
    "engine/schedule",
    "research/backtest.py",
    "research/excess.py",
    "research/luck.py",
    "research/overfitting.py",
    "research/statistics.py",
    "research/training.py",
    "research/tuning.py",
    "research/tuning_account.py",
    "research/tuning_journal.py",
    "research/tuning_objectives.py",
    "research/tuning_search.py",
    "research/tuning_trials.py",
)


class Reporter(Protocol):
    """Hears what is done; `engine.cli.progress.ScreenReporter` shows it."""

    def step(self, name: str, words: str, *, well: bool = True) -> None:
        """Hear that a step is done."""

    def advance(self, work: str, done: int, total: int, now: str = "") -> None:
        """Hear how much of a piece of work is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How the history is cut, in rows.

    Attributes
    ----------
    train
        Training rows of a window, the purged ones among them.
    retune
        Rows from one search to the next.
    """

    train: int
    retune: int

    def __post_init__(self) -> None:
        for option, rows, least in (
            ("--train", self.train, MINIMUM_TRAINING_ROWS),
            ("--retune", self.retune, 1),
        ):
            if rows < least:
                raise InputError(f"{option} must be at least {least} bars, was {rows}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tuning:
    """A finished tuning.

    Attributes
    ----------
    importance
        Share of each searched parameter in what tells good sets from others; empty where nothing does.
    """

    run_id: str
    inputs_hash: str
    quest: Quest
    panel: Panel
    lengths: Lengths
    played: Played
    importance: Mapping[str, float]

    def count(self, fate: Fate) -> int:
        """Return how many parameter sets had a fate, over all windows."""
        return sum(item.searched.count(fate) for item in self.played.windows)


def tune(
    quest: Quest, train: int | None, retune: int | None, reporter: Reporter, workforce: Workforce
) -> Tuning:
    """Tune a strategy on the first data set of the settings; what was searched before is found again.

    Parameters
    ----------
    train, retune
        As in `Lengths`; None: three years, and one year.
    workforce
        Who searches windows. No result depends on it.

    Raises
    ------
    InputError
        If the data set is not known or too short for one window, or the same tuning runs already.
    RefusedError
        If the strategy reads the future.
    """
    name = quest.settings.configuration.universes[0].name
    panel = catalogue.load(name)
    lengths = _lengths(panel, train, retune)
    windows = cut(panel, lengths, quest.settings)
    words = f"{name}: {len(panel):,} bars, {len(windows)} windows of {lengths.train:,} training bars"
    reporter.step("data", words)
    _admit(quest.strategy({}), panel, quest.settings)
    reporter.step("admission", "signals stay the same where later bars are cut off")
    inputs_hash = _inputs_hash(quest, panel, lengths)
    run_id = f"tune-{inputs_hash[:_RUN_ID_DIGITS]}"
    register = register_of(panel)
    searched: list[Searched] = []
    seen: set[str] = set()
    with _alone(state_folder() / FOLDER / run_id) as folder:
        reporter.advance(WINDOWS, 0, len(windows))
        for window, found in zip(windows, search_all(quest, panel, windows, folder, workforce), strict=True):
            searched.append(found)
            # Before anything of it is shown: what was seen counts, whatever becomes of this run.
            fresh = played_first(quest, found, seen)
            register_played(register, quest, fresh, training_history(panel, window))
            reporter.advance(WINDOWS, len(searched), len(windows))
        sets = sum(len(found.tried) - found.count(Fate.REFUSED) for found in searched)
        reporter.step("search", f"{sets:,} parameter sets played, {len(seen):,} of them distinct")
        played = play(quest, panel, windows, searched, register)
    reporter.step("account", f"{played.trials.count:,} trials on record for {name}")
    return Tuning(
        run_id=run_id,
        inputs_hash=inputs_hash,
        quest=quest,
        panel=panel,
        lengths=lengths,
        played=played,
        importance=importance(quest, searched),
    )


# --------------------------------------------------------------------------------------------- the windows


def _lengths(panel: Panel, train: int | None, retune: int | None) -> Lengths:
    year = panel.calendar.days_per_year * panel.bars_a_day
    return Lengths(
        train=YEARS_OF_TRAINING * year if train is None else train,
        retune=YEARS_IN_FORCE * year if retune is None else retune,
    )


def cut(panel: Panel, lengths: Lengths, settings: TournamentSettings) -> tuple[Window, ...]:
    """Return the windows; purge and embargo are those of the settings.

    Raises
    ------
    InputError
        If not one window fits.
    """
    rules = settings.configuration.windows
    test = min(MINIMUM_TEST_ROWS, lengths.retune)
    needed = lengths.train + rules.embargo + test
    if len(panel) < needed:
        raise InputError(
            f"data set {panel.name}: {len(panel):,} bars before the hold-out hold no window, one needs "
            f"{needed:,} (training {lengths.train:,} + embargo {rules.embargo} + {test} in force); give more "
            "data, or a shorter training part with --train"
        )
    return walk_forward(
        len(panel),
        train=lengths.train,
        test=test,
        step=lengths.retune,
        purge=rules.purge,
        embargo=rules.embargo,
    )


def training_history(panel: Panel, window: Window) -> Panel:
    """Return history from the origin to the training stop of a window.

    Signals are evaluated from the origin, as they are when the account trades on them; the training part is
    the last rows.
    """
    return training_panel(panel, replace(window, train_start=0))


def _admit(strategy: Strategy, panel: Panel, settings: TournamentSettings) -> None:
    universe = settings.configuration.universes[0]
    ground = Ground(
        universe=universe,
        manifest=catalogue.manifest(universe.name),
        panel=panel,
        windows=(),
        openings=holdout.openings(universe.name),
    )
    facts = cache_folder() / "truncation"
    for refusal in refusals([strategy], [ground], facts=facts, progress=lambda _done, _total, _now: None):
        raise RefusedError(
            f"{strategy.name} may not be tuned on {panel.name}: {refusal.reason}",
            next_command=f"engine strategy check {strategy.name}",
        )


def _inputs_hash(quest: Quest, panel: Panel, lengths: Lengths) -> str:
    untuned = quest.strategy({})
    return content_hash(
        {
            "kind": "tuning/1",
            "core": CORE_VERSION,
            "code": sources_hash(*_SOURCES),
            "libraries": (*library_versions(), ("optuna", version("optuna"))),
            "panel": panel.content_hash,
            "strategy": untuned.hash,
            # The hash of the untuned graph says nothing of what other parameters do.
            "file": strategy_file(untuned).read_text(encoding="utf-8"),
            "ranges": quest.ranges,
            "objectives": quest.objectives,
            "trials": quest.trials,
            "seed": quest.seed,
            "pruning": quest.pruning,
            "settings": quest.settings.content_hash,
            "lengths": lengths,
        }
    )


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Hold a folder that one process writes; a killed process holds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: the same tuning runs in another process; wait for it, or stop it first"
            ) from None
        yield folder
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------- the search


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """The search of one window. The strategy stands in for itself: a worker finds it by its file."""

    quest: Quest
    place: StrategyPlace
    shared: Shared[dict[str, Any]]
    window: Window
    journal: Path | None


def search_all(
    quest: Quest, panel: Panel, windows: Sequence[Window], folder: Path | None, workforce: Workforce
) -> Iterator[Searched]:
    """Search every window, and yield what was found, oldest first, whoever is done first.

    Parameters
    ----------
    folder
        Of the journals, one a window; None: nothing is kept.
    """
    place = place_of(quest.strategy({}))
    shared = workforce.share(panel_parts(panel))
    tasks = [
        _Task(
            quest=replace(quest, kind=Strategy),
            place=place,
            shared=shared,
            window=window,
            journal=None if folder is None else folder / f"window-{window.index:04}.journal",
        )
        for window in windows
    ]
    done: dict[int, Searched] = {}
    due = 0
    for number, found in workforce.stream(_search_one, [(task,) for task in tasks]):
        done[number] = found
        while due in done:
            yield done.pop(due)
            due += 1


def _search_one(task: _Task) -> Searched:
    """Search one window, given history that ends at its training stop."""
    quest = replace(task.quest, kind=type(task.place.load()))
    history = training_history(Panel(**task.shared.get()), task.window)
    return search(
        history, quest, start_row=task.window.train_start, window=task.window.index, journal=task.journal
    )


def importance(quest: Quest, searched: Sequence[Searched]) -> dict[str, float]:
    """Return each searched parameter's share in telling the good sets of a window from its others [1]_.

    Over all windows at once: a set counts by its rank in its window. Empty where nothing tells them apart.

    References
    ----------
    .. [1] Watanabe, Bansal and Hutter (2023), PED-ANOVA: efficiently quantifying hyperparameter importance in
       arbitrary subspaces, IJCAI
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for found in searched:
        complete = [item for item in found.tried if item.fate is Fate.COMPLETE]
        if complete:
            ranks = balance(np.array([item.values for item in complete]))
            study.add_trials(
                [
                    optuna.trial.create_trial(
                        params=dict(item.parameters), distributions=space(quest.ranges), value=float(rank)
                    )
                    for item, rank in zip(complete, ranks, strict=True)
                ]
            )
    if len({done.value for done in study.get_trials(deepcopy=False)}) < 2:
        return {}
    shares = optuna.importance.get_param_importances(study)
    return {item.name: round(shares[item.name], 6) for item in quest.ranges}
