"""What a tuning came to, in words: the same on the screen, in the file and on the page."""

import math
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from engine.domain.panel import IntArray
from research.configuration import STANDARD
from research.tuning import Tuning
from research.tuning_account import Track
from research.tuning_search import Fate, Quest, ranks_of


class Outcome(StrEnum):
    """What tuning did to the strategy, out of sample."""

    HELPED = "HELPED"
    NOT_PROVEN = "NOT PROVEN"
    NO_HELP = "NO HELP"
    NO_CHANGE = "NO CHANGE"


TONES = {
    Outcome.HELPED: "good",
    Outcome.NOT_PROVEN: "hold",
    Outcome.NO_HELP: "bad",
    Outcome.NO_CHANGE: "hold",
}

MEANINGS = {
    Outcome.HELPED: "the low end of the gain over the untuned parameters is above 0, with 95% confidence",
    Outcome.NOT_PROVEN: "a gain, but one that luck explains",
    Outcome.NO_HELP: "the untuned parameters did as well or better",
    Outcome.NO_CHANGE: "both are the same account, or there is too little data to compare them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What tuning did, in one word and two sentences."""

    outcome: Outcome
    headline: str
    reason: str


def verdict_of(tuning: Tuning) -> Verdict:
    """Judge the gain of the tuned account over the untuned one."""
    played = tuning.played
    name, data = tuning.quest.kind.strategy_name(), tuning.panel.name
    tuned, untuned = (of.figures["excess_sharpe"] for of in (played.tuned, played.untuned))
    headline = (
        f"{name} tuned on {data}: excess Sharpe {signed(tuned)} out of sample, {signed(untuned)} untuned"
    )
    low = signed(played.gain_bound)
    if not math.isfinite(played.gain):
        outcome, reason = Outcome.NO_CHANGE, "tuned and untuned are one account, or too short to compare"
    elif played.gain_bound > 0:
        outcome = Outcome.HELPED
        reason = f"the gain of {signed(played.gain)} holds with 95% confidence: low {low}"
    elif played.gain > 0:
        outcome = Outcome.NOT_PROVEN
        reason = f"the gain of {signed(played.gain)} may be luck: low 95% {low}"
    else:
        outcome = Outcome.NO_HELP
        reason = f"the search cost {abs(played.gain):.2f}: what it chose in training did not last"
    return Verdict(outcome=outcome, headline=headline, reason=f"{reason}; {edge(tuning)}")


def edge(tuning: Tuning) -> str:
    """Say whether the tuned account beats the pool."""
    figures = tuning.played.tuned.figures
    if not figures["excess_lower_bound"] > 0:
        return "no proof of an edge over the pool either way"
    if not figures["deflated_sharpe"] >= 0.95:
        return "its edge over the pool is no better than the best of that many tries by luck"
    return "it beats the pool, and by more than the best of that many tries would by luck"


def next_step(tuning: Tuning, outcome: Outcome) -> str:
    """Return the command to go on with."""
    name, data = tuning.quest.kind.strategy_name(), tuning.panel.name
    if outcome in (Outcome.NO_HELP, Outcome.NO_CHANGE):
        return f"engine tournament --data {data}"
    latest = tuning.played.windows[-1].parameters
    given = "".join(f" --param {key}={value!r}" for key, value in latest.items())
    return f"engine backtest --strategy {name} --data {data}{given}"


def repeat_command(tuning: Tuning) -> str:
    """Return the command that makes the same tuning again."""
    quest = tuning.quest
    words = [f"engine tune --strategy {quest.kind.strategy_name()} --data {tuning.panel.name}"]
    words += [f"--objective {objective}" for objective in quest.objectives]
    words.append(f"--trials {quest.trials} --seed {quest.seed}")
    words.append(f"--train {tuning.lengths.train} --retune {tuning.lengths.retune}")
    words += [f"--param {name}={text}" for name, text in narrowed(quest).items()]
    if quest.pruning:
        words.append("--prune")
    if quest.settings.source != STANDARD:
        words.append(f"--config {quest.settings.source.partition(' --data ')[0]}")
    return " ".join(words)


def narrowed(quest: Quest) -> dict[str, str]:
    """Return what was given for parameters that are not searched where the strategy declares them."""
    searched = {item.name: item for item in quest.ranges}
    given = {}
    for declared in fields(quest.kind):
        found = searched.get(declared.name)
        if found is None:
            given[declared.name] = repr(quest.base[declared.name])
        elif (found.low, found.high) != (declared.metadata["low"], declared.metadata["high"]):
            given[declared.name] = f"{found.low!r}:{found.high!r}"
    return given


def facts(tuning: Tuning) -> dict[str, str]:
    """Return one line for each thing worth knowing, by name."""
    played, quest = tuning.played, tuning.quest
    first, last = (moment(played.timestamps, row) for row in (0, -1))
    lines = {
        "out of sample": f"{first} to {last}, {len(played.windows)} windows: searched on "
        f"{tuning.lengths.train:,} bars, in force for {tuning.lengths.retune:,}",
        "tuned": account_words(played.tuned),
        "untuned": account_words(played.untuned),
        "pool": account_words(played.pool),
    }
    if played.market is not None:
        lines["market"] = account_words(played.market)
    lines["beyond pool"] = beyond_words(tuning)
    lines["promised"] = promised_words(tuning)
    lines["plateau"] = plateau_words(tuning)
    lines["parameters"] = parameter_words(tuning)
    lines["search"] = search_words(tuning)
    lines["trials"] = (
        f"{played.trials.count:,} on record for this data; by luck their best looks like the best of "
        f"{played.trials.n_effective:.1f} independent ones"
    )
    lines["costs"] = f"{quest.settings.costs.words()}; limits {quest.settings.limits.name}"
    return lines


def account_words(track: Track) -> str:
    """Say what an account earned a year."""
    figures = track.figures
    return (
        f"return {figures['cagr']:+.2%} a year, volatility {figures['annualized_volatility']:.2%}, Sharpe "
        f"{signed(figures['sharpe'])}, drawdown {figures['max_drawdown']:.2%}"
    )


def beyond_words(tuning: Tuning) -> str:
    """Say what the tuned account earned beyond the pool, and how sure that is."""
    figures = tuning.played.tuned.figures
    return (
        f"Sharpe {signed(figures['excess_sharpe'])}, low 95% {signed(figures['excess_lower_bound'])}, "
        f"deflated {plain(figures['deflated_sharpe'])}, at equal exposure ({figures['average_gross']:.0%})"
    )


def promised_words(tuning: Tuning) -> str:
    """Say what the chosen parameters were worth in training, and what they were worth after it."""
    pairs = promises(tuning)
    if not pairs:
        return "nothing could be measured both in training and after it"
    before, after = (float(np.mean([pair[place] for pair in pairs])) for place in (0, 1))
    objective = tuning.quest.objectives[0]
    return (
        f"{objective} {signed(before)} in training, {signed(after)} after it (mean of {len(pairs)} windows)"
    )


def promises(tuning: Tuning) -> list[tuple[float, float]]:
    """Return the first objective in training and after it, for each window that has both."""
    return [
        (item.in_sample[0], item.out_of_sample[0])
        for item in tuning.played.windows
        if item.in_sample is not None and item.out_of_sample is not None
    ]


def plateau_words(tuning: Tuning) -> str:
    """Say how the neighbours of what was chosen rank."""
    windows = tuning.played.windows
    known = [item.searched.plateau for item in windows]
    known = [value for value in known if math.isfinite(value)]
    if not known:
        return "no chosen set had a neighbour among those that were played"
    anywhere = float(np.mean([rank for item in windows for rank in ranks_of(item.searched.tried).values()]))
    return (
        f"neighbours of the chosen set rank {float(np.median(known)):.2f} in the middle window, "
        f"{min(known):.2f} in the worst; 1 is a plateau, {anywhere:.2f} anywhere"
    )


def parameter_words(tuning: Tuning) -> str:
    """Say which parameters are in force now, and between which they moved."""
    windows = tuning.played.windows
    words = []
    for item in tuning.quest.ranges:
        values = [window.parameters[item.name] for window in windows]
        now = f"{item.name} {values[-1]:g}"
        words.append(
            f"{now} (was {min(values):g} to {max(values):g}, untuned {tuning.quest.base[item.name]:g})"
        )
    return ", ".join(words)


def search_words(tuning: Tuning) -> str:
    """Say how many sets were played, and what became of them."""
    counts = {fate: tuning.count(fate) for fate in Fate}
    words = [f"{sum(counts.values()) - counts[Fate.REFUSED]:,} parameter sets played"]
    for fate, meaning in (
        (Fate.PRUNED, "given up at half of the training part"),
        (Fate.VOID, "without a trade"),
        (Fate.REFUSED, "more that the strategy refuses"),
    ):
        if counts[fate]:
            words.append(f"{counts[fate]:,} {meaning}")
    return ", ".join(words)


def moment(timestamps: IntArray, row: int) -> str:
    """Return when a bar opened, UTC: the day, with the time where it is not midnight."""
    stamp = timestamps[row].astype("datetime64[ns]")
    day = stamp.astype("datetime64[D]")
    return str(day) if stamp == day else f"{stamp.astype('datetime64[m]')}Z"


def signed(value: float) -> str:
    """Write a ratio with its sign; a dash where there is none."""
    return f"{round(value, 2) + 0.0:+.2f}" if math.isfinite(value) else "–"


def plain(value: float) -> str:
    """Write a probability; a dash where there is none."""
    return f"{value:.2f}" if math.isfinite(value) else "–"
