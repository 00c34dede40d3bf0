"""An issuer's keys over time: fetched when needed, kept for a while, and asked for anew no more often than is decent.

Theory of operation, all in seconds since the last fetch began:

- A key set younger than `FRESH` answers alone; so a key the issuer has withdrawn is gone after `FRESH` at the latest.
- An older one, or an unknown key id, wants a fetch. There is one at a time, all who want it wait for the same, and
  none begins within `PAUSE` of the one before: tokens with random key ids cost the issuer a fetch a minute.
- While there are no keys at all, as after a start while the issuer is down, the pause is `RETRY`.
- When fetches fail, the last key set serves until it is `STALE` old. Then the issuer's tokens are refused.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ostiary.identity.fetch import MAX_DOCUMENT_BYTES, Fetch, FetchError
from ostiary.identity.issuer import OidcIssuer, check_url
from ostiary.identity.key_set import VerifyingKey, parse_key_set
from ostiary.identity.strict_json import load_json

FRESH: Final = 300.0
PAUSE: Final = 60.0
RETRY: Final = 10.0
STALE: Final = 3600.0
#: How long a discovered `jwks_uri` is believed while it works.
DISCOVERED: Final = 3600.0


class KeysUnavailable(Exception):  # noqa: N818 - reads as what happened
    """No key set young enough. The text is a clause for people, about the issuer: "it did not answer in time"."""


class IssuerKeys:
    """Keys of one issuer, and of no other."""

    def __init__(self, issuer: OidcIssuer, fetch: Fetch, clock: Callable[[], float], timeout: float) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._timeout = timeout
        self._keys: tuple[VerifyingKey, ...] = ()
        self._began: float | None = None
        self._fetched: float | None = None
        self._discovered: tuple[str, float] | None = None
        self._failure = "its keys were never fetched"
        self._running: asyncio.Task[None] | None = None
        #: Since it was made: begun, and those of them that failed.
        self.fetches = self.failures = 0

    async def candidates(self, kid: str | None, algorithm: str) -> tuple[VerifyingKey, ...]:
        """Keys that may have signed a token with this header. None when the issuer has no such key.

        A token without `kid` has a candidate only when a single key fits its algorithm (OpenID Connect Core §10.1).

        Raises:
            KeysUnavailable: The issuer can't be asked, and what it said last is too old.
        """
        found = self._find(kid, algorithm)
        if not (found and self._younger(self._fetched, FRESH)):
            await self._refresh()
            found = self._find(kid, algorithm)
        if not self._younger(self._fetched, STALE):
            raise KeysUnavailable(self._failure)
        return found

    @property
    def pause(self) -> float:
        """Seconds from one fetch to the next."""
        return PAUSE if self._younger(self._fetched, STALE) else RETRY

    def _find(self, kid: str | None, algorithm: str) -> tuple[VerifyingKey, ...]:
        fits = tuple(key for key in self._keys if algorithm in key.algorithms)
        if kid is None:
            return fits if len(fits) == 1 else ()
        return tuple(key for key in fits if key.kid == kid)

    def _younger(self, since: float | None, seconds: float) -> bool:
        """A clock that was set back makes nothing younger."""
        return since is not None and 0 <= self._clock() - since < seconds

    async def _refresh(self) -> None:
        if self._running is None:
            if self._younger(self._began, self.pause):
                return
            self._began = self._clock()
            self.fetches += 1
            self._running = asyncio.create_task(self._fetch_keys())
        # One client that goes away must not take the others' fetch with it.
        await asyncio.shield(self._running)

    async def _fetch_keys(self) -> None:
        """Never raises."""
        try:
            async with asyncio.timeout(self._timeout):
                keys = parse_key_set(await self._key_set(), self._issuer.key_use)
            if not keys:
                raise FetchError("its key set has no key that this gateway can use")
        except TimeoutError:
            self._failed("it did not answer in time")
        except (FetchError, ValueError) as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - a fetch that fails in a new way is still one that failed
            self._failed(f"it could not be asked ({type(error).__name__})")
        else:
            self._keys, self._fetched = keys, self._began
        finally:
            self._running = None

    def _failed(self, why: str) -> None:
        self._failure = why
        self.failures += 1
        self._discovered = None

    async def _key_set(self) -> bytes:
        if self._issuer.jwks is not None:
            return self._issuer.jwks.encode()
        if self._issuer.jwks_file is not None:
            try:
                return await asyncio.to_thread(_read, self._issuer.jwks_file)
            except OSError as error:
                raise FetchError(f"its file of keys can't be read ({error.strerror})") from None
        return await self._document(await self._jwks_uri())

    async def _jwks_uri(self) -> str:
        if self._issuer.jwks_uri is not None:
            return self._issuer.jwks_uri
        if self._discovered is not None and self._younger(self._discovered[1], DISCOVERED):
            return self._discovered[0]
        document = load_json(await self._document(self._issuer.discovery_url))
        if not isinstance(document, dict) or document.get("issuer") != self._issuer.issuer:
            raise FetchError("its discovery document names another issuer")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str):
            raise FetchError("its discovery document names no jwks_uri")
        check_url(uri, "jwks_uri", loopback=self._issuer.on_loopback)
        self._discovered = (uri, self._clock())
        return uri

    async def _document(self, url: str) -> bytes:
        body = await self._fetch.get(url, self._issuer.access)
        if len(body) > MAX_DOCUMENT_BYTES:
            raise FetchError("its answer is too large")
        return body


def check_files(issuer: OidcIssuer) -> None:
    """Can what the configuration points at be used now? For whoever asks before the first token comes.

    Raises:
        OSError: A file can't be read.
        ValueError: It is not what it must be.
    """
    if issuer.access.ca_file is not None:
        ssl.create_default_context(cafile=issuer.access.ca_file)
    if issuer.access.token_file is not None:
        _read(issuer.access.token_file)
    if issuer.jwks_file is not None:
        try:
            usable = parse_key_set(_read(issuer.jwks_file), issuer.key_use)
        except FetchError as error:
            raise ValueError(f"{issuer.jwks_file}: {error}") from None
        if not usable:
            raise ValueError(f'{issuer.jwks_file}: no key in it can be used; it must be for "{issuer.key_use}"')


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_DOCUMENT_BYTES)
