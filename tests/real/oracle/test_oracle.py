"""What the servers plan, lock, write and set must be among what a statement was judged for."""

import os
import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from ostiary.core import Action
from ostiary.sql.builtins import BUILTINS, COMPUTES
from tests.protocols.postgres import shop
from tests.real.oracle.server import Seen, Server
from tests.real.servers import PostgresServer
from tests.real.test_sql_oracle import PARENTS, Grammar, catalogue, made
from tests.real.test_sql_oracle import statements as corpora

#: Statements of the grammar, and where it starts: `OSTIARY_ORACLE=100000 OSTIARY_ORACLE_SEED=5` for a long run.
MORE = int(os.environ.get("OSTIARY_ORACLE", "300"))
SEED = int(os.environ.get("OSTIARY_ORACLE_SEED", "11"))
#: The server reads a body to check it; what it does is done when it is called.
BODIES = ("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "CREATE PROCEDURE")
SYSTEM = ("pg_catalog", "information_schema")
#: Functions too long to be looked at: unknown, and harmless.
LONG = ("unknown/public.", "unknown/app.")
#: An extension's, which computes.
COMPUTING = ("public", "uuid_generate_v4")
#: Reaches beyond the database that is thrown away, or waits for the client.
KEPT_OUT = ("server/", "role/", "session/transaction", "extension/", "setting/fsync")


def lines() -> list[str]:
    """The statements by hand."""
    text = Path(__file__).with_name("statements.sql").read_text()
    return [line for line in text.splitlines() if not line.startswith("--")]


def texts() -> Iterator[str]:
    """By hand, of the corpora, and made up."""
    yield from lines()
    yield from corpora()
    yield from islice(Grammar(random.Random(SEED)), MORE)


def missing(action: Action, seen: Seen) -> Iterator[str]:
    """What the server did and nobody was told."""
    does = {(str(a.operation), a.object.removeprefix("shop/")) for a in action.shape.accesses}
    told: dict[str, set[str]] = defaultdict(set)
    for operation, thing in does:
        told[thing].add(operation)
    beyond_reading = any(operation != "read" for operation, _ in does)
    for schema, relation, kind in seen.permissions | seen.written:
        if schema in SYSTEM:
            # A view of the system's, or a function that looks into the catalogue, reads it.
            if kind != "read" and not beyond_reading:
                yield f"{kind} {schema}.{relation}"
            continue
        name = shop.named(schema, relation)
        operations = told[name] | told[PARENTS.get(name, "")] | told[f"?.{relation}"]
        planned = action.text.startswith("EXPLAIN") and operations
        if kind not in operations and "define" not in operations and not planned:
            yield f"{kind} {name}"
    for schema, function in seen.functions:
        if schema == "pg_catalog":
            # What a system's view calls is the view's to show.
            if BUILTINS.get(function) not in COMPUTES and not does:
                yield f"call {function}"
        elif (
            schema not in SYSTEM
            and (schema, function) != COMPUTING
            and not any(
                operation == "execute" and thing.endswith((f".{function}()", "operator ==="))
                for operation, thing in does
            )
        ):
            yield f"execute {schema}.{function}()"
    if seen.settings and not any(operation in ("session", "admin") for operation, _ in does):
        yield "session setting/?"


@pytest.mark.timeout(int(200 + MORE / 5))
def test_nothing_is_missing(postgres: PostgresServer) -> None:
    """Permission lists and functions of plans, rows written anywhere, settings: all of it was judged."""
    ran = 0
    found: list[tuple[str, str]] = []
    with made(postgres) as connection:
        document = catalogue(connection)
        connection.execute("SET statement_timeout = '2s'; LOAD 'plpgsql'")
        server = Server(connection)
        for text in texts():
            try:
                action = shop.judge(text=document).statement(text)
            except ValueError:
                continue
            things = [a.object.removeprefix("shop/") for a in action.shape.accesses]
            hidden = any(thing.startswith("unknown/") and not thing.startswith(LONG) for thing in things)
            if hidden or any(thing.startswith(KEPT_OUT) for thing in things) or "STD" in text:
                continue
            if text.startswith(BODIES):
                continue
            seen = server.run(text)
            if seen is not None:
                ran += 1
                found += [(text, what) for what in missing(action, seen)]
    assert not found, found[:20]
    assert ran > 1000, ran


def test_every_builtin_is_placed(postgres: PostgresServer) -> None:
    """No function of the server's own is in no list."""
    rows = postgres.run("SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")
    assert {name for (name,) in rows} <= BUILTINS.keys()
