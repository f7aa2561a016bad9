"""A vendor that is asked over HTTP: one adapter of the port for all of them, each told by a description."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.data.providers.entitlements import Secret
from engine.data.providers.errors import no_trades
from engine.data.providers.matrix import Capability, capability
from engine.data.providers.patience import Bucket
from engine.data.providers.port import Page, RulesSeen, Surroundings
from engine.data.providers.web import Web
from engine.data.series import BarSeries, TradeSeries
from engine.domain.time import Timeframe


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """The line to a vendor.

    Attributes
    ----------
    now
        UTC nanoseconds.
    """

    web: Web
    now: Callable[[], int]


BarPages = Callable[[Line, str, Timeframe, int, int], Iterator[Page[BarSeries]]]
"""Yields closed bars of a symbol that open from a start up to, not including, a stop (UTC nanoseconds)."""

TradePages = Callable[[Line, str, int, int], Iterator[Page[TradeSeries]]]
"""Yields trades of a symbol from a start up to, not including, a stop (UTC nanoseconds)."""


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """What tells one vendor from another.

    Attributes
    ----------
    name
        As in the capability matrix.
    url
        Where it is asked.
    trades
        None where it gives none that can be taken.
    secret_headers
        By the name of a header: what it says, with `{}` for the next one of the vendor's keys.
    secret_query
        Parameters that carry the next ones of its keys.
    """

    name: str
    url: str
    bars: BarPages
    trades: TradePages | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    secret_query: tuple[str, ...] = ()


class VendorProvider:
    """History of a vendor.

    Parameters
    ----------
    keys
        In the order of `entitlements.VARIABLES`.
    base_url
        Who is asked in the vendor's place; None: itself.
    """

    def __init__(
        self,
        vendor: Vendor,
        keys: Sequence[Secret] = (),
        *,
        surroundings: Surroundings,
        bucket: Bucket,
        base_url: str | None = None,
    ) -> None:
        self._vendor = vendor
        left = iter(keys)
        web = Web(
            vendor.name,
            base_url or vendor.url,
            surroundings=surroundings,
            bucket=bucket,
            headers=vendor.headers,
            secret_headers={
                name: Secret(words.format(next(left).value)) for name, words in vendor.secret_headers.items()
            },
            secret_query={name: next(left) for name in vendor.secret_query},
        )
        self._line = Line(web=web, now=surroundings.now)

    @property
    def name(self) -> str:
        """Name as in the capability matrix."""
        return self._vendor.name

    @property
    def capabilities(self) -> Capability:
        """Its row of the matrix."""
        return capability(self._vendor.name)

    def close(self) -> None:
        """Give the connections back."""
        self._line.web.close()

    def fetch_bars(
        self, symbol: str, timeframe: Timeframe, start: int, stop: int
    ) -> Iterator[Page[BarSeries]]:
        """Yield closed bars that open from `start` up to, not including, `stop` (UTC nanoseconds).

        Raises
        ------
        ProviderError
            NOT_OFFERED or HISTORY_TOO_LONG where the vendor has no such bars.
        """
        return self._vendor.bars(self._line, symbol, timeframe, start, stop)

    def fetch_time(self) -> int | None:
        """Return None: whether a bar is over is said by our clock alone."""
        return None

    def fetch_rules(self, symbol: str) -> RulesSeen | None:  # noqa: ARG002 - the form of the port
        """Return None: it gives prices of venues, not their rules."""
        return None

    def fetch_trades(self, symbol: str, start: int, stop: int) -> Iterator[Page[TradeSeries]]:
        """Yield trades from `start` up to, not including, `stop` (UTC nanoseconds).

        Raises
        ------
        ProviderError
            NOT_OFFERED where it gives none, or none that say who took or are numbered.
        """
        if self._vendor.trades is None:
            raise no_trades(self.name, symbol, start, stop)
        return self._vendor.trades(self._line, symbol, start, stop)
