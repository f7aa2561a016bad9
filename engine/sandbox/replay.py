"""A data set played again as a tape: trades whose bars are, to the tick and the lot, those of the set."""

from functools import lru_cache

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox.noise import uniform
from engine.sandbox.pairs import Pair, pair_of_series
from engine.sandbox.tape import BoolArray, Trades, no_trades

_MINUTE = 60_000_000_000
_MICROSECOND = 1_000
# Four trades make open, high, low and close; the others make a path between them.
_TRADES_LEAST, _TRADES_MOST = 6, 400
# Of the range of the bar.
_WOBBLE = 0.3
# Dollars that a bar is worth of which the volume is not known.
_UNKNOWN_NOTIONAL = 10_000.0
_DAYS_KEPT = 1_000
_DAYS_LOOKED_BACK = 14

# What a hashed number is for.
_HIGH_AT, _LOW_AT, _WHEN, _WHERE, _SHARE, _SIDE, _KIND = range(1, 8)


class PanelTape:
    """A tape out of a panel: each bar that traded becomes the same number of trades.

    A bar lends its trades at most to the end of its UTC day. A bar without volume has no trades and one of
    unknown volume is worth 10,000 dollars; one of fewer lots than trades gets one lot a trade.

    Parameters
    ----------
    panel
        Bars that follow one another; NaN where an instrument did not trade.
    seed
        Of what the bars do not say: the path inside them.

    Raises
    ------
    InvalidValueError
        For an empty panel, a quote other than the dollar, and two instruments that are one pair.
    """

    def __init__(self, panel: Panel, *, seed: int) -> None:
        if len(panel) == 0 or not panel.instruments:
            raise InvalidValueError(f"{panel.name}: there is no bar to replay")
        self._panel = panel
        self._seed = seed
        self._pairs = tuple(
            pair_of_series(
                symbol,
                np.stack([values[:, column] for values in (panel.open, panel.high, panel.low, panel.close)]),
                panel.volume[:, column],
            )
            for column, symbol in enumerate(panel.symbols)
        )
        if len({pair.symbol for pair in self._pairs}) != len(self._pairs):
            raise InvalidValueError(f"{panel.name}: two instruments are the same pair, of {panel.symbols}")
        minutes = panel.timeframe.nanoseconds // _MINUTE
        self.trades_a_bar = max(_TRADES_LEAST, min(_TRADES_MOST, minutes))
        self.day = lru_cache(maxsize=_DAYS_KEPT)(self._day)
        # Whole columns of the panel, of which a day needs a little: looked at once.
        self._traded = lru_cache(maxsize=None)(self._find_traded)
        self._bars_before = lru_cache(maxsize=None)(self._count_bars)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, in the order of the panel's instruments."""
        return self._pairs

    @property
    def first_day(self) -> int:
        """Day of the first bar."""
        return int(self._panel.timestamps[0]) // NANOSECONDS_PER_DAY

    @property
    def stop_day(self) -> int:
        """Day after that of the last bar."""
        return int(self._panel.timestamps[-1]) // NANOSECONDS_PER_DAY + 1

    def middle(self, pair: int, stamp: int) -> float:
        """Return the price of the last trade of the last days, in ticks; NaN where there is none."""
        day = min(stamp // NANOSECONDS_PER_DAY, self.stop_day - 1)
        for earlier in range(day, max(self.first_day, day - _DAYS_LOOKED_BACK) - 1, -1):
            trades = self.day(pair, earlier).between(-1, stamp)
            if len(trades):
                return float(trades.ticks[-1])
        return float("nan")

    def _day(self, pair: int, day: int) -> Trades:
        bounds = (day * NANOSECONDS_PER_DAY, (day + 1) * NANOSECONDS_PER_DAY)
        start, stop = np.searchsorted(self._panel.timestamps, bounds)
        rows = start + np.flatnonzero(self._traded(pair)[start:stop])
        if rows.size == 0:
            return no_trades()
        count = self.trades_a_bar
        # Shape (bars, trades a bar), as all that follows.
        keys = rows[:, None] * count + np.arange(count)
        opens = self._panel.timestamps[rows]
        span = np.minimum(self._panel.timeframe.nanoseconds, bounds[1] - opens)
        when = (np.arange(count) + self._uniform(pair, keys, _WHEN)) / count * span[:, None]
        stamps = opens[:, None] + when.astype(np.int64) // _MICROSECOND * _MICROSECOND
        first_id = 1 + self._bars_before(pair)[rows] * count
        return Trades(
            stamps=stamps.ravel(),
            ids=(first_id[:, None] + np.arange(count)).ravel(),
            ticks=self._ticks(pair, rows, keys).ravel(),
            lots=self._lots(pair, rows, keys).ravel(),
            buyer_is_taker=(self._uniform(pair, keys, _SIDE) < 0.5).ravel(),
            is_market_order=(self._uniform(pair, keys, _KIND) < 0.4).ravel(),
        )

    def _ticks(self, pair: int, rows: IntArray, keys: IntArray) -> IntArray:
        """Return a path from open to close that touches high and low once at least."""
        count, panel = self.trades_a_bar, self._panel
        open_, high, low, close = (
            np.rint(values[rows, pair] / self._pairs[pair].tick)
            for values in (panel.open, panel.high, panel.low, panel.close)
        )
        high_at = 1 + (self._uniform(pair, rows, _HIGH_AT) * (count - 2)).astype(np.int64)
        low_at = 1 + (self._uniform(pair, rows, _LOW_AT) * (count - 3)).astype(np.int64)
        low_at += low_at >= high_at
        high_first = high_at < low_at
        first_at, second_at = np.minimum(high_at, low_at), np.maximum(high_at, low_at)
        first, second = np.where(high_first, high, low), np.where(high_first, low, high)
        corners_at = np.stack(
            [np.zeros_like(first_at), first_at, second_at, np.full_like(first_at, count - 1)]
        )
        corners = np.stack([open_, first, second, close])
        place = np.broadcast_to(np.arange(count), keys.shape)
        leg = (place >= first_at[:, None]).astype(np.int64) + (place >= second_at[:, None])
        bar = np.arange(rows.size)[:, None]
        begin, end = corners_at[leg, bar], corners_at[leg + 1, bar]
        share = (place - begin) / (end - begin)
        path = corners[leg, bar] + share * (corners[leg + 1, bar] - corners[leg, bar])
        wobble = _WOBBLE * (self._uniform(pair, keys, _WHERE) - 0.5) * (high - low)[:, None]
        corner = (share == 0.0) | (place == count - 1)
        path = np.where(corner, path, path + wobble)
        inside = np.rint(np.clip(path, low[:, None], high[:, None]))
        return np.asarray(inside, dtype=np.int64)

    def _lots(self, pair: int, rows: IntArray, keys: IntArray) -> IntArray:
        """Return the volume of each bar, shared out over its trades without a rest."""
        count, panel, facts = self.trades_a_bar, self._panel, self._pairs[pair]
        volume = panel.volume[rows, pair]
        known = np.where(np.isnan(volume), _UNKNOWN_NOTIONAL / panel.close[rows, pair], volume)
        total = np.maximum(np.rint(known / facts.lot).astype(np.int64), count)
        parts = -np.log(1 - self._uniform(pair, keys, _SHARE))
        # One lot each, then the rest by share; what rounding down leaves over goes to the last trade.
        rest = (total - count)[:, None]
        lots = 1 + np.floor(parts / parts.sum(axis=1, keepdims=True) * rest).astype(np.int64)
        lots[:, -1] += total - lots.sum(axis=1)
        return np.asarray(lots, dtype=np.int64)

    def _find_traded(self, pair: int) -> BoolArray:
        panel = self._panel
        prices = np.stack([values[:, pair] for values in (panel.open, panel.high, panel.low, panel.close)])
        volume = panel.volume[:, pair]
        has_prices = (np.isfinite(prices) & (prices > 0)).all(axis=0)
        return np.asarray(has_prices & (np.isnan(volume) | (volume > 0)))

    def _count_bars(self, pair: int) -> IntArray:
        traded = self._traded(pair)
        return np.asarray(np.cumsum(traded) - traded, dtype=np.int64)

    def _uniform(self, pair: int, keys: IntArray, use: int) -> FloatArray:
        return uniform(self._seed, pair, use, keys)
