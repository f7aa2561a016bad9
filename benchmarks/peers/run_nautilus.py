"""W1 in nautilus: the open as a quote, the close as a bar. Runs under the interpreter of the peers."""

import json
import sys
import time
from decimal import Decimal
from typing import Any

import nautilus_trader
import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import (
    AccountType,
    AssetClass,
    CurrencyType,
    InstrumentClass,
    OmsType,
    OrderSide,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

FAST, SLOW, UNITS, CASH = 20, 100, 10, 1_000_000.0
DIGITS = 8
MINUTE = 60_000_000_000
VENUE = Venue("VENUE")
QUOTE = Currency("QUOTE", DIGITS, 0, "QUOTE", CurrencyType.CRYPTO)


def instrument_of() -> Any:
    """Return something with prices to 1e-8; half-spread and slippage are in its fee."""
    return Instrument(
        instrument_id=InstrumentId(Symbol("W1"), VENUE),
        raw_symbol=Symbol("W1"),
        asset_class=AssetClass.EQUITY,
        instrument_class=InstrumentClass.SPOT,
        quote_currency=QUOTE,
        is_inverse=False,
        price_precision=DIGITS,
        size_precision=0,
        price_increment=Price(1e-8, DIGITS),
        size_increment=Quantity.from_int(1),
        multiplier=Quantity.from_int(1),
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal("0.0015"),
        taker_fee=Decimal("0.0015"),
        ts_event=0,
        ts_init=0,
    )


class Cross(Strategy):  # type: ignore[misc]
    """Hold while the fast average is above the slow one: decided at a close, sent at the next open."""

    def __init__(self, instrument: Any, bar_type: Any) -> None:
        super().__init__()
        self.instrument, self.bar_type = instrument, bar_type
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.held, self.fills = False, 0
        self.due: Any = None

    def on_start(self) -> None:
        """Ask for quotes, and for bars with the averages on them."""
        self.register_indicator_for_bars(self.bar_type, self.fast)
        self.register_indicator_for_bars(self.bar_type, self.slow)
        self.subscribe_bars(self.bar_type)
        self.subscribe_quote_ticks(self.instrument.id)

    def on_bar(self, bar: Any) -> None:  # noqa: ARG002  # what the engine calls
        """Decide."""
        if self.slow.initialized:
            above = self.fast.value > self.slow.value
            if above != self.held:
                self.due = OrderSide.BUY if above else OrderSide.SELL

    def on_quote_tick(self, tick: Any) -> None:  # noqa: ARG002  # what the engine calls
        """Send what was decided at the close before."""
        if self.due is not None:
            order = self.order_factory.market(self.instrument.id, self.due, Quantity.from_int(UNITS))
            self.held, self.due = self.due == OrderSide.BUY, None
            self.submit_order(order)

    def on_order_filled(self, event: Any) -> None:  # noqa: ARG002  # what the engine calls
        """Count fills."""
        self.fills += 1


def main() -> None:
    """Run and print the figures as JSON."""
    bars = np.load(sys.argv[1])
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=QUOTE,
        starting_balances=[Money(CASH, QUOTE)],
        bar_execution=False,
    )
    instrument = instrument_of()
    engine.add_instrument(instrument)
    bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    plenty, volume = Quantity.from_int(1_000_000), Quantity.from_int(1)
    data: list[Any] = []
    for row, (opened, high, low, close) in enumerate(bars.tolist(), start=1):
        at = row * MINUTE
        price = Price(opened, DIGITS)
        data.append(QuoteTick(instrument.id, price, price, plenty, plenty, at, at))
        ohlc = (price, Price(high, DIGITS), Price(low, DIGITS), Price(close, DIGITS))
        data.append(Bar(bar_type, *ohlc, volume, at + MINUTE - 1, at + MINUTE - 1))
    strategy = Cross(instrument, bar_type)
    engine.add_strategy(strategy)
    engine.add_data(data, sort=False)
    wall, cpu = time.perf_counter(), time.process_time()
    engine.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    cash = engine.kernel.cache.account_for_venue(VENUE).balance_total(QUOTE).as_double()
    print(
        json.dumps(
            {
                "cpu_s": cpu,
                "wall_s": wall,
                "final_equity": cash + UNITS * strategy.held * float(bars[-1, 3]),
                "fills": strategy.fills,
                "version": nautilus_trader.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
