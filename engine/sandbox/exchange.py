"""What every connection is served from: the market, its time, its faults and its rules."""

from dataclasses import dataclass, field

from engine.sandbox.clock import Clock
from engine.sandbox.faults import FaultDealer
from engine.sandbox.limiter import Limiter
from engine.sandbox.market import Market
from engine.sandbox.rest import Moment, Rules


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """One exchange; connections share its faults as they share its market.

    Attributes
    ----------
    limiter
        None where requests are not limited.
    """

    market: Market
    clock: Clock
    faults: FaultDealer
    rules: Rules = field(default_factory=Rules)
    limiter: Limiter | None = None

    def moment(self) -> Moment:
        """Return when a request is answered now."""
        now = self.clock.now()
        return Moment(now=now, data=self.faults.data_now(now), told=now + self.faults.skew())
