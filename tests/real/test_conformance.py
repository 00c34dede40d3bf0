"""The same script directly and through the gateway: the results must be equal."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.real import gateway
from tests.real.drivers.script import Endpoint
from tests.real.gateway import TOKEN, Gateway
from tests.real.servers import PostgresServer

DRIVERS = ("psycopg_sync", "psycopg_async", "asyncpg_driver", "pg8000_driver", "node_driver")

#: Never reach the server: they can't be parsed, or name what nothing is known of.
REFUSED_HERE = ("SELEC 1", "nothing_prepared")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def through(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of each version."""
    targets = {"orders": (postgres.host, postgres.port, "postgres")}
    home = tmp_path_factory.mktemp("gateway")
    with gateway.running(home, targets, postgres.superuser, postgres.password) as running:
        yield running


def fresh_database(server: PostgresServer, name: str) -> None:
    """An empty database of that name."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def comparable(name: str, value: Any) -> Any:
    """What must be equal: everything, but for statements the gateway refuses itself the SQLSTATE alone."""
    if any(statement in name for statement in REFUSED_HERE) and isinstance(value, dict) and "error" in value:
        fields = value["error"]
        return {fields.get("sqlstate", fields.get("C", fields.get("code")))}
    return value


def differences(direct: list[tuple[str, Any]], through: list[tuple[str, Any]]) -> list[str]:
    """Readable lines, one a step that differs."""
    assert [name for name, _ in direct] == [name for name, _ in through]
    return [
        f"{name}:\n  direct:  {one!r}\n  through: {two!r}"
        for (name, one), (_, two) in zip(direct, through, strict=True)
        if comparable(name, one) != comparable(name, two)
    ]


def endpoints(server: PostgresServer, through: Gateway, database: str, *, tls: bool) -> tuple[Endpoint, Endpoint]:
    """The server itself, and the gateway in front of it."""
    direct = Endpoint(server.host, server.port, server.superuser, server.password.reveal_text(), database)
    ca = str(through.ca) if tls else None
    return direct, Endpoint(through.host, through.port, server.superuser, TOKEN, f"orders/{database}", ca)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_driver(postgres: PostgresServer, through: Gateway, driver: str, tls: bool) -> None:
    """A driver's script gives the same both ways, step by step."""
    run: Callable[[Endpoint], list[tuple[str, Any]]] = importlib.import_module(f"tests.real.drivers.{driver}").run
    database = f"conformance_{driver}"
    direct, gated = endpoints(postgres, through, database, tls=tls)
    fresh_database(postgres, database)
    expected = run(direct)
    fresh_database(postgres, database)
    found = run(gated)
    assert len(expected) > 20
    assert not (lines := differences(expected, found)), "\n".join(lines)
