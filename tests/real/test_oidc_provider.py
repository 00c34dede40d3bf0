"""Tokens of the certified npm `oidc-provider`, verified by our identity over real HTTP."""

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from ostiary.core import PrincipalKind, Proof, Secret
from ostiary.gate.ports import Refused
from ostiary.identity import HttpFetch, OidcIdentity, OidcIssuer
from tests.real.login_providers import openid_provider

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Provider:
    """A running provider with clients `job` and `tool`, which share a secret."""

    url: str
    secret: str

    def access_token(self) -> Secret:
        """Client credentials: a JWT access token (RFC 9068) of the client `job`."""
        with httpx2.Client(trust_env=False) as client:
            answer = client.post(
                f"{self.url}/token", auth=("job", self.secret), data={"grant_type": "client_credentials"}
            )
            return Secret(answer.raise_for_status().json()["access_token"])

    def id_token(self) -> Secret:
        """Authorization code with PKCE: an ID token of the user `ada` for the client `tool`."""
        verifier = secrets.token_urlsafe(32)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        callback = "http://127.0.0.1:9/callback"
        query = {
            "client_id": "tool",
            "response_type": "code",
            "scope": "openid email groups",
            "redirect_uri": callback,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        with httpx2.Client(trust_env=False) as browser:
            answer = browser.get(f"{self.url}/auth", params=query)
            while not answer.headers["location"].startswith(callback):
                answer = browser.get(httpx2.URL(self.url).join(answer.headers["location"]))
            code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
            form = {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": callback,
                "code_verifier": verifier,
            }
            answer = browser.post(f"{self.url}/token", auth=("tool", self.secret), data=form)
            return Secret(answer.raise_for_status().json()["id_token"])


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Installed on first use, started on a free port."""
    with openid_provider("http://127.0.0.1:9/callback") as (url, secret):
        yield Provider(url, secret)


def proof(token: Secret) -> Proof:
    """As the gate gets it."""
    return Proof(token, "orders", "127.0.0.1:4000", encrypted=True, loopback=True)


async def test_an_access_token_of_client_credentials(provider: Provider) -> None:
    """A machine's `at+jwt`: audience, bound claim and group; another audience or binding is refused."""
    issuer = OidcIssuer(
        "ci",
        provider.url,
        ("ostiary",),
        bind={"client_id": "job"},
        groups=("repo/{repository}",),
        algorithms=("ES256",),
    )
    token = proof(provider.access_token())
    principal = await OidcIdentity([issuer], HttpFetch(), time.time).identify(token)
    assert (principal.id, principal.kind) == ("ci:job", PrincipalKind.WORKLOAD)
    assert principal.groups == {"repo/acme/shop"}
    assert principal.claims["client_id"] == "job"
    for other in (
        OidcIssuer("ci", provider.url, ("vault",)),
        OidcIssuer("ci", provider.url, ("ostiary",), bind={"client_id": "jo"}),
        OidcIssuer("ci", f"{provider.url}/", ("ostiary",)),
    ):
        with pytest.raises(Refused):
            await OidcIdentity([other], HttpFetch(), time.time).identify(token)


async def test_an_id_token_of_a_person(provider: Provider) -> None:
    """A person's RS256 ID token: the audience is the client, groups come from a list."""
    issuer = OidcIssuer("corp", provider.url, ("tool",), PrincipalKind.HUMAN, groups=("{groups}", "mail/{email}"))
    principal = await OidcIdentity([issuer], HttpFetch(), time.time).identify(proof(provider.id_token()))
    assert (principal.id, principal.kind) == ("corp:ada", PrincipalKind.HUMAN)
    assert principal.groups == {"dev", "sre", "mail/ada@example.test"}
