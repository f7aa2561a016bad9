"""Keys come from the environment or the keyring, and do not show themselves."""

import keyring
import keyring.errors
import pytest

from engine.data.providers.entitlements import (
    Secret,
    entitled_providers,
    keys_of,
    machine_keyring,
    no_keyring,
)
from engine.data.providers.errors import ProviderCode, ProviderError


def holds(**entries: str) -> dict[str, str]:
    return entries


def test_the_environment_comes_before_the_keyring() -> None:
    ring = holds(POLYGON_API_KEY="ring", FRED_API_KEY="only-ring")

    assert keys_of("polygon", {"POLYGON_API_KEY": " env "}, ring.get) == (Secret("env"),)
    assert keys_of("fred", {"FRED_API_KEY": ""}, ring.get) == (Secret("only-ring"),)
    assert keys_of("yahoo", {}, no_keyring) == ()


def test_who_has_one_of_two_keys_is_not_entitled() -> None:
    assert entitled_providers({"APCA_API_KEY_ID": "id"}, no_keyring) == frozenset()
    both = {"APCA_API_KEY_ID": "id", "APCA_API_SECRET_KEY": "secret"}
    assert entitled_providers(both, no_keyring) == {"alpaca"}


def test_a_missing_key_is_named_with_the_way_to_set_it() -> None:
    with pytest.raises(ProviderError, match=r"keyring set gauntlet APCA_API_SECRET_KEY") as missing:
        keys_of("alpaca", {"APCA_API_KEY_ID": "id"}, no_keyring)
    assert missing.value.code is ProviderCode.ENTITLEMENT_FAILURE


@pytest.mark.parametrize("value", ["abc\r\nX-Evil: 1", "a b", "kéy", "a\x00b"])
def test_a_key_that_could_write_headers_is_refused_unseen(value: str) -> None:
    with pytest.raises(ProviderError) as refused:
        keys_of("fred", {"FRED_API_KEY": value}, no_keyring)
    assert value not in str(refused.value)


def test_a_machine_without_a_keyring_holds_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def holds_one(service: str, name: str) -> str | None:
        asked.append((service, name))
        return "held" if name == "FRED_API_KEY" else None

    def has_none(service: str, name: str) -> str | None:
        raise keyring.errors.NoKeyringError(service, name)

    monkeypatch.setattr(keyring, "get_password", holds_one)
    assert keys_of("fred", {}, machine_keyring) == (Secret("held"),)
    assert asked == [("gauntlet", "FRED_API_KEY")]
    monkeypatch.setattr(keyring, "get_password", has_none)
    assert entitled_providers({}, machine_keyring) == frozenset()


def test_a_key_does_not_show_itself() -> None:
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
