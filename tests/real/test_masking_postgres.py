"""What the server really says when something fails over classified data, and what the masker lets through of it."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from ostiary.core import ResultKind
from ostiary.masking import Detection
from ostiary.protocols.postgres.results import diagnostic_columns
from tests.masking.fakes import FakeRights, action, masking, run
from tests.real.servers import PostgresServer

CANARY = "canary lovelace"
#: Field code → psycopg's name of it.
FIELDS = {
    "S": "severity",
    "C": "sqlstate",
    "M": "message_primary",
    "D": "message_detail",
    "H": "message_hint",
    "W": "context",
    "q": "internal_query",
    "s": "schema_name",
    "t": "table_name",
    "c": "column_name",
    "d": "datatype_name",
    "n": "constraint_name",
    "F": "source_file",
    "R": "source_function",
}


@pytest.fixture
def shop(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    """A table with a canary in its classified column, and code that likes to talk."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS masked CASCADE")
        connection.execute("CREATE SCHEMA masked")
        connection.execute("SET search_path = masked")
        connection.execute("CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, CHECK (id < 100))")
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, customer text REFERENCES customers (email))")
        connection.execute("CREATE VIEW mail AS SELECT email AS x FROM customers")
        connection.execute("CREATE DOMAIN short AS text CHECK (length(VALUE) < 3)")
        connection.execute("INSERT INTO customers VALUES (1, %s)", [CANARY])
        connection.execute(
            "CREATE FUNCTION talk(v text) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no % here', v"
            " USING DETAIL = v, HINT = v, CONSTRAINT = v, TABLE = v; END$$"
        )
        yield connection
        connection.execute("DROP SCHEMA masked CASCADE")


def fields(error: psycopg.Error) -> dict[str, str]:
    """The fields of an error that are there, after masking."""
    found = {code: getattr(error.diag, name) for code, name in FIELDS.items()}
    names = tuple(code for code, value in found.items() if value is not None)
    cells: list[bytes | None] = [found[name].encode() for name in names]
    columns = list(diagnostic_columns(names, cells))
    what = action("public.customers", text=str(error.__notes__[0]) if hasattr(error, "__notes__") else "")
    got = run(masking(Detection()), columns, [[c] for c in cells], what, FakeRights(), ResultKind.DIAGNOSTIC)
    return {name: (cell[0] or b"").decode() for name, cell in zip(names, got, strict=True)}


STATEMENTS = [
    ("SELECT email::int FROM customers", "invalid input syntax for type integer: [redacted]"),
    ("SELECT ('\" '||email||' \"id')::int FROM customers", "invalid input syntax for type integer: [redacted]"),
    ("SELECT email::date FROM customers", "invalid input syntax for type date: [redacted]"),
    ("SELECT email::uuid FROM customers", "invalid input syntax for type uuid: [redacted]"),
    ("SELECT email::json FROM customers", "invalid input syntax for type json"),
    ("SELECT ('{' || email)::int[] FROM customers", None),
    ("SELECT email::inet FROM customers", None),
    ("SELECT email::xml FROM customers WHERE xmlparse(document email) IS NULL", None),
    ("SELECT to_date(email, 'YYYY') FROM customers", None),
    ("SELECT to_number(email, '9') FROM customers", None),
    ("SELECT email::masked.short FROM customers", None),
    ("SELECT 'x' ~ ('(' || email) FROM customers", None),
    ("SELECT set_config('datestyle', email, false) FROM customers", None),
    ("SELECT email::regclass FROM customers", None),
    ("SELECT email::tsquery FROM customers", None),
    ("SELECT encode(decode(email, 'hex'), 'hex') FROM customers", None),
    ("SELECT decode(email, email) FROM customers", None),
    ("SELECT nextval(email) FROM customers", None),
    ("SELECT timezone(email, now()) FROM customers", None),
    ("SELECT jsonb_path_query('{}', email::jsonpath) FROM customers", None),
    ("SELECT date_trunc(email, now()) FROM customers", None),
    ("SELECT email COLLATE nosuch FROM customers", None),
    ("SELECT emial FROM customers", 'column "emial" does not exist'),
    ("SELECT 1/0 FROM customers", "division by zero"),
    (
        "INSERT INTO customers SELECT 2, email FROM customers",
        'duplicate key value violates unique constraint "customers_email_key"',
    ),
    ("INSERT INTO customers SELECT 200, email FROM customers", None),
    ("UPDATE customers SET id = NULL", None),
    ("INSERT INTO orders SELECT 1, email || 'x' FROM customers", None),
    ("DELETE FROM customers WHERE EXISTS (SELECT FROM customers) AND masked.talk(email) = 1", "[redacted]"),
    ("SELECT talk(email) FROM customers", "[redacted]"),
    ("DO $$DECLARE v text; BEGIN SELECT email INTO v FROM masked.customers; RAISE '%', v; END$$", "[redacted]"),
    ("DO $$BEGIN PERFORM email::int FROM masked.customers; END$$", "invalid input syntax for type integer: [redacted]"),
    ("DO $$BEGIN EXECUTE (SELECT email FROM masked.customers); END$$", None),
]


@pytest.mark.parametrize(("statement", "message"), STATEMENTS, ids=range(len(STATEMENTS)))
def test_no_error_quotes_the_canary(shop: psycopg.Connection, statement: str, message: str | None) -> None:
    """In no field, on any version; codes stay what they were, and the sentence stays readable."""
    with pytest.raises(psycopg.Error) as raised:
        shop.execute(sql.SQL(statement))
    raised.value.add_note(statement)
    shown = fields(raised.value)
    assert not any(word in " ".join(shown.values()) for word in CANARY.split()), shown
    assert shown["C"] == raised.value.diag.sqlstate
    if message is not None:
        assert shown["M"] == message


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("SELECT email FROM customers", True),
        ("SELECT e FROM (SELECT email AS e FROM customers) s", True),
        ("WITH c AS (SELECT email FROM customers) SELECT * FROM c", True),
        ("SELECT email FROM customers UNION SELECT customer FROM orders", False),
        ("SELECT customer FROM orders UNION ALL SELECT email FROM customers", False),
        ("SELECT x FROM (SELECT customer AS x FROM orders UNION SELECT email FROM customers) s", False),
        ("WITH RECURSIVE r AS (SELECT customer FROM orders UNION SELECT email FROM customers) TABLE r", False),
        ("SELECT lower(email) FROM customers", False),
        ("SELECT (SELECT email FROM customers)", False),
        ("SELECT max(email) FROM customers", False),
        ("SELECT id FROM orders FULL JOIN customers USING (id)", False),
        ("SELECT x FROM (SELECT customer x FROM orders) a FULL JOIN (TABLE mail) b USING (x)", False),
        ("VALUES ((SELECT email FROM customers))", False),
        ("SELECT email FROM customers GROUP BY ROLLUP (email)", True),
    ],
)  # fmt: skip
def test_the_server_names_an_origin_only_where_nothing_else_flows_in(
    shop: psycopg.Connection, query: str, known: bool
) -> None:
    """Masking trusts RowDescription's origin: set operations and expressions must not carry the first branch's."""
    result = shop.execute(sql.SQL(query)).pgresult
    assert result is not None
    assert (result.ftable(0) != 0) == known
