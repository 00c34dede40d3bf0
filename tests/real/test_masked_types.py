"""What is masked keeps its column's type through the whole product: drivers decode it, in either format and in COPY."""

import asyncio
import datetime as dt
import ipaddress
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import asyncpg
import psycopg
import pytest

from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

pytestmark = pytest.mark.timeout(120)
SCHEMA = """
DROP SCHEMA IF EXISTS typed CASCADE; CREATE SCHEMA typed;
CREATE DOMAIN typed.code AS varchar(40);
CREATE TABLE typed.people (id int8, ref int4, name text, short varchar(5), fixed char(20), born date, seen timestamptz,
  pay numeric(12,2), home inet, tag uuid, phones text[], made typed.code);
INSERT INTO typed.people VALUES (4111111111111111, 1234567, 'Ada Lovelace', 'Adam', 'Grace Hopper', '1984-02-29',
  '2001-02-03 04:05:06.789+02', 12345.67, '10.20.30.40', '123e4567-e89b-12d3-a456-426614174000',
  '{"+49 30 901820",NULL}', 'AB1234567');
"""
RULES = {
    "id": "{transform: format-preserving}",
    "ref": "{transform: hash}",
    "name": "{transform: token}",
    "short": "{transform: redact}",
    "fixed": "{transform: hash}",
    "born": "{transform: date-shift, days: 9}",
    "seen": "{transform: generalise, to: month}",
    "pay": "{transform: generalise, step: 1000}",
    "home": "{transform: generalise}",
    "tag": "{transform: token}",
    "phones": "{transform: partial}",
    "made": "{transform: format-preserving}",
}
QUERY = f"SELECT {', '.join(RULES)} FROM typed.people"


@pytest.fixture(scope="module")
def typed(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in front of each version; every column is of a class of its own."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    home = tmp_path_factory.mktemp("typed")
    classified = [(f"typed.people.{name}", name) for name in RULES]
    target = (postgres.host, postgres.port, "postgres")
    with serving(home, target, postgres.superuser, postgres.password, classified, rules=RULES) as running:
        yield running


def checked(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Every value is of its type, and of what its transform says."""
    id_, ref, name, short, fixed, born, seen, pay, home, tag, phones, made = row
    assert isinstance(id_, int)
    assert len(str(id_)) == 16
    assert id_ != 4111111111111111
    assert isinstance(ref, int)
    assert ref != 1234567
    assert name.startswith("tok1_")
    assert short == "*****"
    assert len(fixed) == 20
    assert fixed.isalpha()
    assert 1 <= abs((born - dt.date(1984, 2, 29)).days) <= 9
    assert seen == dt.datetime(2001, 2, 1, tzinfo=dt.UTC)
    assert pay == Decimal(12000)
    assert str(home) in ("10.20.30.0/24", str(ipaddress.ip_interface("10.20.30.0/24")))
    assert isinstance(tag, uuid.UUID)
    assert tag != uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
    assert phones == ["+49***20", None]
    assert made[:2].isupper()
    assert made[2:].isdigit()
    return (id_, ref, name, short, fixed, born, seen, pay, str(home), tag.bytes, tuple(phones), made)


def test_drivers_decode_what_is_masked(typed: Gateway) -> None:
    """Psycopg in text and binary format, asyncpg in binary: the very same values."""

    def through_psycopg(*, binary: bool) -> tuple[Any, ...]:
        with (
            psycopg.connect(host=typed.host, port=typed.port, dbname="orders", password=typed.token) as connection,
            connection.cursor(binary=binary) as cursor,
        ):
            row = cursor.execute(QUERY.encode()).fetchone()
            assert row is not None
            return checked(row)

    async def through_asyncpg() -> tuple[Any, ...]:
        connection = await asyncpg.connect(
            host=typed.host, port=typed.port, user="x", database="orders", password=typed.token
        )
        try:
            row = await connection.fetchrow(QUERY)
            assert row is not None
            return checked(tuple(row))
        finally:
            await connection.close()

    text = through_psycopg(binary=False)
    assert text == through_psycopg(binary=True) == asyncio.run(through_asyncpg())


@pytest.mark.parametrize("source", [f"typed.people ({', '.join(RULES)})", f"({QUERY})"])
@pytest.mark.parametrize("options", ["", "(FORMAT csv)", "(FORMAT binary)"])
def test_copies_hold_the_same_values(postgres: PostgresServer, typed: Gateway, source: str, options: str) -> None:
    """And a server takes them back as the types they are."""
    with (
        psycopg.connect(host=typed.host, port=typed.port, dbname="orders", password=typed.token) as connection,
        connection.cursor() as cursor,
    ):
        shown = cursor.execute(QUERY.encode()).fetchone()
        with cursor.copy(f"COPY {source} TO STDOUT {options}".encode()) as copy:
            data = b"".join(copy)
    with psycopg.connect(postgres.dsn()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE back (LIKE typed.people)")
        with cursor.copy(f"COPY back ({', '.join(RULES)}) FROM STDIN {options}".encode()) as copy:
            copy.write(data)
        told = cursor.execute(QUERY.replace("typed.people", "back").encode()).fetchone()
    assert shown is not None
    assert told == shown
