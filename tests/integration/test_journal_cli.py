"""`engine journal` as a person and a script use it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from engine.cli.main import app
from engine.home import promotions_folder, sessions_folder
from engine.journal.canonical import hex_of
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.storage import PosixStorage

NOON = 1_700_000_000_123_456_789


def engine(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["journal", *arguments], prog_name="engine")


def document(*arguments: str, code: int = 0) -> dict[str, object]:
    result = engine(*arguments, "--json")
    assert result.exit_code == code, result.output
    parsed: dict[str, object] = json.loads(result.stdout)
    assert result.stdout == json.dumps(parsed, sort_keys=True, ensure_ascii=False) + "\n"
    return parsed


@pytest.fixture
def folder(home: Path) -> Path:
    """Write a session of three batches."""
    assert home.is_dir()
    folder = sessions_folder() / "dip-buyer-1"
    with Journal.create(folder, clock=lambda: NOON) as journal:
        journal.append([(Kind.SESSION_STARTED, {"schema": 1, "passport": {"a": 1}, "origin_us": 10**15})])
        journal.append(
            [
                (
                    Kind.DECISION,
                    {
                        "row": 0,
                        "cash": hex_of(99_999.5),
                        "signals": hex_of(np.array([0.1, -2.0])),
                        "targets": [3, None],
                        "reasons": list(range(9)),
                        "inputs_hash": "ab" * 32,
                    },
                ),
                (
                    Kind.FILL,
                    {"row": 0, "lots": -3, "price_e8": 12_345_000_000, "fee_e8": "90071992547409930"},
                ),
            ]
        )
        journal.append([(Kind.SESSION_RESUMED, {"row": 0, "sequence": 3, "again": True})])
    return folder


def test_path_is_one_line_that_names_the_file_that_decides(folder: Path) -> None:
    result = engine("path", "--session", "dip-buyer-1")

    assert (result.exit_code, result.stdout) == (0, f"{folder / 'journal.log'}\n")
    assert document("path", "--session", "dip-buyer-1") == {
        "session": "dip-buyer-1",
        "path": str(folder / "journal.log"),
    }


def test_verify_says_that_a_whole_journal_is_whole(folder: Path) -> None:
    result = engine("verify", "--session", "dip-buyer-1")
    parsed = document("verify", "--session", "dip-buyer-1")

    assert result.exit_code == 0
    assert "✓ CLEAN   every batch that was acknowledged is there, unchanged" in result.stdout
    assert "3 batches, 4 records, 3 of them facts" in result.stdout
    assert result.stdout.endswith(f"path   {folder / 'journal.log'}\n")
    assert str(parsed["head"]) in result.stdout
    assert str(parsed["content_hash"]) in result.stdout
    size = (folder / "journal.log").stat().st_size
    assert {key: parsed[key] for key in sorted(parsed) if key not in ("head", "content_hash", "path")} == {
        "batches": 3,
        "facts": 3,
        "offset": size,
        "problem": "",
        "records": 4,
        "session": "dip-buyer-1",
        "size": size,
        "status": "CLEAN",
        "usable": True,
    }


def test_verify_says_what_recovery_will_do_with_a_torn_batch(folder: Path) -> None:
    with (folder / "journal.log").open("ab") as log:
        log.write(b"torn")
    before = (folder / "journal.log").read_bytes()

    result = engine("verify", "--session", "dip-buyer-1")

    assert result.exit_code == 0
    assert "! TORN_TAIL" in result.stdout
    assert "the last 4 bytes are moved to quarantine/" in result.stdout
    assert document("verify", "--session", "dip-buyer-1")["usable"] is True
    assert (folder / "journal.log").read_bytes() == before
    storage = PosixStorage(folder)
    try:
        assert re.search(r"process \d+ is writing", engine("verify", "--session", "dip-buyer-1").stdout)
    finally:
        storage.close()


def test_verify_exits_1_where_one_bit_changed(folder: Path) -> None:
    log = bytearray((folder / "journal.log").read_bytes())
    log[150] ^= 1
    (folder / "journal.log").write_bytes(log)

    result = engine("verify", "--session", "dip-buyer-1")
    parsed = document("verify", "--session", "dip-buyer-1", code=1)
    tail = engine("tail", "--session", "dip-buyer-1")

    assert result.exit_code == 1
    assert "✕ CORRUPT   what was acknowledged has been changed or damaged" in result.stdout
    assert "the frame at byte 0 is damaged, and whole frames follow it" in result.stdout
    assert (parsed["status"], parsed["usable"], parsed["batches"]) == ("CORRUPT", False, 0)
    assert tail.exit_code == 1
    assert "LEDGER_CORRUPT" in tail.stderr


def test_verify_exits_1_where_the_end_or_the_log_is_missing(folder: Path) -> None:
    log = folder / "journal.log"
    log.write_bytes(log.read_bytes()[:-8])
    assert document("verify", "--session", "dip-buyer-1", code=1)["status"] == "ROLLBACK"

    log.unlink()
    result = engine("verify", "--session", "dip-buyer-1")

    assert result.exit_code == 1
    assert "batches that were acknowledged are missing" in result.stdout


def test_tail_shows_the_last_records_as_a_person_reads_them(folder: Path) -> None:
    assert folder.is_dir()

    result = engine("tail", "--session", "dip-buyer-1", "-n", "3")

    at = "2023-11-14 22:13:20.123Z"
    hashed = "inputs_hash=abababababababab…  signals=[0.1 -2.0]"
    lists = "reasons=[9 entries]  targets=[3 –]"
    assert result.stdout.splitlines() == [
        f"      1  {at}  DECISION             row=0  cash=99999.5  {hashed}  {lists}",
        f"      2  {at}  FILL                 row=0  fee=900719925.4740993  lots=-3  price=123.45",
        f"      3  {at}  SESSION_RESUMED      row=0  again=true  sequence=3",
    ]
    first = engine("tail", "--session", "dip-buyer-1").stdout.splitlines()[0]
    assert first.endswith("origin=2001-09-09 01:46:40.000Z  schema=1  passport={1 fields}")


def test_tail_gives_a_script_the_bodies_and_their_hashes(folder: Path) -> None:
    records = document("tail", "--session", "dip-buyer-1", "-n", "1")["records"]

    (record,) = records if isinstance(records, list) else []
    assert folder.is_dir()
    assert record["body"] == {"again": True, "row": 0, "sequence": 3}
    assert (record["sequence"], record["batch"], record["kind"]) == (3, 2, "SESSION_RESUMED")
    assert record["time_us"] == NOON // 1000
    assert re.fullmatch("[0-9a-f]{64}", record["content_hash"])


def test_the_journal_of_promotions_is_named_by_a_flag(home: Path) -> None:
    assert home.is_dir()
    missing = engine("verify", "--promotions")
    with Journal.create(promotions_folder(), clock=lambda: NOON) as journal:
        journal.append([(Kind.PROMOTED, {"schema": 1, "to": "paper"})])

    assert missing.exit_code == 2
    assert "nothing was promoted yet" in missing.stderr
    assert document("verify", "--promotions")["facts"] == 1
    assert "PROMOTED" in engine("tail", "--promotions").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--session ID, --promotions or --scans"),
        (("--session", "dip-buyer-1", "--promotions"), "--session ID, --promotions or --scans"),
        (("--session", "other"), "there are dip-buyer-1"),
        (("--session", "../dip-buyer-1"), "begins with a letter or a digit"),
        (("--session", "a..b"), "begins with a letter or a digit"),
        (("--session", "x" * 65), "at most 64"),
        (("--session", ""), "at most 64"),
        (("--session", "a\n"), "at most 64"),
    ],
)
def test_a_journal_that_is_not_there_is_refused_with_what_there_is(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    assert folder.is_dir()
    for command in ("path", "verify", "tail"):
        result = engine(command, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert told in result.stderr


def test_looking_into_a_journal_imports_nothing_heavy(folder: Path) -> None:
    assert folder.is_dir()
    program = (
        "import sys; sys.argv = ['engine', 'journal', 'verify', '--session', 'dip-buyer-1']\n"
        "from engine.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'numba', 'pandas', 'pyarrow', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "CLEAN" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_colour_is_left_out_where_it_is_not_wanted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["journal", "verify", "--session", folder.name]

    coloured = CliRunner().invoke(app, command, color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(app, command, color=True).stdout

    assert "\x1b[" in coloured
    assert "\x1b[" not in plain
