"""Operators against pandas, on a random walk with holes and a late listing."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from engine.domain.panel import Panel
from engine.features import operators as op
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.features.operators import close, open_, volume
from tests.builders import random_panel

PANEL = random_panel(1400, 4, seed=11, holes=0.03)


def frame(name: str) -> pd.DataFrame:
    return pd.DataFrame(getattr(PANEL, name))


def by_observation(function: Callable[[pd.Series], pd.Series]) -> Callable[[], pd.DataFrame]:
    """Apply to each instrument's closes without the bars in which it did not trade."""
    closes = frame("close")
    return lambda: closes.apply(lambda column: function(column.dropna()).reindex(column.index))


def of_pairs(function: Callable[[pd.Series, pd.Series], pd.Series]) -> Callable[[], pd.DataFrame]:
    def both() -> pd.DataFrame:
        columns = {}
        for j in range(4):
            pair = pd.DataFrame({"x": frame("close")[j], "y": frame("open")[j]}).dropna()
            columns[j] = function(pair["x"], pair["y"]).reindex(range(len(PANEL)))
        return pd.DataFrame(columns)

    return both


def wilder_rsi(x: pd.Series) -> pd.Series:
    change = x.diff().dropna()
    gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False, min_periods=14).mean()
    loss = (-change).clip(lower=0).ewm(alpha=1 / 14, adjust=False, min_periods=14).mean()
    return 100 - 100 / (1 + gain / loss)


def of_bars(function: Callable[[pd.DataFrame], pd.Series]) -> Callable[[], pd.DataFrame]:
    """Apply to each instrument's bars without those in which it did not trade."""

    def each() -> pd.DataFrame:
        columns = {}
        for j in range(4):
            names = ("open", "high", "low", "close", "volume")
            bars = pd.DataFrame({name: frame(name)[j] for name in names}).dropna()
            columns[j] = function(bars).reindex(range(len(PANEL)))
        return pd.DataFrame(columns)

    return each


def macd_line(x: pd.Series) -> pd.Series:
    return (
        x.ewm(span=12, adjust=False, min_periods=12).mean()
        - x.ewm(span=26, adjust=False, min_periods=26).mean()
    )


def typical(bars: pd.DataFrame) -> pd.Series:
    return (bars["high"] + bars["low"] + bars["close"]) / 3


def stochastic_k(bars: pd.DataFrame) -> pd.Series:
    lowest, highest = bars["low"].rolling(14).min(), bars["high"].rolling(14).max()
    return 100 * (bars["close"] - lowest) / (highest - lowest)


def money_flow(bars: pd.DataFrame, length: int) -> pd.Series:
    change = typical(bars).diff()
    money = (typical(bars) * bars["volume"]).where(change.notna())
    gain = money.where(change > 0, 0.0).where(change.notna()).rolling(length).sum()
    loss = money.where(change < 0, 0.0).where(change.notna()).rolling(length).sum()
    return 100 - 100 / (1 + gain / loss)


def true_ranges(bars: pd.DataFrame) -> pd.Series:
    before = bars["close"].shift()
    spans = [bars["high"] - bars["low"], (bars["high"] - before).abs(), (bars["low"] - before).abs()]
    return pd.concat(spans, axis=1).max(axis=1).where(before.notna()).dropna()


def directional_lines(bars: pd.DataFrame, length: int) -> pd.DataFrame:
    """Wilder's directional movement as his book tells it, one average after the other."""

    def average(x: pd.Series) -> pd.Series:
        return x.ewm(alpha=1 / length, adjust=False, min_periods=length).mean()

    up, down = bars["high"].diff().dropna(), -bars["low"].diff().dropna()
    rise = up.where((up > down) & (up > 0), 0.0)
    fall = down.where((down > up) & (down > 0), 0.0)
    spans = average(true_ranges(bars))
    plus, minus = 100 * average(rise) / spans, 100 * average(fall) / spans
    one_sided = (100 * (plus - minus).abs() / (plus + minus)).dropna()
    return pd.DataFrame({"plus": plus, "minus": minus, "adx": average(one_sided)})


ORACLES: list[tuple[Expression, Callable[[], pd.DataFrame]]] = [
    (op.lag(close, 3), by_observation(lambda x: x.shift(3))),
    (op.diff(close, 2), by_observation(lambda x: x.diff(2))),
    (op.returns(close, 5), by_observation(lambda x: x.pct_change(5))),
    (op.log_returns(close, 5), by_observation(lambda x: pd.Series(np.log(x / x.shift(5))))),
    (op.rolling_sum(close, 20), by_observation(lambda x: x.rolling(20).sum())),
    (op.sma(close, 50), by_observation(lambda x: x.rolling(50).mean())),
    (op.rolling_std(close, 20), by_observation(lambda x: x.rolling(20).std())),
    (op.rolling_min(close, 33), by_observation(lambda x: x.rolling(33).min())),
    (op.rolling_max(close, 33), by_observation(lambda x: x.rolling(33).max())),
    (op.rolling_median(close, 21), by_observation(lambda x: x.rolling(21).median())),
    (op.rolling_quantile(close, 20, 0.1), by_observation(lambda x: x.rolling(20).quantile(0.1))),
    (op.rolling_rank(close, 20), by_observation(lambda x: (x.rolling(20).rank() - 1) / 19)),
    (
        op.zscore(close, 20),
        by_observation(lambda x: (x - x.rolling(20).mean()) / x.rolling(20).std()),
    ),
    (op.volatility(close, 30), by_observation(lambda x: x.pct_change().rolling(30).std())),
    (
        op.bollinger_upper(close, 20, 2.0),
        by_observation(lambda x: x.rolling(20).mean() + 2 * x.rolling(20).std()),
    ),
    (
        op.bollinger_lower(close, 20, 2.0),
        by_observation(lambda x: x.rolling(20).mean() - 2 * x.rolling(20).std()),
    ),
    (op.ema(close, 20), by_observation(lambda x: x.ewm(span=20, adjust=False, min_periods=20).mean())),
    (
        op.wilder(close, 14),
        by_observation(lambda x: x.ewm(alpha=1 / 14, adjust=False, min_periods=14).mean()),
    ),
    (
        op.macd(close, 12, 26).line,
        by_observation(
            lambda x: (
                x.ewm(span=12, adjust=False, min_periods=12).mean()
                - x.ewm(span=26, adjust=False, min_periods=26).mean()
            )
        ),
    ),
    (op.rsi(close, 14), by_observation(wilder_rsi)),
    (op.rolling_corr(close, open_, 20), of_pairs(lambda x, y: x.rolling(20).corr(y))),
    (op.rolling_beta(close, open_, 20), of_pairs(lambda x, y: x.rolling(20).cov(y) / y.rolling(20).var())),
    (op.rolling_cov(close, open_, 20), of_pairs(lambda x, y: x.rolling(20).cov(y))),
    (op.rolling_skew(op.returns(close), 30), by_observation(lambda x: x.pct_change().rolling(30).skew())),
    (op.rolling_kurtosis(op.returns(close), 30), by_observation(lambda x: x.pct_change().rolling(30).kurt())),
    (
        op.rolling_deviation(close, 15),
        by_observation(lambda x: x.rolling(15).apply(lambda w: np.abs(w - w.mean()).mean(), raw=True)),
    ),
    (
        op.wma(close, 12),
        by_observation(
            lambda x: x.rolling(12).apply(lambda w: np.average(w, weights=range(1, 13)), raw=True)
        ),
    ),
    (
        op.rolling_slope(close, 25),
        by_observation(lambda x: x.rolling(25).apply(lambda w: np.polyfit(np.arange(25), w, 1)[0], raw=True)),
    ),
    (op.roc(close, 10), by_observation(lambda x: 100 * x.pct_change(10))),
    (
        op.efficiency_ratio(close, 10),
        by_observation(lambda x: x.diff(10).abs() / x.diff().abs().rolling(10).sum()),
    ),
    (
        op.bollinger(close, 20, 2.0).width,
        by_observation(lambda x: 4 * x.rolling(20).std() / x.rolling(20).mean()),
    ),
    (
        op.percent_b(close, 20, 2.0),
        by_observation(lambda x: (x - x.rolling(20).mean()) / (4 * x.rolling(20).std()) + 0.5),
    ),
    (
        op.macd(close, 12, 26, 9).signal,
        by_observation(lambda x: macd_line(x).ewm(span=9, adjust=False, min_periods=9).mean()),
    ),
    (
        op.macd(close, 12, 26, 9).histogram,
        by_observation(lambda x: macd_line(x) - macd_line(x).ewm(span=9, adjust=False, min_periods=9).mean()),
    ),
    (
        op.volatility_target(1.0, 0.15, 30, bars_a_year=365),
        by_observation(lambda x: (0.15 / (x.pct_change().rolling(30).std() * 365**0.5)).clip(upper=1.0)),
    ),
    (op.stochastic(14, 3).k, of_bars(stochastic_k)),
    (op.stochastic(14, 3).d, of_bars(lambda bars: stochastic_k(bars).rolling(3).mean())),
    (op.williams_r(14), of_bars(lambda bars: stochastic_k(bars) - 100)),
    (
        op.cci(20),
        of_bars(
            lambda bars: (
                (typical(bars) - typical(bars).rolling(20).mean())
                / (0.015 * typical(bars).rolling(20).apply(lambda w: np.abs(w - w.mean()).mean(), raw=True))
            )
        ),
    ),
    (
        op.obv(20),
        of_bars(lambda bars: (np.sign(bars["close"].diff()) * bars["volume"]).rolling(20).sum()),
    ),
    (op.mfi(14), of_bars(lambda bars: money_flow(bars, 14))),
    (
        op.keltner(20, 2.0, 10).upper,
        of_bars(
            lambda bars: (
                bars["close"].ewm(span=20, adjust=False, min_periods=20).mean()
                + 2.0 * true_ranges(bars).ewm(alpha=1 / 10, adjust=False, min_periods=10).mean()
            )
        ),
    ),
    (op.directional(14).plus, of_bars(lambda bars: directional_lines(bars, 14)["plus"])),
    (op.directional(14).minus, of_bars(lambda bars: directional_lines(bars, 14)["minus"])),
    (op.adx(14), of_bars(lambda bars: directional_lines(bars, 14)["adx"])),
    (
        op.cross_mean(close),
        lambda: frame("close").apply(lambda row: row.mask(row.notna(), row.mean()), axis=1),
    ),
    (
        op.cross_rank(close),
        lambda: (frame("close").rank(axis=1) - 1).div(frame("close").count(axis=1) - 1, axis=0),
    ),
    (op.cross_demean(close), lambda: frame("close").sub(frame("close").mean(axis=1), axis=0)),
    (
        op.cross_zscore(close),
        lambda: (
            frame("close").sub(frame("close").mean(axis=1), axis=0).div(frame("close").std(axis=1), axis=0)
        ),
    ),
    (
        op.top_k(close, 2),
        lambda: (frame("close").rank(axis=1, ascending=False) <= 2).where(frame("close").notna()),
    ),
    (
        op.vwap(10),
        lambda: (
            (frame("close") * frame("volume")).apply(lambda x: x.dropna().rolling(10).sum().reindex(x.index))
            / frame("volume").apply(lambda x: x.dropna().rolling(10).sum().reindex(x.index))
        ),
    ),
]


# Named by the expression alone: an oracle prints its address, which differs in each worker of a parallel run.
@pytest.mark.parametrize(
    ("expression", "oracle"), ORACLES, ids=[repr(expression)[:60] for expression, _ in ORACLES]
)
def test_an_operator_agrees_with_pandas(expression: Expression, oracle: Callable[[], pd.DataFrame]) -> None:
    with np.errstate(invalid="ignore"):
        expected = oracle().to_numpy(dtype=np.float64, copy=True)

    got = evaluate([expression], PANEL)[0]

    if expression.op is op.cross_rank(close).op:
        # A single instrument that traded ranks in the middle here; pandas divides by zero.
        alone = np.isfinite(PANEL.close).sum(axis=1) == 1
        expected[alone[:, None] & np.isfinite(PANEL.close)] = 0.5
    assert np.isfinite(got).mean() > 0.8, "an oracle that sees only NaN proves nothing"
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_a_standard_deviation_keeps_its_digits_far_from_zero() -> None:
    # Squares of 6e4 have no digits left for movements of 1e-2; a running sum of squares would be noise.
    rng = np.random.default_rng(3)
    walk = 6e4 + np.cumsum(rng.normal(0.0, 0.01, (5000, 1)), axis=0)
    panel = panel_of_level(walk)

    got = evaluate([op.rolling_std(close, 30)], panel)[0, :, 0]

    windows = np.lib.stride_tricks.sliding_window_view(walk[:, 0], 30)
    np.testing.assert_allclose(got[29:], windows.std(axis=1, ddof=1), rtol=1e-7)


def test_a_running_sum_forgets_a_price_a_million_times_larger() -> None:
    # What the large price rounded away is gone when the sum is rebuilt, one window after it left.
    values = np.full((400, 1), 0.1)
    values[100] = 1e6
    panel = panel_of_level(values)

    got = evaluate([op.sma(close, 20)], panel)[0, :, 0]

    assert got[99] == pytest.approx(0.1, rel=1e-15)
    assert np.all(np.abs(got[140:] - 0.1) < 1e-15)


def test_the_deviation_of_a_price_that_stands_still_is_zero() -> None:
    values = np.full((200, 1), 0.1)
    values[:50, 0] = 0.1 + np.arange(50) / 7

    got = evaluate([op.rolling_std(close, 10), op.zscore(close, 10)], panel_of_level(values))

    assert np.all(got[0, 80:, 0] == 0.0)
    assert np.all(np.isnan(got[1, 80:, 0]))


def panel_of_level(values: np.ndarray) -> Panel:
    from tests.builders import panel_of

    return panel_of({f"I{j}": list(values[:, j]) for j in range(values.shape[1])})


def test_atr_agrees_with_wilder_by_loop() -> None:
    rows = 60
    panel = random_panel(rows, 1, seed=5)
    expected = np.full(rows, math.nan)
    average = math.nan
    for row in range(1, rows):
        before = panel.close[row - 1, 0]
        high, low = panel.high[row, 0], panel.low[row, 0]
        true_range = max(high - low, abs(high - before), abs(low - before))
        average = true_range if row == 1 else average + (true_range - average) / 7
        expected[row] = average if row >= 7 else math.nan

    np.testing.assert_allclose(evaluate([op.atr(7)], panel)[0, :, 0], expected, rtol=1e-12)


def test_donchian_leaves_the_present_bar_out() -> None:
    panel = random_panel(100, 1, seed=6)

    upper, lower = evaluate([op.donchian_upper(9), op.donchian_lower(9)], panel)[:, :, 0]

    for row in range(9, 100):
        assert upper[row] == panel.high[row - 9 : row, 0].max()
        assert lower[row] == panel.low[row - 9 : row, 0].min()
    assert np.isnan(upper[:9]).all()


def test_volume_is_a_field_like_any_other() -> None:
    np.testing.assert_array_equal(evaluate([volume], PANEL)[0], PANEL.volume)
