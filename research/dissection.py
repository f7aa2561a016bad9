"""One account played again in full, and what becomes of it when one thing is changed.

A tournament keeps curves. A report wants every fill, the weights that were really held, and the answers to
"what if": other parameters, higher costs, a later fill. Other parameters are trials: whoever sees them may
choose among them, so who shows them registers them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.core.records import ACCRUAL_FIELDS, ACCRUAL_NAMES, FILL_FIELDS
from engine.core.settings import Costs
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, IntArray, Panel, day_ends
from engine.domain.portfolio import Plan
from engine.features.strategy import Number, Strategy
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from engine.schedule.windows import Window, plan
from engine.selection.universe import Selection
from engine.workforce import LocalWorkers
from research.backtest import equal_weight_of_listed, whole_history
from research.baselines import buy_and_hold_plan, equal_weight_plan, market_panel, unlimited
from research.cells import BaselineRole
from research.configuration import Selection as ConfiguredSelection
from research.configuration import TournamentSettings
from research.excess import excess_returns, mean_gross
from research.grounds import prepare
from research.passports import Rebuilt
from research.trials import Trial, trial

_PRICE_UNITS = 1e8
_BPS = 1e4
# Curves of so many columns are held at a time.
_COLUMNS = 16
# Around a chosen parameter: far enough to see a hill, near enough to be the same idea.
STEPS = (0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fills:
    """Every fill of an account, in order. All arrays have shape (F,).

    Attributes
    ----------
    row
        Of the panel.
    lots
        Signed.
    price, fee
        In quote currency: a unit, and in all.
    """

    row: IntArray
    instrument: IntArray
    lots: IntArray
    price: FloatArray
    fee: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What an account came to.

    Attributes
    ----------
    excess_sharpe
        Over the equally weighted pool at the account's own exposure, the pool with the same costs and delay.
    excess
        Shape (D,), the daily returns behind it.
    turnover
        One-way, a year, as a multiple of the account.
    """

    sharpe: float
    excess_sharpe: float
    excess: FloatArray
    annualized_return: float
    max_drawdown: float
    turnover: float
    fees: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """Values of one parameter around the chosen one.

    Attributes
    ----------
    chosen
        Place of the chosen value among them.
    """

    name: str
    values: tuple[Number, ...]
    chosen: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """Measures on a grid of parameters, all else being as it was played.

    Attributes
    ----------
    axes
        None, one or two.
    excess_sharpe
        Shape of the axes; NaN where the strategy does not take the parameters.
    trials
        One for each set of parameters: whoever sees the surface may choose from it, so all of it was tried.
    """

    axes: tuple[Axis, ...]
    excess_sharpe: FloatArray
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Dissection:
    """An account with everything that it did.

    Attributes
    ----------
    plan, pool_plan
        Base weights of the account, and of the equally weighted pool that it is measured against.
    windows
        Of the walk-forward; empty for an account over the whole history.
    outcome
        Of one column, with records.
    baselines
        Equity by role, shape (R,). Those that there are none of are left out.
    """

    strategy: Strategy
    panel: Panel
    settings: Settings
    plan: Plan
    pool_plan: Plan
    windows: tuple[Window, ...]
    outcome: Outcome
    baselines: Mapping[BaselineRole, FloatArray]

    @property
    def rows(self) -> slice:
        """Rows of the panel on which the account lived."""
        return slice(*self.outcome.rows)

    @property
    def timestamps(self) -> IntArray:
        """Shape (R,), UTC nanoseconds of the bars' opens."""
        return self.panel.timestamps[self.rows]

    @property
    def equity(self) -> FloatArray:
        """Shape (R,)."""
        curve: FloatArray = self.outcome.equity[0]
        return curve

    @property
    def gross(self) -> FloatArray:
        """Shape (R,), value of positions as a share of equity."""
        curve: FloatArray = self.outcome.gross[0]
        return curve

    @property
    def days_per_year(self) -> int:
        """Days that a year of returns has."""
        return self.panel.calendar.days_per_year

    @property
    def years(self) -> float:
        """Length of the account's life."""
        return float(day_ends(self.timestamps, self.panel.calendar).sum()) / self.days_per_year

    def daily(self, equity: FloatArray) -> FloatArray:
        """Return the daily returns of an equity curve of this account's rows."""
        return metrics.daily_returns(equity, day_ends(self.timestamps, self.panel.calendar))

    @cached_property
    def exposure(self) -> float:
        """g: mean gross after fills."""
        return mean_gross(self.gross)

    @cached_property
    def pool_at_exposure(self) -> FloatArray:
        """Shape (R,): the pool held at the account's mean exposure, the rest in cash, from the same cash."""
        pool = self.baselines[BaselineRole.RAW_POOL]
        steps = np.concatenate(([0.0], pool[1:] / pool[:-1] - 1.0))
        return np.asarray(self.settings.cash * np.cumprod(1.0 + self.exposure * steps), dtype=np.float64)

    @cached_property
    def fills(self) -> Fills:
        """Every fill, oldest first."""
        records = self.outcome.fill_records[0]
        column = {name: records[:, place] for place, name in enumerate(FILL_FIELDS)}
        return Fills(
            row=column["row"],
            instrument=column["instrument"],
            lots=column["lots"],
            price=column["price_e8"] / _PRICE_UNITS,
            fee=column["fee_e8"] / _PRICE_UNITS,
        )

    @cached_property
    def marks(self) -> FloatArray:
        """Shape (R, N), last closes so far; NaN before the first."""
        closes = self.panel.close[: self.outcome.rows[1]]
        rows = np.where(np.isnan(closes), 0, np.arange(len(closes))[:, None])
        last: FloatArray = np.take_along_axis(closes, np.maximum.accumulate(rows, axis=0), axis=0)
        return last[self.outcome.rows[0] :]

    @cached_property
    def units(self) -> FloatArray:
        """Shape (R, N), units held after the fills of each row."""
        changes = np.zeros((len(self.timestamps), len(self.panel.instruments)))
        fills = self.fills
        np.add.at(changes, (fills.row - self.outcome.rows[0], fills.instrument), fills.lots)
        held: FloatArray = np.cumsum(changes, axis=0) * self.settings.rules.lot_size
        return held

    @cached_property
    def weights(self) -> FloatArray:
        """Shape (R, N), value of each position as a share of equity, marked at each close."""
        return np.where(self.units == 0.0, 0.0, self.units * self.marks) / self.equity[:, None]

    @cached_property
    def profits(self) -> FloatArray:
        """Shape (N,), what each instrument earned after fees, in quote currency."""
        fills = self.fills
        size = self.settings.rules.lot_size
        earned = np.where(self.units[-1] == 0.0, 0.0, self.units[-1] * self.marks[-1])
        np.subtract.at(earned, fills.instrument, fills.lots * size * fills.price + fills.fee)
        return earned

    @cached_property
    def traded(self) -> FloatArray:
        """Shape (N,), notional of all fills, in quote currency."""
        total = np.zeros(len(self.panel.instruments))
        fills = self.fills
        np.add.at(total, fills.instrument, np.abs(fills.lots) * self.settings.rules.lot_size * fills.price)
        return total

    @cached_property
    def slippage(self) -> float:
        """What half-spread and slippage took, in quote currency: bps of the notional of all fills."""
        costs = self.settings.costs
        return float(self.traded.sum()) * (costs.half_spread_bps + costs.slippage_bps) / _BPS

    @cached_property
    def accrued(self) -> Mapping[str, float]:
        """Cash that moved without a fill, by name, in quote currency: negative was paid."""
        records = self.outcome.accrual_records[0]
        amounts = records[:, ACCRUAL_FIELDS.index("amount_e8")] / _PRICE_UNITS
        kinds = records[:, ACCRUAL_FIELDS.index("what")]
        return {name: float(amounts[kinds == kind].sum()) for kind, name in enumerate(ACCRUAL_NAMES)}

    @cached_property
    def window_rows(self) -> IntArray:
        """Shape (K,), where among the account's rows each window comes into force."""
        starts = np.array([window.test_start for window in self.windows], dtype=np.int64)
        return starts - self.outcome.rows[0]

    @cached_property
    def window_returns(self) -> FloatArray:
        """Shape (K,), what the account earned while each window's fit was in force."""
        bounds = np.append(self.window_rows, len(self.equity) - 1)
        levels = self.equity[np.minimum(bounds, len(self.equity) - 1)]
        return np.asarray(levels[1:] / levels[:-1] - 1.0, dtype=np.float64)


def dissect(rebuilt: Rebuilt, *, workers: int = 1) -> Dissection:
    """Play a row of a board again in full, with its baselines.

    Parameters
    ----------
    workers
        Processes for what is not found solved already.

    Raises
    ------
    InputError
        If its allocation gives no weights.
    """
    with LocalWorkers(workers) as workforce:
        [prepared] = prepare([rebuilt.ground], _alone(rebuilt), workforce=workforce)
    arena, allocation = prepared.arena, rebuilt.allocation
    base = prepared.weights[allocation]
    if base.problem:
        raise InputError(
            f"{rebuilt.passport.strategy_id}: {allocation.engine} {allocation.profile} gave no weights: "
            f"{base.problem}"
        )
    windows, rebalance = arena.windows, rebuilt.rebalance
    pool = equal_weight_plan(windows, arena.eligible, rebalance)
    benchmark = equal_weight_plan(windows, arena.selected[allocation.selection], rebalance)
    return _played(
        strategy=rebuilt.strategy,
        panel=arena.panel,
        settings=arena.settings,
        account=plan(windows, base.weights, rebalance),
        pools={BaselineRole.RAW_POOL: pool, BaselineRole.BENCHMARK: benchmark},
        windows=windows,
    )


def dissect_whole(strategy: Strategy, panel: Panel, settings: TournamentSettings) -> Dissection:
    """Play a bare strategy over a whole history in full, equal weight over what is listed."""
    account = equal_weight_of_listed(panel)
    return _played(
        strategy=strategy,
        panel=panel,
        settings=whole_history(settings, panel),
        account=account,
        pools={BaselineRole.RAW_POOL: account},
        windows=(),
    )


def _played(
    *,
    strategy: Strategy,
    panel: Panel,
    settings: Settings,
    account: Plan,
    pools: Mapping[BaselineRole, Plan],
    windows: tuple[Window, ...],
) -> Dissection:
    outcome = run_all(panel, [_column(strategy, account)], settings, detail=Detail.RECORDS)
    free = unlimited(settings)
    played = run_all(panel, [Column(plan=weights) for weights in pools.values()], free, detail=Detail.CURVES)
    baselines = dict(zip(pools, played.equity, strict=True))
    market = market_panel(panel)
    if market is not None:
        hold = Column(plan=buy_and_hold_plan(settings.start_row))
        baselines[BaselineRole.MARKET] = run_all(market, [hold], free, detail=Detail.CURVES).equity[0]
    return Dissection(
        strategy=strategy,
        panel=panel,
        settings=settings,
        plan=account,
        pool_plan=pools[BaselineRole.RAW_POOL],
        windows=windows,
        outcome=outcome,
        baselines=baselines,
    )


def _column(strategy: Strategy, weights: Plan) -> Column:
    return Column(
        plan=weights, root=strategy.signal(), invest=strategy.invest, order_roots=strategy.order_roots
    )


def _alone(rebuilt: Rebuilt) -> TournamentSettings:
    """Return the settings with one selection and one allocation: no other answer is asked for."""
    allocation = rebuilt.allocation
    selection = ConfiguredSelection(Selection(allocation.selection).value)
    configuration = rebuilt.settings.configuration.model_copy(
        update={
            "selections": (selection,),
            "allocations": rebuilt.settings.configuration.allocations.only(
                allocation.engine, allocation.profile
            ),
        }
    )
    return replace(rebuilt.settings, configuration=configuration)


# --- what if ---------------------------------------------------------------------------------------------


def surface(
    account: Dissection, *, steps: Sequence[float] = (0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0)
) -> Surface:
    """Measure the neighbours of the chosen parameters: the first two of the strategy, times some factors."""
    axes = tuple(axis for axis in _axes(account.strategy, steps) if len(axis.values) > 1)[:2]
    shape = tuple(len(axis.values) for axis in axes)
    places = list(np.ndindex(*shape)) if axes else []
    found = np.full(shape, np.nan)
    neighbours = {}
    for place in places:
        values = {axis.name: axis.values[k] for axis, k in zip(axes, place, strict=True)}
        neighbour = _neighbour(account.strategy, values)
        if neighbour is not None:
            neighbours[place] = neighbour
    trials = []
    for place, measured in zip(neighbours, _measure(account, list(neighbours.values())), strict=True):
        found[place] = measured.excess_sharpe
        trials.append(_trial(account, neighbours[place], measured))
    return Surface(axes=axes, excess_sharpe=found, trials=tuple(trials))


def _trial(account: Dissection, neighbour: Strategy, measured: Measured) -> Trial:
    key = content_hash(
        {
            "kind": "neighbour/1",
            "core": CORE_VERSION,
            "panel": account.panel.content_hash,
            "strategy": neighbour.hash,
            "plan": account.plan,
            "settings": account.settings,
        }
    )
    return trial(
        key, account.timestamps[day_ends(account.timestamps, account.panel.calendar)], measured.excess
    )


def _axes(strategy: Strategy, steps: Sequence[float]) -> Iterator[Axis]:
    for declared in fields(strategy):
        chosen = getattr(strategy, declared.name)
        low, high = declared.metadata["low"], declared.metadata["high"]
        whole = isinstance(declared.default, int)
        around = {chosen} | {round(chosen * step) if whole else chosen * step for step in steps}
        values = tuple(sorted(value for value in around if low <= value <= high))
        yield Axis(name=declared.name, values=values, chosen=values.index(chosen))


def _neighbour(strategy: Strategy, values: Mapping[str, Number]) -> Strategy | None:
    try:
        return type(strategy).of({**strategy.parameters, **values})
    except InvalidValueError:
        # Parameters that exclude one another, such as a fast average slower than the slow one.
        return None


def at_cost(account: Dissection, times: float) -> Measured:
    """Measure the account with every cost multiplied, its pool with the same costs."""
    costs = Costs(*(cost * times for cost in account.settings.costs))
    settings = replace(account.settings, costs=costs)
    return next(_measure(account, [account.strategy], settings))


def one_bar_later(account: Dissection) -> Measured:
    """Measure the account when every order is under way for a bar longer, those of its pool as well."""
    rules = account.settings.rules
    later = rules._replace(latency_bars=rules.latency_bars + 1)
    return next(_measure(account, [account.strategy], replace(account.settings, rules=later)))


def _measure(
    account: Dissection, strategies: Sequence[Strategy], settings: Settings | None = None
) -> Iterator[Measured]:
    told = settings or account.settings
    panel, days = account.panel, account.days_per_year
    alone = [Column(plan=account.pool_plan)]
    pool = account.daily(run_all(panel, alone, unlimited(told), detail=Detail.CURVES).equity[0])
    columns = [_column(strategy, account.plan) for strategy in strategies]
    for start in range(0, len(columns), _COLUMNS):
        outcome = run_all(panel, columns[start : start + _COLUMNS], told, detail=Detail.CURVES)
        for place, equity in enumerate(outcome.equity):
            returns = account.daily(equity)
            excess = excess_returns(returns, mean_gross(outcome.gross[place]), pool)
            yield Measured(
                sharpe=metrics.sharpe(returns, days),
                excess_sharpe=metrics.sharpe(excess, days),
                excess=excess,
                annualized_return=metrics.annualized_return(returns, days),
                max_drawdown=metrics.max_drawdown(returns),
                turnover=float(outcome.turnover[place]) / account.years,
                fees=float(outcome.fees[place]),
            )
