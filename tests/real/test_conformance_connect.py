"""The ways libpq connects: TLS modes, direct TLS, protocol versions, URIs, several hosts, what is not carried."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.real.certificates import Authority
from tests.real.gateway import TOKEN, Gateway
from tests.real.servers import PostgresServer, free_port
from tests.real.test_conformance import through

__all__ = ["through"]


@pytest.fixture
def base(through: Gateway) -> dict[str, str]:
    """What every connection here has."""
    where = {"host": through.host, "port": str(through.port), "dbname": "orders"}
    return where | {"user": "anyone", "password": TOKEN, "sslrootcert": str(through.ca), "sslmode": "verify-full"}


def connected(base: dict[str, str], **more: str) -> psycopg.Connection:
    """A connection that has done something."""
    connection = psycopg.connect(make_conninfo(**(base | more)), autocommit=True)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    return connection


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_ssl_modes(base: dict[str, str], mode: str) -> None:
    """Each mode of libpq's, and whether TLS is what came of it."""
    with connected(base, sslmode=mode) as connection:
        assert connection.pgconn.ssl_in_use == (mode not in ("disable", "allow"))


def test_direct_tls(base: dict[str, str]) -> None:
    """`sslnegotiation=direct`: TLS from the first byte, ALPN `postgresql`."""
    with connected(base, sslnegotiation="direct") as connection:
        assert connection.pgconn.ssl_in_use


def test_unknown_authority_is_not_trusted(base: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The client's check of the gateway's certificate can fail."""
    other = tmp_path_factory.mktemp("ca") / "ca.pem"
    other.write_bytes(Authority("somebody else").certificate_pem)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connected(base, sslrootcert=str(other))


@pytest.mark.parametrize(("asked", "spoken"), [("3.0", 30000), ("3.2", 30002), ("latest", 30002)])
def test_protocol_versions(base: dict[str, str], postgres: PostgresServer, asked: str, spoken: int) -> None:
    """The gateway speaks 3.0 and 3.2 whatever the server does; long cancel keys work."""
    del postgres
    with connected(base, max_protocol_version=asked) as connection:
        assert connection.pgconn.full_protocol_version == spoken
        connection.execute("SET statement_timeout = '20s'")
        connection.pgconn.send_query(b"SELECT pg_sleep(15)")
        connection.cancel_safe()
        result = connection.pgconn.get_result()
        assert result is not None
        assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        while connection.pgconn.get_result():
            pass


def test_min_protocol_version(base: dict[str, str]) -> None:
    """A client that insists on 3.2 gets it."""
    with connected(base, min_protocol_version="3.2") as connection:
        assert connection.pgconn.full_protocol_version == 30002


def test_uris(through: Gateway) -> None:
    """What people paste."""
    ca = f"sslmode=verify-full&sslrootcert={through.ca}"
    for uri in (
        f"postgresql://anyone:{TOKEN}@127.0.0.1:{through.port}/orders?{ca}",
        f"postgres://anyone:{TOKEN}@localhost:{through.port}/orders?{ca}&application_name=pasted",
        f"postgresql:///orders?host=127.0.0.1&port={through.port}&user=x&password={TOKEN}&{ca}&connect_timeout=5",
        f"postgresql://anyone:{TOKEN}@127.0.0.1:{through.port}/?dbname=orders&{ca}&keepalives_idle=30",
    ):
        with psycopg.connect(uri) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("wanted", ["any", "read-write", "primary", "prefer-standby"])
def test_target_session_attributes(base: dict[str, str], wanted: str) -> None:
    """What libpq asks of the server about itself comes through."""
    connected(base, target_session_attrs=wanted).close()


def test_several_hosts(base: dict[str, str]) -> None:
    """A dead host in the list is passed over."""
    hosts = {"host": f"127.0.0.1,{base['host']}", "port": f"{free_port()},{base['port']}"}
    connected(base, **hosts).close()


@pytest.mark.parametrize("ok", ["password", "password,scram-sha-256", "!md5"])
def test_required_authentication(base: dict[str, str], ok: str) -> None:
    """A client that insists on the method it knows."""
    connected(base, require_auth=ok).close()


def test_another_authentication_is_refused_by_the_client(base: dict[str, str]) -> None:
    """A client that insists on SCRAM can't send a token, and says so itself."""
    with pytest.raises(psycopg.OperationalError, match="authentication method requirement"):
        connected(base, require_auth="scram-sha-256")


def test_settings_of_the_startup_packet(base: dict[str, str]) -> None:
    """Harmless ones are carried; the others are refused by name, with what to do."""
    with connected(base, application_name="an app", client_encoding="UTF8") as connection:
        shown = connection.execute("SELECT current_setting('application_name'), current_setting('client_encoding')")
        assert shown.fetchone() == ("an app", "UTF8")
    with pytest.raises(psycopg.OperationalError, match=r'"options" is not carried.*use SET'):
        connected(base, options="-c statement_timeout=5s")


def test_gss_encryption_is_declined(base: dict[str, str]) -> None:
    """`gssencmode=prefer` goes on with TLS."""
    connected(base, gssencmode="prefer").close()
