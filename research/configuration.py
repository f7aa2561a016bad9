"""What a tournament is told: its configuration file, and the cost and limit profiles that the file names.

Every value has one home: the file, or the default here. The default gates are the standard; a board that
was judged by others says so.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from engine.configuration import Section, load
from engine.core.settings import MARKET, MARKETABLE_LIMIT, Costs, Limits, Rules
from engine.domain.errors import InputError
from engine.domain.identity import content_hash
from engine.domain.panel import Panel
from engine.domain.time import Timeframe
from engine.schedule.windows import Rebalance
from research.cells import Simulator

# Profiles are looked for beside the file that names them, in the project, and in what Gauntlet comes with.
CONFIGURATION_FOLDERS = (Path("configs"), Path(__file__).parents[1] / "configs")
ALL_STRATEGIES = "all"
STANDARD = "the standard configuration"
_DATA_OPTION = " --data "

# Nautilus runs in an environment of its own, so it is asked for by name.
STANDARD_SIMULATORS = (Simulator.CORE, Simulator.FRICTIONLESS, Simulator.STRESSED, Simulator.VECTORBT)

# Below four instruments a cap of a quarter each would leave the account in cash (RULINGS C6).
INSTRUMENTS_FOR_A_CAP = 4


class Selection(StrEnum):
    """How a window's candidates are chosen from the eligible instruments."""

    ALL = "all"
    LOG_MPS = "log_mps"


class NativeProfile(StrEnum):
    """What our own allocation is asked for."""

    EQUAL_WEIGHT = "equal_weight"
    INVERSE_VOLATILITY = "inverse_volatility"


class RiskfolioProfile(StrEnum):
    """What riskfolio-lib is asked for."""

    MIN_VARIANCE = "min_variance"
    MAX_SHARPE = "max_sharpe"
    HRP = "hrp"
    HERC = "herc"
    NCO = "nco"
    RISK_PARITY = "risk_parity"
    MEAN_CVAR = "mean_cvar"
    BARBELL = "barbell"


class SkfolioProfile(StrEnum):
    """What skfolio is asked for: the same problems, solved by other code."""

    MIN_VARIANCE = "min_variance"
    MAX_SHARPE = "max_sharpe"
    HRP = "hrp"
    HERC = "herc"
    NCO = "nco"
    RISK_PARITY = "risk_parity"
    MEAN_CVAR = "mean_cvar"
    BARBELL = "barbell"


class OrderKind(StrEnum):
    """`MARKET` is for research only."""

    MARKET = "market"
    MARKETABLE_LIMIT = "marketable_limit"


class Universe(Section):
    """One data set to play on.

    Attributes
    ----------
    selection_floor
        A selection that leaves fewer instruments falls back to all eligible ones, flagged. Left out: 10, or
        3 where the set has fewer than 10 instruments.
    """

    name: str = Field(min_length=1, examples=["us20"])
    selection_floor: int | None = Field(default=None, ge=1, examples=[10])

    def floor(self, instruments: int) -> int:
        """Return the floor for a set of so many instruments."""
        if self.selection_floor is not None:
            return self.selection_floor
        return 10 if instruments >= 10 else 3


class Windows(Section):
    """Lengths of the walk-forward, in rows."""

    train: int = Field(default=180, ge=20, examples=[180])
    test: int = Field(default=40, ge=2, examples=[40])
    step: int = Field(default=20, ge=1, examples=[20])
    purge: int = Field(default=1, ge=0, examples=[1])
    embargo: int = Field(default=0, ge=0, examples=[0])

    @model_validator(mode="after")
    def _leave_no_row_out(self) -> Self:
        if self.step > self.test:
            raise ValueError(
                f"step must be at most test, else rows between windows are never judged; "
                f"was step {self.step}, test {self.test}"
            )
        if self.purge >= self.train:
            raise ValueError(f"purge must be below train; was purge {self.purge}, train {self.train}")
        return self


class Allocations(Section):
    """Engines, and the profiles that each is asked for; one that is left out is not asked."""

    native: tuple[NativeProfile, ...] = ()
    riskfolio: tuple[RiskfolioProfile, ...] = ()
    skfolio: tuple[SkfolioProfile, ...] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.pairs():
            raise ValueError("name at least one profile, e.g. native: [equal_weight]")
        return self

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return (engine, profile) of every allocation, in the order of the file."""
        return tuple(
            (engine, str(profile)) for engine in type(self).model_fields for profile in getattr(self, engine)
        )

    def only(self, engine: str, profile: str) -> Self:
        """Return the section with nothing but one allocation, by name."""
        names = {field: (profile,) if field == engine else () for field in type(self).model_fields}
        return type(self).model_validate_json(json.dumps(names))


# Every profile that has an answer whatever the market did, each by the library that is cheap at it, and three
# by both. `max_sharpe` has none when no instrument rose over the training rows: 1 window of us20, 18 of us5.
STANDARD_ALLOCATIONS = Allocations(
    native=tuple(NativeProfile),
    riskfolio=(
        RiskfolioProfile.MIN_VARIANCE,
        RiskfolioProfile.HRP,
        RiskfolioProfile.HERC,
        RiskfolioProfile.MEAN_CVAR,
        RiskfolioProfile.BARBELL,
    ),
    skfolio=(
        SkfolioProfile.MIN_VARIANCE,
        SkfolioProfile.HRP,
        SkfolioProfile.NCO,
        SkfolioProfile.RISK_PARITY,
        SkfolioProfile.MEAN_CVAR,
    ),
)


class RuleSettings(Section):
    """How orders are made and filled. The default is `research_fractional`, for adjusted prices."""

    name: str = Field(default="research_fractional", min_length=1)
    order_kind: OrderKind = OrderKind.MARKETABLE_LIMIT
    participation: float = Field(default=0.10, gt=0, examples=[0.1])
    cash_buffer: float = Field(default=0.01, ge=0, lt=1, examples=[0.01])
    lot_size: float = Field(default=1e-6, gt=0, examples=[1e-6])
    tick_size: float = Field(default=1e-6, gt=0, examples=[1e-6])
    minimum_notional: float = Field(default=0.0, ge=0, examples=[0.0])
    stale_bars: int = Field(default=5, ge=1, examples=[5])
    latency_bars: int = Field(default=0, ge=0, examples=[0])


class GateThresholds(Section):
    """What each gate asks for. The defaults are the standard of the strict scoreboard.

    Attributes
    ----------
    af_dist, af_dist_margin
        The threshold is the smaller of `af_dist` and the market's own value less `af_dist_margin`: a
        long-only book inherits part of its market's skew.
    tail_multiplier
        For CVaR and maximum drawdown alike.
    beta_share
        Largest beta of a minimum-variance cell, as a share of its mean gross.
    spa, permutation
        Largest probability of the result without an edge: family-wise over all cells of the data set, and of
        the whole search played on permuted bars. Family-wise 1% is the operating point that the study of the
        controls chose: at 5%, grids of few independent trials are promoted more often than one in a hundred,
        and the deflated Sharpe ratio, which asks more of many trials, leaves no power to be gained by it.
    track_record
        Largest share of the observations there are that are needed to prove the excess.
    timing_rank
        Largest move in rank among the cells of its strategy, as a share of them, when filled one bar later
        or at twice the cost.
    capacity
        Smallest capital, in quote currency, that must still earn an excess.
    ambiguous_bars
        Largest share of fills in bars of which nobody can say what came first in them.
    """

    friction_decay: float = Field(default=0.30, examples=[0.30])
    temporal_fragility: float = Field(default=1.50, gt=0, examples=[1.50])
    selection_jaccard: float = Field(default=0.30, ge=0, le=1, examples=[0.30])
    af_dist: float = Field(default=-0.20, examples=[-0.20])
    af_dist_margin: float = Field(default=0.20, ge=0, examples=[0.20])
    stress_alpha: float = Field(default=0.0, examples=[0.0])
    turnover: float = Field(default=0.50, gt=0, examples=[0.50])
    tail_multiplier: float = Field(default=1.25, gt=0, examples=[1.25])
    sim_parity: float = Field(default=0.015, ge=0, examples=[0.015])
    beta_share: float = Field(default=0.9, gt=0, examples=[0.9])
    excess_lower_bound: float = Field(default=0.0, examples=[0.0])
    deflated_sharpe: float = Field(default=0.95, gt=0, lt=1, examples=[0.95])
    trades: int = Field(default=30, ge=1, examples=[30])
    spa: float = Field(default=0.01, gt=0, lt=1, examples=[0.01])
    permutation: float = Field(default=0.05, gt=0, lt=1, examples=[0.05])
    excess_bootstrap: float = Field(default=0.0, examples=[0.0])
    track_record: float = Field(default=1.0, gt=0, examples=[1.0])
    timing_excess: float = Field(default=0.0, examples=[0.0])
    timing_rank: float = Field(default=0.25, ge=0, le=1, examples=[0.25])
    regimes: float = Field(default=0.0, examples=[0.0])
    capacity: float = Field(default=1_000_000.0, gt=0, examples=[1_000_000.0])
    ambiguous_bars: float = Field(default=0.05, ge=0, le=1, examples=[0.05])

    def changed(self) -> tuple[str, ...]:
        """Name every threshold that is not the standard's, with both values."""
        standard = GateThresholds()
        return tuple(
            f"{name} {getattr(self, name)} (standard {getattr(standard, name)})"
            for name in GateThresholds.model_fields
            if getattr(self, name) != getattr(standard, name)
        )


class Controls(Section):
    """The checks of the checker, played in every tournament.

    Attributes
    ----------
    seed
        Of the random control's long and flat runs.
    """

    random: bool = True
    peek: bool = True
    planted: bool = True
    seed: int = Field(default=7, ge=0, examples=[7])


class Resampling(Section):
    """How often chance is asked.

    Attributes
    ----------
    permutations
        Of the bars, the whole search played on each; 0 leaves the gate out.
    bootstraps
        Of the days.
    """

    permutations: int = Field(default=199, ge=0, examples=[199])
    bootstraps: int = Field(default=1000, ge=100, examples=[1000])

    def changed(self) -> tuple[str, ...]:
        """Name every count that is below the standard's, with both values."""
        standard = Resampling()
        return tuple(
            f"{name} {getattr(self, name)} (standard {getattr(standard, name)})"
            for name in Resampling.model_fields
            if getattr(self, name) < getattr(standard, name)
        )


class CostProfile(Section):
    """What trading costs, in basis points of a fill's notional, under a name.

    Attributes
    ----------
    impact_coefficient
        A fill of share s of the bar's volume moves the price by this times sqrt(s) basis points.
    order_bound_bps, order_bound_intraday_bps
        Half-width of a marketable limit's bound around the close it was decided on, on daily and on
        shorter bars.
    capacity_impact_bps
        `impact_coefficient` of the runs with more capital, which ask how much money an idea can carry: about
        the daily volatility, as the square-root law of impact has it (Almgren et al. 2005).
    borrow_bps_a_year, interest_bps_a_year
        Of the value of what is sold short, and of cash that is borrowed. Only profiles of limits with
        `short` or `leverage` meet them.
    """

    name: str = Field(min_length=1, examples=["us_equity"])
    taker_fee_bps: float = Field(default=10.0, examples=[10.0])
    maker_fee_bps: float = Field(default=10.0, examples=[10.0])
    half_spread_bps: float = Field(default=0.0, ge=0, examples=[0.0])
    slippage_bps: float = Field(default=5.0, ge=0, examples=[5.0])
    impact_coefficient: float = Field(default=0.0, ge=0, examples=[0.0])
    order_bound_bps: float = Field(default=500.0, gt=0, examples=[500.0])
    order_bound_intraday_bps: float = Field(default=100.0, gt=0, examples=[100.0])
    borrow_bps_a_year: float = Field(default=0.0, ge=0, examples=[0.0])
    interest_bps_a_year: float = Field(default=0.0, ge=0, examples=[0.0])
    capacity_impact_bps: float = Field(default=150.0, ge=0, examples=[150.0])

    def costs(self, panel: Panel) -> Costs:
        """Return the costs as the core takes them, which counts bars."""
        bars_a_year = panel.calendar.days_per_year * panel.bars_a_day
        return Costs(
            taker_fee_bps=self.taker_fee_bps,
            maker_fee_bps=self.maker_fee_bps,
            half_spread_bps=self.half_spread_bps,
            slippage_bps=self.slippage_bps,
            impact_coefficient=self.impact_coefficient,
            borrow_bps=self.borrow_bps_a_year / bars_a_year,
            interest_bps=self.interest_bps_a_year / bars_a_year,
        )

    def words(self) -> str:
        """Return the costs for a reader, parts that are zero left out."""
        parts = [f"{self.taker_fee_bps:g} bps fee"]
        if self.half_spread_bps:
            parts.append(f"{self.half_spread_bps:g} bps half-spread")
        if self.slippage_bps:
            parts.append(f"{self.slippage_bps:g} bps slippage")
        if self.impact_coefficient:
            parts.append(f"impact {self.impact_coefficient:g} bps x sqrt(share of volume)")
        if self.borrow_bps_a_year:
            parts.append(f"borrow {self.borrow_bps_a_year:g} bps a year")
        if self.interest_bps_a_year:
            parts.append(f"interest {self.interest_bps_a_year:g} bps a year")
        return " + ".join(parts)


class LimitProfile(Section):
    """Caps as shares of equity, and what a drawdown does to them, under a name. `.inf` switches a cap off.

    Attributes
    ----------
    net, short
        Caps on longs less shorts and on the sum of shorts; a `short` of 0 forbids them.
    leverage
        Cash may be borrowed up to this less 1 times equity; 1 forbids it.
    """

    name: str = Field(min_length=1, examples=["research_default"])
    gross: float = Field(default=1.0, gt=0, examples=[1.0])
    instrument: float = Field(default=0.25, gt=0, examples=[0.25])
    cluster: float = Field(default=0.25, gt=0, examples=[0.25])
    tier_1_drawdown: float = Field(default=0.10, gt=0, examples=[0.10])
    tier_1_scale: float = Field(default=0.75, ge=0, le=1, examples=[0.75])
    tier_2_drawdown: float = Field(default=0.15, gt=0, examples=[0.15])
    tier_2_scale: float = Field(default=0.50, ge=0, le=1, examples=[0.50])
    halt_drawdown: float = Field(default=0.20, gt=0, examples=[0.20])
    halt_days: int = Field(default=20, ge=1, examples=[20])
    recovery_days: int = Field(default=60, ge=0, examples=[60])
    recovery_scale: float = Field(default=0.50, ge=0, le=1, examples=[0.50])
    net: float = Field(default=math.inf, gt=0, examples=[1.0])
    short: float = Field(default=0.0, ge=0, examples=[0.0])
    leverage: float = Field(default=1.0, ge=1, examples=[1.0])

    @model_validator(mode="after")
    def _tiers_tighten(self) -> Self:
        if not self.tier_1_drawdown <= self.tier_2_drawdown <= self.halt_drawdown:
            raise ValueError(
                "tier_1_drawdown, tier_2_drawdown and halt_drawdown must not decrease; were "
                f"{self.tier_1_drawdown}, {self.tier_2_drawdown}, {self.halt_drawdown}"
            )
        if self.tier_2_scale > self.tier_1_scale:
            raise ValueError(
                f"tier_2_scale must be at most tier_1_scale; were {self.tier_2_scale}, {self.tier_1_scale}"
            )
        return self

    def limits(self, panel: Panel) -> Limits:
        """Return the limits as the core takes them, which counts bars, for the instruments of a panel."""
        few = len(panel.instruments) < INSTRUMENTS_FOR_A_CAP
        return Limits(
            gross=self.gross,
            instrument=max(self.instrument, self.gross) if few else self.instrument,
            cluster=self.cluster,
            tier_1_drawdown=self.tier_1_drawdown,
            tier_1_scale=self.tier_1_scale,
            tier_2_drawdown=self.tier_2_drawdown,
            tier_2_scale=self.tier_2_scale,
            halt_drawdown=self.halt_drawdown,
            halt_bars=self.halt_days * panel.bars_a_day,
            recovery_bars=self.recovery_days * panel.bars_a_day,
            recovery_scale=self.recovery_scale,
            net=self.net,
            short=self.short,
            leverage=self.leverage,
        )


ParameterValue = bool | int | float | str


class TournamentConfiguration(Section):
    """One tournament. Strategies x selections x rebalances x allocations x simulators, on each universe.

    Attributes
    ----------
    strategies
        Names of files in `strategies/`, or `[all]`.
    parameters
        By strategy, values that replace its defaults.
    costs, limits
        Names of profiles in `costs/` and `limits/` beside the file.
    cash
        Start cash of every account, in the quote currency.
    """

    universes: Annotated[tuple[Universe, ...], Field(min_length=1)]
    strategies: Annotated[tuple[str, ...], Field(min_length=1)] = (ALL_STRATEGIES,)
    parameters: dict[str, dict[str, ParameterValue]] = Field(default_factory=dict)
    windows: Windows = Windows()
    selections: Annotated[tuple[Selection, ...], Field(min_length=1)] = tuple(Selection)
    rebalances: Annotated[tuple[Rebalance, ...], Field(min_length=1)] = tuple(Rebalance)
    allocations: Allocations = STANDARD_ALLOCATIONS
    simulators: Annotated[tuple[Simulator, ...], Field(min_length=1)] = STANDARD_SIMULATORS
    costs: str = Field(default="us_equity", min_length=1)
    limits: str = Field(default="research_default", min_length=1)
    rules: RuleSettings = RuleSettings()
    gates: GateThresholds = GateThresholds()
    controls: Controls = Controls()
    resampling: Resampling = Resampling()
    cash: float = Field(default=100_000.0, gt=0, examples=[100_000])
    seed: int = Field(default=1, ge=0, examples=[1])

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if Simulator.CORE not in self.simulators:
            raise ValueError("simulators must hold core: only its rows can be candidates")
        for field in ("strategies", "selections", "rebalances", "simulators"):
            _once(field, [str(value) for value in getattr(self, field)])
        _once("allocations", [f"{engine}/{profile}" for engine, profile in self.allocations.pairs()])
        _once("universes", [universe.name for universe in self.universes])
        if ALL_STRATEGIES not in self.strategies:
            for name in self.parameters:
                if name not in self.strategies:
                    raise ValueError(f"parameters.{name} is not in strategies: add it there or drop it here")
        return self


def _once(field: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{field} names {value} twice")


@dataclass(frozen=True, kw_only=True)
class TournamentSettings:
    """A configuration with the profiles that it names.

    Attributes
    ----------
    source
        The file and the data sets as the user named them, to say how to repeat a run: it is in no hash.
    """

    configuration: TournamentConfiguration
    costs: CostProfile
    limits: LimitProfile
    source: str

    @property
    def document(self) -> dict[str, Any]:
        """Every value, as JSON has it; `from_document` reads it back."""
        return {
            name: _without_infinity(section.model_dump(mode="json"))
            for name, section in (
                ("configuration", self.configuration),
                ("costs", self.costs),
                ("limits", self.limits),
            )
        }

    @property
    def content_hash(self) -> str:
        """SHA-256 of every value; comments, order of keys and where the files lie do not count."""
        return content_hash(self.document)

    def rules(self, timeframe: Timeframe) -> Rules:
        """Return the rules as the core takes them, for bars of one length."""
        rules = self.configuration.rules
        daily = timeframe is Timeframe.DAY_1
        return Rules(
            order_kind=MARKET if rules.order_kind is OrderKind.MARKET else MARKETABLE_LIMIT,
            order_bound_bps=self.costs.order_bound_bps if daily else self.costs.order_bound_intraday_bps,
            participation=rules.participation,
            cash_buffer=rules.cash_buffer,
            lot_size=rules.lot_size,
            tick_size=rules.tick_size,
            minimum_notional=rules.minimum_notional,
            stale_bars=rules.stale_bars,
            latency_bars=rules.latency_bars,
        )


def from_document(document: Mapping[str, Any], source: str) -> TournamentSettings:
    """Return the settings that `TournamentSettings.document` was made from.

    Raises
    ------
    InputError
        If a key is missing, unknown, or has a value that it cannot have.
    """
    try:
        return TournamentSettings(
            configuration=_section(TournamentConfiguration, document["configuration"]),
            costs=_section(CostProfile, document["costs"]),
            limits=_section(LimitProfile, document["limits"]),
            source=source,
        )
    except (KeyError, ValidationError) as error:
        raise InputError(
            f"{source}: the values that a board was played with cannot be read by this version ({error}); "
            "run the tournament again"
        ) from error


def of_source(source: str, names: Sequence[str]) -> TournamentSettings:
    """Return the settings that a source names now, for the data sets of a board.

    Parameters
    ----------
    source
        As `TournamentSettings.source` has it.

    Raises
    ------
    ConfigurationError
        If its file is gone or wrong.
    InputError
        If a profile that it names is not there.
    """
    if source == STANDARD:
        return on_data(for_data(names[0]), names)
    return on_data(read(Path(source.partition(_DATA_OPTION)[0])), names)


_SectionType = TypeVar("_SectionType", bound=Section)


def _section(kind: type[_SectionType], values: Any) -> _SectionType:
    # Through JSON, as a file is read: there a list may become a tuple and a word an enum.
    return kind.model_validate_json(json.dumps(_with_infinity(values)))


def _without_infinity(value: Any) -> Any:
    """Return plain values with infinities as words: JSON has none, and their hash is that of the word."""
    match value:
        case dict():
            return {key: _without_infinity(item) for key, item in value.items()}
        case list():
            return [_without_infinity(item) for item in value]
        case float() if math.isinf(value):
            return str(value)
        case _:
            return value


def _with_infinity(value: Any) -> Any:
    match value:
        case dict():
            return {key: _with_infinity(item) for key, item in value.items()}
        case list():
            return [_with_infinity(item) for item in value]
        case "inf" | "-inf":
            return float(value)
        case _:
            return value


def read(path: Path) -> TournamentSettings:
    """Read a tournament's file, and its profiles from `costs/` and `limits/` beside it.

    Raises
    ------
    ConfigurationError
        With every problem of the first file that has any.
    InputError
        When a profile that the file names is not there.
    """
    configuration = load(path, TournamentConfiguration)
    return _with_profiles(configuration, (path.parent, *CONFIGURATION_FOLDERS), source=str(path))


def for_data(name: str) -> TournamentSettings:
    """Return the standard tournament on one data set.

    Its profiles are those of `configs/` here, or else those that Gauntlet comes with.
    """
    configuration = TournamentConfiguration(universes=(Universe(name=name),))
    return _with_profiles(configuration, CONFIGURATION_FOLDERS, source=STANDARD)


def on_data(settings: TournamentSettings, names: Sequence[str]) -> TournamentSettings:
    """Return the same tournament on other data sets; one that the file names keeps its own floor."""
    known = {universe.name: universe for universe in settings.configuration.universes}
    universes = tuple(known.get(name, Universe(name=name)) for name in names)
    configuration = settings.configuration.model_copy(update={"universes": universes})
    source = settings.source
    if source != STANDARD and tuple(names) != tuple(known):
        source += "".join(f"{_DATA_OPTION}{name}" for name in names)
    return replace(settings, configuration=configuration, source=source)


def _with_profiles(
    configuration: TournamentConfiguration, folders: Sequence[Path], *, source: str
) -> TournamentSettings:
    costs_file = _profile(folders, "costs", configuration.costs, source)
    limits_file = _profile(folders, "limits", configuration.limits, source)
    costs, limits = load(costs_file, CostProfile), load(limits_file, LimitProfile)
    for file, asked, found in (
        (costs_file, configuration.costs, costs.name),
        (limits_file, configuration.limits, limits.name),
    ):
        if asked != found:
            raise InputError(
                f"{file}: name is {found}, must be {asked} like the file, so that "
                "a board cannot name a profile that it was not played with"
            )
    return TournamentSettings(configuration=configuration, costs=costs, limits=limits, source=source)


def _profile(folders: Sequence[Path], kind: str, name: str, source: str) -> Path:
    for folder in folders:
        if (path := folder / kind / f"{name}.yaml").is_file():
            return path
    known = sorted({file.stem for folder in folders for file in (folder / kind).glob("*.yaml")})
    there = f"there are {', '.join(known)}" if known else "there are none"
    raise InputError(
        f"{source} names the {kind} profile {name}: {there}; write {folders[0] / kind / name}.yaml, or name "
        "one of those"
    )
