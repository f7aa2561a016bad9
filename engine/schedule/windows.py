"""Walk-forward windows, and the plan of base weights that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import FloatArray
from engine.domain.portfolio import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Rows to learn from, and the rows after them to be judged on.

    Attributes
    ----------
    index
        Counted from 0, oldest first.
    train_start, train_stop
        Training rows are `train_start` up to, not including, `train_stop`. The purged rows are already off.
    test_start, test_stop
        Test rows, likewise. The fit is decided on at the close of `test_start`, filled from the next row on.
    """

    index: int
    train_start: int
    train_stop: int
    test_start: int
    test_stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.train_start < self.train_stop <= self.test_start < self.test_stop:
            raise InvalidValueError(
                f"window {self.index}: rows must be in the order training, test, were training "
                f"[{self.train_start}, {self.train_stop}), test [{self.test_start}, {self.test_stop})"
            )


class Rebalance(StrEnum):
    """When an account goes back to its base weights: at a window's start, on every row, or past 5% drift."""

    WINDOW = "window"
    DAILY = "daily"
    DAILY_5PCT = "daily_5pct"

    @property
    def drift_band(self) -> float:
        """One-way drift above which a row re-bases (`Plan.drift_band`)."""
        match self:
            case Rebalance.WINDOW:
                return np.inf
            case Rebalance.DAILY:
                return 0.0
            case Rebalance.DAILY_5PCT:
                return 0.05


def walk_forward(
    n_rows: int, *, train: int = 180, test: int = 40, step: int = 20, purge: int = 1, embargo: int = 0
) -> tuple[Window, ...]:
    """Return every window that fits into `n_rows`, starting at rows 0, `step`, 2 `step` and so on.

    Parameters
    ----------
    purge
        Rows cut off the end of the training part: the horizon of a label, whose last values would be
        known only inside the test part.
    embargo
        Rows left out between the training and the test part. Nothing is trained on rows after a test part
        here, so 0 is right unless the data are published late.

    Raises
    ------
    InvalidValueError
        If a length makes no sense.
    InputError
        If not one window fits.
    """
    if train < 1 or test < 1 or step < 1 or not 0 <= purge < train or embargo < 0:
        raise InvalidValueError(
            "walk-forward: train, test and step must be at least 1, purge from 0 to train - 1, embargo at "
            f"least 0; were train {train}, test {test}, step {step}, purge {purge}, embargo {embargo}"
        )
    length = train + embargo + test
    if n_rows < length:
        raise InputError(
            f"walk-forward: {n_rows} rows hold no window, one needs {length} (train {train} + embargo "
            f"{embargo} + test {test}); give more data or a shorter window"
        )
    return tuple(
        Window(
            index=index,
            train_start=start,
            train_stop=start + train - purge,
            test_start=start + train + embargo,
            test_stop=start + length,
        )
        for index, start in enumerate(range(0, n_rows - length + 1, step))
    )


def plan(windows: Sequence[Window], weights: FloatArray, rebalance: Rebalance) -> Plan:
    """Put each window's base weights in force from its test start.

    Parameters
    ----------
    weights
        Shape (K, N), one row a window; a row of zeros is cash.
    """
    rows = np.array([window.test_start for window in windows], dtype=np.int64)
    return Plan(rows=rows, weights=weights, drift_band=rebalance.drift_band)
