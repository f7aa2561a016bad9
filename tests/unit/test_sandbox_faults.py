"""Faults are dealt by seed, counted, told apart, and heal where they touched the data."""

from collections import Counter

import numpy as np
import pytest

from engine.domain.errors import InputError
from engine.sandbox.bars import Bars
from engine.sandbox.faults import (
    FROZEN_REQUESTS,
    FUTURE_BARS_MAX,
    OF_THE_TRANSPORT,
    SETTLE_BARS,
    Fault,
    FaultDealer,
    plan_of_text,
    plan_of_values,
)

INTERVAL = 60_000_000_000
ROWS = 200
# Half a minute into the last bar.
NOW = (ROWS - 1) * INTERVAL + INTERVAL // 2


def bars(rows: int = ROWS) -> Bars:
    count = np.arange(rows, dtype=np.int64)
    return Bars(
        stamps=count * INTERVAL,
        open=1_000 + count,
        high=1_010 + count,
        low=990 + count,
        close=1_005 + count,
        volume=100 + count,
        turnover=np.array((1_000.0 + count) * (100 + count), dtype=np.float64),
        count=10 + count,
    )


def served(dealer: FaultDealer, now: int = NOW, pair: int = 0) -> Bars:
    return dealer.bars(bars(), pair=pair, minutes=1, interval=INTERVAL, now=now)


def dealer_of(text: str, seed: int = 1) -> FaultDealer:
    return FaultDealer(plan_of_text(text), seed=seed)


def test_a_plan_is_read_from_text() -> None:
    plan = plan_of_text("429=0.1, truncated=0.05,latency=0.2,frozen")

    assert dict(plan.values) == {
        Fault.TOO_MANY_REQUESTS: 0.1,
        Fault.TRUNCATED: 0.05,
        Fault.LATENCY: 0.2,
        Fault.FROZEN: 1.0,
    }
    assert plan.of(Fault.LATE) == 0.0
    assert dict(plan_of_text("none").values) == {}
    assert dict(plan_of_text("").values) == {}


def test_random_switches_every_fault_on_and_a_later_word_has_the_last_say() -> None:
    assert set(plan_of_text("random").values) == set(Fault)
    assert plan_of_text("random,latency=0").of(Fault.LATENCY) == 0.0
    assert dict(plan_of_text("random,none,late=0.5").values) == {Fault.LATE: 0.5}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"truncation": 0.1}, "'truncation' is not known.*truncated"),
        ({"429": 1.5}, "429: value must be from 0 to 1, was 1.5"),
        ({"429": float("nan")}, "429: value must be from 0 to 1, was nan"),
        ({"429": "often"}, "429: value must be a number, was 'often'"),
        ({"429": [1]}, "429: value must be a number"),
        ({"429": False}, "429: value must be a number, was False"),
        ({"skew": 9_999}, "skew: value must be from -3600 to 3600"),
        ({"429": 0.7, "5xx": 0.7}, "sum to 1 at most, was 1.4"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_reason(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_of_values(values)


def test_equal_seeds_deal_equal_faults_and_other_seeds_others() -> None:
    dealt = [
        [dealer.of_the_transport() for _ in range(300)]
        for dealer in (dealer_of("random", 4), dealer_of("random", 4), dealer_of("random", 5))
    ]

    assert dealt[0] == dealt[1]
    assert dealt[0] != dealt[2]


def test_faults_of_the_transport_come_as_often_as_was_asked_for() -> None:
    shares = {fault: 0.03 + 0.02 * place for place, fault in enumerate(OF_THE_TRANSPORT)}
    dealer = FaultDealer(plan_of_values({fault.value: share for fault, share in shares.items()}), seed=9)

    met = Counter(dealer.of_the_transport() for _ in range(20_000))

    for fault, share in shares.items():
        assert met[fault] / 20_000 == pytest.approx(share, abs=0.006)
        assert dealer.dealt[fault] == met[fault]


def test_no_faults_leave_bars_alone() -> None:
    dealer = dealer_of("none")

    assert served(dealer).volume.tolist() == bars().volume.tolist()
    assert dealer.of_the_transport() is None
    assert (dealer.delay(), dealer.skew(), dealer.data_now(NOW)) == (0.0, 0, NOW)
    assert not dealer.dealt


def test_a_young_bar_is_revised_in_close_and_volume_alone_and_healed_when_it_has_settled() -> None:
    dealer = dealer_of("revised")
    true, wrong = bars(), served(dealer)
    changed = np.flatnonzero(true.volume != wrong.volume)

    # Closed, and not for three intervals yet: neither the forming bar nor an old one.
    assert changed.tolist() == list(range(ROWS - 1 - SETTLE_BARS, ROWS - 1))
    assert np.flatnonzero(true.close != wrong.close).tolist() == changed.tolist()
    for name in ("stamps", "open", "high", "low"):
        np.testing.assert_array_equal(getattr(true, name), getattr(wrong, name))
    assert (wrong.close[changed] >= wrong.low[changed]).all()
    assert (wrong.close[changed] <= wrong.high[changed]).all()
    assert served(dealer).close.tolist() == wrong.close.tolist()
    healed = served(dealer, now=NOW + (SETTLE_BARS + 1) * INTERVAL)
    assert healed.volume.tolist() == true.volume.tolist()


def test_a_late_bar_is_absent_in_every_reply_until_it_has_settled() -> None:
    dealer = dealer_of("late")
    young = set(range(ROWS - 1 - SETTLE_BARS, ROWS - 1))

    for _ in range(2):
        assert set((served(dealer).stamps // INTERVAL).tolist()) == set(range(ROWS)) - young
    assert len(served(dealer, now=NOW + (SETTLE_BARS + 1) * INTERVAL)) == ROWS


def test_late_and_revised_hit_other_bars_of_other_pairs() -> None:
    plan = plan_of_text("late=0.5")
    absent = set()
    for pair in range(16):
        stamps = served(FaultDealer(plan, seed=1), pair=pair).stamps // INTERVAL
        absent.add(frozenset(set(range(ROWS)) - set(stamps.tolist())))

    assert len(absent) > 4


def test_a_missing_bar_is_there_when_asked_again() -> None:
    dealer = dealer_of("missing=0.1")
    replies = [set((served(dealer).stamps // INTERVAL).tolist()) for _ in range(6)]

    assert all(ROWS * 0.7 < len(reply) < ROWS for reply in replies)
    assert set.union(*replies) == set(range(ROWS))
    # The forming bar is never the missing one: it is no bar yet.
    assert all(ROWS - 1 in reply for reply in replies)


def test_future_bars_open_after_now() -> None:
    dealer = dealer_of("future")
    lengths = set()
    for _ in range(30):
        reply = served(dealer)
        future = reply.stamps[ROWS:]
        assert (future > NOW).all()
        assert (future % INTERVAL == 0).all()
        lengths.add(future.size)

    assert lengths == set(range(1, FUTURE_BARS_MAX + 1))


def test_a_frozen_feed_stands_still_and_thaws() -> None:
    dealer = dealer_of("frozen=0.05", seed=2)
    now = [dealer.data_now(moment) for moment in range(2_000)]
    behind = np.arange(2_000) - np.array(now)

    assert behind.max() >= FROZEN_REQUESTS - 1
    assert (behind == 0).mean() > 0.1
    assert (behind >= 0).all()


def test_a_feed_frozen_for_good_stays_at_the_moment_it_froze_until_another_plan_comes() -> None:
    dealer = dealer_of("frozen")

    assert {dealer.data_now(moment) for moment in range(10, 200)} == {10}
    dealer.change(plan_of_text("none"))
    assert dealer.data_now(300) == 300
    dealer.change(plan_of_text("frozen"))
    assert {dealer.data_now(moment) for moment in range(400, 500)} == {400}


def test_latency_waits_up_to_what_was_asked_for_and_skew_moves_the_told_time() -> None:
    dealer = dealer_of("latency=0.5,skew=-2.5")
    delays = [dealer.delay() for _ in range(500)]

    assert 0 <= min(delays) < 0.05
    assert 0.45 < max(delays) <= 0.5
    assert dealer.skew() == -2_500_000_000


def test_all_data_faults_at_once_on_no_bars_and_on_one() -> None:
    dealer = dealer_of("revised,late,missing,future")
    nothing = dealer.bars(bars(0), pair=0, minutes=1, interval=INTERVAL, now=NOW)
    forming = dealer.bars(bars(1), pair=0, minutes=1, interval=INTERVAL, now=1)

    assert len(nothing) == 0
    assert forming.stamps[0] == 0
    assert len(forming) > 1
