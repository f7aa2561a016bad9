"""Every rule of targets, limits, tiers and halts, each with a case worked out by hand."""

import numpy as np
import pytest

from engine.core.account import HALTS, REASONS, TRADES
from engine.core.settings import UNLIMITED, Limits
from engine.domain.panel import Instrument
from engine.domain.portfolio import Invest, Plan
from engine.domain.reasons import Cause, Reason
from tests.builders import NAN, panel_of
from tests.play import WHOLE_LOTS, play, weights


def lots_bought(played) -> dict[int, int]:  # type: ignore[no-untyped-def]
    """Sum the lots of the fills by instrument."""
    bought: dict[int, int] = {}
    for fill in played.fills():
        bought[fill["instrument"]] = bought.get(fill["instrument"], 0) + fill["lots"]
    return bought


def test_the_cash_buffer_is_left_out_of_sizing() -> None:
    panel = panel_of({"A": [10, 10]})

    played = play(panel, weights(1.0), rules=WHOLE_LOTS._replace(cash_buffer=0.01))

    assert lots_bought(played) == {0: 99}


def test_scaled_retargets_only_the_instrument_whose_signal_changed() -> None:
    panel = panel_of({"A": [10, 10, 20, 20], "B": [10, 10, 10, 10]})
    signals = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.5], [1.0, 0.5]])

    played = play(panel, weights(0.4, 0.4), signals=signals)

    # B: 0.4 x 0.5 of an equity of 1400 at 10 is 28 lots; A drifted to 57% and is left alone.
    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()] == [(1, 0, 40), (3, 1, 28)]


def test_full_renormalises_over_the_signals_that_are_not_zero() -> None:
    panel = panel_of({"A": [10.0] * 4, "B": [10.0] * 4})
    signals = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])

    played = play(panel, weights(0.4, 0.4), signals=signals, invest=Invest.FULL)

    # Alone A gets the whole gross of 0.8; with B both get 0.4, and A is cut back at the same row.
    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()] == [
        (1, 0, 80),
        (3, 0, -40),
        (3, 1, 40),
    ]


def test_a_signal_without_a_base_weight_moves_no_other_target() -> None:
    panel = panel_of({"A": [10, 10, 20, 20], "B": [10.0] * 4, "C": [10.0] * 4})
    signals = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])

    played = play(panel, weights(0.4, 0.4, 0.0), signals=signals, invest=Invest.FULL)

    # A has drifted to 57% by row 2, and C's signal is no reason to bring it back.
    assert {(f["row"], f["instrument"], f["lots"]) for f in played.fills()} == {(1, 0, 40), (1, 1, 40)}


def test_a_missing_signal_leaves_the_one_before() -> None:
    panel = panel_of({"A": [10.0] * 4})

    played = play(panel, weights(0.5), signals=np.array([[NAN], [1.0], [NAN], [NAN]]))

    assert [(f["row"], f["lots"]) for f in played.fills()] == [(2, 50)]


def test_a_short_signal_goes_to_cash_and_says_why() -> None:
    panel = panel_of({"A": [10.0] * 4})

    played = play(panel, weights(0.5), signals=np.array([[1.0], [1.0], [-1.0], [-1.0]]))

    assert [(f["row"], f["lots"]) for f in played.fills()] == [(1, 50), (3, -50)]
    assert played.orders()[1]["reason"] == Reason.SHORT_NOT_ALLOWED


def test_a_window_rebalance_trades_only_at_the_rows_of_the_plan() -> None:
    panel = panel_of({"A": [10, 10, 20, 20, 20, 20], "B": [10.0] * 6})
    plan = Plan(rows=np.array([0, 3]), weights=np.array([[0.4, 0.4], [0.4, 0.4]]))

    played = play(panel, plan)

    # At row 3 equity is 1400: A is worth 800 against 560, B 400 against 560.
    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()] == [
        (1, 0, 40),
        (1, 1, 40),
        (4, 0, -12),
        (4, 1, 16),
    ]


def test_a_daily_rebalance_goes_back_to_target_on_every_bar() -> None:
    panel = panel_of({"A": [10, 10, 20, 20], "B": [10.0] * 4})

    played = play(panel, weights(0.4, 0.4, drift_band=0.0))

    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()][2:] == [(3, 0, -12), (3, 1, 16)]


def test_a_drift_band_waits_until_the_drift_exceeds_it() -> None:
    # A at 11 drifts by (|440/1040 - .4| + |400/1040 - .4|) / 2 = 1.9%; at 20 by 11.4%.
    panel = panel_of({"A": [10, 10, 11, 20, 20], "B": [10.0] * 5})

    played = play(panel, weights(0.4, 0.4, drift_band=0.05))

    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()][2:] == [(4, 0, -12), (4, 1, 16)]


def test_a_target_of_zero_is_executed_inside_the_drift_band() -> None:
    panel = panel_of({"A": [10.0] * 4, "B": [10.0] * 4})
    plan = Plan(rows=np.array([0, 2]), weights=np.array([[0.5, 0.04], [0.5, 0.0]]), drift_band=0.05)

    played = play(panel, plan)

    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()][2:] == [(3, 1, -4)]


def test_a_cap_that_holds_a_target_down_is_not_drift() -> None:
    panel = panel_of({name: [10.0] * 5 for name in "ABCD"})

    played = play(
        panel, weights(0.7, 0.1, 0.1, 0.1, drift_band=0.05), limits=UNLIMITED._replace(instrument=0.25)
    )

    assert {f["row"] for f in played.fills()} == {1}


def test_an_instrument_is_capped_when_there_are_at_least_four() -> None:
    four = panel_of({name: [10.0] * 3 for name in "ABCD"})
    three = panel_of({name: [10.0] * 3 for name in "ABC"})

    capped = play(four, weights(0.6, 0.1, 0.1, 0.1), limits=Limits())
    free = play(three, weights(0.6, 0.1, 0.1), limits=Limits())

    assert lots_bought(capped) == {0: 25, 1: 10, 2: 10, 3: 10}
    assert capped.orders()[0]["reason"] == Reason.CUT_INSTRUMENT
    assert lots_bought(free)[0] == 60


def test_a_cluster_is_capped_where_clusters_are_known() -> None:
    instruments = [
        Instrument(symbol=name, cluster=cluster)
        for name, cluster in zip("ABCD", ["oil", "oil", None, None], strict=True)
    ]
    panel = panel_of({name: [10.0] * 3 for name in "ABCD"}, instruments=instruments)

    played = play(panel, weights(0.2, 0.2, 0.2, 0.2), limits=Limits())

    # 0.4 of oil against 0.25: both are scaled by 0.625 to 12.5%.
    assert lots_bought(played) == {0: 12, 1: 12, 2: 20, 3: 20}
    assert [order["reason"] for order in played.orders()] == [
        Reason.CUT_CLUSTER,
        Reason.CUT_CLUSTER,
        Reason.NONE,
        Reason.NONE,
    ]


def test_gross_counts_what_is_held_and_not_decided() -> None:
    panel = panel_of({"A": [10, 10, 20, 20], "B": [10.0] * 4})
    signals = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])

    played = play(panel, weights(0.6, 0.5), signals=signals, limits=UNLIMITED._replace(gross=1.0))

    # Row 2: A is 1200 of 1600 = 75%, so B may take 25% = 400 at 10.
    assert lots_bought(played)[1] == 40
    assert played.orders()[1]["reason"] == Reason.CUT_GROSS


@pytest.mark.parametrize(
    # 83% and all of 100 lots in equal parts, rounded down.
    ("count", "within", "free"),
    [(1, 83, 100), (3, 27, 33), (4, 20, 25), (5, 16, 20), (9, 9, 11)],
)
def test_gross_counts_every_instrument(count: int, within: int, free: int) -> None:
    panel = panel_of({f"I{n}": [10.0] * 3 for n in range(count)})
    equal = weights(*[1.0 / count] * count)

    cut = play(panel, equal, limits=UNLIMITED._replace(gross=0.83))
    whole = play(panel, equal, limits=UNLIMITED)

    assert lots_bought(cut) == dict.fromkeys(range(count), within)
    assert lots_bought(whole) == dict.fromkeys(range(count), free)


def test_a_drawdown_tier_reduces_at_once_and_growth_waits_for_a_decision() -> None:
    closes = [10, 10, 8.9, 8.9, 12, 12, 12]
    panel = panel_of({"A": closes})
    plan = Plan(rows=np.array([0, 5]), weights=np.array([[1.0], [1.0]]))

    played = play(panel, plan, limits=Limits(), rules=WHOLE_LOTS._replace(order_kind=0))

    fills = played.fills()
    # Row 2: equity 890, drawdown 11%: target 0.75 x 890 / 8.9 = 75 lots, 25 are sold on row 3.
    assert [(f["row"], f["lots"], f["cause"]) for f in fills[:2]] == [
        (1, 100, Cause.REBASE),
        (3, -25, Cause.TIER),
    ]
    # Back above the peak on row 4; nothing grows until the plan's row 5.
    assert (fills[2]["row"], fills[2]["cause"]) == (6, Cause.REBASE)
    assert played.orders()[1]["reason"] == Reason.CUT_TIER


def test_a_halt_goes_flat_then_comes_back_at_half_size_and_counts() -> None:
    limits = Limits(halt_bars=3, recovery_bars=4)
    panel = panel_of({"A": [10, 10, 7.9, 8, 8, 8, 8, 8, 8, 8, 8, 8]})
    plan = Plan(rows=np.array([0, 10]), weights=np.array([[1.0], [1.0]]))

    played = play(panel, plan, limits=limits, rules=WHOLE_LOTS._replace(order_kind=0))

    # Row 2: drawdown 21%, closed on row 3 at 8. The halt ends with row 5: 0.5 x 800 / 8 = 50 lots on row 6.
    # The recovery ends with row 9, so row 10 decides at full size.
    assert [(f["row"], f["lots"], f["cause"]) for f in played.fills()] == [
        (1, 100, Cause.REBASE),
        (3, -100, Cause.HALT),
        (6, 50, Cause.HALT),
        (11, 50, Cause.REBASE),
    ]
    assert played.accounts.counts[0, HALTS] == 1
    assert played.accounts.counts[0, TRADES] == 0
    assert played.orders()[1]["reason"] == Reason.HALT_DRAWDOWN


def test_a_re_entry_after_a_halt_is_no_trade_even_where_every_bar_is_a_re_base() -> None:
    limits = Limits(halt_bars=3, recovery_bars=4)
    panel = panel_of({"A": [10, 10, 7.9, 8, 8, 8, 8, 8, 8, 8]})
    signals = np.array([[1.0]] * 8 + [[0.0]] * 2)

    played = play(
        panel,
        weights(1.0, drift_band=0.0),
        signals=signals,
        limits=limits,
        rules=WHOLE_LOTS._replace(order_kind=0),
    )

    # Halted on row 2, back on row 6 by the review of row 5, closed on row 9 by the signal of row 8: the halt
    # opened what the signal closed, so there was no round trip of the strategy (RULINGS D2).
    assert [(f["row"], f["lots"], f["cause"]) for f in played.fills()][1:3] == [
        (3, -100, Cause.HALT),
        (6, 50, Cause.HALT),
    ]
    assert played.fills()[-1]["row"] == 9
    assert played.accounts.counts[0, TRADES] == 0


def test_signals_that_change_during_a_halt_hold_after_it() -> None:
    limits = Limits(halt_bars=3, recovery_bars=4)
    panel = panel_of({"A": [10, 10, 7.9, 8, 8, 8, 8, 8], "B": [10.0] * 8})
    signals = np.array([[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4)

    played = play(
        panel, weights(1.0, 1.0), signals=signals, limits=limits, rules=WHOLE_LOTS._replace(order_kind=0)
    )

    assert [(f["row"], f["instrument"], f["lots"]) for f in played.fills()] == [
        (1, 0, 100),
        (3, 0, -100),
        (6, 1, 40),
    ]


def test_a_halt_that_cannot_be_filled_goes_on_closing() -> None:
    limits = Limits(halt_bars=3)
    panel = panel_of({"A": [10, 10, 7.9, NAN, 8, 8]})

    played = play(panel, weights(1.0), limits=limits, rules=WHOLE_LOTS._replace(order_kind=0))

    assert [(f["row"], f["lots"], f["cause"]) for f in played.fills()][1:2] == [(4, -100, Cause.HALT)]


def test_cuts_are_counted_by_reason() -> None:
    panel = panel_of({name: [10.0] * 3 for name in "ABCD"})

    played = play(panel, weights(0.6, 0.1, 0.1, 0.1), limits=Limits())

    assert played.accounts.counts[0, REASONS + Reason.CUT_INSTRUMENT] == 1


def test_lots_of_a_billionth_are_counted_as_well_as_whole_ones() -> None:
    closes = [10, 10, 8.9, 8.9, 12, 12, 12]
    panel = panel_of({"A": closes})
    plan = Plan(rows=np.array([0, 5]), weights=np.array([[1.0], [1.0]]))
    signals = np.array([[1.0]] * 5 + [[0.5], [0.0]])
    fine = WHOLE_LOTS._replace(order_kind=0, lot_size=1e-9)

    whole, small = (
        play(panel, plan, signals=signals, limits=Limits(), rules=rules, cash=1e6)
        for rules in (WHOLE_LOTS._replace(order_kind=0), fine)
    )

    # 1e14 lots: a product of two of them is beyond 64 bits.
    assert max(abs(fill["lots"]) for fill in small.fills()) > 10**13
    for name in ("row", "cause", "price_e8"):
        assert [fill[name] for fill in small.fills()] == [fill[name] for fill in whole.fills()]
    units = [round(fill["lots"] * 1e-9) for fill in small.fills()]
    assert units == pytest.approx([fill["lots"] for fill in whole.fills()], abs=1)
    assert small.accounts.counts[0, TRADES] == whole.accounts.counts[0, TRADES]
