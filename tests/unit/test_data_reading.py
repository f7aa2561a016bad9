"""Files on disk become tables of raw cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.data.findings import Kind
from engine.data.reading import find_files, numbers, read, symbol_from
from engine.domain.errors import InputError


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("AAPL.csv", "AAPL"),
        ("binance_BTCUSDT_1d.parquet", "BTCUSDT"),
        ("us_SPY_1d_raw.csv.gz", "SPY"),
        ("BTCUSDT-1m-2021-01.csv", "BTCUSDT"),
        ("BTC-PERP.csv", "BTC-PERP"),
        ("ETH_USD_daily.csv", "ETH_USD"),
        ("BRK.B.csv", "BRK.B"),
        ("us.csv", "us"),
        ("1d.csv", "1d"),
        ("MSFT 2012 prices.csv", "MSFT"),
    ],
)
def test_the_instrument_is_read_off_the_name_of_the_file(name: str, symbol: str) -> None:
    assert symbol_from(Path(name)) == symbol


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("date,close\n2020-01-01,1.5\n".replace(",", delimiter))

    table, problems = read(path)

    assert problems == []
    assert table is not None
    assert table.cells.iloc[0].tolist() == ["2020-01-01", "1.5"]


def test_a_byte_order_mark_and_angle_brackets_are_no_part_of_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("<DATE>,<CLOSE>\n2020-01-01,1.5\n".encode("utf-8-sig"))

    table, _ = read(path)

    assert table is not None
    assert list(table.cells.columns) == ["DATE", "CLOSE"]


def test_a_row_that_is_too_long_is_not_cut_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("date,close\n2020-01-01,1,5\n2020-01-02,2,5\n")

    table, problems = read(path)

    assert table is None
    assert [found.kind for found in problems] == [Kind.UNREADABLE_FILE]


def test_numbers_are_read_to_the_last_bit() -> None:
    written = [repr(float(value)) for value in np.random.default_rng(1).lognormal(0, 5, 1000)]

    values, problems = numbers("a.csv", pd.Series(written, dtype="str"), "close")

    assert problems == []
    assert [repr(float(value)) for value in values] == written


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("", Kind.EMPTY_CELL),
        ("null", Kind.EMPTY_CELL),
        ("NaN", Kind.EMPTY_CELL),
        ("1,234.5", Kind.NOT_A_NUMBER),
        ("$5", Kind.NOT_A_NUMBER),
        ("inf", Kind.NOT_A_NUMBER),
    ],
)
def test_what_is_no_number_is_named(cell: str, kind: Kind) -> None:
    _, problems = numbers("a.csv", pd.Series(["1", cell], dtype="str"), "close")

    assert [(found.kind, found.row, found.value) for found in problems] == [(kind, 2, cell)]


def test_a_folder_gives_its_files_in_order_and_no_others(tmp_path: Path) -> None:
    for name in ("b.csv", "a.parquet", "notes.md", ".hidden.csv"):
        (tmp_path / name).touch()

    assert [path.name for path in find_files([tmp_path])] == ["a.parquet", "b.csv"]


def test_paths_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputError, match="no such file or folder"):
        find_files([tmp_path / "b.csv"])
    with pytest.raises(InputError, match=r"a\.xlsx: the name does not end in one of \.csv"):
        find_files([tmp_path / "a.xlsx"])
    with pytest.raises(InputError, match="empty: the folder holds no file to import"):
        find_files([tmp_path / "empty"])
