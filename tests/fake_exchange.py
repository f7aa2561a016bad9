"""A provider made of arrays that fails as real ones do, and a lake whose writer dies at a chosen write."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.data.lake.lake import Lake
from engine.data.market_rules import MarketRules
from engine.data.providers.bars import bars_from_trades, between
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.matrix import Capability, capability
from engine.data.providers.port import ActionSeen, Page, RulesSeen
from engine.data.series import BAR_VALUES, BarSeries, TradeSeries
from engine.domain.time import Timeframe

STEP = Timeframe.MINUTE_1.nanoseconds
SETTLES = 3


class KilledError(BaseException):
    """What stands for kill -9: nothing catches it and nothing writes after it."""


@dataclass
class MortalLake:
    """A lake that lets so many writes through and none after them."""

    lake: Lake
    writes_left: int

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.lake, name)
        if name not in ("append", "archive", "record_action"):
            return real

        def counted(*arguments: Any, **named: Any) -> Any:
            if self.writes_left <= 0:
                raise KilledError
            self.writes_left -= 1
            return real(*arguments, **named)

        return counted


def market(draw: np.random.Generator, minutes: int, start: int, quiet: float) -> TradeSeries:
    """Return trades in some minutes from `start` on; in a share of them there are none."""
    stamps: list[int] = []
    for minute in range(minutes):
        if draw.random() >= quiet:
            inside = np.sort(draw.integers(0, STEP, size=int(draw.integers(1, 5))))
            stamps += (start + minute * STEP + inside).tolist()
    count = len(stamps)
    return TradeSeries(
        stamps=np.array(stamps, dtype=np.int64),
        ids=np.arange(1, count + 1),
        price=np.round(100 + np.cumsum(draw.normal(size=count)), 1),
        amount=draw.integers(1, 10**9, size=count) / 10**8,
        buyer_is_taker=draw.random(count) < 0.5,
    )


@dataclass
class FakeExchange:
    """Serves bars and trades as of `now`: young bars are wrong, bars are left out, requests fail.

    Faults are drawn for each request; a share of 0 is no fault.
    """

    trades: TradeSeries
    now: int
    draw: np.random.Generator
    wrong: float = 0.0
    left_out: float = 0.0
    leaks: float = 0.0
    fails: float = 0.0
    has_trades: bool = True
    bars_a_page: int = 50
    trades_a_page: int = 40
    actions: tuple[ActionSeen, ...] = ()
    rules: MarketRules | None = None
    trades_stand_still_at: int = 2**62
    bars_stand_still_at: int = 2**62
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    name: str = "kraken"

    @property
    def capabilities(self) -> Capability:
        return capability(self.name)

    def close(self) -> None:
        return

    def truth(self, until: int) -> BarSeries:
        """Return what bars that open before a moment are."""
        return between(bars_from_trades(self.trades, Timeframe.MINUTE_1), 0, until)

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        del symbol, timeframe
        self.asked.append(("bars", start, stop))
        while start < stop:
            self._fail()
            end = min(stop, start + self.bars_a_page * STEP)
            shown = min(self.now, self.bars_stand_still_at)
            bars = self._served(between(self.truth(shown - STEP + 1), start, end), shown)
            told = end if shown == self.now else max(start, min(end, shown - shown % STEP))
            yield Page(payload=b"bars", series=bars, cursor=told, actions=self.actions)
            start = end

    def fetch_time(self) -> int | None:
        return None

    def fetch_rules(self, symbol: str) -> RulesSeen | None:
        del symbol
        rules = self.rules
        return None if rules is None else RulesSeen(payload=str(rules).encode(), rules=rules)

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        del symbol
        if not self.has_trades:
            raise ProviderError(ProviderCode.NOT_OFFERED, self.name, "gives no trades")
        self.asked.append(("trades", start, stop))
        stamps = self.trades.stamps
        shown = min(self.now, self.trades_stand_still_at)
        at, last = (int(row) for row in np.searchsorted(stamps, (start, min(stop, shown))))
        there_are_more = len(stamps) > last and int(stamps[last]) < shown
        while True:
            self._fail()
            page = self.trades.rows(at, min(at + self.trades_a_page, last))
            at += len(page)
            if at < last:
                yield Page(payload=b"trades", series=page, cursor=int(page.stamps[-1]))
                continue
            # The end is known to be reached only if there is a trade behind it.
            dry = int(page.stamps[-1]) if len(page) else start
            yield Page(payload=b"trades", series=page, cursor=stop if there_are_more else dry)
            return

    def _fail(self) -> None:
        if self.draw.random() < self.fails:
            raise ProviderError(ProviderCode.PROVIDER_ERROR, self.name, "gave no answer")

    def _served(self, bars: BarSeries, shown: int) -> BarSeries:
        young = shown - bars.stamps - STEP < SETTLES * STEP
        wrong = young & (self.draw.random(len(bars)) < self.wrong)
        values = {name: getattr(bars, name).copy() for name in BAR_VALUES}
        values["close"][wrong] = values["low"][wrong]
        values["volume"][wrong] *= 0.9
        stays = self.draw.random(len(bars)) >= self.left_out
        stamps = bars.stamps[stays]
        kept = {name: array[stays] for name, array in values.items()}
        if self.draw.random() < self.leaks:
            # One that has not begun, as no adapter should let through.
            stamps = np.append(stamps, self.now - self.now % STEP + 5 * STEP)
            kept = {name: np.append(array, 100.0) for name, array in kept.items()}
        return BarSeries(stamps=stamps, **kept)
