"""psycopg 3, blocking: libpq underneath, simple and extended protocol, pipelines, COPY, cursors, cancel."""

import contextlib
import datetime as dt
import decimal
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg import pq
from psycopg.types.json import Jsonb

from tests.real.drivers.corpus import ERRORS, LITERALS, SETUP
from tests.real.drivers.script import Endpoint, Script

Connection = psycopg.Connection[tuple[Any, ...]]

SETTINGS = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "is_superuser",
    "session_authorization",
    "application_name",
    "in_hot_standby",
    "default_transaction_read_only",
)


def describe(error: Exception) -> Any:
    """Everything an ErrorResponse carried."""
    if isinstance(error, psycopg.Error):
        diag = error.diag
        if diag.sqlstate is None:
            return {"type": type(error).__name__, "text": str(error).partition("\n")[0]}
        return {"type": type(error).__name__, **diagnosis(diag)}
    return None


def diagnosis(diag: psycopg.errors.Diagnostic) -> dict[str, Any]:
    """The fields that are set."""
    names = [n for n in dir(diag) if not n.startswith("_") and isinstance(getattr(diag, n), str)]
    return {name: getattr(diag, name) for name in names}


def rows(connection: Connection, sql: Any, *args: Any, **kwargs: Any) -> Any:
    """Rows, tag and description of one statement."""
    cursor = connection.execute(sql, *args, **kwargs)
    return outcome(cursor)


def outcome(cursor: Any) -> Any:
    """What a cursor holds now."""
    description = None
    if cursor.description is not None:
        # Types of the database's own have another OID every time.
        description = [(c.name, min(c.type_code, 16384), c.internal_size) for c in cursor.description]
    return [cursor.statusmessage, cursor.rowcount, description, cursor.fetchall() if description else None]


def run(to: Endpoint) -> list[tuple[str, Any]]:
    """The script."""
    script = Script(describe)
    with psycopg.connect(to.conninfo(application_name="conformance"), autocommit=True) as c:
        for statement in SETUP:
            script.step(statement, rows, c, statement)
        for part in (
            _session,
            _types,
            _queries,
            _errors,
            _prepared,
            _cursors,
            _notices,
            _large,
            _objects,
            _two_phase,
        ):
            part(script, c)
        _copy(script, c, to)
        _pipeline(script, c)
        _notify(script, c, to)
        _cancel(script, c)
        script.step("terminated", lambda: rows(c, "SELECT pg_terminate_backend(pg_backend_pid())"))
        script.step("is closed", lambda: [c.closed, c.broken])
    return script.steps


def _session(s: Script, c: Connection) -> None:
    def settings() -> Any:
        return {name: c.info.parameter_status(name) for name in SETTINGS}

    s.step("parameters", settings)
    s.step("status", lambda: [c.info.transaction_status, c.info.status, c.info.server_version, c.info.encoding])
    s.step("protocol", lambda: c.pgconn.protocol_version)
    for name, value in (("application_name", "other"), ("TimeZone", "Asia/Tokyo"), ("DateStyle", "German")):
        s.step(f"SET {name}", rows, c, f"SET {name} = '{value}'")
        s.step(f"status {name}", settings)
        s.step(f"SHOW {name}", rows, c, f"SHOW {name}")
    s.step("show all", lambda: len(rows(c, "SHOW ALL")[3]) > 100)
    s.step("reset all", lambda: [rows(c, "RESET ALL"), settings()])
    s.step("set local outside", lambda: rows(c, "SET LOCAL work_mem = '5MB'"))
    s.step("who", lambda: rows(c, "SELECT current_user, session_user, current_database() = current_catalog"))
    s.step("discard all", lambda: rows(c, "DISCARD ALL"))


def _types(s: Script, c: Connection) -> None:
    for type_, literals in LITERALS.items():
        for literal in (*literals, None):
            for binary in (False, True):
                name = f"{type_} {literal!r} {'binary' if binary else 'text'}"
                quoted = "NULL" if literal is None else "'" + literal.replace("'", "''") + "'"
                s.step(f"raw {name}", _raw, c, f"SELECT {quoted}::{type_}", binary=binary)
        s.step(f"loaded {type_}", rows, c, f"SELECT %s::text::{type_}", [literals[0]])
    values = (
        1,
        2**40,
        1.5,
        decimal.Decimal("10.25"),
        "text",
        b"\x00bytes",
        True,
        None,
        dt.date(2024, 2, 29),
        dt.datetime(2024, 1, 2, 3, 4, 5, 678, dt.UTC),
        dt.timedelta(days=1, seconds=2),
        uuid.UUID(int=5),
        [1, 2, None],
        ["a", None],
        Jsonb({"a": [1]}),
    )
    for value in values:
        for kind in ("s", "t", "b"):
            s.step(f"param {value!r:.40} %{kind}"[:60], rows, c, f"SELECT %{kind}", [value])
    s.step("all params at once", lambda: rows(c, "SELECT " + ",".join(["%s"] * len(values)), values))


def _raw(c: Connection, sql: str, *, binary: bool) -> Any:
    """Result bytes as libpq gave them, no loader between."""
    result = c.pgconn.exec_params(sql.encode(), None, None, None, pq.Format.BINARY if binary else pq.Format.TEXT)
    if result.status != pq.ExecStatus.TUPLES_OK:
        return [result.status, result.error_field(pq.DiagnosticField.SQLSTATE), result.error_message]
    return [result.fformat(0), result.fmod(0), result.fsize(0), result.fname(0), result.get_value(0, 0)]


def _queries(s: Script, c: Connection) -> None:
    s.step("empty", lambda: rows(c, ""))
    s.step("comment only", lambda: rows(c, "-- nothing"))
    s.step("semicolons", lambda: rows(c, ";;"))

    def several(sql: str) -> Any:
        cursor = c.execute(sql)
        found = [outcome(cursor)]
        while cursor.nextset():
            found.append(outcome(cursor))
        return found

    s.step(
        "multi", lambda: several("SELECT 1 AS a; SELECT 2, 3; CREATE TEMP TABLE m (x int); INSERT INTO m VALUES (1)")
    )
    s.step("multi with an error rolls back", lambda: several("INSERT INTO m VALUES (2); SELECT 1/0; SELECT 3"))
    s.step("after", lambda: rows(c, "SELECT * FROM m"))
    s.step("multi with begin", lambda: several("BEGIN; INSERT INTO m VALUES (3); SELECT count(*) FROM m"))
    s.step("status", lambda: c.info.transaction_status)
    s.step("rollback", lambda: [rows(c, "ROLLBACK"), rows(c, "SELECT * FROM m")])
    s.step(
        "two commits in one", lambda: several("INSERT INTO m VALUES (4); COMMIT; INSERT INTO m VALUES (5); ROLLBACK")
    )
    s.step("no columns", lambda: rows(c, "SELECT FROM parent LIMIT 3"))
    s.step("zero rows", lambda: rows(c, "SELECT * FROM parent WHERE false"))
    s.step("view", lambda: rows(c, "SELECT * FROM names ORDER BY id LIMIT 3"))
    s.step("returning", lambda: rows(c, "INSERT INTO bag (a, b) VALUES (1, %s) RETURNING *", ["x"]))
    s.step("update", lambda: rows(c, "UPDATE bag SET a = a + 1 WHERE a = %s", [1]))
    s.step("delete", lambda: rows(c, "DELETE FROM bag WHERE a = 2"))
    s.step("cte", lambda: rows(c, "WITH d AS (INSERT INTO bag (a) VALUES (9) RETURNING a) SELECT * FROM d"))
    s.step("explain", lambda: len(rows(c, "EXPLAIN SELECT * FROM parent")[3]) > 0)
    s.step("values", lambda: rows(c, "VALUES (1, 'a'), (2, NULL)"))
    s.step("do", lambda: rows(c, "DO $$ BEGIN PERFORM 1; END $$"))
    s.step("executemany", lambda: _many(c))


def _many(c: Connection) -> Any:
    with c.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO bag (a, b) VALUES (%s, %s) RETURNING a", [(i, str(i)) for i in range(20)], returning=True
        )
        found = [outcome(cursor)]
        while cursor.nextset():
            found.append(outcome(cursor))
        return found


def _errors(s: Script, c: Connection) -> None:
    for sql in ERRORS:
        s.step(f"error: {sql}", rows, c, sql)
        s.step("status", lambda: c.info.transaction_status)
        s.step(f"error, extended: {sql}", rows, c, sql, prepare=True)
        s.step("begin", lambda: rows(c, "BEGIN"))
        s.step("savepoint", lambda: rows(c, "SAVEPOINT one"))
        s.step(f"error in a transaction: {sql}", rows, c, sql)
        s.step("status in it", lambda: c.info.transaction_status)
        s.step("refused until rollback", lambda: rows(c, "SELECT 1"))
        s.step("rollback to", lambda: [rows(c, "ROLLBACK TO one"), c.info.transaction_status])
        s.step("works again", lambda: rows(c, "SELECT 'works'"))
        s.step(f"error, extended, in a transaction: {sql}", rows, c, sql, prepare=True)
        s.step("commit", lambda: [rows(c, "COMMIT"), c.info.transaction_status])

    def block() -> Any:
        with c.transaction():
            rows(c, "INSERT INTO bag (a) VALUES (77)")
            with contextlib.suppress(psycopg.Error), c.transaction():
                rows(c, "SELECT 1/0")
            raise psycopg.Rollback

    s.step("nested transactions", lambda: [block(), rows(c, "SELECT count(*) FROM bag WHERE a = 77")])
    s.step("begin twice", lambda: [rows(c, "BEGIN"), rows(c, "BEGIN"), rows(c, "COMMIT"), rows(c, "COMMIT")])
    s.step("deferred constraint", lambda: _deferred(c))


def _deferred(c: Connection) -> Any:
    rows(c, "CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    rows(c, "BEGIN")
    rows(c, "INSERT INTO late VALUES (1), (1)")
    return rows(c, "COMMIT")


def _prepared(s: Script, c: Connection) -> None:
    for value in range(8):
        s.step(f"prepared {value}", rows, c, "SELECT id, name FROM parent WHERE id = %s", [value], prepare=True)
    count = "SELECT count(*), bool_and(from_sql) FROM pg_prepared_statements"
    s.step("count", lambda: rows(c, count))
    s.step("deallocate all", lambda: [rows(c, "DEALLOCATE ALL"), rows(c, count)])
    s.step("again", lambda: rows(c, "SELECT id, name FROM parent WHERE id = %s", [3], prepare=True))
    s.step("sql prepare", lambda: rows(c, "PREPARE p (int) AS SELECT $1 + 1 AS next"))
    s.step("sql execute", lambda: [rows(c, "EXECUTE p (41)"), rows(c, "EXECUTE p (NULL)")])
    s.step("sql prepare twice", lambda: rows(c, "PREPARE p AS SELECT 1"))
    s.step("sql deallocate", lambda: [rows(c, "DEALLOCATE p"), rows(c, count)])
    s.step("create", lambda: rows(c, "CREATE TABLE shifting (a int); INSERT INTO shifting VALUES (1)"))
    s.step("before ddl", lambda: [rows(c, "SELECT * FROM shifting", prepare=True) for _ in range(3)])
    s.step("ddl", lambda: rows(c, "ALTER TABLE shifting ADD b text DEFAULT 'new'"))
    s.step("cached plan", lambda: rows(c, "SELECT * FROM shifting", prepare=True))
    s.step("after", lambda: rows(c, "SELECT * FROM shifting"))


def _cursors(s: Script, c: Connection) -> None:
    def scroll() -> Any:
        with c.transaction(), c.cursor("scroller", scrollable=True) as cursor:
            cursor.execute("SELECT id, name FROM parent ORDER BY id")
            found: list[Any] = [cursor.fetchone(), cursor.fetchmany(5)]
            cursor.scroll(-3)
            found.append(cursor.fetchmany(2))
            cursor.scroll(45, mode="absolute")
            return [*found, cursor.fetchall()]

    def stepped(*, binary: bool) -> Any:
        with c.transaction(), c.cursor("stepper", binary=binary) as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT id, name, v::numeric FROM parent WHERE id > %s ORDER BY id", [3])
            return list(cursor)

    def held() -> Any:
        rows(c, "BEGIN")
        rows(c, "DECLARE held CURSOR WITH HOLD FOR SELECT id FROM parent ORDER BY id")
        rows(c, "COMMIT")
        found = [rows(c, "FETCH 3 FROM held"), rows(c, "MOVE 2 FROM held"), rows(c, "FETCH held")]
        return [*found, rows(c, "CLOSE held")]

    s.step("scroll", scroll)
    s.step("stepped text", lambda: stepped(binary=False))
    s.step("stepped binary", lambda: stepped(binary=True))
    s.step("held", held)
    s.step("closed cursor", lambda: rows(c, "FETCH held"))
    s.step("stream", lambda: list(c.cursor().stream("SELECT id, name FROM parent ORDER BY id")))
    s.step("stream in chunks", lambda: list(c.cursor().stream("SELECT id FROM parent ORDER BY id", size=7)))


def _copy(s: Script, c: Connection, to: Endpoint) -> None:
    data = [(i, f"text {i}\t\\", bytes([i % 256]), None) for i in range(500)]
    typed = ("int4", "text", "bytea", "timestamptz")

    def copy_in(options: str, *, types: bool = False) -> Any:
        rows(c, "TRUNCATE bag")
        with c.cursor() as cursor:
            with cursor.copy(f"COPY bag FROM STDIN {options}") as copy:
                if types:
                    copy.set_types(typed)
                for row in data:
                    copy.write_row(row)
            return [cursor.statusmessage, rows(c, "SELECT count(*), md5(string_agg(b, ',' ORDER BY a)) FROM bag")]

    def copy_out(what: str) -> Any:
        with c.cursor() as cursor, cursor.copy(f"COPY {what}") as copy:
            return b"".join(copy)

    def raw_in(sql: str, *blocks: bytes) -> Any:
        with c.cursor() as cursor:
            with cursor.copy(sql) as copy:
                for block in blocks:
                    copy.write(block)
            return cursor.statusmessage

    def failing() -> Any:
        with c.cursor() as cursor, cursor.copy("COPY bag FROM STDIN") as copy:
            copy.write(b"1\tx\t\\N\t\\N\n")
            raise psycopg.DataError("the client changes its mind")

    def broken_off() -> Any:
        # On a connection of its own: psycopg leaves it busy when the cancel comes late.
        many = "COPY (SELECT generate_series(1, 50000000)) TO STDOUT"
        with (
            contextlib.closing(psycopg.connect(to.conninfo(), autocommit=True)) as other,
            other.cursor().copy(many) as copy,
        ):
            return next(iter(copy))

    s.step("copy in text", lambda: copy_in(""))
    s.step("copy in binary", lambda: copy_in("(FORMAT binary)", types=True))
    s.step("copy in csv", lambda: raw_in("COPY bag FROM STDIN (FORMAT csv, HEADER)", b"a,b,c,d\n1,", b'"x, y",,\n'))
    s.step("copy out text", lambda: copy_out("(SELECT * FROM bag ORDER BY a) TO STDOUT"))
    s.step("copy out csv", lambda: copy_out("bag (a, b) TO STDOUT (FORMAT csv, HEADER)"))
    s.step("copy out binary", lambda: copy_out("bag TO STDOUT (FORMAT binary)"))
    s.step("copy out nothing", lambda: copy_out("(SELECT 1 WHERE false) TO STDOUT"))
    s.step("copy in bad data", lambda: raw_in("COPY bag FROM STDIN", b"1\tx\t\\N\t\\N\n", b"notanumber\tx\n"))
    s.step("copy in constraint", lambda: raw_in("COPY parent FROM STDIN", b"1\tagain\t1\n"))
    s.step("copy in no table", lambda: raw_in("COPY no_such_table FROM STDIN", b"1\n"))
    s.step("copy fail", failing)
    s.step("status", lambda: [c.info.transaction_status, rows(c, "SELECT count(*) FROM bag")])
    s.step("copy out broken off", broken_off)
    s.step("status", lambda: [c.info.transaction_status, rows(c, "SELECT 1")])
    s.step("begin", lambda: rows(c, "BEGIN"))
    s.step("copy in bad data in a transaction", lambda: raw_in("COPY bag FROM STDIN", b"x\n"))
    s.step("status", lambda: [c.info.transaction_status, rows(c, "ROLLBACK")])
    s.step("copy out error midway", lambda: copy_out("(SELECT 10 / (50 - g) FROM generate_series(1, 100) g) TO STDOUT"))
    s.step("big copy in", lambda: raw_in("COPY bag (b) FROM STDIN", *[b"x" * 8191 + b"\n"] * 500))
    s.step("big copy out", lambda: copy_out("(SELECT b FROM bag WHERE length(b) = 8191) TO STDOUT"))


def _notices(s: Script, c: Connection) -> None:
    seen: list[Any] = []

    def keep(diag: psycopg.errors.Diagnostic) -> None:
        seen.append(diagnosis(diag))

    c.add_notice_handler(keep)
    s.step("notice", lambda: [rows(c, "SELECT shout('hey')"), seen.copy()])
    for level in ("DEBUG", "INFO", "WARNING"):
        s.step(f"raise {level}", rows, c, f"DO $$ BEGIN RAISE {level} 'w %', 1; END $$")
    s.step("raised", lambda: seen)
    s.step("skipping", lambda: [rows(c, "DROP TABLE IF EXISTS never_was"), seen.copy()])
    s.step("many", lambda: [rows(c, "SELECT count(shout(name)) FROM parent"), len(seen)])
    c.remove_notice_handler(keep)


def _large(s: Script, c: Connection) -> None:
    s.step("1 MB", lambda: rows(c, "SELECT repeat('x', 1048576) AS big"))
    s.step("1 MB binary", lambda: rows(c, "SELECT decode(repeat('ab', 1048576), 'hex')", binary=True))
    s.step("1 MB parameter", lambda: rows(c, "SELECT length(%s), md5(%s)", ["y" * 1048576, b"z" * 1048576]))
    s.step("many rows", lambda: rows(c, "SELECT g, 'row ' || g FROM generate_series(1, 100000) g"))
    s.step("many rows binary", lambda: rows(c, "SELECT g FROM generate_series(1, 100000) g", binary=True))
    s.step("many columns", lambda: rows(c, "SELECT " + ",".join(f"{i} AS c{i}" for i in range(1600))))
    s.step("long statement", lambda: rows(c, "SELECT 1 /* " + "x" * 500_000 + " */"))
    s.step("error after rows", lambda: rows(c, "SELECT 10 / (5000 - g) FROM generate_series(1, 10000) g"))


def _objects(s: Script, c: Connection) -> None:
    s.step("lo create", lambda: rows(c, "SELECT lo_from_bytea(424242, %s)", [b"hello object"]))
    s.step("lo get", lambda: rows(c, "SELECT lo_get(424242)", binary=True))
    s.step("lo put", lambda: [rows(c, "SELECT lo_put(424242, 6, 'there!')"), rows(c, "SELECT lo_get(424242, 3, 9)")])

    def descriptor() -> Any:
        with c.transaction():
            fd = rows(c, "SELECT lo_open(424242, 393216)")[3][0][0]
            return [rows(c, "SELECT loread(%s, 100)", [fd]), rows(c, "SELECT lo_close(%s)", [fd])]

    s.step("lo descriptor", descriptor)
    s.step("lo unlink", lambda: rows(c, "SELECT lo_unlink(424242)"))
    s.step("lo gone", lambda: rows(c, "SELECT lo_get(424242)"))


def _two_phase(s: Script, c: Connection) -> None:
    s.step("prepare transaction", lambda: [rows(c, "BEGIN"), rows(c, "PREPARE TRANSACTION 'x'")])
    s.step("status", lambda: [c.info.transaction_status, rows(c, "ROLLBACK")])


def _pipeline(s: Script, c: Connection) -> None:
    def ordinary() -> Any:
        with c.pipeline():
            cursors = [c.execute("SELECT %s::int, name FROM parent WHERE id = %s", [i, i]) for i in range(1, 30)]
            first = cursors[0].fetchall()
            return [first, *(cursor.fetchall() for cursor in cursors[1:])]

    def broken(*, sync: bool, inside: bool) -> Any:
        # Which `execute` raises depends on when the answers come; that one does, does not.
        found: Any = None
        scope: contextlib.AbstractContextManager[Any] = c.transaction() if inside else contextlib.nullcontext()
        try:
            with c.pipeline() as pipeline, scope:
                for sql in ("SELECT 1", "INSERT INTO bag (a) VALUES (555)", "SELECT 1/0", "SELECT 4", "SELECT 5"):
                    c.execute(sql, prepare=True)
                    if sync:
                        pipeline.sync()
        except psycopg.Error as error:
            found = describe(error)
        return [found, c.info.transaction_status, rows(c, "SELECT count(*) FROM bag WHERE a = 555")]

    def flushing() -> Any:
        """Results are read while the segment is open: only Flush brings them."""
        with c.pipeline():
            return [c.execute("SELECT %s::int * 2", [i]).fetchone() for i in range(5)]

    def transaction() -> Any:
        with c.pipeline(), c.transaction():
            one = c.execute("INSERT INTO bag (a) VALUES (999) RETURNING a")
            two = c.execute("SELECT count(*) FROM bag WHERE a = 999")
        return [one.fetchall(), two.fetchall()]

    s.step("pipeline", ordinary)
    for sync in (False, True):
        for inside in (False, True):
            s.step(f"pipeline with an error {sync=} {inside=}", broken, sync=sync, inside=inside)
    s.step("pipeline flush", flushing)
    s.step("pipeline transaction", transaction)
    s.step("large pipeline", lambda: _large_pipeline(c))
    s.step("after", lambda: [rows(c, "SELECT 'fine'"), c.info.transaction_status])


def _large_pipeline(c: Connection) -> Any:
    with c.pipeline():
        cursors = [c.execute("SELECT %s::int, repeat('r', 500)", [i]) for i in range(3000)]
    return [len(cursors), [cursor.fetchone() for cursor in cursors][::500]]


def _notify(s: Script, c: Connection, to: Endpoint) -> None:
    with psycopg.connect(to.conninfo(), autocommit=True) as other:
        s.step("listen", lambda: rows(c, "LISTEN news"))

        def two() -> Any:
            rows(other, "NOTIFY news, 'first'")
            rows(other, "SELECT pg_notify('news', 'second ' || repeat('n', 7000))")
            found: Iterator[psycopg.Notify] = c.notifies(timeout=10, stop_after=2)
            return [(n.channel, n.payload) for n in found]

        s.step("notified", two)
        s.step("own", lambda: [rows(c, "NOTIFY news"), [n.channel for n in c.notifies(timeout=10, stop_after=1)]])
        s.step("unlisten", lambda: [rows(c, "UNLISTEN *"), rows(other, "NOTIFY news"), list(c.notifies(timeout=0.1))])


def _cancel(s: Script, c: Connection) -> None:
    def cancelled(how: Callable[[], Any], sql: str = "SELECT pg_sleep(30)") -> Any:
        timer = threading.Timer(0.3, how)
        timer.start()
        try:
            return rows(c, sql)
        finally:
            timer.join()

    def idle_cancel() -> Any:
        c.cancel_safe()
        return rows(c, "SELECT 2")

    s.step("cancel", lambda: cancelled(c.cancel))
    s.step("cancel_safe", lambda: cancelled(c.cancel_safe))
    s.step("status", lambda: [c.info.transaction_status, rows(c, "SELECT 1")])
    s.step("cancel in a transaction", lambda: [rows(c, "BEGIN"), cancelled(c.cancel_safe)])
    s.step("status", lambda: [c.info.transaction_status, rows(c, "ROLLBACK")])
    s.step("cancel nothing", idle_cancel)
    s.step("timeout", lambda: [rows(c, "SET statement_timeout = 50"), rows(c, "SELECT pg_sleep(30)")])
    s.step("reset", lambda: rows(c, "RESET statement_timeout"))
    s.step(
        "cancel while rows come",
        lambda: cancelled(c.cancel_safe, "SELECT count(*) FROM generate_series(1, 10^10::bigint)"),
    )
