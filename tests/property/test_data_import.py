"""True for every file: what goes in comes out, and no defect slips through."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import catalogue, export, store
from engine.data.importer import ImportRefusedError, Request, import_files
from engine.data.manifest import Origin, describe
from engine.domain.panel import PRICE_FIELDS, Instrument, Panel
from engine.domain.time import Calendar, Timeframe

prices = st.floats(min_value=1e-9, max_value=1e9, allow_nan=False, allow_infinity=False)
volumes = st.floats(min_value=0, max_value=1e15, allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module", autouse=True)
def own_home() -> object:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAUNTLET_HOME", folder)
        yield


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """Draw an hourly panel of one to three instruments with holes, each of which trades somewhere."""
    columns = draw(st.integers(1, 3))
    rows = draw(st.integers(3, 12))
    steps = draw(st.lists(st.integers(1, 3), min_size=rows - 1, max_size=rows - 1))
    # Two bars follow one another: without that the file is one of coarser bars, and is refused.
    hours = np.cumsum([0, 1, *steps[1:]])
    start = draw(st.integers(0, 500_000))
    shape = (rows, columns)
    corners = [
        [sorted(draw(st.tuples(prices, prices, prices, prices))) for _ in range(columns)] for _ in range(rows)
    ]
    cube = np.array(corners)
    volume = np.array([[draw(volumes) for _ in range(columns)] for _ in range(rows)])
    hidden = np.array(draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)))
    hidden = hidden.reshape(shape)
    hidden[:3, :] = False
    grid = {"low": cube[..., 0], "open": cube[..., 1], "close": cube[..., 2], "high": cube[..., 3]}
    arrays = {name: np.where(hidden, np.nan, values) for name, values in (grid | {"volume": volume}).items()}
    traded = ~hidden.all(axis=1)
    return Panel(
        name="mine",
        timestamps=((start + hours) * Timeframe.HOUR_1.nanoseconds)[traded],
        open=arrays["open"][traded],
        high=arrays["high"][traded],
        low=arrays["low"][traded],
        close=arrays["close"][traded],
        volume=arrays["volume"][traded],
        instruments=tuple(Instrument(symbol=f"S{column}") for column in range(columns)),
        timeframe=Timeframe.HOUR_1,
        calendar=Calendar.ALWAYS,
    )


def request(path: Path) -> Request:
    return Request(
        name="mine",
        paths=(path,),
        timeframe=Timeframe.HOUR_1,
        timezone="UTC",
        calendar=Calendar.ALWAYS,
        replace=True,
    )


@settings(max_examples=60)
@given(panel=panels(), ending=st.sampled_from([".csv", ".parquet"]))
def test_what_goes_in_comes_out_bit_for_bit(panel: Panel, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"bars{ending}"
        frame = export.to_frame(panel)
        frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
        manifest, _ = import_files(request(path))

    again = store.read_panel("mine")
    assert manifest.content_hash == panel.content_hash == again.content_hash
    for field in PRICE_FIELDS:
        assert np.array_equal(getattr(again, field), getattr(panel, field), equal_nan=True)


@settings(max_examples=60)
@given(panel=panels(), data=st.data())
def test_one_broken_cell_is_found_at_its_row(panel: Panel, data: st.DataObject) -> None:
    frame = export.to_frame(panel).astype(str)
    row = data.draw(st.integers(0, len(frame) - 1))
    column = data.draw(st.sampled_from(frame.columns.tolist()))
    frame.loc[row, column] = data.draw(st.sampled_from(["", "NaN", "?"] if column != "symbol" else ["", " "]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.csv"
        frame.to_csv(path, index=False)
        with pytest.raises(ImportRefusedError) as refused:
            import_files(request(path))

    assert row + 1 in {found.row for found in refused.value.findings}


@settings(max_examples=60)
@given(panel=panels(), data=st.data())
def test_two_rows_that_changed_places_are_found(panel: Panel, data: st.DataObject) -> None:
    frame = export.to_frame(panel)
    first = data.draw(st.integers(0, len(frame) - 2))
    swapped = frame.index.tolist()
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    if frame.symbol[first] != frame.symbol[first + 1]:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.csv"
        frame.loc[swapped].to_csv(path, index=False)
        with pytest.raises(ImportRefusedError, match="unordered_stamp"):
            import_files(request(path))


@settings(max_examples=60)
@given(panel=panels())
def test_a_loaded_panel_is_the_front_of_the_whole_one(panel: Panel) -> None:
    store.write(panel, describe(panel, origin=Origin.IMPORTED, source="test"))

    visible = catalogue.load("mine")

    sealed = len(panel) // 5
    assert len(visible) == len(panel) - sealed
    assert visible.content_hash == panel.rows(0, len(panel) - sealed).content_hash


@settings(max_examples=60)
@given(panel=panels(), data=st.data())
def test_one_changed_bit_gives_another_hash(panel: Panel, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(PRICE_FIELDS))
    values = getattr(panel, field).copy()
    row, column = (data.draw(st.integers(0, size - 1)) for size in values.shape)
    if np.isnan(values[row, column]):
        return
    values.view(np.int64)[row, column] ^= 1 << data.draw(st.integers(0, 51))
    changed = replace(panel, **{field: values})

    assert changed.content_hash != panel.content_hash


@settings(max_examples=40)
@given(
    seconds=st.integers(10**8, 4 * 10**9),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    zone=st.sampled_from(["UTC", "Asia/Tokyo"]),
)
def test_an_instant_is_the_same_in_every_spelling(seconds: int, unit: str, zone: str) -> None:
    from engine.data.stamps import parse, zone_named

    moment = pd.Timestamp(seconds, unit="s", tz="UTC")
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    local = moment.tz_convert(zone)
    spellings = [str(seconds * factor), moment.isoformat(), str(local), local.strftime("%Y-%m-%d %H:%M:%S")]

    for text in spellings:
        stamps, problems = parse("a.csv", pd.Series([text], dtype="str"), zone_named(zone))
        assert problems == []
        assert stamps.utc.tolist() == [seconds * 10**9]
