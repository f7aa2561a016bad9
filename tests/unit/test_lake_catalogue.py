"""The DuckDB catalogue of a lake: made from the files, and no authority on anything."""

from pathlib import Path

import pytest

from engine.data.lake.lake import Lake
from engine.data.lake.problems import ProblemKind
from engine.domain.errors import InputError
from engine.domain.time import Calendar, Timeframe
from tests.lakes import BTC, BTC_TRADES, ETH, HOUR, START, bars, trades

EARLY, LATER = 10**18, 2 * 10**18


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "it's a lake")
    lake.append(BTC, bars({0: 10.0, 1: 11.0, 4: 14.0}), known_at=EARLY, source="test", run="run-1")
    lake.append(ETH, bars({0: 5.0}), known_at=EARLY, source="test", run="run-1")
    lake.append(BTC, bars({1: 11.5, 3: 13.0}), known_at=LATER, source="test", run="run-2")
    lake.append(BTC, bars({1: 11.75}), known_at=LATER, source="test", run="run-3")
    lake.freeze("mine", [BTC, ETH], timeframe=Timeframe.HOUR_1, calendar=Calendar.ALWAYS)
    return lake


def answer(lake: Lake, question: str) -> list[tuple[object, ...]]:
    with lake.connect() as connection:
        return list(connection.execute(question).fetchall())


def test_bars_in_sql_are_the_bars_that_are_read(lake: Lake) -> None:
    found = answer(lake, "SELECT stamp, close, is_late FROM bars WHERE instrument = 'BTC/USD' ORDER BY stamp")

    assert found == [
        (START, 10.0, False),
        (START + HOUR, 11.75, False),
        (START + 3 * HOUR, 13.0, True),
        (START + 4 * HOUR, 14.0, False),
    ]
    assert [close for _, close, _ in found] == lake.read(BTC).close.tolist()


def test_revisions_in_sql_have_their_evidence(lake: Lake) -> None:
    question = "SELECT old, new, run FROM revisions WHERE field = 'close' ORDER BY sequence"

    assert answer(lake, question) == [(11.0, 11.5, "run-2"), (11.5, 11.75, "run-3")]


def test_data_sets_and_their_files_are_listed(lake: Lake) -> None:
    frozen = lake.version("mine")

    assert answer(lake, "SELECT name, version, content_hash, rows FROM data_sets") == [
        ("mine", 1, frozen.content_hash, 4)
    ]
    assert answer(lake, "SELECT place, sha256 FROM data_set_files ORDER BY place") == sorted(
        (file.place, file.sha256) for file in frozen.files
    )


def test_trades_in_sql(lake: Lake) -> None:
    # Before there is a file of trades the view has no lines.
    assert answer(lake, "SELECT * FROM trades") == []
    lake.append(BTC_TRADES, trades([(0, 1, 10.0), (0, 2, 11.0)]), known_at=EARLY, source="test", run="run-1")
    lake.append(BTC_TRADES, trades([(0, 2, 12.0)]), known_at=LATER, source="test", run="run-1")

    assert answer(lake, "SELECT id, price, buyer_is_taker FROM trades ORDER BY id") == [
        (1, 10.0, 0.0),
        (2, 12.0, 1.0),
    ]


def test_it_can_be_deleted_and_is_made_again(lake: Lake) -> None:
    before = answer(lake, "SELECT * FROM parts ORDER BY place")
    (lake.root / "catalogue.duckdb").unlink()

    assert answer(lake, "SELECT * FROM parts ORDER BY place") == before
    assert len(before) == len(list(lake.root.rglob("part-*.parquet")))
    assert lake.verify() == []


def test_it_is_brought_up_to_date_when_it_is_opened(lake: Lake) -> None:
    answer(lake, "SELECT 1")
    lake.append(BTC, bars({5: 15.0}), known_at=LATER, source="test", run="run-4")
    # Behind is no contradiction.
    assert lake.verify() == []

    assert answer(lake, "SELECT close FROM bars WHERE run = 'run-4'") == [(15.0,)]


def test_a_reader_keeps_what_it_opened(lake: Lake) -> None:
    with lake.connect() as connection:
        lake.append(ETH, bars({5: 15.0}), known_at=LATER, source="test", run="run-4")
        lake.rebuild_catalogue()

        assert connection.execute("SELECT count(*) FROM parts WHERE run = 'run-4'").fetchall() == [(0,)]


def test_a_last_part_that_is_gone_is_missed_because_the_catalogue_tells_of_it(lake: Lake) -> None:
    answer(lake, "SELECT 1")
    last = lake.parts(ETH)[-1]
    (lake.root / str(last.place)).unlink()

    problems = Lake(lake.root).verify()

    assert (ProblemKind.MISSING, str(last.place)) in {(problem.kind, problem.path) for problem in problems}
    with pytest.raises(InputError, match="the catalogue tells of it, and it is gone"):
        Lake(lake.root).connect()


def test_a_catalogue_that_cannot_be_read_is_a_problem_that_loses_nothing(lake: Lake) -> None:
    (lake.root / "catalogue.duckdb").write_bytes(b"not a database" * 100)

    (problem,) = lake.verify()

    assert problem.kind is ProblemKind.CATALOGUE
    assert not problem.kind.loses_data
    lake.rebuild_catalogue()
    assert lake.verify() == []


def test_an_empty_lake_has_an_empty_catalogue(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    assert answer(lake, "SELECT * FROM bars") == []
    assert answer(lake, "SELECT * FROM parts") == []
