"""Why two simulators differ, fill by fill, in units and in money; the parts add up to the whole gap.

Both were given the same decisions. Their fills are laid side by side by row and instrument. What each
wanted there follows from its own equity and position, so every difference of quantities splits exactly into

- what closes an earlier difference (it belongs to the class that opened it),
- what one wanted more because it was worth more by then (`EQUITY`: the gaps before, compounded),
- what each filled other than it wanted, which needs a rule: lots, cash, bound, participation, no trade.

A difference of units is a position that one has and the other has not. It is opened at a price and closed at
another, or marked at the end, and what it earned in between is its money. Prices and fees that differ add
theirs. So the money of all classes is the gap of the final equities, but for rounding; what no rule accounts
for stands under `MISSING`, `TIMING` and `UNEXPLAINED`, and what is left over is the residue.
"""

import csv
import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import numpy as np

from engine.core.records import ACCRUAL_FIELDS, FILL_FIELDS, ORDER_FIELDS
from engine.core.settings import MARKETABLE_LIMIT, Rules
from engine.domain.errors import InvalidValueError
from engine.domain.orders import OrderKind
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.reasons import Cause, Reason
from engine.pipeline.run import Outcome, Settings
from research.simulators import FillTable, TargetRun, carried_forward

_UNITS_E8 = 1e8
_BPS = 1e4
# A fill so many bars from its twin is the same one at another time.
_NEAR_ROWS = 5
# Of equity: more than this without a rule and the two do not agree.
TOLERANCE = 1e-6


class Difference(Enum):
    """Why a fill is not the same on both sides; the value is the sentence of the report."""

    LOT = "quantities rounded down to lots on one side"
    PRICE_ROUNDING = "prices rounded to 1e-8 on one side"
    EQUITY = "sized on equity that differed already"
    CASH = "cash was short: buys were cut by different rules"
    BOUND = "the order's price bound had passed; the other side has no bounds"
    PARTICIPATION = "cut to a share of the bar's volume on one side"
    MINIMUM = "below the smallest order on one side"
    NOT_TRADED = "the bar had no trade or no volume for one side"
    SPREAD = "one bought and the other sold, each at its own side of the spread"
    IMPACT = "size moved the price on one side"
    FEES = "fees, each at the same rate of its own notional"
    DELISTED = "booked out on one side, held at the last close on the other"
    ACCRUED = "borrowing, interest or funding booked on one side"
    PATH = "limits and stops were matched by other rules, at prices inside the bar"
    STOP_LIMIT = "a triggered stop-limit filled at its limit here, at its trigger there"
    TIMING = "the same fill at another bar"
    MISSING = "one side has no fill and gives no reason"
    UNEXPLAINED = "no rule accounts for it"


NO_RULE = frozenset({Difference.TIMING, Difference.MISSING, Difference.UNEXPLAINED})

_OF_REASON = {
    Reason.CUT_CASH: Difference.CASH,
    Reason.CUT_PARTICIPATION: Difference.PARTICIPATION,
    Reason.PRICE_OUTSIDE_BOUND: Difference.BOUND,
    Reason.NOT_TRADED: Difference.NOT_TRADED,
    Reason.NO_VOLUME: Difference.NOT_TRADED,
    Reason.BELOW_MINIMUM: Difference.MINIMUM,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Market:
    """What both simulators were told. Arrays have shape (R, N); rows count from the account's first.

    Attributes
    ----------
    opens, highs, lows, marks, volumes
        Prices at which orders are filled before costs; ends of the bar; last closes so far; units, NaN where
        unknown.
    decided
        Target weights of what was decided at the close of a row, else NaN. All NaN where the account works
        limits and stops, whose quantities do not follow from weights.
    slippage_rate, fee_rate, impact_coefficient
        Shares of price and notional; basis points of a fill of a whole bar's volume, on our side only.
    """

    symbols: tuple[str, ...]
    timestamps: IntArray
    opens: FloatArray
    highs: FloatArray
    lows: FloatArray
    marks: FloatArray
    volumes: FloatArray
    decided: FloatArray
    rules: Rules
    cash: float
    slippage_rate: float
    fee_rate: float
    impact_coefficient: float
    by_orders: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Account:
    """What one simulator did.

    Attributes
    ----------
    equity
        Shape (R,), as it reported it.
    reasons
        By row and instrument: why a fill is not what was wanted, where the simulator says so.
    exits
        Rows and instruments of holdings that were booked out.
    at_limit
        Rows and instruments of fills of stop-limits: we book the worst price that they accept, even where
        the bar never had it.
    accrued
        Cash that moved without a fill.
    floors_lots, has_bound, has_participation
        Rules that it has; those of a simulator that gives no reasons are checked by them.
    """

    name: str
    fills: FillTable
    equity: FloatArray
    reasons: Mapping[tuple[int, int], Reason] = field(default_factory=dict)
    exits: frozenset[tuple[int, int]] = frozenset()
    at_limit: frozenset[tuple[int, int]] = frozenset()
    accrued: float = 0.0
    floors_lots: bool = True
    has_bound: bool = True
    has_participation: bool = True


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference.

    Attributes
    ----------
    row, closed
        Where it came up, and where it was gone again (the last row where it never was).
    units
        That the other side has more than we, 0 for a matter of price or fee alone.
    price, closed_price
        At which that position was opened and closed.
    money
        What it adds to the other side's equity less ours.
    """

    kind: Difference
    row: int
    instrument: int
    units: float
    price: float
    closed: int
    closed_price: float
    money: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ParityReport:
    """All differences of two accounts.

    Attributes
    ----------
    gap
        Final equity of the other side less ours.
    residue
        The gap less the money of all findings.
    equal
        Fills that are the same on both sides.
    """

    ours: str
    theirs: str
    fills: tuple[int, int]
    final_equity: tuple[float, float]
    findings: tuple[Finding, ...]
    equal: int

    @property
    def gap(self) -> float:
        """Final equity of the other side less ours."""
        return self.final_equity[1] - self.final_equity[0]

    @property
    def residue(self) -> float:
        """What the findings leave of the gap."""
        return self.gap - math.fsum(finding.money for finding in self.findings)

    @property
    def unexplained(self) -> float:
        """Money without a rule as a share of our final equity: the residue, and what has no cause."""
        loose = math.fsum(abs(finding.money) for finding in self.findings if finding.kind in NO_RULE)
        return (abs(self.residue) + loose) / abs(self.final_equity[0])

    @property
    def agrees(self) -> bool:
        """Whether every difference has its rule."""
        return self.unexplained <= TOLERANCE

    @property
    def classes(self) -> dict[Difference, tuple[int, float]]:
        """Count and money of each class, in the order of `Difference`."""
        counts = Counter(finding.kind for finding in self.findings)
        money: dict[Difference, list[float]] = defaultdict(list)
        for finding in self.findings:
            money[finding.kind].append(finding.money)
        return {kind: (counts[kind], math.fsum(money[kind])) for kind in Difference if counts[kind]}

    def largest(self, count: int) -> list[Finding]:
        """Return the findings with most money either way, those without a rule first."""
        order = sorted(self.findings, key=lambda f: (f.kind not in NO_RULE, -abs(f.money), f.row))
        return order[:count]


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """All fills of one side on a row in an instrument: signed units and notional, price of the first."""

    units: float = 0.0
    notional: float = 0.0
    traded: float = 0.0
    fees: float = 0.0
    price: float = math.nan


_NOTHING = _Cell()


@dataclass
class _Open:
    """A position that the other side has and we have not, until it is closed."""

    kind: Difference
    row: int
    units: float
    price: float


@dataclass
class _Ledger:
    """Differences of units in one instrument, oldest first."""

    instrument: int
    waiting: deque[_Open] = field(default_factory=deque)
    findings: list[Finding] = field(default_factory=list)

    @property
    def units(self) -> float:
        return math.fsum(item.units for item in self.waiting)

    def open(self, kind: Difference, row: int, units: float, price: float) -> None:
        if units != 0.0:
            self.waiting.append(_Open(kind, row, units, price))

    def close(self, row: int, units: float, price: float, *, late: bool = False) -> float:
        """Close up to so many units, oldest first; return what is left of them.

        `late`: by a fill that nobody decided on, which makes of what was missing the same fill later.
        """
        while self.waiting and units != 0.0 and self.waiting[0].units * units < 0.0:
            first = self.waiting[0]
            part = -first.units if abs(first.units) <= abs(units) else units
            kind = first.kind
            if late and kind in NO_RULE and row - first.row <= _NEAR_ROWS:
                kind = Difference.TIMING
            self._found(replace(first, kind=kind), -part, row, price)
            first.units += part
            units -= part
            if abs(first.units) <= 1e-12 * abs(part):
                self.waiting.popleft()
        return units

    def close_all(self, row: int, price: float) -> None:
        while self.waiting:
            first = self.waiting.popleft()
            self._found(first, first.units, row, price)

    def _found(self, item: _Open, units: float, row: int, price: float) -> None:
        self.findings.append(
            Finding(
                kind=item.kind,
                row=item.row,
                instrument=self.instrument,
                units=units,
                price=item.price,
                closed=row,
                closed_price=price,
                money=units * (price - item.price),
            )
        )


@dataclass(frozen=True, eq=False)
class _Side:
    """An account with what follows from its fills."""

    account: Account
    cells: dict[tuple[int, int], _Cell]
    held: FloatArray
    cash: FloatArray

    @classmethod
    def of(cls, account: Account, market: Market) -> "_Side":
        fills, shape = account.fills, market.marks.shape
        cells: dict[tuple[int, int], _Cell] = {}
        columns = (fills.rows, fills.instruments, fills.units, fills.prices, fills.fees)
        for row, n, units, price, fee in zip(*(column.tolist() for column in columns), strict=True):
            before = cells.get((row, n), _Cell(price=price))
            cells[row, n] = _Cell(
                units=before.units + units,
                notional=before.notional + units * price,
                traded=before.traded + abs(units) * price,
                fees=before.fees + fee,
                price=before.price,
            )
        changes = np.zeros(shape)
        np.add.at(changes, (fills.rows, fills.instruments), fills.units)
        paid = np.bincount(fills.rows, weights=fills.units * fills.prices + fills.fees, minlength=shape[0])
        cash = np.asarray(market.cash - np.cumsum(paid), dtype=np.float64)
        return cls(account, cells, np.cumsum(changes, axis=0), cash)

    def before(self, row: int, n: int) -> float:
        return float(self.held[row - 1, n]) if row else 0.0


def explain(market: Market, ours: Account, theirs: Account) -> ParityReport:
    """Lay the fills of two simulators side by side and give every difference its cause.

    Raises
    ------
    InvalidValueError
        If fills lie outside the market's rows and instruments.
    """
    for account in (ours, theirs):
        _require_inside(account, market)
    left, right = _Side.of(ours, market), _Side.of(theirs, market)
    findings: list[Finding] = []
    ledgers = [_Ledger(n) for n in range(len(market.symbols))]
    equal = 0
    decided = {(int(row) + 1, int(n)) for row, n in np.argwhere(~np.isnan(market.decided))}
    last = len(market.marks) - 1
    for row, n in sorted({*left.cells, *right.cells, *(cell for cell in decided if cell[0] <= last)}):
        a, b = left.cells.get((row, n), _NOTHING), right.cells.get((row, n), _NOTHING)
        ledger = ledgers[n]
        before = (len(findings), len(ledger.findings), len(ledger.waiting))
        price = a.price if not math.isnan(a.price) else b.price
        if math.isnan(price):
            # Neither filled: a difference that stands goes on standing.
            continue
        _units(market, left, right, ledger, row, n, price, planned=(row, n) in decided)
        findings += _money(market, (left, a), (right, b), row, n, price)
        equal += before == (len(findings), len(ledger.findings), len(ledger.waiting)) and a.units == b.units
    for ledger in ledgers:
        ledger.close_all(last, float(market.marks[last, ledger.instrument]))
        findings += ledger.findings
    if theirs.accrued != ours.accrued:
        findings.append(_plain(Difference.ACCRUED, last, 0, theirs.accrued - ours.accrued))
    findings.sort(key=lambda finding: (finding.row, finding.instrument, finding.kind.name))
    return ParityReport(
        ours=ours.name,
        theirs=theirs.name,
        fills=(len(ours.fills), len(theirs.fills)),
        final_equity=(float(ours.equity[-1]), float(theirs.equity[-1])),
        findings=tuple(findings),
        equal=equal,
    )


def _require_inside(account: Account, market: Market) -> None:
    rows, count = market.marks.shape
    fills = account.fills
    inside = (fills.rows >= 0) & (fills.rows < rows) & (fills.instruments >= 0) & (fills.instruments < count)
    if not inside.all() or len(account.equity) != rows:
        raise InvalidValueError(
            f"parity: {account.name} has {len(account.equity)} rows of equity and fills on rows up to "
            f"{fills.rows.max(initial=0)}, the market has {rows} rows of {count} instruments"
        )


def _plain(kind: Difference, row: int, n: int, money: float, price: float = math.nan) -> Finding:
    return Finding(
        kind=kind, row=row, instrument=n, units=0.0, price=price, closed=row, closed_price=price, money=money
    )


def _units(
    market: Market,
    left: _Side,
    right: _Side,
    ledger: _Ledger,
    row: int,
    n: int,
    price: float,
    *,
    planned: bool,
) -> None:
    """Book the differences of units on a row."""
    a, b = left.cells.get((row, n), _NOTHING), right.cells.get((row, n), _NOTHING)
    more = b.units - a.units
    mark = float(market.marks[row - 1, n]) if row else 0.0
    if not planned or market.by_orders or not mark > 0:
        rest = ledger.close(row, more, price, late=True)
        ledger.open(_unplanned(market, left, right, row, n), row, rest, price)
        return
    weight = float(market.decided[row - 1, n])
    per_equity = weight * (1.0 - market.rules.cash_buffer) / mark
    aims = [per_equity * float(side.account.equity[row - 1]) for side in (left, right)]
    parts: dict[Difference, float] = defaultdict(float)
    parts[Difference.EQUITY] += aims[1] - aims[0]
    for side, cell, aim, sign in ((left, a, aims[0], -1.0), (right, b, aims[1], 1.0)):
        wanted = aim - side.before(row, n)
        off = cell.units - wanted
        if off != 0.0:
            parts[_why(market, side, row, n, wanted, cell.units, aim)] += sign * off
    # A decision is a fresh one on both sides: what differed before ends here.
    stands = ledger.units + more
    ledger.close_all(row, price)
    if abs(stands) <= 1e-12 * abs(b.units):
        # Both hold the same again: that their floors swallowed what they wanted differently is no difference.
        return
    for kind in Difference:
        units = parts.get(kind, 0.0)
        # Rounding of the arithmetic is no difference; it stays in the residue.
        if abs(units) > 1e-13 * max(abs(aims[0]), abs(aims[1])):
            ledger.open(kind, row, units, price)


def _unplanned(market: Market, left: _Side, right: _Side, row: int, n: int) -> Difference:
    """Return why a fill that follows from no weight differs."""
    if (row, n) in left.account.exits or (row, n) in right.account.exits:
        return Difference.DELISTED
    if market.by_orders:
        cells = [side.cells[row, n] for side in (left, right) if (row, n) in side.cells]
        return _path(market, left.account, cells, row, n)
    alone = (row, n) not in left.cells or (row, n) not in right.cells
    return Difference.MISSING if alone else Difference.UNEXPLAINED


def _path(market: Market, ours: Account, cells: Iterable[_Cell], row: int, n: int) -> Difference:
    """Return `PATH` where every price lies in the bar, slippage included."""
    if (row, n) in ours.at_limit:
        return Difference.STOP_LIMIT
    low = float(market.lows[row, n]) * (1.0 - market.slippage_rate) - 1e-8
    high = float(market.highs[row, n]) * (1.0 + market.slippage_rate) + 1e-8
    inside = all(low <= cell.price <= high for cell in cells)
    return Difference.PATH if inside else Difference.UNEXPLAINED


def _why(
    market: Market, side: _Side, row: int, n: int, wanted: float, filled: float, aim: float
) -> Difference:
    """Return the rule by which a side filled other than it wanted."""
    account, lot = side.account, market.rules.lot_size
    if (row, n) in account.exits:
        return Difference.DELISTED
    off, size = filled - wanted, max(abs(wanted), abs(aim))
    if abs(off) <= 1e-9 * size + (1.000001 * lot if account.floors_lots else 1e-8):
        return Difference.LOT
    # A rule cuts: it turns nothing round and adds nothing.
    if filled * wanted < 0.0 or abs(filled) > abs(wanted):
        return Difference.UNEXPLAINED
    reason = account.reasons.get((row, n))
    if reason is not None:
        return _OF_REASON.get(reason, Difference.UNEXPLAINED)
    if np.isnan(market.opens[row, n]):
        return Difference.NOT_TRADED
    if account.has_participation and _at_most(market, row, n) <= abs(filled) + lot:
        return Difference.PARTICIPATION
    if account.has_bound and filled == 0.0 and _outside(market, row, n, 1 if wanted > 0 else -1):
        return Difference.BOUND
    spare = float(np.nansum(market.marks[row])) * lot if account.floors_lots else 0.0
    if wanted > 0 and side.cash[row] <= TOLERANCE * account.equity[row] + spare:
        return Difference.CASH
    return Difference.MISSING if filled == 0.0 else Difference.UNEXPLAINED


def _at_most(market: Market, row: int, n: int) -> float:
    volume = float(market.volumes[row, n])
    return math.inf if math.isnan(volume) else market.rules.participation * volume


def _outside(market: Market, row: int, n: int, side: int) -> bool:
    """Say whether the price of a row was beyond the bound of an order of the row before."""
    rules = market.rules
    if rules.order_kind != MARKETABLE_LIMIT:
        return False
    bound = float(market.marks[row - 1, n]) * (1.0 + side * rules.order_bound_bps / _BPS)
    price = float(market.opens[row, n]) * (1.0 + side * market.slippage_rate)
    # Bounds lie on the tick.
    return side * price > side * bound - rules.tick_size


def _money(
    market: Market, ours: tuple[_Side, _Cell], theirs: tuple[_Side, _Cell], row: int, n: int, price: float
) -> Iterable[Finding]:
    """Return what other prices and other fees of a row are worth."""
    a, b = ours[1], theirs[1]
    by_price = -(b.notional - a.notional) + (b.units - a.units) * price
    # Less is rounding of the multiplication.
    if a is not _NOTHING and b is not _NOTHING and abs(by_price) > 1e-15 * (a.traded + b.traded):
        yield _plain(_why_price(market, ours[0].account, a, b, row, n, by_price), row, n, by_price, price)
    if a.fees != b.fees:
        at_rate = all(
            abs(cell.fees - market.fee_rate * cell.traded) <= 2e-8 + 1e-9 * cell.fees
            or (row, n) in side.account.exits
            for side, cell in (ours, theirs)
        )
        kind = Difference.FEES if at_rate or market.by_orders else Difference.UNEXPLAINED
        yield _plain(kind, row, n, a.fees - b.fees, price)


def _why_price(
    market: Market, ours: Account, a: _Cell, b: _Cell, row: int, n: int, by_price: float
) -> Difference:
    if abs(by_price) <= 1.1e-8 * b.traded / b.price + 1e-12 * (a.traded + b.traded):
        return Difference.PRICE_ROUNDING
    if market.by_orders:
        return _path(market, ours, (a, b), row, n)
    if not (_at_model(market, a, row, n, impact=market.impact_coefficient) and _at_model(market, b, row, n)):
        return Difference.UNEXPLAINED
    return Difference.SPREAD if a.units * b.units < 0.0 else Difference.IMPACT


def _at_model(market: Market, cell: _Cell, row: int, n: int, *, impact: float = 0.0) -> bool:
    """Say whether a price is the open, and what spread, slippage and impact make of it."""
    side, volume = math.copysign(1.0, cell.units), float(market.volumes[row, n])
    rate = market.slippage_rate
    if impact > 0.0 and volume > 0.0:
        rate += impact * math.sqrt(abs(cell.units) / volume) / _BPS
    return abs(cell.price - float(market.opens[row, n]) * (1.0 + side * rate)) <= 1.01e-8


# --- what the core and its rivals did --------------------------------------------------------------------


def targets_of(panel: Panel, settings: Settings, rows: slice, decided: FloatArray) -> TargetRun:
    """Return an account as another simulator is asked to play it.

    Parameters
    ----------
    decided
        Shape (R, N), `Outcome.decided` of the account.
    """
    costs = settings.costs
    return TargetRun(
        # Data that has closes only carries them as opens too: filled at the next close.
        fills=panel.open[rows],
        closes=panel.close[rows],
        decided=decided,
        cash=settings.cash,
        cash_buffer=settings.rules.cash_buffer,
        fee_rate=costs.taker_fee_bps / _BPS,
        slippage_rate=(costs.half_spread_bps + costs.slippage_bps) / _BPS,
    )


def market_told(panel: Panel, settings: Settings, outcome: Outcome, *, by_orders: bool = False) -> Market:
    """Return what both simulators were told of the first account of a run with records."""
    rows = slice(*outcome.rows)
    costs = settings.costs
    decided = outcome.decided[0]
    return Market(
        symbols=panel.symbols,
        timestamps=panel.timestamps[rows],
        opens=panel.open[rows],
        highs=panel.high[rows],
        lows=panel.low[rows],
        marks=carried_forward(panel.close[: rows.stop])[rows.start :],
        volumes=panel.volume[rows],
        decided=np.full(decided.shape, np.nan) if by_orders else decided,
        rules=settings.rules,
        cash=settings.cash,
        slippage_rate=(costs.half_spread_bps + costs.slippage_bps) / _BPS,
        fee_rate=costs.taker_fee_bps / _BPS,
        impact_coefficient=costs.impact_coefficient,
        by_orders=by_orders,
    )


def core_account(outcome: Outcome, rules: Rules) -> Account:
    """Return what the core did in the first account of a run with records."""
    first = outcome.rows[0]
    fills = dict(zip(FILL_FIELDS, outcome.fill_records[0].T, strict=True))
    orders = dict(zip(ORDER_FIELDS, outcome.order_records[0].T, strict=True))
    reasons = {}
    entries = orders["parent"] < 0
    for row, n, outcome_code in zip(
        *(orders[name][entries].tolist() for name in ("closed", "instrument", "outcome")), strict=True
    ):
        if row >= 0 and outcome_code:
            reasons[row - first, n] = Reason(outcome_code)
    # An order that was never sent is a decision with its reason.
    for row, n in np.argwhere(outcome.decisions[0, :, 1] == Reason.BELOW_MINIMUM).tolist():
        reasons[row + 1, n] = Reason.BELOW_MINIMUM
    left = fills["cause"] == Cause.DELISTED
    # A fill without an order (booked out) has number -1.
    kinds = np.append(orders["kind"], -1)[fills["order"]]
    at_limit = kinds == OrderKind.STOP_LIMIT
    accrued = outcome.accrual_records[0][:, ACCRUAL_FIELDS.index("amount_e8")].sum() / _UNITS_E8
    return Account(
        name="core",
        fills=FillTable(
            rows=fills["row"] - first,
            instruments=fills["instrument"],
            units=fills["lots"] * rules.lot_size,
            prices=fills["price_e8"] / _UNITS_E8,
            fees=fills["fee_e8"] / _UNITS_E8,
        ),
        equity=outcome.equity[0],
        reasons=reasons,
        exits=_places(fills["row"][left] - first, fills["instrument"][left]),
        at_limit=_places(fills["row"][at_limit] - first, fills["instrument"][at_limit]),
        accrued=float(accrued),
    )


def _places(rows: IntArray, instruments: IntArray) -> frozenset[tuple[int, int]]:
    return frozenset(zip(rows.tolist(), instruments.tolist(), strict=True))


# --- in words --------------------------------------------------------------------------------------------


def in_words(finding: Finding, market: Market, theirs: str) -> str:
    """Return one difference as a sentence."""
    day = np.datetime64(int(market.timestamps[finding.row]), "ns").astype("datetime64[m]")
    place = f"{str(day).replace('T00:00', '')} {market.symbols[finding.instrument]}"
    money = f"{finding.money:+,.2f}"
    if finding.units == 0.0:
        at = "" if math.isnan(finding.price) else f" at {finding.price:,.4f}"
        return f"{place}: {money}{at}: {finding.kind.value}"
    way = "more" if finding.units > 0 else "less"
    until = np.datetime64(int(market.timestamps[finding.closed]), "ns").astype("datetime64[m]")
    return (
        f"{place}: {money}: {theirs} held {abs(finding.units):,.6g} {way} from {finding.price:,.4f} until "
        f"{str(until).replace('T00:00', '')} at {finding.closed_price:,.4f}: {finding.kind.value}"
    )


def write_csv(path: Path, report: ParityReport, market: Market) -> None:
    """Write every difference as a row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ("class", "opened", "symbol", "units", "price", "closed", "closed_price", "money", "sentence")
        )
        stamps = np.datetime_as_string(market.timestamps.astype("datetime64[ns]"), unit="s")
        for finding in report.findings:
            table.writerow(
                (
                    finding.kind.name, stamps[finding.row], market.symbols[finding.instrument],
                    repr(finding.units), repr(finding.price), stamps[finding.closed],
                    repr(finding.closed_price), repr(finding.money), finding.kind.value,
                )
            )  # fmt: skip


def as_document(report: ParityReport, market: Market, largest: Sequence[Finding]) -> dict[str, object]:
    """Return what `engine parity --row --json` prints: a contract, stable from here on."""
    return {
        "ours": report.ours,
        "theirs": report.theirs,
        "fills": list(report.fills),
        "equal_fills": report.equal,
        "final_equity": list(report.final_equity),
        "gap": report.gap,
        "classes": {
            kind.name: {
                "count": count,
                "money": money,
                "meaning": kind.value,
                "has_rule": kind not in NO_RULE,
            }
            for kind, (count, money) in report.classes.items()
        },
        "residue": report.residue,
        "unexplained": report.unexplained,
        "tolerance": TOLERANCE,
        "agrees": report.agrees,
        "largest": [in_words(finding, market, report.theirs) for finding in largest],
    }
