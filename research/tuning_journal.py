"""The search of a window on disk: finished batches in Optuna's journal format, so that its tools read them.

Whatever a killed process leaves behind is read up to its last whole line, and of a batch that is not whole
the missing trials are written again: they are what they would have been.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from optuna.storages.journal import BaseJournalBackend
    from optuna.trial import FrozenTrial

STUDY = "window"
BATCH_ATTRIBUTE, SIZE_ATTRIBUTE = "batch", "size"
"""Of every trial: its batch, from 0, and how many trials that batch has."""


class Journal:
    """Finished batches on disk, in Optuna's journal format, so that its tools read them as well."""

    def __init__(self, file: "_JournalFile", objectives: int) -> None:
        import optuna
        from optuna.storages import JournalStorage

        self._file = file
        storage = JournalStorage(cast("BaseJournalBackend", self._file))
        if not self._file.is_new:
            self._study = optuna.load_study(storage=storage, study_name=STUDY)
        else:
            self._study = optuna.create_study(
                storage=storage, study_name=STUDY, directions=["maximize"] * objectives
            )
            self._file.flush()

    def whole_batches(self) -> list["FrozenTrial"]:
        """Return the trials of all batches that were written to their end."""
        trials = self._study.get_trials(deepcopy=False)
        begun = [int(trial.user_attrs[BATCH_ATTRIBUTE]) for trial in trials]
        return [
            trial
            for trial, batch in zip(trials, begun, strict=True)
            if begun.count(batch) == int(trial.user_attrs[SIZE_ATTRIBUTE])
        ]

    def append(self, trials: Sequence["FrozenTrial"]) -> None:
        """Keep a batch, durably; what a killed process had written of it is there already."""
        known = len(self._study.get_trials(deepcopy=False))
        for trial in trials:
            if trial.number >= known:
                self._study.add_trial(trial)
        self._file.flush()


@contextmanager
def open_journal(path: Path, objectives: int) -> Iterator[Journal]:
    """Open a journal that one process writes; who comes too early waits until the other one is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield Journal(_JournalFile(stream), objectives)


class _JournalFile:
    """A file of Optuna's journal that is written a batch at a time, by one process.

    Optuna's own writes every trial by itself and waits for the disk each time, which takes longer than they
    are played, and leaves a lock behind when it is killed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        stream.seek(0)
        whole = stream.read()
        # A killed process may have left half a line; the next one must not be glued to it.
        whole = whole[: whole.rfind(b"\n") + 1]
        self._logs: list[dict[str, Any]] = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._logs.append(json.loads(line))
            except ValueError:
                raise InputError(
                    f"{stream.name}: line {number} is damaged; delete the file: its window is searched anew, "
                    "and finds the same"
                ) from None
        self._written = len(self._logs)
        stream.truncate(len(whole))

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever written."""
        return not self._logs

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the entries from a number on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take entries; `flush` writes them."""
        # As they will be read: enums become numbers, tuples lists.
        self._logs += [json.loads(json.dumps(log)) for log in logs]

    def flush(self) -> None:
        """Write all entries that are not written yet, durably."""
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in self._logs[self._written :]]
        self._stream.write("".join(lines).encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._written = len(self._logs)
