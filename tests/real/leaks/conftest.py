"""A server with canaries, and the whole product in front of it, everything permitted."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.real.drivers.wire import WireClient
from tests.real.gateway import Gateway
from tests.real.leaks.canaries import Finder
from tests.real.leaks.schema import CLASSIFIED, DATABASE, SCHEMA, finder
from tests.real.served import serving
from tests.real.servers import PostgresServer


@dataclass(frozen=True, slots=True)
class Leaks:
    """Both ways to the canaries."""

    server: PostgresServer
    gateway: Gateway
    finder: Finder

    def direct(self) -> WireClient:
        """A connection that nothing masks."""
        client = WireClient(self.server.host, self.server.port)
        client.login("auth_password", self.server.password.reveal_text(), DATABASE)
        return client

    def through(self) -> WireClient:
        """A connection through the gateway."""
        client = WireClient(self.gateway.host, self.gateway.port)
        client.login("anyone", self.gateway.token, "orders")
        return client


@pytest.fixture(scope="package")
def leaks(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaks]:
    """Once a version."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
    try:
        with psycopg.connect(postgres.dsn(DATABASE), autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
            # As much as the gateway's own login may.
            connection.execute("ALTER ROLE auth_password SUPERUSER")
        home = tmp_path_factory.mktemp("leaks")
        target = (postgres.host, postgres.port, DATABASE)
        with serving(home, target, postgres.superuser, postgres.password, CLASSIFIED) as running:
            yield Leaks(postgres, running, finder())
    finally:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute("ALTER ROLE auth_password NOSUPERUSER")
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())
