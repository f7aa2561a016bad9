"""One account in full: what it held adds up to what it was worth, and "what if" changes one thing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engine.domain.panel import Panel
from engine.strategy_files import load_strategy
from research.cells import BaselineRole
from research.configuration import for_data
from research.dissection import Dissection, at_cost, dissect_whole, one_bar_later, surface
from tests.builders import random_panel

PANEL = random_panel(500, 5, seed=3, holes=0.02)
SETTINGS = for_data("us5")


def account_of(name: str, panel: Panel = PANEL, **parameters: object) -> Dissection:
    return dissect_whole(load_strategy(name, parameters), panel, SETTINGS)


@pytest.fixture(scope="module")
def trend() -> Dissection:
    return account_of("trend", fast=5, slow=20)


def test_positions_and_cash_are_the_equity_on_every_bar(trend: Dissection) -> None:
    assert trend.fills.lots.size > 20
    assert_allclose(np.abs(trend.weights).sum(axis=1), trend.gross, rtol=1e-9, atol=1e-12)
    cash = trend.outcome.cash[0]
    assert_allclose(cash + trend.weights.sum(axis=1) * trend.equity, trend.equity, rtol=1e-9)


def test_what_instruments_earned_is_what_the_account_earned(trend: Dissection) -> None:
    earned = trend.profits.sum() + sum(trend.accrued.values())

    assert_allclose(earned, trend.equity[-1] - trend.settings.cash, rtol=1e-6)
    assert_allclose(trend.fills.fee.sum(), trend.outcome.fees[0], rtol=1e-6)


def test_the_pool_at_the_exposure_is_the_pool_where_all_is_invested(trend: Dissection) -> None:
    trend.__dict__["exposure"] = 1.0
    try:
        pool = trend.baselines[BaselineRole.RAW_POOL]
        assert_allclose(trend.pool_at_exposure, pool / pool[0] * trend.settings.cash, rtol=1e-9)
    finally:
        del trend.__dict__["exposure"]
        del trend.__dict__["pool_at_exposure"]


def test_nothing_changed_is_the_account_itself_and_costs_cost(trend: Dissection) -> None:
    same, dear = at_cost(trend, 1.0), at_cost(trend, 3.0)

    assert same.fees == trend.outcome.fees[0]
    assert same.max_drawdown == pytest.approx(-float(trend.outcome.max_drawdown[0]))
    assert dear.annualized_return < same.annualized_return
    assert dear.fees > same.fees


def test_later_fills_are_another_account(trend: Dissection) -> None:
    later, same = one_bar_later(trend), at_cost(trend, 1.0)

    assert later.sharpe != same.sharpe
    assert later.turnover == pytest.approx(same.turnover, rel=0.25)


def test_the_chosen_parameters_stand_in_the_surface_with_what_they_came_to(trend: Dissection) -> None:
    found = surface(trend)

    first, second = found.axes
    assert (first.name, second.name) == ("fast", "slow")
    assert (first.values[first.chosen], second.values[second.chosen]) == (5, 20)
    assert found.excess_sharpe.shape == (len(first.values), len(second.values))
    assert found.excess_sharpe[first.chosen, second.chosen] == at_cost(trend, 1.0).excess_sharpe
    # A fast average of 10 bars is none beside a slow one of 10.
    assert (first.values[-1], second.values[0]) == (10, 10)
    assert np.isnan(found.excess_sharpe[-1, 0])
    assert np.isfinite(found.excess_sharpe[0]).all()
    # Whoever sees them may choose among them: each is a trial, once.
    assert len(found.trials) == len({entry.key for entry in found.trials})
    assert len(found.trials) == np.isfinite(found.excess_sharpe).sum()


def test_values_stay_inside_their_bounds_and_whole() -> None:
    found = surface(account_of("cross_sectional_momentum", lookback=400, skip=1))

    lookback, skip = found.axes
    assert lookback.values == (200, 252, 320, 400, 500)
    # Half of one bar is none.
    assert skip.values == (1, 2)


def test_a_strategy_without_parameters_has_no_surface() -> None:
    found = surface(account_of("buy_and_hold"))

    assert found.axes == ()
    assert np.isnan(found.excess_sharpe).all()


def test_an_account_over_the_whole_history_has_no_windows(trend: Dissection) -> None:
    assert trend.windows == ()
    assert trend.window_returns.size == 0
    assert trend.years == pytest.approx(500 / 365)
