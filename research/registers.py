"""Which cells count as trials, under which key, and where they are registered (RULINGS D8)."""

from collections.abc import Iterable, Sequence

from engine.core.metrics import daily_returns
from engine.domain.errors import InvalidValueError
from engine.domain.identity import content_hash
from engine.domain.panel import FloatArray, Panel
from engine.home import state_folder
from research.cells import BaselineRole, CellResult, CellStatus, Simulator, TrialsRecord
from research.excess import excess_returns, mean_gross
from research.trials import TrialsRegister, trial

TRIALS_FOLDER = "trials"
CONTROLS_FOLDER = "controls"


def register_of(panel: Panel) -> TrialsRegister:
    """Return the register of a data set and timeframe."""
    return TrialsRegister(state_folder() / TRIALS_FOLDER / _file_name(panel))


def control_register_of(panel: Panel, control: str) -> TrialsRegister:
    """Return the register of one control: it must not count as a trial of the data it is played on."""
    return TrialsRegister(state_folder() / TRIALS_FOLDER / CONTROLS_FOLDER / f"{control}-{_file_name(panel)}")


def trial_key(panel: Panel, identity_hash: str, cash: float, weights: FloatArray) -> str:
    """Return the key of a trial: the hash of all its inputs, known before it is played.

    Parameters
    ----------
    weights
        Base weights, a row a window. The identity names a selection and an allocation, but not their code: a
        change there that moves a weight makes another trial, and without this it would go uncounted.
    """
    return content_hash(
        {
            "kind": "trial/2",
            "panel": panel.content_hash,
            "identity": identity_hash,
            "cash": cash,
            "weights": weights,
        }
    )


def record_trials(register: TrialsRegister, cells: Sequence[CellResult], panel: Panel, cash: float) -> None:
    """Register every configuration that the core played; those that are there already add nothing.

    Other simulators replay the same idea, and baselines are what an idea is measured against: neither is one.
    """
    pools = {
        cell.key.rebalance: cell
        for cell in cells
        if cell.baseline_role is BaselineRole.RAW_POOL and cell.key.simulator is Simulator.CORE
    }
    trials = {trial_key(panel, cell.identity_hash, cash, cell.weights): cell for cell in _ideas(cells)}
    new = []
    for key in sorted(trials):
        cell = trials[key]
        pool = pools.get(cell.key.rebalance)
        if pool is None:
            raise InvalidValueError(f"{cell.strategy_id}: no raw_pool_ew row for {cell.key.rebalance}")
        excess = excess_returns(
            daily_returns(cell.equity, cell.day_ends),
            mean_gross(cell.gross),
            daily_returns(pool.equity, pool.day_ends),
        )
        new.append(trial(key, cell.timestamps[cell.day_ends], excess))
    register.add_all(new)


def record_of(register: TrialsRegister) -> TrialsRecord:
    """Return what the board says of a register."""
    return TrialsRecord(count=register.count, head=register.head, n_effective=register.n_effective())


def _ideas(cells: Iterable[CellResult]) -> Iterable[CellResult]:
    return (
        cell
        for cell in cells
        if not cell.is_baseline and cell.key.simulator is Simulator.CORE and cell.status is CellStatus.OK
    )


def _file_name(panel: Panel) -> str:
    return f"{panel.name}-{panel.timeframe.value}.jsonl"
