"""What the gates of a cell look at: its own account, and the accounts that it is compared with.

Everything here comes from one tournament. Nothing reads another run, a clock or a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.core import metrics
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray
from research.cells import BaselineRole, CellResult, CellStatus, Simulator
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
        """Shape (D,), of the same cell without limits; None where it was not played so."""
        if self.cell.unlimited_equity.size == 0:
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
    frictionless, vectorbt
        The same configuration under the other simulators.
    """

    account: Account
    market: Account | None
    raw_pool: Account | None
    benchmark: Account | None
    frictionless: Account | None
    vectorbt: Account | None

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

    @property
    def baselines(self) -> tuple[Account, ...]:
        """The baselines beside the cell, each once."""
        found = (self.market, self.raw_pool, self.benchmark)
        return tuple({id(account): account for account in found if account is not None}.values())


class Accounts:
    """All accounts of a tournament, found by what they are compared with."""

    def __init__(self, cells: Iterable[CellResult]) -> None:
        self._by_configuration: dict[tuple[tuple[str, ...], Simulator], Account] = {}
        self._baselines: dict[tuple[str, str, Simulator, BaselineRole], list[Account]] = {}
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
        account = self._by_configuration[(cell.key.configuration, cell.key.simulator)]
        evidence = Evidence(
            account=account,
            market=self._baseline(cell, BaselineRole.MARKET),
            raw_pool=self._baseline(cell, BaselineRole.RAW_POOL),
            benchmark=self._baseline(cell, BaselineRole.BENCHMARK),
            frictionless=self._by_configuration.get((cell.key.configuration, Simulator.FRICTIONLESS)),
            vectorbt=self._by_configuration.get((cell.key.configuration, Simulator.VECTORBT)),
        )
        others = (*evidence.baselines, evidence.frictionless, evidence.vectorbt)
        for other in others:
            if other is not None and not np.array_equal(other.cell.timestamps, cell.timestamps):
                raise InvalidValueError(
                    f"{cell.strategy_id} is compared with {other.cell.strategy_id}, which has other rows"
                )
        return evidence

    def _baseline(self, cell: CellResult, role: BaselineRole) -> Account | None:
        key = cell.key
        found = self._baselines.get((key.universe, key.rebalance, key.simulator, role), [])
        # The benchmark follows the selection; market and pool are the same for all.
        same_selection = [account for account in found if account.cell.key.selection == key.selection]
        if role is BaselineRole.BENCHMARK:
            return same_selection[0] if same_selection else None
        candidates = same_selection or found
        return candidates[0] if candidates else None
