"""How much of a result is owed to the search that found it? Diagnostics, reported beside the gates.

Returns are daily, in excess of the benchmark at the same exposure, one column a trial of the search. Sharpe
ratios are per observation. Standard library and numpy only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from research.splits import Split, combinatorial, horizon_intervals, stitch
from research.statistics import expected_maximum_sharpe

BoolArray = npt.NDArray[np.bool_]

VETO_PROBABILITY = 0.5
"""Above it the best trial in sample is below the median out of sample more often than not."""

VETO_DEGRADATION = 1.0
"""Share of the in-sample Sharpe ratio of the best trial that is lost out of sample: all of it."""

# Bytes of one temporary array in the search over splits.
_MEMORY = 4_000_000
# A sum of squares about the mean below this share of that about 0 is rounding.
_NO_VARIANCE = 1e-12


# --------------------------------------------------------------------- probability of backtest overfitting


@dataclass(frozen=True, kw_only=True, eq=False)
class Overfitting:
    """What choosing the best in one half of history was worth in the other half.

    Attributes
    ----------
    probability
        Share of splits in which the best in sample is at or below the median out of sample.
    logits
        Shape (splits,), log of the odds of its relative rank out of sample; <= 0 at or below the median.
    in_sample, out_of_sample
        Shape (splits,), Sharpe ratio of the best in sample, per observation.
    slope
        Of `out_of_sample` on `in_sample`, by least squares; NaN where the latter is constant.
    degradation
        Share of the mean in-sample Sharpe ratio that is lost out of sample: 0 none, 1 all, more than 1 a
        loss. NaN where the best in sample loses on average.
    probability_of_loss
        Share of splits in which the best in sample has a negative Sharpe ratio out of sample.
    """

    probability: float
    logits: FloatArray
    in_sample: FloatArray
    out_of_sample: FloatArray
    slope: float
    degradation: float
    probability_of_loss: float

    @property
    def vetoes(self) -> bool:
        """Whether the search may promote nothing.

        The probability alone says little: trials that share one real edge are exchangeable, so theirs is
        about one half as well. It counts only together with a Sharpe ratio out of sample that falls the
        further the higher it was in sample, and of which nothing is left there on average. In 120 searches
        each, that vetoed 51% of 200 independent trials without an edge, 43% of a grid of 170 moving averages
        on a random walk, 8% of that grid on a weak planted trend (1,249 days) and 1% on a strong one; had
        half of the ratio been enough to lose, it were 52%, 58%, 50% and 6%. The slope was below 0 in nearly
        all of them: it decides next to nothing.
        """
        # Written so that a figure that is not known does not acquit.
        return (
            not self.probability <= VETO_PROBABILITY
            and not self.slope >= 0
            and not self.degradation < VETO_DEGRADATION
        )


def probability_of_overfitting(returns: FloatArray, *, n_blocks: int = 16) -> Overfitting:
    """Estimate the probability of backtest overfitting by combinatorially symmetric cross-validation [1]_.

    All ways to halve the blocks are tried: one half chooses the trial of the highest Sharpe ratio, the other
    half says how it ranks among all. Sums of each block are enough for that, so no row is read twice. A half
    in which a trial has no variance counts as a Sharpe ratio of 0.

    Parameters
    ----------
    returns
        Shape (T, N), one column a trial, oldest first. The first T mod `n_blocks` rows are left out.
    n_blocks
        S, even: C(S, S/2) splits.

    Raises
    ------
    InvalidValueError
        For fewer than 2 trials, blocks of fewer than 2 rows, an odd number of blocks, or values that are not
        finite.

    References
    ----------
    .. [1] Bailey, Borwein, Lopez de Prado and Zhu (2017), The probability of backtest overfitting, Journal of
       Computational Finance 20(4), section 2.2
    """
    if n_blocks < 2 or n_blocks % 2:
        raise InvalidValueError(f"overfitting: blocks must be an even number from 2 on, were {n_blocks}")
    _check(returns, rows=2 * n_blocks)
    sums = _HalfSums(returns, n_blocks)
    halves = _halves(n_blocks)
    n_splits, n_trials = len(halves), returns.shape[1]
    logits, inside, outside = (np.empty(n_splits) for _ in range(3))
    step = max(1, _MEMORY // (8 * n_trials))
    for first in range(0, n_splits // 2, step):
        # A split and its mirror image choose on each other's test half: their places add up to n_splits - 1.
        part = np.arange(first, min(first + step, n_splits // 2))
        mirror = n_splits - 1 - part
        one, other = sums.sharpes(halves[part]), sums.sharpes(halves[mirror])
        for places, trained, tested in ((part, one, other), (mirror, other, one)):
            best = trained.argmax(axis=1)[:, None]
            inside[places] = np.take_along_axis(trained, best, axis=1)[:, 0]
            reached = np.take_along_axis(tested, best, axis=1)
            outside[places] = reached[:, 0]
            logits[places] = _logits(tested, reached)
    deviation = inside - inside.mean()
    spread = float(deviation @ deviation)
    return Overfitting(
        probability=float((logits <= 0).mean()),
        logits=logits,
        in_sample=inside,
        out_of_sample=outside,
        slope=float(deviation @ outside) / spread if spread > 0 else math.nan,
        degradation=float(1 - outside.mean() / inside.mean()) if inside.mean() > 0 else math.nan,
        probability_of_loss=float((outside < 0).mean()),
    )


def _logits(values: FloatArray, reached: FloatArray) -> FloatArray:
    """Return the log odds of the relative rank of one value in each row; equals share the mean of ranks."""
    below = np.count_nonzero(values < reached, axis=1)
    rank = below + (np.count_nonzero(values == reached, axis=1) + 1) / 2
    odds: FloatArray = rank / (values.shape[1] + 1 - rank)
    logits: FloatArray = np.log(odds)
    return logits


def _halves(n_blocks: int) -> IntArray:
    """Return every half of the blocks as bits, shape (C(S, S/2),); what the first takes the last leaves."""
    places = np.array(list(combinations(range(n_blocks), n_blocks // 2)), dtype=np.int64)
    bits: IntArray = (1 << places).sum(axis=1)
    return bits


class _HalfSums:
    """Sharpe ratios of any half of the blocks, from sums of each block.

    The sums of all subsets of the lower blocks and of the upper ones are made once: any half is one of each.
    """

    def __init__(self, returns: FloatArray, n_blocks: int) -> None:
        rows = len(returns) // n_blocks
        used = returns[len(returns) - rows * n_blocks :]
        self._n = rows * n_blocks // 2
        # About the mean of each trial, so that squares of it do not swallow the variance.
        self._shift: FloatArray = used.mean(axis=0)
        blocks = (used - self._shift).reshape(n_blocks, rows, -1)
        sums = blocks.sum(axis=1)
        squares = np.einsum("brn,brn->bn", blocks, blocks)
        constant = (blocks == blocks[:, :1]).all(axis=1).sum(axis=0)
        self._may_be_constant = bool((constant >= n_blocks // 2).any())
        self._lower_bits = n_blocks // 2
        self._sums = _subset_sums(sums[: self._lower_bits]), _subset_sums(sums[self._lower_bits :])
        self._squares = _subset_sums(squares[: self._lower_bits]), _subset_sums(squares[self._lower_bits :])

    def sharpes(self, halves: IntArray) -> FloatArray:
        """Return the Sharpe ratio of each trial in each half, shape (halves, N)."""
        lower, upper = halves & ((1 << self._lower_bits) - 1), halves >> self._lower_bits
        means: FloatArray = self._sums[0][lower]
        means += self._sums[1][upper]
        means /= self._n
        variance = self._squares[0][lower]
        variance += self._squares[1][upper]
        squares = variance.copy() if self._may_be_constant else variance
        variance -= means * means * self._n
        if self._may_be_constant:
            # What is left of a constant is the rounding of its squares; infinite variance makes a ratio of 0.
            variance[variance <= _NO_VARIANCE * squares] = np.inf
        variance /= self._n - 1
        means += self._shift
        np.sqrt(variance, out=variance)
        means /= variance
        return means


def _subset_sums(values: FloatArray) -> FloatArray:
    """Return the sums of all subsets of some rows, shape (2 ** rows, N), by the bits of the place."""
    sums = np.zeros((1 << len(values), values.shape[1]))
    for bit, row in enumerate(values):
        sums[1 << bit : 2 << bit] = sums[: 1 << bit] + row
    return sums


# ---------------------------------------------------------------------------------- length of a backtest


def minimum_backtest_length(n_trials: float, *, annualized_sharpe: float = 1.0) -> float:
    """Return the years below which the best of some trials without an edge reaches a Sharpe ratio [1]_.

    Parameters
    ----------
    n_trials
        Independent ones, not necessarily whole (`effective_rank`).
    annualized_sharpe
        Of the trial that was chosen.

    Returns
    -------
    float
        Years. A shorter backtest of that many trials shows such a ratio by luck alone; infinite where the
        ratio is not positive.

    References
    ----------
    .. [1] Bailey, Borwein, Lopez de Prado and Zhu (2014), Pseudo-mathematics and financial charlatanism,
       Notices of the AMS 61(5), theorem 2

    Examples
    --------
    >>> round(minimum_backtest_length(45), 3)  # 45 trials exhaust 5 years
    4.998
    """
    if annualized_sharpe <= 0:
        return math.inf
    return (expected_maximum_sharpe(n_trials, variance=1.0) / annualized_sharpe) ** 2


# ------------------------------------------------------------------------------- combinatorial purged paths


@dataclass(frozen=True, kw_only=True, eq=False)
class PathDispersion:
    """What the search would have earned on every path through history that it was not chosen on.

    Attributes
    ----------
    sharpes
        Shape (paths,), per observation.
    chosen
        Shape (splits,), the trial that was best in the training groups of each split.
    returns
        Shape (paths, T).
    """

    sharpes: FloatArray
    chosen: IntArray
    returns: FloatArray

    @property
    def mean(self) -> float:
        """Mean Sharpe ratio of the paths, per observation."""
        return float(self.sharpes.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation of the paths' Sharpe ratios; 0 where there is one path."""
        return float(self.sharpes.std(ddof=1)) if self.sharpes.size > 1 else 0.0

    @property
    def loss_share(self) -> float:
        """Share of paths that lose."""
        return float((self.sharpes < 0).mean())


def path_dispersion(
    returns: FloatArray, *, n_groups: int = 10, n_test: int = 2, horizon: int = 0, embargo: int = 0
) -> PathDispersion:
    """Let each combination of training groups choose a trial, and stitch what it earned elsewhere [1]_.

    Parameters
    ----------
    returns
        Shape (T, N), one column a trial, oldest first, out of sample already if trials were fitted. One trial
        leaves nothing to choose: all paths are then its own series, and their dispersion is 0.
    n_groups, n_test
        N and k of `splits.combinatorial`: C(N, k) choices, C(N, k) k / N paths.
    horizon
        Rows after a return over which what led to it was still held, so that it is purged near a test group.
    embargo
        Rows after a test group, beyond the horizon, that are not learnt from.

    Raises
    ------
    InvalidValueError
        For values that are not finite, or groups of fewer than 2 rows.

    References
    ----------
    .. [1] Lopez de Prado (2018), Advances in financial machine learning, section 12.4
    """
    if not 1 <= n_test < n_groups:
        raise InvalidValueError(f"overfitting: cannot test on {n_test} of {n_groups} groups")
    _check(returns, rows=2 * n_groups, trials=1)
    starts, ends = horizon_intervals(len(returns), horizon)
    splits = combinatorial(starts, ends, n_groups=n_groups, n_test=n_test, embargo=embargo)
    chosen = _best_of_training(returns, splits)
    found = tuple(returns[split.test, best] for split, best in zip(splits, chosen.tolist(), strict=True))
    whole = stitch(splits, found)
    return PathDispersion(sharpes=_column_sharpes(whole.T), chosen=chosen, returns=whole)


def _best_of_training(returns: FloatArray, splits: Sequence[Split]) -> IntArray:
    chosen = np.empty(len(splits), dtype=np.int64)
    for place, split in enumerate(splits):
        chosen[place] = _column_sharpes(returns[split.train]).argmax()
    return chosen


def _column_sharpes(returns: FloatArray) -> FloatArray:
    """Return the Sharpe ratio of each column, 0 where it is constant."""
    constant = (returns == returns[0]).all(axis=0)
    deviation = np.where(constant, np.inf, returns.std(axis=0, ddof=1))
    ratios: FloatArray = returns.mean(axis=0) / deviation
    return ratios


# ----------------------------------------------------------------------------------------------- plateaus


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """The best trial and those around it.

    Attributes
    ----------
    best
        Place of the trial.
    peak
        Its value.
    neighbourhood
        Mean of its neighbours, itself left out; NaN where it has none.
    n_neighbours
        How many there are.
    """

    best: int
    peak: float
    neighbourhood: float
    n_neighbours: int

    @property
    def ratio(self) -> float:
        """Neighbourhood / peak: near 1 on a plateau, near 0 on a needle; NaN unless the peak is positive."""
        return self.neighbourhood / self.peak if self.peak > 0 else math.nan


def plateau(parameters: FloatArray, values: FloatArray, *, levels: int = 10) -> Plateau:
    """Compare the best trial of a search with its neighbours in the space of parameters [1]_.

    A report and a tie-break, no gate: choosing by the smoothed value added .04 of Sharpe ratio out of sample
    on planted families (standard error .033), and nothing on noise.

    Parameters
    ----------
    parameters
        Shape (n, d), what each trial was run with, categories as numbers whose neighbours are alike.
    values
        Shape (n,), higher is better; NaN: the trial failed.
    levels
        Neighbours are at most one level away in every parameter. Each different value is a level; where there
        are more, as in a random search, levels are the bins of so many equal shares.

    Raises
    ------
    InvalidValueError
        If shapes do not fit, or no trial has a value.

    References
    ----------
    .. [1] Pardo (2008), The evaluation and optimization of trading strategies, 2nd edition, chapter 10
    """
    if parameters.ndim != 2 or values.shape != parameters.shape[:1] or levels < 2:
        raise InvalidValueError(
            f"plateau: parameters must have shape (n, d) and values (n,), were {parameters.shape} and "
            f"{values.shape}; levels must be at least 2, were {levels}"
        )
    known = np.isfinite(values)
    if not known.any() or not np.isfinite(parameters).all():
        raise InvalidValueError("plateau: needs a trial with a value, and parameters that are finite")
    best = int(np.flatnonzero(known)[values[known].argmax()])
    places = np.stack([_levels(column, levels) for column in parameters.T], axis=1)
    near = known & (np.abs(places - places[best]) <= 1).all(axis=1)
    near[best] = False
    count = int(near.sum())
    return Plateau(
        best=best,
        peak=float(values[best]),
        neighbourhood=float(values[near].mean()) if count else math.nan,
        n_neighbours=count,
    )


def _levels(column: FloatArray, levels: int) -> IntArray:
    different, place = np.unique(column, return_inverse=True)
    if different.size <= levels:
        return place.astype(np.int64)
    borders = np.quantile(column, np.arange(1, levels) / levels)
    return np.searchsorted(borders, column, side="right").astype(np.int64)


def _check(returns: FloatArray, *, rows: int, trials: int = 2) -> None:
    if returns.ndim != 2 or returns.shape[0] < rows or returns.shape[1] < trials:
        raise InvalidValueError(
            f"overfitting: returns must have shape (T, N) with T >= {rows} and N >= {trials}, was "
            f"{returns.shape}"
        )
    if not np.isfinite(returns).all():
        row, column = np.argwhere(~np.isfinite(returns))[0].tolist()
        raise InvalidValueError(
            f"overfitting: return of trial {column} in row {row} is {returns[row, column]}; cut the rows "
            "that are not common to all trials"
        )
