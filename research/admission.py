"""Who may play: a strategy whose signals do not change with the bars that come after them (RULINGS C8)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.compiled import CORE_VERSION
from engine.domain.identity import content_hash
from engine.domain.panel import Panel
from engine.features.evaluate import bind
from engine.features.strategy import Strategy
from engine.pipeline.run import refuse_without_range
from research.cell_store import read_arrays, write_arrays
from research.cells import Refusal
from research.grounds import Ground
from research.sources import sources_hash
from research.strategy_check import CheckOutcome, CheckResult, truncation_checks


def refusals(
    strategies: Sequence[Strategy],
    grounds: Sequence[Ground],
    *,
    facts: Path,
    progress: Callable[[int, int, str], None],
) -> list[Refusal]:
    """Test every strategy on every data set, in fresh processes, and return those that may not play.

    Parameters
    ----------
    facts
        Folder of tests that were passed before: an equal strategy on equal bars is not tested again.
    progress
        Called with the number of strategies tested, of all, and the name of the next.
    """
    found: list[Refusal] = []
    for place, strategy in enumerate(strategies):
        progress(place, len(strategies), strategy.name)
        keys = {ground.name: _key(strategy, ground.panel) for ground in grounds}
        untested = [ground for ground in grounds if not _passed_before(facts, keys[ground.name])]
        for ground, reason in zip(untested, _reasons(strategy, untested), strict=True):
            if reason:
                found.append(Refusal(strategy=strategy.name, universe=ground.name, reason=reason))
            else:
                key = keys[ground.name]
                write_arrays(_path(facts, key), key, {"passed": np.ones(1)})
    progress(len(strategies), len(strategies), "")
    return found


def _reasons(strategy: Strategy, grounds: Sequence[Ground]) -> list[str]:
    """Return for each data set why the strategy may not play there; empty where it may."""
    reasons = {ground.name: _unusable(strategy, ground.panel) for ground in grounds}
    usable = [ground for ground in grounds if not reasons[ground.name]]
    results = truncation_checks(strategy, [ground.panel for ground in usable]) if usable else ()
    if len(usable) > 1 and any(_refuses(result) for result in results):
        # One process tested all of them: what went wrong on one must not be held against the others.
        results = tuple(truncation_checks(strategy, [ground.panel])[0] for ground in usable)
    for ground, result in zip(usable, results, strict=True):
        if _refuses(result):
            reasons[ground.name] = result.explanation
    return [reasons[ground.name] for ground in grounds]


def _refuses(result: CheckResult) -> bool:
    return result.outcome is not CheckOutcome.PASS


def _unusable(strategy: Strategy, panel: Panel) -> str:
    """Return why the strategy cannot be computed on a panel at all, such as a field that it does not have."""
    try:
        bind([strategy.signal(), *strategy.order_roots], panel)
        refuse_without_range(strategy.order_roots, has_range=panel.has_range)
    except Exception as error:  # noqa: BLE001  # whatever one strategy raises, the others must still play
        return f"cannot be computed here: {type(error).__name__}: {error}"
    return ""


def _key(strategy: Strategy, panel: Panel) -> str:
    return content_hash(
        {
            "kind": "truncation/1",
            "strategy": strategy.hash,
            "panel": panel.content_hash,
            "core": CORE_VERSION,
            "test": sources_hash("research"),
        }
    )


def _passed_before(facts: Path, key: str) -> bool:
    return read_arrays(_path(facts, key), key) is not None


def _path(facts: Path, key: str) -> Path:
    return facts / key[:2] / f"{key}.npz"
