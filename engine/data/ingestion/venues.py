"""Which provider a venue of the lake is asked at. What came from a sandbox stays apart from what is real."""

from engine.data.providers.errors import ProviderError
from engine.data.providers.matrix import capability
from engine.data.series import SANDBOX


def venue_of(provider: str, *, is_sandbox: bool) -> str:
    """Return the venue under which the lake keeps what a provider, or a sandbox in its place, gives."""
    return f"{provider}{SANDBOX}" if is_sandbox else provider


def provider_of(venue: str, *, is_sandbox: bool) -> str | None:
    """Return who is asked for series of a venue; None for files, and for those of the other world."""
    if venue.endswith(SANDBOX) != is_sandbox:
        return None
    name = venue.removesuffix(SANDBOX)
    try:
        return capability(name).name
    except ProviderError:
        return None
