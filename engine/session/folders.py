"""Which folder a session stands in: the same command finds the session that it began."""

import re
from dataclasses import dataclass
from pathlib import Path

from engine.domain.identity import content_hash

_KEY_DIGITS = 8
# Every command takes names of this length.
_NAME_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command asks for: equal ones are parts of one session.

    Attributes
    ----------
    strategy
        As it was named.
    strategy_hash
        Of the passport of what was promoted, of the strategy of a bare idea.
    first, last
        Dates, empty where there is none.
    """

    strategy: str
    strategy_hash: str
    research_only: bool
    core_version: str
    feed: str
    data: str
    first: str
    last: str

    @property
    def key(self) -> str:
        """First digits of the hash of all of it."""
        return content_hash(self)[:_KEY_DIGITS]


def newest(sessions: Path, asked: Asked) -> Path | None:
    """Return the folder of the last session that was begun by this command; None where there is none."""
    found = _numbered(sessions, asked)
    return found[max(found)] if found else None


def following(sessions: Path, asked: Asked, label: str) -> Path:
    """Return the folder of the next session of this command.

    Parameters
    ----------
    label
        What a person knows it by: the id of its strategy.
    """
    number = max(_numbered(sessions, asked), default=0) + 1
    mark = "research-" if asked.research_only else ""
    end = f"-{asked.key}-{number}"
    return sessions / f"{mark}{label[: _NAME_MAX - len(mark) - len(end)]}{end}"


def _numbered(sessions: Path, asked: Asked) -> dict[int, Path]:
    pattern = re.compile(rf".*-{asked.key}-(\d+)")
    found = {}
    for folder in sessions.glob(f"*-{asked.key}-*"):
        matched = pattern.fullmatch(folder.name)
        if matched is not None:
            found[int(matched[1])] = folder
    return found
