"""Appending to the lake, by small cases worked out by hand."""

import errno
import math
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.data.lake import files, growth, layout
from engine.data.lake.corrections import CorrectionKind
from engine.data.lake.lake import Lake
from engine.data.lake.parts import encode_rows
from engine.data.lake.problems import ProblemKind
from engine.data.lake.rows import of_series
from engine.data.series import BarSeries, SeriesKey, SeriesKind, TradeSeries
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, BTC_TRADES, ETH, HOUR, START, bars, closes, same_bytes, trades

EARLY, LATER, LAST = 10**18, 2 * 10**18, 3 * 10**18


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def append(
    lake: Lake, values: dict[int, float], known_at: int = EARLY, run: str = "run-1"
) -> tuple[int, ...]:
    found = lake.append(BTC, bars(values), known_at=known_at, source="test", run=run)
    return found.new, found.same, found.corrected, found.late


def tree(lake: Lake) -> dict[str, bytes]:
    return {
        str(path.relative_to(lake.root)): path.read_bytes() for path in lake.root.rglob("*") if path.is_file()
    }


def test_what_was_appended_is_read_bit_for_bit(lake: Lake) -> None:
    given = bars({0: 10.0, 1: 11.25, 2: 1 / 3, 30: 13.0})

    lake.append(BTC, given, known_at=EARLY, source="test", run="run-1")

    assert same_bytes(lake.read(BTC), given)
    assert lake.watermark(BTC) == START + 30 * HOUR
    assert lake.series() == [BTC]


def test_a_part_lies_where_its_venue_timeframe_instrument_and_month_say(lake: Lake) -> None:
    append(lake, {0: 10.0, 2: 11.0})

    folders = {path.parent.relative_to(lake.root) for path in lake.root.rglob("part-*.parquet")}

    # Two hours after START February begins.
    assert folders == {
        Path("bars/kraken/1h/BTC%2FUSD/2024-01"),
        Path("bars/kraken/1h/BTC%2FUSD/2024-02"),
    }


def test_a_part_says_when_and_by_which_run_its_rows_were_learned(lake: Lake) -> None:
    append(lake, {0: 10.0, 1: 11.0}, known_at=EARLY, run="run-7")

    (path,) = lake.root.rglob("part-*.parquet")
    table = pq.ParquetFile(path).read().to_pydict()

    assert table["known_at"] == [EARLY, EARLY]
    assert table["run"] == ["run-7", "run-7"]
    assert table["close"] == [10.0, 11.0]


def test_the_same_bars_again_write_nothing_whenever_they_come(lake: Lake) -> None:
    append(lake, {0: 10.0, 1: 11.0, 2: 12.0})
    before = tree(lake)

    found = append(lake, {1: 11.0, 2: 12.0}, known_at=LATER, run="run-2")

    assert found == (0, 2, 0, 0)
    assert tree(lake) == before


def test_an_unknown_volume_is_the_same_as_an_unknown_volume(lake: Lake) -> None:
    given = replace(bars({0: 10.0}), volume=np.array([math.nan]))
    lake.append(BTC, given, known_at=EARLY, source="test", run="run-1")

    again = lake.append(BTC, given, known_at=LATER, source="test", run="run-2")

    assert (again.same, again.corrected) == (1, 0)


def test_minus_zero_is_zero(lake: Lake) -> None:
    lake.append(
        BTC, replace(bars({0: 10.0}), volume=np.array([0.0])), known_at=EARLY, source="test", run="run-1"
    )

    found = lake.append(
        BTC, replace(bars({0: 10.0}), volume=np.array([-0.0])), known_at=LATER, source="test", run="run-1"
    )

    assert found.same == 1


def test_another_value_is_a_correction_with_its_evidence_and_the_old_part_stays(lake: Lake) -> None:
    append(lake, {0: 10.0, 1: 11.0})
    before = tree(lake)

    found = append(lake, {1: 11.5}, known_at=LATER, run="run-2")

    assert found == (0, 0, 1, 0)
    assert closes(lake.read(BTC)) == {0: 10.0, 1: 11.5}
    assert before.items() <= tree(lake).items()
    listed = {
        (line.field, line.old, line.new, line.known_at, line.run, line.kind) for line in lake.corrections(BTC)
    }
    # The bars of these tests move open, high and low with the close; the volume is the same.
    assert listed == {
        ("open", 10.5, 11.0, LATER, "run-2", CorrectionKind.REVISED),
        ("high", 12.0, 12.5, LATER, "run-2", CorrectionKind.REVISED),
        ("low", 10.0, 10.5, LATER, "run-2", CorrectionKind.REVISED),
        ("close", 11.0, 11.5, LATER, "run-2", CorrectionKind.REVISED),
    }


def test_corrections_can_be_asked_for_since_a_moment(lake: Lake) -> None:
    append(lake, {0: 10.0})
    append(lake, {0: 10.5}, known_at=LATER)
    append(lake, {0: 10.75}, known_at=LAST)

    assert {line.new for line in lake.corrections(BTC, since=LAST) if line.field == "close"} == {10.75}


def test_a_bar_between_known_ones_is_late_and_is_listed(lake: Lake) -> None:
    append(lake, {0: 10.0, 4: 14.0})

    found = append(lake, {2: 12.0}, known_at=LATER)

    assert found == (0, 0, 0, 1)
    assert closes(lake.read(BTC)) == {0: 10.0, 2: 12.0, 4: 14.0}
    (line,) = lake.corrections(BTC)
    assert (line.kind, line.stamp, line.new) == (CorrectionKind.LATE, START + 2 * HOUR, 12.0)
    assert math.isnan(line.old)


def test_history_before_the_first_bar_is_new_and_not_late(lake: Lake) -> None:
    append(lake, {10: 20.0})

    assert append(lake, {0: 10.0, 5: 15.0, 11: 21.0}, known_at=LATER) == (3, 0, 0, 0)
    assert lake.corrections(BTC) == []


def test_a_late_bar_can_be_revised_like_any_other(lake: Lake) -> None:
    append(lake, {0: 10.0, 4: 14.0})
    append(lake, {2: 12.0}, known_at=LATER)

    append(lake, {2: 12.5}, known_at=LAST)

    assert closes(lake.read(BTC))[2] == 12.5
    assert closes(lake.read(BTC, as_of=LATER))[2] == 12.0


def test_a_value_that_is_taken_back_is_two_corrections(lake: Lake) -> None:
    for known_at, close in ((EARLY, 10.0), (LATER, 10.5), (LAST, 10.0)):
        append(lake, {0: close}, known_at=known_at)

    assert closes(lake.read(BTC)) == {0: 10.0}
    assert closes(lake.read(BTC, as_of=LATER)) == {0: 10.5}
    assert [(line.old, line.new) for line in lake.corrections(BTC) if line.field == "close"] == [
        (10.0, 10.5),
        (10.5, 10.0),
    ]


def test_one_append_may_hold_new_same_revised_and_late_bars(lake: Lake) -> None:
    append(lake, {1: 11.0, 2: 12.0, 4: 14.0})

    assert append(lake, {0: 10.0, 1: 11.0, 2: 12.5, 3: 13.0, 4: 14.0, 5: 15.0}, known_at=LATER) == (
        2,
        2,
        1,
        1,
    )
    assert closes(lake.read(BTC)) == {0: 10.0, 1: 11.0, 2: 12.5, 3: 13.0, 4: 14.0, 5: 15.0}
    assert closes(lake.read(BTC, as_of=EARLY)) == {1: 11.0, 2: 12.0, 4: 14.0}


def test_nothing_was_known_before_the_first_append(lake: Lake) -> None:
    append(lake, {0: 10.0}, known_at=LATER)

    assert len(lake.read(BTC, as_of=LATER - 1)) == 0
    assert len(lake.read(BTC, as_of=LATER)) == 1


def test_a_clock_that_was_set_back_does_not_rewrite_what_was_known(lake: Lake) -> None:
    append(lake, {0: 10.0}, known_at=LATER)

    found = lake.append(BTC, bars({1: 11.0}), known_at=EARLY, source="test", run="run-2")

    assert found.known_at == LATER
    assert len(lake.read(BTC, as_of=EARLY)) == 0


def test_a_range_is_read_from_its_start_up_to_its_stop(lake: Lake) -> None:
    append(lake, {number: 10.0 + number for number in range(6)})

    part = lake.read(BTC, start=START + HOUR, stop=START + 4 * HOUR)

    assert sorted(closes(part)) == [1, 2, 3]


def test_series_are_kept_apart(lake: Lake) -> None:
    append(lake, {0: 10.0})
    lake.append(ETH, bars({0: 5.0}), known_at=EARLY, source="test", run="run-1")

    assert closes(lake.read(ETH)) == {0: 5.0}
    assert lake.series() == [BTC, ETH]
    assert len(lake.read(replace(BTC, venue="binance"))) == 0


def test_a_month_with_more_rows_than_a_part_holds_becomes_several(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "ROWS_PER_PART_MAX", 3)

    append(lake, {number: 10.0 + number for number in range(2, 10)})

    assert [part.rows for part in lake.parts(BTC)] == [3, 3, 2]
    assert len(lake.read(BTC)) == 8
    assert lake.verify() == []


def test_pages_of_a_history_are_appended_one_after_the_other(lake: Lake) -> None:
    pages = [bars({0: 10.0, 1: 11.0}), BarSeries.empty(), bars({1: 11.5, 2: 12.0})]

    found = lake.append_all(BTC, iter(pages), known_at=EARLY, source="test", run="run-1")

    assert (found.new, found.corrected, found.late, found.same) == (3, 1, 0, 0)
    assert closes(lake.read(BTC)) == {0: 10.0, 1: 11.5, 2: 12.0}
    assert lake.verify() == []


def test_trades_of_one_nanosecond_are_told_apart_by_their_id(lake: Lake) -> None:
    lake.append(
        BTC_TRADES, trades([(0, 1, 10.0), (0, 3, 12.0), (5, 2, 9.0)]), known_at=EARLY, source="test", run="r"
    )

    found = lake.append(
        BTC_TRADES,
        trades([(0, 1, 10.0), (0, 2, 11.0), (0, 3, 12.5), (5, 2, 9.0), (5, 4, 9.5)]),
        known_at=LATER,
        source="test",
        run="r",
    )

    assert (found.new, found.same, found.corrected, found.late) == (1, 2, 1, 1)
    read = lake.read_trades(BTC_TRADES)
    assert read.ids.tolist() == [1, 2, 3, 2, 4]
    assert read.price.tolist() == [10.0, 11.0, 12.5, 9.0, 9.5]
    assert read.buyer_is_taker.tolist() == [False, True, False, True, True]
    assert lake.read_trades(BTC_TRADES, as_of=EARLY).ids.tolist() == [1, 3, 2]


@pytest.mark.parametrize("name", ["..", ".", "A/B", "a%2Fb", "BTC/USD:USD", "Ö.x", " ".join("ab"), "-USD"])
def test_a_name_is_one_folder_and_comes_back(name: str) -> None:
    key = SeriesKey(venue=name, kind=SeriesKind.BARS, instrument=name, timeframe=Timeframe.DAY_1)

    place = layout.folder(key)

    assert len(place.parts) == 4
    assert ".." not in place.parts
    assert layout.key_of(place) == key


def test_a_reply_is_kept_as_it_came_and_once(lake: Lake) -> None:
    first = lake.archive("run-1", "kraken OHLC BTC/USD 1", b'{"error":[]}')
    again = lake.archive("run-1", "kraken OHLC BTC/USD 1", b'{"error":[]}')
    other = lake.archive("run-1", "kraken OHLC BTC/USD 1", b'{"error":["EGeneral"]}')

    assert first == again
    assert other != first
    assert first.relative_to(lake.root).parts[:2] == ("raw", "run-1")
    assert len(list((lake.root / "raw").rglob("*.gz"))) == 2
    assert lake.verify() == []


# --- what cannot be used -----------------------------------------------------------------------------------


def test_trades_do_not_go_into_a_series_of_bars(lake: Lake) -> None:
    with pytest.raises(InputError, match="expected a BarSeries, was given a TradeSeries"):
        lake.append(BTC, TradeSeries.empty(), known_at=EARLY, source="test", run="run-1")


@pytest.mark.parametrize("run", ["", "../up", "a/b", ".hidden"])
def test_a_run_that_cannot_be_a_folder_is_refused(lake: Lake, run: str) -> None:
    with pytest.raises(InputError, match="ingestion run"):
        lake.append(BTC, bars({0: 10.0}), known_at=EARLY, source="test", run=run)


def test_bars_must_increase() -> None:
    one = bars({0: 1.0, 1: 2.0})

    with pytest.raises(InvalidValueError, match="row 1 does not"):
        replace(one, stamps=np.array([START, START]))


def test_only_bars_have_a_timeframe() -> None:
    with pytest.raises(InvalidValueError, match="bars have a timeframe"):
        SeriesKey(venue="kraken", kind=SeriesKind.BARS, instrument="BTC/USD")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_is_one_clear_error_and_nothing_is_lost(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    append(lake, {0: 10.0})
    before = tree(lake)

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(
            InputError, match="the disk is full" if code == errno.ENOSPC else "cannot be written"
        ):
            append(lake, {0: 11.0, 1: 12.0}, known_at=LATER)

    assert tree(lake) == before
    assert lake.verify() == []
    assert append(lake, {0: 11.0, 1: 12.0}, known_at=LATER) == (1, 0, 1, 0)


# --- verify ------------------------------------------------------------------------------------------------


def test_a_changed_byte_is_found_and_is_not_read(lake: Lake) -> None:
    append(lake, {0: 10.0, 1: 11.0})
    (path,) = lake.root.rglob("part-*.parquet")
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)

    assert [problem.kind for problem in lake.verify()] == [ProblemKind.DAMAGED]
    with pytest.raises(InputError, match="is damaged"):
        Lake(lake.root).read(BTC)


def test_a_part_that_is_gone_is_missed(lake: Lake) -> None:
    for number in range(3):
        append(lake, {number: 10.0 + number}, known_at=EARLY + number)
    path = lake.root / str(lake.parts(BTC)[1].place)
    path.unlink()

    (problem,) = Lake(lake.root).verify()

    assert problem.kind is ProblemKind.MISSING
    assert "part 3 does not continue part 1" in problem.message


def test_what_does_not_belong_into_the_lake_is_named(lake: Lake) -> None:
    append(lake, {0: 10.0})
    (lake.root / "notes.txt").write_text("hello")
    (lake.root / "raw").mkdir()
    (lake.root / "raw" / "x.csv").write_text("hello")

    assert {(problem.kind, problem.path) for problem in lake.verify()} == {
        (ProblemKind.STRANGE, "notes.txt"),
        (ProblemKind.STRANGE, "raw/x.csv"),
    }


def test_a_part_that_was_moved_to_another_instrument_is_found(lake: Lake) -> None:
    append(lake, {0: 10.0})
    source = lake.root / layout.folder(BTC)
    source.rename(lake.root / layout.folder(ETH))

    assert {problem.kind for problem in lake.verify()} == {ProblemKind.DAMAGED}


def test_what_a_killed_writer_left_is_named_and_cleared_by_the_next(lake: Lake) -> None:
    append(lake, {0: 10.0})
    (lake.root / ".unfinished" / "4711").write_bytes(b"half a p")

    assert [problem.kind for problem in lake.verify()] == [ProblemKind.UNFINISHED]
    append(lake, {1: 11.0})
    assert lake.verify() == []


def test_an_empty_lake_is_as_it_should_be(lake: Lake) -> None:
    assert lake.verify() == []
    assert lake.series() == []
    assert lake.watermark(BTC) is None
    assert len(lake.read(BTC)) == 0


def test_a_file_has_its_name_only_when_its_bytes_are_safe(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power failure leaves cannot be tried out; the order of the calls that guard against it can."""
    append(lake, {0: 10.0})
    done: list[str] = []

    def recorded(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            what = name
            if name == "fsync":
                what += " folder" if stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else " file"
            done.append(what)
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, call)

    for name in ("write", "fsync", "rename"):
        recorded(name)
    append(lake, {1: 11.0}, known_at=LATER)

    assert done == ["write", "fsync file", "rename", "fsync folder"]


def test_what_a_crash_cuts_off_older_history_is_still_older(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lake, {2000: 30.0})
    parts = 0
    real = os.rename

    def fail_at_second(*arguments: Any) -> None:
        nonlocal parts
        parts += 1
        if parts == 2:
            raise OSError(errno.EIO, "gone")
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail_at_second)
        with pytest.raises(InputError, match="cannot be written"):
            append(lake, {0: 10.0, 1000: 20.0}, known_at=LATER)

    # January was written last, so nothing that is missing lies between known bars.
    assert closes(lake.read(BTC)) == {1000: 20.0, 2000: 30.0}
    assert append(lake, {0: 10.0, 1000: 20.0}, known_at=LAST) == (1, 1, 0, 0)


def test_the_watermark_moves_when_all_before_it_is_known(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    append(lake, {0: 10.0, 2: 12.0})
    payloads: list[str] = []
    real = files.put

    def recorded(root: Path, path: Path, payload: bytes) -> None:
        payloads.append(path.relative_to(root).parts[0])
        payloads.append(str(pq.ParquetFile(pa.BufferReader(payload)).read().column("stamp")[0].as_py()))
        real(root, path, payload)

    monkeypatch.setattr(files, "put", recorded)
    append(lake, {0: 10.5, 1: 11.0, 2: 12.0, 3: 13.0}, known_at=LATER)

    stamps = [str(START + number * HOUR) for number in (0, 1, 3)]
    assert payloads == ["corrections", stamps[0], "bars", stamps[1], "bars", stamps[2]]


def foreign_part(lake: Lake, closes_of_part: dict[int, float], *, previous: str) -> None:
    """Put a second part into the lake that no append would have written."""
    first = lake.parts(BTC)[0]
    rows = of_series(BTC, bars(closes_of_part))
    part = replace(
        first,
        sequence=2,
        previous=previous,
        rows=len(rows),
        first=int(rows.stamps[0]),
        last=int(rows.stamps[-1]),
        place=None,
    )
    written, payload = encode_rows(part, rows)
    (lake.root / str(written.place)).write_bytes(payload)


def test_a_part_that_continues_another_history_is_found(lake: Lake) -> None:
    append(lake, {0: 10.0})
    foreign_part(lake, {1: 11.0}, previous="0" * 16)

    (problem,) = lake.verify()

    assert problem.kind is ProblemKind.MISSING


def test_a_row_that_stands_twice_is_found_and_not_read(lake: Lake) -> None:
    append(lake, {0: 10.0, 1: 11.0})
    foreign_part(lake, {1: 12.0}, previous=lake.parts(BTC)[0].name_hash)

    with pytest.raises(InputError, match="a row stands there twice"):
        lake.read(BTC)
    with pytest.raises(InputError, match="a row stands there twice"):
        lake.freeze("mine", [BTC], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)
    assert [problem.kind for problem in lake.verify()] == [ProblemKind.DAMAGED]


@pytest.mark.parametrize("dtype", ["datetime64[s]", "float64"])
def test_stamps_are_integers(dtype: str) -> None:
    one = bars({0: 1.0, 1: 2.0})

    with pytest.raises(InvalidValueError, match="stamps must be integers, was"):
        replace(one, stamps=np.array([1, 2]).astype(dtype))
