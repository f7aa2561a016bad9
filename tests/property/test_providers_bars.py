"""Whatever trades there are and however they come: bars made in pieces are the bars of the whole."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.data.providers.bars import bars_from_trades, longer_bars, opens_of, reconcile
from engine.data.providers.finality import sift
from engine.data.series import BAR_VALUES, BarSeries, TradeSeries
from engine.domain.time import Timeframe

T0 = 1_762_732_800 * 10**9
MINUTE = 60 * 10**9

rows = st.lists(
    st.tuples(
        st.integers(0, 40 * MINUTE),
        st.integers(1, 10**7),
        st.integers(0, 10**15),
    ),
    max_size=80,
)


def tape(drawn: list[tuple[int, int, int]]) -> TradeSeries:
    ordered = sorted(drawn, key=lambda row: row[0])
    return TradeSeries(
        stamps=np.array([T0 + row[0] for row in ordered], dtype=np.int64),
        ids=np.arange(len(ordered)),
        price=np.array([row[1] / 10 for row in ordered], dtype=np.float64),
        amount=np.array([row[2] / 10**8 for row in ordered], dtype=np.float64),
        buyer_is_taker=np.zeros(len(ordered), dtype=np.bool_),
    )


def assert_same(left: BarSeries, right: BarSeries) -> None:
    for name in ("stamps", *BAR_VALUES):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@given(rows, st.sampled_from([Timeframe.MINUTE_1, Timeframe.MINUTE_5, Timeframe.MINUTE_15]))
def test_bars_are_what_plain_python_makes_of_the_trades(
    drawn: list[tuple[int, int, int]], timeframe: Timeframe
) -> None:
    trades = tape(drawn)
    grouped: dict[int, list[tuple[float, int]]] = {}
    for offset, price, amount in sorted(drawn, key=lambda row: row[0]):
        opens = (T0 + offset) // timeframe.nanoseconds * timeframe.nanoseconds
        grouped.setdefault(opens, []).append((price / 10, amount))

    bars = bars_from_trades(trades, timeframe)

    assert bars.stamps.tolist() == list(grouped)
    for at, inside in enumerate(grouped.values()):
        prices = [price for price, _ in inside]
        assert bars.open[at] == prices[0]
        assert bars.high[at] == max(prices)
        assert bars.low[at] == min(prices)
        assert bars.close[at] == prices[-1]
        # The float that is nearest to the sum in units: what a venue prints and we would read.
        assert bars.volume[at] == float(Fraction(sum(amount for _, amount in inside), 10**8))


@given(rows, st.lists(st.integers(0, 80), max_size=6))
def test_where_pages_begin_does_not_matter(drawn: list[tuple[int, int, int]], cuts: list[int]) -> None:
    trades = tape(drawn)
    whole = bars_from_trades(trades, Timeframe.MINUTE_1)
    opens = opens_of(trades.stamps, Timeframe.MINUTE_1)

    pieces = []
    begun = 0
    for cut in [*sorted(min(cut, len(trades)) for cut in cuts), len(trades)]:
        # A page leaves its last interval to the next one.
        until = cut if cut == len(trades) else int(np.searchsorted(opens, opens[cut - 1])) if cut else 0
        if until > begun:
            pieces.append(bars_from_trades(trades.rows(begun, until), Timeframe.MINUTE_1))
            begun = until

    for name in ("stamps", *BAR_VALUES):
        joined = np.concatenate([getattr(piece, name) for piece in pieces]) if pieces else np.empty(0)
        np.testing.assert_array_equal(joined, getattr(whole, name), err_msg=name)


@given(rows)
def test_longer_bars_of_bars_are_the_longer_bars_of_the_trades(drawn: list[tuple[int, int, int]]) -> None:
    trades = tape(drawn)

    through_minutes = longer_bars(bars_from_trades(trades, Timeframe.MINUTE_1), Timeframe.MINUTE_15)

    assert_same(through_minutes, bars_from_trades(trades, Timeframe.MINUTE_15))


@given(rows, st.integers(0, 79), st.sampled_from(BAR_VALUES))
def test_one_changed_value_is_one_difference(drawn: list[tuple[int, int, int]], at: int, name: str) -> None:
    bars = bars_from_trades(tape(drawn), Timeframe.MINUTE_1)
    assert reconcile(bars, bars) == []
    if len(bars) == 0:
        return
    at %= len(bars)
    values = {field: getattr(bars, field).copy() for field in BAR_VALUES}
    values[name][at] = math.nextafter(values[name][at], math.inf) * 1.001 + 1e-7
    changed = BarSeries(stamps=bars.stamps, **values)

    if bars.volume[at] == 0 and name == "volume":
        return
    (difference,) = reconcile(bars, changed)
    assert (difference.stamp, difference.field) == (int(bars.stamps[at]), name)


@given(rows, st.integers(-MINUTE, 45 * MINUTE))
def test_only_what_is_over_is_closed(drawn: list[tuple[int, int, int]], now: int) -> None:
    bars = bars_from_trades(tape(drawn), Timeframe.MINUTE_5)

    kept = sift(bars, Timeframe.MINUTE_5, T0 + now, grace=0).final

    over = [stamp for stamp in bars.stamps.tolist() if stamp + 5 * MINUTE <= T0 + now]
    assert kept.stamps.tolist() == over
