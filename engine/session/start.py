"""How a session begins: what it runs, on which bars, from which row on. The first record of its journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from engine.core.market import FUNDING_FIELD
from engine.core.settings import Costs, Limits, Rules
from engine.domain.errors import InputError, InvalidValueError, RefusedError
from engine.domain.identity import content_hash
from engine.domain.panel import Adjustment, Instrument, Panel
from engine.domain.passport import Number, Passport
from engine.domain.time import Calendar, Timeframe
from engine.features.strategy import Strategy
from engine.journal.canonical import array_of, hex_of
from engine.pipeline.planning import Planner
from engine.pipeline.push import Pipeline
from engine.pipeline.run import Settings
from engine.schedule.windows import Rebalance

START_SCHEMA = 1
# Of sessions whose bars are still to come: they say on which feed they are.
START_SCHEMA_ON_A_FEED = 2
NANOSECONDS = 1000
INSTANCE_DIGITS = 32
_HASH_DIGITS = 64
_SHORT_DIGITS = 16


class FeedKind(StrEnum):
    """Where the bars of a session come from."""

    REPLAY = "replay"
    """A data set: all bars are known when the session begins."""
    SANDBOX = "sandbox"
    """The practice exchange: each bar comes when it is final."""

    @property
    def is_replay(self) -> bool:
        """Whether all bars are known when a session begins."""
        return self is FeedKind.REPLAY


@dataclass(frozen=True, kw_only=True)
class FedData:
    """The bars that a session is fed.

    Attributes
    ----------
    name
        Of the data set.
    content_hash
        Of the fed rows as a panel (`Panel.content_hash`), the origin first: of these bars and no others. On a
        feed of bars that are still to come, of the history before the account's first bar.
    set_hash
        Of the whole data set that they were cut out of, its hold-out included; empty where that is not kept.
    has_range, has_volume, has_funding
        False where the data has closes only, no volume on any fed row, no funding rates.
    """

    name: str
    content_hash: str
    set_hash: str
    timeframe: Timeframe
    calendar: Calendar
    adjustment: Adjustment
    synthetic: bool
    has_range: bool
    has_volume: bool
    has_funding: bool
    instruments: tuple[Instrument, ...]

    @classmethod
    def of(cls, fed: Panel, *, set_hash: str = "") -> Self:
        """Return what a session says of its bars."""
        return cls(
            name=fed.name,
            content_hash=fed.content_hash,
            set_hash=set_hash,
            timeframe=fed.timeframe,
            calendar=fed.calendar,
            adjustment=fed.adjustment,
            synthetic=fed.synthetic,
            has_range=fed.has_range,
            has_volume=fed.has_volume,
            has_funding=FUNDING_FIELD in fed.fields,
            instruments=fed.instruments,
        )

    def to_body(self) -> dict[str, Any]:
        """Return the same in QJ-1 types."""
        return {
            "name": self.name,
            "content_hash": self.content_hash,
            "set_hash": self.set_hash,
            "timeframe": self.timeframe.value,
            "calendar": self.calendar.value,
            "adjustment": self.adjustment.value,
            "synthetic": self.synthetic,
            "has_range": self.has_range,
            "has_volume": self.has_volume,
            "has_funding": self.has_funding,
            "instruments": [
                {
                    "symbol": instrument.symbol,
                    "quote": instrument.quote,
                    "cluster": instrument.cluster,
                    "delisted_at_us": None
                    if instrument.delisted_at is None
                    else microseconds(instrument.delisted_at, instrument.symbol),
                    "haircut": hex_of(instrument.delisting_haircut),
                }
                for instrument in self.instruments
            ],
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_body` was made from."""
        return cls(
            name=body["name"],
            content_hash=body["content_hash"],
            set_hash=body["set_hash"],
            timeframe=Timeframe(body["timeframe"]),
            calendar=Calendar(body["calendar"]),
            adjustment=Adjustment(body["adjustment"]),
            synthetic=body["synthetic"],
            has_range=body["has_range"],
            has_volume=body["has_volume"],
            has_funding=body["has_funding"],
            instruments=tuple(
                Instrument(
                    symbol=entry["symbol"],
                    quote=entry["quote"],
                    cluster=entry["cluster"],
                    delisted_at=None
                    if entry["delisted_at_us"] is None
                    else entry["delisted_at_us"] * NANOSECONDS,
                    delisting_haircut=float(array_of(entry["haircut"])[0]),
                )
                for entry in body["instruments"]
            ),
        )


@dataclass(frozen=True, kw_only=True)
class SessionStart:
    """What a session is bound to.

    Attributes
    ----------
    origin_at
        Open of the first fed bar, row 0; UTC nanoseconds.
    start_row
        First row of the account's life; rows before it are history.
    rows
        How many rows there are; None where nobody knows yet.
    stop_at
        UTC nanoseconds: a feed without an end of its own is left before the first bar that opens then or
        later; None: it goes on until somebody stops it.
    """

    passport: Passport
    data: FedData
    origin_at: int
    start_row: int
    rows: int | None
    feed: FeedKind = FeedKind.REPLAY
    stop_at: int | None = None

    @property
    def instance(self) -> str:
        """Name of this run of this strategy on these bars, 32 hex digits: equal for equal runs."""
        on_a_feed = {} if self.feed.is_replay else {"feed": self.feed.value, "stop_at": self.stop_at}
        return content_hash(
            {
                "kind": "instance/1",
                "passport": self.passport.hash,
                "data": self.data.content_hash,
                "start_row": self.start_row,
                **on_a_feed,
            }
        )[:INSTANCE_DIGITS]

    def to_body(self) -> dict[str, Any]:
        """Return the body of SESSION_STARTED."""
        stop_us = None if self.stop_at is None else microseconds(self.stop_at, "the end of the feed")
        on_a_feed = {} if self.feed.is_replay else {"feed": self.feed.value, "stop_us": stop_us}
        return {
            "schema": START_SCHEMA if self.feed.is_replay else START_SCHEMA_ON_A_FEED,
            "passport": self.passport.to_body(),
            "data": self.data.to_body(),
            "origin_us": microseconds(self.origin_at, "the first bar"),
            "start_row": self.start_row,
            "rows": self.rows,
            "instance": self.instance,
            **on_a_feed,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_body` was made from.

        Raises
        ------
        InvalidValueError
            If the body is of another version, or its instance is not that of its contents.
        """
        if body["schema"] not in (START_SCHEMA, START_SCHEMA_ON_A_FEED):
            raise InvalidValueError(
                f"session: schema must be {START_SCHEMA} or {START_SCHEMA_ON_A_FEED}, was {body['schema']}"
            )
        start = cls.as_told(body)
        if start.instance != body["instance"]:
            raise InvalidValueError(
                f"session: instance {body['instance']} is not that of its contents, {start.instance}"
            )
        return start

    @classmethod
    def as_told(cls, body: Mapping[str, Any]) -> Self:
        """Return what a body says, though its instance may be that of other contents."""
        rows, stop_us = body["rows"], body.get("stop_us")
        return cls(
            passport=Passport.from_body(body["passport"]),
            data=FedData.from_body(body["data"]),
            origin_at=int(body["origin_us"]) * NANOSECONDS,
            start_row=int(body["start_row"]),
            rows=None if rows is None else int(rows),
            feed=FeedKind(body.get("feed", FeedKind.REPLAY)),
            stop_at=None if stop_us is None else int(stop_us) * NANOSECONDS,
        )


def microseconds(nanoseconds: int, what: str) -> int:
    """Return a time as a journal holds it.

    Raises
    ------
    InputError
        If it has fractions of a microsecond, which a journal cannot hold.
    """
    whole, rest = divmod(nanoseconds, NANOSECONDS)
    if rest:
        raise InputError(f"{what}: opens at {nanoseconds} ns; a session needs whole microseconds")
    return int(whole)


def settings_of(passport: Passport) -> Settings:
    """Return what the core is told."""
    return Settings(
        costs=Costs(**_typed(passport.costs, Costs()._asdict())),
        rules=Rules(**_typed(passport.rules, Rules()._asdict())),
        limits=Limits(**_typed(passport.limits, Limits()._asdict())),
        cash=passport.cash,
    )


def _typed(values: Mapping[str, Number], defaults: Mapping[str, Any]) -> dict[str, Any]:
    # Another type of number would compile the core once more.
    return {
        name: type(defaults[name])(value) if name in defaults else value for name, value in values.items()
    }


def pipeline_of(start: SessionStart, strategy: Strategy) -> Pipeline:
    """Return the account of a session before its first bar.

    Raises
    ------
    InvalidValueError
        If the strategy needs ranges that the data does not have.
    """
    return Pipeline(
        strategy=strategy,
        instruments=start.data.instruments,
        settings=settings_of(start.passport),
        drift_band=Rebalance(start.passport.plan.rebalance).drift_band,
        has_range=start.data.has_range,
        has_funding=start.data.has_funding,
        timeframe=start.data.timeframe,
    )


def planner_of(start: SessionStart) -> Planner:
    """Return what makes the base weights of a session, before its first bar."""
    return Planner(
        start.passport.plan,
        delisted_at=[instrument.delisted_at for instrument in start.data.instruments],
        days_per_year=start.data.calendar.days_per_year,
        start_row=start.start_row,
        has_volume=start.data.has_volume,
    )


def require_same_set(passport: Passport, was: str, now: str) -> None:
    """Check that a whole data set has the hash that it had on the scoreboard.

    Raises
    ------
    RefusedError
        If it has another.
    """
    _refuse_drift(passport, ((f"hash of data set {passport.universe}", was, now),))


def require_unchanged(passport: Passport, strategy: Strategy, core_version: str) -> None:
    """Check that the code of today is what the passport stands for.

    Raises
    ------
    RefusedError
        Naming everything that is another.
    """
    compared = (
        ("core version", passport.core_version, core_version),
        (f"graph of {passport.strategy}", passport.graph_hash, strategy.hash),
    )
    _refuse_drift(passport, compared)


def require_same_data(passport: Passport, panel: Panel) -> None:
    """Check that a data set is the one that the passport stands for.

    Raises
    ------
    RefusedError
        Naming everything that is another.
    """
    if passport.universe != panel.name:
        # A slip of the keyboard: nothing has changed, and nothing needs to be judged again.
        raise RefusedError(
            f"{passport.strategy_id} was judged on {passport.universe}, not on {panel.name}",
            next_command=f"the same with --data {passport.universe}",
        )
    compared = (
        ("symbols", ", ".join(passport.symbols), ", ".join(panel.symbols)),
        ("timeframe", passport.timeframe, panel.timeframe.value),
        ("synthetic", str(passport.synthetic), str(panel.synthetic)),
    )
    _refuse_drift(passport, compared)


def _short(value: str) -> str:
    """Return enough of a hash to tell it from another."""
    return value[:_SHORT_DIGITS] if len(value) == _HASH_DIGITS else value


def _refuse_drift(passport: Passport, compared: tuple[tuple[str, str, str], ...]) -> None:
    drift = [f"{what} was {_short(was)}, is {_short(now)}" for what, was, now in compared if was != now]
    if not drift:
        return
    again = "the same command begins a new session"
    if not passport.research_only:
        again = f"engine tournament --data {passport.universe}, then promote what passes"
    raise RefusedError(f"{passport.strategy_id} has changed: {'; '.join(drift)}", next_command=again)
