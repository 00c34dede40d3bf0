"""An OpenID provider that answers anything, honest or not, and a browser that carries what it is given."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from ostiary.core import Principal, PrincipalKind
from ostiary.credentials import SecretSource
from ostiary.identity import FetchError, OidcIssuer
from ostiary.identity.fetch import PUBLIC, Access
from ostiary.identity.groups import GroupNames
from ostiary.signin.logins import OidcLogin
from ostiary.signin.oidc import OidcWay
from ostiary.signin.ways import Pending
from tests.identity.fakes import NOW, URL, AnyKey, Web, ec_key, sign

GATEWAY = "https://gw.example"
CLIENT = "ostiary-login"
DISCOVERY = f"{URL}/.well-known/openid-configuration"


class Spent:
    """A store of what was spent."""

    def __init__(self) -> None:
        self.ids: dict[str, float] = {}

    async def __call__(self, token_id: str, until: float, now: float) -> bool:
        del now
        return self.ids.setdefault(token_id, until) is until


class Provider(Web):
    """At URL: discovery, keys, and a token endpoint that checks what RFC 6749 and RFC 7636 have it check."""

    def __init__(self) -> None:
        super().__init__()
        self.key = ec_key()
        self.publish(URL, self.key)
        self.discovery: dict[str, Any] = {
            **json.loads(self._page(DISCOVERY)),
            "authorization_endpoint": f"{URL}/auth?tenant=1",
            "token_endpoint": f"{URL}/token",
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["plain", "S256"],
        }
        self.discover()
        #: code → the authorization request that it answers.
        self.codes: dict[str, dict[str, str]] = {}
        #: Posted forms and headers.
        self.posted: list[tuple[dict[str, str], dict[str, str], Access]] = []
        #: In place of the token endpoint's answer: status and body, or an exception.
        self.answer: tuple[int, bytes] | BaseException | None = None
        #: Claims of ID tokens that are changed, or with None left out; members of the answer likewise.
        self.claims: dict[str, object] = {}
        self.more: dict[str, object] = {}
        self.header: dict[str, object] = {}
        self.signing: AnyKey = self.key
        self.algorithm = "ES256"

    def _page(self, url: str) -> bytes:
        page = self.pages[url]
        assert isinstance(page, bytes)
        return page

    def discover(self, **changes: object) -> None:
        """Publish the discovery document; None leaves a member out."""
        document = {name: value for name, value in {**self.discovery, **changes}.items() if value is not None}
        self.pages[DISCOVERY] = json.dumps(document).encode()

    def authorize(self, url: str) -> dict[str, str]:
        """Somebody signs in: the parameters of the redirect back."""
        assert url.startswith(f"{URL}/auth?tenant=1&")
        query = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"], "iss": URL}

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str], access: Access = PUBLIC
    ) -> tuple[int, bytes]:
        assert url == f"{URL}/token"
        self.posted.append((dict(form), dict(headers), access))
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is not None:
            return self.answer
        asked = self.codes.pop(form["code"], None)
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["code_challenge_method"] != "S256"
            or asked["redirect_uri"] != form["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            return 400, b'{"error": "invalid_grant"}'
        tokens = {"access_token": "at-1", "token_type": "Bearer", "id_token": self.id_token(asked), **self.more}
        return 200, json.dumps({name: value for name, value in tokens.items() if value is not None}).encode()

    def id_token(self, asked: Mapping[str, str]) -> str:
        """For the client that asked."""
        claims = {
            "iss": URL,
            "sub": "ada",
            "aud": asked["client_id"],
            "iat": NOW,
            "exp": NOW + 300,
            "nonce": asked["nonce"],
            "groups": ["dev", "sre"],
            **self.claims,
        }
        payload = {name: value for name, value in claims.items() if value is not None}
        return sign({"alg": self.algorithm, "kid": "k1", **self.header}, payload, self.signing, self.algorithm)


class World:
    """One provider, this gateway's way of signing in there, a clock, a browser."""

    def __init__(self, secret: SecretSource | None = None, issuer: Mapping[str, object] | None = None) -> None:
        self.now = NOW
        self.provider = Provider()
        self.spent = Spent()
        given = {"name": "corp", "issuer": URL, "audiences": (CLIENT,), "groups": ("{groups}",), **(issuer or {})}
        self.issuer = OidcIssuer(kind=PrincipalKind.HUMAN, **given)  # type: ignore[arg-type]
        login = OidcLogin(
            issuer=self.issuer, gateway=GATEWAY, title="Acme staff", client_id=CLIENT, client_secret=secret
        )
        names = GroupNames(self.issuer.templates)
        self.way = OidcWay(login, self.provider, names, self.spent, lambda: self.now)

    async def out(self) -> tuple[Pending, dict[str, str]]:
        """Begin, and sign in at the provider: what the browser keeps, and what it brings."""
        pending = Pending.begun("corp", self.now)
        return pending, self.provider.authorize((await self.way.begin(pending)).url)

    async def sign_in(self, **changes: str | None) -> Principal:
        """The whole way, with other parameters."""
        pending, params = await self.out()
        changed = {name: value for name, value in {**params, **changes}.items() if value is not None}
        return await self.way.finish(pending, changed)


def basic(headers: Mapping[str, str]) -> tuple[str, str]:
    """Id and secret of the header."""
    kind, _, value = headers["Authorization"].partition(" ")
    assert kind == "Basic"
    name, _, secret = b64decode(value).decode().partition(":")
    return unquote_plus(name), unquote_plus(secret)


__all__ = ["CLIENT", "DISCOVERY", "GATEWAY", "FetchError", "Provider", "Spent", "World", "basic"]
