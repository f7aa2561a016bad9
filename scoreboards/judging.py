"""From a tournament to its board: controls first, then every cell, then the head and the hash."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from engine.domain.gates import Verdict
from engine.domain.panel import Adjustment
from engine.domain.time import Timeframe
from research.cells import (
    CellResult,
    CellStatus,
    Control,
    ControlExpectation,
    Simulator,
    Tournament,
    UniverseRecord,
)
from research.configuration import TournamentSettings
from research.overfitting import minimum_backtest_length
from scoreboards import gates as gate_rules
from scoreboards.board import (
    VERDICT_ORDER,
    Board,
    ControlVerdict,
    GateDefinition,
    LuckFacts,
    UniverseFacts,
    Value,
    board_order,
    hash_of,
)
from scoreboards.evidence import Accounts
from scoreboards.explain import WORDS
from scoreboards.family import Family, family_of
from scoreboards.gates import Court
from scoreboards.rows import cell_row, check_identity, excess_sharpe, refused_row, stamp

# Gates that do not apply where none of these simulators was configured.
_WITNESSES = {
    "friction_decay": {Simulator.FRICTIONLESS},
    "sim_parity": {Simulator.VECTORBT, Simulator.NAUTILUS},
}


def build(tournament: Tournament, settings: TournamentSettings) -> Board:
    """Judge a tournament.

    Raises
    ------
    IdentityError
        If the returns of any row do not compound to the change of its account, or an account did not start
        with the cash that was given: then there is no board.
    """
    controls = judge_controls(tournament.controls, settings)
    void = not all(control.behaved for control in controls)
    universes = {universe.name: universe for universe in tournament.universes}
    simulators = frozenset(settings.configuration.simulators)
    accounts = Accounts(tournament.cells)
    courts = {
        name: _court(universe, tournament.cells, accounts, settings, simulators)
        for name, universe in universes.items()
    }
    rows = [
        cell_row(
            cell, accounts, courts[cell.key.universe], tournament, settings, void=void or _is_lax(settings)
        )
        for cell in tournament.cells
    ]
    rows += [
        refused_row(refusal, universes[refusal.universe], tournament, settings)
        for refusal in tournament.refusals
    ]
    rows.sort(key=board_order)
    facts = tuple(
        _universe_facts(universe, courts[universe.name].family) for universe in tournament.universes
    )
    told, notes = _settings_facts(tournament, settings), _notes(tournament, settings)
    return Board(
        run_id=tournament.run_id,
        content_hash=hash_of(rows, controls, facts, told, notes=notes, void=void),
        rows=tuple(rows),
        controls=controls,
        void=void,
        notes=notes,
        universes=facts,
        gates=_definitions(settings),
        settings=told,
        configuration=settings.document,
    )


def _court(
    universe: UniverseRecord,
    cells: Sequence[CellResult],
    accounts: Accounts,
    settings: TournamentSettings,
    simulators: frozenset[Simulator],
) -> Court:
    """Return what the cells of a data set are judged by, their own family included."""
    configuration = settings.configuration
    court = Court(
        thresholds=configuration.gates,
        simulators=simulators,
        universe=universe,
        permutations=configuration.resampling.permutations,
        training_rows=configuration.windows.train,
    )
    judged = [
        accounts.evidence(cell)
        for cell in cells
        if cell.key.universe == universe.name
        and cell.key.simulator is Simulator.CORE
        and not cell.is_baseline
        and cell.status is not CellStatus.MISSING
    ]
    own = [item for item in judged if not gate_rules.is_baseline_equivalent(item, court)]
    family = family_of(
        own,
        timing=gate_rules.TIMING_VARIANTS,
        bootstraps=configuration.resampling.bootstraps,
        seed=configuration.seed,
        days_per_year=court.days_per_year,
    )
    return replace(court, family=family)


def _is_lax(settings: TournamentSettings) -> bool:
    """Say whether anything was let through more easily than the standard does: then nothing may move up."""
    configuration = settings.configuration
    return bool(gate_rules.loosened(configuration.gates) or configuration.resampling.changed())


def _definitions(settings: TournamentSettings) -> tuple[GateDefinition, ...]:
    standard = gate_rules.standard(settings.configuration.gates)
    return tuple(
        GateDefinition(
            gate=gate,
            direction=str(standard[gate][1]) if gate in standard else "",
            threshold=standard[gate][0] if gate in standard else None,
            asks=words.asks,
        )
        for gate, words in WORDS.items()
    )


def judge_controls(controls: Sequence[Control], settings: TournamentSettings) -> tuple[ControlVerdict, ...]:
    """Judge the checks of the checker by the same gates; one that was not played has not behaved."""
    verdicts = [_judge_control(control, settings) for control in controls]
    played = {control.expectation for control in controls}
    verdicts += [
        ControlVerdict(
            name=f"control that {expectation}",
            universe="",
            expectation=str(expectation),
            observed="not played",
            behaved=False,
            detail="was switched off or did not run; without it the gates prove nothing",
        )
        for expectation in ControlExpectation
        if expectation not in played
    ]
    return tuple(verdicts)


def _judge_control(control: Control, settings: TournamentSettings) -> ControlVerdict:
    universe = control.universe.name if control.universe is not None else ""
    if control.expectation is ControlExpectation.REFUSED:
        return ControlVerdict(
            name=control.name,
            universe=universe,
            expectation=str(control.expectation),
            observed="REFUSED" if control.refused else "not refused",
            behaved=control.refused,
            detail=control.refusal,
        )
    results = _judge_control_cells(control, settings)
    words = sorted({verdict for verdict, _ in results}, key=lambda word: VERDICT_ORDER[word])
    if control.expectation is ControlExpectation.NOT_PASS:
        behaved = bool(results) and Verdict.PASS not in words
    else:
        behaved = bool(results) and words == [Verdict.PASS]
    failed = sorted({token for _, tokens in results for token in tokens})
    return ControlVerdict(
        name=control.name,
        universe=universe,
        expectation=str(control.expectation),
        observed=", ".join(words) if words else "nothing to judge",
        behaved=behaved,
        detail=f"gates that said no: {', '.join(failed)}" if failed else "all gates met" if words else "",
    )


def _judge_control_cells(
    control: Control, settings: TournamentSettings
) -> list[tuple[Verdict, tuple[str, ...]]]:
    if control.universe is None:
        return []
    # A control is judged on what it was played with: a simulator it was not given is no missing evidence.
    simulators = frozenset(cell.key.simulator for cell in control.cells)
    accounts = Accounts(control.cells)
    court = _court(control.universe, control.cells, accounts, settings, simulators)
    results: list[tuple[Verdict, tuple[str, ...]]] = []
    for cell in control.cells:
        if cell.is_baseline or cell.key.simulator is not Simulator.CORE:
            continue
        if cell.status is CellStatus.MISSING:
            results.append((Verdict.FAIL, (f"missing:{cell.problem}",)))
            continue
        evidence = accounts.evidence(cell)
        check_identity(evidence.account, control.universe)
        gates = gate_rules.judge_cell(evidence, court)
        edge = excess_sharpe(evidence, court.days_per_year)
        results.append((gate_rules.verdict(gates, edge), gate_rules.failures(gates)))
    return results


def _notes(tournament: Tournament, settings: TournamentSettings) -> tuple[str, ...]:
    """Return what the head says: a sentence that holds for several data sets is said once."""
    names_of: dict[str, list[str]] = {}
    for universe in tournament.universes:
        own = {cell.identity_hash for cell in tournament.cells if _is_trial(cell, universe)}
        for note in _universe_notes(universe, settings, own_trials=len(own)):
            names_of.setdefault(note, []).append(universe.name)
    notes = [f"{', '.join(names)}: {note}" for note, names in names_of.items()]
    changed = settings.configuration.gates.changed()
    if changed:
        notes.append(f"judged by other than the standard gates: {', '.join(changed)}")
    if fewer := settings.configuration.resampling.changed():
        notes.append(f"chance was asked less often than the standard does: {', '.join(fewer)}")
    if _is_lax(settings):
        notes.append(
            "judged less strictly than the standard: nothing here is a candidate, whatever it passed"
        )
    played = set(settings.configuration.simulators)
    if silent := [gate for gate, asked in _WITNESSES.items() if not asked & played]:
        notes.append(f"gates without a simulator to ask, which nobody had to pass: {', '.join(silent)}")
    return tuple(notes)


def _is_trial(cell: CellResult, universe: UniverseRecord) -> bool:
    ours = cell.key.universe == universe.name and cell.key.simulator is Simulator.CORE
    return ours and not cell.is_baseline and cell.status is not CellStatus.MISSING


def _universe_notes(universe: UniverseRecord, settings: TournamentSettings, *, own_trials: int) -> list[str]:
    notes = list(universe.notes)
    if universe.synthetic:
        notes.append("synthetic prices, made from a seed; nothing here reaches a real venue")
    if not universe.market:
        notes.append("names no market, so its market row is the equally weighted pool")
    if universe.holdout_openings:
        times = "once" if universe.holdout_openings == 1 else f"{universe.holdout_openings} times"
        notes.append(f"the hold-out was opened {times}")
    if universe.trials.count == 0:
        notes.append("the trials register is missing or empty")
    elif universe.trials.count <= own_trials:
        # Its own are written before it is judged: a register that was lost looks like this, not empty.
        notes.append("the trials register knows no trials but those of this board: it is new, or was lost")
    if universe.adjustment is not Adjustment.NONE:
        notes.append(
            f"prices are adjusted ({universe.adjustment}) and traded under the rules "
            f"{settings.configuration.rules.name}: lots and ticks are fractions that no venue offers"
        )
    return notes


def _settings_facts(tournament: Tournament, settings: TournamentSettings) -> dict[str, Value]:
    windows = settings.configuration.windows
    return {
        "train": windows.train,
        "test": windows.test,
        "step": windows.step,
        "purge": windows.purge,
        "embargo": windows.embargo,
        "costs": tournament.costs,
        "costs_profile": settings.costs.name,
        "limits_profile": settings.limits.name,
        "rules": settings.configuration.rules.name,
        "cash": settings.configuration.cash,
        "seed": settings.configuration.seed,
        "core_version": tournament.core_version,
        "inputs_hash": tournament.inputs_hash,
        "configuration_hash": tournament.configuration_hash,
        "simulators": ", ".join(str(simulator) for simulator in settings.configuration.simulators),
        "source": settings.source,
    }


def _luck_facts(universe: UniverseRecord, family: Family | None) -> LuckFacts:
    facts: dict[str, Any] = {}
    if universe.trials.n_effective > 1:
        facts["minimum_years"] = minimum_backtest_length(universe.trials.n_effective)
    if universe.permutation is not None:
        record = universe.permutation
        facts |= {
            "permutations": record.count,
            "cells_permuted": record.n_searched,
            "permuted_best": _number(float(np.quantile(record.null, 0.95))),
        }
    if family is not None and family.members:
        facts |= {"confidence_set": family.confidence_set, "block_days": family.block_length}
    if family is not None and family.overfitting is not None and family.paths is not None:
        year = math.sqrt(universe.calendar.days_per_year)
        facts |= {
            "overfitting_probability": family.overfitting.probability,
            "overfitting_degradation": _number(family.overfitting.degradation),
            "path_sharpe": family.paths.mean * year,
            "path_sharpe_deviation": family.paths.deviation * year,
            "path_loss_share": family.paths.loss_share,
        }
    return LuckFacts(**facts)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _universe_facts(universe: UniverseRecord, family: Family | None) -> UniverseFacts:
    intraday = universe.timeframe is not Timeframe.DAY_1
    return UniverseFacts(
        name=universe.name,
        content_hash=universe.content_hash,
        market=universe.market,
        timeframe=str(universe.timeframe),
        calendar=str(universe.calendar),
        days_per_year=universe.calendar.days_per_year,
        has_range=universe.has_range,
        synthetic=universe.synthetic,
        rows=universe.rows,
        instruments=universe.instruments,
        first_bar=stamp(universe.first, intraday=intraday),
        last_bar=stamp(universe.last, intraday=intraday),
        windows=universe.windows,
        holdout_rows=universe.holdout_rows,
        holdout_openings=universe.holdout_openings,
        notes=universe.notes,
        trials=universe.trials.count,
        n_effective=universe.trials.n_effective,
        register_head=universe.trials.head,
        luck=_luck_facts(universe, family),
    )
