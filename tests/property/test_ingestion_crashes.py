"""Whatever an exchange serves wrong and wherever the writer dies: the lake ends with what trades say."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.data.ingestion.one_series import Ingestion, Span
from engine.data.lake.lake import Lake
from engine.data.providers.bars import between
from engine.data.providers.errors import ProviderError
from engine.data.providers.finality import GRACE
from engine.data.series import BAR_VALUES, BarSeries, SeriesKey, SeriesKind
from engine.domain.time import Timeframe
from tests.fake_exchange import STEP, FakeExchange, KilledError, MortalLake, market
from tests.lakes import START

KEY = SeriesKey(venue="kraken", kind=SeriesKind.BARS, instrument="BTC/USD", timeframe=Timeframe.MINUTE_1)
MINUTES = 400


def attempt(exchange: FakeExchange, lake: Lake, start: int, writes: int, run: int) -> None:
    """Ingest until the end, an error or death."""
    ingestion = Ingestion(
        lake=cast(Lake, MortalLake(lake, writes)),
        provider=exchange,
        key=KEY,
        run=f"run-{run}",
        now=lambda: exchange.now,
        advanced=lambda _, __: None,
        stopped=lambda: False,
    )
    # A pull begins a series again after an error, but may be killed before.
    with suppress(KilledError, ProviderError):
        ingestion.ingest(Span(start=start, stop=2**62, holes_from=start))


def same(one: BarSeries, other: BarSeries) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("stamps", *BAR_VALUES))


@example(seed=745, quiet=0.0, deaths=[(5, 8)], late_start=False)
@example(seed=1, quiet=0.3, deaths=[(5, 4), (2, 0)], late_start=False)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    quiet=st.sampled_from([0.0, 0.3, 0.9]),
    deaths=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 20)), max_size=6),
    late_start=st.booleans(),
)
def test_the_lake_ends_with_what_the_trades_say(
    seed: int, quiet: float, deaths: list[tuple[int, int]], late_start: bool
) -> None:
    draw = np.random.default_rng(seed)
    exchange = FakeExchange(
        trades=market(draw, MINUTES, START, quiet),
        now=START + 200 * STEP,
        draw=draw,
        wrong=0.7,
        left_out=0.1,
        leaks=0.2,
        fails=0.05,
    )
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for run, (writes, minutes) in enumerate(deaths):
            # A first pull may have begun later than those after it.
            begins = START + (120 * STEP if late_start and run == 0 else 0)
            attempt(exchange, lake, begins, writes, run)
            exchange.now += minutes * STEP + 7 * 10**9
        exchange.fails = 0.0
        attempt(exchange, lake, START, 10**9, 99)

        held = lake.read(KEY)
        until = exchange.now - GRACE - STEP + 1
        assert same(held, between(exchange.truth(until), START, until))
        assert lake.verify() == []


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_without_faults_and_deaths_nothing_is_corrected(seed: int) -> None:
    draw = np.random.default_rng(seed)
    exchange = FakeExchange(trades=market(draw, MINUTES, START, 0.3), now=START + 100 * STEP, draw=draw)
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for run in range(5):
            attempt(exchange, lake, START, 10**9, run)
            exchange.now += int(draw.integers(0, 80)) * STEP

        assert lake.corrections(KEY) == []
