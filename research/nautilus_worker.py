"""Plays accounts in nautilus_trader. Runs as a script under another interpreter, see `nautilus_simulator`.

It imports nothing of ours: what it knows of an account came through its standard input, and what it says
goes out through its standard output, both as frames (8 bytes with the length, then an npz file). Prices of a
row reach nautilus as quotes, its own venue matches the orders, and its own account books them.
"""

import io
import itertools
import json
import os
import queue
import signal
import struct
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import IO, Any

import numpy as np

PRICE_DIGITS = 8
# Nautilus drops an uninitialised buffer where its data begins at time 0.
_FIRST_ROW = 1_000_000_000_000
_ROW = 86_400_000_000_000
# More than anybody orders: what does not limit a fill.
_PLENTY = 1e9
# Codes of the core: kinds of orders, and how long they live.
_LIMIT, _STOP, _STOP_LIMIT = 2, 3, 4
_IOC, _DAY, _FOK = 0, 2, 3
# A bar is told as four quotes. The low comes before the high: of a stop and a target, the worse for a long.
OPEN, LOW, HIGH, CLOSE = range(4)
ENTRY_FIELDS = ("row", "instrument", "target", "kind", "limit_e8", "trigger_e8", "force", "expires")


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Return the next frame, None where the stream has ended."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    (size,) = struct.unpack("<q", head)
    body = stream.read(size)
    return body if len(body) == size else None


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Write one frame."""
    stream.write(struct.pack("<q", len(body)))
    stream.write(body)
    stream.flush()


def pack(settings: dict[str, Any], **arrays: Any) -> bytes:
    """Return settings and arrays as one npz file."""
    made = io.BytesIO()
    np.savez(made, settings=np.array(json.dumps(settings)), **arrays)
    return made.getvalue()


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `pack` was given."""
    with np.load(io.BytesIO(body), allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files if name != "settings"}
        return json.loads(str(held["settings"])), arrays


def digits_of(step: float) -> int:
    """Return how many decimals a step has.

    >>> digits_of(1e-06), digits_of(0.25), digits_of(1.0)
    (6, 2, 0)
    """
    return max(0, -int(Decimal(repr(step)).normalize().as_tuple().exponent))


_ACCOUNTS = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What was asked for; arrays have shape (R, N)."""

    settings: dict[str, Any]
    arrays: dict[str, Any]
    lot: float
    rows: int
    count: int

    @property
    def by_orders(self) -> bool:
        """Whether orders are given, and not target weights."""
        return "entries" in self.arrays

    def most_lots(self, row: int, n: int) -> int:
        """Return the lots that a quote of the row offers, -1 where that is no limit."""
        return int(self.arrays["most_lots"][row, n]) if "most_lots" in self.arrays else -1

    def quoted(self, row: int) -> list[int]:
        """Return the instruments that are quoted on a row: those that something was decided for, or all."""
        traded = ~np.isnan(self.arrays["opens"][row])
        if not self.by_orders:
            traded &= ~np.isnan(self.arrays["decided"][row - 1])
        return [int(n) for n in np.flatnonzero(traded)]

    def bound_of(self, side: int, reference: float) -> float | None:
        """Return the worst price that a marketable order accepts, None for any."""
        tick, rate = self.settings["tick_size"], self.settings["bound_rate"]
        if rate is None:
            return None
        steps, nearest = reference * (1.0 + side * rate) / tick, np.floor(reference / tick + 0.5)
        if side > 0:
            return float(max(np.floor(steps), nearest + 1.0) * tick)
        return float(min(np.ceil(steps), nearest - 1.0) * tick)


def nautilus() -> Any:
    """Return the names of nautilus that are used here; loading them takes a second."""
    from nautilus_trader.backtest import config as backtest_config
    from nautilus_trader.backtest import engine, models
    from nautilus_trader.config import LoggingConfig, RiskEngineConfig
    from nautilus_trader.core.nautilus_pyo3 import FIXED_PRECISION
    from nautilus_trader.model import book, data, enums, identifiers, instruments, objects
    from nautilus_trader.trading.strategy import Strategy

    named: dict[str, Any] = {}
    for module in (backtest_config, engine, models, book, data, enums, identifiers, instruments, objects):
        named |= vars(module)
    named |= {
        "LoggingConfig": LoggingConfig,
        "RiskEngineConfig": RiskEngineConfig,
        "FIXED_PRECISION": FIXED_PRECISION,
        "Strategy": Strategy,
    }
    return SimpleNamespace(**named)


class Floor:
    """The way to nautilus: makes its objects, sends its orders, keeps what it said of fills."""

    def __init__(self, nt: Any, job: Job) -> None:
        self.nt, self.job = nt, job
        self.digits = digits_of(job.lot)
        self.raw_lot = int(Decimal(repr(job.lot)) * 10**nt.FIXED_PRECISION)
        # Nautilus remembers for each name of a venue whether it lends, as long as the process lives.
        self.venue = nt.Venue(f"VENUE{next(_ACCOUNTS)}")
        self.currency = nt.Currency("QUOTE", PRICE_DIGITS, 0, "QUOTE", nt.CurrencyType.CRYPTO)
        self.plenty = nt.Quantity(_PLENTY, self.digits)
        self.instruments = [self._instrument(n) for n in range(job.count)]
        self.place = {instrument.id: n for n, instrument in enumerate(self.instruments)}
        self.lots = [0] * job.count
        self.fills: list[tuple[int, int, int, float, float, int]] = []
        self.trader: Any = None
        self.account: Any = None

    def _instrument(self, n: int) -> Any:
        nt, settings = self.nt, self.job.settings
        return nt.Instrument(
            instrument_id=nt.InstrumentId(nt.Symbol(f"I{n}"), self.venue),
            raw_symbol=nt.Symbol(f"I{n}"),
            asset_class=nt.AssetClass.EQUITY,
            instrument_class=nt.InstrumentClass.SPOT,
            quote_currency=self.currency,
            is_inverse=False,
            price_precision=PRICE_DIGITS,
            size_precision=self.digits,
            price_increment=self.price(10.0**-PRICE_DIGITS),
            size_increment=self.quantity(1),
            multiplier=nt.Quantity.from_int(1),
            margin_init=Decimal(0),
            margin_maint=Decimal(0),
            maker_fee=Decimal(repr(settings["maker_rate"])),
            taker_fee=Decimal(repr(settings["taker_rate"])),
            ts_event=0,
            ts_init=0,
        )

    def quantity(self, lots: int) -> Any:
        """Return so many lots, exactly."""
        return self.nt.Quantity.from_raw(int(lots) * self.raw_lot, self.digits)

    def price(self, value: float) -> Any:
        """Return a price, rounded to 1e-8."""
        return self.nt.Price(value, PRICE_DIGITS)

    def side(self, lots: int) -> Any:
        """Return the side of signed lots."""
        return self.nt.OrderSide.BUY if lots > 0 else self.nt.OrderSide.SELL

    @property
    def cash(self) -> float:
        """Return what nautilus' account holds."""
        return float(self.account.balance_total(self.currency).as_double())

    def quotes(self) -> tuple[list[Any], dict[int, int]]:
        """Return the quotes of every row on which something may trade, and how many each open has."""
        job, arrays = self.job, self.job.arrays
        made, opening = [], {}
        spread = job.settings["spread_rate"]
        phases = (OPEN, LOW, HIGH, CLOSE) if job.by_orders else (OPEN,)
        told = [arrays[name] for name in ("opens", "lows", "highs", "closes")[: len(phases)]]
        for row in range(1, job.rows):
            quoted = job.quoted(row)
            if quoted:
                opening[row] = len(quoted)
            for phase, prices in zip(phases, told, strict=True):
                at = _FIRST_ROW + row * _ROW + phase
                for n in quoted:
                    most = job.most_lots(row, n)
                    size = self.quantity(most) if most >= 0 else self.plenty
                    bid = self.price(prices[row, n] * (1.0 - spread))
                    ask = self.price(prices[row, n] * (1.0 + spread)) if spread else bid
                    made.append(self.nt.QuoteTick(self.instruments[n].id, bid, ask, size, size, at, at))
        return made, opening

    def plain(self, n: int, lots: int, limit: float | None) -> Any:
        """Return an order that is over at once: a market order, or one with a worst price."""
        make, immediate = self.trader.order_factory, self.nt.TimeInForce.IOC
        place = (self.instruments[n].id, self.side(lots), self.quantity(abs(lots)))
        if limit is None:
            return make.market(*place, time_in_force=immediate)
        return make.limit(*place, self.price(limit), time_in_force=immediate)

    def forget(self) -> None:
        """Drop what is over: nautilus keeps every order for ever, and each look-up takes longer."""
        now = self.trader.clock.timestamp_ns()
        self.trader.cache.purge_closed_orders(now)
        self.trader.cache.purge_account_events(now)

    def booked(self, event: Any, row: int) -> tuple[int, int]:
        """Keep a fill; return its instrument and signed lots."""
        n = self.place[event.instrument_id]
        lots = int(event.last_qty.raw) // self.raw_lot
        if event.order_side == self.nt.OrderSide.SELL:
            lots = -lots
        self.lots[n] += lots
        maker = int(event.liquidity_side == self.nt.LiquiditySide.MAKER)
        price, fee = event.last_px.as_double(), event.commission.as_double()
        self.fills.append((row, n, lots, price, fee, maker))
        return n, lots


@dataclass
class Auction:
    """The orders of one open: sells first, and buys when all of them are over, for the cash there is then."""

    floor: Floor
    row: int = -1
    asks: dict[int, float] = field(default_factory=dict)
    _selling: set[Any] = field(default_factory=set)
    _buys: list[tuple[int, int, float | None]] = field(default_factory=list)

    def hold(self, row: int, wanted: list[tuple[int, int, float | None]]) -> None:
        """Send what is wanted: instrument, signed lots, worst price."""
        self.row = row
        self._buys = [order for order in wanted if order[1] > 0]
        orders = [self.floor.plain(*order) for order in wanted if order[1] < 0]
        self._selling = {order.client_order_id for order in orders}
        for order in orders:
            self.floor.trader.submit_order(order)
        if not orders:
            self._buy()

    def ended(self, order: Any) -> None:
        """Hear that an order is over."""
        if order in self._selling:
            self._selling.discard(order)
            if not self._selling:
                self._buy()

    def _buy(self) -> None:
        """Send the buys; where cash is short, all are cut by the same share."""
        job = self.floor.job
        need = 0.0
        fillable: dict[int, int] = {}
        for n, lots, limit in self._buys:
            most = job.most_lots(self.row, n)
            fillable[n] = min(lots, most) if most >= 0 else lots
            if limit is None or self.asks[n] <= limit:
                need += fillable[n] * job.lot * self.asks[n] * (1.0 + job.settings["taker_rate"])
        # Each booking rounds a notional and a fee to 1e-8, perhaps up.
        cash, share = self.floor.cash - 2e-8 * len(self._buys), 1.0
        # Entries inside a bar may have borrowed: no buy at all needs more than a cash below zero.
        if need > max(0.0, cash):
            share = max(0.0, cash / need * (1.0 - 1e-12))
        buys, self._buys = self._buys, []
        for n, lots, limit in buys:
            cut = int(fillable[n] * share) if share < 1.0 else lots
            if cut > 0:
                self.floor.trader.submit_order(self.floor.plain(n, cut, limit))


class TargetDesk:
    """Holds target weights: sizes by nautilus' cash and the closes of the row before."""

    def __init__(self, floor: Floor) -> None:
        self.floor, self.auction = floor, Auction(floor)

    def opened(self, row: int) -> None:
        """Send what was decided at the close before."""
        floor, job = self.floor, self.floor.job
        decided, marks = job.arrays["decided"][row - 1], job.arrays["marks"][row - 1]
        held = sum(lots * job.lot * float(marks[n]) for n, lots in enumerate(floor.lots) if lots)
        investable = (floor.cash + held) * (1.0 - job.settings["cash_buffer"])
        wanted = []
        for n in job.quoted(row):
            if not marks[n] > 0:
                continue
            lots = int(decided[n] * investable / (marks[n] * job.lot)) - floor.lots[n]
            if lots:
                wanted.append((n, lots, job.bound_of(1 if lots > 0 else -1, float(marks[n]))))
        self.auction.hold(row, wanted)

    def passed(self, row: int, n: int, phase: int) -> None:
        """Nothing rests inside a bar."""

    def filled(self, event: Any, row: int) -> None:
        """Keep a fill."""
        self.floor.booked(event, row)

    def ended(self, order: Any) -> None:
        """Hear that an order is over."""
        self.auction.ended(order)


@dataclass
class Bracket:
    """What protects a position: one stop, which a trail moves at closes, and one target."""

    stop: float
    take: float
    trail: float
    best: float
    orders: dict[str, Any] = field(default_factory=dict)


class OrderDesk:
    """Works given orders: entries as limits and stops on nautilus' venue, and the brackets that they bring.

    An order says which position it leads to; it is sent for the difference from what nautilus holds.
    """

    def __init__(self, floor: Floor) -> None:
        self.floor, self.auction = floor, Auction(floor)
        self.due: dict[int, list[int]] = defaultdict(list)
        for place, entry in enumerate(floor.job.arrays["entries"]):
            self.due[int(entry[0])].append(place)
        self.standing: dict[int, tuple[Any, int]] = {}
        self.brackets: dict[int, Bracket] = {}
        # By order: the entry that it belongs to; by instrument: the entry that an immediate order belongs to.
        self.entry_of: dict[Any, int] = {}
        self.sent: dict[int, int] = {}
        self.phase = OPEN

    def opened(self, row: int) -> None:
        """Send what was decided at the close before; what rests is sent after what is immediate."""
        floor, arrays = self.floor, self.floor.job.arrays
        self.phase = OPEN
        wanted, resting = [], []
        self.sent = {}
        for place in self.due.get(row - 1, ()):
            _, n, target, kind, limit, _, _, _ = (int(value) for value in arrays["entries"][place])
            lots = target - floor.lots[n]
            if lots == 0 or np.isnan(arrays["opens"][row, n]):
                continue
            if kind < _LIMIT or lots < 0:
                wanted.append((n, lots, limit / 1e8 if kind == 1 else None))
                self.sent[n] = place
            else:
                resting.append((place, n, lots))
        self.auction.hold(row, wanted)
        for place, n, lots in resting:
            order = self._resting(place, n, lots)
            self.standing[n] = (order, place)
            self.entry_of[order.client_order_id] = place
            floor.trader.submit_order(order)

    def _resting(self, place: int, n: int, lots: int) -> Any:
        floor, nt = self.floor, self.floor.nt
        entry = self.floor.job.arrays["entries"][place]
        kind, limit, trigger, force = int(entry[3]), entry[4] / 1e8, entry[5] / 1e8, int(entry[6])
        make = floor.trader.order_factory
        where = (floor.instruments[n].id, floor.side(lots), floor.quantity(abs(lots)))
        lives = {_IOC: nt.TimeInForce.IOC, _FOK: nt.TimeInForce.FOK}.get(force, nt.TimeInForce.GTC)
        if kind == _LIMIT:
            return make.limit(*where, floor.price(limit), time_in_force=lives)
        if kind == _STOP:
            return make.stop_market(*where, floor.price(trigger))
        return make.stop_limit(*where, floor.price(limit), floor.price(trigger))

    def passed(self, row: int, n: int, phase: int) -> None:
        """Follow a bar: at its close orders expire or make room for new ones, and trails move."""
        self.phase = phase
        if phase != CLOSE:
            return
        arrays = self.floor.job.arrays
        if n in self.standing:
            order, place = self.standing[n]
            force, expires = int(arrays["entries"][place][6]), int(arrays["entries"][place][7])
            replaced = bool(arrays["cancels"][row, n])
            over = (0 <= expires <= row) or (force == _DAY and bool(arrays["day_ends"][row]))
            if replaced or over:
                self._cancel(order)
                del self.standing[n]
        if n in self.brackets:
            self._trail(row, n)

    def _trail(self, row: int, n: int) -> None:
        bracket, arrays = self.brackets[n], self.floor.job.arrays
        if "take" not in bracket.orders and bracket.take > 0:
            # Bought inside the bar: whether its high came later is not known.
            self._protect(n, "take", bracket.take)
            bracket.best = max(bracket.best, float(arrays["closes"][row, n]))
        else:
            bracket.best = max(bracket.best, float(arrays["highs"][row, n]))
        if bracket.trail > 0:
            level = max(bracket.stop, bracket.best - bracket.trail)
            order = bracket.orders.get("stop")
            if order is None:
                self._protect(n, "stop", level)
            elif self.floor.price(level) > order.trigger_price:
                self.floor.trader.modify_order(order, trigger_price=self.floor.price(level))

    def _protect(self, n: int, what: str, price: float) -> None:
        floor = self.floor
        make = floor.trader.order_factory
        where = (floor.instruments[n].id, floor.nt.OrderSide.SELL, floor.quantity(floor.lots[n]))
        order = (
            make.stop_market(*where, floor.price(price), reduce_only=True)
            if what == "stop"
            else make.limit(*where, floor.price(price), reduce_only=True)
        )
        self.brackets[n].orders[what] = order
        floor.trader.submit_order(order)

    def _cancel(self, order: Any) -> None:
        if not order.is_closed:
            self.floor.trader.cancel_order(order)

    def filled(self, event: Any, row: int) -> None:
        """Keep a fill; arm what an entry brings, drop what a closed position leaves."""
        n, lots = self.floor.booked(event, row)
        bracket = self.brackets.get(n)
        protective = bracket is not None and any(
            order.client_order_id == event.client_order_id for order in bracket.orders.values()
        )
        if self.floor.lots[n] == 0:
            if bracket is not None:
                for order in self.brackets.pop(n).orders.values():
                    self._cancel(order)
            if protective and n in self.standing:
                self._cancel(self.standing.pop(n)[0])
        elif lots > 0:
            self._arm(event, n)
        elif bracket is not None and not protective:
            self._resize(n)

    def _arm(self, event: Any, n: int) -> None:
        place = self.entry_of.get(event.client_order_id, self.sent.get(n))
        assert place is not None, "every buy belongs to an entry"
        if n in self.standing and self.standing[n][1] == place:
            del self.standing[n]
        stop, take, trail = (float(value) for value in self.floor.job.arrays["protection"][place])
        if not (stop > 0 or take > 0 or trail > 0):
            if n in self.brackets:
                self._resize(n)
            return
        for order in self.brackets[n].orders.values() if n in self.brackets else ():
            self._cancel(order)
        best = event.last_px.as_double()
        self.brackets[n] = Bracket(stop=stop, take=take, trail=trail, best=best)
        level = max(stop, best - trail) if trail > 0 else stop
        if level > 0:
            self._protect(n, "stop", level)
        if take > 0 and self.phase == OPEN:
            self._protect(n, "take", take)

    def _resize(self, n: int) -> None:
        for order in self.brackets[n].orders.values():
            if not order.is_closed:
                self.floor.trader.modify_order(order, quantity=self.floor.quantity(self.floor.lots[n]))

    def ended(self, order: Any) -> None:
        """Hear that an order is over."""
        self.auction.ended(order)


def trader_of(floor: Floor, desk: TargetDesk | OrderDesk, opening: dict[int, int]) -> Any:
    """Return nautilus' strategy: it tells a desk what happens, and decides nothing itself."""

    class Trader(floor.nt.Strategy):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.row, self.seen, self.opens = -1, 0, 0

        def on_start(self) -> None:
            floor.account = self.cache.account_for_venue(floor.venue)
            for instrument in floor.instruments:
                self.subscribe_quote_ticks(instrument.id)

        def on_quote_tick(self, tick: Any) -> None:
            row, phase = divmod(int(tick.ts_event) - _FIRST_ROW, _ROW)
            n = floor.place[tick.instrument_id]
            if phase != OPEN:
                desk.passed(row, n, phase)
                return
            if row != self.row:
                self.row, self.seen = row, 0
            self.seen += 1
            desk.auction.asks[n] = tick.ask_price.as_double()
            if self.seen == opening[row]:
                self.opens += 1
                floor.forget()
                desk.opened(row)

        def on_order_filled(self, event: Any) -> None:
            row = (int(event.ts_event) - _FIRST_ROW) // _ROW
            desk.filled(event, row)
            if self.cache.order(event.client_order_id).is_closed:
                desk.ended(event.client_order_id)

        def on_order_canceled(self, event: Any) -> None:
            desk.ended(event.client_order_id)

        def on_order_expired(self, event: Any) -> None:
            desk.ended(event.client_order_id)

        def on_order_rejected(self, event: Any) -> None:
            desk.ended(event.client_order_id)

        def on_order_denied(self, event: Any) -> None:
            desk.ended(event.client_order_id)

    return Trader()


def gap_model(nt: Any, clock: Any, digits: int) -> Any:
    """Return a fill model under which an order that the open has passed trades at the open.

    Nautilus itself would give a stop its trigger and a limit its limit, at prices that the bar never had.
    A touch does not fill a limit.
    """

    class GapModel(nt.FillModel):  # type: ignore[misc]
        def get_orderbook_for_fill_simulation(self, instrument: Any, order: Any, bid: Any, ask: Any) -> Any:
            at_open = (clock.timestamp_ns() - _FIRST_ROW) % _ROW == OPEN
            if order.order_type == nt.OrderType.MARKET or not at_open:
                return None
            book = nt.OrderBook(instrument_id=instrument.id, book_type=nt.BookType.L2_MBP)
            size = nt.Quantity(_PLENTY, digits)
            book.add(nt.BookOrder(nt.OrderSide.BUY, bid, size, 1), 0, 0)
            book.add(nt.BookOrder(nt.OrderSide.SELL, ask, size, 2), 0, 0)
            return book

    return GapModel(prob_fill_on_limit=0.0)


def play(settings: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """Play one account; return its fills, the cash that is left and the positions, as nautilus has them."""
    nt = nautilus()
    rows, count = arrays["opens"].shape
    job = Job(settings=settings, arrays=arrays, lot=settings["lot_size"], rows=rows, count=count)
    floor = Floor(nt, job)
    desk = OrderDesk(floor) if job.by_orders else TargetDesk(floor)
    engine = nt.BacktestEngine(
        nt.BacktestEngineConfig(
            logging=nt.LoggingConfig(bypass_logging=True),
            # Its throttle counts orders a second of a clock that jumps from row to row.
            risk_engine=nt.RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    try:
        engine.add_venue(
            venue=floor.venue,
            oms_type=nt.OmsType.NETTING,
            account_type=nt.AccountType.CASH,
            base_currency=floor.currency,
            starting_balances=[nt.Money(settings["cash"], floor.currency)],
            fill_model=gap_model(nt, engine.kernel.clock, floor.digits) if job.by_orders else None,
            reject_stop_orders=False,
            # A stop that buys may cost more than it was sized for; nautilus would end the run over a cent.
            allow_cash_borrowing=job.by_orders,
        )
        for instrument in floor.instruments:
            engine.add_instrument(instrument)
        data, opening = floor.quotes()
        if not data:
            return {"fills": np.zeros((0, 6)), "cash": settings["cash"], "positions": np.zeros(count)}
        floor.trader = trader_of(floor, desk, opening)
        engine.add_strategy(floor.trader)
        engine.add_data(data, sort=False)
        engine.run()
        if floor.trader.opens != len(opening):
            raise RuntimeError(
                f"nautilus stopped on row {floor.trader.row}, as it does where cash is negative"
            )
        portfolio = floor.trader.portfolio
        return {
            "fills": np.array(floor.fills, dtype=np.float64).reshape(-1, 6),
            "cash": floor.cash,
            "positions": [float(portfolio.net_position(instrument.id)) for instrument in floor.instruments],
        }
    finally:
        engine.dispose()


def answer(body: bytes) -> bytes:
    """Return the answer to one request; a problem goes out as its text."""
    try:
        import nautilus_trader

        settings, arrays = unpack(body)
        return pack({"version": nautilus_trader.__version__}, **play(settings, arrays))
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the row must say it
        return pack({"problem": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Answer requests until standard input ends."""
    # Ctrl-C goes to the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Libraries print; what they print must not land in the middle of a frame.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        while (body := read_frame(sys.stdin.buffer)) is not None:
            requests.put(body)
        # The parent is gone, or has left: there is nobody to answer.
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        write_frame(output, answer(requests.get()))


if __name__ == "__main__":
    main()
