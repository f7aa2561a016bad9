"""Checks on where a series stops being comparable with its past: unadjusted splits, a ticker used again."""

import numpy as np

from engine.data.audit.marks import Marks, number
from engine.data.audit.neighbours import Surroundings
from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY

RATIOS = np.array([1.25, 4 / 3, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100, 1000])
BREAK_SIGMAS = 8.0
BREAK_SIGMAS_OF_CLOSES = 6.0
SMALLEST_BREAK = 0.18
"""In logarithms: smaller jumps over night are news."""

WITNESS_SIGMAS = 4.0
"""A jump of this size of another instrument says that the market jumped."""

_GAPS = 1.5
"""Robust deviations of steps between bars that a jump is judged by, if those of moves are not less.

Where trading never stops nothing happens between bars, however wild the market is.
"""

_TOLERANCE_SIGMAS = 4.0
_TOLERANCE = (0.02, 0.10)
_TOLERANCE_OF_CLOSES = (0.02, 0.25)
_STRANGE_RATIO = 1.5
_BARS_OF_NEWS = 20
_LARGEST_NEWS = 0.9
_BARS_OF_TREMOR = 10
_TREMBLES = 4.0
_TREMBLES_OF_JUMP = 0.1
"""News makes a price tremble by a share of what it moved it; behind a split it moves as before."""

_TRADED_ON = (5.0, 2.5)
"""Times the median volume before and after a bar that its own is, if all traded on the news of its night."""

_SMALL_RATIO = 1.4
_SMALL_RATIO_TOLERANCE = 0.03
_COMMON_RATIO = 1.6
"""Closes alone jump by less than this on news too: a split by so little has to be a clearer one."""

_COMMON_BREAK_SIGMAS = 7.0
_COMMON_TOLERANCE_SIGMAS = 2.0
_COMMON_TOLERANCE = (0.02, 0.06)
_SETTLES_WITHIN = 0.5
_BARS_AROUND = 5
_BARS_OF_CHARACTER = 40
_OTHER_VOLUME = 4.0
_OTHER_VOLATILITY = 3.0
_OTHER_SIGMAS = 2.5
_LONG_PAUSE_DAYS = 20
_DRIFT_BARS = 25


def break_marks(bars: Bars, around: Surroundings) -> list[Marks]:
    """Return suspected splits and identity breaks of ordered bars."""
    if len(bars.close) < 2 * _BARS_AROUND:
        return []
    jump = _jumps(around)
    sigma = np.maximum(_beside(around.sigma, -1), _beside(around.sigma, 1))
    sigma *= np.sqrt(np.minimum(around.elapsed, _DRIFT_BARS))
    sigmas = BREAK_SIGMAS_OF_CLOSES
    if around.gap_sigma is not None:
        sigma, sigmas = np.minimum(sigma, _GAPS * around.gap_sigma), BREAK_SIGMAS
    apart = (np.abs(jump) > np.maximum(sigmas * sigma, SMALLEST_BREAK)) & _stays(around.close, jump)
    paused = np.zeros(len(jump), dtype=bool)
    paused[1:] = np.diff(bars.stamps) > _LONG_PAUSE_DAYS * NANOSECONDS_PER_DAY
    candidates = np.flatnonzero(apart | paused)
    candidates = candidates[candidates > 0]
    news = np.array([_is_news(bars, around, int(at), float(jump[at])) for at in candidates], dtype=bool)
    candidates = candidates[~news | paused[candidates]]
    simple = _is_simple(jump[candidates], sigma[candidates], between=around.open is not None)
    simple &= apart[candidates]
    other = np.array([_is_another(bars, around, int(at), float(jump[at])) for at in candidates], dtype=bool)
    # Without opens a crash inside a day looks like a jump over night: it takes more than a jump then.
    strange = ~simple & apart[candidates] & (np.abs(jump[candidates]) > np.log(_STRANGE_RATIO))
    strange &= around.open is not None
    splits = candidates[simple]
    breaks = candidates[other | strange | (paused[candidates] & apart[candidates])]
    return [_splits(bars, splits, jump, sigma), _identities(bars, breaks, jump, sigma)]


def _jumps(around: Surroundings) -> FloatArray:
    """Return how far each bar opens from the close before, shape (T,); close to close without opens."""
    if around.open is None:
        return around.moves.copy()
    jump = np.zeros(len(around.close))
    jump[1:] = around.open[1:] - around.close[:-1]
    # A move that the bar itself takes back, or makes most of, did not happen between the bars.
    return np.where(np.abs(around.moves - jump) < 0.5 * np.abs(jump), jump, 0.0)


def _stays(close: FloatArray, jump: FloatArray) -> BoolArray:
    """Return whether the level after each bar differs from the one before it by the jump, shape (T,)."""
    stays = np.zeros(len(close), dtype=bool)
    for at in np.flatnonzero(np.abs(jump) > SMALLEST_BREAK):
        level_before = np.median(close[max(0, at - _BARS_AROUND) : at]) if at else close[0]
        level_after = np.median(close[at : at + _BARS_AROUND])
        stays[at] = abs(level_after - level_before - jump[at]) < _SETTLES_WITHIN * abs(jump[at])
    return stays


def _is_news(bars: Bars, around: Surroundings, at: int, jump: float) -> bool:
    """Whether a jump is one that everybody traded on, or that the price trembles from: a crash, no split."""
    past, future = slice(max(1, at - _BARS_OF_NEWS), at), slice(at + 1, at + 1 + _BARS_OF_NEWS)
    if at - past.start < _BARS_AROUND or len(around.moves[future]) < _BARS_AROUND:
        return False
    if bars.volume is None:
        tremor = float(np.median(np.abs(around.moves[future][:_BARS_OF_TREMOR])))
        usual = float(np.median(np.abs(around.moves[past])))
        return tremor > max(_TREMBLES * usual, _TREMBLES_OF_JUMP * abs(jump))
    if abs(jump) > _LARGEST_NEWS:
        return False
    # A split multiplies shares by what it divides the price by: volumes before it count in shares of after
    # it.
    before = float(np.median(bars.volume[past])) * max(1.0, float(np.exp(-jump)))
    after = float(np.median(bars.volume[future]))
    day = float(bars.volume[at])
    return day > _TRADED_ON[0] * before and day > _TRADED_ON[1] * after


def _is_simple(jump: FloatArray, sigma: FloatArray, *, between: bool) -> BoolArray:
    """Return whether each jump is one by a ratio that shares are split by.

    Parameters
    ----------
    between
        Whether opens say that it happened between bars; else small ratios are news.
    """
    nearest = _nearest(jump)
    size = np.abs(jump)
    if between:
        tolerance = np.clip(_TOLERANCE_SIGMAS * sigma, *_TOLERANCE)
        tolerance = np.where(nearest < _SMALL_RATIO, np.minimum(tolerance, _SMALL_RATIO_TOLERANCE), tolerance)
    else:
        tolerance = np.clip(_TOLERANCE_SIGMAS * sigma, *_TOLERANCE_OF_CLOSES)
        common = np.clip(_COMMON_TOLERANCE_SIGMAS * sigma, *_COMMON_TOLERANCE)
        # Shares are put together by whole numbers: a price that rises by half is news.
        clear = (jump < 0) & (nearest > _SMALL_RATIO) & (size > _COMMON_BREAK_SIGMAS * sigma)
        tolerance = np.where(nearest < _COMMON_RATIO, np.where(clear, common, 0.0), tolerance)
    return np.asarray(np.abs(size - np.log(nearest)) < tolerance)


def _nearest(jump: FloatArray) -> FloatArray:
    distance = np.abs(np.abs(jump)[:, None] - np.log(RATIOS)[None, :])
    return np.asarray(RATIOS[distance.argmin(axis=1)])


def _is_another(bars: Bars, around: Surroundings, at: int, jump: float) -> bool:
    """Whether what trades from a bar on is like something else: of other size, or of other volatility."""
    past = slice(max(1, at - _BARS_OF_CHARACTER), at)
    future = slice(at + 1, at + 1 + _BARS_OF_CHARACTER)
    if at - past.start < _BARS_AROUND or len(around.moves[future]) < _BARS_AROUND:
        return False
    quiet, wild = sorted(float(np.median(np.abs(around.moves[part]))) for part in (past, future))
    if wild > _OTHER_VOLATILITY * quiet and quiet > 0:
        return True
    if bars.volume is None:
        return False
    # In money: a split multiplies shares by what it divides the price by.
    money = np.log(np.maximum(bars.volume * bars.close, 1e-12))
    before, after = money[past], money[future]
    spread = 1.4826 * max(float(np.median(np.abs(part - np.median(part)))) for part in (before, after))
    change = abs(float(np.median(after) - np.median(before)))
    # A volume that nobody adjusted differs by the ratio of the split; that alone is no other company.
    return change > max(np.log(_OTHER_VOLUME), _OTHER_SIGMAS * spread) and abs(change - abs(jump)) > 0.25


def _splits(bars: Bars, at: IntArray, jump: FloatArray, sigma: FloatArray) -> Marks:
    ratio = _nearest(jump[at])

    def words(index: int) -> tuple[str, str]:
        bar = int(at[index])
        text = number(round(float(ratio[index]), 4))
        change = f"1/{text}" if jump[bar] < 0 else text
        value = f"close {number(bars.close[bar - 1])} -> {number(bars.close[bar])}"
        return value, f"unadjusted split? the price changed by a factor of about {change} and stayed"

    side = np.where(jump > 0, 1, -1)
    seen = np.flatnonzero(np.abs(jump) > np.maximum(WITNESS_SIGMAS * sigma, SMALLEST_BREAK / 2))
    return Marks(
        kind=Kind.SUSPECTED_SPLIT,
        bars=bars,
        at=at,
        severity=np.abs(jump[at]) / (BREAK_SIGMAS * sigma[at]),
        tell=words,
        side=side[at],
        witnesses=bars.stamps[seen] + side[seen],
    )


def _identities(bars: Bars, at: IntArray, jump: FloatArray, sigma: FloatArray) -> Marks:
    def words(index: int) -> tuple[str, str]:
        bar = int(at[index])
        value = f"close {number(bars.close[bar - 1])} -> {number(bars.close[bar])}"
        days = int(bars.stamps[bar] - bars.stamps[bar - 1]) // NANOSECONDS_PER_DAY
        pause = f" after {days} days without bars" if days > _LONG_PAUSE_DAYS else ""
        factor = float(bars.close[bar] / bars.close[bar - 1])
        return value, f"another instrument from here on? the price changed by a factor of {factor:.3g}{pause}"

    severity = np.maximum(np.abs(jump[at]) / (BREAK_SIGMAS * sigma[at]), 1.0)
    return Marks(kind=Kind.IDENTITY_BREAK, bars=bars, at=at, severity=severity, tell=words)


def _beside(values: FloatArray, side: int) -> FloatArray:
    """Return the value some neighbourhoods away, so that what happens at a bar does not judge itself."""
    at = np.clip(np.arange(len(values)) + side, 0, len(values) - 1)
    return values[at]
