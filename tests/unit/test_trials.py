"""The register of trials: what counts, what survives a crash, what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY
from research.statistics import effective_rank
from research.trials import TrialsRegister, trial

MONDAY = 4  # 1970-01-05


def days(n: int, first: int = MONDAY) -> IntArray:
    """Working days, Monday to Friday, from a Monday on."""
    all_days = first + np.arange(n * 2)
    return np.asarray(all_days[(all_days - MONDAY) % 7 < 5][:n] * NANOSECONDS_PER_DAY)


def noise(seed: int, n: int = 1500) -> FloatArray:
    return np.random.default_rng(seed).normal(0.0, 0.01, n)


def test_a_trial_is_its_daily_sharpe_and_its_weekly_sums() -> None:
    returns = np.array([0.01, 0.02, 0.0, 0.0, -0.01, 0.05, 0.01])

    described = trial("k", days(7), returns)

    assert described.n_observations == 7
    assert described.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert described.first_week == 1
    assert described.weekly.dtype == np.float32
    assert described.weekly.tolist() == pytest.approx([0.02, 0.06])


def test_a_week_without_a_day_is_missing() -> None:
    stamps = np.array([MONDAY, MONDAY + 14]) * NANOSECONDS_PER_DAY

    weekly = trial("k", stamps, np.array([0.01, 0.02])).weekly

    assert math.isnan(weekly[1])
    assert weekly[[0, 2]].tolist() == pytest.approx([0.01, 0.02])


def test_sunday_belongs_to_the_week_before() -> None:
    stamps = np.array([MONDAY, MONDAY + 6, MONDAY + 7]) * NANOSECONDS_PER_DAY

    assert trial("k", stamps, np.array([1.0, 2.0, 4.0])).weekly.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("returns", [np.array([]), np.array([0.1, np.nan])])
def test_a_trial_without_returns_is_refused(returns: FloatArray) -> None:
    with pytest.raises(InvalidValueError, match="trial k"):
        trial("k", days(returns.size), returns)


def test_a_rerun_adds_nothing(tmp_path: Path) -> None:
    register = TrialsRegister(tmp_path / "trials" / "us20-1d.jsonl")
    assert not register.exists
    assert register.count == 0

    assert register.add("a", days(1500), noise(1))
    head, size = register.head, (tmp_path / "trials" / "us20-1d.jsonl").stat().st_size
    assert not register.add("a", days(1500), noise(1))
    assert not TrialsRegister(tmp_path / "trials" / "us20-1d.jsonl").add("a", days(1500), noise(1))

    assert (register.count, register.head) == (1, head)
    assert (tmp_path / "trials" / "us20-1d.jsonl").stat().st_size == size


def test_the_head_knows_every_trial_and_no_order(tmp_path: Path) -> None:
    one, other = TrialsRegister(tmp_path / "one"), TrialsRegister(tmp_path / "other")
    empty = one.head
    for key in (1, 2, 3):
        one.add(str(key), days(1500), noise(key))
    for key in (3, 1, 2):
        other.add(str(key), days(1500), noise(key))

    assert one.head == other.head
    assert one.head != empty
    other.add("4", days(1500), noise(4))
    assert one.head != other.head
    assert one.keys == ("1", "2", "3")


def test_two_registers_on_one_file_see_each_other(tmp_path: Path) -> None:
    one, other = TrialsRegister(tmp_path / "t"), TrialsRegister(tmp_path / "t")

    one.add("a", days(50), noise(1, 50))
    other.add("b", days(50), noise(2, 50))

    assert one.count == other.count == 2
    assert one.head == other.head


def test_a_trial_takes_about_8_kilobytes_in_20_years(tmp_path: Path) -> None:
    register = TrialsRegister(tmp_path / "t")
    register.add("a" * 64, days(20 * 252), noise(1, 20 * 252))

    # 1,008 weeks of 4 bytes are 5,376 characters.
    assert (tmp_path / "t").stat().st_size < 6_000


@pytest.mark.parametrize("n_cut", [1, 10, 300])
def test_a_line_that_a_crash_cut_off_is_dropped_and_written_again(tmp_path: Path, n_cut: int) -> None:
    whole = TrialsRegister(tmp_path / "whole")
    torn = tmp_path / "torn"
    for key in ("a", "b"):
        whole.add(key, days(300), noise(ord(key), 300))
    torn.write_bytes((tmp_path / "whole").read_bytes()[:-n_cut])

    register = TrialsRegister(torn)

    assert register.keys == ("a",)
    assert register.add("b", days(300), noise(ord("b"), 300))
    assert register.head == whole.head
    assert torn.read_bytes() == (tmp_path / "whole").read_bytes()


def damaged_sharpe(line: str) -> str:
    return json.dumps(json.loads(line) | {"sharpe": 9.0})


@pytest.mark.parametrize("damage", [damaged_sharpe, lambda line: line[:-9], lambda _: "", lambda _: "[]"])
def test_any_other_damage_is_refused_with_its_line(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = tmp_path / "t"
    register = TrialsRegister(path)
    for key in ("a", "b", "c"):
        register.add(key, days(300), noise(ord(key), 300))
    lines = path.read_text().splitlines()
    lines[1] = damage(lines[1])
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(InputError, match=r"t: line 2 is damaged .* restore the file"):
        _ = TrialsRegister(path).count


def test_a_register_that_vanishes_while_in_use_is_an_error(tmp_path: Path) -> None:
    register = TrialsRegister(tmp_path / "t")
    register.add("a", days(300), noise(1, 300))
    (tmp_path / "t").unlink()

    with pytest.raises(InputError, match="deleted"):
        _ = register.count


def effective(tmp_path: Path, *series: tuple[IntArray, FloatArray]) -> float:
    register = TrialsRegister(tmp_path / f"effective-{len(list(tmp_path.iterdir()))}")
    for number, (stamps, returns) in enumerate(series):
        register.add(str(number), stamps, returns)
    return register.n_effective()


def test_copies_are_one_trial_and_independent_ones_are_several(tmp_path: Path) -> None:
    stamps = days(5000)
    first = noise(1, 5000)

    assert effective(tmp_path) == 0.0
    assert effective(tmp_path, (stamps, first)) == 1.0
    assert effective(tmp_path, *[(stamps, first * k + 0.001) for k in (1, 2, 3)]) == pytest.approx(
        1.0, abs=1e-4
    )
    independent = [(stamps, noise(k, 5000)) for k in range(8)]
    assert effective(tmp_path, *independent) == pytest.approx(8.0, abs=0.1)


def test_two_trials_of_known_correlation(tmp_path: Path) -> None:
    # Weekly series of 200 weeks, one return a week, correlated by exactly .6.
    generator = np.random.default_rng(1)
    x, y = (v - v.mean() for v in generator.normal(size=(2, 200)))
    x /= np.linalg.norm(x)
    y -= (x @ y) * x
    y /= np.linalg.norm(y)
    stamps = (MONDAY + 7 * np.arange(200)) * NANOSECONDS_PER_DAY

    expected = math.exp(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    assert effective(tmp_path, (stamps, x), (stamps, 0.6 * x + 0.8 * y)) == pytest.approx(expected, abs=1e-5)


def test_trials_of_other_weeks_count_in_full(tmp_path: Path) -> None:
    returns = noise(1, 500)

    assert effective(tmp_path, (days(500), returns), (days(500, MONDAY + 7000), returns)) == 2.0


def test_a_trial_that_never_deviates_counts_nothing(tmp_path: Path) -> None:
    stamps = days(500)

    assert effective(tmp_path, (stamps, np.zeros(500)), (stamps, noise(1, 500))) == 1.0
    assert effective(tmp_path, (stamps, np.full(500, 0.1))) == 0.0


def test_many_at_once_are_the_trials_one_by_one(tmp_path: Path) -> None:
    entries = [trial(key, days(20), noise(seed, 20)) for key, seed in (("b", 1), ("a", 2), ("b", 3))]
    whole, single = TrialsRegister(tmp_path / "whole.jsonl"), TrialsRegister(tmp_path / "single.jsonl")

    assert whole.add_all(entries) == 2
    assert whole.add_all(entries) == 0
    single.add("b", days(20), noise(1, 20))
    single.add("a", days(20), noise(2, 20))

    assert (tmp_path / "whole.jsonl").read_bytes() == (tmp_path / "single.jsonl").read_bytes()
    assert whole.head == single.head


def test_more_trials_than_weeks_count_by_their_correlations(tmp_path: Path) -> None:
    register = TrialsRegister(tmp_path / "trials.jsonl")
    returns = noise(4, 12 * 15).reshape(12, 15)
    register.add_all([trial(str(n), days(15), row) for n, row in enumerate(returns)])

    # Three weeks of five days each: Pearson's correlations of their sums, from the definition.
    weeks = returns.reshape(12, 3, 5).sum(axis=2).astype(np.float32).astype(np.float64)
    assert register.n_effective() == pytest.approx(effective_rank(np.corrcoef(weeks)), abs=2e-6)
