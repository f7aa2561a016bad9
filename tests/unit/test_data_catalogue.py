"""Data sets by name, and the hold-out that none of them shows."""

import numpy as np
import pytest

from engine.data import catalogue, store
from engine.data.manifest import Origin, describe, holdout_rows
from engine.data.packaged import PACKAGED
from engine.domain.errors import InputError
from engine.domain.panel import PRICE_FIELDS, Instrument, Panel
from engine.domain.time import Calendar, Timeframe

pytestmark = pytest.mark.usefixtures("home")


def panel_of(rows: int, timeframe: Timeframe = Timeframe.DAY_1, name: str = "mine") -> Panel:
    close = np.linspace(1.0, 2.0, rows)[:, None]
    return Panel(
        name=name,
        timestamps=np.arange(rows, dtype=np.int64) * timeframe.nanoseconds,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones_like(close),
        instruments=(Instrument(symbol="AAA"),),
        timeframe=timeframe,
        calendar=Calendar.ALWAYS,
        fields={"market": close[:, 0]},
    )


def stored(panel: Panel) -> None:
    store.write(panel, describe(panel, origin=Origin.IMPORTED, source="test"))


@pytest.mark.parametrize("name", PACKAGED)
def test_a_loaded_set_ends_before_its_hold_out(name: str) -> None:
    whole = PACKAGED[name].make()

    visible = catalogue.load(name)

    sealed = catalogue.manifest(name).holdout_rows
    assert len(visible) == len(whole) - sealed
    assert np.array_equal(visible.close, whole.close[:-sealed], equal_nan=True)


@pytest.mark.parametrize(
    ("rows", "timeframe", "sealed"),
    [
        (8313, Timeframe.DAY_1, 504),
        (2520, Timeframe.DAY_1, 504),
        (2519, Timeframe.DAY_1, 503),
        (1000, Timeframe.DAY_1, 200),
        (4, Timeframe.DAY_1, 0),
        (90720, Timeframe.HOUR_1, 504 * 24),
        (10000, Timeframe.HOUR_1, 2000),
    ],
)
def test_the_smaller_of_504_days_and_a_fifth_is_sealed(rows: int, timeframe: Timeframe, sealed: int) -> None:
    assert holdout_rows(panel_of(rows, timeframe)) == sealed


@pytest.mark.parametrize("name", ["us20", "mine"])
def test_no_array_leads_to_the_sealed_rows(name: str) -> None:
    stored(panel_of(100))
    panel = catalogue.load(name)

    arrays = [panel.timestamps, *panel.fields.values(), *(getattr(panel, field) for field in PRICE_FIELDS)]
    for values in arrays:
        assert not values.flags.writeable
        base = values.base
        while base is not None:
            assert len(base) == len(panel)
            base = base.base


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"data set 'us21' is not known\. Did you mean us20\?"):
        catalogue.load("us21")


def test_names_lists_packaged_then_imported() -> None:
    stored(panel_of(100))

    listed = catalogue.names()

    assert [info.name for info in listed] == [*PACKAGED, "mine"]
    assert [(info.rows, info.instruments) for info in listed][-1] == (100, 1)
