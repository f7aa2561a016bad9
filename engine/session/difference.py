"""Where two accounts of one session part: the first place in time, and what it comes from."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from engine.domain.panel import IntArray

Value = int | float | str | None


class Divergence(StrEnum):
    """What the first difference comes from. Each is a stage of the chain, or what the chain rests on."""

    JOURNAL_DAMAGED = "JOURNAL_DAMAGED"
    NOT_PROMOTED = "NOT_PROMOTED"
    TERMS_CHANGED = "TERMS_CHANGED"
    DATA_REVISED = "DATA_REVISED"
    BAR_MISSING = "BAR_MISSING"
    TAIL_TRUNCATED = "TAIL_TRUNCATED"
    RECORD_ORDER = "RECORD_ORDER"
    CORE_VERSION = "CORE_VERSION"
    STRATEGY_CHANGED = "STRATEGY_CHANGED"
    SIGNAL = "SIGNAL"
    WEIGHTS = "WEIGHTS"
    FILL_MISSING = "FILL_MISSING"
    FILL_EXTRA = "FILL_EXTRA"
    FILL_PRICE = "FILL_PRICE"
    FILL_SIZE = "FILL_SIZE"
    FEE = "FEE"
    FILL = "FILL"
    ORDER_END = "ORDER_END"
    CASH_MOVEMENT = "CASH_MOVEMENT"
    POSITION = "POSITION"
    CASH = "CASH"
    EQUITY = "EQUITY"
    DECISION_MISSING = "DECISION_MISSING"
    TARGET = "TARGET"
    ORDER_MISSING = "ORDER_MISSING"
    ORDER_EXTRA = "ORDER_EXTRA"
    ORDER = "ORDER"
    SUMMARY = "SUMMARY"


class Stage(StrEnum):
    """What is compared, in the order in which a bar makes it: fills come of the orders of bars before."""

    TERMS = "terms"
    BARS = "bar"
    RECORDS = "record"
    SIGNALS = "signal"
    WEIGHTS = "base weights"
    FILLS = "fill"
    ORDER_ENDS = "order end"
    CASH_MOVEMENTS = "cash movement"
    POSITIONS = "position"
    CASH = "cash"
    EQUITY = "equity"
    INTENTS = "intent"
    ORDERS = "order"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One place where the two sides are not the same.

    Attributes
    ----------
    row
        The bar, counted from the origin.
    instrument
        Column; None where it is about the account.
    field
        What of it differs, such as `price_e8`; empty where all of it is missing or too much.
    journal, backtest
        What each side says; None: nothing.
    order
        Number of the order that it is about.
    """

    cause: Divergence
    stage: Stage
    row: int
    instrument: int | None = None
    field: str = ""
    journal: Value = None
    backtest: Value = None
    order: int | None = None


def first_in_arrays(
    journal: npt.NDArray[np.generic],
    backtest: npt.NDArray[np.generic],
    *,
    present: npt.NDArray[np.bool_] | None = None,
) -> tuple[int, ...] | None:
    """Return the first place, in C order, at which two arrays of one shape differ in a bit.

    All NaNs are the same. Rows of the first axis that are not `present` are left out.
    """
    unequal = _bits(journal) != _bits(backtest)
    if present is not None:
        unequal &= present.reshape(-1, *[1] * (unequal.ndim - 1))
    if not unequal.any():
        return None
    return tuple(int(place) for place in np.unravel_index(int(np.argmax(unequal)), unequal.shape))


def _bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if values.dtype != np.float64:
        return values
    one_nan = np.where(np.isnan(values), np.nan, values)
    return one_nan.view(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """How differences between two lists of records are called.

    Attributes
    ----------
    fields
        By column name; columns that are not named fall under `other`.
    """

    missing: Divergence
    extra: Divergence
    other: Divergence
    fields: tuple[tuple[str, Divergence], ...] = ()

    def of(self, column: str) -> Divergence:
        """Return what a difference in a column is called."""
        return dict(self.fields).get(column, self.other)


def first_in_tables(
    journal: IntArray,
    backtest: IntArray,
    columns: Sequence[str],
    *,
    stage: Stage,
    key: Sequence[str],
    causes: Causes,
) -> Found | None:
    """Return the first difference between two tables of records, one a row, the bar in the first column.

    Parameters
    ----------
    key
        Columns that say which record it is; the others say what it says. Within a bar records are matched
        by them.
    """
    if journal.shape == backtest.shape and np.array_equal(journal, backtest):
        return None
    # Records out of their place are named elsewhere; here only their bars count.
    left, right = (table[np.argsort(table[:, 0], kind="stable")] for table in (journal, backtest))
    shared = min(len(left), len(right))
    unequal = (left[:shared] != right[:shared]).any(axis=1)
    if not unequal.any() and len(left) == len(right):
        return None
    place = int(np.argmax(unequal)) if unequal.any() else shared
    row = min(int(table[place, 0]) for table in (left, right) if place < len(table))
    ours, theirs = (table[table[:, 0] == row] for table in (left, right))
    return _first_of_bar(ours, theirs, columns, row, stage, key, causes)


def _first_of_bar(
    journal: IntArray,
    backtest: IntArray,
    columns: Sequence[str],
    row: int,
    stage: Stage,
    key: Sequence[str],
    causes: Causes,
) -> Found:
    places = [columns.index(name) for name in key]

    def found(record: IntArray, cause: Divergence, field: str, journal: Value, backtest: Value) -> Found:
        values = dict(zip(columns, record.tolist(), strict=True))
        order = values.get("order", -1)
        return Found(
            cause=cause,
            stage=stage,
            row=row,
            instrument=values.get("instrument"),
            field=field,
            journal=journal,
            backtest=backtest,
            order=None if order < 0 else order,
        )

    def keys(table: IntArray) -> list[tuple[int, ...]]:
        return [tuple(record[places].tolist()) for record in table]

    def words(record: IntArray) -> str:
        return ", ".join(f"{name} {value}" for name, value in zip(columns, record.tolist(), strict=True))

    ours, theirs = keys(journal), keys(backtest)
    without: Callable[[list[tuple[int, ...]], list[tuple[int, ...]]], int | None] = _first_without
    missing = without(theirs, ours)
    if missing is not None:
        record = backtest[missing]
        return found(record, causes.missing, "", None, words(record))
    extra = without(ours, theirs)
    if extra is not None:
        record = journal[extra]
        return found(record, causes.extra, "", words(record), None)
    for left, right in zip(journal, backtest, strict=True):
        if tuple(left[places]) != tuple(right[places]):
            return found(left, Divergence.RECORD_ORDER, "", words(left), words(right))
        for place, name in enumerate(columns):
            if left[place] != right[place]:
                return found(left, causes.of(name), name, int(left[place]), int(right[place]))
    raise AssertionError("the caller found a difference in these records")


def _first_without(keys: list[tuple[int, ...]], others: list[tuple[int, ...]]) -> int | None:
    """Return the place of the first key that has no partner among the others."""
    left = Counter(others)
    for place, key in enumerate(keys):
        if left[key] == 0:
            return place
        left[key] -= 1
    return None
