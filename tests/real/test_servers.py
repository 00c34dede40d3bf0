"""The servers the other real tests stand on."""

import psycopg
import pytest

from tests.real.servers import PostgresServer


def test_server_is_the_version_it_says(postgres: PostgresServer) -> None:
    """The superuser gets in with its password, and the version is right."""
    ((version,),) = postgres.run("SELECT current_setting('server_version_num')::int / 10000")
    assert version == postgres.version


@pytest.mark.parametrize("user", ["auth_trust", "auth_password", "auth_md5"])
def test_each_method_lets_its_user_in(postgres: PostgresServer, user: str) -> None:
    """The users of the methods get in, and all but `trust` need the password."""
    with psycopg.connect(postgres.dsn(user=user, password=postgres.password)) as connection:
        assert connection.info.user == user
    if user != "auth_trust":
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(postgres.dsn(user=user))


def test_tls_is_verified_in_full_and_certificates_identify(postgres15: PostgresServer) -> None:
    """The server's certificate holds for 127.0.0.1, and `auth_cert` gets in by its own."""
    files = {
        "sslmode": "verify-full",
        "sslrootcert": str(postgres15.ca),
        "sslcert": str(postgres15.client_cert),
        "sslkey": str(postgres15.client_key),
    }
    with psycopg.connect(postgres15.dsn("postgres", "auth_cert", None, **files)) as connection:
        assert connection.pgconn.ssl_in_use
