"""Who may be asked for what."""

import dataclasses

import pytest

from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.matrix import (
    LIVE_HISTORY_DAYS_MAX,
    MATRIX,
    NO_VALID_PROVIDER,
    AssetClass,
    Purpose,
    capability,
    classify,
    permit,
    select_provider,
)
from engine.domain.errors import InputError, InvalidValueError

ALL = frozenset(MATRIX)
NOBODY: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("symbol", "asset_class"),
    [
        ("EURUSD=X", AssetClass.FX),
        ("GC=F", AssetClass.COMMODITIES),
        ("BTC-USD", AssetClass.CRYPTO),
        ("BTC-USDT", AssetClass.CRYPTO),
        ("BTC/USD", AssetClass.CRYPTO),
        ("btc/usdt", AssetClass.CRYPTO),
        ("EUR/USD", AssetClass.FX),
        ("AAPL", AssetClass.STOCKS),
        ("BRK-B", AssetClass.STOCKS),
        ("USD", AssetClass.STOCKS),
        ("FRED:DGS10", AssetClass.MACRO),
    ],
)
def test_a_symbol_is_classified_by_how_it_is_written(symbol: str, asset_class: AssetClass) -> None:
    assert classify(symbol) is asset_class


@pytest.mark.parametrize(
    ("symbol", "days", "purpose", "entitled", "chosen"),
    [
        ("AAPL", 1825, Purpose.HISTORY, NOBODY, "yahoo"),
        ("AAPL", 5000, Purpose.HISTORY, ALL, "yahoo"),
        ("AAPL", 5001, Purpose.HISTORY, ALL, NO_VALID_PROVIDER),
        ("EURUSD=X", 1825, Purpose.HISTORY, ALL, "yahoo"),
        ("GC=F", 1825, Purpose.HISTORY, ALL, "yahoo"),
        ("BTC-USD", 1825, Purpose.HISTORY, NOBODY, "yahoo"),
        ("AAPL", 5, Purpose.LIVE_QUOTES, ALL, "alpaca"),
        ("AAPL", 5, Purpose.LIVE_QUOTES, {"polygon"}, "polygon"),
        ("AAPL", 5, Purpose.LIVE_QUOTES, NOBODY, NO_VALID_PROVIDER),
        ("EURUSD=X", 5, Purpose.LIVE_QUOTES, {"alpaca"}, NO_VALID_PROVIDER),
        ("BTC-USD", 5, Purpose.LIVE_QUOTES, NOBODY, "binance"),
        ("AAPL", 0, Purpose.EXECUTION, {"alpaca"}, "alpaca"),
        ("AAPL", 0, Purpose.EXECUTION, {"polygon"}, NO_VALID_PROVIDER),
        ("GC=F", 0, Purpose.EXECUTION, ALL, NO_VALID_PROVIDER),
        ("FRED:DGS10", 9000, Purpose.MACRO, {"fred"}, "fred"),
        ("FRED:DGS10", 9000, Purpose.MACRO, NOBODY, NO_VALID_PROVIDER),
    ],
)
def test_the_first_provider_that_may_be_asked_is_chosen(
    symbol: str, days: int, purpose: Purpose, entitled: frozenset[str], chosen: str
) -> None:
    assert select_provider(symbol, days, purpose, entitled) == chosen


@pytest.mark.parametrize("symbol", ["AAPL", "EURUSD=X", "GC=F", "BTC-USD"])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_macro_data_is_never_taken_for_something_that_trades(symbol: str, purpose: Purpose) -> None:
    assert select_provider(symbol, 10_000, purpose, ALL) == NO_VALID_PROVIDER
    assert select_provider(symbol, 10, purpose, {"fred"}) != "fred"


@pytest.mark.parametrize("purpose", [Purpose.LIVE_QUOTES, Purpose.EXECUTION])
def test_a_live_path_may_not_ask_for_more_than_two_years(purpose: Purpose) -> None:
    assert select_provider("BTC-USD", LIVE_HISTORY_DAYS_MAX, purpose, ALL) == "alpaca"
    assert select_provider("BTC-USD", LIVE_HISTORY_DAYS_MAX + 1, purpose, ALL) == NO_VALID_PROVIDER


def test_two_years_are_the_limit_even_where_the_provider_would_give_more() -> None:
    with pytest.raises(
        ProviderError, match=r"history_days is 731, a live path may ask for at most 730"
    ) as no:
        permit("polygon", "AAPL", history_days=731, purpose=Purpose.LIVE_QUOTES, entitled=ALL)
    assert no.value.code is ProviderCode.HISTORY_TOO_LONG


@pytest.mark.parametrize(
    ("name", "symbol", "days", "purpose", "code", "words"),
    [
        ("yahu", "AAPL", 5, Purpose.HISTORY, "UNKNOWN_PROVIDER", "did you mean yahoo"),
        ("ccxt:", "BTC/USD", 5, Purpose.HISTORY, "UNKNOWN_PROVIDER", "known are yahoo"),
        ("yahoo", "AAPL", 5, Purpose.EXECUTION, "FORBIDDEN_PURPOSE", "ask alpaca"),
        ("alpaca", "AAPL", 5, Purpose.HISTORY, "FORBIDDEN_PURPOSE", "ask yahoo or polygon"),
        ("fred", "AAPL", 5, Purpose.MACRO, "FORBIDDEN_ASSET_CLASS", "AAPL is stocks, it gives macro"),
        ("kraken", "AAPL", 5, Purpose.HISTORY, "FORBIDDEN_ASSET_CLASS", "ask yahoo or polygon"),
        ("binance", "BTC-USD", 1001, Purpose.HISTORY, "HISTORY_TOO_LONG", "it goes back 1000"),
        ("polygon", "AAPL", 5, Purpose.HISTORY, "ENTITLEMENT_FAILURE", "no key"),
    ],
)
def test_a_refusal_is_one_clear_error(
    name: str, symbol: str, days: int, purpose: Purpose, code: str, words: str
) -> None:
    with pytest.raises(InputError) as refused:
        permit(name, symbol, history_days=days, purpose=purpose, entitled=NOBODY)

    assert isinstance(refused.value, ProviderError)
    assert refused.value.code == code
    assert str(refused.value).startswith(f"{code}: {name}: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_any_exchange_of_ccxt_gives_history_of_crypto_and_nothing_else() -> None:
    assert capability("ccxt:bitstamp").asset_classes == {AssetClass.CRYPTO}
    assert capability("ccxt:bitstamp").purposes == {Purpose.HISTORY}


def test_the_matrix_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MATRIX["yahoo"] = MATRIX["fred"]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        MATRIX["yahoo"].history_days_max = 9  # type: ignore[misc]


def test_days_cannot_be_negative() -> None:
    with pytest.raises(InvalidValueError):
        select_provider("AAPL", -1, Purpose.HISTORY)
