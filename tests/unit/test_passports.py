"""Passports: a row is made again as it was, or what changed since is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.compiled import CORE_VERSION
from engine.data import catalogue
from engine.domain.errors import InputError, InvalidValueError, RefusedError
from engine.domain.identity import content_hash
from engine.domain.passport import Passport, PlanKind
from engine.domain.portfolio import Invest
from engine.schedule.windows import Rebalance
from engine.strategy_files import load_strategy
from research.arena import Contestant
from research.backtest import backtest
from research.base_weights import Allocation
from research.configuration import TournamentSettings, for_data, from_document, on_data, read
from research.grounds import survey, whole_pool
from research.passports import Entry, rebuild, require_unchanged, research_passport

pytestmark = pytest.mark.usefixtures("home")

CONFIGURATION = """
universes: [{name: us5}]
strategies: [trend]
parameters:
  trend: {fast: 5, slow: 40}
windows: {train: 120, test: 40, step: 20, purge: 1, embargo: 0}
costs: cheap
limits: loose
"""
COSTS = "name: cheap\ntaker_fee_bps: 1.0\n"
LIMITS = "name: loose\ngross: .inf\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIGURATION)
    for kind, name, text in (("costs", "cheap", COSTS), ("limits", "loose", LIMITS)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.yaml").write_text(text)
    return path


def entry_of(settings: TournamentSettings) -> Entry:
    """Return what a board of these settings says of a row of `trend`."""
    (universe,) = settings.configuration.universes
    strategy = load_strategy("trend", settings.configuration.parameters.get("trend"))
    arena = whole_pool(survey(universe, settings), settings)
    allocation = Allocation(selection="all", engine="riskfolio", profile="hrp")
    identity = arena.identity(Contestant.of(strategy), allocation, Rebalance.DAILY)
    return Entry(
        strategy_id=f"trend-{identity[:8]}",
        strategy="trend",
        parameters=strategy.parameters,
        parameters_hash=strategy.hash[:8],
        universe=universe.name,
        data_hash=catalogue.manifest(universe.name).content_hash,
        selection="all",
        engine="riskfolio",
        profile="hrp",
        rebalance="daily",
        identity_hash=identity,
        core_version=CORE_VERSION,
        universes=(universe.name,),
        configuration=json.loads(json.dumps(settings.document)),
        configuration_hash=settings.content_hash,
        source=settings.source,
        run_id="t-1",
        board_hash="c" * 64,
    )


def drifted(entry: Entry) -> list[str]:
    return [drift.what for drift in rebuild(entry).drift]


def test_a_row_that_did_not_change_has_a_passport_with_all_of_it(file: Path) -> None:
    settings = read(file)
    entry = entry_of(settings)

    rebuilt = rebuild(entry)

    passport = rebuilt.passport
    assert rebuilt.drift == ()
    require_unchanged(rebuilt)
    assert passport.identity_hash == entry.identity_hash
    assert (passport.run_id, passport.board_hash) == ("t-1", "c" * 64)
    assert passport.parameters == {"fast": 5, "slow": 40}
    assert passport.invest is Invest.FULL
    assert not passport.research_only
    assert passport.plan.kind is PlanKind.WALK_FORWARD
    assert (passport.plan.train, passport.plan.test, passport.plan.step) == (120, 40, 20)
    assert (passport.plan.selection, passport.plan.engine, passport.plan.profile) == (
        "all", "riskfolio", "hrp",
    )  # fmt: skip
    assert (passport.plan.rebalance, passport.plan.floor, passport.plan.seed) == ("daily", 3, 1)
    assert passport.costs["taker_fee_bps"] == 1.0
    assert passport.limits["gross"] == float("inf")
    assert passport.symbols == catalogue.load("us5").symbols
    body = json.loads(json.dumps(passport.to_body(), allow_nan=False))
    assert Passport.from_body(body).hash == passport.hash


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"core_version": "0" * 16}, ["core version"]),
        ({"data_hash": "0" * 64}, ["data hash of us5"]),
        ({"parameters_hash": "00000000"}, ["graph of trend"]),
        ({"parameters": {"fast": 5}}, ["parameters of trend"]),
        ({"identity_hash": "0" * 64}, ["identity"]),
        ({"configuration_hash": "0" * 64}, ["configuration on the board"]),
    ],
)
def test_each_thing_that_changed_is_named(file: Path, changes: dict[str, Any], names: list[str]) -> None:
    entry = replace(entry_of(read(file)), **changes)

    assert drifted(entry) == names
    with pytest.raises(RefusedError, match=names[0]):
        require_unchanged(rebuild(entry))


@pytest.mark.parametrize(
    ("place", "text", "name"),
    [
        ("costs/cheap.yaml", COSTS.replace("1.0", "2.0"), "costs: taker_fee_bps"),
        ("limits/loose.yaml", LIMITS.replace(".inf", "0.5"), "limits: gross"),
        ("small.yaml", CONFIGURATION.replace("train: 120", "train: 121"), "configuration: windows.train"),
        ("small.yaml", CONFIGURATION.replace("fast: 5", "fast: 6"), "configuration: parameters.trend.fast"),
        ("small.yaml", CONFIGURATION.replace("costs: cheap", "costs: dear"), "configuration"),
        ("small.yaml", None, "configuration"),
    ],
)
def test_a_file_that_changed_since_is_named_with_the_value(
    file: Path, place: str, text: str | None, name: str
) -> None:
    entry = entry_of(read(file))
    changed = file.parent / place
    changed.unlink() if text is None else changed.write_text(text)

    assert drifted(entry) == [name]


def test_values_survive_the_way_through_a_board(file: Path) -> None:
    settings = read(file)
    document = json.loads(json.dumps(settings.document, allow_nan=False))

    assert from_document(document, settings.source) == settings
    assert content_hash(document) == settings.content_hash
    with pytest.raises(InputError, match="run the tournament again"):
        from_document({**document, "costs": {}}, settings.source)


def test_other_data_sets_of_the_command_line_are_found_again(file: Path) -> None:
    settings = on_data(read(file), ["planted"])
    entry = entry_of(settings)

    assert entry.source.endswith(" --data planted")
    rebuilt = rebuild(entry)
    assert rebuilt.drift == ()
    assert rebuilt.passport.synthetic


def test_the_standard_tournament_is_found_again() -> None:
    assert drifted(entry_of(for_data("us5"))) == []


def test_a_parameter_that_is_not_taken_any_more_is_an_error(file: Path) -> None:
    entry = entry_of(read(file))

    with pytest.raises(InvalidValueError, match="no parameter 'gone'"):
        rebuild(replace(entry, parameters={"gone": 1}))
    with pytest.raises(InputError, match="no strategy 'trnd'"):
        rebuild(replace(entry, strategy="trnd"))


def test_a_bare_strategy_gets_the_account_that_a_backtest_plays() -> None:
    strategy, settings = load_strategy("trend"), for_data("us5")

    passport = research_passport(strategy, "us5", settings)

    assert passport.research_only
    assert passport.plan.kind is PlanKind.LISTED
    assert passport.strategy_id == f"trend-{strategy.hash[:8]}"
    assert passport.identity_hash == replace(passport, identity_hash="").hash
    assert (passport.run_id, passport.board_hash) == ("", "")
    assert passport.costs["slippage_bps"] == 5.0
    assert passport.cash == 100_000.0
    assert backtest(strategy, settings).hashes.strategy == passport.graph_hash
    assert research_passport(strategy, "planted", settings).strategy_id.startswith("trend-synthetic-")
