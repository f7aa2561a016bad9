"""One client of ccxt, asked politely: its transport, its symbols, its errors; we read the replies ourselves.

ccxt does not raise on a reply that was cut short, and its unified shapes drop what we need (VENUES 0.7), so
every reply is caught as bytes on its way through.
"""

import difflib
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from engine.data.market_rules import MarketRules, written
from engine.data.providers.errors import PassingError, ProviderCode, ProviderError
from engine.data.providers.patience import Bucket, ask
from engine.data.providers.port import RulesSeen, Surroundings
from engine.data.providers.replies import NANOSECONDS_PER_MILLISECOND, broken, decoded, instant
from engine.data.providers.statuses import failure_of_status
from engine.domain.errors import InvalidValueError

Answer = TypeVar("Answer")

_TIMEOUT_MILLISECONDS: Final = 20_000
# Kraken's own words on its counters: a few seconds until they have run down.
_RATE_LIMIT_WAIT_SECONDS: Final = 5.0
_THROTTLED = re.compile(r"Throttled:\s*(\d{9,11})")
_UNKNOWN_PAIR = re.compile(r"(Unknown|Invalid) asset pair")


class CcxtWire:
    """A synchronous ccxt client of one exchange. Not for several threads at once.

    Parameters
    ----------
    provider
        Name in errors.
    exchange
        As ccxt spells it, `kraken`.
    base_url
        Scheme, host and port to ask instead of the exchange's own, for a loopback.

    Raises
    ------
    ProviderError
        UNKNOWN_PROVIDER if ccxt knows no such exchange.
    """

    def __init__(
        self,
        provider: str,
        exchange: str,
        *,
        surroundings: Surroundings,
        bucket: Bucket,
        base_url: str | None = None,
    ) -> None:
        # A hundred exchanges' modules: only who asks one of them pays for that.
        import ccxt

        if exchange not in ccxt.exchanges:
            near = difflib.get_close_matches(exchange, ccxt.exchanges, n=1)
            hint = f"did you mean {near[0]}?" if near else "names are in the manual of ccxt"
            raise ProviderError(
                ProviderCode.UNKNOWN_PROVIDER, provider, f"ccxt knows no exchange {exchange!r}; {hint}"
            )
        self._provider = provider
        self._surroundings = surroundings
        self._bucket = bucket
        self._status = 0
        self._retry_after = ""
        self._payloads: list[bytes] = []
        self._markets = b""
        self._exchange = exchange
        self._base_url = base_url
        self.client: Any = self._made_client()

    def close(self) -> None:
        """Give the connections back."""
        self.client.session.close()

    def market(self, symbol: str) -> dict[str, Any]:
        """Return what ccxt knows of a symbol; asks the exchange for its list the first time.

        Raises
        ------
        ProviderError
            UNKNOWN_SYMBOL, with the nearest one that there is.
        """
        if not self.client.markets:
            self.ask(self._load_markets, self._read_markets, cost=2.0)
            self._markets = b"\n".join(self._payloads)
        market = self.client.markets.get(symbol)
        if market is None:
            near = difflib.get_close_matches(symbol.upper(), list(self.client.markets), n=1)
            hint = f"did you mean {near[0]}?" if near else "symbols are written as BTC/USD"
            raise ProviderError(ProviderCode.UNKNOWN_SYMBOL, self._provider, f"trades no {symbol!r}; {hint}")
        return dict(market)

    def time(self) -> int | None:
        """Return what time it is at the exchange, UTC nanoseconds; None where ccxt cannot ask it.

        Raises
        ------
        ProviderError
            If there is no answer.
        """
        if not self.client.has.get("fetchTime"):
            return None
        _, told = self.ask(
            self.client.fetch_time,
            lambda answer, _: instant(self._provider, answer, "time", NANOSECONDS_PER_MILLISECOND),
        )
        return told

    def rules(self, symbol: str) -> RulesSeen:
        """Return what the exchange takes in orders for a symbol, and the list of markets that says so.

        Raises
        ------
        ProviderError
            UNKNOWN_SYMBOL, or INVALID_DATA if what it says is no rule.
        """
        market = self.market(symbol)
        precision, limits = market.get("precision") or {}, market.get("limits") or {}
        try:
            rules = MarketRules(
                tick_size=self._step(precision.get("price")),
                lot_size=self._step(precision.get("amount")),
                minimum_amount=_least(limits, "amount"),
                minimum_notional=_least(limits, "cost"),
                listed_at=_listed_at(market),
            )
        except (InvalidValueError, TypeError, ValueError, AttributeError) as wrong:
            raise broken(self._provider, f"has rules of {symbol} that are none ({wrong})") from wrong
        return RulesSeen(payload=self._markets, rules=rules)

    def ask(
        self, request: Callable[[], object], read: Callable[[object, bytes], Answer], *, cost: float = 1.0
    ) -> tuple[bytes, Answer]:
        """Return the bytes of a reply and what `read` makes of ccxt's answer and of them.

        Raises
        ------
        ProviderError
            At once where asking again cannot help, else after the attempts that `patience.ask` makes.
        """

        def attempt() -> tuple[bytes, Answer]:
            self._bucket.take(cost)
            self._status, self._payloads, self._retry_after = 0, [], ""
            answer = self._made(request)
            payload = self._payloads[-1] if self._payloads else b""
            return payload, read(answer, payload)

        return ask(attempt, sleep=self._surroundings.sleep, generator=self._surroundings.generator)

    def _step(self, precision: float | None) -> str | None:
        """Return a precision of ccxt as a step; an exchange counts in steps, or in decimals."""
        import ccxt

        if precision is None or self.client.precisionMode == ccxt.SIGNIFICANT_DIGITS:
            return None
        is_step = self.client.precisionMode == ccxt.TICK_SIZE
        return written(float(precision)) if is_step else written(10.0 ** -int(precision))

    def _made_client(self) -> Any:
        import ccxt

        # Our bucket is shared by all clients of the exchange, its limiter would know only itself.
        settings = {"enableRateLimit": False, "timeout": _TIMEOUT_MILLISECONDS}
        client = getattr(ccxt, self._exchange)({**settings, "options": {"maxRetriesOnFailure": 0}})
        if self._base_url is not None:
            client.urls["api"] = _rehosted(client.urls["api"], self._base_url.rstrip("/"))
        client.session.hooks["response"].append(self._catch)
        return client

    def _load_markets(self) -> object:
        # A new client each time: some keep half a list of markets and do not ask for it again.
        self.close()
        self.client = self._made_client()
        return self.client.load_markets()

    def _made(self, request: Callable[[], object]) -> object:
        import ccxt

        try:
            answer = request()
        except ccxt.BaseError as error:
            raise self._failure(error) from error
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            # What ccxt stumbles over in a reply that was cut short.
            raise broken(self._provider, f"made ccxt fail with {type(error).__name__}") from error
        # ccxt takes a reply that was cut short for an empty one, of which a list of markets may be made.
        for payload in self._payloads:
            decoded(self._provider, payload)
        return answer

    def _failure(self, error: Exception) -> ProviderError:
        import ccxt

        text = " ".join(str(error).split())[:300]
        if self._status >= 400:
            failed = failure_of_status(self._provider, self._status, text, self._retry_after)
            if isinstance(failed, PassingError) and failed.wait_seconds:
                self._bucket.pause(failed.wait_seconds)
            return failed
        throttled = _THROTTLED.search(text)
        if throttled:
            seconds = int(throttled[1]) - self._surroundings.now() / 10**9
            return PassingError(
                self._provider, text, code=ProviderCode.RATE_LIMITED, wait_seconds=max(0.0, seconds)
            )
        if isinstance(error, ccxt.DDoSProtection):
            self._bucket.pause(_RATE_LIMIT_WAIT_SECONDS)
            return PassingError(
                self._provider, text, code=ProviderCode.RATE_LIMITED, wait_seconds=_RATE_LIMIT_WAIT_SECONDS
            )
        if isinstance(error, ccxt.AuthenticationError):
            return ProviderError(ProviderCode.ENTITLEMENT_FAILURE, self._provider, f"refused: {text}")
        if isinstance(error, ccxt.BadSymbol) or _UNKNOWN_PAIR.search(text):
            return ProviderError(ProviderCode.UNKNOWN_SYMBOL, self._provider, text)
        if isinstance(error, ccxt.NotSupported):
            return ProviderError(ProviderCode.NOT_OFFERED, self._provider, text)
        if isinstance(error, (ccxt.BadRequest, ccxt.ArgumentsRequired)):
            return ProviderError(ProviderCode.PROVIDER_ERROR, self._provider, f"refused: {text}")
        return PassingError(self._provider, text)

    def _read_markets(self, answer: object, payload: bytes) -> None:  # noqa: ARG002 - the form of `read`
        if not self.client.markets:
            raise broken(self._provider, "lists no markets at all")

    def _catch(self, response: Any, *_: object, **__: object) -> None:
        self._status = int(response.status_code)
        self._payloads.append(bytes(response.content))
        self._retry_after = str(response.headers.get("Retry-After", ""))


def _least(limits: dict[str, Any], name: str) -> str | None:
    least = (limits.get(name) or {}).get("min")
    # Zero is no limit.
    return written(float(least)) if least else None


def _listed_at(market: dict[str, Any]) -> int | None:
    created = market.get("created")
    return int(created) * NANOSECONDS_PER_MILLISECOND if created else None


def _rehosted(urls: Any, base_url: str) -> Any:
    if isinstance(urls, dict):
        return {name: _rehosted(value, base_url) for name, value in urls.items()}
    if isinstance(urls, str) and urls.startswith("http"):
        return re.sub(r"^https?://[^/]+", base_url, urls)
    return urls
