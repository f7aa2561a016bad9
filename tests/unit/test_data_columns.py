"""Columns are recognised in the usual spellings."""

import pytest

from engine.data.columns import recognise
from engine.data.findings import Kind

ACCEPTED = {
    "Yahoo": "Date,Open,High,Low,Close,Adj Close,Volume",
    "exchange dump": "open_time,open,high,low,close,volume,close_time,quote_volume",
    "short": "t,o,h,l,c,v",
    "Stooq": "TICKER,DATE,TIME,OPEN,HIGH,LOW,CLOSE,VOL",
    "archive": "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT",
    "pandas": "Unnamed: 0,Open,High,Low,Close,Volume",
    "Nasdaq": "Date,Close/Last,Volume,Open,High,Low",
}


@pytest.mark.parametrize("header", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_headers_of_usual_sources_are_recognised(header: str) -> None:
    columns, problems = recognise("a.csv", header.split(","))

    assert problems == []
    assert columns is not None
    assert columns.has_range


def test_the_open_time_is_the_stamp_not_the_close_time() -> None:
    columns, _ = recognise("a.csv", ["close_time", "open_time", "close"])

    assert columns is not None
    assert columns.stamp == "open_time"


def test_date_and_time_of_day_belong_together() -> None:
    columns, _ = recognise("a.csv", ["date", "time", "close"])

    assert columns is not None
    assert (columns.stamp, columns.clock) == ("date", "time")


def test_the_exact_spelling_wins_over_a_relative() -> None:
    columns, problems = recognise("a.csv", ["date", "close", "price"])

    assert problems == []
    assert columns is not None
    assert columns.close == "close"


def test_adjusted_closes_alone_are_not_closes() -> None:
    columns, problems = recognise("a.csv", ["date", "Adj Close"])

    assert columns is None
    assert [(found.kind, "as close" in found.message) for found in problems] == [(Kind.MISSING_COLUMN, True)]


def test_a_range_is_whole_or_not_there() -> None:
    _, problems = recognise("a.csv", ["date", "high", "low", "close"])

    assert [found.message.partition(";")[0] for found in problems] == ["no column is recognised as open"]


def test_two_candidates_are_not_chosen_between() -> None:
    _, problems = recognise("a.csv", ["date", "Close", "close"])

    assert [(found.kind, found.value) for found in problems] == [(Kind.DUPLICATE_COLUMN, "Close, close")]


def test_a_file_without_header_is_seen() -> None:
    _, problems = recognise("a.csv", ["1499040000000", "0.1", "0.1.1", "0.2"])

    assert [found.kind for found in problems] == [Kind.NO_HEADER]
