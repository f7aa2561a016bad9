"""What real ccxt makes of each fault, and that whoever looks again ends with the truth."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ccxt
import pytest

from engine.sandbox.background import BackgroundSandbox
from engine.sandbox.faults import FROZEN_REQUESTS, SETTLE_BARS
from engine.sandbox.limiter import Limiter
from engine.sandbox.market import Market
from engine.sandbox.server import client_options
from tests.sandboxes import NOON, sandbox, set_faults, simulated_market, step

MILLISECONDS = 1_000_000
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def light() -> Market:
    return simulated_market(activity=0.25, pairs=4)


@contextmanager
def loaded_client(running: BackgroundSandbox) -> Iterator[Any]:
    exchange: Any = ccxt.kraken(client_options(running.url) | {"enableRateLimit": False})
    exchange.load_markets()
    try:
        yield exchange
    finally:
        exchange.session.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", ccxt.RateLimitExceeded),
        ("5xx", ccxt.NetworkError),
        ("busy", ccxt.ExchangeNotAvailable),
        ("closed", ccxt.NetworkError),
    ],
)
def test_a_failed_request_is_an_error_of_ccxt(light: Market, fault: str, error: type[Exception]) -> None:
    with sandbox(light) as running, loaded_client(running) as exchange:
        set_faults(running, fault)
        for _ in range(5):
            with pytest.raises(error):
                exchange.fetch_ohlcv("BTC/USD", "1h")
        set_faults(running, "none")
        assert len(exchange.fetch_ohlcv("BTC/USD", "1h")) == 721


@pytest.mark.parametrize("fault", ["truncated", "empty"])
def test_half_a_reply_is_no_error_of_ccxt_but_no_rows(light: Market, fault: str) -> None:
    # The trap for which the fault is there: ccxt cannot read the reply and says that there is nothing.
    with sandbox(light) as running, loaded_client(running) as exchange:
        set_faults(running, fault)
        for _ in range(5):
            assert exchange.fetch_ohlcv("BTC/USD", "1h") == []
            assert exchange.fetch_trades("BTC/USD") == []


def test_latency_runs_into_the_timeout_of_the_client(light: Market) -> None:
    with sandbox(light) as running, loaded_client(running) as exchange:
        set_faults(running, "latency=30")
        exchange.timeout = 50
        with pytest.raises(ccxt.RequestTimeout):
            exchange.fetch_time()


def test_a_skewed_clock_tells_another_time_and_leaves_the_bars(light: Market) -> None:
    with sandbox(light) as running, loaded_client(running) as exchange:
        before = exchange.fetch_ohlcv("BTC/USD", "1h")
        set_faults(running, "skew=120")
        assert exchange.fetch_time() == NOON // MILLISECONDS + 120_000
        assert exchange.fetch_ohlcv("BTC/USD", "1h") == before


def test_a_frozen_feed_answers_but_does_not_move(light: Market) -> None:
    with sandbox(light) as running, loaded_client(running) as exchange:
        set_faults(running, "frozen")
        before = exchange.fetch_ohlcv("BTC/USD", "1m"), exchange.fetch_trades("BTC/USD")
        step(running, 3_600)
        assert (exchange.fetch_ohlcv("BTC/USD", "1m"), exchange.fetch_trades("BTC/USD")) == before
        assert exchange.fetch_time() == NOON // MILLISECONDS + 3_600_000
        set_faults(running, "none")
        assert exchange.fetch_ohlcv("BTC/USD", "1m")[-1][0] > before[0][-1][0]


def test_with_every_fault_on_whoever_looks_again_ends_with_the_truth(light: Market) -> None:
    symbols = ("BTC/USD", "ETH/USD", "XRP/USD")
    kept: dict[tuple[str, int], list[float]] = {}
    changed = 0
    with sandbox(light, faults="none", seed=3) as running, loaded_client(running) as exchange:
        set_faults(running, "random,latency=0,revised=0.3,late=0.3")
        for _ in range(30):
            now_ms = running.change(lambda server: server.exchange.clock.now()) // MILLISECONDS
            for symbol in symbols:
                try:
                    rows = exchange.fetch_ohlcv(symbol, "1h", since=now_ms - 12 * HOUR_MS)
                except ccxt.NetworkError:
                    continue
                for row in rows:
                    # Closed ones only: neither the forming bar nor one of the future.
                    if row[0] + HOUR_MS <= now_ms:
                        changed += kept.get((symbol, row[0]), row) != row
                        kept[symbol, row[0]] = row
            step(running, 3_600)
        dealt = running.change(lambda server: dict(server.exchange.faults.dealt))
        set_faults(running, "none")
        truth = {symbol: exchange.fetch_ohlcv(symbol, "1h") for symbol in symbols}

    assert {fault.value for fault in dealt} >= {"revised", "late", "missing", "future", "skew"}
    assert changed > 0
    settled = now_ms - (SETTLE_BARS + 4) * HOUR_MS
    expected = {
        (symbol, row[0]): row
        for symbol, rows in truth.items()
        for row in rows
        if NOON // MILLISECONDS - 6 * HOUR_MS < row[0] < settled
    }
    assert len(expected) > 60
    assert {key: row for key, row in kept.items() if key in expected} == expected
    assert {key for key in kept if key[1] < settled and key[1] >= min(e[1] for e in expected)} == set(
        expected
    )


def call(url: str, method: str, path: str, body: object = None, host: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, body=sent, headers={"Host": host} if host else {})
        reply = connection.getresponse()
        text = reply.read().decode()
        return reply.status, json.loads(text) if text.startswith("{") else text
    finally:
        connection.close()


def test_faults_and_clock_are_set_over_http(light: Market) -> None:
    with sandbox(light) as running:
        _, before = call(running.url, "GET", "/sandbox")
        status, after = call(running.url, "POST", "/sandbox/faults", {"429": 0.5, "frozen": None})
        assert (status, after["faults"]) == (200, {"429": 0.5, "frozen": 1.0})
        status, moved = call(running.url, "POST", "/sandbox/clock", {"step_seconds": 60})
        assert moved["now_ns"] - before["now_ns"] == 60 * 10**9
        _, cleared = call(running.url, "POST", "/sandbox/faults", {})
        assert cleared["faults"] == {}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/sandbox/faults", {"gremlins": 1}, "'gremlins' is not known"),
        ("/sandbox/faults", [1], "must be a JSON object"),
        ("/sandbox/clock", {"step_seconds": -1}, "must not be negative"),
        ("/sandbox/clock", {"speed": "fast"}, "must be a number"),
        ("/sandbox/clock", {"speed": 1e99}, "must be from 0"),
        ("/sandbox/clock", {"epoch": 1}, "'epoch' is not known"),
    ],
)
def test_a_control_that_cannot_be_is_refused_with_the_reason(
    light: Market, path: str, body: object, said: str
) -> None:
    with sandbox(light) as running:
        status, reply = call(running.url, "POST", path, body)

    assert status == 400
    assert said in reply["error"]


def test_a_page_under_another_name_is_turned_away(light: Market) -> None:
    with sandbox(light) as running:
        status, _ = call(running.url, "POST", "/sandbox/clock", {"step_seconds": 60}, host="evil.example")
        _, state = call(running.url, "GET", "/sandbox")

    assert status == 403
    assert state["now_ns"] == NOON


def test_who_asks_too_fast_is_refused_in_krakens_words(light: Market) -> None:
    limiter = Limiter(per_second=1, burst=4, wall=lambda: 0)
    with sandbox(light, limiter=limiter) as running, loaded_client(running) as exchange:
        # Two calls loaded the markets, two are left.
        assert exchange.fetch_time() > 0
        assert len(exchange.fetch_ohlcv("BTC/USD", "1h")) == 721
        with pytest.raises(ccxt.DDoSProtection, match="EGeneral:Too many requests"):
            exchange.fetch_time()


def test_with_every_fault_on_the_cursor_of_trades_loses_none_and_doubles_none(light: Market) -> None:
    start = NOON - 2 * 24 * HOUR_MS * MILLISECONDS
    ids: list[int] = []
    failures = empty = 0
    with sandbox(light, seed=4) as running, loaded_client(running) as exchange:
        set_faults(running, "random,latency=0,truncated=0.1,empty=0.1,frozen=0.02")
        cursor = str(start)
        # A frozen feed gives as many empty pages as it is frozen for: one more is the end.
        while empty <= FROZEN_REQUESTS:
            try:
                reply = exchange.publicGetTrades({"pair": "XXBTZUSD", "since": cursor, "count": 25})
            except ccxt.NetworkError:
                failures += 1
                continue
            # Half a reply is no error of ccxt but a text, or nothing.
            if not isinstance(reply, dict):
                failures += 1
                continue
            rows = reply["result"]["XXBTZUSD"]
            empty = 0 if rows else empty + 1
            ids += [int(row[6]) for row in rows]
            cursor = reply["result"]["last"]

    whole = light.trades_after(0, after=start, now=NOON, most=10**6)
    assert failures > 10
    assert len(ids) > 1_000
    assert ids == whole.ids.tolist()
