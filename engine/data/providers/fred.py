"""FRED: macro series as they became known, from the archive of its vintages.

A figure is about a month and is published in the next one, then revised. A series stamped with the months
that it is about would let a backtest read January's inflation in January. So a bar is a day of publication:
its close is the newest figure as it was known at the end of that day.
"""

from collections.abc import Iterator
from typing import Final

from engine.data.providers.bars import between
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import sift
from engine.data.providers.matrix import MACRO_PREFIX
from engine.data.providers.port import Page
from engine.data.providers.replies import bar_series, broken, decoded, mapping, number, rows_of, whole
from engine.data.providers.stamping import from_iso, iso_date
from engine.data.providers.vendor import Line, Vendor
from engine.data.providers.web import Query
from engine.data.series import BarSeries
from engine.domain.time import NANOSECONDS_PER_DAY, Timeframe

ROWS_A_PAGE: Final = 100_000

# FRED refuses more than 2,000 vintages at once; a series of days has one every working day.
_WINDOW_DAYS: Final = 5 * 365

_NAME = "fred"
_ROWS_MAX = 10_000_000
_MISSING = "."
_NAN = float("nan")


def _bars(line: Line, symbol: str, timeframe: Timeframe, start: int, stop: int) -> Iterator[Page[BarSeries]]:
    """Yield days of publication from `start` up to, not including, `stop` (UTC nanoseconds).

    Open, high and low are the close; there is no volume.

    Raises
    ------
    ProviderError
        NOT_OFFERED if the timeframe is not a day.
    """
    if timeframe is not Timeframe.DAY_1:
        raise ProviderError(
            ProviderCode.NOT_OFFERED, _NAME, f"publishes by the day, not by {timeframe.value}; take 1d"
        )
    day = NANOSECONDS_PER_DAY
    start += -start % day
    stop = min(stop, line.now() - day + 1)
    while start < stop:
        end = min(stop, start + _WINDOW_DAYS * day)
        # One day more in front: what is known there is no news of this window.
        known_until = start - day
        rows: list[_Vintage] = []
        payload, (page, total) = _page(line, symbol, known_until, end, 0)
        rows += page
        while page and len(rows) < total:
            yield Page(payload=payload, series=BarSeries.empty(), cursor=start)
            payload, (page, total) = _page(line, symbol, known_until, end, len(rows))
            rows += page
        sifted = sift(_news(rows, known_until), timeframe, line.now(), grace=0)
        series = between(sifted.final, start, end)
        start = end
        yield Page(payload=payload, series=series, cursor=start, forming=sifted.forming, future=sifted.future)


def _page(
    line: Line, symbol: str, first: int, stop: int, offset: int
) -> tuple[bytes, tuple[list["_Vintage"], int]]:
    query: Query = {
        "series_id": symbol.removeprefix(MACRO_PREFIX),
        "file_type": "json",
        "realtime_start": iso_date(first),
        "realtime_end": iso_date(stop - 1),
        "limit": ROWS_A_PAGE,
        "offset": offset,
    }
    return line.web.get("/fred/series/observations", query, _read)


_Vintage = tuple[int, int, float]
"""Day of publication, day that the figure is about (both UTC nanoseconds), figure."""


def _read(payload: bytes) -> tuple[list[_Vintage], int]:
    """Return the figures of a reply, and how many there are on all pages."""
    reply = mapping(_NAME, decoded(_NAME, payload), "reply")
    rows = []
    for row in rows_of(_NAME, reply.get("observations"), "observations"):
        cells = mapping(_NAME, row, "observation")
        published, about = (from_iso(_NAME, cells.get(name)) for name in ("realtime_start", "date"))
        figure = _NAN if cells.get("value") == _MISSING else number(_NAME, cells.get("value"), "value")
        rows.append((published, about, figure))
    total = whole(_NAME, reply.get("count"), "count")
    if total > _ROWS_MAX:
        raise broken(_NAME, f"speaks of {total} figures")
    return rows, total


def _news(rows: list[_Vintage], known_until: int) -> BarSeries:
    """Return the newest figure of each day on which it was published or revised."""
    newest = max((about for published, about, _ in rows if published <= known_until), default=-(2**63))
    by_day: dict[int, tuple[int, float]] = {}
    for published, about, figure in sorted(row for row in rows if row[0] > known_until):
        if about >= newest and figure == figure:
            newest = about
            by_day[published] = (about, figure)
    return bar_series(_NAME, [(day, *[figure] * 4, _NAN) for day, (_, figure) in by_day.items()])


FRED: Final = Vendor(name=_NAME, url="https://api.stlouisfed.org", bars=_bars, secret_query=("api_key",))
"""Macro series of the Federal Reserve Bank of St. Louis; `FRED:CPIAUCSL` or `CPIAUCSL`."""
