"""Sessions that ran through the real loop on small panels, for whoever judges them afterwards."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core.settings import Costs, Limits, Rules
from engine.domain.panel import PRICE_FIELDS, Panel
from engine.domain.passport import Passport, PlanKind, PlanTerms
from engine.features.strategy import Strategy
from engine.session.feed import Replay
from engine.session.session import Beginning, Ports, Sources, open_session, run
from engine.session.start import FedData, SessionStart
from tests.builders import random_panel

COSTS = Costs(half_spread_bps=1.0, impact_coefficient=20.0)
RULES = Rules(participation=0.2, order_bound_bps=300.0, minimum_notional=5.0, lot_size=0.01)
LIMITS = Limits(halt_bars=5, recovery_bars=15)
LISTED = PlanTerms(kind=PlanKind.LISTED)
WALK = PlanTerms(
    kind=PlanKind.WALK_FORWARD,
    selection="all",
    engine="native",
    profile="inverse_volatility",
    train=40,
    test=20,
    step=10,
    purge=1,
    embargo=0,
    floor=2,
    seed=3,
)


def lively_panel(rows: int = 240, instruments: int = 4, *, seed: int = 7) -> Panel:
    """Make a panel with holes, late listings, one delisting on a known day, funding and a market."""
    panel = random_panel(rows, instruments, seed=seed, holes=0.004, volatility=0.03)
    last = rows * 2 // 3
    delisted = replace(panel.instruments[1], delisted_at=int(panel.timestamps[last]))
    prices = {name: getattr(panel, name).copy() for name in PRICE_FIELDS}
    for values in prices.values():
        values[last + 1 :, 1] = np.nan
    rng = np.random.default_rng(seed)
    return replace(
        panel,
        name="lively",
        instruments=(panel.instruments[0], delisted, *panel.instruments[2:]),
        fields={"funding_rate": rng.normal(0.0, 1e-4, rows), "market": np.cumsum(rng.normal(size=rows))},
        **prices,
    )


def passport_of(strategy: Strategy, panel: Panel, plan: PlanTerms = LISTED, **changes: Any) -> Passport:
    """Return the passport of a strategy on a panel."""
    usual = Passport(
        strategy_id=f"{strategy.name}-1a2b3c4d",
        strategy=strategy.name,
        parameters=strategy.parameters,
        invest=strategy.invest,
        graph_hash=strategy.hash,
        universe=panel.name,
        symbols=panel.symbols,
        timeframe=panel.timeframe.value,
        plan=plan,
        costs=COSTS._asdict(),
        rules=RULES._asdict(),
        limits=LIMITS._asdict(),
        cash=10_000.0,
        core_version=CORE_VERSION,
        identity_hash="1" * 64,
    )
    return replace(usual, **changes)


def record(
    folder: Path,
    strategy: Strategy,
    panel: Panel,
    *,
    plan: PlanTerms = LISTED,
    start_row: int | None = None,
    stop_after: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Run a session over all bars of a panel, or go on with it; return its folder.

    Parameters
    ----------
    start_row
        None: the first that the plan allows.
    stop_after
        Somebody stops it after so many bars of this call.
    changes
        Of the passport.
    """
    seconds = count(1_767_268_800)
    earliest = plan.train + plan.embargo
    start = SessionStart(
        passport=passport_of(strategy, panel, plan, **(changes or {})),
        data=FedData.of(panel),
        origin_at=int(panel.timestamps[0]),
        start_row=earliest if start_row is None else start_row,
        rows=len(panel),
    )
    session = open_session(
        folder,
        Sources(
            begin=lambda: Beginning(start=start, strategy=strategy, fed=panel),
            strategy=lambda _passport: strategy,
            panel=lambda _name: panel,
            clock=lambda: next(seconds) * 10**9,
        ),
    )
    assert session is not None
    bars = count()
    with session.journal:
        run(
            session,
            Ports(
                feed=Replay(session.fed, session.trader.fields),
                watch=lambda _worked: None,
                is_stopping=lambda: stop_after is not None and next(bars) >= stop_after,
            ),
        )
    return folder
