"""Statuses and exit codes: what is fresh, what lacks days, and who fails an audit for it."""

import numpy as np
import pytest

from engine.data.audit.health import (
    Health,
    Mode,
    Status,
    exit_code,
    is_closed,
    is_critical,
    judge,
    judge_all,
    market_days,
    missing_market_days,
)
from engine.domain.panel import IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe
from engine.domain.venue import VenueClass

HOUR = 3600 * 10**9


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def days(first: str, last: str) -> IntArray:
    return np.arange(at(first), at(last) + 1, NANOSECONDS_PER_DAY)


def crypto(stamps: IntArray | None, now: str) -> Status:
    return judge(
        "BTC/USD",
        stamps,
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.ALWAYS,
        venue=VenueClass.CRYPTO,
        now=at(now),
    ).status


def shares(stamps: IntArray, now: str) -> Health:
    return judge(
        "AAPL",
        stamps,
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.XNYS,
        venue=VenueClass.EQUITY,
        now=at(now),
    )


def weekdays(first: str, last: str) -> IntArray:
    every = days(first, last)
    return every[(every // NANOSECONDS_PER_DAY + 3) % 7 < 5]


def test_crypto_is_fresh_for_72_hours_after_its_last_bar_closed() -> None:
    stamps = days("2024-03-01", "2024-03-10")

    # The last bar closes at midnight of the 11th.
    assert crypto(stamps, "2024-03-14T00:00") is Status.OK
    assert crypto(stamps, "2024-03-14T00:01") is Status.STALE


def test_shares_are_fresh_for_five_days() -> None:
    # Friday, 1 March 2024: its bar closes at midnight of Saturday.
    stamps = weekdays("2024-02-20", "2024-03-01")

    assert shares(stamps, "2024-03-07T00:00").status is Status.OK
    assert shares(stamps, "2024-03-07T00:01").status is Status.STALE


def test_on_a_weekend_the_market_is_closed_and_that_is_no_fault() -> None:
    stamps = weekdays("2024-02-20", "2024-03-01")

    assert shares(stamps, "2024-03-03T12:00").status is Status.OK_CLOSED
    assert shares(stamps, "2024-03-04T12:00").status is Status.OK
    assert is_closed(Calendar.XNYS, at("2024-03-03T12:00"))
    assert not is_closed(Calendar.ALWAYS, at("2024-03-03T12:00"))


def test_a_missing_market_day_degrades_and_a_holiday_does_not() -> None:
    stamps = weekdays("2024-02-12", "2024-03-01")
    # Presidents' Day 2024 was Monday, 19 February.
    without_holiday = stamps[stamps != at("2024-02-19")]
    with_gap = without_holiday[without_holiday != at("2024-02-21")]

    assert shares(without_holiday, "2024-03-02T00:00").missing_days == 0
    degraded = shares(with_gap, "2024-03-01T23:00")
    assert (degraded.status, degraded.missing_days) == (Status.DEGRADED, 1)


def test_days_before_the_lookback_are_forgiven() -> None:
    stamps = days("2024-01-01", "2024-03-10")
    with_gap = stamps[stamps != at("2024-01-15")]

    def missing(lookback_days: int) -> int:
        found = missing_market_days(
            with_gap,
            calendar=Calendar.ALWAYS,
            venue=VenueClass.CRYPTO,
            now=at("2024-03-11T05:00"),
            lookback_days=lookback_days,
        )
        return len(found)

    assert missing(60) == 1
    assert missing(30) == 0


def test_forex_bars_of_the_evening_belong_to_the_next_market_day() -> None:
    # The fifth of March 2024 was a Tuesday, the third a Sunday.
    evening, afternoon, sunday = at("2024-03-05T20:00"), at("2024-03-05T19:59"), at("2024-03-03T22:00")

    assert market_days(np.array([evening]), VenueClass.FOREX).tolist() == [at("2024-03-06")]
    assert market_days(np.array([sunday]), VenueClass.FOREX).tolist() == [at("2024-03-04")]
    assert market_days(np.array([afternoon]), VenueClass.FUTURES).tolist() == [at("2024-03-05")]
    assert market_days(np.array([evening]), VenueClass.CRYPTO).tolist() == [at("2024-03-05")]


def test_the_weekend_of_forex_is_not_missing() -> None:
    stamps = np.array([at("2024-03-01T12:00"), at("2024-03-03T22:00"), at("2024-03-05T12:00")])

    missing = missing_market_days(
        stamps, calendar=Calendar.ALWAYS, venue=VenueClass.FOREX, now=at("2024-03-05T13:00")
    )

    # Friday, Monday (from Sunday evening on) and Tuesday: nothing lacks.
    assert missing.tolist() == []


def test_a_symbol_without_bars_is_missing_and_one_left_out_was_dropped() -> None:
    found = judge_all(
        {"A": days("2024-03-01", "2024-03-10")},
        wanted=["A", "B", "C"],
        known=["A", "B"],
        timeframe=Timeframe.DAY_1,
        calendar=Calendar.ALWAYS,
        venue=VenueClass.CRYPTO,
        now=at("2024-03-11T00:00"),
    )

    assert [(health.symbol, health.status) for health in found] == [
        ("A", Status.OK),
        ("B", Status.DROPPED),
        ("C", Status.MISSING),
    ]


CRITICAL = {
    (Mode.RAW, False): {Status.MISSING},
    (Mode.RAW, True): {Status.MISSING},
    (Mode.SELECTED, False): {Status.MISSING, Status.STALE},
    (Mode.SELECTED, True): {Status.MISSING, Status.STALE, Status.DEGRADED},
}


@pytest.mark.parametrize(("mode", "strict"), CRITICAL)
@pytest.mark.parametrize("status", Status)
def test_what_is_critical_by_mode_and_strictness(mode: Mode, strict: bool, status: Status) -> None:
    expected = status in CRITICAL[mode, strict]
    one = Health(symbol="A", status=status, last=None, missing_days=0)
    fine = Health(symbol="B", status=Status.OK, last=0, missing_days=0)

    assert is_critical(status, mode, strict=strict) is expected
    assert exit_code([fine, one], mode, strict=strict) == int(expected)


def test_statuses_are_spelled_as_reports_spell_them() -> None:
    assert [status.value for status in Status] == [
        "OK",
        "OK (MARKET CLOSED)",
        "DEGRADED (GAPS)",
        "STALE",
        "MISSING",
        "DROPPED",
    ]
