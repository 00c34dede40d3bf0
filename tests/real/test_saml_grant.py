"""Tokens for assertions of the npm identity provider `samlp` (RFC 7522), through `ostiary serve`."""

import html
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import pytest

from ostiary.core import Secret
from ostiary.oauth.grants import SAML2_BEARER
from tests.real.login_providers import saml_provider
from tests.real.servers import PostgresServer
from tests.real.serving import Served, issuing, prepare
from tests.real.test_service_accounts import post

pytestmark = pytest.mark.timeout(300)

URL = "https://gw.example"
ENDPOINT = f"{URL}/oauth/token"
#: Audience and recipient of what each provider makes.
PROVIDERS = {
    "good": (ENDPOINT, ENDPOINT),
    "audience": ("https://other.example/oauth/token", ENDPOINT),
    "recipient": (ENDPOINT, "https://other.example/oauth/token"),
}


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway and its providers."""

    served: Served
    urls: dict[str, str]

    def assertion(self, provider: str) -> str:
        """The Assertion element alone, in base64url without padding."""
        with httpx2.Client(trust_env=False) as browser:
            page = browser.get(f"{self.urls[provider]}/assertion").raise_for_status().text
        found = re.search(r'name="SAMLResponse"\s+value="([^"]+)"', page)
        assert found is not None
        inner = re.search(rb"<saml:Assertion.*</saml:Assertion>", b64decode(html.unescape(found[1])), re.DOTALL)
        assert inner is not None
        return urlsafe_b64encode(inner[0]).rstrip(b"=").decode()

    def ask(self, assertion: str) -> httpx2.Response:
        """At the token endpoint."""
        return post(self.served, "/oauth/token", {"grant_type": SAML2_BEARER, "assertion": assertion})


@pytest.fixture(scope="module")
def site(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway for the module."""
    prepare(postgres15, "samlgrant")
    with ExitStack() as stack:
        urls, issuers = {}, ""
        for name, (audience, recipient) in PROVIDERS.items():
            home = tmp_path_factory.mktemp(name)
            urls[name] = stack.enter_context(saml_provider(home, audience, recipient))
            issuers += (
                f"  - {{name: {name}, type: saml, entity_id: '{urls[name]}/metadata', metadata: {home}/idp.xml,"
                f" audience: ['{URL}', '{ENDPOINT}'], recipient: '{ENDPOINT}', groups: ['{name}/{{groups}}']}}\n"
            )
        issuer = stack.enter_context(issuing())
        served = Served(tmp_path_factory.mktemp("gateway") / "home", postgres15, "samlgrant", issuer)
        text = served.config.read_text().replace("server:\n", f"server:\n  url: {URL}\n", 1)
        served.config.write_text(text.replace("issuers:\n", f"issuers:\n{issuers}", 1))
        served.policy('permit (principal in Group::"good/dev", action, resource);')
        served.start()
        try:
            yield Site(served, urls)
        finally:
            assert served.end() == 0
            assert "Traceback" not in served.log.read_text()


def test_an_assertion_gives_one_token(site: Site) -> None:
    """The token opens a session; the assertion gives no other one, not even in another process on the same store."""
    assertion = site.assertion("good")
    got = site.ask(assertion)
    assert got.status_code == 200, got.text
    with site.served.connect(Secret(got.json()["access_token"])) as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
    assert site.served.newest()["principal"] == "good:ada@example.test"
    replayed = [site.ask(assertion)]
    assert site.served.end() == 0
    site.served.start()
    replayed += [site.ask(assertion), site.ask(assertion + "=")]
    for each in replayed:
        assert (each.status_code, each.json()["error"]) == (400, "invalid_grant")
        assert "used before" in each.json()["error_description"]
    assert site.ask(site.assertion("good")).status_code == 200


@pytest.mark.parametrize(("provider", "why"), [("audience", "another audience"), ("recipient", "another recipient")])
def test_one_that_was_made_for_another_place(site: Site, provider: str, why: str) -> None:
    """Its audience and its recipient are those of the issuer's settings (RFC 7522 §3)."""
    got = site.ask(site.assertion(provider))
    assert (got.status_code, got.json()["error"]) == (400, "invalid_grant")
    assert why in got.json()["error_description"]


def test_one_that_was_changed(site: Site) -> None:
    """A byte of it, and it is nobody's; the metadata lists the grant."""
    assertion = site.assertion("good")
    data = b64decode(assertion + "=" * (-len(assertion) % 4), altchars=b"-_").replace(b">dev<", b">ops<")
    got = site.ask(urlsafe_b64encode(data).decode())
    assert "signature" in got.json()["error_description"]
    document = site.served.api("GET", "/.well-known/oauth-authorization-server", None).json()
    assert SAML2_BEARER in document["grant_types_supported"]
