"""asyncpg: its own protocol code, binary both ways, Flush instead of Sync where it can, portals with row limits."""

import asyncio
import datetime as dt
import decimal
import io
import re
import ssl
import uuid
from typing import Any

import asyncpg

from tests.real.drivers.corpus import ERRORS, LITERALS, SETUP
from tests.real.drivers.script import Endpoint, Script

Connection = Any
#: asyncpg numbers its statements across connections.
_NAMED = re.compile("__asyncpg_stmt_[0-9a-f]+__")


def describe(error: Exception) -> Any:
    """Everything an ErrorResponse carried."""
    if isinstance(error, asyncpg.PostgresError):
        fields = {k: _NAMED.sub("…", v) for k, v in error.as_dict().items() if v is not None}
        return {"type": type(error).__name__, **fields}
    if isinstance(error, asyncpg.InterfaceError | TimeoutError | asyncpg.UnsupportedClientFeatureError):
        return {"type": type(error).__name__}
    return None


async def connect(to: Endpoint) -> Connection:
    """Open a connection."""
    tls: Any = False
    if to.ca is not None:
        tls = ssl.create_default_context(cafile=to.ca)
    return await asyncpg.connect(
        host=to.host, port=to.port, user=to.user, password=to.password, database=to.database, ssl=tls
    )


def run(to: Endpoint) -> list[tuple[str, Any]]:
    """The script."""
    return asyncio.run(_run(to))


async def _run(to: Endpoint) -> list[tuple[str, Any]]:
    s = Script(describe)
    c = await connect(to)
    try:
        for statement in SETUP:
            await s.astep(statement, c.execute, statement)
        s.step("version", lambda: [list(c.get_server_version())[:2], c.get_settings().TimeZone])
        for part in (_types, _queries, _errors, _prepared, _cursors, _copy, _notices, _large, _timeouts):
            await part(s, c)
        await _notify(s, c, to)
        await s.astep("terminated", c.execute, "SELECT pg_terminate_backend(pg_backend_pid())")
        s.step("is closed", c.is_closed)
    finally:
        c.terminate()
    return s.steps


async def _rows(c: Connection, sql: str, *args: Any) -> Any:
    return [dict(record) for record in await c.fetch(sql, *args)]


async def _types(s: Script, c: Connection) -> None:
    for type_, literals in LITERALS.items():
        for literal in (*literals, None):
            await s.astep(f"{type_} {literal!r}", _rows, c, f"SELECT $1::text::{type_} AS v", literal)
            quoted = "NULL" if literal is None else "'" + literal.replace("'", "''") + "'"
            await s.astep(f"literal {type_} {literal!r}", _rows, c, f"SELECT {quoted}::{type_} AS v")
    values = {
        "int4": 5,
        "int8[]": [1, None, 3],
        "text": "Zürich",
        "bytea": b"\x00\xff",
        "numeric": decimal.Decimal("1.50"),
        "float8": 2.5,
        "bool": True,
        "date": dt.date(2024, 2, 29),
        "timestamptz": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "interval": dt.timedelta(days=1, microseconds=5),
        "uuid": uuid.UUID(int=7),
        "jsonb": '{"a": 1}',
        "pair": (1, "two"),
        "mood": "happy",
        "int4range": asyncpg.Range(1, 5),
        "point": asyncpg.Point(1, 2),
    }
    for type_, value in values.items():
        await s.astep(f"parameter {type_}", _rows, c, f"SELECT $1::{type_} AS v", value)
        await s.astep(f"null parameter {type_}", _rows, c, f"SELECT $1::{type_} AS v", None)


async def _queries(s: Script, c: Connection) -> None:
    await s.astep("empty, prepared", c.fetch, "")
    await s.astep("multi", c.execute, "CREATE TEMP TABLE m (x int); INSERT INTO m VALUES (1), (2); SELECT * FROM m")
    await s.astep("multi with an error", c.execute, "INSERT INTO m VALUES (3); SELECT 1/0")
    await s.astep("after", _rows, c, "SELECT * FROM m ORDER BY x")
    await s.astep("fetchval", c.fetchval, "SELECT count(*) FROM parent WHERE id > $1", 10)
    await s.astep("fetchrow none", c.fetchrow, "SELECT * FROM parent WHERE false")
    await s.astep(
        "executemany", c.executemany, "INSERT INTO bag (a, b) VALUES ($1, $2)", [(i, str(i)) for i in range(300)]
    )
    await s.astep("sum", c.fetchval, "SELECT sum(a) FROM bag")
    bad = [(i, str(i)) for i in (2001, 2002, 1, 2003)]
    await s.astep("executemany fails", c.executemany, "INSERT INTO parent (id, name) VALUES ($1, $2)", bad)
    await s.astep("rolled back", c.fetchval, "SELECT count(*) FROM parent WHERE id > 2000")
    await s.astep("fetchmany", c.fetchmany, "INSERT INTO bag (a) VALUES ($1) RETURNING a", [(i,) for i in range(9)])
    await s.astep("wrong argument", _rows, c, "SELECT $1::int", "not a number")
    await s.astep("too many arguments", _rows, c, "SELECT $1::int", 1, 2)


async def _errors(s: Script, c: Connection) -> None:
    # asyncpg trips over an empty simple query itself.
    for sql in filter(None, ERRORS):
        await s.astep(f"error: {sql}", c.execute, sql)
        await s.astep(f"error, extended: {sql}", c.fetch, sql)

        async def inside(how: Any, sql: str = sql) -> None:
            async with c.transaction():
                try:
                    async with c.transaction():
                        await how(sql)
                except asyncpg.PostgresError:
                    await c.execute("SELECT 1")
                    raise

        await s.astep(f"error in a transaction: {sql}", inside, c.execute)
        await s.astep(f"error, extended, in a transaction: {sql}", inside, c.fetch)
        s.step("in transaction?", c.is_in_transaction)

    async def aborted() -> None:
        transaction = c.transaction()
        await transaction.start()
        try:
            await c.execute("SELECT 1/0")
        except asyncpg.PostgresError:
            await c.fetch("SELECT 1")
        finally:
            await transaction.rollback()

    await s.astep("aborted", aborted)
    async with c.transaction(isolation="serializable", readonly=True, deferrable=True):
        await s.astep("read only", c.execute, "INSERT INTO bag (a) VALUES (1)")


async def _prepared(s: Script, c: Connection) -> None:
    statement = await c.prepare("SELECT id, name FROM parent WHERE id = $1")
    s.step("attributes", lambda: [[a.name, a.type.name] for a in statement.get_attributes()])
    s.step("parameters", lambda: [p.name for p in statement.get_parameters()])
    for i in (1, 2, 99):
        await s.astep(f"prepared {i}", statement.fetch, i)
    await s.astep("explain", lambda: _present(statement.explain(1)))
    await s.astep("executemany", statement.executemany, [(1,), (2,)])
    await s.astep("deallocate", c.execute, "DEALLOCATE ALL")
    await s.astep("gone", statement.fetch, 1)
    await s.astep("reset", c.reset)
    await s.astep("create", c.execute, "CREATE TABLE shifting (a int); INSERT INTO shifting VALUES (1)")
    shifting = await c.prepare("SELECT * FROM shifting")
    await s.astep("before", shifting.fetch)
    await s.astep("alter", c.execute, "ALTER TABLE shifting ADD b int")
    await s.astep("cached plan", shifting.fetch)
    await s.astep("fetched anew", _rows, c, "SELECT * FROM shifting")


async def _present(waiting: Any) -> bool:
    return bool(await waiting)


async def _cursors(s: Script, c: Connection) -> None:
    async def iterated(prefetch: int) -> Any:
        async with c.transaction():
            return [dict(r) async for r in c.cursor("SELECT id FROM parent WHERE id > $1", 5, prefetch=prefetch)]

    async def stepped() -> Any:
        async with c.transaction():
            cursor = await c.cursor("SELECT id, name FROM parent ORDER BY id")
            found = [await cursor.fetch(3), await cursor.forward(4), await cursor.fetchrow(), await cursor.fetch(100)]
            return [*found, await cursor.fetch(1)]

    async def two() -> Any:
        async with c.transaction():
            one = await c.cursor("SELECT id FROM parent ORDER BY id")
            other = await c.cursor("SELECT name FROM parent ORDER BY id DESC")
            return [[await one.fetch(2), await other.fetch(3)] for _ in range(4)]

    for prefetch in (1, 7, 1000):
        await s.astep(f"cursor {prefetch}", iterated, prefetch)
    await s.astep("stepped", stepped)
    await s.astep("two at once", two)

    async def outside() -> Any:
        return [r async for r in c.cursor("SELECT 1")]

    await s.astep("outside a transaction", outside)


async def _copy(s: Script, c: Connection) -> None:
    records = [(i, f"text {i}", bytes([i % 256]), None) for i in range(1000)]

    async def out(**options: Any) -> Any:
        target = io.BytesIO()
        tag = await c.copy_from_query("SELECT a, b, c FROM bag ORDER BY a, b", output=target, **options)
        return [tag, target.getvalue()]

    await s.astep("truncate", c.execute, "TRUNCATE bag")
    await s.astep("records", c.copy_records_to_table, "bag", records=records)
    await s.astep("out text", out)
    await s.astep("out csv", out, format="csv", header=True)
    await s.astep("out binary", out, format="binary")
    await s.astep("in csv", _into, c, b'1,x\n2,"y, z"\n', columns=["a", "b"], format="csv")
    await s.astep("in text", _into, c, b"1\tx\n2\t\\N\n", columns=["a", "b"])
    await s.astep("in bad", _into, c, b"x\ty\n", columns=["a", "b"])
    await s.astep("in no table", c.copy_to_table, "no_such", source=io.BytesIO(b"1\n"))

    async def failing() -> Any:
        async def source() -> Any:
            yield b"1\tx\n"
            raise ValueError("the client gives up")

        try:
            return await c.copy_to_table("bag", source=source(), columns=["a", "b"])
        except ValueError:
            return "gave up"

    await s.astep("copy fail", failing)
    await s.astep("count", c.fetchval, "SELECT count(*) FROM bag")


async def _into(c: Connection, data: bytes, **options: Any) -> Any:
    return await c.copy_to_table("bag", source=io.BytesIO(data), **options)


async def _notices(s: Script, c: Connection) -> None:
    seen: list[Any] = []

    def keep(_: Any, notice: Any) -> None:
        seen.append({k: v for k, v in notice.as_dict().items() if v is not None})

    c.add_log_listener(keep)
    await s.astep("notice", _rows, c, "SELECT shout('hey')")
    await s.astep("warning", c.execute, "DO $$ BEGIN RAISE WARNING 'careful'; END $$")
    # Listeners run by `call_soon`; one round trip is more than one turn of the loop.
    await c.execute("SELECT 1")
    s.step("seen", lambda: seen)
    c.remove_log_listener(keep)


async def _large(s: Script, c: Connection) -> None:
    await s.astep("1 MB", c.fetchval, "SELECT repeat('x', 1048576)")
    await s.astep("1 MB parameter", c.fetchval, "SELECT md5($1::bytea)", b"z" * 1048576)
    await s.astep("many rows", c.fetch, "SELECT g, 'row ' || g AS t FROM generate_series(1, 100000) g")
    await s.astep("error after rows", c.fetch, "SELECT 10 / (5000 - g) FROM generate_series(1, 10000) g")


async def _timeouts(s: Script, c: Connection) -> None:
    async def timed() -> Any:
        return await c.execute("SELECT pg_sleep(30)", timeout=0.3)

    async def cancelled() -> Any:
        task = asyncio.ensure_future(c.fetch("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"

    await s.astep("timeout", timed)
    await s.astep("works after", c.fetchval, "SELECT 1")
    await s.astep("cancelled", cancelled)
    await s.astep("works after", c.fetchval, "SELECT 2")


async def _notify(s: Script, c: Connection, to: Endpoint) -> None:
    other = await connect(to)
    got: asyncio.Queue[Any] = asyncio.Queue()
    await s.astep(
        "listen", c.add_listener, "news", lambda _c, _pid, channel, payload: got.put_nowait([channel, payload])
    )

    async def heard() -> Any:
        await other.execute("NOTIFY news, 'one'")
        await other.execute("NOTIFY news, 'two'")
        return [await asyncio.wait_for(got.get(), 10) for _ in range(2)]

    await s.astep("heard", heard)
    await s.astep("reset listeners", c.reset)
    await other.close()
