"""A text file is there as a whole or not at all."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from engine.data.whole import write_whole
from engine.domain.errors import InputError


def test_a_file_is_written_as_a_whole_and_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "audit.html"
    write_whole(target, "one")
    write_whole(target, "two")

    assert target.read_text() == "two"
    assert [entry.name for entry in target.parent.iterdir()] == ["audit.html"]


def test_a_full_disk_leaves_what_stood_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "audit.html"
    write_whole(target, "one")

    def full(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"audit\.html: cannot be written, .*No space left"):
        write_whole(target, "two")

    assert target.read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["audit.html"]
