"""Facts beside raw prices: corporate actions, market rules, and the views that are computed from them.

Prices in the lake are as they were traded. A split or a dividend is a fact of its own; adjusted prices are
worked out when they are asked for. A ticker is only a name: who bore it when is told by changes and by
delistings. So an instrument keeps its history under another ticker, and a ticker that is used again belongs
to another instrument.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, assert_never

import numpy as np

from engine.data.market_rules import MarketRules
from engine.domain.errors import InputError, InvalidValueError
from engine.domain.panel import Adjustment, FloatArray, Instrument, Panel

_E8 = 10**8


class ActionKind(StrEnum):
    """What happened to an instrument, or what its venue said of it."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    TICKER_CHANGE = "ticker_change"
    DELISTING = "delisting"
    MARKET_RULES = "market_rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Each old unit became `new_units / old_units` units: 4 and 1 for a four-for-one split."""

    new_units: int
    old_units: int

    def __post_init__(self) -> None:
        if self.new_units <= 0 or self.old_units <= 0:
            raise InvalidValueError(
                f"split: units must be positive, was {self.new_units} for {self.old_units}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dividend:
    """Cash a unit, in 1e-8 of the quote currency: the sum of all that is paid for that day."""

    amount_e8: int

    def __post_init__(self) -> None:
        if self.amount_e8 <= 0:
            raise InvalidValueError(f"dividend: amount_e8 must be positive, was {self.amount_e8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerChange:
    """The instrument goes on under another ticker."""

    to: str

    def __post_init__(self) -> None:
        if not self.to:
            raise InvalidValueError("ticker change: to must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delisting:
    """Trading ended. `haircut` is the share of the last close that a holder lost; .30 where unknown."""

    haircut: float = 0.30

    def __post_init__(self) -> None:
        if not 0 <= self.haircut <= 1:
            raise InvalidValueError(f"delisting: haircut must be from 0 to 1, was {self.haircut}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """What was said to have happened did not."""


What = Split | Dividend | TickerChange | Delisting | MarketRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One action, as it was learned. Of several about the same day and kind the one learned last counts.

    Attributes
    ----------
    venue, ticker
        Of the instrument before the action.
    effective_at
        UTC nanoseconds: bars that open then or later are on the new terms (midnight of the ex-date for daily
        bars). Of market rules: when they were seen.
    what
        `Nothing` takes back what was said before.
    known_at
        UTC nanoseconds at which it was learned.
    """

    venue: str
    ticker: str
    kind: ActionKind
    effective_at: int
    what: What | Nothing
    known_at: int
    source: str
    run: str

    def __post_init__(self) -> None:
        if not isinstance(self.what, Nothing) and kind_of(self.what) is not self.kind:
            raise InvalidValueError(f"{self.ticker}: a {self.kind.value} cannot be {self.what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Time of an instrument under one ticker: from `start` up to, not including, `stop`; None: no bound."""

    ticker: str
    start: int | None
    stop: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One instrument from its first bar to its last, whatever it was called.

    Attributes
    ----------
    symbol
        Its last ticker; `META~2022-01-28` where somebody else bore that ticker after that day.
    stretches
        Oldest first, without gaps.
    delisted_from
        UTC nanoseconds from which on it did not trade; None where it goes on.
    haircut
        Of its delisting.
    """

    symbol: str
    stretches: tuple[Stretch, ...]
    delisted_from: int | None = None
    haircut: float = 0.30


def kind_of(what: What) -> ActionKind:
    """Return the kind of an action."""
    match what:
        case Split():
            return ActionKind.SPLIT
        case Dividend():
            return ActionKind.DIVIDEND
        case TickerChange():
            return ActionKind.TICKER_CHANGE
        case Delisting():
            return ActionKind.DELISTING
        case MarketRules():
            return ActionKind.MARKET_RULES
        case _:
            assert_never(what)


def in_force(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts that count, by ticker and day: the last one said of each, without what was taken back.

    Parameters
    ----------
    facts
        In the order in which they were learned.
    """
    last = {(fact.venue, fact.ticker, fact.effective_at, fact.kind): fact for fact in facts}
    return [last[key] for key in sorted(last) if not isinstance(last[key].what, Nothing)]


def market_rules(facts: Iterable[Fact], venue: str, ticker: str) -> MarketRules | None:
    """Return the rules that a venue told last of a ticker; None where it told none.

    Parameters
    ----------
    facts
        In the order in which they were learned.
    """
    found = None
    for fact in facts:
        if (fact.venue, fact.ticker) == (venue, ticker) and isinstance(fact.what, MarketRules):
            found = fact.what
    return found


# --- who bore a ticker when -------------------------------------------------------------------------------


def lives(tickers: Sequence[str], facts: Sequence[Fact]) -> list[Life]:
    """Return the instruments that bore some tickers, each with its whole history, in the order of symbols.

    Parameters
    ----------
    facts
        Of one venue, in force, of these tickers and of others.

    Raises
    ------
    InputError
        If a ticker passes to an instrument while another one still bears it, or changes run in a circle.
    """
    ends: dict[str, list[Fact]] = {}
    begins: dict[str, list[Fact]] = {}
    for fact in sorted(facts, key=lambda fact: fact.effective_at):
        if fact.kind in (ActionKind.TICKER_CHANGE, ActionKind.DELISTING):
            ends.setdefault(fact.ticker, []).append(fact)
        if isinstance(fact.what, TickerChange):
            begins.setdefault(fact.what.to, []).append(fact)
    found: dict[tuple[Stretch, ...], Life] = {}
    for ticker in dict.fromkeys(tickers):
        for stretch in _stretches(ticker, ends, begins):
            life = _life(stretch, ends, begins)
            found[life.stretches] = life
    return sorted(found.values(), key=lambda life: life.symbol)


def _stretches(
    ticker: str, ends: Mapping[str, Sequence[Fact]], begins: Mapping[str, Sequence[Fact]]
) -> list[Stretch]:
    """Return who bore a ticker one after the other, as stretches of time."""
    stops = [fact.effective_at for fact in ends.get(ticker, ())]
    starts = [fact.effective_at for fact in begins.get(ticker, ())]
    # Somebody bears the ticker from the start of time, from each change to it, and again after each end.
    cuts = sorted({*stops, *starts})
    bounds: list[int | None] = [None, *cuts, None]
    return [
        Stretch(ticker=ticker, start=bounds[number], stop=bounds[number + 1])
        for number in range(len(bounds) - 1)
    ]


def _life(stretch: Stretch, ends: Mapping[str, Sequence[Fact]], begins: Mapping[str, Sequence[Fact]]) -> Life:
    whole = [stretch]
    while (before := _change_at(begins.get(whole[0].ticker, ()), whole[0].start)) is not None:
        whole.insert(0, _ending(before.ticker, before.effective_at, ends, begins))
        _refuse_circle(whole)
    while (end := _change_at(ends.get(whole[-1].ticker, ()), whole[-1].stop)) is not None:
        if not isinstance(end.what, TickerChange):
            break
        whole.append(_starting(end.what.to, end.effective_at, ends, begins))
        _refuse_circle(whole)
    last = whole[-1]
    symbol = last.ticker
    if last.stop is not None:
        day = np.datetime64(last.stop - 1, "ns").astype("datetime64[D]")
        symbol = f"{last.ticker}~{day}"
    what = end.what if end is not None else None
    return Life(
        symbol=symbol,
        stretches=tuple(whole),
        delisted_from=last.stop if isinstance(what, Delisting) else None,
        haircut=what.haircut if isinstance(what, Delisting) else 0.30,
    )


def _change_at(facts: Sequence[Fact], moment: int | None) -> Fact | None:
    at = [fact for fact in facts if fact.effective_at == moment]
    if len(at) > 1:
        day = np.datetime64(at[0].effective_at, "ns").astype("datetime64[D]")
        tickers = " and ".join(fact.ticker for fact in at)
        raise InputError(
            f"corporate actions of {tickers} at {day} contradict each other; take one of them back"
        )
    return at[0] if at else None


def _ending(
    ticker: str, stop: int, ends: Mapping[str, Sequence[Fact]], begins: Mapping[str, Sequence[Fact]]
) -> Stretch:
    return next(each for each in _stretches(ticker, ends, begins) if each.stop == stop)


def _starting(
    ticker: str, start: int, ends: Mapping[str, Sequence[Fact]], begins: Mapping[str, Sequence[Fact]]
) -> Stretch:
    return next(each for each in _stretches(ticker, ends, begins) if each.start == start)


def _refuse_circle(whole: Sequence[Stretch]) -> None:
    if len(set(whole)) != len(whole):
        raise InputError(f"ticker changes of {whole[0].ticker} run in a circle; take one of them back")


# --- adjusted views ---------------------------------------------------------------------------------------


def factors(
    stamps: np.ndarray, closes: FloatArray, actions: Sequence[Fact], adjustment: Adjustment
) -> FloatArray:
    """Return what each price is multiplied by, shape (T,): 1 from the last action on, and less before.

    A split of 4 for 1 divides all earlier prices by 4. A dividend D multiplies them by 1 - D / P, P being the
    last close before it as it was traded, so that returns are those of who buys more with the dividend.

    Parameters
    ----------
    stamps
        Shape (T,), UTC nanoseconds of the opens.
    closes
        Shape (T,), as traded; NaN where it did not trade.
    actions
        Of this instrument, in force.

    Raises
    ------
    InputError
        If a dividend is not less than the close before it.
    """
    result = np.ones(len(stamps))
    if adjustment is Adjustment.NONE:
        return result
    for fact in actions:
        before = int(np.searchsorted(stamps, fact.effective_at))
        traded = np.flatnonzero(np.isfinite(closes[:before]))
        if not len(traded) or before == len(stamps):
            # It was before the first bar, or comes after the last one.
            continue
        if isinstance(fact.what, Split):
            result[:before] *= fact.what.old_units / fact.what.new_units
        elif isinstance(fact.what, Dividend) and adjustment is Adjustment.TOTAL_RETURN:
            close, amount = float(closes[traded[-1]]), fact.what.amount_e8 / _E8
            if amount >= close:
                day = np.datetime64(fact.effective_at, "ns").astype("datetime64[D]")
                raise InputError(
                    f"{fact.venue} {fact.ticker}: a dividend of {amount:g} at {day} is not less than the "
                    f"close before it, {close:g}; take it back or correct it"
                )
            result[:before] *= 1 - amount / close
    return result


def adjusted(panel: Panel, actions: Mapping[str, Sequence[Fact]], adjustment: Adjustment) -> Panel:
    """Return a panel of raw prices as an adjusted one; volume is divided by the factor of the price.

    Parameters
    ----------
    actions
        By symbol of the panel, in force.

    Raises
    ------
    InputError
        If the panel is adjusted already, or an action cannot be.
    """
    if adjustment is Adjustment.NONE:
        return panel
    if panel.adjustment is not Adjustment.NONE:
        raise InputError(f"{panel.name}: its prices are adjusted already ({panel.adjustment.value})")
    prices: dict[str, Any] = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close")}
    volume = panel.volume.copy()
    for column, symbol in enumerate(panel.symbols):
        factor = factors(panel.timestamps, panel.close[:, column], actions.get(symbol, ()), adjustment)
        for values in prices.values():
            values[:, column] *= factor
        volume[:, column] /= factor
    return replace(panel, **prices, volume=volume, adjustment=adjustment)


def of_life(life: Life, facts: Sequence[Fact]) -> list[Fact]:
    """Return the splits and dividends of an instrument, under whichever ticker it had them.

    Parameters
    ----------
    facts
        Of one venue, in force.
    """
    found = []
    for fact in facts:
        if not isinstance(fact.what, Split | Dividend):
            continue
        for number, stretch in enumerate(life.stretches):
            # On the day of a change the action may be told of either ticker.
            goes_on = number + 1 < len(life.stretches)
            begun = stretch.start is None or fact.effective_at >= stretch.start
            over = stretch.stop is not None and (
                fact.effective_at > stretch.stop if goes_on else fact.effective_at >= stretch.stop
            )
            if fact.ticker == stretch.ticker and begun and not over:
                found.append(fact)
                break
    return sorted(found, key=lambda fact: (fact.effective_at, fact.kind))


def instrument_of(life: Life, quote: str, stamps: np.ndarray, closes: FloatArray) -> Instrument:
    """Return a life as an instrument: what was delisted says when its last bar opened.

    Parameters
    ----------
    stamps, closes
        Shape (T,), of its column in a panel.
    """
    traded = np.flatnonzero(np.isfinite(closes))
    is_over = life.delisted_from is not None and len(traded) and stamps[-1] >= life.delisted_from
    return Instrument(
        symbol=life.symbol,
        quote=quote,
        delisted_at=int(stamps[traded[-1]]) if is_over else None,
        delisting_haircut=life.haircut,
    )


# --- as documents -----------------------------------------------------------------------------------------

_NOUNS: Mapping[ActionKind, type[Any]] = {
    ActionKind.SPLIT: Split,
    ActionKind.DIVIDEND: Dividend,
    ActionKind.TICKER_CHANGE: TickerChange,
    ActionKind.DELISTING: Delisting,
    ActionKind.MARKET_RULES: MarketRules,
}


def to_document(fact: Fact) -> dict[str, Any]:
    """Return a fact as plain values; `what` is None where something was taken back."""
    return asdict(fact) | {"what": None if isinstance(fact.what, Nothing) else asdict(fact.what)}


def from_document(document: Mapping[str, Any]) -> Fact:
    """Return the fact of plain values.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they are not those of a fact.
    """
    kind = ActionKind(document["kind"])
    what = document["what"]
    return Fact(
        venue=str(document["venue"]),
        ticker=str(document["ticker"]),
        kind=kind,
        effective_at=int(document["effective_at"]),
        what=Nothing() if what is None else _NOUNS[kind](**what),
        known_at=int(document["known_at"]),
        source=str(document["source"]),
        run=str(document["run"]),
    )
