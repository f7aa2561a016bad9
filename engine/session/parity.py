"""The proof that paper equals backtest: the session's bars again, through the compiled path of research.

A session is fed one bar at a time; here the whole period runs at once, from the data set and not from the
journal. Both must agree to the last bit in everything that was decided, ordered, filled and booked. Where
they do not, the first difference in time is named with the stage that it comes from: a bar makes signals,
fills what earlier bars ordered, moves cash, decides and orders, in this order.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.compiled import CORE_VERSION
from engine.data import catalogue
from engine.domain.errors import AllocationError, InvalidValueError, JournalError
from engine.domain.panel import Panel
from engine.domain.passport import Passport
from engine.domain.portfolio import Plan
from engine.features.strategy import Strategy
from engine.journal.promotions import promotions
from engine.journal.reading import verify
from engine.pipeline.planning import batch_plan
from engine.session.comparison import in_account, in_bars, in_session, in_weights
from engine.session.difference import Divergence, Found, Stage
from engine.session.explanation import Difference, bar_times, told
from engine.session.journaled import Counts, Journaled, read_session
from engine.session.present import as_seen, whole
from engine.session.rerun import fed_rows, is_recomputed, plan_of_facts, play
from engine.session.start import SessionStart
from engine.strategy_files import load_strategy

RECHECK_TOLERANCE = 5e-4
"""How far weights may be from those that a solver found before (RULINGS B4); the tournament's too."""

_STAGES = tuple(Stage)
_NOTHING = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSource:
    """Where the backtest's base weights came from.

    Attributes
    ----------
    recomputed
        False for an allocation by a solver: its weights are facts, taken from the journal, and solved again
        only to see that they still come out.
    gap
        Largest distance between a journaled weight and the one that came out here; None where one of them is
        not a number.
    tolerance
        What it may be.
    """

    recomputed: bool
    gap: float | None
    tolerance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Whether a session did what a backtest of the same bars does.

    Attributes
    ----------
    journal, backtest
        How much there was on each side.
    first_opened, last_closed
        Of the bars that were compared, ISO-8601 in UTC; None where there is none yet.
    first_difference
        None where there is none.
    notes
        What a reader should know beside the verdict, a sentence each.
    """

    parity: bool
    strategy_id: str = ""
    data: str = ""
    finished: bool = False
    journal: Counts = _NOTHING
    backtest: Counts = _NOTHING
    first_opened: str | None = None
    last_closed: str | None = None
    weights: WeightsSource | None = None
    first_difference: Difference | None = None
    notes: tuple[str, ...] = ()


def prove(
    folder: Path,
    *,
    promoted_in: Path | None = None,
    load_panel: Callable[[str], Panel] = catalogue.load,
    load: Callable[[str, Mapping[str, Any]], Strategy] = load_strategy,
) -> Parity:
    """Compare a session with a backtest of its period.

    Parameters
    ----------
    folder
        Of the session, which holds its journal.
    promoted_in
        Folder of the promotions: a session that is not for research alone must run what one of them allowed.
        None: nobody asks.
    load_panel, load
        Find a data set by name, and a strategy by name and parameters.

    Raises
    ------
    InputError
        If there is no journal, or strategy or data set are not known any more.
    """
    try:
        journaled = read_session(folder)
    except JournalError as error:
        # What cannot be trusted is not compared, not even in part.
        return Parity(
            parity=False,
            first_difference=Difference(
                cause=Divergence.JOURNAL_DAMAGED, what=Stage.TERMS, explanation=str(error)
            ),
        )
    passport = journaled.start.passport
    panel = _todays_bars(journaled.start, load_panel)
    done = compare(journaled, panel, load(passport.strategy, passport.parameters))
    if done.parity and promoted_in is not None and not _was_promoted(passport, promoted_in):
        done = replace(done, parity=False, first_difference=_not_promoted(passport))
    problem = verify(folder).problem
    return replace(done, notes=(*done.notes, f"the end of the journal: {problem}")) if problem else done


def _todays_bars(start: SessionStart, load_panel: Callable[[str], Panel]) -> Panel:
    if start.feed.is_replay:
        return load_panel(start.data.name)
    return as_seen(whole(start.data.name), start.feed)


def _was_promoted(passport: Passport, folder: Path) -> bool:
    """Say whether a session may run what its journal says it runs: terms and all."""
    return passport.research_only or any(
        promotion.passport.hash == passport.hash for promotion in promotions(folder)
    )


def _not_promoted(passport: Passport) -> Difference:
    return Difference(
        cause=Divergence.NOT_PROMOTED,
        what=Stage.TERMS,
        field="passport",
        journal=passport.hash,
        explanation=(
            f"the session did what a backtest does, but on terms that nobody promoted: no promotion of "
            f"{passport.strategy_id} has the passport {passport.hash[:16]}; its costs, limits, data or "
            "parameters are not those that passed"
        ),
    )


def compare(journaled: Journaled, panel: Panel, strategy: Strategy) -> Parity:
    """Compare what a journal says with a backtest on the bars of a data set.

    Parameters
    ----------
    panel
        The data set as it is today.
    strategy
        As it is today, with the parameters of the passport.
    """
    start, bars = journaled.start, journaled.bars
    fed = fed_rows(start, panel)
    found = [*in_session(journaled), *in_bars(journaled, fed)]
    backtest = weights = None
    # On other terms, or where bars are gone, there is no such backtest.
    lost = any(item.stage is Stage.TERMS for item in found) or len(fed) < len(bars)
    if not lost and len(bars) > start.start_row:
        plan, weights, wrong = _base_weights(journaled, fed)
        found += wrong
        if plan is not None:
            backtest = play(journaled, fed, strategy, plan)
            found += in_account(journaled, backtest)
    first = min(found, key=lambda item: (item.row, _STAGES.index(item.stage)), default=None)
    return Parity(
        parity=first is None,
        strategy_id=start.passport.strategy_id,
        data=start.data.name,
        finished=journaled.finished is not None,
        journal=journaled.counts,
        backtest=_NOTHING if backtest is None else backtest.counts,
        first_opened=bar_times(journaled, fed, 0)[0],
        last_closed=bar_times(journaled, fed, len(bars) - 1)[1],
        weights=weights,
        first_difference=None if first is None else told(first, journaled, fed, strategy),
        notes=tuple(_notes(journaled, fed, strategy, first)),
    )


def _base_weights(
    journaled: Journaled, fed: Panel
) -> tuple[Plan | None, WeightsSource | None, tuple[Found, ...]]:
    """Return the plan that the backtest follows, where it is from, and where the journal departs from it."""
    start, facts, terms = journaled.start, journaled.weights, journaled.start.passport.plan
    recomputed = is_recomputed(terms)
    try:
        again = batch_plan(fed, terms, start.start_row, len(journaled.bars))
    except (AllocationError, InvalidValueError) as error:
        row = int(facts.rows[0]) if len(facts.rows) else start.start_row
        none = Found(
            cause=Divergence.WEIGHTS, stage=Stage.WEIGHTS, row=row, field="weights", backtest=str(error)
        )
        return None, None, (none,)
    tolerance = 0.0 if recomputed else RECHECK_TOLERANCE
    wrong = tuple(in_weights(journaled, again, tolerance))
    shared = min(len(facts.rows), len(again.rows))
    gaps = np.abs(facts.weights[:shared] - again.weights[:shared])
    gap = float(gaps.max(initial=0.0))
    source = WeightsSource(recomputed=recomputed, gap=gap if np.isfinite(gap) else None, tolerance=tolerance)
    if recomputed:
        return again, source, wrong
    # Facts that are no weights at all make no plan: the difference is found already.
    return None if wrong else plan_of_facts(facts, terms), source, wrong


def _notes(journaled: Journaled, fed: Panel, strategy: Strategy, first: Found | None) -> Iterator[str]:
    start, bars = journaled.start, journaled.bars
    if journaled.finished is None:
        of = "" if start.rows is None else f" of {start.rows:,}"
        yield f"the session is not finished: compared up to its last bar, {len(bars):,}{of}"
    if not start.feed.is_replay and len(fed) < len(bars):
        yield f"{start.data.name} does not have all bars of the session yet; next: engine data sync"
    if len(bars) <= start.start_row:
        yield "nothing was decided yet: only bars were compared"
    if start.passport.core_version != CORE_VERSION:
        yield f"compiled code was {start.passport.core_version} in the session, is {CORE_VERSION} here"
    if start.passport.graph_hash != strategy.hash:
        was, now = start.passport.graph_hash[:12], strategy.hash[:12]
        yield f"the file of {start.passport.strategy} was changed since: its graph was {was}, is {now}"
    told = fed if start.feed.is_replay else fed.rows(0, start.start_row)
    if told.content_hash != start.data.content_hash and (first is None or first.stage is not Stage.BARS):
        yield (
            f"{start.data.name} was revised in what the session does not read, or after its last bar: "
            f"bars {start.data.content_hash[:12]}, now {told.content_hash[:12]}"
        )
