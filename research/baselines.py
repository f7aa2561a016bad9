"""The rows that a strategy is measured against: the market, the chosen instruments, the whole pool.

Baselines carry no limits and no cash buffer (RULINGS C6, D2), pay the same costs, and never win.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.core.settings import UNLIMITED, Limits
from engine.domain.panel import Adjustment, FloatArray, Instrument, Panel
from engine.domain.portfolio import Plan
from engine.pipeline.run import Settings
from engine.schedule.windows import Rebalance, Window, plan

MARKET_FIELD = "market"

BoolArray = npt.NDArray[np.bool_]


def equal_weights(masks: BoolArray) -> FloatArray:
    """Return 1/n for each window's n instruments; a window without any is cash.

    Parameters
    ----------
    masks
        Shape (K, N).
    """
    counts = masks.sum(axis=1, keepdims=True)
    return np.where(masks, 1.0 / np.maximum(counts, 1), 0.0)


def equal_weight_plan(windows: Sequence[Window], masks: BoolArray, rebalance: Rebalance) -> Plan:
    """Return the plan that holds each window's instruments in equal parts."""
    return plan(windows, equal_weights(masks), rebalance)


def market_panel(panel: Panel) -> Panel | None:
    """Return the market's level as a panel of one instrument, or None where the data set has no market."""
    level = panel.fields.get(MARKET_FIELD)
    if level is None:
        return None
    column = level[:, None]
    return Panel(
        name=f"{panel.name}.{MARKET_FIELD}",
        timestamps=panel.timestamps,
        open=column,
        high=column,
        low=column,
        close=column,
        volume=np.full(column.shape, np.nan),
        instruments=(Instrument(symbol=MARKET_FIELD, delisting_haircut=0.0),),
        timeframe=panel.timeframe,
        calendar=panel.calendar,
        adjustment=Adjustment.NONE,
        has_range=False,
        synthetic=panel.synthetic,
    )


def buy_and_hold_plan(start_row: int) -> Plan:
    """Return the plan of one instrument bought once."""
    return Plan(rows=np.array([start_row], dtype=np.int64), weights=np.ones((1, 1)))


def freed(limits: Limits) -> Limits:
    """Return limits that cap nothing; what was forbidden, to sell short or to borrow, stays forbidden."""
    return UNLIMITED._replace(short=np.inf if limits.short else 0.0, leverage=limits.leverage)


def unlimited(settings: Settings) -> Settings:
    """Return the settings under which baselines play."""
    return replace(settings, limits=UNLIMITED, rules=settings.rules._replace(cash_buffer=0.0))
