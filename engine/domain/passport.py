"""What a session runs: everything that passed, bound by hashes, in a form that a journal can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.portfolio import Invest

Number = int | float


class PlanKind(StrEnum):
    """Where base weights come from: equal weight of what is listed, or an allocation a window."""

    LISTED = "listed"
    WALK_FORWARD = "walk_forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTerms:
    """How base weights are made.

    Attributes
    ----------
    selection, engine, profile, rebalance
        By name, as on the board; empty under `LISTED`, where `rebalance` is `window`.
    train, test, step, purge, embargo
        Lengths of a walk-forward window, in bars.
    floor
        Fewer instruments are no universe: all eligible ones are taken.
    seed
        Of the selection's bootstrap.
    """

    kind: PlanKind
    selection: str = ""
    engine: str = ""
    profile: str = ""
    rebalance: str = "window"
    train: int = 0
    test: int = 0
    step: int = 0
    purge: int = 0
    embargo: int = 0
    floor: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Passport:
    """All that decides what a strategy does with an account.

    Attributes
    ----------
    strategy_id
        Of the candidate; of a strategy that nothing promoted, its name and the first digits of its hash.
    graph_hash
        Of the strategy: name, parameters, way of investing, graph.
    universe
        Name of the data set that it passed on.
    costs, rules, limits
        The fields of the core's tuples of the same names.
    cash
        At the start, in quote currency.
    core_version
        Of the compiled code.
    identity_hash
        Of the row of the board; of the passport's own contents for a strategy that nothing promoted.
    run_id, board_hash
        Of the board that it passed on; empty where there is none.
    research_only
        Nothing promoted it: it is for exploring, and can never go further.
    """

    strategy_id: str
    strategy: str
    parameters: Mapping[str, Number]
    invest: Invest
    graph_hash: str
    universe: str
    symbols: tuple[str, ...]
    timeframe: str
    plan: PlanTerms
    costs: Mapping[str, Number]
    rules: Mapping[str, Number]
    limits: Mapping[str, Number]
    cash: float
    core_version: str
    identity_hash: str
    run_id: str = ""
    board_hash: str = ""
    synthetic: bool = False
    research_only: bool = False

    @property
    def hash(self) -> str:
        """SHA-256 of everything above."""
        return content_hash(self)

    def to_body(self) -> dict[str, Any]:
        """Return plain JSON types without floats: a float is its shortest exact hexadecimal text."""
        body = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        body["plan"] = {field.name: _plain(getattr(self.plan, field.name)) for field in fields(self.plan)}
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_body` was made from.

        Raises
        ------
        InvalidValueError
            If a field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(body) != names:
            raise InvalidValueError(
                f"passport: fields must be {', '.join(sorted(names))}; missing {sorted(names - set(body))}, "
                f"unknown {sorted(set(body) - names)}"
            )
        values = dict(body)
        values["invest"] = Invest(body["invest"])
        values["symbols"] = tuple(body["symbols"])
        values["plan"] = PlanTerms(**{**body["plan"], "kind": PlanKind(body["plan"]["kind"])})
        values["cash"] = float.fromhex(body["cash"])
        for name in ("parameters", "costs", "rules", "limits"):
            values[name] = {key: _number(value) for key, value in body[name].items()}
        return cls(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _number(value: Any) -> Number:
    return value if isinstance(value, int) else float.fromhex(value)
