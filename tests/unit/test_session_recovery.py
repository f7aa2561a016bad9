"""A session that died anywhere goes on as if it had not; one whose history does not hold goes nowhere."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.errors import InputError, JournalCode, JournalError, RefusedError
from engine.domain.panel import Panel
from engine.features.strategy import Strategy
from engine.journal.chain import Status
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.reading import Record, read, verify
from engine.journal.storage import BALLAST, LOG, File, PosixStorage
from engine.session import session as sessions
from engine.session.feed import FEED, Replay
from engine.session.session import Beginning, Ending, Ports, Sources, open_session, run
from engine.session.snapshot import SNAPSHOT, Place, Snapshot, load, save
from engine.session.start import FedData, SessionStart
from engine.session.trader import Trader
from strategies.mean_reversion import MeanReversion
from strategies.trend import Trend
from tests.every_order import EveryOrder
from tests.recorded import WALK, lively_panel, passport_of, record

PANEL = lively_panel(160)
STRATEGY = EveryOrder(length=8)
QUICK = Trend(fast=5, slow=40)


class DiedError(BaseException):
    """The process is gone."""


@contextmanager
def dying_at(write: int, share: float, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process die in the middle of the given write to a log, when that share of it is on the disk."""
    writes = 0
    usual = PosixStorage.write

    def write_and_die(storage: PosixStorage, file: File, data: bytes | memoryview, offset: int) -> int:
        nonlocal writes
        if file is File.LOG:
            writes += 1
            if writes == write:
                usual(storage, file, bytes(data)[: int(len(data) * share)], offset)
                raise DiedError
        return usual(storage, file, data, offset)

    with patch.context() as patched:
        patched.setattr(PosixStorage, "write", write_and_die)
        yield


def facts(folder: Path) -> list[tuple[str, Mapping[str, Any]]]:
    return [(record.kind.name, record.body) for record in read(folder) if record.kind < 100]


def content(folder: Path) -> str:
    found = verify(folder)
    assert found.status is Status.CLEAN
    return found.content_hash


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("undisturbed") / "session", STRATEGY, PANEL)


def test_this_session_does_all_that_can_be_lost(undisturbed: Path) -> None:
    kinds = [name for name, _ in facts(undisturbed)]

    assert kinds[0] == "SESSION_STARTED"
    assert kinds[-1] == "SESSION_FINISHED"
    assert kinds.count("DECISION") == kinds.count("BAR") == len(PANEL)
    for name in ("WEIGHTS", "ORDER", "FILL", "ORDER_CLOSED", "CASH"):
        assert kinds.count(name) > 3, name


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("write", [1, 2, 3, 7, 19, 40, 63, 80])
def test_a_session_that_dies_while_a_batch_is_written_goes_on_as_if_it_had_not(
    write: int, share: float, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying_at(write, share, monkeypatch), pytest.raises(DiedError):
        record(tmp_path / "session", STRATEGY, PANEL)

    record(tmp_path / "session", STRATEGY, PANEL)

    assert content(tmp_path / "session") == content(undisturbed)


def test_a_session_that_dies_again_and_again_doubles_nothing(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    deaths = 0
    while True:
        try:
            # The first write of a restart makes the old end safe; the others are new.
            with dying_at(3 + deaths % 5, 0.3 * (deaths % 4), monkeypatch):
                record(folder, STRATEGY, PANEL)
        except DiedError:
            deaths += 1
            continue
        break

    assert deaths > 10
    assert facts(folder) == facts(undisturbed)
    assert content(folder) == content(undisturbed)
    resumed = [record.body for record in read(folder) if record.kind is Kind.SESSION_RESUMED]
    assert len(resumed) >= deaths - 1
    assert all(body["sequence"] > 0 for body in resumed)


def test_a_session_that_is_stopped_says_so_and_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    for bars in (0, 1, 70, 30):
        record(folder, STRATEGY, PANEL, stop_after=bars)
    record(folder, STRATEGY, PANEL)

    stops = [record.body["row"] for record in read(folder) if record.kind is Kind.SESSION_INTERRUPTED]
    assert stops == [0, 1, 71, 101]
    assert content(folder) == content(undisturbed)


def test_base_weights_that_were_solved_are_not_solved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = lively_panel(120)
    whole = record(tmp_path / "whole", QUICK, panel, plan=WALK)
    folder = record(tmp_path / "session", QUICK, panel, plan=WALK, stop_after=75)
    (folder / SNAPSHOT).unlink()
    solved = []
    from engine.pipeline import planning

    usual = planning.window_weights

    def counted(*arguments: Any, **named: Any) -> Any:
        solved.append(named["index"])
        return usual(*arguments, **named)

    monkeypatch.setattr(planning, "window_weights", counted)
    record(folder, QUICK, panel, plan=WALK)

    # Windows begin at rows 40, 50, 60 and 70; at row 75 four of them were facts.
    assert solved == [4, 5, 6, 7]
    assert content(folder) == content(whole)


# ----------------------------------------------------------------------------------------------- durable


def batches(folder: Path) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for entry in read(folder):
        found.setdefault(entry.batch, []).append(entry)
    return found


def test_an_order_is_safe_before_a_bar_that_could_fill_it(undisturbed: Path) -> None:
    written = {
        (entry.kind, entry.body["order"], entry.body["row"]): entry.batch
        for entry in read(undisturbed)
        if entry.kind in (Kind.ORDER, Kind.FILL)
    }
    ordered = {order: (batch, row) for (kind, order, row), batch in written.items() if kind is Kind.ORDER}

    later = 0
    for (kind, order, row), batch in written.items():
        if kind is Kind.FILL and order is not None and ordered[order][1] < row:
            assert ordered[order][0] < batch
            later += 1
    assert later > 10


def test_a_bar_that_did_something_ends_its_batch_and_at_most_64_bars_share_one(undisturbed: Path) -> None:
    sizes = []
    for batch in batches(undisturbed).values():
        rows = [entry.body["row"] for entry in batch if entry.kind is Kind.BAR]
        sizes.append(len(rows))
        loud = {
            entry.body["row"]
            for entry in batch
            if entry.kind in (Kind.ORDER, Kind.FILL, Kind.ORDER_CLOSED, Kind.CASH, Kind.WEIGHTS)
        }
        assert loud <= {rows[-1] if rows else None}
    assert max(sizes) <= 64


def test_a_feed_with_a_pace_writes_every_bar_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    opened = open_session(folder, sources())
    assert opened is not None
    with opened.journal:
        ending = run(opened, replace(ports(opened), quiet_bars=1))

    assert ending is Ending.FINISHED
    bars = [sum(entry.kind is Kind.BAR for entry in batch) for batch in batches(folder).values()]
    assert set(bars[1:-1]) == {1}


def sources(runs: Strategy = QUICK, **changes: Any) -> Sources:
    start = SessionStart(
        passport=passport_of(runs, PANEL),
        data=FedData.of(PANEL, set_hash="a" * 64),
        origin_at=int(PANEL.timestamps[0]),
        start_row=0,
        rows=len(PANEL),
    )
    usual = Sources(
        begin=lambda: Beginning(start=start, strategy=runs, fed=PANEL),
        strategy=lambda _passport: runs,
        panel=lambda _name: PANEL,
        clock=lambda: 0,
    )
    return replace(usual, **changes)


def ports(opened: sessions.Session, stop_after: int = 10**9) -> Ports:
    left = iter(range(stop_after))
    return Ports(
        feed=Replay(opened.fed, opened.trader.fields),
        watch=lambda _worked: None,
        is_stopping=lambda: next(left, None) is None,
    )


def stopped(folder: Path, bars: int, **changes: Any) -> Path:
    opened = open_session(folder, sources(**changes))
    assert opened is not None
    with opened.journal:
        assert run(opened, ports(opened, bars)) is Ending.INTERRUPTED
    return folder


def gone_on(folder: Path, **changes: Any) -> bool:
    """Go on to the end; say whether the session was resumed."""
    opened = open_session(folder, sources(**changes))
    assert opened is not None
    with opened.journal:
        assert run(opened, ports(opened)) is Ending.FINISHED
    return opened.is_resumed


# ---------------------------------------------------------------------------------------------- snapshot


def spoiled(folder: Path) -> None:
    data = bytearray((folder / SNAPSHOT).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / SNAPSHOT).write_bytes(data)


def wrong_snapshot(folder: Path) -> Snapshot:
    """Return the snapshot of a folder with a state that would give every later order another number."""
    snapshot = load(folder)
    assert snapshot is not None
    counts = np.array(snapshot.state["counts"].tolist()) + 100
    return Snapshot(place=snapshot.place, state={**snapshot.state, "counts": counts})


def of_another_core(folder: Path) -> None:
    wrong = wrong_snapshot(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.session.snapshot.CORE_VERSION", "0" * 16)
        save(folder, wrong)


def of_another_end(folder: Path) -> None:
    wrong = wrong_snapshot(folder)
    place = Place(end=wrong.place.end, next_sequence=wrong.place.next_sequence, head="0" * 64)
    save(folder, Snapshot(place=place, state=wrong.state))


def of_another_past(folder: Path) -> None:
    of_another_end(folder)
    wrong = (folder / SNAPSHOT).read_bytes()
    stopped(folder, 20)
    (folder / SNAPSHOT).write_bytes(wrong)


def of_another_session(folder: Path) -> None:
    other = stopped(folder.parent / "other", 90, runs=MeanReversion())
    shutil.copy(other / SNAPSHOT, folder / SNAPSHOT)


def with_a_part_missing(folder: Path) -> None:
    snapshot = load(folder)
    assert snapshot is not None
    state = {name: values for name, values in snapshot.state.items() if name != "counts"}
    save(folder, Snapshot(place=snapshot.place, state=state))


def in_the_middle_of_a_batch(folder: Path) -> None:
    snapshot = load(folder)
    assert snapshot is not None
    place = snapshot.place
    moved = Place(end=place.end - 8, next_sequence=place.next_sequence, head=place.head)
    save(folder, Snapshot(place=moved, state=snapshot.state))


def newer_than_the_journal(folder: Path) -> None:
    later = stopped(folder.parent / "later", 130)
    shutil.copy(later / SNAPSHOT, folder / SNAPSHOT)


def gone(folder: Path) -> None:
    (folder / SNAPSHOT).unlink()


@pytest.mark.parametrize(
    "harm",
    [
        spoiled,
        of_another_core,
        of_another_end,
        of_another_past,
        of_another_session,
        with_a_part_missing,
        in_the_middle_of_a_batch,
        newer_than_the_journal,
        gone,
    ],
)
def test_a_snapshot_that_does_not_fit_is_done_without(harm: Callable[[Path], None], tmp_path: Path) -> None:
    whole = record(tmp_path / "whole", QUICK, PANEL)
    folder = stopped(tmp_path / "session", 90)
    harm(folder)

    assert gone_on(folder)

    assert facts(folder)[1:] == facts(whole)[1:]


def test_a_snapshot_spares_the_bars_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stopped(tmp_path / "session", 90)
    again: list[int] = []
    usual = Trader.work_again

    def counted(trader: Trader, bar: Any, planned: Any) -> Any:
        again.append(bar.row)
        return usual(trader, bar, planned)

    monkeypatch.setattr(Trader, "work_again", counted)
    opened = open_session(folder, sources())
    assert opened is not None
    opened.journal.close()
    assert again == []
    (folder / SNAPSHOT).unlink()
    opened = open_session(folder, sources())
    assert opened is not None
    opened.journal.close()

    assert again == list(range(90))


def test_a_snapshot_is_taken_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SNAPSHOT_BARS", 50)
    with dying_at(10**9, 0.0, monkeypatch):
        whole = tmp_path / "session"
        gone_on(whole)

    kept = load(whole)
    assert kept is not None
    assert kept.state["pipeline.next_row"].tolist() == [150]


# ------------------------------------------------------------------------------------------------ refused


def rewritten(folder: Path, change: Callable[[Kind, dict[str, Any]], dict[str, Any] | None]) -> Path:
    """Write a whole, valid journal that says something else."""
    target = folder.parent / "rewritten"
    with Journal.create(target, clock=lambda: 0) as journal:
        for entry in read(folder):
            body = change(entry.kind, dict(entry.body))
            if body is not None:
                journal.append([(entry.kind, body)])
    shutil.copy(folder / FEED, target / FEED)
    return target


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Kind.DECISION, "lots", [1, 1, 1, 1]),
        (Kind.BAR, "day_end", False),
        (Kind.WEIGHTS, "weights", "0" * 64),
    ],
)
def test_a_record_that_does_not_come_of_the_bars_ends_the_recovery(
    kind: Kind, field: str, value: object, tmp_path: Path
) -> None:
    folder = stopped(tmp_path / "session", 30)

    def change(found: Kind, body: dict[str, Any]) -> dict[str, Any]:
        is_meant = found is kind and body["row"] == (0 if kind is Kind.WEIGHTS else 17)
        return body | {field: value} if is_meant else body

    with pytest.raises(JournalError, match="row") as raised:
        open_session(rewritten(folder, change), sources())

    assert raised.value.code is JournalCode.REPLAY_MISMATCH


@pytest.mark.parametrize("dropped", [Kind.ORDER, Kind.FILL, Kind.BAR])
def test_a_record_that_is_missing_ends_the_recovery(dropped: Kind, tmp_path: Path) -> None:
    folder = stopped(tmp_path / "session", 70)
    rows = {record.body["row"] for record in read(folder) if record.kind is dropped}
    row = min(rows - {0})

    def change(found: Kind, body: dict[str, Any]) -> dict[str, Any] | None:
        return None if found is dropped and body["row"] == row else body

    with pytest.raises(JournalError) as raised:
        open_session(rewritten(folder, change), sources())

    assert raised.value.code is JournalCode.REPLAY_MISMATCH
    # Without its bar the rest stands among the records of the bar before.
    assert f"row {row - 1 if dropped is Kind.BAR else row}:" in str(raised.value)


def test_a_damaged_journal_goes_nowhere(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "session", 30)
    log = bytearray((folder / LOG).read_bytes())
    log[len(log) // 2] ^= 1
    (folder / LOG).write_bytes(log)

    with pytest.raises(JournalError) as raised:
        open_session(folder, sources())

    assert raised.value.code is JournalCode.LEDGER_CORRUPT


def test_a_session_has_one_process(tmp_path: Path) -> None:
    opened = open_session(tmp_path / "session", sources())
    assert opened is not None
    with opened.journal, pytest.raises(JournalError, match=str(os.getpid())) as raised:
        open_session(tmp_path / "session", sources())

    assert raised.value.code is JournalCode.LOCK_HELD


def test_code_that_changed_since_goes_nowhere(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "session", 30)

    with pytest.raises(RefusedError, match="graph of trend"):
        open_session(folder, sources(strategy=lambda _passport: Trend(fast=6, slow=40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "CORE_VERSION", "0" * 16)
        with pytest.raises(RefusedError, match="core version"):
            open_session(folder, sources())

    assert gone_on(folder), "whoever is refused changes nothing"


def test_what_is_finished_does_not_go_on(tmp_path: Path) -> None:
    assert not gone_on(tmp_path / "session")
    before = (tmp_path / "session" / LOG).read_bytes()

    assert open_session(tmp_path / "session", sources()) is None
    assert (tmp_path / "session" / LOG).read_bytes() == before


def test_a_session_on_bars_that_were_imported_anew_does_not_go_on(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "session", 30)

    assert open_session(folder, sources(is_other=lambda start: start.data.set_hash != "b" * 64)) is None
    assert gone_on(folder, is_other=lambda start: start.data.set_hash != "a" * 64)


# --------------------------------------------------------------------------------------------------- feed


def test_bars_that_are_kept_need_no_data_set(tmp_path: Path) -> None:
    def refuse(_name: str) -> Panel:
        raise InputError("the data set is gone")

    folder = stopped(tmp_path / "session", 30)

    assert gone_on(folder, panel=refuse)


@pytest.mark.parametrize("harm", ["missing", "damaged", "other"])
def test_bars_that_are_not_kept_any_more_are_cut_out_again(harm: str, tmp_path: Path) -> None:
    folder = stopped(tmp_path / "session", 30)
    before = (folder / FEED).read_bytes()
    match harm:
        case "missing":
            (folder / FEED).unlink()
        case "damaged":
            (folder / FEED).write_bytes(before[:-100])
        case _:
            np.savez(folder / FEED, close=np.zeros(3))

    assert gone_on(folder)
    assert (folder / FEED).exists()
    assert facts(folder)[1:] == facts(record(tmp_path / "whole", QUICK, PANEL))[1:]


def test_bars_that_are_not_those_of_the_beginning_are_refused(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "session", 30)
    (folder / FEED).unlink()
    close = PANEL.close.copy()
    close[100, 0] += 0.01
    revised = replace(PANEL, close=close)

    with pytest.raises(InputError, match="does not hold the bars any more"):
        open_session(folder, sources(panel=lambda _name: revised))


# --------------------------------------------------------------------------------------------------- disk


def test_a_full_disk_stops_it_and_more_room_lets_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    usual = PosixStorage.free_bytes
    asked = 0

    def fewer(storage: PosixStorage) -> int:
        nonlocal asked
        asked += 1
        return usual(storage) if asked < 20 else 1_000

    with monkeypatch.context() as patch:
        patch.setattr(PosixStorage, "free_bytes", fewer)
        opened = open_session(folder, sources())
        assert opened is not None
        with opened.journal, pytest.raises(JournalError, match="room") as raised:
            run(opened, ports(opened))
        assert raised.value.code is JournalCode.DISK_FULL
        with pytest.raises(JournalError, match="room"):
            open_session(folder, sources())

    assert gone_on(folder)
    assert not (folder / BALLAST).exists()


def test_a_disk_that_fails_ends_it_and_nothing_more_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    opened = open_session(folder, sources())
    assert opened is not None
    seen: list[int] = []

    def fail(_storage: PosixStorage, _file: File) -> None:
        raise OSError(5, "Input/output error")

    def watch(worked: Any) -> None:
        seen.append(worked.bar.row)
        if worked.bar.row == 40:
            monkeypatch.setattr(PosixStorage, "sync", fail)

    with opened.journal, pytest.raises(JournalError) as raised:
        run(opened, replace(ports(opened), watch=watch, quiet_bars=1))
    monkeypatch.undo()

    assert raised.value.code is JournalCode.JOURNAL_IO
    assert seen == list(range(41)), "the bar that could not be written is not even shown"
    assert gone_on(folder)
    assert facts(folder)[1:] == facts(record(tmp_path / "whole", QUICK, PANEL))[1:]
