"""The path of `run_all`, one closed bar of one account at a time: what paper and live sessions call.

The compiled functions are the same, so a session and a backtest over the same bars from the same origin have
the same bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.core.account import (
    ACCRUALS,
    CASH,
    CLOSES,
    EQUITY,
    FILLS,
    LOTS,
    NEXT_PLAN,
    ORDERS,
    SCALE,
    Accounts,
    new_accounts,
)
from engine.core.market import DAY_END, FUNDING_FIELD, Market, advance_marks
from engine.core.records import (
    ACCRUAL_FIELDS,
    CLOSE_FIELDS,
    DECISION_CAUSE,
    DECISION_REASON,
    DECISION_TARGET,
    FILL_FIELDS,
    NO_TARGET,
    ORDER_FIELDS,
    Recorder,
)
from engine.core.simulate import blank_decisions, invest_code, step
from engine.core.styles import STYLE_ROWS
from engine.core.targets import Plans
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import PRICE_FIELDS, FloatArray, Instrument, IntArray
from engine.domain.reasons import Reason
from engine.domain.time import Timeframe
from engine.features.evaluate import Stream
from engine.features.strategy import Strategy
from engine.pipeline.run import Settings, refuse_without_range, terms_of

State = dict[str, npt.NDArray[np.generic]]

# On one bar an instrument can fill at the open, inside the bar, by protection and by leaving the market.
_FILLS_A_BAR = 4
# One order, and three that protect it, twice: for what was pending and for what is decided.
_ORDERS_A_BAR = 8
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, eq=False)
class Bar:
    """One closed bar.

    Attributes
    ----------
    row
        Counted from the origin, the first bar that is fed.
    opened_at
        UTC nanoseconds.
    day_end
        Whether it is the last bar of its day.
    fields
        By name, each of shape (N,): open, high, low, close, volume, and what the strategy reads besides. NaN:
        not traded. Where the data has closes only, the others are copies of the close.
    """

    row: int
    opened_at: int
    day_end: bool
    fields: Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pushed:
    """What one bar did to the account.

    Attributes
    ----------
    signals
        Shape (N,), as the strategy gave them.
    targets, reasons, causes
        Shape (N,): lots decided (`NO_TARGET`: nothing was), and why an order was sent as it was, or none.
    lots
        Shape (N,), held after the bar.
    cash, equity, scale
        After the bar; `scale` is what drawdown tiers leave of targets.
    fills, closes, orders, accruals
        One row a record, columns as `engine.core.records` names them: what was filled on this bar, which
        orders ended, which begin, and cash that moved without a fill. Empty on most bars.
    """

    signals: FloatArray
    targets: IntArray
    reasons: IntArray
    causes: IntArray
    lots: IntArray
    cash: float
    equity: float
    scale: float
    fills: IntArray
    closes: IntArray
    orders: IntArray
    accruals: IntArray


class Pipeline:
    """One account that is fed bar by bar.

    Parameters
    ----------
    strategy
        Its signal and the way it shapes orders.
    drift_band
        Of the plan (`engine.domain.portfolio.Plan`).
    has_range
        False where the data has closes only.
    timeframe
        Length of the bars; only strategies that use slower bars need it.

    Raises
    ------
    InvalidValueError
        If the strategy needs ranges that the data does not have.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        instruments: Sequence[Instrument],
        settings: Settings,
        drift_band: float,
        has_range: bool,
        has_funding: bool = False,
        timeframe: Timeframe | None = None,
    ) -> None:
        order_roots = strategy.order_roots
        refuse_without_range(order_roots, has_range=has_range)
        count = len(instruments)
        self._hash = content_hash(
            {
                "strategy": strategy.hash,
                "instruments": instruments,
                "costs": settings.costs,
                "rules": settings.rules,
                "limits": settings.limits,
                "cash": settings.cash,
                "drift_band": drift_band,
            }
        )
        self._stream = Stream(
            [strategy.signal(), *order_roots], [i.symbol for i in instruments], timeframe=timeframe
        )
        self._terms = terms_of(settings)
        self._accounts = new_accounts(1, count, settings.cash)
        self._last = np.zeros(count)
        self._stale = np.zeros(count, dtype=np.int64)
        self._next_row = 0
        self._signals = np.empty((1, count))
        self._styles = np.zeros((STYLE_ROWS if order_roots else 0, 1, count))
        self._plans = Plans(
            rows=np.zeros(1, dtype=np.int64),
            weights=np.zeros((1, count)),
            start=np.zeros(1, dtype=np.int64),
            stop=np.zeros(1, dtype=np.int64),
            drift_band=np.array([drift_band]),
            invest=np.array([invest_code(strategy.invest)], dtype=np.int64),
        )
        self._delisted_at = np.array(
            [_NEVER if i.delisted_at is None else i.delisted_at for i in instruments], dtype=np.int64
        )
        self._timestamps = np.zeros(1, dtype=np.int64)
        rules = settings.rules
        clusters = sorted({i.cluster for i in instruments if i.cluster is not None})
        self._market = Market(
            fill=np.empty((1, count)),
            high=np.empty((1, count)),
            low=np.empty((1, count)),
            mark=np.zeros((1, count)),
            volume=np.empty((1, count)),
            flags=np.zeros(1, dtype=np.uint8),
            next_flag=np.zeros(0, dtype=np.int64),
            leaves=np.zeros((1, count), dtype=np.uint8),
            funding=np.zeros((1 if has_funding else 0, count)),
            lot_size=np.full(count, rules.lot_size),
            tick_size=np.full(count, rules.tick_size),
            minimum_notional=np.full(count, rules.minimum_notional),
            haircut=np.array([i.delisting_haircut for i in instruments]),
            cluster=np.array(
                [-1 if i.cluster is None else clusters.index(i.cluster) for i in instruments], dtype=np.int64
            ),
        )
        self._recorder = _recorder_of_one_bar(count)

    @property
    def fields(self) -> frozenset[str]:
        """Names of the fields that a bar must have."""
        return self._stream.fields | set(PRICE_FIELDS)

    @property
    def next_row(self) -> int:
        """Row that `warm` or `push` expects."""
        return self._next_row

    def warm(self, bar: Bar) -> None:
        """Take a bar before the account begins: only signals and marks move."""
        self._take(bar)

    def push(self, bar: Bar, weights: FloatArray | None) -> Pushed:
        """Take a bar of the account's life, and say what it did.

        Parameters
        ----------
        weights
            Shape (N,), base weights that come into force at this bar's close; None where there are none.

        Raises
        ------
        InvalidValueError
            If the bar is not the next one, or lacks a field.
        """
        signals = self._take(bar)
        plans, market, recorder = self._plans, self._market, self._recorder
        accounts = self._accounts
        counts = accounts.counts[0]
        kinds = (FILLS, CLOSES, ORDERS, ACCRUALS)
        starts = (
            recorder.fill_start, recorder.close_start, recorder.order_start, recorder.accrual_start,
        )  # fmt: skip
        before = [int(counts[kind]) for kind in kinds]
        for start, count in zip(starts, before, strict=True):
            # So that the first record of this bar stands first.
            start[0] = -count
        plans.start[0] = -counts[NEXT_PLAN]
        plans.stop[0] = plans.start[0] + counts[NEXT_PLAN]
        if weights is not None:
            plans.rows[0] = bar.row
            plans.weights[0] = weights
            plans.stop[0] += 1
        recorder.decisions[0, 0, DECISION_TARGET] = NO_TARGET
        recorder.decisions[0, 0, DECISION_REASON] = Reason.NOT_DECIDED
        recorder.decisions[0, 0, DECISION_CAUSE] = 0
        step(
            0,
            bar.row,
            self._signals,
            self._styles,
            market,
            plans,
            self._terms,
            accounts,
            recorder._replace(first_row=bar.row),
        )
        fills, closes, orders, accruals = (
            records[:count].copy() if (count := int(counts[kind]) - known) else records[:0]
            for records, kind, known in zip(
                (recorder.fills, recorder.closes, recorder.orders, recorder.accruals),
                kinds,
                before,
                strict=True,
            )
        )
        decisions = recorder.decisions[0, 0].copy()
        values = accounts.values[0]
        return Pushed(
            signals=signals,
            targets=decisions[DECISION_TARGET],
            reasons=decisions[DECISION_REASON],
            causes=decisions[DECISION_CAUSE],
            lots=accounts.lots[0, LOTS].copy(),
            cash=float(values[CASH]),
            equity=float(values[EQUITY]),
            scale=float(values[SCALE]),
            fills=fills,
            closes=closes,
            orders=orders,
            accruals=accruals,
        )

    def state(self) -> State:
        """Return all that the next bar depends on, as arrays of its own."""
        kept: State = {f"account.{name}": values.copy() for name, values in self._accounts._asdict().items()}
        kept |= {f"stream.{name}": values for name, values in self._stream.state().items()}
        kept |= {
            "last": self._last.copy(),
            "stale": self._stale.copy(),
            "next_row": np.array([self._next_row]),
            "hash": np.array([self._hash]),
        }
        return kept

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state that `state` returned.

        Raises
        ------
        InvalidValueError
            If the state is of another strategy, other instruments or other terms.
        """
        if str(state["hash"][0]) != self._hash:
            raise InvalidValueError("pipeline: the saved state is of another strategy, universe or terms")
        self._stream.restore(
            {
                name.removeprefix("stream."): values
                for name, values in state.items()
                if name.startswith("stream.")
            }
        )
        self._accounts = Accounts(**{name: np.array(state[f"account.{name}"]) for name in Accounts._fields})
        self._last[:] = state["last"]
        self._stale[:] = state["stale"]
        self._next_row = int(state["next_row"][0])

    def _take(self, bar: Bar) -> FloatArray:
        """Move signals and marks by one bar; return the signals."""
        if bar.row != self._next_row:
            raise InvalidValueError(f"pipeline: expected the bar of row {self._next_row}, got row {bar.row}")
        for name in PRICE_FIELDS:
            if name not in bar.fields:
                raise InvalidValueError(f"pipeline: the bar of row {bar.row} has no {name}")
        market = self._market
        values: FloatArray = self._stream.push({**bar.fields, "opened_at": bar.opened_at})
        self._signals[0] = values[0]
        if self._styles.shape[0]:
            self._styles[:, 0] = values[1:]
        market.fill[0] = bar.fields["open"]
        market.high[0] = bar.fields["high"]
        market.low[0] = bar.fields["low"]
        market.volume[0] = bar.fields["volume"]
        if market.funding.shape[0]:
            market.funding[0] = np.nan_to_num(bar.fields[FUNDING_FIELD], nan=0.0)
        self._timestamps[0] = bar.opened_at
        market.flags[0] = DAY_END if bar.day_end else 0
        advance_marks(
            bar.fields["close"].reshape(1, -1),
            self._timestamps,
            self._delisted_at,
            self._terms.rules.stale_bars,
            self._last,
            self._stale,
            market.mark,
            market.leaves,
            market.flags,
        )
        self._next_row += 1
        signals: FloatArray = values[0]
        return signals


def _recorder_of_one_bar(count: int) -> Recorder:
    """Return a recorder that every bar writes anew: starts are set so that its records begin at 0."""
    fills, orders = _FILLS_A_BAR * count, _ORDERS_A_BAR * count
    nothing: FloatArray = np.zeros((0, 0))

    def up_to(size: int) -> IntArray:
        return np.array([0, size], dtype=np.int64)

    return Recorder(
        fills=np.zeros((fills, len(FILL_FIELDS)), dtype=np.int64),
        orders=np.zeros((orders, len(ORDER_FIELDS)), dtype=np.int64),
        closes=np.zeros((orders, len(CLOSE_FIELDS)), dtype=np.int64),
        accruals=np.zeros((2 * count + 1, len(ACCRUAL_FIELDS)), dtype=np.int64),
        fill_start=up_to(fills),
        order_start=up_to(orders),
        close_start=up_to(orders),
        accrual_start=up_to(2 * count + 1),
        equity=nothing,
        cash=nothing,
        gross=nothing,
        turnover=nothing,
        decided=np.zeros((0, 0, 0)),
        decisions=blank_decisions((1, 1, 3, count)),
        first_row=0,
    )
