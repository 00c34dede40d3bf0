"""The state store on real PostgreSQL: the same code, the same contract."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from ostiary.store import Store, StoreError
from ostiary.store.tables import metadata
from tests.real.servers import PostgresServer
from tests.store.contract import CHECKS


@pytest.fixture
async def stores(postgres: PostgresServer) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on a fresh database, opened at once."""
    postgres.run("DROP DATABASE IF EXISTS state")
    postgres.run("CREATE DATABASE state")
    url = postgres.dsn("state")
    one, two = await asyncio.gather(Store.open(url), Store.open(url))
    yield one, two
    await one.close()
    await two.close()


@CHECKS
async def test_contract(stores: tuple[Store, Store], check: Callable[[Store, Store], Awaitable[None]]) -> None:
    """PostgreSQL keeps the contract."""
    await check(*stores)


async def test_models_and_migrations_agree(stores: tuple[Store, Store]) -> None:
    """Migrating an empty database gives exactly the tables of the code."""
    async with stores[0].read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), metadata)
        )
    assert differences == []


async def test_tls_is_verified(postgres15: PostgresServer) -> None:
    """Options of libpq in the URL mean what they mean: a server whose authority is unknown is refused."""
    store = await Store.open(postgres15.dsn(sslmode="verify-full", sslrootcert=str(postgres15.ca)))
    await store.close()
    with pytest.raises(StoreError, match="state store failed"):
        await Store.open(postgres15.dsn(sslmode="verify-full", sslrootcert=str(postgres15.client_cert)))


@pytest.mark.parametrize("database", ["state", "nothing"])
async def test_an_unreachable_store(postgres: PostgresServer, database: str) -> None:
    """A wrong password and an unknown database are errors that quote no password."""
    url = postgres.dsn(database).replace("s3cret", "hunter2" if database == "state" else "s3cret")
    with pytest.raises(StoreError) as error:
        await Store.open(url)
    assert "hunter2" not in str(error.value)
    assert "s3cret" not in str(error.value)
