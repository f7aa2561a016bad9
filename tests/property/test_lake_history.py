"""The lake against a plain dictionary, whatever is appended, in whatever order, and whenever it is asked."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.lake.corrections import CorrectionKind
from engine.data.lake.lake import Lake
from engine.data.series import BAR_VALUES, BarSeries
from tests.lakes import BTC, BTC_TRADES, START, bars, closes, same_bytes, trades

# Days, so that a handful of bars spans months.
STEP = 24 * 3600 * 10**9

replies = st.dictionaries(
    st.integers(0, 90), st.sampled_from([10.0, 11.0, 12.0, float("nan")]), min_size=1, max_size=12
)
trade_replies = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(1, 4)), st.sampled_from([10.0, 11.0]), min_size=1, max_size=8
)


@contextmanager
def a_lake() -> Iterator[Lake]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield Lake(folder / "lake")
    finally:
        shutil.rmtree(folder)


@settings(max_examples=60)
@given(st.lists(st.tuples(replies, st.integers(0, 3)), min_size=1, max_size=6))
def test_every_moment_reads_as_a_dictionary_would_remember_it(
    appended: list[tuple[dict[int, float], int]],
) -> None:
    with a_lake() as lake:
        known: dict[int, float] = {}
        seen: list[tuple[int, BarSeries]] = []
        moment = 10**18
        for reply, wait in appended:
            moment += wait + 1
            expected_new = len(reply.keys() - known.keys())
            expected_changed = sum(
                str(known[number]) != str(close) for number, close in reply.items() if number in known
            )
            found = lake.append(BTC, bars(reply, step=STEP), known_at=moment, source="test", run="run")
            known |= reply

            assert found.new + found.late == expected_new
            assert found.corrected == expected_changed
            assert found.same == len(reply) - expected_new - expected_changed
            seen.append((moment, lake.read(BTC)))
            expected = bars(known, step=STEP)
            assert same_bytes(seen[-1][1], expected)
            assert lake.watermark(BTC) == int(expected.stamps[-1])

        # What a reader saw then is what is read as of then, by whoever opens the lake now.
        for moment, then in seen:
            assert same_bytes(Lake(lake.root).read(BTC, as_of=moment), then)
        assert lake.verify() == []


@settings(max_examples=60)
@given(st.lists(trade_replies, min_size=1, max_size=5))
def test_trades_read_as_a_dictionary_would_remember_them(
    appended: list[dict[tuple[int, int], float]],
) -> None:
    with a_lake() as lake:
        known: dict[tuple[int, int], float] = {}
        for moment, reply in enumerate(appended, start=10**18):
            rows = [(*row, price) for row, price in sorted(reply.items())]
            lake.append(BTC_TRADES, trades(rows), known_at=moment, source="test", run="run")
            known |= reply

            expected = trades([(*row, price) for row, price in sorted(known.items())])
            found = lake.read_trades(BTC_TRADES)
            assert found.stamps.tolist() == expected.stamps.tolist()
            assert found.ids.tolist() == expected.ids.tolist()
            assert found.price.tolist() == expected.price.tolist()
            assert found.buyer_is_taker.tolist() == expected.buyer_is_taker.tolist()
        assert lake.verify() == []


@settings(max_examples=40)
@given(st.lists(replies, min_size=1, max_size=5))
def test_corrections_lead_from_what_was_first_known_to_what_is_known(
    appended: list[dict[int, float]],
) -> None:
    with a_lake() as lake:
        first: dict[tuple[int, str], float] = {}
        for moment, reply in enumerate(appended, start=10**18):
            given_bars = bars(reply, step=STEP)
            for row, stamp in enumerate(given_bars.stamps):
                for name in BAR_VALUES:
                    first.setdefault((int(stamp), name), float(getattr(given_bars, name)[row]))
            lake.append(BTC, given_bars, known_at=moment, source="test", run="run")

        value = dict(first)
        for line in lake.corrections(BTC):
            if line.kind is CorrectionKind.REVISED:
                assert str(value[line.stamp, line.field]) == str(line.old)
                value[line.stamp, line.field] = line.new

        read = lake.read(BTC)
        for row, stamp in enumerate(read.stamps):
            for name in BAR_VALUES:
                assert str(value[int(stamp), name]) == str(float(getattr(read, name)[row]))


@settings(max_examples=40)
@given(replies, replies, st.integers(-5, 95), st.integers(-5, 95))
def test_a_range_is_that_part_of_the_whole(
    one: dict[int, float], other: dict[int, float], start: int, stop: int
) -> None:
    with a_lake() as lake:
        for moment, reply in enumerate((one, other), start=10**18):
            lake.append(BTC, bars(reply, step=STEP), known_at=moment, source="test", run="run")
        whole = lake.read(BTC)
        lower, upper = START + start * STEP, START + stop * STEP

        part = lake.read(BTC, start=lower, stop=upper)

        inside = np.flatnonzero((whole.stamps >= lower) & (whole.stamps < upper))
        assert part.stamps.tolist() == whole.stamps[inside].tolist()
        assert closes(part).keys() == closes(lake.read(BTC, start=lower, stop=max(lower, upper))).keys()
        assert part.close.tobytes() == whole.close[inside].tobytes()
