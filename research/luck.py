"""How good the best of many trials looks by luck, and how many independent trials would do the same."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from engine.domain.panel import FloatArray
from research.statistics import equivalent_trials

# Worlds without an edge; each is played with both signs. Four times as many would halve the error of one in
# fifty, which is fixed like the seed.
_WORLDS = 2048
_SEED = 2014
# Trials are played so many at a time, always: the shape of a product of matrices shows in its last digit.
_PLAYED = 64
_WEEKS_DRAWN = 52
# Weeks count from 1970; a seed must not be negative.
_EARLIEST_WEEK = -52 * 10_000
# Equal float32 values can leave a rest of a rounding error around their mean.
STILL = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LuckyBest:
    """Largest and smallest score that any of some trials had, in each of 2,048 worlds without an edge.

    What a deflated Sharpe ratio asks of the trials is how good the best of them looks without an edge. So
    that is what is measured: the worlds are normal weeks in which nothing has an edge and the trials
    correlate as they do on record, and the mean of the largest score of any is turned into the number of
    independent trials that has the same one [1]_ (`statistics.equivalent_trials`).

    A trial that is added can only raise the largest score, so none ever lowers the number: neither a sweep of
    near-copies nor a new family. Copies raise it by nothing, near-copies by what is to be gained from
    choosing among them, independent ones count in full, and the order does not matter. The effective rank of
    the correlations, which weighs families by their size, has none of these properties: 4,000 near-copies of
    one trial lowered it from 7.0 to 1.4, and behind a large sweep 50 independent trials raised it by less
    than 1.

    Measured (160 pairs of averages on 1,250 days of a random walk, 200 repetitions): 12.9 trials, of which
    the deflated Sharpe ratio passes 1.0%; the effective rank says 7.1 and passes 4.0%. 100 independent trials
    count 97 (by the rank 82). 10,000 trials of 28 years take 3 s. The worlds take 16 kB a week, and are kept.

    Attributes
    ----------
    highest, lowest
        Shape (2048,), infinite before the first trial.

    References
    ----------
    .. [1] Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40(5),
       eq. 1 and appendix 3 (number of independent trials)
    """

    highest: FloatArray
    lowest: FloatArray

    @classmethod
    def of_none(cls) -> Self:
        """Return what there is before the first trial."""
        return cls(highest=np.full(_WORLDS, -np.inf), lowest=np.full(_WORLDS, np.inf))

    def among(self, scores: FloatArray, *, first_week: int) -> Self:
        """Return the best when these trials are there too.

        Parameters
        ----------
        scores
            Shape (N, W), weekly returns of each trial less their mean, and divided by the root of the sum of
            their squares.
        first_week
            Of all of them, weeks since 1970.
        """
        worlds = _worlds(first_week, scores.shape[1])
        highest, lowest = self.highest, self.lowest
        for begin in range(0, len(scores), _PLAYED):
            part = scores[begin : begin + _PLAYED]
            padded = np.zeros((_PLAYED, scores.shape[1]))
            padded[: len(part)] = part
            played = (padded @ worlds)[: len(part)]
            highest = np.maximum(highest, played.max(axis=0))
            lowest = np.minimum(lowest, played.min(axis=0))
        return type(self)(highest=highest, lowest=lowest)

    @property
    def n_effective(self) -> float:
        """Number of independent trials with the same best; 0 without any.

        Rounded to 1e-6, so that the number of threads does not show.
        """
        if np.isinf(self.highest[0]):
            return 0.0
        # A world and its mirror image: the best of the one is the worst of the other.
        return round(equivalent_trials(float((self.highest - self.lowest).mean()) / 2), 6)


def effective_trials(weekly: FloatArray) -> float:
    """Return the number of independent trials among columns, as a register of trials would count them.

    Parameters
    ----------
    weekly
        Shape (W, N), returns of each trial over the same weeks. Columns without variance count nothing.
    """
    deviations = (weekly - weekly.mean(axis=0)).T
    norms = np.sqrt((deviations * deviations).sum(axis=1))
    moving = norms > STILL
    return LuckyBest.of_none().among(deviations[moving] / norms[moving, None], first_week=0).n_effective


def _worlds(first_week: int, n_weeks: int) -> FloatArray:
    """Return standard normal draws, shape (n_weeks, 2048); those of a week never change."""
    begin = first_week - _EARLIEST_WEEK
    years = range(begin // _WEEKS_DRAWN, (begin + n_weeks - 1) // _WEEKS_DRAWN + 1)
    drawn = np.concatenate([_year(year) for year in years])
    skipped = begin - years.start * _WEEKS_DRAWN
    return drawn[skipped : skipped + n_weeks]


@lru_cache(maxsize=64)
def _year(number: int) -> FloatArray:
    return np.random.default_rng((_SEED, number)).standard_normal((_WEEKS_DRAWN, _WORLDS))
