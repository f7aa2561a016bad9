"""The study of the checker: how often its gates promote luck, and how often they find an edge that is there.

What `scoreboards.control_run` measures is kept here as a record: rates with their intervals, the frontier
between the two errors, and whether the targets are met.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from engine.domain.errors import InputError
from engine.home import state_folder
from research.control_findings import STANDARD, EdgeGate, Finding, Levels
from research.sources import sources_hash

PACKAGED = Path(__file__).with_name("control_study.json")
CONFIDENCE = 0.95

# RULINGS D13.
FALSE_PROMOTION_MOST = 0.01
POWER_LEAST = 0.80
TARGET_YEARS = 20
FEW_TRIALS_SHARPE = 1.0
MANY_TRIALS_SHARPE = 1.3

# What the findings of the edge gates come from, and beside it what the whole battery comes from: a change
# makes the packaged figures those of another battery.
EDGE_SOURCES = (
    "research/bootstrap.py",
    "research/control_findings.py",
    "research/control_play.py",
    "research/control_worlds.py",
    "research/luck.py",
    "research/resampling.py",
    "research/statistics.py",
    "research/superior.py",
)
BATTERY_SOURCES = (
    *EDGE_SOURCES,
    "engine/data/planted.py",
    "research/arena.py",
    "research/baselines.py",
    "research/batches.py",
    "research/control_bars.py",
    "research/controls.py",
    "research/excess.py",
    "research/permutation.py",
    "research/registers.py",
    "research/trials.py",
    "scoreboards/control_battery.py",
    "scoreboards/evidence.py",
    "scoreboards/family.py",
    "scoreboards/gates.py",
    "scoreboards/judging.py",
)


class Family(StrEnum):
    """Kinds of worlds."""

    NOISE_25 = "noise_25"
    NOISE_25_WILD = "noise_25_wild"
    NOISE_1000 = "noise_1000"
    LINE = "parameter_line"
    LINE_PERSISTENT = "parameter_line_persistent"
    GRID_RANDOM_WALK = "grid_random_walk"
    GRID_CLUSTERED = "grid_clustered"
    GRID_DRIFT = "grid_drift"
    GRID_TREND = "grid_trend"
    RANDOM_ENTRIES = "random_entries"
    PERMUTED_BARS = "permuted_bars"
    OVERFITTED = "overfitted"
    PLANTED_RECIPE = "planted_recipe"


WORDS: Mapping[Family, str] = {
    Family.NOISE_25: "25 independent strategies, the best shown",
    Family.NOISE_25_WILD: "the same, calm and wild days in common",
    Family.NOISE_1000: "1,000 independent strategies, the best shown",
    Family.LINE: "100 neighbouring parameters",
    Family.LINE_PERSISTENT: "the same, returns with autocorrelation .1",
    Family.GRID_RANDOM_WALK: "157 moving averages on a random walk",
    Family.GRID_CLUSTERED: "157 moving averages on GARCH with Student t",
    Family.GRID_DRIFT: "157 moving averages on a steady rise",
    Family.GRID_TREND: "157 moving averages on trends",
    Family.RANDOM_ENTRIES: "random entries on us20, all gates",
    Family.PERMUTED_BARS: "real strategies on permuted us20",
    Family.OVERFITTED: "1,000 random strategies on us5 through the core",
    Family.PLANTED_RECIPE: "the planted recipe, all gates",
}

# Families with many independent trials; all others have at most 25.
MANY = frozenset({Family.NOISE_1000, Family.OVERFITTED})
# Too few worlds for a claim of 1%: shown, never a target.
UNCLAIMED = frozenset({Family.OVERFITTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something happened, with the interval of Clopper and Pearson [1]_.

    Attributes
    ----------
    n, k
        Worlds, and worlds in which it happened.

    References
    ----------
    .. [1] Clopper and Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the
       binomial, Biometrika 26(4)

    Examples
    --------
    >>> Rate(n=370, k=0).high < .01 < Rate(n=360, k=0).high
    True
    """

    n: int
    k: int

    @property
    def rate(self) -> float:
        """Share of the worlds; NaN without any."""
        return self.k / self.n if self.n else math.nan

    @property
    def low(self) -> float:
        """Lower end of the 95% interval."""
        from scipy.stats import beta

        return float(beta.ppf((1 - CONFIDENCE) / 2, self.k, self.n - self.k + 1)) if self.k else 0.0

    @property
    def high(self) -> float:
        """Upper end of the 95% interval."""
        from scipy.stats import beta

        return float(beta.ppf((1 + CONFIDENCE) / 2, self.k + 1, self.n - self.k)) if self.k < self.n else 1.0

    def words(self, decimals: int = 1) -> str:
        """Return the rate and its interval in percent.

        Examples
        --------
        >>> Rate(n=400, k=2).words()
        '0.5% [0.1, 1.8]'
        """
        rate, low, high = (100 * value for value in (self.rate, self.low, self.high))
        return f"{rate:.{decimals}f}% [{low:.{decimals}f}, {high:.{decimals}f}]"

    @classmethod
    def of(cls, happened: Iterable[bool]) -> Self:
        """Count."""
        seen = list(happened)
        return cls(n=len(seen), k=sum(seen))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One world under one edge, and what was found in it.

    Attributes
    ----------
    years
        Length of the record; 0 where it is that of the real data.
    edge
        Planted annual Sharpe ratio of the excess; 0 is none, NaN one that is not known beforehand.
    finding
        Of the edge gates, None where only the whole battery was asked.
    battery
        Whether any cell passed every gate of the board; None where only the edge gates were asked.
    refused_by
        Gates of the whole battery that said no to any cell.
    """

    family: Family
    years: int
    index: int
    edge: float
    finding: Finding | None
    battery: bool | None = None
    refused_by: tuple[str, ...] = ()

    def is_found(self, levels: Levels = STANDARD) -> bool:
        """Say whether the winner is promoted, and for an edge that it has, if there is one."""
        finding = self.finding
        return (
            finding is not None and finding.is_promoted(levels) and (self.edge == 0 or finding.carries_edge)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All worlds of one family, length and edge.

    Attributes
    ----------
    edge
        0: a promotion is false. Else the Sharpe ratio planted, and a promotion of a winner that has it is a
        find.
    promoted
        By all edge gates that apply.
    misled
        Promotions of a winner without the edge, where there was one.
    gates
        By edge gate, those that apply.
    battery
        By all gates of the board.
    refused_by
        By gate of the board, worlds in which it said no to any cell.
    n_effective, sharpe
        Means over the worlds, of the number of independent trials and of the winner's annual excess Sharpe
        ratio.
    """

    family: Family
    years: int
    edge: float
    promoted: Rate | None
    misled: int = 0
    gates: Mapping[str, Rate] = field(default_factory=dict)
    battery: Rate | None = None
    refused_by: Mapping[str, int] = field(default_factory=dict)
    n_effective: float = math.nan
    sharpe: float = math.nan


class Outcome(StrEnum):
    """Whether a target is met. `OPEN`: what was measured allows either."""

    MET = "met"
    OPEN = "open"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A promise of the standard and what was measured.

    Attributes
    ----------
    name
        In words.
    limit
        The largest rate, or the smallest.
    """

    name: str
    family: Family
    limit: float
    is_power: bool
    measured: Rate

    @property
    def is_refuted(self) -> bool:
        """Whether the whole interval is on the wrong side."""
        return self.measured.high < self.limit if self.is_power else self.measured.low > self.limit

    @property
    def outcome(self) -> Outcome:
        """Luck must be shown to be rare: the upper end of the interval counts. Power counts as measured."""
        rate, high = self.measured.rate, self.measured.high
        if self.is_power:
            return (
                Outcome.MET if rate >= self.limit else Outcome.OPEN if high >= self.limit else Outcome.MISSED
            )
        return Outcome.MET if high <= self.limit else Outcome.OPEN if rate <= self.limit else Outcome.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """What one choice of levels costs and brings.

    Attributes
    ----------
    moved
        The field of `Levels` that was moved, all others being the standard's; empty for the standard itself
        and for a choice of several.
    false_promotion
        Of the no-edge family with at most 25 independent trials that is promoted most often, all lengths
        together.
    power
        At excess Sharpe ratio 1.0 over 20 years, of the family that is found least often.
    false_promotion_many, power_many
        The same with 1,000 trials, at 1.3.
    """

    moved: str
    levels: Levels
    false_promotion: Rate
    power: Rate
    false_promotion_many: Rate
    power_many: Rate

    @property
    def is_honest(self) -> bool:
        """Whether false promotions are as rare as promised, as measured."""
        return max(self.false_promotion.rate, self.false_promotion_many.rate) <= FALSE_PROMOTION_MOST

    @property
    def is_awake(self) -> bool:
        """Whether edges are found as often as promised, as measured."""
        return min(self.power.rate, self.power_many.rate) >= POWER_LEAST


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """The figures of one run of the study.

    Attributes
    ----------
    quick
        Whether it is the short form, which measures too little for a claim.
    seed
        Of all worlds.
    core_version, sources
        Of the compiled code, and the hash of `BATTERY_SOURCES`.
    bootstraps, permutations
        Asked in every world.
    frontier
        False promotion against power: the standard first, then one level moved at a time.
    """

    quick: bool
    seed: int
    core_version: str
    sources: str
    bootstraps: int
    permutations: int
    points: tuple[Point, ...]
    frontier: tuple[FrontierPoint, ...]

    @property
    def is_current(self) -> bool:
        """Whether the sources that it was made with are the present ones."""
        return self.sources == present_sources()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every promise of the standard, and what was measured."""
        return (*self._false_promotions(), *self._powers())

    @property
    def missed(self) -> tuple[Target, ...]:
        """Targets that are missed; of a quick run, which measures too little, only what is certain."""
        targets = [target for target in self.targets if target.outcome is Outcome.MISSED]
        return tuple(target for target in targets if target.is_refuted or not self.quick)

    def headline(self) -> str:
        """Return one or two sentences for the head of a scoreboard."""
        honest = [target for target in self._false_promotions() if target.limit]
        together = Rate(n=sum(t.measured.n for t in honest), k=sum(t.measured.k for t in honest))
        worst = max(honest, key=lambda target: target.measured.rate)
        often = f"most often {worst.measured.words()}: {WORDS[worst.family]}"
        words = [f"false promotion {together.words()} of {together.n:,} no-edge worlds ({often})"]
        words += [
            f"power {target.measured.words(0)} at excess Sharpe {sharpe:.1f}, {TARGET_YEARS} years, {trials}"
            for trials, sharpe, target in self._headline_powers()
        ]
        end = (
            ""
            if self.is_current
            else " Measured with other sources than the present ones: run make controls."
        )
        return f"{'; '.join(words)}.{end}"

    def _headline_powers(self) -> list[tuple[str, float, Target]]:
        powers = self._powers()
        few = [target for target in powers if target.family not in MANY]
        many = [target for target in powers if target.family in MANY]
        found = []
        if few:
            found.append(("at most 25 trials", FEW_TRIALS_SHARPE, min(few, key=lambda t: t.measured.rate)))
        if many:
            found.append(("1,000 trials", MANY_TRIALS_SHARPE, min(many, key=lambda t: t.measured.rate)))
        return found

    def _false_promotions(self) -> list[Target]:
        targets = []
        for family in Family:
            points = [point for point in self.points if point.family is family and point.edge == 0]
            if not points or family in UNCLAIMED:
                continue
            measured = _together(point.battery or point.promoted for point in points)
            gates = "every gate" if points[0].battery else "the edge gates"
            targets.append(
                Target(
                    name=f"false promotion by {gates}: {WORDS[family]}",
                    family=family,
                    limit=FALSE_PROMOTION_MOST,
                    is_power=False,
                    measured=measured,
                )
            )
        return targets

    def _powers(self) -> list[Target]:
        return [
            Target(
                name=f"power at {point.edge:.1f} over {point.years} years: {WORDS[point.family]}",
                family=point.family,
                limit=POWER_LEAST,
                is_power=True,
                measured=point.promoted,
            )
            for point in self.points
            if point.promoted is not None and is_power_target(point.family, point.years, point.edge)
        ]

    def document(self) -> dict[str, Any]:
        """Return it as JSON types; `read` gives it back."""
        return {
            "kind": "control-study/1",
            "quick": self.quick,
            "seed": self.seed,
            "core_version": self.core_version,
            "sources": self.sources,
            "bootstraps": self.bootstraps,
            "permutations": self.permutations,
            "headline": self.headline(),
            "targets": [
                {"name": target.name, "limit": target.limit, "outcome": str(target.outcome)}
                | _rate_document(target.measured)
                for target in self.targets
            ],
            "points": [_point_document(point) for point in self.points],
            "frontier": [_frontier_document(point) for point in self.frontier],
        }


def is_power_target(family: Family, years: int, edge: float) -> bool:
    """Say whether RULINGS D13 promises a power here.

    Where days resemble one another a year tells less, and the promise is not about those.
    """
    if years != TARGET_YEARS or family is Family.LINE_PERSISTENT:
        return False
    return edge == (MANY_TRIALS_SHARPE if family in MANY else FEW_TRIALS_SHARPE)


def present_sources() -> str:
    """Return the hash of the sources that a study comes from."""
    return sources_hash(*BATTERY_SOURCES)


def result_path() -> Path:
    """Return where a run of the study writes its result."""
    return state_folder() / "controls" / "study.json"


def load_study() -> Study:
    """Return the study that was run here, else the one that Gauntlet comes with.

    A quick run does not take the place of a whole one.

    Raises
    ------
    InputError
        For a file that is damaged.
    """
    own = result_path()
    if own.exists():
        study = read(own)
        if not study.quick:
            return study
    return read(PACKAGED)


def read(path: Path) -> Study:
    """Read a result.

    Raises
    ------
    InputError
        If it is damaged or of another kind.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["kind"] != "control-study/1":
            raise ValueError(f"its kind is {document['kind']}")
        return Study(
            quick=document["quick"],
            seed=document["seed"],
            core_version=document["core_version"],
            sources=document["sources"],
            bootstraps=document["bootstraps"],
            permutations=document["permutations"],
            points=tuple(_point(item) for item in document["points"]),
            frontier=tuple(_frontier_point(item) for item in document["frontier"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: the result of the control study cannot be read ({error}); run make controls"
        ) from error


# --- from worlds to figures -------------------------------------------------------------------------------


def summarise(worlds: Sequence[World]) -> tuple[Point, ...]:
    """Count what the gates of the standard said, family by family, length by length, edge by edge."""
    groups: dict[tuple[int, int, float], list[World]] = {}
    order = {family: place for place, family in enumerate(Family)}
    for world in worlds:
        edge = math.inf if math.isnan(world.edge) else world.edge
        groups.setdefault((order[world.family], world.years, edge), []).append(world)
    return tuple(_summary(groups[key]) for key in sorted(groups))


def _summary(worlds: Sequence[World]) -> Point:
    first = worlds[0]
    findings = [world.finding for world in worlds if world.finding is not None]
    gates = {}
    for gate in EdgeGate:
        said = [answer for finding in findings if (answer := finding.passes(gate)) is not None]
        if said:
            gates[str(gate)] = Rate.of(said)
    refused_by: dict[str, int] = {}
    for name in sorted({name for world in worlds for name in world.refused_by}):
        refused_by[name] = sum(name in world.refused_by for world in worlds)
    judged = [world.battery for world in worlds if world.battery is not None]
    return Point(
        family=first.family,
        years=first.years,
        edge=first.edge,
        promoted=Rate.of(world.is_found() for world in worlds) if findings else None,
        misled=sum(finding.is_promoted() for finding in findings) - sum(world.is_found() for world in worlds),
        gates=gates,
        battery=Rate.of(judged) if judged else None,
        refused_by=refused_by,
        n_effective=_mean([finding.n_effective for finding in findings]),
        sharpe=_mean([finding.sharpe for finding in findings]),
    )


STEP_DOWN_LEVELS = (0.002, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
DEFLATED_LEVELS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999)
FEWEST_TRIALS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0)


def frontier(worlds: Sequence[World]) -> tuple[FrontierPoint, ...]:
    """Return false promotion against power: the standard, then each level moved alone."""
    choices = [("", STANDARD)]
    choices += [("step_down", replace(STANDARD, step_down=level)) for level in STEP_DOWN_LEVELS]
    choices += [("deflated_sharpe", replace(STANDARD, deflated_sharpe=level)) for level in DEFLATED_LEVELS]
    choices += [("fewest_trials", replace(STANDARD, fewest_trials=level)) for level in FEWEST_TRIALS]
    sorted_worlds = _by_promise(worlds)
    points = [_at(levels, moved, sorted_worlds) for moved, levels in choices]
    return tuple(point for point in points if point is not None)


def _by_promise(worlds: Sequence[World]) -> dict[tuple[bool, bool], dict[Family, list[World]]]:
    """Sort worlds that a promise is about: by whether it is one of power, by many trials, by family."""
    found: dict[tuple[bool, bool], dict[Family, list[World]]] = {}
    for world in worlds:
        if world.finding is None or world.family in UNCLAIMED:
            continue
        is_power = is_power_target(world.family, world.years, world.edge)
        if is_power or world.edge == 0:
            group = found.setdefault((is_power, world.family in MANY), {})
            group.setdefault(world.family, []).append(world)
    return found


def _at(
    levels: Levels, moved: str, worlds: Mapping[tuple[bool, bool], Mapping[Family, Sequence[World]]]
) -> FrontierPoint | None:
    if len(worlds) < 4:
        return None
    rates = {
        promise: [Rate.of(world.is_found(levels) for world in group) for group in families.values()]
        for promise, families in worlds.items()
    }
    return FrontierPoint(
        moved=moved,
        levels=levels,
        false_promotion=max(rates[False, False], key=lambda rate: (rate.rate, rate.high)),
        power=min(rates[True, False], key=lambda rate: rate.rate),
        false_promotion_many=max(rates[False, True], key=lambda rate: (rate.rate, rate.high)),
        power_many=min(rates[True, True], key=lambda rate: rate.rate),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _together(rates: Iterable[Rate | None]) -> Rate:
    known = [rate for rate in rates if rate is not None]
    return Rate(n=sum(rate.n for rate in known), k=sum(rate.k for rate in known))


# --- JSON -------------------------------------------------------------------------------------------------


def _rate_document(rate: Rate) -> dict[str, float]:
    return {
        "n": rate.n,
        "k": rate.k,
        "rate": round(rate.rate, 5),
        "low": round(rate.low, 5),
        "high": round(rate.high, 5),
    }


def _rate(document: Mapping[str, Any] | None) -> Rate | None:
    return None if document is None else Rate(n=document["n"], k=document["k"])


def _known_rate(document: Mapping[str, Any]) -> Rate:
    return Rate(n=document["n"], k=document["k"])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _point_document(point: Point) -> dict[str, Any]:
    return {
        "family": str(point.family),
        "years": point.years,
        "edge": _number(point.edge),
        "promoted": None if point.promoted is None else _rate_document(point.promoted),
        "misled": point.misled,
        "gates": {gate: _rate_document(rate) for gate, rate in point.gates.items()},
        "battery": None if point.battery is None else _rate_document(point.battery),
        "refused_by": dict(point.refused_by),
        "n_effective": _number(point.n_effective),
        "sharpe": _number(point.sharpe),
    }


def _point(document: Mapping[str, Any]) -> Point:
    return Point(
        family=Family(document["family"]),
        years=document["years"],
        edge=_float(document["edge"]),
        promoted=_rate(document["promoted"]),
        misled=document["misled"],
        gates={gate: _known_rate(rate) for gate, rate in document["gates"].items()},
        battery=_rate(document["battery"]),
        refused_by=document["refused_by"],
        n_effective=_float(document["n_effective"]),
        sharpe=_float(document["sharpe"]),
    )


_FRONTIER_RATES = ("false_promotion", "power", "false_promotion_many", "power_many")


def _frontier_document(point: FrontierPoint) -> dict[str, Any]:
    rates = {name: _rate_document(getattr(point, name)) for name in _FRONTIER_RATES}
    return {"moved": point.moved, "levels": asdict(point.levels)} | rates


def _frontier_point(document: Mapping[str, Any]) -> FrontierPoint:
    rates = {name: _known_rate(document[name]) for name in _FRONTIER_RATES}
    return FrontierPoint(moved=document["moved"], levels=Levels(**document["levels"]), **rates)
