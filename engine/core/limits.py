"""What a drawdown and the exposure caps leave of the targets of a decision."""

import numpy as np

from engine.compiled import NO, YES, constant, inlined_kernel, inner_kernel
from engine.core.account import CUT, DECIDED, PENDING, TARGET, UNITS
from engine.core.settings import Limits
from engine.domain.panel import FloatArray, IntArray
from engine.domain.reasons import Reason

LONG_SIDE, SHORT_SIDE = constant(1), constant(-1)
EVERYTHING = constant(-1)
CUT_GROSS = constant(Reason.CUT_GROSS)
CUT_INSTRUMENT = constant(Reason.CUT_INSTRUMENT)
CUT_CLUSTER = constant(Reason.CUT_CLUSTER)
CUT_TIER = constant(Reason.CUT_TIER)
CUT_SHORT = constant(Reason.CUT_SHORT)
CUT_NET = constant(Reason.CUT_NET)
SHORT_NOT_ALLOWED = constant(Reason.SHORT_NOT_ALLOWED)


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
def most_units(n: int, side: int, lot_size: float, holdings: FloatArray, lots: IntArray) -> float:
    """Return what an instrument holds towards a side, or will when its pending order fills, if that is more.

    In units; below 0 where it holds the other side.
    """
    units: float = side * holdings[UNITS, n]
    if lots[PENDING, n] != 0:
        units = max(units, side * (holdings[UNITS, n] + lots[PENDING, n] * lot_size))
    return units


@inlined_kernel
def cap_group(
    cap: float,
    group: int,
    lot_size: float,
    cluster: IntArray,
    mark_row: FloatArray,
    equity: float,
    code: int,
    holdings: FloatArray,
    lots: IntArray,
) -> None:
    """Scale the decided targets of a group so that their sizes and what is held besides stay within a cap.

    `group` -1 is all instruments, else a cluster. What was not decided now counts with its present weight
    and with what still waits to be filled.
    """
    decided = 0.0
    held = 0.0
    for n in range(mark_row.shape[0]):
        if group >= 0 and cluster[n] != group:
            continue
        if lots[DECIDED, n]:
            decided += abs(holdings[TARGET, n])
        else:
            units = max(
                most_units(n, 1, lot_size, holdings, lots), most_units(n, -1, lot_size, holdings, lots)
            )
            held += units * mark_row[n] / equity
    # Twenty times a twentieth is a little more than one: rounding is no breach.
    if decided <= 0.0 or decided + held <= cap * (1.0 + 1e-12):
        return
    factor = max(0.0, (cap - held) / decided)
    for n in range(mark_row.shape[0]):
        if group >= 0 and cluster[n] != group:
            continue
        if lots[DECIDED, n] and holdings[TARGET, n] != 0.0:
            holdings[TARGET, n] *= factor
            lots[CUT, n] = code


@inlined_kernel
def are_within(cap: float, holdings: FloatArray) -> bool:
    """Say whether the sizes of all targets surely stay within a cap: a sum that is quick and a little off."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    count = holdings.shape[1]
    for n in range(0, count - 3, 4):
        first += abs(holdings[TARGET, n])
        second += abs(holdings[TARGET, n + 1])
        third += abs(holdings[TARGET, n + 2])
        fourth += abs(holdings[TARGET, n + 3])
    for n in range(count - count % 4, count):
        first += abs(holdings[TARGET, n])
    # Sums of so few numbers differ by far less, whatever their order.
    return first + second + third + fourth <= cap * (1.0 - 1e-9)


@inner_kernel
def cap_side(
    cap: float,
    side: int,
    netted: bool,
    lot_size: float,
    mark_row: FloatArray,
    equity: float,
    code: int,
    holdings: FloatArray,
    lots: IntArray,
) -> None:
    """Scale the decided targets of one side, so that this side stays within a cap.

    `netted`: the other side counts against it, else it does not count.
    """
    decided = 0.0
    besides = 0.0
    for n in range(mark_row.shape[0]):
        if lots[DECIDED, n]:
            weight = side * holdings[TARGET, n]
            if weight > 0.0:
                decided += weight
            elif netted:
                besides += weight
        else:
            weight = most_units(n, side, lot_size, holdings, lots) * mark_row[n] / equity
            if weight > 0.0 or netted:
                besides += weight
    if decided <= 0.0 or decided + besides <= cap * (1.0 + 1e-12):
        return
    factor = max(0.0, (cap - besides) / decided)
    if factor >= 1.0:
        return
    for n in range(mark_row.shape[0]):
        if lots[DECIDED, n] and side * holdings[TARGET, n] > 0.0:
            holdings[TARGET, n] *= factor
            lots[CUT, n] = code


@inlined_kernel
def apply_limits(
    scale: float,
    limits: Limits,
    lot_size: float,
    cluster: IntArray,
    mark_row: FloatArray,
    equity: float,
    holdings: FloatArray,
    lots: IntArray,
) -> None:
    """Cut the targets of a decision, in this order: shorts, tier, instrument, cluster, gross, net.

    Reads and writes row `TARGET` of `holdings`, writes row `CUT` of `lots`. Only instruments with a cause in
    row `DECIDED` are touched, and a target never grows.
    """
    instruments = mark_row.shape[0]
    # With fewer than four instruments a cap of a quarter would forbid being invested at all.
    instrument_cap = limits.instrument if instruments >= 4 else max(limits.instrument, 1.0)
    shorts, tiered = limits.short > 0.0, scale < 1.0
    largest = -1
    undecided = 0
    for n in range(instruments):
        decided, target = lots[DECIDED, n] != 0, holdings[TARGET, n]
        refused = decided & (target < 0.0) & (not shorts)
        allowed = 0.0 if refused else target
        lowered = decided & tiered & (allowed != 0.0)
        scaled = allowed * scale if lowered else allowed
        capped = decided & (abs(scaled) > instrument_cap)
        most = instrument_cap if scaled > 0.0 else -instrument_cap
        holdings[TARGET, n] = most if capped else scaled
        reason = SHORT_NOT_ALLOWED if refused else 0
        reason = CUT_TIER if lowered else reason
        lots[CUT, n] = CUT_INSTRUMENT if capped else reason
        largest = max(largest, cluster[n])
        undecided += 0 if decided else 1
    for group in range(largest + 1):
        cap_group(limits.cluster, group, lot_size, cluster, mark_row, equity, CUT_CLUSTER, holdings, lots)
    # A tier bounds what is held besides as well, so a decided target cannot use room that a tier took away.
    if undecided > 0 or not are_within(limits.gross, holdings):
        cap_group(limits.gross, EVERYTHING, lot_size, cluster, mark_row, equity, CUT_GROSS, holdings, lots)
    if limits.short > 0.0:
        cap_side(limits.short, SHORT_SIDE, NO, lot_size, mark_row, equity, CUT_SHORT, holdings, lots)
        cap_side(limits.net, SHORT_SIDE, YES, lot_size, mark_row, equity, CUT_NET, holdings, lots)
    if limits.net < np.inf:
        cap_side(limits.net, LONG_SIDE, YES, lot_size, mark_row, equity, CUT_NET, holdings, lots)
