"""Training and test parts that share no information: purged by the interval that each label spans.

An observation is made at its start and its label is known at its end: a 20-day return seen from row t spans
[t, t + 20]. Training and test labels that overlap carry the same news, so those training observations go
(purge), and so do those that begin shortly after a test part, while its news still lingers (embargo).

Intervals are closed, [start, end], in rows or in nanoseconds: any unit that can be compared and added.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import IntArray

BoolArray = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Observations to learn from, and those to be judged on.

    Attributes
    ----------
    train, test
        Places of observations, increasing. None stands in both.
    groups
        The test groups, of a combinatorial split; empty for a walk-forward.
    """

    train: IntArray
    test: IntArray
    groups: tuple[int, ...] = ()


def horizon_intervals(n_rows: int, horizon: int) -> tuple[IntArray, IntArray]:
    """Return starts and ends, shape (n_rows,), in rows, of labels that look `horizon` rows ahead."""
    starts = np.arange(n_rows, dtype=np.int64)
    return starts, starts + horizon


def overlaps(starts: Times, ends: Times, test: BoolArray, *, embargo: float = 0) -> BoolArray:
    """Say which observations may not be learnt from when some are tested on [1]_.

    Parameters
    ----------
    starts, ends
        Shape (n,), the closed interval of each observation; starts do not decrease.
    test
        Shape (n,), those that are tested on.
    embargo
        How long after the end of a test part's last label nothing that begins is learnt from, in the unit of
        `starts`.

    Returns
    -------
    BoolArray
        Shape (n,). A run of tested observations spans the interval from its first start to its latest end,
        lengthened by the embargo; what shares a point with one of those overlaps, the tested ones included.

    References
    ----------
    .. [1] Lopez de Prado (2018), Advances in financial machine learning, sections 7.4.1 and 7.4.2
    """
    _check(starts, ends)
    if test.shape != starts.shape or embargo < 0:
        raise InvalidValueError(
            f"splits: test must have shape {starts.shape}, was {test.shape}; embargo must be at least 0, was "
            f"{embargo}"
        )
    barred = test.copy()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], test, [False])).astype(np.int8)))
    for first, stop in edges.reshape(-1, 2).tolist():
        barred |= (starts <= ends[first:stop].max() + embargo) & (ends >= starts[first])
    return barred


def walk_forward(
    starts: Times, ends: Times, *, train: int, test: int, step: int, embargo: float = 0
) -> tuple[Split, ...]:
    """Return every walk-forward split, oldest first: `train` observations, purged, and the `test` after them.

    With labels that look h rows ahead these are the windows of `engine.schedule.windows.walk_forward` with
    `purge=h`.

    Parameters
    ----------
    starts, ends
        Shape (n,), the closed interval of each observation; starts do not decrease.
    embargo
        Labels must have ended more than this before the test part begins; 0 unless data are published late.

    Raises
    ------
    InvalidValueError
        For lengths that make no sense.
    InputError
        If no split fits, or the purge leaves one without training.
    """
    _check(starts, ends)
    if train < 1 or test < 1 or step < 1 or embargo < 0:
        raise InvalidValueError(
            f"splits: train, test and step must be at least 1 and embargo at least 0, were {train}, {test}, "
            f"{step} and {embargo}"
        )
    splits = []
    for first in range(0, starts.size - train - test + 1, step):
        tested = np.arange(first + train, first + train + test, dtype=np.int64)
        learnt = np.arange(first, first + train, dtype=np.int64)
        splits.append(Split(train=learnt[ends[learnt] + embargo < starts[tested[0]]], test=tested))
    return _usable(splits, f"train {train} and test {test} of {starts.size}")


def combinatorial(
    starts: Times, ends: Times, *, n_groups: int, n_test: int, embargo: float = 0
) -> tuple[Split, ...]:
    """Return all C(N, k) purged splits that test on k of N contiguous groups [1]_.

    Parameters
    ----------
    starts, ends
        Shape (n,), the closed interval of each observation; starts do not decrease.
    n_groups, n_test
        N and k. Groups have n // N observations, the last one takes the rest.

    Returns
    -------
    tuple of Split
        In lexicographic order of their test groups.

    Raises
    ------
    InvalidValueError
        Unless 1 <= k < N <= n.
    InputError
        If the purge leaves a split without training.

    References
    ----------
    .. [1] Lopez de Prado (2018), Advances in financial machine learning, section 12.3
    """
    _check(starts, ends)
    group = groups_of(starts.size, n_groups)
    splits = []
    for chosen in _combinations(n_groups, n_test):
        test = np.isin(group, chosen)
        barred = overlaps(starts, ends, test, embargo=embargo)
        splits.append(Split(train=np.flatnonzero(~barred), test=np.flatnonzero(test), groups=chosen))
    return _usable(splits, f"{n_groups} groups, {n_test} tested, of {starts.size}")


def groups_of(n: int, n_groups: int) -> IntArray:
    """Return the group of each of n observations, shape (n,): equal ones, the last takes the rest."""
    if not 1 < n_groups <= n:
        raise InvalidValueError(f"splits: {n} observations cannot make {n_groups} groups")
    return np.minimum(np.arange(n, dtype=np.int64) // (n // n_groups), n_groups - 1)


def paths(n_groups: int, n_test: int) -> IntArray:
    """Return which split says what happened in each group of each path [1]_.

    Every group is tested in C(N - 1, k - 1) = C(N, k) k / N splits; the j-th of them is its part of path j.

    Returns
    -------
    IntArray
        Shape (paths, groups), places in the order of `combinatorial`.

    References
    ----------
    .. [1] Lopez de Prado (2018), Advances in financial machine learning, section 12.4 and figure 12.2

    Examples
    --------
    >>> paths(6, 2).shape, paths(10, 2).shape, paths(10, 8).shape
    ((5, 6), (9, 10), (36, 10))
    >>> paths(3, 2)
    array([[0, 0, 1],
           [1, 2, 2]])
    """
    tested = _combinations(n_groups, n_test)
    return np.array(
        [[place for place, groups in enumerate(tested) if group in groups] for group in range(n_groups)],
        dtype=np.int64,
    ).T


def stitch(splits: tuple[Split, ...], values: tuple[npt.NDArray[np.float64], ...]) -> npt.NDArray[np.float64]:
    """Put together the paths of what was found on the test parts of combinatorial splits.

    Parameters
    ----------
    splits
        All of `combinatorial`, in its order.
    values
        For each split, one value for each of its test observations.

    Returns
    -------
    FloatArray
        Shape (paths, n), each path through all observations.
    """
    n_groups = 1 + max(group for split in splits for group in split.groups)
    route = paths(n_groups, len(splits[0].groups))
    if int(route.max()) + 1 != len(splits) or [split.test.size for split in splits] != [
        value.size for value in values
    ]:
        raise InvalidValueError(
            "splits: paths need every combinatorial split, with a value for each test row"
        )
    n = 1 + max(int(split.test[-1]) for split in splits)
    group = groups_of(n, n_groups)
    whole = np.empty((len(route), n))
    for path, sources in enumerate(route.tolist()):
        for place, source in enumerate(sources):
            split = splits[source]
            whole[path, group == place] = values[source][group[split.test] == place]
    return whole


def _combinations(n_groups: int, n_test: int) -> list[tuple[int, ...]]:
    if not 1 <= n_test < n_groups:
        raise InvalidValueError(f"splits: cannot test on {n_test} of {n_groups} groups, some must be left")
    return list(combinations(range(n_groups), n_test))


def _check(starts: Times, ends: Times) -> None:
    if starts.ndim != 1 or starts.shape != ends.shape or starts.size == 0:
        raise InvalidValueError(
            f"splits: starts and ends must have one shape (n,), were {starts.shape} and {ends.shape}"
        )
    if not (np.all(ends >= starts) and np.all(np.diff(starts) >= 0)):
        raise InvalidValueError("splits: a label must not end before it starts, and starts must not decrease")


def _usable(splits: list[Split], words: str) -> tuple[Split, ...]:
    if not splits:
        raise InputError(f"splits: {words} observations leave no split; give more data or shorter parts")
    for place, split in enumerate(splits):
        if split.train.size == 0:
            raise InputError(
                f"splits: {words} observations leave split {place} nothing to learn from after the purge; "
                "give more data, shorter labels or a shorter embargo"
            )
    return tuple(splits)
