"""Journals of sessions, written record by record through the real journal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.core.settings import Costs, Limits, Rules
from engine.domain.orders import Liquidity, OrderKind, TimeInForce
from engine.domain.passport import Passport, PlanKind, PlanTerms
from engine.domain.portfolio import Invest
from engine.domain.reasons import Cause, Reason
from engine.journal.canonical import hex_of
from engine.journal.journal import Journal
from engine.journal.kinds import Kind

DAY_US = 86_400 * 10**6
DOLLAR = 10**8
# 2024-01-01.
ORIGIN_US = 1_704_067_200 * 10**6

Record = tuple[Kind, Mapping[str, Any]]
Batch = Sequence[Record]

PASSPORT = Passport(
    strategy_id="trend-1a2b3c4d",
    strategy="trend",
    parameters={"fast": 20, "slow": 100},
    invest=Invest.FULL,
    graph_hash="0" * 64,
    universe="planted",
    symbols=("ABC", "XYZ"),
    timeframe="1d",
    plan=PlanTerms(kind=PlanKind.LISTED),
    costs=Costs()._asdict(),
    rules=Rules(lot_size=0.001)._asdict(),
    limits=Limits()._asdict(),
    cash=100_000.0,
    core_version="c" * 16,
    identity_hash="1" * 64,
)


class Clock:
    """One second a reading, from noon of 2026-01-01 on."""

    def __init__(self, start: int = 1_767_268_800) -> None:
        self.seconds = start

    def __call__(self) -> int:
        """Return UTC nanoseconds."""
        self.seconds += 1
        return self.seconds * 10**9


def new_journal(folder: Path, clock: Clock | None = None) -> Journal:
    """Make the journal of a session."""
    return Journal.create(folder, clock=clock or Clock())


def started(*, rows: int = 10, start_row: int = 1, **changes: Any) -> Record:
    """Return the first record; changes are of the passport."""
    passport = replace(PASSPORT, **changes)
    instruments = [
        {"symbol": symbol, "quote": "USD", "cluster": None, "delisted_at_us": None, "haircut": hex_of(0.3)}
        for symbol in passport.symbols
    ]
    return Kind.SESSION_STARTED, {
        "schema": 1,
        "passport": passport.to_body(),
        "data": {
            "name": passport.universe,
            "content_hash": "d" * 64,
            "timeframe": passport.timeframe,
            "calendar": "24/7",
            "adjustment": "none",
            "synthetic": passport.synthetic,
            "instruments": instruments,
        },
        "origin_us": ORIGIN_US,
        "start_row": start_row,
        "rows": rows,
        "instance": "f" * 32,
    }


def bar(row: int, closes: Sequence[float]) -> Record:
    """Return the record of a bar."""
    return Kind.BAR, {
        "row": row,
        "opened_us": ORIGIN_US + row * DAY_US,
        "day_end": True,
        "fields": {"close": hex_of(list(closes))},  # type: ignore[arg-type]  # numbers of any sequence
    }


def decision(
    row: int,
    equity: float,
    *,
    lots: Sequence[int] = (0, 0),
    targets: Sequence[int | None] = (None, None),
    reasons: Sequence[Reason] = (Reason.NOT_DECIDED, Reason.NOT_DECIDED),
    scale: float = 1.0,
    mode: str = "ACTIVE",
) -> Record:
    """Return the record of a decision."""
    return Kind.DECISION, {
        "row": row,
        "signals": hex_of([0.0] * len(lots)),  # type: ignore[arg-type]  # numbers of any sequence
        "targets": list(targets),
        "reasons": [int(reason) for reason in reasons],
        "causes": [int(Cause.SIGNAL)] * len(lots),
        "lots": list(lots),
        "cash": hex_of(equity),
        "equity": hex_of(equity),
        "scale": hex_of(scale),
        "mode": mode,
    }


def order(
    row: int,
    number: int,
    instrument: int,
    lots: int,
    *,
    kind: OrderKind = OrderKind.MARKETABLE_LIMIT,
    limit_e8: int | str = 0,
    trigger_e8: int = 0,
    reason: Reason = Reason.NONE,
    parent: int | None = None,
) -> Record:
    """Return the record of an order."""
    return Kind.ORDER, {
        "row": row,
        "order": number,
        "client_order_id": f"{number:032x}",
        "instrument": instrument,
        "lots": lots,
        "kind": int(kind),
        "limit_e8": limit_e8,
        "trigger_e8": trigger_e8,
        "time_in_force": int(TimeInForce.IOC if kind <= OrderKind.MARKETABLE_LIMIT else TimeInForce.GTC),
        "expires": None,
        "cause": int(Cause.SIGNAL),
        "reason": int(reason),
        "parent": parent,
    }


def fill(
    row: int, number: int | None, instrument: int, lots: int, price_e8: int | str, fee_e8: int = 0
) -> Record:
    """Return the record of a fill; number None: booked out."""
    return Kind.FILL, {
        "row": row,
        "order": number,
        "instrument": instrument,
        "lots": lots,
        "price_e8": price_e8,
        "fee_e8": fee_e8,
        "liquidity": int(Liquidity.TAKER),
        "cause": int(Cause.SIGNAL),
        "reason": int(Reason.NONE if number is not None else Reason.DELISTED_EXIT),
    }


def closed(row: int, number: int, filled: int, outcome: Reason = Reason.NONE) -> Record:
    """Return the record of an order's end."""
    return Kind.ORDER_CLOSED, {"row": row, "order": number, "filled": filled, "outcome": int(outcome)}


def finished(rows: int) -> Record:
    """Return the last record."""
    return Kind.SESSION_FINISHED, {"rows": rows, "orders": 0, "fills": 0, "state_hash": "e" * 64}


def traded_batches() -> list[Batch]:
    """Return a short session: a buy, one that is cut short, a stop that waits, a sale in parts.

    Lots are of .001, the account has 100,000. At the end it holds 30 units of ABC and none of XYZ.
    """
    return [
        [started(rows=6, synthetic=True)],
        [bar(0, [100.0, 50.0])],
        [
            bar(1, [100.0, 50.0]),
            order(1, 0, 0, 50_000, limit_e8=105 * DOLLAR),
            order(1, 1, 1, 100_000, limit_e8=5_250_000_000, reason=Reason.CUT_INSTRUMENT),
            decision(1, 100_000.0, targets=(50_000, 100_000), reasons=(Reason.NONE, Reason.CUT_INSTRUMENT)),
        ],
        [
            bar(2, [110.0, 55.0]),
            # Fills stand before the orders of the same bar; the stop that came with order 0 is armed on it.
            fill(2, 0, 0, 50_000, 101 * DOLLAR, 505_000_000),
            closed(2, 0, 50_000),
            fill(2, 1, 1, 40_000, "5200000001", 208_000_001),
            closed(2, 1, 40_000, Reason.CUT_CASH),
            order(2, 2, 0, 0, kind=OrderKind.STOP, trigger_e8=90 * DOLLAR, parent=0),
            decision(2, 100_562.87, lots=(50_000, 40_000)),
        ],
        [
            bar(3, [float("nan"), 40.0]),
            order(3, 3, 0, -20_000),
            order(3, 4, 1, 1_000),
            decision(3, 99_962.87, lots=(50_000, 40_000), targets=(30_000, 41_000)),
        ],
        [
            bar(4, [120.0, 41.0]),
            fill(4, 3, 0, -15_000, 121 * DOLLAR, 181_500_000),
            closed(4, 4, 0, Reason.PRICE_OUTSIDE_BOUND),
            (Kind.CASH, {"row": 4, "instrument": 0, "amount_e8": -777, "what": "funding"}),
            fill(4, None, 1, -40_000, 30 * DOLLAR),
            decision(4, 90_000.0, lots=(35_000, 0), scale=0.75),
        ],
        [
            bar(5, [119.5, float("nan")]),
            fill(5, 3, 0, -5_000, 119 * DOLLAR, 59_500_000),
            closed(5, 3, -20_000),
            decision(5, 95_000.0, lots=(30_000, 0), scale=0.75),
        ],
    ]


def write(folder: Path, batches: Sequence[Batch], clock: Clock | None = None) -> None:
    """Write a journal from its first batch on."""
    with new_journal(folder, clock) as journal:
        for batch in batches:
            journal.append(batch)


def append(folder: Path, batches: Sequence[Batch]) -> None:
    """Go on with a journal."""
    with Journal.open(folder, clock=Clock(1_767_300_000)) as journal:
        for batch in batches:
            journal.append(batch)
