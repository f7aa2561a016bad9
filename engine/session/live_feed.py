"""The feed of a session whose bars are still to come: it hands out each bar when it is final, and waits.

While an exchange does not answer, stands still or is shut, nothing is made up in its place: no bar, no
decision. What was missed meanwhile comes afterwards, bar by bar.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Final, Protocol

import numpy as np

from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.finality import GRACE, final_until
from engine.domain.panel import Panel
from engine.domain.time import NANOSECONDS_PER_SECOND, Calendar, Timeframe
from engine.pipeline.push import Bar
from engine.session.exchange import Exchange, ExchangeClock, Rows
from engine.session.feed import Replay
from engine.session.present import day_ends_by_calendar, next_open, opens_from

STALE_AFTER: Final = 60 * NANOSECONDS_PER_SECOND
"""Nanoseconds after which a bar that is final and cannot be had is worth a word."""

_MAY_PASS: Final = frozenset(
    {ProviderCode.PROVIDER_ERROR, ProviderCode.RATE_LIMITED, ProviderCode.INVALID_DATA}
)


class Hindrance(StrEnum):
    """Why there is no bar yet. A code, once published, means the same for ever."""

    DATA_STALE = "DATA_STALE"
    NO_ANSWER = "NO_ANSWER"
    CLOCK_BEHIND = "CLOCK_BEHIND"


class StoppedError(Exception):
    """Somebody wants the session to end."""


class Watcher(Protocol):
    """Is told while nothing happens."""

    def hindered(self, hindrance: Hindrance, words: str) -> None:
        """Hear why there is no bar; once for each reason in a row."""

    def unhindered(self) -> None:
        """Hear that bars come again."""


class Incoming:
    """Rows of an exchange one after the other, each as soon as it is certain.

    Parameters
    ----------
    wait
        Waits for so many seconds, or raises `StoppedError`.
    look_seconds_max
        The exchange is asked for its time this often at least.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: ExchangeClock,
        *,
        timeframe: Timeframe,
        calendar: Calendar,
        watcher: Watcher,
        wait: Callable[[float], None],
        look_seconds_max: float,
    ) -> None:
        self.timeframe = timeframe
        self.calendar = calendar
        self._exchange = exchange
        self._clock = clock
        self._watcher = watcher
        self._wait = wait
        self._look_seconds_max = look_seconds_max
        self._hindrance: Hindrance | None = None

    def after(self, start: int, stop: int | None = None) -> Rows:
        """Wait until something is certain of the intervals from `start` on, and return that.

        Parameters
        ----------
        start, stop
            UTC nanoseconds of opens, from `start` up to, not including, `stop`; None: as they come.

        Raises
        ------
        ProviderError
            If the exchange refuses in a way that does not pass.
        StoppedError
            If somebody wants an end.
        """
        following = next_open(start, self.timeframe, self.calendar)
        if stop is not None and following >= stop:
            # A weekend: nobody would ever be told of a trade in it.
            return self._exchange.nothing(stop)
        due = following + self.timeframe.nanoseconds + GRACE
        while True:
            try:
                now = self._clock.look()
                until = final_until(now, self.timeframe)
                opens = opens_from(
                    start, until if stop is None else min(stop, until), self.timeframe, self.calendar
                )
                rows = self._exchange.rows(opens, now) if len(opens) else None
            except ProviderError as failed:
                if failed.code not in _MAY_PASS:
                    raise
                # A gateway that fails answers with a page of its own: what stands before it says enough.
                self._hindered(Hindrance.NO_ANSWER, str(failed).partition("<")[0].strip())
                self._wait(self._look_seconds_max)
                continue
            if rows is not None and rows.until > start:
                self._unhindered()
                return rows
            if rows is None and now + self.timeframe.nanoseconds < start:
                self._hindered(
                    Hindrance.CLOCK_BEHIND,
                    f"it is {_iso(now)} at the exchange, and the last bar of the session closed at "
                    f"{_iso(start)}",
                )
            elif rows is None:
                self._unhindered()
            elif now > due + STALE_AFTER:
                self._hindered(
                    Hindrance.DATA_STALE,
                    f"it is {_iso(now)} at the exchange, which shows no trade after the bar of "
                    f"{_iso(start)}; nothing is decided until it does",
                )
            left = (due - now) / NANOSECONDS_PER_SECOND
            self._wait(min(self._look_seconds_max, left) if left > 0 else self._look_seconds_max)

    def _hindered(self, hindrance: Hindrance, words: str) -> None:
        if hindrance is not self._hindrance:
            self._hindrance = hindrance
            self._watcher.hindered(hindrance, words)

    def _unhindered(self) -> None:
        if self._hindrance is not None:
            self._hindrance = None
            self._watcher.unhindered()


class LiveFeed:
    """The bars of a session from its history on, and then as they come.

    Parameters
    ----------
    last_opened_at
        Open of the bar that was worked last, UTC nanoseconds; of the last one of the history where that is
        not worked through yet.
    stop_at
        UTC nanoseconds: the feed ends before the first bar that opens then or later; None: it never ends.
    """

    def __init__(
        self,
        history: Panel,
        incoming: Incoming,
        needed: Sequence[str],
        *,
        last_opened_at: int,
        stop_at: int | None,
    ) -> None:
        self._history = Replay(history, needed)
        self._history_rows = len(history)
        self._incoming = incoming
        self._needed = tuple(needed)
        self._last_opened_at = last_opened_at
        self._stop_at = stop_at

    def bars(self, first_row: int) -> Iterator[Bar]:
        """Return bars from a row on, in order, none left out, each when it is final.

        Raises
        ------
        ProviderError
            If the exchange refuses in a way that does not pass.
        """
        yield from self._history.bars(first_row)
        row = max(first_row, self._history_rows)
        start = self._last_opened_at + self._incoming.timeframe.nanoseconds
        while self._stop_at is None or start < self._stop_at:
            try:
                rows = self._incoming.after(start, self._stop_at)
            except StoppedError:
                return
            yield from self._bars(rows, row)
            row += len(rows.stamps)
            start = rows.until

    def _bars(self, rows: Rows, first_row: int) -> Iterator[Bar]:
        ends = day_ends_by_calendar(rows.stamps, self._incoming.timeframe, self._incoming.calendar)
        for place, opened_at in enumerate(rows.stamps.tolist()):
            yield Bar(
                row=first_row + place,
                opened_at=opened_at,
                day_end=bool(ends[place]),
                fields={name: rows.fields[name][place] for name in self._needed},
            )


def _iso(stamp: int) -> str:
    return str(np.datetime_as_string(np.datetime64(stamp, "ns"), unit="s", timezone="UTC"))
