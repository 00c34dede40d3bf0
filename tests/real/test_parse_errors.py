"""Errors of what is only prepared, through the whole product: names in them stay readable, values do not."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.real.drivers.wire import SYNC, WireClient, parse, query
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)
SCHEMA = """
DROP SCHEMA IF EXISTS parsed CASCADE; CREATE SCHEMA parsed;
CREATE TABLE parsed.people (id int, email text); CREATE TABLE parsed.places (id int, town text);
"""


@pytest.fixture(scope="module")
def parsed(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of each version; `email` is classified."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    target = (postgres.host, postgres.port, "postgres")
    home = tmp_path_factory.mktemp("parsed")
    with serving(home, target, postgres.superuser, postgres.password, [("parsed.people.email", "secret")]) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT emial FROM parsed.people", 'column "emial" does not exist'),
        ("SELECT nosuch FROM parsed.places", 'column "nosuch" does not exist'),
        ("SELECT id = 'ada lovelace' FROM parsed.people", "invalid input syntax for type integer: [redacted]"),
        ("SELECT id = 'ada lovelace' FROM parsed.places", 'invalid input syntax for type integer: "ada lovelace"'),
    ],
)
def test_at_parse_and_at_prepare(parsed: Gateway, text: str, message: str) -> None:
    """The same is said of a Parse, of SQL's PREPARE and of the statement itself."""
    with WireClient(parsed.host, parsed.port) as client:
        client.login("anyone", parsed.token, "orders")
        for said in (parse(text) + SYNC, query(f"PREPARE p AS {text}"), query(text)):
            client.send(said)
            (error,) = (found for found in client.until(b"Z") if found[:1] == b"E")
            assert f"\0M{message}\0".encode() in error
