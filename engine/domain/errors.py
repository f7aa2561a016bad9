"""Every error that Gauntlet raises on purpose.

GauntletError
├── InvalidValueError        a noun was given a value that it cannot have
├── InputError               a file, a flag or a data set that the user gave cannot be used (exit 2)
│   └── ConfigurationError   a configuration file is wrong, all its problems at once (exit 2)
├── LookAheadError           something read the future
├── IdentityError            a report does not agree with the account it reports on
├── AllocationError          a solver gave no usable weights
├── SimulatorError           a second simulator could not play an account
├── RefusedError             a gate that comes before it is not met (exit 5)
└── JournalError             a journal cannot be trusted, or cannot be written (its `code` says which)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class GauntletError(Exception):
    """Base of all errors that Gauntlet raises on purpose."""


class InvalidValueError(GauntletError, ValueError):
    """A noun was given a value that it cannot have."""


class InputError(GauntletError):
    """What the user gave cannot be used; the message names it and says how to mend it."""


class LookAheadError(GauntletError):
    """A value changed when rows after it were cut off."""


class IdentityError(GauntletError):
    """Compounded returns do not equal the change of the account."""


class AllocationError(GauntletError):
    """A solver gave no usable weights."""


class SimulatorError(GauntletError):
    """A second simulator could not play an account; nothing takes the place of what it would have said."""


class RefusedError(GauntletError):
    """Something that must be true first is not; nothing was changed.

    Attributes
    ----------
    next_command
        What to do about it, in words or as a command; empty where there is nothing to do.
    """

    def __init__(self, message: str, *, next_command: str = "") -> None:
        self.next_command = next_command
        super().__init__(message)


class JournalCode(StrEnum):
    """Why a journal cannot be used."""

    LEDGER_CORRUPT = "LEDGER_CORRUPT"
    LEDGER_ROLLBACK = "LEDGER_ROLLBACK"
    ANCHOR_CORRUPT = "ANCHOR_CORRUPT"
    SCHEMA_NEWER = "SCHEMA_NEWER"
    REPLAY_MISMATCH = "REPLAY_MISMATCH"
    LOCK_HELD = "LOCK_HELD"
    JOURNAL_EXISTS = "JOURNAL_EXISTS"
    NETWORK_DISK = "NETWORK_DISK"
    JOURNAL_IO = "JOURNAL_IO"
    DISK_FULL = "DISK_FULL"


class JournalError(GauntletError):
    """A journal cannot be trusted, or cannot be written. Nothing goes on as if it could.

    Attributes
    ----------
    code
        The same for one cause for ever, for logs and alarms.
    """

    def __init__(self, code: JournalCode, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file.

    Attributes
    ----------
    line, column
        Counted from 1; 0 where the file has none.
    text
        The offending line, as it stands in the file.
    width
        How many characters from `column` on are wrong.
    message
        What was expected and how to mend it.
    """

    line: int
    column: int
    text: str
    width: int
    message: str


class ConfigurationError(InputError):
    """A configuration file is wrong. Carries every problem found, not just the first."""

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"{path}: {len(self.problems)} {noun}, nothing was run"]
        lines += [f"  line {p.line}, column {p.column}: {p.message}" for p in self.problems]
        super().__init__("\n".join(lines))
