"""Paper sessions in real processes: killed anywhere, interrupted, kept out, and without room on the disk."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from engine.journal.chain import Status
from engine.journal.kinds import Kind
from engine.journal.reading import read, verify
from engine.journal.storage import LOG
from tests.paper import (
    ENGINE,
    EVERY_ORDER,
    answer,
    kill_at,
    log_of,
    project_with_every_order,
    replayed,
    seconds_to_first_new_bar,
    size_of,
    started,
)

KILLS = 5
COMMAND = replayed(EVERY_ORDER, "planted", "--from", "2011-01-01", "--to", "2012-06-30", "--json")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_with_every_order(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def undisturbed(project: Path, session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a session that nobody touched."""
    home = tmp_path_factory.mktemp("undisturbed")
    (home / "cache").symlink_to(session_home / "cache", target_is_directory=True)
    said = answer(started(COMMAND, project=project, home=home)).document
    return Path(said["journal"]).parent


def test_a_session_that_is_killed_anywhere_goes_on_and_loses_and_doubles_nothing(
    project: Path, home: Path, undisturbed: Path
) -> None:
    assert (undisturbed / LOG).stat().st_size > 1_500_000
    whole = (undisturbed / LOG).stat().st_size
    sizes = sorted(np.random.default_rng(20_240_131).integers(whole, size=KILLS).tolist())

    killed = [kill_at(started(COMMAND, project=project, home=home), home, size) for size in sizes]
    began = time.time()  # noqa: TID251  # compared with the time that the journal of a real process says
    said = answer(started(COMMAND, project=project, home=home)).document

    folder = Path(said["journal"]).parent
    found = verify(folder)
    assert sum(killed) >= KILLS - 1, "at most the last one met a session that had ended"
    assert (said["finished"], said["resumed"]) == (True, True)
    assert found.status is Status.CLEAN
    assert found.content_hash == verify(undisturbed).content_hash == said["content_hash"]
    resumed = seconds_to_first_new_bar(folder, began)
    # The figure itself is measured by `python -m tests.soak`, on a machine that does nothing else.
    assert resumed is None or resumed < 10.0


def test_who_presses_control_c_goes_on_later(project: Path, home: Path, undisturbed: Path) -> None:
    process = started((*COMMAND, "--speed", "500"), project=project, home=home)
    while size_of(home) < 200_000:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stopped = answer(process)
    log = log_of(home)
    assert log is not None
    last = list(read(log.parent))[-1]

    said = answer(started(COMMAND, project=project, home=home)).document

    assert stopped.code == 130
    assert '"finished": false' in stopped.output
    assert last.kind is Kind.SESSION_INTERRUPTED
    assert said["session_id"] == log.parent.name
    assert said["content_hash"] == verify(undisturbed).content_hash


def test_a_second_process_is_told_who_is_first(project: Path, home: Path) -> None:
    first = started((*COMMAND, "--speed", "50"), project=project, home=home)
    try:
        while size_of(home) == 0:
            time.sleep(0.01)
        second = answer(started(COMMAND, project=project, home=home))
    finally:
        first.kill()
        answer(first)

    assert second.code == 1
    assert "LOCK_HELD" in second.errors
    assert str(first.pid) in second.errors


def test_a_file_that_may_not_grow_stops_it_and_room_lets_it_go_on(
    project: Path, home: Path, undisturbed: Path
) -> None:
    def smaller() -> None:
        # What is kept beside the journal fits.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    process = subprocess.run(
        [ENGINE, *COMMAND],
        cwd=project,
        env=os.environ | {"GAUNTLET_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=smaller,
    )
    assert process.returncode == 1
    assert "DISK_FULL" in process.stderr

    said = answer(started(COMMAND, project=project, home=home)).document

    assert said["resumed"] is True
    assert said["content_hash"] == verify(undisturbed).content_hash


def test_a_damaged_journal_is_left_alone(project: Path, home: Path) -> None:
    process = started((*COMMAND, "--speed", "500"), project=project, home=home)
    kill_at(process, home, 100_000)
    log = log_of(home)
    assert log is not None
    damaged = bytearray(log.read_bytes())
    damaged[50_000] ^= 4
    log.write_bytes(damaged)

    refused = answer(started(COMMAND, project=project, home=home))

    assert refused.code == 1
    assert "LEDGER_CORRUPT" in refused.errors
    assert log.read_bytes() == damaged
