"""The analysis against the servers themselves: what they lock, and what they show, must be among what was judged."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from ostiary.core import Action
from ostiary.protocols.postgres.catalog import CATALOG_QUERY
from ostiary.protocols.postgres.statements import Judge
from tests.protocols.postgres import shop
from tests.protocols.postgres.test_corpus import CASES, texts
from tests.real.servers import PostgresServer
from tests.sql.generate_builtins import generated

#: Too long to be looked at: nobody can tell what such a function does.
LONG = f"/* {'x' * 33000} */"
SCHEMA = f"""
DROP SCHEMA IF EXISTS audit, app CASCADE;
CREATE SCHEMA audit; CREATE SCHEMA app;
CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount int, note text);
CREATE TABLE audit.log (at text, what text);
CREATE TABLE log (line text);
CREATE FUNCTION refund(int) RETURNS int LANGUAGE sql AS 'SELECT 1 {LONG}';
CREATE FUNCTION full_name(customers) RETURNS text LANGUAGE sql AS 'SELECT $1.name {LONG}';
CREATE FUNCTION app.lower(int) RETURNS text LANGUAGE sql AS 'SELECT ''1'' {LONG}';
CREATE FUNCTION app.json_scalar(int) RETURNS text LANGUAGE sql AS 'SELECT ''1'' {LONG}';
CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';
CREATE FUNCTION max(circle) RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER EXTENSION plpgsql ADD FUNCTION uuid_generate_v4();
ALTER EXTENSION plpgsql ADD FUNCTION max(circle);
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE VIEW v_customers AS SELECT id, email FROM customers;
CREATE VIEW v_rows AS SELECT id, customers FROM customers;
CREATE VIEW v_refunds AS SELECT refund(1);
CREATE MATERIALIZED VIEW m_customers AS SELECT email FROM customers;
CREATE TABLE events (id int UNIQUE, body text) PARTITION BY LIST (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE SEQUENCE orders_id_seq;
CREATE VIEW v_of_v AS SELECT email FROM v_customers;
CREATE TABLE "delete" ("update" text, "select" text);
CREATE TABLE "odd.name" ("a.b" text);
INSERT INTO customers VALUES (11, 'canaryname', 'canarymail');
INSERT INTO orders VALUES (11, 11, 77, 'canarynote');
REFRESH MATERIALIZED VIEW m_customers;
"""
#: The fixture's foreign keys, which would stand in the way of rows.
#: The server reads a body to check it; what it does is done when it is called.
BODIES = ("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "CREATE PROCEDURE")
#: Functions that lock more than they tell of: the session's last value, a view's text.
BEYOND = ("currval(", "pg_get_viewdef(", "pg_sequence_last_value(")
KEYS = """
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers (id);
ALTER TABLE orders ADD UNIQUE (id, customer_id);
ALTER TABLE events ADD FOREIGN KEY (id) REFERENCES orders (id);
"""
LOCKS = """
SELECT n.nspname, c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = pg_backend_pid() AND c.relkind IN ('r','v','m','p','f','S')
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relpersistence <> 't'
"""
CHANGES = {"insert", "update", "delete", "define", "admin"}
#: Lock mode → operations one of which must have been judged.
ENOUGH = {"AccessShareLock": CHANGES | {"read"}, "RowShareLock": CHANGES}
PARENTS = {"public.events_1": "public.events"}
CANARIES = {
    "canaryname": "public.customers.name",
    "canarymail": "public.customers.email",
    "canarynote": "public.orders.note",
}


@contextmanager
def made(server: PostgresServer, *, keys: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A database with the shop in it, gone afterwards."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS oracle")
        admin.execute("CREATE DATABASE oracle")
        try:
            with psycopg.connect(server.dsn("oracle"), autocommit=True) as connection:
                connection.execute(SCHEMA.encode())
                if keys:
                    connection.execute(KEYS.encode())
                connection.execute("SET statement_timeout = '300ms'; SET jit = off")
                yield connection
        finally:
            admin.execute("DROP DATABASE oracle WITH (FORCE)")


def catalogue(connection: psycopg.Connection[Any]) -> str:
    """What the server answers."""
    row = connection.execute(CATALOG_QUERY.encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_the_catalogue_query(postgres: PostgresServer) -> None:
    """On the server's own answer every statement of the corpus is judged as on the fixture's."""
    with made(postgres, keys=True) as connection:
        document = catalogue(connection)
    for case in CASES:
        if "refused" in case:
            continue
        judge = shop.judge(text=document)
        for text in texts(case):
            action = judge.statement(text)
            judge.runs(action.shape)
        does = {f"{a.operation} {a.object.removeprefix('shop/')}" for a in action.shape.accesses}
        assert does == set(case["does"]), case["sql"]
        assert (action.shape.sources is None) is case.get("opaque", False), case["sql"]


def test_settled_is_told(postgres: PostgresServer) -> None:
    """The server tells whether it was asked inside a transaction block."""
    with made(postgres) as connection:
        assert shop.judge(text=catalogue(connection)).catalog.settled
        connection.execute("BEGIN")
        connection.execute("SELECT pg_sleep(0.001)")
        assert not shop.judge(text=catalogue(connection)).catalog.settled


def statements() -> Iterator[str]:
    """The corpora and what a small grammar makes of their kind."""
    for case in CASES:
        if isinstance(case["sql"], str) and "refused" not in case:
            yield case["sql"]
    for case in yaml.safe_load((Path(__file__).parents[1] / "corpus" / "lineage.yaml").read_text()):
        yield case["sql"]
    yield from itertools.islice(Grammar(random.Random(7)), 600)


class Grammar:
    """Endless statements over the shop: sources, expressions, CTEs, changes."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def __iter__(self) -> "Grammar":
        return self

    def __next__(self) -> str:
        return self._chance.choice((self._query, self._query, self._change, self._with_change))(2)

    def _source(self, alias: str, depth: int) -> tuple[str, tuple[str, ...]]:
        plain = {
            "customers": ("id", "name", "email"),
            "orders": ("id", "customer_id", "amount", "note"),
            "v_customers": ("id", "email"),
            "m_customers": ("email",),
            "events": ("id", "body"),
            "audit.log": ("at", "what"),
        }
        if depth and self._chance.random() < 0.3:
            return f"({self._query(depth - 1)}) AS {alias} (x, y)", ("x", "y")
        if self._chance.random() < 0.1:
            return f"generate_series(1, 2) AS {alias} (g)", ("g",)
        name = self._chance.choice(list(plain))
        return f"{name} AS {alias}", plain[name]

    def _expression(self, columns: list[str], depth: int) -> str:
        column = self._chance.choice(columns)
        forms: list[Callable[[], str]] = [
            *([lambda: column] * 4),
            lambda: f"count({column}) OVER ()",
            lambda: f"upper({column}::text)",
            lambda: f"coalesce({column}::text, '-')",
            lambda: f"CASE WHEN {column} IS NULL THEN 'x' ELSE {self._chance.choice(columns)}::text END",
            lambda: f"{column}::text || '-' || {self._chance.choice(columns)}::text",
            lambda: f"to_jsonb({column.partition('.')[0]})",
            lambda: f"row({column.partition('.')[0]}.*)::text",
            lambda: f"(SELECT max(q.x::text) FROM ({self._query(depth - 1)}) q (x, y))" if depth else "1",
            lambda: f"ARRAY(SELECT q.y::text FROM ({self._query(depth - 1)}) q (x, y))" if depth else "now()",
            lambda: f"EXISTS ({self._query(depth - 1)})" if depth else "2",
            lambda: f"first_value({column}) OVER (ORDER BY {self._chance.choice(columns)}::text)",
        ]
        return self._chance.choice(forms)()

    def _query(self, depth: int) -> str:
        number = self._chance.randint(0, 10**6)
        aliases = [f"t{number}_{index}" for index in range(self._chance.randint(1, 2))]
        sources = [self._source(alias, depth) for alias in aliases]
        columns = [f"{alias}.{name}" for alias, (_, names) in zip(aliases, sources, strict=True) for name in names]
        joined = self._chance.choice((" CROSS JOIN ", ", ", " LEFT JOIN ", ", LATERAL "))
        text = sources[0][0]
        if len(sources) > 1:
            lateral = joined == ", LATERAL " and not sources[1][0].startswith("(")
            text += (", " if lateral else joined) + sources[1][0] + (" ON true" if "LEFT" in joined else "")
        items = f"{self._expression(columns, depth)}, {self._expression(columns, depth)}"
        query = f"SELECT {items} FROM {text}"
        if self._chance.random() < 0.2:
            query += f" WHERE {self._chance.choice(columns)} IS NOT NULL"
        if depth and self._chance.random() < 0.2:
            query = f"({query}) UNION ALL ({self._query(depth - 1)})"
        if self._chance.random() < 0.2:
            query = f"WITH w{number} (x, y) AS ({query}) SELECT * FROM w{number}"
        elif "UNION" not in query and "_series" not in query and "m_cust" not in query and self._chance.random() < 0.1:
            query += " FOR UPDATE" if "OVER" not in query else ""
        return query

    def _change(self, depth: int) -> str:
        forms = (
            lambda: f"INSERT INTO log SELECT q.x::text FROM ({self._query(depth - 1)}) q (x, y) RETURNING line, *",
            lambda: "UPDATE orders SET amount = 1 WHERE id > 0 RETURNING note, amount, upper(note)",
            lambda: (
                f"UPDATE orders o SET note = q.x::text FROM ({self._query(depth - 1)}) q (x, y) RETURNING o.id, q.y"
            ),
            lambda: f"DELETE FROM orders USING ({self._query(depth - 1)}) q (x, y) RETURNING orders.note, q.x",
            lambda: (
                f"CREATE TABLE made AS {self._query(depth - 1)}".replace("SELECT", "SELECT 1 AS c1,", 1) + " LIMIT 0"
            ),
            lambda: "UPDATE v_customers SET email = 'x' RETURNING *",
        )
        return self._chance.choice(forms)()

    def _with_change(self, depth: int) -> str:
        return f"WITH c AS ({self._change(depth)}) SELECT * FROM c, ({self._query(depth - 1)}) q (x, y)"


def judged(judge: Judge, text: str) -> Action | None:
    """The action, unless it may not be run here: what reaches the server's files, or ends the transaction."""
    action = judge.statement(text)
    does = {f"{a.operation} {a.object.removeprefix('shop/')}" for a in action.shape.accesses}
    if any(d.startswith(("admin ", "unknown ")) or d.endswith("session/transaction") for d in does):
        return None
    return action


def check_locks(action: Action, locks: list[tuple[str, str, str]]) -> None:
    """Every relation the server locked was judged, by an operation that is enough for the lock."""
    does: dict[str, set[str]] = {}
    for access in action.shape.accesses:
        does.setdefault(access.object.removeprefix("shop/"), set()).add(access.operation.value)
    for schema, relation, mode in locks:
        name = shop.named(schema, relation)
        # Planning takes the locks of running.
        enough = ENOUGH.get("AccessShareLock" if action.text.startswith("EXPLAIN") else mode, CHANGES)
        operations = does.get(name, set()) | does.get(PARENTS.get(name, ""), set()) | does.get(f"?.{relation}", set())
        assert operations & enough, (action.text, name, mode, does)


def check_canaries(action: Action, rows: list[tuple[Any, ...]]) -> None:
    """No value is shown in a column that is said not to depend on it."""
    outputs = action.shape.outputs
    if outputs is None:
        return
    for row in rows:
        assert len(row) == len(outputs), action.text
        for value, output in zip(row, outputs, strict=True):
            for canary, column in CANARIES.items():
                if output is not None and canary in str(value).lower():
                    assert f"shop/{column}" in output, (action.text, canary, output)


@pytest.mark.timeout(240)
def test_locks_and_canaries(postgres: PostgresServer) -> None:
    """Statements that run lock nothing and show nothing beyond what they were judged for."""
    ran = shown = 0
    with made(postgres) as connection:
        document = catalogue(connection)
        judge = shop.judge(text=document)
        for text in statements():
            try:
                action = judged(judge, text)
            except ValueError:
                continue
            if action is None or text.startswith(BODIES) or any(part in text for part in ("STDIN", "STDOUT", *BEYOND)):
                continue
            connection.execute("BEGIN")
            try:
                cursor = connection.execute(text.encode())
                rows = cursor.fetchall() if cursor.description else []
                locks = connection.execute(LOCKS).fetchall()
            except psycopg.Error:
                continue
            finally:
                connection.execute("ROLLBACK")
            ran += 1
            shown += bool(rows) and action.shape.outputs is not None
            check_locks(action, locks)
            check_canaries(action, rows)
            if action.shape.context["statements"] == 1 and "TEMP" in text:
                judge = shop.judge(text=document)
    assert ran > 600, ran
    assert shown > 300, shown


def test_builtins_are_the_servers_own(postgres15: PostgresServer, postgres18: PostgresServer) -> None:
    """The list of computing functions is what the servers' pg_proc says (run generate_builtins when it is not)."""
    from ostiary.sql.builtins import BUILTINS, Category

    assert {n for n, c in BUILTINS.items() if c is Category.COMPUTES} == generated(postgres15, postgres18)
