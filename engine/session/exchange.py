"""What an exchange says of its time and of bars that are over, for a session that trades on them.

A decision cannot be taken back, so bars are what their trades make (VENUES 1.3, P7): an exchange may report
them wrongly for a while. And a bar is taken only where the exchange shows that it went on after it: on a feed
that stands still half a bar looks like a whole one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.ingestion.proof import proofs
from engine.data.providers.bars import between
from engine.data.providers.ccxt_wire import CcxtWire
from engine.data.providers.finality import unsettled_from
from engine.data.providers.port import Provider
from engine.data.series import BAR_VALUES, BarSeries
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import Timeframe


class ExchangeClock:
    """The time of an exchange, as it was told last. A session goes by it and not by the machine's."""

    def __init__(self, wire: CcxtWire) -> None:
        self._wire = wire
        self._told = 0

    def look(self) -> int:
        """Ask for the time, UTC nanoseconds.

        Raises
        ------
        ProviderError
            If there is no answer.
        """
        told = self._wire.time()
        assert told is not None, "an exchange that a session is fed from has a clock"
        self._told = told
        return told

    def told(self) -> int:
        """Return the time that was told last, UTC nanoseconds; 0 before the first look."""
        return self._told


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Bars of several instruments that are over, oldest first. Intervals in which nothing traded are no rows.

    Attributes
    ----------
    stamps
        Shape (T,), UTC nanoseconds of opens.
    fields
        Open, high, low, close and volume, shape (T, N); NaN: not traded.
    until
        UTC nanoseconds: all bars that open before it are in hand.
    """

    stamps: IntArray
    fields: dict[str, FloatArray]
    until: int

    def before(self, stop: int) -> "Rows":
        """Return the rows that open before a moment, UTC nanoseconds."""
        count = int(np.searchsorted(self.stamps, stop))
        fields = {name: values[:count] for name, values in self.fields.items()}
        return Rows(stamps=self.stamps[:count], fields=fields, until=min(self.until, stop))


@dataclass(kw_only=True, eq=False)
class _Told:
    """What was told of one instrument.

    Attributes
    ----------
    until
        UTC nanoseconds: trades went on after the bars that open before it.
    """

    bars: BarSeries
    until: int


class Exchange:
    """Bars of several instruments, as far as they are certain.

    Parameters
    ----------
    symbols
        As the exchange writes them, one a column; None where nothing is asked any more.
    """

    def __init__(self, provider: Provider, symbols: Sequence[str | None], timeframe: Timeframe) -> None:
        self._provider = provider
        self._symbols = symbols
        self._timeframe = timeframe

    def rows(self, opens: IntArray, now: int) -> Rows:
        """Return what is certain of some intervals; `until` is the first open where nothing is.

        Where one instrument traded after an interval, the exchange goes on: one that is asked after that and
        shows no trade did not trade.

        Parameters
        ----------
        opens
            Shape (T,), UTC nanoseconds, strictly increasing, one at least; all of these intervals are over.
        now
            UTC nanoseconds, by the clock of the exchange.

        Raises
        ------
        ProviderError
            If there is no answer.
        """
        told = [self._told(symbol, opens, now) for symbol in self._symbols]
        alive_until = max((each.until for each in told if each is not None), default=int(opens[0]))
        for symbol, each in zip(self._symbols, told, strict=True):
            if each is None or each.until >= alive_until:
                continue
            again = opens[(opens >= each.until) & (opens < alive_until)]
            rest = self._told(symbol, again, now)
            assert rest is not None, "it was told of before"
            each.bars = _joined(between(each.bars, 0, int(again[0])), rest.bars)
        return self._laid_out([None if each is None else each.bars for each in told], alive_until)

    def nothing(self, until: int) -> Rows:
        """Return that no interval before a moment (UTC nanoseconds) is one of trading."""
        return self._laid_out([None] * len(self._symbols), until)

    def _told(self, symbol: str | None, opens: IntArray, now: int) -> _Told | None:
        if symbol is None:
            return None
        step = self._timeframe.nanoseconds
        bars = self._settled(symbol, opens, now)
        wanted = np.setdiff1d(opens, bars.stamps, assume_unique=True)
        until = int(opens[-1]) + step
        for proof in proofs(self._provider, symbol, self._timeframe, wanted):
            if not proof.is_certain:
                until = _certain_until(wanted, proof.bars, bars)
            bars = _joined(bars, proof.bars)
        return _Told(bars=bars, until=until)

    def _settled(self, symbol: str, opens: IntArray, now: int) -> BarSeries:
        """Return those of the bars that were reported when they were old enough to be reported rightly.

        Their age counts to where the reported bars end, which may stand still while the clock goes on.
        """
        if opens[0] >= unsettled_from(now, self._timeframe):
            return BarSeries.empty()
        bars, seen_until = BarSeries.empty(), now
        for page in self._provider.fetch_bars(symbol, self._timeframe, int(opens[0]), now):
            bars, seen_until = _joined(bars, page.series), min(now, page.cursor)
        settled = opens[opens < unsettled_from(seen_until, self._timeframe)]
        kept = np.isin(bars.stamps, settled)
        return BarSeries(stamps=bars.stamps[kept], **{name: getattr(bars, name)[kept] for name in BAR_VALUES})

    def _laid_out(self, columns: Sequence[BarSeries | None], until: int) -> Rows:
        series = [BarSeries.empty() if bars is None else between(bars, 0, until) for bars in columns]
        stamps = np.unique(np.concatenate([bars.stamps for bars in series]))
        fields = {name: np.full((len(stamps), len(series)), np.nan) for name in BAR_VALUES}
        for column, bars in enumerate(series):
            at = np.searchsorted(stamps, bars.stamps)
            for name, values in fields.items():
                values[at, column] = getattr(bars, name)
        return Rows(stamps=stamps, fields=fields, until=until)


def _certain_until(wanted: IntArray, last: BarSeries, before: BarSeries) -> int:
    """Return up to which open trades went on, where the last ones made `last` and no more came."""
    if len(last):
        return int(last.stamps[-1])
    known = wanted[wanted > before.stamps[-1]] if len(before) else wanted
    # Where the last bar that is known is younger than all that was wanted, trades went on after them.
    return int(known[0]) if len(known) else int(before.stamps[-1])


def _joined(first: BarSeries, second: BarSeries) -> BarSeries:
    """Return bars of one instrument together; of two of one open the second."""
    kept = ~np.isin(first.stamps, second.stamps)
    stamps = np.concatenate([first.stamps[kept], second.stamps])
    order = np.argsort(stamps, kind="stable")
    values = {
        name: np.concatenate([getattr(first, name)[kept], getattr(second, name)])[order]
        for name in BAR_VALUES
    }
    return BarSeries(stamps=stamps[order], **values)
