"""What can be wrong with a lake."""

from dataclasses import dataclass
from enum import StrEnum


class ProblemKind(StrEnum):
    """One way in which a lake is not what was written."""

    DAMAGED = "damaged"
    MISSING = "missing"
    STRANGE = "strange"
    UNFINISHED = "unfinished"
    CATALOGUE = "catalogue"

    @property
    def loses_data(self) -> bool:
        """Whether something that was written is gone; what is left over or can be made again is not that."""
        return self in (ProblemKind.DAMAGED, ProblemKind.MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a lake.

    Attributes
    ----------
    path
        Of a file or a folder, relative to the lake.
    message
        What is wrong, and how to mend it.
    """

    kind: ProblemKind
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind.value}, {self.message}"
