"""Run the core on a small panel and read what it did."""

from dataclasses import dataclass

import numpy as np

from engine.core.account import Accounts, new_accounts
from engine.core.market import market_of
from engine.core.records import FILL_FIELDS, ORDER_FIELDS, Recorder
from engine.core.settings import FRICTIONLESS, UNLIMITED, Costs, Limits, Rules, Terms
from engine.core.simulate import new_recorder, pack_plans, simulate
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.portfolio import Invest, Plan

WHOLE_LOTS = Rules(lot_size=1.0, tick_size=0.01, cash_buffer=0.0, participation=np.inf)


@dataclass(frozen=True)
class Played:
    """One account after a run: its state, curves and records."""

    accounts: Accounts
    recorder: Recorder

    @property
    def equity(self) -> FloatArray:
        """Equity after every bar."""
        curve: FloatArray = self.recorder.equity[0]
        return curve

    def fills(self) -> list[dict[str, int]]:
        """Fills as named integers."""
        return [dict(zip(FILL_FIELDS, map(int, row), strict=True)) for row in self.recorder.fills]

    def orders(self) -> list[dict[str, int]]:
        """Orders as named integers."""
        return [dict(zip(ORDER_FIELDS, map(int, row), strict=True)) for row in self.recorder.orders]


def weights(*values: float, row: int = 0, drift_band: float = np.inf) -> Plan:
    """Make a plan that re-bases once."""
    return Plan(rows=np.array([row]), weights=np.array([values]), drift_band=drift_band)


def play(
    panel: Panel,
    plan: Plan,
    *,
    signals: FloatArray | None = None,
    styles: FloatArray | None = None,
    costs: Costs = FRICTIONLESS,
    rules: Rules = WHOLE_LOTS,
    limits: Limits = UNLIMITED,
    invest: Invest = Invest.SCALED,
    cash: float = 1000.0,
) -> Played:
    """Run one account over the whole panel with everything recorded."""
    rows, count = panel.close.shape
    market = market_of(panel, rules)
    plans = pack_plans([plan], [invest])
    has_signals = signals is not None
    table = np.ones((1, 1, count)) if signals is None else np.ascontiguousarray(signals)[None]
    one: IntArray = np.zeros(1, dtype=np.int64)
    counted: Accounts | None = None
    for _ in range(2):
        accounts = new_accounts(1, count, cash)
        recorder = new_recorder(1, rows, count, 0, curves=True, counted=counted)
        simulate(
            0,
            1,
            0,
            rows,
            table,
            has_signals,
            one,
            np.zeros((0, 1, count)) if styles is None else styles,
            market,
            plans,
            Terms(costs, rules, limits),
            accounts,
            recorder,
        )
        counted = accounts
    return Played(accounts=accounts, recorder=recorder)
