"""Kraken through the real client of ccxt, against a loopback that does what Kraken does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from engine.data.providers.bars import DifferenceKind, bars_from_trades
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.kraken import BARS_MAX, OVERLAP_BARS, TRADES_A_PAGE, Kraken
from engine.data.series import BAR_VALUES, BarSeries, TradeSeries
from engine.domain.errors import InputError
from engine.domain.time import Timeframe
from tests.providers_loopback import DAY, MINUTE, SECOND, Asked, Loopback, Reply, World, as_json, serving

# 2025-11-10 17:24:00 UTC, and half a minute into the minute that is forming.
T0 = 1_762_795_440 * SECOND
NOW = T0 + 30 * SECOND

ASSETS = {
    "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5},
    "ZUSD": {"aclass": "currency", "altname": "USD", "decimals": 4, "display_decimals": 2},
}
PAIRS = {
    "XXBTZUSD": {
        "altname": "XBTUSD",
        "wsname": "XBT/USD",
        "aclass_base": "currency",
        "base": "XXBT",
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "cost_decimals": 5,
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }
}


@dataclass
class Exchange:
    """Trades as (nanoseconds, id, price, amount, side), and what Kraken makes of them."""

    trades: list[tuple[int, int, str, str, str]]
    now: int = NOW
    page: int = TRADES_A_PAGE
    prints_empty: bool = True
    counts_intervals: bool = False
    revised: dict[int, str] = field(default_factory=dict)
    stopped_trades: list[tuple[int, int, str, str, str]] | None = None

    def __call__(self, asked: Asked) -> Reply:
        result: Any
        match asked.path.rsplit("/", 1)[-1]:
            case "Assets":
                result = ASSETS
            case "AssetPairs":
                result = PAIRS
            case "Trades":
                result = self.trades_reply(int(asked.query["since"]), int(asked.query["count"]))
            case "OHLC":
                result = self.ohlc_reply(int(asked.query["interval"]), int(asked.query["since"]))
            case unknown:
                raise AssertionError(unknown)
        return Reply(encoded({"error": [], "result": result}))

    def trades_reply(self, since: int, count: int) -> dict[str, Any]:
        tape = self.trades if self.stopped_trades is None else self.stopped_trades
        rows = [trade for trade in tape if trade[0] > since][: min(count, self.page)]
        shown = [
            [price, amount, Raw(f"{stamp / 10**9!r}"), side, "l", "", number]
            for stamp, number, price, amount, side in rows
        ]
        return {"XXBTZUSD": shown, "last": str(rows[-1][0] if rows else since)}

    def ohlc_reply(self, minutes: int, since: int) -> dict[str, Any]:
        step = minutes * MINUTE
        forming = self.now - self.now % step
        rows: list[list[Any]] = []
        close = "0"
        grouped: dict[int, list[tuple[int, int, str, str, str]]] = {}
        for trade in self.trades:
            if trade[0] < self.now:
                grouped.setdefault(trade[0] - trade[0] % step, []).append(trade)
        for stamp in range(min(grouped), forming + 1, step):
            inside = grouped.get(stamp, [])
            if inside:
                prices = [trade[2] for trade in inside]
                volume = sum(round(float(trade[3]) * 10**8) for trade in inside)
                close = prices[-1]
                values = [prices[0], max(prices, key=float), min(prices, key=float), close, "1.0"]
                rows.append(
                    [stamp // SECOND, *values, self.revised.get(stamp, f"{volume / 10**8:.8f}"), len(inside)]
                )
            elif self.prints_empty:
                rows.append([stamp // SECOND, close, close, close, close, "0.0", "0.00000000", 0])
        oldest = (forming - BARS_MAX * step) // SECOND if self.counts_intervals else 0
        rows = [row for row in rows if row[0] > since and row[0] >= oldest]
        return {"XXBTZUSD": rows[-BARS_MAX - 1 :], "last": (forming - step) // SECOND}


class Raw(str):
    """Text that stands in JSON as a number."""


def encoded(value: Any) -> bytes:
    import json
    import re

    text = json.dumps(value, default=str)
    return re.sub(r'"(\d{9,}\.\d+)"', r"\1", text).encode()


@cache
def market(minutes: int, seed: int = 3, quiet: float = 0.2) -> list[tuple[int, int, str, str, str]]:
    """Return trades of the last minutes before NOW; in some minutes there are none."""
    draw = np.random.default_rng(seed)
    trades = []
    number, price = 10_218_208, 105_000.0
    start = T0 - minutes * MINUTE
    for minute in range(minutes + 1):
        if minute and draw.random() < quiet:
            continue
        offsets = np.sort(draw.integers(0, 60 * SECOND, size=int(draw.integers(1, 6))))
        for offset in offsets.tolist():
            stamp = start + minute * MINUTE + offset
            if stamp >= NOW:
                continue
            price = round(price + float(draw.normal(0, 5)), 1)
            amount = f"{draw.integers(1, 10**8) / 10**8:.8f}"
            trades.append((stamp, number, f"{price:.5f}", amount, "bs"[int(draw.integers(2))]))
            number += 1
    return trades


def expected(exchange: Exchange, timeframe: Timeframe, start: int, stop: int) -> BarSeries:
    """Return the bars of all trades by plain Python."""
    step = timeframe.nanoseconds
    inside: dict[int, list[tuple[float, int]]] = {}
    for stamp, _, price, amount, _ in exchange.trades:
        opens = stamp - stamp % step
        if start <= opens < stop and opens + step <= exchange.now:
            inside.setdefault(opens, []).append((float(price), round(float(amount) * 10**8)))
    rows = [(opens, [price for price, _ in rows], sum(n for _, n in rows)) for opens, rows in inside.items()]
    return BarSeries(
        stamps=np.array([row[0] for row in rows], dtype=np.int64),
        open=np.array([row[1][0] for row in rows]),
        high=np.array([max(row[1]) for row in rows]),
        low=np.array([min(row[1]) for row in rows]),
        close=np.array([row[1][-1] for row in rows]),
        volume=np.array([row[2] / 10**8 for row in rows]),
    )


def joined(pages: list[Any]) -> BarSeries:
    parts = [page.series for page in pages]
    assert all(isinstance(part, BarSeries) for part in parts)
    return BarSeries(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("stamps", *BAR_VALUES)}
    )


def assert_same(left: BarSeries, right: BarSeries) -> None:
    for name in ("stamps", *BAR_VALUES):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@dataclass
class Stage:
    exchange: Exchange
    server: Loopback
    provider: Kraken
    world: World


@pytest.fixture
def stage() -> Iterator[Stage]:
    exchange = Exchange(list(market(2000)))
    with serving(exchange) as server:
        world = World(NOW)
        provider = Kraken(surroundings=world.surroundings, bucket=world.bucket, base_url=server.url)
        yield Stage(exchange, server, provider, world)
        provider.close()


def paths(stage: Stage) -> list[str]:
    return [asked.path.rsplit("/", 1)[-1] for asked in stage.server.asked]


@pytest.mark.parametrize("since", [T0 - 10 * MINUTE, T0 - 900 * MINUTE])
def test_bars_that_are_not_over_or_have_not_begun_are_left_out_and_counted(stage: Stage, since: int) -> None:
    honest = stage.exchange

    def with_the_future(asked: Asked) -> Reply:
        if not asked.path.endswith("OHLC"):
            return honest(asked)
        result = honest.ohlc_reply(int(asked.query["interval"]), int(asked.query["since"]))
        ahead = [(T0 + number * MINUTE) // SECOND for number in (2, 3)]
        result["XXBTZUSD"] += [[stamp, "1", "1", "1", "1", "1", "1.0", 1] for stamp in ahead]
        return Reply(encoded({"error": [], "result": result}))

    stage.server.answers = with_the_future
    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, since, T0 + DAY))

    assert_same(joined(pages), expected(honest, Timeframe.MINUTE_1, since, T0 + DAY))
    assert (sum(page.forming for page in pages), sum(page.future for page in pages)) == (1, 2)


@pytest.mark.parametrize("prints_empty", [True, False])
def test_recent_bars_are_those_reported_without_the_forming_one(stage: Stage, prints_empty: bool) -> None:
    stage.exchange.prints_empty = prints_empty
    start = T0 - 300 * MINUTE

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

    assert paths(stage) == ["Assets", "AssetPairs", "OHLC"]
    assert_same(joined(pages), expected(stage.exchange, Timeframe.MINUTE_1, start, NOW))
    assert pages[-1].series.stamps[-1] < T0
    assert pages[0].payload.startswith(b'{"error"')


@pytest.mark.parametrize("prints_empty", [True, False])
def test_deep_history_is_built_from_trades_and_meets_the_reported_bars(
    stage: Stage, prints_empty: bool
) -> None:
    stage.exchange.prints_empty = prints_empty
    start = T0 - 1990 * MINUTE

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

    assert_same(joined(pages), expected(stage.exchange, Timeframe.MINUTE_1, start, NOW))
    assert [page.differences for page in pages if page.differences] == []
    assert paths(stage).count("Trades") >= 3
    cursors = [page.cursor for page in pages]
    assert cursors == sorted(cursors)


def test_old_history_alone_stops_where_it_was_asked_to(stage: Stage) -> None:
    start = T0 - 1990 * MINUTE + 7 * SECOND
    for minutes in range(1700, 1706):
        stop = T0 - minutes * MINUTE + 7 * SECOND

        pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, stop))

        assert_same(joined(pages), expected(stage.exchange, Timeframe.MINUTE_1, start, stop))
    assert paths(stage).count("Trades") == 6


def test_who_goes_on_from_any_cursor_ends_with_the_same_bars(stage: Stage) -> None:
    start = T0 - 1990 * MINUTE
    whole = joined(list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_5, start, NOW)))
    for cut in range(1, 5):
        first = []
        for page in stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_5, start, NOW):
            first.append(page)
            if len(first) == cut:
                break
        rest = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_5, first[-1].cursor, NOW))
        assert_same(joined([*first, *rest]), whole)


def test_a_revised_bar_of_the_overlap_is_reported_and_the_trades_are_believed(stage: Stage) -> None:
    start = T0 - 1990 * MINUTE
    true = expected(stage.exchange, Timeframe.MINUTE_1, start, NOW)
    first = int(np.searchsorted(true.stamps, T0 - (BARS_MAX - OVERLAP_BARS // 2) * MINUTE))
    stage.exchange.revised = {int(true.stamps[first]): "77.00000000"}

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

    assert_same(joined(pages), true)
    (difference,) = pages[-1].differences
    assert (difference.stamp, difference.kind) == (int(true.stamps[first]), DifferenceKind.VALUE)
    assert (difference.field, difference.reported) == ("volume", 77.0)


def test_whole_days_of_deep_history_are_compared_with_those_reported(stage: Stage) -> None:
    stage.exchange.trades = list(market(4200))
    start = T0 - 4100 * MINUTE
    day = T0 - T0 % DAY - DAY
    true = expected(stage.exchange, Timeframe.MINUTE_1, start, NOW)

    def day_differences() -> list[tuple[int, str, float]]:
        pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))
        assert_same(joined(pages), true)
        found = pages[-1].day_differences
        return [(difference.stamp, difference.field, difference.reported) for difference in found]

    assert day_differences() == []
    assert [asked.query["interval"] for asked in stage.server.asked if "interval" in asked.query] == [
        "1",
        "1440",
    ]
    stage.exchange.revised = {day: "1.00000000"}
    assert day_differences() == [(day, "volume", 1.0)]


def test_every_trade_comes_once_with_all_its_digits(stage: Stage) -> None:
    pages = list(stage.provider.fetch_trades("BTC/USD", T0 - 3000 * MINUTE, NOW))

    ids = np.concatenate([page.series.ids for page in pages]).tolist()
    assert ids == [trade[1] for trade in stage.exchange.trades]
    stamps = np.concatenate([page.series.stamps for page in pages])
    true = np.array([trade[0] for trade in stage.exchange.trades])
    assert np.abs(stamps - true).max() < 240
    sides = np.concatenate([page.series.buyer_is_taker for page in pages]).tolist()
    assert sides == [trade[4] == "b" for trade in stage.exchange.trades]
    assert NOW - MINUTE < pages[-1].cursor <= stamps[-1] < NOW


def test_trades_of_one_nanosecond_on_two_pages_are_not_lost(stage: Stage) -> None:
    stamp = T0 - 90 * MINUTE
    stage.exchange.trades = [(stamp - 5 * SECOND, number, "9.0", "1.0", "b") for number in range(1, 5)]
    stage.exchange.trades += [(stamp, number, "10.0", "0.1", "b") for number in range(5, 8)]
    stage.exchange.trades += [(stamp + SECOND, 8, "11.0", "1.0", "s")]
    stage.exchange.page = 6

    pages = list(stage.provider.fetch_trades("BTC/USD", stamp - MINUTE, NOW))

    assert np.concatenate([page.series.ids for page in pages]).tolist() == list(range(1, 9))


def test_a_trade_that_is_printed_in_the_next_minute_is_in_it_from_wherever_one_begins(stage: Stage) -> None:
    start = T0 - 900 * MINUTE
    early = (start - 100, 1, "77.0", "0.5", "b")
    assert f"{early[0] / SECOND!r}" == f"{start / SECOND!r}"
    stage.exchange.trades = sorted([early, *stage.exchange.trades])

    for begin in (start - 5 * MINUTE, start):
        pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, begin, start + MINUTE))

        bars = joined(pages)
        assert bars.open[bars.stamps == start].tolist() == [77.0]


def test_a_page_full_of_one_nanosecond_is_not_passed_over_in_silence(stage: Stage) -> None:
    stamp = T0 - 90 * MINUTE
    stage.exchange.trades = [(stamp, number, "9.0", "1.0", "b") for number in range(1, 1500)]

    with pytest.raises(ProviderError, match="1000 trades of one nanosecond"):
        list(stage.provider.fetch_trades("BTC/USD", stamp - MINUTE, NOW))


def test_short_pages_are_no_end(stage: Stage) -> None:
    stage.exchange.page = 100

    pages = list(stage.provider.fetch_trades("BTC/USD", T0 - 3000 * MINUTE, NOW))

    assert sum(len(page.series) for page in pages) == len(stage.exchange.trades)


def test_a_feed_that_stands_still_tells_nothing_of_the_time_since(stage: Stage) -> None:
    stage.exchange.now = NOW - 30 * MINUTE
    stage.exchange.trades = [trade for trade in stage.exchange.trades if trade[0] < stage.exchange.now]
    for start in (T0 - 100 * MINUTE, T0 - 1990 * MINUTE):
        pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

        assert_same(joined(pages), expected(stage.exchange, Timeframe.MINUTE_1, start, NOW))
        assert pages[-1].cursor == T0 - 30 * MINUTE


def test_trades_that_stand_still_while_bars_go_on_leave_no_half_bar_behind(stage: Stage) -> None:
    everything = stage.exchange.trades
    cut = T0 - 710 * MINUTE + 20 * SECOND
    start = T0 - 800 * MINUTE
    taken: list[Any] = []
    stage.exchange.stopped_trades = [trade for trade in everything if trade[0] < cut]

    with pytest.raises(ProviderError, match="its own bars go on; try again later"):
        taken.extend(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))
    stage.exchange.stopped_trades = None
    rest = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, taken[-1].cursor, NOW))

    assert_same(joined([*taken, *rest]), expected(stage.exchange, Timeframe.MINUTE_1, start, NOW))


def test_a_market_in_which_nothing_happened_lately_ends_with_its_last_trade(stage: Stage) -> None:
    last = T0 - 900 * MINUTE
    stage.exchange.trades = [trade for trade in stage.exchange.trades if trade[0] < last]
    stage.exchange.prints_empty = False
    stage.exchange.counts_intervals = True
    start = T0 - 1990 * MINUTE

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

    assert_same(joined(pages), expected(stage.exchange, Timeframe.MINUTE_1, start, NOW))
    # Trades alone do not say whether the minute of the last one is over.
    newest = stage.exchange.trades[-1][0]
    assert pages[-2].cursor == newest - newest % MINUTE


def test_a_future_bar_is_no_bar(stage: Stage) -> None:
    stage.exchange.now = NOW + 45 * MINUTE
    start = T0 - 100 * MINUTE

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW + 60 * MINUTE))

    assert joined(pages).stamps.max() == T0 - MINUTE


def test_a_bar_that_kraken_still_forms_is_no_bar_though_our_clock_is_ahead(stage: Stage) -> None:
    stage.world.start = NOW + 10 * MINUTE

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0 - 100 * MINUTE, NOW))

    assert joined(pages).stamps.max() == T0 - MINUTE


def test_a_reply_that_arrives_before_its_bar_is_closed_gives_nothing(stage: Stage) -> None:
    assert list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0, NOW)) == []
    assert list(stage.provider.fetch_trades("BTC/USD", NOW, NOW)) == []


def bars_reply(rows: bytes) -> Reply:
    return Reply(b'{"error":[],"result":{"XXBTZUSD":[' + rows + b'],"last":1762795380}}')


PASSING = {
    "truncated": Reply(b'{"error":[],"result":{"XXBTZUSD":[[17627954'),
    "cut": Reply(b'{"error":[],"result":{', cut=100),
    "empty": Reply(b""),
    "closed": Reply(drop=True),
    "503": Reply(b"<html>busy</html>", 503),
    "520": Reply(b"<html>unknown</html>", 520),
    "429": Reply(b"", 429, {"Retry-After": "9"}),
    "busy": as_json({"error": ["EService:Busy"]}),
    "limit": as_json({"error": ["EAPI:Rate limit exceeded"]}),
    "internal": as_json({"error": ["EGeneral:Internal error"]}),
    "no result": as_json({"error": []}),
    "list": as_json([]),
    "text": as_json("hello"),
    "NaN": bars_reply(b'[1762795380,"NaN","1","1","1","1","1",3]'),
    "1e308": bars_reply(b'[1762795380,1e308,"1","1","1","1","1",3]'),
    "short row": bars_reply(b'[1762795380,"1","1"]'),
    "twice": bars_reply(b'[1762795380,"1","1","1","1","1","1",3],[1762795380,"2","1","1","1","1","1",3]'),
}


@pytest.mark.parametrize("fault", list(PASSING))
@pytest.mark.parametrize("warm", [True, False])
def test_what_passes_is_asked_again_and_leaves_no_trace(stage: Stage, fault: str, warm: bool) -> None:
    start = T0 - 100 * MINUTE
    true = expected(stage.exchange, Timeframe.MINUTE_1, start, NOW)
    if warm:
        list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))
    stage.server.faults = [PASSING[fault], PASSING[fault]]

    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

    assert_same(joined(pages), true)
    assert stage.server.faults == []
    # The list of markets takes two requests of one attempt.
    assert len(stage.world.waits) == 2 or (not warm and len(stage.world.waits) == 1)


@pytest.mark.parametrize("fault", ["truncated", "empty"])
def test_half_a_list_of_markets_is_not_kept(stage: Stage, fault: str) -> None:
    stage.server.faults = [PASSING[fault]]

    list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0 - 10 * MINUTE, NOW))

    assert paths(stage).count("AssetPairs") == 2


@pytest.mark.parametrize("fault", list(PASSING))
def test_what_does_not_pass_is_one_error_after_three_attempts(stage: Stage, fault: str) -> None:
    start = T0 - 100 * MINUTE
    list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))
    before = len(stage.server.asked)
    stage.server.faults = [PASSING[fault]] * 9

    with pytest.raises(InputError, match="no answer in 3 attempts") as failed:
        list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, start, NOW))

    assert len(stage.server.asked) - before == 3
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Reply(b"<html>no</html>", 403), ProviderCode.ENTITLEMENT_FAILURE),
        (Reply(b"{}", 401), ProviderCode.ENTITLEMENT_FAILURE),
        (Reply(b"{}", 400), ProviderCode.ENTITLEMENT_FAILURE),
        (Reply(b"", 418), ProviderCode.RATE_LIMITED),
        (Reply(b"", 429, {"Retry-After": "3600"}), ProviderCode.RATE_LIMITED),
        (as_json({"error": ["EAPI:Invalid key"]}), ProviderCode.ENTITLEMENT_FAILURE),
        (as_json({"error": ["EGeneral:Permission denied"]}), ProviderCode.ENTITLEMENT_FAILURE),
        (as_json({"error": ["EQuery:Unknown asset pair"]}), ProviderCode.UNKNOWN_SYMBOL),
        (as_json({"error": ["EGeneral:Invalid arguments"]}), ProviderCode.PROVIDER_ERROR),
    ],
)
def test_a_refusal_is_never_asked_again(stage: Stage, fault: Reply, code: ProviderCode) -> None:
    list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0 - 100 * MINUTE, NOW))
    before = len(stage.server.asked)
    stage.server.faults = [fault] * 9

    with pytest.raises(ProviderError) as refused:
        list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0 - 100 * MINUTE, NOW))

    assert (refused.value.code, len(stage.server.asked) - before) == (code, 1)


def test_kraken_says_until_when_it_is_throttled(stage: Stage) -> None:
    list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0 - 100 * MINUTE, NOW))
    until = NOW // SECOND + 40
    stage.server.faults = [as_json({"error": [f"EService: Throttled: {until}"]})]

    list(stage.provider.fetch_bars("BTC/USD", Timeframe.MINUTE_1, T0 - 100 * MINUTE, NOW))

    assert stage.world.waits == [pytest.approx(40.0)]


def test_an_unknown_symbol_names_the_nearest(stage: Stage) -> None:
    with pytest.raises(ProviderError, match=r"did you mean BTC/USD\?") as unknown:
        list(stage.provider.fetch_bars("BTC/USB", Timeframe.MINUTE_1, T0 - 100 * MINUTE, NOW))
    assert unknown.value.code is ProviderCode.UNKNOWN_SYMBOL


def test_old_trades_without_ids_are_not_taken() -> None:
    row = ["1023.82219", "0.00435995", 1385579841.7774, "s", "l", ""]
    with serving(lambda _: as_json({"error": [], "result": {"XXBTZUSD": [row], "last": "1"}})) as server:
        world = World(NOW)
        provider = Kraken(surroundings=world.surroundings, bucket=world.bucket, base_url=server.url)
        provider._wire.client.markets = {"BTC/USD": {"id": "XXBTZUSD"}}
        with pytest.raises(ProviderError, match="not as documented"):
            list(provider.fetch_trades("BTC/USD", T0, NOW))
        provider.close()


def test_bars_of_the_built_and_of_the_reported_are_the_same_to_the_last_bit(stage: Stage) -> None:
    trades = stage.exchange.trades
    series = TradeSeries(
        stamps=np.array([trade[0] for trade in trades]),
        ids=np.array([trade[1] for trade in trades]),
        price=np.array([float(trade[2]) for trade in trades]),
        amount=np.array([float(trade[3]) for trade in trades]),
        buyer_is_taker=np.array([trade[4] == "b" for trade in trades]),
    )

    built = bars_from_trades(series, Timeframe.MINUTE_1)

    whole = expected(stage.exchange, Timeframe.MINUTE_1, 0, 2**62)
    assert_same(built.rows(0, len(whole)), whole)
