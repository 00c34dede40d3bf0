"""Portals and cursors that come to stand for something else behind the gateway's back: nothing classified is shown."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.real.drivers.wire import SYNC, WireClient, bind, close, describe, execute, parse, query
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)

CANARY = b"ada@lovelace"
_SCHEMA = """
CREATE TABLE portals (id int, email text);
INSERT INTO portals VALUES (1, 'ADA@LOVELACE'), (2, 'ADA@LOVELACE');
GRANT SELECT ON portals TO PUBLIC;
CREATE FUNCTION swap(c refcursor) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  BEGIN CLOSE c; EXCEPTION WHEN invalid_cursor_name THEN NULL; END;
  OPEN c FOR SELECT lower(email) FROM portals;
  RETURN 1;
END$$;
CREATE FUNCTION innocent() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""
HARMLESS = "SELECT 'x'::text || id FROM portals"
SECRET = "SELECT lower(email) FROM portals"
BLOCK = f"DO $$DECLARE c refcursor := 'p'; BEGIN OPEN c FOR {SECRET}; END$$"
BEGIN, CLOSE_C = query("BEGIN"), query("CLOSE c")
DECLARE = query(f"DECLARE c CURSOR FOR {HARMLESS}")
REDECLARE = query(f"DECLARE c CURSOR FOR {SECRET}")
BOUND = parse(HARMLESS, "s") + bind("p", "s")


def run(sql: str) -> bytes:
    """Through the extended protocol, up to its Execute."""
    return parse(sql) + bind() + execute()


#: name → what is sent, each with the number of ReadyForQuery that it is owed. Sent to the server itself, all of them
#: show the canary.
ATTACKS: dict[str, list[bytes]] = {
    "a function": [BEGIN, BOUND + SYNC, query("SELECT swap('p')"), execute("p") + SYNC],
    "a function, described before": [
        BEGIN,
        BOUND + describe("P", "p") + execute("p", 1) + SYNC,
        query("SELECT swap('p')"),
        execute("p") + SYNC,
    ],
    "a function, the portal closed by SQL": [
        BEGIN,
        BOUND + SYNC,
        query("CLOSE p"),
        query("SELECT swap('p')"),
        execute("p") + SYNC,
    ],
    "a function, bound before the portal": [
        BEGIN,
        parse("SELECT swap('p')", "f") + bind("q", "f") + BOUND + SYNC,
        execute("q") + execute("p") + SYNC,
    ],
    "a function, one pipeline": [
        BEGIN,
        BOUND + run("SELECT swap('p')") + execute("p") + SYNC,
    ],
    "a function, behind a commit in one pipeline": [
        BEGIN,
        BOUND + run("COMMIT") + run("BEGIN") + run("SELECT swap('p')") + execute("p") + SYNC,
    ],
    "a block": [BEGIN, BOUND + SYNC, query("CLOSE p"), query(BLOCK), execute("p") + SYNC],
    "a block, behind a commit in one pipeline": [
        BEGIN,
        BOUND + run("COMMIT") + run("BEGIN") + run(BLOCK) + execute("p") + SYNC,
    ],
    "FETCH from a portal": [BEGIN, BOUND + SYNC, query("SELECT swap('p')"), query("FETCH ALL FROM p")],
    "FETCH from a cursor": [BEGIN, DECLARE, query("SELECT swap('c')"), query("FETCH ALL FROM c")],
    "FETCH from a cursor not declared yet": [
        BEGIN,
        query("SELECT swap('c')"),
        parse(f"DECLARE c CURSOR FOR {HARMLESS}", "never") + SYNC,
        query("FETCH ALL FROM c"),
    ],
    "FETCH behind a DECLARE that never ran": [
        BEGIN,
        query("SELECT swap('c')"),
        parse(f"DECLARE c CURSOR FOR {HARMLESS}", "never") + bind("q", "never") + SYNC,
        query("FETCH ALL FROM c"),
    ],
    "FETCH behind a DECLARE that failed": [
        BEGIN,
        query("SELECT swap('c')"),
        query("SAVEPOINT s"),
        DECLARE,
        query("ROLLBACK TO s"),
        query("FETCH ALL FROM c"),
    ],
    "FETCH in one text": [query(f"DECLARE c CURSOR FOR {HARMLESS}; SELECT swap('c'); FETCH ALL FROM c")],
    "FETCH parsed before": [
        BEGIN,
        DECLARE,
        parse("FETCH ALL FROM c", "f") + SYNC,
        CLOSE_C,
        REDECLARE,
        bind("", "f") + execute() + SYNC,
    ],
    "FETCH bound before": [
        BEGIN,
        DECLARE,
        parse("FETCH ALL FROM c", "f") + bind("q", "f") + SYNC,
        CLOSE_C,
        REDECLARE,
        execute("q") + SYNC,
    ],
    "EXECUTE bound before": [
        BEGIN,
        query(f"PREPARE e AS {HARMLESS}"),
        parse("EXECUTE e", "f") + bind("q", "f") + SYNC,
        query("DEALLOCATE e"),
        query(f"PREPARE e AS {SECRET}"),
        execute("q") + SYNC,
    ],
}


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A table with a canary in its classified column, and a function that puts it behind any cursor's name."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(_SCHEMA)
        yield postgres
        connection.execute("DROP TABLE portals; DROP FUNCTION swap; DROP FUNCTION innocent")


@pytest.fixture(scope="module")
def through(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The whole product, everything permitted."""
    assert server.password is not None
    home = tmp_path_factory.mktemp("gateway")
    classified = [("public.portals.email", "secret")]
    target = (server.host, server.port, "postgres")
    with serving(home, target, server.superuser, server.password, classified) as running:
        yield running


def answers(client: WireClient, steps: list[bytes]) -> list[bytes]:
    """Everything that is said to the steps, one after another."""
    said: list[bytes] = []
    for step in steps:
        client.send(step)
        said += client.until(b"Z")
    return said


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attack_is_one(server: PostgresServer, attack: str) -> None:
    """Without the gateway it shows the canary: what the other test says is worth something."""
    assert server.password is not None
    with WireClient(server.host, server.port) as client:
        client.login("auth_password", server.password.reveal_text(), "postgres")
        assert CANARY in b"".join(answers(client, ATTACKS[attack]))


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_classified_comes_through_another_name(through: Gateway, attack: str) -> None:
    """Masked or refused; and the session goes on."""
    with WireClient(through.host, through.port) as client:
        client.login("anyone", through.token, "orders")
        assert CANARY not in b"".join(answers(client, ATTACKS[attack]))
        assert b"still here" in b"".join(answers(client, [query("ROLLBACK"), query("SELECT 'still here'")]))


def test_a_portal_goes_on_behind_a_function(through: Gateway) -> None:
    """What the server says of its columns is believed; what is computed counts as computed from anything."""
    with WireClient(through.host, through.port) as client:
        client.login("anyone", through.token, "orders")
        portal = parse("SELECT id, 'x'::text || id FROM portals", "s") + bind("p", "s") + execute("p", 1)
        first = b"".join(answers(client, [BEGIN, portal + SYNC]))
        assert b"\0\0\0\x011" in first
        assert b"x1" in first
        second = b"".join(answers(client, [query("SELECT innocent()"), execute("p", 1) + SYNC, query("COMMIT")]))
        assert b"\0\0\0\x012" in second
        assert b"x2" not in second


def test_a_portal_without_a_name_is_what_it_was(through: Gateway) -> None:
    """No cursor can take its place."""
    with WireClient(through.host, through.port) as client:
        client.login("anyone", through.token, "orders")
        calls = parse("SELECT innocent()", "f") + bind("q", "f") + execute("q") + close("P", "q")
        said = answers(client, [parse(HARMLESS) + bind() + execute("", 1) + calls + execute("", 1) + SYNC])
        assert b"x2" in b"".join(said)
