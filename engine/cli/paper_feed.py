"""A paper session on a feed whose bars are still to come: who is asked, how it begins, how it goes on."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from engine.cli.data_ingestion import machine_access
from engine.data.ingestion.crew import SANDBOX_REQUESTS_PER_SECOND
from engine.data.providers.ccxt_wire import CcxtWire
from engine.data.providers.matrix import Purpose
from engine.data.providers.opening import Access, open_permitted
from engine.data.providers.patience import Bucket
from engine.domain.errors import InputError
from engine.domain.panel import Instrument, Panel
from engine.session.exchange import Exchange, ExchangeClock
from engine.session.feed import Replay
from engine.session.history import history_until
from engine.session.live_feed import Incoming, LiveFeed, StoppedError, Watcher
from engine.session.present import as_seen, whole
from engine.session.session import Beginning, Session
from engine.session.start import FedData, FeedKind, SessionStart, require_same_data
from engine.session.trader import Trader

if TYPE_CHECKING:
    from engine.domain.passport import Passport
    from engine.features.strategy import Strategy

SANDBOX_URL = "http://127.0.0.1:8787"
"""Where `engine sandbox` listens unless it is told another port."""

# Whom the practice exchange stands in for.
_PROVIDER = "kraken"
# Its clock may run a thousand times as fast as ours.
_LOOK_SECONDS_MAX = 0.2
_NAP_SECONDS = 0.05


class Line:
    """The way to the exchange that a session is fed from.

    Parameters
    ----------
    url
        Where it listens.
    is_stopping
        Whether somebody wants the session to end.
    watcher
        Is told while nothing comes.
    """

    def __init__(self, url: str, *, is_stopping: Callable[[], bool], watcher: Watcher) -> None:
        self._is_stopping = is_stopping
        self._watcher = watcher
        self._access = _waiting_with(machine_access(_PROVIDER, url), self._wait)
        world = self._access.surroundings
        self._bucket = Bucket(SANDBOX_REQUESTS_PER_SECOND, monotonic=world.monotonic, sleep=world.sleep)
        wire = CcxtWire(_PROVIDER, _PROVIDER, surroundings=world, bucket=self._bucket, base_url=url)
        self._clock = ExchangeClock(wire)

    def incoming(self, panel: Panel, since: int) -> Incoming:
        """Return the bars of the instruments of a panel.

        Parameters
        ----------
        since
            UTC nanoseconds: no bar before it is asked for.

        Raises
        ------
        ProviderError
            If the exchange may not be asked, or does not answer.
        InputError
            If none of the instruments is traded any more.
        """
        self._clock.look()
        symbols = [_symbol(instrument) for instrument in panel.instruments]
        asked = [symbol for symbol in symbols if symbol is not None]
        if not asked:
            raise InputError(f"data set {panel.name}: all its instruments are delisted")
        world = replace(self._access.surroundings, now=self._clock.told)
        provider = open_permitted(
            _PROVIDER,
            asked,
            start=since,
            purpose=Purpose.LIVE_QUOTES,
            access=replace(self._access, surroundings=world),
            bucket=self._bucket,
        )
        return Incoming(
            Exchange(provider, symbols, panel.timeframe),
            self._clock,
            timeframe=panel.timeframe,
            calendar=panel.calendar,
            watcher=self._watcher,
            wait=self._wait,
            look_seconds_max=_LOOK_SECONDS_MAX,
        )

    def now(self) -> int:
        """Return the time at the exchange, UTC nanoseconds, as it was told last."""
        return self._clock.told()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_stopping():
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _NAP_SECONDS))
        raise StoppedError


def _waiting_with(access: Access, wait: Callable[[float], None]) -> Access:
    return replace(access, surroundings=replace(access.surroundings, sleep=wait))


def _symbol(instrument: Instrument) -> str | None:
    """Return what the exchange calls an instrument; None where it is not traded any more."""
    if instrument.delisted_at is not None:
        return None
    return instrument.symbol if "/" in instrument.symbol else f"{instrument.symbol}/{instrument.quote}"


def begin(
    line: Line, data: str, passport: "Passport", strategy: "Strategy", *, last: date | None
) -> Beginning:
    """Return what a new session runs: its history goes up to now, its account begins with what follows.

    Parameters
    ----------
    data
        Name of the data set. Its sealed bars are history too, and nothing is decided on them.
    last
        UTC date of the account's last bar; None: until somebody stops it.

    Raises
    ------
    InputError
        If the data set cannot be gone on with, has too few bars, or `last` is over.
    ProviderError
        If the exchange may not be asked, or does not answer.
    StoppedError
        If somebody wants an end.
    """
    panel = whole(data)
    require_same_data(passport, panel)
    seen = as_seen(panel, FeedKind.SANDBOX)
    incoming = line.incoming(seen, int(seen.timestamps[-1]))
    stop_at = None if last is None else _midnight_after(last)
    if stop_at is not None and stop_at <= line.now():
        now = np.datetime64(line.now(), "ns").astype("datetime64[s]")
        raise InputError(f"--to {last} is over: at the exchange it is {now} UTC")
    history = history_until(seen, incoming, line.now(), strategy, passport.plan)
    start = SessionStart(
        passport=passport,
        data=FedData.of(history),
        origin_at=int(history.timestamps[0]),
        start_row=len(history),
        rows=None,
        feed=FeedKind.SANDBOX,
        stop_at=stop_at,
    )
    # Whatever the strategy needs and a feed does not have is said before anything is written.
    Replay(history, Trader(start, strategy).fields)
    return Beginning(start=start, strategy=strategy, fed=history)


def feed_of(line: Line, session: Session) -> LiveFeed:
    """Return the bars of a session from where it stands.

    Raises
    ------
    ProviderError
        If the exchange may not be asked, or does not answer.
    """
    start, trader = session.start, session.trader
    history = as_seen(session.fed, start.feed)
    is_in_history = trader.next_row < start.start_row
    last_opened_at = int(history.timestamps[-1]) if is_in_history else trader.last_opened_at
    return LiveFeed(
        history,
        line.incoming(history, last_opened_at),
        trader.fields,
        last_opened_at=last_opened_at,
        stop_at=start.stop_at,
    )


def _midnight_after(day: date) -> int:
    following = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return round(following.timestamp()) * 10**9
