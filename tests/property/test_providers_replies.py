"""Whatever a provider sends is read or refused as a reply: nothing else is raised, no bar is made up."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.providers import alpaca, binance, coinapi, fred, kraken, polygon, yahoo
from engine.data.providers.errors import ProviderError
from engine.data.series import BAR_VALUES, BarSeries
from engine.domain.time import Timeframe

BAR = {"o": 5, "h": 6, "l": 4, "c": 5, "v": 1.5}
DOCUMENTED: dict[str, Any] = {
    "kraken bars": {
        "error": [],
        "result": {
            "XXBTZUSD": [
                [1762795380, "5", "6", "4", "5", "5", "1.5", 3],
                [1762795440, "5", "6", "4", "5", "5", "0", 0],
            ],
            "last": 1762795380,
        },
    },
    "kraken trades": {
        "error": [],
        "result": {
            "XXBTZUSD": [["105433.6", "0.00027625", 1762795433.9717445, "b", "l", "", 10218208]],
            "last": "1762795433971744512",
        },
    },
    "binance bars": [[1710374400000, "5", "6", "4", "5", "1.5", 1710374459999, "7.5", 3, "1", "5", "0"]],
    "binance trades": [
        {"a": 1, "p": "5", "q": "1", "f": 1, "l": 1, "T": 1710374400000, "m": True, "M": True}
    ],
    "polygon": {"status": "OK", "results": [{**BAR, "t": 1710374400000}], "next_url": None},
    "alpaca": {"bars": {"AAPL": [{**BAR, "t": "2024-03-11T04:00:00Z"}]}, "next_page_token": None},
    "coinapi": [
        {
            "time_period_start": "2024-03-11T00:00:00.0000000Z",
            "price_open": 5,
            "price_high": 6,
            "price_low": 4,
            "price_close": 5,
            "volume_traded": 1,
        }
    ],
    "fred": {
        "count": 1,
        "observations": [{"realtime_start": "2024-03-11", "date": "2024-03-01", "value": "5"}],
    },
    "yahoo": {
        "chart": {
            "result": [
                {
                    "meta": {"exchangeTimezoneName": "America/New_York", "regularMarketTime": 1710532801},
                    "timestamp": [1710163800, 1710250200],
                    "events": {
                        "splits": {"1": {"date": 1710250200, "numerator": 4, "denominator": 1}},
                        "dividends": {"1": {"date": 1710250200, "amount": 0.25}},
                    },
                    "indicators": {
                        "quote": [
                            {
                                "open": [5, 6],
                                "high": [5, 6],
                                "low": [5, 6],
                                "close": [5, 6],
                                "volume": [1, None],
                            }
                        ]
                    },
                }
            ],
            "error": None,
        }
    },
}
READERS: dict[str, Callable[[bytes], object]] = {
    "kraken bars": kraken._read_ohlc,
    "kraken trades": kraken._read_trades,
    "binance bars": binance._read_bars,
    "binance trades": binance._read_trades,
    "polygon": polygon._read,
    "alpaca": lambda payload: alpaca._read(payload, "AAPL"),
    "coinapi": coinapi._read,
    "fred": fred._read,
    "yahoo": lambda payload: yahoo._read(payload, Timeframe.DAY_1),
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["NaN", "1e999", "-1", "0", "9" * 60, "2024-13-45", "2024-02-30T00:00:00Z", "Mars/Phobos"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a value, itself included."""
    found = [path]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        found += places(child, (*path, key))
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("name", list(DOCUMENTED))
def test_a_reply_as_documented_is_read(name: str) -> None:
    READERS[name](json.dumps(DOCUMENTED[name]).encode())


@pytest.mark.parametrize("name", list(DOCUMENTED))
@settings(max_examples=150)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(name: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(DOCUMENTED[name])))
    reply = changed(DOCUMENTED[name], place, data.draw(anything))

    try:
        found = READERS[name](json.dumps(reply).encode())
    except ProviderError:
        return

    for part in found if isinstance(found, tuple) else (found,):
        bars = getattr(part, "bars", part)
        if isinstance(bars, BarSeries):
            assert all(np.isfinite(getattr(bars, field)).all() for field in BAR_VALUES if field != "volume")
            assert not np.isinf(bars.volume).any()


@pytest.mark.parametrize("name", list(DOCUMENTED))
@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_reply_that_was_cut_short_is_refused(name: str, share: float) -> None:
    whole = json.dumps(DOCUMENTED[name]).encode()

    with pytest.raises(ProviderError):
        READERS[name](whole[: int(share * len(whole))])


@pytest.mark.parametrize("name", list(DOCUMENTED))
@settings(max_examples=60)
@given(noise=st.binary(max_size=40))
def test_noise_is_refused(name: str, noise: bytes) -> None:
    with pytest.raises(ProviderError):
        READERS[name](b"\x00" + noise)
