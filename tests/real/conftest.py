"""Real servers, one of each kind for a worker's whole session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.servers import PostgresServer, Unavailable, postgres_15, postgres_18, unavailable

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything under this folder is marked `real`."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def postgres15() -> Iterator[PostgresServer]:
    """PostgreSQL 15 with TLS."""
    try:
        with postgres_15() as server:
            yield server
    except Unavailable as why:
        unavailable(str(why))


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    """PostgreSQL 18 without TLS."""
    try:
        with postgres_18() as server:
            yield server
    except Unavailable as why:
        unavailable(str(why))


@pytest.fixture(scope="session", params=["postgres15", "postgres18"])
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """Each version in turn."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, PostgresServer)
    return server
