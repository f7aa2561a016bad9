"""Do both engines hold the same money at the end? If not, a comparison of their speed means nothing."""

from dataclasses import dataclass

import numpy as np

from benchmarks import peer
from benchmarks.workloads import Equities, RebalanceWorkload, Workload

TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class EquityCheck:
    """How far two engines are apart, with limits out of reach.

    Attributes
    ----------
    accounts
        How many were compared.
    relative_difference
        The largest, as a share of the account.
    absolute_difference
        The largest, in quote currency.
    """

    accounts: int
    relative_difference: float
    absolute_difference: float

    @property
    def agrees(self) -> bool:
        """Whether every account agrees to 1e-6 of itself."""
        return self.relative_difference <= TOLERANCE


def compare(ours: Equities, theirs: Equities) -> EquityCheck:
    """Compare final equities, account by account."""
    difference = np.abs(ours - theirs)
    return EquityCheck(
        accounts=len(ours),
        relative_difference=float(np.max(difference / np.abs(theirs))),
        absolute_difference=float(np.max(difference)),
    )


def check(workload: Workload, engine: str, weight_sets: int = 4) -> EquityCheck:
    """Compare a form of the peer with ours.

    A sweep is compared with our quantities: signals, prices and bookings are the peer's own.
    Weight sets are compared with the peer's own sizing, the first few of them.
    """
    if isinstance(workload, RebalanceWorkload):
        ours = workload.run_without_limits()[:weight_sets]
        theirs = [peer.run(workload, engine, index).equities for index in range(len(ours))]
        return compare(ours, np.concatenate(theirs))
    ours, quantities = workload.run_without_limits()
    return compare(ours, peer.run(workload, engine, quantities=quantities).equities)
