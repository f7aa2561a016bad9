"""Corporate actions and market rules, `actions/<venue>/<ticker>/<number>-<hash>.json`: one file a fact."""

import json
import re
from dataclasses import replace
from pathlib import Path

from engine.data.actions import ActionKind, Fact, from_document, to_document
from engine.data.lake import files
from engine.data.lake.layout import escaped
from engine.data.lake.parts import damaged
from engine.domain.errors import InputError

FOLDER = "actions"

_FORMAT = 1
_NAME = re.compile(r"([0-9]{6})-([0-9a-f]{16})\.json")


def record(root: Path, fact: Fact) -> bool:
    """Write down a fact, and return whether it was new: the same said again changes nothing.

    Knowledge never goes back: a clock that was set back is taken for the latest moment of the ticker.

    Raises
    ------
    InputError
        If the disk refuses, or a fact that is known cannot be read.
    """
    with files.writing(root):
        known = read(root, fact.venue, fact.ticker)
        same = [each for each in known if each.kind is fact.kind and _is_about_the_same(each, fact)]
        if same and same[-1].what == fact.what:
            return False
        fact = replace(fact, known_at=max([fact.known_at, *(each.known_at for each in known)]))
        document = {"format": _FORMAT, "sequence": len(known) + 1} | to_document(fact)
        payload = (json.dumps(document, sort_keys=True, ensure_ascii=False) + "\n").encode()
        name = f"{len(known) + 1:06d}-{files.sha256(payload)[:16]}.json"
        files.put(root, root / _folder(fact.venue, fact.ticker) / name, payload)
    return True


def read(root: Path, venue: str, ticker: str, as_of: int | None = None) -> list[Fact]:
    """Return the facts about a ticker that were known at a moment, in the order in which they were learned.

    Raises
    ------
    InputError
        If one cannot be read or is gone.
    """
    folder = root / _folder(venue, ticker)
    places = sorted(path for path in folder.glob("*.json") if _NAME.fullmatch(path.name))
    facts = [_read(path, number) for number, path in enumerate(places, start=1)]
    for fact, path in zip(facts, places, strict=True):
        if (fact.venue, fact.ticker) != (venue, ticker):
            raise damaged(path, f"it tells of {fact.venue} {fact.ticker}")
    return [fact for fact in facts if as_of is None or fact.known_at <= as_of]


def tickers(root: Path, venue: str) -> list[str]:
    """Return the tickers of a venue of which facts are known, in alphabetical order.

    Raises
    ------
    InputError
        If a fact cannot be read.
    """
    found = set()
    for path in (root / FOLDER / escaped(venue)).glob("*/000001-*.json"):
        found.add(_read(path, 1).ticker)
    return sorted(found)


def problem(root: Path, place: Path) -> str:
    """Return what is wrong with a file among the facts, in one sentence; empty where nothing is."""
    match = _NAME.fullmatch(place.name)
    if match is None or len(place.parts) != 4:
        return "nothing of the lake is called so; take it out of the lake"
    before = [path.name for path in (root / place).parent.glob("*.json") if path.name < place.name]
    if len(before) != int(match[1]) - 1:
        return (
            f"fact {int(match[1])} follows {len(before)} others, one is gone or doubled; restore the folder"
        )
    try:
        fact = _read(root / place, int(match[1]))
    except InputError as wrong:
        return str(wrong)
    return "" if _folder(fact.venue, fact.ticker) == place.parent else "it belongs to another ticker"


def _is_about_the_same(one: Fact, other: Fact) -> bool:
    """Say whether a fact takes the place of another of its kind: rules hold until others are told."""
    return one.kind is ActionKind.MARKET_RULES or one.effective_at == other.effective_at


def _read(path: Path, number: int) -> Fact:
    match = _NAME.fullmatch(path.name)
    try:
        payload = path.read_bytes()
        if match is None or int(match[1]) != number:
            raise ValueError(f"fact {number} is gone or doubled")
        if not files.sha256(payload).startswith(match[2]):
            raise ValueError("it does not have the hash of its name")
        document = json.loads(payload)
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}, this version reads {_FORMAT}")
        return from_document(document)
    except (OSError, KeyError, TypeError, ValueError) as wrong:
        raise damaged(path, f"{type(wrong).__name__}: {wrong}") from wrong


def _folder(venue: str, ticker: str) -> Path:
    return Path(FOLDER) / escaped(venue) / escaped(ticker)
