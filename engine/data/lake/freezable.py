"""What has to be true of bars before they are frozen: what is frozen is used without another look."""

from dataclasses import replace

import numpy as np

from engine.data import quality
from engine.data.findings import Finding, listing
from engine.domain.errors import InputError
from engine.domain.panel import Panel
from engine.domain.time import Calendar

_ERRORS_SHOWN = 20


def refuse_errors(panel: Panel) -> None:
    """Refuse bars that no import would take.

    Raises
    ------
    InputError
        With file, row and value of the first of them.
    """
    found: list[Finding] = []
    for column, symbol in enumerate(panel.symbols):
        for bars in quality.of_panel(panel.select((column,))):
            found += quality.errors(replace(bars, file=f"{symbol} {panel.timeframe.value} bars"))
    if found:
        lines = listing(found, _ERRORS_SHOWN)
        raise InputError("\n".join([f"{panel.name} was not frozen, its bars have errors", *lines]))


def refuse_two_grids(panel: Panel) -> None:
    """Refuse bars of a market that never closes which do not open on the grid of the first one.

    Raises
    ------
    InputError
        Naming the instruments and the bar.
    """
    if panel.calendar is Calendar.ALWAYS:
        step = panel.timeframe.nanoseconds
        off = np.flatnonzero((panel.timestamps - panel.timestamps[0]) % step)
        if len(off):
            row = int(off[0])
            symbols = [
                symbol
                for symbol, close in zip(panel.symbols, panel.close[row], strict=True)
                if np.isfinite(close)
            ]
            opens = quality.moment(int(panel.timestamps[row]))
            raise InputError(
                f"{panel.name} was not frozen: {', '.join(symbols)} has a bar that opens at {opens}, which "
                "is not on the grid of the first bar; one data set needs one grid"
            )
