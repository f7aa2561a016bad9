"""A row of a board on the bars that nobody has seen: one account, warmed up by the bars before.

It is played by the path of `research.dissection`. Only the rows are others: the account begins in cash at the
close of the last bar that was never sealed, with the fit that is in force there, and ends with the data.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from engine.core import metrics
from engine.domain.errors import IdentityError, InputError, InvalidValueError
from engine.domain.panel import FloatArray, IntArray, Panel, day_ends
from engine.schedule.windows import Window, walk_forward
from research.cells import BaselineRole
from research.configuration import Windows
from research.dissection import Dissection, dissect
from research.excess import excess_returns
from research.passports import Rebuilt
from research.resampling import block_length, resampled_rows
from research.statistics import annualized_lower_bound, describe

N_BOOTSTRAPS = 1000
# Nine in ten stretches of the board's own days lie inside.
_OUTSIDE = 0.05
# The board's figure made again: another order of additions may show in the last digits, nothing more.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Excess Sharpe ratios, annualised, that so many days of the board's own excess would have shown.

    Attributes
    ----------
    low, high
        The middle nine tenths of them.
    """

    low: float
    high: float
    n_days: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Sealed:
    """A row on the sealed bars, beside what its board promised.

    Attributes
    ----------
    account
        On the sealed bars.
    stamps
        Shape (D,), UTC nanoseconds of the last bar of each sealed day.
    returns, pool, excess
        Shape (D,), daily: of the account, of the pool, and beyond the pool at the account's own exposure.
    excess_sharpe, lower_bound
        Annualised, as the board measures them (RULINGS D2).
    promised_sharpe, promised_bound
        The same on the board.
    """

    account: Dissection
    stamps: IntArray
    returns: FloatArray
    pool: FloatArray
    excess: FloatArray
    excess_sharpe: float
    lower_bound: float
    promised_sharpe: float
    promised_bound: float
    band: Band


@dataclass(frozen=True, kw_only=True, eq=False)
class Promise:
    """What a row was on its board, made again before anything is opened.

    Attributes
    ----------
    excess
        Shape (D,), daily, of the board's days.
    """

    excess: FloatArray
    sharpe: float
    bound: float


def promise(rebuilt: Rebuilt, excess_sharpe: float) -> Promise:
    """Play a row on the board's own bars again.

    Parameters
    ----------
    excess_sharpe
        That the board shows.

    Raises
    ------
    InputError
        If its excess is too short, or does not vary: then there is nothing to hold the sealed bars against.
    IdentityError
        If another figure comes out: then the sealed bars would judge something else than the board did.
    """
    account = dissect(rebuilt)
    days = account.days_per_year
    excess = _excess(account)
    if describe(excess) is None:
        raise InputError(
            f"{rebuilt.passport.strategy_id}: {len(excess)} days of excess, or none that differ, promise "
            "nothing that the sealed bars could keep or break; nothing was opened"
        )
    again = metrics.sharpe(excess, days)
    if not math.isclose(again, excess_sharpe, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        raise IdentityError(
            f"{rebuilt.passport.strategy_id}: its board says excess Sharpe {excess_sharpe!r}, played again "
            f"it is {again!r}; nothing was opened, play the tournament again"
        )
    return Promise(excess=excess, sharpe=again, bound=annualized_lower_bound(excess, days_per_year=days))


def play_sealed(rebuilt: Rebuilt, panel: Panel, promised: Promise) -> Sealed:
    """Play a row on the sealed bars.

    Parameters
    ----------
    rebuilt
        Whose panel ends where the sealed bars begin.
    panel
        All bars, from `engine.data.holdout.open_holdout`.

    Raises
    ------
    InputError
        If its allocation gives no weights.
    """
    ground = rebuilt.ground
    lengths = rebuilt.settings.configuration.windows
    windows = sealed_windows(len(panel), len(ground.panel), lengths)
    account = dissect(replace(rebuilt, ground=replace(ground, panel=panel, windows=windows)))
    returns, excess = account.daily(account.equity), _excess(account)
    metrics.assert_identity(returns, account.equity)
    pool = account.daily(account.baselines[BaselineRole.RAW_POOL])
    stamps = account.timestamps[day_ends(account.timestamps, panel.calendar)]
    if stamps[0] < panel.timestamps[len(ground.panel)]:
        # The account begins at the close of a day that was never sealed: it earned nothing there.
        stamps, returns, pool, excess = stamps[1:], returns[1:], pool[1:], excess[1:]
    days = account.days_per_year
    rng = np.random.default_rng(int(rebuilt.passport.identity_hash[:16], 16))
    return Sealed(
        account=account,
        stamps=stamps,
        returns=returns,
        pool=pool,
        excess=excess,
        excess_sharpe=metrics.sharpe(excess, days),
        lower_bound=annualized_lower_bound(excess, days_per_year=days),
        promised_sharpe=promised.sharpe,
        promised_bound=promised.bound,
        band=band_of(promised.excess, len(excess), rng=rng, days_per_year=days),
    )


def sealed_windows(n_rows: int, first_sealed: int, lengths: Windows) -> tuple[Window, ...]:
    """Return the windows of a walk-forward over all rows that are in force on the sealed ones.

    The first is cut to begin at the close of the last row that is not sealed, so that its fills are the first
    sealed bar's; the last is drawn out to the end, as the newest fit is kept until there is a newer one.

    Parameters
    ----------
    first_sealed
        Row. At least one window must begin before it.
    """
    begin = first_sealed - 1
    windows = walk_forward(n_rows, **lengths.model_dump())
    in_force = [window for window in windows if window.test_start <= begin]
    if not in_force:
        raise InvalidValueError(f"sealed rows from {first_sealed} on: no window begins before them")
    later = [window for window in windows if window.test_start > begin]
    first = replace(in_force[-1], test_start=begin, test_stop=max(in_force[-1].test_stop, first_sealed))
    chosen = [first, *later]
    chosen[-1] = replace(chosen[-1], test_stop=n_rows)
    return tuple(chosen)


def band_of(excess: FloatArray, n_days: int, *, rng: np.random.Generator, days_per_year: int) -> Band:
    """Return which Sharpe ratios `n_days` drawn from a record would show (stationary bootstrap [1]_).

    An interval of the record's own ratio would be the wrong question: a short stretch of the same luck and
    skill varies more than the whole record does.

    Parameters
    ----------
    excess
        Shape (D,), daily, D at least 30, varying.
    n_days
        Of a longer stretch than the record, no more than the record's days are drawn.

    References
    ----------
    .. [1] Politis and Romano (1994), The stationary bootstrap, JASA 89(428)
    """
    n_days = min(n_days, len(excess))
    chunks = resampled_rows(len(excess), N_BOOTSTRAPS, length=block_length(excess), rng=rng)
    drawn = np.concatenate([excess[rows[:, :n_days]] for rows in chunks])
    spread = drawn.std(axis=1, ddof=1)
    # A stretch on which nothing moves has no ratio: it earned nothing.
    ratios = drawn.mean(axis=1) / np.where(spread > 0.0, spread, np.inf) * math.sqrt(days_per_year)
    low, high = np.quantile(ratios, [_OUTSIDE, 1.0 - _OUTSIDE])
    return Band(low=float(low), high=float(high), n_days=n_days)


def _excess(account: Dissection) -> FloatArray:
    pool = account.daily(account.baselines[BaselineRole.RAW_POOL])
    return excess_returns(account.daily(account.equity), account.exposure, pool)
