"""Which rows a session is fed, by hand; and which folder a command finds its session in."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from engine.domain.errors import InputError, RefusedError
from engine.domain.panel import Panel
from engine.domain.passport import PlanKind, PlanTerms
from engine.domain.time import Timeframe
from engine.features.strategy import Strategy
from engine.session.feed import Replay, Span, fed_panel, read_feed, span_of, write_feed
from engine.session.folders import Asked, following, newest
from engine.session.start import FedData, require_same_data, require_same_set, settings_of
from engine.session.trader import Trader
from strategies.buy_and_hold import BuyAndHold
from strategies.trend import Trend
from tests.builders import random_panel
from tests.recorded import COSTS, LIMITS, RULES, lively_panel, passport_of

LISTED = PlanTerms(kind=PlanKind.LISTED)
# The first base weights need 12 rows before them.
WALK = PlanTerms(
    kind=PlanKind.WALK_FORWARD, selection="all", engine="native", profile="equal_weight",
    train=10, test=4, step=4, purge=1, embargo=2, floor=1,
)  # fmt: skip
HOUR = 3_600_000_000_000


def days(count: int = 40, *, every_hours: int = 24) -> Panel:
    """Make bars from the first of January 2024 on."""
    first = int(np.datetime64("2024-01-01", "ns").astype(np.int64))
    panel = random_panel(count, 2, seed=3)
    return replace(panel, name="days", timestamps=first + np.arange(count) * every_hours * HOUR)


def span(
    terms: PlanTerms,
    first: str | None = None,
    last: str | None = None,
    *,
    strategy: Strategy | None = None,
    panel: Panel | None = None,
) -> tuple[int, int, int]:
    found = span_of(
        panel or days(),
        strategy or BuyAndHold(),
        terms,
        first=None if first is None else date.fromisoformat(first),
        last=None if last is None else date.fromisoformat(last),
    )
    return found.origin, found.start, found.stop


def test_without_dates_a_session_plays_what_a_backtest_and_a_tournament_play() -> None:
    assert span(LISTED) == (0, 0, 40)
    assert span(WALK) == (0, 12, 40)


def test_a_session_from_a_day_on_is_fed_as_much_before_it_as_it_needs() -> None:
    # The 20th of January opens row 19.
    assert span(LISTED, "2024-01-20") == (19, 19, 40)
    assert span(WALK, "2024-01-20") == (7, 19, 40)
    warm = Trend(fast=5, slow=40)
    needed = max(root.warmup_on(Timeframe.DAY_1) for root in (warm.signal(),))
    assert needed > 40
    assert span(LISTED, "2024-01-20", strategy=warm) == (0, 19, 40), "what there is, where there is less"


def test_the_last_day_is_part_of_it() -> None:
    assert span(LISTED, None, "2024-01-10") == (0, 0, 10)
    assert span(LISTED, "2024-01-10", "2024-01-10") == (9, 9, 10)
    hourly = days(72, every_hours=1)
    assert span(LISTED, "2024-01-02", "2024-01-02", panel=hourly) == (24, 24, 48)


def test_a_day_without_a_bar_begins_at_the_next_one() -> None:
    sparse = days(10, every_hours=72)

    assert span(LISTED, "2024-01-02", panel=sparse) == (1, 1, 10)
    assert span(LISTED, None, "2024-01-06", panel=sparse) == (0, 0, 2)
    with pytest.raises(InputError, match="no bar of days"):
        span(LISTED, "2024-01-02", "2024-01-03", panel=sparse)


@pytest.mark.parametrize(
    ("terms", "first", "last", "said"),
    [
        (LISTED, "2023-12-31", None, r"--from 2023-12-31 .* from 2024-01-01 to 2024-02-09"),
        (LISTED, None, "2024-02-10", r"--to 2024-02-10 .* from 2024-01-01 to 2024-02-09"),
        (LISTED, "2024-02-01", "2024-01-31", "--from 2024-02-01 is after --to 2024-01-31"),
        (WALK, "2024-01-12", None, r"--from 2024-01-12 .* from 2024-01-13 to 2024-02-09"),
        (WALK, None, "2024-01-12", r"--to 2024-01-12 .* from 2024-01-13 to 2024-02-09"),
    ],
)
def test_days_that_cannot_be_replayed_are_refused_with_the_range(
    terms: PlanTerms, first: str | None, last: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        span(terms, first, last)


def test_a_data_set_too_short_for_one_window_is_refused() -> None:
    with pytest.raises(InputError, match="need 12 before them"):
        span(WALK, panel=days(12))


# -------------------------------------------------------------------------------------------------- bars


def test_bars_that_are_kept_are_those_that_were_fed(tmp_path: Path) -> None:
    fed = fed_panel(lively_panel(60), Span(origin=10, start=20, stop=50))
    write_feed(tmp_path, fed)

    kept = read_feed(tmp_path, FedData.of(fed))

    assert kept is not None
    assert len(kept) == 40
    assert kept.content_hash == fed.content_hash
    assert read_feed(tmp_path, FedData.of(lively_panel(60))) is None


def test_a_replay_hands_out_the_rows_of_its_panel() -> None:
    panel = lively_panel(30)
    names = ("close", "funding_rate", "market", "open")
    waited: list[int] = []
    feed = Replay(panel, names, wait=lambda: waited.append(1))

    bars = list(feed.bars(28))

    assert [bar.row for bar in bars] == [28, 29]
    assert len(waited) == 2
    assert bars[0].opened_at == panel.timestamps[28]
    assert bars[0].day_end == panel.day_ends[28]
    assert set(bars[0].fields) == set(names)
    assert bars[0].fields["close"].tobytes() == panel.close[28].tobytes()
    # One number a bar is the same for every instrument.
    assert bars[0].fields["market"].tolist() == [panel.fields["market"][28]] * len(panel.instruments)
    assert feed.bar(30) is None


def test_a_field_that_the_data_does_not_have_is_named() -> None:
    with pytest.raises(InputError, match="no field 'open_interest'"):
        Replay(days(), ("close", "open_interest"))


def test_a_session_reads_funding_where_the_data_has_it() -> None:
    panel = lively_panel(60)
    from engine.session.start import SessionStart

    def fields(fed: Panel) -> tuple[str, ...]:
        start = SessionStart(
            passport=passport_of(Trend(), fed), data=FedData.of(fed), origin_at=0, start_row=0, rows=len(fed)
        )
        return Trader(start, Trend()).fields

    assert fields(panel) == ("close", "funding_rate", "high", "low", "open", "volume")
    assert fields(replace(panel, fields={})) == ("close", "high", "low", "open", "volume")


# ---------------------------------------------------------------------------------------------- passport


def test_the_core_is_told_what_the_passport_says_in_the_types_that_it_was_compiled_for() -> None:
    panel = days()
    passport = passport_of(Trend(), panel, costs=COSTS._asdict() | {"taker_fee_bps": 10})

    settings = settings_of(passport)

    assert settings.rules == RULES
    assert settings.limits == LIMITS
    assert settings.costs == COSTS._replace(taker_fee_bps=10.0)
    assert isinstance(settings.costs.taker_fee_bps, float)
    assert settings.cash == 10_000.0


def test_other_data_than_that_of_the_passport_is_named() -> None:
    panel = days()
    passport = passport_of(Trend(), panel)

    require_same_data(passport, panel)
    with pytest.raises(RefusedError, match="was judged on days, not on nights"):
        require_same_data(passport, replace(panel, name="nights"))
    with pytest.raises(RefusedError, match="symbols was"):
        require_same_data(passport, panel.select((1, 0)))
    with pytest.raises(RefusedError, match="timeframe was 1d, is 4h"):
        require_same_data(passport, replace(panel, timeframe=Timeframe.HOUR_4))
    with pytest.raises(RefusedError, match="synthetic was False, is True"):
        require_same_data(passport, replace(panel, synthetic=True))
    require_same_set(passport, "a" * 64, "a" * 64)
    with pytest.raises(RefusedError, match="hash of data set days was a"):
        require_same_set(passport, "a" * 64, "b" * 64)


# ----------------------------------------------------------------------------------------------- folders


ASKED = Asked(
    strategy="trend",
    strategy_hash="a" * 64,
    research_only=True,
    core_version="b" * 16,
    feed="replay",
    data="us5",
    first="",
    last="",
)


def test_a_command_finds_the_last_session_that_it_began_and_no_other(tmp_path: Path) -> None:
    assert newest(tmp_path, ASKED) is None
    for _ in range(11):
        following(tmp_path, ASKED, "trend").mkdir()
    following(tmp_path, replace(ASKED, data="us20"), "trend").mkdir()

    found = newest(tmp_path, ASKED)

    assert found is not None
    assert found.name == f"research-trend-{ASKED.key}-11"
    assert newest(tmp_path, replace(ASKED, first="2024-01-01")) is None


def test_the_name_of_a_session_is_a_name_that_every_command_takes(tmp_path: Path) -> None:
    import re

    from engine.cli.journal import SESSION_ID

    long = following(tmp_path, ASKED, "cross_sectional_momentum_of_everything-synthetic-0123abcd")
    promoted = following(tmp_path, replace(ASKED, research_only=False), "trend-0123abcd")

    assert re.fullmatch(SESSION_ID, long.name)
    assert promoted.name == f"trend-0123abcd-{replace(ASKED, research_only=False).key}-1"


def test_any_other_wish_is_another_session() -> None:
    changes = [
        {"strategy": "trend-1a2b3c4d"}, {"strategy_hash": "c" * 64}, {"research_only": False},
        {"core_version": "d" * 16}, {"data": "us20"}, {"first": "2024-01-01"}, {"last": "2024-01-01"},
    ]  # fmt: skip

    keys = {replace(ASKED, **change).key for change in changes}  # type: ignore[arg-type]  # names of fields

    assert len(keys | {ASKED.key}) == len(changes) + 1
