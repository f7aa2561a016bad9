"""`engine data` as a person or a script meets it: what it accepts, what it refuses, and in which words."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.data import catalogue, store

pytestmark = pytest.mark.usefixtures("home")

HEADER = "date,open,high,low,close,volume\n"
GOOD = HEADER + "2020-01-01,10,12,9,11,100\n2020-01-02,11,13,10,12,100\n2020-01-03,12,14,11,13,100\n"


def engine(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def written(folder: Path, text: str, name: str = "AAA.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def imported(
    *paths: Path, timeframe: str = "1d", zone: str | None = "UTC", more: tuple[str, ...] = ()
) -> Result:
    stated = () if zone is None else ("--timezone", zone)
    return engine("import", "mine", *paths, "--timeframe", timeframe, *stated, *more)


def document(result: Result) -> dict[str, Any]:
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    return parsed


# ------------------------------------------------------------------------------------ errors of the import

REFUSED: dict[str, tuple[str, str]] = {
    "unordered": (
        HEADER + "2020-01-02,11,13,10,12,1\n2020-01-03,12,14,11,13,1\n2020-01-01,10,12,9,11,1\n",
        "AAA.csv, row 3: is earlier than a row above it; sort oldest first (value: 2020-01-01 00:00 UTC)",
    ),
    "newest first": (
        HEADER + "2020-01-03,12,14,11,13,1\n2020-01-02,11,13,10,12,1\n2020-01-01,10,12,9,11,1\n",
        "AAA.csv, row 2: the file is newest first; sort it oldest first (value: 2020-01-02 00:00 UTC)",
    ),
    "duplicate": (
        HEADER + "2020-01-01,10,12,9,11,1\n2020-01-01,11,13,10,12,1\n2020-01-03,12,14,11,13,1\n",
        "AAA.csv, row 2: AAA has this bar already (value: 2020-01-01 00:00 UTC)",
    ),
    "high below low": (
        HEADER + "2020-01-01,10,12,9,11,1\n2020-01-02,11,10,13,12,1\n",
        "AAA.csv, row 2, 2020-01-02 00:00 UTC: high is below low (value: high 10, low 13)",
    ),
    "open outside": (
        HEADER + "2020-01-01,15,12,9,11,1\n",
        "AAA.csv, row 1, 2020-01-01 00:00 UTC: open is outside low and high (value: open 15, low 9, high 12)",
    ),
    "close outside": (
        HEADER + "2020-01-01,10,12,9,8.5,1\n",
        (
            "AAA.csv, row 1, 2020-01-01 00:00 UTC: close is outside low and high "
            "(value: close 8.5, low 9, high 12)"
        ),
    ),
    "price zero": (
        HEADER + "2020-01-01,10,12,0,11,1\n",
        "AAA.csv, row 1, 2020-01-01 00:00 UTC: low must be greater than 0 (value: 0)",
    ),
    "price negative": (
        "date,close\n2020-01-01,-37.63\n",
        "AAA.csv, row 1, 2020-01-01 00:00 UTC: close must be greater than 0 (value: -37.63)",
    ),
    "adjusted close zero": (
        "date,close,Adj Close\n2020-01-01,5,0\n",
        "AAA.csv, row 1, 2020-01-01 00:00 UTC: Adj Close must be greater than 0 (value: 0.0)",
    ),
    "negative volume": (
        HEADER + "2020-01-01,10,12,9,11,-5\n",
        "AAA.csv, row 1, 2020-01-01 00:00 UTC: volume must not be negative (value: -5)",
    ),
    "NaN": (
        HEADER + "2020-01-01,10,12,9,NaN,1\n",
        "AAA.csv, row 1: close is empty; a bar that did not trade has no row at all (value: NaN)",
    ),
    "empty cell": (
        HEADER + "2020-01-01,10,12,9,11,1\n2020-01-02,,12,9,11,1\n",
        "AAA.csv, row 2: open is empty; a bar that did not trade has no row at all",
    ),
    "no number": (
        HEADER + '2020-01-01,10,12,9,"1,100.5",1\n',
        "AAA.csv, row 1: close is not a number; write 1234.5 without separators (value: 1,100.5)",
    ),
    "no close": (
        "date,price_usd\n2020-01-01,5\n",
        (
            "AAA.csv: no column is recognised as close; rename one, or see an accepted file with: "
            "engine data sample us5 --out example.csv (value: date, price_usd)"
        ),
    ),
    "no time": (
        "open,high,low,close\n10,12,9,11\n",
        "AAA.csv: no column is recognised as timestamp; rename one",
    ),
    "half a range": (
        "date,high,low,close\n2020-01-01,12,9,11\n",
        "AAA.csv: no column is recognised as open; rename one",
    ),
    "two closes": (
        "date,close,Close\n2020-01-01,12,9\n",
        "AAA.csv: several columns could be the close; keep one of them (value: close, Close)",
    ),
    "no header": (
        "2020-01-01,10,12,9,11\n2020-01-02,10,12,9,11\n",
        "AAA.csv: the first line holds values, not names; put a header above it",
    ),
    "empty file": ("", "AAA.csv: the file holds no rows of data"),
    "header only": (HEADER, "AAA.csv: the file holds no rows of data"),
    "ragged": (
        "date,close\n2020-01-01,5\n2020-01-02,5,6\n",
        "AAA.csv: the file cannot be read; it must be UTF-8 CSV with one header line, or Parquet",
    ),
    "no stamp": (
        "date,close\nyesterday,5\n",
        (
            "AAA.csv, row 1: this is not a time stamp that can be read; write 2020-12-31 or "
            "2020-12-31 23:59:00+00:00 (value: yesterday)"
        ),
    ),
    "empty stamp": ("date,close\n2020-01-01,5\n,6\n", "AAA.csv, row 2: the time stamp is empty"),
    "day or month": (
        "date,close\n01/02/2020,5\n03/02/2020,6\n",
        "AAA.csv, row 1: day or month first? Write dates as 2020-12-31 (value: 01/02/2020)",
    ),
    "no symbol": (
        "date,symbol,close\n2020-01-01,AAA,5\n2020-01-02,,6\n",
        "AAA.csv, row 2: symbol is empty; every row needs its instrument",
    ),
    "coarser bars": (
        "date,close\n2020-01-06,5\n2020-01-13,6\n2020-01-20,7\n",
        (
            "AAA.csv, row 2: bars are never closer than 7 days, but --timeframe says 1d "
            "(value: 2020-01-13 00:00 UTC)"
        ),
    ),
    "finer bars": (
        "date,close\n2020-01-01 00:00,5\n2020-01-02 00:00,6\n2020-01-02 01:00,7\n",
        "AAA.csv, row 3: opens 1 hour after the bar above it, less than 1d (value: 2020-01-02 01:00 UTC)",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_error_refuses_the_import_with_file_row_and_value(tmp_path: Path, text: str, message: str) -> None:
    result = imported(written(tmp_path, text))

    assert result.exit_code == 2
    assert "✕ mine not imported   1 error in 1 file, nothing was written" in result.output
    assert message in result.output
    assert "next   mend the files and run the same command again" in result.output
    assert store.names() == ()


@pytest.mark.parametrize("text", [text for text, _ in REFUSED.values()], ids=REFUSED.keys())
def test_a_script_reads_the_same_error_as_one_document(tmp_path: Path, text: str) -> None:
    result = imported(written(tmp_path, text), more=("--json",))

    parsed = document(result)
    assert result.exit_code == 2
    assert (parsed["imported"], parsed["name"], len(parsed["errors"])) == (False, "mine", 1)
    assert set(parsed["errors"][0]) == {"kind", "file", "row", "value", "message", "instrument", "opens"}


def test_a_time_zone_that_is_not_stated_is_refused(tmp_path: Path) -> None:
    result = imported(written(tmp_path, GOOD), zone=None)

    assert result.exit_code == 2
    assert (
        "AAA.csv, row 1: stamps carry no offset; say which clock they were written in, e.g. --timezone UTC "
        "(value: 2020-01-01)" in result.output
    )


def test_an_unknown_time_zone_names_the_nearest(tmp_path: Path) -> None:
    result = imported(written(tmp_path, GOOD), zone="America/New_Yrok")

    assert result.exit_code == 2
    assert "'America/New_Yrok' is not a time zone. Did you mean America/New_York?" in result.output


def test_local_times_that_happened_twice_or_never_are_refused(tmp_path: Path) -> None:
    twice = written(tmp_path, "date,close\n2020-11-01 01:30,5\n", "TWICE.csv")
    never = written(tmp_path, "date,close\n2020-03-08 02:30,5\n", "NEVER.csv")

    result = imported(twice, never, timeframe="1h", zone="America/New_York")

    assert result.exit_code == 2
    assert (
        "TWICE.csv, row 1: this local time happened twice, when the clock was set back in America/New_York; "
        "write stamps in UTC or with an offset (value: 2020-11-01 01:30)" in result.output
    )
    assert "NEVER.csv, row 1: this local time never happened, the clock was set forward" in result.output


def test_the_same_instrument_twice_is_refused(tmp_path: Path) -> None:
    first = written(tmp_path, GOOD, "AAA.csv")
    second = written(tmp_path, GOOD, "us_AAA_1d.csv")

    result = imported(first, second)

    assert result.exit_code == 2
    assert "us_AAA_1d.csv: AAA is in AAA.csv already; one data set has an instrument once" in result.output


def test_instruments_on_different_grids_are_refused(tmp_path: Path) -> None:
    first = written(tmp_path, "date,close\n2020-01-01 00:00,5\n2020-01-01 01:00,5\n", "AAA.csv")
    second = written(tmp_path, "date,close\n2020-01-01 00:30,5\n2020-01-01 01:30,5\n", "BBB.csv")

    result = imported(first, second, timeframe="1h")

    assert result.exit_code == 2
    assert (
        "BBB opens its bars 30 minutes after a full 1h, AAA 0 seconds after; one data set needs one grid"
        in (result.output)
    )


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_bytes(b"date,close\n2020-01-01,\xff\xfe5\n")
    (tmp_path / "BBB.parquet").write_bytes(b"PAR1 not really")

    result = imported(tmp_path)

    assert result.exit_code == 2
    assert "mine not imported   2 errors in 2 files" in result.output
    assert "BBB.parquet: the file cannot be read" in result.output


def test_all_problems_of_all_files_come_at_once_and_many_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"2020-01-{day:02d},10,9,12,11,1\n" for day in range(1, 31))
    written(tmp_path, HEADER + rows, "AAA.csv")
    written(tmp_path, "date,close\n2020-01-01,0\n", "BBB.csv")
    written(tmp_path, "", "CCC.csv")

    result = imported(tmp_path)

    assert result.exit_code == 2
    assert "mine not imported   32 errors in 3 files, nothing was written" in result.output
    assert "high_below_low (30)" in result.output
    assert "and 10 more of this kind" in result.output
    assert "BBB.csv, row 1" in result.output
    assert "CCC.csv: the file holds no rows of data" in result.output


def test_a_row_with_a_broken_cell_is_judged_by_its_other_cells(tmp_path: Path) -> None:
    result = imported(written(tmp_path, HEADER + "2020-01-01,10,9,11,x,-1\n"), zone=None)

    assert "mine not imported   4 errors in 1 file" in result.output
    for kind in ("no_timezone", "not_a_number", "high_below_low", "negative_volume"):
        assert f"{kind} (1)" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine", "nowhere.csv"), "nowhere.csv: no such file or folder"),
        (("mine", "empty"), "the folder holds no file to import"),
        (("mine", "AAA.xlsx"), "AAA.xlsx: the name does not end in one of .csv"),
        (("us20", "AAA.csv"), "us20 is the name of a packaged sample; choose another one, e.g. my-us20"),
        (("US5", "AAA.csv"), "US5 is the name of a packaged sample"),
        (("a/b", "AAA.csv"), "'a/b' cannot be the name of a data set: use up to 64 letters"),
    ],
)
def test_names_and_paths_that_cannot_be_used_are_refused(
    tmp_path: Path, arguments: tuple[str, str], message: str
) -> None:
    written(tmp_path, GOOD)
    (tmp_path / "AAA.xlsx").touch()
    (tmp_path / "empty").mkdir()
    name, path = arguments

    result = engine("import", name, tmp_path / path, "--timeframe", "1d", "--timezone", "UTC")

    assert result.exit_code == 2
    assert message in result.output
    assert store.names() == ()


def test_an_unknown_timeframe_and_calendar_name_what_there_is(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)

    wrong_timeframe = imported(path, timeframe="1y")
    wrong_calendar = imported(path, more=("--calendar", "XLON"))

    assert (wrong_timeframe.exit_code, wrong_calendar.exit_code) == (2, 2)
    assert "'1d'" in wrong_timeframe.output
    assert "'XNYS'" in wrong_calendar.output


def test_a_name_that_exists_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert imported(path).exit_code == 0
    before = store.read_manifest("mine").content_hash
    path.write_text(GOOD.replace(",13,100", ",13.5,100"))

    refused = imported(path)
    assert refused.exit_code == 2
    assert "a data set mine exists already; choose another name, or add --replace" in refused.output
    assert store.read_manifest("mine").content_hash == before

    assert imported(path, more=("--replace",)).exit_code == 0
    assert store.read_manifest("mine").content_hash != before


def test_a_replacement_with_errors_leaves_the_old_set(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert imported(path).exit_code == 0
    before = store.read_manifest("mine").content_hash
    path.write_text(GOOD.replace("2020-01-02,11,13", "2020-01-02,11,3"))

    assert imported(path, more=("--replace",)).exit_code == 2
    assert store.read_panel("mine").content_hash == before


# ------------------------------------------------------------------------------------------ what goes in


def test_an_import_says_what_it_made_as_one_document(tmp_path: Path) -> None:
    result = imported(written(tmp_path, GOOD), more=("--json", "--calendar", "24/7"))

    parsed = document(result)
    assert result.exit_code == 0
    assert parsed["imported"] is True
    assert (parsed["name"], parsed["rows"], parsed["instruments"]) == ("mine", 3, ["AAA"])
    assert (parsed["first"], parsed["last"]) == ("2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z")
    assert parsed["content_hash"] == store.read_panel("mine").content_hash
    assert (parsed["timeframe"], parsed["calendar"], parsed["adjustment"]) == ("1d", "24/7", "none")
    assert parsed["warnings"] == []
    assert str(tmp_path) not in json.dumps({key: parsed[key] for key in parsed if key != "path"})


def test_an_import_ends_with_the_next_command_and_the_path(tmp_path: Path) -> None:
    result = imported(written(tmp_path, GOOD))

    lines = [line.strip() for line in result.output.splitlines() if line.strip()]
    assert result.exit_code == 0
    assert lines[0].startswith("✓ mine imported   3 bars of 1 instrument")
    assert lines[-3:] == [
        "next   engine data show mine",
        "engine tournament --data mine",
        f"path   {store.folder('mine')}",
    ]


def test_files_of_several_instruments_share_one_axis(tmp_path: Path) -> None:
    written(tmp_path, "t,c\n1577836800,5\n1577923200,6\n", "BBB.csv")
    written(tmp_path, "Date;Close\n2020-01-02;7,0\n".replace(",0", ".0"), "AAA.csv")

    assert imported(tmp_path).exit_code == 0

    panel = store.read_panel("mine")
    assert panel.symbols == ("AAA", "BBB")
    assert not panel.has_range
    np.testing.assert_array_equal(panel.close, [[np.nan, 5], [7, 6]])


def test_long_files_csv_parquet_and_gzip_give_the_same_set(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(["2020-01-01", "2020-01-01", "2020-01-02"], tz="UTC"),
            "symbol": ["AAA", "BBB", "AAA"],
            "open": [1.0, 2.0, 1.1],
            "high": [1.5, 2.5, 1.6],
            "low": [0.5, 1.5, 0.6],
            "close": [1.2, 2.2, 1.3],
            "volume": [10, 20, 30],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.set_index("timestamp").to_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))

    hashes = set()
    for name in ("a.csv", "b.parquet", "c.csv.gz"):
        assert imported(tmp_path / name, zone=None, more=("--replace",)).exit_code == 0
        hashes.add(store.read_manifest("mine").content_hash)

    assert len(hashes) == 1
    np.testing.assert_array_equal(store.read_panel("mine").close, [[1.2, 2.2], [1.3, np.nan]])


def test_adjusted_closes_adjust_everything(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close,Adj Close,Volume\n2020-01-01,10,12,8,10,5,100\n"

    assert imported(written(tmp_path, text)).exit_code == 0

    panel = store.read_panel("mine")
    bar = [float(values[0, 0]) for values in (panel.open, panel.high, panel.low, panel.close, panel.volume)]
    assert bar == [5, 6, 4, 5, 200]
    assert panel.adjustment == "total_return"


def test_prices_stay_as_traded_when_that_is_asked_for(tmp_path: Path) -> None:
    text = "Date,Close,Adj Close\n2020-01-01,10,5\n"

    assert imported(written(tmp_path, text), more=("--adjustment", "none")).exit_code == 0

    assert store.read_panel("mine").close.tolist() == [[10]]
    assert store.read_panel("mine").adjustment == "none"


def test_daily_bars_of_an_exchange_are_stamped_with_their_session(tmp_path: Path) -> None:
    # Midnight in New York, the open and the close of the session, all of Thursday 2020-01-02.
    stamps = ["2020-01-02T00:00-05:00", "2020-01-02T14:30Z", "2020-01-02T21:00Z"]
    for number, stamp in enumerate(stamps):
        written(tmp_path, f"timestamp,close\n{stamp},5\n", f"S{number}.csv")

    assert imported(tmp_path, zone=None, more=("--calendar", "XNYS")).exit_code == 0

    assert document(engine("show", "mine", "--json"))["first"] == "2020-01-02T00:00:00Z"
    assert len(store.read_panel("mine")) == 1


def test_the_calendar_is_inferred_from_weekends_and_said_so(tmp_path: Path) -> None:
    weekdays = pd.bdate_range("2020-01-02", "2020-01-17")
    text = "date,close\n" + "".join(f"{day:%Y-%m-%d},{10 + day.day}\n" for day in weekdays)

    result = imported(written(tmp_path, text))

    assert store.read_manifest("mine").calendar == "XNYS"
    assert "Calendar not stated, taken as XNYS because no bar falls on a weekend" in result.output


def test_what_looks_wrong_goes_in_and_its_warnings_are_stored(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=60)
    random = np.random.default_rng(2)
    closes = 100 * np.exp(np.cumsum(0.01 * random.standard_normal(60)))
    closes[20] *= 3
    closes[40:] /= 2
    rows = [f"{day:%Y-%m-%d},{close!r}\n" for day, close in zip(days, map(float, closes), strict=True)]
    del rows[10]

    result = imported(written(tmp_path, "date,close\n" + "".join(rows)), more=("--json",))

    parsed = document(result)
    assert result.exit_code == 0
    assert parsed["warning_counts"] == {"gap": 1, "bad_tick": 1, "suspected_split": 1}
    assert [(found["kind"], found["file"], found["row"]) for found in parsed["warnings"]] == [
        ("gap", "AAA.csv", 11),
        ("bad_tick", "AAA.csv", 20),
        ("suspected_split", "AAA.csv", 40),
    ]
    assert len(store.read_manifest("mine").warnings) == 3
    assert "bad_tick (1)" in engine("show", "mine").output


# ------------------------------------------------------------------------- list, sample, show, audit


def test_list_shows_packaged_and_imported_sets(tmp_path: Path) -> None:
    imported(written(tmp_path, GOOD))

    names = [entry["name"] for entry in document(engine("list", "--json"))["data_sets"]]
    lines = engine("list").output.splitlines()

    assert names == ["us20", "us5", "indices", "planted", "planted-1h", "mine"]
    assert [line.split()[0] for line in lines[1:7]] == names
    assert "8,313" in lines[1]


@pytest.mark.parametrize("name", ["us20", "us5", "planted"])
def test_a_sample_written_as_a_file_is_accepted_and_is_the_same(tmp_path: Path, name: str) -> None:
    out = tmp_path / f"{name}.csv"
    assert engine("sample", name, "--out", out).exit_code == 0
    sample = catalogue.load(name)
    more = ("--calendar", "XNYS", "--adjustment", sample.adjustment.value)

    assert imported(out, zone=None, more=more).exit_code == 0

    again = store.read_panel("mine")
    listed = [column for column, symbol in enumerate(sample.symbols) if symbol in again.symbols]
    assert again.timestamps.tolist() == sample.timestamps.tolist()
    np.testing.assert_array_equal(again.close, sample.close[:, listed])
    np.testing.assert_array_equal(again.high, sample.high[:, listed])
    np.testing.assert_array_equal(again.volume, sample.volume[:, listed])
    assert again.has_range == sample.has_range


def test_a_sample_overwrites_nothing(tmp_path: Path) -> None:
    out = written(tmp_path, "mine", "out.csv")

    result = engine("sample", "us5", "--out", out)

    assert result.exit_code == 2
    assert "exists already; give another --out, nothing is overwritten" in result.output
    assert out.read_text() == "mine"


def test_sample_says_what_it_holds_and_how_a_file_looks() -> None:
    result = engine("sample", "us20")

    assert result.exit_code == 0
    assert "Survivors: all 20 stocks still trade at the end" in result.output
    assert "timestamp,symbol,close" in result.output
    assert "engine data sample us20 --out us20.csv" in result.output


def test_sample_of_an_imported_set_points_to_show(tmp_path: Path) -> None:
    imported(written(tmp_path, GOOD))

    result = engine("sample", "mine")

    assert result.exit_code == 2
    assert "mine is not packaged but imported; see: engine data show mine" in result.output


def test_show_prints_open_and_close_time_and_stops_before_the_hold_out() -> None:
    parsed = document(engine("show", "us20", "--json"))
    text = engine("show", "us20").output

    last = parsed["tail"][-1]
    assert (parsed["rows"], parsed["visible_rows"], parsed["holdout_rows"]) == (8313, 7809, 504)
    # From 2020-12-29 on there are 3 sessions in 2020, 252 in 2021 and 249 in 2022: 504.
    assert (last["row"], last["opens"]) == (7809, "2020-12-28T00:00:00Z")
    assert last["closes"] == "2020-12-29T00:00:00Z"
    assert "2020-12-28 00:00  2020-12-29 00:00" in text
    assert "the last 504 bars are sealed" in text
    assert "hold-out opened" not in text


def test_show_of_an_instrument_that_is_not_there_names_the_nearest() -> None:
    result = engine("show", "us20", "--instrument", "APL")

    assert result.exit_code == 2
    assert "--instrument: us20 has no 'APL'. Did you mean AAPL?" in result.output


def test_show_of_an_instrument_listed_inside_the_hold_out_says_so() -> None:
    assert "FB has no bar before the hold-out" in engine("show", "us5", "--instrument", "FB").output


@pytest.mark.parametrize("command", ["show", "sample", "audit"])
def test_a_wrong_name_suggests_the_nearest(command: str) -> None:
    result = engine(command, "us21")

    assert result.exit_code == 2
    assert "data set 'us21' is not known. Did you mean us20?" in result.output


def test_audit_of_good_bars_exits_0(tmp_path: Path) -> None:
    imported(written(tmp_path, GOOD))

    result = engine("audit", "mine")
    parsed = document(engine("audit", "mine", "--json"))

    assert result.exit_code == 0
    assert "✓ mine   no errors, 0 warnings in 3 bars" in result.output
    assert (parsed["errors"], parsed["warnings"], parsed["rows_checked"]) == ({}, {}, 3)


def test_audit_of_damaged_bars_is_refused(tmp_path: Path) -> None:
    imported(written(tmp_path, GOOD))
    [bars] = store.folder("mine").glob("panel-*.npz")
    content = bytearray(bars.read_bytes())
    content[len(content) // 2] ^= 1
    bars.write_bytes(bytes(content))

    result = engine("audit", "mine")

    assert result.exit_code == 2
    assert "data set mine" in result.output
    assert "is damaged" in result.output
    assert "engine data import mine PATH... --replace" in result.output


def test_a_damaged_set_does_not_hide_the_others(tmp_path: Path) -> None:
    imported(written(tmp_path, GOOD))
    (store.folder("mine") / "manifest.json").write_text("{")

    result = engine("list")
    parsed = document(engine("list", "--json"))

    assert result.exit_code == 0
    assert "us20" in result.output
    assert "✕ data set mine" in result.output
    assert "engine data import mine PATH... --replace" in result.output
    assert "mine" not in [known["name"] for known in parsed["data_sets"]]
    assert list(parsed["damaged"]) == ["mine"]


def test_audit_of_bars_with_errors_exits_1() -> None:
    from dataclasses import replace

    from engine.data.manifest import Origin, describe

    # Not through the import, which would refuse them.
    good = catalogue.load("indices")
    high = good.high.copy()
    high[7, 0] = good.low[7, 0] / 2
    panel = replace(good, name="mine", high=high)
    store.write(panel, describe(panel, origin=Origin.IMPORTED, source="test"))

    result = engine("audit", "mine")
    parsed = document(engine("audit", "mine", "--json"))

    assert result.exit_code == 1
    assert "✕ mine   1 errors, 0 warnings" in result.output
    assert "mine, NASDAQ, row 8, 1999-01-13 00:00 UTC: high is below low" in result.output
    assert parsed["errors"] == {"high_below_low": 1}


# ------------------------------------------------------------------------------------------- two calendars


def calendar_files(folder: Path) -> tuple[Path, Path]:
    """Write six weeks of a share and of something that never closes."""
    paths = []
    for name, days in (("AAPL", pd.bdate_range("2020-02-03", periods=30)), ("BTC-USD", None)):
        dates = days if days is not None else pd.date_range("2020-02-03", periods=42)
        rows = [f"{date:%Y-%m-%d},10,12,9,11,{100 + number}\n" for number, date in enumerate(dates)]
        paths.append(written(folder, HEADER + "".join(rows), f"{name}.csv"))
    return paths[0], paths[1]


def test_instruments_with_two_calendars_are_refused_with_both_ways_on(tmp_path: Path) -> None:
    result = imported(*calendar_files(tmp_path))

    assert result.exit_code == 2
    assert "different calendars (BTC-USD keeps 24/7; AAPL keeps XNYS)" in result.stderr
    assert store.names() == ()


def test_where_they_are_joined_no_weekend_is_in_the_set(tmp_path: Path) -> None:
    more = ("--calendar", "XNYS", "--calendar-policy", "inner_join")

    result = imported(*calendar_files(tmp_path), more=(*more, "--json"))

    told = document(result)
    # Presidents' day, a Monday, was no session of either file: both have a bar there, and a warning.
    assert (told["rows"], told["calendar"]) == (30, "XNYS")
    assert told["warning_counts"]["outside_calendar"] == 2
    panel = catalogue.load("mine")
    assert np.isfinite(panel.close).all()
