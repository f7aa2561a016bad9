"""What a search is asked for: worked out by hand, and larger is always better."""

import math

import numpy as np
import pytest

from engine.domain.errors import InputError
from engine.domain.panel import FloatArray
from research.tuning_objectives import MEANINGS, Objective, Stretch, measure, measures, objectives_of, stretch

YEAR = 252
DAILY = np.ones(6, dtype=np.bool_)


def of(equity: FloatArray, *, gross: float = 0.5, pool: FloatArray | None = None) -> Stretch:
    found = stretch(
        equity,
        np.full(equity.shape, gross),
        np.full(equity.shape, 0.25),
        np.full(equity.shape, 1.0) if pool is None else pool,
        DAILY,
        YEAR,
    )
    assert found is not None
    return found


def test_ratios_are_what_a_person_computes() -> None:
    equity = np.array([100.0, 110.0, 99.0, 108.9, 98.01, 107.811])
    returns = np.array([0.0, 0.1, -0.1, 0.1, -0.1, 0.1])
    sharpe = returns.mean() / returns.std(ddof=1) * math.sqrt(YEAR)

    assert measure(Objective.SHARPE, of(equity)) == pytest.approx(sharpe)
    # From 110 to 98.01.
    assert measure(Objective.MAX_DRAWDOWN, of(equity)) == pytest.approx(98.01 / 110.0 - 1.0)
    assert measure(Objective.CAGR, of(equity)) == pytest.approx(1.07811 ** (YEAR / 6) - 1.0)
    assert measure(Objective.CALMAR, of(equity)) == pytest.approx(
        (1.07811 ** (YEAR / 6) - 1.0) / (1.0 - 98.01 / 110.0)
    )
    # A quarter on each of six days is a quarter a day.
    assert measure(Objective.LOW_TURNOVER, of(equity)) == pytest.approx(-0.25 * YEAR)
    assert measure(Objective.CVAR_95, of(equity)) == pytest.approx(-0.1)


def test_the_excess_is_over_the_pool_at_equal_exposure() -> None:
    pool = np.array([100.0, 120.0, 96.0, 115.2, 92.16, 110.592])
    half_of_it = np.array([100.0, 110.0, 99.0, 108.9, 98.01, 107.811])

    assert of(half_of_it, pool=pool).excess == pytest.approx(np.zeros(6), abs=1e-12)
    assert of(half_of_it, pool=pool).gross == 0.5


def test_an_account_that_never_held_anything_or_lost_all_has_no_worth() -> None:
    flat = np.full(6, 100.0)
    ruined = np.array([100.0, 50.0, 0.0, 0.0, 0.0, 0.0])

    assert measures((Objective.SHARPE,), of(flat, gross=0.0)) is None
    assert measures((Objective.CAGR,), of(flat, gross=0.0)) is None
    assert stretch(ruined, flat, flat, flat, DAILY, YEAR) is None
    assert measures((Objective.CAGR,), None) is None
    assert measures((Objective.CAGR, Objective.SHARPE), of(flat)) is None
    assert measures((Objective.CAGR,), of(flat)) == (0.0,)


def test_names_are_read_and_wrong_ones_are_told_with_those_that_are_known() -> None:
    assert objectives_of(["calmar", "sharpe"]) == (Objective.CALMAR, Objective.SHARPE)
    with pytest.raises(InputError, match=r"did you mean 'calmar'\? known are excess_sharpe, sharpe, calmar"):
        objectives_of(["calmer"])
    with pytest.raises(InputError, match="sharpe is named twice"):
        objectives_of(["sharpe", "sharpe"])
    with pytest.raises(InputError, match="name at least one"):
        objectives_of([])


def test_every_objective_says_what_it_is() -> None:
    assert set(MEANINGS) == set(Objective)
