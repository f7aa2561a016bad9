"""One series from a provider of arrays: what is asked, what is taken, what is left alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.actions import ActionKind, Split, market_rules
from engine.data.ingestion.one_series import Ingestion, Span, StoppedError
from engine.data.ingestion.outcome import Counts
from engine.data.lake.lake import Lake
from engine.data.market_rules import MarketRules
from engine.data.providers.finality import GRACE
from engine.data.providers.port import ActionSeen
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.time import Timeframe
from tests.fake_exchange import STEP, FakeExchange, market
from tests.lakes import START

KEY = SeriesKey(venue="kraken", kind=SeriesKind.BARS, instrument="BTC/USD", timeframe=Timeframe.MINUTE_1)
ALL = Span(start=START, stop=2**62, holes_from=START)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def exchange(*, minutes: int = 300, now: int = 200, quiet: float = 0.0) -> FakeExchange:
    draw = np.random.default_rng(5)
    # Half a minute into a minute that is forming.
    return FakeExchange(
        trades=market(draw, minutes, START, quiet), now=START + now * STEP + STEP // 2, draw=draw
    )


def ingest(lake: Lake, provider: FakeExchange, span: Span = ALL, *, stop_after: int = 10**9) -> Counts:
    replies = 0

    def stopped() -> bool:
        nonlocal replies
        replies += 1
        return replies > stop_after

    ingestion = Ingestion(
        lake=lake,
        provider=provider,
        key=KEY,
        run="run",
        now=lambda: provider.now,
        advanced=lambda _, __: None,
        stopped=stopped,
    )
    return ingestion.ingest(span)


def opens(lake: Lake) -> list[int]:
    return [(stamp - START) // STEP for stamp in lake.read(KEY).stamps.tolist()]


def test_a_bar_comes_in_when_the_grace_after_its_end_is_over(lake: Lake) -> None:
    provider = exchange(now=10)
    provider.now = START + 10 * STEP + GRACE - 1

    ingest(lake, provider)
    before = opens(lake)
    provider.now += 1
    ingest(lake, provider)

    assert before == list(range(9))
    assert opens(lake) == list(range(10))


def test_bars_of_the_future_are_refused_and_counted(lake: Lake) -> None:
    provider = exchange()
    provider.leaks = 1.0

    counts = ingest(lake, provider)

    assert counts.future == len([each for each in provider.asked if each[0] == "bars"]) * 4
    assert opens(lake) == list(range(200))


def test_a_second_look_asks_for_the_last_bars_only(lake: Lake) -> None:
    provider = exchange()
    ingest(lake, provider)
    provider.asked.clear()

    counts = ingest(lake, provider)

    assert counts.new == counts.late == counts.corrected == 0
    assert provider.asked[0] == ("bars", START + 195 * STEP, START + 199 * STEP + STEP // 2 - GRACE + 1)
    # Young bars are proven once more; nothing else is.
    assert [(what, (start - START) // STEP) for what, start, _ in provider.asked[1:]] == [("trades", 195)]


def test_quiet_minutes_are_looked_for_in_the_trades_and_stay_away(lake: Lake) -> None:
    provider = exchange(quiet=0.5)

    counts = ingest(lake, provider)

    assert opens(lake) == ((provider.truth(START + 200 * STEP).stamps - START) // STEP).tolist()
    assert counts.late == 0


def test_a_revision_is_taken_only_if_the_trades_say_so(lake: Lake) -> None:
    provider = exchange()
    ingest(lake, provider)
    right = lake.read(KEY)
    provider.wrong = 1.0

    counts = ingest(lake, provider)

    assert counts.corrected == 0
    assert lake.read(KEY).close.tolist() == right.close.tolist()


def test_a_bar_that_was_told_wrong_and_is_not_told_again_is_looked_at(lake: Lake) -> None:
    provider = exchange()
    provider.has_trades, provider.wrong = False, 1.0
    ingest(lake, provider)
    provider.has_trades, provider.wrong = True, 0.0
    # Long over when it is asked for again, and then every bar is left out.
    provider.left_out, provider.now = 1.0, provider.now + 20 * STEP

    ingest(lake, provider)

    assert np.array_equal(lake.read(KEY).close, provider.truth(START + 220 * STEP).close)


def test_bars_that_were_young_when_the_reply_stood_still_are_proven(lake: Lake) -> None:
    provider = exchange()
    provider.wrong, provider.bars_stand_still_at = 1.0, START + 170 * STEP + STEP // 2

    ingest(lake, provider)

    assert np.array_equal(lake.read(KEY).close, provider.truth(START + 200 * STEP).close)


def test_trades_that_stand_still_take_nothing_away(lake: Lake) -> None:
    provider = exchange()
    ingest(lake, provider)
    right = lake.read(KEY)
    # In the middle of the trades of a bar that is looked at again.
    row = int(np.searchsorted(provider.trades.stamps, START + 197 * STEP))
    while int(provider.trades.stamps[row + 1]) // STEP != int(provider.trades.stamps[row]) // STEP:
        row += 1
    provider.trades_stand_still_at = int(provider.trades.stamps[row + 1])

    counts = ingest(lake, provider)

    assert counts.corrected == 0
    assert lake.read(KEY).volume.tolist() == right.volume.tolist()


def test_half_a_bar_of_a_feed_that_stands_still_is_made_whole_by_the_next_look(lake: Lake) -> None:
    provider = exchange()
    row = int(np.searchsorted(provider.trades.stamps, START + 197 * STEP))
    while int(provider.trades.stamps[row + 1]) // STEP != int(provider.trades.stamps[row]) // STEP:
        row += 1
    provider.trades_stand_still_at, provider.left_out = int(provider.trades.stamps[row + 1]), 1.0
    ingest(lake, provider)
    held = lake.read(KEY)
    assert held.volume[-1] < provider.truth(int(held.stamps[-1]) + 1).volume[-1]
    provider.trades_stand_still_at, provider.left_out = 2**62, 0.0

    ingest(lake, provider)

    assert lake.read(KEY).volume.tolist() == pytest.approx(
        provider.truth(START + 200 * STEP).volume.tolist(), rel=1e-14
    )


def test_a_provider_without_trades_corrects_itself(lake: Lake) -> None:
    provider = exchange()
    provider.has_trades, provider.wrong = False, 1.0
    ingest(lake, provider)
    assert not np.array_equal(lake.read(KEY).close, provider.truth(START + 200 * STEP).close)
    provider.wrong, provider.now = 0.0, provider.now + 2 * STEP

    counts = ingest(lake, provider)

    assert counts.corrected > 0
    assert np.array_equal(lake.read(KEY).close, provider.truth(START + 202 * STEP).close)


def test_a_provider_without_trades_is_asked_again_for_holes(lake: Lake) -> None:
    provider = exchange()
    provider.has_trades, provider.left_out = False, 0.1

    ingest(lake, provider)
    provider.left_out = 0.0
    ingest(lake, provider)

    assert opens(lake) == list(range(200))


def test_history_before_a_listing_costs_one_question(lake: Lake) -> None:
    provider = exchange()
    provider.bars_a_page = 10**9
    ingest(lake, provider, replace(ALL, start=START - 3 * 366 * 1440 * STEP, holes_from=START))
    provider.asked.clear()

    ingest(lake, provider, replace(ALL, start=START - 3 * 366 * 1440 * STEP, holes_from=START))

    older = [each for each in provider.asked if each[0] == "bars" and each[1] < START]
    assert len(older) == 1


def test_splits_of_a_reply_are_facts_of_the_lake(lake: Lake) -> None:
    provider = exchange()
    provider.actions = (ActionSeen(effective_at=START, what=Split(new_units=4, old_units=1)),)

    counts = ingest(lake, provider)
    again = ingest(lake, provider)

    (fact,) = lake.actions("kraken", "BTC/USD")
    assert (fact.kind, fact.effective_at, fact.what) == (
        ActionKind.SPLIT, START, Split(new_units=4, old_units=1),
    )  # fmt: skip
    assert (counts.actions, again.actions) == (1, 0)


def test_what_is_taken_in_orders_is_a_fact_with_its_reply_whenever_it_changes(lake: Lake) -> None:
    provider = exchange()
    first, second = MarketRules(tick_size="0.1", lot_size="0.001"), MarketRules(tick_size="0.01")
    for rules in (first, first, second):
        provider.now += STEP
        provider.rules = rules
        ingest(lake, provider)

    told = lake.actions("kraken", "BTC/USD")
    assert [fact.what for fact in told] == [first, second]
    assert market_rules(told, "kraken", "BTC/USD") == second
    archived = sorted(path for path in (lake.root / "raw").rglob("*") if "markets" in path.name)
    assert len(archived) == 2


def test_who_stops_keeps_what_is_in_hand(lake: Lake) -> None:
    provider = exchange()

    with pytest.raises(StoppedError):
        ingest(lake, provider, stop_after=2)

    # Two whole pages, and the one after which the wish was heard.
    assert opens(lake) == list(range(3 * provider.bars_a_page))


def test_a_full_disk_is_one_error_and_the_lake_verifies(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.write

    def full(descriptor: int, payload: bytes) -> int:
        if len(payload) > 2000:
            raise OSError(28, "No space left on device")
        return real(descriptor, payload)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(InputError, match="the disk is full"):
            ingest(lake, exchange())

    assert lake.verify() == []
    ingest(lake, exchange())
    assert opens(lake) == list(range(200))
