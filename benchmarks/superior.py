"""What the test of the best of many costs: 1,000 strategies over ten years, beside arch.

`python -m benchmarks.superior` prints the figures; `measure_superior` returns them.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from engine.domain.panel import FloatArray
from research.superior import superior_predictive_ability

ROWS = 2500
COLUMNS = 1000
RESAMPLES = 1000
_BLOCK = 10
_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class SuperiorTimes:
    """CPU time of one test of superior predictive ability.

    Attributes
    ----------
    ours_s, arch_s
        Medians over interleaved pairs, threads of the matrix product included.
    ratio
        Median of arch / ours, pair by pair.
    ours_p, arch_p
        Consistent p-values of columns of unit variance, on resamples of their own: they differ by chance.
    """

    rows: int
    columns: int
    resamples: int
    ours_s: float
    arch_s: float
    ratio: float
    ours_p: float
    arch_p: float


def superior_case() -> FloatArray:
    """Return 2,500 days of 1,000 strategies without an edge, shape (T, N), each of variance 1."""
    excess = np.random.default_rng(7).normal(size=(ROWS, COLUMNS))
    return np.asarray(excess / excess.std(axis=0))


def measure_superior(pairs: int = _PAIRS) -> SuperiorTimes:
    """Time both on the same columns, one after the other."""
    from arch.bootstrap import SPA

    excess = superior_case()

    def ours() -> float:
        generator = np.random.default_rng(1)
        return superior_predictive_ability(
            excess, rng=generator, n_bootstraps=RESAMPLES, block_length=_BLOCK
        ).p_consistent

    def theirs() -> float:
        test = SPA(np.zeros(ROWS), -excess, block_size=_BLOCK, reps=RESAMPLES, seed=1)
        test.compute()
        return float(test.pvalues["consistent"])

    ours()  # what is loaded at the first call is not what a test costs
    timed = [(_timed(ours), _timed(theirs)) for _ in range(pairs)]
    return SuperiorTimes(
        rows=ROWS,
        columns=COLUMNS,
        resamples=RESAMPLES,
        ours_s=median(mine[0] for mine, _ in timed),
        arch_s=median(other[0] for _, other in timed),
        ratio=median(other[0] / mine[0] for mine, other in timed),
        ours_p=timed[0][0][1],
        arch_p=timed[0][1][1],
    )


def show(times: SuperiorTimes) -> None:
    """Print the figures."""
    print(
        "\nSPA  superior predictive ability\n"
        "    {rows:,} days x {columns:,} strategies, {resamples:,} resamples: CPU {ours_s:.2f} s, arch "
        "{arch_s:.1f} s: {ratio:.0f}x (p {ours_p:.3f} and {arch_p:.3f})".format(**asdict(times))
    )


def _timed(test: Callable[[], float]) -> tuple[float, float]:
    began = time.process_time()
    p_value = test()
    return time.process_time() - began, p_value


if __name__ == "__main__":
    show(measure_superior())
    sys.exit(0)
