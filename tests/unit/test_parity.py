"""Parity: true for what ran, and one changed bit anywhere in a journal is found at its bar and named."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.allocation.allocator import PROFILES, WEIGHT_UNITS, Engine, Profile
from engine.core.records import FILL_FIELDS
from engine.domain.errors import AllocationError, InputError
from engine.domain.panel import FloatArray, Panel
from engine.domain.passport import PlanTerms
from engine.domain.time import Timeframe
from engine.features.strategy import Strategy
from engine.journal.canonical import hex_of
from engine.journal.chain import Status
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.promotions import Promotion
from engine.journal.promotions import record as promote
from engine.journal.reading import Record, read, verify
from engine.pipeline.push import Bar
from engine.session import trader
from engine.session.comparison import FILL_CAUSES
from engine.session.difference import Divergence, Stage, first_in_arrays, first_in_tables
from engine.session.drill import edited
from engine.session.journaled import read_session
from engine.session.parity import RECHECK_TOLERANCE, Parity, prove
from engine.session.records import bar_entry
from engine.session.start import SessionStart, pipeline_of
from engine.strategy_files import load_strategy
from tests.every_order import EveryOrder
from tests.recorded import LIMITS, LISTED, WALK, lively_panel, record
from tests.tampering import (
    adding,
    costs,
    doubled,
    dropped,
    entry,
    nth,
    nudging,
    nudging_field,
    setting,
    swap,
    tamper,
)

PANEL = lively_panel()
TREND = load_strategy("trend", {"fast": 5, "slow": 40})
EVERY_ORDER = EveryOrder(length=5)


@pytest.fixture(scope="module")
def trend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of many rebalances."""
    return record(tmp_path_factory.mktemp("trend") / "s", TREND, PANEL, plan=WALK)


@pytest.fixture(scope="module")
def every_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of every kind of order."""
    return record(tmp_path_factory.mktemp("every") / "s", EVERY_ORDER, PANEL)


def proven(folder: Path, *, panel: Panel = PANEL, strategy: Strategy | None = None) -> Parity:
    def load(name: str, _parameters: object) -> Strategy:
        return strategy or (EVERY_ORDER if name == EVERY_ORDER.name else TREND)

    return prove(folder, load_panel=lambda _name: panel, load=load)


# ------------------------------------------------------------------------------------------------- true


@pytest.mark.parametrize("plan", [LISTED, WALK])
@pytest.mark.parametrize("strategy", [TREND, EVERY_ORDER, load_strategy("buy_and_hold")])
def test_what_ran_equals_the_backtest(strategy: Strategy, plan: PlanTerms, tmp_path: Path) -> None:
    record(tmp_path / "s", strategy, PANEL, plan=plan)

    found = proven(tmp_path / "s", strategy=strategy)

    assert found.first_difference is None
    assert found.parity
    assert found.journal == found.backtest
    assert min(found.journal.intents, found.journal.orders, found.journal.fills) > 20
    assert found.journal.bars == len(PANEL)
    assert found.notes == ()
    assert (found.first_opened, found.last_closed) == ("1970-01-01T00:00:00Z", "1970-08-29T00:00:00Z")


def test_a_session_that_begins_late_and_was_stopped_often_equals_the_backtest(tmp_path: Path) -> None:
    for _ in range(4):
        record(tmp_path / "s", TREND, PANEL, start_row=30, stop_after=55)

    found = proven(tmp_path / "s")

    assert found.parity
    assert found.journal == found.backtest
    assert found.journal.decisions == 190
    assert found.notes == ("the session is not finished: compared up to its last bar, 220 of 240",)


def test_hours_that_end_within_a_day_equal_the_backtest(tmp_path: Path) -> None:
    hours = np.arange(len(PANEL), dtype=np.int64) * 3_600 * 10**9
    panel = replace(
        PANEL,
        timestamps=hours,
        timeframe=Timeframe.HOUR_1,
        instruments=tuple(replace(each, delisted_at=None) for each in PANEL.instruments),
    )
    record(tmp_path / "s", EVERY_ORDER, panel, stop_after=205)

    # Orders for the day must not expire because the comparison ends inside one.
    assert proven(tmp_path / "s", panel=panel).parity


def test_a_session_before_its_first_bar_has_nothing_that_differs(tmp_path: Path) -> None:
    record(tmp_path / "s", TREND, PANEL, plan=WALK, stop_after=0)

    found = proven(tmp_path / "s")

    assert found.parity
    assert found.journal.bars == found.journal.decisions == 0
    assert "nothing was decided yet: only bars were compared" in found.notes


def test_intents_are_targets_that_are_not_held(trend: Path) -> None:
    journaled = read_session(trend)
    asked = 0
    for entry_ in read(trend):
        if entry_.kind is Kind.DECISION:
            body = entry_.body
            asked += sum(
                target is not None and target != lots
                for target, lots in zip(body["targets"], body["lots"], strict=True)
            )

    assert journaled.counts.intents == asked == proven(trend).journal.intents


# ------------------------------------------------------------------------------------------------ false

TAMPERING: list[tuple[str, Kind, int, Callable[[Record], Sequence[Record]], Divergence, str]] = [
    ("price", Kind.FILL, 9, adding(price_e8=1), Divergence.FILL_PRICE, "price_e8"),
    ("lots", Kind.FILL, 9, adding(lots=1), Divergence.FILL_SIZE, "lots"),
    ("fee", Kind.FILL, 9, adding(fee_e8=-1), Divergence.FEE, "fee_e8"),
    ("liquidity", Kind.FILL, 9, setting(liquidity=1), Divergence.FILL, "liquidity"),
    ("last fill", Kind.FILL, -1, adding(price_e8=-1), Divergence.FILL_PRICE, "price_e8"),
    ("no fill", Kind.FILL, 9, dropped, Divergence.FILL_MISSING, ""),
    ("no last fill", Kind.FILL, -1, dropped, Divergence.FILL_MISSING, ""),
    ("two fills", Kind.FILL, 9, doubled, Divergence.FILL_EXTRA, ""),
    ("fill of another order", Kind.FILL, 9, adding(order=1), Divergence.FILL_MISSING, ""),
    ("target", Kind.DECISION, 60, entry("targets", 0, 12_345), Divergence.TARGET, "target"),
    ("no target", Kind.DECISION, 0, entry("targets", 2, None), Divergence.TARGET, "target"),
    ("reason", Kind.DECISION, 60, entry("reasons", 2, 5), Divergence.TARGET, "reason"),
    ("cause", Kind.DECISION, 60, entry("causes", 1, 3), Divergence.TARGET, "cause"),
    ("held", Kind.DECISION, 60, entry("lots", 0, 7), Divergence.POSITION, "lots"),
    ("cash", Kind.DECISION, 60, nudging("cash"), Divergence.CASH, "cash"),
    ("equity", Kind.DECISION, 60, nudging("equity"), Divergence.EQUITY, "equity"),
    ("signal", Kind.DECISION, 60, nudging("signals", 3), Divergence.SIGNAL, "signal"),
    ("no decision", Kind.DECISION, 60, dropped, Divergence.DECISION_MISSING, ""),
    ("two decisions", Kind.DECISION, 60, doubled, Divergence.RECORD_ORDER, "place"),
    ("weight", Kind.WEIGHTS, 4, nudging("weights", 2), Divergence.WEIGHTS, "weight"),
    ("no weight", Kind.WEIGHTS, 4, setting(weights=hex_of(np.full(4, np.nan))), Divergence.WEIGHTS, "weight"),
    ("units", Kind.WEIGHTS, 4, entry("units", 2, 1), Divergence.WEIGHTS, "units"),
    ("window", Kind.WEIGHTS, 4, adding(window=1), Divergence.WEIGHTS, "window"),
    ("no weights", Kind.WEIGHTS, 4, dropped, Divergence.WEIGHTS, ""),
    ("close", Kind.BAR, 120, nudging_field("close", 2), Divergence.DATA_REVISED, "close"),
    ("low", Kind.BAR, 3, nudging_field("low", 3), Divergence.DATA_REVISED, "low"),
    ("funding", Kind.BAR, 9, nudging_field("funding_rate", 1), Divergence.DATA_REVISED, "funding_rate"),
    ("open time", Kind.BAR, 120, adding(opened_us=60_000_000), Divergence.DATA_REVISED, "opened_at"),
    ("day end", Kind.BAR, 120, setting(day_end=False), Divergence.DATA_REVISED, "day_end"),
    ("no bar", Kind.BAR, 120, dropped, Divergence.BAR_MISSING, ""),
    ("two bars", Kind.BAR, 120, doubled, Divergence.RECORD_ORDER, "place"),
    ("limit", Kind.ORDER, 9, adding(limit_e8=1), Divergence.ORDER, "limit_e8"),
    ("expiry", Kind.ORDER, 9, setting(expires=None), Divergence.ORDER, "expires"),
    ("order id", Kind.ORDER, 9, setting(client_order_id="0" * 32), Divergence.ORDER, "client_order_id"),
    ("no order", Kind.ORDER, 9, dropped, Divergence.ORDER_MISSING, ""),
    ("two orders", Kind.ORDER, 9, doubled, Divergence.ORDER_EXTRA, ""),
    ("end of an order", Kind.ORDER_CLOSED, 9, setting(outcome=15), Divergence.ORDER_END, "outcome"),
    ("no end of an order", Kind.ORDER_CLOSED, 9, dropped, Divergence.ORDER_END, ""),
    ("funding paid", Kind.CASH, 30, adding(amount_e8=1), Divergence.CASH_MOVEMENT, "amount_e8"),
    ("no funding", Kind.CASH, 30, dropped, Divergence.CASH_MOVEMENT, ""),
]


@pytest.mark.parametrize(
    ("kind", "number", "change", "cause", "field"),
    [case[1:] for case in TAMPERING],
    ids=[case[0] for case in TAMPERING],
)
def test_one_changed_record_is_found_at_its_bar(
    kind: Kind,
    number: int,
    change: Callable[[Record], Sequence[Record]],
    cause: Divergence,
    field: str,
    trend: Path,
    tmp_path: Path,
) -> None:
    tampered = tamper(trend, tmp_path / "s", nth(trend, kind, number), change)

    found = proven(tampered.folder)

    assert verify(tampered.folder).status is Status.CLEAN
    assert not found.parity
    first = found.first_difference
    assert first is not None
    assert (first.cause, first.row, first.field) == (cause, tampered.row, field)
    opened = np.datetime64(int(PANEL.timestamps[tampered.row]), "ns")
    if field != "opened_at":
        assert first.opened == np.datetime_as_string(opened, unit="s", timezone="UTC")
    assert str(first.row) in first.explanation
    assert first.what.value in first.explanation


@pytest.mark.parametrize("number", [3, 40, 60])
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (adding(price_e8=1), Divergence.FILL_PRICE),
        (dropped, Divergence.FILL_MISSING),
        (doubled, Divergence.FILL_EXTRA),
    ],
)
def test_a_changed_fill_is_found_among_every_kind_of_order(
    number: int,
    change: Callable[[Record], Sequence[Record]],
    cause: Divergence,
    every_order: Path,
    tmp_path: Path,
) -> None:
    tampered = tamper(every_order, tmp_path / "s", nth(every_order, Kind.FILL, number), change)

    first = proven(tampered.folder).first_difference

    assert first is not None
    assert (first.cause, first.row) == (cause, tampered.row)
    assert first.instrument == PANEL.symbols[tampered.record.body["instrument"]]
    assert first.order == tampered.record.body["order"]


def test_a_difference_names_both_values_as_integers(trend: Path, tmp_path: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    tamper(trend, tmp_path / "s", fill, adding(price_e8=1_000_000))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert first.what is Stage.FILLS
    assert (first.journal, first.backtest) == (fill.body["price_e8"] + 1_000_000, fill.body["price_e8"])
    assert f"price_e8 is {first.journal} in the journal, {first.backtest} in the backtest" in (
        first.explanation
    )


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (Kind.FILL, 5, 20),
        (Kind.ORDER, 5, 6),
        (Kind.DECISION, 10, 90),
        (Kind.BAR, 50, 51),
        (Kind.BAR, 50, 150),
        (Kind.WEIGHTS, 2, 3),
        (Kind.CASH, 20, 80),
    ],
)
def test_two_records_that_changed_places_are_found_at_the_first(
    kind: Kind, first: int, second: int, trend: Path, tmp_path: Path
) -> None:
    swapped = swap(trend, tmp_path / "s", nth(trend, kind, first), nth(trend, kind, second))

    found = proven(swapped.folder).first_difference

    assert verify(swapped.folder).status is Status.CLEAN
    assert found is not None
    assert (found.cause, found.row) == (Divergence.RECORD_ORDER, swapped.row)


def test_neighbours_of_one_bar_that_changed_places_are_found(trend: Path, tmp_path: Path) -> None:
    fills = [each for each in read(trend) if each.kind is Kind.FILL]
    first, second = next(pair for pair in pairwise(fills) if pair[0].body["row"] == pair[1].body["row"])
    orders = [each for each in read(trend) if each.kind is Kind.ORDER]
    decision = next(
        each
        for each in read(trend)
        if each.kind is Kind.DECISION and each.body["row"] == orders[0].body["row"]
    )

    alike = swap(trend, tmp_path / "fills", first, second)
    unlike = swap(trend, tmp_path / "kinds", decision, orders[0])

    for swapped in (alike, unlike):
        found = proven(swapped.folder).first_difference
        assert found is not None
        assert (found.cause, found.row) == (Divergence.RECORD_ORDER, swapped.row)


def test_the_first_of_two_differences_is_named(trend: Path, tmp_path: Path) -> None:
    late = tamper(trend, tmp_path / "late", nth(trend, Kind.FILL, 20), adding(price_e8=1))
    both = tamper(late.folder, tmp_path / "both", nth(trend, Kind.ORDER, 4), adding(limit_e8=1))

    first = proven(both.folder).first_difference

    assert first is not None
    assert (first.cause, first.row) == (Divergence.ORDER, both.row)
    assert both.row < late.row


# -------------------------------------------------------------------------------------- solver's weights


def solver(units: int) -> Callable[[FloatArray], FloatArray]:
    """Return an allocator that answers inverse volatility, so many units of 1e-4 beside it."""

    def answer(returns: FloatArray) -> FloatArray:
        inverse = 1.0 / returns.std(axis=0, ddof=1)
        weights: FloatArray = inverse / inverse.sum()
        weights[0] += units / WEIGHT_UNITS
        weights[1] -= units / WEIGHT_UNITS
        return weights

    return answer


SOLVED = replace(WALK, engine="riskfolio", profile="hrp")


@pytest.fixture
def solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session whose weights a solver found."""
    monkeypatch.setitem(PROFILES, (Engine.RISKFOLIO, Profile.HRP), solver(0))
    return record(tmp_path / "s", TREND, PANEL, plan=SOLVED)


def test_weights_of_a_solver_are_facts_and_solved_again_within_a_tolerance(
    solved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROFILES, (Engine.RISKFOLIO, Profile.HRP), solver(2))

    found = proven(solved)

    # Two units apart everywhere, and the orders are those of the session all the same.
    assert found.parity
    assert found.weights is not None
    assert (found.weights.recomputed, found.weights.tolerance) == (False, RECHECK_TOLERANCE)
    assert found.weights.gap == pytest.approx(2e-4)


def test_weights_that_a_solver_does_not_find_again_are_named(
    solved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROFILES, (Engine.RISKFOLIO, Profile.HRP), solver(20))

    first = proven(solved).first_difference

    assert first is not None
    assert (first.cause, first.row) == (Divergence.WEIGHTS, nth(solved, Kind.WEIGHTS, 0).body["row"])


def test_a_solver_that_finds_nothing_any_more_is_named(solved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_returns: FloatArray) -> FloatArray:
        raise AllocationError("the solver is gone")

    monkeypatch.setitem(PROFILES, (Engine.RISKFOLIO, Profile.HRP), lost)

    first = proven(solved).first_difference

    assert first is not None
    assert first.cause is Divergence.WEIGHTS
    assert "the solver is gone" in first.explanation


def test_a_fact_that_was_changed_within_the_tolerance_is_found_by_its_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(record: Record) -> Sequence[Record]:
        units = list(record.body["units"])
        units[units.index(max(units))] += 3
        units[units.index(min(filter(None, units)))] -= 3
        return (edited(record, units=units, weights=hex_of(np.array(units) / WEIGHT_UNITS)),)

    monkeypatch.setitem(PROFILES, (Engine.RISKFOLIO, Profile.HRP), solver(0))
    hold = load_strategy("buy_and_hold")
    # The limit on one instrument would hide the change.
    roomy = {"limits": {**LIMITS._asdict(), "instrument": 1.0}}
    folder = record(tmp_path / "s", hold, PANEL, plan=SOLVED, changes=roomy)
    tampered = tamper(folder, tmp_path / "t", nth(folder, Kind.WEIGHTS, 5), shifted)

    first = proven(tampered.folder, strategy=hold).first_difference

    assert first is not None
    assert (first.cause, first.row) == (Divergence.TARGET, tampered.row)


# --------------------------------------------------------------------------- what the chain rests on


def test_terms_that_were_changed_after_the_start_are_named(trend: Path, tmp_path: Path) -> None:
    started = nth(trend, Kind.SESSION_STARTED, 0)
    tamper(trend, tmp_path / "s", started, costs(is_consistent=False, taker_fee_bps=1.0))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert first.cause is Divergence.TERMS_CHANGED


def test_other_terms_under_a_name_made_anew_differ_in_the_first_fee(trend: Path, tmp_path: Path) -> None:
    started = nth(trend, Kind.SESSION_STARTED, 0)
    tamper(trend, tmp_path / "s", started, costs(is_consistent=True, taker_fee_bps=1.0))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    # The ids of orders hang on the terms, and an order comes before its fill.
    assert (first.cause, first.field) == (Divergence.ORDER, "client_order_id")


@pytest.mark.parametrize("name", ["rows", "orders", "fills"])
def test_a_last_record_that_miscounts_is_found(name: str, trend: Path, tmp_path: Path) -> None:
    tamper(trend, tmp_path / "s", nth(trend, Kind.SESSION_FINISHED, 0), adding(**{name: -1}))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert (first.cause, first.field, first.row) == (Divergence.SUMMARY, name, len(PANEL) - 1)


def revised(name: str, row: int, column: int) -> Panel:
    values = getattr(PANEL, name).copy()
    values[row, column] *= 1.0001
    return replace(PANEL, **{name: values})


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_a_data_set_that_was_revised_is_named_before_all_that_follows(name: str, trend: Path) -> None:
    found = proven(trend, panel=revised(name, 100, 3))

    first = found.first_difference
    assert first is not None
    assert (first.cause, first.row, first.field) == (Divergence.DATA_REVISED, 100, name)
    assert first.instrument == PANEL.symbols[3]
    assert (first.journal, first.backtest) == (
        float(getattr(PANEL, name)[100, 3]),
        float(getattr(PANEL, name)[100, 3]) * 1.0001,
    )


def test_a_data_set_that_lost_bars_is_no_backtest_of_the_session(trend: Path) -> None:
    for panel, row in ((PANEL.rows(0, 200), 200), (PANEL.rows(1, 240), 0)):
        first = proven(trend, panel=panel).first_difference
        assert first is not None
        assert (first.cause, first.row) == (Divergence.DATA_REVISED, row)


def test_bars_before_and_after_the_session_are_no_difference(tmp_path: Path) -> None:
    record(tmp_path / "s", TREND, PANEL.rows(20, 200))

    found = proven(tmp_path / "s")

    assert found.parity
    assert found.notes == ()


def test_what_the_session_does_not_read_is_a_note(trend: Path) -> None:
    panel = replace(PANEL, fields={**PANEL.fields, "market": PANEL.fields["market"] + 1.0})

    found = proven(trend, panel=panel)

    assert found.parity
    assert found.notes[0].startswith("lively was revised in what the session does not read")


def test_another_instrument_is_a_revised_data_set(trend: Path) -> None:
    renamed = replace(
        PANEL, instruments=(replace(PANEL.instruments[0], symbol="NEW"), *PANEL.instruments[1:])
    )

    first = proven(trend, panel=renamed).first_difference

    assert first is not None
    assert (first.cause, first.field) == (Divergence.DATA_REVISED, "instruments")


def test_a_strategy_that_was_changed_since_is_named_where_signals_part(trend: Path) -> None:
    found = proven(trend, strategy=load_strategy("trend", {"fast": 6, "slow": 40}))

    first = found.first_difference
    assert first is not None
    assert (first.cause, first.what) == (Divergence.STRATEGY_CHANGED, Stage.SIGNALS)
    assert found.notes[-1].startswith("the file of trend was changed since")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of other compiled code."""
    folder = tmp_path_factory.mktemp("older") / "s"
    return record(folder, TREND, PANEL, changes={"core_version": "0" * 16})


def test_another_compiled_code_is_no_difference_by_itself(older: Path) -> None:
    found = proven(older)

    assert found.parity
    assert found.notes[0].startswith("compiled code was 0000000000000000 in the session")


def test_another_compiled_code_is_the_cause_of_what_differs(older: Path, tmp_path: Path) -> None:
    tamper(older, tmp_path / "s", nth(older, Kind.ORDER, 9), adding(limit_e8=1))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert (first.cause, first.what, first.field) == (Divergence.CORE_VERSION, Stage.ORDERS, "limit_e8")


def test_no_compiled_code_explains_books_that_contradict_themselves(older: Path, tmp_path: Path) -> None:
    tampered = tamper(older, tmp_path / "s", nth(older, Kind.FILL, 9), adding(price_e8=10**6))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert (first.cause, first.row) == (Divergence.FILL_PRICE, tampered.row)


# ---------------------------------------------------------------------------------------------- damage


def test_a_damaged_journal_is_not_compared(trend: Path, tmp_path: Path) -> None:
    whole = (trend / "journal.log").read_bytes()
    tamper(trend, tmp_path / "s", nth(trend, Kind.FILL, 0), lambda each: (each,))
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 1
    (tmp_path / "s" / "journal.log").write_bytes(broken)

    found = proven(tmp_path / "s")

    assert not found.parity
    assert found.journal.fills == 0
    first = found.first_difference
    assert first is not None
    assert first.cause is Divergence.JOURNAL_DAMAGED
    assert first.explanation.startswith("LEDGER_CORRUPT")


def test_a_tail_that_was_torn_off_is_a_note_and_no_difference(trend: Path, tmp_path: Path) -> None:
    record(tmp_path / "s", TREND, PANEL, plan=WALK, stop_after=100)
    with (tmp_path / "s" / "journal.log").open("ab") as log:
        log.write((trend / "journal.log").read_bytes()[:50])

    found = proven(tmp_path / "s")

    assert found.parity
    assert "the end of the journal" in found.notes[-1]


def test_what_is_missing_where_a_tail_was_cut_off_is_called_so(trend: Path, tmp_path: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    mark = replace(fill, kind=Kind.TAIL_TRUNCATED, body={"bytes": 10, "sha256": "0" * 64, "file": "tail-1"})
    tamper(trend, tmp_path / "s", fill, lambda _: (mark,))

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert (first.cause, first.row) == (Divergence.TAIL_TRUNCATED, fill.body["row"])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Kind.DECISION, setting(lots=[1])),
        (Kind.DECISION, setting(cash="00")),
        (Kind.FILL, setting(price_e8="dear")),
        (Kind.BAR, setting(row=-1)),
        (Kind.SESSION_STARTED, setting(rows="many")),
        (Kind.SESSION_STARTED, dropped),
        (Kind.CASH, setting(what="gift")),
    ],
)
def test_records_that_no_session_writes_are_damage(
    kind: Kind, change: Callable[[Record], Sequence[Record]], trend: Path, tmp_path: Path
) -> None:
    tamper(trend, tmp_path / "s", nth(trend, kind, 0), change)

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert first.cause is Divergence.JOURNAL_DAMAGED


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no journal"):
        proven(tmp_path)


def test_a_journal_of_something_else_is_no_session(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "s", clock=lambda: 0) as journal:
        journal.append([(Kind.PROMOTED, {})])

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert "begins with SESSION_STARTED" in first.explanation


# ------------------------------------------------------------------------------------------- by itself


def test_a_session_that_pays_other_fees_than_it_says_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two sides share the core: that they do not share what they are told is proven here."""

    def cheaper(start: SessionStart, strategy: Strategy) -> object:
        told = {**start.passport.costs, "taker_fee_bps": 9.0}
        return pipeline_of(replace(start, passport=replace(start.passport, costs=told)), strategy)

    with monkeypatch.context() as patch:
        patch.setattr(trader, "pipeline_of", cheaper)
        record(tmp_path / "s", TREND, PANEL)

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert (first.cause, first.field) == (Divergence.FEE, "fee_e8")


def test_a_session_whose_bars_are_one_late_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = trader.Trader.work

    def late(self: trader.Trader, bar: Bar) -> trader.Worked:
        before = max(bar.row - 1, 0)
        fields = {**bar.fields, "close": PANEL.close[before]}
        worked = seen(self, replace(bar, fields=fields))
        # What is written down are the bars as they were.
        return replace(worked, entries=[bar_entry(bar, self.fields), *worked.entries[1:]])

    with monkeypatch.context() as patch:
        patch.setattr(trader.Trader, "work", late)
        record(tmp_path / "s", TREND, PANEL)

    first = proven(tmp_path / "s").first_difference

    assert first is not None
    assert first.cause in (Divergence.SIGNAL, Divergence.WEIGHTS, Divergence.EQUITY, Divergence.TARGET)


def test_the_first_unequal_place_of_arrays_is_that_in_time() -> None:
    left = np.array([[1.0, np.nan], [2.0, 0.0]])
    right = np.array([[1.0, -np.nan], [2.0, -0.0]])

    assert first_in_arrays(left, left.copy()) is None
    assert first_in_arrays(left, right) == (1, 1)
    assert first_in_arrays(left, right, present=np.array([True, False])) is None


def test_records_are_matched_within_their_bar() -> None:
    def fill(row: int, order: int, price: int) -> list[int]:
        values = {"row": row, "order": order, "price_e8": price}
        return [values.get(name, 1) for name in FILL_FIELDS]

    def first(journal: list[list[int]], backtest: list[list[int]]) -> tuple[Divergence, int] | None:
        found = first_in_tables(
            np.array(journal).reshape(-1, len(FILL_FIELDS)),
            np.array(backtest).reshape(-1, len(FILL_FIELDS)),
            FILL_FIELDS,
            stage=Stage.FILLS,
            key=("order", "instrument"),
            causes=FILL_CAUSES,
        )
        return None if found is None else (found.cause, found.row)

    both = [fill(3, 0, 10), fill(3, 1, 20), fill(5, 2, 30)]

    assert first(both, both) is None
    assert first(both[1:], both) == (Divergence.FILL_MISSING, 3)
    assert first(both, both[:2]) == (Divergence.FILL_EXTRA, 5)
    assert first([], both) == (Divergence.FILL_MISSING, 3)
    assert first([both[1], both[0], both[2]], both) == (Divergence.RECORD_ORDER, 3)
    assert first([both[0], fill(3, 1, 21), both[2]], both) == (Divergence.FILL_PRICE, 3)
    assert first([*both, fill(5, 2, 30)], both) == (Divergence.FILL_EXTRA, 5)


def test_a_session_on_terms_that_nobody_promoted_is_no_parity(trend: Path, tmp_path: Path) -> None:
    def proven(**more: Path) -> Parity:
        return prove(trend, load_panel=lambda _name: PANEL, load=lambda *_: TREND, **more)

    start = read_session(trend).start
    unasked, nobody = proven(), proven(promoted_in=tmp_path / "promotions")
    promotion = Promotion(
        strategy_id=start.passport.strategy_id, to="paper", passport=start.passport, gates=(), operator="ann",
        reason="looks fine",
    )  # fmt: skip
    promote(
        tmp_path / "other", replace(promotion, passport=replace(start.passport, cash=1.0)), clock=lambda: 1
    )
    other = proven(promoted_in=tmp_path / "other")
    promote(tmp_path / "promotions", promotion, clock=lambda: 1)

    assert unasked.parity
    assert proven(promoted_in=tmp_path / "promotions").parity
    for refused in (nobody, other):
        assert not refused.parity
        assert refused.first_difference is not None
        assert refused.first_difference.cause is Divergence.NOT_PROMOTED
