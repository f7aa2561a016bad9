"""What sealed bars said about a row, for people and programs."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.compiled import CORE_VERSION
from engine.core import metrics
from engine.data import holdout
from engine.data.holdout import Opening, Request
from engine.domain.gates import Verdict
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray
from engine.home import runs_folder
from engine.strategy_files import load_strategy
from research.sealed import Band, Sealed
from scoreboards.finding import Found
from scoreboards.publish import write_whole
from scoreboards.run_files import HOLDOUT_FILE, write_sums

RETURNS_FILE = "returns.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the sealed bars said.

    Attributes
    ----------
    verdict
        PASS where the lower bound is above 0; HOLD where the excess is what the board promised and above 0,
        but not proven by so few days; FAIL else.
    place
        Where the excess Sharpe ratio lies: below, inside or above the band.
    why
        One sentence.
    """

    verdict: Verdict
    place: str
    why: str


def request_for(found: Found, *, operator: str, reason: str) -> Request:
    """Return what is written down of a row before its sealed bars are read.

    Raises
    ------
    InputError
        If the operator or the reason is empty.
    """
    names = ("parameters", "selection", "engine", "profile", "rebalance")
    strategy_id = found.row.text("strategy_id")
    return Request(
        strategy_id=strategy_id,
        operator=operator,
        reason=reason,
        identity_hash=found.row.text("identity_hash"),
        coordinates={"graph": _graph(found)} | {name: found.row.text(name) for name in names},
        run_id=found.board.run_id,
        is_candidate=is_candidate(found),
        result=f"runs/{folder_of(strategy_id).name}",
    )


def _graph(found: Found) -> str:
    """Return the hash of what a strategy does, whatever it is called."""
    strategy = load_strategy(found.row.text("strategy"), json.loads(found.row.text("parameters")))
    return content_hash(
        {
            "invest": strategy.invest,
            "signal": strategy.signal().hash,
            "orders": [root.hash for root in strategy.order_roots],
        }
    )


def is_candidate(found: Found) -> bool:
    """Return whether the board says that the row may move on."""
    return found.row.values["is_candidate"] is True and not found.board.void


def folder_of(strategy_id: str) -> Path:
    """Return where the result of a row on sealed bars stands."""
    return runs_folder() / f"holdout-{strategy_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is on record of a row on sealed bars.

    Attributes
    ----------
    verdict
        None where it was opened and nothing can be read of what came of it.
    words
        For a reader.
    """

    verdict: Verdict | None
    words: str


def seen(found: Found) -> Seen | None:
    """Return what the sealed bars said of a row; None where they were never opened for it.

    Raises
    ------
    InputError
        If the data set is not known, or the journal of openings is not what was written.
    """
    asking = request_for(found, operator="the ladder", reason="to read the record")
    opening = holdout.first_opening(found.row.text("universe"), asking)
    if opening is None:
        return None
    path = folder_of(opening.request.strategy_id) / HOLDOUT_FILE
    try:
        document = json.loads(path.read_bytes())
        said = document.pop("content_hash")
        # Another row's result, or one that was edited, is no evidence.
        is_of_row = (
            document["identity_hash"] == opening.request.identity_hash and content_hash(document) == said
        )
        verdict, bound = Verdict(document["verdict"]), document["excess_lower_bound"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        is_of_row = False
    if not is_of_row:
        return Seen(verdict=None, words=f"opened {opening.opened_at[:10]}, its result is gone or was edited")
    return Seen(verdict=verdict, words=f"opened {opening.opened_at[:10]}, lower bound {signed(bound)}")


def judged(excess_sharpe: float, lower_bound: float, band: Band) -> Finding:
    """Return the verdict on a row that was played on sealed bars.

    Parameters
    ----------
    excess_sharpe, lower_bound
        Annualised, on the sealed bars.
    band
        Of what the board promised.
    """
    place = "below" if excess_sharpe < band.low else "above" if excess_sharpe > band.high else "inside"
    if lower_bound > 0.0:
        verdict, why = (
            Verdict.PASS,
            "it earned more than the pool at its own exposure, proven by these days alone",
        )
    elif excess_sharpe > 0.0 and place != "below":
        verdict = Verdict.HOLD
        why = f"it kept what the board promised, but {band.n_days:,} days are too few to prove it"
    elif place == "below":
        verdict = Verdict.FAIL
        why = "it earned less than 19 in 20 stretches as long of the board's own days: it promised too much"
    else:
        verdict, why = Verdict.FAIL, "it earned no more than the pool at its own exposure"
    return Finding(verdict=verdict, place=place, why=why)


def document(sealed: Sealed, opening: Opening, number: int) -> dict[str, Any]:
    """Return what `holdout.json` says and `--json` prints: a contract, stable from here on.

    Parameters
    ----------
    number
        Which opening of its data set this was, counted from 1.
    """
    account = sealed.account
    finding = judged(sealed.excess_sharpe, sealed.lower_bound, sealed.band)
    request = opening.request
    stamps = account.timestamps
    found: dict[str, Any] = {
        "kind": "holdout/1",
        "strategy_id": request.strategy_id,
        "identity_hash": request.identity_hash,
        "coordinates": dict(request.coordinates),
        "run_id": request.run_id,
        "is_candidate": request.is_candidate,
        "data": opening.data,
        "data_hash": opening.content_hash,
        "verdict": finding.verdict.value,
        "why": finding.why,
        "band": finding.place,
        "excess_sharpe": _number(sealed.excess_sharpe),
        "excess_lower_bound": _number(sealed.lower_bound),
        "promised": {
            "excess_sharpe": _number(sealed.promised_sharpe),
            "excess_lower_bound": _number(sealed.promised_bound),
            "band": asdict(sealed.band),
        },
        "account": {
            "start_cash": float(account.equity[0]),
            "final_equity": float(account.equity[-1]),
            "fills": len(account.fills.row),
            "exposure": _number(account.exposure),
            **_figures(sealed.returns, account.days_per_year),
        },
        "pool": _figures(sealed.pool, account.days_per_year),
        "sealed_rows": opening.sealed_rows,
        "first_bar": _date(stamps[1]),
        "last_bar": _date(stamps[-1]),
        "opening": {
            "number": number,
            "opened_at": opening.opened_at,
            "operator": request.operator,
            "reason": request.reason,
        },
        "core_version": CORE_VERSION,
        "returns_hash": content_hash(sealed.returns),
    }
    return found | {"content_hash": content_hash(found)}


def publish(sealed: Sealed, found: Mapping[str, Any], folder: Path) -> Path:
    """Write the result, each file whole or not at all, `holdout.json` last, and return its place."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / RETURNS_FILE, returns_csv(sealed))
    path = folder / HOLDOUT_FILE
    write_whole(path, json.dumps(found, indent=1, sort_keys=True, allow_nan=False) + "\n")
    write_sums(folder)
    return path


def returns_csv(sealed: Sealed) -> str:
    """Return a line for each day. Floats keep every digit."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["day", "account", "pool", "excess"])
    columns = (sealed.returns.tolist(), sealed.pool.tolist(), sealed.excess.tolist())
    for stamp, *values in zip(sealed.stamps, *columns, strict=True):
        writer.writerow([_date(stamp), *map(repr, values)])
    return out.getvalue()


def lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a screen shows under the verdict: a name and its words."""
    promised, account, pool = found["promised"], found["account"], found["pool"]
    band, opening = promised["band"], found["opening"]
    nth = "the first opening" if opening["number"] == 1 else f"opening {opening['number']}"
    facts = [
        ("why", found["why"]),
        (
            "promised",
            (
                f"excess Sharpe {signed(promised['excess_sharpe'])}, low 95% "
                f"{signed(promised['excess_lower_bound'])} on {found['run_id']}"
            ),
        ),
        (
            "band",
            (
                f"{found['band']}: nine in ten stretches of {band['n_days']:,} days of that show "
                f"{signed(band['low'])} to {signed(band['high'])}"
            ),
        ),
        (
            "account",
            (
                f"{account['start_cash']:,.2f} became {account['final_equity']:,.2f} "
                f"({account['total_return']:+.1%}), drawdown {account['max_drawdown']:.1%}, "
                f"{account['fills']:,} fills; the pool {pool['total_return']:+.1%}"
            ),
        ),
        ("bars", f"{found['sealed_rows']:,} sealed bars, {found['first_bar']} to {found['last_bar']}"),
        (
            "opened",
            (
                f"{opening['opened_at']} by {opening['operator']}, {nth} of {found['data']}: "
                f"{opening['reason']}"
            ),
        ),
    ]
    if not found["is_candidate"]:
        facts.append(("note", "no candidate on its board: opened by force, and recorded as that"))
    return facts


def headline(found: Mapping[str, Any]) -> str:
    """Return the figures in one line."""
    return (
        f"{found['strategy_id']} on the sealed bars of {found['data']}: excess Sharpe "
        f"{signed(found['excess_sharpe'])}, low 95% {signed(found['excess_lower_bound'])}"
    )


def signed(value: float | None) -> str:
    """Return a ratio as the board writes it."""
    return "none" if value is None else format(value, "+.2f")


def _figures(returns: FloatArray, days_per_year: int) -> dict[str, float | None]:
    return {
        "total_return": _number(metrics.total_return(returns)),
        "annualized_return": _number(metrics.annualized_return(returns, days_per_year)),
        "annualized_volatility": _number(metrics.annualized_volatility(returns, days_per_year)),
        "sharpe": _number(metrics.sharpe(returns, days_per_year)),
        "max_drawdown": _number(metrics.max_drawdown(returns)),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _date(stamp: Any) -> str:
    return str(np.datetime64(int(stamp), "ns").astype("datetime64[D]"))
