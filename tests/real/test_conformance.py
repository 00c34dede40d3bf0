"""The same script directly and through the gateway: the results must be equal."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.real import gateway
from tests.real.drivers.script import Endpoint
from tests.real.gateway import SCRATCH, Gateway
from tests.real.served import serving
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


def fresh_database(server: PostgresServer) -> None:
    """An empty scratch database."""
    name = sql.Identifier(SCRATCH)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))


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


def endpoints(server: PostgresServer, through: Gateway, *, tls: bool) -> tuple[Endpoint, Endpoint]:
    """The server itself, and the gateway in front of it."""
    direct = Endpoint(server.host, server.port, server.superuser, server.password.reveal_text(), SCRATCH)
    ca = str(through.ca) if tls else None
    return direct, Endpoint(through.host, through.port, server.superuser, through.token, f"orders/{SCRATCH}", ca)


@pytest.fixture(scope="module")
def served(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The whole product in front of each version: policy, detectors, recording. Nothing is classified."""
    home = tmp_path_factory.mktemp("served")
    target = (postgres.host, postgres.port, "postgres")
    with serving(home, target, postgres.superuser, postgres.password) as running:
        yield running


@pytest.mark.parametrize("tls", [True, False], ids=["served-tls", "plain"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_driver(postgres: PostgresServer, request: pytest.FixtureRequest, driver: str, tls: bool) -> None:
    """A driver's script gives the same both ways, step by step."""
    run: Callable[[Endpoint], list[tuple[str, Any]]] = importlib.import_module(f"tests.real.drivers.{driver}").run
    through = request.getfixturevalue("served" if tls else "through")
    direct, gated = endpoints(postgres, through, tls=tls)
    fresh_database(postgres)
    expected = run(direct)
    fresh_database(postgres)
    found = run(gated)
    assert len(expected) > 20
    assert not (lines := differences(expected, found)), "\n".join(lines)
