"""The read model says what the journal says, and nothing of it is missed when it is thrown away."""

import sqlite3
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import InputError, JournalCode, JournalError
from engine.domain.orders import OrderKind
from engine.domain.reasons import Reason
from engine.journal.kinds import Kind
from engine.journal.read_model import MODEL, OrderState, ask, closed_state, number, price_e8
from engine.journal.views import OrderView, SessionView, order_views, quantity_text, session_view
from tests.sessions import (
    DOLLAR,
    Batch,
    Clock,
    append,
    bar,
    closed,
    decision,
    fill,
    finished,
    order,
    started,
    traded_batches,
    write,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "s", traded_batches())
    return tmp_path / "s"


def rows_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every table."""

    def read(model: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
        names = [name for (name,) in model.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(model.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in sorted(names)
        }

    return ask(folder, read)


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    return ask(folder, lambda model: model.execute(sql).fetchall())


def view_of(folder: Path) -> SessionView:
    view = ask(folder, session_view)
    assert view is not None
    return view


def orders_of(folder: Path, *, only_open: bool = False, last: int | None = None) -> list[OrderView]:
    return list(ask(folder, lambda model: order_views(model, only_open=only_open, last=last)))


def test_orders_are_where_their_fills_and_ends_left_them(folder: Path) -> None:
    found = {view.order: view for view in orders_of(folder)}

    assert {n: (view.state, view.filled, view.average_price) for n, view in found.items()} == {
        0: ("FILLED", "50", "101"),
        1: ("EXPIRED", "40", "52.00000001"),
        2: ("WORKING", "0", None),
        # 15 units at 121, 5 at 119.
        3: ("FILLED", "20", "120.5"),
        4: ("EXPIRED", "0", None),
    }
    assert (found[2].side, found[2].quantity, found[2].trigger, found[2].parent) == ("CLOSE", None, "90", 0)
    assert (found[1].limit, found[1].quantity, found[1].reason) == ("52.5", "100", "CUT_INSTRUMENT")
    assert found[1].why == "reduced: not enough cash for all buys of the bar"
    assert found[4].why == "expired: the price moved further than the order's bound"
    assert found[3].fees == "2.41"
    assert found[3].decided.opened == "2024-01-04T00:00:00Z"
    assert found[3].decided.closed == "2024-01-05T00:00:00Z"
    assert [view.order for view in orders_of(folder, only_open=True)] == [2]
    assert [view.order for view in orders_of(folder, last=2)] == [3, 4]


def test_the_ledger_is_exact(folder: Path) -> None:
    view = view_of(folder)

    # Bought 50 at 101 and 40 at 52.00000001, sold 15 at 121, 5 at 119, 40 at 30.
    spent = 50 * 101 * DOLLAR + 40 * 5_200_000_001
    received = (15 * 121 + 5 * 119 + 40 * 30) * DOLLAR
    fees = 505_000_000 + 208_000_001 + 181_500_000 + 59_500_000
    cash = 100_000 * DOLLAR - spent + received - fees - 777
    assert {name: Fraction(text) * DOLLAR for name, text in view.cash.items()} == {"USD": cash}
    assert view.fees == {"USD": "9.54000001"}
    assert view.start_cash == "100000"


def test_every_event_sums_to_nothing_in_each_currency(folder: Path) -> None:
    lines = query(folder, "SELECT sequence, currency, amount FROM postings")
    balances = query(folder, "SELECT account, currency, amount FROM balances")

    sums: dict[tuple[int, str], int] = {}
    for sequence, currency, amount in lines:
        sums[sequence, currency] = sums.get((sequence, currency), 0) + number(amount)
    assert len(sums) > 6
    assert set(sums.values()) == {0}
    assert sum(number(amount) for _, currency, amount in balances if currency == "USD") == 0


def test_what_is_held_is_valued_at_the_last_close(folder: Path) -> None:
    view = view_of(folder)

    [held] = view.positions
    assert (held.symbol, held.quantity, held.average_cost) == ("ABC", "30", "101")
    # XYZ was not traded in the last bar, ABC not in one before.
    assert (held.price, held.value) == ("119.5", "3585")
    assert held.realized == "390"  # 15 x 20 + 5 x 18
    assert view.exposure == pytest.approx(3585 / 95_000)


def test_drawdown_is_measured_from_the_best_equity(folder: Path) -> None:
    view = view_of(folder)

    assert view.equity == 95_000.0
    assert view.since_start == pytest.approx(-0.05)
    assert view.drawdown == pytest.approx(1 - 95_000 / 100_562.87)
    assert view.drawdown_max == pytest.approx(1 - 90_000 / 100_562.87)
    assert (view.scale, view.mode) == (0.75, "ACTIVE")
    assert view.why == "a drawdown scales positions to 75%; last bar: no order: nothing changed"
    curve = query(folder, "SELECT row, equity FROM equity")
    assert curve == [(1, 100_000.0), (2, 100_562.87), (3, 99_962.87), (4, 90_000.0), (5, 95_000.0)]


def test_what_stands_in_a_session_is_counted(folder: Path) -> None:
    view = view_of(folder)

    assert (view.decisions, view.orders, view.open_orders, view.fills, view.next_row) == (5, 5, 1, 5, 6)
    assert view.last_decision is not None
    assert view.last_decision.closed == "2024-01-07T00:00:00Z"
    assert view.last_fill is not None
    assert (view.last_fill.side, view.last_fill.quantity, view.last_fill.price) == ("SELL", "5", "119")
    assert (view.synthetic, view.research_only) == (True, False)
    assert view.written > view.started


@pytest.mark.parametrize("known", range(8))
def test_a_model_folded_in_parts_is_the_model_folded_at_once(tmp_path: Path, known: int) -> None:
    batches: list[Batch] = [*traded_batches(), [finished(6)]]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write(whole, batches)
    if known:
        write(parts, batches[:known])
        first = rows_of(parts)
        append(parts, batches[known:])
        assert first["fold"] != rows_of(parts)["fold"]
    else:
        write(parts, batches)

    found, expected = rows_of(parts), rows_of(whole)

    # Chain, times and ids of two journals differ.
    for rows in (found, expected):
        rows["fold"] = [(rows["fold"][0][1],)]
        rows["session"] = [rows["session"][0][:-2]]
    assert found == expected


def damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 100)


def torn(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : 4096 + 2000] = bytes(2000)
    path.write_bytes(bytes(data))


def of_another_version(path: Path) -> None:
    with sqlite3.connect(path) as model:
        model.execute("PRAGMA user_version = 999")
        model.execute("DROP TABLE orders")
    model.close()


def of_a_longer_journal(path: Path) -> None:
    with sqlite3.connect(path) as model:
        model.execute("UPDATE fold SET offset = 10000000")
        model.execute("DELETE FROM orders")
    model.close()


def of_another_journal(path: Path) -> None:
    with sqlite3.connect(path) as model:
        model.execute("UPDATE fold SET head = zeroblob(32)")
        model.execute("DELETE FROM orders")
    model.close()


@pytest.mark.parametrize(
    "change", [damaged, torn, of_another_version, of_a_longer_journal, of_another_journal, Path.unlink]
)
def test_a_model_that_does_not_fit_is_made_anew(folder: Path, change: Callable[[Path], None]) -> None:
    before = rows_of(folder)

    change(folder / MODEL)

    assert rows_of(folder) == before
    append(folder, [[finished(6)]])
    change(folder / MODEL)
    assert len(rows_of(folder)["orders"]) == 5


def test_a_batch_that_was_replaced_by_another_is_not_kept(tmp_path: Path) -> None:
    batches = traded_batches()
    for name, equity in (("lost", 1.0), ("kept", 2.0)):
        write(tmp_path / name, [*batches, [bar(6, [1.0, 1.0]), decision(6, equity)]], Clock())
    folder = tmp_path / "lost"
    assert view_of(folder).equity == 1.0

    # The same length, another content: what a power cut can leave of a batch that nobody was told of.
    for name in ("journal.log", "journal.anchor"):
        (folder / name).write_bytes((tmp_path / "kept" / name).read_bytes())

    assert view_of(folder).equity == 2.0


def test_what_is_up_to_date_is_not_written(folder: Path) -> None:
    rows_of(folder)
    before = (folder / MODEL).stat().st_mtime_ns

    rows_of(folder)

    assert (folder / MODEL).stat().st_mtime_ns == before


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def refuse(name: str, *, timeout: float, isolation_level: None) -> sqlite3.Connection:
        if name != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        return connect(name, timeout=timeout, isolation_level=isolation_level)

    monkeypatch.setattr(sqlite3, "connect", refuse)

    assert view_of(folder).fills == 5
    assert not (folder / MODEL).exists()


def test_a_damaged_journal_gives_no_figures(folder: Path) -> None:
    rows_of(folder)
    data = bytearray((folder / "journal.log").read_bytes())
    data[-100] ^= 1
    (folder / "journal.log").write_bytes(bytes(data))
    (folder / MODEL).unlink()

    with pytest.raises(JournalError) as raised:
        view_of(folder)

    assert raised.value.code is JournalCode.LEDGER_CORRUPT
    with pytest.raises(InputError, match="holds no journal"):
        view_of(folder.parent / "nothing")


def test_a_fill_of_an_order_that_nobody_recorded_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "s", [[started()], [bar(1, [1.0, 1.0]), fill(1, 7, 0, 5, DOLLAR)]])

    with pytest.raises(JournalError, match="order 7 was filled or closed, and never recorded"):
        view_of(tmp_path / "s")


def test_numbers_beyond_64_bits_are_kept(tmp_path: Path) -> None:
    lots, price = 2**51, 2**52
    write(
        tmp_path / "s",
        [
            [started()],
            [bar(1, [1.0, 1.0]), order(1, 0, 0, 2 * lots, limit_e8=str(2**70))],
            [bar(2, [1.0, 1.0]), fill(2, 0, 0, lots, price), fill(2, 0, 0, lots, price), decision(2, 1.0)],
        ],
    )

    [view] = orders_of(tmp_path / "s")

    assert view.state == "FILLED"
    assert Fraction(view.average_price or "") * DOLLAR == price
    assert Fraction(view.limit or "") * DOLLAR == 2**70
    cash = Fraction(view_of(tmp_path / "s").cash["USD"]) * DOLLAR
    assert cash == 100_000 * DOLLAR - 2 * round(Fraction(lots * price, 1000))


def test_a_session_says_how_it_ended(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder, traded_batches())
    assert view_of(folder).state == "OPEN"
    append(folder, [[(Kind.SESSION_INTERRUPTED, {"row": 5})]])
    assert (view_of(folder).state, view_of(folder).interrupted_row) == ("INTERRUPTED", 5)
    append(folder, [[(Kind.SESSION_RESUMED, {"row": 5, "sequence": 20})]])
    assert (view_of(folder).state, view_of(folder).resumed) == ("OPEN", 1)
    append(folder, [[finished(6)]])
    assert view_of(folder).state == "FINISHED"


def test_a_session_without_a_bar_holds_its_cash(tmp_path: Path) -> None:
    write(tmp_path / "s", [[started()]])

    view = view_of(tmp_path / "s")

    assert (view.equity, view.drawdown, view.positions, view.last_decision) == (100_000.0, 0.0, (), None)
    write(tmp_path / "empty", [])
    assert ask(tmp_path / "empty", session_view) is None
    assert orders_of(tmp_path / "empty") == []


def test_quiet_bars_of_one_batch_are_all_there(tmp_path: Path) -> None:
    quiet = [record for row in range(1, 65) for record in (bar(row, [1.0, 2.0]), decision(row, 100.0 + row))]
    write(tmp_path / "s", [[started(rows=65)], [bar(0, [1.0, 2.0])], quiet])

    curve = query(tmp_path / "s", "SELECT row, equity FROM equity")

    assert curve == [(row, 100.0 + row) for row in range(1, 65)]


@pytest.mark.parametrize(
    ("lots", "filled", "outcome", "state"),
    [
        (5, 5, Reason.NONE, OrderState.FILLED),
        (-5, -5, Reason.CUT_PARTICIPATION, OrderState.FILLED),
        (0, -3, Reason.NONE, OrderState.FILLED),
        (0, 0, Reason.POSITION_CLOSED, OrderState.CANCELED),
        (5, 2, Reason.CUT_CASH, OrderState.EXPIRED),
        (5, 2, Reason.REPLACED, OrderState.CANCELED),
        (5, 0, Reason.FILL_OR_KILL, OrderState.CANCELED),
        (5, 0, Reason.NO_RANGE_DATA, OrderState.DENIED),
        (5, 0, Reason.EXPIRED, OrderState.EXPIRED),
    ],
)
def test_an_order_ends_in_one_state(lots: int, filled: int, outcome: Reason, state: OrderState) -> None:
    assert closed_state(lots, filled, outcome) is state


def test_a_part_that_waits_for_more_is_partial(tmp_path: Path) -> None:
    batches = [
        [started()],
        [bar(1, [1.0, 1.0]), order(1, 0, 0, 10, kind=OrderKind.LIMIT, limit_e8=DOLLAR)],
        [bar(2, [1.0, 1.0]), fill(2, 0, 0, 4, DOLLAR)],
    ]
    write(tmp_path / "s", batches)
    assert [view.state for view in orders_of(tmp_path / "s", only_open=True)] == ["PARTIAL"]

    append(tmp_path / "s", [[bar(3, [1.0, 1.0]), closed(3, 0, 4, Reason.REPLACED)]])
    [view] = orders_of(tmp_path / "s")
    assert (view.state, view.filled, view.quantity) == ("CANCELED", "0.004", "0.01")


def test_an_order_that_fills_on_its_own_bar_may_stand_behind_its_fill(tmp_path: Path) -> None:
    stop = order(2, 1, 0, 0, kind=OrderKind.STOP, trigger_e8=90 * DOLLAR, parent=0)
    batch = [bar(2, [1.0, 1.0]), fill(2, 1, 0, -10, 90 * DOLLAR), closed(2, 1, -10), stop]
    write(tmp_path / "s", [[started()], batch])

    [view] = orders_of(tmp_path / "s")

    assert (view.state, view.side, view.filled, view.average_price) == ("FILLED", "CLOSE", "0.01", "90")


def test_prices_and_quantities_are_decimal_text() -> None:
    assert price_e8(0.1) == 10_000_000
    assert price_e8(101.5) == 10_150_000_000
    assert quantity_text(1, Fraction(1, 8)) == "0.125"
    assert quantity_text(-12_000, Fraction(1)) == "-12000"
