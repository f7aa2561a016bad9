"""What a report is made from: one row of a board played again, or a bare strategy, and the facts about it.

The notebook `reports/templates/promotion.ipynb` opens a report and shows what `report_tables` and
`report_figures` make of it. Nothing here draws.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from engine.configuration import Section
from engine.data import catalogue
from engine.data.manifest import Manifest
from engine.domain.errors import IdentityError, InputError
from engine.domain.gates import GateResult, Verdict
from engine.domain.passport import Passport
from engine.home import home, runs_folder
from engine.strategy_files import load_strategy
from research.arena import row_id
from research.backtest import BacktestHashes, backtest
from research.configuration import TournamentSettings, for_data
from research.dissection import Dissection, Measured, at_cost, dissect, dissect_whole, one_bar_later
from research.passports import rebuild, require_unchanged, research_passport
from scoreboards.finding import Found, find
from scoreboards.publish import repeat_command

RESEARCH_RUN = "research-{data}"
COST_MULTIPLES = (2.0, 3.0)


class ReportInputs(Section):
    """What a notebook is told, as a file: values never become code.

    Attributes
    ----------
    kind
        `row`: of a board. `research`: a bare strategy over the whole history of a data set.
    strategy_id
        Of either; the file is refused where it does not fit the rest.
    board_hash
        Of the board, empty for research.
    """

    form: Literal["report-inputs/1"] = "report-inputs/1"
    kind: Literal["row", "research"]
    run_id: str = Field(min_length=1)
    strategy_id: str = Field(min_length=1)
    board_hash: str = ""
    strategy: str = ""
    data: str = ""
    parameters: dict[str, int | float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The numbers that a reader looks for first. NaN where there is none.

    Attributes
    ----------
    lower_bound, deflated_sharpe
        Of the excess, as the gates read them.
    trials
        On record for this data.
    """

    final_equity: float
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    excess_sharpe: float
    lower_bound: float
    deflated_sharpe: float
    max_drawdown: float
    trades: float
    trials: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """An account with everything that is known of it.

    Attributes
    ----------
    found
        The row and its board; None for research.
    gates
        Empty for research.
    hashes
        What the report is bound to, by name.
    commands
        How to make it again, in order.
    """

    passport: Passport
    account: Dissection
    manifest: Manifest
    settings: TournamentSettings
    headline: Headline
    gates: tuple[GateResult, ...]
    verdict: Verdict | None
    found: Found | None
    hashes: Mapping[str, str]
    commands: tuple[str, ...] = field(default=())

    @property
    def quote(self) -> str:
        """Currency of the account."""
        return self.account.panel.instruments[0].quote

    @cached_property
    def what_if(self) -> dict[str, Measured]:
        """The account as it was played, at twice and three times its costs, and filled a bar later."""
        costly = {f"costs × {times:g}": at_cost(self.account, times) for times in COST_MULTIPLES}
        return {
            "as played": at_cost(self.account, 1.0),
            **costly,
            "filled one bar later": one_bar_later(self.account),
        }


def row_inputs(found: Found) -> ReportInputs:
    """Return what a report on a row of a board is told."""
    return ReportInputs(
        kind="row",
        run_id=found.board.run_id,
        strategy_id=found.row.text("strategy_id"),
        board_hash=found.board.content_hash,
    )


def research_inputs(strategy: str, data: str, parameters: Mapping[str, object]) -> ReportInputs:
    """Return what a report on a bare strategy is told.

    Raises
    ------
    InputError
        If there is no such strategy or data set.
    """
    made = load_strategy(strategy, parameters)
    synthetic = catalogue.manifest(data).synthetic
    return ReportInputs(
        kind="research",
        run_id=RESEARCH_RUN.format(data=data),
        strategy_id=row_id(made.name, made.hash, synthetic=synthetic),
        strategy=made.name,
        data=data,
        parameters=made.parameters,
    )


def open_report(inputs_file: str) -> Report:
    """Read the inputs of a report and make everything that it shows.

    Parameters
    ----------
    inputs_file
        Path of a JSON file, seen from the home.

    Raises
    ------
    InputError
        If the file does not fit.
    RefusedError
        If anything changed since the board was made; the message names it.
    IdentityError
        If the account, played again, does not end where the board says it did.
    """
    path = home() / inputs_file
    try:
        inputs = ReportInputs.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise InputError(f"{inputs_file}: is not what a report is made from ({error})") from error
    return _of_row(inputs) if inputs.kind == "row" else _of_research(inputs)


def _of_row(inputs: ReportInputs) -> Report:
    found = find(inputs.strategy_id, runs_folder(), inputs.run_id)
    if found.board.content_hash != inputs.board_hash:
        raise InputError(f"{inputs.run_id}: the board was written again since; make the report again")
    rebuilt = rebuild(found.entry)
    require_unchanged(rebuilt)
    account = dissect(rebuilt)
    row = found.row
    end, said = float(account.equity[-1]), row.number("final_equity")
    if end != said:
        raise IdentityError(
            f"{inputs.strategy_id}: played again the account ends with {end!r}, the board says {said!r}; "
            "no report was written"
        )
    board, universe = found.board, found.universe
    return Report(
        passport=rebuilt.passport,
        account=account,
        manifest=rebuilt.ground.manifest,
        settings=rebuilt.settings,
        headline=Headline(
            final_equity=row.number("final_equity"),
            total_return=row.number("total_return"),
            cagr=row.number("cagr"),
            volatility=row.number("annualized_vol"),
            sharpe=row.number("sharpe"),
            excess_sharpe=row.number("excess_sharpe"),
            lower_bound=row.number("excess_lower_bound"),
            deflated_sharpe=row.number("deflated_sharpe"),
            max_drawdown=row.number("max_drawdown"),
            trades=row.number("trades"),
            trials=universe.trials,
        ),
        gates=row.gates,
        verdict=row.verdict,
        found=found,
        hashes={
            "identity": rebuilt.passport.identity_hash,
            "passport": rebuilt.passport.hash,
            "strategy (graph and parameters)": rebuilt.passport.graph_hash,
            "data set": universe.content_hash,
            "board": board.content_hash,
            "inputs of the run": str(board.settings["inputs_hash"]),
            "configuration": str(board.settings["configuration_hash"]),
            "compiled core": rebuilt.passport.core_version,
            "trials register": universe.register_head,
        },
        commands=(
            repeat_command(board),
            f"engine report {inputs.strategy_id} --run {board.run_id}",
            f"engine promote {inputs.strategy_id} --to paper",
        ),
    )


def _of_research(inputs: ReportInputs) -> Report:
    strategy = load_strategy(inputs.strategy, inputs.parameters)
    settings = for_data(inputs.data)
    passport = research_passport(strategy, inputs.data, settings)
    if passport.strategy_id != inputs.strategy_id:
        raise InputError(
            f"{inputs.strategy} changed since: it is {passport.strategy_id} now; make the report again"
        )
    # Whoever reads this sees the result of a try, so it is one (RULINGS D8).
    tried = backtest(strategy, settings)
    account = dissect_whole(strategy, catalogue.load(inputs.data), settings)
    figures, outcome = tried.figures, tried.outcome
    parameters = "".join(f" --param {name}={value}" for name, value in strategy.parameters.items())
    return Report(
        passport=passport,
        account=account,
        manifest=catalogue.manifest(inputs.data),
        settings=settings,
        headline=Headline(
            final_equity=float(outcome.final_equity[0]),
            total_return=figures["total_return"],
            cagr=figures["cagr"],
            volatility=figures["annualized_volatility"],
            sharpe=figures["sharpe"],
            excess_sharpe=figures["excess_sharpe"],
            lower_bound=figures["excess_lower_bound"],
            deflated_sharpe=math.nan,
            max_drawdown=figures["max_drawdown"],
            trades=float(outcome.trades[0]),
            trials=tried.trials.count,
        ),
        gates=(),
        verdict=None,
        found=None,
        hashes=_research_hashes(passport, tried.hashes, tried.trials.head),
        commands=(
            f"engine report {inputs.strategy} --data {inputs.data}{parameters}",
            f"engine tournament --data {inputs.data}",
        ),
    )


def _research_hashes(passport: Passport, hashes: BacktestHashes, head: str) -> dict[str, str]:
    return {
        "identity": passport.identity_hash,
        "passport": passport.hash,
        "strategy (graph and parameters)": hashes.strategy,
        "data set": hashes.data,
        "configuration": hashes.configuration,
        "compiled core": hashes.core,
        "trials register": head,
    }


def inputs_path(folder: Path) -> str:
    """Return the path of a file below the home as a report is told it: no machine's own path."""
    root = home()
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
