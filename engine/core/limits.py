"""What a drawdown and the exposure caps leave of the targets of a decision."""

from engine.compiled import inlined_kernel
from engine.core.account import CUT, DECIDED, TARGET, UNITS
from engine.core.settings import Limits
from engine.domain.panel import FloatArray, IntArray
from engine.domain.reasons import Reason

CUT_GROSS = int(Reason.CUT_GROSS)
CUT_INSTRUMENT = int(Reason.CUT_INSTRUMENT)
CUT_CLUSTER = int(Reason.CUT_CLUSTER)
CUT_TIER = int(Reason.CUT_TIER)
SHORT_NOT_ALLOWED = int(Reason.SHORT_NOT_ALLOWED)


@inlined_kernel
def tier_scale(equity: float, peak: float, limits: Limits) -> float:
    """Return what the drawdown from the peak multiplies targets with: 1, a tier's scale, or 0 at the halt."""
    if equity <= peak * (1.0 - limits.halt_drawdown):
        return 0.0
    if equity <= peak * (1.0 - limits.tier_2_drawdown):
        return limits.tier_2_scale
    if equity <= peak * (1.0 - limits.tier_1_drawdown):
        return limits.tier_1_scale
    return 1.0


@inlined_kernel
def next_tier_line(scale: float, peak: float, limits: Limits) -> float:
    """Return the highest equity at which a tier below the scale in force begins."""
    line = -1.0
    if limits.tier_1_scale < scale:
        line = max(line, peak * (1.0 - limits.tier_1_drawdown))
    if limits.tier_2_scale < scale:
        line = max(line, peak * (1.0 - limits.tier_2_drawdown))
    return max(line, peak * (1.0 - limits.halt_drawdown))


@inlined_kernel
def cap_group(
    cap: float,
    group: int,
    cluster: IntArray,
    mark_row: FloatArray,
    equity: float,
    code: int,
    holdings: FloatArray,
    lots: IntArray,
) -> None:
    """Scale the decided targets of a group so that they and what is held besides stay within a cap.

    `group` -1 is all instruments, else a cluster. What was not decided now counts with its present weight.
    """
    decided = 0.0
    held = 0.0
    for n in range(mark_row.shape[0]):
        if group >= 0 and cluster[n] != group:
            continue
        if lots[DECIDED, n]:
            decided += holdings[TARGET, n]
        else:
            held += holdings[UNITS, n] * mark_row[n] / equity
    # Twenty times a twentieth is a little more than one: rounding is no breach.
    if decided <= 0.0 or decided + held <= cap * (1.0 + 1e-12):
        return
    factor = max(0.0, (cap - held) / decided)
    for n in range(mark_row.shape[0]):
        if group >= 0 and cluster[n] != group:
            continue
        if lots[DECIDED, n] and holdings[TARGET, n] > 0.0:
            holdings[TARGET, n] *= factor
            lots[CUT, n] = code


@inlined_kernel
def apply_limits(
    scale: float,
    limits: Limits,
    cluster: IntArray,
    mark_row: FloatArray,
    equity: float,
    holdings: FloatArray,
    lots: IntArray,
) -> None:
    """Cut the targets of a decision, in this order: shorts, tier, instrument, cluster, gross.

    Reads and writes row `TARGET` of `holdings`, writes row `CUT` of `lots`. Only instruments with a cause in
    row `DECIDED` are touched, and a target never grows.
    """
    instruments = mark_row.shape[0]
    # With fewer than four instruments a cap of a quarter would forbid being invested at all.
    instrument_cap = limits.instrument if instruments >= 4 else max(limits.instrument, 1.0)
    largest = -1
    for n in range(instruments):
        lots[CUT, n] = 0
        if not lots[DECIDED, n]:
            continue
        if holdings[TARGET, n] < 0.0:
            holdings[TARGET, n] = 0.0
            lots[CUT, n] = SHORT_NOT_ALLOWED
        if scale < 1.0 and holdings[TARGET, n] > 0.0:
            holdings[TARGET, n] *= scale
            lots[CUT, n] = CUT_TIER
        if holdings[TARGET, n] > instrument_cap:
            holdings[TARGET, n] = instrument_cap
            lots[CUT, n] = CUT_INSTRUMENT
        largest = max(largest, cluster[n])
    for group in range(largest + 1):
        cap_group(limits.cluster, group, cluster, mark_row, equity, CUT_CLUSTER, holdings, lots)
    # A tier bounds what is held besides as well, so a decided target cannot use room that a tier took away.
    cap_group(limits.gross, -1, cluster, mark_row, equity, CUT_GROSS, holdings, lots)
