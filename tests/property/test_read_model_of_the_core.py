"""What the core did, written into a journal and folded: the exact books agree with its float64 account."""

from pathlib import Path

import numpy as np
import pytest

from engine.core.records import CLOSE_FIELDS, FILL_FIELDS, ORDER_FIELDS
from engine.core.settings import Costs, Limits, Rules
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Reason
from engine.features.operators import close, sma, where
from engine.journal.kinds import Kind
from engine.journal.read_model import ask, number
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from tests.builders import random_panel
from tests.sessions import PASSPORT, Batch, Record, bar, decision, started, write

RULES = Rules(lot_size=0.001)
ROWS, INSTRUMENTS = 400, 4
PANEL = random_panel(ROWS, INSTRUMENTS, seed=5, volatility=0.03, holes=0.01)


def played(limits: Limits) -> Outcome:
    column = Column(
        plan=Plan(rows=np.arange(0, ROWS, 60), weights=np.full((7, INSTRUMENTS), 0.25)),
        root=where(sma(close, 3) > sma(close, 20), 1.0, -1.0 if limits.short > 0.0 else 0.0),
        invest=Invest.FULL,
    )
    settings = Settings(
        costs=Costs(taker_fee_bps=10.0, slippage_bps=5.0), rules=RULES, limits=limits, cash=PASSPORT.cash
    )
    return run_all(PANEL, [column], settings, detail=Detail.RECORDS)


def named(fields: tuple[str, ...], records: np.ndarray) -> list[dict[str, int | None]]:
    return [
        {
            name: None if value == -1 and name in ("order", "expires", "parent") else value
            for name, value in row
        }
        for row in (zip(fields, values, strict=True) for values in records.tolist())
    ]


def journaled(outcome: Outcome) -> list[Batch]:
    """Write down a run as a session does: a batch a bar, fills before orders."""
    batches: list[list[Record]] = [
        [bar(row, PANEL.close[row].tolist()), decision(row, float(outcome.equity[0, row]))]
        for row in range(ROWS)
    ]
    for fill in named(FILL_FIELDS, outcome.fill_records[0]):
        batches[int(fill["row"] or 0)].append((Kind.FILL, fill))
    for place, order in enumerate(named(ORDER_FIELDS, outcome.order_records[0])):
        end = {"row": order.pop("closed"), "order": place}
        end |= {name: order.pop(name) for name in CLOSE_FIELDS[2:]}
        batches[int(order["row"] or 0)].append(
            (Kind.ORDER, {**order, "order": place, "client_order_id": f"{place:032x}"})
        )
        if end["row"] != -1:
            batches[int(end["row"] or 0)].append((Kind.ORDER_CLOSED, end))
    return [[started(rows=ROWS, start_row=0, symbols=PANEL.symbols)], *batches]


@pytest.mark.parametrize("limits", [Limits(halt_bars=5), Limits(short=1.0, net=1.0)])
def test_the_exact_books_agree_with_the_core(tmp_path: Path, limits: Limits) -> None:
    outcome = played(limits)
    write(tmp_path / "s", journaled(outcome))

    def figures(sql: str) -> list[tuple[int | str, ...]]:
        return ask(tmp_path / "s", lambda model: model.execute(sql).fetchall())

    fills = figures("SELECT notional_e8 FROM fills")
    turnover = sum(abs(number(notional)) for (notional,) in fills)
    tolerance = len(fills) * 1e-8 + 1e-9 * turnover / 1e8
    [(cash,)] = figures("SELECT amount FROM balances WHERE account = 'cash'")
    assert len(fills) > 100
    assert abs(number(cash) / 1e8 - outcome.cash[0, -1]) <= tolerance

    held = figures("SELECT lots, price_e8 FROM positions")
    value = sum(number(lots) * number(price) for lots, price in held) / 1e11
    assert abs(number(cash) / 1e8 + value - outcome.equity[0, -1]) <= tolerance
    kept = figures("SELECT coalesce(sum(lots.lots), 0) FROM positions LEFT JOIN lots USING (instrument) "
                   "GROUP BY instrument ORDER BY instrument")  # fmt: skip
    assert [lots for lots, _ in held] == [lots for (lots,) in kept]
    [(inventory,)] = figures("SELECT amount FROM balances WHERE account = 'inventory'")
    assert number(inventory) == sum(number(cost) for (cost,) in figures("SELECT cost_e8 FROM lots"))


def test_every_order_ends_as_the_core_says(tmp_path: Path) -> None:
    outcome = played(Limits(halt_bars=5))
    write(tmp_path / "s", journaled(outcome))

    orders = ask(
        tmp_path / "s",
        lambda model: model.execute("SELECT filled, outcome, closed_row, state FROM orders").fetchall(),
    )

    records = named(ORDER_FIELDS, outcome.order_records[0])
    assert len(orders) == len(records)
    for (filled, ended, closed_row, state), record in zip(orders, records, strict=True):
        assert (filled, ended or 0) == (record["filled"], record["outcome"])
        assert (closed_row if closed_row is not None else -1) == record["closed"]
        assert (state == "FILLED") == (filled == record["lots"])
    assert {Reason(row[1]) for row in orders if row[1]} >= {Reason.NOT_TRADED}
