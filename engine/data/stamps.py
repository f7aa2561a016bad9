"""Time stamps as people write them, turned into UTC nanoseconds or refused."""

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
import pandas as pd

from engine.data.findings import BoolArray, Finding, Kind, positions
from engine.domain.errors import InputError
from engine.domain.panel import IntArray

_OFFSET = r":\d{2}(?:[.,]\d+)?\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_SLASHED = re.compile(r"\s*(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(.*)", re.DOTALL)
_OTHER_FORMATS = ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%B %d, %Y", "%Y.%m.%d", "%Y/%m/%d")
_EARLIEST, _LATEST = pd.Timestamp("1800-01-01"), pd.Timestamp("2200-01-01")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
# Epoch numbers from 1973 on tell their unit by their size.
_EPOCH_UNITS = ((10**17, 1), (10**14, 10**3), (10**11, 10**6), (10**8, 10**9))


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamps:
    """Stamps of one file.

    Attributes
    ----------
    utc
        Shape (T,), UTC nanoseconds; 0 where `valid` is False.
    wall_clock
        Shape (T,), the same on the clock that they were written in.
    """

    utc: IntArray
    wall_clock: IntArray
    valid: BoolArray


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its name, such as `UTC` or `America/New_York`."""
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        near = difflib.get_close_matches(name, sorted(available_timezones()), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(
            f"--timezone: {name!r} is not a time zone.{hint} Write UTC or a place such as America/New_York"
        ) from unknown


def parse(file: str, column: pd.Series, zone: tzinfo | None) -> tuple[Stamps, list[Finding]]:
    """Read a column of stamps.

    Accepted are datetimes, dates, ISO 8601 text with or without an offset, day/month/year in either order
    where the file shows which, and epochs in seconds, milliseconds, microseconds or nanoseconds.

    Parameters
    ----------
    zone
        Of stamps that carry no offset. Epochs and offsets need none.
    """
    if column.dtype != object and isinstance(column.dtype, np.dtype | pd.StringDtype | pd.DatetimeTZDtype):
        # Instruments in one file share their stamps. Where one is wrong, each of its rows has to be told.
        codes, distinct = pd.factorize(column, use_na_sentinel=False)
        if 2 * len(distinct) <= len(column):
            of_distinct, problems = _parse(file, pd.Series(distinct), zone)
            if not problems:
                return Stamps(**{name: values[codes] for name, values in vars(of_distinct).items()}), []
    return _parse(file, column, zone)


def _parse(file: str, column: pd.Series, zone: tzinfo | None) -> tuple[Stamps, list[Finding]]:
    texts = column.astype(str).fillna("").str.strip()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _from_pair(file, texts, column, column.dt.tz_localize(None))
    if pd.api.types.is_datetime64_any_dtype(column):
        clocks = _bounded(column)
        problems = _unreadable_rows(file, texts, clocks)
        stamps, more = _localised(file, clocks, clocks.notna().to_numpy(), zone, texts)
        return stamps, problems + more
    if _is_numeric_text(texts):
        return _epochs(file, texts)
    has_offset = texts.str.contains(_OFFSET, regex=True, case=False).to_numpy(dtype=bool)
    if has_offset.all():
        return _with_offsets(file, texts)
    clocks, problems = _naive_clocks(file, texts.where(~has_offset, ""))
    naive, more = _localised(file, clocks, clocks.notna().to_numpy(), zone, texts)
    if not has_offset.any():
        return naive, problems + more
    aware, others = _with_offsets(file, texts.where(has_offset, ""))
    problems = [found for found in problems + more if not has_offset[found.row - 1] or found.row == 0]
    problems += [found for found in others if has_offset[found.row - 1]]
    return (
        Stamps(
            utc=np.where(has_offset, aware.utc, naive.utc),
            wall_clock=np.where(has_offset, aware.wall_clock, naive.wall_clock),
            valid=np.where(has_offset, aware.valid, naive.valid),
        ),
        problems,
    )


def _is_numeric_text(texts: pd.Series) -> bool:
    return bool(texts.str.fullmatch(r"\d+(\.\d*)?").all()) and not bool(texts.str.fullmatch(r"\d{8}").all())


def _nanoseconds(column: pd.Series) -> IntArray:
    """Return datetimes without a zone as nanoseconds, 0 where there is none."""
    filled = column.fillna(pd.Timestamp(0)).to_numpy().astype("datetime64[ns]")
    return np.asarray(filled.astype(np.int64))


def _bounded(clocks: pd.Series) -> pd.Series:
    """Return datetimes without a zone, NaT for those that nanoseconds cannot hold."""
    return clocks.where((clocks >= _EARLIEST) & (clocks < _LATEST))


def _unreadable_rows(file: str, texts: pd.Series, clocks: pd.Series) -> list[Finding]:
    return [_unreadable(file, row, str(texts.iloc[row])) for row in positions(clocks.isna().to_numpy())]


def _from_pair(
    file: str, texts: pd.Series, instants: pd.Series, walls: pd.Series
) -> tuple[Stamps, list[Finding]]:
    """Return stamps whose instants are known, with the clock that they were written in."""
    utc = _bounded(instants.dt.tz_convert("UTC").dt.tz_localize(None))
    stamps = Stamps(utc=_nanoseconds(utc), wall_clock=_nanoseconds(walls), valid=utc.notna().to_numpy())
    return stamps, _unreadable_rows(file, texts, utc)


def _epochs(file: str, texts: pd.Series) -> tuple[Stamps, list[Finding]]:
    values = np.zeros(len(texts), dtype=np.int64)
    valid = np.ones(len(texts), dtype=bool)
    problems = []
    for row, text in enumerate(texts):
        nanoseconds = _epoch(text)
        if nanoseconds is None:
            valid[row] = False
            problems.append(_unreadable(file, row, text))
        else:
            values[row] = nanoseconds
    return Stamps(utc=values, wall_clock=values, valid=valid), problems


def _epoch(text: str) -> int | None:
    whole, _, fraction = text.partition(".")
    if not whole.isdigit():
        return None
    number = int(whole)
    for smallest, nanoseconds in _EPOCH_UNITS:
        if smallest <= number < smallest * 1000:
            return number * nanoseconds + (int(fraction.ljust(9, "0")[:9]) * nanoseconds // 10**9)
    return None


def _with_offsets(file: str, texts: pd.Series) -> tuple[Stamps, list[Finding]]:
    tidy = texts.str.replace(r"\s*(UTC|GMT)$", "Z", regex=True, case=False)
    instants = pd.to_datetime(tidy, format="ISO8601", errors="coerce", utc=True)
    walls = pd.to_datetime(
        tidy.str.replace(r"\s*(Z|[+-]\d{2}(:?\d{2})?)$", "", regex=True), format="ISO8601", errors="coerce"
    )
    return _from_pair(file, texts, instants, _bounded(walls))


def _naive_clocks(file: str, texts: pd.Series) -> tuple[pd.Series, list[Finding]]:
    """Return datetimes without a zone, NaT where a text cannot be read."""
    texts, problems = _day_and_month_ordered(file, texts)
    clocks = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    for date in _OTHER_FORMATS:
        for clock in _CLOCKS:
            if clocks.notna().all():
                break
            clocks = clocks.fillna(pd.to_datetime(texts, format=date + clock, errors="coerce"))
    clocks = _bounded(clocks)
    return clocks, problems or _unreadable_rows(file, texts, clocks)


def _day_and_month_ordered(file: str, texts: pd.Series) -> tuple[pd.Series, list[Finding]]:
    """Return 31/12/2020 and 12/31/2020 as ISO dates: some row with a number over 12 shows which it is."""
    matches = [_SLASHED.fullmatch(text) for text in texts]
    found = [match for match in matches if match]
    if not found:
        return texts, []
    day_first = any(int(match[1]) > 12 for match in found)
    month_first = any(int(match[3]) > 12 for match in found)
    if day_first == month_first:
        row = next(row for row, match in enumerate(matches) if match)
        why = "some dates begin with the day and some with the month" if day_first else "day or month first?"
        problem = Finding(
            kind=Kind.AMBIGUOUS_DATE,
            file=file,
            row=row + 1,
            value=texts.iloc[row],
            message=f"{why} Write dates as 2020-12-31",
        )
        return texts, [problem]
    day, month = (1, 3) if day_first else (3, 1)
    ordered = [
        f"{match[4]}-{match[month]:0>2}-{match[day]:0>2}{match[5]}" if match else text
        for match, text in zip(matches, texts, strict=True)
    ]
    return pd.Series(ordered, index=texts.index, dtype="str"), []


def _localised(
    file: str, clocks: pd.Series, readable: BoolArray, zone: tzinfo | None, texts: pd.Series
) -> tuple[Stamps, list[Finding]]:
    walls = _nanoseconds(clocks)
    if zone is None:
        problem = Finding(
            kind=Kind.NO_TIMEZONE,
            file=file,
            row=int(np.flatnonzero(readable)[0]) + 1 if readable.any() else 0,
            value=str(texts.iloc[int(np.argmax(readable))]),
            message="stamps carry no offset; say which clock they were written in, e.g. --timezone UTC",
        )
        return Stamps(utc=walls, wall_clock=walls, valid=readable), [problem]
    kept = clocks.fillna(pd.Timestamp(0))
    index = pd.DatetimeIndex(kept)
    # pandas gives NaT for one kind at a time; the other kind is resolved in some way and not used.
    twice = np.asarray(index.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward").isna())
    first_time = np.zeros(len(index), dtype=bool)
    never = np.asarray(index.tz_localize(zone, ambiguous=first_time, nonexistent="NaT").isna())
    problems = []
    for kind, rows, what in (
        (Kind.AMBIGUOUS_LOCAL_TIME, twice & readable, "happened twice, when the clock was set back"),
        (Kind.NONEXISTENT_LOCAL_TIME, never & readable, "never happened, the clock was set forward"),
    ):
        problems += [
            Finding(
                kind=kind,
                file=file,
                row=row + 1,
                value=str(texts.iloc[row]),
                message=f"this local time {what} in {zone}; write stamps in UTC or with an offset",
            )
            for row in positions(rows)
        ]
    valid = np.asarray(readable & ~twice & ~never, dtype=bool)
    instants = index.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").tz_convert("UTC").tz_localize(None)
    utc = np.where(valid, _nanoseconds(pd.Series(instants)), 0)
    return Stamps(utc=utc, wall_clock=walls, valid=valid), problems


def _unreadable(file: str, row: int, text: str) -> Finding:
    if not text or text.lower() in ("nan", "nat", "none"):
        return Finding(
            kind=Kind.EMPTY_CELL, file=file, row=row + 1, value="", message="the time stamp is empty"
        )
    return Finding(
        kind=Kind.UNREADABLE_STAMP,
        file=file,
        row=row + 1,
        value=text,
        message="this is not a time stamp that can be read; write 2020-12-31 or 2020-12-31 23:59:00+00:00",
    )
