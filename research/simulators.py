"""The second opinion: vectorbt plays the same decisions with its own sizing, fills and books.

It gets the target weights that the core decided on each row, the prices and the rates of costs, and no
quantity of ours. Where the rules are the same, so is the equity. Its rules differ from those of the core
in these points, and a parity gap is the sum of them:

- quantities are not floored to lots, prices are not rounded to 1e-8;
- a buy that finds too little cash takes what is left, in the order of values; the core cuts all pro rata;
- no participation limit, no impact of size, no bound on an order's price, no minimum notional;
- a holding that stops trading is marked at its last close for ever; the core books it out.

Importing vectorbt takes ten seconds and compiling its kernels as long again, so one worker process does
both, once, while others work; it keeps the compiled kernels of that library on disk.
"""

import os
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from engine.domain.errors import InvalidValueError, SimulatorError
from engine.domain.panel import FloatArray, IntArray
from engine.processes import worker_processes

_BUY = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetRun:
    """An account that vectorbt sizes by itself.

    Attributes
    ----------
    fills
        Shape (R, N), the price before costs at which an order decided on the row before is filled (the
        open, or the close of data that has closes only). NaN: not traded, so the order is lost.
    closes
        Shape (R, N), NaN where not traded: marked at the last one.
    decided
        Shape (R, N), target weights after limits of what was decided at the close of a row, else NaN.
        Sized with that close, filled on the next row.
    cash_buffer
        Share of equity that sizing leaves out.
    fee_rate, slippage_rate
        Shares of a fill's notional and of its price (half-spread included).
    """

    fills: FloatArray
    closes: FloatArray
    decided: FloatArray
    cash: float
    cash_buffer: float
    fee_rate: float
    slippage_rate: float

    def __post_init__(self) -> None:
        _require_one_shape(fills=self.fills, closes=self.closes, decided=self.decided)


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantityRun:
    """An account whose quantities are given: vectorbt does the books only.

    Attributes
    ----------
    fills
        Shape (R, N), the price after costs of that row's fill; not read where nothing was filled.
    quantities
        Shape (R, N), signed units filled on the row; 0 or NaN for none.
    """

    fills: FloatArray
    closes: FloatArray
    quantities: FloatArray
    cash: float
    fee_rate: float

    def __post_init__(self) -> None:
        _require_one_shape(fills=self.fills, closes=self.closes, quantities=self.quantities)


@dataclass(frozen=True, kw_only=True, eq=False)
class FillTable:
    """Every fill of an account, in the order of its rows. All arrays have shape (F,).

    Attributes
    ----------
    rows, instruments
        Places in the arrays that the simulator was given.
    units
        Signed: positive bought.
    prices, fees
        In quote currency: a unit after slippage, and in all.
    """

    rows: IntArray
    instruments: IntArray
    units: FloatArray
    prices: FloatArray
    fees: FloatArray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class Resimulated:
    """What another simulator made of an account.

    Attributes
    ----------
    equity, gross, turnover
        Shape (R,): cash and positions at the close; positions as a share of equity; one-way turnover of
        the row's fills as a share of equity, cash an asset.
    engine
        What ran: vectorbt's `rust` or `numba`, or nautilus and its version.
    fill_table
        Every fill as the simulator recorded it.
    """

    equity: FloatArray
    gross: FloatArray
    turnover: FloatArray
    fees: float
    engine: str
    fill_table: FillTable

    @property
    def fills(self) -> int:
        """How many fills there were."""
        return len(self.fill_table)


class VectorbtWorker:
    """One process that holds vectorbt, for as long as the block lasts.

    Parameters
    ----------
    cache
        Folder for the kernels that vectorbt compiles; may be deleted at any time.

    Examples
    --------
    with VectorbtWorker(cache_folder() / "vectorbt") as vectorbt:
        pending = [vectorbt.submit(run) for run in runs]
        answers = [vectorbt.result(future) for future in pending]
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start the process; it loads vectorbt while this one goes on."""
        self._pool = self._open.enter_context(worker_processes(1))
        self._pool.submit(_load, str(self._cache))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._open.__exit__(kind, error, trace)

    def submit(self, run: TargetRun | QuantityRun) -> "Future[Resimulated | str]":
        """Queue an account; read it with `result`."""
        try:
            return self._pool.submit(_simulate, run)
        except BrokenProcessPool as error:
            raise SimulatorError("vectorbt: its worker process ended unexpectedly") from error

    def result(self, future: "Future[Resimulated | str]") -> Resimulated:
        """Wait for an account.

        Raises
        ------
        SimulatorError
            If vectorbt could not play it. Such a row is missing; no other simulator takes its place.
        """
        try:
            answer = future.result()
        except BrokenProcessPool as error:
            raise SimulatorError("vectorbt: its worker process ended unexpectedly") from error
        if isinstance(answer, str):
            raise SimulatorError(f"vectorbt: {answer}")
        return answer


def _require_one_shape(**arrays: FloatArray) -> None:
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or any(len(shape) != 2 or 0 in shape for shape in shapes):
        said = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InvalidValueError(f"vectorbt: arrays must all have shape (R, N), were {said}")


def _load(cache: str) -> None:
    # Read when numba is imported, which this process has not done yet. A folder of its own, because a
    # change of our kernels is no reason to compile those of a library again.
    os.environ["NUMBA_CACHE_DIR"] = cache
    import vectorbt  # noqa: F401  # loaded ahead of the first account


def resimulate(run: TargetRun | QuantityRun) -> Resimulated:
    """Play one account in this process, which loads vectorbt: for workers, not for who waits at a screen.

    Raises
    ------
    SimulatorError
        If vectorbt could not play it.
    """
    answer = _simulate(run)
    if isinstance(answer, str):
        raise SimulatorError(f"vectorbt: {answer}")
    return answer


def _simulate(run: TargetRun | QuantityRun) -> Resimulated | str:
    """Play one account in the worker; a problem comes back as its text."""
    try:
        answer = _play(run)
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the row must say it
        return f"{type(error).__name__}: {error}"
    if not (np.isfinite(answer.equity).all() and (answer.equity > 0).all()):
        row = int(np.argmin(np.isfinite(answer.equity) & (answer.equity > 0)))
        return f"equity is {answer.equity[row]} on row {row}"
    return answer


def _play(run: TargetRun | QuantityRun) -> Resimulated:
    import vectorbt as vbt
    from vectorbt._engine import is_rust_available

    marks = carried_forward(run.closes)
    match run:
        case TargetRun():
            # What is decided on a row is sized with that row's close and filled on the next row.
            sizes = np.full(run.decided.shape, np.nan)
            sizes[1:] = run.decided[:-1] * (1.0 - run.cash_buffer)
            known = np.vstack((np.full((1, marks.shape[1]), np.nan), marks[:-1]))
            kind, valuation, slippage = "targetpercent", known, run.slippage_rate
        case QuantityRun():
            sizes = np.where(run.quantities == 0.0, np.nan, run.quantities)
            kind, valuation, slippage = "amount", run.fills, 0.0
    portfolio = vbt.Portfolio.from_orders(
        # Nothing is held before the first close, so its mark there is never read, but must be a number.
        close=np.where(np.isnan(marks), 1.0, marks),
        size=sizes,
        size_type=kind,
        direction="longonly",
        price=run.fills,
        val_price=valuation,
        fees=run.fee_rate,
        slippage=slippage,
        init_cash=run.cash,
        group_by=True,
        cash_sharing=True,
        # Sells come first, so that they pay for the buys.
        call_seq="auto",
        # Its Rust engine where that is installed: bit for bit the same, without the compiling.
        engine="auto",
    )
    engine = "rust" if is_rust_available() else "numba"
    return books_of(_fills_of(portfolio.orders.values), marks, run.cash, engine)


def _fills_of(orders: Any) -> FillTable:
    """Return vectorbt's own records of its fills, sells of a row before its buys as they were made."""
    return FillTable(
        rows=orders["idx"].astype(np.int64),
        instruments=orders["col"].astype(np.int64),
        units=np.where(orders["side"] == _BUY, orders["size"], -orders["size"]),
        prices=np.ascontiguousarray(orders["price"]),
        fees=np.ascontiguousarray(orders["fees"]),
    )


def books_of(fills: FillTable, marks: FloatArray, cash: float, engine: str) -> Resimulated:
    """Add up a simulator's own records of its fills.

    Parameters
    ----------
    marks
        Shape (R, N), last closes so far; NaN before the first.
    cash
        At the start.
    """
    notional = fills.units * fills.prices
    n_rows = len(marks)
    units = np.zeros(marks.shape)
    np.add.at(units, (fills.rows, fills.instruments), fills.units)
    held = np.cumsum(units, axis=0) * np.where(np.isnan(marks), 0.0, marks)
    paid = np.bincount(fills.rows, weights=notional + fills.fees, minlength=n_rows)
    positions = held.sum(axis=1)
    equity = cash - np.cumsum(paid) + positions
    traded = np.bincount(fills.rows, weights=np.abs(notional), minlength=n_rows)
    net = np.bincount(fills.rows, weights=notional, minlength=n_rows)
    return Resimulated(
        equity=equity,
        gross=positions / equity,
        turnover=(traded + np.abs(net)) / 2.0 / equity,
        fees=float(fills.fees.sum()),
        engine=engine,
        fill_table=fills,
    )


def carried_forward(closes: FloatArray) -> FloatArray:
    """Return the last close so far, NaN before the first one."""
    rows = np.where(np.isnan(closes), 0, np.arange(len(closes))[:, None])
    last: FloatArray = np.take_along_axis(closes, np.maximum.accumulate(rows, axis=0), axis=0)
    return last
