"""`engine backtest`: one strategy on one data set, as one account."""

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.domain.errors import InputError

if TYPE_CHECKING:
    from research.backtest import Backtest
    from research.configuration import TournamentSettings

_ALL_OF_IT_BPS = 10_000.0

# What an account is like where nothing else is said.
CASH = 100_000.0
FEE_BPS = 10.0
SLIPPAGE_BPS = 5.0
CASH_BUFFER = 0.01

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help="Run one strategy on one data set.")
def backtest(
    strategy: Annotated[str, typer.Option("--strategy", metavar="NAME", help="See: engine strategy list")],
    data: Annotated[str, typer.Option("--data", metavar="NAME", help="See: engine data list")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter; may be given several times."),
    ] = None,
    cash: Annotated[float, typer.Option(help="At the start, in the quote currency.")] = CASH,
    fee_bps: Annotated[float, typer.Option(min=0.0, help="Of each fill's notional.")] = FEE_BPS,
    slippage_bps: Annotated[float, typer.Option(min=0.0, help="Added to each fill's price.")] = SLIPPAGE_BPS,
    cash_buffer: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of equity that sizing leaves out.")
    ] = CASH_BUFFER,
    limits: Annotated[
        bool,
        typer.Option(
            "--limits/--no-limits", help="Exposure caps and drawdown tiers of the standard tournament."
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Play from the first bar to the hold-out, equal weight over what is listed, and say what came of it."""
    if not (math.isfinite(cash) and cash > 0):
        raise InputError(f"--cash must be above 0, was {cash:g}")
    for option, bps in (("--fee-bps", fee_bps), ("--slippage-bps", slippage_bps)):
        if not bps < _ALL_OF_IT_BPS:
            raise InputError(
                f"{option} must be below {_ALL_OF_IT_BPS:g}, which is all of the price, was {bps:g}"
            )
    parameters = dict(_parameter(text) for text in param or [])

    from engine.cli.first_run import Kernel, tell_if_first
    from engine.strategy_files import load_strategy
    from research.backtest import backtest as play

    tell_if_first(Kernel.ALL_BARS)
    settings = settings_for(
        data, cash=cash, fee_bps=fee_bps, slippage_bps=slippage_bps, cash_buffer=cash_buffer, limited=limits
    )
    done = play(load_strategy(strategy, parameters), settings)
    if as_json:
        typer.echo(json.dumps(_document(done), sort_keys=True, allow_nan=False))
    else:
        _show(done, settings)


def _parameter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name.strip() and sign and value.strip()):
        raise InputError(f"--param {text!r} must be NAME=VALUE, such as --param fast=20")
    return name.strip(), value.strip()


def settings_for(
    data: str,
    *,
    cash: float = CASH,
    fee_bps: float = FEE_BPS,
    slippage_bps: float = SLIPPAGE_BPS,
    cash_buffer: float = CASH_BUFFER,
    limited: bool = True,
) -> "TournamentSettings":
    """Return what an account on one data set is told."""
    from research.configuration import (
        CostProfile,
        LimitProfile,
        RuleSettings,
        TournamentConfiguration,
        TournamentSettings,
        Universe,
    )

    off = math.inf
    unlimited = LimitProfile(
        name="none",
        gross=off,
        instrument=off,
        cluster=off,
        tier_1_drawdown=off,
        tier_2_drawdown=off,
        halt_drawdown=off,
    )
    return TournamentSettings(
        configuration=TournamentConfiguration(
            universes=(Universe(name=data),), rules=RuleSettings(cash_buffer=cash_buffer), cash=cash
        ),
        costs=CostProfile(
            name="command_line", taker_fee_bps=fee_bps, maker_fee_bps=fee_bps, slippage_bps=slippage_bps
        ),
        limits=LimitProfile(name="research_default") if limited else unlimited,
        source="the command line",
    )


def _document(done: "Backtest") -> dict[str, Any]:
    """Return what `--json` prints: a contract, stable from here on."""
    from dataclasses import asdict

    outcome = done.outcome
    return {
        "strategy": done.strategy.name,
        "parameters": done.strategy.parameters,
        "data": done.panel.name,
        "final_equity": float(outcome.final_equity[0]),
        "first_bar": _iso(done, 0),
        "last_bar": _iso(done, -1),
        "bars": len(done.panel),
        "metrics": {name: _number(value) for name, value in done.figures.items()},
        "fills": int(outcome.fills[0]),
        "trades": int(outcome.trades[0]),
        "reasons": _reasons(done),
        "fill_records": _fills(done),
        "hashes": asdict(done.hashes),
        "trials": asdict(done.trials) | {"is_new": done.is_new_trial},
    }


def _iso(done: "Backtest", row: int) -> str:
    """Return when a bar opened, ISO-8601 in UTC."""
    import numpy as np

    stamp = np.datetime64(int(done.panel.timestamps[row]), "ns")
    return str(np.datetime_as_string(stamp, unit="s", timezone="UTC"))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _reasons(done: "Backtest") -> dict[str, int]:
    from engine.domain.reasons import Reason

    counts = done.outcome.reason_counts[0]
    return {reason.name: int(counts[reason]) for reason in Reason if counts[reason]}


def _fills(done: "Backtest") -> list[dict[str, Any]]:
    from engine.core.records import FILL_FIELDS
    from engine.domain.reasons import Cause

    records = []
    for values in done.outcome.fill_records[0].tolist():
        fill = dict(zip(FILL_FIELDS, values, strict=True))
        records.append(
            {
                "bar": _iso(done, fill["row"]),
                "symbol": done.panel.symbols[fill["instrument"]],
                "lots": fill["lots"],
                "quantity": round(fill["lots"] * done.lot_size, 12),
                "price": fill["price_e8"] / 1e8,
                "fee": fill["fee_e8"] / 1e8,
                "cause": Cause(fill["cause"]).name,
            }
        )
    return records


def _show(done: "Backtest", settings: "TournamentSettings") -> None:
    """Print what happened, why it is no verdict, and the next command."""
    from rich.console import Console
    from rich.text import Text

    from engine.domain.reasons import SENTENCES, Reason

    figures, cash = done.figures, settings.configuration.cash
    screen = Console(highlight=False, soft_wrap=True)
    parameters = ", ".join(f"{name} {value:g}" for name, value in done.strategy.parameters.items())
    name = f"{done.strategy.name} ({parameters})" if parameters else done.strategy.name
    equity = float(done.outcome.final_equity[0])
    screen.print(
        Text.assemble(
            ("MEASURED  ", "bold"),
            (name, "bold"),
            f" on {done.panel.name}: {cash:,.2f} became {equity:,.2f} ({figures['total_return']:+.1%})",
        )
    )
    screen.print(
        "  no verdict: every bar was in sight when the idea was made; a tournament judges it out of sample\n"
    )
    for label, words in _lines(done, settings).items():
        screen.print(f"  {label:<12} {words}")
    for reason, count in _reasons(done).items():
        screen.print(f"  {'':<12} {count:,} x {SENTENCES[Reason[reason]]}", style="dim")
    added = "this one is new" if done.is_new_trial else "this one was there already"
    screen.print(f"  {'trials':<12} {done.trials.count:,} on record for this data, {added}")
    screen.print(f"\n  next   engine tournament --data {done.panel.name}")


def _percent(share: float) -> str:
    return f"{share:+.2%}"


def _lines(done: "Backtest", settings: "TournamentSettings") -> dict[str, str]:
    figures, outcome = done.figures, done.outcome
    bars = f"{len(done.panel):,}, the first opens {_iso(done, 0)}, the last {_iso(done, -1)}"
    year = (
        f"return {_percent(figures['cagr'])} compounded, volatility "
        f"{_percent(figures['annualized_volatility'])}, Sharpe {figures['sharpe']:+.2f}"
    )
    worst = (
        f"drawdown {_percent(figures['max_drawdown'])}, mean of the worst 5% of days "
        f"{_percent(figures['cvar_95'])}"
    )
    beyond = (
        f"Sharpe {figures['excess_sharpe']:+.2f}, low 95% {figures['excess_lower_bound']:+.2f}, against "
        f"equal weight of all at the same exposure ({figures['average_gross']:.0%})"
    )
    trading = (
        f"{int(outcome.fills[0]):,} fills, {int(outcome.trades[0]):,} round trips, fees "
        f"{figures['fees']:,.2f}, halts {figures['halts']:.0f}; {settings.costs.words()}"
    )
    return {"bars": bars, "a year": year, "at worst": worst, "beyond pool": beyond, "trading": trading}
