"""Files of this machine behind the port of providers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.files import Files
from engine.domain.errors import InputError
from engine.domain.time import Timeframe

HEADER = "timestamp,open,high,low,close,volume\n"


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


ALL = (at("2000-01-01"), at("2100-01-01"))


def test_bars_of_a_file_with_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "BTCUSD_1h.csv",
        HEADER + "2024-01-01T00:00:00Z,1,2,0.5,1.5,10\n2024-01-01T01:00:00Z,2,3,1.5,2.5,20\n",
    )

    files = Files("mine", [path])
    (page,) = files.fetch_bars("BTCUSD", Timeframe.HOUR_1, *ALL)

    assert (files.name, files.symbols()) == ("file:mine", ("BTCUSD",))
    assert page.payload == path.read_bytes()
    assert page.series.stamps.tolist() == [at("2024-01-01T00:00"), at("2024-01-01T01:00")]
    assert page.series.close.tolist() == [1.5, 2.5]
    assert page.series.low.tolist() == [0.5, 1.5]
    assert page.series.volume.tolist() == [10, 20]
    assert page.cursor == at("2024-01-01T02:00")


def test_several_instruments_of_one_file_and_several_files_of_one_instrument(tmp_path: Path) -> None:
    one = "timestamp,symbol,close\n2024-01-01T00:00Z,A,1\n2024-01-01T00:00Z,B,9\n2024-01-01T01:00Z,A,2\n"
    two = "timestamp,symbol,close\n2024-02-01T00:00Z,A,3\n2024-02-01T00:00Z,B,8\n"
    pd.DataFrame(
        {"timestamp": pd.to_datetime(["2024-03-01"]).tz_localize("UTC"), "symbol": ["A"], "close": [4.0]}
    ).to_parquet(tmp_path / "3.parquet")
    write(tmp_path, "1.csv", one)
    write(tmp_path, "2.csv", two)

    files = Files("mine", [tmp_path])
    pages = list(files.fetch_bars("A", Timeframe.HOUR_1, *ALL))

    assert files.symbols() == ("A", "B")
    assert [page.series.close.tolist() for page in pages] == [[1, 2], [3], [4]]
    assert np.isnan(pages[0].series.volume).all()
    only = list(files.fetch_bars("A", Timeframe.HOUR_1, at("2024-01-15"), at("2024-02-15")))
    assert [page.series.close.tolist() for page in only] == [[3]]


def test_a_date_is_a_midnight_of_utc_wherever_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path, "SPY.csv", "date,close\n2024-03-08,1\n2024-03-11,2\n")

    (page,) = Files("mine", [path], timezone="America/New_York").fetch_bars("SPY", Timeframe.DAY_1, *ALL)

    assert page.series.stamps.tolist() == [at("2024-03-08"), at("2024-03-11")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("2024-01-01T00:00:00Z,1,2,0.5,abc,10\n", "X_1h.csv, row 1: close is not a number.*abc"),
        ("2024-01-01T01:00:00Z,1,2,1,1,1\n2024-01-01T00:00:00Z,1,2,1,1,1\n", "row 2.*earlier"),
        ("2024-01-01T01:00:00Z,1,2,1,1,1\n2024-01-01T01:00:00Z,1,2,1,1,1\n", "row 2.*has this bar already"),
        ("2024-01-01T01:00:00,1,2,1,1,1\n", "no offset"),
        ("", "no rows"),
    ],
)
def test_a_file_that_cannot_be_taken_says_where_and_why(tmp_path: Path, rows: str, words: str) -> None:
    path = write(tmp_path, "X_1h.csv", HEADER + rows)

    with pytest.raises(InputError, match=words) as refused:
        list(Files("mine", [path]).fetch_bars("X", Timeframe.HOUR_1, *ALL))

    assert isinstance(refused.value, ProviderError)
    assert refused.value.code is ProviderCode.INVALID_DATA


def test_a_wrong_cell_of_the_second_instrument_is_named_by_its_row_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", "timestamp,symbol,close\n2024-01-01T00:00Z,A,1\n2024-01-01T00:00Z,B,?\n")

    with pytest.raises(ProviderError, match=r"row 2: close is not a number"):
        list(Files("mine", [path]).fetch_bars("B", Timeframe.HOUR_1, *ALL))
    assert len(list(Files("mine", [path]).fetch_bars("A", Timeframe.HOUR_1, *ALL))) == 1


def test_what_no_file_holds_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path, "X_1h.csv", HEADER + "2024-01-01T00:00:00Z,1,2,1,1,1\n")

    with pytest.raises(ProviderError, match="no file holds 'Y'; they hold X") as unknown:
        list(Files("mine", [path]).fetch_bars("Y", Timeframe.HOUR_1, *ALL))
    assert unknown.value.code is ProviderCode.UNKNOWN_SYMBOL
    with pytest.raises(ProviderError, match="no trades of X"):
        list(Files("mine", [path]).fetch_trades("X", *ALL))
