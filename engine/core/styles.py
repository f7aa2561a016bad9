"""How a strategy wants its entries sent and its positions protected: one row of numbers a property."""

from engine.domain.orders import OrderKind, TimeInForce

# Rows of a style, shape (STYLE_ROWS, T, N): what an order that is decided on bar t is made of. NaN: none.
STYLE_KIND = 0  # an `OrderKind` up to STOP_LIMIT
STYLE_LIMIT = 1  # price of a limit
STYLE_TRIGGER = 2  # price that triggers a stop
STYLE_FORCE = 3  # a `TimeInForce`
STYLE_GOOD_FOR = 4  # bars that it waits, 0: no end
STYLE_STOP = 5  # price of the protective stop
STYLE_TAKE = 6  # price of the take profit
STYLE_TRAIL = 7  # distance of the trailing stop, in quote currency
STYLE_ROWS = 8

LAST_ENTRY_KIND = int(OrderKind.STOP_LIMIT)
LAST_FORCE = int(TimeInForce.FOK)
