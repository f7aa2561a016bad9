"""May a row of a board move up? Every question that the ladder asks, with its answer and what to do next.

Nothing here changes anything: the command line records what is decided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.domain.errors import GauntletError
from engine.domain.gates import GateResult, GateStatus, Verdict
from engine.domain.passport import Passport
from research.cells import Simulator
from research.passports import Drift, rebuild
from scoreboards.explain import WORDS
from scoreboards.finding import Found
from scoreboards.gate_words import STEPS, gate_has, gate_needs
from scoreboards.publish import repeat_command
from scoreboards.sealed import seen

EXACTLY = "="
_OPEN = frozenset({GateStatus.FAIL, GateStatus.MISSING})


class Stage(StrEnum):
    """Where a strategy may run, each one step further than the one before."""

    PAPER = "paper"
    MICRO_LIVE = "micro-live"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One gate of the ladder.

    Attributes
    ----------
    needs, has
        For a reader.
    value, threshold
        For a program; text where the gate does not compare numbers, None where there is none.
    step
        What to do where the gate is not met; else empty.
    """

    gate: str
    status: GateStatus
    needs: str
    has: str
    value: float | str | None
    threshold: float | str | None
    direction: str
    step: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it stands in the way."""
        return self.status in _OPEN

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        return {
            "gate": self.gate,
            "status": self.status.value,
            "value": self.value,
            "threshold": self.threshold,
            "direction": self.direction,
        }

    def body(self) -> dict[str, str | None]:
        """Return the same for the journal, which holds no floats: a number is its shortest exact text."""
        return {name: value if value is None else str(value) for name, value in self.document().items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Review:
    """What the ladder says of one row.

    Attributes
    ----------
    answers
        In the order in which they are shown.
    passport
        What would be promoted; None where a gate is not met, or where it cannot be made.
    following
        The command to type next.
    """

    strategy_id: str
    stage: Stage
    answers: tuple[Answer, ...]
    passport: Passport | None

    following: str

    @property
    def failures(self) -> tuple[Answer, ...]:
        """The gates that are not met."""
        return tuple(answer for answer in self.answers if answer.is_open)


def review(found: Found, stage: Stage, *, is_in_paper: bool = False) -> Review:
    """Ask a row everything that a stage asks.

    Parameters
    ----------
    is_in_paper
        Whether the row was promoted to paper; only the stages beyond ask.

    Raises
    ------
    InputError
        If the row is no cell of a strategy, or its board does not say what it was made of.
    """
    passport, identity = _identity(found)
    answers = (*_board_answers(found), *identity, *map(_row_answer, found.row.gates))
    if stage is not Stage.PAPER:
        answers += _beyond_paper(found, stage, is_in_paper=is_in_paper)
    if any(answer.is_open for answer in answers):
        passport = None
    return Review(
        strategy_id=found.row.text("strategy_id"),
        stage=stage,
        answers=answers,
        passport=passport,
        following=_following(found, passport, answers),
    )


def _following(found: Found, passport: Passport | None, answers: Sequence[Answer]) -> str:
    if passport is not None:
        return f"engine paper --strategy {passport.strategy_id} --feed replay --data {passport.universe}"
    open_gates = {answer.gate.partition(":")[0] for answer in answers if answer.is_open}
    if open_gates & {"identity", "board", "controls"}:
        return _tournament(found)
    if "paper" in open_gates:
        return f"engine promote {found.row.text('strategy_id')} --to {Stage.PAPER}"
    return f"engine report {found.row.text('strategy_id')} --run {found.board.run_id}"


def _identity(found: Found) -> tuple[Passport | None, list[Answer]]:
    entry = found.entry
    try:
        rebuilt = rebuild(entry)
    except GauntletError as error:
        # A file, a parameter or a data set is gone: that is a drift that no hash is needed for.
        words = str(error).partition("\n")[0]
        answer = _ladder(
            "identity",
            needs="can be made again",
            has=words,
            met=False,
            step=f"put back what is gone, or play it again:  {_tournament(found)}",
        )
        return None, [answer]
    if rebuilt.drift:
        return None, [_drifted(drift, found) for drift in rebuilt.drift]
    return rebuilt.passport, [_ladder("identity", needs="unchanged", has="unchanged", met=True)]


def _drifted(drift: Drift, found: Found) -> Answer:
    return _ladder(
        f"identity: {drift.what}",
        needs=_short(drift.was),
        has=_short(drift.now),
        met=False,
        step=f"{drift.mend}:  {_tournament(found)}",
    )


def _board_answers(found: Found) -> tuple[Answer, ...]:
    board, row = found.board, found.row
    verdict = f"{row.verdict} in {board.run_id}" if not board.void else f"VOID: {board.run_id}"
    passed = row.values["is_candidate"] is True and row.verdict is Verdict.PASS and not board.void
    behaved = sum(control.behaved for control in board.controls)
    simulator = row.text("simulator")
    return (
        _ladder(
            "scoreboard",
            needs="PASS on a valid board",
            has=verdict,
            met=passed,
            step=_scoreboard_step(found),
        ),
        _ladder(
            "board",
            needs="as it was written",
            has="as it was written" if board.is_intact else "was edited since",
            met=board.is_intact,
            step=f"write it again:  {_tournament(found)}",
        ),
        _ladder(
            "controls",
            needs=f"{len(board.controls)} of {len(board.controls)} behaved",
            has=f"{behaved} of {len(board.controls)} behaved",
            met=bool(board.controls) and behaved == len(board.controls),
            step="mend the control that misbehaved; trust no row of this board",
        ),
        _ladder(
            "simulator",
            needs=str(Simulator.CORE),
            has=simulator,
            met=simulator == str(Simulator.CORE),
            step="only what the core played can be promoted",
        ),
    )


def _scoreboard_step(found: Found) -> str:
    if found.board.void:
        return "no row of a void board counts; mend the control, then play the tournament again"
    if found.row.verdict is Verdict.HOLD:
        return "clean, but not proven: only more data can turn HOLD into PASS"
    problem = found.row.text("problem")
    return (
        f"gave no result: {problem}" if problem else "only PASS moves up: the gates below say what is missing"
    )


def _row_answer(gate: GateResult) -> Answer:
    words = WORDS[gate.gate]
    infinite = math.isinf(gate.value)
    return Answer(
        gate=gate.gate,
        status=gate.status,
        needs=gate_needs(gate),
        has=gate_has(gate),
        value=str(gate.value) if infinite else _known(gate.value),
        threshold=_known(gate.threshold),
        direction=gate.direction.value,
        step=STEPS[gate.gate] if gate.status is GateStatus.FAIL else _missing_step(gate, words.missing),
    )


def _missing_step(gate: GateResult, words: str) -> str:
    return f"{words}; give the tournament what it needs" if gate.status is GateStatus.MISSING else ""


# --- beyond paper ----------------------------------------------------------------------------------------


def _beyond_paper(found: Found, stage: Stage, *, is_in_paper: bool) -> tuple[Answer, ...]:
    """Return what money asks beside: none of it can be shown yet, and nothing stands in for it."""
    strategy_id = found.row.text("strategy_id")
    answers = [
        _ladder(
            "paper",
            needs="promoted to paper",
            has="yes" if is_in_paper else "no",
            met=is_in_paper,
            step=f"engine promote {strategy_id} --to paper",
        )
    ]
    if found.row.values["synthetic"] is True:
        answers.append(
            _ladder(
                "real prices",
                needs="data of a market",
                has="synthetic data",
                met=False,
                step="synthetic strategies rehearse on paper and never reach a venue",
            )
        )
    answers.append(_sealed(found))
    answers += [_absent(gate, needs, step) for gate, needs, step in _EVIDENCE]
    if stage is Stage.LIVE:
        answers.append(_absent("micro-live", "28 days with small money", "promote to micro-live before live"))
    return tuple(answers)


def _sealed(found: Found) -> Answer:
    """Ask what the row did on the bars that were sealed when it was judged."""
    gate, needs = "sealed hold-out", "opened once, lower bound above 0"
    row = found.row
    try:
        record = seen(found)
    except GauntletError as error:
        words = str(error).partition("\n")[0]
        return _ladder(gate, needs=needs, has="no record that can be trusted", met=False, step=words)
    if record is None:
        command = f"engine holdout open {row.text('strategy_id')} --data {row.text('universe')}"
        return _absent(gate, needs, f"{command} --operator WHO --reason WHY")
    step = "sealed bars are seen once: another idea, or wait for new bars"
    return _ladder(gate, needs=needs, has=record.words, met=record.verdict is Verdict.PASS, step=step)


_EVIDENCE = (
    ("paper time", "28 days, 50 decisions on a live feed", "this version plays paper on stored bars only"),
    ("paper vs backtest", "every order equal", "needs paper on a live feed"),
    ("reconciliation", "0 unexplained breaks in 14 days", "needs an account at a venue"),
    ("kill drill", "flat within 60 s, 7 days old at most", "needs an account at a venue"),
    ("second person", "approval by someone else", "this version takes no approvals"),
)


def _absent(gate: str, needs: str, step: str) -> Answer:
    return Answer(
        gate=gate,
        status=GateStatus.MISSING,
        needs=needs,
        has="none yet",
        value=None,
        threshold=needs,
        direction=EXACTLY,
        step=step,
    )


# --- small parts -----------------------------------------------------------------------------------------


def _ladder(gate: str, *, needs: str, has: str, met: bool, step: str = "") -> Answer:
    return Answer(
        gate=gate,
        status=GateStatus.PASS if met else GateStatus.FAIL,
        needs=needs,
        has=has,
        value=has,
        threshold=needs,
        direction=EXACTLY,
        step="" if met else step,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _short(text: str) -> str:
    """Cut a hash to the digits that people compare; anything else is left whole."""
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:16] if is_hash else text


def _tournament(found: Found) -> str:
    return repeat_command(found.board)


def names(answers: Sequence[Answer]) -> list[str]:
    """Return the gates of some answers, each once."""
    return list(dict.fromkeys(answer.gate for answer in answers))
