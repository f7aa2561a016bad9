"""What the gates of a cell look at: its own account, and the accounts that it is compared with.

Everything here comes from one tournament. Nothing reads another run, a clock or a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.core import metrics
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray
from research.cells import BaselineRole, CellKey, CellResult, CellStatus, Simulator
from research.excess import excess_returns, mean_gross
from scoreboards.regimes import Regime, decision_regime


@dataclass(frozen=True, eq=False)
class Account:
    """The daily returns and the exposure of one cell, computed once."""

    cell: CellResult

    @cached_property
    def returns(self) -> FloatArray:
        """Shape (D,), one return a day."""
        return metrics.daily_returns(self.cell.equity, self.cell.day_ends)

    @cached_property
    def gross_mean(self) -> float:
        """g: mean gross after fills."""
        return mean_gross(self.cell.gross)

    @cached_property
    def gross_rms(self) -> float:
        """Root mean square of gross: the exposure that a tail scales with."""
        return float(np.sqrt(np.mean(np.square(self.cell.gross))))

    @cached_property
    def returns_hash(self) -> str:
        """SHA-256 of the daily returns."""
        return content_hash(self.returns)

    @cached_property
    def _regimes(self) -> dict[tuple[tuple[int, ...], int], tuple[Regime, ...]]:
        return {}

    def decision_regimes(self, days: tuple[int, ...], training_days: int) -> tuple[Regime, ...]:
        """Return the regime at each decision day, this account being the market; cells share one answer."""
        asked = (days, training_days)
        if asked not in self._regimes:
            self._regimes[asked] = tuple(decision_regime(self.returns, day, training_days) for day in days)
        return self._regimes[asked]

    @cached_property
    def unlimited_returns(self) -> FloatArray | None:
        """Shape (D,), of the same cell without limits; None where it was not played so, or is ruined so."""
        if self.cell.unlimited_equity.size == 0 or (self.cell.unlimited_equity <= 0).any():
            return None
        return metrics.daily_returns(self.cell.unlimited_equity, self.cell.day_ends)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """One cell and its comparisons; None where there is no such account.

    Attributes
    ----------
    market
        The market row. A data set that names no market has one all the same, the pool under that role; a row
        that is missing is missing, and nothing takes its place.
    frictionless, vectorbt, nautilus
        The same configuration under the other simulators.
    frictionless_pool, frictionless_benchmark
        The baselines without costs.
    """

    account: Account
    market: Account | None
    raw_pool: Account | None
    benchmark: Account | None
    frictionless: Account | None
    vectorbt: Account | None
    nautilus: Account | None = None
    frictionless_pool: Account | None = None
    frictionless_benchmark: Account | None = None

    @property
    def cell(self) -> CellResult:
        """The cell that is judged."""
        return self.account.cell

    @cached_property
    def excess(self) -> FloatArray | None:
        """Shape (D,), daily returns beyond the exposure that the cell carried."""
        if self.raw_pool is None:
            return None
        return excess_returns(self.account.returns, self.account.gross_mean, self.raw_pool.returns)

    @cached_property
    def unlimited_excess(self) -> FloatArray | None:
        """Shape (D,), the same of the run without limits, at that run's own exposure."""
        returns = self.account.unlimited_returns
        if self.raw_pool is None or returns is None:
            return None
        return excess_returns(returns, mean_gross(self.cell.unlimited_gross), self.raw_pool.returns)

    def day_regimes(self, training_rows: int) -> npt.NDArray[np.str_]:
        """Return the regime of each day, shape (D,), as the market told it when its window was decided on."""
        labels = np.full(len(self.account.returns), str(Regime.UNKNOWN), dtype="<U9")
        if self.market is None:
            return labels
        slices = window_days(self.cell)
        for (start, stop), regime in zip(slices, self.window_regimes(training_rows), strict=True):
            labels[start:stop] = str(regime)
        return labels

    def window_regimes(self, training_rows: int) -> tuple[Regime, ...]:
        """Return the regime of each window that has days, at its first; UNKNOWN without a market."""
        slices = window_days(self.cell)
        if self.market is None:
            return (Regime.UNKNOWN,) * len(slices)
        bars_a_day = max(1.0, len(self.cell.timestamps) / len(self.account.returns))
        training_days = max(1, round(training_rows / bars_a_day))
        return self.market.decision_regimes(tuple(start for start, _ in slices), training_days)

    @property
    def baselines(self) -> tuple[Account, ...]:
        """The baselines beside the cell, each once."""
        found = (self.market, self.raw_pool, self.benchmark)
        return tuple({id(account): account for account in found if account is not None}.values())


def window_days(cell: CellResult) -> list[tuple[int, int]]:
    """Return the days [start, stop) of each window that has any."""
    ends = cell.day_ends
    day_of_row = np.cumsum(np.concatenate(([False], ends[:-1]))).astype(np.int64)
    starts = [int(day_of_row[row]) for row in cell.window_rows]
    stops = [*starts[1:], int(day_of_row[-1]) + 1]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if stop > start]


class Accounts:
    """All accounts of a tournament, found by what they are compared with."""

    def __init__(self, cells: Iterable[CellResult]) -> None:
        self._by_configuration: dict[tuple[tuple[str, ...], Simulator], Account] = {}
        self._baselines: dict[tuple[str, str, Simulator, BaselineRole], list[Account]] = {}
        self._evidence: dict[CellKey, Evidence] = {}
        for cell in cells:
            if cell.status is CellStatus.MISSING:
                continue
            account = Account(cell)
            place = (cell.key.configuration, cell.key.simulator)
            if place in self._by_configuration:
                raise InvalidValueError(f"{cell.strategy_id}: two cells have the key {cell.key}")
            self._by_configuration[place] = account
            if cell.is_baseline:
                key = cell.key
                role = (key.universe, key.rebalance, key.simulator, cell.baseline_role)
                self._baselines.setdefault(role, []).append(account)

    def evidence(self, cell: CellResult) -> Evidence:
        """Gather what one finished cell is compared with.

        Raises
        ------
        InvalidValueError
            If an account that it is compared with has other rows.
        """
        if cell.key in self._evidence:
            return self._evidence[cell.key]
        account = self._by_configuration[(cell.key.configuration, cell.key.simulator)]
        evidence = Evidence(
            account=account,
            market=self._baseline(cell, BaselineRole.MARKET, cell.key.simulator),
            raw_pool=self._baseline(cell, BaselineRole.RAW_POOL, cell.key.simulator),
            benchmark=self._baseline(cell, BaselineRole.BENCHMARK, cell.key.simulator),
            frictionless=self._by_configuration.get((cell.key.configuration, Simulator.FRICTIONLESS)),
            vectorbt=self._by_configuration.get((cell.key.configuration, Simulator.VECTORBT)),
            nautilus=self._by_configuration.get((cell.key.configuration, Simulator.NAUTILUS)),
            frictionless_pool=self._baseline(cell, BaselineRole.RAW_POOL, Simulator.FRICTIONLESS),
            frictionless_benchmark=self._baseline(cell, BaselineRole.BENCHMARK, Simulator.FRICTIONLESS),
        )
        others = (
            *evidence.baselines,
            evidence.frictionless,
            evidence.vectorbt,
            evidence.nautilus,
            evidence.frictionless_pool,
            evidence.frictionless_benchmark,
        )
        for other in others:
            if other is not None and not np.array_equal(other.cell.timestamps, cell.timestamps):
                raise InvalidValueError(
                    f"{cell.strategy_id} is compared with {other.cell.strategy_id}, which has other rows"
                )
        self._evidence[cell.key] = evidence
        return evidence

    def _baseline(self, cell: CellResult, role: BaselineRole, simulator: Simulator) -> Account | None:
        key = cell.key
        found = self._baselines.get((key.universe, key.rebalance, simulator, role), [])
        # The benchmark follows the selection; market and pool are the same for all.
        same_selection = [account for account in found if account.cell.key.selection == key.selection]
        if role is BaselineRole.BENCHMARK:
            return same_selection[0] if same_selection else None
        candidates = same_selection or found
        return candidates[0] if candidates else None
