"""What a session writes down of a bar, as bodies of records. Pure: equal figures give equal bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from engine.core.records import (
    ACCRUAL_FIELDS,
    ACCRUAL_NAMES,
    CLOSE_FIELDS,
    FILL_FIELDS,
    NO_TARGET,
    ORDER_FIELDS,
)
from engine.journal.canonical import array_of, hex_of
from engine.journal.kinds import Kind
from engine.pipeline.planning import Planned
from engine.pipeline.push import Bar, Pushed
from engine.session.start import NANOSECONDS, SessionStart, microseconds

Entry = tuple[Kind, dict[str, Any]]

# What the policy allows; there is no policy yet that allows less.
MODE = "ACTIVE"
# Integers beyond it do not survive in every JSON library.
_EXACT_MAX = 2**53 - 1
_ID_DIGITS = 32
# Nothing is ever sent again by itself.
_ATTEMPT = 0


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What the ids of a session's orders are made of."""

    instance: str
    strategy_id: str
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, start: SessionStart) -> "Naming":
        """Return the naming of a session."""
        return cls(
            instance=start.instance,
            strategy_id=start.passport.strategy_id,
            symbols=tuple(instrument.symbol for instrument in start.data.instruments),
        )

    def client_order_id(self, opened_us: int, instrument: int, leg: int) -> str:
        """Return the id of an order, 32 hex digits: deciding the same bar again gives the same id.

        Parameters
        ----------
        opened_us
            Of the bar on which it was decided, UTC microseconds.
        leg
            Counted from 0 among the orders of the instrument on that bar.
        """
        symbol = self.symbols[instrument]
        said = f"{self.instance}|{self.strategy_id}|{opened_us}|{symbol}|{leg}|{_ATTEMPT}"
        digits = sha256(said.encode()).hexdigest()[:_ID_DIGITS]
        # The version and variant bits of a UUID made from a name (RFC 9562, version 8).
        variant = "89ab"[int(digits[16], 16) % 4]
        return f"{digits[:12]}8{digits[13:16]}{variant}{digits[17:]}"


def bar_entry(bar: Bar, names: Sequence[str]) -> Entry:
    """Return the record of a bar.

    Parameters
    ----------
    names
        Of the fields that the session reads.
    """
    return Kind.BAR, {
        "row": bar.row,
        "opened_us": microseconds(bar.opened_at, f"row {bar.row}"),
        "day_end": bar.day_end,
        "fields": {name: hex_of(bar.fields[name]) for name in names},
    }


def bar_of(body: Mapping[str, Any]) -> Bar:
    """Return the bar that a record was made from."""
    return Bar(
        row=body["row"],
        opened_at=body["opened_us"] * NANOSECONDS,
        day_end=body["day_end"],
        fields={name: array_of(text) for name, text in body["fields"].items()},
    )


def weights_entry(planned: Planned) -> Entry:
    """Return the record of base weights: once made, they are a fact."""
    return Kind.WEIGHTS, {
        "row": planned.row,
        "weights": hex_of(planned.weights),
        "units": None if planned.units is None else planned.units.tolist(),
        "inputs_hash": planned.inputs_hash,
        "window": planned.window,
    }


def planned_of(body: Mapping[str, Any]) -> Planned:
    """Return the base weights that a record was made from."""
    units = body["units"]
    return Planned(
        row=body["row"],
        weights=array_of(body["weights"]),
        units=None if units is None else np.array(units, dtype=np.int64),
        window=body["window"],
        inputs_hash=body["inputs_hash"],
    )


def account_entries(bar: Bar, pushed: Pushed, *, first_order: int, naming: Naming) -> list[Entry]:
    """Return the records of what a bar did to the account, causes first: fills before the orders they end.

    Parameters
    ----------
    first_order
        Number of the bar's first order, counted from 0 in the session.
    """
    return [
        *(_fill(values) for values in pushed.fills.tolist()),
        *(_closed(values) for values in pushed.closes.tolist()),
        *(_cash(values) for values in pushed.accruals.tolist()),
        _decision(bar.row, pushed),
        *_orders(bar, pushed.orders.tolist(), first_order, naming),
    ]


def _fill(values: Sequence[int]) -> Entry:
    fill = dict(zip(FILL_FIELDS, values, strict=True))
    return Kind.FILL, {
        **fill,
        "price_e8": _exact(fill["price_e8"]),
        "fee_e8": _exact(fill["fee_e8"]),
        "order": _or_none(fill["order"]),
    }


def _closed(values: Sequence[int]) -> Entry:
    return Kind.ORDER_CLOSED, dict(zip(CLOSE_FIELDS, values, strict=True))


def _cash(values: Sequence[int]) -> Entry:
    moved = dict(zip(ACCRUAL_FIELDS, values, strict=True))
    return Kind.CASH, {
        "row": moved["row"],
        "instrument": _or_none(moved["instrument"]),
        "amount_e8": _exact(moved["amount_e8"]),
        "what": ACCRUAL_NAMES[moved["what"]],
    }


def _decision(row: int, pushed: Pushed) -> Entry:
    return Kind.DECISION, {
        "row": row,
        "signals": hex_of(pushed.signals),
        "targets": [None if target == NO_TARGET else target for target in pushed.targets.tolist()],
        "reasons": pushed.reasons.tolist(),
        "causes": pushed.causes.tolist(),
        "lots": pushed.lots.tolist(),
        "cash": hex_of(pushed.cash),
        "equity": hex_of(pushed.equity),
        "scale": hex_of(pushed.scale),
        "mode": MODE,
    }


def _orders(bar: Bar, rows: Sequence[Sequence[int]], first_order: int, naming: Naming) -> list[Entry]:
    opened_us = bar.opened_at // NANOSECONDS
    legs: dict[int, int] = {}
    entries: list[Entry] = []
    for number, values in enumerate(rows, start=first_order):
        order = dict(zip(ORDER_FIELDS, values, strict=True))
        instrument = order["instrument"]
        leg = legs[instrument] = legs.get(instrument, -1) + 1
        body = {
            "row": order["row"],
            "order": number,
            "client_order_id": naming.client_order_id(opened_us, instrument, leg),
            "instrument": instrument,
            "lots": order["lots"],
            "kind": order["kind"],
            "limit_e8": _exact(order["limit_e8"]),
            "trigger_e8": _exact(order["trigger_e8"]),
            "time_in_force": order["time_in_force"],
            "expires": _or_none(order["expires"]),
            "cause": order["cause"],
            "reason": order["reason"],
            "parent": _or_none(order["parent"]),
        }
        entries.append((Kind.ORDER, body))
    return entries


def finished_entry(*, rows: int, orders: int, fills: int, state_hash: str) -> Entry:
    """Return the record of the end of the feed."""
    return Kind.SESSION_FINISHED, {"rows": rows, "orders": orders, "fills": fills, "state_hash": state_hash}


def _or_none(value: int) -> int | None:
    return None if value < 0 else value


def _exact(value: int) -> int | str:
    """Return money as a number, and as decimal text beyond what every JSON library keeps."""
    return value if -_EXACT_MAX <= value <= _EXACT_MAX else str(value)
