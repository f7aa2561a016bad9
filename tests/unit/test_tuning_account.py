"""One account whose parameters change: exact, causal, and every set that was played is a trial."""

import importlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from engine.core.settings import UNLIMITED
from engine.domain.errors import InputError
from engine.domain.panel import Panel
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.features.operators import close, where
from engine.features.orders import Orders
from engine.features.strategy import Strategy, parameter
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from engine.schedule.windows import Window
from engine.strategy_files import add_folder, load_strategy, strategy_class
from engine.workforce import ThisProcess
from research.backtest import whole_history
from research.check_orders import listed_plan
from research.training_check import scrambled
from research.trials import TrialsRegister
from research.tuning import Lengths, cut, importance, search_all, training_history
from research.tuning_account import SIGNAL_FIELD, Played, in_force, play, stitched
from research.tuning_objectives import Objective
from research.tuning_search import Fate, Quest, Searched, Tried, column_of, ranges_of, search
from research.tuning_trials import played_first, register_played
from tests import boards
from tests.builders import random_panel
from tests.every_order import EveryOrder

SPANS = ((40, 90), (90, 140), (140, 200))


def panel(rows: int = 200, *, holes: float = 0.0) -> Panel:
    return random_panel(rows, 4, seed=11, holes=holes)


def settings(of: Panel, start_row: int) -> Settings:
    return replace(whole_history(boards.settings(), of), start_row=start_row)


def trend(fast: int, slow: int) -> Strategy:
    return load_strategy("trend", {"fast": fast, "slow": slow})


def outcome(of: Panel, column: Column, start_row: int) -> Outcome:
    return run_all(of, [column], settings(of, start_row), detail=Detail.CURVES)


def quest(*, trials: int = 12, objectives: tuple[Objective, ...] = (Objective.SHARPE,)) -> Quest:
    kind = strategy_class("trend")
    return Quest(
        kind=kind,
        base={"fast": 5, "slow": 20},
        ranges=ranges_of(kind, {"fast": (2, 10), "slow": (5, 30)}),
        objectives=objectives,
        trials=trials,
        seed=1,
        pruning=True,
        settings=boards.settings(),
    )


# -------------------------------------------------------------------------------------- the stitched signal


@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_equal_parameters_in_every_window_are_the_plain_account_bit_for_bit(holes: float) -> None:
    bars = panel(holes=holes)
    whole, column = stitched(bars, [trend(5, 20)] * 3, SPANS)

    ours = outcome(whole, column, 40)
    plain = outcome(bars, column_of(trend(5, 20), listed_plan(bars, 40)), 40)

    assert ours.equity.tobytes() == plain.equity.tobytes()
    assert ours.gross.tobytes() == plain.gross.tobytes()
    assert ours.fills[0] == plain.fills[0] > 0


def test_orders_are_stitched_as_well() -> None:
    bars = panel()
    whole, column = stitched(bars, [EveryOrder(length=10)] * 2, ((40, 120), (120, 200)))

    ours = outcome(whole, column, 40)
    plain = outcome(bars, column_of(EveryOrder(length=10), listed_plan(bars, 40)), 40)

    assert len(column.order_roots) == 8
    assert ours.equity.tobytes() == plain.equity.tobytes()
    assert ours.orders[0] == plain.orders[0] > 0


def test_each_span_follows_its_own_parameters_as_if_they_had_always_been_in_force() -> None:
    bars = panel()
    strategies = [trend(2, 8), trend(5, 20), trend(9, 30)]
    whole, _ = stitched(bars, strategies, SPANS)

    values = whole.fields[SIGNAL_FIELD]
    for strategy, (start, stop) in zip(strategies, SPANS, strict=True):
        own = evaluate([strategy.signal()], bars)[0]
        assert values[start:stop].tobytes() == own[start:stop].tobytes()
    assert np.isnan(values[:40]).all()


def test_later_bars_change_nothing_before_them() -> None:
    bars = panel()
    strategies = [trend(2, 8), trend(5, 20), trend(9, 30)]
    other = scrambled(bars, 140, np.random.default_rng(3))

    first, second = (stitched(of, strategies, SPANS)[0].fields[SIGNAL_FIELD] for of in (bars, other))

    assert first[:140].tobytes() == second[:140].tobytes()
    assert first[140:].tobytes() != second[140:].tobytes()


def test_the_account_is_not_restarted_where_parameters_change() -> None:
    bars = panel()
    whole, column = stitched(bars, [trend(2, 8), trend(2, 8), trend(9, 30)], SPANS)

    assert column.plan.rows.tolist() == [40]
    equity = outcome(whole, column, 40).equity[0]
    before = outcome(bars, column_of(trend(2, 8), listed_plan(bars, 40)), 40).equity[0]
    assert equity[: 141 - 40].tobytes() == before[: 141 - 40].tobytes()
    assert equity[-1] != before[-1]


@dataclass(frozen=True)
class Sometimes(Strategy):
    """Shapes its orders with some parameters only."""

    length: int = parameter(5, low=2, high=9)

    def signal(self) -> Expression:
        return where(close > 0.0, 1.0, 0.0)

    def orders(self) -> Orders | None:
        return Orders(stop_loss=close * 0.9) if self.length > 5 else None


def test_orders_with_some_parameters_only_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"sometimes: orders\(\) must give orders for all parameters or for none"
    ):
        stitched(panel(), [Sometimes(length=2), Sometimes(length=9)], ((40, 100), (100, 200)))


# --------------------------------------------------------------------------------------------- the windows


def test_every_row_from_the_first_test_start_on_is_in_force_once() -> None:
    windows = cut(panel(205), Lengths(train=60, retune=30), boards.settings())

    spans = in_force(windows, 205)

    assert [(window.train_start, window.train_stop) for window in windows] == [
        (0, 59), (30, 89), (60, 119), (90, 149), (120, 179),
    ]  # fmt: skip
    assert spans == [(60, 90), (90, 120), (120, 150), (150, 180), (180, 205)]


def test_a_last_window_of_a_few_rows_is_not_made() -> None:
    windows = cut(panel(199), Lengths(train=60, retune=30), boards.settings())

    assert in_force(windows, 199)[-1] == (150, 199)


def test_too_little_data_says_how_much_is_needed() -> None:
    with pytest.raises(
        InputError, match=r"199 bars before the hold-out hold no window, one needs 220 \(training 200"
    ):
        cut(panel(199), Lengths(train=200, retune=30), boards.settings())
    with pytest.raises(InputError, match="--train must be at least 60 bars, was 59"):
        Lengths(train=59, retune=30)


def test_a_search_is_handed_nothing_after_its_training_stop() -> None:
    (window, *_) = cut(panel(), Lengths(train=60, retune=30), boards.settings())

    history = training_history(panel(), window)

    assert len(history) == window.train_stop == 59
    assert history.close.base is None


# ------------------------------------------------------------------------------------------- reading ahead


PEEKER = '''
from dataclasses import dataclass

import numpy as np

from engine.features.operators import close, window_function
from engine.features.strategy import Strategy, parameter


class Leak:
    panel = None


def later(closes):
    """1 if the close so many bars later is higher, found in the hidden panel."""
    whole = Leak.panel.close
    row, column = np.argwhere(whole == closes[-1])[0]
    return float(row + len(closes) < len(whole) and whole[row + len(closes), column] > whole[row, column])


@dataclass(frozen=True)
class Peeker(Strategy):
    """Long before every rise (a cheat)."""

    ahead: int = parameter(3, low=1, high=9)

    def signal(self):
        return window_function(later, self.ahead, close)
'''


@pytest.fixture
def peeker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Put the cheat among the strategies for one test."""
    (tmp_path / "peeker.py").write_text(PEEKER)
    package = importlib.import_module("strategies")
    monkeypatch.setattr(package, "__path__", list(package.__path__))
    add_folder(tmp_path)
    yield importlib.import_module("strategies.peeker")
    del sys.modules["strategies.peeker"]


def found_by(kind: type[Strategy], bars: Panel, window: Window) -> str:
    asked = Quest(
        kind=kind,
        base=kind.of({}).parameters,
        ranges=ranges_of(kind, {}),
        objectives=(Objective.SHARPE,),
        trials=4,
        seed=1,
        pruning=False,
        settings=boards.settings(),
    )
    history = training_history(bars, window)
    return repr(search(history, asked, start_row=window.train_start, window=0, journal=None))


def test_a_search_that_reads_beyond_its_training_part_is_caught_where_later_rows_are_scrambled(
    peeker: ModuleType,
) -> None:
    bars = random_panel(120, 3, seed=2)
    (window, *_) = cut(bars, Lengths(train=60, retune=30), boards.settings())
    other = scrambled(bars, window.train_stop, np.random.default_rng(5))
    honest = strategy_class("mean_reversion")
    seen = {}
    for name, of in (("as it is", bars), ("scrambled", other)):
        peeker.Leak.panel = of
        seen[name] = found_by(honest, of, window), found_by(peeker.Peeker, of, window)

    assert seen["as it is"][0] == seen["scrambled"][0]
    assert seen["as it is"][1] != seen["scrambled"][1]


# --------------------------------------------------------------------------------------------- the trials


def searches(asked: Quest, bars: Panel, windows: Sequence[Window]) -> list[Searched]:
    return list(search_all(asked, bars, windows, None, ThisProcess()))


def test_every_distinct_set_that_was_played_is_one_trial_and_the_account_is_one_more(tmp_path: Path) -> None:
    bars, asked = panel(), quest()
    windows = cut(bars, Lengths(train=60, retune=60), boards.settings())
    found = searches(asked, bars, windows)
    register = TrialsRegister(tmp_path / "trials.jsonl")

    def tuned() -> Played:
        seen: set[str] = set()
        for window, item in zip(windows, found, strict=True):
            register_played(register, asked, played_first(asked, item, seen), training_history(bars, window))
        return play(asked, bars, windows, found, register)

    played = tuned()
    distinct = {
        tuple(item.parameters.items())
        for part in found
        for item in part.tried
        if item.fate is not Fate.REFUSED
    }
    assert len(windows) == 3
    assert register.count == len(distinct) + 1
    assert played.trials.count == register.count
    assert played.trials.n_effective > 1.0

    again = tuned()
    assert register.count == len(distinct) + 1
    assert again.trials == played.trials


def test_a_trial_holds_what_a_set_earned_up_to_where_it_was_seen_first(tmp_path: Path) -> None:
    bars, asked = panel(), quest(trials=3)
    windows = cut(bars, Lengths(train=60, retune=60), boards.settings())
    history = training_history(bars, windows[1])
    register = TrialsRegister(tmp_path / "trials.jsonl")
    register_played(register, asked, [trend(3, 9)], history)

    account = outcome(history, column_of(trend(3, 9), listed_plan(history, 0)), 0)
    free = settings(history, 0)
    pool = run_all(
        history,
        [Column(plan=listed_plan(history, 0))],
        replace(free, limits=UNLIMITED, rules=free.rules._replace(cash_buffer=0.0)),
        detail=Detail.CURVES,
    )
    own, theirs = (
        np.concatenate(([0.0], np.diff(of.equity[0]) / of.equity[0, :-1])) for of in (account, pool)
    )
    excess = own - account.gross[0].mean() * theirs
    record = json.loads((tmp_path / "trials.jsonl").read_text())

    assert record["n_observations"] == windows[1].train_stop
    assert record["sharpe"] == pytest.approx(excess.mean() / excess.std(ddof=1))


def test_a_set_that_was_seen_before_is_not_played_again() -> None:
    asked = quest()

    def searched(*sets: tuple[int, int], fate: Fate = Fate.COMPLETE) -> Searched:
        tried = tuple(
            Tried(number=n, fate=fate, parameters={"fast": a, "slow": b}, values=(), at_half=0.0)
            for n, (a, b) in enumerate(sets)
        )
        return Searched(tried=tried, chosen=None, front=(), plateau=math.nan)

    seen: set[str] = set()
    first = played_first(asked, searched((2, 9), (3, 9), (2, 9)), seen)
    second = played_first(asked, searched((3, 9), (4, 9)), seen)
    refused = played_first(asked, searched((9, 5), fate=Fate.REFUSED), seen)

    assert [strategy.parameters["fast"] for strategy in first] == [2, 3]
    assert [strategy.parameters["fast"] for strategy in second] == [4]
    assert refused == []
    assert len(seen) == 3


# --------------------------------------------------------------------------------------------- the findings


def played_of(asked: Quest, tmp_path: Path) -> tuple[Played, list[Searched], Sequence[Window]]:
    bars = panel()
    windows = cut(bars, Lengths(train=60, retune=60), boards.settings())
    found = searches(asked, bars, windows)
    return play(asked, bars, windows, found, TrialsRegister(tmp_path / "trials.jsonl")), found, windows


def test_the_gain_is_the_difference_of_the_excess_ratios_and_its_bound_is_below(tmp_path: Path) -> None:
    played, _, _ = played_of(quest(), tmp_path)
    tuned, untuned = (of.figures["excess_sharpe"] for of in (played.tuned, played.untuned))

    assert played.gain == pytest.approx(tuned - untuned)
    assert played.gain_bound < played.gain
    assert math.isnan(played.pool.figures["excess_sharpe"])
    assert played.pool.figures["deflated_sharpe"] != played.tuned.figures["deflated_sharpe"]
    assert played.market is None


def test_an_untuned_account_beside_itself_has_no_gain(tmp_path: Path) -> None:
    kept = quest(trials=1)

    played, found, _ = played_of(kept, tmp_path)

    assert [dict(item.tried[0].parameters) for item in found] == [{"fast": 5, "slow": 20}] * 3
    assert played.tuned.equity.tobytes() == played.untuned.equity.tobytes()
    assert math.isnan(played.gain)


def test_a_window_says_what_its_parameters_were_worth_before_and_after(tmp_path: Path) -> None:
    played, found, windows = played_of(quest(objectives=(Objective.SHARPE, Objective.CAGR)), tmp_path)

    equity = played.tuned.equity
    for item, of, window in zip(played.windows, found, windows, strict=True):
        assert of.chosen is not None
        assert item.in_sample == of.tried[of.chosen].values
        rows = equity[item.start - 60 : item.stop - 60]
        returns = np.concatenate(([0.0], rows[1:] / rows[:-1] - 1.0))
        assert item.out_of_sample is not None
        assert item.out_of_sample[0] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
        assert item.window is window
        assert not item.fell_back
        assert item.untuned_in_sample is not None


def test_a_search_without_a_choice_leaves_the_untuned_parameters(tmp_path: Path) -> None:
    bars, asked = panel(), quest()
    windows = cut(bars, Lengths(train=60, retune=60), boards.settings())
    nothing = Searched(tried=(), chosen=None, front=(), plateau=math.nan)

    played = play(asked, bars, windows, [nothing] * 3, TrialsRegister(tmp_path / "trials.jsonl"))

    assert all(item.fell_back for item in played.windows)
    assert played.windows[0].parameters == {"fast": 5, "slow": 20}
    assert played.tuned.equity.tobytes() == played.untuned.equity.tobytes()


def test_importance_falls_on_the_parameter_that_tells_sets_apart() -> None:
    asked = quest()
    rng = np.random.default_rng(1)
    tried = tuple(
        Tried(
            number=n,
            fate=Fate.COMPLETE,
            parameters={"fast": int(rng.integers(2, 11)), "slow": slow},
            values=(float(slow),),
            at_half=0.0,
        )
        for n, slow in enumerate(rng.integers(11, 31, 60).tolist())
    )

    shares = importance(asked, [Searched(tried=tried, chosen=0, front=(0,), plateau=1.0)])

    assert shares["slow"] > 0.8
    assert sum(shares.values()) == pytest.approx(1.0)
    assert importance(asked, []) == {}
