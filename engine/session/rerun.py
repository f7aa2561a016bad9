"""A session's period once more, all at once: the compiled path of research over the bars of the data set."""

from dataclasses import dataclass, replace

import numpy as np

from engine.allocation.allocator import Engine
from engine.core.records import DECISION_CAUSE, DECISION_REASON, DECISION_TARGET, ORDER_FIELDS
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.portfolio import Plan
from engine.features.evaluate import evaluate
from engine.features.strategy import Strategy
from engine.pipeline.run import Column, Detail, run_all
from engine.schedule.windows import Rebalance
from engine.session.journaled import ORDER_FACTS, Counts, Journaled, Weights, count_intents
from engine.session.records import Naming
from engine.session.start import NANOSECONDS, SessionStart, settings_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Backtest:
    """What the compiled path says of the account's rows, D in all; shapes and columns as in `Journaled`."""

    signals: FloatArray
    targets: IntArray
    reasons: IntArray
    causes: IntArray
    lots: IntArray
    cash: FloatArray
    equity: FloatArray
    orders: IntArray
    client_order_ids: tuple[str, ...]
    fills: IntArray
    closes: IntArray
    accruals: IntArray
    counts: Counts


def fed_rows(start: SessionStart, panel: Panel) -> Panel:
    """Return the bars that the data set has today for those that a session was to be fed.

    Where the set lost the first of them, there is nothing to compare with: a panel without bars.
    """
    origin = int(np.searchsorted(panel.timestamps, start.origin_at))
    if origin == len(panel) or panel.timestamps[origin] != start.origin_at:
        return panel.rows(0, 0)
    return panel.rows(origin, len(panel) if start.rows is None else origin + start.rows)


def is_recomputed(terms: PlanTerms) -> bool:
    """Return whether base weights come out the same to the last bit: all but those that a solver finds."""
    return terms.kind is PlanKind.LISTED or terms.engine == Engine.NATIVE


def plan_of_facts(facts: Weights, terms: PlanTerms) -> Plan:
    """Return the plan that a journal holds."""
    return Plan(rows=facts.rows, weights=facts.weights, drift_band=Rebalance(terms.rebalance).drift_band)


def play(journaled: Journaled, fed: Panel, strategy: Strategy, plan: Plan) -> Backtest:
    """Run the account of a session up to the journal's last bar.

    Parameters
    ----------
    fed
        As `fed_rows`: it may go on after that bar, and its rows count from the session's origin.
    """
    start_row, stop = journaled.start.start_row, len(journaled.bars)
    settings = replace(settings_of(journaled.start.passport), start_row=start_row, stop_row=stop)
    column = Column(
        plan=plan, root=strategy.signal(), invest=strategy.invest, order_roots=strategy.order_roots
    )
    outcome = run_all(fed, [column], settings, detail=Detail.RECORDS)
    orders = _order_facts(outcome.order_records[0])
    fills, closes, accruals = (
        records[0] for records in (outcome.fill_records, outcome.close_records, outcome.accrual_records)
    )
    decisions = outcome.decisions[0]
    targets = decisions[:, DECISION_TARGET]
    traded = np.zeros(targets.shape, dtype=np.int64)
    np.add.at(traded, (fills[:, 0] - start_row, fills[:, 1]), fills[:, 2])
    lots = np.cumsum(traded, axis=0)
    return Backtest(
        signals=evaluate([strategy.signal()], fed.rows(0, stop))[0, start_row:],
        targets=targets,
        reasons=decisions[:, DECISION_REASON],
        causes=decisions[:, DECISION_CAUSE],
        lots=lots,
        cash=outcome.cash[0],
        equity=outcome.equity[0],
        orders=orders,
        client_order_ids=_client_order_ids(journaled, orders),
        fills=fills,
        closes=closes,
        accruals=accruals,
        counts=Counts(
            bars=stop,
            decisions=stop - start_row,
            intents=count_intents(targets, lots),
            orders=len(orders),
            fills=len(fills),
            order_ends=len(closes),
            cash_movements=len(accruals),
            base_weights=len(plan.rows),
        ),
    )


def _order_facts(records: IntArray) -> IntArray:
    """Return orders as a journal tells them; shape (O, 12)."""
    facts = np.zeros((len(records), len(ORDER_FACTS)), dtype=np.int64)
    for place, name in enumerate(ORDER_FACTS):
        is_number = name == "order"
        facts[:, place] = np.arange(len(records)) if is_number else records[:, ORDER_FIELDS.index(name)]
    return facts


def _client_order_ids(journaled: Journaled, orders: IntArray) -> tuple[str, ...]:
    naming = Naming.of(journaled.start)
    opened = (journaled.bars.opened_at // NANOSECONDS).tolist()
    places = [ORDER_FACTS.index(name) for name in ("row", "instrument")]
    legs: dict[tuple[int, int], int] = {}
    ids = []
    for row, instrument in orders[:, places].tolist():
        leg = legs[row, instrument] = legs.get((row, instrument), -1) + 1
        ids.append(naming.client_order_id(opened[row], instrument, leg))
    return tuple(ids)
