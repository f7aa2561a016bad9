"""What is compared of a session: bars with the data set, everything else with the backtest, bit for bit."""

from collections.abc import Iterator

import numpy as np

from engine.allocation.allocator import WEIGHT_UNITS
from engine.core.records import ACCRUAL_FIELDS, CLOSE_FIELDS, FILL_FIELDS
from engine.domain.panel import PRICE_FIELDS, FloatArray, Panel
from engine.domain.passport import PlanKind
from engine.domain.portfolio import Plan
from engine.session.difference import (
    Causes,
    Divergence,
    Found,
    Stage,
    Value,
    first_in_arrays,
    first_in_tables,
)
from engine.session.journaled import ORDER_FACTS, Journaled
from engine.session.rerun import Backtest
from engine.session.start import FedData

FILL_CAUSES = Causes(
    missing=Divergence.FILL_MISSING,
    extra=Divergence.FILL_EXTRA,
    other=Divergence.FILL,
    fields=(
        ("lots", Divergence.FILL_SIZE),
        ("price_e8", Divergence.FILL_PRICE),
        ("fee_e8", Divergence.FEE),
    ),
)
ORDER_CAUSES = Causes(missing=Divergence.ORDER_MISSING, extra=Divergence.ORDER_EXTRA, other=Divergence.ORDER)
ORDER_END_CAUSES = Causes(
    missing=Divergence.ORDER_END, extra=Divergence.ORDER_END, other=Divergence.ORDER_END
)
CASH_MOVEMENT_CAUSES = Causes(
    missing=Divergence.CASH_MOVEMENT, extra=Divergence.CASH_MOVEMENT, other=Divergence.CASH_MOVEMENT
)
# What a session was told of its data set, beside its bars.
_DATA_FACTS = (
    "name", "instruments", "timeframe", "calendar", "adjustment", "synthetic", "has_range",
    "has_volume", "has_funding",
)  # fmt: skip
_NEVER = np.iinfo(np.int64).max


def in_session(journaled: Journaled) -> Iterator[Found]:
    """Find what the journal contradicts itself in, and what of it stands in the wrong place."""
    start, bars = journaled.start, journaled.bars
    if journaled.instance != start.instance:
        yield Found(
            cause=Divergence.TERMS_CHANGED,
            stage=Stage.TERMS,
            row=0,
            field="instance",
            journal=journaled.instance,
            backtest=start.instance,
        )
    misplaced = journaled.misplaced
    if misplaced is not None:
        yield Found(
            cause=Divergence.RECORD_ORDER,
            stage=Stage.RECORDS,
            row=misplaced.at_row,
            field="place",
            journal=f"record {misplaced.sequence}, {misplaced.kind.name} of row {misplaced.row}",
        )
    said = journaled.finished
    if said is not None:
        rows = len(bars) if start.rows is None else start.rows
        counted = {"rows": rows, "orders": len(journaled.orders), "fills": len(journaled.fills)}
        for name, count in counted.items():
            if said.get(name) != count:
                yield Found(
                    cause=Divergence.SUMMARY,
                    stage=Stage.SUMMARY,
                    row=max(len(bars) - 1, 0),
                    field=name,
                    journal=said.get(name),
                    backtest=count,
                )


def in_bars(journaled: Journaled, fed: Panel) -> Iterator[Found]:
    """Find the first difference of each field between bars of the journal and those of the data set."""
    start, bars = journaled.start, journaled.bars
    # On a feed a session was told of its history, and of no bar after it.
    data, today = start.data, FedData.of(fed if start.feed.is_replay else fed.rows(0, start.start_row))
    for name in _DATA_FACTS:
        was, now = getattr(data, name), getattr(today, name)
        # Volume that is not there any more is a revised bar, and is named as such.
        if was != now and not (name == "has_volume" and was):
            yield Found(
                cause=Divergence.DATA_REVISED,
                stage=Stage.TERMS,
                row=0,
                field=name,
                journal=str(was),
                backtest=str(now),
            )
            return
    if not bars.present.all():
        yield Found(
            cause=Divergence.BAR_MISSING,
            stage=Stage.BARS,
            row=int(np.argmin(bars.present)),
            backtest="a bar",
        )
    shared = min(len(bars), len(fed))
    if shared < len(bars):
        yield Found(
            cause=Divergence.DATA_REVISED, stage=Stage.BARS, row=shared, journal="a bar", backtest=None
        )
    present = bars.present[:shared]
    for name, ours, theirs in (
        ("opened_at", bars.opened_at, fed.timestamps),
        ("day_end", bars.day_ends, fed.day_ends),
    ):
        place = first_in_arrays(ours[:shared], theirs[:shared], present=present)
        if place is not None:
            yield _revised(place[0], None, name, int(ours[place]), int(theirs[place]))
    for name, values in bars.fields.items():
        column = _column(fed, name, values.shape[1])
        if column is None:
            yield _revised(0, None, name, "a field", None)
            continue
        place = first_in_arrays(values[:shared], column[:shared], present=present)
        if place is not None:
            instrument = place[1] if values.shape[1] > 1 or len(fed.instruments) == 1 else None
            yield _revised(place[0], instrument, name, float(values[place]), float(column[place]))


def _revised(row: int, instrument: int | None, field: str, journal: Value, backtest: Value) -> Found:
    return Found(
        cause=Divergence.DATA_REVISED,
        stage=Stage.BARS,
        row=row,
        instrument=instrument,
        field=field,
        journal=journal,
        backtest=backtest,
    )


def _column(fed: Panel, name: str, width: int) -> FloatArray | None:
    """Return a field of the data set in the shape in which the journal has it; None where there is none."""
    if name in PRICE_FIELDS:
        values: FloatArray = getattr(fed, name)
        return values
    if name not in fed.fields:
        return None
    values = fed.fields[name]
    if values.ndim == 1:
        return np.repeat(values, width).reshape(-1, width)
    return values if values.shape[1] == width else None


def in_weights(journaled: Journaled, again: Plan, tolerance: float) -> Iterator[Found]:
    """Find the first base weights that are not those made again.

    Parameters
    ----------
    tolerance
        How far a weight may be from the one that came out again.
    """
    facts = journaled.weights
    for place in range(max(len(facts.rows), len(again.rows))):
        ours = int(facts.rows[place]) if place < len(facts.rows) else _NEVER
        theirs = int(again.rows[place]) if place < len(again.rows) else _NEVER
        row = min(ours, theirs)
        if ours != theirs:
            yield _apart(
                row, "", "base weights" if ours == row else None, "base weights" if theirs == row else None
            )
            return
        if facts.windows[place] != place:
            yield _apart(row, "window", int(facts.windows[place]), place)
            return
        was, now = facts.weights[place], again.weights[place]
        # Not a number is no weight, and no distance.
        apart = ~(np.abs(was - now) <= tolerance)
        if apart.any():
            column = int(np.argmax(apart))
            yield _apart(row, "weight", float(was[column]), float(now[column]), column)
            return
        listed = journaled.start.passport.plan.kind is PlanKind.LISTED
        units = np.full(was.shape, -1) if listed else np.rint(was * WEIGHT_UNITS).astype(np.int64)
        apart = facts.units[place] != units
        if apart.any():
            column = int(np.argmax(apart))
            yield _apart(row, "units", int(facts.units[place, column]), int(units[column]), column)
            return


def _apart(row: int, field: str, journal: Value, backtest: Value, instrument: int | None = None) -> Found:
    return Found(
        cause=Divergence.WEIGHTS,
        stage=Stage.WEIGHTS,
        row=row,
        instrument=instrument,
        field=field,
        journal=journal,
        backtest=backtest,
    )


def in_account(journaled: Journaled, backtest: Backtest) -> Iterator[Found]:
    """Find the first difference of each stage in what the account did."""
    decisions, start_row = journaled.decisions, journaled.start.start_row
    present = decisions.present
    if not present.all():
        row = int(np.argmin(present)) + start_row
        yield Found(cause=Divergence.DECISION_MISSING, stage=Stage.INTENTS, row=row, backtest="a decision")
    arrays = (
        (Stage.SIGNALS, Divergence.SIGNAL, "signal", decisions.signals, backtest.signals),
        (Stage.POSITIONS, Divergence.POSITION, "lots", decisions.lots, backtest.lots),
        (Stage.CASH, Divergence.CASH, "cash", decisions.cash, backtest.cash),
        (Stage.EQUITY, Divergence.EQUITY, "equity", decisions.equity, backtest.equity),
        (Stage.INTENTS, Divergence.TARGET, "target", decisions.targets, backtest.targets),
        (Stage.INTENTS, Divergence.TARGET, "reason", decisions.reasons, backtest.reasons),
        (Stage.INTENTS, Divergence.TARGET, "cause", decisions.causes, backtest.causes),
    )
    for stage, cause, field, ours, theirs in arrays:
        place = first_in_arrays(ours, theirs, present=present)
        if place is not None:
            yield Found(
                cause=cause,
                stage=stage,
                row=place[0] + start_row,
                instrument=place[1] if len(place) > 1 else None,
                field=field,
                journal=ours[place].item(),
                backtest=theirs[place].item(),
            )
    yield from _in_records(journaled, backtest)


def _in_records(journaled: Journaled, backtest: Backtest) -> Iterator[Found]:
    tables = (
        (Stage.FILLS, FILL_FIELDS, ("order", "instrument"), FILL_CAUSES, journaled.fills, backtest.fills),
        (Stage.ORDER_ENDS, CLOSE_FIELDS, ("order",), ORDER_END_CAUSES, journaled.closes, backtest.closes),
        (
            Stage.CASH_MOVEMENTS,
            ACCRUAL_FIELDS,
            ("instrument", "what"),
            CASH_MOVEMENT_CAUSES,
            journaled.accruals,
            backtest.accruals,
        ),
        (Stage.ORDERS, ORDER_FACTS, ("order",), ORDER_CAUSES, journaled.orders, backtest.orders),
    )
    for stage, columns, key, causes, ours, theirs in tables:
        found = first_in_tables(ours, theirs, columns, stage=stage, key=key, causes=causes)
        if found is not None:
            yield found
    pairs = zip(journaled.client_order_ids, backtest.client_order_ids, strict=False)
    for place, (ours_id, theirs_id) in enumerate(pairs):
        if ours_id != theirs_id:
            row, order, instrument = backtest.orders[place, :3].tolist()
            yield Found(
                cause=Divergence.ORDER,
                stage=Stage.ORDERS,
                row=row,
                instrument=instrument,
                field="client_order_id",
                journal=ours_id,
                backtest=theirs_id,
                order=order,
            )
            return
