"""Files into the lake, in a stream."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from engine.data.lake import importing
from engine.data.lake.importing import Request, import_files
from engine.data.lake.lake import Lake
from engine.data.series import SeriesKey, SeriesKind
from engine.domain.errors import InputError
from engine.domain.time import Timeframe
from tests.lakes import HOUR, START

HEADER = "timestamp,symbol,open,high,low,close,volume\n"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def key(symbol: str) -> SeriesKey:
    return SeriesKey(venue="file:mine", kind=SeriesKind.BARS, instrument=symbol, timeframe=Timeframe.HOUR_1)


def request(*paths: Path, timezone: str | None = None) -> Request:
    return Request(
        name="mine",
        paths=paths,
        timeframe=Timeframe.HOUR_1,
        known_at=10**18,
        run="import-1",
        timezone=timezone,
    )


def table(symbols: int, rows: int) -> pa.Table:
    """Bars of some symbols, row by row in time, over several months."""
    number = np.repeat(np.arange(rows), symbols)
    close = 100.0 + np.arange(rows * symbols) / 7
    return pa.table(
        {
            "timestamp": START + number * HOUR,
            "symbol": [f"S{which}/USD" for which in np.tile(np.arange(symbols), rows)],
            "open": close,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume": close * 2,
        }
    )


@pytest.mark.parametrize("by_symbol", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_stream_gives_the_same_bars_as_the_whole(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, by_symbol: bool
) -> None:
    monkeypatch.setattr(importing, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(importing, "_BATCH_ROWS", 50)
    monkeypatch.setattr(importing, "_HELD_ROWS_MAX", 2000)
    whole = table(3, 2000)
    if by_symbol:
        whole = whole.sort_by([("symbol", "ascending"), ("timestamp", "ascending")])
    path = tmp_path / f"bars.{suffix}"
    (pacsv.write_csv if suffix == "csv" else pq.write_table)(whole, path)

    found = import_files(lake, request(path))

    assert {each.instrument: step.new for each, step in found.items()} == {
        f"S{which}/USD": 2000 for which in range(3)
    }
    for which in range(3):
        expected = whole.filter(pa.compute.equal(whole["symbol"], f"S{which}/USD"))
        read = lake.read(key(f"S{which}/USD"))
        assert read.stamps.tolist() == expected["timestamp"].to_pylist()
        for name in ("open", "high", "low", "close", "volume"):
            assert getattr(read, name).tolist() == expected[name].to_pylist()
    assert lake.verify() == []
    again = import_files(lake, replace(request(path), run="import-2"))
    assert {step.same for step in again.values()} == {2000}


@pytest.mark.parametrize(
    ("written", "timezone"),
    [
        ("2024-01-31T22:00:00Z", None),
        ("2024-01-31 23:00:00+01:00", None),
        ("2024-01-31 17:00:00", "America/New_York"),
        ("2024-01-31 22:00", "UTC"),
        ("1706738400", None),
        ("1706738400000", None),
        ("1706738400000000000", None),
    ],
)
def test_a_stamp_is_an_instant_however_it_is_written(
    lake: Lake, tmp_path: Path, written: str, timezone: str | None
) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(f"{HEADER}{written},BTC/USD,10,11,9,10,5\n")

    import_files(lake, request(path, timezone=timezone))

    assert lake.read(key("BTC/USD")).stamps.tolist() == [START]


def test_an_instrument_may_be_named_by_its_file(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "AAPL.csv"
    path.write_text("timestamp;close\n2024-01-31T22:00:00Z;10\n2024-01-31T23:00:00Z;11\n")

    import_files(lake, request(path))

    read = lake.read(key("AAPL"))
    assert read.close.tolist() == [10.0, 11.0]
    assert np.isnan(read.open).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("2024-01-31 22:00,A,10,11,9,10,5\n", "row 1: 2024-01-31 22:00:00 says no time zone"),
        ("2024-01-31T22:00:00Z,A,10,11,9,,5\n", "row 1: close is not a number"),
        ("2024-01-31T22:00:00Z,A,10,11,9,ten,5\n", "bars.csv: cannot be read"),
        (
            "2024-01-31T22:00:00Z,A,10,11,9,10,5\n2024-01-31T22:00:00Z,A,10,11,9,10,5\n",
            "the bar of A that opens at 2024-01-31T22:00:00 UTC is not 1h or more after",
        ),
        (
            "2024-01-31T22:00:00Z,A,10,11,9,10,5\n2024-01-31T22:30:00Z,A,10,11,9,10,5\n",
            "opens at 2024-01-31T22:30:00 UTC",
        ),
        ("17,A,10,11,9,10,5\n", "row 1: 17 is no epoch"),
        ("2024-01-31T22:00:00Z,,10,11,9,10,5\n", "row 1: symbol is empty"),
        (
            "2024-01-31T22:00:00Z,A,10,11,9,10,5\nyesterday,A,10,11,9,10,5\n",
            "row 2: yesterday is no stamp that can be used",
        ),
        (
            "2024-01-31T22:00:00Z,A,10,11,9,10,5\n2024-01-31T23:00:00,A,10,11,9,10,5\n",
            "row 2: 2024-01-31T23:00:00 is no stamp that can be used",
        ),
        ("3024-01-31T22:00:00Z,A,10,11,9,10,5\n", "row 1: 3024-01-31 22:00:00\\+00:00 is no stamp"),
        ("1706738400.5,A,10,11,9,10,5\n", "row 1: 1706738400.5 is no whole number"),
        # In another unit it is a bar of the year 2190.
        (
            "1706738400,A,10,11,9,10,5\n1706742000000,A,10,11,9,10,5\n",
            "row 2: 1706742000000 is no whole number of the unit of the first stamp above it",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named(lake: Lake, tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(HEADER + rows)

    with pytest.raises(InputError, match=said):
        import_files(lake, request(path))
    assert lake.verify() == []


@pytest.mark.parametrize(
    ("written", "said"),
    [("2024-03-10 02:30", "is in a gap"), ("2024-11-03 01:30", "is ambiguous")],
)
def test_a_stamp_that_its_time_zone_has_not_or_has_twice_is_named(
    lake: Lake, tmp_path: Path, written: str, said: str
) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(f"{HEADER}2024-03-09 12:00,A,10,11,9,10,5\n{written},A,10,11,9,10,5\n")

    with pytest.raises(InputError, match=f"row 2: {written}:00 is no stamp that can be used .*{said}"):
        import_files(lake, request(path, timezone="America/New_York"))


def test_an_unknown_time_zone_is_refused(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(f"{HEADER}2024-01-31 22:00,A,10,11,9,10,5\n")

    with pytest.raises(InputError, match="--timezone: 'Mars/Olympus' is not a time zone"):
        import_files(lake, request(path, timezone="Mars/Olympus"))


def test_text_where_numbers_belong_is_named(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "A.parquet"
    pq.write_table(pa.table({"timestamp": [START], "close": ["ten"]}), path)

    with pytest.raises(InputError, match=r"A.parquet, rows from 1 on: close does not hold numbers"):
        import_files(lake, request(path))


def test_a_file_without_a_close_is_refused(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("timestamp,volume\n2024-01-31T22:00:00Z,1\n")

    with pytest.raises(InputError, match="no column is recognised as close"):
        import_files(lake, request(path))


def test_no_more_bars_are_held_than_memory_has_room_for(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month may hold more rows than fit: then it becomes several parts."""
    monkeypatch.setattr(importing, "_BATCH_ROWS", 100)
    monkeypatch.setattr(importing, "_HELD_ROWS_MAX", 250)
    path = tmp_path / "bars.parquet"
    pq.write_table(table(1, 690), path)

    import_files(lake, request(path))

    # Two bars of January, then those of February: three batches are held before the room is used up.
    assert [part.rows for part in lake.parts(key("S0/USD"))] == [2, 298, 300, 90]


def test_a_parquet_file_is_let_go_of_batch_by_batch(tmp_path: Path) -> None:
    """A reader that fetches ahead would hold all that it ever fetched."""
    path = tmp_path / "bars.parquet"
    pq.write_table(table(1, 1_200_000), path, row_group_size=60_000, compression="none", use_dictionary=False)
    before = pa.total_allocated_bytes()

    held = [pa.total_allocated_bytes() - before for _ in importing._batches(path)]

    assert len(held) > 5
    assert max(held) < path.stat().st_size / 3
