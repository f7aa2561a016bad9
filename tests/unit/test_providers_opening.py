"""A provider by its name."""

import pytest

from engine.data.providers.entitlements import VARIABLES, no_keyring
from engine.data.providers.errors import ProviderCode, ProviderError
from engine.data.providers.matrix import MATRIX, Purpose
from engine.data.providers.opening import (
    Access,
    bucket_of,
    history_days,
    open_permitted,
    open_provider,
    permit_all,
)
from tests.providers_loopback import DAY, World

NOW = 20_000 * DAY
KEYS = {variable: "key-of-a-test" for variables in VARIABLES.values() for variable in variables}


def access(**environment: str) -> Access:
    return Access(surroundings=World(NOW).surroundings, environment=environment, keyring=no_keyring)


@pytest.mark.parametrize("name", [*MATRIX, "ccxt:bitstamp"])
def test_every_provider_of_the_matrix_can_be_opened(name: str) -> None:
    reached = access(**KEYS)

    provider = open_provider(name, reached, bucket_of(name, reached.surroundings))

    assert provider.name == provider.capabilities.name == name
    provider.close()


@pytest.mark.parametrize("name", [name for name, row in MATRIX.items() if row.needs_entitlement])
def test_who_needs_a_key_is_not_opened_without_one(name: str) -> None:
    with pytest.raises(ProviderError, match="is not set") as refused:
        open_provider(name, access(), bucket_of(name, access().surroundings))
    assert refused.value.code is ProviderCode.ENTITLEMENT_FAILURE


@pytest.mark.parametrize(("name", "near"), [("krakn", "kraken"), ("ccxt:bitstmap", "bitstamp")])
def test_an_unknown_provider_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ProviderError, match=rf"did you mean {near}\?") as unknown:
        open_provider(name, access(), bucket_of("kraken", access().surroundings))
    assert unknown.value.code is ProviderCode.UNKNOWN_PROVIDER


def test_all_symbols_are_permitted_before_anything_is_asked() -> None:
    start = NOW - 1000 * DAY
    permit_all("binance", ["BTC-USDT", "ETH/USDT"], start=start, purpose=Purpose.HISTORY, access=access())
    with pytest.raises(ProviderError, match="AAPL is stocks"):
        permit_all("binance", ["BTC-USDT", "AAPL"], start=start, purpose=Purpose.HISTORY, access=access())
    with pytest.raises(ProviderError, match="history_days is 1001"):
        permit_all("binance", ["BTC-USDT"], start=start - 1, purpose=Purpose.HISTORY, access=access())


def test_who_may_not_be_asked_is_not_opened() -> None:
    for purpose, words in ((Purpose.EXECUTION, "not for execution"), (Purpose.LIVE_QUOTES, "at most 730")):
        with pytest.raises(ProviderError, match=words):
            open_permitted("binance", ["BTC-USDT"], start=NOW - 731 * DAY, purpose=purpose, access=access())

    opened = open_permitted("binance", ["BTC-USDT"], start=NOW, purpose=Purpose.LIVE_QUOTES, access=access())

    assert opened.name == "binance"
    opened.close()


def test_a_day_that_has_begun_counts() -> None:
    assert [history_days(NOW - past, NOW) for past in (-5, 0, 1, DAY, DAY + 1)] == [0, 0, 1, 1, 2]
