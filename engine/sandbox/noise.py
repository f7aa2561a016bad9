"""Randomness by address: the same keys give the same number, whatever was asked before.

A market of which any window can be asked first cannot draw from one stream. Where few numbers are wanted
they are hashed from their keys; where many are, the keys seed a generator of their own.
"""

import numpy as np
import numpy.typing as npt

from engine.domain.panel import FloatArray, IntArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def uniform(*keys: int | IntArray) -> FloatArray:
    """Return numbers in [0, 1), one for each combination of keys.

    Parameters
    ----------
    keys
        Whole numbers, or arrays that broadcast together; at least one array gives the shape, else (1,).
    """
    state: npt.NDArray[np.uint64] = np.zeros(1, dtype=np.uint64)
    for key in keys:
        state = _mixed(state + np.atleast_1d(np.asarray(key, dtype=np.int64)).astype(np.uint64) + _GOLDEN)
    return np.asarray((state >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def generator(*keys: int) -> np.random.Generator:
    """Return a generator of its own for these keys; none may be negative."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(keys)))


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # splitmix64: every bit of the key moves every bit of the result.
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
