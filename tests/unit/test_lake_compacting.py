"""Small parts that are read as one: every moment, every data set and every correction stays what it was."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.lake import compacting, files
from engine.data.lake.compacting import Compacted
from engine.data.lake.lake import Lake
from engine.data.lake.rows import joined
from engine.data.lake.versions import DataSetVersion
from engine.data.series import BAR_VALUES
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, BTC_TRADES, ETH, HOUR, START, bars, trades

FIRST = 10**18
LOOKS = 150


@pytest.fixture
def lake(looked: Path, tmp_path: Path) -> Lake:
    """Return a copy of one that looked 150 times, for one test to change."""
    shutil.copytree(looked, tmp_path / "lake")
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a lake that looked 150 times over two months: a bar each time, some late, some revised."""
    made = Lake(tmp_path_factory.mktemp("looked") / "lake")
    generator = np.random.default_rng(5)
    for look in range(LOOKS):
        # Ten hours a look: most lie in February and in March, the last ones in April.
        given = {look * 10: 100.0 + look}
        if look % 9 == 4:
            given[int(generator.integers(1, look * 10))] = 77.0 + look
        if look % 7 == 3:
            given[(look // 2) * 10] = 55.0 + look
        learn(made, given, FIRST + look)
    made.withdraw(BTC, [START + 300 * HOUR], reason="test", known_at=FIRST + LOOKS - 1, run="run-0")
    made.append(BTC_TRADES, trades([(1, 1, 10.0)]), known_at=FIRST, source="test", run="run-0")
    made.append(BTC_TRADES, trades([(2, 2, 11.0)]), known_at=FIRST + 1, source="test", run="run-1")
    freeze(made)
    return made.root


def learn(lake: Lake, values: dict[int, float], moment: int) -> None:
    lake.append(BTC, bars(values), known_at=moment, source="test", run=f"run-{moment}")


def freeze(lake: Lake) -> DataSetVersion:
    return lake.freeze("mine", [BTC], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)


def told(lake: Lake) -> list[bytes]:
    """Return all that a lake tells of a series at each moment, and what was corrected, as bytes."""
    lake = Lake(lake.root)
    seen = []
    for look in [*range(-1, LOOKS + 2, 7), None]:
        known = lake.read(BTC, as_of=None if look is None else FIRST + look)
        seen += [known.stamps.tobytes(), *(getattr(known, name).tobytes() for name in BAR_VALUES)]
    return [*seen, repr(lake.corrections(BTC)).encode(), str(lake.watermark(BTC)).encode()]


def questions(lake: Lake) -> list[tuple[Any, ...]]:
    """Return the lines of the SQL view, with when each was learned."""
    with lake.connect() as connection:
        asked = "SELECT stamp, close, known_at, source, run FROM bars ORDER BY stamp"
        return connection.execute(asked).fetchall()


def test_every_moment_gives_the_same_bytes_from_fewer_files(lake: Lake) -> None:
    before = told(lake)
    parts = len(lake.parts(BTC))

    done = lake.compact()

    assert told(lake) == before
    assert (done.series, done.before) == (2, parts + 2)
    assert done.after == len(Lake(lake.root).parts(BTC)) + len(lake.parts(BTC_TRADES))
    assert len(lake.parts(BTC)) < parts - 60
    assert lake.verify() == []


def test_data_sets_stay_what_they_are_and_the_next_one_names_fewer_files(lake: Lake) -> None:
    old = lake.version("mine")
    moments = range(FIRST, FIRST + LOOKS, 7)
    seen = [lake.load_panel("mine", as_of=moment).content_hash for moment in moments]
    lake.compact()
    assert freeze(lake).version == 1

    learn(lake, {LOOKS * 10: 50.0}, FIRST + LOOKS)
    new = freeze(lake)

    assert lake.load_panel("mine", version=1).content_hash == old.content_hash
    assert len(new.files) < len(old.files) - 60
    for version in (1, 2):
        # Some parts that the merged ones repeat were known before the last of them.
        assert [
            lake.load_panel("mine", version=version, as_of=moment).content_hash for moment in moments
        ] == seen
    assert lake.verify() == []


def test_a_series_goes_on_after_it_was_compacted(lake: Lake) -> None:
    lake.compact()
    merged = {part.place for part in lake.parts(BTC) if part.repeats}
    for look in range(LOOKS, LOOKS + 80):
        learn(lake, {look * 10: 100.0 + look}, FIRST + look)
    learn(lake, {-3: 5.0, 7: 6.0}, FIRST + LOOKS + 80)

    lake.compact()

    assert lake.verify() == []
    known = lake.read(BTC)
    assert known.close[-80:].tolist() == [100.0 + look for look in range(LOOKS, LOOKS + 80)]
    assert merged < {part.place for part in lake.parts(BTC)}
    # The month that grew is merged when it is over.
    learn(lake, {3000: 1.0}, FIRST + LOOKS + 81)
    before = lake.parts(BTC)
    lake.compact()
    assert lake.verify() == []
    assert len(lake.parts(BTC)) < len(before)
    assert lake.read(BTC, as_of=FIRST + LOOKS + 80).close.tobytes() == known.close.tobytes()


def test_a_second_compaction_finds_nothing_to_do(lake: Lake) -> None:
    lake.compact()
    there = sorted(lake.root.rglob("*.parquet"))

    again = lake.compact()

    assert again.before == again.after
    assert sorted(lake.root.rglob("*.parquet")) == there


def test_the_month_that_grows_waits_until_it_is_worth_a_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for hour in range(10):
        lake.append(ETH, bars({100 + hour: 1.0}), known_at=FIRST + hour, source="test", run="run-1")
    assert lake.compact() == Compacted(series=1, before=10, after=10)

    # A bar of the next month ends it.
    lake.append(ETH, bars({900: 1.0}), known_at=FIRST + 10, source="test", run="run-1")
    assert lake.compact() == Compacted(series=1, before=11, after=2)


def test_a_later_merger_of_a_month_takes_the_earlier_one_in(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for round_ in range(3):
        for hour in range(100 + 70 * round_, 170 + 70 * round_):
            lake.append(ETH, bars({hour: 1.0}), known_at=FIRST + hour, source="test", run="run-1")
        lake.compact()

    (merged,) = lake.parts(ETH)
    assert len(merged.repeats) == len(lake.read(ETH)) == 210
    # Each moment is told by the latest merger that was known then, and the parts after it.
    files_read = {100: 1, 168: 69, 169: 1, 170: 2, 238: 70, 239: 1, 240: 2, 308: 70, 309: 1}
    for hour, number in files_read.items():
        assert len(lake.read(ETH, as_of=FIRST + hour)) == hour - 99
        assert len(lake.parts(ETH, FIRST + hour)) == number
    assert lake.verify() == []


def test_parts_of_many_rows_stay_apart(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "ROWS_PER_PART_MAX", 10)
    before = told(lake)

    lake.compact()

    assert told(lake) == before
    assert max(part.rows for part in lake.parts(BTC)) == 10
    assert lake.verify() == []


def test_what_sql_says_stays_the_same(lake: Lake) -> None:
    before = questions(lake)
    lake.compact()

    assert questions(lake) == before
    lake.rebuild_catalogue()
    assert questions(lake) == before


# --- what goes wrong ---------------------------------------------------------------------------------------


def test_a_disk_that_refuses_leaves_what_was(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = told(lake)
    real = files.put
    puts: list[Path] = []

    def put(root: Path, path: Path, payload: bytes) -> None:
        if puts:
            raise InputError("the disk is full")
        puts.append(path)
        real(root, path, payload)

    monkeypatch.setattr(files, "put", put)
    with pytest.raises(InputError, match="the disk is full"):
        lake.compact()
    monkeypatch.undo()

    assert len(puts) == 1
    assert told(lake) == before
    assert lake.verify() == []
    lake.compact()
    assert told(lake) == before


def test_a_merged_part_that_was_changed_is_found(lake: Lake) -> None:
    lake.compact()
    path = next(lake.root.rglob("merged-*.parquet"))
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)

    assert [problem.path for problem in lake.verify()] == [str(path.relative_to(lake.root))]
    with pytest.raises(InputError, match="is damaged"):
        Lake(lake.root).read(BTC)


def test_a_part_that_is_repeated_and_gone_is_missed(lake: Lake) -> None:
    lake.compact()
    merged = next(part for part in lake.parts(BTC) if part.repeats)
    gone = next(lake.root.rglob(f"part-{merged.repeats[3]}.parquet"))
    gone.unlink()

    messages = [problem.message for problem in lake.verify()]

    assert any("does not continue part" in message for message in messages)
    assert any("repeats parts that are not there any more" in message for message in messages)


def test_a_merged_part_that_says_something_else_is_found(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "joined", lambda pieces: joined(pieces[:-1]))
    lake.compact()
    monkeypatch.undo()

    problems = Lake(lake.root).verify()

    assert {problem.message for problem in problems} == {"it does not say what the parts say that it repeats"}
