"""Who learns from history is handed rows that end: there is no way from them to a later one."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from engine.domain.errors import InvalidValueError
from engine.domain.panel import PRICE_FIELDS, FloatArray, Instrument, Panel
from engine.schedule.windows import Window, walk_forward
from research.training import fit_windows, training_panel, training_rows
from tests.builders import random_panel

ROWS = 140
WINDOWS = walk_forward(ROWS, train=60, test=20, step=20, purge=3)
LATER = 12345.0


def panel() -> Panel:
    made = random_panel(ROWS, 3, seed=5, holes=0.02)
    level = np.cumsum(np.random.default_rng(1).normal(size=ROWS))
    return replace(made, fields={"market": level, "flow": made.close * 2.0})


def arrays_of(panel: Panel) -> dict[str, FloatArray]:
    return {name: getattr(panel, name) for name in PRICE_FIELDS} | dict(panel.fields)


def reachable(thing: object) -> Iterator[object]:
    """Go through all that hangs on an object, as a function that wants to find more would."""
    seen: set[int] = set()
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ == "module":
            continue
        seen.add(id(one))
        yield one
        waiting += gc.get_referents(one)
        if isinstance(one, np.ndarray) and one.base is not None:
            waiting.append(one.base)


def test_a_training_panel_holds_the_training_rows_of_everything() -> None:
    whole, window = panel(), WINDOWS[1]

    cut = training_panel(whole, window)

    assert (window.train_start, window.train_stop) == (20, 77)
    assert cut.timestamps.tolist() == whole.timestamps[20:77].tolist()
    assert arrays_of(cut).keys() == arrays_of(whole).keys()
    for name, values in arrays_of(cut).items():
        np.testing.assert_array_equal(values, arrays_of(whole)[name][20:77])
        assert not values.flags.writeable
    assert cut.content_hash == whole.rows(20, 77).content_hash


def test_no_way_leads_from_a_training_panel_to_a_later_row() -> None:
    window = WINDOWS[0]
    whole = panel()
    later = {name: values.copy() for name, values in arrays_of(whole).items()}
    for values in later.values():
        values[window.train_stop :] = LATER
    prices: dict[str, Any] = {name: later.pop(name) for name in PRICE_FIELDS}
    whole = replace(whole, **prices, fields=later)
    assert whole.content_hash

    def finds_it(start: object) -> bool:
        found = [one for one in reachable(start) if isinstance(one, np.ndarray) and one.dtype == np.float64]
        assert len(found) >= 7
        return any((one == LATER).any() for one in found)

    assert not finds_it(training_panel(whole, window))
    # A plain slice is a view: the same search finds the rest of the array under it.
    assert finds_it(whole.rows(window.train_start, window.train_stop))


def test_training_rows_own_their_memory() -> None:
    rows = training_rows(panel().close, WINDOWS[2])

    assert rows.base is None
    assert rows.shape == (57, 3)
    assert rows.flags.c_contiguous
    assert not rows.flags.writeable
    np.testing.assert_array_equal(training_rows(panel().close[11:], WINDOWS[2], first_row=11), rows)


def test_a_delisting_to_come_is_not_known() -> None:
    whole = panel()
    stop = WINDOWS[0].train_stop
    listings = (
        Instrument(symbol="GONE", delisted_at=int(whole.timestamps[stop - 1]), delisting_haircut=0.0),
        Instrument(symbol="GOING", delisted_at=int(whole.timestamps[stop]), delisting_haircut=0.0),
        Instrument(symbol="STAYS", delisting_haircut=0.1),
    )

    known = training_panel(replace(whole, instruments=listings), WINDOWS[0]).instruments

    assert known == (listings[0], Instrument(symbol="GOING"), listings[2])


def test_a_window_of_another_panel_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"learns from rows \[60, 117\), there are \[0, 100\)"):
        training_panel(panel().rows(0, 100), WINDOWS[3])
    with pytest.raises(InvalidValueError, match=r"learns from rows \[20, 77\), there are \[21, 140\)"):
        training_rows(panel().close[21:], WINDOWS[1], first_row=21)


# ------------------------------------------------------------------------------------- what may be fitted


@dataclass(frozen=True)
class Settings:
    """Constants of a fit."""

    days: int = 20
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Hoard:
    """Frozen, but what it holds is not."""

    rows: FloatArray


SCALE = 2.0
SETTINGS = Settings()
STORE: dict[str, FloatArray] = {}
HOARD = Hoard(rows=np.zeros(3))


def mean_of(panel: Panel, scale: Any = SCALE, *, settings: Settings = SETTINGS) -> float:
    return float(scale) * float(np.nanmean(panel.close[-settings.days :]))


def reads_store(panel: Panel) -> float:
    return float(len(STORE) + len(panel))


def reads_hoard(panel: Panel) -> float:
    return float(HOARD.rows.sum() + len(panel))


def calls_reader(panel: Panel) -> float:
    return sum(reads_store(panel) for _ in range(1))


def keeps_default(panel: Panel, *, seen: list[int] = []) -> float:  # noqa: B006  # the point of the test
    seen.append(len(panel))
    return float(len(seen))


class Model:
    def __call__(self, panel: Panel) -> float:
        return float(len(panel))


def closed_over(whole: Panel) -> Callable[[Panel], float]:
    return lambda _: float(whole.close[-1, 0])


def test_every_window_is_fitted_on_its_own_training_rows() -> None:
    whole = panel()

    found = fit_windows(mean_of, whole, WINDOWS)

    expected = [2.0 * np.nanmean(whole.close[w.train_stop - 20 : w.train_stop]) for w in WINDOWS]
    assert found == pytest.approx(expected)
    assert len(found) == 4
    assert fit_windows(partial(mean_of, settings=Settings(days=57)), whole, WINDOWS)[1] == pytest.approx(
        2.0 * np.nanmean(whole.close[20:77])
    )


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (closed_over(panel()), r"closed_over.<locals>.<lambda> is a closure"),
        (reads_store, "reads_store reads the global STORE, a dict"),
        (reads_hoard, "reads_hoard reads the global HOARD, a Hoard"),
        (calls_reader, "calls_reader -> reads_store reads the global STORE, a dict"),
        (keeps_default, "keeps_default has the default list"),
        (partial(mean_of, scale=np.ones(3)), "mean_of is given ndarray"),
        (partial(mean_of, scale=reads_store), "reads_store reads the global STORE"),
        (Model(), "was Model"),
    ],
)
def test_what_could_know_more_than_its_panel_is_refused(fit: Callable[[Panel], float], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        fit_windows(fit, panel(), WINDOWS)


def test_windows_and_rows_of_a_whole_history_agree() -> None:
    window = Window(index=0, train_start=0, train_stop=ROWS, test_start=ROWS, test_stop=ROWS + 1)

    assert training_panel(panel(), window).content_hash == panel().content_hash
