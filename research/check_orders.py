"""The orders that follow from what a strategy computes, and where the orders of two runs differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from engine.core.records import ORDER_CLOSED, ORDER_FIELDS, ORDER_FILLED, ORDER_OUTCOME
from engine.core.settings import UNLIMITED, Rules
from engine.domain.panel import PRICE_FIELDS, FloatArray, IntArray, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.portfolio import Invest, Plan
from engine.features.calendar import OPENED_AT
from engine.features.operators import field
from engine.features.strategy import Strategy
from engine.pipeline.planning import batch_plan
from engine.pipeline.push import Bar, Pipeline
from engine.pipeline.run import Column, Detail, Settings, run_all

_ROW, _INSTRUMENT, _LOTS = (ORDER_FIELDS.index(name) for name in ("row", "instrument", "lots"))
_KIND = ORDER_FIELDS.index("kind")
_LATER = (ORDER_FILLED, ORDER_OUTCOME, ORDER_CLOSED)

_NAME = "computed {}"

# The whole account may be short as well as long; nothing else stands between a signal and its order, so that
# whatever differs in the one shows in the other.
_LIMITS = UNLIMITED._replace(gross=1.0, short=1.0)
_RULES = Rules(participation=np.inf)

# Rounding down to lots may fall one way or the other where a value differs in its last bits.
_DUST_LOTS = 4
_SHARE = 1e-6


class Agreement(Enum):
    """What two runs must share: all that is known when an order is made, or the trades up to rounding.

    Lots are a millionth of a unit; `ROUNDED` allows two of them and a millionth of the order.
    """

    EXACT = "exact"
    ROUNDED = "rounded"


@dataclass(frozen=True, kw_only=True)
class OrderDifference:
    """The first order of one run that the other does not have: signed lots, 0 for no order."""

    row: int
    instrument: int
    expected: int
    found: int


def listed_plan(panel: Panel, start_row: int = 0) -> Plan:
    """Return equal weights over what is listed, from a row on."""
    return batch_plan(panel, PlanTerms(kind=PlanKind.LISTED), start_row, len(panel))


def orders_of(
    panel: Panel,
    values: FloatArray,
    invest: Invest,
    *,
    plan: Plan | None = None,
    price_scale: float = 1.0,
) -> IntArray:
    """Return the orders of an account that trades on values computed before, columns as in `ORDER_FIELDS`.

    Parameters
    ----------
    values
        Shape (R, T, N): signals and, where a strategy has them, the roots of its orders.
    plan
        Base weights; the account begins with its first row. None: equal weight of what is listed.
    price_scale
        What prices were multiplied by. Lots are smaller and ticks larger by as much, so that the same money
        buys the same number of lots.
    """
    names = [_NAME.format(place) for place in range(len(values))]
    carrying = replace(
        panel, fields={**panel.fields, **dict(zip(names, np.ascontiguousarray(values), strict=True))}
    )
    plan = listed_plan(panel) if plan is None else plan
    roots = [field(name) for name in names]
    column = Column(plan=plan, root=roots[0], invest=invest, order_roots=tuple(roots[1:]))
    rules = _RULES._replace(lot_size=_RULES.lot_size / price_scale, tick_size=_RULES.tick_size * price_scale)
    settings = Settings(rules=rules, limits=_LIMITS, start_row=int(plan.rows[0]))
    return run_all(carrying, [column], settings, detail=Detail.RECORDS).order_records[0]


def live_orders(strategy: Strategy, panel: Panel) -> IntArray:
    """Return the orders of the same account as a session works it: bar by bar, columns alike."""
    plan = listed_plan(panel)
    pipeline = Pipeline(
        strategy=strategy,
        instruments=panel.instruments,
        settings=Settings(rules=_RULES, limits=_LIMITS),
        drift_band=plan.drift_band,
        has_range=panel.has_range,
        timeframe=panel.timeframe,
    )
    known = {name: getattr(panel, name) for name in PRICE_FIELDS} | {
        name: values
        if values.ndim == 2
        else np.repeat(values, len(panel.instruments)).reshape(len(panel), -1)
        for name, values in panel.fields.items()
    }
    fields = {name: known[name] for name in pipeline.fields - {OPENED_AT}}
    weights = dict(zip(plan.rows.tolist(), plan.weights, strict=True))
    orders = [np.empty((0, len(ORDER_FIELDS)), dtype=np.int64)]
    for row in range(len(panel)):
        bar = Bar(
            row=row,
            opened_at=int(panel.timestamps[row]),
            day_end=bool(panel.day_ends[row]),
            fields={name: values[row] for name, values in fields.items()},
        )
        orders.append(pipeline.push(bar, weights.get(row)).orders)
    return np.concatenate(orders)


def until(orders: IntArray, stop: int) -> IntArray:
    """Return the orders of rows below `stop`."""
    return np.asarray(orders[orders[:, _ROW] < stop])


def first_difference(expected: IntArray, found: IntArray, agreement: Agreement) -> OrderDifference | None:
    """Return the first order that two runs do not share, None if they share all."""
    if agreement is Agreement.EXACT:
        columns = [column for column in range(len(ORDER_FIELDS)) if column not in _LATER]
        return _compare(expected[:, columns], found[:, columns], columns, tolerance=0.0)
    columns = [_ROW, _INSTRUMENT, _KIND, _LOTS]
    return _compare(_sorted(expected[:, columns]), _sorted(found[:, columns]), columns, tolerance=_SHARE)


def _sorted(orders: IntArray) -> IntArray:
    """Return orders without those of a few lots, which are nothing but rounding, by row and instrument."""
    lots = np.abs(orders[:, -1])
    kept = orders[(lots == 0) | (lots > _DUST_LOTS)]
    return np.asarray(kept[np.lexsort(kept.T[::-1])])


def _compare(
    expected: IntArray, found: IntArray, columns: Sequence[int], *, tolerance: float
) -> OrderDifference | None:
    common = min(len(expected), len(found))
    one, other = expected[:common], found[:common]
    same = one == other
    if tolerance > 0.0:
        lots = columns.index(_LOTS)
        allowed = 2 + tolerance * np.abs(one[:, lots])
        same[:, lots] = np.abs(one[:, lots] - other[:, lots]) <= allowed
    unlike = np.flatnonzero(~same.all(axis=1))
    place = int(unlike[0]) if len(unlike) else common
    if place == len(expected) == len(found):
        return None
    return _difference(expected[place:], found[place:], columns)


def _difference(expected: IntArray, found: IntArray, columns: Sequence[int]) -> OrderDifference:
    """Describe the first order of two lists whose first orders differ."""
    row, instrument, lots = (columns.index(column) for column in (_ROW, _INSTRUMENT, _LOTS))
    heads = [(int(orders[0, row]), int(orders[0, instrument])) for orders in (expected, found) if len(orders)]
    first = min(heads)

    def lots_there(orders: IntArray) -> int:
        is_there = len(orders) > 0 and (int(orders[0, row]), int(orders[0, instrument])) == first
        return int(orders[0, lots]) if is_there else 0

    return OrderDifference(
        row=first[0], instrument=first[1], expected=lots_there(expected), found=lots_there(found)
    )
