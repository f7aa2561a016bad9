"""The checks of the checker: what they are made of, before any gate sees them."""

import numpy as np
import pytest

from engine.data import catalogue
from engine.domain.panel import Panel
from engine.domain.portfolio import Invest
from engine.features.operators import field
from engine.strategy_files import load_strategy
from research import controls
from research.cells import ControlExpectation
from research.grounds import survey, whole_pool
from research.strategy_check import CheckOutcome, CheckResult
from tests.boards import settings
from tests.builders import random_panel


def signals(holding_rows: float, seed: int = 1) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(seed))
    return controls.random_signals((4000, 30), holding_rows, rng)


def test_random_signals_are_long_half_of_the_time() -> None:
    found = signals(20.0)

    assert set(np.unique(found)) == {0.0, 1.0}
    # 120,000 bars in runs of 20 hold about 3,000 independent ones: a standard error of .01.
    assert abs(found.mean() - 0.5) < 0.03


@pytest.mark.parametrize("holding_rows", [20.0, 60.0])
def test_random_signals_stay_for_the_stated_mean_time(holding_rows: float) -> None:
    found = signals(holding_rows)
    turns = (found[1:] != found[:-1]).mean()

    assert abs(turns * holding_rows - 1.0) < 0.05


def test_random_signals_of_two_instruments_are_independent() -> None:
    found = signals(20.0)
    correlation = np.corrcoef(found.T)

    assert np.abs(correlation[np.triu_indices(30, 1)]).max() < 0.35
    assert abs(correlation[np.triu_indices(30, 1)].mean()) < 0.02


def test_equal_seeds_give_equal_random_signals_and_others_do_not() -> None:
    assert (signals(20.0, seed=3) == signals(20.0, seed=3)).all()
    assert (signals(20.0, seed=3) != signals(20.0, seed=4)).any()


def test_random_contestants_follow_their_own_signals_half_exposed() -> None:
    configured = settings()
    ground = survey(configured.configuration.universes[1], configured)
    arena, contestants = controls.no_edge(whole_pool(ground, configured), seed=7)

    assert len(contestants) == len(controls.HOLDING_DAYS)
    assert len({contestant.graph_hash for contestant in contestants}) == len(contestants)
    for contestant in contestants:
        assert contestant.invest is Invest.SCALED
        assert contestant.root.equals(field(contestant.name))
        assert arena.panel.fields[contestant.name].shape == arena.panel.close.shape
    # The prices under them are the real ones.
    assert arena.panel.close.tobytes() == catalogue.load("us5").close.tobytes()


def test_the_planted_control_is_trend_20_100_in_full() -> None:
    contestant = controls.planted()
    trend = load_strategy("trend", {"fast": 20, "slow": 100})

    assert contestant.invest is Invest.FULL
    assert contestant.root.equals(trend.signal())


def test_the_peek_is_refused_by_what_it_does_and_by_its_source() -> None:
    control = controls.play_peek(random_panel(400, 3, seed=1))

    assert control.expectation is ControlExpectation.REFUSED
    assert control.refused
    assert "reads the future" in control.refusal
    assert "closure" in control.refusal


def test_a_truncation_test_that_lets_the_peek_pass_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(_: Panel) -> CheckResult:
        return CheckResult(check="truncation", outcome=CheckOutcome.PASS, explanation="nothing seen")

    monkeypatch.setattr(controls, "peek_check", lenient)

    control = controls.play_peek(random_panel(400, 3, seed=1))

    assert not control.refused
    assert "let it pass" in control.refusal


def test_a_source_check_that_accepts_a_closure_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "window_function", lambda *_: None)

    control = controls.play_peek(random_panel(400, 3, seed=1))

    assert not control.refused
    assert "was accepted" in control.refusal
