"""`log_mps` for many windows at once: the choices of `log_mps.select_log_mps`, bit for bit, in far less time.

A permutation test chooses anew for some hundred windows of some hundred worlds, and window by window that
would take most of an hour. Here the windows that have equally many eligible instruments are stacked, and
numpy walks whole stacks. Whatever is added up is added in the order of the plain version: along contiguous
training rows; scalar logarithms and exactly rounded sums stay what they are.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray
from engine.selection.components import RECENT_DAYS
from engine.selection.log_mps import CLUSTERS_MAX, WEIGHTS, LogMps, cut_tree, ward_tree
from engine.selection.universe import BoolArray, Eligibility

IntegerArray = npt.NDArray[np.int64]

_PATTERNS = 6
_SMALLEST_HURST_CHUNK = 8
_MINIMUM_TAIL_OBSERVATIONS = 100
_MINIMUM_OBSERVATIONS = 5
# Lines that are worked on at a time: their chunks stay in the processor's cache.
_LINES = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class SelectedMany:
    """The universes of K windows.

    Attributes
    ----------
    mask, eligible
        Shape (K, N).
    is_fallback
        Shape (K,).
    components_zeroed
        For each window.
    """

    mask: BoolArray
    eligible: BoolArray
    is_fallback: BoolArray
    components_zeroed: tuple[tuple[str, ...], ...]


def eligible_fast(closes: FloatArray, rules: Eligibility) -> BoolArray:
    """Return which instruments may enter each window, shape (K, N): `universe.eligible` of many windows.

    Parameters
    ----------
    closes
        Shape (K, N, T), of the training rows only, oldest first.
    """
    if closes.ndim != 3 or closes.shape[2] < 3:
        raise InvalidValueError(f"selection: needs closes of at least 3 training rows, was {closes.shape}")
    known: BoolArray = np.all(np.isfinite(closes) & (closes > 0), axis=2)
    # What is not known is no number to divide by; its own answer is no already.
    returns = _returns(np.where(known[:, :, None], closes, 1.0))
    calm = (returns.std(axis=2, ddof=1) <= rules.volatility_max) & (
        np.abs(returns).max(axis=2) <= rules.absolute_return_max
    )
    both: BoolArray = known & calm
    return both


def select_log_mps_fast(
    closes: FloatArray,
    rules: Eligibility,
    settings: LogMps,
    *,
    days_per_year: int,
    starts: IntegerArray,
    traded_value: FloatArray | None = None,
) -> SelectedMany:
    """Choose the best of each cluster in every window.

    Parameters
    ----------
    closes
        Shape (K, N, T), of the training rows only, oldest first; all windows are equally long.
    starts
        Shape (K, paths, blocks), `components.block_starts` of each window's generator.
    traded_value
        Shape (K, N, T); None where there is no volume.
    """
    may_enter = eligible_fast(closes, rules)
    counts = may_enter.sum(axis=1)
    mask = may_enter.copy()
    is_fallback = np.ones(len(closes), dtype=np.bool_)
    zeroed: list[tuple[str, ...]] = [tuple(WEIGHTS)] * len(closes)
    for count in np.unique(counts[counts >= max(2, settings.floor)]).tolist():
        windows = np.flatnonzero(counts == count)
        columns = np.flatnonzero(may_enter[windows])
        stack = closes[windows].reshape(-1, closes.shape[2])[columns].reshape(len(windows), count, -1)
        value = None
        if traded_value is not None:
            value = traded_value[windows].reshape(-1, closes.shape[2])[columns].reshape(stack.shape)
        chosen, used = _choose(stack, value, settings, days_per_year, starts[windows])
        enough = chosen.sum(axis=1) >= settings.floor
        chosen[~enough] = True
        whole = np.zeros(windows.size * mask.shape[1], dtype=np.bool_)
        whole[columns] = chosen.ravel()
        mask[windows] = whole.reshape(windows.size, -1)
        is_fallback[windows] = ~enough
        for place, window in enumerate(windows.tolist()):
            zeroed[window] = tuple(name for name in WEIGHTS if not used[name][place])
    return SelectedMany(
        mask=mask, eligible=may_enter, is_fallback=is_fallback, components_zeroed=tuple(zeroed)
    )


def _choose(
    closes: FloatArray,
    traded_value: FloatArray | None,
    settings: LogMps,
    days_per_year: int,
    starts: IntegerArray,
) -> tuple[BoolArray, dict[str, BoolArray]]:
    """Return what is chosen of stacks without a hole, shape (K, n), and which components had data."""
    returns = _returns(closes)
    deviation = returns.std(axis=2, ddof=1)
    raw = _components(returns, deviation, traded_value, settings, days_per_year, starts)
    used: dict[str, BoolArray] = {
        name: np.asarray(np.isfinite(values).all(axis=1)) for name, values in raw.items()
    }
    scores = _scores(raw, used, _fragility_penalty(returns, deviation), settings)
    days = closes.shape[2]
    first = max(0, days - 1 - settings.momentum_days)
    allowed = closes[:, :, -1] / closes[:, :, first] - 1.0 >= settings.momentum_min
    # A share is a number always, so survival is always used.
    allowed &= raw["survival"] >= settings.survival_min
    chosen = np.zeros(deviation.shape, dtype=np.bool_)
    correlations, distances = _correlations_and_distances(returns, settings)
    for window, (may, score) in enumerate(zip(allowed.tolist(), scores.tolist(), strict=True)):
        for members in _clusters(distances[window], settings):
            candidates = [member for member in members if may[member]]
            if len(candidates) > 1:
                candidates.sort(key=lambda member: -score[member])
                places = _places(correlations[window][np.ix_(members, members)], settings.top_n)
                candidates = candidates[:places]
            chosen[window, candidates] = True
    return chosen, used


def _returns(closes: FloatArray) -> FloatArray:
    returns: FloatArray = closes[..., 1:] / closes[..., :-1] - 1.0
    return returns


def _components(
    returns: FloatArray,
    deviation: FloatArray,
    traded_value: FloatArray | None,
    settings: LogMps,
    days_per_year: int,
    starts: IntegerArray,
) -> dict[str, FloatArray]:
    """Return shape (K, n) by name, in the order of the weights."""
    if traded_value is None:
        liquidity = np.full(deviation.shape, np.nan)
    else:
        liquidity = np.minimum(1.0, traded_value.mean(axis=2) / settings.liquidity_full)
    lines = returns.reshape(-1, returns.shape[2])

    def shaped(values: FloatArray) -> FloatArray:
        return values.reshape(deviation.shape)

    return {
        "momentum": returns.mean(axis=2) * days_per_year,
        "stability": 1.0 / (deviation * math.sqrt(days_per_year) + 1e-9),
        "liquidity": liquidity,
        "antifragility": shaped(af_dist_fast(lines)),
        "survival": np.array(
            [
                survival_fast(
                    window, drawdown=settings.survival_drawdown, block=settings.survival_block, starts=drawn
                )
                for window, drawn in zip(returns, starts, strict=True)
            ]
        ),
        "efficiency": shaped(efficiency_ratio_fast(lines)),
        "entropy": shaped(order_fast(lines)),
        "hurst_clean": shaped(1.0 - 2.0 * np.abs(hurst_exponent_fast(lines) - 0.5)),
    }


# --- components: each of shape (M,) for returns of shape (M, T) ----------------------------------------


def efficiency_ratio_fast(returns: FloatArray) -> FloatArray:
    """Return `components.efficiency_ratio` of every line."""
    recent = np.ascontiguousarray(returns[:, -RECENT_DAYS:])
    way = np.abs(recent).sum(axis=1)
    nothing = np.full(way.shape, np.nan)
    return np.asarray(np.divide(np.abs(recent.sum(axis=1)), way, out=nothing, where=way > 0))


def order_fast(returns: FloatArray) -> FloatArray:
    """Return `components.order` of every line."""
    recent = returns[:, -RECENT_DAYS:]
    n_patterns = recent.shape[1] - 2
    if n_patterns < 1:
        return np.full(len(returns), np.nan)
    first, second, third = recent[:, :-2], recent[:, 1:-1], recent[:, 2:]
    # Three comparisons tell all six orders of three values, equal ones counting as rising.
    code = (second < first) * 4 + (third < second) * 2 + (third < first)
    lines = np.arange(len(returns))[:, None] * 8
    counts = np.bincount((lines + code).ravel(), minlength=8 * len(returns)).reshape(-1, 8)
    terms = [
        count / n_patterns * math.log(count / n_patterns) if count else 0.0 for count in range(n_patterns + 1)
    ]
    scale = math.log(_PATTERNS)
    entropies = [-math.fsum([terms[count] for count in line]) for line in counts.tolist()]
    return np.array([1.0 - entropy / scale for entropy in entropies])


def hurst_exponent_fast(returns: FloatArray) -> FloatArray:
    """Return `components.hurst_exponent` of every line."""
    sizes: list[int] = []
    size = _SMALLEST_HURST_CHUNK
    while size <= returns.shape[1] // 2:
        sizes.append(size)
        size *= 2
    if len(sizes) < 3:
        return np.full(len(returns), np.nan)
    means = np.stack([_rescaled_range(returns, size) for size in sizes], axis=1)
    exponents = np.empty(len(returns))
    whole = (means > 0.0).all(axis=1)
    for line in np.flatnonzero(~whole).tolist():
        known = means[line] > 0.0
        exponents[line] = np.nan
        if known.sum() >= 3:
            exponents[line] = _slopes(np.array(sizes)[known].tolist(), means[line, known][None])[0]
    exponents[whole] = _slopes(sizes, means[whole])
    return exponents


def _slopes(sizes: list[int], means: FloatArray) -> list[float]:
    """Return the slope of log mean on log size of every line; means are positive, shape (M, sizes)."""
    logs = [math.log(size) for size in sizes]
    mean_x = math.fsum(logs) / len(logs)
    deviations = [x - mean_x for x in logs]
    square = math.fsum([x**2 for x in deviations])
    slopes = []
    for line in means.tolist():
        heights = [math.log(mean) for mean in line]
        mean_y = math.fsum(heights) / len(heights)
        slopes.append(
            math.fsum([x * (y - mean_y) for x, y in zip(deviations, heights, strict=True)]) / square
        )
    return slopes


def _rescaled_range(returns: FloatArray, size: int) -> FloatArray:
    """Return the mean rescaled range of the chunks of one size, shape (M,); 0 where none moved."""
    n_chunks = returns.shape[1] // size
    sums: list[float] = []
    moving: list[IntegerArray] = []
    for first in range(0, len(returns), _LINES):
        lines = returns[first : first + _LINES, : n_chunks * size]
        # Shape (day in the chunk, chunk, line): numpy is quick along the last axis only if that is long.
        days = np.ascontiguousarray(lines.reshape(len(lines), n_chunks, size).transpose(2, 1, 0))
        centred = days - sum_of_rows(days) / size
        deviation = np.sqrt(sum_of_rows(centred * centred) / size)
        path = np.zeros(deviation.shape)
        highest, lowest = np.zeros(deviation.shape), np.zeros(deviation.shape)
        for day in centred:
            path += day
            np.maximum(highest, path, out=highest)
            np.minimum(lowest, path, out=lowest)
        moved = deviation > 0
        rescaled = np.divide(highest - lowest, deviation, out=np.zeros(deviation.shape), where=moved)
        # A chunk that did not move adds 0 exactly.
        sums += [math.fsum(line) for line in rescaled.T.tolist()]
        moving.append(moved.sum(axis=0))
    return np.array(sums) / np.maximum(np.concatenate(moving), 1)


def sum_of_rows(values: FloatArray) -> FloatArray:
    """Return the sum over the first axis as numpy adds up a contiguous line of that length, bit for bit.

    Parameters
    ----------
    values
        Shape (n, ...), n a power of 2 from 8 on. Up to 128 numbers numpy keeps eight sums and joins them in
        pairs; more are halved first.
    """
    if len(values) > 128:
        half = len(values) // 2
        return sum_of_rows(values[:half]) + sum_of_rows(values[half:])
    eight = values[:8].copy()
    for first in range(8, len(values), 8):
        eight += values[first : first + 8]
    four = eight[0::2] + eight[1::2]
    total: FloatArray = (four[0] + four[1]) + (four[2] + four[3])
    return total


def survival_fast(returns: FloatArray, *, drawdown: float, block: int, starts: IntegerArray) -> FloatArray:
    """Return `components.survival` of instruments, shape (n,).

    A path is a row of whole blocks, so what a block does to level, peak and drawdown is worked out once for
    each day that it can begin on, in single precision. Paths that come near the drawdown that ends them are
    walked day by day.

    Parameters
    ----------
    returns
        Shape (n, T).
    starts
        Shape (paths, blocks), `components.block_starts`.
    """
    n_days = returns.shape[1]
    n_paths, n_blocks = starts.shape
    growth = (1.0 + returns.T).astype(np.float32)
    whole = _block_summary(growth, block)
    last = _block_summary(growth, n_days - (n_blocks - 1) * block)
    shape = (n_paths, len(returns))
    level, peak, deepest = (np.ones(shape, dtype=np.float32) for _ in range(3))
    fall = np.empty(shape, dtype=np.float32)
    for place in range(n_blocks):
        drawn = (whole if place < n_blocks - 1 else last).take(starts[:, place], axis=0)
        over, highest, lowest, inside = drawn.transpose(1, 0, 2)
        # Against the peak before the block, or against one inside it, whichever is the deeper fall.
        np.multiply(level, lowest, out=fall)
        np.divide(fall, peak, out=fall)
        np.minimum(deepest, fall, out=deepest)
        np.minimum(deepest, inside, out=deepest)
        np.multiply(level, highest, out=fall)
        np.maximum(peak, fall, out=peak)
        np.multiply(level, over, out=level)
    edge = 1.0 - drawdown
    survived = deepest >= edge
    # A step rounds by at most 2^-24 of a level, and no share of a peak has more than a few steps a day.
    undecided = 4 * n_days * 2.0**-24
    for path, column in np.argwhere(np.abs(deepest - edge) <= undecided).tolist():
        days = (starts[path, :, None] + np.arange(block)).ravel()[:n_days] % n_days
        levels = np.cumprod(1.0 + returns[column, days])
        peaks = np.maximum(np.maximum.accumulate(levels), 1.0)
        survived[path, column] = (levels / peaks - 1.0).min() >= -drawdown
    return np.asarray(survived.sum(axis=0) / n_paths)


def _block_summary(growth: npt.NDArray[np.float32], days: int) -> npt.NDArray[np.float32]:
    """Return what so many days do that begin on each day, the last one being followed by the first.

    Parameters
    ----------
    growth
        Shape (T, n), 1 + return of each day.

    Returns
    -------
    numpy.ndarray
        Shape (T, 4, n): growth over them, highest and lowest level in them (1 before them), and the lowest
        share of a peak among them.
    """
    part = np.stack((growth, growth, growth, np.ones_like(growth)))
    whole, length, doubled = None, 0, 1
    while doubled <= days:
        if days & doubled:
            whole = part if whole is None else _one_after_the_other(whole, part, length)
            length += doubled
        doubled *= 2
        if doubled <= days:
            part = _one_after_the_other(part, part, doubled // 2)
    assert whole is not None, "a block has at least one day"
    return np.ascontiguousarray(whole.transpose(1, 0, 2))


def _one_after_the_other(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], days: int
) -> npt.NDArray[np.float32]:
    """Return the summary of `days` days and those that follow them, shape (4, T, n)."""
    over, highest, lowest, inside = first
    later = np.roll(second, -days, axis=1)
    later[:3] *= over
    joined = np.empty_like(first)
    joined[0] = later[0]
    np.maximum(highest, later[1], out=joined[1])
    np.minimum(lowest, later[2], out=joined[2])
    np.divide(later[2], highest, out=joined[3])
    np.minimum(joined[3], inside, out=joined[3])
    np.minimum(joined[3], later[3], out=joined[3])
    return joined


def af_dist_fast(returns: FloatArray) -> FloatArray:
    """Return `engine.core.metrics.af_dist` of every line."""
    n_days = returns.shape[1]
    if n_days < _MINIMUM_TAIL_OBSERVATIONS:
        return np.full(len(returns), np.nan)
    values = returns + np.linspace(0.0, 1e-12, n_days)
    low, high = np.quantile(values, (0.05, 0.95), axis=1)
    best, n_best = _mean_of(values, values >= high[:, None])
    worst, n_worst = _mean_of(values, values <= low[:, None])
    skew = _skewness(returns)
    enough = np.minimum(n_best, n_worst) >= min(10, int(0.05 * n_days))
    asymmetry = best / (np.abs(worst) + 1e-12)
    return np.array(
        [
            skew[line] + math.log(share + 1e-12) if known and share > 0 else math.nan
            for line, (share, known) in enumerate(zip(asymmetry.tolist(), enough.tolist(), strict=True))
        ]
    )


def _skewness(returns: FloatArray) -> FloatArray:
    deviation = returns - returns.mean(axis=1, keepdims=True)
    variance = (deviation * deviation).mean(axis=1).tolist()
    cubes = (deviation * deviation * deviation).mean(axis=1).tolist()
    moved = (returns != returns[:, :1]).any(axis=1).tolist()
    return np.array(
        [
            cube / math.pow(square, 1.5) if moves else math.nan
            for cube, square, moves in zip(cubes, variance, moved, strict=True)
        ]
    )


def cvar_95_fast(returns: FloatArray) -> FloatArray:
    """Return `engine.core.metrics.cvar_95` of every line."""
    if returns.shape[1] < _MINIMUM_OBSERVATIONS:
        return np.full(len(returns), np.nan)
    limit = np.quantile(returns, 0.05, axis=1)
    return _mean_of(returns, returns <= limit[:, None])[0]


def _mean_of(values: FloatArray, wanted: BoolArray) -> tuple[FloatArray, IntegerArray]:
    """Return the mean of the wanted values of each line, and how many there are.

    Lines with equally many are added up together: a sum with zeros in between would round differently.
    """
    counts = wanted.sum(axis=1)
    means = np.full(len(values), np.nan)
    for count in np.unique(counts[counts > 0]).tolist():
        lines = counts == count
        means[lines] = values[lines][wanted[lines]].reshape(-1, count).mean(axis=1)
    return means, counts


# --- scores and clusters ----------------------------------------


def _fragility_penalty(returns: FloatArray, deviation: FloatArray) -> FloatArray:
    loss = np.abs(cvar_95_fast(returns.reshape(-1, returns.shape[2]))).reshape(deviation.shape)
    fragility = np.divide(loss, deviation, out=np.zeros_like(loss), where=deviation > 0)
    largest = fragility.max(axis=1, keepdims=True)
    nothing = np.zeros_like(fragility)
    return np.asarray(np.divide(0.5 * fragility, largest, out=nothing, where=largest > 0))


def _scores(
    raw: dict[str, FloatArray], used: dict[str, BoolArray], penalty: FloatArray, settings: LogMps
) -> FloatArray:
    parts = []
    for name, values in raw.items():
        mapped = (
            np.clip(values, 0.001, 1.0) if name in ("survival", "liquidity", "efficiency") else _ranks(values)
        )
        # What is not used adds 0 exactly.
        known = np.where(used[name][:, None], mapped, 1.0)
        parts.append(settings.weights[name] * _logarithms(known))
    sums = [math.fsum(line) for line in np.stack(parts, axis=-1).reshape(-1, len(parts)).tolist()]
    return np.array(sums).reshape(penalty.shape) + _logarithms(1.0 - penalty)


def _logarithms(values: FloatArray) -> FloatArray:
    # Scalar ones: vectorised logarithms differ between processors in the last bit.
    return np.array([math.log(value) for value in values.ravel().tolist()]).reshape(values.shape)


def _ranks(values: FloatArray) -> FloatArray:
    below = (values[:, :, None] > values[:, None, :]).sum(axis=2)
    equal = (values[:, :, None] == values[:, None, :]).sum(axis=2)
    rank = below + (equal - 1) / 2
    share: FloatArray = rank / (values.shape[1] - 1)
    return 0.01 + 0.99 * share


def _correlations_and_distances(returns: FloatArray, settings: LogMps) -> tuple[FloatArray, FloatArray]:
    """Return correlations over all training rows, shape (K, n, n), and distances of (K, pairs)."""
    n_days = returns.shape[2]
    lookbacks = [min(days, n_days) for days in (*settings.lookbacks, n_days)]
    found = {days: _correlations(returns[:, :, n_days - days :]) for days in sorted(set(lookbacks))}
    distance = np.zeros(found[n_days].shape)
    for days in lookbacks:
        distance += np.sqrt(0.5 * (1.0 - found[days])) / len(lookbacks)
    rows, columns = np.triu_indices(returns.shape[1], 1)
    return found[n_days], np.ascontiguousarray(distance[:, rows, columns])


def _clusters(distances: FloatArray, settings: LogMps) -> list[list[int]]:
    """Return the members of each cluster, in order."""
    tree = ward_tree(distances)
    n = len(tree) + 1
    # What joined above the cut is a cluster no more, whatever joins it later.
    nodes = [[leaf] for leaf in range(n)]
    for left, right, height, _ in tree.tolist():
        one, other = nodes[int(left)], nodes[int(right)]
        if height <= settings.cluster_distance and one and other:
            nodes.append(one + other)
            nodes[int(left)] = nodes[int(right)] = []
        else:
            nodes.append([])
    clusters = [sorted(members) for members in nodes if members]
    if len(clusters) > CLUSTERS_MAX:
        labels = cut_tree(tree, settings)
        clusters = [np.flatnonzero(labels == label).tolist() for label in range(1, labels.max() + 1)]
    return clusters


def _places(correlation: FloatArray, top_n: int) -> int:
    """Return how many of a cluster of at least two are taken."""
    members = len(correlation)
    alike = (float(correlation.sum()) - members) / (members * (members - 1))
    return max(1, round(top_n * (1.0 - alike) + 0.5))


def _correlations(returns: FloatArray) -> FloatArray:
    deviation = np.ascontiguousarray(returns - returns.mean(axis=2, keepdims=True))
    norm = np.sqrt((deviation * deviation).sum(axis=2))[:, :, None]
    scaled = np.divide(deviation, norm, out=np.zeros_like(deviation), where=norm > 0)
    # A stack at a time would leave the processor's cache.
    products = np.array([(window[:, None, :] * window[None, :, :]).sum(axis=2) for window in scaled])
    correlation: FloatArray = np.clip(products, -1.0, 1.0)
    diagonal = np.arange(returns.shape[1])
    correlation[:, diagonal, diagonal] = 1.0
    return correlation
