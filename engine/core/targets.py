"""Base weights, signals and drift: what each instrument should be held at, and what is decided now."""

from typing import NamedTuple

import numpy as np

from engine.compiled import constant, inlined_kernel
from engine.core.account import (
    AGAIN,
    BASE,
    BUSY,
    DECIDED,
    EQUITY,
    NEXT_PLAN,
    SAVED,
    SCALE,
    SIGNAL,
    STOPPED,
    TARGET,
    UNITS,
    Books,
)
from engine.core.limits import apply_limits
from engine.core.settings import Terms
from engine.domain.panel import FloatArray, IntArray
from engine.domain.reasons import Cause

FULL = 1
SCALED = 0
SIGNAL_CAUSE = constant(Cause.SIGNAL)
REBASE_CAUSE = constant(Cause.REBASE)


class Plans(NamedTuple):
    """Base weights of all accounts.

    Attributes
    ----------
    rows, weights
        Shapes (S,) and (S, N): all plans behind one another; rows count bars since the origin.
    start, stop
        Shape (P,): the rows of account p's plan.
    drift_band, invest
        Shape (P,): see `engine.domain.portfolio.Plan`; 0 is scaled, 1 is full.
    """

    rows: IntArray
    weights: FloatArray
    start: IntArray
    stop: IntArray
    drift_band: FloatArray
    invest: IntArray


@inlined_kernel
def take_plan(account: int, bar: int, plans: Plans, books: Books) -> bool:
    """Put the base weights of this bar in force, if the plan has a row for it."""
    place = plans.start[account] + books.counts[NEXT_PLAN]
    if place >= plans.stop[account] or plans.rows[place] != bar:
        return False
    books.counts[NEXT_PLAN] += 1
    for n in range(books.holdings.shape[1]):
        books.holdings[BASE, n] = plans.weights[place, n]
    return True


@inlined_kernel
def compose_targets(invest: int, books: Books) -> None:
    """Write base weight x signal to row `TARGET`; `FULL` renormalises to the gross of the base weights.

    An instrument that was stopped out has a target of 0 until its signal changes.
    """
    holdings = books.holdings
    for n in range(holdings.shape[1]):
        target = holdings[BASE, n] * holdings[SIGNAL, n]
        holdings[TARGET, n] = target if books.lots[STOPPED, n] == 0 else 0.0
    if invest != FULL:
        return
    gross = 0.0
    signalled = 0.0
    for n in range(holdings.shape[1]):
        gross += holdings[BASE, n]
        signalled += abs(holdings[TARGET, n])
    if signalled > 0.0:
        factor = gross / signalled
        for n in range(holdings.shape[1]):
            holdings[TARGET, n] *= factor


@inlined_kernel
def drift(mark_row: FloatArray, cluster: IntArray, terms: Terms, books: Books) -> float:
    """Return the one-way drift sum |w - target| / 2 of what is held from what the targets would hold.

    Targets are taken after limits and cash buffer, as sizing takes them: otherwise the drift would never
    close. Leaves limited targets in row `TARGET`; row `DECIDED` is as it was.
    """
    instruments = mark_row.shape[0]
    equity = books.values[EQUITY]
    for n in range(instruments):
        books.lots[SAVED, n] = books.lots[DECIDED, n]
        books.lots[DECIDED, n] = REBASE_CAUSE
    apply_limits(
        books.values[SCALE], terms.limits, terms.rules.lot_size, cluster, mark_row, equity, books.holdings,
        books.lots,
    )  # fmt: skip
    total = 0.0
    for n in range(instruments):
        books.lots[DECIDED, n] = books.lots[SAVED, n]
        target = books.holdings[TARGET, n] * (1.0 - terms.rules.cash_buffer)
        total += abs(books.holdings[UNITS, n] * mark_row[n] / equity - target)
    return total / 2.0


@inlined_kernel
def mark_decided_by_signals(signal_row: FloatArray, invest: int, books: Books) -> bool:
    """Take over the signals of the bar; mark the instruments whose target they change.

    A signal that is missing (NaN) leaves the one before. Under `FULL` a change moves the divisor, so every
    instrument is decided (RULINGS C1), unless the base weight is 0: that signal is no part of the divisor.
    """
    news = 0
    for n in range(signal_row.shape[0]):
        differs = signal_row[n] != books.holdings[SIGNAL, n] and signal_row[n] == signal_row[n]
        news += 1 if differs or books.lots[STOPPED, n] == 2 else 0
    if news == 0:
        return False
    changed = False
    divisor_moved = False
    for n in range(signal_row.shape[0]):
        if books.lots[STOPPED, n] == 2:
            books.lots[STOPPED, n] = 1
            divisor_moved = divisor_moved or books.holdings[BASE, n] != 0.0
        signal = signal_row[n]
        if np.isnan(signal):
            continue
        signal = min(1.0, max(-1.0, signal))
        if signal != books.holdings[SIGNAL, n]:
            books.holdings[SIGNAL, n] = signal
            books.lots[STOPPED, n] = 0
            books.lots[DECIDED, n] = SIGNAL_CAUSE
            changed = True
            divisor_moved = divisor_moved or books.holdings[BASE, n] != 0.0
    if divisor_moved and invest == FULL:
        for n in range(signal_row.shape[0]):
            if books.lots[DECIDED, n] == 0:
                books.lots[DECIDED, n] = SIGNAL_CAUSE
        changed = True
    return changed


@inlined_kernel
def mark_all_decided(cause: int, books: Books) -> None:
    """Decide every instrument for this cause."""
    for n in range(books.lots.shape[1]):
        books.lots[DECIDED, n] = cause


@inlined_kernel
def mark_decided_again(books: Books) -> bool:
    """Decide again what stands unfilled, for the cause that it was decided for first."""
    any_stands = False
    if books.counts[BUSY] == 0:
        return any_stands
    for n in range(books.lots.shape[1]):
        if books.lots[AGAIN, n] != 0:
            if books.lots[DECIDED, n] == 0:
                books.lots[DECIDED, n] = books.lots[AGAIN, n]
            books.lots[AGAIN, n] = 0
            books.counts[BUSY] -= 1
            any_stands = True
    return any_stands
