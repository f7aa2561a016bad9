"""The journal of promotions: which strategies may run where, and by which passport.

It stands in a folder of its own, so that a session that asks whether it may start reads nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.errors import InputError
from engine.domain.passport import Passport
from engine.journal.journal import Journal
from engine.journal.kinds import Kind
from engine.journal.reading import Record, read

PROMOTION_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One step up, as it was recorded.

    Attributes
    ----------
    to
        The stage, such as `paper`.
    gates
        What was asked and what the answer was, in QJ-1 types.
    operator, reason
        Who did it and why, in their own words.
    time_ns
        When it was recorded, UTC.
    """

    strategy_id: str
    to: str
    passport: Passport
    gates: Sequence[Mapping[str, Any]]
    operator: str
    reason: str
    time_ns: int = 0

    def to_body(self) -> dict[str, Any]:
        """Return the body of the record."""
        return {
            "schema": PROMOTION_SCHEMA,
            "strategy_id": self.strategy_id,
            "to": self.to,
            "passport": self.passport.to_body(),
            "gates": [dict(gate) for gate in self.gates],
            "operator": self.operator,
            "reason": self.reason,
        }


def record(folder: Path, promotion: Promotion, *, clock: Callable[[], int]) -> None:
    """Append a promotion; it is safe on disk when this returns.

    Parameters
    ----------
    folder
        `engine.home.promotions_folder()`; the journal is made where it is missing.
    clock
        UTC nanoseconds.

    Raises
    ------
    JournalError
        If the journal is damaged, locked by another process, or cannot be written: nothing is promoted then.
    """
    with Journal.continued(folder, clock=clock) as journal:
        journal.append([(Kind.PROMOTED, promotion.to_body())])


def promotions(folder: Path) -> tuple[Promotion, ...]:
    """Return every promotion, oldest first; none where nothing was ever promoted.

    Raises
    ------
    JournalError
        If the journal is damaged: then nobody can say what was promoted.
    InvalidValueError
        If a passport is of a version that this one cannot read.
    """
    try:
        records = list(read(folder))
    except InputError:
        return ()
    return tuple(_promotion(entry) for entry in records if entry.kind is Kind.PROMOTED)


def promoted(folder: Path, strategy_id: str, to: str = "paper") -> Passport | None:
    """Return the passport of the newest promotion of a strategy to a stage; None where there is none.

    Raises
    ------
    JournalError
        If the journal is damaged.
    """
    found = [entry for entry in promotions(folder) if (entry.strategy_id, entry.to) == (strategy_id, to)]
    return found[-1].passport if found else None


def _promotion(entry: Record) -> Promotion:
    body = entry.body
    return Promotion(
        strategy_id=body["strategy_id"],
        to=body["to"],
        passport=Passport.from_body(body["passport"]),
        gates=tuple(body["gates"]),
        operator=body["operator"],
        reason=body["reason"],
        time_ns=entry.time_ns,
    )
