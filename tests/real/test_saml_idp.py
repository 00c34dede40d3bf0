"""Assertions of the npm identity provider `samlp`, verified by our identity, with python3-saml as a second opinion."""

import html
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psycopg
import pytest

from ostiary.core import Principal, Proof, Secret
from ostiary.gate.ports import Refused
from ostiary.identity import HttpFetch, Identities, SamlIssuer
from tests.real.login_providers import saml_provider
from tests.real.served import serving
from tests.real.servers import PostgresServer
from tests.real.serving import until

pytestmark = pytest.mark.timeout(300)

AUDIENCE = "https://gateway.example/metadata"
ACS = "https://gateway.example/acs"


@dataclass(frozen=True, slots=True)
class Provider:
    """A running provider."""

    url: str
    certificate: str
    metadata: Path

    def sso(self, path: str) -> str:
        """What the form would post: a Response in base64, by the login the provider begins itself."""
        with httpx2.Client(trust_env=False) as browser:
            page = browser.get(f"{self.url}/{path}").raise_for_status().text
        found = re.search(r'name="SAMLResponse"\s+value="([^"]+)"', page)
        assert found is not None
        return html.unescape(found[1])

    async def identify(self, password: str, **changes: object) -> Principal:
        """By an identity with this issuer."""
        good: dict[str, object] = {
            "name": "corp",
            "entity_id": f"{self.url}/metadata",
            "metadata": self.metadata,
            "audiences": (AUDIENCE,),
            "recipients": (ACS,),
            "groups": ("{groups}", "mail/{email}"),
            **changes,
        }
        identity = Identities([SamlIssuer(**good)], HttpFetch(), time.time)  # type: ignore[arg-type]
        return await identity.identify(
            Proof(Secret(password), "orders", "127.0.0.1:4000", encrypted=True, loopback=True)
        )


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """Installed on first use, started on a free port."""
    home = tmp_path_factory.mktemp("idp")
    with saml_provider(home, AUDIENCE, ACS) as url:
        yield Provider(url, (home / "cert.pem").read_text(), home / "idp.xml")


@pytest.mark.parametrize("signed", ["assertion", "response"])
async def test_a_real_response(provider: Provider, signed: str) -> None:
    """By the provider's own metadata; another audience, recipient or issuer is refused, and so is a changed byte."""
    password = provider.sso(signed)
    principal = await provider.identify(password)
    assert principal.id == "corp:ada@example.test"
    assert principal.groups == {"dev", "sre", "mail/ada@example.test"}
    for changes in ({"audiences": ("x",)}, {"recipients": ("x",)}, {"bind": {"email": "eve@example.test"}}):
        with pytest.raises(Refused):
            await provider.identify(password, **changes)
    with pytest.raises(Refused, match="signature"):
        await provider.identify(b64encode(b64decode(password).replace(b">dev<", b">dba<")).decode())


def test_through_a_gateway(provider: Provider, postgres15: PostgresServer, tmp_path: Path) -> None:
    """A client sends the response as its password, for several connections; a changed one is refused by name."""
    issuer = (
        f"{{name: corp, type: saml, entity_id: '{provider.url}/metadata', metadata: {provider.metadata},"
        f" audience: '{AUDIENCE}', recipient: '{ACS}', groups: '{{groups}}'}}"
    )
    server = postgres15
    target = server.host, server.port, "postgres"
    with serving(tmp_path, target, server.superuser, server.password, issuers=[issuer]) as gateway:
        (tmp_path / "tests.cedar").write_text('permit (principal in Group::"dev", action, resource);')
        password = provider.sso("assertion")

        def connect(password: str) -> psycopg.Connection[tuple[object, ...]]:
            return psycopg.connect(
                host="127.0.0.1", port=gateway.port, dbname="orders", user="x", password=password, sslmode="require"
            )

        until(lambda: '"policies reloaded"' in (tmp_path / "gateway.log").read_text(), "the policy is loaded")
        for _ in range(2):
            with connect(password) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="token refused: its signature is not one of the identity"):
            connect(b64encode(b64decode(password).replace(b">dev<", b">dba<")).decode())


@pytest.mark.parametrize("signed", ["assertion", "response"])
def test_a_second_opinion(provider: Provider, signed: str) -> None:
    """python3-saml (xmlsec) takes the same response for good, and reads the same out of it."""
    response = pytest.importorskip("onelogin.saml2.response", exc_type=ImportError)
    settings = pytest.importorskip("onelogin.saml2.settings")
    configured = settings.OneLogin_Saml2_Settings(
        {
            "strict": True,
            "security": {"wantAssertionsSigned": signed == "assertion", "wantMessagesSigned": signed == "response"},
            "sp": {"entityId": AUDIENCE, "assertionConsumerService": {"url": ACS}},
            "idp": {
                "entityId": f"{provider.url}/metadata",
                "singleSignOnService": {"url": f"{provider.url}/sso"},
                "x509cert": provider.certificate,
            },
        }
    )
    found = response.OneLogin_Saml2_Response(configured, provider.sso(signed))
    request = {"http_host": "gateway.example", "script_name": "/acs", "https": "on"}
    assert found.is_valid(request), found.get_error()
    assert found.get_nameid() == "ada@example.test"
    assert found.get_attributes()["groups"] == ["dev", "sre"]
