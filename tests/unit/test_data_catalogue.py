"""Data sets by name, and the hold-out that none of them shows."""

import json

import numpy as np
import pytest

from engine.data import catalogue, holdout, store
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


def test_an_opening_is_written_down_before_the_bars_are_handed_out() -> None:
    stored(panel_of(100))

    panel = holdout.open_holdout("mine", "trend-12345678", "ada", "promotion", clock=lambda: 2**62)

    assert len(panel) == 100
    line = json.loads(holdout.journal().read_text())
    assert line == {
        "data": "mine",
        "content_hash": panel.content_hash,
        "strategy_id": "trend-12345678",
        "operator": "ada",
        "reason": "promotion",
        "sealed_rows": 20,
        "opened_at_ns": "4611686018427387904",
    }


def test_openings_are_counted_for_each_set() -> None:
    stored(panel_of(100))
    assert holdout.openings("mine") == 0

    for _ in range(2):
        holdout.open_holdout("mine", "trend-12345678", "ada", "promotion")
    holdout.open_holdout("us5", "trend-12345678", "ada", "promotion")

    assert (holdout.openings("mine"), holdout.openings("us5"), holdout.openings("us20")) == (2, 1, 0)


def test_the_same_bars_under_another_name_were_opened_too() -> None:
    stored(panel_of(100))
    stored(panel_of(100, name="other"))

    holdout.open_holdout("mine", "trend-12345678", "ada", "promotion")

    assert holdout.openings("other") == 1


def test_a_torn_line_counts_and_does_not_swallow_the_next() -> None:
    stored(panel_of(100))
    holdout.journal().write_text('{"data": "us')

    holdout.open_holdout("mine", "trend-12345678", "ada", "promotion")

    assert (holdout.openings("mine"), holdout.openings("us20")) == (2, 1)


@pytest.mark.parametrize("missing", ["strategy_id", "operator", "reason"])
def test_an_opening_without_a_name_or_a_reason_is_refused(missing: str) -> None:
    who = {"strategy_id": "trend-1", "operator": "ada", "reason": "promotion"} | {missing: " "}

    with pytest.raises(InputError, match=f"{missing} must not be empty"):
        holdout.open_holdout("us20", **who)  # type: ignore[arg-type]

    assert not holdout.journal().exists()
