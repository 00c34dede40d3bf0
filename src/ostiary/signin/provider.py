"""What an OpenID provider says of itself (OpenID Connect Discovery 1.0 §4), fetched when needed, kept for a while."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ostiary.identity.fetch import Access, Fetch, FetchError
from ostiary.identity.issuer import OidcIssuer, check_url
from ostiary.identity.strict_json import load_json
from ostiary.signin.ways import refused

#: Seconds that a document is believed, and that a provider which could not be asked is left in peace.
FRESH: Final = 3600.0
PAUSE: Final = 10.0
SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What counts of it."""

    authorization: str
    token: str
    #: It names itself in its answers (RFC 9207).
    names_itself: bool
    #: It takes the client's secret in the form, and not in the header.
    secret_in_form: bool


class Provider:
    """One provider's endpoints. Args: issuer; fetch; clock: Unix seconds."""

    def __init__(self, issuer: OidcIssuer, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._access = Access(issuer.access.ca_file)
        self._found: Endpoints | None = None
        self._why = ""
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def access(self) -> Access:
        """Whom to trust for it; no token of ours is shown to it."""
        return self._access

    async def endpoints(self) -> Endpoints:
        """Raises Refused(IDENTITY) when they are not to be had."""
        async with self._lock:
            age = self._clock() - self._asked
            if not 0 <= age < (FRESH if self._found is not None else PAUSE):
                self._asked = self._clock()
                self._found, self._why = await self._ask()
        if self._found is None:
            raise refused(
                f'the provider "{self._issuer.name}" can\'t be used: {self._why}',
                f"try again in {PAUSE:.0f} seconds; if it stays so, the gateway's operator must look at it",
            )
        return self._found

    async def _ask(self) -> tuple[Endpoints | None, str]:
        try:
            async with asyncio.timeout(SECONDS):
                body = await self._fetch.get(self._issuer.discovery_url, self._access)
            return self._read(load_json(body)), ""
        except TimeoutError:
            return None, "it did not answer in time"
        except (FetchError, ValueError) as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - a fetch that fails in a new way is still one that failed
            return None, f"it could not be asked ({type(error).__name__})"

    def _read(self, document: object) -> Endpoints:
        """Raises FetchError, ValueError."""
        if not isinstance(document, dict) or document.get("issuer") != self._issuer.issuer:
            raise FetchError("its discovery document names another issuer")
        # A provider that says which methods it knows and leaves S256 out would let a code be used by who stole it.
        if "S256" not in document.get("code_challenge_methods_supported", ["S256"]):
            raise FetchError("it does not support PKCE with S256")
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Endpoints(
            self._place(document, "authorization_endpoint"),
            self._place(document, "token_endpoint"),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
            secret_in_form="client_secret_post" in methods and "client_secret_basic" not in methods,
        )

    def _place(self, document: Mapping[str, object], name: str) -> str:
        url = document.get(name)
        if not isinstance(url, str) or "#" in url:
            raise FetchError(f"its discovery document names no {name} that can be used")
        check_url(url, name, loopback=self._issuer.on_loopback)
        return url
