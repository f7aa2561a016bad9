"""What a session on a feed learns from before its account's first bar: a data set, and what came since."""

from dataclasses import replace
from typing import Any

import numpy as np

from engine.data.providers.finality import UNSETTLED_BARS, final_until
from engine.domain.errors import InputError
from engine.domain.panel import PRICE_FIELDS, Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.features.strategy import Strategy
from engine.session.exchange import Rows
from engine.session.live_feed import Incoming
from engine.session.present import day_ends_by_calendar


def history_until(panel: Panel, incoming: Incoming, now: int, strategy: Strategy, terms: PlanTerms) -> Panel:
    """Return the bars that are final now, as many as strategy and base weights have to know.

    The last bars of the data set are asked for again: who took them from a feed that stood still has half a
    bar as the last one, and its next look comes too late for a session.

    Parameters
    ----------
    panel
        Of a data set, as a feed would have given it (`engine.session.present.as_seen`).
    now
        UTC nanoseconds, by the clock of the exchange. What the data set says of later times is left out.

    Raises
    ------
    InputError
        If there are too few bars.
    ProviderError
        If the exchange refuses.
    StoppedError
        If somebody wants an end.
    """
    known = final_until(now, panel.timeframe)
    panel = panel.rows(0, int(np.searchsorted(panel.timestamps, known)))
    if not len(panel):
        raise InputError(
            f"data set {panel.name}: its first bar is later than the time at the exchange, "
            f"{np.datetime64(now, 'ns').astype('datetime64[s]')} UTC"
        )
    panel = panel.rows(0, _settled_rows(panel))
    start = int(panel.timestamps[-1]) + panel.timeframe.nanoseconds
    while start < known:
        rows = incoming.after(start, known)
        panel = _continued(panel, rows)
        start = rows.until
    earliest = terms.train + terms.embargo if terms.kind is PlanKind.WALK_FORWARD else 0
    if len(panel) < earliest:
        raise InputError(
            f"data set {panel.name} has {len(panel):,} bars up to now, and the first base weights need "
            f"{earliest:,} before them"
        )
    roots = (strategy.signal(), *strategy.order_roots)
    needed = max(1, earliest, *(root.warmup_on(panel.timeframe) for root in roots))
    return panel.rows(max(0, len(panel) - needed), len(panel))


def _settled_rows(panel: Panel) -> int:
    """Return how many first rows need not be asked for again; one at least, to go on from."""
    gone = [column for column, each in enumerate(panel.instruments) if each.delisted_at is not None]
    # Of what is delisted the exchange tells nothing any more.
    untold = np.flatnonzero(np.isfinite(panel.close[:, gone]).any(axis=1))
    return max(1, len(panel) - UNSETTLED_BARS, int(untold[-1]) + 1 if len(untold) else 0)


def _continued(panel: Panel, rows: Rows) -> Panel:
    """Return a panel and the rows that follow it."""
    stamps = np.concatenate([panel.timestamps, rows.stamps])
    prices: dict[str, Any] = {
        name: np.concatenate([getattr(panel, name), rows.fields[name]]) for name in PRICE_FIELDS
    }
    ends = day_ends_by_calendar(stamps, panel.timeframe, panel.calendar)
    return replace(panel, timestamps=stamps, day_ends_told=ends, **prices)
