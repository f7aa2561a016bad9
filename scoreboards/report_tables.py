"""The words and tables of a report. A notebook shows what these functions return."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from markupsafe import Markup

from engine.core.settings import Rules
from engine.domain.gates import GateStatus, Verdict
from engine.domain.passport import PlanKind
from engine.domain.portfolio import Invest
from engine.domain.reasons import SENTENCES, Reason
from research.cells import BaselineRole
from research.control_study import load_study
from scoreboards.explain import WORDS, reason
from scoreboards.gate_words import gate_has, gate_needs
from scoreboards.gates import EXCESS_LOWER_BOUND
from scoreboards.report import Report
from scoreboards.rows import stamp
from scoreboards.sentences import row_reasons

SIGNS = {
    GateStatus.PASS: "✓ met",
    GateStatus.FAIL: "✕ not met",
    GateStatus.MISSING: "✕ no evidence",
    GateStatus.NOT_APPLICABLE: "· does not apply",
}
TONES = {Verdict.PASS: "good", Verdict.HOLD: "hold", Verdict.FAIL: "bad", Verdict.BASELINE: "ref"}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a page that a notebook shows as it is."""

    html: Markup = field(repr=False)

    def _repr_html_(self) -> str:
        return str(self.html)


def note(words: str) -> Passage:
    """Return a sentence that stands where a picture would."""
    return Passage(Markup('<p class="note">{}</p>').format(words))


# --- the verdict -----------------------------------------------------------------------------------------


def verdict(report: Report) -> Passage:
    """Say in plain words what came of the strategy, for a reader who does not trade."""
    word, tone, first = _verdict_words(report)
    sentences = [first, _story(report), *_warnings(report)]
    body = Markup("").join(Markup("<p>{}</p>").format(sentence) for sentence in sentences if sentence)
    title = Markup('<h1>{}</h1><p class="note">{}</p>').format(_title(report), _subtitle(report))
    return Passage(
        Markup('{}<div class="verdict {}"><b class="word">{}</b>{}</div>').format(title, tone, word, body)
    )


def _title(report: Report) -> str:
    return f"{report.passport.strategy} on {report.passport.universe}"


def _subtitle(report: Report) -> str:
    passport = report.passport
    run = f"run {passport.run_id}" if passport.run_id else "no run"
    return f"{passport.strategy_id} · {run} · identity {passport.identity_hash[:16]}"


def _verdict_words(report: Report) -> tuple[str, str, str]:
    name = report.passport.strategy
    if report.found is None or report.verdict is None:
        first = (
            f"Research only: nobody judged {name}. Every bar below was in sight when the idea was made, so "
            "this is a measurement and no evidence, and it can never be promoted from here."
        )
        return "NO VERDICT", "hold", first
    row, board = report.found.row, report.found.board
    if board.void:
        return "VOID", "bad", "A control misbehaved, so this tournament proves nothing, whatever is below."
    reasons = row_reasons(row)
    more = f"; and {len(reasons) - 1} more, below" if len(reasons) > 1 else ""
    match report.verdict:
        case Verdict.PASS:
            asked = sum(gate.status is GateStatus.PASS for gate in report.gates)
            first = (
                f"{name} met all {asked} gates that apply. It may move to paper trading: pretend money, real "
                "rules."
            )
        case Verdict.HOLD:
            first = f"{name} is clean but not proven, so it stays where it is. Why: {reasons[0]}{more}."
        case Verdict.FAIL | Verdict.BASELINE:
            first = f"{name} did not pass, so it stays where it is. Why: {reasons[0]}{more}."
    return report.verdict.value, TONES[report.verdict], first


def _story(report: Report) -> str:
    account, headline, quote = report.account, report.headline, report.quote
    cash = account.settings.cash
    pool = float(account.pool_at_exposure[-1])
    how = (
        "on bars that its weights had not been fitted to"
        if report.passport.plan.kind is PlanKind.WALK_FORWARD
        else "over the whole history"
    )
    return (
        f"From {_day(report, 0)} to {_day(report, -1)}, {how} and after all costs, {cash:,.0f} {quote} "
        f"became {headline.final_equity:,.0f} {quote} ({headline.cagr:+.1%} a year). As much money held in "
        f"equal parts of everything, at the same exposure of {account.exposure:.0%}, became {pool:,.0f} "
        f"{quote}. At its "
        f"worst the account was {abs(headline.max_drawdown):.0%} below its best day."
    )


def _warnings(report: Report) -> list[str]:
    found = []
    if report.passport.synthetic:
        found.append(
            "These prices are synthetic, made from a seed: it may rehearse every step and never reaches a "
            "real venue."
        )
    found += [note for note in report.manifest.notes if not report.passport.synthetic]
    return [note if note.endswith(".") else f"{note}." for note in found]


def _day(report: Report, row: int) -> str:
    panel = report.account.panel
    return stamp(int(report.account.timestamps[row]), intraday=panel.bars_a_day > 1)


def facts(report: Report) -> Passage:
    """Return the key facts, a card each: first the numbers, then the terms."""
    headline, account, passport = report.headline, report.account, report.passport
    numbers = [
        (f"{headline.cagr:+.1%}", "a year after costs, compounded"),
        (f"{headline.sharpe:+.2f}", "Sharpe ratio, a year"),
        (f"{headline.excess_sharpe:+.2f}", "excess Sharpe: beyond the pool at the same exposure"),
        (_number(headline.lower_bound, "+.2f"), "at least so much of it, with 95% confidence"),
        (
            _number(headline.deflated_sharpe, ".2f"),
            f"deflated Sharpe: chance that it beats the best of {headline.trials} tries on this data",
        ),
        (f"{headline.max_drawdown:.0%}", "deepest drawdown"),
        (f"{headline.volatility:.0%}", "volatility, a year"),
        (f"{account.exposure:.0%}", "of the account invested, on average"),
        (f"{headline.trades:,.0f}", "round trips"),
        (f"{account.years:.1f}", "years"),
    ]
    words = [
        (_parameters(report), "parameters"),
        (_plan_words(report), "base weights"),
        (_INVEST_WORDS[passport.invest], f"invested: {passport.invest.value}"),
        (report.settings.costs.words(), "costs a side; every figure is net of them"),
    ]
    return Passage(_cards("facts", numbers) + _cards("facts terms", words))


def _cards(kind: str, cards: list[tuple[str, str]]) -> Markup:
    inside = Markup("").join(
        Markup('<div class="fact"><b>{}</b><span>{}</span></div>').format(*card) for card in cards if card[0]
    )
    return Markup('<div class="{}">{}</div>').format(kind, inside)


_INVEST_WORDS = {
    Invest.FULL: "all of it, shared among what is signalled",
    Invest.SCALED: "base weight × signal, the rest is cash",
}


def _plan_words(report: Report) -> str:
    plan = report.passport.plan
    if plan.kind is PlanKind.LISTED:
        return "equal weight of what is listed"
    return f"{plan.selection} · {plan.rebalance} · {plan.engine}/{plan.profile}"


def _parameters(report: Report) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in report.passport.parameters.items()) or "none"


def _number(value: float, form: str) -> str:
    return "" if np.isnan(value) else format(value, form)


# --- gates -----------------------------------------------------------------------------------------------


def gates(report: Report) -> "pd.DataFrame | Passage":
    """Return every gate: what it needs, what the strategy has, and why."""
    if not report.gates:
        return note("No gate was asked. A tournament plays the strategy walk-forward and asks all of them.")
    rows = []
    for gate in report.gates:
        why = reason(gate) or WORDS[gate.gate].asks
        if gate.gate == EXCESS_LOWER_BOUND and report.headline.excess_sharpe <= 0 and reason(gate):
            # "Could be luck" would flatter it.
            why = f"earned no more than the pool at its exposure: {report.headline.excess_sharpe:+.2f}"
        rows.append((gate_needs(gate), gate_has(gate), SIGNS[gate.status], why))
    return pd.DataFrame(
        rows, columns=["needs", "has", "", "why"], index=[gate.gate for gate in report.gates]
    ).rename_axis(columns="gate")


def strictness() -> Passage:
    """Say how often the gates promote luck, and how often they find an edge, as last measured."""
    return note(f"How strict the gates are, measured in worlds of known truth: {load_study().headline()}")


# --- what if ---------------------------------------------------------------------------------------------


def sensitivity(report: Report) -> pd.DataFrame:
    """Return what becomes of the account when costs rise or fills come later."""
    found = report.what_if
    rows = [
        (
            f"{item.excess_sharpe:+.2f}",
            f"{item.sharpe:+.2f}",
            f"{item.annualized_return:+.1%}",
            f"{item.max_drawdown:.1%}",
            f"{item.turnover:.1f} ×",
            f"{item.fees:,.0f}",
        )
        for item in found.values()
    ]
    columns = ["excess Sharpe", "Sharpe", "return a year", "deepest drawdown", "turnover a year", "fees"]
    return pd.DataFrame(rows, columns=columns, index=list(found)).rename_axis(columns="what if")


# --- what it did -----------------------------------------------------------------------------------------


def instruments(report: Report) -> pd.DataFrame:
    """Return what each instrument was traded for and earned, the most profitable first."""
    account, quote = report.account, report.quote
    fills = np.bincount(account.fills.instrument, minlength=len(account.panel.symbols))
    fees = np.bincount(
        account.fills.instrument, weights=account.fills.fee, minlength=len(account.panel.symbols)
    )
    order = sorted(range(len(fills)), key=lambda n: (-account.profits[n], account.panel.symbols[n]))
    table = pd.DataFrame(
        {
            f"earned ({quote})": [f"{account.profits[n]:+,.0f}" for n in order],
            "mean weight": [f"{account.weights[:, n].mean():.1%}" for n in order],
            "largest weight": [f"{account.weights[:, n].max():.1%}" for n in order],
            "fills": [f"{fills[n]:,}" for n in order],
            f"traded ({quote})": [f"{account.traded[n]:,.0f}" for n in order],
            f"fees ({quote})": [f"{fees[n]:,.0f}" for n in order],
        },
        index=[account.panel.symbols[n] for n in order],
    )
    return table.rename_axis(columns="instrument")


def costs(report: Report) -> pd.DataFrame:
    """Return trades and what they cost."""
    account, quote = report.account, report.quote
    outcome, years = account.outcome, account.years
    fees, slippage = float(outcome.fees[0]), account.slippage
    mean_equity = float(account.equity.mean())
    lines = [
        ("orders", f"{int(outcome.orders[0]):,}", "sent by the account"),
        ("fills", f"{int(outcome.fills[0]):,}", "executions of them, and book-outs"),
        ("round trips", f"{report.headline.trades:,.0f}", "opened and closed by a signal or a re-base"),
        ("turnover", f"{float(outcome.turnover[0]) / years:.1f} ×", "of the account a year, one way"),
        (f"fees ({quote})", f"{fees:,.0f}", f"{fees / years / mean_equity:.2%} of the mean account a year"),
        (
            f"spread and slippage ({quote})",
            f"{slippage:,.0f}",
            f"{slippage / years / mean_equity:.2%} of the mean account a year; inside the fill prices",
        ),
        *[
            (f"{name} ({quote})", f"{amount:+,.0f}", "moved without a fill; negative was paid")
            for name, amount in account.accrued.items()
            if amount
        ],
        ("halts", f"{int(outcome.halts[0])}", "times that the drawdown limit closed everything"),
        ("delisted exits", f"{int(outcome.exits[0])}", "positions booked out because trading stopped"),
    ]
    return pd.DataFrame(
        [line[1:] for line in lines], columns=["amount", "what it is"], index=[line[0] for line in lines]
    ).rename_axis(columns="trading")


def reasons(report: Report) -> pd.DataFrame:
    """Return how many orders were cut or refused, and why, in words."""
    counts = report.account.outcome.reason_counts[0]
    met = [item for item in Reason if item is not Reason.NONE and counts[item]]
    return pd.DataFrame(
        [(f"{counts[item]:,}", SENTENCES[item]) for item in sorted(met, key=lambda item: -counts[item])],
        columns=["orders", "why"],
        index=[item.name for item in sorted(met, key=lambda item: -counts[item])],
    ).rename_axis(columns="reason")


# --- what it is bound to ---------------------------------------------------------------------------------


def terms(report: Report) -> pd.DataFrame:
    """Return the rules, limits and lengths under which the account was played."""
    passport, plan, account = report.passport, report.passport.plan, report.account
    lines = {
        "data": f"{passport.universe}, {len(passport.symbols)} instruments, {passport.timeframe} bars, "
        f"{report.manifest.holdout_rows:,} last bars sealed",
        "account": f"{passport.cash:,.0f} {report.quote} on {_day(report, 0)}",
        "costs": report.settings.costs.words(),
        "limits": f"{report.settings.limits.name}: gross {account.settings.limits.gross:.0%}, "
        f"instrument {account.settings.limits.instrument:.0%}, halt at a drawdown of "
        f"{account.settings.limits.halt_drawdown:.0%}",
        "rules": _rules_words(account.settings.rules, report),
    }
    if plan.kind is PlanKind.WALK_FORWARD:
        lines["walk-forward"] = (
            f"{len(account.windows)} windows of {plan.train} bars to fit on, then {plan.test} to test, a new "
            f"one every {plan.step}; purge {plan.purge}, embargo {plan.embargo}, seed {plan.seed}"
        )
    return pd.DataFrame({"": list(lines.values())}, index=list(lines)).rename_axis(columns="terms")


def _rules_words(rules: Rules, report: Report) -> str:
    name = report.settings.configuration.rules.name
    price = "open" if report.account.panel.has_range else "close"
    return (
        f"{name}: filled at the next {price}, within {rules.order_bound_bps:g} bps of the close decided on; "
        f"at most {rules.participation:.0%} of a bar's volume; {rules.cash_buffer:.0%} of the account stays "
        "in cash"
    )


def hashes(report: Report) -> pd.DataFrame:
    """Return everything that the report is bound to: change one of them and it is another report."""
    return pd.DataFrame(
        {"SHA-256, or what stands for it": list(report.hashes.values())}, index=list(report.hashes)
    ).rename_axis(columns="what")


def repeat(report: Report) -> Passage:
    """Return the commands that make the report again, in order."""
    commands = Markup("\n").join(Markup("<code>{}</code>").format(command) for command in report.commands)
    return Passage(Markup("<pre>{}</pre>").format(commands))


def benchmark_note(report: Report) -> Passage:
    """Say what the lines of the equity picture are."""
    market = report.manifest.market
    lines = [
        "The pool is everything that could be held, in equal parts, scaled to the account's mean exposure.",
        f"The market is {market}, bought once."
        if market and BaselineRole.MARKET in report.account.baselines
        else "This data set names no market of its own: the pool stands for it.",
    ]
    if BaselineRole.BENCHMARK in report.account.baselines:
        lines.append("The benchmark holds what the selection chose, in equal parts, fully invested.")
    lines.append("All of them pay the same costs, and carry no limits.")
    return note(" ".join(lines))
