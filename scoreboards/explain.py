"""Plain words: what a gate asks, why a row did not pass it, and what a verdict means."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.domain.gates import GateResult, GateStatus, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How one gate is spoken of.

    Attributes
    ----------
    short
        At most 22 characters, for a table.
    asks
        What the gate wants, as a sentence for a reader who does not know the term.
    failed, missing
        Why not. `{value}` and `{threshold}` are filled in.
    scale
        `ratio`, `percent`, `basis points`, `count` or `money`: how value and threshold are written.
    """

    short: str
    asks: str
    failed: str
    missing: str
    scale: str


WORDS: dict[str, Words] = {
    "baseline_equivalent": Words(
        short="same as a baseline",
        asks="Does something that holding a baseline would not do.",
        failed="does the same as holding a baseline: there is nothing of its own to judge",
        missing="was not played without limits, so nobody can say whether it is a baseline in disguise",
        scale="count",
    ),
    "spa": Words(
        short="luckiest of many",
        asks="Earned more beyond its exposure than the luckiest of all cells would without an edge.",
        failed="the luckiest of all cells does as well without an edge: {value} likely, allowed {threshold}",
        missing="could not be tested beside the other cells: it has no excess over the pool",
        scale="percent",
    ),
    "deflated_sharpe": Words(
        short="not beyond many tries",
        asks="Is better than the best of as many random tries as were ever made on this data.",
        failed="not enough better than the best of all tries on this data: {value}, needed {threshold}",
        missing="cannot be weighed against the tries made on this data: excess or trials register is missing",
        scale="ratio",
    ),
    "permutation": Words(
        short="found in shuffled bars",
        asks="Earned more than the same search finds in the same bars, shuffled.",
        failed="the same search finds as much in {value} of shuffled histories, allowed {threshold}",
        missing="was not compared with what the search finds in shuffled bars",
        scale="percent",
    ),
    "excess_lower_bound": Words(
        short="could be luck",
        asks="What it earned beyond its exposure has a Sharpe ratio above zero with 95% confidence.",
        failed="could be luck: the lower bound of its excess Sharpe is {value}, it must be above {threshold}",
        missing="has no excess over the pool to test: the baseline or the history is missing",
        scale="ratio",
    ),
    "excess_bootstrap": Words(
        short="luck, days redrawn",
        asks="What it earned beyond its exposure stays above zero when its days are drawn again in blocks.",
        failed="could be luck: with its days drawn again the lower bound of its excess Sharpe is {value}, it "
        "must be above {threshold}",
        missing="has no excess over the pool whose days could be drawn again",
        scale="ratio",
    ),
    "track_record": Words(
        short="record too short",
        asks="Has as long a record as what it earned beyond its exposure needs to be proven.",
        failed="its record is too short: proof needs {value} of its days, there are {threshold}",
        missing="has no excess over the pool to prove",
        scale="percent",
    ),
    "trades": Words(
        short="too few trades",
        asks="Opened and closed enough positions to judge by.",
        failed="too few trades to judge: {value} round trips, needed {threshold}",
        missing="the number of its trades is not known",
        scale="count",
    ),
    "friction_decay": Words(
        short="eaten by costs",
        asks="Keeps most of its Sharpe ratio once costs are paid.",
        failed="costs eat it: it loses {value} of its Sharpe ratio to them, allowed {threshold}",
        missing="earns nothing even without costs, or was not played without them",
        scale="percent",
    ),
    "temporal_fragility": Words(
        short="comes and goes",
        asks="Earns in most years rather than in a few.",
        failed="comes and goes: yearly Sharpe ratios scatter {value} times their mean, allowed {threshold}",
        missing="fewer than five years of 252 days to compare",
        scale="ratio",
    ),
    "selection_jaccard": Words(
        short="picks jump about",
        asks="Picks similar instruments from one window to the next.",
        failed="its picks jump about: windows share {value} of their symbols, needed {threshold}",
        missing="fewer than two windows to compare",
        scale="percent",
    ),
    "af_dist": Words(
        short="losses in lumps",
        asks="Does not earn small sums and lose big ones, much more than the market does.",
        failed="small gains and lumpy losses: tail balance {value}, needed {threshold}",
        missing="too few days to see its tails",
        scale="ratio",
    ),
    "stress_alpha": Words(
        short="hurts in bad markets",
        asks="On the market's worst days it loses no more than its exposure explains.",
        failed="hurts in bad markets: {value} a day beyond its exposure on the worst, needed {threshold}",
        missing="too few bad market days to judge",
        scale="basis points",
    ),
    "turnover": Words(
        short="trades too much",
        asks="Turns over at most half the account in 20 bars.",
        failed="trades too much: {value} of the account in 20 bars, allowed {threshold}",
        missing="its turnover is not known",
        scale="percent",
    ),
    "cvar_mult": Words(
        short="bad days too bad",
        asks="Its worst days are not much worse than the market's at the same exposure.",
        failed="its worst days are {value} times the market's at its exposure, allowed {threshold}",
        missing="no market row to compare its worst days with",
        scale="ratio",
    ),
    "mdd_mult": Words(
        short="drawdown too deep",
        asks="Its deepest drawdown is not much deeper than the market's at the same exposure.",
        failed="its deepest drawdown is {value} times the market's at its exposure, allowed {threshold}",
        missing="no market row to compare its drawdown with",
        scale="ratio",
    ),
    "sim_parity": Words(
        short="simulators disagree",
        asks="A second, independent simulator finds the same yearly return.",
        failed="two simulators disagree by {value} a year, allowed {threshold}",
        missing="the second simulator gave nothing; one that works limits and stops is nautilus: make peers",
        scale="percent",
    ),
    "beta": Words(
        short="market risk in it",
        asks="A minimum-variance book carries less market risk than its exposure.",
        failed="carries the market's risk: beta {value}, allowed {threshold}",
        missing="no market row to measure its beta by",
        scale="ratio",
    ),
    "overfitting": Words(
        short="search overfits",
        asks="What the search chooses in one half of history keeps something of it in the other.",
        failed="the search overfits: nothing is left, in one half of history, of what it chose in the other",
        missing="the search could not be cut in halves",
        scale="count",
    ),
    "timing_excess": Words(
        short="gone a bar later",
        asks="Still earns an excess when filled one bar later, and at twice the cost.",
        failed="filled a bar later, or at twice the cost, its excess Sharpe is {value}, it must be above "
        "{threshold}",
        missing="was not played one bar later and at twice the cost",
        scale="ratio",
    ),
    "timing_rank": Words(
        short="rank hangs on timing",
        asks="Keeps its place among its strategy's cells when filled one bar later or at twice the cost.",
        failed="a bar later, or at twice the cost, it moves past {value} of its strategy's cells, allowed "
        "{threshold}",
        missing="its strategy's cells were not all played one bar later and at twice the cost",
        scale="percent",
    ),
    "regimes": Words(
        short="one kind of market",
        asks="Earns its excess in more than one kind of market.",
        failed="earns in one kind of market: outside of it its excess Sharpe is {value}, needed above "
        "{threshold}",
        missing="its history holds fewer than two kinds of market",
        scale="ratio",
    ),
    "capacity": Words(
        short="carries little money",
        asks="Still earns an excess with more money, when every fill moves the price.",
        failed="carries too little money: its excess is gone beyond {value}, needed {threshold}",
        missing="was not played with more money",
        scale="money",
    ),
    "range": Words(
        short="unclear bars",
        asks="What came first inside a bar does not decide its result.",
        failed="{value} of its fills lie in bars of which nobody knows what came first, allowed {threshold}",
        missing="how many of its bars are unclear is not known",
        scale="percent",
    ),
}

REFUSED = "refused"

VERDICTS: dict[Verdict, str] = {
    Verdict.PASS: "all gates met: it may move to paper trading",
    Verdict.HOLD: "clean, but not proven: more data could still decide it",
    Verdict.FAIL: "at least one gate says no",
    Verdict.BASELINE: "for comparison only, never a winner",
}


def number(value: float, scale: str) -> str:
    """Write a gate's value for a reader."""
    if math.isinf(value):
        return "beyond measure" if value > 0 else "without limit"
    match scale:
        case "percent":
            return f"{value:.1%}"
        case "basis points":
            return f"{value * 1e4:+.2f} bps"
        case "count":
            return f"{value:.0f}"
        case "money":
            return f"{value:,.0f}"
        case _:
            return f"{value:.2f}"


def reason(gate: GateResult) -> str:
    """Say why one gate was not passed; empty where it was, or where it does not apply."""
    words = WORDS[gate.gate]
    match gate.status:
        case GateStatus.FAIL:
            value, threshold = number(gate.value, words.scale), number(gate.threshold, words.scale)
            if value.lstrip("+-") == threshold.lstrip("+-"):
                # A near miss must not read as "0.95, needed 0.95".
                digits = 2 if f"{gate.value:.2g}" != f"{gate.threshold:.2g}" else 6
                value, threshold = f"{gate.value:.{digits}g}", f"{gate.threshold:.{digits}g}"
            return words.failed.format(value=value, threshold=threshold)
        case GateStatus.MISSING:
            return words.missing
        case GateStatus.PASS | GateStatus.NOT_APPLICABLE:
            return ""


def reasons(gates: Sequence[GateResult]) -> list[str]:
    """Say why a row did not pass, in the order of the gates."""
    return [text for text in map(reason, gates) if text]


def short_reasons(gates: Sequence[GateResult], most: int = 2) -> str:
    """Say why in a few words: the first reasons, and how many more there are."""
    texts = [WORDS[gate.gate].short for gate in gates if gate.status in (GateStatus.FAIL, GateStatus.MISSING)]
    more = f" +{len(texts) - most}" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
