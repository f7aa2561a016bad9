"""A simulated market: correlated prices with fat tails, regimes, gaps and outages, as a tape of trades.

Days are drawn in order from the first one on, which costs a moment once, and hold where each price stands at
midnight, how wild the day is and how many trades it has. What happens inside a day is a bridge between two
midnights, drawn from a generator that the seed, the day and the pair name: any day can be asked first.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY
from engine.sandbox.noise import generator
from engine.sandbox.pairs import Pair
from engine.sandbox.tape import Trades, no_trades

# 2022-01-01, in days from 1970-01-01: far enough back for 720 daily bars of today.
FIRST_DAY = 18_993
# Dates end before nanoseconds do.
STOP_DAY = 100_000

_DAYS_PER_YEAR = 365
_DAYS_AT_ONCE = 256

# Quiet, falling, wild: drift and volatility of the market a year, and the chance to stay another day.
_REGIME_DRIFT = np.array([0.45, -0.60, -1.50])
_REGIME_VOLATILITY = np.array([0.40, 0.55, 1.10])
_REGIME_STAYS = np.array([0.990, 0.980, 0.930])
# Where a regime goes when it ends, as sums of chances.
_REGIME_NEXT = np.array([[0.0, 0.75, 1.0], [0.70, 0.70, 1.0], [0.50, 1.0, 1.0]])

_VOLATILITY_MEMORY = 0.94
_VOLATILITY_SPREAD = 0.35
# Pulled back with a half-life of a year, so that a price stays where its tick has a meaning.
_PULL = 1 - 0.5 ** (1 / 365)
_LARGEST_SHOCK = 6.0
_JUMPS_PER_YEAR = 4.0
_JUMP_SIZE = 0.07
_OUTAGES_PER_YEAR = 4.0
_OUTAGE_MINUTES = (10, 90)
_COUNT_SPREAD = 0.25

_STEPS = 5_760
_STEP = NANOSECONDS_PER_DAY // _STEPS
_STEPS_PER_MINUTE = _STEPS // 1440
_BURSTS = 288
_BURST_SPREAD = 0.7
_SWEEP_SHARE = 0.15
_MARKET_ORDER_SHARE = 0.4
_MEDIAN_NOTIONAL = 250.0
_NOTIONAL_SPREAD = 1.5
_MICROSECOND = 1_000
_MICROSECONDS_PER_DAY = NANOSECONDS_PER_DAY // _MICROSECOND

_DAYS_KEPT = 1_000
# Of 46 kB each; one day of the market serves all pairs, of which one after the other is asked for.
_PATHS_KEPT = 500
_MARKET_DAYS_KEPT = 1_000

# What a generator is for: two uses of the same seed and day must not see the same numbers.
_FOR_DAYS, _FOR_MARKET, _FOR_PAIR = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Days:
    """Consecutive days. Shapes: (D,) of the market, (D, N) of the pairs.

    Attributes
    ----------
    start
        (D, N) log price at midnight, when the day begins.
    market_move, own_move
        Log return of the day, without the jump; `market_move` as a pair with a beta of 1 has it.
    market_volatility, own_volatility
        Standard deviation of the log return of the day.
    jump, jump_step
        Log return of the gap, 0 on most days, and the step of the day in front of which it opens.
    count, first_id
        Trades of the day, and the id of the first.
    outage
        (D, 2) steps between which nothing trades anywhere; equal on most days.
    """

    start: FloatArray
    market_move: FloatArray
    own_move: FloatArray
    market_volatility: FloatArray
    own_volatility: FloatArray
    jump: FloatArray
    jump_step: IntArray
    count: IntArray
    first_id: IntArray
    outage: IntArray


@dataclass(slots=True, kw_only=True)
class _State:
    """What the next day goes on from."""

    regime: int
    market_path: float
    own_path: FloatArray
    log_price: FloatArray
    next_id: IntArray


class Simulator:
    """A tape without end, made from a seed.

    Parameters
    ----------
    pairs
        What trades.
    seed
        Not negative. Equal seeds give equal markets.
    activity
        Times as many trades as the pairs say; a small one makes a light market with many empty minutes.
    """

    def __init__(self, pairs: tuple[Pair, ...], *, seed: int, activity: float = 1.0) -> None:
        if not pairs:
            raise InvalidValueError("simulator: there must be a pair at least")
        if seed < 0:
            raise InvalidValueError(f"simulator: seed must not be negative, was {seed}")
        if not 0 < activity <= 100:
            raise InvalidValueError(f"simulator: activity must be above 0 and at most 100, was {activity}")
        self._pairs = pairs
        self._seed = seed
        self._activity = activity
        self._blocks: list[_Days] = []
        self._state = _State(
            regime=0,
            market_path=0.0,
            own_path=np.zeros(len(pairs)),
            log_price=np.log([pair.start_price for pair in pairs]),
            next_id=np.ones(len(pairs), dtype=np.int64),
        )
        self._home = self._state.log_price.copy()
        self.day = lru_cache(maxsize=_DAYS_KEPT)(self._day)
        self._path = lru_cache(maxsize=_PATHS_KEPT)(self._make_path)
        self._market_steps = lru_cache(maxsize=_MARKET_DAYS_KEPT)(self._make_market_steps)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, in the order in which they are counted."""
        return self._pairs

    @property
    def first_day(self) -> int:
        """2022-01-01."""
        return FIRST_DAY

    @property
    def stop_day(self) -> int:
        """A day that nobody lives to see."""
        return STOP_DAY

    def middle(self, pair: int, stamp: int) -> float:
        """Return the price between bid and ask, in ticks; NaN before the first day and before the listing."""
        day, inside = divmod(stamp, NANOSECONDS_PER_DAY)
        if not max(FIRST_DAY, self._pairs[pair].listed_day) <= day < STOP_DAY:
            return float("nan")
        nodes = self._path(pair, day)
        step, part = divmod(inside, _STEP)
        share = part / _STEP
        level = nodes[step] * (1 - share) + nodes[step + 1] * share
        return float(np.exp(level)) / self._pairs[pair].tick

    # ------------------------------------------------------------------------------------ inside a day

    def _day(self, pair: int, day: int) -> Trades:
        days, row = self._of(day)
        count = int(days.count[row, pair])
        if count == 0 or day < self._pairs[pair].listed_day:
            return no_trades()
        facts = self._pairs[pair]
        draw = generator(self._seed, _FOR_PAIR, day, pair, 1)
        inside = _moments(draw, count, days.outage[row])
        follows = draw.random(count) < _SWEEP_SHARE
        follows[0] = False
        # A sweep takes several resting orders in one microsecond; the exchange still puts them in order.
        leader = np.maximum.accumulate(np.where(follows, 0, np.arange(count)))
        micro = inside[leader]
        first_of_micro = np.maximum.accumulate(np.where(np.diff(micro, prepend=-1) > 0, np.arange(count), 0))
        place = np.arange(count) - first_of_micro
        nodes = self._path(pair, day)
        middle = np.exp(np.interp(micro, np.arange(_STEPS + 1) * (_STEP / _MICROSECOND), nodes)) / facts.tick
        buys = (draw.random(count) < 0.5)[first_of_micro]
        half = middle * facts.half_spread
        step = np.maximum(1, np.rint(0.3 * half)).astype(np.int64) * place
        ticks = np.where(buys, np.ceil(middle + half) + step, np.floor(middle - half) - step).astype(np.int64)
        notional = _MEDIAN_NOTIONAL * np.exp(_NOTIONAL_SPREAD * draw.standard_normal(count))
        lots = np.rint(notional / (middle * facts.tick) / facts.lot).astype(np.int64)
        return Trades(
            stamps=day * NANOSECONDS_PER_DAY + micro * _MICROSECOND + place,
            ids=int(days.first_id[row, pair]) + np.arange(count, dtype=np.int64),
            ticks=np.maximum(ticks, 1),
            lots=np.maximum(lots, 1),
            buyer_is_taker=buys,
            is_market_order=(draw.random(count) < _MARKET_ORDER_SHARE)[first_of_micro],
        )

    def _make_path(self, pair: int, day: int) -> FloatArray:
        """Shape (_STEPS + 1,), log prices from this midnight to the next."""
        days, row = self._of(day)
        draw = generator(self._seed, _FOR_PAIR, day, pair, 0)
        own = draw.standard_normal(_STEPS) * _wildness(draw)
        moves = self._pairs[pair].beta * self._market_steps(day) + _bridge(
            own, float(days.own_volatility[row, pair]), float(days.own_move[row, pair])
        )
        if days.jump[row, pair] != 0.0:
            moves[days.jump_step[row, pair]] += days.jump[row, pair]
        path = np.empty(_STEPS + 1)
        path[0] = days.start[row, pair]
        np.cumsum(moves, out=path[1:])
        path[1:] += path[0]
        return path

    def _make_market_steps(self, day: int) -> FloatArray:
        """Shape (_STEPS,), log returns of the market."""
        days, row = self._of(day)
        draw = generator(self._seed, _FOR_MARKET, day)
        steps = draw.standard_normal(_STEPS) * _wildness(draw)
        return _bridge(steps, float(days.market_volatility[row]), float(days.market_move[row]))

    # ---------------------------------------------------------------------------------- from day to day

    def _of(self, day: int) -> tuple[_Days, int]:
        if not FIRST_DAY <= day < STOP_DAY:
            raise InvalidValueError(f"simulator: day must be from {FIRST_DAY} to {STOP_DAY - 1}, was {day}")
        block, row = divmod(day - FIRST_DAY, _DAYS_AT_ONCE)
        while len(self._blocks) <= block:
            self._blocks.append(self._next_days(len(self._blocks)))
        return self._blocks[block], row

    def _next_days(self, block: int) -> _Days:
        rows, columns = _DAYS_AT_ONCE, len(self._pairs)
        draw = generator(self._seed, _FOR_DAYS, block)
        regime, market_path, own_path = self._walk(draw, rows)
        beta = np.array([pair.beta for pair in self._pairs])
        usual = np.array([pair.own_volatility for pair in self._pairs])
        year = np.sqrt(_DAYS_PER_YEAR)
        # The mean of exp(2 h) is exp(2 sd^2): with the subtraction the mean variance is what was asked for.
        market_volatility = _REGIME_VOLATILITY[regime] / year * np.exp(market_path - _VOLATILITY_SPREAD**2)
        own_volatility = usual / year * np.exp(own_path - _VOLATILITY_SPREAD**2)
        market_move = _REGIME_DRIFT[regime] / _DAYS_PER_YEAR + market_volatility * _shocks(draw, (rows,))
        own_move = own_volatility * _shocks(draw, (rows, columns))
        jumps = draw.random((rows, columns)) < _JUMPS_PER_YEAR / _DAYS_PER_YEAR
        jump = np.where(jumps, _JUMP_SIZE * draw.standard_normal((rows, columns)), 0.0)
        start = np.empty((rows, columns))
        for row in range(rows):
            start[row] = self._state.log_price
            # The pull belongs to the day's own move: the day must end where the next one begins.
            own_move[row] -= _PULL * (self._state.log_price - self._home)
            self._state.log_price = start[row] + beta * market_move[row] + own_move[row] + jump[row]
        busy = np.exp(0.6 * (market_path[:, None] + own_path)) * np.exp(
            _COUNT_SPREAD * draw.standard_normal((rows, columns))
        )
        usual_count = self._activity * np.array([pair.trades_a_day for pair in self._pairs])
        count = draw.poisson(usual_count * busy).astype(np.int64)
        first_id = self._state.next_id + np.cumsum(count, axis=0) - count
        self._state.next_id = self._state.next_id + count.sum(axis=0)
        return _Days(
            start=start,
            market_move=market_move,
            own_move=own_move,
            market_volatility=market_volatility,
            own_volatility=own_volatility,
            jump=jump,
            jump_step=draw.integers(0, _STEPS, (rows, columns)),
            count=count,
            first_id=first_id,
            outage=_outages(draw, rows),
        )

    def _walk(self, draw: np.random.Generator, rows: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return regime (rows,), and logs of volatility of the market (rows,) and of each pair (rows, N)."""
        columns = len(self._pairs)
        changes, goes = draw.random(rows), draw.random(rows)
        innovation = np.sqrt(1 - _VOLATILITY_MEMORY**2) * _VOLATILITY_SPREAD
        market_noise = innovation * draw.standard_normal(rows)
        own_noise = innovation * draw.standard_normal((rows, columns))
        regime = np.empty(rows, dtype=np.int64)
        market_path, own_path = np.empty(rows), np.empty((rows, columns))
        state = self._state
        for row in range(rows):
            if changes[row] > _REGIME_STAYS[state.regime]:
                state.regime = int(np.searchsorted(_REGIME_NEXT[state.regime], goes[row], side="right"))
            state.market_path = _VOLATILITY_MEMORY * state.market_path + market_noise[row]
            state.own_path = _VOLATILITY_MEMORY * state.own_path + own_noise[row]
            regime[row], market_path[row], own_path[row] = state.regime, state.market_path, state.own_path
        return regime, market_path, own_path


def _shocks(draw: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Student t with 4 degrees of freedom, brought to variance 1, then cut."""
    return np.asarray(np.clip(draw.standard_t(4, shape) * np.sqrt(0.5), -_LARGEST_SHOCK, _LARGEST_SHOCK))


def _outages(draw: np.random.Generator, rows: int) -> IntArray:
    """Shape (rows, 2): steps from and up to which the exchange stands still."""
    out = draw.random(rows) < _OUTAGES_PER_YEAR / _DAYS_PER_YEAR
    length = draw.integers(*_OUTAGE_MINUTES, rows) * _STEPS_PER_MINUTE
    start = draw.integers(0, _STEPS - _OUTAGE_MINUTES[1] * _STEPS_PER_MINUTE, rows)
    return np.stack([start, start + np.where(out, length, 0)], axis=1).astype(np.int64)


def _wildness(draw: np.random.Generator) -> FloatArray:
    """Shape (_STEPS,): how much wilder some minutes are than others, which makes the tails fat."""
    minutes = np.exp(0.45 * draw.standard_normal(_STEPS // _STEPS_PER_MINUTE))
    return np.repeat(minutes, _STEPS_PER_MINUTE)


def _bridge(steps: FloatArray, volatility: float, move: float) -> FloatArray:
    """Bring steps to a volatility of the day, and bend them so that they sum to its move."""
    scaled = steps * (volatility / np.sqrt(float(np.square(steps).sum())))
    return np.asarray(scaled + (move - scaled.sum()) / steps.size)


def _moments(draw: np.random.Generator, count: int, outage: IntArray) -> IntArray:
    """Shape (count,): microseconds of the day, ascending; trades come in bursts and stop in an outage."""
    hours = np.arange(_BURSTS) / (_BURSTS / 24)
    # Busiest in the afternoon of London and the morning of New York.
    usual = 1 + 0.45 * np.cos((hours - 15) * (2 * np.pi / 24))
    busy = np.repeat(usual * np.exp(_BURST_SPREAD * draw.standard_normal(_BURSTS)), _STEPS // _BURSTS)
    busy[outage[0] : outage[1]] = 0.0
    total = np.concatenate([[0.0], np.cumsum(busy)])
    wanted = np.sort(draw.random(count)) * total[-1]
    inside = np.interp(wanted, total, np.arange(_STEPS + 1) * (_STEP / _MICROSECOND))
    return np.asarray(np.minimum(inside, _MICROSECONDS_PER_DAY - 1), dtype=np.int64)
