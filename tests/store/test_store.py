"""The store on SQLite: opening, migrating, and what the repository promises."""

import asyncio
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from ostiary.accounts import AccountKey, ServiceAccount
from ostiary.approvals import Approval, ApprovalRequest, ApprovalState, Limits
from ostiary.resources import StoredResource
from ostiary.signin.people import Code, DeviceRequest, LocalAdmin, Login, Who
from ostiary.store import Store, StoreError
from ostiary.store.tables import (
    approvals,
    device_requests,
    local_admins,
    login_codes,
    logins,
    metadata,
    resources,
    service_account_keys,
    service_accounts,
)
from tests.store.contract import ASKED, CHECKS


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that does not exist yet."""
    return f"sqlite://{tmp_path}/state.db"


@pytest.fixture
async def stores(url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on one file: two engines, each with its own connections and threads."""
    one, two = await asyncio.gather(Store.open(url), Store.open(url))
    yield one, two
    await one.close()
    await two.close()


def listing(directory: Path) -> list[Path]:
    """What is in a directory."""
    return sorted(directory.iterdir())


@CHECKS
async def test_contract(stores: tuple[Store, Store], check: Callable[[Store, Store], Awaitable[None]]) -> None:
    """SQLite keeps the contract."""
    await check(*stores)


async def test_models_and_migrations_agree(stores: tuple[Store, Store]) -> None:
    """Migrating an empty database gives exactly the tables of the code."""
    async with stores[0].read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), metadata)
        )
    assert differences == []


def test_columns_are_the_fields() -> None:
    """Rows are converted by name, so every field has its column and every column its field."""
    names = {field.name for kind in (ApprovalRequest, Approval) for field in fields(kind)} - {"request"}
    assert names == set(approvals.columns.keys())
    assert {field.name for field in fields(ServiceAccount)} - {"keys"} == set(service_accounts.columns.keys())
    assert {field.name for field in fields(AccountKey)} == set(service_account_keys.columns.keys())
    assert {field.name for field in fields(StoredResource)} == set(resources.columns.keys())
    names = {field.name for kind in (Login, Who) for field in fields(kind)} - {"who"}
    assert names == set(logins.columns.keys())
    for kind, table in ((Code, login_codes), (DeviceRequest, device_requests), (LocalAdmin, local_admins)):
        assert {field.name for field in fields(kind)} == set(table.columns.keys())


async def test_the_file_is_private_and_in_wal_mode(url: str, tmp_path: Path) -> None:
    """Database, WAL and shared memory are readable by the owner only, also when the file was open to others before."""
    store = await Store.open(url)
    await store.approvals.add(ASKED, Limits())
    files = listing(tmp_path)
    assert [path.name for path in files] == ["state.db", "state.db-shm", "state.db-wal"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    async with store.read() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
    await store.close()
    (tmp_path / "state.db").chmod(0o644)
    again = await Store.open(url)
    assert stat.S_IMODE((tmp_path / "state.db").stat().st_mode) == 0o600
    assert await again.approvals.get(ASKED.request.code) == ASKED
    await again.close()


async def test_a_newer_schema_is_refused(url: str) -> None:
    """A database that a newer version migrated is left alone, with a sentence."""
    store = await Store.open(url)
    async with store.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(
        StoreError, match=r"has schema 9999, and this version knows none newer than 0005: run the newer"
    ):
        await Store.open(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://root:hunter2@db/x", "is not understood"),
        ("hunter2", "is not understood"),
        ("", "is not understood"),
        ("sqlite:", "names no file"),
        ("sqlite::memory:", "names no file"),
        ("sqlite://host/hunter2.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:state.db?mode=ro", "names no file"),
        ("sqlite:///no/such/directory/state.db", "does its directory exist"),
    ],
)
async def test_urls_that_cannot_be_opened(url: str, says: str) -> None:
    """A bad URL is an error that names the forms there are, and never quotes what might be a password."""
    with pytest.raises(StoreError, match=says) as error:
        await Store.open(url)
    assert "hunter2" not in str(error.value)


async def test_forms_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes and SQLAlchemy's four are absolute, none is relative; `%` and spaces are kept."""
    monkeypatch.chdir(tmp_path)
    for url, name in (
        (f"sqlite://{tmp_path}/a.db", "a.db"),
        (f"sqlite:///{tmp_path}/b%41.db", "b%41.db"),
        ("sqlite:c d.db", "c d.db"),
    ):
        store = await Store.open(url)
        await store.close()
        assert (tmp_path / name).exists()


async def test_what_is_not_a_database(tmp_path: Path) -> None:
    """A file of something else is refused with SQLite's reason."""
    (tmp_path / "state.db").write_text("not a database, but long enough to look like one" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        await Store.open(f"sqlite://{tmp_path}/state.db")


async def test_a_row_of_the_wrong_shape(stores: tuple[Store, Store]) -> None:
    """A row that is no approval is an error, not an approval."""
    store = stores[0]
    await store.approvals.add(ASKED, Limits())
    for change in ("state = 'whatever'", "votes = '{}'", "votes = '[{\"by\": 1}]'"):
        async with store.write() as connection:
            await connection.execute(text(f"UPDATE approvals SET {change}"))
        with pytest.raises(StoreError, match="ValidationError"):
            await store.approvals.get(ASKED.request.code)


async def test_a_locked_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers wait for each other, and when that takes too long it is an error with SQLite's reason; readers go on."""
    monkeypatch.setattr("ostiary.store.store.WAIT_SECONDS", 0.05)
    one, two = await Store.open(url), await Store.open(url)
    async with one.write():
        assert await two.approvals.get(ASKED.request.code) is None
        with pytest.raises(StoreError, match="database is locked"):
            await two.approvals.add(ASKED, Limits())
    await two.approvals.add(ASKED, Limits())
    await one.close()
    await two.close()


async def test_errors_quote_no_value(stores: tuple[Store, Store]) -> None:
    """A failing statement is reported without its values, down to the driver's own error."""
    with pytest.raises(StoreError) as error:
        async with stores[0].write() as connection:
            await connection.execute(text("INSERT INTO no_such VALUES (:value)"), {"value": "hunter2"})
    assert "no such table" in str(error.value)
    assert "hunter2" not in f"{error.value} {error.value.__cause__}"


def race(url: str, code: str, racers: list[tuple[str, str]]) -> list[str]:
    """Processes that decide the same request at the same moment; what each printed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.racer", url, code, name, answer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, answer in racers
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=30)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return outcomes


async def test_several_processes_decide_at_once(tmp_path: Path) -> None:
    """Processes that all create, migrate and then decide in one file: one decision stands, the others are told."""
    url = f"sqlite://{tmp_path}/state.db"
    racers = [("dana", "yes"), ("drew", "no"), ("dale", "yes"), ("dora", "no")]
    store = await Store.open(url)
    await store.approvals.add(ASKED, Limits())
    outcomes = await asyncio.to_thread(race, url, ASKED.request.code, racers)
    assert sorted(outcomes)[0:3] == ["Settled"] * 3
    stored = await store.approvals.get(ASKED.request.code)
    assert stored is not None
    assert stored.state.value in outcomes
    assert stored.state in {ApprovalState.APPROVED, ApprovalState.DENIED}
    assert len(stored.votes) == 1
    await store.close()


async def test_many_open_an_empty_database_at_once(url: str, tmp_path: Path) -> None:
    """Opening is safe to do at once: all see one migrated file, and nothing is left beside it."""
    stores = await asyncio.gather(*(Store.open(url) for _ in range(8)))
    await stores[0].approvals.add(ASKED, Limits())
    assert [await store.approvals.get(ASKED.request.code) for store in stores] == [ASKED] * 8
    for store in stores:
        await store.close()
    assert [path.name for path in listing(tmp_path)] == ["state.db"]
