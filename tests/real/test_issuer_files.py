"""Files of issuers that change under a gateway that serves: followed within five seconds, unless they can't be used."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from joserfc.jwk import ECKey

from tests.identity import saml_kit
from tests.identity.certificate_kit import Authority, Holder
from tests.identity.fakes import ec_key, sign
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer
from tests.real.serving import until

SECONDS = 5.0
DOMAIN = "spiffe://acme.example"
FILE_ISSUER = "https://keys.example"


@dataclass
class Site:
    """A gateway, and the files of its issuers."""

    home: Path
    root: Authority = field(default_factory=lambda: Authority("root"))
    gateway: Gateway = field(init=False)

    def connect(self, password: str = "", holder: Holder | None = None) -> "psycopg.Connection[tuple[object, ...]]":
        """With a token, or a certificate."""
        cert, key = ("none", "none") if holder is None else map(str, holder.write(self.home, "client"))
        return psycopg.connect(
            f"host=127.0.0.1 port={self.gateway.port} dbname=orders user=anyone sslmode=verify-ca "
            f"sslrootcert={self.gateway.ca} sslcert={cert} sslkey={key}",
            password=password,
        )

    def why(self, password: str = "", holder: Holder | None = None) -> str:
        """Why nobody is let in; empty: somebody is."""
        try:
            self.connect(password, holder).close()
        except psycopg.OperationalError as error:
            return str(error)
        return ""

    def write(self, name: str, data: bytes) -> None:
        """A file, in one step."""
        (self.home / "draft").write_bytes(data)
        (self.home / "draft").replace(self.home / name)

    def follows(self, name: str, data: bytes, event: str = "configuration adopted") -> None:
        """A file that changes; within five seconds the gateway logs that."""
        before = self._events(event)
        self.write(name, data)
        until(lambda: self._events(event) > before, f"{event}: {name}", SECONDS)

    def _events(self, name: str) -> int:
        return (self.home / "home" / "gateway.log").read_text().count(f'"event": "{name}')


def keys(key: ECKey, **more: str) -> bytes:
    """A key set of one key."""
    return json.dumps({"keys": [{**key.as_dict(private=False), **more}]}).encode()


@pytest.fixture(scope="module")
def site(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway for the module."""
    site = Site(tmp_path_factory.mktemp("files"))
    home = site.home
    site.root.write(home / "root.pem")
    site.write("root.crl", site.root.revoking())
    site.write("keys.json", keys(ec_key()))
    site.write("bundle.json", keys(ec_key(), use="jwt-svid"))
    site.write("idp.xml", saml_kit.metadata(saml_kit.KEYS.certificate(time.time() + 86400, time.time())).encode())
    issuers = [
        f"{{name: pki, type: x509, ca: {home}/root.pem, crl: {home}/root.crl, groups: '{{OU}}'}}",
        (
            f"{{name: keys, type: oidc, issuer: '{FILE_ISSUER}', audience: ostiary, jwks_file: {home}/keys.json, "
            "groups: '{groups}'}"
        ),
        (
            f"{{name: mesh, type: spiffe, trust_domain: acme.example, audience: ostiary, "
            f"bundle_file: {home}/bundle.json, groups: '{{groups}}'}}"
        ),
        (
            f"{{name: corp, type: saml, entity_id: '{saml_kit.ENTITY}', metadata: {home}/idp.xml, audience: ostiary, "
            f"recipient: '{saml_kit.ACS}', groups: '{{groups}}'}}"
        ),
    ]
    served = home / "home"
    served.mkdir()
    target = postgres15.host, postgres15.port, "postgres"
    with serving(served, target, postgres15.superuser, postgres15.password, issuers=issuers) as site.gateway:
        yield site


def test_a_revocation_list(site: Site) -> None:
    """Who is in the new list is sent away and comes back no more; others of the same authority stay."""
    names = {"CN": ["job"], "OU": ["anyone"]}
    revoked, other = site.root.issue(names), site.root.issue({**names, "CN": ["other"]})
    with site.connect(holder=revoked) as gone, site.connect(holder=other) as stays:
        site.write("root.crl", site.root.revoking(revoked.certificate))

        def ended() -> str:
            try:
                gone.execute("SELECT 1")
            except psycopg.Error as error:
                return str(error) if gone.broken else ""
            return ""

        assert "the client's certificate was revoked; this session ends" in until(ended, "it ends", SECONDS)
        assert "certificate refused: it was revoked" in site.why(holder=revoked)
        assert stays.execute("SELECT 1").fetchone() == (1,)
    # What can't be used is not adopted: the list before stays in force.
    site.follows("root.crl", b"none", "configuration not adopted")
    assert "certificate refused: it was revoked" in site.why(holder=revoked)
    assert site.why(holder=other) == ""
    site.follows("root.crl", site.root.revoking(revoked.certificate))


@pytest.mark.parametrize(
    ("file", "more", "claims"),
    [
        ("keys.json", {}, {"iss": FILE_ISSUER, "sub": "job"}),
        ("bundle.json", {"use": "jwt-svid"}, {"sub": f"{DOMAIN}/job"}),
    ],
)
def test_keys(site: Site, file: str, more: dict[str, str], claims: dict[str, str]) -> None:
    """A JWKS file, a SPIFFE bundle: a new key counts, and the withdrawn one no more."""
    old, new = ec_key("k1"), ec_key("k2")

    def token(key: ECKey) -> str:
        payload = {**claims, "aud": "ostiary", "exp": int(time.time()) + 300, "groups": ["anyone"]}
        return sign({"alg": "ES256", "kid": key.kid}, payload, key)

    site.follows(file, keys(old, **more))
    assert site.why(token(old)) == ""
    site.follows(file, keys(new, **more))
    assert site.why(token(new)) == ""
    assert "it names no key" in site.why(token(old))


def test_metadata(site: Site) -> None:
    """SAML metadata with another certificate: what the new key signs counts, what the old one signs no more."""

    def password(keys: saml_kit.Keys) -> str:
        now = time.time()
        times = {"issued": now, "confirmed_until": now + 300, "begins": now - 10, "ends": now + 600}
        groups = saml_kit.attributes({"groups": ["anyone"]})
        text = saml_kit.assertion(attributes=groups, **{name: saml_kit.stamp(moment) for name, moment in times.items()})
        return saml_kit.password(saml_kit.sign(text, keys)).decode()

    assert site.why(password(saml_kit.KEYS)) == ""
    other = saml_kit.OTHER.certificate(time.time() + 86400, time.time())
    site.follows("idp.xml", saml_kit.metadata(other).encode())
    assert site.why(password(saml_kit.OTHER)) == ""
    assert "its signature is not one of the identity provider's" in site.why(password(saml_kit.KEYS))
