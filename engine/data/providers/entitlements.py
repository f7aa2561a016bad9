"""Keys of providers: from the environment, else from the keyring, never written anywhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from engine.data.providers.errors import ProviderCode, ProviderError

KEYRING_SERVICE: Final = "gauntlet"

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "alpaca": ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"),
        "polygon": ("POLYGON_API_KEY",),
        "fred": ("FRED_API_KEY",),
        "coinapi": ("COINAPI_KEY",),
    }
)
"""What each provider's keys are called, in the environment and in the keyring alike."""

Keyring = Callable[[str], str | None]
"""Returns what the keyring holds under a name, None where it holds nothing."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that does not show itself in logs, tracebacks and notebooks."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"


def keys_of(name: str, environment: Mapping[str, str], keyring: Keyring) -> tuple[Secret, ...]:
    """Return the keys of a provider in the order of `VARIABLES`, none for one that needs none.

    Raises
    ------
    ProviderError
        ENTITLEMENT_FAILURE if one is not set, or is no key.
    """
    return tuple(_key(name, variable, environment, keyring) for variable in VARIABLES.get(name, ()))


def entitled_providers(environment: Mapping[str, str], keyring: Keyring) -> frozenset[str]:
    """Return the providers for which all keys are set; it says nothing of whether they are still good."""
    return frozenset(
        name
        for name, variables in VARIABLES.items()
        if all(_found(variable, environment, keyring) for variable in variables)
    )


def machine_keyring(variable: str) -> str | None:
    """Return what the keyring of this machine holds; None on a machine that has no keyring."""
    # Loading it looks for desktop services: only who needs a key pays for that.
    import keyring
    from keyring.errors import KeyringError

    try:
        found: str | None = keyring.get_password(KEYRING_SERVICE, variable)
    except KeyringError:
        return None
    return found


def no_keyring(variable: str) -> str | None:  # noqa: ARG001 - a keyring is asked for a name
    """Return None: a keyring that holds nothing."""
    return None


def _found(variable: str, environment: Mapping[str, str], keyring: Keyring) -> str:
    return environment.get(variable, "").strip() or (keyring(variable) or "").strip()


def _key(name: str, variable: str, environment: Mapping[str, str], keyring: Keyring) -> Secret:
    value = _found(variable, environment, keyring)
    if not value:
        raise ProviderError(
            ProviderCode.ENTITLEMENT_FAILURE,
            name,
            f"{variable} is not set; export it, or store it with: keyring set {KEYRING_SERVICE} {variable}",
        )
    # It travels in a header: a line break in it would write headers of its own. Not shown, it is a secret.
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ProviderError(
            ProviderCode.ENTITLEMENT_FAILURE,
            name,
            f"{variable} holds characters that no key has; copy it again without blanks and line breaks",
        )
    return Secret(value)
