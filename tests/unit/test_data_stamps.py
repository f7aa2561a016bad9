"""Time stamps become UTC nanoseconds or are refused."""

from datetime import UTC
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from engine.data.findings import Kind
from engine.data.stamps import parse, zone_named
from engine.domain.errors import InputError

NEW_YORK = ZoneInfo("America/New_York")


def nanoseconds(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.mark.parametrize(
    "written",
    [
        "2020-01-02T00:00:00Z",
        "2020-01-02 00:00:00+00:00",
        "2020-01-02 00:00:00 UTC",
        "2020-01-01 19:00:00-05:00",
        "2020-01-01 19:00:00-0500",
        "1577923200",
        "1577923200.0",
        "1577923200000",
        "1577923200000000",
        "1577923200000000000",
    ],
)
def test_an_instant_needs_no_zone(written: str) -> None:
    stamps, problems = parse("a.csv", pd.Series([written], dtype="str"), None)

    assert problems == []
    assert stamps.utc.tolist() == [nanoseconds("2020-01-02")]


@pytest.mark.parametrize(
    "written",
    [
        "2020-01-31",
        "20200131",
        "2020-01-31 00:00",
        "2020-01-31T00:00:00.000",
        "31/01/2020",
        "1/31/2020",
        "31.01.2020 00:00",
        "31-Jan-2020",
        "Jan 31, 2020",
        "2020.01.31 00:00",
        "2020/01/31",
    ],
)
def test_a_local_time_is_read_in_the_stated_zone(written: str) -> None:
    stamps, problems = parse("a.csv", pd.Series([written], dtype="str"), NEW_YORK)

    assert problems == []
    assert stamps.utc.tolist() == [nanoseconds("2020-01-31T05:00")]
    assert stamps.wall_clock.tolist() == [nanoseconds("2020-01-31")]


@pytest.mark.parametrize("written", ["2020-01-31", "31/01/2020", "20200131"])
def test_a_local_time_without_a_zone_is_refused(written: str) -> None:
    _, problems = parse("a.csv", pd.Series([written], dtype="str"), None)

    assert [(found.kind, found.row, found.value) for found in problems] == [(Kind.NO_TIMEZONE, 1, written)]


def test_offsets_win_over_the_stated_zone() -> None:
    written = pd.Series(["2020-01-31T00:00Z", "2020-01-31T00:00"], dtype="str")

    stamps, problems = parse("a.csv", written, NEW_YORK)

    assert problems == []
    assert stamps.utc.tolist() == [nanoseconds("2020-01-31"), nanoseconds("2020-01-31T05:00")]


def test_one_date_over_twelve_shows_the_order_of_all() -> None:
    stamps, problems = parse("a.csv", pd.Series(["01/02/2020", "13/02/2020"], dtype="str"), UTC)

    assert problems == []
    assert stamps.utc.tolist() == [nanoseconds("2020-02-01"), nanoseconds("2020-02-13")]


@pytest.mark.parametrize("written", [["01/02/2020", "03/02/2020"], ["13/02/2020", "02/13/2020"]])
def test_dates_that_could_be_read_either_way_are_refused(written: list[str]) -> None:
    _, problems = parse("a.csv", pd.Series(written, dtype="str"), UTC)

    assert [(found.kind, found.row, found.value) for found in problems] == [
        (Kind.AMBIGUOUS_DATE, 1, written[0])
    ]


def test_an_hour_that_happened_twice_is_refused() -> None:
    written = pd.Series(["2020-11-01 00:30", "2020-11-01 01:30", "2020-11-01 02:30"], dtype="str")

    stamps, problems = parse("a.csv", written, NEW_YORK)

    assert [(found.kind, found.row) for found in problems] == [(Kind.AMBIGUOUS_LOCAL_TIME, 2)]
    assert stamps.valid.tolist() == [True, False, True]


def test_an_hour_that_never_happened_is_refused() -> None:
    written = pd.Series(["2020-03-08 01:30", "2020-03-08 02:30", "2020-03-08 03:30"], dtype="str")

    _, problems = parse("a.csv", written, NEW_YORK)

    assert [(found.kind, found.row) for found in problems] == [(Kind.NONEXISTENT_LOCAL_TIME, 2)]


@pytest.mark.parametrize("written", ["soon", "2020-02-30", "9999-12-31", "1066-10-14", "12345"])
def test_what_is_not_a_stamp_is_refused_with_its_row(written: str) -> None:
    column = pd.Series(["2020-01-01", written], dtype="str")

    stamps, problems = parse("a.csv", column, UTC)

    assert [(found.kind, found.row, found.value) for found in problems] == [
        (Kind.UNREADABLE_STAMP, 2, written)
    ]
    assert stamps.valid.tolist() == [True, False]


def test_an_empty_stamp_is_refused_with_its_row() -> None:
    _, problems = parse("a.csv", pd.Series(["2020-01-01", ""], dtype="str"), UTC)

    assert [(found.kind, found.row) for found in problems] == [(Kind.EMPTY_CELL, 2)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_typed_columns_keep_their_instants_in_every_unit(unit: Literal["s", "ms", "us", "ns"]) -> None:
    column = pd.Series(pd.DatetimeIndex(["2020-01-31 00:00"]).as_unit(unit).tz_localize(NEW_YORK))

    stamps, problems = parse("a.parquet", column, None)

    assert problems == []
    assert stamps.utc.tolist() == [nanoseconds("2020-01-31T05:00")]
    assert stamps.wall_clock.tolist() == [nanoseconds("2020-01-31")]


def test_a_typed_column_with_a_hole_is_refused() -> None:
    column = pd.Series(pd.DatetimeIndex(["2020-01-31", None]))

    _, problems = parse("a.parquet", column, UTC)

    assert [(found.kind, found.row) for found in problems] == [(Kind.EMPTY_CELL, 2)]


def test_an_unknown_zone_names_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"'Europe/Berlinn' is not a time zone\. Did you mean Europe/Berlin\?"
    ):
        zone_named("Europe/Berlinn")


@pytest.mark.parametrize(
    "written",
    [
        ["2020-01-03", "2020-01-02"],
        ["31/01/2020", "1/02/2020"],
        ["2020-01-01 19:00:00-05:00", "2020-01-03T00:00:00Z"],
        ["2020-01-01 19:00:00-05:00", "2020-01-03 01:00"],
        ["1577923200", "1578009600"],
    ],
)
def test_stamps_that_many_rows_share_are_read_as_each_alone(written: list[str]) -> None:
    order = np.random.default_rng(1).integers(0, 2, 50)
    alone, _ = parse("a.csv", pd.Series(written, dtype="str"), NEW_YORK)
    shared, problems = parse("a.csv", pd.Series([written[i] for i in order], dtype="str"), NEW_YORK)

    assert problems == []
    assert shared.utc.tolist() == alone.utc[order].tolist()
    assert shared.wall_clock.tolist() == alone.wall_clock[order].tolist()
    assert shared.valid.all()


def test_of_a_wrong_stamp_that_many_rows_share_each_row_is_told() -> None:
    written = ["2020-01-02", "yesterday", "2020-01-02", "yesterday", "2020-01-02", "2020-01-02"]
    _, problems = parse("a.csv", pd.Series(written, dtype="str"), UTC)

    assert [(found.kind, found.row) for found in problems] == [
        (Kind.UNREADABLE_STAMP, 2),
        (Kind.UNREADABLE_STAMP, 4),
    ]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["2020-01-02", None], dtype="str"),
        pd.Series(["2020-01-02", None, None, None], dtype="str"),
        pd.Series([1577923200, None], dtype="float64"),
        pd.Series([1577923200, None], dtype="Int64"),
    ],
)
def test_a_stamp_that_a_table_has_no_value_for_is_refused_with_its_row(column: pd.Series) -> None:
    _, problems = parse("a.parquet", column, UTC)

    assert {(found.kind, found.row) for found in problems} >= {(Kind.EMPTY_CELL, 2)}


def test_stamps_of_a_kind_that_cannot_be_told_apart_are_refused() -> None:
    column = pd.Series([["a"], ["b"]] * 10, dtype=pd.ArrowDtype(pa.list_(pa.string())))
    _, problems = parse("a.parquet", column, UTC)

    assert len(problems) == 20
