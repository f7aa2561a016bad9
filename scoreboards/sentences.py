"""What a board says before its numbers: the headline, the reason, what to do next."""

from engine.domain.gates import GateStatus, Verdict
from scoreboards.board import Board, Row
from scoreboards.explain import REFUSED, VERDICTS, reasons
from scoreboards.gates import EXCESS_LOWER_BOUND, UNDECIDED


def row_reasons(row: Row) -> list[str]:
    """Say in plain words why a row did not pass; empty where it did."""
    if row.text("status") == REFUSED:
        return [f"was refused before it was played: {row.text('problem')}"]
    if row.text("status") == "missing":
        return [f"gave no result: {row.text('problem')}"]
    if row.number("excess_sharpe") <= 0 and _fails_proof(row):
        # "Could be luck" would flatter it.
        others = [gate for gate in row.gates if gate.gate not in UNDECIDED]
        point = f"{row.number('excess_sharpe'):+.2f}"
        return [f"earned no more than the pool at its own exposure: excess Sharpe {point}", *reasons(others)]
    return reasons(row.gates)


def _fails_proof(row: Row) -> bool:
    return any(gate.gate == EXCESS_LOWER_BOUND and gate.status is GateStatus.FAIL for gate in row.gates)


def pass_words(row: Row, board: Board) -> str:
    """Say what a row without a reason against it may do."""
    if board.void:
        return "all gates met, which counts for nothing on a void board"
    if row.verdict is Verdict.PASS and row.values["is_candidate"] is not True:
        return "all gates met, but they were not all the standard's: it may not move up"
    return VERDICTS[row.verdict]


def _strategies(rows: tuple[Row, ...]) -> list[str]:
    return sorted({row.text("strategy") for row in rows})


def headline(board: Board) -> str:
    """Return the one sentence that a reader who does not trade understands."""
    if board.void:
        return "VOID: a control misbehaved, so this tournament proves nothing"
    played = len(_strategies(board.judged))
    passed = _strategies(board.candidates)
    noun = "strategy" if played == 1 else "strategies"
    if not passed:
        return f"Nothing passed: none of {played} {noun} may move to paper trading"
    return f"{len(passed)} of {played} {noun} may move to paper trading"


def reason(board: Board) -> str:
    """Return why the headline is what it is."""
    if board.void:
        wrong = [control for control in board.controls if not control.behaved]
        return "; ".join(
            f"{control.name}{f' on {control.universe}' if control.universe else ''} {control.expectation}, "
            f"seen: {control.observed}{f' ({control.detail})' if control.detail else ''}"
            for control in wrong
        )
    if board.candidates:
        return f"all gates met by {len(board.candidates)} of {len(board.judged)} cells"
    holds = sum(row.verdict is Verdict.HOLD for row in board.judged)
    if holds:
        return (
            f"{holds} of {len(board.judged)} cells are clean but not proven (HOLD); honest gates may well "
            "leave no winner, and they are not loosened to get one"
        )
    return f"none of {len(board.judged)} cells is clean: each fails a gate besides proof, or earned no excess"


def next_step(board: Board) -> tuple[str, str]:
    """Return the command to type now, empty where there is none, and what it is for."""
    if board.void:
        return "", "mend the control that misbehaved, then run the tournament again; trust no row of this one"
    if board.candidates:
        best = board.candidates[0]
        return (
            f"engine promote {best.text('strategy_id')} --to paper",
            "then run it with pretend money",
        )
    return "engine strategy new NAME", "and try another idea; every try is counted"
