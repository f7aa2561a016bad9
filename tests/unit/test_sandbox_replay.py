"""A data set played again: the trades of a bar add up to that bar, whatever the bar is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import InvalidValueError
from engine.domain.panel import Panel
from engine.domain.time import NANOSECONDS_PER_DAY, Timeframe
from engine.sandbox.bars import bars_of_trades
from engine.sandbox.market import Market
from engine.sandbox.replay import PanelTape
from tests.builders import NAN, panel_of, random_panel

END = 10**18


def rounded(panel: Panel, decimals: int = 4) -> Panel:
    """Return the panel with prices that an exchange could have, and ranges beyond open and close."""
    beyond = {"high": 1.013, "low": 0.987}
    prices = {
        name: np.round(getattr(panel, name) * beyond.get(name, 1.0), decimals)
        for name in ("open", "high", "low", "close", "volume")
    }
    return Panel(
        name=panel.name,
        timestamps=panel.timestamps,
        **prices,
        instruments=panel.instruments,
        timeframe=panel.timeframe,
        calendar=panel.calendar,
    )


def assert_bars_come_back(panel: Panel, tape: PanelTape, column: int) -> None:
    pair = tape.pairs[column]
    parts = [tape.day(column, day) for day in range(tape.first_day, tape.stop_day)]
    stamps = np.concatenate([part.stamps for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    assert (np.diff(stamps) > 0).all()
    assert ids.tolist() == list(range(1, ids.size + 1))
    rows = np.flatnonzero(np.isfinite(panel.close[:, column]) & (panel.volume[:, column] != 0))
    market = Market(tape)
    minutes = panel.timeframe.nanoseconds // 60_000_000_000
    bars = market.bars(column, minutes, after=-1, now=END, most=10**6)
    assert bars.stamps.tolist() == panel.timestamps[rows].tolist()
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(
            getattr(bars, name) * pair.tick, getattr(panel, name)[rows, column], rtol=1e-12, atol=1e-12
        )
    known = np.isfinite(panel.volume[rows, column])
    np.testing.assert_allclose(
        (bars.volume * pair.lot)[known], panel.volume[rows, column][known], rtol=1e-12, atol=pair.lot / 2
    )


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 60),
    timeframe=st.sampled_from(
        [Timeframe.MINUTE_1, Timeframe.MINUTE_5, Timeframe.HOUR_1, Timeframe.HOUR_4, Timeframe.DAY_1]
    ),
    holes=st.sampled_from([0.0, 0.3]),
)
def test_the_bars_of_a_replay_are_the_bars_of_the_panel(
    seed: int, rows: int, timeframe: Timeframe, holes: float
) -> None:
    panel = rounded(random_panel(max(rows, 3), 2, seed=seed, holes=holes, timeframe=timeframe))
    tape = PanelTape(panel, seed=seed)

    for column in range(2):
        assert_bars_come_back(panel, tape, column)


def test_bars_without_a_range_without_a_volume_and_with_an_unknown_one() -> None:
    panel = panel_of(
        {"AAPL": [10.0, 10.5, NAN, 11.0]},
        volumes={"AAPL": [100.0, 0.0, NAN, NAN]},
        timeframe=Timeframe.HOUR_1,
    )
    tape = PanelTape(panel, seed=1)
    trades = tape.day(0, 0)
    bars = bars_of_trades(trades, Timeframe.HOUR_1.nanoseconds)

    assert (bars.stamps // Timeframe.HOUR_1.nanoseconds).tolist() == [0, 3]
    assert (bars.close * tape.pairs[0].tick).tolist() == [10.0, 11.0]
    assert bars.volume[0] * tape.pairs[0].lot == pytest.approx(100.0)
    assert bars.volume[1] * tape.pairs[0].lot == pytest.approx(10_000 / 11)


def test_a_bar_that_would_run_over_midnight_trades_before_it() -> None:
    panel = random_panel(3, 1, seed=1, timeframe=Timeframe.DAY_1)
    late = Panel(
        name="late",
        timestamps=panel.timestamps + 20 * 3_600 * 10**9,
        open=panel.open,
        high=panel.high,
        low=panel.low,
        close=panel.close,
        volume=panel.volume,
        instruments=panel.instruments,
        timeframe=panel.timeframe,
        calendar=panel.calendar,
    )
    tape = PanelTape(late, seed=1)

    for day in range(3):
        stamps = tape.day(0, day).stamps
        assert (stamps // NANOSECONDS_PER_DAY == day).all()
        assert (np.diff(stamps) > 0).all()


def test_the_middle_is_the_last_price_and_nothing_before_the_first() -> None:
    panel = panel_of({"X": [10.0, 12.0]}, volumes={"X": [5.0, 5.0]})
    tape = PanelTape(panel, seed=1)
    tick = tape.pairs[0].tick

    assert np.isnan(tape.middle(0, -1))
    assert tape.middle(0, NANOSECONDS_PER_DAY - 1) * tick == 10.0
    assert tape.middle(0, 5 * NANOSECONDS_PER_DAY) * tick == 12.0


def test_a_day_of_a_replay_is_the_same_whatever_was_asked_before_and_another_seed_is_another_path() -> None:
    panel = rounded(random_panel(72, 2, seed=4, timeframe=Timeframe.HOUR_1))
    first, second, other = PanelTape(panel, seed=1), PanelTape(panel, seed=1), PanelTape(panel, seed=2)
    first.day(1, 0)

    assert first.day(1, 2).ticks.tolist() == second.day(1, 2).ticks.tolist()
    assert first.day(1, 2).ticks.tolist() != other.day(1, 2).ticks.tolist()


def test_equal_bars_of_different_days_and_pairs_take_different_paths() -> None:
    hours = [10.0, 11.0, 10.5] * 16
    panel = panel_of(
        {"A": hours, "B": hours},
        opens={"A": [9.0] * 48, "B": [9.0] * 48},
        volumes={"A": [1e3] * 48, "B": [1e3] * 48},
        timeframe=Timeframe.HOUR_1,
    )
    tape = PanelTape(panel, seed=1)
    lots = [tape.day(pair, day).lots.tolist() for pair in range(2) for day in range(2)]

    assert len({tuple(day) for day in lots}) == 4


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (("BTC/EUR",), "BTC/EUR: the sandbox quotes dollars"),
        (("BTC", "BTC/USD"), "two instruments are the same"),
    ],
)
def test_a_panel_that_cannot_be_replayed_is_refused(symbols: tuple[str, ...], said: str) -> None:
    panel = panel_of({symbol: [1.0, 2.0] for symbol in symbols})

    with pytest.raises(InvalidValueError, match=said):
        PanelTape(panel, seed=1)


def test_an_empty_panel_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="no bar to replay"):
        PanelTape(panel_of({"X": [1.0]}).rows(0, 0), seed=1)
