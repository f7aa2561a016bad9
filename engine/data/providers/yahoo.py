"""Yahoo's chart service: bars of all that trades, at prices as traded, with splits and dividends.

Yahoo divides all prices before a split by its ratio. We keep prices as they were and splits as facts beside
them, so the splits up to today are asked for first and undone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from engine.data.actions import Dividend, Split
from engine.data.providers.bars import between
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import sift
from engine.data.providers.matrix import AssetClass, classify
from engine.data.providers.port import ActionSeen, Page
from engine.data.providers.replies import bar_series, broken, decoded, instant, mapping, number, rows_of
from engine.data.providers.stamping import midnights_of_dates
from engine.data.providers.vendor import Line, Vendor
from engine.data.providers.web import Query
from engine.data.series import BarSeries
from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND, Timeframe

_NAME = "yahoo"
_INTERVALS = {
    Timeframe.MINUTE_1: "1m",
    Timeframe.MINUTE_5: "5m",
    Timeframe.MINUTE_15: "15m",
    Timeframe.HOUR_1: "1h",
    Timeframe.DAY_1: "1d",
}
# How far back bars of a length go, and how much of it comes at once, in days.
_REACH_DAYS = {
    Timeframe.MINUTE_1: (29, 7),
    Timeframe.MINUTE_5: (59, 59),
    Timeframe.MINUTE_15: (59, 59),
    Timeframe.HOUR_1: (729, 729),
    Timeframe.DAY_1: (36_500, 36_500),
}
_PRICES = ("open", "high", "low", "close")


_Splits = tuple[tuple[int, Split], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chart:
    """One reply: bars as Yahoo adjusted them, and the actions of its window.

    Attributes
    ----------
    splits
        (stamp of the first bar in new shares, the split), oldest first.
    dividends
        By the stamp of the first bar without them: the sum of a day, in shares of today.
    """

    bars: BarSeries
    splits: tuple[tuple[int, Split], ...]
    dividends: Mapping[int, float]


def _bars(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> Iterator[Page[BarSeries]]:
    """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds).

    Raises
    ------
    ProviderError
        NOT_OFFERED if there are no bars of this length, HISTORY_TOO_LONG if they do not go back so far.
    """
    if timeframe not in _INTERVALS:
        raise ProviderError(
            ProviderCode.NOT_OFFERED, _NAME, f"gives no bars of {timeframe.value}; take 1h or 1d"
        )
    now = line.now()
    stop = min(stop, now - timeframe.nanoseconds + 1)
    if start >= stop:
        return
    reach, at_once = _REACH_DAYS[timeframe]
    if now - start > reach * NANOSECONDS_PER_DAY:
        raise ProviderError(
            ProviderCode.HISTORY_TOO_LONG,
            _NAME,
            f"bars of {timeframe.value} go back {reach} days; ask for a later start or for 1d",
        )
    # Splits up to today, whatever part of the history is asked for: all of them are in every price.
    payload, chart = _chart(line, symbol, Timeframe.DAY_1, start, now)
    splits = chart.splits
    if timeframe is Timeframe.DAY_1:
        yield _page(line, payload, chart, splits, start, stop, timeframe)
        return
    while start < stop:
        end = min(stop, start + at_once * NANOSECONDS_PER_DAY)
        payload, chart = _chart(line, symbol, timeframe, start, end)
        yield _page(line, payload, chart, splits, start, end, timeframe)
        start = end


def _chart(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> tuple[bytes, _Chart]:
    query: Query = {
        # A daily bar is stamped with the open of its session: some hours around our midnight.
        "period1": (start - NANOSECONDS_PER_DAY) // NANOSECONDS_PER_SECOND,
        "period2": -(-(stop + NANOSECONDS_PER_DAY) // NANOSECONDS_PER_SECOND),
        "interval": _INTERVALS[timeframe],
        "events": "div,splits",
        "includePrePost": "false",
    }
    path = f"/v8/finance/chart/{quote(_ticker(symbol), safe='=^')}"
    return line.web.get(path, query, lambda payload: _read(payload, timeframe))


def _page(
    line: Line,
    payload: bytes,
    chart: _Chart,
    splits: _Splits,
    start: int,
    stop: int,
    timeframe: Timeframe,
) -> Page[BarSeries]:
    sifted = sift(chart.bars, timeframe, line.now(), grace=0)
    bars = between(sifted.final, start, stop)
    return Page(
        payload=payload,
        series=_as_traded(bars, splits),
        cursor=int(bars.stamps[-1]) + timeframe.nanoseconds if len(bars) else start,
        actions=_actions(chart, splits, start, stop),
        forming=sifted.forming,
        future=sifted.future,
    )


def _ticker(symbol: str) -> str:
    if "=" in symbol or symbol.startswith("^"):
        return symbol
    name = symbol.upper()
    if "/" in name:
        return name.replace("/", "") + "=X" if classify(name) is AssetClass.FX else name.replace("/", "-")
    # A class of shares; a suffix of an exchange has more letters (BMW.DE) or is London's or Tokyo's one.
    base, dot, suffix = name.rpartition(".")
    return f"{base}-{suffix}" if dot and suffix in ("A", "B", "C") else name


def _actions(chart: _Chart, splits: _Splits, start: int, stop: int) -> tuple[ActionSeen, ...]:
    """Return the actions of a window; a dividend is what was paid for a share as it was then."""
    found = [ActionSeen(effective_at=stamp, what=split) for stamp, split in chart.splits]
    for stamp, amount in chart.dividends.items():
        amount_e8 = round(amount * _ratio_after(stamp, splits) * 10**8)
        if amount_e8 > 0:
            found.append(ActionSeen(effective_at=stamp, what=Dividend(amount_e8=amount_e8)))
    inside = [seen for seen in found if start <= seen.effective_at < stop]
    return tuple(sorted(inside, key=lambda seen: seen.effective_at))


def _ratio_after(stamp: int, splits: _Splits) -> float:
    ratio = 1.0
    for effective_at, split in splits:
        ratio *= split.new_units / split.old_units if effective_at > stamp else 1.0
    return ratio


def _as_traded(bars: BarSeries, splits: _Splits) -> BarSeries:
    """Return bars with the splits after them undone: prices times their ratios, volume divided by them."""
    if not splits:
        return bars
    ratios = np.array([_ratio_after(stamp, splits) for stamp in bars.stamps.tolist()], dtype=np.float64)
    prices = {name: getattr(bars, name) * ratios for name in _PRICES}
    return BarSeries(stamps=bars.stamps, volume=bars.volume / ratios, **prices)


def _read(payload: bytes, timeframe: Timeframe) -> _Chart:
    chart = mapping(_NAME, mapping(_NAME, decoded(_NAME, payload), "reply").get("chart"), "chart")
    error = chart.get("error")
    if error:
        words = error.get("description", error) if isinstance(error, dict) else error
        raise ProviderError(ProviderCode.UNKNOWN_SYMBOL, _NAME, " ".join(str(words).split())[:200])
    results = rows_of(_NAME, chart.get("result"), "result")
    if len(results) != 1:
        raise broken(_NAME, f"has {len(results)} results")
    result = mapping(_NAME, results[0], "result")
    meta = mapping(_NAME, result.get("meta"), "meta")
    zone = _zone(meta)
    stamps, rows = _rows(result, meta, timeframe, zone)
    bars = bar_series(_NAME, [(stamp, *row) for stamp, row in zip(stamps.tolist(), rows, strict=True)])
    events = mapping(_NAME, result.get("events") or {}, "events")
    return _Chart(bars=bars, splits=_splits(events, zone), dividends=_dividends(events, zone))


def _zone(meta: Mapping[str, Any]) -> str:
    """Return the name of the clock of the exchange, which is asked of the machine that keeps them."""
    name = meta.get("exchangeTimezoneName") or "UTC"
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError) as unknown:
        raise broken(_NAME, f"has time zone {str(name)[:40]!r}, which nobody keeps") from unknown


def _rows(
    result: Mapping[str, Any], meta: Mapping[str, Any], timeframe: Timeframe, zone: str
) -> tuple[IntArray, list[list[float]]]:
    """Return stamps, shape (T,), and rows of (open, high, low, close, volume) of bars that traded."""
    if not result.get("timestamp"):
        return np.empty(0, dtype=np.int64), []
    given = [
        instant(_NAME, stamp, "timestamp", NANOSECONDS_PER_SECOND)
        for stamp in rows_of(_NAME, result["timestamp"], "timestamp")
    ]
    indicators = mapping(_NAME, result.get("indicators"), "indicators")
    quoted = rows_of(_NAME, indicators.get("quote"), "quote")
    quotes = mapping(_NAME, quoted[0] if len(quoted) == 1 else None, "quote")
    columns = [rows_of(_NAME, quotes.get(name), name) for name in (*_PRICES, "volume")]
    if any(len(column) != len(given) for column in columns):
        raise broken(_NAME, f"has {len(given)} stamps and other numbers of values")
    kept, rows = [], []
    for at, stamp in enumerate(given):
        cells = [column[at] for column in columns]
        # Nothing traded: Yahoo leaves the values out.
        if any(cell is None for cell in cells[:4]):
            continue
        kept.append(stamp)
        volume = float("nan") if cells[4] is None else number(_NAME, cells[4], "volume")
        rows.append([*(number(_NAME, cell, "price") for cell in cells[:4]), volume])
    stamps = np.array(kept, dtype=np.int64)
    if timeframe is Timeframe.DAY_1:
        stamps = midnights_of_dates(stamps, zone)
    if len(stamps) > 1 and _is_last_price(kept, stamps, meta, timeframe):
        stamps, rows = stamps[:-1], rows[:-1]
    return stamps, rows


def _is_last_price(
    given: Sequence[int], stamps: IntArray, meta: Mapping[str, Any], timeframe: Timeframe
) -> bool:
    """Say whether the last row is the price of now, stamped with now, beside the bar that it belongs to."""
    now = meta.get("regularMarketTime")
    if not isinstance(now, int) or given[-1] != now * NANOSECONDS_PER_SECOND:
        return False
    if timeframe is Timeframe.DAY_1:
        return bool(stamps[-1] == stamps[-2])
    return bool((given[-1] - given[0]) % timeframe.nanoseconds)


def _splits(events: Mapping[str, Any], zone: str) -> _Splits:
    found = []
    for event in mapping(_NAME, events.get("splits") or {}, "splits").values():
        cells = mapping(_NAME, event, "split")
        new, old = (number(_NAME, cells.get(name), name) for name in ("numerator", "denominator"))
        if not (new > 0 and old > 0 and new.is_integer() and old.is_integer()):
            raise broken(_NAME, f"has a split of {new} for {old}")
        found.append((_date(cells, zone), Split(new_units=int(new), old_units=int(old))))
    return tuple(sorted(found, key=lambda split: split[0]))


def _dividends(events: Mapping[str, Any], zone: str) -> dict[int, float]:
    paid: dict[int, float] = {}
    for event in mapping(_NAME, events.get("dividends") or {}, "dividends").values():
        cells = mapping(_NAME, event, "dividend")
        day = _date(cells, zone)
        paid[day] = paid.get(day, 0.0) + number(_NAME, cells.get("amount"), "amount")
    return paid


def _date(cells: Mapping[str, Any], zone: str) -> int:
    stamp = np.array([instant(_NAME, cells.get("date"), "date", NANOSECONDS_PER_SECOND)], dtype=np.int64)
    return int(midnights_of_dates(stamp, zone)[0])


YAHOO: Final = Vendor(
    name=_NAME,
    url="https://query1.finance.yahoo.com",
    bars=_bars,
    # It turns away clients that do not say what they are.
    headers={"User-Agent": "Mozilla/5.0 (compatible; gauntlet)", "Accept": "application/json"},
)
"""Bars of Yahoo; symbols as Yahoo writes them, or `BTC/USD`, `EUR/USD`, `BRK.B`."""
