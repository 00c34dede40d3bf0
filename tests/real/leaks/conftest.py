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
    #: Everything is permitted, letting values out too: masking alone hides them.
    gateway: Gateway
    #: Values stay in their class.
    keeping: Gateway
    finder: Finder

    def direct(self) -> WireClient:
        """A connection that nothing masks."""
        client = WireClient(self.server.host, self.server.port)
        client.login("auth_password", self.server.password.reveal_text(), DATABASE)
        return client

    def through(self, *, keeping: bool = False) -> WireClient:
        """A connection through the gateway, or the one that keeps values in their class."""
        gateway = self.keeping if keeping else self.gateway
        client = WireClient(gateway.host, gateway.port)
        client.login("anyone", gateway.token, "orders")
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
        homes = tmp_path_factory.mktemp("leaks"), tmp_path_factory.mktemp("keeping")
        what = ((postgres.host, postgres.port, DATABASE), postgres.superuser, postgres.password, CLASSIFIED)
        with serving(homes[0], *what, declassify=True) as running, serving(homes[1], *what) as keeping:
            yield Leaks(postgres, running, keeping, finder())
    finally:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute("ALTER ROLE auth_password NOSUPERUSER")
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())
