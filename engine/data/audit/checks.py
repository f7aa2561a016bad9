"""All checks on the bars of one instrument, as places that can be told."""

from dataclasses import dataclass

import numpy as np

from engine.data.audit.breaks import break_marks
from engine.data.audit.marks import Marks
from engine.data.audit.neighbours import surroundings, with_known_volumes
from engine.data.audit.sessions import Schedule, schedule, session_marks
from engine.data.audit.slips import slips_of_calendar, slips_of_doubles, slips_of_order, slips_of_tears
from engine.data.audit.stillness import stillness_marks
from engine.data.audit.structure import dated, structure_marks, usable
from engine.data.audit.ticks import tick_marks
from engine.data.findings import Finding, Kind
from engine.data.quality import Bars
from engine.domain.panel import IntArray
from engine.domain.time import Calendar, Timeframe


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """What was found in the bars of one instrument. Holds the bars, so it is not kept.

    Attributes
    ----------
    bars
        As they came.
    ordered
        The same in order, the first of each stamp.
    plan
        What the calendar expects between the first and the last of them; None without any.
    marks
        In the order of `Kind`.
    witnesses
        Shape (W,), `Marks.share_keys` of other instruments that these bars explain.
    """

    bars: Bars
    ordered: Bars
    plan: Schedule | None
    marks: tuple[Marks, ...]
    witnesses: IntArray

    def findings(self, limit: int | None = None) -> list[Finding]:
        """Return findings, kinds in the order of `Kind`; with a limit the worst ones of each."""
        return [finding for marks in self.marks for finding in marks.findings(limit)]


def inspect(bars: Bars, timeframe: Timeframe, calendar: Calendar, *, now: int | None = None) -> Inspection:
    """Return everything that is wrong, or looks wrong, in the bars of one instrument.

    Parameters
    ----------
    bars
        In the order of their file, whatever that is.
    now
        UTC nanoseconds at which the bars were known; None: rows of the future are not looked for.
    """
    marks = structure_marks(bars, timeframe, now)
    marks += slips_of_order(bars, timeframe)
    marks += slips_of_doubles(bars, timeframe)
    ordered = dated(bars)
    plan = None
    if len(ordered.stamps):
        plan = schedule(ordered, timeframe, calendar)
        marks += session_marks(ordered, timeframe, calendar, plan)
        marks += slips_of_calendar(ordered, timeframe, calendar, plan)
    clean = with_known_volumes(usable(ordered))
    if len(clean.stamps):
        assert plan is not None  # Bars that can be true are dated.
        around = surroundings(clean, timeframe, plan.expected)
        # Where stamps are there twice, these tell of it.
        if calendar is Calendar.ALWAYS and len(ordered.stamps) == len(bars.stamps):
            marks += slips_of_tears(clean, around, timeframe)
        marks += tick_marks(clean, around)
        marks += break_marks(clean, around)
        marks += stillness_marks(clean)
    order = list(Kind)
    found = sorted((entry for entry in marks if len(entry)), key=lambda entry: order.index(entry.kind))
    witnesses = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(entry.seen for entry in marks)]))
    return Inspection(bars=bars, ordered=ordered, plan=plan, marks=tuple(found), witnesses=witnesses)
