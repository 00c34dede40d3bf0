"""pg8000: pure Python, text format both ways, DB-API and native interfaces."""

import datetime as dt
import decimal
import io
import ssl
import uuid
from typing import Any

import pg8000.dbapi
import pg8000.exceptions
import pg8000.native

from tests.real.drivers.corpus import ERRORS, LITERALS, SETUP
from tests.real.drivers.script import Endpoint, Script


def describe(error: Exception) -> Any:
    """Everything an ErrorResponse carried."""
    if isinstance(error, pg8000.exceptions.DatabaseError) and error.args and isinstance(error.args[0], dict):
        return {"type": type(error).__name__, **error.args[0]}
    if isinstance(error, pg8000.exceptions.InterfaceError):
        return {"type": type(error).__name__}
    return None


def parameters(to: Endpoint) -> dict[str, Any]:
    """Connection parameters."""
    context: Any = False if to.ca is None else ssl.create_default_context(cafile=to.ca)
    return {
        "host": to.host,
        "port": to.port,
        "user": to.user,
        "password": to.password,
        "database": to.database,
        "ssl_context": context,
        "timeout": 60,
    }


def run(to: Endpoint) -> list[tuple[str, Any]]:
    """The script."""
    s = Script(describe)
    c = pg8000.native.Connection(**parameters(to))
    for statement in SETUP:
        s.step(statement, _run, c, statement)
    for part in (_types, _queries, _errors, _prepared, _copy, _notices, _large):
        part(s, c)
    _notify(s, c, to)
    s.step("close", c.close)
    _dbapi(s, to)
    return s.steps


def _run(c: pg8000.native.Connection, sql: str, **values: Any) -> Any:
    found = c.run(sql, **values)
    columns = None if c.columns is None else [(x["name"], min(x["type_oid"], 16384), x["format"]) for x in c.columns]
    return [found, columns, c.row_count]


def _types(s: Script, c: pg8000.native.Connection) -> None:
    for type_, literals in LITERALS.items():
        for literal in (*literals, None):
            s.step(f"{type_} {literal!r}", _run, c, f"SELECT CAST(CAST(:v AS text) AS {type_}) AS v", v=literal)
    values = (
        1,
        2**40,
        2.5,
        decimal.Decimal("1.5"),
        "text",
        b"\x00\x01",
        True,
        None,
        uuid.UUID(int=3),
        [1, None],
        ["a"],
    )
    times = (dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, 2, 3, 4, 5, dt.UTC), dt.timedelta(seconds=5))
    for value in (*values, *times, {"a": [1]}):
        s.step(f"parameter {value!r}", _run, c, "SELECT :v", v=value)


def _queries(s: Script, c: pg8000.native.Connection) -> None:
    s.step("empty", _run, c, "")
    s.step("multi", _run, c, "CREATE TEMP TABLE m (x int); INSERT INTO m VALUES (1); SELECT * FROM m")
    s.step("multi with an error", _run, c, "INSERT INTO m VALUES (2); SELECT 1/0")
    s.step("after", _run, c, "SELECT * FROM m")
    s.step("returning", _run, c, "INSERT INTO bag (a, b) VALUES (:a, :b) RETURNING *", a=1, b="x")
    s.step("update", _run, c, "UPDATE bag SET b = 'y' WHERE a = :a", a=1)
    s.step("view", _run, c, "SELECT * FROM names WHERE id <= 3 ORDER BY id")
    s.step("settings", lambda: {k: v for k, v in c.parameter_statuses.items() if k != "application_name"})
    s.step("set", lambda: [_run(c, "SET TimeZone = 'Asia/Tokyo'"), c.parameter_statuses["TimeZone"]])
    s.step("timestamptz", _run, c, "SELECT '2024-01-01 00:00+00'::timestamptz")


def _errors(s: Script, c: pg8000.native.Connection) -> None:
    for sql in ERRORS:
        s.step(f"error: {sql}", _run, c, sql)
        s.step("begin", _run, c, "BEGIN")
        s.step("savepoint", _run, c, "SAVEPOINT one")
        s.step(f"error in a transaction: {sql}", _run, c, sql)
        s.step("aborted", _run, c, "SELECT 1")
        s.step("rollback to", _run, c, "ROLLBACK TO one")
        s.step("error with a parameter", _run, c, "SELECT 1 / CAST(:v AS int)", v=0)
        s.step("commit", _run, c, "COMMIT")
    s.step("works", _run, c, "SELECT 1")


def _prepared(s: Script, c: pg8000.native.Connection) -> None:
    statement = c.prepare("SELECT id, name FROM parent WHERE id = :id")
    for number in (1, 2, 99):
        s.step(f"prepared {number}", lambda n: [statement.run(id=n), [x["name"] for x in statement.columns]], number)
    s.step("close", statement.close)
    s.step("closed", statement.run, id=1)
    s.step("declare", lambda: [_run(c, "BEGIN"), _run(c, "DECLARE k CURSOR FOR SELECT id FROM parent ORDER BY id")])
    s.step("fetch", lambda: [_run(c, "FETCH 3 FROM k"), _run(c, "FETCH FORWARD ALL FROM k"), _run(c, "COMMIT")])


def _copy(s: Script, c: pg8000.native.Connection) -> None:
    def into(sql: str, data: bytes) -> Any:
        return [c.run(sql, stream=io.BytesIO(data)), c.row_count]

    def out(sql: str) -> Any:
        stream = io.BytesIO()
        c.run(sql, stream=stream)
        return [stream.getvalue(), c.row_count]

    s.step("in", into, "COPY bag (a, b) FROM STDIN", b"1\tone\n2\t\\N\n" * 500)
    s.step("in csv", into, "COPY bag (a, b) FROM STDIN WITH (FORMAT CSV)", b'3,"three, 3"\n')
    s.step("in bad", into, "COPY bag (a, b) FROM STDIN", b"x\ty\n")
    s.step("out", out, "COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT")
    s.step("out csv", out, "COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT (FORMAT CSV, HEADER)")
    s.step("out binary", out, "COPY (SELECT a, b FROM bag ORDER BY a, b) TO STDOUT (FORMAT BINARY)")
    s.step("out error", out, "COPY (SELECT 1 / (5 - g) FROM generate_series(1, 9) g) TO STDOUT")
    s.step("count", _run, c, "SELECT count(*) FROM bag")


def _notices(s: Script, c: pg8000.native.Connection) -> None:
    s.step("notice", _run, c, "SELECT shout('hey')")
    s.step("seen", lambda: list(c.notices))


def _large(s: Script, c: pg8000.native.Connection) -> None:
    s.step("1 MB", _run, c, "SELECT repeat('x', 1048576)")
    s.step("1 MB parameter", _run, c, "SELECT md5(:v)", v="z" * 1048576)
    s.step("many rows", _run, c, "SELECT g, 'row ' || g FROM generate_series(1, 100000) g")


def _notify(s: Script, c: pg8000.native.Connection, to: Endpoint) -> None:
    other = pg8000.native.Connection(**parameters(to))
    s.step("listen", _run, c, "LISTEN news")
    s.step("notify", _run, other, "NOTIFY news, 'hello'")
    s.step("poll", _run, c, "SELECT 1")
    s.step("heard", lambda: [[channel, payload] for _, channel, payload in c.notifications])
    other.close()


def _dbapi(s: Script, to: Endpoint) -> None:
    with pg8000.dbapi.connect(**parameters(to)) as c:
        cursor = c.cursor()

        def ran(sql: str, values: Any = ()) -> Any:
            cursor.execute(sql, values)
            return [cursor.description, cursor.rowcount, cursor.fetchall() if cursor.description else None]

        s.step("dbapi", ran, "SELECT %s, %s", (1, "x"))
        s.step("dbapi error", ran, "SELECT 1/0")
        s.step("dbapi aborted", ran, "SELECT 1")
        s.step("dbapi rollback", c.rollback)
        s.step("dbapi many", cursor.executemany, "INSERT INTO bag (a) VALUES (%s)", [(i,) for i in range(5000, 5020)])
        s.step("dbapi commit", c.commit)
        s.step("dbapi count", ran, "SELECT count(*) FROM bag WHERE a >= 5000")
        xid = c.xid(1, "global", "branch")
        s.step("two-phase", c.tpc_begin, xid)
        s.step("two-phase prepare", c.tpc_prepare)
