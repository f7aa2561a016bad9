"""Classes of venue have calendars, and two calendars are one panel only where somebody says so."""

import numpy as np
import pytest

from engine.data.venues import class_of, groups, joined, kept_calendars
from engine.domain.errors import InputError
from engine.domain.panel import Instrument, Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from engine.domain.venue import CalendarPolicy, MarketKind, VenueClass

# A Monday.
FIRST = int(np.datetime64("2024-01-01", "D").astype(np.int64))


def daily(*symbols: str, weekdays_only: tuple[str, ...] = (), days: int = 35, **changes: object) -> Panel:
    """Return daily bars from a Monday on; closes count the days."""
    numbers = FIRST + np.arange(days, dtype=np.int64)
    close = np.repeat(np.arange(1.0, days + 1)[:, None], len(symbols), axis=1)
    for symbol in weekdays_only:
        close[(numbers + 3) % 7 >= 5, symbols.index(symbol)] = np.nan
    facts: dict[str, object] = {
        "name": "mixed",
        "timestamps": numbers * NANOSECONDS_PER_DAY,
        "instruments": tuple(Instrument(symbol=symbol) for symbol in symbols),
        "timeframe": Timeframe.DAY_1,
        "calendar": Calendar.ALWAYS,
    }
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return Panel(**{**facts, **prices, "volume": np.ones(close.shape), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("venue_class", "calendar", "days", "market"),
    [
        (VenueClass.EQUITY, "XNYS", 252, MarketKind.CASH),
        (VenueClass.ETF, "XNYS", 252, MarketKind.CASH),
        (VenueClass.FOREX, "24/5", 261, MarketKind.MARGIN),
        (VenueClass.FUTURES, "CMES", 258, MarketKind.DERIVATIVE),
        (VenueClass.CRYPTO, "24/7", 365, MarketKind.CASH),
        (VenueClass.CFD, "24/5", 261, MarketKind.MARGIN),
    ],
)
def test_a_class_has_a_calendar_a_year_and_a_kind_of_market(
    venue_class: VenueClass, calendar: str, days: int, market: MarketKind
) -> None:
    assert (venue_class.calendar.value, venue_class.calendar.days_per_year) == (calendar, days)
    assert venue_class.market is market


def test_a_symbol_tells_its_class_by_how_it_is_written() -> None:
    assert class_of("BTC/USD") is VenueClass.CRYPTO
    assert class_of("EUR/USD") is VenueClass.FOREX
    assert class_of("ES=F") is VenueClass.FUTURES
    assert class_of("AAPL") is VenueClass.EQUITY
    assert class_of("FRED:DGS10") is None


def test_a_bare_ticker_keeps_the_calendar_that_its_bars_keep() -> None:
    panel = daily("AAPL", "BTC", "ETH/USD", weekdays_only=("AAPL",))

    assert kept_calendars(panel) == {
        "AAPL": Calendar.XNYS,
        "BTC": Calendar.ALWAYS,
        "ETH/USD": Calendar.ALWAYS,
    }


def test_currencies_that_an_exchange_trades_on_saturdays_never_close_there() -> None:
    panel = daily("BTC/USD", "EUR/USD", "GBP/USD", weekdays_only=("GBP/USD",))

    assert kept_calendars(panel) == {
        "BTC/USD": Calendar.ALWAYS,
        "EUR/USD": Calendar.ALWAYS,
        "GBP/USD": Calendar.WEEKDAYS,
    }


def test_one_stray_bar_on_a_saturday_is_no_calendar() -> None:
    panel = daily("AAPL", weekdays_only=("AAPL",))
    close = panel.close.copy()
    close[5] = 3.0

    assert kept_calendars(daily("AAPL", close=close)) == {"AAPL": Calendar.XNYS}


def test_bars_of_two_weeks_are_too_few_to_tell() -> None:
    assert kept_calendars(daily("AAPL", weekdays_only=("AAPL",), days=14)) == {"AAPL": Calendar.ALWAYS}


def test_one_calendar_is_one_panel() -> None:
    assert groups(daily("BTC/USD", "ETH/USD"), CalendarPolicy.REFUSE) == ()


def test_two_calendars_are_refused_with_names_and_both_ways_on() -> None:
    panel = daily("AAPL", "BTC/USD", "EUR/USD", weekdays_only=("AAPL", "EUR/USD"))

    with pytest.raises(InputError) as refused:
        groups(panel, CalendarPolicy.REFUSE)

    assert str(refused.value) == (
        "mixed: its instruments have different calendars (EUR/USD keeps 24/5; BTC/USD keeps 24/7; AAPL keeps "
        "XNYS). Make a data set of each, or state the calendar policy inner_join, which keeps the bars that "
        "all have"
    )


def test_a_join_bears_the_calendar_that_closes_most() -> None:
    panel = daily("AAPL", "BTC/USD", weekdays_only=("AAPL",))

    with pytest.raises(InputError, match=r"its calendar must be XNYS, was 24/7"):
        groups(panel, CalendarPolicy.INNER_JOIN)


def test_a_join_has_the_days_that_all_calendars_have_and_fills_nothing() -> None:
    panel = daily("AAPL", "BTC/USD", weekdays_only=("AAPL",), calendar=Calendar.XNYS, days=30)

    whole = joined(panel, groups(panel, CalendarPolicy.INNER_JOIN))

    weekdays = (whole.timestamps // NANOSECONDS_PER_DAY + 3) % 7
    assert len(whole) == 22
    assert weekdays.max() == 4
    assert np.isfinite(whole.close).all()
    # Friday's close and Monday's: two days of crypto lie between them, and nothing stands for them.
    assert whole.close[4:6, 1].tolist() == [5.0, 8.0]


def test_who_is_not_listed_yet_takes_no_day_away() -> None:
    panel = daily("AAPL", "BTC/USD", "ETH/USD", weekdays_only=("AAPL",), calendar=Calendar.XNYS, days=30)
    close = panel.close.copy()
    close[:10, 2] = np.nan
    late = daily("AAPL", "BTC/USD", "ETH/USD", close=close, calendar=Calendar.XNYS, days=30)

    assert len(joined(late, groups(late, CalendarPolicy.INNER_JOIN))) == 22


def test_calendars_without_a_day_in_common_are_refused() -> None:
    panel = daily("AAPL", "BTC/USD", calendar=Calendar.XNYS)
    close = panel.close.copy()
    close[:, 0] = np.nan

    with pytest.raises(InputError, match="no bar that all of its calendars have"):
        joined(daily("AAPL", "BTC/USD", close=close), (("AAPL",), ("BTC/USD",)))
