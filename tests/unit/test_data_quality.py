"""What looks wrong in bars, and what must not."""

from dataclasses import replace

import numpy as np

from engine.data import quality
from engine.data.audit.checks import inspect
from engine.data.audit.report import audit
from engine.data.findings import Finding, Kind, capped, listing
from engine.data.quality import Bars
from engine.domain.panel import FloatArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

ROWS = 200


def calm(seed: int = 7) -> Bars:
    """Return 200 days of bars that move about one per cent a day."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.01 * random.standard_normal(ROWS)))
    open_ = np.concatenate([[100.0], close[:-1]])
    return Bars(
        symbol="AAA",
        file="AAA.csv",
        rows=np.arange(1, ROWS + 1),
        stamps=np.arange(ROWS, dtype=np.int64) * NANOSECONDS_PER_DAY,
        close=close,
        open=open_,
        high=np.maximum(open_, close) * 1.002,
        low=np.minimum(open_, close) * 0.998,
        volume=np.full(ROWS, 1e6),
    )


def with_value(values: FloatArray | None, at: int, value: float) -> FloatArray:
    assert values is not None
    changed = values.copy()
    changed[at] = value
    return changed


def scaled_from(bars: Bars, at: int, ratio: float) -> Bars:
    factor = np.where(np.arange(ROWS) >= at, ratio, 1.0)
    assert bars.open is not None
    assert bars.high is not None
    assert bars.low is not None
    return replace(
        bars,
        close=bars.close * factor,
        open=bars.open * factor,
        high=bars.high * factor,
        low=bars.low * factor,
    )


def looks_wrong(bars: Bars, timeframe: Timeframe, calendar: Calendar) -> list[Finding]:
    return inspect(bars, timeframe, calendar).findings()


def warned(bars: Bars, timeframe: Timeframe = Timeframe.DAY_1) -> list[tuple[Kind, int]]:
    found = looks_wrong(bars, timeframe, Calendar.ALWAYS)
    return [(finding.kind, finding.row) for finding in found]


def test_calm_bars_have_no_warnings() -> None:
    assert warned(calm()) == []


def test_a_close_that_jumps_and_comes_back_is_a_bad_tick() -> None:
    bars = calm()
    spiked = with_value(bars.close, 100, bars.close[100] * 1.4)
    bars = replace(bars, close=spiked, open=None, high=None, low=None)

    assert (Kind.BAD_TICK, 101) in warned(bars)


def test_a_high_that_nothing_else_reached_is_a_bad_tick() -> None:
    bars = calm()

    bars = replace(bars, high=with_value(bars.high, 100, 144.12 / 114 * bars.close[100]))

    assert warned(bars) == [(Kind.BAD_TICK, 101)]


def test_a_crash_that_stays_is_no_bad_tick_and_no_split() -> None:
    bars = calm()
    # Inside the bar: it opens where the last one closed.
    crashed = scaled_from(bars, 100, 0.5)
    assert bars.open is not None
    crashed = replace(
        crashed,
        open=with_value(crashed.open, 100, bars.open[100]),
        high=with_value(crashed.high, 100, bars.open[100]),
    )

    assert warned(crashed) == []


def test_a_price_that_halves_over_night_and_stays_is_a_suspected_split() -> None:
    found = looks_wrong(scaled_from(calm(), 100, 0.5), Timeframe.DAY_1, Calendar.ALWAYS)

    assert [(finding.kind, finding.row) for finding in found] == [(Kind.SUSPECTED_SPLIT, 101)]
    assert "a factor of about 1/2" in found[0].message


def test_a_reverse_split_is_named_by_its_factor() -> None:
    found = looks_wrong(scaled_from(calm(), 100, 10.0), Timeframe.DAY_1, Calendar.ALWAYS)

    assert [finding.kind for finding in found] == [Kind.SUSPECTED_SPLIT]
    assert "a factor of about 10 " in found[0].message


def test_closes_alone_show_a_split_too() -> None:
    bars = replace(scaled_from(calm(), 100, 1 / 3), open=None, high=None, low=None)

    assert warned(bars) == [(Kind.SUSPECTED_SPLIT, 101)]


def test_a_gap_is_reported_at_the_row_after_it() -> None:
    kept = np.delete(np.arange(ROWS), [50, 51, 52])
    bars = calm()
    assert bars.open is not None
    assert bars.high is not None
    assert bars.low is not None
    assert bars.volume is not None
    bars = Bars(
        symbol="AAA",
        file="AAA.csv",
        rows=np.arange(1, len(kept) + 1),
        stamps=bars.stamps[kept],
        close=bars.close[kept],
        open=bars.open[kept],
        high=bars.high[kept],
        low=bars.low[kept],
        volume=bars.volume[kept],
    )

    found = looks_wrong(bars, Timeframe.DAY_1, Calendar.ALWAYS)

    assert [(finding.kind, finding.row) for finding in found] == [(Kind.GAP, 51)]
    assert found[0].value == "1970-02-20 00:00 UTC to 1970-02-22 00:00 UTC"
    assert found[0].message == "3 bars are missing before this row by the calendar 24/7"


def test_bars_of_a_closed_exchange_are_outside_the_calendar() -> None:
    bars = replace(calm(), stamps=calm().stamps + 18_000 * NANOSECONDS_PER_DAY)

    found = looks_wrong(bars, Timeframe.DAY_1, Calendar.XNYS)

    assert found
    assert {finding.kind for finding in found} == {Kind.OUTSIDE_CALENDAR}


def test_a_bar_off_the_grid_is_named() -> None:
    stamps = calm().stamps.copy()
    stamps[100] += 60 * 10**9

    found = looks_wrong(replace(calm(), stamps=stamps), Timeframe.DAY_1, Calendar.ALWAYS)

    assert [(finding.kind, finding.row) for finding in found] == [(Kind.GAP, 101), (Kind.OFF_GRID, 101)]


def test_volume_that_stops_is_one_finding_a_run() -> None:
    volume = np.full(ROWS, 1e6)
    volume[10:13] = 0
    volume[20] = 0

    assert warned(replace(calm(), volume=volume)) == [(Kind.ZERO_VOLUME, 11), (Kind.ZERO_VOLUME, 21)]


def test_a_price_that_repeats_is_one_finding_a_run() -> None:
    close = calm().close.copy()
    close[30:37] = close[30]
    bars = replace(calm(), close=close, open=None, high=None, low=None)

    found = looks_wrong(bars, Timeframe.DAY_1, Calendar.ALWAYS)

    assert [(finding.kind, finding.row) for finding in found] == [(Kind.FLAT, 32)]
    assert found[0].message == "6 bars from here repeat the price"


def test_an_instrument_that_ends_early_is_stale() -> None:
    whole = calm()
    short = Bars(
        symbol="BBB",
        file="BBB.csv",
        rows=whole.rows[:-6],
        stamps=whole.stamps[:-6],
        close=whole.close[:-6],
    )

    found = audit([whole, short], Timeframe.DAY_1, Calendar.ALWAYS).findings()

    assert [(finding.kind, finding.instrument, finding.row) for finding in found] == [
        (Kind.STALE, "BBB", ROWS - 6)
    ]


def test_bars_without_defects_have_no_errors() -> None:
    assert quality.errors(calm()) == []


def test_rounding_of_adjusted_prices_is_no_error() -> None:
    bars = calm()
    assert bars.high is not None

    nudged = replace(bars, close=bars.high * (1 + 1e-12))

    assert quality.errors(nudged) == []
    assert {found.kind for found in quality.errors(replace(bars, close=bars.high * (1 + 1e-6)))} == {
        Kind.OUTSIDE_RANGE
    }


def test_a_list_of_findings_is_capped_by_kind_and_counts_the_rest() -> None:
    gaps = [Finding(kind=Kind.GAP, file="a.csv", row=row, value="", message="gap") for row in range(1, 6)]
    flat = Finding(kind=Kind.FLAT, file="a.csv", row=9, value="", message="flat")

    assert listing([*gaps, flat], 2) == [
        "gap (5)",
        "  a.csv, row 1: gap",
        "  a.csv, row 2: gap",
        "  and 3 more of this kind",
        "flat (1)",
        "  a.csv, row 9: flat",
    ]
    assert [found.row for found in capped([*gaps, flat], 2)] == [1, 2, 9]


def test_a_finding_says_where_and_when_once() -> None:
    found = Finding(
        kind=Kind.BAD_TICK,
        file="all.csv",
        row=3,
        value="high 5",
        message="bad tick?",
        instrument="AAA",
        opens="2020-01-02 00:00 UTC",
    )

    assert str(found) == "all.csv, AAA, row 3, 2020-01-02 00:00 UTC: bad tick? (value: high 5)"
    assert str(replace(found, file="AAA.csv", value="2020-01-02 00:00 UTC")) == (
        "AAA.csv, row 3: bad tick? (value: 2020-01-02 00:00 UTC)"
    )
