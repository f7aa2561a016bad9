"""A provider by its name: permitted first, then made with its keys and a bucket at its rate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.data.providers.alpaca import ALPACA
from engine.data.providers.binance import BINANCE
from engine.data.providers.coinapi import COINAPI
from engine.data.providers.entitlements import Keyring, entitled_providers, keys_of
from engine.data.providers.exchange import Exchange
from engine.data.providers.fred import FRED
from engine.data.providers.kraken import Kraken
from engine.data.providers.matrix import CCXT_PREFIX, Purpose, capability, permit
from engine.data.providers.patience import Bucket
from engine.data.providers.polygon import POLYGON
from engine.data.providers.port import Provider, Surroundings
from engine.data.providers.vendor import VendorProvider
from engine.data.providers.yahoo import YAHOO
from engine.domain.time import NANOSECONDS_PER_DAY

_VENDORS: Final = {vendor.name: vendor for vendor in (ALPACA, BINANCE, COINAPI, FRED, POLYGON, YAHOO)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Access:
    """What it takes to reach providers.

    Attributes
    ----------
    environment, keyring
        Where keys are looked for, in this order.
    base_urls
        By name of a provider: who is asked instead of it, a loopback such as `engine sandbox`.
    """

    surroundings: Surroundings
    environment: Mapping[str, str] = field(repr=False)
    keyring: Keyring
    base_urls: Mapping[str, str] = field(default_factory=dict)

    def entitled(self) -> frozenset[str]:
        """Return the providers for which there are keys."""
        return entitled_providers(self.environment, self.keyring)


def history_days(start: int, now: int) -> int:
    """Return how many days back a request goes that begins at `start` (both UTC nanoseconds), rounded up."""
    return max(0, -(-(now - start) // NANOSECONDS_PER_DAY))


def bucket_of(name: str, surroundings: Surroundings) -> Bucket:
    """Return a bucket at a provider's rate, to be shared by all objects that ask it.

    Raises
    ------
    ProviderError
        UNKNOWN_PROVIDER.
    """
    return Bucket(
        capability(name).requests_per_second, monotonic=surroundings.monotonic, sleep=surroundings.sleep
    )


def permit_all(name: str, symbols: Collection[str], *, start: int, purpose: Purpose, access: Access) -> None:
    """Check that a provider may be asked for each symbol, before anything is asked.

    Raises
    ------
    ProviderError
        Of the first symbol for which it may not.
    """
    days = history_days(start, access.surroundings.now())
    entitled = access.entitled()
    for symbol in symbols:
        permit(name, symbol, history_days=days, purpose=purpose, entitled=entitled)


def open_permitted(
    name: str,
    symbols: Collection[str],
    *,
    start: int,
    purpose: Purpose,
    access: Access,
    bucket: Bucket | None = None,
) -> Provider:
    """Return a provider that may be asked for all of these symbols from `start` on (UTC nanoseconds).

    Raises
    ------
    ProviderError
        Saying why it may not, or what is missing; nothing was asked.
    """
    permit_all(name, symbols, start=start, purpose=purpose, access=access)
    return open_provider(name, access, bucket or bucket_of(name, access.surroundings))


def open_provider(name: str, access: Access, bucket: Bucket) -> Provider:
    """Return a provider by its name in the matrix, or `ccxt:<exchange>`; one object for each thread.

    It does not look at what it is for: who has not asked `permit_all` takes `open_permitted`. Files are not
    opened by name: see `Files`.

    Raises
    ------
    ProviderError
        UNKNOWN_PROVIDER, or ENTITLEMENT_FAILURE if a key is missing.
    """
    capability(name)
    world = access.surroundings
    url = access.base_urls.get(name)
    if name.startswith(CCXT_PREFIX):
        exchange = name.removeprefix(CCXT_PREFIX)
        return Exchange(exchange, surroundings=world, bucket=bucket, base_url=url)
    if name == "kraken":
        return Kraken(surroundings=world, bucket=bucket, base_url=url)
    keys = keys_of(name, access.environment, access.keyring)
    return VendorProvider(_VENDORS[name], keys, surroundings=world, bucket=bucket, base_url=url)
