"""What a tournament hands to the scoreboard: cells, what is known of their data, and the controls.

Nothing here judges. `research.tournament` fills these records, `scoreboards` reads them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import Adjustment, FloatArray, IntArray, day_ends
from engine.domain.time import Calendar, Timeframe

BASELINE_STRATEGY = "baseline"
BASELINE_ENGINE = "market"


class Simulator(StrEnum):
    """Who turns targets into an account. Only `CORE` rows can be candidates, the others are evidence.

    `FRICTIONLESS`: the core without any cost. `STRESSED`: the core at twice the cost, filled one bar later.
    `VECTORBT`, `NAUTILUS`: other people's engines, which size and fill by themselves.
    """

    CORE = "core"
    FRICTIONLESS = "frictionless"
    STRESSED = "stressed"
    VECTORBT = "vectorbt"
    NAUTILUS = "nautilus"


class Variant(StrEnum):
    """One thing changed about a cell, all else being as `CORE` plays it, to see what the result hangs on.

    `LATE`: filled one bar later. `ALLOCATION`: base weights alone, without signals, limits, costs or buffer.
    `CAPITAL_...`: so many times the cash, with square-root impact of every fill.
    """

    LATE = "late"
    COSTS_2X = "costs_2x"
    COSTS_3X = "costs_3x"
    ALLOCATION = "allocation"
    CAPITAL_10X = "capital_10x"
    CAPITAL_100X = "capital_100x"
    CAPITAL_1000X = "capital_1000x"
    CAPITAL_10000X = "capital_10000x"


CAPITAL_MULTIPLES: Mapping[Variant, float] = {
    Variant.CAPITAL_10X: 10.0,
    Variant.CAPITAL_100X: 100.0,
    Variant.CAPITAL_1000X: 1_000.0,
    Variant.CAPITAL_10000X: 10_000.0,
}


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What became of a cell under one variant.

    Attributes
    ----------
    excess_sharpe
        Annualised, over the pool under the same variant at the variant's own exposure; NaN without variance.
    annualized_return
        Mean daily return times days a year.
    curves_hash
        Of the equity curves of cell and pool.
    """

    excess_sharpe: float
    annualized_return: float
    curves_hash: str


class CellStatus(StrEnum):
    """`MISSING`: the cell was configured and its simulator or allocation gave nothing."""

    OK = "ok"
    MISSING = "missing"


class BaselineRole(StrEnum):
    """What a row that is never a winner is for."""

    NONE = ""
    MARKET = "market"
    BENCHMARK = "benchmark"
    RAW_POOL = "raw_pool_ew"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CellKey:
    """The coordinates of one row of the board.

    Attributes
    ----------
    strategy
        Name of the strategy, `baseline` for baselines.
    parameters_hash
        First 8 digits of the hash of graph and parameters; empty for baselines.
    universe
        Name of the data set.
    engine, profile
        The allocation library and what it was asked for. Baselines have engine `market` and their role
        as profile.
    """

    strategy: str
    parameters_hash: str
    universe: str
    selection: str
    rebalance: str
    engine: str
    profile: str
    simulator: Simulator

    @property
    def configuration(self) -> tuple[str, str, str, str, str, str, str]:
        """The key without its simulator: what friction decay and parity compare across."""
        return (
            self.strategy,
            self.parameters_hash,
            self.universe,
            self.selection,
            self.rebalance,
            self.engine,
            self.profile,
        )


def _no_values() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class CellResult:
    """One continuous account, out of sample.

    The R rows run from the first window's test start to the last window's test stop.

    Attributes
    ----------
    strategy_id, identity_hash
        Name-8hex, and the whole hash. Rows of one configuration under several simulators share them.
    problem
        Why a missing cell is missing, in plain words; else empty.
    timestamps
        Shape (R,), UTC nanoseconds of the bars' opens.
    equity
        Shape (R,), marked at each close after that bar's fills and costs. `equity[0]` is the start cash:
        the first decision falls on row 0 and is filled on row 1.
    gross
        Shape (R,), sum of |position value| / equity after fills.
    turnover
        Shape (R,), one-way turnover of the row's fills as a share of equity, cash an asset.
    trades
        Round trips opened and closed by a signal or a re-base; NaN where the simulator does not say.
    fees
        Paid in total, in the quote currency.
    reason_counts
        How many orders met each reason, by the reason's name.
    window_rows
        Shape (K,), the row at which each window's weights come into force.
    weights
        Shape (K, N), base weights of each window over all instruments of the data set.
    symbols
        Names of the N instruments.
    parameters
        Of the strategy, by name.
    works_orders
        Whether it sends limits, stops or brackets, which vectorbt does not know.
    variants
        What became of the cell with one thing changed. Empty for what is not judged.
    unlimited_equity, unlimited_gross
        Shape (R,), of the same cell played without limits. Empty where it was not played so: baselines
        carry no limits, and only `core` rows are asked for it.
    """

    key: CellKey
    strategy_id: str
    identity_hash: str
    status: CellStatus = CellStatus.OK
    problem: str = ""
    baseline_role: BaselineRole = BaselineRole.NONE
    timestamps: IntArray
    calendar: Calendar
    equity: FloatArray = field(default_factory=_no_values)
    gross: FloatArray = field(default_factory=_no_values)
    turnover: FloatArray = field(default_factory=_no_values)
    trades: float = np.nan
    fills: float = np.nan
    fees: float = np.nan
    halts: int = 0
    delisted_exits: int = 0
    reason_counts: Mapping[str, int] = field(default_factory=dict)
    window_rows: IntArray
    weights: FloatArray
    symbols: tuple[str, ...]
    parameters: Mapping[str, int | float] = field(default_factory=dict)
    works_orders: bool = False
    variants: Mapping[Variant, VariantResult] = field(default_factory=dict)
    unlimited_equity: FloatArray = field(default_factory=_no_values)
    unlimited_gross: FloatArray = field(default_factory=_no_values)

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.window_rows), len(self.symbols)):
            raise InvalidValueError(
                f"{self.strategy_id}: weights must have shape "
                f"{(len(self.window_rows), len(self.symbols))}, was {self.weights.shape}"
            )
        if self.status is CellStatus.MISSING:
            if not self.problem:
                raise InvalidValueError(f"{self.strategy_id}: a missing cell must say why")
            return
        rows = self.timestamps.shape
        for name in ("equity", "gross", "turnover"):
            values: FloatArray = getattr(self, name)
            if values.shape != rows or not np.isfinite(values).all():
                raise InvalidValueError(f"{self.strategy_id}: {name} must be finite and have shape {rows}")
        if (self.equity <= 0).any():
            row = int(np.argmax(self.equity <= 0))
            raise InvalidValueError(f"{self.strategy_id}: the account is ruined at row {row}")

    @property
    def is_baseline(self) -> bool:
        """Whether the row is for reference only."""
        return self.baseline_role is not BaselineRole.NONE

    @property
    def day_ends(self) -> npt.NDArray[np.bool_]:
        """Shape (R,): the last row of each day of trading, where daily returns are read."""
        return day_ends(self.timestamps, self.calendar)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialsRecord:
    """The trials register of a data set as it stood when the board was made.

    Attributes
    ----------
    head
        Hash over all entries, in the order in which they came.
    n_effective
        Effective rank of their excess returns: the number of independent trials.
    """

    count: int
    head: str
    n_effective: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PermutationRecord:
    """The largest annualised excess Sharpe ratios of a search under B permutations.

    Attributes
    ----------
    strategies
        Names of the S contestants.
    null_by_strategy
        Shape (B, S), the largest among the cells of one contestant alone; minus infinity where none counts.
    observed
        Shape (S,), the same of the bars as they were.
    n_searched
        Cells of each permutation.
    first_row
        The bars up to this row were not permuted.
    search_hash
        `Search.content_hash`.
    """

    strategies: tuple[str, ...]
    null_by_strategy: FloatArray
    observed: FloatArray
    n_searched: int
    seed: int
    first_row: int
    search_hash: str

    @property
    def null(self) -> FloatArray:
        """Shape (B,), the largest of the whole search."""
        return np.asarray(self.null_by_strategy.max(axis=1))

    @property
    def count(self) -> int:
        """B, the number of permutations."""
        return len(self.null_by_strategy)

    @property
    def statistic(self) -> float:
        """The largest annualised excess Sharpe ratio of the search on the bars as they were."""
        return float(self.observed.max())

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over all of the above."""
        return content_hash(
            {"kind": "permutations/1"} | {f.name: getattr(self, f.name) for f in fields(self)}
        )

    def p_value(self, statistic: float) -> float:
        """Return the share of permutations, the data among them, whose search finds at least as much.

        Parameters
        ----------
        statistic
            Annualised excess Sharpe ratio of any cell: that it is the best of many is accounted for.

        Returns
        -------
        float
            (1 + #{null >= statistic}) / (1 + B); 1 for NaN.
        """
        return _share(self.null, statistic)

    def strategy_p_value(self, strategy: str, statistic: float | None = None) -> float:
        """Return the same among the cells of one strategy alone, which does not count that it was chosen.

        Parameters
        ----------
        statistic
            By default the largest of that strategy's cells.

        Raises
        ------
        InvalidValueError
            If it did not take part.
        """
        if strategy not in self.strategies:
            raise InvalidValueError(
                f"permutation: {strategy} did not take part; there were {', '.join(self.strategies)}"
            )
        column = self.strategies.index(strategy)
        value = float(self.observed[column]) if statistic is None else statistic
        return _share(self.null_by_strategy[:, column], value)


def _share(null: FloatArray, statistic: float) -> float:
    if math.isnan(statistic):
        return 1.0
    return (1 + int((null >= statistic).sum())) / (1 + len(null))


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseRecord:
    """What the board says of one data set.

    Attributes
    ----------
    market
        What the market row is: the name of an index, or empty where the set names none and the row is
        raw_pool_ew.
    first, last
        UTC nanoseconds of the first and the last bar that research may see.
    holdout_rows, holdout_openings
        How many bars are sealed behind `last`, and how often the seal was opened.
    notes
        What a reader must know, such as "all 20 survived".
    start_cash
        Of every account.
    permutation
        What the whole search finds where bars are shuffled; None where that was not asked.
    """

    name: str
    content_hash: str
    timeframe: Timeframe
    calendar: Calendar
    adjustment: Adjustment
    has_range: bool
    has_volume: bool
    synthetic: bool
    rows: int
    instruments: int
    first: int
    last: int
    windows: int
    market: str
    holdout_rows: int
    holdout_openings: int
    notes: tuple[str, ...]
    start_cash: float
    trials: TrialsRecord
    permutation: PermutationRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A strategy that was not played, and why (its rows are shown and can never pass)."""

    strategy: str
    universe: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChoice:
    """Which instruments one window could hold under one selection, and how that came about (RULINGS D7).

    Attributes
    ----------
    train_first, train_last, test_first, test_last
        UTC nanoseconds of the opens of these bars.
    fallback
        Too few were chosen, so all eligible ones stand.
    without_data
        Parts of the score that had no data and got weight 0.
    """

    universe: str
    selection: str
    window: int
    train_first: int
    train_last: int
    test_first: int
    test_last: int
    eligible: int
    selected: tuple[str, ...]
    fallback: bool
    without_data: tuple[str, ...]


class ControlExpectation(StrEnum):
    """What a control must do, or the run is void."""

    NOT_PASS = "must not pass"
    REFUSED = "must be refused"
    PASS = "must pass"


@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """One check of the checker. `scoreboards` judges its cells by the same gates as any other.

    Attributes
    ----------
    cells
        The cells to be judged, baselines of the same data beside them; empty for a refusal.
    refused, refusal
        For `REFUSED`: whether it was, and the words with which it was (or what went wrong).
    """

    name: str
    expectation: ControlExpectation
    universe: UniverseRecord | None
    cells: tuple[CellResult, ...] = ()
    refused: bool = False
    refusal: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tournament:
    """Everything that a board is made of.

    Attributes
    ----------
    run_id
        From the hash of all inputs: the same inputs have the same run.
    inputs_hash
        That hash in whole.
    configuration_hash
        Of the configuration alone.
    core_version
        Of the compiled code.
    costs
        In words, such as "10 bps fee + 5 bps slippage".
    """

    run_id: str
    inputs_hash: str
    configuration_hash: str
    core_version: str
    costs: str
    cells: tuple[CellResult, ...]
    universes: tuple[UniverseRecord, ...]
    refusals: tuple[Refusal, ...]
    controls: tuple[Control, ...]
    choices: tuple[WindowChoice, ...] = ()
