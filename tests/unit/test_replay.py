"""Replay: a session comes out of its journal alone, and whatever was changed in it does not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engine.core.settings import Limits
from engine.domain.errors import InputError
from engine.domain.passport import PlanTerms
from engine.features.strategy import Strategy
from engine.journal.canonical import hex_of
from engine.journal.chain import Status
from engine.journal.journal import Journal
from engine.journal.kinds import FACTS, Kind
from engine.journal.reading import Record, read, verify
from engine.session.checks import Check, CheckStatus, examine
from engine.session.drill import edited, rewrite, rewrite_all
from engine.session.journaled import Journaled, read_session, session_of
from engine.session.record_difference import DifferenceKind
from engine.session.replay import Failure, Replayed, Severity, replay
from engine.session.snapshot import SNAPSHOT
from engine.strategy_files import load_strategy
from tests.every_order import EveryOrder
from tests.recorded import COSTS, LIMITS, LISTED, WALK, lively_panel, record
from tests.tampering import (
    adding,
    costs,
    doubled,
    dropped,
    entry,
    nth,
    nudging,
    scaling_field,
    setting,
    swap,
    tamper,
)

PANEL = lively_panel()
TREND = load_strategy("trend", {"fast": 5, "slow": 40})
EVERY_ORDER = EveryOrder(length=5)


@pytest.fixture(scope="module")
def trend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of many rebalances, with nothing but its journal."""
    folder = record(tmp_path_factory.mktemp("trend") / "s", TREND, PANEL, plan=WALK)
    (folder / "feed.npz").unlink()
    return folder


@pytest.fixture(scope="module")
def every_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of every kind of order."""
    return record(tmp_path_factory.mktemp("every") / "s", EVERY_ORDER, PANEL)


def replayed(folder: Path, strategy: Strategy | None = None) -> Replayed:
    def load(name: str, _parameters: object) -> Strategy:
        return strategy or (EVERY_ORDER if name == EVERY_ORDER.name else TREND)

    return replay(folder, load=load)


def classes(found: Replayed) -> set[Failure]:
    return {failure.failure for failure in found.failures}


def failed(checks: Sequence[Check]) -> dict[str, int | None]:
    return {check.name: check.row for check in checks if check.status is CheckStatus.FAIL}


# ------------------------------------------------------------------------------------------------- true


@pytest.mark.parametrize("plan", [LISTED, WALK])
@pytest.mark.parametrize("strategy", [TREND, EVERY_ORDER, load_strategy("buy_and_hold")])
def test_what_ran_comes_out_of_its_journal_again(strategy: Strategy, plan: PlanTerms, tmp_path: Path) -> None:
    folder = record(tmp_path / "s", strategy, PANEL, plan=plan)

    found = replayed(folder, strategy)

    assert found.replay_parity
    assert (found.failures, found.differences, found.difference_count) == ((), (), 0)
    assert found.replay_root_hash == found.journal_root_hash == verify(folder).content_hash
    assert failed(found.checks) == {}
    assert found.weights_recomputed
    assert found.records == verify(folder).facts


def test_a_session_that_was_stopped_and_resumed_comes_out_again(tmp_path: Path) -> None:
    for _ in range(3):
        record(tmp_path / "s", EVERY_ORDER, PANEL, stop_after=55)
    (tmp_path / "s" / SNAPSHOT).unlink(missing_ok=True)

    found = replayed(tmp_path / "s")

    assert found.replay_parity
    assert found.bars == 165
    assert found.notes == ("the session is not finished: worked again up to its last bar, 165",)


def test_equal_runs_have_equal_root_hashes_however_often_they_were_stopped(tmp_path: Path) -> None:
    once = record(tmp_path / "once", TREND, PANEL)
    for _ in range(5):
        often = record(tmp_path / "often", TREND, PANEL, stop_after=50)

    assert replayed(once).replay_root_hash == replayed(often).replay_root_hash
    assert replayed(often).finished


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": {**LIMITS._asdict(), "short": 0.5, "leverage": 2.0, "gross": 2.0, "instrument": 1.0}},
        {"costs": {**COSTS._asdict(), "borrow_bps": 2.0, "interest_bps": 3.0}},
        {"limits": {**Limits()._asdict(), "halt_drawdown": 0.02, "halt_bars": 5}},
    ],
)
def test_terms_of_all_kinds_come_out_again(changes: dict[str, object], tmp_path: Path) -> None:
    found = replayed(record(tmp_path / "s", EVERY_ORDER, PANEL, changes=changes))

    assert found.replay_parity


def test_weights_of_a_solver_are_taken_from_the_journal(tmp_path: Path, trend: Path) -> None:
    """Nothing is solved again: the solver's name alone says that its weights are facts."""

    def by_solver(record: Record) -> Record:
        if record.kind is not Kind.SESSION_STARTED:
            return record
        plan = {**record.body["passport"]["plan"], "engine": "riskfolio", "profile": "hrp"}
        return edited(record, passport={**record.body["passport"], "plan": plan})

    rewrite(trend, tmp_path / "s", by_solver)

    found = replayed(tmp_path / "s")

    assert not found.weights_recomputed
    # Who changed the plan did not make the name of the session anew, and the ids of orders hang on that.
    assert Failure.RUN_SEED_MISMATCH in classes(found)
    assert {item.field for item in found.differences} <= {"instance", "client_order_id"}


# ------------------------------------------------------------------------------------------------ false

BOTH = {Failure.ROOT_HASH_MISMATCH, Failure.ROW_COUNT_MISMATCH}
ROOT = {Failure.ROOT_HASH_MISMATCH}
TAMPERING: list[tuple[str, Kind, int, Callable[[Record], Sequence[Record]], str, str, set[Failure]]] = [
    ("price", Kind.FILL, 9, adding(price_e8=1), "field_mismatch", "price_e8", ROOT),
    ("lots", Kind.FILL, 9, adding(lots=1), "field_mismatch", "lots", ROOT),
    ("fee", Kind.FILL, 9, adding(fee_e8=-1), "field_mismatch", "fee_e8", ROOT),
    ("no fill", Kind.FILL, 9, dropped, "missing", "", BOTH),
    ("two fills", Kind.FILL, 9, doubled, "extra", "", BOTH),
    ("target", Kind.DECISION, 60, entry("targets", 0, 12_345), "field_mismatch", "targets", ROOT),
    ("signal", Kind.DECISION, 60, nudging("signals", 3), "field_mismatch", "signals", ROOT),
    ("cash", Kind.DECISION, 60, nudging("cash"), "field_mismatch", "cash", ROOT),
    ("scale", Kind.DECISION, 60, setting(scale=hex_of(0.5)), "field_mismatch", "scale", ROOT),
    ("mode", Kind.DECISION, 60, setting(mode="KILL"), "field_mismatch", "mode", ROOT),
    ("no decision", Kind.DECISION, 60, dropped, "missing", "", BOTH),
    ("weight", Kind.WEIGHTS, 4, nudging("weights", 2), "field_mismatch", "weights", ROOT),
    ("inputs", Kind.WEIGHTS, 4, setting(inputs_hash="0" * 64), "field_mismatch", "inputs_hash", ROOT),
    ("limit", Kind.ORDER, 9, adding(limit_e8=1), "field_mismatch", "limit_e8", ROOT),
    ("id", Kind.ORDER, 9, setting(client_order_id="0" * 32), "field_mismatch", "client_order_id", ROOT),
    ("no order", Kind.ORDER, 9, dropped, "missing", "", BOTH),
    ("end", Kind.ORDER_CLOSED, 9, setting(outcome=15), "field_mismatch", "outcome", ROOT),
    ("funding", Kind.CASH, 30, adding(amount_e8=1), "field_mismatch", "amount_e8", ROOT),
    ("no funding", Kind.CASH, 30, dropped, "missing", "", BOTH),
    ("two bars", Kind.BAR, 120, doubled, "extra", "", BOTH),
]


@pytest.mark.parametrize(
    ("kind", "number", "change", "difference", "field", "failures"),
    [case[1:] for case in TAMPERING],
    ids=[case[0] for case in TAMPERING],
)
def test_one_changed_record_is_the_only_one_that_differs(
    kind: Kind,
    number: int,
    change: Callable[[Record], Sequence[Record]],
    difference: str,
    field: str,
    failures: set[Failure],
    trend: Path,
    tmp_path: Path,
) -> None:
    tampered = tamper(trend, tmp_path / "s", nth(trend, kind, number), change)

    found = replayed(tampered.folder)

    assert verify(tampered.folder).status is Status.CLEAN
    assert not found.replay_parity
    assert classes(found) == failures
    first = found.differences[0]
    assert (first.difference, first.record, first.row) == (difference, kind.name, tampered.row)
    assert first.field.startswith(field)
    assert first.opened is not None
    assert found.difference_count == 1
    assert found.replay_root_hash == verify(trend).content_hash
    assert found.journal_root_hash == verify(tampered.folder).content_hash


def test_a_bar_that_was_changed_gives_other_decisions_from_that_bar_on(trend: Path, tmp_path: Path) -> None:
    held = next(
        record
        for record in read(trend)
        if record.kind is Kind.DECISION and record.body["row"] > 100 and record.body["lots"][2]
    )
    bar = nth(trend, Kind.BAR, held.body["row"])
    tamper(trend, tmp_path / "s", bar, scaling_field("close", 2, 1.001))

    found = replayed(tmp_path / "s")

    assert not found.replay_parity
    assert found.differences[0].row == held.body["row"]
    assert found.differences[0].record == "DECISION"
    assert found.difference_count > 10
    assert len(found.differences) == 10


def test_a_bar_that_is_gone_ends_the_replay(trend: Path, tmp_path: Path) -> None:
    tamper(trend, tmp_path / "s", nth(trend, Kind.BAR, 120), dropped)

    found = replayed(tmp_path / "s")

    assert classes(found) == BOTH
    assert "bar 120 is not in the journal" in found.failures[0].says


@pytest.mark.parametrize(("kind", "first", "second"), [(Kind.FILL, 5, 20), (Kind.BAR, 50, 51)])
def test_records_that_changed_places_are_out_of_order(
    kind: Kind, first: int, second: int, trend: Path, tmp_path: Path
) -> None:
    swapped = swap(trend, tmp_path / "s", nth(trend, kind, first), nth(trend, kind, second))

    found = replayed(swapped.folder)

    assert classes(found) == ROOT
    assert found.differences[0].difference is DifferenceKind.OUT_OF_ORDER
    assert found.differences[0].sequence == swapped.record.sequence


def test_terms_that_were_changed_do_not_fit_the_name_of_the_session(trend: Path, tmp_path: Path) -> None:
    started = nth(trend, Kind.SESSION_STARTED, 0)
    tamper(trend, tmp_path / "s", started, costs(is_consistent=False, taker_fee_bps=1.0))

    found = replayed(tmp_path / "s")

    assert {Failure.RUN_SEED_MISMATCH, Failure.ROOT_HASH_MISMATCH} <= classes(found)
    assert found.differences[0].record == "SESSION_STARTED"
    assert found.differences[0].field == "instance"


@pytest.mark.parametrize("name", ["rows", "orders", "fills"])
def test_a_last_record_that_miscounts_is_a_mismatch_of_the_context(
    name: str, trend: Path, tmp_path: Path
) -> None:
    tamper(trend, tmp_path / "s", nth(trend, Kind.SESSION_FINISHED, 0), adding(**{name: 1}))

    found = replayed(tmp_path / "s")

    assert classes(found) == {Failure.RUN_CONTEXT_ROOT_MISMATCH, Failure.ROOT_HASH_MISMATCH}
    assert {failure.failure: failure.severity for failure in found.failures} == {
        Failure.RUN_CONTEXT_ROOT_MISMATCH: Severity.HIGH,
        Failure.ROOT_HASH_MISMATCH: Severity.CRITICAL,
    }


def test_the_last_state_is_part_of_what_must_come_out(trend: Path, tmp_path: Path) -> None:
    last = nth(trend, Kind.SESSION_FINISHED, 0)
    tamper(trend, tmp_path / "s", last, setting(state_hash="0" * 64))

    assert Failure.RUN_CONTEXT_ROOT_MISMATCH in classes(replayed(tmp_path / "s"))


def test_a_journal_that_does_not_say_what_was_run_has_no_manifest(trend: Path, tmp_path: Path) -> None:
    tamper(trend, tmp_path / "s", nth(trend, Kind.SESSION_STARTED, 0), dropped)
    with Journal.create(tmp_path / "empty", clock=lambda: 0):
        pass

    for name in ("s", "empty"):
        found = replayed(tmp_path / name)
        assert not found.replay_parity
        assert classes(found) == {Failure.MANIFEST_MISSING}


def test_a_damaged_journal_is_not_worked_again(trend: Path, tmp_path: Path) -> None:
    tamper(trend, tmp_path / "s", nth(trend, Kind.FILL, 0), lambda each: (each,))
    log = tmp_path / "s" / "journal.log"
    broken = bytearray(log.read_bytes())
    broken[len(broken) // 3] ^= 8
    log.write_bytes(broken)

    found = replayed(tmp_path / "s")

    assert classes(found) == {Failure.JOURNAL_DAMAGED}
    assert found.checks == ()


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no journal"):
        replayed(tmp_path)


def test_a_strategy_that_was_changed_since_gives_other_signals(trend: Path) -> None:
    found = replayed(trend, load_strategy("trend", {"fast": 6, "slow": 40}))

    assert not found.replay_parity
    assert found.differences[0].field == "signals"
    assert found.notes[-1].startswith("the file of trend was changed since")


# ---------------------------------------------------------------------------------------------- checks


def examined(
    source: Path, *changes: tuple[Record, Callable[[Record], Sequence[Record]]]
) -> dict[str, int | None]:
    """Return what fails after records were changed; no chain is needed for that."""
    table = {record.sequence: change for record, change in changes}
    records = [
        each
        for record in read(source)
        for each in (table[record.sequence](record) if record.sequence in table else (record,))
    ]
    return failed(examine(session_of(records)))


def test_a_fill_at_another_price_breaks_the_books_on_its_bar(trend: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    row = fill.body["row"]

    assert examined(trend, (fill, adding(price_e8=10**6))) == {"cash_continuity": row, "ledger": row}


def test_a_fee_that_is_not_paid_breaks_the_books_on_its_bar(trend: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    row = fill.body["row"]

    assert examined(trend, (fill, setting(fee_e8=0))) == {"cash_continuity": row, "ledger": row}


def test_cash_that_moves_without_a_booking_is_found(trend: Path) -> None:
    moved = {record.body["row"] for record in read(trend) if record.kind in (Kind.FILL, Kind.CASH)}
    quiet = next(
        record
        for record in read(trend)
        if record.kind is Kind.DECISION and record.body["row"] > 100 and record.body["row"] not in moved
    )

    assert examined(trend, (quiet, nudging("cash"))) == {"cash_continuity": quiet.body["row"]}


def test_lots_that_no_fill_brought_are_found(trend: Path) -> None:
    decision = nth(trend, Kind.DECISION, 60)

    assert examined(trend, (decision, entry("lots", 1, 99))) == {"positions": decision.body["row"]}


def test_a_fill_without_its_order_is_found(trend: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    order = nth(trend, Kind.ORDER, fill.body["order"])

    assert "order_before_fill" in examined(trend, (order, dropped))
    assert examined(trend, (fill, setting(order=None)))["order_before_fill"] == fill.body["row"]


def test_more_than_was_ordered_is_found(trend: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    more = 1 if fill.body["lots"] > 0 else -1

    found = examined(trend, (fill, adding(lots=1_000_000 * more)))

    assert found["fills_within_orders"] == fill.body["row"]
    assert found["positions"] == fill.body["row"]


def test_a_fill_on_the_bar_of_its_decision_has_looked_ahead(trend: Path) -> None:
    fill = nth(trend, Kind.FILL, 9)
    order = nth(trend, Kind.ORDER, fill.body["order"])

    found = examined(trend, (order, setting(row=fill.body["row"])))

    assert found["no_look_ahead"] == fill.body["row"]


def test_latency_is_part_of_looking_ahead(trend: Path) -> None:
    started = nth(trend, Kind.SESSION_STARTED, 0)
    passport = started.body["passport"]
    later = {**passport, "rules": {**passport["rules"], "latency_bars": 1}}

    assert "no_look_ahead" in examined(trend, (started, setting(passport=later)))


def test_an_order_that_no_decision_asked_for_is_found(trend: Path) -> None:
    order = nth(trend, Kind.ORDER, 9)
    decision = next(
        record
        for record in read(trend)
        if record.kind is Kind.DECISION and record.body["row"] == order.body["row"]
    )

    found = examined(trend, (decision, entry("targets", order.body["instrument"], None)))

    assert found == {"no_look_ahead": order.body["row"]}


def test_an_order_of_another_session_is_found(trend: Path) -> None:
    order = nth(trend, Kind.ORDER, 9)

    found = examined(trend, (order, setting(client_order_id="a" * 32)))

    assert found == {"one_account": order.body["row"]}


def test_weights_that_come_when_no_window_begins_are_found(trend: Path) -> None:
    weights = nth(trend, Kind.WEIGHTS, 3)

    found = examined(trend, (weights, adding(row=1)))

    assert found == {"weights_when_due": weights.body["row"] + 1}


def test_a_buy_that_spends_more_than_there_is_is_found(trend: Path) -> None:
    buy = next(record for record in read(trend) if record.kind is Kind.FILL and record.body["lots"] > 0)

    found = examined(trend, (buy, setting(fee_e8=2 * 10**12)))

    assert found["no_negative_balance"] == buy.body["row"]


def test_who_may_borrow_may_have_a_negative_balance(tmp_path: Path) -> None:
    limits = {**LIMITS._asdict(), "leverage": 2.0, "gross": 2.0, "instrument": 1.0}
    folder = record(tmp_path / "s", load_strategy("buy_and_hold"), PANEL, changes={"limits": limits})

    (balance,) = [check for check in examine(read_session(folder)) if check.name == "no_negative_balance"]

    assert balance.status is CheckStatus.NOT_APPLICABLE


def test_protective_orders_fill_on_the_bar_of_their_entry_and_no_earlier(every_order: Path) -> None:
    journaled: Journaled = read_session(every_order)
    rows = {int(order[1]): int(order[0]) for order in journaled.orders}
    parents = {int(order[1]): int(order[-1]) for order in journaled.orders}
    same_bar = [fill for fill in journaled.fills.tolist() if rows.get(fill[7]) == fill[0]]

    # Else nothing here were tested: entries that are stopped out on the bar that filled them.
    assert same_bar
    assert all(parents[fill[7]] >= 0 for fill in same_bar)
    assert failed(examine(journaled)) == {}


# ---------------------------------------------------------------------------------------------- drills


def test_a_copy_without_a_change_is_the_same_journal(trend: Path, tmp_path: Path) -> None:
    changed = rewrite(trend, tmp_path / "s", lambda record: record)

    assert changed == 0
    assert (tmp_path / "s" / "journal.log").read_bytes() == (trend / "journal.log").read_bytes()
    assert verify(tmp_path / "s").head == verify(trend).head


def test_a_copy_counts_what_was_changed_and_goes_on_as_a_journal(trend: Path, tmp_path: Path) -> None:
    def drop_fills(record: Record) -> Record | None:
        return None if record.kind is Kind.FILL else record

    fills = sum(record.kind is Kind.FILL for record in read(trend))

    assert rewrite(trend, tmp_path / "s", drop_fills) == fills
    with Journal.open(tmp_path / "s", clock=lambda: 0) as journal:
        journal.append([(Kind.SESSION_INTERRUPTED, {"row": 0})])
    assert verify(tmp_path / "s").status is Status.CLEAN
    assert verify(tmp_path / "s").facts == verify(trend).facts - fills


def test_a_drill_never_writes_over_a_journal(trend: Path) -> None:
    before = (trend / "journal.log").read_bytes()

    with pytest.raises(InputError, match="holds a journal already"):
        rewrite(trend, trend, lambda record: record)

    assert (trend / "journal.log").read_bytes() == before


def test_a_drill_makes_no_body_that_no_session_writes(trend: Path) -> None:
    with pytest.raises(InputError, match="FILL has no price"):
        edited(nth(trend, Kind.FILL, 0), price=1)


def test_a_batch_that_lost_all_its_records_is_gone(trend: Path, tmp_path: Path) -> None:
    first = next(record for record in read(trend) if record.kind in FACTS and record.batch == 3)
    rewrite_all(
        trend, tmp_path / "s", lambda records: [each for each in records if each.batch != first.batch]
    )

    assert verify(tmp_path / "s").batches == verify(trend).batches - 1
    assert verify(tmp_path / "s").status is Status.CLEAN
