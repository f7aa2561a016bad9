"""What a search may be asked to make large, measured on one stretch of one account."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import assert_never

import numpy as np
import numpy.typing as npt

from engine.core import metrics
from engine.domain.errors import InputError
from engine.domain.panel import FloatArray
from research.excess import excess_returns, mean_gross

BoolArray = npt.NDArray[np.bool_]


class Objective(StrEnum):
    """What to make as large as possible; every one of them is better the larger it is."""

    EXCESS_SHARPE = "excess_sharpe"
    SHARPE = "sharpe"
    CALMAR = "calmar"
    CAGR = "cagr"
    MAX_DRAWDOWN = "max_drawdown"
    CVAR_95 = "cvar_95"
    LOW_TURNOVER = "low_turnover"


MEANINGS = {
    Objective.EXCESS_SHARPE: "Sharpe ratio of what goes beyond the equally weighted pool at equal exposure",
    Objective.SHARPE: "Sharpe ratio of daily returns",
    Objective.CALMAR: "compounded yearly return for each unit of the deepest drawdown",
    Objective.CAGR: "compounded yearly return",
    Objective.MAX_DRAWDOWN: "deepest drawdown, a negative share",
    Objective.CVAR_95: "mean of the worst 5% of days, a loss is negative",
    Objective.LOW_TURNOVER: "one-way turnover a year, negative",
}


def objectives_of(names: Sequence[str]) -> tuple[Objective, ...]:
    """Read the names of objectives.

    Raises
    ------
    InputError
        For a name that is not known or stands twice, with those that are known.
    """
    known = ", ".join(Objective)
    for name in names:
        if name not in set(Objective):
            near = get_close_matches(name, [objective.value for objective in Objective], n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"--objective: {name!r} is not known, {hint}known are {known}")
        if names.count(name) > 1:
            raise InputError(f"--objective: {name} is named twice")
    if not names:
        raise InputError(f"--objective: name at least one of {known}")
    return tuple(Objective(name) for name in names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """Some days of an account, beside the equally weighted pool on the same days.

    Attributes
    ----------
    returns, excess
        Shape (D,), a day; the excess is over the pool at the mean exposure of this stretch.
    gross
        Mean of position value / equity.
    turnover
        One-way, of the whole stretch.
    """

    returns: FloatArray
    excess: FloatArray
    gross: float
    turnover: float
    days_per_year: int


def stretch(
    equity: FloatArray,
    gross: FloatArray,
    turnover: FloatArray,
    pool: FloatArray,
    day_ends: BoolArray,
    days_per_year: int,
) -> Stretch | None:
    """Describe an account from its rows; None where it is ruined: no ratio says how bad that is.

    Parameters
    ----------
    equity, gross, turnover, pool
        Shape (R,), the account's rows and the equity of the pool on them, oldest first.
    day_ends
        Shape (R,).
    """
    if not (equity > 0).all():
        return None
    returns = metrics.daily_returns(equity, day_ends)
    exposure = mean_gross(gross)
    return Stretch(
        returns=returns,
        excess=excess_returns(returns, exposure, metrics.daily_returns(pool, day_ends)),
        gross=exposure,
        turnover=float(turnover.sum()),
        days_per_year=days_per_year,
    )


def measure(objective: Objective, of: Stretch) -> float:
    """Return an objective, larger is better; NaN where there is nothing to measure, as without a trade."""
    returns, year = of.returns, of.days_per_year
    if of.gross == 0.0:
        return math.nan
    match objective:
        case Objective.EXCESS_SHARPE:
            return metrics.sharpe(of.excess, year)
        case Objective.SHARPE:
            return metrics.sharpe(returns, year)
        case Objective.CALMAR:
            depth = -metrics.max_drawdown(returns)
            return metrics.cagr(returns, year) / depth if depth > 0 else math.nan
        case Objective.CAGR:
            return metrics.cagr(returns, year)
        case Objective.MAX_DRAWDOWN:
            return metrics.max_drawdown(returns)
        case Objective.CVAR_95:
            return metrics.cvar_95(returns)
        case Objective.LOW_TURNOVER:
            return -of.turnover / returns.size * year
        case _:
            assert_never(objective)


def measures(objectives: Sequence[Objective], of: Stretch | None) -> tuple[float, ...] | None:
    """Return all objectives, or None where one cannot be measured."""
    if of is None:
        return None
    values = tuple(measure(objective, of) for objective in objectives)
    return values if all(math.isfinite(value) for value in values) else None
