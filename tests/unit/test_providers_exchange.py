"""Any exchange of ccxt: Bitstamp and Coinbase by their documented replies, through the real client."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.exchange import ROWS_A_PAGE, Exchange
from engine.domain.time import Timeframe
from tests.providers_loopback import MINUTE, SECOND, Asked, Loopback, Reply, World, as_json, serving

NOW = int(np.datetime64("2024-03-15T20:10:30", "ns").astype(np.int64))
HOUR = 60 * MINUTE
LISTED = NOW // HOUR * HOUR - 1200 * HOUR

MARKET = {
    "name": "BTC/USD",
    "market_symbol": "btcusd",
    "base_currency": "BTC",
    "base_decimals": 8,
    "counter_currency": "USD",
    "counter_decimals": 0,
    "minimum_order_value": "10",
    "trading": "Enabled",
    "market_type": "SPOT",
    "description": "Bitcoin / U.S. dollar",
}


def candle(stamp: int) -> dict[str, str]:
    price = str(60_000 + stamp // HOUR % 1000)
    volume = "0.00000000" if stamp // HOUR % 7 == 0 else "1.5"
    return {
        "timestamp": str(stamp // SECOND),
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": volume,
    }


def bitstamp(asked: Asked) -> Reply:
    """Answer as Bitstamp: candles from `start` on, the forming one among them."""
    if asked.path == "/api/v2/markets/":
        return as_json([MARKET])
    if asked.path == "/api/v2/ohlc/btcusd/":
        step, limit = int(asked.query["step"]) * SECOND, int(asked.query["limit"])
        start = int(asked.query["start"]) * SECOND
        stamps = [start + n * step for n in range(limit)]
        candles = [candle(stamp) for stamp in stamps if LISTED <= stamp <= NOW]
        return as_json({"data": {"pair": "BTC/USD", "ohlc": candles}})
    return as_json([]) if "currencies" in asked.path else as_json({"error": asked.path}, 500)


@dataclass
class Stage:
    server: Loopback
    provider: Exchange
    world: World


@pytest.fixture
def stage() -> Iterator[Stage]:
    with serving(bitstamp) as server:
        world = World(NOW)
        provider = Exchange(
            "bitstamp", surroundings=world.surroundings, bucket=world.bucket, base_url=server.url
        )
        yield Stage(server, provider, world)
        provider.close()


def test_bars_of_an_exchange_from_before_its_listing_to_the_last_closed_one(stage: Stage) -> None:
    pages = list(stage.provider.fetch_bars("BTC/USD", Timeframe.HOUR_1, LISTED - 700 * HOUR, NOW + HOUR))

    stamps = np.concatenate([page.series.stamps for page in pages])
    closed = [LISTED + n * HOUR for n in range(1200)]
    assert stamps.tolist() == [stamp for stamp in closed if stamp // HOUR % 7]
    assert len(pages) == -(-1900 // ROWS_A_PAGE)
    assert len(pages[0].series) == 0
    assert pages[1].payload.startswith(b'{"data"')
    cursors = [page.cursor for page in pages]
    assert cursors == sorted(set(cursors))


def test_what_passes_is_asked_again(stage: Stage) -> None:
    stage.server.faults = [Reply(b'[{"name": "BTC', 200), Reply(b"", 503)]
    start = LISTED + 20 * HOUR

    (page,) = stage.provider.fetch_bars("BTC/USD", Timeframe.HOUR_1, start, start + 5 * HOUR)

    assert stage.server.faults == []
    assert page.series.stamps.tolist() == [s for s in range(start, start + 5 * HOUR, HOUR) if s // HOUR % 7]


def test_what_an_exchange_does_not_offer_is_said(stage: Stage) -> None:
    with pytest.raises(ProviderError, match=r"did you mean BTC/USD\?"):
        list(stage.provider.fetch_bars("BTC/USX", Timeframe.HOUR_1, LISTED, NOW))
    stage.provider._wire.client.timeframes = {"1d": 86400}
    with pytest.raises(ProviderError, match="no bars of 1h") as refused:
        list(stage.provider.fetch_bars("BTC/USD", Timeframe.HOUR_1, LISTED, NOW))
    assert refused.value.code is ProviderCode.NOT_OFFERED


class Tape:
    """Trades of an exchange that gives, from a millisecond on, so many at once."""

    def __init__(self, trades: list[dict[str, Any]], page: int) -> None:
        self.trades, self.page = trades, page

    def __call__(self, _: str, since: int, limit: int) -> list[dict[str, Any]]:
        return [trade for trade in self.trades if trade["timestamp"] >= since][: min(limit, self.page)]


def tape(stage: Stage, count: int, *, a_millisecond: int, page: int = 50) -> list[dict[str, Any]]:
    first = (NOW - HOUR) // 10**6
    trades = [
        {"id": str(n), "timestamp": first + n // a_millisecond, "price": 5.0, "amount": 0.5, "side": "buy"}
        for n in range(1, count + 1)
    ]
    stage.provider._wire.market("BTC/USD")
    stage.provider._wire.client.fetch_trades = Tape(trades, page)
    return trades


def test_every_trade_of_an_exchange_comes_once(stage: Stage) -> None:
    tape(stage, 400, a_millisecond=20)

    pages = list(stage.provider.fetch_trades("BTC/USD", NOW - 2 * HOUR, NOW))

    assert np.concatenate([page.series.ids for page in pages]).tolist() == list(range(1, 401))
    assert pages[-1].cursor == pages[-2].series.stamps[-1]


def test_more_trades_in_a_millisecond_than_a_page_holds_are_not_lost_in_silence(stage: Stage) -> None:
    tape(stage, 400, a_millisecond=100)

    with pytest.raises(ProviderError, match="in one millisecond"):
        list(stage.provider.fetch_trades("BTC/USD", NOW - 2 * HOUR, NOW))


def test_trades_that_are_not_numbered_are_refused(stage: Stage) -> None:
    tape(stage, 3, a_millisecond=1)[1]["id"] = "8f2c-77"

    with pytest.raises(ProviderError, match="8f2c-77") as refused:
        list(stage.provider.fetch_trades("BTC/USD", NOW - 2 * HOUR, NOW))
    assert refused.value.code is ProviderCode.NOT_OFFERED
