"""A canary in every layer: the honest twin passes, the one that reads the future is caught by its name."""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from engine.allocation.allocator import Profile
from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray, Panel
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.features.opcodes import Op
from engine.features.operators import close, ema, window_function
from engine.features.strategy import Strategy
from engine.schedule.windows import Window, walk_forward
from engine.selection.universe import Selection
from engine.strategy_files import add_folder, load_strategy, strategy_names
from engine.workforce import ThisProcess
from research import fresh_signals, strategy_check
from research.fresh_signals import Depth, roots_of, values_of
from research.graph_nodes import bits_apart
from research.strategy_check import CheckOutcome, CheckResult, peek_check, truncation_checks
from research.training_check import fit_check, reads_beyond, scrambled
from research.tuning import search_all
from research.tuning_objectives import Objective
from research.tuning_search import Quest, ranges_of
from tests import boards, leaks
from tests.builders import random_panel

PANEL = random_panel(180, 6, seed=3)
WINDOWS = walk_forward(len(PANEL), train=80, test=20, step=20, purge=5)
READS = "it reads the future"
Fit = Callable[[Panel], object]
Answer = Callable[[Panel, Window], object]


@pytest.fixture(autouse=True)
def hidden() -> Iterator[None]:
    leaks.Leak.panel, leaks.Leak.seen = PANEL, 0
    yield
    leaks.Leak.panel = None


def checked(fit: Fit) -> CheckResult:
    return fit_check(fit, PANEL, WINDOWS, rng=np.random.default_rng(1))


def answered(answer: Answer) -> CheckResult:
    return reads_beyond(answer, PANEL, WINDOWS, rng=np.random.default_rng(1))


def assert_passes(result: CheckResult, name: str) -> None:
    assert result.outcome is CheckOutcome.PASS, result
    assert f"tests.leaks.{name}: {len(WINDOWS)} windows learn the same" in result.explanation


def assert_caught(result: CheckResult, name: str, words: str = READS) -> None:
    assert result.outcome is CheckOutcome.FAIL, result
    assert f"tests.leaks.{name}" in result.explanation
    assert words in result.explanation


# ---------------------------------------------------------------------------------------------- operators

HONEST = """
from dataclasses import dataclass
from engine.features.operators import close, window_function
from engine.features.strategy import Strategy

SCALE = 2.0

def rose(closes):
    return SCALE * float(closes[-1] > closes[0])

@dataclass(frozen=True)
class Canary(Strategy):
    def signal(self):
        return window_function(rose, 2, close)
"""
WITH_GLOBAL = HONEST.replace("SCALE = 2.0", "SCALE = [2.0]").replace("SCALE * ", "SCALE[0] * ")


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[[str, str], ModuleType]]:
    package = importlib.import_module("strategies")
    before = list(package.__path__)
    folder = tmp_path / "strategies"
    folder.mkdir()
    add_folder(folder)
    names = []

    def write(name: str, source: str) -> ModuleType:
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        names.append(name)
        return importlib.import_module(f"strategies.{name}")

    yield write
    package.__path__[:] = before
    for name in names:
        sys.modules.pop(f"strategies.{name}", None)


def test_a_window_function_of_its_window_passes_and_one_that_peeks_is_caught(
    written: Callable[[str, str], ModuleType],
) -> None:
    honest: Strategy = written("canary_honest", HONEST).Canary()

    (passed,) = truncation_checks(honest, [PANEL])
    caught = peek_check(PANEL)

    assert passed.outcome is CheckOutcome.PASS, passed
    assert caught.outcome is CheckOutcome.FAIL
    assert READS in caught.explanation
    assert caught.difference is not None
    assert caught.difference.operator == "strategies._peek.tomorrow(1)"


def test_a_window_function_that_could_hold_the_panel_is_refused(
    written: Callable[[str, str], ModuleType],
) -> None:
    def closure(closes: FloatArray) -> float:
        return float(closes[-1] < PANEL.close[-1, 0])

    with pytest.raises(InvalidValueError, match=r"<locals>\.closure is a closure"):
        window_function(closure, 2, close)
    with pytest.raises(InvalidValueError, match=r"canary_global\.rose reads the global SCALE, a list"):
        written("canary_global", WITH_GLOBAL).Canary().signal()


def ahead(roots: Sequence[Expression], panel: Panel) -> FloatArray:
    """Evaluate as if the kernel of `ema` looked one row ahead."""
    values = evaluate(roots, panel)
    for place, root in enumerate(roots):
        if root.op is Op.EMA:
            values[place, :-1] = values[place, 1:]
    return values


class Averages(Strategy):
    """What the canary is played on."""

    def signal(self) -> Expression:
        return ema(close, 5)


@pytest.mark.parametrize("leaks_ahead", [False, True])
def test_a_kernel_that_looks_one_row_ahead_is_caught_at_the_end_of_a_cut(
    monkeypatch: pytest.MonkeyPatch, leaks_ahead: bool
) -> None:
    if leaks_ahead:
        monkeypatch.setattr(fresh_signals, "evaluate", ahead)
    strategy = Averages()
    stops = strategy_check._stops(PANEL)
    cuts = [values_of(strategy, PANEL.rows(0, stop), Depth.ROOTS) for stop in stops]
    monkeypatch.setattr(
        strategy_check,
        "_cut_values",
        lambda strategy, panel, cut, _known, depth: values_of(strategy, panel.rows(0, cut.shape[1]), depth),
    )

    result = strategy_check._compare_cuts(strategy, PANEL, cuts)

    if not leaks_ahead:
        assert result.outcome is CheckOutcome.PASS, result
        return
    assert READS in result.explanation
    assert result.difference is not None
    # Only the last row of a cut shows it: there is no row ahead of that one.
    assert result.difference.row == stops[0] - 1
    assert result.difference.operator == "ema(5)"


CUTS = range(40, 700, 51)


def violations(values: Callable[[Panel], FloatArray], panel: Panel) -> int:
    """Return at how many cuts what was known before them is not what the whole panel says, of 13."""
    whole = values(panel)
    return sum(bool(bits_apart(values(panel.rows(0, cut)), whole[:, :cut]).any()) for cut in CUTS)


def signals_of(strategy: Strategy, panel: Panel) -> FloatArray:
    return evaluate(roots_of(strategy), panel)


PACKAGED = [name for name in strategy_names() if not name.startswith("canary")]


@pytest.mark.parametrize("name", PACKAGED)
def test_no_packaged_strategy_sees_past_the_end_of_its_panel(name: str) -> None:
    panel = random_panel(720, 5, seed=8, holes=0.01)

    assert violations(partial(signals_of, load_strategy(name)), panel) == 0


def test_a_score_over_the_full_sample_is_caught_and_an_expanding_one_is_not() -> None:
    panel = random_panel(720, 2, seed=8)

    def full_sample(panel: Panel) -> FloatArray:
        scores: FloatArray = (panel.close - panel.close.mean(axis=0)) / panel.close.std(axis=0)
        return scores[None]

    def expanding(panel: Panel) -> FloatArray:
        return (np.cumsum(panel.close, axis=0) / np.arange(1, len(panel) + 1)[:, None])[None]

    assert len(CUTS) == 13
    assert violations(full_sample, panel) == 13
    assert violations(expanding, panel) == 0


# --------------------------------------------------------------------------------------------- selections


@pytest.mark.parametrize("selection", list(Selection))
def test_a_selection_of_training_rows_passes(selection: Selection) -> None:
    assert_passes(answered(partial(leaks.selected, selection=selection)), "selected")


def test_a_selection_that_takes_the_purged_rows_is_caught() -> None:
    result = answered(partial(leaks.selected_with_later_rows, selection=Selection.LOG_MPS))

    assert_caught(result, "selected_with_later_rows")


# -------------------------------------------------------------------------------------------- allocations


@pytest.mark.parametrize("profile", [Profile.INVERSE_VOLATILITY, Profile.EQUAL_WEIGHT])
def test_weights_of_training_rows_pass(profile: Profile) -> None:
    assert_passes(answered(partial(leaks.weighted, profile=profile)), "weighted")


def test_weights_of_a_session_pass() -> None:
    assert_passes(answered(leaks.planned), "planned")


def test_weights_that_take_the_purged_rows_are_caught() -> None:
    result = answered(partial(leaks.weighted_with_later_rows, profile=Profile.INVERSE_VOLATILITY))

    assert_caught(result, "weighted_with_later_rows")


# ------------------------------------------------------------------------------------ models and scaling


@pytest.mark.parametrize("fit", [leaks.ridge, leaks.full_scale, leaks.ridge_under_the_slice])
def test_a_model_of_its_training_panel_passes(fit: Fit) -> None:
    # The last one looks under the slice that it hopes to be handed, and finds nothing there.
    assert_passes(checked(fit), fit.__name__)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (leaks.ridge_of_hidden_panel, READS),
        (leaks.ridge_of_callers_panel, READS),
        (leaks.ridge_that_remembers, READS),
        (leaks.ridge_of_a_file, "may not open files, this opens stocks.csv.gz"),
        (leaks.ridge_of_a_global, "ridge_of_a_global reads the global HISTORY, a list"),
    ],
)
def test_a_model_that_finds_more_than_its_training_panel_is_caught(fit: Fit, words: str) -> None:
    assert_caught(checked(fit), fit.__name__, words)


@pytest.mark.parametrize("answer", [leaks.full_scale_of_all_rows, leaks.ridge_of_a_slice])
def test_what_cuts_its_rows_badly_is_caught(answer: Answer) -> None:
    assert_caught(answered(answer), answer.__name__)


# ------------------------------------------------------------------------------------------------- tuners


def test_a_tuner_of_its_training_panel_passes() -> None:
    assert_passes(checked(leaks.tuned), "tuned")


def test_a_tuner_that_finds_the_whole_history_is_caught() -> None:
    assert_caught(checked(leaks.tuned_on_hidden_panel), "tuned_on_hidden_panel")
    assert_caught(answered(leaks.tuned_on_all_rows), "tuned_on_all_rows")


def test_the_tuner_itself_learns_the_same_whatever_comes_after_its_training_rows() -> None:
    kind = type(load_strategy("trend"))
    quest = Quest(
        kind=kind,
        base={"fast": 5, "slow": 20},
        ranges=ranges_of(kind, {"fast": (2, 8), "slow": (10, 30)}),
        objectives=(Objective.SHARPE,),
        trials=4,
        seed=3,
        pruning=False,
        settings=boards.settings(),
    )
    (window,) = walk_forward(200, train=150, test=50, step=50, purge=2)
    panel = random_panel(200, 3, seed=6)

    def searched(panel: Panel) -> str:
        return repr(list(search_all(quest, panel, (window,), None, ThisProcess())))

    found = searched(panel)

    assert "COMPLETE" in found
    assert searched(scrambled(panel, window.train_stop, np.random.default_rng(2))) == found
    assert searched(scrambled(panel, window.train_stop - 1, np.random.default_rng(2))) != found


# --------------------------------------------------------------------------------------- the check itself


def test_a_scrambled_panel_keeps_what_was_known_and_nothing_after_it() -> None:
    changed = scrambled(PANEL, 100, np.random.default_rng(4))

    assert changed.rows(0, 100).content_hash == PANEL.rows(0, 100).content_hash
    for name in ("open", "high", "low", "close", "volume"):
        assert (getattr(changed, name)[100:] != getattr(PANEL, name)[100:]).all()
    assert (changed.high >= changed.low).all()
    assert np.isfinite(changed.close).all()
    assert np.isnan(scrambled(PANEL, 100, np.random.default_rng(4), vanish=0.5).close[100:]).any()
    assert scrambled(PANEL, len(PANEL), np.random.default_rng(4)).content_hash == PANEL.content_hash


def test_an_answer_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="has no canonical form"):
        checked(leaks.incomparable)
