"""What is written down of a bar: its shape, its order, and ids that a crash does not change."""

import re
import uuid
from dataclasses import replace

import numpy as np
import pytest

from engine.core.records import NO_TARGET
from engine.domain.errors import InputError, InvalidValueError
from engine.journal.canonical import encode, hex_of
from engine.journal.kinds import Kind
from engine.pipeline.planning import Planned
from engine.pipeline.push import Bar, Pushed
from engine.session.records import (
    Naming,
    account_entries,
    bar_entry,
    bar_of,
    finished_entry,
    planned_of,
    weights_entry,
)
from engine.session.start import FedData, SessionStart, microseconds
from strategies.trend import Trend
from tests.builders import random_panel
from tests.recorded import passport_of

NAN = float("nan")
NAMING = Naming(instance="a" * 32, strategy_id="trend-1a2b3c4d", symbols=("AAA", "BBB"))
BAR = Bar(
    row=7,
    opened_at=1_704_067_200_000_000_000,
    day_end=True,
    fields={"close": np.array([1.5, NAN]), "open": np.array([-0.0, 2.0])},
)
NOTHING = np.zeros((0, 4), dtype=np.int64)
QUIET = Pushed(
    signals=np.array([1.0, NAN]),
    targets=np.array([NO_TARGET, 3]),
    reasons=np.array([20, 0]),
    causes=np.array([0, 1]),
    lots=np.array([5, 0]),
    cash=10.25,
    equity=17.75,
    scale=1.0,
    fills=NOTHING,
    closes=NOTHING,
    orders=NOTHING,
    accruals=NOTHING,
)


def test_a_bar_comes_back_from_its_record_to_the_last_bit() -> None:
    kind, body = bar_entry(BAR, ("close", "open"))

    again = bar_of(body)

    assert kind is Kind.BAR
    assert (again.row, again.opened_at, again.day_end) == (7, BAR.opened_at, True)
    assert {name: values.tobytes() for name, values in again.fields.items()} == {
        name: values.tobytes() for name, values in BAR.fields.items()
    }


def test_base_weights_come_back_from_their_record() -> None:
    thirds = Planned(row=3, weights=np.full(3, 1 / 3), units=None, window=2, inputs_hash="b" * 64)
    solved = replace(thirds, units=np.array([3334, 3333, 3333]))

    for planned in (thirds, solved):
        _, body = weights_entry(planned)
        again = planned_of(body)

        assert again.weights.tobytes() == planned.weights.tobytes()
        assert (again.row, again.window, again.inputs_hash) == (3, 2, "b" * 64)
        assert (again.units is None) == (planned.units is None)
        encode(body)


def test_what_a_bar_did_stands_in_the_order_of_causes() -> None:
    pushed = replace(
        QUIET,
        # row, instrument, lots, price_e8, fee_e8, cause, reason, order, liquidity
        fills=np.array([[7, 1, 3, 2**60, 5, 1, 0, 4, 0], [7, 0, -5, 100, 0, 5, 12, -1, 0]]),
        closes=np.array([[7, 4, 3, 0]]),
        accruals=np.array([[7, -1, -(2**61), 2], [7, 0, 12, 0]]),
        # row, instrument, lots, limit, cause, reason, filled, outcome, kind, trigger, force, expires, parent
        orders=np.array(
            [[7, 0, 0, 90, 6, 0, 0, 0, 3, 90, 1, -1, 4, -1], [7, 1, 9, 0, 1, 0, 0, 0, 0, 0, 0, 9, -1, -1]]
        ),
    )  # fmt: skip

    entries = account_entries(BAR, pushed, first_order=5, naming=NAMING)

    assert [kind.name for kind, _ in entries] == [
        "FILL", "FILL", "ORDER_CLOSED", "CASH", "CASH", "DECISION", "ORDER", "ORDER",
    ]  # fmt: skip
    bodies = [body for _, body in entries]
    assert bodies[0]["price_e8"] == str(2**60), "what a double cannot hold is text"
    assert (bodies[0]["order"], bodies[1]["order"]) == (4, None)
    assert bodies[2] == {"row": 7, "order": 4, "filled": 3, "outcome": 0}
    assert bodies[3] == {"row": 7, "instrument": None, "amount_e8": str(-(2**61)), "what": "interest"}
    assert bodies[4]["what"] == "funding"
    assert [body["order"] for body in bodies[6:]] == [5, 6]
    assert [(body["expires"], body["parent"]) for body in bodies[6:]] == [(None, 4), (9, None)]
    for body in bodies:
        encode(body)


def test_a_decision_says_what_was_decided_and_what_was_not() -> None:
    [(kind, body)] = account_entries(BAR, QUIET, first_order=0, naming=NAMING)

    assert kind is Kind.DECISION
    assert body == {
        "row": 7,
        "signals": hex_of(np.array([1.0, NAN])),
        "targets": [None, 3],
        "reasons": [20, 0],
        "causes": [0, 1],
        "lots": [5, 0],
        "cash": hex_of(10.25),
        "equity": hex_of(17.75),
        "scale": hex_of(1.0),
        "mode": "ACTIVE",
    }


def test_an_order_id_is_a_uuid_that_deciding_again_gives_again_and_nothing_else_does() -> None:
    opened = BAR.opened_at // 1000
    first = NAMING.client_order_id(opened, 0, 0)
    others = {
        NAMING.client_order_id(opened + 1, 0, 0),
        NAMING.client_order_id(opened, 1, 0),
        NAMING.client_order_id(opened, 0, 1),
        replace(NAMING, instance="b" * 32).client_order_id(opened, 0, 0),
        replace(NAMING, strategy_id="trend-1a2b3c4e").client_order_id(opened, 0, 0),
    }

    assert first == NAMING.client_order_id(opened, 0, 0)
    assert len(others | {first}) == 6
    for text in others | {first}:
        assert re.fullmatch("[0-9a-f]{32}", text)
        assert (uuid.UUID(text).version, uuid.UUID(text).variant) == (8, uuid.RFC_4122)


def test_two_orders_of_one_instrument_on_one_bar_have_two_ids() -> None:
    orders = np.zeros((3, 14), dtype=np.int64)
    orders[:, 1] = [0, 1, 0]

    entries = account_entries(BAR, replace(QUIET, orders=orders), first_order=0, naming=NAMING)

    ids = [body["client_order_id"] for kind, body in entries if kind is Kind.ORDER]
    assert len(set(ids)) == 3
    assert ids[0] == NAMING.client_order_id(BAR.opened_at // 1000, 0, 0)
    assert ids[2] == NAMING.client_order_id(BAR.opened_at // 1000, 0, 1)


def test_the_beginning_of_a_session_comes_back_and_a_changed_one_does_not() -> None:
    panel = random_panel(20, 2, seed=1)
    start = SessionStart(
        passport=passport_of(Trend(), panel),
        data=FedData.of(panel, set_hash="c" * 64),
        origin_at=int(panel.timestamps[0]),
        start_row=3,
        rows=20,
    )
    body = start.to_body()

    assert SessionStart.from_body(body) == start
    assert encode(body)
    with pytest.raises(InvalidValueError, match="instance"):
        SessionStart.from_body(body | {"start_row": 4})
    with pytest.raises(InvalidValueError, match="schema"):
        SessionStart.from_body(body | {"schema": 3})


def test_equal_beginnings_have_equal_instances_and_others_do_not() -> None:
    panel = random_panel(20, 2, seed=1)

    def start(**changes: object) -> SessionStart:
        usual = SessionStart(
            passport=passport_of(Trend(), panel), data=FedData.of(panel), origin_at=0, start_row=3, rows=20
        )
        return replace(usual, **changes)  # type: ignore[arg-type]  # names of the test's own

    other = random_panel(20, 2, seed=2)

    assert start().instance == start().instance
    assert len(start().instance) == 32
    assert len(
        {
            start().instance,
            start(start_row=4).instance,
            start(data=FedData.of(other)).instance,
            start(passport=passport_of(Trend(fast=21), panel)).instance,
        }
    ) == 4  # fmt: skip


def test_a_time_that_a_journal_cannot_hold_is_refused() -> None:
    assert microseconds(1_000, "row 0") == 1
    with pytest.raises(InputError, match="row 0"):
        microseconds(1_001, "row 0")


def test_the_end_says_how_much_there_was() -> None:
    assert finished_entry(rows=9, orders=2, fills=1, state_hash="d" * 64) == (
        Kind.SESSION_FINISHED,
        {"rows": 9, "orders": 2, "fills": 1, "state_hash": "d" * 64},
    )
