"""The search for parameters inside one training part, by Optuna, from nothing but a panel that ends there.

Parameter sets are asked for in batches, so that the core plays many accounts at once and computes shared
sub-expressions once. What a batch asks is a function of the finished batches and the seed: a search that was
killed goes on where its last whole batch ended, and finds what it would have found.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import FloatArray, Panel
from engine.domain.portfolio import Plan
from engine.features.strategy import Number, Strategy
from engine.pipeline.run import Column, Detail, run_all
from research.backtest import whole_history
from research.baselines import unlimited
from research.check_orders import listed_plan
from research.configuration import TournamentSettings
from research.overfitting import plateau
from research.tuning_journal import BATCH_ATTRIBUTE, SIZE_ATTRIBUTE, Journal, open_journal
from research.tuning_objectives import BoolArray, Objective, measures, stretch

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

BATCH = 10
"""Parameter sets that are asked for before any of them is played."""

FIRST_AT_RANDOM = 10
"""Parameter sets before the sampler begins to learn, the default among them."""

# A first look at half of the training rows tells the hopeless; the whole of them tells the rest apart.
_SHARES = (0.5, 1.0)
# Refusals such as fast >= slow are sampled again, but not for ever.
_ASKED_PER_SET = 50
_FATE = "fate"
# Steps in the range of a real number: more digits would tell apart what plays the same.
_STEPS = 100


class Fate(StrEnum):
    """What became of a parameter set.

    `PRUNED`: worse than the median on the first half of the training rows. `VOID`: it did not trade, or was
    ruined. `REFUSED`: the strategy does not take it, so it was not played and is no trial.
    """

    COMPLETE = "complete"
    PRUNED = "pruned"
    VOID = "void"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Where a parameter is searched, both ends allowed."""

    name: str
    low: Number
    high: Number
    whole: bool

    def tidy(self, value: float) -> Number:
        """Return a value as it is played: whole, or rounded to a hundredth of the range or finer."""
        if self.whole:
            return round(value)
        digits = -math.floor(math.log10((self.high - self.low) / _STEPS))
        return min(max(round(float(value), digits), float(self.low)), float(self.high))


def ranges_of(kind: type[Strategy], given: Mapping[str, tuple[Number, Number]]) -> tuple[Range, ...]:
    """Return what is searched: the declared ranges, or narrower ones; one that holds one value is fixed.

    Parameters
    ----------
    given
        By parameter, the low and high end to use instead; equal ends fix it.

    Raises
    ------
    InputError
        If a given end is outside of what the strategy declares, or nothing is left to search.
    """
    name = kind.strategy_name()
    declared = {field.name: field for field in fields(kind)}
    if not declared:
        raise InputError(f"{name} has no parameter to tune; engine strategy show {name}")
    found = []
    for field in declared.values():
        low, high = field.metadata["low"], field.metadata["high"]
        whole = isinstance(field.default, int)
        if field.name in given:
            ends = given[field.name]
            if not low <= ends[0] <= ends[1] <= high:
                raise InputError(
                    f"--param {field.name}: {name} takes {low:g} to {high:g}, was {ends[0]:g} to {ends[1]:g}"
                )
            if whole and not all(float(end).is_integer() for end in ends):
                raise InputError(
                    f"--param {field.name}: {name} takes whole numbers, was {ends[0]:g} to {ends[1]:g}"
                )
            low, high = ends
        if low < high:
            found.append(Range(name=field.name, low=low, high=high, whole=whole))
    if not found:
        raise InputError(f"every parameter of {name} is fixed, nothing is left to tune; fix fewer of them")
    return tuple(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Quest:
    """What is searched, the same in every window.

    Attributes
    ----------
    base
        All parameters before tuning; those that are not searched stay.
    trials
        Parameter sets to play in each window.
    pruning
        Drop what is worse than the median after half of the training rows; of one objective only. It saves no
        time where signals cost more than accounts, since they are computed from the origin for either half:
        2,800 sets on thirty years of 20 instruments take 33 s with it and 27 s without.
    settings
        Costs, rules, limits and cash of every account.
    """

    kind: type[Strategy]
    base: Mapping[str, Number]
    ranges: tuple[Range, ...]
    objectives: tuple[Objective, ...]
    trials: int
    seed: int
    pruning: bool
    settings: TournamentSettings

    def strategy(self, parameters: Mapping[str, Number]) -> Strategy:
        """Return the strategy with the base parameters and these.

        Raises
        ------
        InvalidValueError
            If it does not take them.
        """
        return self.kind.of({**self.base, **parameters})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One parameter set in one window.

    Attributes
    ----------
    number
        In the order of asking, from 0.
    parameters
        Those that are searched, as they were played.
    values
        The objectives over all training rows, larger is better; empty unless complete.
    at_half
        The objective over the first half of the training rows; NaN where it was not looked at.
    """

    number: int
    fate: Fate
    parameters: Mapping[str, Number]
    values: tuple[float, ...]
    at_half: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """What one window's search found.

    Attributes
    ----------
    chosen
        Number of the chosen set; None where none was complete: the base parameters stay.
    front
        Numbers of the sets that no other beats in every objective.
    plateau
        Mean rank of the neighbours of the chosen set among all that were played (`overfitting.plateau` of
        `balance`): near 1 on a plateau, as low as that of any other set on a needle; NaN without neighbours.
        Ranks, because a ratio of Sharpe ratios says nothing where they are near 0.
    """

    tried: tuple[Tried, ...]
    chosen: int | None
    front: tuple[int, ...]
    plateau: float

    def count(self, fate: Fate) -> int:
        """Return how many sets had a fate."""
        return sum(item.fate is fate for item in self.tried)


def column_of(strategy: Strategy, plan: Plan) -> Column:
    """Return an account of a strategy."""
    return Column(
        plan=plan,
        root=strategy.signal(),
        invest=strategy.invest,
        order_roots=strategy.order_roots,
    )


class _Ground:
    """The training part: plays parameter sets on it and measures them."""

    def __init__(self, panel: Panel, quest: Quest, start_row: int) -> None:
        self._panel = panel
        self._quest = quest
        self._settings = replace(whole_history(quest.settings, panel), start_row=start_row)
        self._plan = listed_plan(panel, start_row)
        pool = run_all(panel, [Column(plan=self._plan)], unlimited(self._settings), detail=Detail.CURVES)
        self._pool = pool.equity[0]
        self._day_ends = panel.day_ends[start_row:]

    def play(self, strategies: Sequence[Strategy], share: float) -> list[tuple[float, ...] | None]:
        """Return the objectives of each, over the first rows of the training part."""
        if not strategies:
            return []
        rows = math.ceil(share * len(self._pool))
        settings = replace(self._settings, stop_row=self._settings.start_row + rows)
        columns = [column_of(strategy, self._plan) for strategy in strategies]
        outcome = run_all(self._panel, columns, settings, detail=Detail.CURVES)
        return [
            measures(
                self._quest.objectives,
                stretch(
                    outcome.equity[place],
                    outcome.gross[place],
                    outcome.row_turnover[place],
                    self._pool[:rows],
                    self._day_ends[:rows],
                    self._panel.calendar.days_per_year,
                ),
            )
            for place in range(len(columns))
        ]


def search(panel: Panel, quest: Quest, *, start_row: int, window: int, journal: Path | None) -> Searched:
    """Search the training part of one window.

    Parameters
    ----------
    panel
        History up to the training stop, from the origin on: signals are warm where the training part begins.
        Nothing later exists here.
    start_row
        The first row of the training part, on which accounts begin.
    window
        Its number: each window draws its own.
    journal
        Where finished batches are kept, in Optuna's journal format; None: nowhere.

    Raises
    ------
    InputError
        If the strategy refuses nearly every set that is asked for.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["maximize"] * len(quest.objectives),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_AT_RANDOM),
    )
    ground = _Ground(panel, quest, start_row)
    with nullcontext() if journal is None else open_journal(journal, len(quest.objectives)) as kept:
        if kept is not None:
            study.add_trials(kept.whole_batches())
        _go_on(study, quest, ground, window, kept)
    return _searched(study, quest)


def _go_on(study: "Study", quest: Quest, ground: _Ground, window: int, kept: Journal | None) -> None:
    """Play the batches that are not finished yet."""
    import optuna

    for batch in range(_batches_done(study), math.ceil(quest.trials / BATCH)):
        size = min(BATCH, quest.trials - batch * BATCH)
        begun = len(study.get_trials(deepcopy=False))
        entropy = np.random.SeedSequence([quest.seed, window, batch])
        study.sampler = optuna.samplers.TPESampler(
            seed=int(entropy.generate_state(1)[0]), n_startup_trials=FIRST_AT_RANDOM
        )
        if batch == 0 and all(item.low <= quest.base[item.name] <= item.high for item in quest.ranges):
            study.enqueue_trial({item.name: quest.base[item.name] for item in quest.ranges})
        asked = _ask(study, quest, size)
        for trial, _ in asked:
            trial.set_user_attr(BATCH_ATTRIBUTE, batch)
            trial.set_user_attr(SIZE_ATTRIBUTE, len(asked))
        _play(study, quest, ground, asked)
        if kept is not None:
            kept.append(study.get_trials(deepcopy=False)[begun:])


def _ask(study: "Study", quest: Quest, size: int) -> list[tuple["Trial", Strategy | None]]:
    """Ask until so many sets are there that the strategy takes; those that it refuses stand among them."""
    searched = space(quest.ranges)
    asked: list[tuple[Trial, Strategy | None]] = []
    taken = 0
    refusal = ""
    while taken < size:
        if len(asked) >= size * _ASKED_PER_SET:
            raise InputError(
                f"{quest.kind.strategy_name()} refused {len(asked) - taken} of {len(asked)} parameter sets, "
                f"the last with: {refusal}; narrow the ranges with --param NAME=LOW:HIGH"
            )
        trial = study.ask(searched)
        try:
            strategy = quest.strategy(_played(trial.params, quest.ranges))
        except InvalidValueError as error:
            refusal = str(error)
            asked.append((trial, None))
        else:
            asked.append((trial, strategy))
            taken += 1
    return asked


def _play(
    study: "Study", quest: Quest, ground: _Ground, asked: Sequence[tuple["Trial", Strategy | None]]
) -> None:
    """Play what was asked for, and tell the study."""
    taken = [(trial, strategy) for trial, strategy in asked if strategy is not None]
    fates = {trial.number: Fate.REFUSED for trial, strategy in asked if strategy is None}
    if quest.pruning and len(quest.objectives) == 1:
        for (trial, _), values in zip(taken, ground.play([s for _, s in taken], _SHARES[0]), strict=True):
            if values is not None:
                trial.report(values[0], step=0)
        fates |= {trial.number: Fate.PRUNED for trial, _ in taken if trial.should_prune()}
    left = [(trial, strategy) for trial, strategy in taken if trial.number not in fates]
    played = ground.play([strategy for _, strategy in left], _SHARES[1])
    found = {trial.number: values for (trial, _), values in zip(left, played, strict=True)}
    for trial, _ in asked:
        values = found.get(trial.number)
        fate = fates.get(trial.number, Fate.VOID if values is None else Fate.COMPLETE)
        trial.set_user_attr(_FATE, fate.value)
        _tell(study, trial, values)


def _tell(study: "Study", trial: "Trial", values: tuple[float, ...] | None) -> None:
    """Tell what a set is worth; without a worth it stands below all that have one."""
    from optuna.trial import TrialState

    if values is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, list(values))


def space(ranges: Sequence[Range]) -> dict[str, "BaseDistribution"]:
    """Return the ranges as Optuna takes them."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        item.name: IntDistribution(int(item.low), int(item.high))
        if item.whole
        else FloatDistribution(item.low, item.high)
        for item in ranges
    }


def _played(params: Mapping[str, float], ranges: Sequence[Range]) -> dict[str, Number]:
    return {item.name: item.tidy(params[item.name]) for item in ranges}


def _batches_done(study: "Study") -> int:
    trials = study.get_trials(deepcopy=False)
    return int(trials[-1].user_attrs[BATCH_ATTRIBUTE]) + 1 if trials else 0


# ------------------------------------------------------------------------------------------- the choice


def _searched(study: "Study", quest: Quest) -> Searched:
    tried = tuple(
        Tried(
            number=trial.number,
            fate=Fate(trial.user_attrs[_FATE]),
            parameters=_played(trial.params, quest.ranges),
            # Of a pruned one Optuna keeps the value at half, which is none of these.
            values=tuple(trial.values or ()) if trial.user_attrs[_FATE] == Fate.COMPLETE else (),
            at_half=trial.intermediate_values.get(0, math.nan),
        )
        for trial in study.get_trials(deepcopy=False)
    )
    complete = [item for item in tried if item.fate is Fate.COMPLETE]
    if not complete:
        return Searched(tried=tried, chosen=None, front=(), plateau=math.nan)
    values = np.array([item.values for item in complete])
    front = on_front(values)
    chosen = complete[choose(values)].number
    return Searched(
        tried=tried,
        chosen=chosen,
        front=tuple(item.number for item, best in zip(complete, front, strict=True) if best),
        plateau=_plateau(tried, chosen, quest.ranges),
    )


def on_front(values: FloatArray) -> BoolArray:
    """Say which sets no other one beats: at least as good in every objective and better in one.

    Parameters
    ----------
    values
        Shape (n, m), larger is better.
    """
    as_good = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    return np.asarray(~(as_good & better).any(axis=0), dtype=np.bool_)


def balance(values: FloatArray) -> FloatArray:
    """Return how good each set is where it is worst, shape (n,).

    That is the smallest, over objectives, of the share of sets that are no better; of one objective the rank.

    Parameters
    ----------
    values
        Shape (n, m), larger is better.
    """
    shares = (values[None] <= values[:, None]).mean(axis=1)
    return np.asarray(shares.min(axis=1), dtype=np.float64)


def choose(values: FloatArray) -> int:
    """Return the place of the set to use: on the front, the one that is best where it is worst.

    With one objective that is the best one. Of equal ones the one that was asked for first.

    Parameters
    ----------
    values
        Shape (n, m), larger is better.
    """
    return int(np.where(on_front(values), balance(values), -1.0).argmax())


def ranks_of(tried: Sequence[Tried]) -> dict[int, float]:
    """Return how good every set is that was played (`balance`), by number; what was given up stands at 0."""
    ranks = dict.fromkeys((item.number for item in tried if item.fate is not Fate.REFUSED), 0.0)
    complete = [item for item in tried if item.fate is Fate.COMPLETE]
    if complete:
        worth = balance(np.array([item.values for item in complete]))
        ranks.update(zip((item.number for item in complete), worth.tolist(), strict=True))
    return ranks


def _plateau(tried: Sequence[Tried], chosen: int, ranges: Sequence[Range]) -> float:
    """Return the mean rank of the neighbours of the chosen set."""
    ranks = ranks_of(tried)
    # Of equal ones the first is taken for the best.
    order = [chosen, *(number for number in ranks if number != chosen)]
    points = [[float(tried[number].parameters[item.name]) for item in ranges] for number in order]
    return plateau(np.array(points), np.array([ranks[number] for number in order])).ratio
