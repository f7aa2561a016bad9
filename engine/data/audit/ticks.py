"""Checks on values against their neighbours: prices that nobody else saw, volumes that moved nothing."""

from collections.abc import Callable

import numpy as np

from engine.data.audit.marks import Marks, number
from engine.data.audit.neighbours import (
    Surroundings,
    after,
    before,
    local_quantiles,
    local_sigma,
    sigma_without,
)
from engine.data.findings import BoolArray, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray, IntArray

ISOLATED_SIGMAS = 3.5
"""A price this far from both beside it on the path open, close, open, close ... with a step between bars.

Real markets move inside bars; between the close of one and the open of the next they hardly do, and they do
not do it twice in opposite directions.
"""

ISOLATED_OPEN_SIGMAS = 3.0
"""The same for opens: a thin book is swept by the last trade of a bar more often than by the first one."""

ISOLATED_GAP_SIGMAS = 5.5
"""That step between bars, in robust deviations of such steps: shares have large ones, crypto has none."""

WICK_SIGMAS = 5.2
"""How far a high or low stands from all that its bar and the two beside it reached, if volume is ordinary."""

_WICK_BUSY_POWER = 6.0
_WICK_BUSY_TIMES = 2.0
_MOVED_SIGMAS = 0.6
"""Long wicks of real markets come with more volume than is ordinary, in a bar that moved besides: the limit
rises by the sixth power of volume to more than its double at 1.15 times, from there on with volume. Volume
that moved nothing else vouches for less."""

_QUIET = 0.5
_WICK_QUIET = 0.93
"""Where little was traded nobody was there to make a long wick."""

WITNESS_SIGMAS = 2.0
"""A wick of this size of another instrument says that the market was there."""

REVERSAL_SIGMAS = 5.0
"""A close that jumps and comes back, where no open can tell a jump inside a bar from a wrong price."""

_DOUBTFUL = 0.6
"""Share of that limit from which on a close is judged by what its neighbourhood is without it."""

UNCONFIRMED = 2.5
"""Where volume is not known, limits of wicks are this much wider."""

_ISOLATED_BUSY_POWER = 0.5
"""The limit of opens and closes rises with the root of volume above what is ordinary."""

_COMES_BACK = 1.0
"""The way back differs from the way there by no more than this share of the shorter one."""

_COMES_BACK_SIGMAS = 6.0
"""Nor by more than this: a wrong price leaves the market where it was, a crash is taken back in part."""

_WEAKER_BY = 0.5
_VOUCHED_SIGMAS = 1.5
_WHOLE, _CLOSE = 0, 1
_ISOLATED_LIMITS = (ISOLATED_SIGMAS, ISOLATED_SIGMAS, ISOLATED_OPEN_SIGMAS)
_LONGEST_BLOCK = 3
_BLOCK_STRICTER = 1.3

SPIKE_RATIO = 10.0
SPIKE_SIGMAS = 9.0
SPIKE_SIGMAS_UNMOVED = 4.5
_MOVED = 0.4
"""Ranges grow with the square root of volume. A volume whose range did not is doubted sooner."""


def tick_marks(bars: Bars, around: Surroundings) -> list[Marks]:
    """Return bad ticks and volume spikes of bars that can be true.

    Parameters
    ----------
    bars
        Ordered, prices positive and finite.
    """
    if len(bars.close) < 3:
        return []
    ticks = _isolated(bars, around)
    for other in (*_wicks(bars, around), _reversals(bars, around)):
        ticks = ticks.merged(other)
    found = [ticks]
    if bars.volume is not None:
        found.append(_volume_spikes(bars, around))
    return found


def _isolated(bars: Bars, around: Surroundings) -> Marks:
    """Find opens and closes, and whole bars, that the bars beside them do not connect to."""
    if around.open is None or around.gap_sigma is None or bars.open is None:
        return _none(Kind.BAD_TICK, bars)
    size = len(bars.close)
    path = np.empty(2 * size)
    path[0::2], path[1::2] = around.open, around.close
    step = np.diff(path)
    # Over a pause prices drift apart as over the bars that are missing in it.
    drift = np.sqrt(around.elapsed[1:])
    sigma = np.empty(2 * size - 1)
    sigma[0::2], sigma[1::2] = around.sigma, _greater(around.sigma) * drift
    gaps = around.gap_sigma
    unusual = np.full(2 * size - 1, np.inf)
    unusual[1::2] = np.abs(step[1::2]) / (_greater(gaps) * drift) / ISOLATED_GAP_SIGMAS
    # Point k of the path stands between steps k - 1 and k; the first and the last point have one neighbour
    # only. All scores are shares of their limit.
    score = np.zeros(2 * size)
    score[1:-1] = _comes_back(step[:-1], step[1:], sigma[:-1], sigma[1:])
    score[0::2] /= ISOLATED_OPEN_SIGMAS
    score[1::2] /= ISOLATED_SIGMAS
    score[1:-1] = np.minimum(score[1:-1], np.minimum(unusual[:-1], unusual[1:]))
    # Where gaps are as usual as moves, an open that the bar takes back is news of the night more often than
    # an error.
    score[0::2] /= 1.0 + np.minimum(gaps / around.sigma, _WEAKER_BY)
    whole = np.zeros(size)
    begin, longest = np.zeros(size, dtype=np.int8), np.zeros(size, dtype=np.int8)
    for length in range(1, _LONGEST_BLOCK + 1):
        # The step into bar b is number 2 b - 1, the one out of the block that begins there 2 (b + length) -
        # 1.
        into, out = slice(1, -2 * length, 2), slice(2 * length + 1, None, 2)
        block = _comes_back(step[into], step[out], sigma[into], sigma[out]) / ISOLATED_SIGMAS
        block = np.minimum(block, np.minimum(unusual[into], unusual[out]))
        # Longer blocks are rarer: there are more of them to be deceived by.
        block = np.where(block > _BLOCK_STRICTER ** (length - 1), block, 0.0)
        for offset in range(length):
            place = slice(1 + offset, 1 + offset + len(block))
            better = block > whole[place]
            whole[place] = np.where(better, block, whole[place])
            begin[place] = np.where(better, offset, begin[place])
            longest[place] = np.where(better, length, longest[place])
    scores = np.stack([whole, score[1::2], score[0::2]])
    worst = scores.argmax(axis=0)
    highest = scores.max(axis=0)
    severity = highest
    if around.busy is not None:
        severity = highest / np.maximum(around.busy, 1.0) ** _ISOLATED_BUSY_POWER
    at = np.flatnonzero(severity > 1.0)
    opens, closes = bars.open, bars.close

    def words(index: int) -> tuple[str, str]:
        bar = int(at[index])
        sigmas = f"{highest[bar] * _ISOLATED_LIMITS[worst[bar]]:.1f} robust sigmas"
        if worst[bar] == _WHOLE:
            first, length = bar - int(begin[bar]), int(longest[bar])
            beside = f"{number(closes[first - 1])} before and {number(opens[first + length])} after"
            noun = "the whole bar is" if length == 1 else f"{length} bars are"
            return f"close {number(closes[bar])}", f"bad tick? {noun} {sigmas} from {beside}"
        if worst[bar] == _CLOSE:
            beside = f"its open {number(opens[bar])} and the next one {number(opens[bar + 1])}"
            return f"close {number(closes[bar])}", f"bad tick? {sigmas} from {beside}"
        beside = f"the close before, {number(closes[bar - 1])}, and its own, {number(closes[bar])}"
        return f"open {number(opens[bar])}", f"bad tick? {sigmas} from {beside}"

    return Marks(kind=Kind.BAD_TICK, bars=bars, at=at, severity=severity[at], tell=words)


def _greater(values: FloatArray) -> FloatArray:
    """Return the greater one of each value and the next, shape (T - 1,)."""
    return np.maximum(values[:-1], values[1:])


def _wicks(bars: Bars, around: Surroundings) -> list[Marks]:
    """Find highs and lows far from everything that the bar and its neighbours traded at."""
    if around.open is None or around.high is None or around.low is None:
        return []
    body_top = np.maximum(around.open, around.close)
    body_bottom = np.minimum(around.open, around.close)
    # A bar moved if its body did, or both its wicks.
    shorter_wick = np.minimum(around.high - body_top, body_bottom - around.low)
    moved = np.maximum(body_top - body_bottom, shorter_wick) > _MOVED_SIGMAS * around.sigma
    limit = WICK_SIGMAS * _doubt_of_wicks(around.busy, moved)
    # A neighbour vouches for what it reached, but not by a wick that may be a bad tick itself.
    reach = _VOUCHED_SIGMAS * around.sigma
    highs = np.minimum(around.high, body_top + reach)
    lows = np.maximum(around.low, body_bottom - reach)
    top = np.maximum.reduce([body_top, before(highs), after(highs)])
    bottom = np.minimum.reduce([body_bottom, before(lows), after(lows)])
    # Before the first bar nobody stands: what a market does when it opens is not judged.
    top[:1], bottom[:1] = around.high[:1], around.low[:1]
    return [
        _far(bars, "high", 1, (around.high - top) / around.sigma, limit),
        _far(bars, "low", -1, (bottom - around.low) / around.sigma, limit),
    ]


def _far(bars: Bars, name: str, side: int, distance: FloatArray, limit: FloatArray) -> Marks:
    values = getattr(bars, name)
    assert bars.open is not None
    opens, closes = bars.open, bars.close
    at = np.flatnonzero(distance > limit)

    def words(index: int) -> tuple[str, str]:
        bar = int(at[index])
        beside = f"open is {number(opens[bar])}, close {number(closes[bar])}"
        far = f"{distance[bar]:.1f} robust sigmas beyond the bars beside it"
        return f"{name} {number(values[bar])}", f"bad tick? {beside}; {far}"

    return Marks(
        kind=Kind.BAD_TICK,
        bars=bars,
        at=at,
        severity=distance[at] / limit[at],
        tell=words,
        side=np.full(len(at), side),
        witnesses=bars.stamps[distance > WITNESS_SIGMAS] + side,
    )


def _reversals(bars: Bars, around: Surroundings) -> Marks:
    """Find closes that jump and come straight back, where there are closes only."""
    if around.open is not None:
        return _none(Kind.BAD_TICK, bars)
    scores = _comes_back(around.moves[1:-1], around.moves[2:], around.sigma[1:-1], around.sigma[1:-1])
    score = np.concatenate([[0.0], scores, [0.0]])
    doubtful = np.flatnonzero(score > _DOUBTFUL * REVERSAL_SIGMAS)
    score[doubtful] *= around.sigma[doubtful] / sigma_without(np.abs(around.moves), doubtful, 2)
    found = score > REVERSAL_SIGMAS
    # To and fro and to again is a price that is quoted at two levels.
    found[1:-1] &= ~(found[:-2] | found[2:])
    at = np.flatnonzero(found)
    closes = bars.close

    def words(index: int) -> tuple[str, str]:
        bar = int(at[index])
        beside = f"the closes around it are {number(closes[bar - 1])} and {number(closes[bar + 1])}"
        return f"close {number(closes[bar])}", f"bad tick? {beside}; {score[bar]:.1f} robust sigmas away"

    side = np.where(around.moves > 0, 1, -1)
    seen = np.flatnonzero(score > WITNESS_SIGMAS)
    return Marks(
        kind=Kind.BAD_TICK,
        bars=bars,
        at=at,
        severity=score[at] / REVERSAL_SIGMAS,
        tell=words,
        side=side[at],
        witnesses=bars.stamps[seen] + side[seen],
    )


def _comes_back(
    there: FloatArray, back: FloatArray, sigma_there: FloatArray, sigma_back: FloatArray
) -> FloatArray:
    """Return by how many sigmas a value leaves and is left again, 0 where the way back is another one."""
    smaller = np.minimum(np.abs(there), np.abs(back))
    rest = np.abs(there + back)
    returns = (np.sign(there) != np.sign(back)) & (rest < _COMES_BACK * smaller)
    returns &= rest < _COMES_BACK_SIGMAS * np.maximum(sigma_there, sigma_back)
    return np.where(returns, np.minimum(np.abs(there) / sigma_there, np.abs(back) / sigma_back), 0.0)


def _doubt_of_wicks(busy: FloatArray | None, moved: BoolArray) -> FloatArray:
    """Return by how much limits widen at each bar, shape (T,): much volume says that the price was real."""
    if busy is None:
        return np.full(len(moved), UNCONFIRMED)
    above = np.maximum(busy, 1.0)
    # Where the power meets the line; never raised beyond it, no volume is too large.
    knee = _WICK_BUSY_TIMES ** (1.0 / (_WICK_BUSY_POWER - 1.0))
    real = np.minimum(above, knee) ** _WICK_BUSY_POWER * np.maximum(above / knee, 1.0)
    return np.where(busy < _QUIET, _WICK_QUIET, np.where(moved, real, above))


def _volume_spikes(bars: Bars, around: Surroundings) -> Marks:
    volume = bars.volume
    assert volume is not None
    traded = volume > 0
    logs = np.log(np.where(traded, volume, 1.0))
    (median,) = local_quantiles(logs, 0.5)
    excess = np.where(traded, logs - median, 0.0)
    score = excess / local_sigma(np.abs(excess))
    limit = np.where(_unmoved(around, excess), SPIKE_SIGMAS_UNMOVED, SPIKE_SIGMAS)
    at = np.flatnonzero((score > limit) & (excess > np.log(SPIKE_RATIO)))

    def words(index: int) -> tuple[str, str]:
        bar = int(at[index])
        times = f"{np.exp(excess[bar]):,.0f} times the median around it"
        return number(volume[bar]), f"volume spike? {times}, {score[bar]:.1f} robust sigmas of its logarithm"

    return Marks(kind=Kind.VOLUME_SPIKE, bars=bars, at=at, severity=score[at] / limit[at], tell=words)


def _unmoved(around: Surroundings, excess: FloatArray) -> BoolArray:
    """Return where the price moved as on any other bar, however much was traded."""
    if around.high is None or around.low is None:
        return np.zeros(len(excess), dtype=bool)
    span = around.high - around.low
    (median,) = local_quantiles(span, 0.5)
    return np.asarray(span < _MOVED * median * np.exp(np.maximum(excess, 0.0) / 2))


def _none(kind: Kind, bars: Bars) -> Marks:
    nowhere: IntArray = np.empty(0, dtype=np.int64)
    words: Callable[[int], tuple[str, str]] = lambda _: ("", "")  # noqa: E731
    return Marks(kind=kind, bars=bars, at=nowhere, severity=np.empty(0), tell=words)
