"""What the sandbox trades: thirty currencies against the dollar, by all names that Kraken has for them."""

from dataclasses import dataclass

import numpy as np

from engine.domain.errors import InvalidValueError
from engine.domain.panel import FloatArray

PRICE_DECIMALS_MAX = 10
LOT_DECIMALS_MAX = 8
# Above this many lots a bar, sums of whole lots come near the end of 64 bits.
_MOST_LOTS = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One market of the sandbox.

    Attributes
    ----------
    symbol
        As WebSocket v2 and ccxt write it, "BTC/USD".
    base_id
        Kraken's id of the currency, "XXBT"; `base_name` is its short name there, "XBT".
    price_decimals, lot_decimals
        A tick is `10**-price_decimals` dollars, a lot `10**-lot_decimals` units.
    start_price
        Dollars on the first simulated day, towards which the simulator pulls.
    trades_a_day
        Of the simulator, on an ordinary day.
    beta, own_volatility
        Of the simulator: moves with the market, and annual volatility of what it does alone.
    half_spread
        Share of the price.
    listed_day
        Of the simulator, counted from 1970-01-01: nobody trades the pair before it, or has heard of it.
    """

    symbol: str
    base_id: str
    base_name: str
    price_decimals: int
    lot_decimals: int = 8
    start_price: float = 100.0
    trades_a_day: float = 500.0
    beta: float = 1.0
    own_volatility: float = 0.5
    half_spread: float = 0.0004
    listed_day: int = 0

    def __post_init__(self) -> None:
        for name, most in (("price_decimals", PRICE_DECIMALS_MAX), ("lot_decimals", LOT_DECIMALS_MAX)):
            if not 0 <= (value := getattr(self, name)) <= most:
                raise InvalidValueError(f"{self.symbol}: {name} must be from 0 to {most}, was {value}")

    @property
    def quote_id(self) -> str:
        """Kraken's id of the dollar."""
        return "ZUSD"

    @property
    def pair_id(self) -> str:
        """Key of the pair in REST replies: both ids where the currency has a long one, else short names."""
        long = self.base_id != self.base_name
        return f"{self.base_id}ZUSD" if long else f"{self.base_name}USD"

    @property
    def altname(self) -> str:
        """Short name of the pair, "XBTUSD"."""
        return f"{self.base_name}USD"

    @property
    def wsname(self) -> str:
        """Name of the pair in WebSocket v1, "XBT/USD"."""
        return f"{self.base_name}/USD"

    @property
    def tick(self) -> float:
        """Smallest step of the price, in dollars."""
        return float(10.0**-self.price_decimals)

    @property
    def lot(self) -> float:
        """Smallest step of the amount, in units."""
        return float(10.0**-self.lot_decimals)


# Currency, Kraken's long id (or none), price decimals, start price, trades a day, beta, own volatility.
_UNIVERSE: tuple[tuple[str, str, int, float, float, float, float], ...] = (
    ("BTC", "XXBT", 1, 60_000.0, 4_000, 0.85, 0.15),
    ("ETH", "XETH", 2, 3_000.0, 3_500, 1.05, 0.25),
    ("BNB", "", 2, 500.0, 900, 0.90, 0.35),
    ("XRP", "XXRP", 5, 0.9, 2_600, 1.00, 0.55),
    ("SOL", "", 2, 140.0, 3_000, 1.25, 0.45),
    ("TRX", "", 6, 0.2, 700, 0.60, 0.35),
    ("ADA", "", 6, 0.6, 1_500, 1.15, 0.45),
    ("BCH", "", 2, 420.0, 700, 1.05, 0.50),
    ("XMR", "XXMR", 2, 180.0, 800, 0.70, 0.45),
    ("LINK", "", 5, 15.0, 1_200, 1.15, 0.50),
    ("XLM", "XXLM", 6, 0.2, 900, 1.05, 0.55),
    ("HBAR", "", 5, 0.12, 800, 1.20, 0.65),
    ("LTC", "XLTC", 2, 90.0, 1_100, 1.00, 0.35),
    ("AVAX", "", 2, 30.0, 900, 1.25, 0.50),
    ("ZEC", "XZEC", 2, 45.0, 600, 0.95, 0.75),
    ("SUI", "", 4, 2.0, 1_100, 1.30, 0.70),
    ("SHIB", "", 8, 0.00002, 800, 1.20, 0.60),
    ("TON", "", 3, 5.0, 500, 0.95, 0.55),
    ("DOT", "", 4, 6.0, 1_000, 1.15, 0.45),
    ("UNI", "", 3, 8.0, 600, 1.15, 0.60),
    ("AAVE", "", 2, 160.0, 600, 1.20, 0.55),
    ("TAO", "", 2, 400.0, 700, 1.30, 0.70),
    ("NEAR", "", 3, 5.0, 600, 1.25, 0.55),
    ("ETC", "XETC", 3, 25.0, 500, 1.05, 0.45),
    ("ICP", "", 3, 9.0, 400, 1.15, 0.60),
    ("POL", "", 4, 0.5, 500, 1.15, 0.50),
    ("KAS", "", 5, 0.1, 500, 1.10, 0.75),
    ("ALGO", "", 5, 0.2, 500, 1.15, 0.55),
    ("FIL", "", 3, 5.0, 400, 1.15, 0.50),
    ("APT", "", 4, 8.0, 400, 1.25, 0.60),
)
_SHORT_NAMES = {"BTC": "XBT"}
# Who came when the others traded already, so that a history of all of them begins at several places.
_LISTED = {
    "APT": "2022-10-19",
    "SUI": "2023-05-03",
    "TAO": "2024-04-09",
    "KAS": "2024-06-26",
    "POL": "2024-09-04",
    "TON": "2024-12-10",
}
# As at Kraken: one of these costs so little that a hundred-millionth of it is no amount.
_LOT_DECIMALS = {"SHIB": 5}


def universe() -> tuple[Pair, ...]:
    """Return the thirty pairs of UNIVERSE_V1 against the dollar."""
    return tuple(
        Pair(
            symbol=f"{currency}/USD",
            base_id=long or currency,
            base_name=_SHORT_NAMES.get(currency, currency),
            price_decimals=decimals,
            lot_decimals=_LOT_DECIMALS.get(currency, 8),
            start_price=price,
            trades_a_day=float(trades),
            beta=beta,
            own_volatility=volatility,
            # Those who trade less pay more to trade: 1 basis point a side of bitcoin, 6 of the thinnest.
            half_spread=1e-4 * float(np.sqrt(4_000 / trades)) ** 1.5,
            listed_day=int(np.datetime64(_LISTED.get(currency, "1970-01-01"), "D").astype(np.int64)),
        )
        for currency, long, decimals, price, trades, beta, volatility in _UNIVERSE
    )


def pair_of_series(symbol: str, prices: FloatArray, volumes: FloatArray) -> Pair:
    """Return the pair that can hold a series without rounding it, as far as ten decimals go.

    Parameters
    ----------
    symbol
        Of the data set: "BTC/USD", "BTC" or "AAPL". A quote other than the dollar is not taken.
    prices, volumes
        All that the pair will have to hold, any shape, NaN where there is none. Volumes in units.

    Raises
    ------
    InvalidValueError
        For a quote other than the dollar, and for prices that ten decimals cannot hold.
    """
    base, _, quote = symbol.partition("/")
    if quote not in ("", "USD"):
        raise InvalidValueError(f"{symbol}: the sandbox quotes dollars, so a symbol is BASE or BASE/USD")
    known = {pair.symbol: pair for pair in universe()}.get(f"{base}/USD")
    finite = prices[np.isfinite(prices) & (prices > 0)]
    decimals = known.price_decimals if known else 2
    while decimals < PRICE_DECIMALS_MAX and not np.array_equal(np.round(finite, decimals), finite):
        decimals += 1
    if finite.size and (least := float(finite.min())) < 10.0**-PRICE_DECIMALS_MAX:
        raise InvalidValueError(f"{symbol}: a price must be 1e-{PRICE_DECIMALS_MAX} at least, was {least:g}")
    largest = float(np.nanmax(volumes, initial=0.0, where=np.isfinite(volumes)))
    lot_decimals = known.lot_decimals if known else LOT_DECIMALS_MAX
    while lot_decimals > 0 and largest * 10**lot_decimals > _MOST_LOTS:
        lot_decimals -= 1
    return Pair(
        symbol=f"{base}/USD",
        base_id=known.base_id if known else base,
        base_name=known.base_name if known else base,
        price_decimals=decimals,
        lot_decimals=lot_decimals,
        start_price=float(finite[0]) if finite.size else 1.0,
    )
