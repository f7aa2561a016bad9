"""Quotes and books in the lake: appended, read as of a moment and corrected as trades are."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.lake.lake import Lake
from engine.data.series import BarSeries, BookSeries, SeriesKey, SeriesKind, joined_books
from engine.domain.errors import InputError, InvalidValueError
from tests.lakes import BTC, START

BOOK = SeriesKey(venue="kraken", kind=SeriesKind.BOOK, instrument="BTC/USD")
QUOTES = SeriesKey(venue="kraken", kind=SeriesKind.QUOTES, instrument="BTC/USD")
SECOND = 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def book(second: int, *levels: tuple[float, float]) -> BookSeries:
    """Return the book of a second after START by (bid, ask) of its levels, amounts of one and two."""
    count = len(levels)
    return BookSeries(
        stamps=np.full(count, START + second * SECOND),
        levels=np.arange(count),
        bid=np.array([bid for bid, _ in levels]),
        bid_amount=np.ones(count),
        ask=np.array([ask for _, ask in levels]),
        ask_amount=np.full(count, 2.0),
    )


def rows(series: BookSeries) -> list[tuple[int, int, float, float]]:
    seconds = (series.stamps - START) // SECOND
    return list(
        zip(seconds.tolist(), series.levels.tolist(), series.bid.tolist(), series.ask.tolist(), strict=True)
    )


def append(
    lake: Lake, key: SeriesKey, series: BookSeries, known_at: int = START
) -> tuple[int, int, int, int]:
    found = lake.append(key, series, known_at=known_at, source="kraken Depth", run="run-1")
    return found.new, found.same, found.corrected, found.late


def test_a_book_grows_is_the_same_when_told_again_and_is_read_level_by_level(lake: Lake) -> None:
    first, second = book(0, (10.0, 11.0), (9.0, 12.0)), book(1, (10.5, 11.0), (9.0, np.nan))

    assert append(lake, BOOK, first) == (2, 0, 0, 0)
    assert append(lake, BOOK, joined_books([first, second])) == (2, 2, 0, 0)

    read = lake.read_book(BOOK)
    assert rows(read)[:3] == [(0, 0, 10.0, 11.0), (0, 1, 9.0, 12.0), (1, 0, 10.5, 11.0)]
    assert np.isnan(read.ask[3])
    assert read.ask_amount.tolist() == [2.0] * 4
    assert rows(lake.read_book(BOOK, start=START + SECOND))[0] == (1, 0, 10.5, 11.0)
    assert lake.verify() == []


def test_what_is_told_differently_later_is_read_as_of_then_only(lake: Lake) -> None:
    append(lake, QUOTES, book(0, (10.0, 11.0)))
    append(lake, QUOTES, book(5, (10.0, 11.0)))

    assert append(lake, QUOTES, book(0, (9.5, 11.0)), known_at=START + 7) == (0, 0, 1, 0)
    assert append(lake, QUOTES, book(3, (8.0, 11.0)), known_at=START + 8) == (0, 0, 0, 1)

    assert rows(lake.read_book(QUOTES, as_of=START + 6)) == [(0, 0, 10.0, 11.0), (5, 0, 10.0, 11.0)]
    assert [row[2] for row in rows(lake.read_book(QUOTES))] == [9.5, 8.0, 10.0]
    told = [(line.kind.value, line.field, line.new) for line in lake.corrections(QUOTES)]
    assert told == [("revised", "bid", 9.5), ("late", "bid", 8.0)]


def test_the_catalogue_answers_questions_about_them(lake: Lake) -> None:
    append(lake, BOOK, book(0, (10.0, 11.0), (9.0, 12.0)))
    append(lake, QUOTES, book(0, (10.0, 11.0)))
    append(lake, QUOTES, book(0, (9.5, 11.0)), known_at=START + 7)

    with lake.connect() as connection:
        spreads = connection.execute("SELECT id, ask - bid FROM book ORDER BY id").fetchall()
        quotes = connection.execute("SELECT bid, ask FROM quotes").fetchall()
    assert spreads == [(0, 1.0), (1, 3.0)]
    assert quotes == [(9.5, 11.0)]


def test_quotes_have_no_second_level_and_kinds_are_not_mixed(lake: Lake) -> None:
    with pytest.raises(InputError, match="the best offers alone, was given level 1"):
        append(lake, QUOTES, book(0, (10.0, 11.0), (9.0, 12.0)))
    with pytest.raises(InputError, match="expected a BarSeries"):
        append(lake, BTC, book(0, (10.0, 11.0)))
    with pytest.raises(InputError, match="expected a BookSeries"):
        lake.append(BOOK, BarSeries.empty(), known_at=START, source="test", run="run-1")
    with pytest.raises(InputError, match="read it with read_book"):
        lake.read(QUOTES)
    with pytest.raises(InputError, match="read it with read_trades"):
        lake.read_book(SeriesKey(venue="kraken", kind=SeriesKind.TRADES, instrument="BTC/USD"))


def test_a_book_is_in_order() -> None:
    with pytest.raises(InvalidValueError, match=r"\(stamp, level\) must increase, row 1 does not"):
        joined_books([book(1, (10.0, 11.0)), book(0, (10.0, 11.0))])
