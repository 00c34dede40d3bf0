"""Signing in at an OpenID provider: authorization code (OpenID Connect Core §3.1) with PKCE (RFC 7636), by RFC 9700.

state, this browser's → issuer of the answer (RFC 9207) → code → token endpoint, with the verifier → ID token:
signature, audience, times, subject, bound claims, groups as for every token → nonce → authorized party → at_hash

Nothing of what the provider gives is kept: the ID token is believed once, the access token is not used.
"""

import asyncio
import hashlib
import hmac
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import quote_plus, urlencode

from ostiary.core import Principal, Secret
from ostiary.credentials import SecretUnavailable
from ostiary.gate.ports import Refused
from ostiary.identity import FetchError, OidcIdentity
from ostiary.identity.compact import parse_compact
from ostiary.identity.fetch import PUBLIC, Access, Fetch
from ostiary.identity.groups import GroupNames
from ostiary.identity.strict_json import load_json
from ostiary.signin.logins import OidcLogin
from ostiary.signin.provider import SECONDS, Endpoints, Provider
from ostiary.signin.ways import AGAIN, Pending, Redirect, Spend, check_pending, refused

#: Codes are opaque; real ones are at most a few KiB.
MAX_CODE: Final = 4096
#: RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6: the only part of an error that is shown.
_ERROR: Final = re.compile(r"[a-z_]{1,40}")
_OPERATOR: Final = "the gateway's operator must compare the client with what the provider has registered"


class Http(Fetch, Protocol):
    """What a provider is asked with."""

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str], access: Access = PUBLIC
    ) -> tuple[int, bytes]:
        """Status (200, 400, 401) and body. Raises FetchError."""
        ...


class OidcWay:
    """One provider. Implements `Way`.

    Args:
        login: who is asked, and as which client.
        http: how.
        names: of the groups of all issuers.
        spend: see `Spend`.
        clock: Unix seconds.
    """

    def __init__(
        self, login: OidcLogin, http: Http, names: GroupNames, spend: Spend, clock: Callable[[], float]
    ) -> None:
        self._login = login
        self._http = http
        self._spend = spend
        self._clock = clock
        self._provider = Provider(login.issuer, http, clock)
        self._identity = OidcIdentity([login.issuer], http, clock, names=names)

    @property
    def name(self) -> str:
        """See Way."""
        return self._login.issuer.name

    @property
    def title(self) -> str:
        """See Way."""
        return self._login.title

    @property
    def path(self) -> str:
        """See Way."""
        return self._login.path

    async def begin(self, pending: Pending) -> Redirect:
        """See Way."""
        endpoints = await self._provider.endpoints()
        digest = hashlib.sha256(pending.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._login.client_id,
            "redirect_uri": self._login.callback,
            "scope": " ".join(self._login.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        url = endpoints.authorization
        return Redirect(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}")

    async def finish(self, pending: Pending, params: Mapping[str, str]) -> Principal:
        """See Way."""
        await check_pending(pending, self.name, params.get("state"), self._clock(), self._spend)
        endpoints = await self._provider.endpoints()
        issuer = params.get("iss")
        if issuer != self._login.issuer.issuer and (issuer is not None or endpoints.names_itself):
            raise refused("the answer is not from the provider that was asked")
        if "error" in params:
            raise refused(f"the provider says {_named(params['error'])}")
        code = params.get("code", "")
        if not code or len(code) > MAX_CODE or not code.isascii() or not code.isprintable():
            raise refused("the answer has no code that can be used")
        tokens = await self._exchange(endpoints, code, pending.verifier)
        return await self._believed(tokens, pending)

    async def _exchange(self, endpoints: Endpoints, code: str, verifier: str) -> Mapping[str, object]:
        """The token endpoint's answer (RFC 6749 §4.1.3, §5)."""
        login = self._login
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.callback,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        try:
            secret = None if login.client_secret is None else login.client_secret.read().reveal_text()
        except (SecretUnavailable, ValueError):
            raise refused("the gateway's secret at the provider can't be read", _OPERATOR) from None
        if secret is None or endpoints.secret_in_form:
            form["client_id"] = login.client_id
        if secret is not None and endpoints.secret_in_form:
            form["client_secret"] = secret
        elif secret is not None:
            # RFC 6749 §2.3.1: both are encoded as in a form before they are joined.
            pair = f"{quote_plus(login.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        try:
            async with asyncio.timeout(SECONDS):
                status, body = await self._http.post(endpoints.token, form, headers, self._provider.access)
            answer = load_json(body)
        except TimeoutError:
            raise refused("the provider did not answer in time") from None
        except (FetchError, ValueError) as error:
            raise refused(f"the provider could not be asked: {error}") from None
        if not isinstance(answer, dict):
            raise refused("the provider's answer is not a JSON object")
        if status != 200:
            hint = _OPERATOR if answer.get("error") == "invalid_client" else AGAIN
            raise refused(f"the provider did not take the code, it says {_named(answer.get('error'))}", hint)
        return answer

    async def _believed(self, tokens: Mapping[str, object], pending: Pending) -> Principal:
        """What the ID token says (OpenID Connect Core §3.1.3.7), which is the only one for this sign-in."""
        given = tokens.get("id_token")
        if not isinstance(given, str) or not given.isascii():
            raise refused("the provider gave no ID token", "openid must be one of the scopes")
        secret = Secret(given)
        try:
            token = parse_compact(secret.reveal())
            principal, claims = await self._identity.verified(secret)
        except Refused as why:
            reason = why.refusal.message.removeprefix("token refused: ")
            raise refused(f"the ID token of the provider is not good: {reason}", f"{AGAIN}; {_OPERATOR}") from None
        if token.kind not in ("jwt", "application/jwt"):
            raise refused("what the provider gave as an ID token is one of another kind")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), pending.nonce.encode()):
            raise refused("the ID token was not made for this sign-in (nonce)")
        if not isinstance(claims.get("iat"), int | float):
            raise refused("the ID token does not say when it was issued (iat)")
        several = isinstance(audiences := claims.get("aud"), list) and len(audiences) > 1
        if claims.get("azp", None if several else self._login.client_id) != self._login.client_id:
            raise refused("the ID token was issued to another client (azp)")
        if "at_hash" in claims and claims["at_hash"] != _half_hash(token.algorithm, tokens.get("access_token")):
            raise refused("the ID token was made for another access token (at_hash)")
        return principal


def _half_hash(algorithm: str, access_token: object) -> str | None:
    """`at_hash` (OpenID Connect Core §3.1.3.6); Ed25519 hashes with SHA-512."""
    if not isinstance(access_token, str):
        return None
    bits = algorithm[-3:] if algorithm[-3:] in ("256", "384", "512") else "512"
    digest = hashlib.new(f"sha{bits}", access_token.encode()).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _named(error: object) -> str:
    """An error's code, where it is one: what else comes is chosen by who sent the browser here."""
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else "no"
