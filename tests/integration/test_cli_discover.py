"""`engine discover` as a person or a script meets it, on data sets of a lake."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.data import catalogue
from engine.data.series import BookSeries, SeriesKey, SeriesKind
from engine.discovery import run as runs
from engine.domain.panel import FloatArray
from engine.home import runs_folder, scans_folder
from engine.journal.reading import verify
from engine.journal.scans import scans
from tests.scans import day, in_lake, walk

pytestmark = pytest.mark.usefixtures("home")

DAYS = 500
SCAN = """\
layer: L4
universe:
  exclude: [OUT/USD]
venue:
  venue_class: crypto
  venues: [kraken]
asset:
  history_bars_min: 100
  dollar_volume_min: 1000000
signal:
  strategy: trend
  parameters: {fast: 5, slow: 40}
"""


def rising(start: float = 100.0) -> FloatArray:
    return np.asarray(start * np.exp(np.linspace(0, 1, DAYS)))


def data() -> dict[str, FloatArray]:
    young = rising()
    young[: DAYS - 160] = np.nan
    return {
        "UP/USD": rising(),
        "DOWN/USD": rising()[::-1].copy(),
        "THIN/USD": rising(0.01),
        "NEW/USD": young,
        "OUT/USD": rising(),
    }


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(SCAN)
    return path


def engine(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def discover(config: Path, *more: str, name: str = "scanned") -> Result:
    return engine("discover", "--config", config, "--data", name, *more)


def document(result: Result) -> dict[str, Any]:
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    return parsed


def test_a_scan_tells_counts_reasons_and_the_next_command(config: Path) -> None:
    in_lake(data())

    result = discover(config)

    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [
        "✓",
        "mine",
        "1",
        "of",
        "5",
        "instruments",
        "of",
        "scanned",
        "at",
        "2024-02-05T00:00:00Z",
    ] in lines
    assert ["universe", "5", "4", "1", "EXCLUDED"] in lines
    assert ["venue", "4", "4"] in lines
    assert ["asset", "4", "2", "1", "HISTORY_SHORT,", "1", "VOLUME_LOW"] in lines
    assert ["signal", "2", "1", "1", "SIGNAL_OFF"] in lines
    assert ["UP/USD", "kraken"] in [line[:2] for line in lines]
    assert "next   the same with --at TIME --freeze NAME" in result.stdout


def test_the_file_is_what_the_screen_says_and_the_same_scan_writes_the_same_bytes(config: Path) -> None:
    in_lake(data())

    told = document(discover(config, "--json"))
    path = Path(told["path"])
    first = path.read_bytes()
    path.unlink()
    discover(config)

    written = json.loads(first)
    assert path == runs_folder() / told["scan_id"] / "portfolio_candidates_raw.json"
    assert {**written, "path": told["path"], "frozen": None} == told
    assert written["symbols"] == ["UP/USD"]
    assert (written["market"], written["days_per_year"]) == ("cash", 365)
    assert path.read_bytes() == first


def test_the_intent_is_on_record_before_a_bar_is_read(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_lake(data())

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(runs, "look", cut_off)
        assert discover(config).exit_code == 130
    told = document(discover(config, "--json"))

    first, second = scans(scans_folder())
    assert (first.intent["data"], first.outcome) == ("scanned", None)
    assert second.outcome is not None
    assert second.outcome["content_hash"] == told["content_hash"]
    assert second.outcome["fallen"] == {
        "EXCLUDED": 1,
        "HISTORY_SHORT": 1,
        "VOLUME_LOW": 1,
        "SIGNAL_OFF": 1,
    }
    assert verify(scans_folder()).status == "CLEAN"
    assert "SCAN_FINISHED" in engine("journal", "tail", "--scans").stdout


def test_nothing_is_scanned_that_cannot_be_put_on_record(config: Path) -> None:
    in_lake(data())
    discover(config)
    log = scans_folder() / "journal.log"
    log.write_bytes(b"x" + log.read_bytes()[1:])
    for path in runs_folder().glob("scan-*/*"):
        path.unlink()

    result = discover(config)

    assert result.exit_code == 1
    assert "LEDGER_CORRUPT" in result.stderr
    assert list(runs_folder().glob("scan-*/*")) == []


def test_a_scan_that_fails_says_why_on_the_screen_and_on_record(config: Path) -> None:
    in_lake(data())
    config.write_text(SCAN.replace("strategy: trend", "strategy: trand"))

    result = discover(config)

    assert result.exit_code == 2
    assert "no strategy 'trand' in strategies/, did you mean 'trend'?" in result.stderr
    (failed,) = scans(scans_folder())
    assert failed.outcome is not None
    assert failed.outcome["problem"].startswith("no strategy 'trand'")
    assert list(runs_folder().glob("scan-*")) == []


def test_sealed_bars_are_neither_read_nor_scanned(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = in_lake(data())
    read = []

    def load(name: str, *, sealed: bool = True, as_of: int | None = None) -> object:
        read.append(sealed)
        return whole(name, sealed=sealed, as_of=as_of)

    whole = catalogue.load
    monkeypatch.setattr(catalogue, "load", load)
    told = document(discover(config, "--json"))
    late = discover(config, "--at", "2024-03-01")

    assert read == [True, True]
    # One day in five is sealed: the last close that may be seen is the open of the first sealed bar.
    assert int(told["inputs"]["at_ns"]) == frozen.sealed_from == day(400)
    assert late.exit_code == 2
    assert "the bars after 2024-02-05 00:00 UTC are sealed" in late.stderr


def test_a_scan_of_the_past_is_not_changed_by_what_came_since(config: Path) -> None:
    moment = ("--at", "2023-10-01", "--json")
    old = {symbol: values for symbol, values in data().items() if symbol != "NEW/USD"}
    in_lake({symbol: values[:400] for symbol, values in old.items()})
    before = document(discover(config, *moment))
    in_lake(old)
    after = document(discover(config, *moment))

    assert catalogue.lake().versions("scanned") == [1, 2]
    assert after == before


def test_what_was_learned_after_a_moment_is_not_seen_as_of_it(config: Path) -> None:
    in_lake({"UP/USD": rising()[:300]}, learned=day(300))
    revised = rising()
    revised[200] = 1e-6
    in_lake({"UP/USD": revised}, learned=day(600))
    asked = ("--at", "2023-08-01", "--json")

    now = document(discover(config, *asked))
    then = document(discover(config, *asked, "--as-of", "2023-12-01"))
    too_early = discover(config, *asked, "--as-of", "2023-10-01")

    assert now["inputs"]["bars"] != then["inputs"]["bars"]
    assert now["scan_id"] != then["scan_id"]
    assert [entry["close"] for entry in then["candidates"]] == [rising()[211]]
    assert too_early.exit_code == 2
    assert "scanned" in too_early.stderr


def test_nothing_found_is_exit_1(config: Path) -> None:
    in_lake({"DOWN/USD": rising()[::-1].copy(), "THIN/USD": rising(0.01)})

    result = discover(config)

    assert result.exit_code == 1
    assert "✕ mine   0 of 2 instruments" in result.stdout
    assert "next   look at what fell and why" in result.stdout


def test_a_pool_is_frozen_from_the_scan_on_and_can_be_played_on(config: Path) -> None:
    in_lake(data())

    told = document(discover(config, "--at", "2023-10-01", "--freeze", "pool", "--json"))

    panel = catalogue.load("pool")
    manifest = catalogue.manifest("pool")
    assert panel.symbols == ("UP/USD",)
    # What the choice saw is not in it, and what is sealed in the source is sealed in the pool.
    assert int(panel.timestamps[0]) == day(273)
    assert int(panel.timestamps[-1]) == day(399)
    assert told["frozen"]["name"] == "pool"
    assert told["frozen"]["first"] == "2023-10-01T00:00:00Z"
    assert manifest.notes == (f"Universe: mine, 1 chosen at 2023-10-01 00:00 UTC by {told['scan_id']}.",)
    assert engine("backtest", "--strategy", "buy_and_hold", "--data", "pool").exit_code == 0


def test_bars_that_the_choice_saw_are_frozen_only_when_asked_for_and_the_data_set_says_so(
    config: Path,
) -> None:
    in_lake(data())

    discover(config, "--at", "2023-10-01", "--freeze", "pool", "--seen-bars", "50")

    assert int(catalogue.load("pool").timestamps[0]) == day(273 - 50)
    (note,) = catalogue.manifest("pool").notes
    assert note.endswith("the first 50 bars were seen by the choice.")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--freeze", "us20"), "a data set us20 exists already"),
        (("--freeze", "scanned"), "scanned is the data set that was scanned"),
        (("--freeze", "pool"), "all of its bars are sealed"),
        (("--at", "2023-10-01", "--freeze", "pool", "--seen-bars", "274"), "the scan saw 273 bars"),
        (("--at", "2022-10-01"), "no bar was closed at 2022-10-01 00:00 UTC"),
    ],
)
def test_what_cannot_be_is_refused_in_one_message(config: Path, more: tuple[str, ...], said: str) -> None:
    in_lake(data())

    result = discover(config, *more)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "pool" not in catalogue.lake_names()


def test_a_set_outside_the_lake_is_scanned_and_not_frozen(config: Path) -> None:
    config.write_text("layer: L4\nvenue: {venue_class: equity}\n")

    scanned = discover(config, "--at", "2005-01-01", "--json", name="us20")
    frozen = discover(config, "--freeze", "mine", name="us20")

    assert len(document(scanned)["symbols"]) == 20
    assert frozen.exit_code == 2
    assert "us20 is not in the lake" in frozen.stderr


def test_the_spread_is_that_of_the_quotes_that_were_known_before_the_scan(config: Path) -> None:
    in_lake({"A/USD": rising(), "B/USD": rising()})
    key = SeriesKey(venue="kraken", kind=SeriesKind.QUOTES, instrument="A/USD")
    # Two basis points, wider for one moment; a month before and after the scan it was another one.
    spreads = {day(240): 90.0, day(270): 2.0, day(271): 2.0, day(272): 50.0, day(273): 70.0}
    quotes = BookSeries(
        stamps=np.array(list(spreads), dtype=np.int64),
        levels=np.zeros(5, dtype=np.int64),
        bid=np.array([100 - spread / 200 for spread in spreads.values()]),
        bid_amount=np.ones(5),
        ask=np.array([100 + spread / 200 for spread in spreads.values()]),
        ask_amount=np.ones(5),
    )
    catalogue.lake().append(key, quotes, known_at=day(2000), source="test", run="two")

    told = document(discover(config, "--at", "2023-10-01", "--json"))

    found = {entry["symbol"]: entry["spread_bps"] for entry in told["candidates"]}
    assert found == {"A/USD": pytest.approx(2.0), "B/USD": None}


def test_a_walk_of_a_sandbox_is_found_as_what_it_is(config: Path) -> None:
    in_lake({"A/USD": walk(3, DAYS, drift=0.01)}, venue="kraken@sandbox")

    told = document(discover(config, "--json"))

    assert told["synthetic"] is True
    assert [entry["venue"] for entry in told["candidates"]] == ["kraken"]
