"""Every fill rule, each with a case worked out by hand."""

import numpy as np
import pytest

from engine.core.account import CASH, EXITS, FEES, REASONS, TRADES
from engine.core.settings import FRICTIONLESS, MARKET, Costs
from engine.domain.orders import Liquidity
from engine.domain.panel import Instrument
from engine.domain.reasons import Cause, Reason
from tests.builders import NAN, panel_of
from tests.play import WHOLE_LOTS, play, weights


def test_a_decision_is_filled_at_the_next_open() -> None:
    panel = panel_of({"A": [10, 11, 12]}, opens={"A": [9, 10.5, 11.5]})

    played = play(panel, weights(1.0))

    # 1000 / 10 = 100 lots decided at the close of bar 0; cash buys 95 of them at 10.5.
    assert played.fills() == [
        {"row": 1, "instrument": 0, "lots": 95, "price_e8": 1_050_000_000, "fee_e8": 0, "cause": Cause.REBASE,
         "reason": Reason.CUT_CASH, "order": 0, "liquidity": Liquidity.TAKER}
    ]  # fmt: skip
    assert played.equity.tolist() == [1000.0, 1000 - 95 * 10.5 + 95 * 11, 1000 - 95 * 10.5 + 95 * 12]


def test_close_only_data_fills_at_the_next_close() -> None:
    panel = panel_of({"A": [10, 8, 12]}, opens={"A": [10, 10, 10]}, has_range=False)

    played = play(panel, weights(0.5), rules=WHOLE_LOTS._replace(order_kind=MARKET))

    assert [(fill["row"], fill["lots"], fill["price_e8"]) for fill in played.fills()] == [
        (1, 50, 800_000_000)
    ]


def test_costs_move_the_price_and_add_a_fee() -> None:
    panel = panel_of({"A": [10, 10, 10, 10]}, volumes={"A": [400, 400, 400, 400]})
    costs = Costs(
        taker_fee_bps=10.0,
        maker_fee_bps=0.0,
        half_spread_bps=4.0,
        slippage_bps=6.0,
        impact_coefficient=20.0,
    )
    signals = np.array([[1.0], [1.0], [0.0], [0.0]])

    played = play(panel, weights(0.1), signals=signals, costs=costs)

    # 10 lots of 400 are a share of 1/40: impact 20 * sqrt(0.025) = 3.16227766 bps on top of 10 bps.
    buy = 10 * (1 + 13.16227766 / 1e4)
    first, second = played.fills()
    assert first["price_e8"] == pytest.approx(buy * 1e8, abs=1)
    assert first["fee_e8"] == pytest.approx(10 * buy * 0.001 * 1e8, abs=1)
    assert second["lots"] == -10
    assert second["price_e8"] == pytest.approx(10 * (1 - 13.16227766 / 1e4) * 1e8, abs=1)
    assert played.accounts.values[0, FEES] == pytest.approx(0.2, abs=1e-9)


def test_a_price_beyond_the_bound_expires_and_the_target_is_decided_again() -> None:
    panel = panel_of({"A": [10, 10, 10.5, 10.5]}, opens={"A": [10, 10.51, 10.2, 10.5]})

    played = play(panel, weights(0.5))

    # Bound 500 bps: 10.5. The open at 10.51 is outside; decided again at close 10 for the open at 10.2.
    assert [(o["row"], o["lots"], o["filled"], o["outcome"]) for o in played.orders()] == [
        (0, 50, 0, Reason.PRICE_OUTSIDE_BOUND),
        (1, 50, 50, Reason.NONE),
    ]
    assert [(fill["row"], fill["price_e8"]) for fill in played.fills()] == [(2, 1_020_000_000)]


def test_slippage_beyond_the_bound_does_not_fill_either() -> None:
    panel = panel_of({"A": [10, 10]}, opens={"A": [10, 10.5]})

    inside = play(panel, weights(0.5))
    outside = play(panel, weights(0.5), costs=FRICTIONLESS._replace(slippage_bps=1.0))

    assert len(inside.fills()) == 1
    assert outside.fills() == []


def test_a_sell_has_its_bound_below() -> None:
    panel = panel_of({"A": [10, 10, 10, 9]}, opens={"A": [10, 10, 9.49, 9.5]})
    signals = np.array([[1.0], [0.0], [0.0], [0.0]])

    played = play(panel, weights(0.5), signals=signals)

    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(1, 50), (3, -50)]
    assert played.orders()[1]["outcome"] == Reason.PRICE_OUTSIDE_BOUND
    assert played.orders()[1]["limit_e8"] == 950_000_000


def test_a_market_order_has_no_bound() -> None:
    panel = panel_of({"A": [10, 10]}, opens={"A": [10, 15]})

    played = play(panel, weights(0.5), rules=WHOLE_LOTS._replace(order_kind=MARKET))

    assert [fill["price_e8"] for fill in played.fills()] == [1_500_000_000]


def test_limit_prices_are_rounded_to_the_tick_away_from_the_market() -> None:
    panel = panel_of({"A": [10.03, 10.03, 10.03]})
    signals = np.array([[1.0], [0.0], [0.0]])

    played = play(panel, weights(0.5), signals=signals)

    # 10.03 * 1.05 = 10.5315 down to 10.53; 10.03 * 0.95 = 9.5285 up to 9.53.
    assert [order["limit_e8"] for order in played.orders()] == [1_053_000_000, 953_000_000]


def test_a_fill_takes_at_most_its_share_of_the_volume_and_the_rest_is_decided_again() -> None:
    panel = panel_of({"A": [10, 10, 10, 10]}, volumes={"A": [0, 200, 300, 1000]})

    played = play(panel, weights(0.5), rules=WHOLE_LOTS._replace(participation=0.10))

    assert [(fill["row"], fill["lots"], fill["reason"]) for fill in played.fills()] == [
        (1, 20, Reason.CUT_PARTICIPATION),
        (2, 30, Reason.NONE),
    ]


def test_a_bar_without_volume_fills_nothing() -> None:
    panel = panel_of({"A": [10, 10, 10]}, volumes={"A": [100, 0, 10_000]})

    played = play(panel, weights(0.5), rules=WHOLE_LOTS._replace(participation=0.10))

    assert played.orders()[0]["outcome"] == Reason.NO_VOLUME
    assert [(fill["row"], fill["lots"]) for fill in played.fills()] == [(2, 50)]


def test_a_bar_that_did_not_trade_fills_nothing_and_the_target_stands() -> None:
    panel = panel_of({"A": [10, NAN, 20]})

    played = play(panel, weights(0.5), rules=WHOLE_LOTS._replace(order_kind=MARKET))

    assert played.orders()[0]["outcome"] == Reason.NOT_TRADED
    assert [(fill["row"], fill["lots"], fill["price_e8"]) for fill in played.fills()] == [
        (2, 50, 2_000_000_000)
    ]


def test_sells_are_filled_before_buys_and_pay_for_them() -> None:
    panel = panel_of({"A": [10, 10, 10, 10], "B": [10, 10, 10, 10]})
    signals = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])

    played = play(panel, weights(1.0, 1.0), signals=signals)

    assert [(fill["row"], fill["instrument"], fill["lots"]) for fill in played.fills()] == [
        (1, 1, 100),
        (2, 1, -100),
        (2, 0, 100),
    ]


def test_buys_that_cash_cannot_pay_are_cut_by_the_same_share_and_not_tried_again() -> None:
    panel = panel_of({"A": [10, 10, 10], "B": [20, 20, 20]}, opens={"A": [10, 12, 10], "B": [20, 24, 20]})

    played = play(panel, weights(0.5, 0.5), rules=WHOLE_LOTS._replace(order_kind=MARKET))

    # 50 x 12 + 25 x 24 = 1200 for 1000 cash: five sixths of each, rounded down.
    assert [(fill["lots"], fill["reason"]) for fill in played.fills()] == [
        (41, Reason.CUT_CASH),
        (20, Reason.CUT_CASH),
    ]
    assert played.accounts.values[0, CASH] == 1000 - 41 * 12 - 20 * 24
    assert len(played.orders()) == 2


def test_cash_never_goes_below_zero() -> None:
    panel = panel_of({"A": [7.3, 7.9, 7.1], "B": [3.1, 3.2, 3.3]})
    costs = Costs(taker_fee_bps=33.0, slippage_bps=7.0)
    rules = WHOLE_LOTS._replace(lot_size=1e-6, order_kind=MARKET)

    played = play(panel, weights(0.7, 0.3), costs=costs, rules=rules)

    assert 0.0 <= played.accounts.values[0, CASH] < 1e-3


def test_an_order_below_the_smallest_is_not_sent() -> None:
    panel = panel_of({"A": [10, 10]})

    played = play(panel, weights(0.05), rules=WHOLE_LOTS._replace(minimum_notional=60.0))

    assert played.orders() == []
    assert played.accounts.counts[0, REASONS + Reason.BELOW_MINIMUM] == 1


def test_a_close_of_a_small_position_is_always_sent() -> None:
    panel = panel_of({"A": [10, 10, 1, 1]}, opens={"A": [10, 10, 1, 1]})
    signals = np.array([[1.0], [1.0], [0.0], [0.0]])

    played = play(panel, weights(0.1), signals=signals, rules=WHOLE_LOTS._replace(minimum_notional=60.0))

    assert [fill["lots"] for fill in played.fills()] == [10, -10]


def test_what_stops_trading_is_marked_at_its_last_close_then_booked_out_with_a_haircut() -> None:
    panel = panel_of({"A": [10, 10, NAN, NAN, NAN, NAN, NAN, NAN], "B": [1.0] * 8})

    played = play(panel, weights(0.5, 0.0))

    # Five bars without a trade are rows 2 to 6; booked out on the fifth at 10 x (1 - 0.3).
    assert played.equity.tolist() == [1000.0] * 6 + [850.0] * 2
    last = played.fills()[-1]
    assert (last["row"], last["lots"], last["price_e8"], last["cause"]) == (
        6,
        -50,
        700_000_000,
        Cause.DELISTED,
    )
    assert played.accounts.counts[0, EXITS] == 1
    assert played.accounts.counts[0, TRADES] == 0


def test_a_known_merger_is_booked_out_at_its_date_without_a_haircut() -> None:
    day = 86_400 * 10**9
    merged = Instrument(symbol="A", delisted_at=3 * day, delisting_haircut=0.0)
    panel = panel_of({"A": [10, 10, 10, 12, NAN]}, instruments=[merged])

    played = play(panel, weights(0.5))

    last = played.fills()[-1]
    assert (last["row"], last["lots"], last["price_e8"], last["reason"]) == (
        3,
        -50,
        1_200_000_000,
        Reason.DELISTED_EXIT,
    )
    assert played.equity.tolist() == [1000.0, 1000.0, 1000.0, 1100.0, 1100.0]


def test_a_round_trip_by_signals_counts_as_one_trade() -> None:
    panel = panel_of({"A": [10.0] * 6})
    signals = np.array([[1.0], [0.0], [1.0], [1.0], [0.0], [0.0]])

    played = play(panel, weights(0.5), signals=signals)

    assert len(played.fills()) == 4
    assert played.accounts.counts[0, TRADES] == 2
