"""Which column is what: the spellings in which the world writes bars."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.data.findings import Finding, Kind

# Keys are compared without case, blanks and punctuation. The order of time columns is their rank.
_TIME = (
    "timestamp",
    "datetime",
    "opentime",
    "timeopen",
    "dateopen",
    "date",
    "time",
    "unix",
    "unixtime",
    "unixtimestamp",
    "epoch",
    "ts",
    "t",
    "day",
    "session",
    "bar",
    "localtime",
    "gmttime",
    "dtyyyymmdd",
    "unnamed0",
    "index",
    "",
)
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "open": ("open", "o", "openprice", "priceopen", "first"),
    "high": ("high", "h", "highprice", "pricehigh", "max", "hi"),
    "low": ("low", "l", "lowprice", "pricelow", "min", "lo"),
    "close": ("close", "c", "closeprice", "priceclose", "price", "last", "closelast", "settle"),
    "volume": ("volume", "vol", "v", "volumebase", "basevolume", "tradedvolume", "quantity", "amount"),
    "adjusted_close": ("adjclose", "adjustedclose", "adjcloseprice", "closeadj", "closeadjusted", "adjc"),
    "symbol": ("symbol", "ticker", "tic", "instrument", "asset", "pair", "sym", "coin"),
}
RANGE = ("open", "high", "low")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns as they stand in a file, None where a file has none.

    Attributes
    ----------
    stamp
        The column of time stamps; `clock` the time of day where it stands in a column of its own.
    """

    stamp: str
    close: str
    clock: str | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    volume: str | None = None
    adjusted_close: str | None = None
    symbol: str | None = None

    @property
    def has_range(self) -> bool:
        """Whether opens, highs and lows are all there."""
        return self.open is not None and self.high is not None and self.low is not None


def plain(name: str) -> str:
    """Return a column's name as it is compared: lower case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def recognise(file: str, header: Iterable[str]) -> tuple[Columns | None, list[Finding]]:
    """Say which column is what.

    Returns
    -------
    tuple
        The columns, None if the file cannot be read so, and why not.
    """
    names = [str(name) for name in header]
    if all(_looks_like_data(name) for name in names):
        return None, [
            Finding(
                kind=Kind.NO_HEADER,
                file=file,
                row=0,
                value=", ".join(names),
                message="the first line holds values, not names; "
                "put a header above it, e.g. timestamp,open,high,low,close,volume",
            )
        ]
    found: dict[str, str] = {}
    problems: list[Finding] = []
    doubtful: set[str] = set()
    for role, spellings in _SPELLINGS.items():
        matches = [name for name in names if plain(name) in spellings]
        exact = [name for name in matches if plain(name) == spellings[0]]
        if len(matches) > 1 and len(exact) != 1:
            doubtful.add(role)
            problems.append(_duplicate(file, role, matches))
        elif matches:
            found[role] = (exact or matches)[0]
    stamp, clock = _time_columns(names)
    missing = ["timestamp"] if stamp is None else []
    missing += [role for role in ("close",) if role not in found]
    if any(role in found for role in RANGE):
        missing += [role for role in RANGE if role not in found]
    problems += [_missing(file, role, names) for role in missing if role not in doubtful]
    if problems or stamp is None:
        return None, problems
    return Columns(stamp=stamp, clock=clock, **found), []


def _time_columns(names: list[str]) -> tuple[str | None, str | None]:
    by_key = {plain(name): name for name in reversed(names)}
    if "date" in by_key and "time" in by_key:
        # A column of full stamps beside them would be the better source.
        best = next((by_key[key] for key in ("timestamp", "datetime", "opentime") if key in by_key), None)
        return (best, None) if best else (by_key["date"], by_key["time"])
    return next((by_key[key] for key in _TIME if key in by_key), None), None


def _looks_like_data(name: str) -> bool:
    # A repeated value of the first line was given a suffix such as ".1" by the reader.
    return bool(re.fullmatch(r"[-+\d.:/eETZ ]+", name)) and any(letter.isdigit() for letter in name)


def _missing(file: str, role: str, names: list[str]) -> Finding:
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return Finding(
        kind=Kind.MISSING_COLUMN,
        file=file,
        row=0,
        value=shown,
        message=f"no column is recognised as {role}; rename one, "
        "or see an accepted file with: engine data sample us5 --out example.csv",
    )


def _duplicate(file: str, role: str, matches: list[str]) -> Finding:
    return Finding(
        kind=Kind.DUPLICATE_COLUMN,
        file=file,
        row=0,
        value=", ".join(matches),
        message=f"several columns could be the {role}; keep one of them",
    )
