"""HTTP with a key: within the rate, asked again where that can help, the key never shown."""

import json
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx

from engine.data.providers.entitlements import Secret
from engine.data.providers.errors import PassingError, ProviderCode, ProviderError
from engine.data.providers.patience import Bucket, ask
from engine.data.providers.port import Surroundings
from engine.data.providers.replies import BYTES_MAX, broken
from engine.data.providers.statuses import failure_of_status

Answer = TypeVar("Answer")

Query = dict[str, str | int]

_TIMEOUT_SECONDS: Final = 30.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WORDS_MAX = 200
_KEY_LENGTH_MIN = 12
_SAID = ("message", "error_message", "error", "msg", "description", "detail")
_NOTHING: Mapping[str, Secret] = MappingProxyType({})


class Web:
    """Asks one provider over HTTP. Not for several threads at once; a `Bucket` may be shared.

    Parameters
    ----------
    base_url
        Scheme, host and port, and the path that all requests begin with.
    secret_headers, secret_query
        Keys that every request carries, by the name of the header or of the parameter.

    Raises
    ------
    ProviderError
        If the address is not https: a key must not be sent in the clear. A loopback may be http.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        surroundings: Surroundings,
        bucket: Bucket,
        headers: Mapping[str, str] = MappingProxyType({}),
        secret_headers: Mapping[str, Secret] = _NOTHING,
        secret_query: Mapping[str, Secret] = _NOTHING,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ProviderError(
                ProviderCode.PROVIDER_ERROR,
                provider,
                f"{base_url} must be https, or a loopback",
            )
        # httpx writes whole addresses to its log, and some providers take the key in the address only.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._provider = provider
        self._origin = (parts.scheme, parts.netloc)
        self._prefix = parts.path.rstrip("/")
        self._surroundings = surroundings
        self._bucket = bucket
        # Without the word before it that some headers want.
        self._secrets = [
            secret.value.rpartition(" ")[2] for secret in (*secret_headers.values(), *secret_query.values())
        ]
        # A shorter one may stand in a reply by chance.
        self._keys = [secret.encode() for secret in self._secrets if len(secret) >= _KEY_LENGTH_MIN]
        self._secret_query = {name: secret.value for name, secret in secret_query.items()}
        sent = dict(headers) | {name: secret.value for name, secret in secret_headers.items()}
        self._client = httpx.Client(
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers=sent,
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def get(self, path: str, query: Query, read: Callable[[bytes], Answer]) -> tuple[bytes, Answer]:
        """Return the bytes of a reply and what `read` makes of them.

        Raises
        ------
        ProviderError
            At once where asking again cannot help, else after the attempts that `patience.ask` makes.
        """
        return self._asked(self._prefix + path, query, read)

    def follow(self, address: str, read: Callable[[bytes], Answer]) -> tuple[bytes, Answer]:
        """Return the same for the address of a next page, as a reply gave it.

        Raises
        ------
        ProviderError
            If it leads to another host: the key goes with every request.
        """
        parts = urlsplit(address)
        if (parts.scheme, parts.netloc) != self._origin:
            raise ProviderError(
                ProviderCode.INVALID_DATA,
                self._provider,
                f"its next page is at {parts.scheme}://{parts.netloc}, another host; nothing was sent there",
            )
        return self._asked(parts.path, dict(httpx.QueryParams(parts.query)), read)

    def _asked(self, path: str, query: Query, read: Callable[[bytes], Answer]) -> tuple[bytes, Answer]:
        def attempt() -> tuple[bytes, Answer]:
            self._bucket.take()
            payload = self._received(path, query)
            # Replies are archived as they come, and a key does not belong on the disk.
            if any(key in payload for key in self._keys):
                raise ProviderError(
                    ProviderCode.INVALID_DATA, self._provider, f"{path}: the reply holds our key; not kept"
                )
            return payload, read(payload)

        return ask(attempt, sleep=self._surroundings.sleep, generator=self._surroundings.generator)

    def _received(self, path: str, query: Query) -> bytes:
        try:
            with self._client.stream("GET", path, params={**query, **self._secret_query}) as response:
                payload = self._body(response)
                status, retry_after = response.status_code, response.headers.get("Retry-After", "")
        except httpx.HTTPError as error:
            raise PassingError(
                self._provider, f"{path}: {self._shown(f'{type(error).__name__}: {error}')}"
            ) from error
        if 200 <= status < 300:
            return payload
        failed = failure_of_status(
            self._provider, status, self._shown(f"{path}: {_words(payload)}"), retry_after
        )
        if isinstance(failed, PassingError) and failed.wait_seconds:
            self._bucket.pause(failed.wait_seconds)
        raise failed

    def _body(self, response: httpx.Response) -> bytes:
        parts, length = [], 0
        for part in response.iter_bytes():
            length += len(part)
            if length > BYTES_MAX:
                raise broken(self._provider, f"is longer than any page ({BYTES_MAX} bytes)")
            parts.append(part)
        return b"".join(parts)

    def _shown(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_WORDS_MAX]


def _words(payload: bytes) -> str:
    """Return what a provider says of an error: its message where there is one, else how the reply begins."""
    text = payload[:2000].decode("utf-8", "replace")
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    while isinstance(said, dict):
        found = next((said[name] for name in _SAID if said.get(name)), None)
        if found is None:
            found = next((value for value in said.values() if isinstance(value, dict)), None)
        if found is None:
            return text
        said = found
    return str(said)
