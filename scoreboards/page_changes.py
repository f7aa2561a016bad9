"""What would have to change for a row to pass: its open gates, years, costs and money, in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.domain.gates import GateStatus
from scoreboards.board import Board, Row, UniverseFacts
from scoreboards.explain import WORDS
from scoreboards.gate_words import STEPS
from scoreboards.page_gates import Mark, marks

COST_COLUMNS = ((1.0, "excess_sharpe"), (2.0, "excess_costs_2x"), (3.0, "excess_costs_3x"))
ATTRIBUTION = (
    ("selection", "selection_alpha"),
    ("optimisation", "optimisation_alpha"),
    ("timing", "timing_alpha"),
    ("costs", "cost_alpha"),
)
# Beyond it a straight line through two points says nothing.
_FARTHEST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """An open gate of a row, and what to do."""

    mark: Mark
    step: str


@dataclass(frozen=True, kw_only=True, eq=False)
class NearMiss:
    """A row that came close.

    Attributes
    ----------
    openings
        Its open gates, in the order of the gates.
    n_asked
        Gates that apply to it.
    """

    row: Row
    openings: tuple[Opening, ...]
    n_asked: int
    years: str
    costs: str
    money: str


def near_misses(board: Board) -> tuple[NearMiss, ...]:
    """Return the rows that came closest without passing, closest first."""
    universes = {universe.name: universe for universe in board.universes}
    return tuple(near_miss(row, universes[row.text("universe")]) for row in board.nearest_misses())


def near_miss(row: Row, universe: UniverseFacts) -> NearMiss:
    """Say what stands between a row and a PASS."""
    found = marks(row)
    return NearMiss(
        row=row,
        openings=tuple(
            Opening(mark=mark, step=_step(mark))
            for mark in found
            if mark.status in (GateStatus.FAIL, GateStatus.MISSING)
        ),
        n_asked=sum(mark.status != GateStatus.NOT_APPLICABLE for mark in found),
        years=years_words(row, universe.days_per_year),
        costs=cost_words(row),
        money=money_words(row),
    )


def _step(mark: Mark) -> str:
    if mark.status == GateStatus.MISSING:
        return f"{WORDS[mark.gate].missing}; give the tournament what it needs"
    return STEPS[mark.gate]


def years_words(row: Row, days_per_year: int) -> str:
    """Say how long a record proves an excess of this strength (minimum track record), and how long it is."""
    share, years = row.number("track_record"), row.number("days") / days_per_year
    if math.isnan(share) or math.isnan(years):
        return "not known: it has no excess over the pool to prove"
    if math.isinf(share):
        return f"no record is long enough: it earned no excess in {years:.1f} years"
    if share <= 1:
        return f"{share * years:.1f} years prove an excess of this strength; there are {years:.1f}"
    return f"{share * years:.1f} years of such an excess would prove it; there are {years:.1f}"


def cost_points(row: Row) -> tuple[tuple[float, float], ...]:
    """Return multiples of the costs and the excess Sharpe ratio under each, where it is known."""
    points = ((multiple, row.number(column)) for multiple, column in COST_COLUMNS)
    return tuple((multiple, value) for multiple, value in points if math.isfinite(value))


def cost_level(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the multiple of the costs at which an excess is gone; None where no such is in sight.

    Between the multiples that were played by a straight line, beyond the last one along the last line, up to
    ten times. 1 or less says that it is gone already.

    Parameters
    ----------
    points
        Multiples, rising, and the excess under each.

    Examples
    --------
    >>> cost_level([(1, 0.2), (2, 0.1), (3, -0.1)])
    2.5
    >>> cost_level([(1, 0.75), (2, 0.5), (3, 0.25)])
    4.0
    >>> cost_level([(1, -0.1), (2, -0.2)])
    1
    >>> cost_level([(1, 0.3), (2, 0.3)]) is None
    True
    """
    if not points:
        return None
    if points[0][1] <= 0:
        return points[0][0]
    for (start, high), (stop, low) in pairwise(points):
        if low <= 0:
            return start + (stop - start) * high / (high - low)
    if len(points) < 2:
        return None
    (start, high), (stop, low) = points[-2:]
    if not low < high:
        return None
    level = stop + (stop - start) * low / (high - low)
    return level if level <= _FARTHEST else None


def cost_words(row: Row) -> str:
    """Say at how much more cost the excess would vanish."""
    points = cost_points(row)
    if not points:
        return "not known: it has no excess over the pool"
    level, played = cost_level(points), points[-1][0]
    if points[0][1] <= 0:
        return "at the costs that it was played with there is no excess left to lose"
    if level is None:
        return f"it is there at {played:.0f} times the costs, and does not vanish up to {_FARTHEST:.0f} times"
    if level > played:
        return f"it would vanish at about {level:.1f} times the costs, beyond the {played:.0f} times played"
    return f"it vanishes at {level:.1f} times the costs"


def capital_points(row: Row) -> tuple[tuple[float, float], ...]:
    """Return capital and the excess Sharpe ratio with it, smallest first; empty without volume."""
    pairs = (part.split(":") for part in row.text("capacity_curve").split(";") if part)
    return tuple((float(money), float(value)) for money, value in pairs)


def money_words(row: Row) -> str:
    """Say how much money the excess carries."""
    points = capital_points(row)
    if not points:
        return "not known: these data have no volume"
    carried = row.number("capacity")
    if not carried > 0:
        return f"it carries none: no excess with {points[0][0]:,.0f}"
    end = ", the most that was played" if carried >= points[-1][0] else ""
    return f"it lasts up to {carried:,.0f}{end}"


def attribution(row: Row) -> tuple[tuple[str, float], ...]:
    """Return what the yearly excess at the pool's exposure is made of; empty where it cannot be told.

    The parts add up to it.
    """
    parts = tuple((name, row.number(column)) for name, column in ATTRIBUTION)
    return parts if all(math.isfinite(value) for _, value in parts) else ()


def regimes(row: Row) -> tuple[tuple[str, float, int], ...]:
    """Return the yearly excess in each kind of market, and the days of it."""
    parts = []
    for part in row.text("regime_excess").split(";"):
        if part:
            name, _, figures = part.partition(":")
            value, _, days = figures.partition("/")
            parts.append((name.lower(), float(value), int(days)))
    return tuple(parts)
