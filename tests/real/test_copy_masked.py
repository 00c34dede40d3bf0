"""COPY TO STDOUT of classified columns through the whole product: what a client reads, format by format."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.real.drivers.wire import SYNC, WireClient, all_of, query
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)
SCHEMA = r"""
DROP SCHEMA IF EXISTS copied CASCADE; CREATE SCHEMA copied; SET search_path = copied;
CREATE TABLE people (id int PRIMARY KEY, email text, plan text, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE places (id int, town text);
CREATE VIEW mail AS SELECT id, email FROM people;
INSERT INTO people VALUES (1, 'canary@x.org', E'a\tb,"c"|\\n'), (2, NULL, ''), (3, 'canary', NULL);
INSERT INTO places VALUES (1, 'Turin');
"""
SHOWN = "[redacted]"
PLAN = 'a\tb,"c"|\\n'


@pytest.fixture(scope="module")
def copied(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of each version; `email` is classified."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    target = (postgres.host, postgres.port, "postgres")
    home = tmp_path_factory.mktemp("copied")
    classified = [("copied.people.email", "secret")]
    with serving(home, target, postgres.superuser, postgres.password, classified, declassify=True) as running:
        yield running


def answered(gateway: Gateway, *said: bytes) -> list[list[bytes]]:
    """What comes for each message, up to its ReadyForQuery."""
    with WireClient(gateway.host, gateway.port) as client:
        client.login("anyone", gateway.token, "orders")
        found = []
        for each in said:
            client.send(each)
            found.append(client.until(b"Z"))
    return found


def data(gateway: Gateway, said: bytes) -> list[bytes]:
    """Bodies of the CopyData messages."""
    return [message[5:] for message in answered(gateway, said)[0] if message[:1] == b"d"]


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("copied.people", ("1", SHOWN, PLAN)),
        ("copied.people (plan, email)", (PLAN, SHOWN)),
        ("(SELECT id, email, plan FROM copied.people ORDER BY 1)", ("1", SHOWN, PLAN)),
        ("(SELECT * FROM copied.people ORDER BY 1)", ("1", SHOWN, PLAN, "2")),
        (
            "(SELECT plan, upper(email), length(email), upper(plan) FROM copied.people ORDER BY id)",
            (PLAN, None, None, PLAN.upper()),
        ),
        ("(SELECT town, email FROM copied.people p JOIN copied.places o ON o.id = p.id)", ("Turin", SHOWN)),
        ("(SELECT town, p.email, id FROM copied.people p JOIN copied.places o USING (id))", ("Turin", SHOWN, "1")),
        ("(SELECT id AS email, email AS id FROM copied.people ORDER BY people.id)", ("1", SHOWN)),
        ("(WITH w AS (SELECT id, email e FROM copied.people) SELECT id, e FROM w ORDER BY 1)", ("1", None)),
        ("(SELECT email FROM copied.people WHERE id = 1 UNION ALL SELECT 'x')", (None,)),
        ("(SELECT count(*), min(plan) FROM copied.people)", ("3", "")),
        ("(SELECT email, id FROM copied.mail ORDER BY id)", (SHOWN, "1")),
        ("(UPDATE copied.people SET plan = plan WHERE id = 1 RETURNING email, plan)", (SHOWN, PLAN)),
        ("(SELECT row_to_json(p), id FROM copied.people p ORDER BY id)", (None, "1")),
    ],
)
def test_only_classified_columns_are_masked(copied: Gateway, source: str, first: tuple[str | None, ...]) -> None:
    """And what is computed from them; the others come as they are."""
    with (
        psycopg.connect(
            host=copied.host, port=copied.port, dbname="orders", password=copied.token, autocommit=True
        ) as connection,
        connection.cursor().copy(f"COPY {source} TO STDOUT".encode()) as copy,
    ):
        rows = list(copy.rows())
    assert first in rows
    assert "canary" not in str(rows)


CSV: list[tuple[str, dict[str, Any]]] = [
    ("FORMAT csv", {}),
    ("FORMAT csv, HEADER", {}),
    ("FORMAT csv, DELIMITER '|', QUOTE '''', FORCE_QUOTE *", {"delimiter": "|", "quotechar": "'"}),
    ("FORMAT csv, DELIMITER ';', NULL 'nil', HEADER true, FORCE_QUOTE (plan)", {"delimiter": ";"}),
    ("FORMAT csv, ESCAPE '\\'", {"doublequote": False, "escapechar": "\\"}),
]


@pytest.mark.parametrize(("options", "dialect"), CSV, ids=range(len(CSV)))
def test_csv(copied: Gateway, options: str, dialect: dict[str, Any]) -> None:
    """In each dialect the masked column is text like any other, and nulls stay nulls."""
    text = f"COPY (SELECT id, email, plan FROM copied.people ORDER BY 1) TO STDOUT ({options})"
    written = b"".join(data(copied, query(text))).decode()
    found = list(csv.reader(io.StringIO(written, newline=""), strict=True, **dialect))
    null = "nil" if "nil" in options else ""
    header = [["id", "email", "plan"]] if "HEADER" in options else []
    assert found == [*header, ["1", SHOWN, PLAN], ["2", null, ""], ["3", SHOWN, null]]


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_binary(copied: Gateway, *, extended: bool) -> None:
    """A text column is masked as text; one computed from it is null."""
    text = "COPY (SELECT id, email, upper(email) FROM copied.people WHERE id = 1) TO STDOUT (FORMAT binary)"
    found = data(copied, all_of("", text) + SYNC if extended else query(text))
    row = b"\0\3" + b"\0\0\0\4\0\0\0\1" + b"\0\0\0\x0a" + SHOWN.encode() + b"\xff\xff\xff\xff"
    assert b"".join(found).endswith(row + b"\xff\xff")


def test_copies_beside_other_statements(copied: Gateway) -> None:
    """Each in its own columns and format; what is computed is null where the text reads a class."""
    text = (
        "COPY copied.places TO STDOUT; SELECT email FROM copied.people WHERE id = 1;"
        " COPY copied.people (email, id) TO STDOUT (FORMAT csv);"
        " COPY (SELECT id + 1, plan, email FROM copied.people WHERE id = 1) TO STDOUT (DELIMITER '|')"
    )
    (found,) = answered(copied, query(text))
    first, *second, third = [message[5:].decode() for message in found if message[:1] == b"d"]
    assert first == "1\tTurin\n"
    assert sorted(second) == [f'"{SHOWN}",1\n', f'"{SHOWN}",3\n', ",2\n"]
    assert third == f'\\N|a\\tb,"c"\\|\\\\n|{SHOWN}\n'
    assert not any(b"canary" in message for message in found)


def test_definitions_that_change_in_the_text(copied: Gateway) -> None:
    """A classified column under another's name shows nothing."""
    text = (
        "BEGIN; ALTER TABLE copied.people RENAME id TO x; ALTER TABLE copied.people RENAME email TO id;"
        " COPY copied.people (id) TO STDOUT; COPY (SELECT id FROM copied.people) TO STDOUT; ROLLBACK"
    )
    assert data(copied, query(text)) == [b"\\N\n"] * 6


def test_a_copy_that_cannot_be_masked(copied: Gateway) -> None:
    """A sentence before anything runs, and the connection goes on."""
    refused, count = answered(
        copied,
        query("DELETE FROM copied.people; COPY copied.people TO STDOUT (ENCODING 'LATIN1')"),
        query("SELECT count(*) FROM copied.people"),
    )
    assert b"ENCODING UTF8 only" in b"".join(refused)
    assert b"\0\1\0\0\0\1" + b"3" in b"".join(count)
