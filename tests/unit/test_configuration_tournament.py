"""The tournament's file and its profiles: pinned, hashed, and mapped on what the core takes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.allocation.allocator import Profile
from engine.core.settings import MARKETABLE_LIMIT, Costs, Limits, Rules
from engine.domain.errors import ConfigurationError, InputError
from engine.domain.time import Timeframe
from research.configuration import (
    STANDARD_ALLOCATIONS,
    CostProfile,
    LimitProfile,
    TournamentConfiguration,
    Universe,
    for_data,
    on_data,
    read,
)
from tests.builders import random_panel

CONFIGS = Path(__file__).parent.parent.parent / "configs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the configurations that a test may change."""
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


ALLOCATIONS = """\
  native: [equal_weight, inverse_volatility]
  riskfolio: [min_variance, hrp, herc, mean_cvar, barbell]
  skfolio: [min_variance, hrp, nco, risk_parity, mean_cvar]"""


def test_crypto_is_played_by_the_standard_gates_at_what_crypto_costs() -> None:
    crypto, shares = read(CONFIGS / "tournament_crypto.yaml"), read(CONFIGS / "port-test.yaml")

    assert crypto.configuration.gates == shares.configuration.gates
    assert crypto.configuration.resampling == shares.configuration.resampling
    # Kraken's first tier: .40% for who takes.
    assert crypto.costs.taker_fee_bps == 40.0 > shares.costs.taker_fee_bps


def test_port_test_plays_us20_and_us5_by_the_standard() -> None:
    settings = read(CONFIGS / "port-test.yaml")

    configuration = settings.configuration
    assert [(u.name, u.floor(20)) for u in configuration.universes] == [("us20", 10), ("us5", 3)]
    windows = configuration.windows
    assert (windows.train, windows.test, windows.step, windows.purge, windows.embargo) == (180, 40, 20, 1, 0)
    assert configuration.gates.changed() == ()
    assert configuration.allocations.pairs() == (
        ("native", "equal_weight"),
        ("native", "inverse_volatility"),
        ("riskfolio", "min_variance"),
        ("riskfolio", "hrp"),
        ("riskfolio", "herc"),
        ("riskfolio", "mean_cvar"),
        ("riskfolio", "barbell"),
        ("skfolio", "min_variance"),
        ("skfolio", "hrp"),
        ("skfolio", "nco"),
        ("skfolio", "risk_parity"),
        ("skfolio", "mean_cvar"),
    )
    assert settings.costs.words() == "10 bps fee + 5 bps slippage"


def test_an_engine_that_is_left_out_is_not_asked(folder: Path) -> None:
    before = read(folder / "port-test.yaml").configuration.allocations
    for line in (folder / "port-test.yaml").read_text().splitlines():
        if line.startswith(("  riskfolio: ", "  skfolio: ")):
            edit(folder / "port-test.yaml", line + "\n", "")

    assert read(folder / "port-test.yaml").configuration.allocations.pairs() == (
        ("native", "equal_weight"),
        ("native", "inverse_volatility"),
    )
    assert before.only("riskfolio", "hrp").pairs() == (("riskfolio", "hrp"),)
    assert before.only("skfolio", "nco").pairs() == (("skfolio", "nco"),)


def test_the_standard_asks_each_library_for_five_profiles_and_for_none_without_an_answer() -> None:
    pairs = STANDARD_ALLOCATIONS.pairs()

    assert [engine for engine, _ in pairs] == ["native"] * 2 + ["riskfolio"] * 5 + ["skfolio"] * 5
    assert {profile for _, profile in pairs} == {str(profile) for profile in Profile} - {"max_sharpe"}


def test_profiles_become_what_the_core_takes() -> None:
    settings = read(CONFIGS / "port-test.yaml")

    assert settings.costs.costs(random_panel(5, 20, seed=1)) == Costs()
    assert settings.limits.limits(random_panel(5, 20, seed=1)) == Limits()
    assert settings.rules(Timeframe.DAY_1) == Rules(order_kind=MARKETABLE_LIMIT, order_bound_bps=500.0)
    assert settings.rules(Timeframe.HOUR_1).order_bound_bps == 100.0


def test_fewer_than_four_instruments_have_no_cap_of_their_own() -> None:
    profile = LimitProfile(name="x")

    assert profile.limits(random_panel(5, 4, seed=1)).instrument == 0.25
    assert profile.limits(random_panel(5, 3, seed=1)).instrument == 1.0


def test_a_halt_lasts_days_whatever_the_length_of_a_bar() -> None:
    hourly = random_panel(100, 4, seed=1, timeframe=Timeframe.HOUR_1)

    limits = LimitProfile(name="x", halt_days=20, recovery_days=60).limits(hourly)

    # Around the clock, and the last of the 100 bars lies in a day that has only begun.
    assert (limits.halt_bars, limits.recovery_bars) == (480, 1440)


def test_a_cap_is_switched_off_by_inf(folder: Path) -> None:
    edit(folder / "limits" / "research_default.yaml", "cluster: 0.25", "cluster: .inf")

    assert read(folder / "port-test.yaml").limits.limits(random_panel(5, 20, seed=1)).cluster == np.inf


def test_the_small_crypto_account_holds_the_caps_of_its_specification(folder: Path) -> None:
    edit(folder / "port-test.yaml", "limits: research_default", "limits: crypto_spot_small")

    limits = read(folder / "port-test.yaml").limits.limits(random_panel(5, 20, seed=1))

    assert (limits.gross, limits.instrument, limits.cluster) == (0.20, 0.02, 0.08)


def test_the_hash_is_of_values_not_of_spelling(folder: Path) -> None:
    before = read(folder / "port-test.yaml").content_hash

    edit(folder / "port-test.yaml", "seed: 1\n", "# another comment\nseed: 0x1\n")

    assert read(folder / "port-test.yaml").content_hash == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("port-test.yaml", "  step: 20", "  step: 10"),
        ("costs/us_equity.yaml", "slippage_bps: 5.0", "slippage_bps: 6.0"),
        ("limits/research_default.yaml", "halt_days: 20", "halt_days: 21"),
    ],
)
def test_every_file_that_is_played_by_is_in_the_hash(folder: Path, file: str, old: str, new: str) -> None:
    before = read(folder / "port-test.yaml").content_hash

    edit(folder / file, old, new)

    assert read(folder / "port-test.yaml").content_hash != before


def test_another_floor_of_gates_is_named(folder: Path) -> None:
    edit(folder / "port-test.yaml", "deflated_sharpe: 0.95", "deflated_sharpe: 0.5")

    changed = read(folder / "port-test.yaml").configuration.gates.changed()

    assert changed == ("deflated_sharpe 0.5 (standard 0.95)",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  step: 20", "  step: 50", "windows: step must be at most test, else rows between windows"),
        ("  purge: 1", "  purge: 180", "windows: purge must be below train; was purge 180, train 180"),
        ("[core, frictionless, stressed, vectorbt]", "[vectorbt]", "simulators must hold core: only"),
        ("[window, daily, daily_5pct]", "[daily, daily]", "rebalances names daily twice"),
        ("  - name: us5", "  - name: us20", "universes names us20 twice"),
        ("strategies: [all]", "strategies: [all", "is not YAML"),
        (ALLOCATIONS, "  native: []", "allocations: name at least one profile"),
        ("native: [equal_weight, inverse_volatility]", "native: [equal_weight, equal_weight]",
         "allocations names native/equal_weight twice"),
        ("strategies: [all]\nparameters: {}", "strategies: [x]\nparameters: {a: {b: 1}}",
         "parameters.a is not in strategies: add it there or drop it here"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(folder: Path, old: str, new: str, words: str) -> None:
    edit(folder / "port-test.yaml", old, new)

    with pytest.raises(ConfigurationError) as caught:
        read(folder / "port-test.yaml")
    assert words in str(caught.value)


def test_parameters_may_name_any_strategy_when_all_are_played(folder: Path) -> None:
    edit(folder / "port-test.yaml", "parameters: {}", "parameters: {trend: {fast: 10}}")

    assert read(folder / "port-test.yaml").configuration.parameters == {"trend": {"fast": 10}}


def test_a_profile_that_is_not_there_names_those_that_are(folder: Path) -> None:
    edit(folder / "port-test.yaml", "costs: us_equity", "costs: cheap")

    with pytest.raises(
        InputError, match=r"cheap: there are crypto_spot, us_equity, us_equity_margin; write .*cheap\.yaml"
    ):
        read(folder / "port-test.yaml")


def test_a_profile_under_another_name_is_refused(folder: Path) -> None:
    edit(folder / "costs" / "us_equity.yaml", "name: us_equity", "name: other")

    with pytest.raises(InputError, match="name is other, must be us_equity like the file"):
        read(folder / "port-test.yaml")


def test_a_project_without_configs_plays_the_standard_that_gauntlet_comes_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    at_home = for_data("us20")
    monkeypatch.chdir(tmp_path)

    elsewhere = for_data("us20")

    assert elsewhere == at_home
    assert elsewhere.content_hash == at_home.content_hash


def test_a_file_without_profiles_beside_it_plays_with_those_of_the_project_or_of_gauntlet(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "..")
    alone = tmp_path / "mine.yaml"
    alone.write_text((CONFIGS / "port-test.yaml").read_text())
    assert read(alone).costs == CostProfile(name="us_equity")

    # The nearest one counts: of the project before Gauntlet's own, beside the file before both.
    edit(folder / "costs" / "us_equity.yaml", "taker_fee_bps: 10.0", "taker_fee_bps: 20.0")
    monkeypatch.chdir(tmp_path)
    assert read(alone).costs.taker_fee_bps == 20.0
    (tmp_path / "costs").mkdir()
    (tmp_path / "costs" / "us_equity.yaml").write_text("name: us_equity\ntaker_fee_bps: 30.0\n")
    assert read(alone).costs.taker_fee_bps == 30.0


def test_the_standard_on_one_data_set_is_port_tests_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    pinned = on_data(read(Path("configs/port-test.yaml")), ["us20"])

    standard = on_data(for_data("us20"), ["us20"])

    # What the file pins are the defaults, but for the floor that it writes out.
    left = pinned.configuration.model_dump(exclude={"universes"})
    assert left == standard.configuration.model_dump(exclude={"universes"})
    assert pinned.costs == CostProfile(name="us_equity")
    assert pinned.limits == LimitProfile(name="research_default")


def test_other_data_sets_keep_the_floor_that_the_file_gives_them() -> None:
    settings = on_data(read(CONFIGS / "port-test.yaml"), ["us5", "mine"])

    assert settings.configuration.universes == (
        Universe(name="us5", selection_floor=3),
        Universe(name="mine"),
    )
    assert settings.source.endswith("port-test.yaml --data us5 --data mine")


def test_a_floor_that_is_not_given_follows_the_number_of_instruments() -> None:
    assert Universe(name="x").floor(20) == 10
    assert Universe(name="x").floor(5) == 3


def test_tiers_must_tighten() -> None:
    with pytest.raises(ValueError, match="must not decrease"):
        LimitProfile(name="x", tier_1_drawdown=0.3)
    with pytest.raises(ValueError, match="tier_2_scale must be at most tier_1_scale"):
        LimitProfile(name="x", tier_2_scale=0.9)


def test_a_configuration_needs_a_data_set() -> None:
    with pytest.raises(ValueError, match="universes"):
        TournamentConfiguration(universes=())
