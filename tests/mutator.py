"""Bars that look real, and defects put into them at random: what the audit is measured by.

Every mutation takes bars without that defect and a generator, and returns changed bars, where the defect is
and what stands there. Rows are counted anew, as a file would count them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from engine.data.audit.marks import subset
from engine.data.audit.neighbours import robust_sigma
from engine.data.calendars import expected_opens
from engine.data.findings import Finding, Kind
from engine.data.quality import Bars
from engine.domain.panel import FloatArray, IntArray
from engine.domain.time import NANOSECONDS_PER_DAY, Calendar, Timeframe

HOUR = 3600 * 10**9
EDGE = 60
"""Defects stay this many bars away from both ends: beyond them there is nobody to compare with."""

PRICES = ("open", "high", "low", "close")

SPLIT_RATIOS = (2.0, 3.0, 1.5, 4.0, 5.0, 7.0, 10.0, 20.0, 1 / 2, 1 / 3, 1 / 5, 1 / 10, 1 / 20)
"""New shares for one old one; below 1 they were put together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mutated:
    """Bars with one defect.

    Attributes
    ----------
    rows
        Where a finding may point; one of them is enough.
    kinds
        What it may be called.
    value
        What its value has to hold.
    now
        When the bars were known.
    """

    bars: Bars
    rows: frozenset[int]
    kinds: frozenset[Kind]
    value: str = ""
    now: int | None = None

    def is_found_by(self, findings: list[Finding]) -> bool:
        """Whether one of the findings names kind, file, row and value of the defect."""
        return any(
            finding.kind in self.kinds
            and finding.row in self.rows
            and finding.file == self.bars.file
            and self.value in finding.value
            and finding.value != ""
            for finding in findings
        )


Mutation = Callable[[Bars, np.random.Generator, Timeframe], Mutated]


def realistic(
    random: np.random.Generator,
    *,
    size: int = 700,
    timeframe: Timeframe = Timeframe.HOUR_1,
    calendar: Calendar = Calendar.ALWAYS,
) -> Bars:
    """Return bars with fat tails, volatility that clusters, volume along with it, ticks, gaps over night."""
    shock = random.standard_t(4, size) / np.sqrt(2)
    level = np.zeros(size)
    noise = 0.12 * random.standard_normal(size)
    for at in range(1, size):
        level[at] = 0.97 * level[at - 1] + noise[at]
    sigma = random.choice([0.0006, 0.005, 0.015]) * np.exp(level)
    moves = np.clip(sigma * shock, -0.15, 0.15)
    # Over night the exchange is closed and the price goes on; where trading never stops the next trade is
    # next to the last.
    share = 0.3 if calendar is not Calendar.ALWAYS else 0.01
    gaps = share * sigma * random.standard_normal(size)
    start = random.choice([0.5, 30.0, 2000.0])
    close = start * np.exp(np.cumsum(moves + gaps))
    open_ = close * np.exp(-moves)
    wick = np.abs(sigma * random.standard_normal((2, size))) * 0.6
    tick = start * 1e-5
    high = np.maximum(open_, close) * np.exp(wick[0])
    low = np.minimum(open_, close) * np.exp(-wick[1])
    volume = 1e4 * np.exp(0.8 * level + 0.4 * random.standard_normal(size) + 0.25 * np.abs(shock))
    open_, close = np.round(open_ / tick) * tick, np.round(close / tick) * tick
    high = np.maximum(np.round(high / tick) * tick, np.maximum(open_, close))
    low = np.minimum(np.round(low / tick) * tick, np.minimum(open_, close))
    return Bars(
        symbol="AAA",
        file="AAA.csv",
        rows=np.arange(1, size + 1),
        stamps=_stamps(size, timeframe, calendar),
        close=close,
        open=open_,
        high=high,
        low=low,
        volume=np.round(volume, 2),
    )


@cache
def _stamps(size: int, timeframe: Timeframe, calendar: Calendar) -> IntArray:
    first = int(np.datetime64("2015-01-05", "ns").astype(np.int64))
    if calendar is Calendar.ALWAYS:
        return first + timeframe.nanoseconds * np.arange(size, dtype=np.int64)
    years = 1 + size // (250 if timeframe is Timeframe.DAY_1 else 1700)
    last = first + years * 366 * NANOSECONDS_PER_DAY
    return expected_opens(calendar, timeframe, first, last, 0)[:size]


def sigma_at(bars: Bars, at: int) -> float:
    """Return the unit of bad ticks at a bar that has none: one robust sigma as the audit defines it."""
    return float(robust_sigma(np.log(bars.close))[at])


# ------------------------------------------------------------------------------------------- structure


def disorder(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Move one row to another place."""
    del timeframe
    size = len(bars.stamps)
    source, target = random.choice(size, 2, replace=False)
    if random.random() < 0.5:
        target = source + 1 if source + 1 < size else source - 1
    order = np.insert(np.delete(np.arange(size), source), target, source)
    rows = {int(target) + 1}
    if abs(int(source) - int(target)) == 1:
        # Of two rows that changed places either one can be called the wrong one.
        rows.add(int(source) + 1)
    return _mutated(taken(bars, order), rows, Kind.UNORDERED_STAMP, "UTC")


def duplicate(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Put a row in twice, as it was or with other values."""
    del timeframe
    at = int(random.integers(0, len(bars.stamps)))
    changed = taken(bars, np.insert(np.arange(len(bars.stamps)), at, at))
    if random.random() < 0.5:
        changed = scaled(changed, at + 1, at + 2, 1.001)
    return _mutated(changed, {at + 2}, Kind.DUPLICATE_STAMP, day_of(bars, at))


def gap(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Take rows out."""
    del timeframe
    count = int(random.integers(1, 20))
    at = int(random.integers(1, len(bars.stamps) - count - 1))
    kept = np.delete(np.arange(len(bars.stamps)), np.arange(at, at + count))
    return _mutated(taken(bars, kept), {at + 1}, Kind.GAP, day_of(bars, at))


def bad_price(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Put in a price that is none."""
    del timeframe
    at = int(random.integers(0, len(bars.stamps)))
    name = str(random.choice(prices_of(bars)))
    value = float(random.choice([0.0, -1.0, -float(bars.close[at]), np.nan, np.inf]))
    kind = Kind.PRICE_NOT_POSITIVE if np.isfinite(value) else Kind.NOT_A_NUMBER
    return _mutated(with_value(bars, name, at, value), {at + 1}, kind, text(value))


def bad_volume(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Put in a volume that is none."""
    del timeframe
    at = int(random.integers(0, len(bars.stamps)))
    return _mutated(with_value(bars, "volume", at, -5.0), {at + 1}, Kind.NEGATIVE_VOLUME, "-5")


def bad_bounds(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Let a bar leave its own range."""
    del timeframe
    at = int(random.integers(0, len(bars.stamps)))
    high, low = _of(bars, "high")[at], _of(bars, "low")[at]
    if random.random() < 0.3:
        changed = with_value(with_value(bars, "high", at, low * 0.999), "low", at, high)
        return _mutated(changed, {at + 1}, Kind.HIGH_BELOW_LOW, "high")
    name = str(random.choice(["open", "close"]))
    factor = 1 + 10 ** random.uniform(-6, 0)
    value = high * factor if random.random() < 0.5 else low / factor
    return _mutated(with_value(bars, name, at, value), {at + 1}, Kind.OUTSIDE_RANGE, name)


def future(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Know bars before they are over."""
    count = int(random.integers(1, 30))
    at = len(bars.stamps) - count
    now = int(bars.stamps[at]) + int(random.integers(-timeframe.nanoseconds + 1, timeframe.nanoseconds))
    if bars.stamps[at - 1] + timeframe.nanoseconds > now:
        at -= 1
    return replace(_mutated(bars, {at + 1}, Kind.FUTURE, "UTC"), now=now)


# ---------------------------------------------------------------------------------------------- values


def bad_tick(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Move one price by eight robust sigmas or more; the bar still holds together."""
    return bad_tick_of(random.uniform(8, 30))(bars, random, timeframe)


def bad_tick_of(sigmas: float) -> Mutation:
    """Return the mutation that moves one price, or all of a bar, by so many robust sigmas."""

    def mutate(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
        del timeframe
        at = _inside(bars, random)
        factor = float(np.exp(sigmas * sigma_at(bars, at) * random.choice([-1, 1])))
        if bars.open is None:
            value = float(bars.close[at]) * factor
            return _mutated(with_value(bars, "close", at, value), {at + 1}, Kind.BAD_TICK, text(value))
        name = str(random.choice(["open", "close", "high", "low", "whole bar"]))
        open_, close = float(_of(bars, "open")[at]), float(bars.close[at])
        if name == "whole bar":
            changed, value = scaled(bars, at, at + 1, factor), close * factor
        elif name == "high":
            value = max(open_, close) * max(factor, 1 / factor)
            changed = with_value(bars, "high", at, value)
        elif name == "low":
            value = min(open_, close) * min(factor, 1 / factor)
            changed = with_value(bars, "low", at, value)
        else:
            value = (open_ if name == "open" else close) * factor
            changed = with_value(bars, name, at, value)
            changed = with_value(changed, "high", at, max(value, float(_of(bars, "high")[at])))
            changed = with_value(changed, "low", at, min(value, float(_of(bars, "low")[at])))
        return _mutated(changed, {at + 1}, Kind.BAD_TICK, text(value))

    return mutate


def volume_spike(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Give volume in another unit: a hundred times or more."""
    del timeframe
    at = _inside(bars, random)
    value = float(_of(bars, "volume")[at]) * 10 ** random.uniform(2, 4)
    return _mutated(with_value(bars, "volume", at, value), {at + 1}, Kind.VOLUME_SPIKE, text(value))


def frozen(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Let the feed repeat itself."""
    del timeframe
    at, count = _inside(bars, random), int(random.integers(2, 30))
    order = np.arange(len(bars.stamps))
    order[at : at + count] = at - 1
    changed = replace(taken(bars, order), stamps=bars.stamps)
    return _mutated(changed, {at + 1}, Kind.REPEATED, "close")


def flat(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Let the price stand still, with some volume or with none."""
    del timeframe
    at, count = _inside(bars, random), int(random.integers(6, 40))
    names = prices_of(bars)
    fields = {name: _of(bars, name).copy() for name in names}
    for values in fields.values():
        values[at : at + count] = bars.close[at - 1]
    if bars.volume is not None and random.random() < 0.5:
        fields["volume"] = bars.volume.copy()
        fields["volume"][at : at + count] = 0.0
    changed = with_fields(bars, fields)
    # The bar after may go on where the price stood.
    return _mutated(changed, {at, at + 1}, Kind.FLAT, "close")


def split(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Split shares without adjusting what came before."""
    del timeframe
    at = _inside(bars, random)
    ratio = float(random.choice(SPLIT_RATIOS))
    changed = scaled(bars, at, len(bars.stamps), 1 / ratio)
    if bars.volume is not None:
        volume = bars.volume.copy()
        volume[at:] *= ratio
        changed = replace(changed, volume=volume)
    return _mutated(changed, {at + 1}, Kind.SUSPECTED_SPLIT, "->")


def reuse(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Go on with another company under the same ticker: other level, other size, sometimes after a pause."""
    at = _inside(bars, random)
    size = len(bars.stamps)
    # Another one trades in another size, and moves otherwise.
    factor = float(np.exp(random.uniform(np.log(1.6), np.log(20)) * random.choice([-1, 1])))
    other = scaled(bars, at, size, factor)
    power = float(random.choice([0.3, 1.0, 3.0]))
    fields = {name: _of(other, name).copy() for name in prices_of(bars)}
    start = float(fields[prices_of(bars)[0]][at])
    for values in fields.values():
        values[at:] = start * (values[at:] / start) ** power
    if bars.volume is not None:
        size_factor = float(np.exp(random.uniform(np.log(10), np.log(1000)) * random.choice([-1, 1])))
        fields["volume"] = bars.volume.copy()
        fields["volume"][at:] *= size_factor / factor
    stamps = bars.stamps.copy()
    if random.random() < 0.5:
        stamps[at:] += int(random.integers(30, 300)) * 7 * NANOSECONDS_PER_DAY
    del timeframe
    changed = replace(with_fields(other, fields), stamps=stamps)
    return _mutated(changed, {at + 1}, Kind.IDENTITY_BREAK, "->")


def zone_slip(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Set the clock wrong for a while: by hours, for daily bars of an exchange by a day."""
    at, count = _inside(bars, random), int(random.integers(25, 200))
    stop = min(at + count, len(bars.stamps) - 2)
    by_day = timeframe is Timeframe.DAY_1 and bool(((bars.stamps // NANOSECONDS_PER_DAY + 3) % 7 < 5).all())
    hours = -24 if by_day else int(random.choice([-8, -5, -4, -1, 1, 2, 5, 9]))
    if by_day:
        # A Monday: dated Sunday, which no calendar knows.
        while (bars.stamps[at] // NANOSECONDS_PER_DAY + 3) % 7 != 0:
            at += 1
    stamps = bars.stamps.copy()
    stamps[at:stop] += hours * HOUR
    return _mutated(replace(bars, stamps=stamps), set(range(at + 1, stop + 1)), Kind.TIME_ZONE_SLIP, "UTC")


def sorted_slip(bars: Bars, random: np.random.Generator, timeframe: Timeframe) -> Mutated:
    """Set the clock wrong for a while and sort by stamp; what is there twice stays. Trading never stops."""
    hours = int(random.choice([-8, -5, -4, -1, 1, 2, 5, 9]))
    count = 2 * abs(hours) * HOUR // timeframe.nanoseconds + int(random.integers(30, 200))
    at = int(random.integers(EDGE, len(bars.stamps) - EDGE - count))
    stamps = bars.stamps.copy()
    stamps[at : at + count] += hours * HOUR
    order = np.argsort(stamps, kind="stable")
    changed = taken(replace(bars, stamps=stamps), order)
    slipped = np.flatnonzero((order >= at) & (order < at + count)) + 1
    # Of two rows with one stamp either one can be called the wrong one.
    rows = {int(slipped[0]) - 1, *slipped.tolist()}
    return _mutated(changed, rows, Kind.TIME_ZONE_SLIP, "UTC")


STRUCTURAL: dict[str, Mutation] = {
    "disorder": disorder,
    "duplicate": duplicate,
    "gap": gap,
    "price": bad_price,
    "volume": bad_volume,
    "bounds": bad_bounds,
    "future": future,
    "frozen": frozen,
    "flat": flat,
    "zone": zone_slip,
}

STATISTICAL: dict[str, Mutation] = {
    "tick": bad_tick,
    "tick of 8 sigmas": bad_tick_of(8.0),
    "spike": volume_spike,
    "split": split,
    "reuse": reuse,
}

NEEDS_OPENS = frozenset({"bounds", "frozen"})
NEEDS_VOLUME = frozenset({"volume", "frozen", "spike", "reuse"})


def applies(name: str, bars: Bars) -> bool:
    """Return whether bars have what a mutation changes: without volume another company is a price only."""
    return not ((bars.open is None and name in NEEDS_OPENS) or (bars.volume is None and name in NEEDS_VOLUME))


def day_of(bars: Bars, at: int) -> str:
    """Return the UTC date of a bar as findings write it."""
    return str(np.datetime64(int(bars.stamps[at]), "ns").astype("datetime64[D]"))


def text(value: float) -> str:
    """Return a number as findings write it."""
    return np.format_float_positional(value, trim="-")


def prices_of(bars: Bars) -> tuple[str, ...]:
    """Return the prices that bars have."""
    return PRICES if bars.open is not None else ("close",)


def taken(bars: Bars, order: IntArray) -> Bars:
    """Return rows in another order, counted anew."""
    return replace(subset(bars, order), rows=np.arange(1, len(order) + 1))


def with_value(bars: Bars, name: str, at: int, value: float) -> Bars:
    """Return bars with one cell changed."""
    values = _of(bars, name).copy()
    values[at] = value
    return with_fields(bars, {name: values})


def scaled(bars: Bars, start: int, stop: int, factor: float) -> Bars:
    """Return bars with the prices of some rows multiplied."""
    fields = {name: _of(bars, name).copy() for name in prices_of(bars)}
    for values in fields.values():
        values[start:stop] *= factor
    return with_fields(bars, fields)


def with_fields(bars: Bars, fields: dict[str, FloatArray]) -> Bars:
    """Return bars with other columns."""
    return replace(bars, **fields)  # type: ignore[arg-type]  # Columns only.


def _of(bars: Bars, name: str) -> FloatArray:
    values = getattr(bars, name)
    assert values is not None
    return np.asarray(values)


def _inside(bars: Bars, random: np.random.Generator) -> int:
    return int(random.integers(EDGE, len(bars.stamps) - EDGE))


def _mutated(bars: Bars, rows: set[int], kind: Kind, value: str = "") -> Mutated:
    return Mutated(bars=bars, rows=frozenset(rows), kinds=frozenset({kind}), value=value)
