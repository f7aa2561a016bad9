"""What can go wrong between us and a provider: one code a cause, for logs and for the journal."""

from enum import StrEnum

import numpy as np

from engine.domain.errors import InputError


class ProviderCode(StrEnum):
    """Why a provider gave nothing."""

    UNKNOWN_PROVIDER = "UNKNOWN_PROVIDER"
    FORBIDDEN_PURPOSE = "FORBIDDEN_PURPOSE"
    FORBIDDEN_ASSET_CLASS = "FORBIDDEN_ASSET_CLASS"
    HISTORY_TOO_LONG = "HISTORY_TOO_LONG"
    ENTITLEMENT_FAILURE = "ENTITLEMENT_FAILURE"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    NOT_OFFERED = "NOT_OFFERED"
    RATE_LIMITED = "RATE_LIMITED"
    INVALID_DATA = "INVALID_DATA"
    PROVIDER_ERROR = "PROVIDER_ERROR"


class ProviderError(InputError):
    """A provider cannot or may not answer. Asking again in the same way would not help.

    Attributes
    ----------
    code
        The same for one cause for ever.
    provider
        Name as in the capability matrix.
    """

    def __init__(self, code: ProviderCode, provider: str, message: str) -> None:
        self.code = code
        self.provider = provider
        super().__init__(f"{code}: {provider}: {message}")


class PassingError(ProviderError):
    """An attempt failed in a way that may pass: a lost connection, a busy server, a reply cut short.

    Attributes
    ----------
    wait_seconds
        How long the provider asked us to wait before the next attempt; 0 where it did not say.
    """

    def __init__(
        self,
        provider: str,
        message: str,
        *,
        code: ProviderCode = ProviderCode.PROVIDER_ERROR,
        wait_seconds: float = 0.0,
    ) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(code, provider, message)


def no_trades(provider: str, symbol: str, start: int, stop: int) -> ProviderError:
    """Return the error of who gives bars only; times in UTC nanoseconds."""
    since, until = (np.datetime64(stamp, "ns").astype("datetime64[s]") for stamp in (start, stop))
    return ProviderError(
        ProviderCode.NOT_OFFERED,
        provider,
        f"gives bars, no trades of {symbol} from {since} to {until}; take kraken, binance or ccxt:<exchange>",
    )
