"""Where the server really makes what was judged: every way to move the creation schema under a statement."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.real import gateway
from tests.real.drivers.wire import FLUSH, SYNC, WireClient, all_of, bind, execute, parse, query
from tests.real.gateway import TOKEN, Gateway
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)
SET = "SET search_path = b, public"
CREATE = "CREATE TABLE made (x int)"
MADE = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname LIKE 'made%' AND c.relkind IN ('r', 'v', 'S', 'm')
"""
SCHEMA = """
DROP SCHEMA IF EXISTS a, b CASCADE; DROP TABLE IF EXISTS public.made, public.made2 CASCADE;
CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE b.customers (id int);
CREATE FUNCTION a.moves() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', 'b', false) $$;
"""
#: Messages, and whether the schema is to be told.
SCENES: dict[str, tuple[list[bytes], bool]] = {
    "plain": ([query(CREATE)], True),
    "after SET": ([query(SET), query(CREATE)], True),
    "after SET LOCAL and its end": ([query("BEGIN; SET LOCAL search_path = b"), query("COMMIT"), query(CREATE)], True),
    "inside SET LOCAL": ([query("BEGIN"), query("SET LOCAL search_path = b"), query(CREATE), query("COMMIT")], True),
    "after a rollback": ([query("BEGIN"), query(SET), query("ROLLBACK"), query(CREATE)], True),
    "to a savepoint": ([query("BEGIN"), query("SAVEPOINT s"), query(SET), query("ROLLBACK TO s"), query(CREATE),
                        query("COMMIT")], True),
    "after a function": ([query("SELECT a.moves()"), query(CREATE)], True),
    "a schema of the user's name": ([query("SET search_path = '$user', public; CREATE SCHEMA postgres"), query(CREATE),
                                     query("DROP SCHEMA postgres CASCADE")], True),
    "in one text": ([query(f"{SET}; {CREATE}")], False),
    "a function in one text": ([query(f"SELECT a.moves(); {CREATE}")], False),
    "a rollback in one text": ([query("BEGIN"), query(SET), query(f"ROLLBACK; {CREATE}")], False),
    "inside": ([query("CREATE TABLE made AS SELECT a.moves()")], False),
    "a DO block": ([query(f"DO $$ BEGIN PERFORM set_config('search_path', 'b', false); {CREATE}; END $$")], False),
    "several": ([query(SET), query("BEGIN; CREATE TABLE made (); CREATE VIEW made2 AS SELECT 1; COMMIT")], True),
    "extended": ([query(SET), all_of("", CREATE) + SYNC], True),
    "extended, SET in the segment": ([all_of("", SET) + all_of("", CREATE) + SYNC], True),
    "parsed before": ([parse(CREATE, "s") + SYNC, query(SET), bind("", "s") + execute() + SYNC], True),
    "bound before": ([parse(SET, "x") + bind("x", "x") + parse(CREATE, "s") + bind("s", "s") + execute("x")
                      + execute("s") + SYNC], True),
    "SET between Parse and Bind": ([parse(SET, "x") + bind("x", "x") + parse(CREATE, "s") + execute("x")
                                    + bind("", "s") + execute() + SYNC], True),
    "bound in a transaction": ([query("BEGIN"), parse(CREATE, "s") + bind("s", "s") + SYNC, query(SET),
                                execute("s") + SYNC, query("COMMIT")], True),
    "prepared by SQL": ([query("PREPARE s AS SELECT 1 AS x"), query(SET), query("CREATE TABLE made AS EXECUTE s")],
                        False),
    "CREATE SCHEMA": ([query("CREATE SCHEMA made CREATE TABLE made (x int)"), query("DROP SCHEMA made CASCADE")],
                      False),
    "no such schema": ([query("SET search_path = nosuch"), query(CREATE)], False),
    "pg_temp": ([query("SET search_path = pg_temp"), query(CREATE)], False),
    "a view of a temporary table": ([query("CREATE TEMP TABLE hidden (x int)"),
                                     query("CREATE VIEW made AS SELECT * FROM hidden")], False),
    "SELECT INTO": ([query(SET), query("SELECT id INTO made FROM b.customers")], True),
    "a sequence": ([query(SET), query("CREATE SEQUENCE made")], True),
}  # fmt: skip


@pytest.fixture(scope="module")
def through(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of each version."""
    targets = {"orders": (postgres.host, postgres.port, "postgres")}
    home = tmp_path_factory.mktemp("gateway")
    with gateway.running(home, targets, postgres.superuser, postgres.password) as running:
        yield running


@pytest.mark.parametrize("name", SCENES)
def test_what_is_made_was_judged(postgres: PostgresServer, through: Gateway, name: str) -> None:
    """Whatever the server made, and wherever, was among what the policy saw."""
    messages, told = SCENES[name]
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        before = len(through.records())
        found: set[str] = set()
        with WireClient(through.host, through.port) as client:
            client.login("anyone", TOKEN, "orders")
            for message in messages:
                client.send(message)
                client.until(b"Z")
                found |= {row[0] for row in connection.execute(MADE.encode()).fetchall()}
            client.send(query("SELECT 1"))
            client.until(b"Z")
        connection.execute(SCHEMA.encode())
    judged = {
        access.removeprefix("define orders/")
        for record in through.records()[before:]
        for access in record.get("accesses", ())
        if access.startswith("define ")
    }
    for made in found:
        assert made in judged or f"?.{made.split('.')[1]}" in judged or made.startswith("pg_temp"), (found, judged)
    assert any(name.startswith("?.made") for name in judged) is not told, judged


def test_an_open_pipeline(through: Gateway) -> None:
    """The question disturbs no answer: a Flush gets what it would."""
    with WireClient(through.host, through.port) as client:
        client.login("anyone", TOKEN, "orders")
        client.send(parse("CREATE TABLE made (x int)", "s") + FLUSH)
        assert client.receive()[:1] == b"1"
        client.send(bind("", "s") + FLUSH)
        assert client.receive()[:1] == b"2"
        client.send(SYNC)
        assert client.receive()[:1] == b"Z"
