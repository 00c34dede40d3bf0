"""Tokens that are bound to a client certificate (RFC 8705), through `ostiary serve`."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import psycopg
import pytest

from ostiary.core import Secret
from tests.identity.certificate_kit import Authority, Holder
from tests.real.servers import PostgresServer
from tests.real.serving import Served, issuing, prepare

URL = "https://gw.example"
AT_METADATA = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway that trusts an authority."""

    served: Served
    authority: Authority

    def request(self, holder: Holder | None, method: str, path: str, **more: object) -> httpx2.Response:
        """At the API, with this certificate."""
        context = ssl.create_default_context(cafile=str(self.served.home / "gateway.crt"))
        if holder is not None:
            context.load_cert_chain(*holder.write(self.served.home, "client"))
        url = f"https://127.0.0.1:{self.served.api_port}{path}"
        with httpx2.Client(verify=context, timeout=20, trust_env=False) as client:
            return client.request(method, url, **more)  # type: ignore[arg-type]

    def token(self, holder: Holder | None) -> Secret:
        """In exchange for one of the issuer's."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": self.served.token().reveal_text(),
        }
        return Secret(self.request(holder, "POST", "/oauth/token", data=form).json()["access_token"])

    def me(self, holder: Holder | None, token: Secret) -> int:
        """The status of an answer of the API."""
        headers = {"Authorization": f"Bearer {token.reveal_text()}"}
        return self.request(holder, "GET", "/api/v1/me", headers=headers).status_code

    def session(self, holder: Holder | None, token: Secret, user: str = "bound-token") -> str:
        """`ok`, or how the login is refused."""
        files = ("none", "none") if holder is None else holder.write(self.served.home, "libpq")
        try:
            with self.served.connect(token, user=user, sslcert=str(files[0]), sslkey=str(files[1])) as connection:
                connection.execute("SELECT count(*) FROM people")
        except psycopg.OperationalError as error:
            return str(error)
        return "ok"


@pytest.fixture(scope="module")
def site(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway for the module."""
    prepare(postgres15, "bound")
    home, authority = tmp_path_factory.mktemp("bound"), Authority("company")
    root = authority.write(home / "company.pem")
    with issuing() as issuer:
        served = Served(home / "home", postgres15, "bound", issuer)
        text = served.config.read_text().replace("server:\n", f"server:\n  url: {URL}\n", 1)
        x509 = f"issuers:\n  - {{name: corp, type: x509, ca: {root}, groups: '{{OU}}'}}\n"
        served.config.write_text(text.replace("issuers:\n", x509, 1))
        served.start()
        try:
            yield Site(served, authority)
        finally:
            assert served.end() == 0
            assert "Traceback" not in served.log.read_text()


def test_a_stolen_bound_token_is_worth_nothing(site: Site) -> None:
    """With its certificate it opens a session and calls the API; without, or with another one, neither."""
    mine, other = (site.authority.issue({"CN": ["job"], "OU": ["app"]}) for _ in range(2))
    token = site.token(mine)
    assert (site.session(mine, token), site.me(mine, token)) == ("ok", 200)
    assert site.served.newest()["principal"] == "ci:job"
    for holder in (None, other):
        assert "bound to a client certificate" in site.session(holder, token)
        assert site.me(holder, token) == 401


def test_without_a_certificate_nothing_changes(site: Site) -> None:
    """A token that was asked for without one is a bearer token, also beside a certificate; metadata tells of both."""
    mine = site.authority.issue({"CN": ["job"], "OU": ["app"]})
    token = site.token(None)
    for holder in (None, mine):
        assert (site.session(holder, token), site.me(holder, token)) == ("ok", 200)
    assert site.session(mine, Secret("no token at all"), user="anybody") == "ok"
    assert site.request(None, "GET", AT_METADATA).json()["tls_client_certificate_bound_access_tokens"] is True


def test_a_certificate_of_nobody_known_ends_the_handshake(site: Site) -> None:
    """Self-signed ones among them: nothing is asked or issued over such a connection."""
    with pytest.raises(httpx2.TransportError):
        site.request(Authority("other").issue(), "GET", AT_METADATA)
