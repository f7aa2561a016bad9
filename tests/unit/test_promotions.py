"""The journal of promotions: what was promoted is found again, and nothing else is."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.domain.errors import JournalError
from engine.domain.passport import Passport, PlanKind, PlanTerms
from engine.domain.portfolio import Invest
from engine.journal.promotions import Promotion, promoted, promotions, record
from engine.journal.reading import verify

PASSPORT = Passport(
    strategy_id="trend-aaaa1111",
    strategy="trend",
    parameters={"fast": 20, "slow": 100, "share": 0.1},
    invest=Invest.FULL,
    graph_hash="a" * 64,
    universe="us20",
    symbols=("AAA", "BBB"),
    timeframe="1d",
    plan=PlanTerms(kind=PlanKind.WALK_FORWARD, selection="all", engine="native", profile="equal_weight"),
    costs={"taker_fee_bps": 10.0},
    rules={"order_kind": 1, "participation": 0.1},
    limits={"gross": float("inf")},
    cash=100_000.0,
    core_version="0123456789abcdef",
    identity_hash="b" * 64,
    run_id="t-1",
    board_hash="c" * 64,
)
PROMOTION = Promotion(
    strategy_id="trend-aaaa1111",
    to="paper",
    passport=PASSPORT,
    gates=({"gate": "scoreboard", "status": "pass"},),
    operator="ann",
    reason="all gates met",
)


class Clock:
    """Says a later second each time."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> int:
        self.seconds += 1
        return self.seconds * 1_000_000_000


def test_a_promotion_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    record(tmp_path / "promotions", PROMOTION, clock=Clock())

    (found,) = promotions(tmp_path / "promotions")

    assert replace(found, time_ns=0) == PROMOTION
    assert found.time_ns == 1_000_000_000
    assert found.passport.hash == PASSPORT.hash


def test_where_nothing_was_promoted_nothing_is_found(tmp_path: Path) -> None:
    assert promotions(tmp_path / "promotions") == ()
    assert promoted(tmp_path / "promotions", "trend-aaaa1111") is None


def test_the_newest_passport_of_a_strategy_counts_and_only_for_its_stage(tmp_path: Path) -> None:
    newer = replace(PASSPORT, run_id="t-2")
    other = replace(PASSPORT, strategy_id="momentum-bbbb2222")
    clock = Clock()
    for promotion in (
        PROMOTION,
        replace(PROMOTION, strategy_id="momentum-bbbb2222", passport=other),
        replace(PROMOTION, passport=newer),
    ):
        record(tmp_path, promotion, clock=clock)

    assert promoted(tmp_path, "trend-aaaa1111") == newer
    assert promoted(tmp_path, "momentum-bbbb2222") == other
    assert promoted(tmp_path, "trend-aaaa1111", "live") is None
    assert promoted(tmp_path, "trend-aaaa111") is None
    assert verify(tmp_path).facts == 3


def test_a_damaged_journal_promotes_nobody(tmp_path: Path) -> None:
    record(tmp_path, PROMOTION, clock=Clock())
    log = tmp_path / "journal.log"
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    log.write_bytes(bytes(damaged))

    with pytest.raises(JournalError):
        promoted(tmp_path, "trend-aaaa1111")
