"""Opening the state store.

SQLite: one file, mode 0600, WAL, every writing transaction `BEGIN IMMEDIATE`, so that writers queue on the busy
timeout and never fail half-way for having read first. PostgreSQL: asyncpg reads the URL, so libpq's options
(`sslmode`, `sslrootcert`, passfile …) and environment mean what they mean everywhere.
"""

import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ostiary.store.accounts import SqlAccounts
from ostiary.store.approvals import SqlApprovals
from ostiary.store.errors import StoreError
from ostiary.store.migrate import migrate
from ostiary.store.people import SqlPeople
from ostiary.store.presence import SqlPresences
from ostiary.store.resources import SqlResources

#: Seconds to wait for another writer, for a connection, or for an answer.
WAIT_SECONDS: Final = 5.0
_POOL: Final = 4
#: Key of PostgreSQL's advisory lock around migrations: "ostiary" in ASCII.
_MIGRATION_LOCK: Final = int.from_bytes(b"ostiary")


class Store:
    """An open state store with up-to-date schema. Make one with `Store.open`, close it with `close`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.approvals = SqlApprovals(self)
        self.accounts = SqlAccounts(self)
        self.resources = SqlResources(self)
        self.people = SqlPeople(self)
        self.presences = SqlPresences(self)

    @classmethod
    async def open(cls, url: str, *, create: bool = True) -> Self:
        """Open and migrate.

        Args:
            url: `sqlite:///absolute/path`, `sqlite:relative/path`, or `postgresql://…`.
            create: make a SQLite file that is missing; a command beside the gateway leaves that to the gateway.

        Raises:
            StoreError: the URL is not understood, the store can't be reached, or its schema is newer than this version.
        """
        store = cls(_engine(url, create=create))
        try:
            async with store.write() as connection:
                if connection.dialect.name == "postgresql":
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                await connection.run_sync(migrate)
        except BaseException:
            await store.close()
            raise
        return store

    async def answers(self) -> None:
        """Ask the database for nothing. Raises StoreError when it does not answer."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end. Raises StoreError."""
        with _translated():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads. Raises StoreError."""
        with _translated():
            async with self._engine.connect() as connection:
                yield await connection.execution_options(ostiary_read=True)


class _translated:  # noqa: N801 - used like a function
    """Every driver's failure becomes a StoreError whose text quotes no value."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, StoreError):
            return
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        # SQLite's own messages name tables at most; other drivers' may quote a row.
        why = f"{type(cause).__name__}: {cause}" if isinstance(cause, sqlite3.Error) else type(cause).__name__
        raise StoreError(f"the state store failed ({why})") from error


def _engine(url: str, *, create: bool) -> AsyncEngine:
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        return _sqlite(_path(rest), create=create)
    if colon and scheme in {"postgresql", "postgres"}:
        return _postgresql(url)
    raise StoreError(
        "the state store's URL is not understood: write sqlite:///absolute/path, sqlite:relative/path or postgresql://…"
    )


def _path(rest: str) -> Path:
    """`///a` and `////a` are /a (a URL with no host; SQLAlchemy's absolute path), `a` is relative."""
    path = "/" + rest.lstrip("/") if rest.startswith("///") else rest
    if path.startswith("//") or path in {"", "/", ":memory:"} or "?" in path:
        raise StoreError("the state store's URL names no file: write sqlite:///absolute/path or sqlite:relative/path")
    return Path(path).absolute()


def _sqlite(path: Path, *, create: bool) -> AsyncEngine:
    try:
        if not path.exists():
            if not create:
                raise StoreError(f"the state store {path} is not there: the gateway makes it when it first starts")
            _create(path)
        if not path.is_file():
            # Said before a connection's thread is begun for it, which would outlive the failure.
            raise StoreError(f"the state store {path} is not a file: name one in `server.state`")
        path.chmod(0o600)
    except PermissionError as error:
        raise StoreError(f"the state store {path} belongs to another user: run this as the gateway's own") from error
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the state store {path} can't be prepared ({error}): does its directory exist?") from error
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"timeout": WAIT_SECONDS, "isolation_level": None},
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("ostiary_read", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _create(path: Path) -> None:
    """Make the file under another name, private and in WAL mode from its first byte, and link it into place."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        connection = sqlite3.connect(fresh)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            return  # another process was quicker, with a file just like this one
    finally:
        fresh.unlink()


def _postgresql(url: str) -> AsyncEngine:
    async def connect() -> Any:
        return await asyncpg.connect(url, timeout=WAIT_SECONDS, command_timeout=WAIT_SECONDS)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )
