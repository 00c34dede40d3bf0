"""Classified values on roundabout ways to a client, through the whole product: none is shown.

Each attack shows its canary when it is sent to the server itself.
"""

import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from tests.real.drivers.wire import SYNC, WireClient, bind, execute, parse, query
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)

CANARY = b"canary"
SCHEMA = """
DROP SCHEMA IF EXISTS leaks CASCADE; CREATE SCHEMA leaks; SET search_path = leaks;
CREATE TABLE people (id int PRIMARY KEY, email text UNIQUE, plan text);
CREATE TABLE places (id int PRIMARY KEY, town text);
CREATE TABLE stays (id int PRIMARY KEY, email text,
  place int NOT NULL REFERENCES places ON DELETE SET NULL ON UPDATE CASCADE CHECK (place < 50));
CREATE TABLE letters (id int PRIMARY KEY, receiver text REFERENCES people (email) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO people VALUES (1, 'CANARY one', 'x'); INSERT INTO places VALUES (1, 'Turin'), (2, 'Rome');
INSERT INTO stays VALUES (1, 'canary two', 2);
CREATE TABLE made (id int, name text, low text GENERATED ALWAYS AS (lower(name)) STORED,
  twice int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO made VALUES (21, 'Canary three'); CREATE VIEW of_made AS SELECT low FROM made;
CREATE VIEW statistics AS SELECT stavalues1::text AS seen FROM pg_statistic WHERE starelid = 'people'::regclass
  UNION ALL SELECT most_common_vals::text FROM pg_stats WHERE schemaname = 'leaks' AND tablename = 'people';
CREATE VIEW of_statistics AS SELECT seen FROM statistics;
INSERT INTO people VALUES (2, 'canary four', 'x'); ANALYZE people;
CREATE FUNCTION tell() RETURNS text LANGUAGE sql
  AS 'SELECT set_config(''application_name'', (SELECT email FROM leaks.people LIMIT 1), false)';
GRANT USAGE ON SCHEMA leaks TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA leaks TO PUBLIC;
"""
LOW = "(SELECT lower(email) FROM leaks.people LIMIT 1)"
LATE = f"INSERT INTO leaks.letters VALUES (1, {LOW})"
HELD = "DECLARE c CURSOR WITH HOLD FOR SELECT lower(email)::int FROM leaks.people"
INSERTED = f"INSERT INTO leaks.places SELECT 3, {LOW} RETURNING town"
UPDATED = f"UPDATE leaks.places SET town = {LOW} WHERE id = 1 RETURNING town"


def run(sql: str) -> bytes:
    """Through the extended protocol."""
    return parse(sql) + bind() + execute() + SYNC


#: name → messages, each up to a ReadyForQuery; all in a transaction.
ATTACKS: dict[str, list[bytes]] = {
    "a constraint checked by COMMIT": [query(LATE), query("COMMIT")],
    "a constraint checked by COMMIT, extended": [run(LATE), run("COMMIT")],
    "a constraint checked by COMMIT in a text": [query(LATE), query("SELECT 1; COMMIT; SELECT 2")],
    "a constraint checked by COMMIT AND CHAIN": [query(LATE), query("COMMIT AND CHAIN")],
    "a constraint checked by SET CONSTRAINTS": [query(LATE), query("SET CONSTRAINTS ALL IMMEDIATE")],
    "a constraint checked in a block": [query(LATE), query("DO $$BEGIN SET CONSTRAINTS ALL IMMEDIATE; END$$")],
    "a holdable cursor run by COMMIT": [query(HELD), query("COMMIT")],
    "a row that refers to the deleted one": [query("DELETE FROM leaks.places WHERE id = 2")],
    "a row that refers to the changed one": [query("UPDATE leaks.places SET id = 60 WHERE id = 2")],
    "INSERT RETURNING": [query(INSERTED)],
    "INSERT RETURNING, extended": [run(INSERTED)],
    "INSERT RETURNING beside another": [query(f"{INSERTED}; SELECT 1")],
    "INSERT RETURNING, prepared": [query(f"PREPARE leak AS {INSERTED}"), query("EXECUTE leak")],
    "INSERT RETURNING in WITH": [query(f"WITH w AS ({INSERTED}) SELECT town FROM w")],
    "INSERT RETURNING, copied": [query(f"COPY ({INSERTED}) TO STDOUT")],
    "UPDATE RETURNING": [query(UPDATED)],
    "UPDATE RETURNING of a CTE's name": [
        query("WITH people AS (SELECT 'x' AS email) UPDATE leaks.people SET plan = 'y' RETURNING lower(email)"),
    ],
    "ON CONFLICT RETURNING": [
        query(
            f"INSERT INTO leaks.places VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET town = {LOW} RETURNING town",
        )
    ],
    "a function in the place of a column": [
        query("SELECT (SELECT c.to_json FROM leaks.people c LIMIT 1) FROM (SELECT 1 AS to_json) c"),
    ],
    "a column in the place of a row": [
        query(f"SELECT (SELECT z FROM leaks.places z LIMIT 1) FROM (SELECT {LOW} AS z) o"),
    ],
    "a generated column": [query("SELECT low FROM leaks.made")],
    "a generated column, computed": [query("SELECT upper(low) FROM leaks.made")],
    "a generated column in a view": [query("SELECT low || '' FROM leaks.of_made")],
    "a generated column, copied": [query("COPY (SELECT low FROM leaks.made) TO STDOUT")],
    "a generated column of what is stored": [query(f"INSERT INTO leaks.made (id, name) SELECT 2, {LOW} RETURNING low")],
    "statistics in a view": [query("SELECT seen FROM leaks.statistics")],
    "statistics in a view of a view, computed": [query("SELECT upper(seen) FROM leaks.of_statistics")],
    "a setting that is reported": [query("SELECT leaks.tell()")],
    "a setting that is reported, extended": [run("SELECT leaks.tell()")],
    "a word that was no keyword": [query(f'SELECT system_user FROM (SELECT {LOW} AS "system_user") x')],
}
NEWER = {
    "MERGE RETURNING": [
        query(
            "MERGE INTO leaks.places o USING leaks.people p ON p.id = o.id"
            " WHEN MATCHED THEN UPDATE SET town = lower(p.email) RETURNING o.town"
        )
    ],
    "NEW": [query(f"{UPDATED[: UPDATED.index('RETURNING')]} RETURNING new.town, old.town")],
}


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Tables with canaries in their classified columns."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield postgres
        connection.execute("DROP SCHEMA leaks CASCADE")


@pytest.fixture(scope="module")
def through(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The whole product, everything permitted."""
    assert server.password is not None
    classified = [("leaks.people.email", "secret"), ("leaks.stays.email", "secret"), ("leaks.made.name", "secret")]
    target = (server.host, server.port, "postgres")
    home = tmp_path_factory.mktemp("gateway")
    with serving(home, target, server.superuser, server.password, classified, declassify=True) as running:
        yield running


def answers(client: WireClient, steps: list[bytes]) -> bytes:
    """Everything that is said to the steps, one after another, in a transaction that is not kept."""
    said: list[bytes] = []
    for step in (query("BEGIN"), *steps, query("ROLLBACK")):
        client.send(step)
        said += client.until(b"Z")
    return b"".join(said).lower()


@pytest.mark.parametrize("name", [*ATTACKS, *NEWER])
def test_nothing_is_shown(server: PostgresServer, through: Gateway, name: str) -> None:
    """What the server would show is masked."""
    if name in NEWER and server.version < 18:
        pytest.skip("syntax of PostgreSQL 18")
    steps = (ATTACKS | NEWER)[name]
    with WireClient(server.host, server.port) as direct:
        direct.login("auth_password", server.password.reveal_text(), "postgres")
        owned = server.version >= 16 and name == "a word that was no keyword"
        assert owned or CANARY in answers(direct, steps)
    with WireClient(through.host, through.port) as client:
        client.login("anyone", through.token, "orders")
        assert CANARY not in answers(client, steps)


def test_what_a_change_returns_else_is_shown(through: Gateway) -> None:
    """Columns that got nothing classified are as they are."""
    with WireClient(through.host, through.port) as client:
        client.login("anyone", through.token, "orders")
        said = answers(
            client,
            [
                query(f"INSERT INTO leaks.places SELECT 4711, {LOW} RETURNING id"),
                query("INSERT INTO leaks.places VALUES (9, 'Genoa') RETURNING town"),
                query("SELECT twice FROM leaks.made"),
                query("UPDATE leaks.people SET email = 'x' WHERE id = 1 RETURNING plan || 'ned'"),
            ],
        )
    assert all(part in said for part in (b"4711", b"genoa", b"42", b"xned"))


def test_settings_of_the_clients_own_are_told(through: Gateway) -> None:
    """As they are, after a function ran too."""
    with WireClient(through.host, through.port) as client:
        client.login("anyone", through.token, "orders")
        client.send(query("SELECT leaks.tell()"))
        said = client.until(b"Z")
        assert b"application_name\0[redacted]\0" in b"".join(said)
        for step in (query("SET application_name = 'mine'"), run("SET TimeZone = 'Asia/Tokyo'")):
            client.send(step)
            said += client.until(b"Z")
    assert b"application_name\0mine\0" in b"".join(said)
    assert b"TimeZone\0Asia/Tokyo\0" in b"".join(said)


def test_a_dump_has_all_but_the_canaries(server: PostgresServer, through: Gateway) -> None:
    """What pg_dump asks of the catalogue is answered."""
    where = ("-h", through.host, "-p", str(through.port), "-U", "anyone", "-n", "leaks", "-d", "orders")
    environment = {"PGPASSWORD": through.token, "PATH": "/usr/bin:/bin"}
    ran = subprocess.run([str(server.bin / "pg_dump"), *where], env=environment, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.lower()
    assert b"turin" in said
    assert b"create table leaks.stays" in said
    assert CANARY not in said
