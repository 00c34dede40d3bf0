"""psql and psycopg with client certificates, through a gateway that serves."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.identity.certificate_kit import SERVER, Authority, Holder, uri, usage
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

ID = "spiffe://acme.example/ns/shop/job"


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway that trusts a company's authority and a mesh's."""

    gateway: Gateway
    company: Authority
    mesh: Authority
    home: Path

    def conninfo(self, holder: Holder | None, *more: str) -> str:
        """For libpq; without a holder there is no certificate, not even the user's own."""
        files = ("none", "none") if holder is None else holder.write(self.home, "client")
        return " ".join(
            [
                f"host=127.0.0.1 port={self.gateway.port} dbname=orders user=anyone sslmode=verify-ca",
                f"sslrootcert={self.gateway.ca} sslcert={files[0]} sslkey={files[1]}",
                *more,
            ]
        )

    def psql(self, conninfo: str, statement: str = "SELECT 1 + 1") -> "subprocess.CompletedProcess[str]":
        """It never asks for a password (`-w`), and there is none in its environment."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        command = ["psql", "-XAtw", "-c", statement, conninfo]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture(scope="module")
def site(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway for the module."""
    home = tmp_path_factory.mktemp("certificates")
    company, mesh = Authority("company"), Authority("mesh")
    roots = company.write(home / "company.pem"), mesh.write(home / "mesh.pem")
    issuers = [
        f"{{name: corp, type: x509, ca: {roots[0]}, bind: {{O: acme}}, groups: '{{OU}}'}}",
        f"{{name: mesh, type: x509, ca: {roots[1]}, trust_domain: acme.example, groups: '{{OU}}'}}",
    ]
    served = home / "home"
    served.mkdir()
    target = postgres15.host, postgres15.port, "postgres"
    with serving(served, target, postgres15.superuser, postgres15.password, issuers=issuers) as gateway:
        yield Site(gateway, company, mesh, home)


def job(authority: Authority, **changes: object) -> Holder:
    """A good holder, but for the changes."""
    return authority.issue({"CN": ["job"], "O": ["acme"], "OU": ["anyone"]}, (uri(ID),), usage(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["company", "mesh", "below"])
def test_psql_and_psycopg_need_no_password(site: Site, kind: str) -> None:
    """A certificate and its key are enough, with what stands between the leaf and the root in the same file."""
    authority = Authority("below", site.mesh) if kind == "below" else getattr(site, kind)
    conninfo = site.conninfo(job(authority))
    ran = site.psql(conninfo)
    assert (ran.stdout, ran.stderr) == ("2\n", "")
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.pgconn.used_password == 0
    assert site.psql(site.conninfo(job(authority), "password=something-else")).stdout == "2\n"


def test_cancel(site: Site) -> None:
    """The cancel request's own connection shows the certificate too."""
    with psycopg.connect(site.conninfo(job(site.company))) as connection:
        connection.execute("SELECT 1")
        connection.cancel_safe()


def test_a_token_still_serves(site: Site) -> None:
    """A client without a certificate is asked for its token as ever."""
    conninfo = site.conninfo(None)
    ran = site.psql(conninfo)
    assert "password" in ran.stderr
    assert ran.returncode == 2
    with psycopg.connect(conninfo, password=site.gateway.token) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_the_names_do_not_allow(site: Site) -> None:
    """A verified certificate whose names do not fit: a sentence of the gateway."""
    other = site.company.issue({"CN": ["job"], "O": ["acme2"], "OU": ["anyone"]})
    assert (
        'its claim "O" does not have a value that issuer "corp" is bound to' in site.psql(site.conninfo(other)).stderr
    )
    eve = site.mesh.issue({"OU": ["anyone"]}, (uri("spiffe://acme.example.eve.example/job"),), usage())
    assert "certificate refused: it is no X.509-SVID" in site.psql(site.conninfo(eve)).stderr


def test_what_tls_does_not_allow(site: Site) -> None:
    """What psql says is the alert: who signed it, when it ended, what it is for."""
    for holder, alert in (
        (job(Authority("other")), "unknown ca"),
        (job(site.company, valid=timedelta(minutes=-1)), "certificate expired"),
        (job(site.company, extended=(SERVER,)), "unsupported certificate"),
    ):
        ran = site.psql(site.conninfo(holder))
        assert ran.returncode == 2
        assert alert in ran.stderr
