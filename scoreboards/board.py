"""The board: every row of a tournament with its gates and verdict, in one order, under one hash.

A board is plain data. It is written to `board.json` and everything that a person sees is drawn from it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError
from engine.domain.gates import Direction, GateResult, GateStatus, Verdict
from engine.domain.identity import content_hash
from research.cells import Simulator
from scoreboards.explain import WORDS

Value = str | float | int | bool | None

FIRST_COLUMNS = ("strategy_id", "strategy", "universe")

# SPEC 1.8, in its order.
STANDARD_COLUMNS = (
    "selection",
    "rebalance",
    "engine",
    "profile",
    "simulator",
    "avg_window_sharpe",
    "annualized_return",
    "annualized_vol",
    "max_drawdown",
    "cvar_95",
    "avg_turnover",
    "af_dist",
    "stress_alpha",
    "stress_delta",
    "stress_ref",
    "temporal_fragility",
    "worst_regime",
    "worst_regime_mean_return",
    "cvar_mult",
    "mdd_mult",
    "beta",
    "corr",
    "selection_jaccard",
    "hhi",
    "max_weight",
    "n_assets",
    "is_baseline",
    "baseline_role",
    "friction_decay",
    "parity_ann_return_gap",
    "is_candidate",
    "candidate_failures",
)

MORE_COLUMNS = (
    "verdict",
    "status",
    "problem",
    "excess_sharpe",
    "excess_lower_bound",
    "deflated_sharpe",
    "n_effective",
    "trials",
    "trades",
    "g",
    "g_rms",
    "sharpe",
    "cagr",
    "total_return",
    "start_cash",
    "final_equity",
    "tracking_error",
    "baseline_equivalent",
    "baseline_correlation",
    "stress_alpha_benchmark",
    "af_dist_threshold",
    "market",
    "block_sharpes",
    "windows",
    "days",
    "first_bar",
    "last_bar",
    "fills",
    "fees",
    "halts",
    "delisted_exits",
    "reasons",
    "parameters_hash",
    "identity_hash",
    "costs",
    "limits",
    "rules",
    "core_version",
    "synthetic",
    "spa",
    "permutation",
    "excess_bootstrap",
    "track_record",
    "q_value",
    "excess_late",
    "excess_costs_2x",
    "excess_costs_3x",
    "timing_rank",
    "excess_beyond_best_regime",
    "regime_excess",
    "capacity",
    "capacity_curve",
    "selection_alpha",
    "optimisation_alpha",
    "timing_alpha",
    "cost_alpha",
    "max_drawdown_bound",
    "cvar_95_bound",
)

GATE_COLUMNS = tuple(f"gate_{gate}" for gate in WORDS)

# What a row needs beside its coordinates to be made again.
LAST_COLUMNS = ("parameters",)

COLUMNS = FIRST_COLUMNS + STANDARD_COLUMNS + MORE_COLUMNS + GATE_COLUMNS + LAST_COLUMNS

VERDICT_ORDER = {Verdict.PASS: 0, Verdict.HOLD: 1, Verdict.FAIL: 2, Verdict.BASELINE: 3}
SIMULATOR_ORDER = {str(simulator): place for place, simulator in enumerate(Simulator)}
SCHEMA = "scoreboard/2"


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One cell of the tournament as the board shows it.

    Attributes
    ----------
    values
        By column of `COLUMNS`; None where there is no value.
    gates
        Empty for rows that are only for comparison.
    curve
        At most 90 points of equity / start cash, for drawing.
    """

    values: Mapping[str, Value]
    gates: tuple[GateResult, ...]
    curve: tuple[float, ...]

    def text(self, column: str) -> str:
        """Return a value as text; empty where there is none."""
        value = self.values[column]
        return "" if value is None else str(value)

    def number(self, column: str) -> float:
        """Return a value as a number; NaN where there is none."""
        value = self.values[column]
        return float(value) if isinstance(value, int | float) else math.nan

    @property
    def verdict(self) -> Verdict:
        """The row in one word."""
        return Verdict(self.text("verdict"))

    @property
    def is_judged(self) -> bool:
        """Whether gates were asked about this row; baselines and other simulators are for comparison."""
        return self.verdict is not Verdict.BASELINE

    @property
    def cell(self) -> str:
        """The coordinates of the row within its strategy, for a reader."""
        parts = [self.text("selection"), self.text("rebalance")]
        allocation = "/".join(part for part in (self.text("engine"), self.text("profile")) if part)
        return " · ".join(part for part in (*parts, allocation) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlVerdict:
    """What a control did, and whether that is what it must do."""

    name: str
    universe: str
    expectation: str
    observed: str
    behaved: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LuckFacts:
    """What a data set's whole search says of luck; None where it was not asked or cannot be told.

    Attributes
    ----------
    overfitting_probability, overfitting_degradation
        Probability of backtest overfitting by CSCV, and the share of the Sharpe ratio that is lost outside of
        the half in which it was chosen.
    path_sharpe, path_sharpe_deviation, path_loss_share
        Annualised, of the paths through history on which cells were not chosen.
    minimum_years
        Of history, so that the best of all independent trials has no Sharpe ratio of 1 by luck.
    confidence_set
        Strategies that cannot be told from the best one.
    block_days
        Mean length of the blocks of days that were drawn again.
    permutations, cells_permuted, permuted_best
        Shuffled histories, cells searched on each, and the excess Sharpe ratio that the best of them reaches
        in one of 20.
    """

    overfitting_probability: float | None = None
    overfitting_degradation: float | None = None
    path_sharpe: float | None = None
    path_sharpe_deviation: float | None = None
    path_loss_share: float | None = None
    minimum_years: float | None = None
    confidence_set: tuple[str, ...] = ()
    block_days: float | None = None
    permutations: int = 0
    cells_permuted: int = 0
    permuted_best: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseFacts:
    """What the head of a board says of one data set."""

    name: str
    content_hash: str
    market: str
    timeframe: str
    calendar: str
    days_per_year: int
    has_range: bool
    synthetic: bool
    rows: int
    instruments: int
    first_bar: str
    last_bar: str
    windows: int
    holdout_rows: int
    holdout_openings: int
    notes: tuple[str, ...]
    trials: int
    n_effective: float
    register_head: str
    luck: LuckFacts = LuckFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDefinition:
    """One gate as the foot of a board explains it."""

    gate: str
    direction: str
    threshold: float | None
    asks: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Board:
    """A judged tournament.

    Attributes
    ----------
    content_hash
        Of rows, gates, controls and inputs. Equal for equal tournaments: no clock, no path, no run id.
    void
        Whether a control misbehaved. A void board has no candidates.
    notes
        What a reader must know before the first number.
    settings
        Lengths of the walk-forward, costs, limits, rules, in words or numbers.
    configuration
        Every value that the tournament was told, as `TournamentSettings.document` has them; empty on a board
        of a version that did not write them.
    """

    run_id: str
    content_hash: str
    rows: tuple[Row, ...]
    controls: tuple[ControlVerdict, ...]
    void: bool
    notes: tuple[str, ...]
    universes: tuple[UniverseFacts, ...]
    gates: tuple[GateDefinition, ...]
    settings: Mapping[str, Value]
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_intact(self) -> bool:
        """Whether the content hash is that of what stands here: a board that was edited is no evidence."""
        return self.content_hash == hash_of(
            self.rows, self.controls, self.universes, self.settings, notes=self.notes, void=self.void
        )

    @property
    def candidates(self) -> tuple[Row, ...]:
        """Rows that may move on, best first; none on a void board."""
        return tuple(row for row in self.rows if row.values["is_candidate"] is True)

    @property
    def judged(self) -> tuple[Row, ...]:
        """Rows that have a verdict, best first."""
        rows = [row for row in self.rows if row.is_judged]
        return tuple(sorted(rows, key=_merit))

    @property
    def baselines(self) -> tuple[Row, ...]:
        """Baseline rows as `core` played them."""
        return tuple(
            row
            for row in self.rows
            if row.values["is_baseline"] is True and row.values["simulator"] == str(Simulator.CORE)
        )

    def best(self) -> tuple[Row, ...]:
        """Return the best row of every strategy on every universe, best first."""
        found: dict[tuple[str, str], Row] = {}
        for row in self.judged:
            found.setdefault((row.text("universe"), row.text("strategy")), row)
        return tuple(found.values())

    def cells_of(self, row: Row) -> dict[Verdict, int]:
        """Count the verdicts of all cells of a row's strategy on its universe."""
        counts = dict.fromkeys((Verdict.PASS, Verdict.HOLD, Verdict.FAIL), 0)
        for other in self.judged:
            if all(other.values[column] == row.values[column] for column in ("strategy", "universe")):
                counts[other.verdict] += 1
        return counts

    def nearest_misses(self, most: int = 5) -> tuple[Row, ...]:
        """Return the rows that came closest without passing: HOLD, then by excess, then by gates that say no.

        What earned no excess stands behind what did, however few its gates. One row a strategy and
        universe; baselines in disguise and refused strategies come close to nothing.
        """
        misses = [
            row
            for row in self.judged
            if row.verdict is not Verdict.PASS and row.gates and not row.text("baseline_equivalent")
        ]
        misses.sort(
            key=lambda row: (
                VERDICT_ORDER[row.verdict],
                not row.number("excess_sharpe") > 0,
                len(_open_gates(row)),
                *_merit(row),
            )
        )
        found: dict[tuple[str, str], Row] = {}
        for row in misses:
            found.setdefault((row.text("universe"), row.text("strategy")), row)
        return tuple(found.values())[:most]

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints, a contract from here on. `rows` are objects keyed by column."""
        return {
            "run_id": self.run_id,
            "content_hash": self.content_hash,
            "columns": list(COLUMNS),
            "rows": [_json_values(row) for row in self.rows],
            "candidates": [row.values["strategy_id"] for row in self.candidates],
            "controls": [asdict(control) for control in self.controls],
            "void": self.void,
        }

    def file_text(self) -> str:
        """Return the whole board as JSON, for `board.json`; `from_text` reads it back."""
        document = {
            "schema": SCHEMA,
            **self.document(),
            "notes": list(self.notes),
            "universes": [asdict(universe) for universe in self.universes],
            "gates": [asdict(gate) for gate in self.gates],
            "settings": dict(self.settings),
            "configuration": dict(self.configuration),
            "details": [
                {"gates": [_gate_json(gate) for gate in row.gates], "curve": list(row.curve)}
                for row in self.rows
            ],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def hash_of(
    rows: Iterable[Row],
    controls: tuple[ControlVerdict, ...],
    universes: tuple[UniverseFacts, ...],
    settings: Mapping[str, Value],
    *,
    notes: tuple[str, ...],
    void: bool,
) -> str:
    """Return the content hash of a board: of all that it says, but for where it was made."""
    return content_hash(
        {
            "schema": SCHEMA,
            "settings": {name: value for name, value in settings.items() if name != "source"},
            "notes": notes,
            "void": void,
            "universes": universes,
            "controls": controls,
            "rows": [{"values": row.values, "gates": row.gates} for row in rows],
        }
    )


def from_text(text: str, source: Path) -> Board:
    """Read a board back.

    Raises
    ------
    InputError
        When the text is no board of this version.
    """
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise InputError(
                f"{source}: was written as {document['schema']}, this version reads {SCHEMA}; run it again"
            )
        rows = tuple(
            Row(
                values={column: _number_back(value) for column, value in values.items()},
                gates=tuple(_gate_from(gate) for gate in detail["gates"]),
                curve=tuple(detail["curve"]),
            )
            for values, detail in zip(document["rows"], document["details"], strict=True)
        )
        return Board(
            run_id=document["run_id"],
            content_hash=document["content_hash"],
            rows=rows,
            controls=tuple(ControlVerdict(**control) for control in document["controls"]),
            void=document["void"],
            notes=tuple(document["notes"]),
            universes=tuple(_universe_from(universe) for universe in document["universes"]),
            gates=tuple(GateDefinition(**gate) for gate in document["gates"]),
            settings=document["settings"],
            configuration=document.get("configuration", {}),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source}: is not a scoreboard ({error}); run the tournament again") from error


def _universe_from(document: Mapping[str, Any]) -> UniverseFacts:
    luck = document["luck"]
    return UniverseFacts(
        **{
            **document,
            "notes": tuple(document["notes"]),
            "luck": LuckFacts(**{**luck, "confidence_set": tuple(luck["confidence_set"])}),
        }
    )


def _descending(value: float) -> float:
    return math.inf if math.isnan(value) else -value


def board_order(row: Row) -> tuple[bool, float, str, int]:
    """Sort as RULINGS D1: candidates, then lower bound, then id; the simulators of one id side by side."""
    return (
        row.values["is_candidate"] is not True,
        _descending(row.number("excess_lower_bound")),
        row.text("strategy_id"),
        SIMULATOR_ORDER[row.text("simulator")],
    )


def _merit(row: Row) -> tuple[int, float, str]:
    return (
        VERDICT_ORDER[row.verdict],
        _descending(row.number("excess_lower_bound")),
        row.text("strategy_id"),
    )


def _open_gates(row: Row) -> list[GateResult]:
    return [gate for gate in row.gates if gate.status in (GateStatus.FAIL, GateStatus.MISSING)]


def clean(value: Value) -> Value:
    """Return a value that JSON can hold: NaN is no value, whole counts are whole."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value


def _json_values(row: Row) -> dict[str, Value]:
    # JSON has no infinity: it is written as the word that every reader of floats takes back.
    return {
        column: str(value) if isinstance(value, float) and math.isinf(value) else value
        for column, value in row.values.items()
    }


def _number_back(value: Value) -> Value:
    return float(value) if value in ("inf", "-inf") else value


def _gate_json(gate: GateResult) -> dict[str, Value]:
    value = str(gate.value) if math.isinf(gate.value) else clean(gate.value)
    return {
        "gate": gate.gate,
        "value": value,
        "threshold": clean(gate.threshold),
        "direction": str(gate.direction),
        "status": str(gate.status),
        "evidence_hash": gate.evidence_hash,
    }


def _gate_from(document: Mapping[str, Any]) -> GateResult:
    def back(value: Any) -> float:
        return math.nan if value is None else float(value)

    return GateResult(
        gate=document["gate"],
        value=back(document["value"]),
        threshold=back(document["threshold"]),
        direction=Direction(document["direction"]),
        status=GateStatus(document["status"]),
        evidence_hash=document["evidence_hash"],
    )
