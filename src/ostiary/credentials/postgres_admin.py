"""Admin connections to one PostgreSQL server: few, bounded in time, and never on the data path."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg

from ostiary.core import Target, TlsMode, TlsSettings
from ostiary.credentials.config import PostgresRoleCredential
from ostiary.credentials.source import SecretUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    AnyConnection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 60.0

#: `search_path`: what users of the target create must never be found in place of the system's functions.
#: The server's own limits end a statement even when this process is gone.
_SETTINGS: Final = {
    "application_name": "ostiary",
    "search_path": "pg_catalog",
    "statement_timeout": str(int(STATEMENT_SECONDS * 1000)),
    "lock_timeout": "5000",
    "default_transaction_read_only": "off",
}
_LOST: Final = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
#: SQLSTATE classes after which nobody knows whether the statement was committed (connection, shutdown, crash, system).
_UNSURE: Final = ("08", "57P", "58", "XX")


class AdminError(Exception):
    """A statement, or the connection for it, failed. The message is for logs and records.

    Attributes:
        sqlstate: the server's code; "" when it did not answer.
        clean: True when it is certain that the statement changed nothing.
    """

    def __init__(self, message: str, sqlstate: str = "", *, clean: bool) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.clean = clean


class AdminSession(Protocol):
    """One connection, for a few statements. Every method raises AdminError."""

    @property
    def pid(self) -> int:
        """The server's process behind it."""
        ...

    async def run(self, script: str) -> None:
        """Statements without parameters, as one message and one transaction."""
        ...

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Rows of one query."""
        ...


class Admin(Protocol):
    """Opens admin sessions."""

    def session(self, database: str | None = None) -> AbstractAsyncContextManager[AdminSession]:
        """A pooled connection to the target's database, or one of its own to another. Raises AdminError."""
        ...

    async def aclose(self) -> None:
        """Close the pool. Never raises."""
        ...


class PostgresAdmin:
    """`Admin` with asyncpg.

    Args:
        context: makes the TLS context of a target's settings (the runtime's own, so that both legs mean the same).
    """

    def __init__(
        self, target: Target, credential: PostgresRoleCredential, context: Callable[[TlsSettings], ssl.SSLContext]
    ) -> None:
        self._target = target
        self._credential = credential
        self._context = context
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def session(self, database: str | None = None) -> AsyncIterator[AdminSession]:
        """See `Admin.session`."""
        if database is not None and database != self._target.database:
            with self._told(clean=True):
                connection = await self._connect(database)
            try:
                yield _Session(connection, self._told)
            finally:
                connection.terminate()
            return
        with self._told(clean=True):
            pool = await self._open()
            borrowed = await _acquire(pool)
        try:
            yield _Session(borrowed, self._told)
        except AdminError as error:
            if not error.clean:
                _drop(borrowed)
            raise
        except BaseException:
            # Whoever settles what became of the statement must not meet this connection in other hands.
            _drop(borrowed)
            raise
        finally:
            # A connection that fails to come back is closed by the pool, and says nothing about what was done with it.
            with contextlib.suppress(*_LOST, asyncpg.PostgresError):
                await pool.release(borrowed, timeout=CONNECT_SECONDS)

    async def aclose(self) -> None:
        """See `Admin.aclose`."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await pool.close()
        except (*_LOST, asyncpg.PostgresError):
            pool.terminate()
        # Transports close their sockets in the loop's next round.
        await asyncio.sleep(0)

    async def _open(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    min_size=0,
                    max_size=self._credential.pool,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    connect=lambda *_, **_more: self._connect(self._target.database),
                    setup=_answers,
                    reset=_nothing,
                )
            return self._pool

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        credential, tls = self._credential, self._target.tls
        # Everything is said, so that PGPASSWORD, PGSSLMODE, .pgpass and their like have no say.
        try:
            password = "" if credential.admin_password is None else credential.admin_password.read().reveal_text()
        except ValueError as error:
            raise SecretUnavailable(str(error)) from None
        return await asyncpg.connect(
            host=self._target.host,
            port=self._target.port,
            user=credential.admin_username,
            password=password,
            database=database,
            ssl=False if tls.mode is TlsMode.DISABLE else self._context(tls),
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings=dict(_SETTINGS),
        )

    @contextmanager
    def _told(self, *, clean: bool) -> Iterator[None]:
        """Turns what asyncpg, TLS and sockets raise into AdminError. `clean`: nothing was sent that could have run."""
        where = f"{self._target.host}:{self._target.port}"
        try:
            yield
        except SecretUnavailable as error:
            raise AdminError(f"the admin password of {where}: {error}", clean=True) from None
        except asyncpg.PostgresError as error:
            state = error.sqlstate or ""
            sure = clean or not state.startswith(_UNSURE)
            raise AdminError(f"{where} answered: {_line(error)} (SQLSTATE {state})", state, clean=sure) from None
        except TimeoutError:
            raise AdminError(f"{where} did not answer in time", clean=clean) from None
        except _LOST as error:
            raise AdminError(f"{where}: {type(error).__name__}: {_line(error)}", clean=clean) from None


class _Session:
    """`AdminSession` on one asyncpg connection."""

    def __init__(self, connection: "AnyConnection", told: Callable[..., AbstractContextManager[None]]) -> None:
        self._connection = connection
        self._told = told

    @property
    def pid(self) -> int:
        """See `AdminSession.pid`."""
        return self._connection.get_server_pid()

    async def run(self, script: str) -> None:
        """See `AdminSession.run`."""
        with self._told(clean=False):
            await self._connection.execute(script)

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """See `AdminSession.rows`."""
        with self._told(clean=False):
            return [tuple(row) for row in await self._connection.fetch(query, *arguments)]


class _StaleError(Exception):
    """A pooled connection that no longer answers."""


async def _acquire(pool: "asyncpg.Pool[asyncpg.Record]") -> "PoolConnectionProxy[asyncpg.Record]":
    """A connection that answered just now. When one proves stale all are replaced, once."""
    try:
        return await pool.acquire(timeout=STATEMENT_SECONDS)
    except _StaleError:
        await pool.expire_connections()
    try:
        return await pool.acquire(timeout=STATEMENT_SECONDS)
    except _StaleError:
        raise ConnectionResetError("the connection was lost as soon as it was made") from None


async def _answers(connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
    """So that no statement that changes something meets a dead connection first: none is ever repeated."""
    try:
        await connection.execute("SELECT", timeout=ANSWER_SECONDS)
    except (*_LOST, asyncpg.PostgresError):
        _drop(connection)
        raise _StaleError from None


def _drop(connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
    # One that is lost already has left the pool, and can't be ended again.
    with contextlib.suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _nothing(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing here changes a connection's state; asyncpg itself rolls back what was left open."""


def _line(error: BaseException) -> str:
    """A message and its detail, short and printable: the server is not trusted to be either."""
    lines = " ".join(" ".join(str(error).splitlines()[:2]).split())[:400]
    return "".join(character if character.isprintable() else "?" for character in lines)
