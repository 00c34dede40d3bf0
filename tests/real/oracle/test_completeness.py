"""How much of what applications send is judged exactly: nothing unknown, nothing that the server did not use."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import yaml

from ostiary.core import Action
from tests.protocols.postgres import shop
from tests.real.oracle.server import Seen, Server
from tests.real.servers import PostgresServer
from tests.real.test_sql_oracle import catalogue

CORPUS: dict[str, list[str]] = yaml.safe_load((Path(__file__).parents[2] / "corpus" / "applications.yaml").read_text())
ROWS = ("read", "insert", "update", "delete")


def unused(action: Action, seen: Seen) -> Iterator[str]:
    """What was judged and the server did not do."""
    used = {(kind, f"{schema}.{relation}") for schema, relation, kind in seen.permissions | seen.written}
    for access in action.shape.accesses:
        operation, thing = str(access.operation), access.object.removeprefix("shop/")
        if operation == "unknown":
            yield f"unknown {thing}"
        elif operation in ROWS and "seq" not in thing and (operation, thing) not in used and not changes_schema(action):
            yield f"{operation} {thing}"
        elif operation == "execute" and not any(thing == f"{schema}.{name}()" for schema, name in seen.functions):
            yield f"execute {thing}"
        elif operation == "define" and not any(schema == "pg_catalog" for schema, _, _ in seen.written):
            yield f"define {thing}"


def changes_schema(action: Action) -> bool:
    """Utility commands have no permission list: a foreign key's `read`, TRUNCATE's `delete`."""
    return action.text.lstrip().upper().startswith(("CREATE", "ALTER", "DROP", "TRUNCATE"))


def test_applications(postgres: PostgresServer) -> None:
    """At least 98 of 100 statements are judged exactly, and no look-alike is taken for what it looks like."""
    ran, wrong = 0, list[tuple[str, str]]()
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS applications")
        admin.execute("CREATE DATABASE applications")
        try:
            with psycopg.connect(postgres.dsn("applications"), autocommit=True) as connection:
                for text in CORPUS["schema"]:
                    connection.execute(text.encode())
                judge, server = shop.judge(text=catalogue(connection)), Server(connection)
                for text in dict.fromkeys(text for part, texts in CORPUS.items() if part != "schema" for text in texts):
                    action = judge.statement(text)
                    seen = server.run(text)
                    if seen is not None:
                        ran += 1
                        wrong += [(text, what) for what in unused(action, seen)]
        finally:
            admin.execute("DROP DATABASE applications WITH (FORCE)")
    inexact = {text for text, _ in wrong}
    assert ran >= 300, ran
    assert not inexact & set(CORPUS["lookalikes"]), wrong
    assert len(inexact) <= ran * 0.02, (ran, len(inexact), wrong)
