"""Stationary bootstrap of Politis and Romano: blocks of random length from random places, on a circle.

A resample is kept as counts (how often each row is drawn) where order does not matter, so that a bootstrap of
means is a product of two matrices, and as row numbers where it does (drawdowns).
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, IntArray

# Resamples are drawn this many at a time: it bounds the memory, and must not vary from machine to machine,
# because the generator is read chunk by chunk.
CHUNK = 128
# So many series say what their family needs.
_SERIES_ASKED = 32


def block_length(returns: FloatArray) -> float:
    """Return the mean length of blocks that suits a family of series: one number, at least 1.

    The median of `politis_white_lengths` over at most 32 columns, evenly spaced in the order given: one
    column of odd memory must not set the length of all, and nothing is drawn at random.

    Parameters
    ----------
    returns
        Shape (T,) or (T, N), T >= 30.
    """
    columns = returns.reshape(returns.shape[0], -1)
    n_asked = min(columns.shape[1], _SERIES_ASKED)
    asked = np.linspace(0, columns.shape[1] - 1, n_asked).round().astype(np.int64)
    return max(1.0, float(np.median(politis_white_lengths(columns[:, asked]))))


def politis_white_lengths(columns: FloatArray) -> FloatArray:
    """Return the mean block length of the stationary bootstrap that the rule asks for, shape (N,) [1]_ [2]_.

    The same as `arch.bootstrap.optimal_block_length`, all columns at once and without loading arch; for a
    circular bootstrap multiply by the cube root of 3/2.

    Parameters
    ----------
    columns
        Shape (T, N), each of them varying.

    References
    ----------
    .. [1] Politis and White (2004), Automatic block-length selection for the dependent bootstrap, Econometric
       Reviews 23(1), sec. 3.2
    .. [2] Patton, Politis and White (2009), Correction to the same, Econometric Reviews 28(4)
    """
    n_rows = len(columns)
    # The rule does not know scale; unit variance keeps its products away from underflow.
    deviations = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    n_calm = max(5, int(math.log10(n_rows)))
    longest = min(math.ceil(math.sqrt(n_rows)) + n_calm, n_rows - 2)
    products = np.array(
        [np.einsum("tn,tn->n", deviations[lag:], deviations[: n_rows - lag]) for lag in range(longest + 1)]
    )
    squares = deviations * deviations
    total = squares.sum(axis=0)
    heads, tails = (np.cumsum(part[: longest + 1], axis=0) for part in (squares, squares[::-1]))
    is_calm = np.abs(products) < 2.0 * math.sqrt(math.log10(n_rows) / n_rows) * np.sqrt(
        (total - heads) * (total - tails)
    )
    lengths = np.empty(columns.shape[1])
    for column, (calm, product) in enumerate(zip(is_calm.T, products.T, strict=True)):
        runs = np.convolve(calm[:-1], np.ones(n_calm), mode="valid") == n_calm
        # Twice the lag from which on nothing stands out; all lags if there is none.
        band = min(2 * max(int(np.argmax(runs)), 1), longest) if runs.any() else longest
        lags = np.arange(1, band + 1)
        weighted = np.minimum(1.0, 2.0 * (1.0 - lags / band)) * product[1 : band + 1] / n_rows
        spectrum = product[0] / n_rows + 2.0 * weighted.sum()
        slope = 2.0 * (lags * weighted).sum()
        lengths[column] = (slope**2 / spectrum**2 * n_rows) ** (1 / 3)
    return np.minimum(lengths, math.ceil(min(3 * math.sqrt(n_rows), n_rows / 3)))


def checked_block_length(length: float | None, returns: FloatArray) -> float:
    """Return the length asked for, or the one that suits the returns.

    Raises
    ------
    InvalidValueError
        If it is below one row or above all of them.
    """
    if length is None:
        return block_length(returns)
    if not 1.0 <= length <= len(returns):
        raise InvalidValueError(
            f"block length: must be between 1 and the {len(returns)} rows of the sample, was {length}"
        )
    return float(length)


def resampled_rows(
    n_rows: int, n_bootstraps: int, *, length: float, rng: np.random.Generator
) -> Iterator[IntArray]:
    """Yield the rows of resamples, shape (b, T) each, b at most 128 [1]_.

    A row is followed by its successor (the last by the first) with probability 1 - 1/length, else by any.

    References
    ----------
    .. [1] Politis and Romano (1994), The stationary bootstrap, JASA 89(428)
    """
    for flags, starts in _blocks(n_rows, n_bootstraps, length, rng):
        places = np.flatnonzero(flags)
        lengths = np.diff(places, append=flags.size)
        rows = np.arange(flags.size) + np.repeat(starts - places, lengths)
        rows[rows >= n_rows] -= n_rows
        yield rows.reshape(flags.shape)


def resampled_counts(
    n_rows: int, n_bootstraps: int, *, length: float, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield how often each row is drawn, shape (b, T) each, b at most 128, every row of it adding up to T.

    The same generator gives the same resamples as `resampled_rows`.
    """
    for flags, starts in _blocks(n_rows, n_bootstraps, length, rng):
        n_drawn = len(flags)
        places = np.flatnonzero(flags)
        owners, first_steps = np.divmod(places, n_rows)
        # A block ends where the next one begins, or at the end of its resample.
        ends = np.append(places[1:], n_drawn * n_rows) - owners * n_rows
        stops = starts + np.minimum(ends, n_rows) - first_steps
        # +1 where a block begins, -1 behind its end, then the running sum; what runs over the last row
        # continues at the first.
        width = 2 * n_rows + 1
        borders = np.bincount(owners * width + starts, minlength=n_drawn * width)
        borders -= np.bincount(owners * width + stops, minlength=n_drawn * width)
        counts = np.cumsum(borders.reshape(n_drawn, width), axis=1)
        yield (counts[:, :n_rows] + counts[:, n_rows : 2 * n_rows]).astype(np.float64)


def _blocks(
    n_rows: int, n_bootstraps: int, length: float, rng: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.bool_], IntArray]]:
    """Yield where blocks begin, shape (b, T), and the row that each of them begins with."""
    if n_bootstraps < 1:
        raise InvalidValueError(f"bootstraps: there must be at least one, were {n_bootstraps}")
    for begin in range(0, n_bootstraps, CHUNK):
        flags = rng.random((min(CHUNK, n_bootstraps - begin), n_rows)) < 1.0 / length
        flags[:, 0] = True
        yield flags, rng.integers(n_rows, size=int(flags.sum()))
