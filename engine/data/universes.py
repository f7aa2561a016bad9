"""Universes: versioned lists of what is looked at, which never change: another choice is the next version."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from engine.configuration import Section, load
from engine.domain.errors import InputError
from engine.domain.venue import VenueClass

FOLDERS = (Path("configs") / "universes", Path(__file__).parents[2] / "configs" / "universes")
"""Where universes are looked for: those of the user, then those that Gauntlet comes with."""

PINNED = {"UNIVERSE_V1": "f3d3ae95348da6f4a5e58aba1aa4f07dac11ce0fe845baf7dd054b801e149fb6"}
"""Content hashes of the universes that Gauntlet comes with: one that was changed is refused."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]*_V([1-9][0-9]{0,3})")
_ASSET = re.compile(r"[A-Z0-9][A-Z0-9.]{0,19}")
_TICKER = re.compile(r"[A-Z0-9^][A-Z0-9.=-]{0,19}")
_PAIRED = (VenueClass.CRYPTO, VenueClass.FOREX)
"""Classes whose instruments are one asset against another; those of all others bear a ticker."""


@dataclass(frozen=True, kw_only=True)
class Universe:
    """A choice of assets.

    Attributes
    ----------
    name
        Ends with its version: `UNIVERSE_V1`.
    quote
        Currency that all of them are quoted in.
    assets
        As ccxt calls them, or tickers, in the order of the file.
    venue_class
        Of all of them: what keeps another calendar is another universe.
    """

    name: str
    quote: str
    assets: tuple[str, ...]
    venue_class: VenueClass = VenueClass.CRYPTO

    @property
    def version(self) -> int:
        """Number at the end of the name."""
        match = _NAME.fullmatch(self.name)
        assert match is not None
        return int(match[1])

    @property
    def instruments(self) -> tuple[str, ...]:
        """Unified symbols, `BTC/USD` or `AAPL`, in the order of the file."""
        if self.venue_class not in _PAIRED:
            return self.assets
        return tuple(f"{asset}/{self.quote}" for asset in self.assets)

    @property
    def content_hash(self) -> str:
        """SHA-256 of what is chosen; comments and blanks of the file are of no account."""
        # Universes were of crypto before they could say so.
        said = [] if self.venue_class is VenueClass.CRYPTO else [f"class {self.venue_class.value}"]
        lines = ["universe/1", self.name, *said, *self.instruments]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _File(Section):
    """A file of a universe."""

    name: str
    quote: str = Field(min_length=1)
    assets: tuple[str, ...] = Field(min_length=1)
    venue_class: VenueClass = VenueClass.CRYPTO


def read(name: str, *, folders: tuple[Path, ...] = FOLDERS) -> Universe:
    """Return a universe by its name.

    Raises
    ------
    InputError
        If there is none of that name, if its file has problems, or if it is one that Gauntlet comes with and
        was changed.
    """
    for folder in folders:
        path = folder / f"{name}.yaml"
        if _NAME.fullmatch(name) and path.is_file():
            return _checked(path, load(path, _File))
    known = ", ".join(names(folders=folders)) or "none"
    raise InputError(f"universe {name!r} is not known. Known: {known}")


def names(*, folders: tuple[Path, ...] = FOLDERS) -> tuple[str, ...]:
    """Return the universes that there are, in alphabetical order."""
    found = {path.stem for folder in folders for path in folder.glob("*.yaml") if _NAME.fullmatch(path.stem)}
    return tuple(sorted(found))


def _checked(path: Path, file: _File) -> Universe:
    universe = Universe(name=file.name, quote=file.quote, assets=file.assets, venue_class=file.venue_class)
    if file.name != path.stem:
        raise InputError(f"{path}: name is {file.name}, must be {path.stem} like the file")
    is_paired = file.venue_class in _PAIRED
    written = _ASSET if is_paired else _TICKER
    wrong = [asset for asset in file.assets if not written.fullmatch(asset)]
    wrong += [] if _ASSET.fullmatch(file.quote) else [file.quote]
    if wrong:
        kind = "asset as ccxt writes it, e.g. BTC" if is_paired else "ticker, e.g. AAPL"
        raise InputError(f"{path}: {wrong[0]!r} is no {kind}")
    twice = [asset for asset in file.assets if file.assets.count(asset) > 1]
    if twice:
        raise InputError(f"{path}: {twice[0]} stands in assets twice")
    expected = PINNED.get(universe.name)
    if expected is not None and universe.content_hash != expected:
        following = f"{universe.name.rsplit('_V', 1)[0]}_V{universe.version + 1}"
        raise InputError(
            f"{path}: {universe.name} is not what it was, and a universe never changes: restore the file "
            f"and put the new choice into the next version, e.g. {following}"
        )
    return universe
