"""What is said and drawn of a tuning: the verdict follows the gain, the command repeats it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.strategy_files import strategy_class
from engine.workforce import ThisProcess
from research.trials import TrialsRegister
from research.tuning import Lengths, Tuning, cut, search_all
from research.tuning_account import play
from research.tuning_objectives import Objective
from research.tuning_search import Quest, ranges_of
from scoreboards.tuning_figures import BINS, FIGURES, draw_all, plateau_cells
from scoreboards.tuning_files import document, parameters_csv, trials_csv
from scoreboards.tuning_words import Outcome, facts, next_step, repeat_command, verdict_of
from tests import boards
from tests.builders import random_panel


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    kind = strategy_class("mean_reversion")
    quest = Quest(
        kind=kind,
        base=kind.of({"length": 10}).parameters,
        ranges=ranges_of(kind, {"length": (10, 10), "entry": (0.5, 3.0)}),
        objectives=(Objective.SHARPE, Objective.MAX_DRAWDOWN),
        trials=12,
        seed=1,
        pruning=True,
        settings=boards.settings(),
    )
    panel = random_panel(260, 3, seed=4)
    lengths = Lengths(train=100, retune=60)
    windows = cut(panel, lengths, quest.settings)
    found = list(search_all(quest, panel, windows, None, ThisProcess()))
    register = TrialsRegister(tmp_path_factory.mktemp("register") / "trials.jsonl")
    return Tuning(
        run_id="tune-0",
        inputs_hash="0" * 64,
        quest=quest,
        panel=panel,
        lengths=lengths,
        played=play(quest, panel, windows, found, register),
        importance={"entry": 0.25, "leave": 0.75},
    )


def with_gain(tuning: Tuning, gain: float, bound: float) -> Tuning:
    return replace(tuning, played=replace(tuning.played, gain=gain, gain_bound=bound))


@pytest.mark.parametrize(
    ("gain", "bound", "outcome", "words"),
    [
        (0.3, 0.01, Outcome.HELPED, "the gain of +0.30 holds with 95% confidence: low +0.01"),
        (0.3, -0.01, Outcome.NOT_PROVEN, "the gain of +0.30 may be luck: low 95% -0.01"),
        (-0.3, -0.5, Outcome.NO_HELP, "the search cost 0.30"),
        (0.0, -0.5, Outcome.NO_HELP, "the search cost 0.00"),
        (math.nan, math.nan, Outcome.NO_CHANGE, "one account"),
    ],
)
def test_the_verdict_follows_the_gain(
    tuning: Tuning, gain: float, bound: float, outcome: Outcome, words: str
) -> None:
    verdict = verdict_of(with_gain(tuning, gain, bound))

    assert verdict.outcome is outcome
    assert words in verdict.reason


def test_what_helped_is_played_next_and_what_did_not_is_judged_untuned(tuning: Tuning) -> None:
    latest = tuning.played.windows[-1].parameters

    assert next_step(tuning, Outcome.HELPED) == (
        "engine backtest --strategy mean_reversion --data random --param length=10 "
        f"--param entry={latest['entry']!r} --param leave={latest['leave']!r}"
    )
    assert next_step(tuning, Outcome.NO_HELP) == "engine tournament --data random"


def test_the_command_that_repeats_it_names_everything_that_is_not_left_to_itself(tuning: Tuning) -> None:
    assert repeat_command(tuning) == (
        "engine tune --strategy mean_reversion --data random --objective sharpe --objective max_drawdown "
        "--trials 12 --seed 1 --train 100 --retune 60 --param length=10 --param entry=0.5:3.0 --prune "
        "--config configs/port-test.yaml"
    )


def test_facts_are_one_line_each(tuning: Tuning) -> None:
    lines = facts(tuning)

    assert {"tuned", "untuned", "pool", "beyond pool", "promised", "plateau", "search"} <= lines.keys()
    assert all("\n" not in words and "nan" not in words for words in lines.values())
    assert "market" not in lines


def test_equal_tunings_are_drawn_and_written_with_equal_bytes(tuning: Tuning) -> None:
    first, second = draw_all(tuning), draw_all(tuning)

    assert first == second
    assert list(first) == list(FIGURES)
    assert document(tuning, {}) == document(tuning, {})
    assert trials_csv(tuning).count("\n") == 1 + sum(
        len(item.searched.tried) for item in tuning.played.windows
    )
    assert parameters_csv(tuning).count("\n") == 1 + len(tuning.played.windows)


def test_the_plateau_is_the_wide_hill_and_not_the_lucky_needle() -> None:
    counts = np.full((BINS, BINS), 4.0)
    ranks = np.full((BINS, BINS), 0.3)
    ranks[2, 2] = 1.0
    ranks[6:10, 6:10] = 0.8

    part = plateau_cells(ranks * counts, counts)

    assert part[7:9, 7:9].all()
    assert not part[:6].any()
    assert not part[:, :6].any()


def test_cells_without_sets_are_no_plateau() -> None:
    empty = np.zeros((BINS, BINS))
    one = empty.copy()
    one[0, 0] = 1.0

    assert not plateau_cells(empty, empty).any()
    assert np.argwhere(plateau_cells(0.5 * one, one)).tolist() == [[0, 0]]
