"""What a session takes from an exchange: bars of trades, only those after which the exchange went on."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.data.providers.errors import PassingError, ProviderCode, ProviderError
from engine.data.providers.port import Page
from engine.data.series import BarSeries, TradeSeries
from engine.domain.errors import InputError
from engine.domain.panel import Adjustment, Instrument, IntArray, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.time import Calendar, Timeframe
from engine.session.exchange import Exchange, Rows
from engine.session.history import history_until
from engine.session.live_feed import Hindrance, Incoming, LiveFeed, StoppedError
from engine.session.present import as_seen, day_ends_by_calendar
from engine.session.start import FeedKind
from engine.strategy_files import load_strategy

HOUR = 3_600 * 10**9
# 2025-06-18 00:00.
MIDNIGHT = 1_750_204_800 * 10**9


def at(hours: float) -> int:
    return MIDNIGHT + round(hours * HOUR)


@dataclass
class FakeProvider:
    """An exchange whose trades are known; its reported bars are wrong wherever they are young.

    Attributes
    ----------
    trades
        By symbol: hours after midnight and price, oldest first; each of one unit.
    seen_until
        By symbol, in hours: trades after it are not shown yet.
    bars_until
        In hours: bars that close later are not reported, whatever the time is.
    asked
        Symbols of which trades were asked, in order.
    """

    trades: dict[str, list[tuple[float, float]]]
    now: float
    seen_until: dict[str, float] = field(default_factory=dict)
    bars_until: float = 1e6
    asked: list[str] = field(default_factory=list)
    failures: list[ProviderError] = field(default_factory=list)

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        if self.failures:
            raise self.failures.pop(0)
        self.asked.append(symbol)
        last = min(self.seen_until.get(symbol, self.now), self.now)
        shown = [(at(hour), price) for hour, price in self.trades[symbol] if hour <= last]
        rows = [row for row in shown if start <= row[0] < stop]
        goes_on = any(stamp >= stop for stamp, _ in shown)
        stamps = np.array([stamp for stamp, _ in rows], dtype=np.int64)
        series = TradeSeries(
            stamps=stamps,
            ids=stamps,
            price=np.array([price for _, price in rows], dtype=np.float64),
            amount=np.ones(len(rows)),
            buyer_is_taker=np.ones(len(rows), dtype=np.bool_),
        )
        if rows:
            yield Page(payload=b"1", series=series, cursor=rows[-1][0])
        if goes_on:
            yield Page(payload=b"2", series=TradeSeries.empty(), cursor=stop)

    def fetch_bars(
        self, symbol: str, _timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        # As trades are shown, so are bars: one after which nothing came is not told.
        hours = [int(hour) for hour, _ in self.trades[symbol]][:-1]
        stop = min(stop, at(min(self.bars_until, self.now // 1)))
        opens = np.unique([at(hour) for hour in hours if start <= at(hour) < stop]).astype(np.int64)
        values = np.full(len(opens), 7.0)
        bars = BarSeries(stamps=opens, open=values, high=values, low=values, close=values, volume=values)
        yield Page(payload=b"3", series=bars, cursor=stop)


def rows_of(provider: FakeProvider, *hours: float, symbols: tuple[str | None, ...]) -> Rows:
    exchange = Exchange(provider, symbols, Timeframe.HOUR_1)  # type: ignore[arg-type]  # a part of a provider
    opens: IntArray = np.array([at(hour) for hour in hours], dtype=np.int64)
    return exchange.rows(opens, at(provider.now))


def test_a_bar_is_what_its_trades_make_whatever_is_reported() -> None:
    provider = FakeProvider({"A": [(0.1, 10.0), (0.5, 12.0), (0.9, 11.0), (1.2, 13.0)]}, now=1.5)

    rows = rows_of(provider, 0, symbols=("A",))

    assert rows.until == at(1)
    assert {name: values.tolist() for name, values in rows.fields.items()} == {
        "open": [[10.0]],
        "high": [[12.0]],
        "low": [[10.0]],
        "close": [[11.0]],
        "volume": [[3.0]],
    }


def test_half_a_bar_of_a_feed_that_stands_still_is_not_taken() -> None:
    provider = FakeProvider({"A": [(0.1, 10.0), (1.1, 12.0), (1.9, 11.0)]}, now=2.5, seen_until={"A": 1.5})

    rows = rows_of(provider, 0, 1, symbols=("A",))

    assert rows.until == at(1)
    assert rows.stamps.tolist() == [at(0)]


def test_nothing_at_all_is_certain_where_no_instrument_went_on() -> None:
    provider = FakeProvider({"A": [(-0.5, 10.0)], "B": [(0.2, 5.0)]}, now=1.5)

    rows = rows_of(provider, 0, symbols=("A", "B"))

    assert rows.until == at(0)
    assert rows.stamps.tolist() == []


def test_a_quiet_instrument_did_not_trade_if_another_one_went_on_before_it_was_asked_again() -> None:
    provider = FakeProvider({"A": [(-0.5, 10.0)], "B": [(0.2, 5.0), (1.2, 6.0)]}, now=1.5)

    rows = rows_of(provider, 0, symbols=("A", "B"))

    assert rows.until == at(1)
    assert rows.stamps.tolist() == [at(0)]
    np.testing.assert_array_equal(rows.fields["close"], [[np.nan, 5.0]])
    # What was told before the others had gone on is no answer.
    assert provider.asked == ["A", "B", "A"]


def test_what_a_quiet_instrument_shows_when_it_is_asked_again_counts() -> None:
    provider = FakeProvider(
        {"A": [(0.3, 10.0)], "B": [(0.2, 5.0), (1.2, 6.0)]}, now=1.5, seen_until={"A": 0.1}
    )
    first_look = provider.fetch_trades

    def later(symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        if len(provider.asked) == 2:
            provider.seen_until.clear()
        return first_look(symbol, start, stop)

    provider.fetch_trades = later  # type: ignore[method-assign]  # the feed thaws while it is asked

    rows = rows_of(provider, 0, symbols=("A", "B"))

    np.testing.assert_array_equal(rows.fields["close"], [[10.0, 5.0]])


def test_bars_that_are_settled_are_taken_as_reported() -> None:
    provider = FakeProvider({"A": [(hour + 0.5, 10.0) for hour in range(11)]}, now=10.75)

    rows = rows_of(provider, *range(10), symbols=("A",))

    # What opened in the last six hours that are reported may be reported wrongly.
    assert rows.fields["close"][:, 0].tolist() == [7.0] * 4 + [10.0] * 6
    assert rows.until == at(10)


def test_a_bar_that_was_young_when_the_reported_bars_stood_still_is_not_settled() -> None:
    trades = [(hour + 0.5, 10.0 + hour) for hour in range(20)]
    provider = FakeProvider({"A": trades}, now=18.6, bars_until=9.0)

    rows = rows_of(provider, *range(1, 11), symbols=("A",))

    assert rows.until == at(11)
    assert rows.fields["close"][:, 0].tolist() == [7.0, 7.0, *(10.0 + hour for hour in range(3, 11))]


def test_what_is_delisted_is_not_asked_for() -> None:
    provider = FakeProvider({"A": [(0.1, 10.0), (1.2, 13.0)]}, now=1.5)

    rows = rows_of(provider, 0, symbols=("A", None))

    np.testing.assert_array_equal(rows.fields["close"], [[10.0, np.nan]])


# -------------------------------------------------------------------------------------------- the feed


class Clock:
    """A clock of an exchange that goes on by an hour a look, to `stop` at most."""

    def __init__(self, provider: FakeProvider, *, stop: float) -> None:
        self._provider = provider
        self._stop = stop

    def look(self) -> int:
        self._provider.now = min(self._provider.now + 1, self._stop)
        return at(self._provider.now)


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def hindered(self, hindrance: Hindrance, words: str) -> None:
        assert words
        self.said.append(hindrance.value)

    def unhindered(self) -> None:
        self.said.append("goes on")


def incoming(
    provider: FakeProvider,
    heard: Heard,
    *,
    stop: float,
    patience: int = 10,
    symbols: tuple[str, ...] = ("A",),
) -> Incoming:
    naps = 0

    def wait(_seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps > patience:
            raise StoppedError

    return Incoming(
        Exchange(provider, symbols, Timeframe.HOUR_1),  # type: ignore[arg-type]  # a part of a provider
        Clock(provider, stop=stop),  # type: ignore[arg-type]  # a part of a clock
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
        watcher=heard,
        wait=wait,
        look_seconds_max=1.0,
    )


def panel(hours: int, *, first: float = 0.0, price: float = 1.0) -> Panel:
    values = np.full((hours, 1), price)
    return Panel(
        name="mine",
        timestamps=np.array([at(first + hour) for hour in range(hours)], dtype=np.int64),
        open=values,
        high=values,
        low=values,
        close=values,
        volume=values,
        instruments=(Instrument(symbol="A/USD"),),
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
    )


def feed(provider: FakeProvider, heard: Heard, *, stop: float, stop_at: float | None = None) -> LiveFeed:
    history = as_seen(panel(2, first=-2), FeedKind.SANDBOX)
    return LiveFeed(
        history,
        incoming(provider, heard, stop=stop),
        ("close", "volume"),
        last_opened_at=int(history.timestamps[-1]),
        stop_at=None if stop_at is None else at(stop_at),
    )


def test_a_feed_gives_history_and_then_each_bar_when_it_is_final_and_says_which_ends_a_day() -> None:
    # Nothing was traded in the hour of 01:00, and in the last one of the day.
    provider = FakeProvider(
        {"A": [(hour + 0.5, 10.0 + hour) for hour in range(30) if hour not in (1, 23)]}, now=0.0
    )

    bars = list(feed(provider, Heard(), stop=25.9, stop_at=25).bars(0))

    assert [bar.opened_at for bar in bars] == [at(hour) for hour in range(-2, 25) if hour not in (1, 23)]
    assert [bar.row for bar in bars] == list(range(len(bars)))
    # The bar of 22:00 is the day's last one; but nobody knew when it was over.
    assert [bar.opened_at for bar in bars if bar.day_end] == [at(-1)]
    assert bars[2].fields["close"].tolist() == [10.0]


@pytest.mark.parametrize(
    ("delisted_at", "closes"),
    [
        (None, [1.0, 1.0, 1.0, 1.0, 1.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0]),
        # What is delisted cannot be asked for.
        (at(10), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 20.0]),
    ],
)
def test_the_last_bars_of_a_history_may_be_halves_and_are_asked_for_again(
    delisted_at: int | None, closes: list[float]
) -> None:
    provider = FakeProvider({"A": [(hour + 0.05, 10.0 + hour) for hour in range(12)]}, now=11.1)
    known = panel(10)
    known = replace(known, instruments=(replace(known.instruments[0], delisted_at=delisted_at),))

    history = history_until(
        as_seen(known, FeedKind.SANDBOX),
        incoming(provider, Heard(), stop=11.1),
        at(11.1),
        load_strategy("mean_reversion"),
        PlanTerms(kind=PlanKind.WALK_FORWARD, train=11),
    )

    assert history.timestamps.tolist() == [at(hour) for hour in range(11)]
    assert history.close[:, 0].tolist() == closes


def test_a_feed_that_goes_on_begins_after_the_bar_that_was_worked_last() -> None:
    provider = FakeProvider({"A": [(hour + 0.5, 10.0) for hour in range(9)]}, now=5.6)
    history = as_seen(panel(2, first=-2), FeedKind.SANDBOX)
    live = LiveFeed(
        history, incoming(provider, Heard(), stop=6.6), ("close",), last_opened_at=at(3), stop_at=at(6)
    )

    assert [(bar.row, bar.opened_at) for bar in live.bars(6)] == [(6, at(4)), (7, at(5))]


def test_days_without_trading_are_not_waited_for() -> None:
    provider = FakeProvider({"A": []}, now=0.0)
    exchange = Exchange(provider, ("A", None), Timeframe.DAY_1)  # type: ignore[arg-type]  # a part of a provider
    live = Incoming(
        exchange,
        Clock(provider, stop=9),  # type: ignore[arg-type]  # a part of a clock
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
        watcher=Heard(),
        wait=lambda _seconds: pytest.fail("waits"),
        look_seconds_max=1.0,
    )
    saturday, monday = at(3 * 24), at(5 * 24)

    rows = live.after(saturday, monday)

    assert (rows.until, rows.stamps.tolist(), rows.fields["close"].shape) == (monday, [], (0, 2))


def test_who_waits_says_why_once_and_nothing_is_made_up() -> None:
    provider = FakeProvider({"A": [(0.5, 10.0), (1.5, 11.0)]}, now=0.0)
    heard = Heard()

    bars = list(feed(provider, heard, stop=9).bars(0))

    # The hour of 01:00 may go on: nothing says that it is over.
    assert [bar.opened_at for bar in bars][-1] == at(0)
    assert heard.said == ["DATA_STALE"]


def test_an_exchange_that_does_not_answer_is_asked_again_and_one_that_refuses_is_not() -> None:
    provider = FakeProvider({"A": [(hour + 0.5, 10.0) for hour in range(9)]}, now=0.0)
    provider.failures = [PassingError("kraken", "HTTP 503"), PassingError("kraken", "HTTP 502")]
    heard = Heard()

    bars = list(feed(provider, heard, stop=5.9, stop_at=4).bars(2))

    assert [bar.opened_at for bar in bars] == [at(hour) for hour in range(4)]
    assert heard.said == ["NO_ANSWER", "goes on"]

    provider = FakeProvider({"A": []}, now=0.0)
    provider.failures = [ProviderError(ProviderCode.ENTITLEMENT_FAILURE, "kraken", "HTTP 403")]
    with pytest.raises(ProviderError, match="HTTP 403"):
        list(feed(provider, Heard(), stop=5.9).bars(2))


def test_an_exchange_whose_clock_is_behind_the_session_is_named() -> None:
    provider = FakeProvider({"A": []}, now=-9.0)
    heard = Heard()

    assert list(feed(provider, heard, stop=-5).bars(2)) == []
    assert heard.said == ["CLOCK_BEHIND"]


# ------------------------------------------------------------------------------------ a data set as seen


def test_a_day_ends_with_the_last_bar_that_its_calendar_expects() -> None:
    # A Wednesday before a holiday, a Friday, a Monday: New York closes at 16:00, 20:00 UTC in summer.
    days = (0, 2, 5)
    opens = np.array([at(24 * day + hour) for day in days for hour in range(13, 20)], dtype=np.int64)

    ends = day_ends_by_calendar(opens, Timeframe.HOUR_1, Calendar.XNYS)

    assert opens[ends].tolist() == [at(24 * day + 19) for day in days]
    # Without its last bar a day has no end.
    assert not day_ends_by_calendar(opens[:6], Timeframe.HOUR_1, Calendar.XNYS).any()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"adjustment": Adjustment.SPLIT}, "prices are adjusted"),
        ({"has_range": False}, "has closes only"),
        ({"timestamps": panel(3, first=0.5).timestamps}, "do not open every 1h"),
    ],
)
def test_a_data_set_that_a_feed_cannot_go_on_with_is_refused(given: dict[str, object], says: str) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match=says):
        as_seen(replace(panel(3), **given), FeedKind.SANDBOX)  # type: ignore[arg-type]  # cases of all kinds


def test_what_the_practice_exchange_gives_is_synthetic_and_has_prices_only() -> None:
    from dataclasses import replace

    given = replace(panel(3), fields={"market": np.ones(3)})

    seen = as_seen(given, FeedKind.SANDBOX)

    assert seen.synthetic
    assert dict(seen.fields) == {}
    # The last row of all is the end of no day.
    assert given.day_ends.tolist() == [False, False, True]
    assert seen.day_ends.tolist() == [False, False, False]
