"""Quotes and books recorded from a sandbox, by the real client of ccxt, in a world whose clock is moved."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.ingestion.recording import Recorded, RecordRequest, record
from engine.data.lake.lake import Lake
from engine.data.providers.errors import PassingError, ProviderCode, ProviderError
from engine.data.providers.kraken_book import read_depth, read_ticker
from engine.data.providers.opening import Access
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.sandbox.background import BackgroundSandbox
from engine.sandbox.market import Market
from tests.ingestions import World
from tests.sandboxes import NOON, sandbox, set_faults, simulated_market, step

SECOND = 10**9
QUOTES = RecordRequest(
    provider="kraken",
    symbols=("BTC/USD", "ETH/USD"),
    kind=SeriesKind.QUOTES,
    every=5 * SECOND,
    flush_every=30 * SECOND,
    duration=60 * SECOND,
    is_sandbox=True,
)
BOOK = replace(QUOTES, kind=SeriesKind.BOOK, levels=3)


@pytest.fixture(scope="module")
def market() -> Market:
    return simulated_market(pairs=2)


@pytest.fixture
def running(market: Market) -> Iterator[BackgroundSandbox]:
    with sandbox(market) as sandboxed:
        yield sandboxed


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def key(kind: SeriesKind, symbol: str = "BTC/USD") -> SeriesKey:
    return SeriesKey(venue="kraken@sandbox", kind=kind, instrument=symbol)


class Stage:
    """Sleep moves both clocks; a wish may be made whenever somebody sleeps."""

    def __init__(self, running: BackgroundSandbox, lake: Lake) -> None:
        self.running, self.lake, self.world = running, lake, World()
        self.elapsed = 0.0
        self.heard: list[str] = []
        self.flushed: list[int] = []
        self.asleep: Callable[[], None] = lambda: None

    def access(self) -> Access:
        access = self.world.access(self.running.url)
        clocks = replace(access.surroundings, sleep=self.sleep, monotonic=lambda: self.elapsed)
        return replace(access, surroundings=clocks)

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        self.world.now += round(seconds * SECOND)
        step(self.running, seconds)
        self.asleep()

    def record(self, request: RecordRequest, **named: Any) -> Recorded:
        return record(
            request,
            lake=self.lake,
            access=self.access(),
            failed=self.heard.append,
            flushed=lambda recorded: self.flushed.append(sum(recorded.moments.values())),
            **named,
        )


@pytest.fixture
def stage(running: BackgroundSandbox, lake: Lake) -> Stage:
    return Stage(running, lake)


def test_quotes_are_the_best_offers_of_the_market_at_each_look(stage: Stage, market: Market) -> None:
    recorded = stage.record(QUOTES)

    series = stage.lake.read_book(key(SeriesKind.QUOTES))
    assert len(series) == recorded.moments[key(SeriesKind.QUOTES)] == recorded.replies == 12
    # The first look waits for the list of markets.
    np.testing.assert_allclose(np.diff(series.stamps), 5 * SECOND, atol=SECOND / 10)
    for row, stamp in enumerate(series.stamps.tolist()):
        book = market.book(0, now=stamp, depth=1)
        assert series.bid[row] == int(book.bids.ticks[0]) / 10
        assert series.ask[row] == int(book.asks.ticks[0]) / 10
    # Batches of half a minute, of two series.
    assert stage.flushed == [14, 24] or stage.flushed == [12, 24]
    assert stage.lake.verify() == []


def test_a_book_has_its_levels_with_the_best_first(stage: Stage, market: Market) -> None:
    stage.record(BOOK)

    series = stage.lake.read_book(key(SeriesKind.BOOK, "ETH/USD"))
    assert series.levels[:6].tolist() == [0, 1, 2, 0, 1, 2]
    first = market.book(1, now=int(series.stamps[0]), depth=3)
    assert [round(price * 100) for price in series.bid[:3]] == first.bids.ticks.tolist()
    assert [round(price * 100) for price in series.ask[:3]] == first.asks.ticks.tolist()
    assert (series.ask_amount > 0).all()


def test_what_came_before_a_stop_is_in_the_lake(stage: Stage) -> None:
    def interrupted() -> None:
        if stage.world.now > NOON + 17 * SECOND:
            raise KeyboardInterrupt

    stage.asleep = interrupted
    recorded = stage.record(replace(QUOTES, duration=None, flush_every=10**15))

    assert recorded.replies == 4
    assert len(stage.lake.read_book(key(SeriesKind.QUOTES))) == 4


def test_a_provider_that_does_not_answer_for_a_while_leaves_a_hole_and_a_reason(stage: Stage) -> None:
    def broken_for_a_while() -> None:
        bad = NOON + 11 * SECOND < stage.world.now < NOON + 33 * SECOND
        set_faults(stage.running, "5xx" if bad else "none")

    stage.asleep = broken_for_a_while
    recorded = stage.record(QUOTES)

    assert recorded.failed > 0
    assert len(stage.heard) == recorded.failed
    assert "kraken" in stage.heard[0]
    stamps = stage.lake.read_book(key(SeriesKind.QUOTES)).stamps
    assert len(stamps) == recorded.replies < 12
    assert np.diff(stamps).max() > 15 * SECOND


def test_a_recording_goes_on_where_another_ended(stage: Stage) -> None:
    stage.record(QUOTES)
    stage.record(QUOTES)

    assert len(stage.lake.read_book(key(SeriesKind.QUOTES))) == 24
    assert stage.lake.corrections(key(SeriesKind.QUOTES)) == []


def test_a_clock_that_was_set_back_loses_nothing(stage: Stage) -> None:
    def set_back() -> None:
        if stage.world.now > NOON + 12 * SECOND:
            stage.world.now -= 3600 * SECOND
            stage.asleep = lambda: None

    stage.asleep = set_back
    recorded = stage.record(QUOTES)

    assert recorded.replies == 12
    assert len(stage.lake.read_book(key(SeriesKind.QUOTES))) == 12
    assert stage.lake.verify() == []


def test_a_full_disk_is_one_error(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(InputError, match="the disk is full"):
        stage.record(QUOTES)
    monkeypatch.undo()
    assert stage.lake.verify() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": SeriesKind.TRADES}, "--kind: quotes or book can be recorded, was trades"),
        ({"symbols": ()}, "--symbols: name at least one"),
        ({"symbols": ("BTC/USD", "BTC/USD")}, "--symbols: name at least one and each once"),
        ({"levels": 501}, "--levels: must be from 1 to 500, was 501"),
        ({"every": 0}, "--every: must be longer than nothing"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(QUOTES, **change)


def test_who_shows_no_offers_is_not_recorded(stage: Stage) -> None:
    with pytest.raises(ProviderError, match="does not show what is on offer") as refused:
        stage.record(replace(QUOTES, provider="binance", symbols=("BTC/USDT",)))
    assert refused.value.code is ProviderCode.NOT_OFFERED
    with pytest.raises(ProviderError, match="not for live_quotes"):
        stage.record(replace(QUOTES, provider="yahoo"))


# ------------------------------------------------------------------------------------------------ replies

DEPTH = b"""{"error": [], "result": {"XXBTZUSD": {
    "asks": [["105944.30000", "0.136", 1762820248], ["105946.90000", "0.095", 1762820191]],
    "bids": [["105944.20000", "2.500", 1762820248]]}}}"""
TICKER = b"""{"error": [], "result": {"XXBTZUSD": {
    "a": ["105944.30000", "1", "1.250"], "b": ["105944.20000", "3", "3.500"], "c": ["1", "1"]}}}"""


def test_a_book_is_read_as_kraken_writes_it() -> None:
    book = read_depth(DEPTH, NOON, 10)

    assert book.stamps.tolist() == [NOON, NOON]
    assert book.bid[0] == 105944.2
    assert np.isnan(book.bid[1])
    assert book.ask.tolist() == [105944.3, 105946.9]
    assert book.ask_amount.tolist() == [0.136, 0.095]
    assert len(read_depth(DEPTH, NOON, 1)) == 1


def test_quotes_are_read_as_kraken_writes_them() -> None:
    quote = read_ticker(TICKER, NOON)["XXBTZUSD"]

    assert (quote.bid[0], quote.bid_amount[0]) == (105944.2, 3.5)
    assert (quote.ask[0], quote.ask_amount[0]) == (105944.3, 1.25)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'["105944.20000", "2.500"', b'["105944.30000", "2.500"', "out of order"),
        (b"105946.90000", b"105944.30000", "out of order"),
        (b'"105944.20000"', b'"0"', "without a price"),
        (b'"0.136", 1762820248', b'"0.136"', "not as documented"),
        (b'"0.136"', b'"much"', "no number"),
        (b'"asks"', b'"asked"', "no list asks"),
        (b'"XXBTZUSD"', b'"A": {}, "XXBTZUSD"', "not about one pair"),
        (b"}}}", b"", "not whole JSON"),
    ],
)
def test_a_book_that_is_none_is_refused(old: bytes, new: bytes, words: str) -> None:
    with pytest.raises(PassingError, match=words):
        read_depth(DEPTH.replace(old, new, 1), NOON, 10)
