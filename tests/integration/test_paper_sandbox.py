"""Paper on the practice exchange: bar by bar, hindered, killed, stopped; and always what a backtest does."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from engine.data import catalogue
from engine.domain.errors import JournalError
from engine.domain.time import NANOSECONDS_PER_DAY
from engine.journal.chain import Status
from engine.journal.kinds import Kind
from engine.journal.reading import read, verify
from engine.sandbox.background import BackgroundSandbox, in_background
from engine.sandbox.clock import Clock
from engine.sandbox.market import Market
from engine.sandbox.replay import PanelTape
from engine.sandbox.server import SandboxServer
from tests.paper import answer, engine, log_of, replayed, started
from tests.sandboxes import SEED, set_faults, simulated_market

ROOT = Path(__file__).parents[2]
HOUR = 3_600 * 10**9
# Commands go by the clock of the machine where they do not ask the exchange.
NOW = time.time_ns()  # noqa: TID251
BEGIN = NOW - NOW % NANOSECONDS_PER_DAY - 12 * NANOSECONDS_PER_DAY + 11 * HOUR
# An hour in the tenth part of a second.
FAST = 36_000.0
# Slow enough that a process which takes its time to start finds the exchange where it left it, nearly.
SLOW = 3_600.0
FAULTS = "revised=0.3,missing=0.05,late=0.2,future=0.1,frozen=0.02,truncated=0.01,429=0.01"
_PATIENCE_SECONDS = 120.0


def day(offset: int) -> str:
    """Return the date so many days after that at which the exchange begins."""
    return str((datetime.fromtimestamp(BEGIN // 10**9, UTC) + timedelta(days=offset)).date())


@contextmanager
def exchange(market: Market | None = None, *, start: int = BEGIN) -> Iterator[BackgroundSandbox]:
    """Run an exchange twelve days ago, whose clock stands still."""
    clock = Clock(start=start, speed=0, wall=time.monotonic_ns)
    server = SandboxServer(market or simulated_market(pairs=2), clock, seed=SEED)
    with in_background(server) as running:
        yield running


def run_at(running: BackgroundSandbox, speed: float) -> None:
    """Let the clock of the exchange run."""
    running.change(lambda server: server.exchange.clock.set_speed(speed))


def pulled(running: BackgroundSandbox) -> None:
    """Put twenty days of two instruments into the lake."""
    said = engine(
        "data", "pull", "mine", "--symbols", "BTC/USD,ETH/USD", "--start", day(-20), "--url", running.url
    )
    assert said.code == 0, said.errors


def command(running: BackgroundSandbox, *more: str, data: str = "mine") -> tuple[str, ...]:
    """Return the arguments of a session that nothing promoted."""
    return (
        "paper", "--strategy", "mean_reversion", "--feed", "sandbox", "--data", data, "--url", running.url,
        "--force-research", *more,
    )  # fmt: skip


def proven(running: BackgroundSandbox, session: str) -> dict[str, object]:
    """Bring the lake up to date and compare a session with a backtest of the same bars."""
    assert engine("data", "sync", "--url", running.url).code == 0
    parity = engine("parity", "--session", session, "--json")
    assert engine("replay", "--session", session, "--json").document["replay_parity"] is True
    return dict(parity.document)


def wait_for_bars(home: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a session has decided on so many bars, or the process has ended."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while decided_in(home) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def decided_in(home: Path) -> int:
    """Return of how many bars the only session of a home has written down what it decided."""
    log = log_of(home)
    try:
        return 0 if log is None else sum(record.kind is Kind.DECISION for record in read(log.parent))
    except JournalError:
        # Its files are just being made.
        return 0


@pytest.mark.usefixtures("home")
def test_a_session_trades_each_bar_when_it_is_final_and_equals_a_backtest() -> None:
    with exchange() as running:
        pulled(running)
        # The data set is a day and a half old by then: what came since is history too.
        running.change(lambda server: server.exchange.clock.step(36 * HOUR))
        run_at(running, FAST)

        said = engine(*command(running, "--to", day(6), "--json")).document
        parity = proven(running, said["session_id"])

    records = list(read(Path(said["journal"]).parent))
    start = records[0].body
    opened = [record.body["opened_us"] * 1000 for record in records if record.kind is Kind.BAR]
    assert said["finished"] is True
    assert (start["feed"], start["rows"]) == ("sandbox", None)
    assert opened == list(range(opened[0], opened[-1] + 1, HOUR))
    # The account begins with the first bar that was final after the session began, and ends with the day.
    assert BEGIN + 36 * HOUR - 2 * HOUR <= opened[start["start_row"]] <= BEGIN + 60 * HOUR
    assert str(np.datetime64(opened[-1], "ns"))[:13] == f"{day(6)}T23"
    assert said["bars"] >= 40
    assert said["fills"] > 5
    assert (parity["parity"], parity["fills"], parity["notes"]) == (True, said["fills"], [])


@pytest.mark.usefixtures("home")
def test_a_data_set_that_the_exchange_replays_is_history_up_to_its_clock_and_weekends_have_no_bars() -> None:
    # A Saturday. The data set goes on for years after it.
    start = int(np.datetime64("2014-03-01T18:00", "ns").astype(np.int64))
    with exchange(Market(PanelTape(catalogue.load("planted"), seed=SEED), seed=SEED), start=start) as running:
        # A day in the third part of a second.
        run_at(running, 259_200.0)

        said = engine(*command(running, "--to", "2014-03-31", "--json", data="planted")).document
        parity = engine("parity", "--session", said["session_id"], "--json").document

    records = list(read(Path(said["journal"]).parent))
    decided = {record.body["row"] for record in records if record.kind is Kind.DECISION}
    bars = [record.body for record in records if record.kind is Kind.BAR and record.body["row"] in decided]
    opened = np.array([bar["opened_us"] for bar in bars], dtype="datetime64[us]").astype("datetime64[D]")
    days = np.arange(opened[0], np.datetime64("2014-04-01"))
    assert opened.tolist() == days[np.is_busday(days)].tolist()
    assert np.datetime64("2014-03-03") <= opened[0] <= np.datetime64("2014-03-14")
    assert parity["parity"] is True


@pytest.mark.usefixtures("home")
def test_whatever_goes_wrong_at_the_exchange_changes_nothing_of_what_is_decided() -> None:
    with exchange() as running:
        pulled(running)
        set_faults(
            running, "revised=0.3,missing=0.05,late=0.2,future=0.1,frozen=0.02,truncated=0.01,429=0.01"
        )
        run_at(running, FAST)

        said = engine(*command(running, "--to", day(4), "--json")).document
        set_faults(running, "none")
        parity = proven(running, said["session_id"])

    assert said["bars"] >= 40
    assert parity["parity"] is True


def test_a_session_that_is_killed_and_stopped_goes_on_with_the_bar_that_comes_next(home: Path) -> None:
    with exchange() as running:
        pulled(running)
        run_at(running, SLOW)
        for stop in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
            process = started(command(running, "--to", day(9)), project=ROOT, home=home)
            wait_for_bars(home, decided_in(home) + 5, process)
            process.send_signal(stop)
            stopped = answer(process)
        run_at(running, FAST)
        said = engine(*command(running, "--to", day(9), "--json")).document
        parity = proven(running, said["session_id"])

    folder = Path(said["journal"]).parent
    rows = [record.body["row"] for record in read(folder) if record.kind is Kind.BAR]
    assert stopped.code == 130
    assert "INTERRUPTED" in stopped.output
    assert (said["resumed"], said["finished"]) == (True, True)
    assert verify(folder).status is Status.CLEAN
    assert rows == list(range(len(rows)))
    assert parity["parity"] is True


def test_who_waits_is_told_why_and_ends_when_he_wants(home: Path) -> None:
    with exchange() as running:
        pulled(running)
        run_at(running, FAST)
        process = started(command(running), project=ROOT, home=home)
        wait_for_bars(home, 10, process)
        set_faults(running, "frozen")
        time.sleep(2.0)
        known = decided_in(home)
        time.sleep(1.0)
        assert decided_in(home) == known
        process.send_signal(signal.SIGINT)
        stopped = answer(process)

    assert stopped.code == 130
    assert stopped.errors.count("DATA_STALE") == 1
    assert "shows no trade after the bar of" in stopped.errors


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--from", day(1)), "--from is for --feed replay"),
        (("--speed", "10"), "--speed is for --feed replay"),
        (("--to", day(-3)), "is over: at the exchange it is"),
    ],
)
def test_what_says_nothing_on_a_feed_is_refused_and_leaves_nothing_behind(
    home: Path, more: tuple[str, ...], says: str
) -> None:
    with exchange() as running:
        pulled(running)
        refused = engine(*command(running, *more))

    assert refused.code == 2
    assert says in refused.errors
    assert log_of(home) is None


@pytest.mark.parametrize(
    ("feed", "option", "says"),
    [
        ("sandbox", ("--speed", "10"), "--speed is for --feed replay"),
        ("replay", ("--url", "http://127.0.0.1:8787"), "--feed replay asks none"),
    ],
)
def test_what_says_nothing_on_the_feed_of_a_session_is_refused_when_it_goes_on_and_writes_nothing(
    home: Path, feed: str, option: tuple[str, ...], says: str
) -> None:
    with exchange() as running:
        pulled(running)
        run_at(running, FAST)
        begins = (
            command(running) if feed == "sandbox" else replayed("mean_reversion", "mine", "--speed", "20")
        )
        process = started(begins, project=ROOT, home=home)
        wait_for_bars(home, 2, process)
        process.send_signal(signal.SIGINT)
        assert answer(process).code == 130
    log = log_of(home)
    assert log is not None
    before = log.read_bytes()

    refused = engine("paper", "--session", log.parent.name, *option)

    assert refused.code == 2
    assert says in refused.errors
    assert log.read_bytes() == before


def test_an_exchange_that_is_not_there_is_said_at_once_and_leaves_nothing_behind(home: Path) -> None:
    with exchange() as running:
        pulled(running)

    refused = engine(*command(running))

    assert refused.code == 2
    assert "kraken: gave no answer in 3 attempts" in refused.errors
    assert log_of(home) is None
