"""An account of a board played again by another simulator, and every difference explained."""

from enum import Enum

from engine.domain.errors import InputError
from engine.home import cache_folder
from research import nautilus_simulator
from research.dissection import Dissection
from research.nautilus_simulator import MarketTargets, NautilusWorker
from research.parity_report import (
    Account,
    Market,
    ParityReport,
    core_account,
    explain,
    market_told,
    targets_of,
)
from research.simulators import Resimulated, VectorbtWorker


class Rival(Enum):
    """Who plays the account again."""

    VECTORBT = "vectorbt"
    NAUTILUS = "nautilus"


def compare(account: Dissection, rival: Rival) -> tuple[ParityReport, Market]:
    """Let a rival play what the core decided, and explain every fill that differs.

    Raises
    ------
    InputError
        If the rival cannot play such an account, or is not installed.
    SimulatorError
        If it fails.
    """
    orders = account.strategy.orders()
    roots = orders.roots if orders is not None else ()
    settings, outcome, panel = account.settings, account.outcome, account.panel
    market = market_told(panel, settings, outcome, by_orders=bool(roots))
    limits, rules, costs = settings.limits, settings.rules, settings.costs
    if rules.latency_bars or limits.short or limits.leverage > 1.0 or costs.borrow_bps or costs.interest_bps:
        raise InputError(
            f"{rival.value} plays long positions that are paid for and ordered a bar before; this account "
            "has a delay, shorts or borrowed cash"
        )
    targets = targets_of(panel, settings, account.rows, outcome.decided[0])
    match rival:
        case Rival.VECTORBT:
            if roots:
                raise InputError(
                    "vectorbt holds targets from the next open on, it works no limits, stops or brackets: "
                    "use --against nautilus"
                )
            with VectorbtWorker(cache_folder() / "vectorbt") as vectorbt:
                theirs = vectorbt_account(vectorbt.result(vectorbt.submit(targets)))
        case Rival.NAUTILUS:
            python = nautilus_simulator.available()
            if python is None:
                raise InputError("nautilus is not installed: run  make peers")
            run = (
                nautilus_simulator.orders_of(panel, settings, outcome, roots)
                if roots
                else MarketTargets(targets=targets, rules=rules, volumes=panel.volume[account.rows])
            )
            with NautilusWorker(python) as nautilus:
                theirs = nautilus_account(nautilus.result(nautilus.submit(run)))
    return explain(market, core_account(outcome, rules), theirs), market


def vectorbt_account(played: Resimulated) -> Account:
    """Return an account of vectorbt with the rules that it lacks."""
    return Account(
        name="vectorbt",
        fills=played.fill_table,
        equity=played.equity,
        floors_lots=False,
        has_bound=False,
        has_participation=False,
    )


def nautilus_account(played: Resimulated) -> Account:
    """Return an account of nautilus, which has the rules of the core."""
    return Account(name="nautilus", fills=played.fill_table, equity=played.equity)
