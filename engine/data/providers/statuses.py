"""What an HTTP status says of asking again."""

from typing import Final

from engine.data.providers.errors import PassingError, ProviderCode, ProviderError

NEVER_AGAIN: Final = frozenset({400, 401, 403, 451})
"""Refused for what was asked or for who asked: the same request is refused again, and may lock the key."""

_BUSY = 429
_BANNED = 418
_DIGITS_MAX = 6


def failure_of_status(provider: str, status: int, text: str, retry_after: str) -> ProviderError:
    """Return the error of a reply with a status from 300 on.

    Parameters
    ----------
    text
        What the provider said, on one line and without secrets.
    retry_after
        Header of that name, empty where there was none.
    """
    said = f": {text}" if text else ""
    if status in NEVER_AGAIN:
        return ProviderError(
            ProviderCode.ENTITLEMENT_FAILURE,
            provider,
            f"refused with HTTP {status}{said}; check the symbol, that the key is valid and what it may see",
        )
    if status == _BANNED:
        return ProviderError(
            ProviderCode.RATE_LIMITED,
            provider,
            f"has banned this address (HTTP {status}, for {retry_after or 'an unknown number of'} seconds)",
        )
    code = ProviderCode.RATE_LIMITED if status == _BUSY else ProviderCode.PROVIDER_ERROR
    return PassingError(provider, f"HTTP {status}{said}", code=code, wait_seconds=_seconds(retry_after))


def _seconds(retry_after: str) -> float:
    # The header may hold a date as well: then the waits of our own are long enough.
    text = retry_after.strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else 0.0
