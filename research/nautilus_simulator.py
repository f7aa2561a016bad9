"""The third opinion: nautilus_trader plays the same decisions, event by event, on its own venue.

It gets the target weights that the core decided on each row, prices and rates of costs. The strategy that
runs inside nautilus sizes by nautilus' own cash, sends its orders at the next open, sells first, and nautilus
matches and books them. It pins an older pandas than ours, so it lives in an environment of its own
(`make peers`) and is spoken to through pipes; `GAUNTLET_PEERS` names another interpreter that has it.

Its rules are those of the core with these exceptions, and a parity gap is the sum of them:

- money is rounded to 1e-8 at each booking (nautilus knows no finer cash than a currency's precision);
- half-spread and slippage are the distance of a quote from the open: nautilus slips by ticks only;
- no impact of size and no minimum notional;
- a holding that stops trading is marked at its last close for ever; the core books it out.

A strategy that works limits, stops or brackets is played from its orders (`OrderRun`), which lead to the
same positions but are matched by nautilus. There it differs in these points as well:

- a bar is the path open, low, high, close: what the core calls ambiguous is decided by it;
- volume does not limit a fill, and cash that is short inside a bar is borrowed; the core cuts both;
- a stop-limit fills at its trigger, in the core at its limit;
- a limit that the open has gone through rests and pays as a maker, in the core it takes.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.core.records import FILL_FIELDS, ORDER_FIELDS
from engine.core.settings import MARKET, MARKETABLE_LIMIT, Rules
from engine.core.styles import STYLE_STOP, STYLE_TAKE, STYLE_TRAIL
from engine.domain.errors import InputError, SimulatorError
from engine.domain.panel import FloatArray, IntArray, Panel
from engine.domain.reasons import Reason
from engine.features.evaluate import evaluate
from engine.features.expression import Expression
from engine.pipeline.run import Outcome, Settings
from research.nautilus_worker import ENTRY_FIELDS, PRICE_DIGITS, pack, read_frame, unpack, write_frame
from research.simulators import FillTable, Resimulated, TargetRun, books_of, carried_forward

PEERS_VARIABLE = "GAUNTLET_PEERS"
_WORKER = Path(__file__).with_name("nautilus_worker.py")
_OWN_PEERS = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
_BPS = 1e4
_LAST_WORDS = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class MarketTargets:
    """A `TargetRun` with the rules of its market, which nautilus has and vectorbt has not.

    Attributes
    ----------
    rules
        Lot, tick, bound of an order's price and participation are taken from it.
    volumes
        Shape (R, N), units; NaN: unknown, then participation is not limited. None: not limited anywhere.
    """

    targets: TargetRun
    rules: Rules
    volumes: FloatArray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderRun:
    """An account whose orders are given and whose fills are nautilus' own: limits, stops, brackets.

    Attributes
    ----------
    opens, highs, lows, closes
        Shape (R, N), NaN where not traded. A bar is told as open, low, high, close.
    day_ends
        Shape (R,), true on the last bar of a day.
    entries
        Shape (E, 8), see `nautilus_worker.ENTRY_FIELDS`: what was ordered at the close of a row, as the
        position in lots that it leads to.
    cancels
        Shape (R, N): what rests was decided anew at the close of the row, with or without another order.
    protection
        Shape (E, 3), prices of stop and target, distance of the trail; 0 for none.
    fee_rate, maker_rate, slippage_rate
        Shares. Nautilus slips by ticks only, so slippage is charged with its taker fee and told apart after.
    """

    opens: FloatArray
    highs: FloatArray
    lows: FloatArray
    closes: FloatArray
    day_ends: npt.NDArray[np.bool_]
    entries: IntArray
    cancels: npt.NDArray[np.bool_]
    protection: FloatArray
    cash: float
    fee_rate: float
    maker_rate: float
    slippage_rate: float
    lot_size: float


def orders_of(
    panel: Panel, settings: Settings, outcome: Outcome, order_roots: Sequence[Expression], account: int = 0
) -> OrderRun:
    """Return what the core ordered in an account of a run with records, for nautilus to work.

    Raises
    ------
    SimulatorError
        If the account may be short or borrow, or its orders are under way for more than a bar.
    """
    limits, costs, rules = settings.limits, settings.costs, settings.rules
    if limits.short or limits.leverage > 1.0 or rules.latency_bars:
        raise SimulatorError("nautilus is asked for long positions that are paid for, ordered a bar before")
    first, rows = outcome.rows[0], slice(*outcome.rows)
    fills = dict(zip(FILL_FIELDS, outcome.fill_records[account].T, strict=True))
    held = np.zeros(panel.close[rows].shape, dtype=np.int64)
    np.add.at(held, (fills["row"] - first, fills["instrument"]), fills["lots"])
    held = np.cumsum(held, axis=0)
    records = outcome.order_records[account]
    records = records[records[:, ORDER_FIELDS.index("parent")] < 0]
    orders = dict(zip(ORDER_FIELDS, records.T, strict=True))
    row, n = orders["row"] - first, orders["instrument"]
    expires = np.where(orders["expires"] < 0, -1, orders["expires"] - first)
    told = {
        "row": row, "instrument": n, "target": held[row, n] + orders["lots"], "kind": orders["kind"],
        "limit_e8": orders["limit_e8"], "trigger_e8": orders["trigger_e8"],
        "force": orders["time_in_force"], "expires": expires,
    }  # fmt: skip
    styles = evaluate(order_roots, panel)[[STYLE_STOP, STYLE_TAKE, STYLE_TRAIL]]
    protection = np.nan_to_num(np.maximum(styles[:, orders["row"], n], 0.0), nan=0.0).T
    cancels = ~np.isnan(outcome.decided[account])
    replaced = orders["outcome"] == Reason.REPLACED
    cancels[orders["closed"][replaced] - first, n[replaced]] = True
    # A way out brings no bracket.
    protection = np.where((orders["lots"] < 0)[:, None], 0.0, protection)
    return OrderRun(
        opens=panel.open[rows],
        highs=panel.high[rows],
        lows=panel.low[rows],
        closes=panel.close[rows],
        day_ends=panel.day_ends[rows],
        entries=np.column_stack([told[name] for name in ENTRY_FIELDS]),
        cancels=cancels,
        protection=np.ascontiguousarray(protection),
        cash=settings.cash,
        fee_rate=costs.taker_fee_bps / _BPS,
        maker_rate=costs.maker_fee_bps / _BPS,
        slippage_rate=(costs.half_spread_bps + costs.slippage_bps) / _BPS,
        lot_size=rules.lot_size,
    )


def available() -> Path | None:
    """Return the interpreter that has nautilus, None where there is none.

    Raises
    ------
    InputError
        If `GAUNTLET_PEERS` names something that is not there: that is a mistake and not an absence.
    """
    named = os.environ.get(PEERS_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InputError(f"{PEERS_VARIABLE} names {named}, which is not there: name an interpreter")
        return Path(named)
    return _OWN_PEERS if _OWN_PEERS.is_file() else None


@cache
def version(python: Path) -> str:
    """Return the version of nautilus that an interpreter has; part of the identity of what it plays.

    Raises
    ------
    SimulatorError
        If it has none.
    """
    asked = subprocess.run(
        [python, "-I", "-c", "from importlib.metadata import version; print(version('nautilus_trader'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        raise SimulatorError(f"nautilus: {python} has no nautilus_trader: run  make peers")
    return asked.stdout.strip()


# What `TargetRun` alone means: the rules that vectorbt has as well.
_PLAIN = Rules(order_kind=MARKET, participation=np.inf)

Run = TargetRun | MarketTargets | OrderRun


class NautilusWorker:
    """One process that holds nautilus, for as long as the block lasts.

    Parameters
    ----------
    python
        An interpreter that has nautilus, see `available`.

    Examples
    --------
    with NautilusWorker(python) as nautilus:
        pending = [nautilus.submit(run) for run in runs]
        answers = [nautilus.result(future) for future in pending]
    """

    def __init__(self, python: Path) -> None:
        self._python = python

    def __enter__(self) -> Self:
        """Start the process."""
        one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._said = tempfile.TemporaryFile()
        # -I: neither our folders nor PYTHONPATH reach it, so that it cannot find a module of ours by chance.
        self._process = subprocess.Popen(
            [self._python, "-I", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | one_thread,
        )
        self._queue = ThreadPoolExecutor(1, thread_name_prefix="nautilus")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process; what it has not begun is dropped."""
        # Killed before the thread that waits for its answer is joined: it may be in the middle of one.
        self._process.kill()
        self._process.wait()
        self._queue.shutdown(wait=True, cancel_futures=True)
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    # What was not written when the process ended is of no use to anybody.
                    continue

    def submit(self, run: Run) -> "Future[Resimulated]":
        """Queue an account; read it with `result`.

        A `TargetRun` alone is played as vectorbt plays it: market orders, lots of a millionth, any volume.
        """
        return self._queue.submit(self._play, run)

    def result(self, future: "Future[Resimulated]") -> Resimulated:
        """Wait for an account.

        Raises
        ------
        SimulatorError
            If nautilus could not play it. Such a row is missing; no other simulator takes its place.
        """
        return future.result()

    def _play(self, run: Run) -> Resimulated:
        said, arrays = self._ask(_request(run))
        if "problem" in said:
            raise SimulatorError(f"nautilus: {said['problem']}")
        table = arrays["fills"]
        match run:
            case OrderRun():
                closes, cash, lot_size = run.closes, run.cash, run.lot_size
            case MarketTargets():
                closes, cash, lot_size = run.targets.closes, run.targets.cash, run.rules.lot_size
            case TargetRun():
                closes, cash, lot_size = run.closes, run.cash, _PLAIN.lot_size
        fills = FillTable(
            rows=table[:, 0].astype(np.int64),
            instruments=table[:, 1].astype(np.int64),
            units=table[:, 2] * lot_size,
            prices=table[:, 3],
            fees=table[:, 4],
        )
        _require_same_books(fills, cash, float(arrays["cash"]), arrays["positions"])
        if isinstance(run, OrderRun):
            fills = _slippage_apart(fills, table[:, 5] == 1.0, run.slippage_rate)
        answer = books_of(fills, carried_forward(closes), cash, f"nautilus {said['version']}")
        if not (np.isfinite(answer.equity).all() and (answer.equity > 0).all()):
            row = int(np.argmin(np.isfinite(answer.equity) & (answer.equity > 0)))
            raise SimulatorError(f"nautilus: equity is {answer.equity[row]} on row {row}")
        return answer

    def _ask(self, request: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
        assert self._process.stdin is not None, "opened as a pipe"
        assert self._process.stdout is not None, "opened as a pipe"
        try:
            write_frame(self._process.stdin, request)
            body = read_frame(self._process.stdout)
        except (BrokenPipeError, ValueError):
            # ValueError: the pipes were closed on leaving.
            body = None
        if body is None:
            raise SimulatorError(f"nautilus: its worker process ended unexpectedly{self._last_words()}")
        return unpack(body)

    def _last_words(self) -> str:
        if self._said.closed:
            return ""
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        return f": {said[-_LAST_WORDS:]}" if said else ""


def _slippage_apart(fills: FillTable, maker: npt.NDArray[np.bool_], rate: float) -> FillTable:
    """Move slippage from the fee into the price, as the core books it; the cash of a fill stays the same."""
    slipped = np.where(maker, 0.0, rate)
    return FillTable(
        rows=fills.rows,
        instruments=fills.instruments,
        units=fills.units,
        prices=fills.prices * (1.0 + np.sign(fills.units) * slipped),
        fees=fills.fees - np.abs(fills.units) * fills.prices * slipped,
    )


def _request(run: Run) -> bytes:
    if isinstance(run, OrderRun):
        settings: dict[str, Any] = {
            "cash": run.cash,
            "taker_rate": run.fee_rate + run.slippage_rate,
            "maker_rate": run.maker_rate,
            "spread_rate": 0.0,
            "lot_size": run.lot_size,
        }
        prices = {"opens": run.opens, "highs": run.highs, "lows": run.lows, "closes": run.closes}
        told = {"entries": run.entries, "cancels": run.cancels, "protection": run.protection}
        return pack(settings, **prices, **told, day_ends=run.day_ends)
    whole = run if isinstance(run, MarketTargets) else MarketTargets(targets=run, rules=_PLAIN)
    targets, rules = whole.targets, whole.rules
    settings = {
        "cash": targets.cash,
        "cash_buffer": targets.cash_buffer,
        "taker_rate": targets.fee_rate,
        "maker_rate": targets.fee_rate,
        "spread_rate": targets.slippage_rate,
        "lot_size": rules.lot_size,
        "tick_size": rules.tick_size,
        "bound_rate": rules.order_bound_bps / _BPS if rules.order_kind == MARKETABLE_LIMIT else None,
    }
    arrays = {
        "opens": targets.fills,
        "closes": targets.closes,
        "marks": carried_forward(targets.closes),
        "decided": targets.decided,
    }
    if whole.volumes is not None and np.isfinite(rules.participation):
        # -1: any amount. A bar without volume quotes nothing, which is an open that is not there.
        known = np.nan_to_num(whole.volumes, nan=-1.0)
        arrays["most_lots"] = np.where(
            known < 0, -1, np.floor(rules.participation * known / rules.lot_size)
        ).astype(np.int64)
        arrays["opens"] = np.where(arrays["most_lots"] == 0, np.nan, targets.fills)
    return pack(settings, **arrays)


def _require_same_books(fills: FillTable, start: float, cash: float, positions: FloatArray) -> None:
    """Compare nautilus' own account with the sum of its fills: each booking is rounded to 1e-8 twice.

    Raises
    ------
    SimulatorError
        If they disagree: then its fills are not what it did.
    """
    summed = start - float((fills.units * fills.prices + fills.fees).sum())
    allowed = (2 * len(fills) + 1) * 10.0**-PRICE_DIGITS + 1e-12 * max(abs(start), abs(summed)) * len(fills)
    if abs(summed - cash) > allowed:
        raise SimulatorError(f"nautilus: its account holds {cash}, its fills leave {summed}")
    held = np.bincount(fills.instruments, weights=fills.units, minlength=len(positions))
    if not np.allclose(held, positions, rtol=1e-9, atol=1e-9):
        place = int(np.argmax(np.abs(held - positions)))
        raise SimulatorError(
            f"nautilus: it holds {positions[place]} of instrument {place}, its fills {held[place]}"
        )
