"""The first difference of a session in words: which bar, what, and what it most likely comes from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core.records import NO_TARGET
from engine.domain.panel import Panel
from engine.features.strategy import Strategy
from engine.session.checks import CheckStatus, examine
from engine.session.difference import Divergence, Found, Stage, Value
from engine.session.journaled import Journaled, iso

_WORDS: Mapping[Divergence, str] = {
    Divergence.TERMS_CHANGED: "what the session was told is not what its name stands for: "
    "the first record was changed after it was written",
    Divergence.DATA_REVISED: "the data set does not say today what the session was fed: "
    "it was revised since, or the bar was changed in the journal",
    Divergence.BAR_MISSING: "the journal has no record of this bar",
    Divergence.TAIL_TRUNCATED: "a batch that was never finished was cut off here, and was not made again",
    Divergence.RECORD_ORDER: "the records are there and stand in another order: they were moved or doubled",
    Divergence.CORE_VERSION: "the session ran with other compiled code",
    Divergence.STRATEGY_CHANGED: "the file of the strategy says something else than when the session ran",
    Divergence.SIGNAL: "bars agree up to here and signals do not",
    Divergence.WEIGHTS: "bars agree up to here and base weights do not",
    Divergence.FILL_MISSING: "the backtest fills here and the journal has no such fill",
    Divergence.FILL_EXTRA: "the journal has a fill that the backtest does not have",
    Divergence.FILL_PRICE: "the order is the same on both sides and was filled at another price",
    Divergence.FILL_SIZE: "the order is the same on both sides and was filled with another number of lots",
    Divergence.FEE: "price and lots are the same on both sides and the fee is not",
    Divergence.FILL: "order, price, lots and fee are the same on both sides and this is not",
    Divergence.ORDER_END: "fills agree up to here and what became of an order does not",
    Divergence.CASH_MOVEMENT: "fills agree up to here and what was paid or received for holding does not",
    Divergence.POSITION: "fills agree up to here and what is held after them does not",
    Divergence.CASH: "fills, fees and movements agree up to here and the cash after them does not",
    Divergence.EQUITY: "cash and positions agree up to here and their value does not",
    Divergence.DECISION_MISSING: "the journal has no decision for this bar",
    Divergence.TARGET: "bars, signals, weights, fills and cash agree up to here and the decision does not",
    Divergence.ORDER_MISSING: "the decision asks for an order and the journal has none",
    Divergence.ORDER_EXTRA: "the journal has an order that the backtest does not send",
    Divergence.ORDER: "the decision is the same on both sides and the order is not",
    Divergence.SUMMARY: "the last record does not count what stands before it",
}
_MISSING = (
    Divergence.BAR_MISSING,
    Divergence.FILL_MISSING,
    Divergence.ORDER_MISSING,
    Divergence.DECISION_MISSING,
)
# These are about the journal or its bars: no version of any code explains them.
_BEFORE_CODE = (Stage.TERMS, Stage.BARS, Stage.RECORDS, Stage.SUMMARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place in time at which journal and backtest part.

    Attributes
    ----------
    what
        The stage, such as `fill`.
    field
        What of it, such as `price_e8`; empty where all of it is missing or too much.
    row
        Of the bar, counted from the origin; None where it is about no bar.
    opened, closed
        Of that bar, ISO-8601 in UTC.
    journal, backtest
        What each side says; None: nothing.
    explanation
        In words: what it is and what it most likely comes from.
    """

    cause: Divergence
    what: Stage
    field: str = ""
    row: int | None = None
    opened: str | None = None
    closed: str | None = None
    instrument: str | None = None
    order: int | None = None
    journal: Value = None
    backtest: Value = None
    explanation: str = ""


def _cause(found: Found, journaled: Journaled, strategy: Strategy) -> Divergence:
    """Return what a difference most likely comes from: what stands before its stage, if that is another."""
    if found.cause in _MISSING and any(row in (found.row - 1, found.row) for row in journaled.cut_rows):
        return Divergence.TAIL_TRUNCATED
    if found.stage in _BEFORE_CODE or found.cause is Divergence.RECORD_ORDER:
        return found.cause
    passport = journaled.start.passport
    if passport.core_version != CORE_VERSION and not _contradicts_itself(journaled, found.row):
        return Divergence.CORE_VERSION
    if passport.graph_hash != strategy.hash and found.stage is not Stage.WEIGHTS:
        return Divergence.STRATEGY_CHANGED
    return found.cause


def _contradicts_itself(journaled: Journaled, row: int) -> bool:
    """Return whether a bar breaks the journal's own books: then it was changed, whatever code wrote it."""
    return any(check.status is CheckStatus.FAIL and check.row == row for check in examine(journaled))


def told(found: Found, journaled: Journaled, fed: Panel, strategy: Strategy) -> Difference:
    """Say what was found.

    Parameters
    ----------
    fed
        The bars that the data set has for the session.
    strategy
        As it is today.
    """
    cause = _cause(found, journaled, strategy)
    symbols = journaled.start.data.instruments
    instrument = None
    if found.instrument is not None and 0 <= found.instrument < len(symbols):
        instrument = symbols[found.instrument].symbol
    opened, closed = bar_times(journaled, fed, found.row)
    what = found.stage.value
    if found.order is not None:
        what += f" of order {found.order}" if found.stage is not Stage.ORDERS else f" {found.order}"
    if instrument is not None:
        what += f" of {instrument}"
    said = f"the {what}, bar {found.row:,} (opens {opened}, closes {closed})"
    if found.field:
        ours, theirs = _shown(found.journal), _shown(found.backtest)
        said += f": {found.field} is {ours} in the journal, {theirs} in the backtest"
    elif found.journal is None:
        said += ": is not in the journal"
    else:
        said += ": is not in the backtest"
    return Difference(
        cause=cause,
        what=found.stage,
        field=found.field,
        row=found.row,
        opened=opened,
        closed=closed,
        instrument=instrument,
        order=found.order,
        journal=_plain(found.journal),
        backtest=_plain(found.backtest),
        explanation=f"{said}; {_WORDS[cause]}",
    )


def _shown(value: Value) -> str:
    if value == NO_TARGET:
        return "not decided"
    return "nothing" if value is None else str(value)


def _plain(value: Value) -> Value:
    """Return a value that JSON has: not a number is text, and no target is none."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return None if value == NO_TARGET else value


def bar_times(journaled: Journaled, fed: Panel, row: int) -> tuple[str | None, str | None]:
    """Return when a bar opens and closes, ISO-8601 in UTC; None where neither side has it."""
    bars = journaled.bars
    if 0 <= row < len(bars) and bars.present[row]:
        opened = int(bars.opened_at[row])
    elif 0 <= row < len(fed):
        opened = int(fed.timestamps[row])
    else:
        return None, None
    return iso(opened), iso(opened + journaled.start.data.timeframe.nanoseconds)
