"""Kraken's public REST replies: what stands behind `result`, in the shapes and the texts of the exchange."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np

from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND
from engine.sandbox.bars import without_holes
from engine.sandbox.book import DEPTH_MAX, Side
from engine.sandbox.faults import FaultDealer
from engine.sandbox.market import INTERVALS, NANOSECONDS_PER_MINUTE, Market
from engine.sandbox.pairs import Pair
from engine.sandbox.tape import Trades

TRADES_MAX = 1_000
# 720 that are committed, and the forming one.
OHLC_ROWS = 721
_DEPTH_USUAL = 100
# A cursor below this is in seconds, above it in nanoseconds: 1e12 seconds are thirty thousand years away.
_SECONDS_BELOW = 1e12
_STAMP_MAX = 2**63 - 1

_TAKER_FEES = ((0, 0.40), (10_000, 0.35), (50_000, 0.24), (100_000, 0.22), (250_000, 0.20))
_MAKER_FEES = ((0, 0.25), (10_000, 0.20), (50_000, 0.14), (100_000, 0.12), (250_000, 0.10))
# Dollars that an order must be worth.
_COST_LEAST = "0.5"
_ORDER_LEAST_DOLLARS = 5.0

Parameters = Mapping[str, str]


class EmptyIntervals(StrEnum):
    """What an OHLC reply has for an interval without a trade.

    Kraken says that it has no row (VENUES 1.3, P9). Its recorded replies, of 2017 and of November 2025, have
    a flat one, the forming one too: four times the last close, average "0.0", volume 0, no trades. Who reads
    it has to take both for the same.
    """

    ABSENT = "absent"
    FLAT = "flat"


class RefusedRequestError(Exception):
    """A request that Kraken refuses; the message is Kraken's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the sandbox answers where Kraken's answers have changed over time.

    Attributes
    ----------
    ohlc_rows
        Most rows of an OHLC reply, the forming one among them.
    """

    ohlc_rows: int = OHLC_ROWS
    empty_intervals: EmptyIntervals = EmptyIntervals.FLAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a request is answered, UTC nanoseconds.

    Attributes
    ----------
    now
        Of the simulation.
    data
        As of which data is served; earlier than `now` when the feed is frozen.
    told
        What the exchange says that the time is.
    """

    now: int
    data: int
    told: int


def decimals_of(values: Iterable[int], decimals: int, shown: int = 0) -> list[str]:
    """Return whole steps, none negative, as numbers with a point.

    Parameters
    ----------
    values
        In steps of ten to the minus `decimals`.
    shown
        Decimals that are shown at least.

    Examples
    --------
    >>> decimals_of([1060382, 5], 1, 5)
    ['106038.20000', '0.50000']
    """
    zeros = "0" * (shown - decimals)
    if decimals == 0:
        point = "." if zeros else ""
        return [f"{value}{point}{zeros}" for value in values]
    # A thousand trades are a reply: this loop is most of the work of serving them.
    digits = [str(value).zfill(decimals + 1) for value in values]
    return [f"{text[:-decimals]}.{text[-decimals:]}{zeros}" for text in digits]


def decimal(value: int, decimals: int, shown: int = 0) -> str:
    """Return one number of steps as `decimals_of` does.

    Examples
    --------
    >>> decimal(1060382, 1)
    '106038.2'
    """
    return decimals_of([value], decimals, shown)[0]


def iso(stamp: int, unit: Literal["us", "ns"] = "us") -> str:
    """Return UTC nanoseconds as Kraken writes a time in WebSocket v2."""
    return f"{np.datetime_as_string(np.datetime64(stamp, 'ns'), unit=unit)}Z"


def server_time(moment: Moment) -> dict[str, Any]:
    """GET /0/public/Time."""
    seconds = moment.told // NANOSECONDS_PER_SECOND
    text = np.datetime64(seconds, "s").item().strftime("%a, %d %b %y %H:%M:%S +0000")
    return {"unixtime": seconds, "rfc1123": text}


def system_status(moment: Moment) -> dict[str, Any]:
    """GET /0/public/SystemStatus."""
    seconds = np.datetime64(moment.told // NANOSECONDS_PER_SECOND, "s")
    return {"status": "online", "timestamp": f"{np.datetime_as_string(seconds)}Z"}


def assets(market: Market, parameters: Parameters) -> dict[str, Any]:
    """GET /0/public/Assets."""
    known = {"ZUSD": _asset("USD", 4, 2)} | {
        pair.base_id: _asset(pair.base_name, 10 if pair.lot_decimals == 8 else 8, 5) for pair in market.pairs
    }
    wanted = parameters.get("asset")
    if wanted is None:
        return known
    by_name = {row["altname"]: name for name, row in known.items()} | {name: name for name in known}
    names = wanted.split(",")
    if any(name not in by_name for name in names):
        raise RefusedRequestError("EQuery:Unknown asset")
    return {by_name[name]: known[by_name[name]] for name in names}


def asset_pairs(market: Market, parameters: Parameters, moment: Moment) -> dict[str, Any]:
    """GET /0/public/AssetPairs."""
    return {
        market.pairs[number].pair_id: _asset_pair(market.pairs[number])
        for number in _wanted(market, parameters, moment)
    }


def ohlc(
    market: Market, parameters: Parameters, moment: Moment, faults: FaultDealer, rules: Rules
) -> dict[str, Any]:
    """GET /0/public/OHLC."""
    number = _one(market, parameters, moment)
    minutes = _whole(parameters, "interval", 1)
    if minutes not in INTERVALS:
        raise RefusedRequestError("EGeneral:Invalid arguments")
    interval = minutes * NANOSECONDS_PER_MINUTE
    after = _cursor(parameters)
    rows = market.bars(number, minutes, after=-1, now=moment.data, most=rules.ohlc_rows)
    if rules.empty_intervals is EmptyIntervals.FLAT:
        forming = moment.data // interval * interval
        rows = without_holes(rows, interval, stop=forming, most=rules.ohlc_rows)
    rows = rows.take(
        slice(int(np.searchsorted(rows.stamps, -1 if after is None else after, side="right")), None)
    )
    rows = faults.bars(rows, pair=number, minutes=minutes, interval=interval, now=moment.data)
    pair = market.pairs[number]
    average = np.rint(rows.average_price()).astype(np.int64)
    prices = [
        decimals_of(values.tolist(), pair.price_decimals)
        for values in (rows.open, rows.high, rows.low, rows.close, average)
    ]
    volumes = decimals_of(rows.volume.tolist(), pair.lot_decimals, 8)
    seconds = (rows.stamps // NANOSECONDS_PER_SECOND).tolist()
    table = zip(seconds, *prices, volumes, rows.count.tolist(), strict=True)
    committed = rows.stamps[rows.stamps + interval <= moment.data]
    last = int(committed[-1]) if committed.size else max(0, after or 0)
    return {pair.pair_id: [list(row) for row in table], "last": last // NANOSECONDS_PER_SECOND}


def trades(market: Market, parameters: Parameters, moment: Moment) -> dict[str, Any]:
    """GET /0/public/Trades."""
    number = _one(market, parameters, moment)
    pair = market.pairs[number]
    most = min(TRADES_MAX, max(1, _whole(parameters, "count", TRADES_MAX)))
    after = _cursor(parameters)
    if after is None:
        found = market.last_trades(number, now=moment.data, most=most)
    else:
        found = market.trades_after(number, after=after, now=moment.data, most=most)
    last = int(found.stamps[-1]) if len(found) else after or 0
    return {pair.pair_id: _trade_rows(pair, found), "last": str(last)}


def depth(market: Market, parameters: Parameters, moment: Moment) -> dict[str, Any]:
    """GET /0/public/Depth."""
    number = _one(market, parameters, moment)
    pair = market.pairs[number]
    levels = min(DEPTH_MAX, max(1, _whole(parameters, "count", _DEPTH_USUAL)))
    book = market.book(number, now=moment.data, depth=levels)
    return {pair.pair_id: {"asks": _levels(pair, book.asks), "bids": _levels(pair, book.bids)}}


def ticker(market: Market, parameters: Parameters, moment: Moment) -> dict[str, Any]:
    """GET /0/public/Ticker."""
    rows = {}
    for number in _wanted(market, parameters, moment):
        row = _ticker(market, number, moment.data)
        if row is not None:
            rows[market.pairs[number].pair_id] = row
    return rows


# ------------------------------------------------------------------------------------------------- rows


def shown_decimals(pair: Pair) -> int:
    """Decimals of a price in Trades, Depth and Ticker: five at least, whatever the tick is."""
    return max(5, pair.price_decimals)


def _asset(altname: str, decimals: int, display_decimals: int) -> dict[str, Any]:
    return {
        "aclass": "currency",
        "altname": altname,
        "decimals": decimals,
        "display_decimals": display_decimals,
        "status": "enabled",
    }


def _asset_pair(pair: Pair) -> dict[str, Any]:
    # A round amount worth some dollars: 0.00005 of bitcoin at Kraken, 5 of what costs a dollar.
    least = 10.0 ** np.floor(np.log10(_ORDER_LEAST_DOLLARS / pair.start_price))
    lots = max(1, round(least / pair.lot))
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": pair.base_id,
        "aclass_quote": "currency",
        "quote": pair.quote_id,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": pair.price_decimals,
        "lot_decimals": pair.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [list(tier) for tier in _TAKER_FEES],
        "fees_maker": [list(tier) for tier in _MAKER_FEES],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": decimal(lots, pair.lot_decimals).rstrip("0").rstrip("."),
        "costmin": _COST_LEAST,
        "tick_size": decimal(1, pair.price_decimals),
        "status": "online",
    }


def _trade_rows(pair: Pair, found: Trades) -> list[list[Any]]:
    return [
        [
            price,
            amount,
            # Kraken gives a float here: nanoseconds are in the cursor alone.
            stamp / NANOSECONDS_PER_SECOND,
            "b" if buys else "s",
            "m" if at_market else "l",
            "",
            number,
        ]
        for price, amount, stamp, buys, at_market, number in zip(
            decimals_of(found.ticks.tolist(), pair.price_decimals, shown_decimals(pair)),
            decimals_of(found.lots.tolist(), pair.lot_decimals, 8),
            found.stamps.tolist(),
            found.buyer_is_taker.tolist(),
            found.is_market_order.tolist(),
            found.ids.tolist(),
            strict=True,
        )
    ]


def _thousandths(pair: Pair, lots: int) -> str:
    """Return an amount as Depth and Ticker have it: three decimals, but never nothing."""
    return decimal(max(1, round(lots * 1_000 / 10**pair.lot_decimals)), 3)


def _levels(pair: Pair, side: Side) -> list[list[Any]]:
    shown = shown_decimals(pair)
    return [
        [decimal(tick, pair.price_decimals, shown), _thousandths(pair, lots), second]
        for tick, lots, second in zip(
            side.ticks.tolist(), side.lots.tolist(), side.seconds.tolist(), strict=True
        )
    ]


def _ticker(market: Market, number: int, now: int) -> dict[str, Any] | None:
    pair = market.pairs[number]
    shown = shown_decimals(pair)
    whole = market.summary(number, after=now - NANOSECONDS_PER_DAY, now=now)
    if whole is None:
        return None
    today = (
        market.summary(number, after=now // NANOSECONDS_PER_DAY * NANOSECONDS_PER_DAY - 1, now=now) or whole
    )
    book = market.book(number, now=now, depth=1)

    def price(ticks: int) -> str:
        return decimal(ticks, pair.price_decimals, shown)

    def best(side: Side) -> list[str]:
        lots = int(side.lots[0])
        units = max(1, lots // 10**pair.lot_decimals)
        return [price(int(side.ticks[0])), str(units), _thousandths(pair, lots)]

    return {
        "a": best(book.asks),
        "b": best(book.bids),
        "c": [price(whole.close), decimal(whole.close_lots, pair.lot_decimals, 8)],
        "v": [decimal(part.volume, pair.lot_decimals, 8) for part in (today, whole)],
        "p": [price(round(part.average)) for part in (today, whole)],
        "t": [today.count, whole.count],
        "l": [price(today.low), price(whole.low)],
        "h": [price(today.high), price(whole.high)],
        "o": price(today.open),
    }


# ------------------------------------------------------------------------------------------- parameters


def _one(market: Market, parameters: Parameters, moment: Moment) -> int:
    number = market.number(parameters.get("pair", ""), now=moment.now)
    if number is None:
        raise RefusedRequestError("EQuery:Unknown asset pair")
    return number


def _wanted(market: Market, parameters: Parameters, moment: Moment) -> list[int]:
    names = parameters.get("pair")
    if names is None:
        return [pair for pair in range(len(market.pairs)) if market.is_listed(pair, now=moment.now)]
    numbers = [market.number(name, now=moment.now) for name in names.split(",")]
    if None in numbers:
        raise RefusedRequestError("EQuery:Unknown asset pair")
    return [number for number in numbers if number is not None]


def _whole(parameters: Parameters, name: str, usual: int) -> int:
    try:
        return int(parameters.get(name, usual))
    except ValueError:
        raise RefusedRequestError("EGeneral:Invalid arguments") from None


def _cursor(parameters: Parameters) -> int | None:
    """Return `since` in nanoseconds, None where it is not given."""
    text = parameters.get("since", "")
    if not text:
        return None
    try:
        # A cursor in nanoseconds has more digits than a float.
        value: int | float = int(text) if text.lstrip("-").isdigit() else float(text)
        stamp = round(value * NANOSECONDS_PER_SECOND) if value < _SECONDS_BELOW else int(value)
    except (ValueError, OverflowError):
        raise RefusedRequestError("EGeneral:Invalid arguments") from None
    if not -_STAMP_MAX <= stamp <= _STAMP_MAX:
        raise RefusedRequestError("EGeneral:Invalid arguments")
    return stamp
