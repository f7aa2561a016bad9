"""Bytes of a reply -> numbers. What is no number is refused; a wrong number is the audit's to find."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from engine.data.providers.errors import PassingError, ProviderCode
from engine.data.series import BarSeries, TradeSeries

NANOSECONDS_PER_MILLISECOND: Final = 1_000_000

BYTES_MAX: Final = 64 * 1024 * 1024
_CHARACTERS_MAX = 40
_NUMBER_MAX = 1e18
_STAMP_DIGITS_MAX = 11
_STAMP_MAX = 9 * 10**18
_WHOLE_MAX = 2**63 - 1


def decoded(provider: str, payload: bytes, *, exact: bool = False) -> Any:
    """Return a reply's JSON.

    Parameters
    ----------
    exact
        Whether numbers with a fraction stay text, for stamps that a float cannot hold.

    Raises
    ------
    PassingError
        If it is empty, cut short or no JSON.
    """
    if len(payload) > BYTES_MAX:
        raise broken(provider, f"of {len(payload)} bytes is longer than any page ({BYTES_MAX})")
    try:
        return json.loads(payload, parse_float=str if exact else None, parse_constant=_refused)
    except (ValueError, RecursionError) as wrong:
        start = payload[:80].decode("utf-8", "replace")
        raise broken(provider, f"of {len(payload)} bytes is not whole JSON, it begins {start!r}") from wrong


def broken(provider: str, what: str) -> PassingError:
    """Return the error of a reply that is not what the provider documents; the next one may be."""
    return PassingError(provider, f"a reply {what}", code=ProviderCode.INVALID_DATA)


def check_once(provider: str, following: str, followed: set[str]) -> None:
    """Refuse to follow a reply to a page that was asked for already: it would be followed for ever.

    Raises
    ------
    PassingError
        If `followed` holds it; else it is added.
    """
    if following in followed:
        raise broken(provider, "leads back to a page that came before")
    followed.add(following)


def mapping(provider: str, value: object, name: str) -> Mapping[str, Any]:
    """Return a value that must be a JSON object."""
    if not isinstance(value, dict):
        raise broken(provider, f"has no object {name}, but {str(value)[:80]!r}")
    return value


def rows_of(provider: str, value: object, name: str) -> Sequence[Any]:
    """Return a value that must be a JSON list."""
    if not isinstance(value, list):
        raise broken(provider, f"has no list {name}, but {str(value)[:80]!r}")
    return value


def number(provider: str, value: object, name: str) -> float:
    """Return a finite number that was written as one or as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise broken(provider, f"has {name} {str(value)[:40]!r}, which is no number")
    # A number of a million digits takes its time to read.
    if isinstance(value, str) and len(value) > _CHARACTERS_MAX:
        raise broken(provider, f"has {name} of {len(value)} characters, which is no number")
    try:
        result = float(value)
    except (ValueError, OverflowError) as wrong:
        raise broken(provider, f"has {name} {str(value)[:40]!r}, which is no number") from wrong
    if not math.isfinite(result) or not abs(result) <= _NUMBER_MAX:
        raise broken(provider, f"has {name} {str(value)[:40]!r}, which is no price and no amount")
    return result


def whole(provider: str, value: object, name: str) -> int:
    """Return a whole number that was written as one or as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _CHARACTERS_MAX:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _WHOLE_MAX:
        return value
    raise broken(provider, f"has {name} {str(value)[:40]!r}, which is no whole number")


def instant(provider: str, value: object, name: str, nanoseconds_each: int) -> int:
    """Return UTC nanoseconds of a whole number of seconds or milliseconds."""
    return bounded(provider, whole(provider, value, name) * nanoseconds_each, name)


def bounded(provider: str, stamp: int, name: str) -> int:
    """Return a stamp that 64 bits hold."""
    if not abs(stamp) <= _STAMP_MAX:
        raise broken(provider, f"has {name} {str(stamp)[:40]}, which is no stamp")
    return stamp


def seconds_to_nanoseconds(provider: str, value: object, name: str) -> int:
    """Return nanoseconds of a stamp in seconds, digit by digit, since a float would lose the last ones."""
    text = str(value)
    seconds, _, fraction = text.partition(".")
    digits = seconds + fraction
    if not (digits.isascii() and digits.isdigit() and 0 < len(seconds) <= _STAMP_DIGITS_MAX):
        raise broken(provider, f"has {name} {text[:40]!r}, which is no stamp in seconds")
    return bounded(provider, int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0")), name)


def bar_series(provider: str, rows: Sequence[Sequence[float]]) -> BarSeries:
    """Return rows of (stamp, open, high, low, close, volume) as bars, whatever order they came in.

    Raises
    ------
    PassingError
        If a stamp stands twice with different values.
    """
    if not rows:
        return BarSeries.empty()
    stamps = np.array([row[0] for row in rows], dtype=np.int64)
    values = np.array([row[1:6] for row in rows], dtype=np.float64)
    order = np.argsort(stamps, kind="stable")
    stamps, values = stamps[order], values[order]
    same = np.flatnonzero(stamps[1:] == stamps[:-1])
    for row in same.tolist():
        if not np.array_equal(values[row], values[row + 1], equal_nan=True):
            raise broken(provider, f"has two bars that open at {np.datetime64(int(stamps[row]), 'ns')}")
    kept = np.append(True, stamps[1:] != stamps[:-1])
    stamps, values = stamps[kept], values[kept]
    return BarSeries(
        stamps=stamps,
        open=values[:, 0],
        high=values[:, 1],
        low=values[:, 2],
        close=values[:, 3],
        volume=values[:, 4],
    )


def trade_series(rows: Sequence[tuple[int, int, float, float, bool]]) -> TradeSeries:
    """Return rows of (stamp, id, price, amount, buyer is taker) in order, each once."""
    unique = sorted({(row[0], row[1]): row for row in rows}.values())
    return TradeSeries(
        stamps=np.array([row[0] for row in unique], dtype=np.int64),
        ids=np.array([row[1] for row in unique], dtype=np.int64),
        price=np.array([row[2] for row in unique], dtype=np.float64),
        amount=np.array([row[3] for row in unique], dtype=np.float64),
        buyer_is_taker=np.array([row[4] for row in unique], dtype=np.bool_),
    )


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
