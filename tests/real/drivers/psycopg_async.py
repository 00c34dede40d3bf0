"""psycopg 3, asynchronous: libpq's non-blocking calls, a pool of concurrent sessions, cancelled tasks."""

import asyncio
from typing import Any

import psycopg

from tests.real.drivers.corpus import ERRORS, LITERALS, SETUP
from tests.real.drivers.psycopg_sync import describe
from tests.real.drivers.script import Endpoint, Script

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


def run(to: Endpoint) -> list[tuple[str, Any]]:
    """The script."""
    return asyncio.run(_run(to))


async def _run(to: Endpoint) -> list[tuple[str, Any]]:
    s = Script(describe)
    async with await psycopg.AsyncConnection.connect(to.conninfo(), autocommit=True) as c:
        for statement in SETUP:
            await s.astep(statement, _rows, c, statement)
        for part in (_queries, _errors, _pipeline, _copy, _cancel):
            await part(s, c)
        await _notify(s, c, to)
        await _together(s, to)
    return s.steps


async def _rows(c: Connection, sql: Any, *args: Any, **named: Any) -> Any:
    cursor = await c.execute(sql, *args, **named)
    return [cursor.statusmessage, await cursor.fetchall() if cursor.description else None]


async def _queries(s: Script, c: Connection) -> None:
    for type_, literals in LITERALS.items():
        await s.astep(f"{type_}", _rows, c, f"SELECT %s::text::{type_}, NULL::{type_}", [literals[0]], binary=True)
    await s.astep("many rows", _rows, c, "SELECT g, repeat('z', 50) FROM generate_series(1, 20000) g")

    async def streamed() -> Any:
        return [row async for row in c.cursor().stream("SELECT g FROM generate_series(1, 2000) g", size=100)]

    async def stepped() -> Any:
        async with c.transaction(), c.cursor("steps") as cursor:
            await cursor.execute("SELECT id FROM parent ORDER BY id")
            return [await cursor.fetchmany(7), await cursor.fetchone(), await cursor.fetchall()]

    await s.astep("streamed", streamed)
    await s.astep("stepped", stepped)


async def _errors(s: Script, c: Connection) -> None:
    for sql in ERRORS:

        async def inside(sql: str = sql) -> Any:
            async with c.transaction():
                await _rows(c, "INSERT INTO bag (a) VALUES (1)")
                return await _rows(c, sql, prepare=True)

        await s.astep(f"error: {sql}", inside)
        s.step("status", lambda: c.info.transaction_status)


async def _pipeline(s: Script, c: Connection) -> None:
    async def ordinary() -> Any:
        async with c.pipeline():
            cursors = [await c.execute("SELECT %s::int", [i]) for i in range(200)]
            return [await cursor.fetchone() for cursor in cursors]

    async def broken() -> Any:
        async with c.pipeline(), c.transaction():
            await c.execute("INSERT INTO bag (a) VALUES (888)")
            await c.execute("SELECT 1/0")
            await c.execute("INSERT INTO bag (a) VALUES (889)")

    await s.astep("pipeline", ordinary)
    await s.astep("pipeline with an error", broken)
    await s.astep("nothing of it", _rows, c, "SELECT count(*) FROM bag WHERE a IN (888, 889)")


async def _copy(s: Script, c: Connection) -> None:
    async def into() -> Any:
        async with c.cursor() as cursor, cursor.copy("COPY bag (a, b) FROM STDIN") as copy:
            for i in range(3000):
                await copy.write_row((i, "r" * 100))
        return cursor.rowcount

    async def out() -> Any:
        async with c.cursor() as cursor, cursor.copy("COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT") as copy:
            return b"".join([bytes(block) async for block in copy])

    await s.astep("copy in", into)
    await s.astep("copy out", out)


async def _cancel(s: Script, c: Connection) -> None:
    async def abandoned() -> Any:
        try:
            async with asyncio.timeout(0.3):
                return await _rows(c, "SELECT pg_sleep(30)")
        except TimeoutError:
            return "timed out"

    await s.astep("abandoned", abandoned)
    await s.astep("works", _rows, c, "SELECT 1")


async def _notify(s: Script, c: Connection, to: Endpoint) -> None:
    await s.astep("listen", _rows, c, "LISTEN news")

    async def heard() -> Any:
        async with await psycopg.AsyncConnection.connect(to.conninfo(), autocommit=True) as other:
            for payload in ("one", "two", "three"):
                await other.execute("SELECT pg_notify('news', %s)", [payload])
        return [n.payload async for n in c.notifies(timeout=10, stop_after=3)]

    await s.astep("heard", heard)


async def _together(s: Script, to: Endpoint) -> None:
    """Sessions at the same time see their own answers."""

    async def one(number: int) -> Any:
        async with await psycopg.AsyncConnection.connect(to.conninfo(), autocommit=True) as c:
            return [await _rows(c, "SELECT %s::int, pg_sleep(0.005)", [number]) for _ in range(10)]

    await s.astep("together", lambda: asyncio.gather(*(one(number) for number in range(12))))
