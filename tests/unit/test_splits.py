"""Purged splits: by hand, against published counts of paths, against skfolio, and against leaking labels."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from engine.schedule import windows
from research.splits import (
    combinatorial,
    groups_of,
    horizon_intervals,
    overlaps,
    paths,
    stitch,
    walk_forward,
)

NANOSECONDS_PER_DAY = 86_400_000_000_000


def test_a_training_label_that_meets_a_test_label_is_purged() -> None:
    # Labels span 2 rows. Rows 4 and 5 are tested: they span [4, 7].
    starts, ends = horizon_intervals(12, 2)
    test = np.isin(starts, [4, 5])

    assert np.flatnonzero(overlaps(starts, ends, test)).tolist() == [2, 3, 4, 5, 6, 7]
    assert np.flatnonzero(overlaps(starts, ends, test, embargo=1)).tolist() == [2, 3, 4, 5, 6, 7, 8]


def test_a_long_label_that_spans_a_whole_test_part_is_purged() -> None:
    starts = np.arange(8, dtype=np.int64)
    ends = starts.copy()
    ends[0] = 7

    barred = overlaps(starts, ends, np.isin(starts, [4]))

    assert np.flatnonzero(barred).tolist() == [0, 4]


def test_intervals_may_be_times() -> None:
    rows, horizon = horizon_intervals(30, 3)
    days = rows * NANOSECONDS_PER_DAY

    by_row = combinatorial(rows, horizon, n_groups=5, n_test=2, embargo=1)
    by_time = combinatorial(
        days,
        horizon * NANOSECONDS_PER_DAY,
        n_groups=5,
        n_test=2,
        embargo=NANOSECONDS_PER_DAY,
    )

    for one, other in zip(by_row, by_time, strict=True):
        assert one.train.tolist() == other.train.tolist()


def test_no_training_label_ever_meets_a_test_label() -> None:
    rng = np.random.default_rng(2)
    starts = np.sort(rng.uniform(0.0, 100.0, 160))
    ends = starts + rng.exponential(1.5, 160)
    embargo = 0.7
    splits = combinatorial(starts, ends, n_groups=8, n_test=3, embargo=embargo)

    for split in splits:
        meets = (starts[split.train][:, None] <= ends[split.test]) & (
            ends[split.train][:, None] >= starts[split.test]
        )
        after = starts[split.train][:, None] - ends[split.test]
        assert not meets.any()
        # Nothing begins within the embargo after the last label of a test group.
        last = np.array([ends[split.test[groups_of(160, 8)[split.test] == g]].max() for g in split.groups])
        gap = starts[split.train][:, None] - last
        assert not ((gap > 0) & (gap <= embargo)).any()
        assert after.shape == meets.shape
        assert np.intersect1d(split.train, split.test).size == 0
    # Not everything was thrown away.
    assert min(split.train.size for split in splits) > 40


@pytest.mark.parametrize(("horizon", "embargo"), [(1, 0), (5, 0), (3, 2)])
def test_a_walk_forward_is_that_of_the_schedule(horizon: int, embargo: int) -> None:
    starts, ends = horizon_intervals(400, horizon)

    found = walk_forward(starts, ends, train=100, test=40, step=20, embargo=embargo)

    expected = windows.walk_forward(400, train=100, test=40, step=20, purge=horizon + embargo)
    assert len(found) == len(expected) == 14
    for split, window in zip(found, expected, strict=True):
        assert split.train.tolist() == list(range(window.train_start, window.train_stop))
        assert split.test.tolist() == list(range(window.test_start, window.test_stop))


@pytest.mark.parametrize(
    ("n_groups", "n_test", "n_splits", "n_paths"), [(6, 2, 15, 5), (10, 2, 45, 9), (10, 8, 45, 36)]
)
def test_splits_and_paths_are_as_many_as_published(
    n_groups: int, n_test: int, n_splits: int, n_paths: int
) -> None:
    # Lopez de Prado 2018, section 12.3: phi[N, k] = C(N, k) k / N.
    starts, ends = horizon_intervals(100, 0)

    assert len(combinatorial(starts, ends, n_groups=n_groups, n_test=n_test)) == n_splits
    assert paths(n_groups, n_test).shape == (n_paths, n_groups)
    assert n_paths == comb(n_groups, n_test) * n_test // n_groups


def test_paths_are_those_of_figure_12_2() -> None:
    # Groups 1 to 6 (rows), splits S1 to S15 (columns), from Lopez de Prado 2018, figure 12.2.
    figure = [
        "12345..........",
        "1....2345......",
        ".1...2...345...",
        "..1...2..3..45.",
        "...1...2..3.4.5",
        "....1...2..3.45",
    ]

    expected = np.array([[row.index(str(path)) for row in figure] for path in range(1, 6)])

    np.testing.assert_array_equal(paths(6, 2), expected)


def test_a_path_runs_once_through_every_row() -> None:
    starts, ends = horizon_intervals(53, 0)
    splits = combinatorial(starts, ends, n_groups=6, n_test=2)
    # Each value says of which split and row it is.
    values = tuple((place * 1000.0 + split.test).astype(np.float64) for place, split in enumerate(splits))

    whole = stitch(splits, values)

    assert whole.shape == (5, 53)
    np.testing.assert_array_equal(whole % 1000, np.tile(np.arange(53), (5, 1)))
    np.testing.assert_array_equal(whole // 1000, paths(6, 2)[:, groups_of(53, 6)])
    # No part is used twice.
    assert np.unique(whole).size == whole.size == sum(split.test.size for split in splits)


@pytest.mark.parametrize(("purge", "embargo"), [(0, 0), (4, 0), (3, 2)])
def test_splits_are_those_of_skfolio(purge: int, embargo: int) -> None:
    from skfolio.model_selection import CombinatorialPurgedCV

    theirs = CombinatorialPurgedCV(n_folds=6, n_test_folds=2, purged_size=purge, embargo_size=embargo)
    starts, ends = horizon_intervals(203, purge)

    ours = combinatorial(starts, ends, n_groups=6, n_test=2, embargo=embargo)

    for split, (train, tests) in zip(ours, theirs.split(np.zeros((203, 1))), strict=True):
        assert split.test.tolist() == np.concatenate(tests).tolist()
        assert split.train.tolist() == train.tolist()
    ids = theirs.get_path_ids()
    route = paths(6, 2)
    for place, split in enumerate(ours):
        for path, group in zip(ids[place], split.groups, strict=True):
            assert route[path, group] == place


# --------------------------------------------------------------------------------- labels that overlap

HORIZON = 20
NEIGHBOURS = 5


def overlapping_labels(seed: int, n: int = 1000) -> tuple[FloatArray, FloatArray]:
    """Return features that wander slowly, Shape (n, 3), and 20-day returns of independent noise."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=n + HORIZON)
    sums = np.concatenate(([0.0], np.cumsum(noise)))
    labels: FloatArray = sums[HORIZON + 1 :] - sums[1 : n + 1]
    return np.cumsum(rng.normal(size=(n, 3)), axis=0), labels


def skill(features: FloatArray, labels: FloatArray, parts: list[tuple[IntArray, IntArray]]) -> float:
    """Return the correlation of nearest-neighbour predictions with the labels, over all test parts."""
    from sklearn.neighbors import KNeighborsRegressor  # type: ignore[import-untyped]  # ships no types

    guessed, true = [], []
    for train, test in parts:
        model = KNeighborsRegressor(NEIGHBOURS).fit(features[train], labels[train])
        guessed.append(model.predict(features[test]))
        true.append(labels[test])
    return float(np.corrcoef(np.concatenate(guessed), np.concatenate(true))[0, 1])


def test_purged_labels_show_no_skill_where_shuffled_folds_show_much() -> None:
    # The labels are noise: any skill is a leak.
    shuffled, purged = [], []
    for seed in range(12):
        features, labels = overlapping_labels(seed)
        order = np.random.default_rng(100 + seed).permutation(len(labels))
        folds = np.array_split(order, 5)
        shuffled.append(
            skill(features, labels, [(np.setdiff1d(order, fold), np.sort(fold)) for fold in folds])
        )
        starts, ends = horizon_intervals(len(labels), HORIZON)
        splits = combinatorial(starts, ends, n_groups=6, n_test=2, embargo=HORIZON)
        purged.append(skill(features, labels, [(split.train, split.test) for split in splits]))

    error = np.std(purged, ddof=1) / np.sqrt(len(purged))
    assert min(shuffled) > 0.5
    assert abs(np.mean(purged)) < 3 * error
    assert error < 0.05


# ---------------------------------------------------------------------------------------------- refusals


def test_a_purge_that_leaves_nothing_is_refused() -> None:
    starts, ends = horizon_intervals(60, 30)

    with pytest.raises(InputError, match="split 0 nothing to learn from"):
        walk_forward(starts, ends, train=20, test=10, step=10)
    with pytest.raises(InputError, match="nothing to learn from after the purge"):
        combinatorial(starts, ends, n_groups=4, n_test=2)
    with pytest.raises(InputError, match="leave no split"):
        walk_forward(starts, ends, train=55, test=10, step=10)


@pytest.mark.parametrize(("n_groups", "n_test"), [(1, 1), (4, 4), (4, 0), (70, 2)])
def test_groups_that_make_no_sense_are_refused(n_groups: int, n_test: int) -> None:
    starts, ends = horizon_intervals(60, 1)

    with pytest.raises(InvalidValueError, match="splits"):
        combinatorial(starts, ends, n_groups=n_groups, n_test=n_test)


def test_intervals_that_make_no_sense_are_refused() -> None:
    starts, ends = horizon_intervals(10, 2)

    with pytest.raises(InvalidValueError, match="must not end before it starts"):
        combinatorial(starts, ends[::-1], n_groups=3, n_test=1)
    with pytest.raises(InvalidValueError, match="starts must not decrease"):
        walk_forward(starts[::-1], ends[::-1], train=3, test=2, step=1)
    with pytest.raises(InvalidValueError, match="one shape"):
        walk_forward(starts, ends[:5], train=3, test=2, step=1)


def test_stitching_needs_every_split() -> None:
    starts, ends = horizon_intervals(30, 0)
    splits = combinatorial(starts, ends, n_groups=5, n_test=2)
    values = tuple(split.test.astype(np.float64) for split in splits)

    with pytest.raises(InvalidValueError, match="every combinatorial split"):
        stitch(splits[1:], values[1:])
    assert all(later > earlier for earlier, later in pairwise(stitch(splits, values)[0]))
