"""The packaged strategies: their rule by hand, their papers, and what makes one valid."""

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import FloatArray
from engine.domain.portfolio import Invest
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.features.operators import close, sma, where
from engine.features.strategy import Strategy, parameter
from engine.strategy_files import load_strategy, strategy_class, strategy_names
from tests.builders import NAN, panel_of, random_panel

PACKAGED = (
    "buy_and_hold",
    "channel_breakout",
    "cross_sectional_momentum",
    "low_volatility",
    "mean_reversion",
    "time_series_momentum",
    "trend",
)


def signals(name: str, closes: dict[str, list[float]], **parameters: float) -> FloatArray:
    values: FloatArray = evaluate([load_strategy(name, parameters).signal()], panel_of(closes))[0]
    return values


def test_the_packaged_strategies_are_found() -> None:
    assert [name for name in strategy_names() if name in PACKAGED] == list(PACKAGED)


@pytest.mark.parametrize("name", PACKAGED)
def test_a_strategy_names_its_source_in_docstring_and_reference(name: str) -> None:
    strategy = load_strategy(name)

    assert re.search(r"\((19|20)\d\d\)", strategy.reference)
    assert re.search(r" (19|20)\d\d\)", type(strategy).__doc__ or "")
    assert strategy.name == name
    assert load_strategy(name).hash == strategy.hash


@pytest.mark.parametrize("name", PACKAGED)
def test_signals_are_long_or_flat_and_appear(name: str) -> None:
    panel = random_panel(1500, 8, seed=21)

    values = evaluate([load_strategy(name).signal()], panel)[0]

    assert set(np.unique(values[np.isfinite(values)])) <= {0.0, 1.0}
    assert np.nanmean(values) > 0.02


def test_all_strategies_differ() -> None:
    assert len({load_strategy(name).hash for name in PACKAGED}) == len(PACKAGED)


def test_buy_and_hold_is_long_once_listed() -> None:
    assert signals("buy_and_hold", {"A": [NAN, 5.0, NAN, 4.0]})[:, 0].tolist() == pytest.approx(
        [NAN, 1.0, NAN, 1.0], nan_ok=True
    )


def test_trend_is_long_while_the_fast_average_is_above_the_slow_one() -> None:
    rise_and_fall = [float(price) for price in (*range(1, 20), *range(20, 0, -1))]

    values = signals("trend", {"A": rise_and_fall}, fast=2, slow=5)[:, 0]

    # The slow average needs 5 bars; the top is at bar 19 and the averages cross three bars later.
    assert np.isnan(values[:4]).all()
    assert values[4:22].tolist() == [1.0] * 18
    assert values[22:].tolist() == [0.0] * (len(values) - 22)


def test_time_series_momentum_follows_the_sign_of_the_past_return() -> None:
    closes = [10.0] * 20 + [11.0, 9.0, 10.0]

    assert signals("time_series_momentum", {"A": closes}, lookback=20)[20:, 0].tolist() == [1.0, 0.0, 0.0]


def test_cross_sectional_momentum_buys_the_top_and_keeps_it_in_the_band() -> None:
    # Returns from 40 to 1 bars ago. A leads, then falls to second, then to last of three.
    lead = {
        "A": [10.0] * 40 + [16.0, 13.0, 11.0, 11.0],
        "B": [10.0] * 40 + [14.0] * 4,
        "C": [10.0] * 40 + [12.0] * 4,
    }

    values = signals("cross_sectional_momentum", lead, lookback=40, skip=1, buy_share=0.25, hold_share=0.5)

    # Bar 41 sees the closes of bar 40 against bar 1, and so on.
    assert values[41].tolist() == pytest.approx([1.0, NAN, 0.0], nan_ok=True)
    assert values[42].tolist() == pytest.approx([1.0, 1.0, 0.0], nan_ok=True)
    assert values[43].tolist() == [0.0, 1.0, 0.0]


def test_mean_reversion_holds_from_the_fall_to_the_average() -> None:
    closes = [10.0, 10.2, 9.8, 10.1, 9.9] * 2 + [8.0, 8.5, 10.0, 10.0]

    values = signals("mean_reversion", {"A": closes}, length=10, entry=2.0)[:, 0]

    # Bar 10: mean 9.8, deviation 0.642, so -2.80. Bar 11: -1.9, kept. Bar 12: +0.6, out.
    assert values[10:13].tolist() == [1.0, 1.0, 0.0]


def test_channel_breakout_buys_new_highs_and_sells_new_lows() -> None:
    closes = [10.0, 11.0, 10.0, 10.0, 10.5, 11.5, 11.0, 10.6, 10.0]

    values = signals("channel_breakout", {"A": closes}, entry=5, leave=2)[:, 0]

    # 11.5 tops the five bars before it; 11.0 and 10.6 undercut the two before them only at the second.
    assert values[5:].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_low_volatility_buys_the_calmest() -> None:
    rng = np.random.default_rng(4)
    closes = {
        name: (100 * np.exp(np.cumsum(rng.normal(0.0, deviation, 60)))).tolist()
        for name, deviation in {"CALM": 0.001, "SOME": 0.01, "MORE": 0.02, "WILD": 0.04, "MAD": 0.08}.items()
    }

    last = signals("low_volatility", closes, length=40)[-1]

    assert last[0] == 1.0
    assert last[3:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("trend", {"fast": 1}, "trend: fast must be a whole number from 2 to 60, was 1"),
        ("trend", {"fast": "ten"}, "trend: fast must be a whole number from 2 to 60, was 'ten'"),
        ("trend", {"fast": "10.5"}, "was '10.5'"),
        ("trend", {"fast": 10.0}, "was 10.0"),
        ("trend", {"slow": True}, "was True"),
        ("trend", {"fast": 50, "slow": 50}, "trend: fast must be below slow, was 50 against 50"),
        ("trend", {"fst": 3}, "trend: no parameter 'fst', did you mean 'fast'?"),
        ("trend", {"zzz": 3}, "it has fast, slow"),
        ("buy_and_hold", {"k": 3}, "buy_and_hold: no parameter 'k', it has none"),
        (
            "mean_reversion",
            {"entry": math.nan},
            "mean_reversion: entry must be a number from 0.5 to 4.0, was nan",
        ),
        ("mean_reversion", {"entry": 1.0, "leave": -1.5}, "leave must be above -entry"),
        ("low_volatility", {"hold_share": 0.1}, "hold_share must be at least buy_share"),
        ("cross_sectional_momentum", {"hold_share": 0.1}, "hold_share must be at least buy_share"),
    ],
)
def test_parameters_are_checked(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        load_strategy(name, parameters)

    assert message in str(refusal.value)


def test_texts_from_a_command_line_are_read_as_numbers() -> None:
    assert load_strategy("trend", {"fast": "5"}) == load_strategy("trend", {"fast": 5})
    assert load_strategy("mean_reversion", {"entry": "2"}).hash == load_strategy("mean_reversion").hash
    assert load_strategy("mean_reversion", {"entry": 2}).hash == load_strategy("mean_reversion").hash


@dataclass(frozen=True)
class AboveAverage(Strategy):
    """A strategy as a user writes it."""

    invest: ClassVar[Invest] = Invest.FULL

    length: int = parameter(20, low=2, high=50)

    def signal(self) -> Expression:
        return where(close > sma(close, self.length), 1.0, 0.0)


def test_identity_covers_parameters_and_the_way_of_investing() -> None:
    @dataclass(frozen=True)
    class Scaled(AboveAverage):
        """The same graph, invested otherwise."""

        invest: ClassVar[Invest] = Invest.SCALED

        @classmethod
        def strategy_name(cls) -> str:
            return AboveAverage.strategy_name()

    assert AboveAverage().name == "above_average"
    assert len({AboveAverage().hash, AboveAverage(length=21).hash, Scaled().hash}) == 3
    assert Scaled().signal() is AboveAverage().signal()
    with pytest.raises(dataclasses.FrozenInstanceError):
        AboveAverage().length = 3  # type: ignore[misc]  # the point of the test


def test_a_default_out_of_its_own_bounds_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="default 1 is not from 2 to 3"):
        parameter(1, low=2, high=3)


def test_a_project_has_strategies_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import strategies

    monkeypatch.setattr(strategies, "__path__", list(strategies.__path__))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "broken_project_idea.py").write_text("import no_such_module\n")
    (tmp_path / "strategies" / "misnamed_project_idea.py").write_text(
        "from engine.features.strategy import Strategy\n\nclass Other(Strategy):\n    pass\n"
    )

    assert {"broken_project_idea", "misnamed_project_idea", "trend"} <= set(strategy_names())
    with pytest.raises(InputError, match=r"broken_project_idea\.py cannot be imported: ModuleNotFoundError"):
        strategy_class("broken_project_idea")
    with pytest.raises(
        InputError, match=r"must define class MisnamedProjectIdea\(Strategy\), it defines Other"
    ):
        strategy_class("misnamed_project_idea")
    with pytest.raises(InputError, match=r"no strategy 'trnd' in strategies/, did you mean 'trend'\?"):
        strategy_class("trnd")
