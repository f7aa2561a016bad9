"""The packaged samples hold what their manifests say."""

import csv
import gzip
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from engine.data import catalogue
from engine.data.packaged import PACKAGED
from engine.domain.panel import Adjustment


def at(name: str, symbol: str, date: str) -> tuple[float, ...]:
    """Return open, high, low, close and volume of one bar of a whole packaged set."""
    panel = PACKAGED[name].make()
    row = panel.timestamps.tolist().index(int(np.datetime64(date, "ns").astype(np.int64)))
    column = panel.symbols.index(symbol)
    return tuple(
        float(values[row, column])
        for values in (panel.open, panel.high, panel.low, panel.close, panel.volume)
    )


@pytest.mark.parametrize("name", PACKAGED)
def test_the_facts_written_down_are_those_of_the_bars(name: str) -> None:
    known = catalogue.manifest(name)
    facts = PACKAGED[name]
    first, last = (
        int(np.datetime64(date, "ns").astype(np.int64)) for date in (facts.first_bar, facts.last_bar)
    )

    assert known.content_hash == facts.content_hash
    assert (known.rows, len(known.instruments)) == (facts.rows, facts.instruments)
    assert (known.first, known.last) == (first, last)
    assert (known.timeframe, known.calendar) == (facts.timeframe, facts.calendar)
    assert known.synthetic == facts.synthetic


def test_us20_has_closes_only_and_its_index() -> None:
    panel = PACKAGED["us20"].make()

    assert not panel.has_range
    assert not panel.has_volume
    assert panel.adjustment is Adjustment.TOTAL_RETURN
    # First and last line of the two files.
    assert at("us20", "AAPL", "1990-01-02")[3] == 0.264
    assert at("us20", "XOM", "2022-12-28")[3] == 106.627
    assert panel.fields["market"][[0, -1]].tolist() == [359.69, 3783.22]
    assert catalogue.manifest("us20").market is not None


def test_us5_is_adjusted_and_keeps_the_ratios_inside_a_bar() -> None:
    # AAPL on 2000-03-01: 118.56 132.06 118.50 130.31, 9616100 shares, adjusted close 4.186663.
    open_, high, low, close, volume = at("us5", "AAPL", "2000-03-01")

    assert close == pytest.approx(4.186663, abs=1e-6)
    assert open_ / close == pytest.approx(118.56 / 130.31, rel=1e-12)
    assert high / low == pytest.approx(132.06 / 118.50, rel=1e-12)
    assert volume * close == pytest.approx(9616100 * 130.31, rel=1e-12)


def test_us5_lists_fb_late() -> None:
    panel = PACKAGED["us5"].make()
    listed = np.isfinite(panel.close[:, panel.symbols.index("FB")])

    assert str(panel.timestamps[listed][0].view("datetime64[ns]"))[:10] == "2012-05-18"
    assert listed.sum() == 196
    assert panel.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def test_indices_agree_with_their_files() -> None:
    path = Path(str(distribution("arch").locate_file("arch/data/sp500/sp500.csv.gz")))
    with gzip.open(path, "rt") as file:
        last = list(csv.DictReader(file))[-1]

    bar = at("indices", "SP500", "2018-12-31")

    assert bar == tuple(float(last[name]) for name in ("Open", "High", "Low", "Close", "Volume"))


@pytest.mark.parametrize("name", PACKAGED)
def test_every_close_stands_inside_its_range(name: str) -> None:
    panel = PACKAGED[name].make()
    traded = np.isfinite(panel.close)

    for values in (panel.open, panel.close):
        assert (values <= panel.high)[traded].all()
        assert (values >= panel.low)[traded].all()
    assert (panel.close[traded] > 0).all()
