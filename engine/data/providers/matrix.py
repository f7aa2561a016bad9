"""What each provider may be used for, and which one is asked for a symbol.

The table is the whole of the policy. Purposes are kept apart: who gives history may not be asked for live
quotes because it happens to answer, and macro series come from where nothing can be bought.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from engine.data.providers.entitlements import VARIABLES
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.domain.errors import InvalidValueError

NO_VALID_PROVIDER: Final = "NO_VALID_PROVIDER"
"""What `select_provider` answers where nobody may be asked. A value, not an error."""

LIVE_HISTORY_DAYS_MAX: Final = 730
"""A live path that asks for more history than this is a backtest in disguise, and late with every order."""

CCXT_PREFIX: Final = "ccxt:"
MACRO_PREFIX: Final = "FRED:"


class AssetClass(StrEnum):
    """What a symbol is."""

    STOCKS = "stocks"
    FX = "fx"
    COMMODITIES = "commodities"
    CRYPTO = "crypto"
    MACRO = "macro"


class Purpose(StrEnum):
    """What prices are asked for."""

    HISTORY = "history"
    LIVE_QUOTES = "live_quotes"
    EXECUTION = "execution"
    MACRO = "macro"

    @property
    def is_live(self) -> bool:
        """Whether orders may follow from the answer."""
        return self in (Purpose.LIVE_QUOTES, Purpose.EXECUTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One row of the matrix.

    Attributes
    ----------
    history_days_max
        How far back it may be asked.
    needs_entitlement
        Whether nothing comes without a key.
    requests_per_second
        How often it may be asked, by its own rules.
    tells_rules
        Whether it tells what the venue takes in orders, not prices alone.
    """

    name: str
    asset_classes: frozenset[AssetClass]
    history_days_max: int
    needs_entitlement: bool
    purposes: frozenset[Purpose]
    requests_per_second: float
    tells_rules: bool = False


_TRADED = frozenset({AssetClass.STOCKS, AssetClass.FX, AssetClass.COMMODITIES, AssetClass.CRYPTO})
_CRYPTO = frozenset({AssetClass.CRYPTO})

_ROWS = (
    Capability(
        name="yahoo",
        asset_classes=_TRADED,
        history_days_max=5000,
        needs_entitlement=False,
        purposes=frozenset({Purpose.HISTORY}),
        requests_per_second=5,
    ),
    Capability(
        name="polygon",
        asset_classes=frozenset({AssetClass.STOCKS, AssetClass.FX, AssetClass.CRYPTO}),
        history_days_max=5000,
        needs_entitlement=True,
        purposes=frozenset({Purpose.HISTORY, Purpose.LIVE_QUOTES}),
        requests_per_second=20,
    ),
    Capability(
        name="alpaca",
        asset_classes=frozenset({AssetClass.STOCKS, AssetClass.CRYPTO}),
        history_days_max=730,
        needs_entitlement=True,
        purposes=frozenset({Purpose.LIVE_QUOTES, Purpose.EXECUTION}),
        requests_per_second=10,
    ),
    Capability(
        name="binance",
        asset_classes=_CRYPTO,
        history_days_max=1000,
        needs_entitlement=False,
        purposes=frozenset({Purpose.HISTORY, Purpose.LIVE_QUOTES}),
        requests_per_second=10,
    ),
    Capability(
        name="fred",
        asset_classes=frozenset({AssetClass.MACRO}),
        history_days_max=36500,
        needs_entitlement=True,
        purposes=frozenset({Purpose.MACRO}),
        requests_per_second=2,
    ),
    Capability(
        name="kraken",
        asset_classes=_CRYPTO,
        history_days_max=5000,
        needs_entitlement=False,
        purposes=frozenset({Purpose.HISTORY, Purpose.LIVE_QUOTES}),
        # ccxt counts 1.2 for a page of trades or bars against one a second.
        requests_per_second=1 / 1.2,
        tells_rules=True,
    ),
    Capability(
        name="coinapi",
        asset_classes=_CRYPTO,
        history_days_max=5000,
        needs_entitlement=True,
        purposes=frozenset({Purpose.HISTORY}),
        requests_per_second=5,
    ),
)

MATRIX: Final[Mapping[str, Capability]] = MappingProxyType({row.name: row for row in _ROWS})
"""Every provider that may be chosen by itself, in the order in which they are looked at."""

# Quotes come first from where the order will go: two feeds never agree to the tick.
_FIRST_FOR: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {Purpose.LIVE_QUOTES: ("alpaca",), Purpose.EXECUTION: ("alpaca",)}
)

_FIAT = frozenset(
    ("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "TRY")
) | frozenset(("ZAR", "MXN", "BRL", "INR", "CNY", "CNH", "HKD", "SGD", "KRW", "AED"))


def classify(symbol: str) -> AssetClass:
    """Say what a symbol is, by how it is written.

    `EURUSD=X` and `EUR/USD` are currencies, `GC=F` is a commodity, `BTC-USD`, `BTC-USDT` and `BTC/USD` are
    crypto, `FRED:DGS10` is macro, all else is a stock.
    """
    name = symbol.upper()
    if name.startswith(MACRO_PREFIX):
        return AssetClass.MACRO
    if name.endswith("=X"):
        return AssetClass.FX
    if name.endswith("=F"):
        return AssetClass.COMMODITIES
    if name.endswith(("-USD", "-USDT")):
        return AssetClass.CRYPTO
    if "/" in name:
        return AssetClass.FX if _FIAT.issuperset(name.split("/")) else AssetClass.CRYPTO
    return AssetClass.STOCKS


def capability(name: str) -> Capability:
    """Return a provider's row; `ccxt:<exchange>` is any exchange that ccxt knows, for history of crypto.

    Raises
    ------
    ProviderError
        UNKNOWN_PROVIDER, with the nearest name that there is.
    """
    if name in MATRIX:
        return MATRIX[name]
    if name.startswith(CCXT_PREFIX) and len(name) > len(CCXT_PREFIX):
        return Capability(
            name=name,
            asset_classes=_CRYPTO,
            history_days_max=5000,
            needs_entitlement=False,
            purposes=frozenset({Purpose.HISTORY}),
            requests_per_second=1,
            tells_rules=True,
        )
    near = difflib.get_close_matches(name.lower(), MATRIX, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(MATRIX)} and ccxt:<exchange>"
    raise ProviderError(ProviderCode.UNKNOWN_PROVIDER, name, f"there is no such provider; {hint}")


def refusal(
    name: str, symbol: str, *, history_days: int, purpose: Purpose, entitled: Collection[str]
) -> ProviderError | None:
    """Return why a provider may not be asked, or None if it may.

    Parameters
    ----------
    history_days
        How many days back the request goes, counted from now.
    entitled
        Names of the providers for which there is a key.

    Raises
    ------
    InvalidValueError
        If `history_days` is negative.
    """
    if history_days < 0:
        raise InvalidValueError(f"history_days must not be negative, was {history_days}")
    row = capability(name)
    asset_class = classify(symbol)
    if purpose not in row.purposes:
        allowed = ", ".join(sorted(row.purposes))
        return ProviderError(
            ProviderCode.FORBIDDEN_PURPOSE,
            name,
            f"is for {allowed}, not for {purpose}; {_others(asset_class, purpose)}",
        )
    if asset_class not in row.asset_classes:
        allowed = ", ".join(sorted(row.asset_classes))
        return ProviderError(
            ProviderCode.FORBIDDEN_ASSET_CLASS,
            name,
            f"{symbol} is {asset_class}, it gives {allowed}; {_others(asset_class, purpose)}",
        )
    if purpose.is_live and history_days > LIVE_HISTORY_DAYS_MAX:
        return ProviderError(
            ProviderCode.HISTORY_TOO_LONG,
            name,
            f"history_days is {history_days}, a live path may ask for at most {LIVE_HISTORY_DAYS_MAX}; "
            "fill the lake first with: engine data pull",
        )
    if history_days > row.history_days_max:
        return ProviderError(
            ProviderCode.HISTORY_TOO_LONG,
            name,
            f"history_days is {history_days}, it goes back {row.history_days_max}; ask for less",
        )
    if row.needs_entitlement and name not in entitled:
        return ProviderError(
            ProviderCode.ENTITLEMENT_FAILURE,
            name,
            f"there is no key for it; set {' and '.join(VARIABLES[name])} in the environment or the keyring",
        )
    return None


def permit(
    name: str, symbol: str, *, history_days: int, purpose: Purpose, entitled: Collection[str]
) -> Capability:
    """Return a provider's row if it may be asked.

    Raises
    ------
    ProviderError
        Saying why it may not.
    """
    refused = refusal(name, symbol, history_days=history_days, purpose=purpose, entitled=entitled)
    if refused is not None:
        raise refused
    return capability(name)


def select_provider(
    symbol: str, history_days: int, purpose: Purpose, entitled: Collection[str] = frozenset()
) -> str:
    """Return the first provider that may be asked, or `NO_VALID_PROVIDER`.

    Examples
    --------
    >>> select_provider("BTC-USD", 365, Purpose.HISTORY)
    'yahoo'
    >>> select_provider("AAPL", 6000, Purpose.HISTORY)
    'NO_VALID_PROVIDER'
    """
    first = _FIRST_FOR.get(purpose, ())
    for name in (*first, *(other for other in MATRIX if other not in first)):
        if refusal(name, symbol, history_days=history_days, purpose=purpose, entitled=entitled) is None:
            return name
    return NO_VALID_PROVIDER


def _others(asset_class: AssetClass, purpose: Purpose) -> str:
    names = [row.name for row in _ROWS if purpose in row.purposes and asset_class in row.asset_classes]
    return f"ask {' or '.join(names)}" if names else f"nobody gives {asset_class} for {purpose}"
