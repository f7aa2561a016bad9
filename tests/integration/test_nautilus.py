"""Nautilus plays the core's decisions by itself: the same fills by the same rules, orders on its own venue.

What needs nautilus is skipped where it is not installed; the protocol to the worker is tested everywhere.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.peers.measure import PEERS, Peer, plain_equity
from engine.core.settings import UNLIMITED, Costs, Limits, Rules
from engine.domain.errors import InputError, SimulatorError
from engine.domain.orders import OrderKind
from engine.domain.panel import FloatArray
from engine.domain.portfolio import Plan
from engine.features.expression import Expression
from engine.features.operators import atr, close, ema, where
from engine.features.orders import Orders
from engine.pipeline.run import Column, Detail, Outcome, Settings, run_all
from research import nautilus_simulator
from research.nautilus_simulator import MarketTargets, NautilusWorker, available, orders_of, version
from research.nautilus_worker import pack, read_frame, unpack, write_frame
from research.parity_play import nautilus_account
from research.parity_report import Difference, core_account, explain, market_told, targets_of
from research.simulators import TargetRun
from tests.builders import NAN, random_panel

REPOSITORY = Path(__file__).parents[2]
needs_nautilus = pytest.mark.skipif(available() is None, reason="nautilus is not installed: run  make peers")
RULES = Rules(order_bound_bps=200.0)


def targets(closes: FloatArray, decided: FloatArray, **changed: float) -> TargetRun:
    settings = {"cash": 1000.0, "cash_buffer": 0.0, "fee_rate": 0.0, "slippage_rate": 0.0} | changed
    return TargetRun(fills=closes, closes=closes, decided=decided, **settings)


ONE = targets(np.full((3, 1), 10.0), np.full((3, 1), 0.5))


# --- without nautilus ------------------------------------------------------------------------------------


def test_what_is_packed_comes_out_the_same(tmp_path: Path) -> None:
    file = tmp_path / "frames"
    held = np.array([[1.5, NAN], [3.0, 4.0]])
    with file.open("wb") as stream:
        write_frame(stream, pack({"cash": 0.1, "bound": None}, held=held))
        write_frame(stream, b"second")

    with file.open("rb") as stream:
        settings, arrays = unpack(read_frame(stream) or b"")
        second, end = read_frame(stream), read_frame(stream)

    assert settings == {"cash": 0.1, "bound": None}
    assert arrays["held"].tobytes() == held.tobytes()
    assert (second, end) == (b"second", None)


def test_an_interpreter_without_nautilus_is_an_error_and_no_other_answer() -> None:
    # Ours has none: the worker answers with the reason, and lives on to say it again.
    python = Path(sys.executable)
    with NautilusWorker(python) as nautilus:
        for _ in range(2):
            with pytest.raises(SimulatorError, match=r"nautilus: ModuleNotFoundError.*nautilus_trader"):
                nautilus.result(nautilus.submit(ONE))
    with pytest.raises(SimulatorError, match="make peers"):
        version(python)


def test_a_worker_that_dies_is_an_error_and_says_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'no room left' >&2\nexit 3\n")
    script.chmod(0o755)

    with (
        NautilusWorker(script) as nautilus,
        pytest.raises(SimulatorError, match="ended unexpectedly: no room left"),
    ):
        nautilus.result(nautilus.submit(ONE))


def test_a_named_interpreter_that_is_not_there_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAUNTLET_PEERS", "/nowhere/python")

    with pytest.raises(InputError, match="GAUNTLET_PEERS names /nowhere/python"):
        available()


def test_a_named_interpreter_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAUNTLET_PEERS", sys.executable)

    assert available() == Path(sys.executable)


def test_without_the_environment_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GAUNTLET_PEERS", raising=False)
    monkeypatch.setattr(nautilus_simulator, "_OWN_PEERS", tmp_path / "python")

    assert available() is None


def test_a_killed_parent_takes_its_worker_along() -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom research.nautilus_simulator import NautilusWorker\n"
        "with NautilusWorker(Path(sys.executable)) as nautilus:\n"
        "    print(nautilus._process.pid, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=REPOSITORY) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.kill()

    deadline = time.monotonic() + 10.0
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(worker)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and was not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_plain_reckoning_of_the_benchmark_by_hand() -> None:
    # Flat for 100 bars, then up: the fast average is above on bar 100, bought at the open of bar 101.
    closes = np.concatenate([np.full(100, 8.0), np.arange(9.0, 13.0)])
    bars = np.column_stack([closes - 0.5, closes, closes, closes])
    peer = Peer(name="by hand", bars=0, buy_slippage=0.5, sell_slippage=0.0, fee=0.25)

    equity, fills = plain_equity(bars, peer)

    price = 9.5 * 1.5
    assert fills == 1
    assert equity == pytest.approx(1_000_000 - 10 * price * 1.25 + 10 * 12.0)


# --- with nautilus ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nautilus() -> Iterator[NautilusWorker]:
    python = available()
    assert python is not None
    with NautilusWorker(python) as worker:
        yield worker


def play(
    *,
    holes: float = 0.0,
    limits: Limits = UNLIMITED,
    root: Expression | None = None,
    orders: Orders | None = None,
) -> tuple[Settings, Outcome, MarketTargets]:
    panel = random_panel(250, 5, seed=1, holes=holes)
    rows = np.arange(0, len(panel), 20)
    weights = np.random.default_rng(3).dirichlet(np.ones(5), rows.size)
    # Orders that rest are not limited by volume in nautilus, nor by cash.
    rules = RULES if orders is None else RULES._replace(participation=np.inf, cash_buffer=0.25)
    settings = Settings(costs=Costs(), rules=rules, limits=limits)
    roots = orders.roots if orders is not None else ()
    plan = Plan(rows=rows, weights=weights, drift_band=np.inf if roots else 0.05)
    column = Column(plan=plan, root=root, order_roots=roots)
    outcome = run_all(panel, [column], settings, detail=Detail.RECORDS)
    run = targets_of(panel, settings, slice(*outcome.rows), outcome.decided[0])
    return settings, outcome, MarketTargets(targets=run, rules=RULES, volumes=panel.volume)


@needs_nautilus
@pytest.mark.parametrize("limits", [UNLIMITED, Limits()])
def test_nautilus_makes_the_same_fills_as_the_core(nautilus: NautilusWorker, limits: Limits) -> None:
    # Bounds expire, participation and cash cut: nautilus has these rules as well.
    _, outcome, run = play(limits=limits)
    assert {5, 6, 7} & set(np.flatnonzero(outcome.reason_counts[0]))

    answer = nautilus.result(nautilus.submit(run))

    ours = core_account(outcome, RULES).fills
    order = np.lexsort((ours.instruments, ours.rows))
    theirs = answer.fill_table
    other = np.lexsort((theirs.instruments, theirs.rows))
    assert theirs.rows[other].tolist() == ours.rows[order].tolist()
    assert theirs.instruments[other].tolist() == ours.instruments[order].tolist()
    assert_allclose(theirs.units[other], ours.units[order], rtol=0, atol=1.5e-6)
    assert_allclose(theirs.prices[other], ours.prices[order], rtol=0, atol=1e-8)
    assert_allclose(answer.equity, outcome.equity[0], rtol=1e-9)
    assert answer.engine == f"nautilus {version(Path(available() or ''))}"


@needs_nautilus
def test_the_parity_report_explains_all_that_differs_from_nautilus(nautilus: NautilusWorker) -> None:
    settings, outcome, run = play(holes=0.03, limits=Limits())
    panel = random_panel(250, 5, seed=1, holes=0.03)

    theirs = nautilus_account(nautilus.result(nautilus.submit(run)))
    report = explain(market_told(panel, settings, outcome), core_account(outcome, RULES), theirs)

    assert report.agrees
    assert report.unexplained < 1e-9


@needs_nautilus
def test_an_account_by_hand(nautilus: NautilusWorker) -> None:
    # A quarter of 2000 is 50 units at the close of 10; at 20 and 1% more they cost 1010, and a fee of 1%.
    closes = np.array([[10.0], [20.0], [40.0], [40.0]])
    decided = np.array([[0.25], [NAN], [0.0], [NAN]])

    answer = nautilus.result(
        nautilus.submit(targets(closes, decided, cash=2000.0, fee_rate=0.01, slippage_rate=0.01))
    )

    cash = 2000 - 1010 - 10.10
    assert_allclose(answer.equity, [2000.0, cash + 1000.0, cash + 2000.0, cash + 1980 - 19.80])
    assert answer.fills == 2
    assert answer.fees == pytest.approx(29.90)


@needs_nautilus
def test_sells_pay_for_buys_on_the_same_row(nautilus: NautilusWorker) -> None:
    decided = np.array([[0.0, 1.0], [1.0, 0.0], [NAN, NAN], [NAN, NAN]])

    answer = nautilus.result(nautilus.submit(targets(np.full((4, 2), 10.0), decided)))

    assert_allclose(answer.turnover, [0.0, 1.0, 1.0, 0.0], atol=1e-6)
    assert answer.fills == 3


@needs_nautilus
def test_what_nautilus_refuses_is_said_in_its_words(nautilus: NautilusWorker) -> None:
    closes = np.full((3, 1), 10.0)
    with pytest.raises(SimulatorError, match="nautilus: "):
        nautilus.result(nautilus.submit(targets(closes, np.full((3, 1), 0.5), cash=-1.0)))
    # The process lives on.
    assert nautilus.result(nautilus.submit(ONE)).fills == 1


@needs_nautilus
def test_a_nautilus_that_is_killed_is_an_error() -> None:
    python = available()
    assert python is not None
    with NautilusWorker(python) as worker:
        assert worker.result(worker.submit(ONE)).fills == 1
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(SimulatorError, match="ended unexpectedly"):
            worker.result(worker.submit(ONE))


UP = where(close > ema(close, 20), 1.0, 0.0)


@needs_nautilus
@pytest.mark.parametrize(
    ("orders", "apart"),
    [
        (Orders(kind=float(OrderKind.STOP), trigger=close + 0.3 * atr(14)), 1e-5),
        (Orders(kind=float(OrderKind.LIMIT), limit=close - 0.3 * atr(14)), 0.02),
        (Orders(stop_loss=close - 1.5 * atr(14), take_profit=close + 2.0 * atr(14)), 0.02),
        (Orders(trail=2.0 * atr(14)), 0.02),
    ],
)
def test_orders_are_worked_on_the_venue_of_nautilus(
    nautilus: NautilusWorker, orders: Orders, apart: float
) -> None:
    panel = random_panel(250, 5, seed=1)
    settings, outcome, _ = play(root=UP, orders=orders)

    answer = nautilus.result(nautilus.submit(orders_of(panel, settings, outcome, orders.roots)))
    report = explain(
        market_told(panel, settings, outcome, by_orders=True),
        core_account(outcome, RULES),
        nautilus_account(answer),
    )

    assert answer.fills > 50
    assert_allclose(answer.equity, outcome.equity[0], rtol=apart)
    assert report.agrees
    if apart < 1e-3:
        assert Difference.PATH not in report.classes


@needs_nautilus
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_peer_does_the_work_of_the_benchmark(peer: Peer, tmp_path: Path) -> None:
    # Of this seed the first side is down: backtesting.py decides for the first time a bar later than W1.
    panel = random_panel(1500, 1, seed=1)
    grid = 2.0**-20
    columns = (panel.open, panel.high, panel.low, panel.close)
    bars = np.column_stack([np.round(column[:, 0] / grid) * grid for column in columns])
    np.save(tmp_path / "bars.npy", bars)
    script = REPOSITORY / "benchmarks" / "peers" / f"run_{peer.name}.py"

    said = subprocess.run(
        [str(available()), "-I", str(script), str(tmp_path / "bars.npy")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(said.stdout.strip().splitlines()[-1])

    equity, fills = plain_equity(bars, peer)
    assert found["fills"] == fills > 10
    assert found["final_equity"] == pytest.approx(equity, rel=1e-9)
